"""Plant bugs on purpose, one at a time, and see that the tests catch each of them.

Works on a copy of the project in a temporary folder; nothing here is changed. Run by `make mutants`; words
behind it choose those whose names hold them all.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PARTS = (
    "src", "tests", "alembic", "benchmarks", "docs", "examples", "pyproject.toml", "README.md", "compose.yaml"
)  # fmt: skip
#: Those that need no processes of their own: fast, and they are to catch everything.
SUITES = (
    "tests/schedule", "tests/database", "tests/services", "tests/workers/delivery", "tests/routers",
    "tests/embedded/test_standby.py", "tests/embedded/test_reading_standby.py",
)  # fmt: skip


class Mutant(NamedTuple):
    """A bug: what is replaced by what, each of them once; and tests that are known to catch it."""

    name: str
    file: str
    replaced: dict[str, str]
    caught_by: str


MUTANTS = [
    Mutant(
        "claims wait for each other (no SKIP LOCKED)",
        "src/scheduler_api/database/runs/passes.py",
        {".with_for_update(skip_locked=True)": ".with_for_update()"},
        "tests/database/runs/test_passes.py::test_it_skips_what_another_holds_and_does_not_wait",
    ),
    Mutant(
        "the next row is made outside the transaction of the result",
        "src/scheduler_api/database/runs/settling.py",
        {
            "joblog.logid = ended.logid AND goes_on\n": "joblog.logid = ended.logid AND false\n",
            "AND ended.goes_on IS NOT true\n": "\n",
        },
        "tests/services/runs/test_passes.py::test_a_row_that_cannot_even_fail_stays_and_does_not_hold_up_others",
    ),
    Mutant(
        "the service's own clock decides",
        "src/scheduler_api/database/transactions.py",
        {
            "opened = Opened(*await session.one(OPENING))": (
                "opened = Opened(*await session.one(OPENING))._replace(now=datetime.now().astimezone())"
            )
        },
        "tests/services/test_clock.py::test_the_past_is_what_the_database_says",
    ),
    Mutant(
        "an occurrence may have two rows (no unique key)",
        "alembic/versions/0050_baseline.py",
        {
            "CONSTRAINT uq_joblog_occurrence UNIQUE (jobid, scheduledfor, parentlogid, cause, day),\n": "\n"
        },
        "tests/database/test_constraints.py::test_an_occurrence_has_one_row",
    ),
    Mutant(
        "a closed day gets further rows",
        "src/scheduler_api/database/runs/days.py",
        {"greatest(firstday, openday)": "firstday"},
        "tests/services/history/test_closing.py::test_a_job_whose_last_run_was_late_is_over",
    ),
    Mutant(
        "a repair goes behind the horizon",
        "src/scheduler_api/services/jobs/opening.py",
        {"    since = max(since, await _horizon(session, jobid))\n": ""},
        "tests/services/history/test_closing.py::test_nothing_before_the_horizon_runs_again",
    ),
    Mutant(
        "the horizon of a job that records failures only is not known",
        "src/scheduler_api/database/runs/tallies.py",
        {"greatest(horizon, (SELECT since FROM jobthinned WHERE jobid = :jobid)) AS horizon": "horizon"},
        "tests/services/runs/test_thinning.py::test_it_is_told_of_each_occurrence_how_it_went",
    ),
    Mutant(
        "runs that are not recorded go before their day is closed",
        "src/scheduler_api/database/runs/thinning.py",
        {"least(coalesce(jobopen.since, closedto), :end)": "least(openday, :end)"},
        "tests/services/runs/test_thinning.py::test_no_row_of_an_open_day_goes_where_history_begins_with_that_day",
    ),
    Mutant(
        "a run is taken back while its day is being closed",
        "src/scheduler_api/services/runs/retrying.py",
        {"    await tallies.hold_closing(session)\n": ""},
        "tests/services/test_border.py::test_nothing_is_lost_or_doubled_where_history_begins_and_ends",
    ),
    Mutant(
        "a check forgets what rows of closed days reach over",
        "src/scheduler_api/services/history/checks.py",
        {"await logs.reaching(session, jobid, days.since)": "[]"},
        "tests/services/history/test_closing.py::test_a_row_is_kept_as_long_as_the_last_occurrence_that_it_tells_of",
    ),
    Mutant(
        "a next run is made without a look into history",
        "src/scheduler_api/database/runs/pending.py",
        {"WHERE NOT known.is_there\n": "WHERE true\n"},
        "tests/services/runs/test_retention.py::test_an_occurrence_that_history_has_gets_no_second_row",
    ),
    Mutant(
        "a job goes on with an occurrence that has a row already",
        "src/scheduler_api/database/runs/settling.py",
        {"    {IS_LAST} OR NOT EXISTS (": "    true OR NOT EXISTS ("},
        "tests/services/runs/test_repairs.py::test_what_ran_ahead_of_its_time_does_not_stop_the_run_before_it_from_going_on",
    ),
    Mutant(
        "a later row ends what comes before it",
        "src/scheduler_api/database/runs/settling.py",
        {"known.cause = 'schedule' AND known.scheduledfor = next\n": "true\n"},
        "tests/services/runs/test_retention.py::test_a_later_occurrence_that_has_a_row_takes_none_before_it_away",
    ),
    Mutant(
        "a result is written whatever the log's status (no status guard)",
        "src/scheduler_api/database/runs/leases.py",
        {"{_LEASED} WHERE {LIVE} AND status = 'running' AND leasetoken = ANY(:tokens) AND": (
            "{_LEASED} WHERE cardinality(CAST(:tokens AS uuid[])) > 0 AND"
         ),
         "{log.leasetoken: log for log in rows if log.leasetoken and (log.logid, log.leasetoken) in shown}": (
             "{dict(shown)[log.logid]: log for log in rows}"
         )},
        "tests/services/runs/test_claims.py::test_of_two_ends_of_one_log_that_under_its_token_counts",
    ),
    Mutant(
        "a call is settled without its token",
        "src/scheduler_api/database/runs/leases.py",
        {"{_LEASED} WHERE {LIVE} AND status = 'running' AND leasetoken = ANY(:tokens) AND": (
            "{_LEASED} WHERE {LIVE} AND status = 'running' AND cardinality(CAST(:tokens AS uuid[])) > 0 AND"
         ),
         "{log.leasetoken: log for log in rows if log.leasetoken and (log.logid, log.leasetoken) in shown}": (
             "{dict(shown)[log.logid]: log for log in rows}"
         )},
        "tests/services/runs/test_claims.py::test_a_lease_that_ran_out_is_taken_over_and_its_holder_is_fenced_off",
    ),
    Mutant(
        "a connection is held while the call is made",
        "src/scheduler_api/workers/delivery/deliverer.py",
        {"            ended = await self._caller.attempt(started)\n": (
            "            async with self._database.engine.begin():\n"
            "                ended = await self._caller.attempt(started)\n"
        )},
        "tests/workers/delivery/test_deliverer.py::test_calls_under_way_hold_no_connection",
    ),
    Mutant(
        "it is answered before the commit",
        "src/scheduler_api/database/engine.py",
        {"            await self._transactions.commit(session, opened)\n            session.committed()\n": (
            "            asyncio.get_running_loop().call_later(\n"
            "                0.2, lambda: asyncio.ensure_future(self._transactions.commit(session, opened))\n"
            "            )\n"
        )},
        "tests/database/test_engine.py::test_code_that_may_write_no_more_changes_nothing_and_says_so",
    ),
    Mutant(
        "limits are counted without taking turns",
        "src/scheduler_api/services/runs/claims.py",
        {"    mine = await counting.take_turns(": "    mine = wanted or await counting.take_turns("},
        "tests/services/runs/test_claims_at_once.py::test_a_claim_of_calls_to_a_host_waits_for_another_one",
    ),
    Mutant(
        "a limit that hosts share is counted by two claims at once",
        "src/scheduler_api/services/runs/claims.py",
        {"    locked = await shares.lock_limits(session, shared)\n": "    locked = shared\n"},
        "tests/services/runs/test_claims_at_once.py::test_whatever_is_claimed_at_once_no_limit_is_exceeded_and_all_is_claimed",
    ),
    Mutant(
        "what starts is decided by the count before the locks",
        "src/scheduler_api/services/runs/claims.py",
        {"    bounds = Bounds(found, now, terms.hostmost, breakers.HOST_BREAKS, room)\n": (
            "    bounds = seen\n"
        )},
        "tests/services/runs/test_claims_at_once.py::test_whatever_is_claimed_at_once_no_limit_is_exceeded_and_all_is_claimed",
    ),
    Mutant(
        "the attempt is written only when it has ended",
        "src/scheduler_api/database/runs/claims.py",
        {"SELECT logid, jobid, attempt, :now, :replica FROM started\n": (
            "SELECT logid, jobid, attempt, :now, :replica FROM started WHERE false\n"
        )},
        "tests/services/runs/test_claims.py::test_a_batch_of_ends_takes_as_many_statements_as_one",
    ),
    Mutant(
        "the next occurrence is computed from now",
        "src/scheduler_api/schedule/misfire.py",
        {"following = through + cadence.interval": "following = last + cadence.interval"},
        "tests/schedule/test_misfire.py::test_once_runs_once_for_all_that_were_missed",
    ),
    Mutant(
        "a time that comes twice runs twice",
        "src/scheduler_api/schedule/cron.py",
        {"if self.fold is Fold.ONCE and not": "if False and not"},
        "tests/schedule/test_cron.py::test_the_brute_force_oracle_agrees",
    ),
    Mutant(
        "a PATCH resumes a paused job",
        "src/scheduler_api/services/jobs/retiming.py",
        {"        return wanted._replace(active=False)\n": ""},
        "tests/services/jobs/test_retiming.py::test_all_that_a_pause_has_missed_stays_however_much_it_is",
    ),
    Mutant(
        "maxruns is not asked on resume",
        "src/scheduler_api/services/jobs/opening.py",
        {"    return future.admit(first_beside(future.schedule, since, rows))\n": (
            "    return first_beside(future.schedule, since, rows)\n"
        )},
        "tests/services/test_bounds.py::test_what_happens_during_the_last_run_makes_no_further_one",
    ),
    Mutant(
        "an edit supersedes what it should keep",
        "src/scheduler_api/services/jobs/retiming.py",
        {"return succeed(planning.schedule_in(job), schedule, Part(since, now))": (
            "return succeed(planning.schedule_in(job), schedule, Part(since, now))._replace(\n"
            "            kept=(), gone=planning.schedule_in(job)\n        )"
        )},
        "tests/services/jobs/test_retiming.py::test_a_run_that_waits_for_its_jitter_stays",
    ),
    Mutant(
        "coalesced runs are counted one too many",
        "src/scheduler_api/schedule/misfire.py",
        {"    missed = (last - occurrence) // cadence.interval\n": (
            "    missed = (last - occurrence) // cadence.interval + 1\n"
        )},
        "tests/schedule/test_misfire.py::test_an_occurrence_on_time_finishes_and_the_next_follows_on_the_grid",
    ),
    Mutant(
        "a connection whose call was given up is used again",
        "src/scheduler_api/database/statements.py",
        {"            driver.in_doubt = True\n": "            pass\n"},
        "tests/database/test_late_answers.py::test_a_connection_is_ended_after_a_call_that_was_given_up",
    ),
    Mutant(
        "a commit that no standby has is acknowledged",
        "src/scheduler_api/database/transactions.py",
        {"        if driver.warned and not": "        if False and not"},
        "tests/embedded/test_standby.py::test_a_wait_for_a_standby_that_was_cancelled_is_not_acknowledged",
    ),
    Mutant(
        "a row that somebody holds fails its batch",
        "src/scheduler_api/database/failures.py",
        {"    return is_bad_row(error) or is_locked(error)\n": "    return is_bad_row(error)\n"},
        "tests/services/test_locked.py::test_a_pass_leaves_a_run_whose_follower_is_held",
    ),
    Mutant(
        "a run whose row somebody holds is taken for one that was taken over",
        "src/scheduler_api/services/runs/holding.py",
        {"Renewed(renewed, await leases.current(session, left))": "Renewed(renewed, set())"},
        "tests/services/runs/test_claims.py::"
        "test_a_renewal_waits_for_nobody_and_does_not_cut_short_what_was_accepted_meanwhile",
    ),
    Mutant(
        "old code writes into a newer schema",
        "src/scheduler_api/database/transactions.py",
        {"        if opened.compatiblefrom > self._fence.version:\n": "        if False:\n"},
        "tests/database/test_engine.py::test_a_migration_waits_for_what_old_code_has_begun_to_write",
    ),
    Mutant(
        "a next run that is too late for no reason stays so",
        "src/scheduler_api/services/runs/repairs.py",
        {"    return following is not None and row.scheduledfor > following\n": "    return False\n"},
        "tests/services/runs/test_repairs.py::test_a_next_run_that_is_too_late_for_no_reason_is_put_right",
    ),
    Mutant(
        "a day that is open is thinned where history begins with it",
        "src/scheduler_api/database/runs/thinning.py",
        {"WHERE goneto < since AND firstday < since ": "WHERE goneto < since "},
        "tests/services/runs/test_thinning.py::test_no_row_of_an_open_day_goes_where_history_begins_with_that_day",
    ),
    Mutant(
        "a secret goes to an origin that it is not for",
        "src/scheduler_api/workers/delivery/caller.py",
        {"        if allowed != origin:\n": "        if False:\n"},
        "tests/routers/test_project_secrets.py::test_a_secret_goes_to_its_own_origin_only",
    ),
    Mutant(
        "a job calls the service that it belongs to",
        "src/scheduler_api/routers/http/access.py",
        {"        if sender is not None and not self._self_calls and": "        if False and"},
        "tests/routers/test_self_calls.py::test_a_token_is_not_fetched_from_it_either",
    ),
    Mutant(
        "jobs are added beyond a quota by many at once",
        "src/scheduler_api/database/jobs/quotas.py",
        {"    await session.all(LOCK, project=project)\n": ""},
        "tests/routers/access/test_quotas.py::test_no_more_jobs_than_the_quota_however_they_come",
    ),
    Mutant(
        "a role in one project reaches another",
        "src/scheduler_api/routers/http/scope.py",
        {"    return principal.roles.where(needed)\n": "    return None\n"},
        "tests/routers/access/test_projects.py::test_each_address_tells_the_projects_apart",
    ),
    Mutant(
        "an echo of a credential is kept",
        "src/scheduler_api/workers/delivery/caller.py",
        {"    secrets = secrets_in(call.headers, call.secrets)\n": "    secrets = list[str]()\n"},
        "tests/routers/test_project_secrets.py::test_an_echo_is_found_however_it_is_spelled",
    ),
    Mutant(
        "what is inside of a condition names no cell",
        "src/scheduler_api/database/cells.py",
        {"exp.and_(in_cell, where.this, copy=False)": "exp.and_(in_cell, where.this)"},
        "tests/database/test_cells.py::test_all_that_it_reads_locks_or_changes_is_of_its_cell",
    ),
    Mutant(
        "what goes with a job goes to all cells",
        "src/scheduler_api/database/cells.py",
        {"frozenset({key, *(names[int(one.name) - 1] for one in arrays)})": "frozenset({key})"},
        "tests/database/test_cells.py::test_arrays_that_go_with_the_jobs_are_split_with_them",
    ),
    Mutant(
        "a page goes back to a standby that lacks what it was told of",
        "src/scheduler_api/workers/standby.py",
        {"lag <= MAX_LAG and self._fresh_at >= self._published_at": "lag <= MAX_LAG"},
        "tests/embedded/test_reading_standby.py::test_pages_are_told_of_a_change_when_it_can_be_read",
    ),
]  # fmt: skip


def main() -> int:
    survivors = []
    wanted = [mutant for mutant in MUTANTS if all(word in mutant.name for word in sys.argv[1:])]
    for mutant in wanted:
        began = monotonic()
        verdict = _caught_by(mutant)
        print(f"{'caught' if verdict else 'MISSED':8}{mutant.name}", flush=True)
        print(f"        {verdict or 'every test passes'} ({monotonic() - began:.0f} s)", flush=True)
        if verdict is None:
            survivors.append(mutant)
    print(f"{len(wanted) - len(survivors)} of {len(wanted)} planted bugs are caught.")
    return 1 if survivors else 0


def _caught_by(mutant: Mutant) -> str | None:
    """The first test that fails with the bug in place: the known one, or any other; None: none does."""
    with tempfile.TemporaryDirectory(prefix="scheduler-mutant-") as name:
        folder = Path(name)
        # The embedded server runs as another user where the tests run as root.
        folder.chmod(0o755)
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        _plant(folder / mutant.file, mutant.replaced)
        # Some bugs are caught by a test that does not come to its end.
        known = _first_failure(folder, mutant.caught_by, "-n", "0", "--timeout", "60")
        return known or _first_failure(folder, *SUITES)


def _first_failure(folder: Path, *tests: str) -> str | None:
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "auto", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder / "src")}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if run.returncode not in {0, 1, 2}:
        raise SystemExit(f"The tests do not run:\n{run.stdout}\n{run.stderr}")
    failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if run.returncode and not failed:
        raise SystemExit(f"The tests end without a verdict:\n{run.stdout}")
    return failed[0].partition(" ")[2].partition(" - ")[0] if failed else None


def _plant(file: Path, replaced: dict[str, str]) -> None:
    text = file.read_text()
    for old, new in replaced.items():
        if text.count(old) != 1:
            raise SystemExit(f"{file.name} does not hold this once: {old!r}")
        text = text.replace(old, new)
    file.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
