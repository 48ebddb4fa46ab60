"""Evidence of twenty seconds in which nothing was wrong, for damage to be planted in."""

from datetime import UTC, datetime, timedelta

from tests.chaos.evidence import (
    Alert,
    Attempt,
    Audit,
    Change,
    Connections,
    Evidence,
    Fault,
    Issue,
    Log,
    Made,
    Message,
    Order,
    Request,
    deletion,
)

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
END = 20
#: A plain job, one that calls and catches up, one that drops what is late, one that may run three times, one
#: that is deleted, one whose calls outlast its interval, one that is edited.
PLAIN, CALLING, DROPPING, LIMITED, DELETED, SLOW, EDITED = range(1, 8)
HOST = "127.0.0.1:8000"
CALLERS = (CALLING, SLOW)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def id_of(jobid: int, second: float) -> int:
    """Of the log of an occurrence."""
    return jobid * 1000 + int(second * 10)


def run(jobid: int, second: float, *, start: float | None = None, **more: object) -> Log:
    """A run of a plain job, or of one that calls, which is answered a tenth of a second later."""
    began = at(second if start is None else start)
    calls = jobid in CALLERS
    values = {
        "status": "finished",
        "startedat": began,
        "lastrun": began,
        "finishedat": began + timedelta(seconds=0.1) if calls else began,
        "host": HOST if calls else None,
    } | more
    return Log(id_of(jobid, second), jobid, at(second), **values)  # type: ignore[arg-type]  # of any field


def skip(jobid: int, second: float, reason: str, when: float, last: float | None = None) -> Log:
    """Occurrences from one to another, one a second, that were skipped together."""
    missed = 0 if last is None else int(last - second)
    through = None if last is None else at(last)
    row = run(jobid, second, status="skipped", reason=reason, missed=missed, through=through, host=None)
    return row._replace(startedat=None, lastrun=None, finishedat=at(when))


def promise(jobid: int, second: float) -> Log:
    """The next run."""
    return run(jobid, second, status="pending", nextrun=at(second))._replace(
        startedat=None, lastrun=None, finishedat=None
    )


def attempt(jobid: int, second: float, number: int = 1, outcome: str = "finished", **more: object) -> Attempt:
    """An attempt that begins with its occurrence, and takes a tenth of a second."""
    values = {
        "startedat": at(second),
        "finishedat": at(second + 0.1),
        "outcome": outcome,
        "replica": "vm:1",
        "httpstatus": 200 if outcome == "finished" else None,
    } | more
    return Attempt(id_of(jobid, second), number, **values)  # type: ignore[arg-type]  # of any field


def request(jobid: int, second: float, number: int = 1, answer: int | None = 200, **more: object) -> Request:
    logid = id_of(jobid, second)
    values = {"messageid": f"msg {logid}", "at": at(second + 0.05)} | more
    return Request(logid=logid, attempt=number, answer=answer, **values)  # type: ignore[arg-type]  # of any field


def _rows() -> list[Log]:
    called = range(6, 22, 2)
    return [
        run(PLAIN, 0),
        run(PLAIN, 1, start=3.2, missed=2, through=at(3)),
        *(run(PLAIN, second) for second in range(4, END + 1)),
        promise(PLAIN, END + 1),
        run(CALLING, 0, start=0.1, attempt=2, finishedat=at(3.7), lastrun=at(3.6)),
        run(CALLING, 2, start=3.8),
        run(CALLING, 4, status="failed"),
        *(run(CALLING, second) for second in range(6, 18, 2)),
        run(CALLING, 18, attempt=2, status="pending", following=at(20), nextrun=at(20), finishedat=None),
        *(run(DROPPING, second) for second in (0, 1, 2, *range(7, 12), *range(16, END + 1))),
        skip(DROPPING, 3, "paused", 6.5, 6),
        skip(DROPPING, 12, "misfire", 15.5, 13),
        run(DROPPING, 14, start=15.5),
        run(DROPPING, 15, start=15.6),
        promise(DROPPING, END + 1),
        *(run(LIMITED, second) for second in (0, 1, 2)),
        *(run(DELETED, second) for second in range(5)),
        skip(DELETED, 5, "deleted", 5.5),
        run(SLOW, 0, attempt=2, finishedat=at(5)),
        skip(SLOW, 2, "overlap", 5),
        run(SLOW, 4, start=5.1),
        *(run(SLOW, second) for second in called),
        promise(SLOW, END + 2),
        *(run(EDITED, second) for second in (0, 1, 2, 3, 6, 9, 12, 15, 18)),
        skip(EDITED, 4, "superseded", 4.5),
        promise(EDITED, END + 1),
        run(PLAIN, 7.5, cause="manual"),
    ]


def _attempts() -> list[Attempt]:
    return [
        attempt(CALLING, 0, 1, "lost", startedat=at(0.1), finishedat=at(3.5), replica="vm:2"),
        attempt(CALLING, 0, 2, startedat=at(3.6), finishedat=at(3.7)),
        attempt(CALLING, 2, startedat=at(3.8), finishedat=at(3.9)),
        attempt(CALLING, 4, 1, "failed", failure="redirect", httpstatus=302),
        *(attempt(CALLING, second) for second in range(6, 18, 2)),
        attempt(CALLING, 18, 1, "failed", failure="timeout", finishedat=at(20)),
        attempt(SLOW, 0, 1, "failed", failure="status", httpstatus=500, finishedat=at(2)),
        attempt(SLOW, 0, 2, startedat=at(3), finishedat=at(5)),
        attempt(SLOW, 4, startedat=at(5.1), finishedat=at(5.2)),
        *(attempt(SLOW, second) for second in range(6, 22, 2)),
    ]


def _requests() -> list[Request]:
    return [
        request(CALLING, 0, 1, at=at(0.2)),
        request(CALLING, 0, 2, at=at(3.6)),
        request(CALLING, 2, at=at(3.8)),
        request(CALLING, 4, answer=302),
        *(request(CALLING, second) for second in range(6, 18, 2)),
        request(CALLING, 18, answer=None),
        request(SLOW, 0, 1, 500),
        request(SLOW, 0, 2, at=at(3.1)),
        request(SLOW, 4, at=at(5.1)),
        *(request(SLOW, second) for second in range(6, 22, 2)),
    ]


def _changes() -> list[Change]:
    valid = {"interval": 3, "validfrom": at(4.5).isoformat()}
    return [
        Change(PLAIN, at(3), "edited", {"jobname": "plain"}, {"jobname": "renamed"}),
        Change(DROPPING, at(2.5), "paused", {}, {"reason": "a rest"}),
        Change(DROPPING, at(6.5), "resumed", {}, {"missed": "skip"}),
        Change(DELETED, at(5.5), "deleted", {}, {}),
        Change(EDITED, at(4.5), "edited", {"interval": 1}, valid),
    ]


def clean() -> Evidence:
    """Twenty seconds of seven jobs."""
    return Evidence(
        now=at(END),
        made=[
            Made(PLAIN, START, 1, "once"),
            Made(CALLING, START, 2, "all", calls=True),
            Made(DROPPING, START, 1, "skip", grace=2),
            Made(LIMITED, START, 1, "once", maxruns=3),
            Made(DELETED, START, 1, "once"),
            Made(SLOW, START, 2, "skip", grace=1, calls=True),
            Made(EDITED, START, 1, "once"),
        ],
        names=["renamed", "calling", "dropping", "limited", "deleted", "slow", "edited"],
        logs=_rows(),
        attempts=_attempts(),
        changes=_changes(),
        rewrites=[],
        requests=_requests(),
        orders=[
            Order("create", 503, "outcome_unknown", "plain"),
            Order("create", 201, "", "plain"),
            Order("create", 201, "", "calling"),
            Order("rename", 200, "", "renamed"),
            Order("rename", 503, "database_busy", "never"),
            Order("rename", None, "", "perhaps"),
            Order("pause", 200, "", "a rest"),
            Order("delete", 204, "", deletion(DELETED)),
            Order("pause", 409, "job_has_no_future", "late", allowed="job_has_no_future"),
        ],
        audits=[Audit(PLAIN, True, "[]"), Audit(CALLING, True, "[]")],
        connections=Connections(17, 15, 0),
        issues=[
            Issue(1, CALLING, "failed", False, at(6.1)),
            Issue(2, DROPPING, "missed", False, None),
            Issue(3, SLOW, "late", False, at(5)),
            Issue(4, CALLING, "failed", True, at(9)),
        ],
        channels=[1],
        alerts=[
            Alert(1, 1, 1, "opened", at(4.1), "msg-a", at(5)),
            Alert(2, 1, 1, "ended", at(14.1), "msg-b", at(17)),
            Alert(3, 1, 2, "opened", at(15.5), "msg-b", at(17)),
        ],
        # What was sent when a replica was killed is sent again.
        messages=[Message("msg-a", at(4.6)), Message("msg-a", at(4.9)), Message("msg-b", at(16.8))],
        faults=[Fault("kill a replica", at(0.5), at(0.5), 6.0, replica="vm:2")],
    )
