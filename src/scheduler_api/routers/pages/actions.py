"""What people do with a job beside editing it, from a page."""

from typing import Annotated

from starlette.responses import RedirectResponse

from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.actions import Pause, Resume, RunOrder
from scheduler_api.routers.http.bodies import FormFields, form_of
from scheduler_api.routers.http.dependencies import (
    ActorDep,
    CipherDep,
    DatabaseDep,
    DelivererDep,
    PagesDep,
)
from scheduler_api.routers.http.forms import model_of, run_order_of
from scheduler_api.routers.http.instants import on_clocks
from scheduler_api.routers.http.parameters import JobId
from scheduler_api.routers.http.redirects import BackDep
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.services.jobs import actions, reading, undoing
from scheduler_api.services.system import health

router = BrowserRouter()


@router.form("/jobs/{jobid:jobid}/pause", Pause)
async def pause_by_form(
    jobid: JobId, fields: FormFields, database: DatabaseDep, actor: ActorDep, back: BackDep
) -> RedirectResponse:
    """Pause a job, maybe until a time on the clocks of the page."""
    order = model_of(on_clocks(fields, "until"), Pause)
    await database.transact(actions.pause, actor, jobid, order)
    return back.to(f"/jobs/{jobid}", paused=jobid)


@router.form("/jobs/{jobid:jobid}/resume", Resume)
async def resume_by_form(
    jobid: JobId,
    order: Annotated[Resume, form_of(Resume)],
    database: DatabaseDep,
    actor: ActorDep,
    back: BackDep,
) -> RedirectResponse:
    """Resume a paused job."""
    await database.transact(actions.resume, actor, jobid, order)
    return back.to(f"/jobs/{jobid}", resumed=jobid)


@router.form("/jobs/{jobid:jobid}/restore")
async def restore_by_form(
    jobid: JobId, database: DatabaseDep, actor: ActorDep, cipher: CipherDep, back: BackDep
) -> RedirectResponse:
    """Bring back a deleted job."""
    await database.transact(undoing.restore, actor, cipher, jobid)
    return back.to(f"/jobs/{jobid}", restored=jobid)


@router.form("/jobs/{jobid:jobid}/run", RunOrder)
async def run_by_form(
    jobid: JobId, fields: FormFields, database: DatabaseDep, actor: ActorDep, back: BackDep
) -> RedirectResponse:
    """Run a job now, maybe with a body of its own."""
    await database.transact(actions.run_now, actor, jobid, await aside(run_order_of, fields))
    return back.to(f"/jobs/{jobid}", started=jobid)


@router.form("/jobs/{jobid:jobid}/skip")
async def skip_by_form(
    jobid: JobId, database: DatabaseDep, actor: ActorDep, back: BackDep
) -> RedirectResponse:
    """Skip the job's next run."""
    await database.transact(actions.skip_next, actor, jobid)
    return back.to(f"/jobs/{jobid}", skippednext=jobid)


@router.page("/jobs/{jobid:jobid}/test", "POST")
async def test_page(jobid: JobId, database: DatabaseDep, deliverer: DelivererDep, pages: PagesDep) -> str:
    """Send one request to a job's target now, and show what came of it."""
    answer = await deliverer.test(jobid)
    job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
    return await aside(pages.test, now, job, answer)
