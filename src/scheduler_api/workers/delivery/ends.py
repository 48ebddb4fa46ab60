"""Ends of attempts that no answer of a target decides."""

from scheduler_api.database.runs.claims import Started
from scheduler_api.services.runs.ends import Ended
from scheduler_api.targets import Failure

UNKNOWN = "whether it arrived is unknown."


def released(started: Started, why: str) -> Ended:
    """No request was made: whoever comes next makes it."""
    return Ended(started.logid, started.token, "released", Failure.LOST, why)


def stopped(started: Started) -> Ended:
    """A request may have gone out, and nobody waits for its answer."""
    error = f"The service was stopped while the request was in progress; {UNKNOWN}"
    return Ended(started.logid, started.token, "lost", Failure.LOST, error, again=True)


def broken(started: Started, error: BaseException) -> Ended:
    """The same, by a fault of the service: to try at once would be to fail at once."""
    said = f"The service failed while it made the call ({type(error).__name__}); {UNKNOWN}"
    return Ended(started.logid, started.token, "failed", Failure.LOST, said, again=True)
