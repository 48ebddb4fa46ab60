// The keys: those of a page stand in its footer.
import { choose, chose } from "./live.js";

const PLACES = { o: "/overview", j: "/jobs", r: "/logs", u: "/upcoming" };
const rows = () => [...document.querySelectorAll(":is(table.cards, table.dense) > tbody > tr:not(.more)")];
let going = false;

const isTyping = (element) => element.closest("input:not([type=checkbox], [type=radio]), select, textarea, [contenteditable]");
const current = () => document.activeElement?.closest("tr") ?? document.querySelector("tr.at");

const move = (step) => {
  const all = rows();
  if (!all.length) return;
  const index = all.indexOf(current());
  const row = all[Math.min(all.length - 1, Math.max(0, index < 0 && step < 0 ? all.length - 1 : index + step))];
  for (const other of document.querySelectorAll("tr.at")) other.classList.remove("at");
  row.classList.add("at");
  (row.querySelector("th a, td a") ?? row).focus();
};

// The row where the keys are is told to do it; without one, the page itself: never the first row of many.
const act = (what) => {
  const row = current();
  const found = (row ?? document).querySelector(row ? `[data-do=${what}]` : `.title [data-do=${what}]`);
  if (!found || found.matches("a")) found?.click();
  else ask(found);
};

// A key alone changes nothing: it asks.
const ask = (button) => {
  const dialog = document.createElement("dialog");
  const what = (button.getAttribute("aria-label") ?? button.textContent).trim();
  dialog.setAttribute("aria-label", what);
  const text = Object.assign(document.createElement("p"), { textContent: `${what}?` });
  const yes = Object.assign(document.createElement("button"), { textContent: "OK" });
  const no = Object.assign(document.createElement("button"), { textContent: "Cancel", className: "secondary" });
  yes.addEventListener("click", () => {
    dialog.close();
    button.click();
  });
  no.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  const actions = Object.assign(document.createElement("p"), { className: "actions" });
  actions.append(yes, no);
  dialog.append(text, actions);
  document.body.append(dialog);
  dialog.showModal();
};

// They can be switched off, for those whose software types on its own.
const OFF = "keys off";
const areOff = () => chose(OFF);
const useKeys = document.getElementById("use-keys");
if (useKeys) {
  useKeys.checked = !areOff();
  useKeys.addEventListener("change", () => choose(OFF, !useKeys.checked));
}

const help = () => {
  const keys = document.getElementById("keys");
  if (!keys) return;
  let dialog = document.getElementById("help");
  if (!dialog) {
    dialog = document.createElement("dialog");
    dialog.id = "help";
    dialog.setAttribute("aria-label", "Keyboard shortcuts");
    const close = Object.assign(document.createElement("button"), { textContent: "Close", className: "secondary small" });
    close.addEventListener("click", () => dialog.close());
    const title = Object.assign(document.createElement("h2"), { textContent: "Keyboard shortcuts" });
    dialog.append(title, keys.querySelector("dl").cloneNode(true), close);
    document.body.append(dialog);
  }
  if (dialog.open) dialog.close();
  else dialog.showModal();
};

const DOINGS = {
  "/": () => document.querySelector("[data-search]")?.focus(),
  j: () => move(1),
  k: () => move(-1),
  x: () => current()?.querySelector(".pick input")?.click(),
  r: () => act("run"),
  p: () => act("toggle"),
  e: () => act("edit"),
  t: () => act("retry"),
  n: () => location.assign("/jobs?form=true"),
  "?": help,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  // A key that is held down does things once.
  if (event.repeat && !"jk".includes(event.key)) return;
  if (event.key === "Escape" && isTyping(event.target)) {
    event.target.blur();
    return;
  }
  if (areOff() || isTyping(event.target)) return;
  const dialog = document.querySelector("dialog[open]");
  if (dialog && event.key !== "?") return;
  if (going) {
    going = false;
    if (event.key in PLACES) location.assign(PLACES[event.key]);
    return;
  }
  if (event.key === "g") {
    going = true;
    setTimeout(() => (going = false), 1500);
  } else if (Object.hasOwn(DOINGS, event.key)) {
    event.preventDefault();
    DOINGS[event.key]();
  }
});
