// Jobs are suggested while one types a part of a name: an input that `data-suggests` their names, or ids.
const PAUSE = 300; // milliseconds without a key before the service is asked
let finding, asked;

const option = (job, kind) => (kind === "id" ? new Option(`${job.jobname} (${job.jobid})`, job.jobid) : new Option("", job.jobname));

document.addEventListener("input", ({ target }) => {
  const { suggests } = target.dataset;
  if (!suggests || !target.list) return;
  clearTimeout(finding);
  asked?.abort();
  const text = target.value.trim();
  if (!text || (suggests === "id" && /^\d+$/.test(text))) return;
  finding = setTimeout(async () => {
    asked = new AbortController();
    // By an index where there are very many: their order by name would take longer than one types.
    const query = new URLSearchParams({ search: text, limit: "10" });
    try {
      const answer = await fetch(`/jobs?${query}`, { headers: { Accept: "application/json" }, signal: asked.signal });
      if (answer.ok) target.list.replaceChildren(...(await answer.json()).map((job) => option(job, suggests)));
    } catch {
      // It can be typed.
    }
  }, PAUSE);
});
