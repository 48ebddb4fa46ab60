"""One order to many jobs, from a list: after a page that says what will happen."""

from fastapi import Request, Response
from starlette.responses import HTMLResponse

from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.job import JobSort
from scheduler_api.routers.http.authentication import require
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep, PagesDep, PrincipalDep, RunnerDep
from scheduler_api.routers.http.forms import bulk_order_of
from scheduler_api.routers.http.instants import on_clocks
from scheduler_api.routers.http.permissions import role_for
from scheduler_api.routers.http.redirects import back_to
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.routers.http.scope import where
from scheduler_api.services.jobs import bulk, reading

router = BrowserRouter()

#: How many of the jobs a page names; up to how many are confirmed one by one.
NAMED, MAX_BY_ID = 20, 1000


@router.form("/jobs/bulk")
async def order_by_form(
    request: Request,
    fields: FormFields,
    database: DatabaseDep,
    runner: RunnerDep,
    pages: PagesDep,
    actor: ActorDep,
    principal: PrincipalDep,
) -> Response:
    """First what would be done; then, if that is confirmed, what was done."""
    back = back_to(fields.pop("back", None), "/jobs")
    shown = fields.pop("count", None)
    wanted = bulk_order_of(on_clocks(fields, "until"))
    needed = role_for(wanted)
    require(principal, needed)
    # Jobs that are named by their ids, or by what paused them, are meant wherever they are.
    named = fields.get("project") or fields.get("jobids") or fields.get("pauseid")
    projects = where(request, needed, named)
    meant = bulk.filter_of(wanted, projects)
    count = await database.read(bulk.count, meant)
    field_errors = await database.read(bulk.errors_in, wanted)
    is_confirmed = fields.get("confirmed") == "true" and shown in {None, str(count)}
    if field_errors or not is_confirmed:
        found = await database.read(reading.listing, meant, JobSort.JOBID, None, MAX_BY_ID)
        # What is confirmed are these jobs, whatever matches by then; of more than that, their number.
        jobids = [job.jobid for job in found.jobs] if count <= MAX_BY_ID else []
        names = {job.jobid: job.jobname for job in found.jobs[:NAMED]}
        again = shown not in {None, str(count)}
        page = await aside(pages.confirmation, wanted, count, jobids, names, back, field_errors, again=again)
        return HTMLResponse(page, 422 if field_errors else 200)
    report = await runner.run_bulk(wanted, actor, projects)
    left = await database.read(reading.names, [failure.jobid for failure in report.failed])
    names = {jobid: row.jobname for jobid, row in left.items()}
    return HTMLResponse(await aside(pages.bulk, wanted, report, names, back))
