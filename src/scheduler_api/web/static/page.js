// Makes pages live. Without it every page and every action works just as well, by loading pages anew.
import { find, follow, isHeld, refresh, show, signedOut } from "./live.js";
import "./keys.js";
import "./suggest.js";
import "./views.js";

const SECOND = 1000;
const page = document.documentElement;
page.classList.add("scripted");

// The reader's own zone, for the choice of clocks. The service reads it from the cookie.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const clock = document.getElementById("clock");
if (zone && /^[\w+\-/]+$/.test(zone)) {
  const isNew = !/(^|; )(zone|clock)=/.test(document.cookie);
  document.cookie = `zone=${zone}; path=/; max-age=31536000; samesite=strict`;
  if (clock && !clock.querySelector("[value=mine]")) {
    clock.options[0].after(new Option(`Local (${zone})`, "mine"));
  }
  // The page was made without knowing it.
  if (isNew && clock && document.cookie.includes("zone=")) location.reload();
}
for (const choice of [clock, document.getElementById("shown"), document.getElementById("theme")]) {
  choice?.addEventListener("change", () => choice.form.requestSubmit());
}

// What was just done is told once: the address forgets it. The page says where it is without that.
const here = document.querySelector(".clocks [name=back]")?.value;
if (here?.startsWith(location.pathname)) {
  const kept = new URL(here, location.href).searchParams;
  if ([...new URLSearchParams(location.search).keys()].some((name) => !kept.has(name))) history.replaceState(null, "", here + location.hash);
}

// Who signs in next in this tab finds nothing that was typed before.
if (document.querySelector('form[action="/sign-in"]')) {
  try {
    sessionStorage.clear();
  } catch {
    // Nothing is kept here.
  }
}

// A list is shown again as it was last: in its order, and with as many rows.
const LISTS = ["/jobs", "/logs"];
try {
  const asked = new URLSearchParams(location.search);
  const order = [...asked].filter(([name, value]) => ["sort", "limit"].includes(name) && value);
  if (LISTS.includes(location.pathname) && !asked.has("form")) localStorage.setItem(`order ${location.pathname}`, new URLSearchParams(order));
  for (const path of LISTS) {
    const kept = localStorage.getItem(`order ${path}`);
    if (kept) document.querySelector(`header.site nav a[href="${path}"]`)?.setAttribute("href", `${path}?${kept}`);
  }
} catch {
  // Nothing is remembered.
}

// Lengths of time in words, as the service says them.
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const words = (seconds) => {
  const [unit, size] = UNITS.find(([, length]) => seconds >= length) ?? UNITS.at(-1);
  const count = Math.floor(seconds / size);
  return `${count.toLocaleString("en")} ${unit}${count === 1 ? "" : "s"}`;
};
// The service's clock counts, not this machine's.
let ahead = 0;
const setClock = (root) => {
  const now = root.getElementById("now");
  if (now) ahead = Date.parse(now.dateTime) - Date.now();
};
setClock(document);
document.addEventListener("shown", (event) => setClock(event.detail));
const SHORT = { day: "d", hour: "h", minute: "min", second: "s" };
const brief = (seconds) => {
  const [unit, size] = UNITS.find(([, length]) => seconds >= length) ?? UNITS.at(-1);
  return `${Math.floor(seconds / size).toLocaleString("en")} ${SHORT[unit]}`;
};
const relative = ({ ago, due, brief: how }) => {
  const seconds = Math.round((Date.parse(ago) - Date.now() - ahead) / SECOND);
  const text = (how ? brief : words)(Math.abs(seconds));
  if (how === "for") return text;
  if ((due !== undefined || how === "due") && seconds <= 0) return seconds < -5 ? `overdue ${how ? "" : "for "}${text}` : "due now";
  if (seconds === 0) return "now";
  return seconds > 0 ? `in ${text}` : `${text} ago`;
};
setInterval(() => {
  if (document.hidden || isHeld()) return;
  for (const element of document.querySelectorAll("[data-ago]")) {
    const text = relative(element.dataset);
    if (element.textContent !== text) element.textContent = text;
  }
}, SECOND);

// A button that was pressed is busy until there is an answer; a second click does nothing.
const busy = new Set();
const setBusy = (form, button, isBusy) => {
  busy[isBusy ? "add" : "delete"](button ?? form);
  for (const element of [form, button]) element?.setAttribute("aria-busy", String(isBusy));
};
document.addEventListener("submit", (event) => {
  const { target: form, submitter } = event;
  if (busy.has(submitter ?? form)) {
    event.preventDefault();
    event.stopImmediatePropagation();
  } else if (form.method === "post") setBusy(form, submitter, true);
});
// A page that is come back to waits for nothing.
addEventListener("pageshow", () => {
  for (const element of busy) setBusy(element.form ?? element, element.form ? element : null, false);
});

// What is done from afar is done without leaving the page.
const send = async (form, submitter) => {
  const action = submitter?.getAttribute("formaction") ?? form.getAttribute("action");
  const body = new URLSearchParams(new FormData(form, submitter));
  try {
    const answer = await fetch(action, { method: "POST", body, headers: { Accept: "text/html" } });
    if (signedOut(answer)) return;
    show(await answer.text(), { said: answer.ok ? null : "bad" });
    if (answer.status === 503) offer(form, submitter);
    if (new URL(answer.url).pathname !== location.pathname) refresh();
  } catch {
    const told = Object.assign(document.createElement("p"), { className: "notice bad toast", textContent: "The service is unreachable. Nothing was changed." });
    told.setAttribute("role", "alert");
    document.querySelector("[data-part=notice]")?.replaceChildren(told);
    offer(form, submitter);
  } finally {
    setBusy(form, submitter, false);
  }
};
// The same once more, from the notice of what went wrong.
const offer = (form, submitter) => {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "secondary small", textContent: "Retry" });
  button.addEventListener("click", () => {
    button.disabled = true;
    send(form, submitter);
  });
  document.querySelector("[data-part=notice] .notice")?.append(button);
};
document.addEventListener("submit", (event) => {
  if (!("quiet" in event.target.dataset)) return;
  event.preventDefault();
  send(event.target, event.submitter);
});

// A list is searched while one types; the address keeps up, so that it can be shared.
const TYPING = 250; // milliseconds without a key before the service is asked
let typing, search;
document.addEventListener("input", ({ target }) => {
  if (!target.matches("[data-search]")) return;
  clearTimeout(typing);
  typing = setTimeout(async () => {
    search?.abort();
    search = new AbortController();
    const given = [...new FormData(target.form)].filter(([, value]) => value.trim());
    const address = `${target.form.getAttribute("action")}${given.length ? "?" : ""}${new URLSearchParams(given)}`;
    try {
      const answer = await fetch(address, { headers: { Accept: "text/html" }, signal: search.signal });
      if (signedOut(answer) || !answer.ok) return;
      history.replaceState(null, "", address);
      find(await answer.text());
    } catch {
      // Enter sends the form, and says what is wrong.
    }
  }, TYPING);
});

// How many jobs are selected; a click on one means the selection. What can be done with them shows then.
const boxes = () => [...document.querySelectorAll("tbody .pick input")];
document.addEventListener("change", (event) => {
  const selected = document.querySelector("[data-selected]");
  const all = document.querySelector("[data-all]");
  if (!selected || !event.target.matches(".pick input")) return;
  if (event.target === all) for (const box of boxes()) box.checked = all.checked;
  const count = boxes().filter((box) => box.checked).length;
  selected.textContent = count ? ` (${count})` : "";
  document.querySelector("[name=scope][value=selected]").checked = true;
  document.getElementById("bulk").classList.toggle("on", count > 0);
  all.checked = count > 0 && count === boxes().length;
  all.indeterminate = count > 0 && !all.checked;
});

// What a chart says of the place that is pointed at, or reached by the arrow keys. A point leads to its run.
const columnsOf = (svg) => [...svg.querySelectorAll("g")];
const read = (svg, index) => {
  const columns = columnsOf(svg);
  for (const [number, column] of columns.entries()) column.classList.toggle("at", number === index);
  svg.closest("figure").querySelector("output").textContent = columns[index]?.querySelector("title").textContent ?? "";
};
const open = (column) => {
  if (column?.dataset.log) location.assign(`/logs/${column.dataset.log}`);
};
document.addEventListener("pointerover", ({ target }) => {
  const column = target.closest?.(".chart:not(.heat) g");
  if (column) read(column.closest("svg"), columnsOf(column.closest("svg")).indexOf(column));
});
document.addEventListener("click", ({ target }) => open(target.closest?.(".chart g")));
document.addEventListener("keydown", (event) => {
  const svg = event.target.closest?.(".chart:not(.heat) svg");
  if (!svg) return;
  const columns = columnsOf(svg), last = columns.length - 1;
  const at = columns.findIndex((column) => column.classList.contains("at"));
  if (event.key === "Enter") return open(columns[at]);
  const next = { ArrowLeft: at < 0 ? last : Math.max(at - 1, 0), ArrowRight: Math.min(at + 1, last), Home: 0, End: last }[event.key];
  if (next === undefined || last < 0) return;
  event.preventDefault();
  read(svg, next);
});

// Menus close by themselves.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu[open]")) {
    if (menu.contains(event.target) && !event.target.closest("button, a")) continue;
    // What was pressed in it is out of sight now: the keys stay at its place.
    if (menu.contains(document.activeElement)) menu.querySelector("summary").focus();
    menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  const menu = event.key === "Escape" && document.querySelector(".menu[open]");
  if (menu) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});

// What an address points at is open.
const openTarget = () => {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
};
openTarget();
addEventListener("hashchange", openTarget);

// What one may want elsewhere can be copied.
if (navigator.clipboard) {
  for (const text of document.querySelectorAll("[data-copy]")) {
    const button = Object.assign(document.createElement("button"), {
      type: "button",
      className: "copy secondary small",
      textContent: "Copy",
    });
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    });
    const frame = document.createElement("div");
    frame.className = "copied";
    text.replaceWith(frame);
    frame.append(text, button);
  }
}

// The text of a file in place of what one would paste.
for (const input of document.querySelectorAll("input[data-fills]")) {
  input.addEventListener("change", async () => {
    const [file] = input.files;
    if (file) document.getElementById(input.dataset.fills).value = await file.text();
  });
}

if ("live" in document.body.dataset) follow();
