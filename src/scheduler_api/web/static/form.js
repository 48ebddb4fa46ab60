// Shows what the schedule in the form means, and what an edit changes, while it is typed. Without this script
// the button does it.
import { morph } from "./live.js";

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

// Another job is found by its name: what is sent is its id.
const upstream = document.getElementById("after_jobid");
let finding;
upstream?.addEventListener("input", () => {
  clearTimeout(finding);
  if (!upstream.value.trim() || /^\d+$/.test(upstream.value)) return;
  finding = setTimeout(async () => {
    const query = new URLSearchParams({ search: upstream.value, limit: "10", sort: "jobname" });
    try {
      const answer = await fetch(`/jobs?${query}`, { headers: { Accept: "application/json" } });
      const found = answer.ok ? await answer.json() : [];
      const options = found.map((job) => new Option(`${job.jobname} (${job.jobid})`, job.jobid));
      document.getElementById("upstream").replaceChildren(...options);
    } catch {
      // It can be typed.
    }
  }, PAUSE);
});

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
