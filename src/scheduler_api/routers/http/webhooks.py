"""The requests that the service itself sends, for the OpenAPI document: so a receiver can be generated."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header

from scheduler_api.contracts.runs.reports import Report, RunState

reports = APIRouter()


@reports.post(
    "{$request.header.scheduler-run}",
    operation_id="report_on_accepted_run",
    responses={
        410: {"$ref": "#/components/responses/Gone"},
        422: {"$ref": "#/components/responses/Invalid"},
        503: {"$ref": "#/components/responses/Unavailable"},
    },
)
async def report_on_accepted_run(_: Annotated[Report, Body(default_factory=Report)]) -> RunState:
    """Report on a run that you accepted with 202.

    Send progress, lines of output, or the result. An empty report says that the run goes on.
    """
    raise NotImplementedError


webhooks = APIRouter()


@webhooks.post(
    "run",
    operation_id="receive_run",
    callbacks=reports.routes,
    status_code=200,
    response_model=None,
    responses={
        200: {"description": "The run has finished: any status that the target counts as success."},
        202: {"description": "The run goes on; you will report its result to `scheduler-run`."},
        410: {"description": "The target is gone: the job is paused."},
        503: {"description": "Failed for now; `Retry-After` says when to try again, if the target retries."},
    },
)
async def run(
    _: Annotated[Any, Body(description="What the job's target says, with its placeholders filled.")] = None,
    *,
    webhook_id: Annotated[str, Header(description="The same for each attempt of a run.")],
    webhook_timestamp: Annotated[int, Header(description="When it was sent, in seconds since 1970.")],
    webhook_signature: Annotated[
        str | None, Header(description="Signatures of the job's secrets (Standard Webhooks).")
    ] = None,
    traceparent: Annotated[str, Header(description="The trace that the attempt belongs to (W3C).")],
    scheduler_run: Annotated[str, Header(description="Where to report on the run once it is accepted.")],
) -> None:
    """Run a job.

    Sent for each run of a job with a target: with the target's method, headers and body. The method shown
    here is the default.
    """
