// Pickers that write a cron expression, and follow what is typed: the text stays the truth. A part that they do
// not know stays as it is until another one is picked.
const text = document.getElementById("cron");
const pickers = [...document.querySelectorAll("[data-cron]")];
const weekdays = [...document.querySelectorAll("[data-weekday]")];
const NAMED = { "@hourly": "0 * * * *", "@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *", "@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *" };
const DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const ANY = ["0", "0", "*", "*", "*"];

// The five parts, and the seconds that may stand before them.
const partsOf = (typed) => {
  const name = typed.trim().toLowerCase();
  const parts = (Object.hasOwn(NAMED, name) ? NAMED[name] : typed).trim().split(/\s+/);
  const seconds = parts.length === 6 ? [parts.shift()] : [];
  return parts.length === 5 ? { parts, seconds } : { parts: [...ANY], seconds: [] };
};

// The days of the week that a part names; null: it says more than that.
const daysIn = (part) => {
  if (part === "*") return [];
  const number = (name) => (/^[0-7]$/.test(name) ? Number(name) : DAYS.indexOf(name.toUpperCase()));
  const found = new Set();
  for (const span of part.split(",")) {
    const ends = span.split("-").map(number);
    if (ends.length > 2 || ends.includes(-1)) return null;
    // Sunday may be the last of a week, too.
    const [first, last] = [ends[0], ends.at(-1) < ends[0] ? ends.at(-1) + 7 : ends.at(-1)];
    for (let day = first; day <= last; day += 1) found.add(DAYS[day % 7]);
  }
  return [...found];
};

const written = (days) => {
  if (!days.length || days.length === 7) return "*";
  return days.join(",") === "MON,TUE,WED,THU,FRI" ? "MON-FRI" : days.join(",");
};

const follow = () => {
  const { parts } = partsOf(text.value);
  for (const picker of pickers) {
    // What is empty says nothing yet.
    const part = text.value.trim() ? parts[picker.dataset.cron] : "";
    picker.querySelector("[data-typed]")?.remove();
    if (![...picker.options].some((option) => option.value === part)) {
      const typed = new Option(part, part);
      typed.dataset.typed = "";
      picker.prepend(typed);
    }
    picker.value = part;
  }
  const days = daysIn(parts[4]);
  for (const box of weekdays) {
    box.checked = days?.includes(box.value) ?? false;
    box.indeterminate = days === null;
  }
  const isBoth = text.value.trim() && parts[2] !== "*" && parts[4] !== "*";
  document.getElementById("cron-said").textContent = isBoth ? "Runs on these days of the month, and on these days of the week, too." : "";
};

const write = (changed) => {
  const { parts, seconds } = partsOf(text.value);
  if ("weekday" in changed.dataset) {
    parts[4] = written(weekdays.filter((box) => box.checked && !box.indeterminate).map((box) => box.value));
  } else parts[changed.dataset.cron] = changed.value;
  text.value = [...seconds, ...parts].join(" ");
  // The preview follows the text, and so do the pickers.
  text.dispatchEvent(new Event("input", { bubbles: true }));
};

if (text) {
  text.addEventListener("input", follow);
  for (const one of [...pickers, ...weekdays]) {
    one.addEventListener("change", () => {
      one.indeterminate = false;
      write(one);
    });
  }
  follow();
}
