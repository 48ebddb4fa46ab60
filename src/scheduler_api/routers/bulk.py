"""One order to many jobs: over the API at once; in a browser, after a page that says what will happen."""

import re
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.bulk import BulkOrder, BulkReport
from scheduler_api.contracts.jobs.job import JobSort
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.answers import json_answer, page_answer
from scheduler_api.routers.http.bodies import FORM, content_type, form_body, json_body
from scheduler_api.routers.http.documentation import body_of, problems
from scheduler_api.routers.http.forms import model_of_values
from scheduler_api.routers.http.paging import job_filters
from scheduler_api.routers.http.queries import StrictRoute
from scheduler_api.routers.http.redirects import back_to
from scheduler_api.routers.http.wiring import client_of, database_of, pages_of, runner_of
from scheduler_api.services.jobs import reading

router = APIRouter(tags=["operations"], route_class=StrictRoute)

#: The box of one job in a list.
PICKED = re.compile(r"job-(\d{1,18})", re.ASCII)
#: The fields of a filter, in a form.
FILTERS = ("name", "state", "laststatus", "tag")
#: How many of the jobs a page names; up to how many are confirmed one by one.
NAMED, MAX_BY_ID = 20, 1000


@router.post(
    "/jobs/bulk",
    response_model=BulkReport,
    openapi_extra=body_of(BulkOrder),
    responses=problems(400, 408, 413, 415, 422, 503),
)
async def run_bulk_action(request: Request) -> Response:
    """Pause, resume, run or delete all jobs that match a filter.

    `dryrun` only counts them. Each job is changed as a whole or not at all. The answer names the jobs
    that failed, and where it stopped if it reached its time limit. Send its `pauseid` to resume exactly
    the jobs that it paused.
    """
    kind = content_type(request)
    if kind == FORM:
        return await _order_by_form(request)
    if kind != "application/json":
        raise HTTPException(415, "Send the order as application/json.")
    report = await _carry_out(request, await json_body(request, BulkOrder))
    return json_answer(report)


async def _order_by_form(request: Request) -> Response:
    """First what would be done; then, if that is confirmed, what was done."""
    fields = await form_body(request)
    back = back_to(fields.pop("back", None), "/jobs")
    shown = fields.pop("count", None)
    wanted = _order_of(fields, dryrun=True)
    database, pages = database_of(request), pages_of(request)
    count = (await _carry_out(request, wanted)).count
    if fields.get("confirmed") != "true" or (shown is not None and shown != str(count)):
        found = await database.read(reading.listing, _filters(wanted), JobSort.JOBID, None, MAX_BY_ID)
        # What is confirmed are these jobs, whatever matches by then; of more than that, their number.
        jobids = [job.jobid for job in found] if count <= MAX_BY_ID else []
        named = {job.jobid: job.jobname for job in found[:NAMED]}
        page = await aside(pages.confirmation, wanted, count, jobids, named, back, again=shown is not None)
        return page_answer(page)
    report = await _carry_out(request, wanted.model_copy(update={"dryrun": False}))
    left = await database.read(reading.names, [failure.jobid for failure in report.failed])
    page = await aside(pages.bulk, wanted, report, {jobid: row.jobname for jobid, row in left.items()}, back)
    return page_answer(page)


async def _carry_out(request: Request, order: BulkOrder) -> BulkReport:
    return await runner_of(request).run_bulk(order, _filters(order), client_of(request))


def _filters(order: BulkOrder) -> dict[str, Any]:
    return job_filters(**order.filter.model_dump(), pauseid=order.pauseid)


def _order_of(fields: Mapping[str, str], *, dryrun: bool) -> BulkOrder:
    """The order that a form gives. Raises InvalidInput."""
    wanted: dict[str, Any] = {}
    pauseid = fields.get("pauseid", "").strip() or None
    if fields.get("scope") == "matching":
        wanted = {name: fields[name] for name in FILTERS if fields.get(name, "").strip()}
    elif fields.get("scope") == "selected" or pauseid is None or fields.get("jobids"):
        wanted = {"jobids": _picked(fields)}
    values = {"action": fields.get("action", ""), "filter": wanted, "dryrun": dryrun, "pauseid": pauseid}
    values["all"] = not wanted and pauseid is None
    if fields.get("reason", "").strip() and values["action"] == "pause":
        values["reason"] = fields["reason"]
    return model_of_values(values, BulkOrder)


def _picked(fields: Mapping[str, str]) -> list[int]:
    picked = [int(found.group(1)) for name in fields if (found := PICKED.fullmatch(name))]
    picked += [int(text) for text in re.findall(r"\d{1,18}", fields.get("jobids", ""), re.ASCII)]
    if not picked:
        raise InvalidInput(FieldError(("jobids",), "Select at least one job, or choose all matching."))
    return picked
