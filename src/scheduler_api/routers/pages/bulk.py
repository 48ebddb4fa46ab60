"""One order to many jobs, from a list: after a page that says what will happen."""

import re
from collections.abc import Mapping
from typing import Any

from scheduler_api.computing import aside
from scheduler_api.contracts.jobs.bulk import BulkOrder
from scheduler_api.contracts.jobs.job import JobSort
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.routers.http.bodies import FormFields
from scheduler_api.routers.http.dependencies import ActorDep, DatabaseDep, PagesDep, RunnerDep
from scheduler_api.routers.http.forms import model_of_values
from scheduler_api.routers.http.paging import filters_of_order
from scheduler_api.routers.http.redirects import back_to
from scheduler_api.routers.http.routes import BrowserRouter
from scheduler_api.services.jobs import reading

router = BrowserRouter()

#: The box of one job in a list.
PICKED = re.compile(r"job-(\d{1,18})", re.ASCII)
#: The fields of a filter, in a form.
FILTERS = ("name", "state", "laststatus", "tag")
#: How many of the jobs a page names; up to how many are confirmed one by one.
NAMED, MAX_BY_ID = 20, 1000


@router.form("/jobs/bulk")
async def order_by_form(
    fields: FormFields, database: DatabaseDep, runner: RunnerDep, pages: PagesDep, actor: ActorDep
) -> str:
    """First what would be done; then, if that is confirmed, what was done."""
    back = back_to(fields.pop("back", None), "/jobs")
    shown = fields.pop("count", None)
    wanted = _order_of(fields, dryrun=True)
    filters = filters_of_order(wanted)
    count = (await runner.run_bulk(wanted, filters, actor)).count
    if fields.get("confirmed") != "true" or (shown is not None and shown != str(count)):
        found = await database.read(reading.listing, filters, JobSort.JOBID, None, MAX_BY_ID)
        # What is confirmed are these jobs, whatever matches by then; of more than that, their number.
        jobids = [job.jobid for job in found] if count <= MAX_BY_ID else []
        named = {job.jobid: job.jobname for job in found[:NAMED]}
        return await aside(pages.confirmation, wanted, count, jobids, named, back, again=shown is not None)
    report = await runner.run_bulk(wanted.model_copy(update={"dryrun": False}), filters, actor)
    left = await database.read(reading.names, [failure.jobid for failure in report.failed])
    return await aside(pages.bulk, wanted, report, {jobid: row.jobname for jobid, row in left.items()}, back)


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
