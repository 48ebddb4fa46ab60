// Shows what the schedule in the form means, while it is typed. Without this script the button does it.
(() => {
  const form = document.querySelector("form.sheet");
  const place = document.getElementById("preview");
  const pause = 300; // milliseconds without a change before the service is asked
  let timer, asked;

  const element = (name, text) => {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  };

  const show = (preview) => {
    const list = element("ol", "");
    list.className = "occurrences";
    for (const one of preview.occurrences) {
      const item = element("li", "");
      const time = element("time", one.local);
      time.dateTime = one.scheduledfor;
      item.append(time, " ", element("small", one.note ? `${one.relative} · ${one.note}` : one.relative));
      if (!one.runs) item.className = "barred";
      list.append(item);
    }
    place.replaceChildren(element("p", preview.words), list);
  };

  // The preview needs nothing of the target, and secrets stand there.
  const isOfTarget = (name) => name.startsWith("target_");
  const fields = () => new URLSearchParams([...new FormData(form)].filter(([name]) => !isOfTarget(name)));

  const ask = async () => {
    asked?.abort();
    asked = new AbortController();
    try {
      const answer = await fetch("/schedules/preview", {
        method: "POST",
        headers: { Accept: "application/json" },
        body: fields(),
        signal: asked.signal,
      });
      const said = await answer.json();
      if (answer.ok) show(said);
      else place.replaceChildren(...(said.errors ?? [said]).map((flaw) => element("p", flaw.detail)));
    } catch (error) {
      if (error.name !== "AbortError") place.replaceChildren(element("p", "The service does not answer."));
    }
  };

  form.addEventListener("input", (event) => {
    if (isOfTarget(event.target.name)) return;
    clearTimeout(timer);
    timer = setTimeout(ask, pause);
  });
  ask();
})();
