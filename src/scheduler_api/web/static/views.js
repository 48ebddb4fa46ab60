// Filters that are asked for every day are kept under a name, in this browser: those of the list that `data-views` names.
const LIMIT = 20; // views of one list
// It is looked up each time: what shows a page anew may put others in its place.
const bar = () => document.getElementById("views");
const key = () => `views ${bar().dataset.views}`;

const kept = () => {
  try {
    const found = JSON.parse(localStorage.getItem(key()) ?? "[]");
    return Array.isArray(found) ? found.filter(([name, query]) => typeof name === "string" && typeof query === "string") : [];
  } catch {
    return [];
  }
};
const keep = (views) => {
  try {
    localStorage.setItem(key(), JSON.stringify(views));
    return true;
  } catch {
    return false;
  }
};

// What is kept of an address: its filters and the order; not the place in the list, nor what was just done.
const query = () => {
  const known = new Set([...document.querySelectorAll(".filters [name]")].map((input) => input.name)).add("sort");
  known.delete("limit");
  return new URLSearchParams([...new URLSearchParams(location.search)].filter(([name, value]) => value && known.has(name))).toString();
};

const button = (text, label, act) => {
  const made = Object.assign(document.createElement("button"), { type: "button", className: "secondary small", textContent: text });
  if (label) made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
};

const ask = () => {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "view-title");
  const form = Object.assign(document.createElement("form"), { method: "dialog" });
  const title = Object.assign(document.createElement("h2"), { id: "view-title", textContent: "Save view" });
  const label = Object.assign(document.createElement("label"), { htmlFor: "view-name", textContent: "Name" });
  const input = Object.assign(document.createElement("input"), { id: "view-name", maxLength: 40, required: true, autocomplete: "off" });
  const hint = Object.assign(document.createElement("p"), { className: "hint", textContent: "Kept in this browser. A view of the same name is replaced." });
  const actions = Object.assign(document.createElement("p"), { className: "actions" });
  actions.append(Object.assign(document.createElement("button"), { textContent: "Save" }), button("Cancel", "", () => dialog.close()));
  form.append(title, label, input, hint, actions);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const name = input.value.trim();
    if (!name) return;
    const others = kept().filter(([other]) => other !== name);
    if (others.length >= LIMIT) hint.textContent = `There are ${LIMIT} views. Remove one first.`;
    else if (!keep([...others, [name, query()]])) hint.textContent = "This browser does not let pages keep anything.";
    else {
      dialog.close();
      draw();
      bar().querySelector(".own [aria-current]")?.focus();
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
};

const draw = () => {
  const nav = bar();
  if (!nav) return;
  for (const old of nav.querySelectorAll("[data-own]")) old.remove();
  const views = kept();
  const own = views.map(([name, asked]) => {
    const chip = Object.assign(document.createElement("span"), { className: "own" });
    const link = Object.assign(document.createElement("a"), { href: `${nav.dataset.views}${asked && `?${asked}`}`, textContent: name });
    if (asked === query()) link.setAttribute("aria-current", "true");
    chip.append(link, button("×", `Remove the view ${name}`, () => {
      keep(kept().filter(([other]) => other !== name));
      draw();
      bar().querySelector("button, a")?.focus();
    }));
    return chip;
  });
  if (query() && !views.some(([, asked]) => asked === query())) own.push(button("Save view …", "", ask));
  for (const one of own) one.dataset.own = "";
  nav.append(...own);
};

draw();
// The address keeps up with what is typed.
document.addEventListener("shown", draw);
