// What was typed into the form is there again for who comes back to it: a page that is not stored comes anew.
// Only what was changed is kept, in this tab; so all else is what the service says of the job by then.
const form = document.querySelector("form.split");
const key = `typed ${location.pathname}${location.search}`;
const isSecret = (name) => name === "target_headers";
const typed = new Map();

const keep = () => {
  try {
    sessionStorage.setItem(key, JSON.stringify([...typed]));
  } catch {
    // Nothing can be kept here.
  }
};

const kept = () => {
  try {
    return JSON.parse(sessionStorage.getItem(key) ?? "[]");
  } catch {
    return [];
  }
};

const put = (name, value) => {
  const field = form.elements.namedItem(name);
  if (!field) return;
  if (field.type === "checkbox") field.checked = value;
  else field.value = value;
  typed.set(name, value);
};

if (performance.getEntriesByType("navigation")[0]?.type === "back_forward") {
  for (const [name, value] of kept()) put(name, value);
}
keep();

form.addEventListener("input", ({ target }) => {
  if (!target.name || isSecret(target.name)) return;
  typed.set(target.name, target.type === "checkbox" ? target.checked : target.value);
  keep();
});
