"""The machine of the model, beside a horizon that moves: nothing runs again, is lost, or looks like a hole.

Days are closed, and the parts of history before them dropped, or what finished on them, while jobs are
edited, paused, backfilled and run on both sides.
"""

import os
from datetime import date, timedelta

from hypothesis.stateful import invariant, precondition, rule
from sqlalchemy.engine import URL

from scheduler_api.database.engine import Database
from scheduler_api.schedule.days import midnight
from scheduler_api.services.history import checks, closing
from scheduler_api.services.jobs import removal
from scheduler_api.services.runs import retention, thinning
from scheduler_api.services.runs.retention import FOR_EVER, Keep
from tests.factories import execute, lay_out_days, rows, scalar
from tests.services.model import BEGIN, LAST_NOW
from tests.services.test_model import Machine, explore

#: How many jobs to try; `make explore` tries many more.
EXAMPLES = int(os.environ.get("SCHEDULER_TEST_EXAMPLES", "10"))
DAY = timedelta(days=1)
FIRST = BEGIN.date()

COUNTED = """
    SELECT coalesce(sum(finished), 0) - (
        SELECT count(*) FROM joblog WHERE status = 'finished' AND day < (SELECT closedto FROM history)
    ) FROM jobtally WHERE day < (SELECT closedto FROM history)
"""
UNASKED = """
    SELECT count(*) FROM joblog
    WHERE cause <> 'schedule' AND status = 'skipped' AND day < (SELECT horizon FROM history)
"""
TALLIED = """
    SELECT day, finished, failed, coalesce((SELECT sum(CAST(value AS int)) FROM jsonb_each_text(skipped)), 0)
    FROM jobtally WHERE (finished + failed > 0 OR skipped <> '{}') AND day < (SELECT closedto FROM history)
    ORDER BY day
"""
THERE = """
    SELECT day, count(*) FILTER (WHERE status = 'finished'), count(*) FILTER (WHERE status = 'failed'),
           coalesce(sum(coalesce(missed, 0) + 1) FILTER (WHERE status = 'skipped'), 0)
    FROM joblog WHERE day < (SELECT closedto FROM history) GROUP BY day ORDER BY day
"""


class ForgetfulMachine(Machine):
    """One job after the other, whose history goes."""

    def __init__(self) -> None:
        super().__init__()
        self.kept_from = date.min
        self.unasked = 0
        """How many runs that were asked for did not happen, as the job was deleted, and have gone."""

    async def _open(self) -> Database:
        database = await super()._open()
        await lay_out_days(database, FIRST, 10)
        return database

    @rule()
    def close(self) -> None:
        """The day ends, and those before it are closed."""
        self.now = max(self.now, min(midnight(self.now.date() + DAY) + timedelta(seconds=1), LAST_NOW))
        self.do(closing.begin)
        while self.do(closing.close_some):
            pass

    @rule()
    def forget(self) -> None:
        if not self.do(retention.forget, Keep(timedelta(0))):
            return
        self.unasked += self.runner.run(scalar(self.database, UNASKED))
        for command in self.runner.run(self.database.read(retention.drops)):
            self.runner.run(self.database.command_alone(command))
        after: int | None = 0
        while after is not None:
            after = self.do(removal.forget_changes, after)
        horizon: date = self.runner.run(scalar(self.database, "SELECT horizon FROM history"))
        assert horizon > self.kept_from
        self.kept_from = horizon
        # Of a job that records failures only, less may be left already.
        self.horizon = max(self.horizon, midnight(horizon))

    @precondition(lambda self: self.jobid)
    @rule()
    def thin(self) -> None:
        """From now on the job records failures only."""
        self.runner.run(execute(self.database, "UPDATE job SET record = 'failures'"))
        self.do(thinning.thin, FOR_EVER)
        while self.do(thinning.thin_some):
            pass
        since: date | None = self.runner.run(scalar(self.database, "SELECT max(since) FROM jobthinned"))
        if since is not None:
            self.horizon = max(self.horizon, midnight(since))

    def counted(self) -> int:
        return int(self.runner.run(scalar(self.database, COUNTED))) + self.unasked

    @invariant()
    def what_is_kept_of_closed_days_is_what_was_counted(self) -> None:
        found = [self.runner.run(rows(self.database, query)) for query in (TALLIED, THERE)]
        tallied, there = [[tuple(row) for row in rows if midnight(row[0]) >= self.horizon] for rows in found]
        assert tallied == there

    @invariant()
    def the_full_check_is_clean(self) -> None:
        if self.jobid:
            report = self.runner.run(self.database.snapshot(checks.check_job, self.jobid, full=True))
            assert report.clean, report.findings


def test_the_ledger_agrees_with_the_model_on_both_sides_of_the_horizon(scratch: URL) -> None:
    explore(ForgetfulMachine, scratch, EXAMPLES)
