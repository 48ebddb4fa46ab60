// What a program does with the generated types; `tsc` says whether that is right.
import type { components, operations, paths } from "./schema";

const draft: components["schemas"]["JobDraft"] = {
  jobname: "Nightly report",
  cron: "0 2 * * *",
  timezone: "Europe/Berlin",
  target: { url: "https://example.com/report" },
};
// A rename sends the name alone.
const patch: components["schemas"]["JobPatch"] = { jobname: "Nightly report, new" };

type Created = paths["/jobs"]["post"]["responses"]["201"]["content"]["application/json"];
type Missing = operations["show_job"]["responses"]["404"]["content"]["application/problem+json"];
type Query = NonNullable<operations["list_jobs"]["parameters"]["query"]>;

function seen(job: Created, problem: Missing): [number, string, string | null, string] {
  return [job.jobid, job.jobname, job.nextrun, problem.code];
}

const query: Query = { limit: 20, state: "failing" };
// @ts-expect-error: there is no such state
const wrong: Query = { state: "nice" };
// @ts-expect-error: a job has a name
const nameless: components["schemas"]["JobDraft"] = { cron: "0 2 * * *" };

export { draft, nameless, patch, query, seen, wrong };
