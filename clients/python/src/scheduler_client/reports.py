"""Telling the service how a run goes that was accepted with 202."""

from collections.abc import Sequence
from typing import Any

import httpx

#: Seconds for one report.
TIMEOUT = 10.0


class RunIsOver(Exception):
    """The service takes no more reports: the run was cancelled, or has timed out. Stop the work."""


class Report:
    """Reports on one run, to the address that the header `scheduler-run` of the request held.

    Each call counts as a sign of life. All raise RunIsOver, and httpx.HTTPError.
    """

    def __init__(self, address: str) -> None:
        self._address = address

    def heartbeat(self) -> None:
        """It is still running."""
        self._send({})

    def progress(self, percent: int, message: str | None = None) -> None:
        """It has come so far."""
        self._send(_progress(percent, message))

    def lines(self, lines: Sequence[str]) -> None:
        """It has written these lines of output."""
        self._send({"lines": list(lines)})

    def finished(self, message: str | None = None) -> None:
        """It has ended well."""
        self._send(_end("finished", message))

    def failed(self, message: str) -> None:
        """It has failed."""
        self._send(_end("failed", message))

    def _send(self, report: dict[str, Any]) -> None:
        _check(httpx.post(self._address, json=report, timeout=TIMEOUT))


class AsyncReport:
    """The same without blocking."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def heartbeat(self) -> None:
        """It is still running."""
        await self._send({})

    async def progress(self, percent: int, message: str | None = None) -> None:
        """It has come so far."""
        await self._send(_progress(percent, message))

    async def lines(self, lines: Sequence[str]) -> None:
        """It has written these lines of output."""
        await self._send({"lines": list(lines)})

    async def finished(self, message: str | None = None) -> None:
        """It has ended well."""
        await self._send(_end("finished", message))

    async def failed(self, message: str) -> None:
        """It has failed."""
        await self._send(_end("failed", message))

    async def _send(self, report: dict[str, Any]) -> None:
        async with httpx.AsyncClient(timeout=TIMEOUT) as client:
            _check(await client.post(self._address, json=report))


def _progress(percent: int, message: str | None) -> dict[str, Any]:
    return {"progress": percent} | ({} if message is None else {"message": message})


def _end(status: str, message: str | None) -> dict[str, Any]:
    return {"status": status} | ({} if message is None else {"message": message})


def _check(response: httpx.Response) -> None:
    if response.status_code == httpx.codes.GONE:
        try:
            said = str(response.json()["detail"])
        except (ValueError, KeyError, TypeError):
            # What stands in between may say it in another way.
            said = "The run is over."
        raise RunIsOver(said)
    response.raise_for_status()
