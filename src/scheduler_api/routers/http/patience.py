"""Answers that take long are for those who wait for them."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

from scheduler_api.computing import QUESTIONS
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.contracts.jobs.schedules import EditPreview
from scheduler_api.database.engine import Database
from scheduler_api.services.history import upcoming

T = TypeVar("T")


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """What comes of `work`, which changes nothing, and ends as soon as the client hangs up.

    The request's body must have been read. Raises the errors of `work`, and HTTPException, which nobody
    will read.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hang_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise HTTPException(400, "The client disconnected before it was answered.")
        return await task
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})


async def _hang_up(request: Request) -> None:
    """Wait until the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def preview_edit(
    request: Request, database: Database, jobid: int, patch: JobPatch, version: int | None = None
) -> EditPreview:
    """What an edit would change. Raises InvalidInput, JobNotFound, JobIsDeleted, StaleVersion."""
    now, row, draft = await database.transact(upcoming.job_to_edit, jobid, patch, version)
    return await while_connected(request, QUESTIONS.compute(upcoming.preview_edit, now, row, draft))
