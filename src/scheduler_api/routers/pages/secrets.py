"""A job's secrets, from its page."""

from starlette.responses import HTMLResponse, RedirectResponse

from scheduler_api.computing import aside
from scheduler_api.routers.http.dependencies import ActorDep, CipherDep, DatabaseDep, PagesDep
from scheduler_api.routers.http.parameters import JobId, SecretId
from scheduler_api.routers.http.routes import BrowserRouter, form_router
from scheduler_api.services.jobs import reading, secrets
from scheduler_api.services.system import health

router = BrowserRouter()
own_router = form_router()


@router.form("/jobs/{jobid:jobid}/secrets")
async def add_by_form(
    jobid: JobId, database: DatabaseDep, actor: ActorDep, cipher: CipherDep, pages: PagesDep
) -> HTMLResponse:
    """Create a secret, and show it this once."""
    secret = await database.transact(secrets.add, actor, jobid, cipher)
    job, now = await database.read(reading.get_summary, jobid), await database.read(health.clock)
    return HTMLResponse(await aside(pages.secret, now, job, secret), 201)


@own_router.post("/jobs/{jobid:jobid}/secrets/{secretid}/delete")
async def remove_by_form(
    jobid: JobId, secretid: SecretId, database: DatabaseDep, actor: ActorDep
) -> RedirectResponse:
    """Remove a secret; for browsers, whose forms cannot send DELETE."""
    await database.transact(secrets.remove, actor, jobid, secretid)
    return RedirectResponse(f"/jobs/{jobid}", 303)
