// Shows what the schedule in the form means, and what an edit changes, while it is typed. Without this script
// the button does it.
import { morph } from "./live.js";
import "./typed.js";
import "./cron.js";

const form = document.querySelector("form.split");
const place = document.getElementById("preview");
const PAUSE = 300; // milliseconds without a change before the service is asked
let timer, asked;

// The preview needs nothing of the target, and secrets stand there.
const isOfTarget = (name) => name.startsWith("target_");
const fields = () => new URLSearchParams([...new FormData(form)].filter(([name]) => !isOfTarget(name)));

const ask = async () => {
  asked?.abort();
  asked = new AbortController();
  try {
    const answer = await fetch("/schedules/preview", {
      method: "POST",
      headers: { Accept: "text/html" },
      body: fields(),
      signal: asked.signal,
    });
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("preview");
    if (fresh) morph(place, fresh);
    else place.textContent = "The preview is unavailable. Try again.";
  } catch (error) {
    if (error.name !== "AbortError") place.textContent = "The service is unreachable.";
  }
};

form.addEventListener("input", (event) => {
  if (isOfTarget(event.target.name)) return;
  clearTimeout(timer);
  timer = setTimeout(ask, PAUSE);
});
ask();

// What looks like JSON is JSON, or is sent as text: the form says which, and what keeps it from being JSON.
const body = document.getElementById("target_body");
const said = document.getElementById("body-said");
const judge = () => {
  const text = body.value.trim();
  if (!/^[{[]/.test(text)) {
    said.textContent = "";
    return;
  }
  try {
    JSON.parse(text);
    said.textContent = "Valid JSON.";
  } catch (error) {
    said.textContent = `Not valid JSON, so it would be sent as text: ${error.message}`;
  }
};
body?.addEventListener("input", judge);
if (body) judge();
