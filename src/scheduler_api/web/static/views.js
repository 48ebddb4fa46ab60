// Filters that are asked for every day are kept under a name, in this browser: a list that `data-views` names.
const LIMIT = 20; // views of one list
const nav = document.querySelector("[data-views]");
const key = nav && `views ${nav.dataset.views}`;

const kept = () => {
  try {
    const found = JSON.parse(localStorage.getItem(key) ?? "[]");
    return Array.isArray(found) ? found.filter(([name, query]) => typeof name === "string" && typeof query === "string") : [];
  } catch {
    return [];
  }
};
const keep = (views) => {
  try {
    localStorage.setItem(key, JSON.stringify(views));
    return true;
  } catch {
    return false;
  }
};

// What is kept of an address: its filters, not the place in the list.
const query = () => {
  const asked = new URLSearchParams(location.search);
  for (const name of ["cursor", "limit"]) asked.delete(name);
  for (const [name, value] of [...asked]) if (!value) asked.delete(name);
  return asked.toString();
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
    }
  });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
};

const draw = () => {
  for (const old of nav.querySelectorAll("[data-own]")) old.remove();
  const views = kept();
  const own = views.map(([name, asked]) => {
    const chip = Object.assign(document.createElement("span"), { className: "own" });
    const link = Object.assign(document.createElement("a"), { href: `${nav.dataset.views}${asked && `?${asked}`}`, textContent: name });
    if (asked === query()) link.setAttribute("aria-current", "true");
    chip.append(link, button("×", `Remove the view ${name}`, () => {
      keep(kept().filter(([other]) => other !== name));
      draw();
    }));
    return chip;
  });
  if (query() && !views.some(([, asked]) => asked === query())) own.push(button("Save view …", "", ask));
  for (const one of own) one.dataset.own = "";
  nav.append(...own);
};

if (nav) {
  draw();
  // The address keeps up with what is typed.
  document.addEventListener("shown", draw);
}
