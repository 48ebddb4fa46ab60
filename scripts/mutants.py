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
    """A bug: what is replaced by what, each of them once."""

    name: str
    file: str
    replaced: dict[str, str]


MUTANTS = [
    Mutant(
        "claims wait for each other (no SKIP LOCKED)",
        "src/scheduler_api/database/runs/passes.py",
        {".with_for_update(skip_locked=True)": ".with_for_update()"},
    ),
    Mutant(
        "the next row is made outside the transaction of the result",
        "src/scheduler_api/database/runs/settling.py",
        {
            "joblog.logid = ended.logid AND goes_on\n": "joblog.logid = ended.logid AND false\n",
            "AND ended.goes_on IS NOT true\n": "\n",
        },
    ),
    Mutant(
        "the service's own clock decides",
        "src/scheduler_api/database/engine.py",
        {
            "opened = _Opened(*await session.one(OPENING))": (
                "opened = _Opened(*await session.one(OPENING))._replace(now=datetime.now().astimezone())"
            )
        },
    ),
    Mutant(
        "an occurrence may have two rows (no unique key)",
        "alembic/versions/0049_baseline.py",
        {
            "CONSTRAINT uq_joblog_occurrence UNIQUE (jobid, scheduledfor, parentlogid, cause, day),\n": "\n"
        },
    ),
    Mutant(
        "a closed day gets further rows",
        "src/scheduler_api/database/runs/days.py",
        {"greatest(firstday, openday)": "firstday"},
    ),
    Mutant(
        "a repair goes behind the horizon",
        "src/scheduler_api/services/jobs/opening.py",
        {"    since = max(since, await _horizon(session, jobid))\n": ""},
    ),
    Mutant(
        "the horizon of a job that records failures only is not known",
        "src/scheduler_api/database/runs/tallies.py",
        {"greatest(horizon, (SELECT since FROM jobthinned WHERE jobid = :jobid)) AS horizon": "horizon"},
    ),
    Mutant(
        "runs that are not recorded go before their day is closed",
        "src/scheduler_api/database/runs/thinning.py",
        {"least(coalesce(since, closedto), :end)": "least(openday, :end)"},
    ),
    Mutant(
        "a check forgets what rows of closed days reach over",
        "src/scheduler_api/services/history/checks.py",
        {"await logs.reaching(session, jobid, days.since)": "[]"},
    ),
    Mutant(
        "a next run is made without a look into history",
        "src/scheduler_api/database/runs/pending.py",
        {"WHERE NOT known.is_there\n": "WHERE true\n"},
    ),
    Mutant(
        "a job goes on with an occurrence that has a row already",
        "src/scheduler_api/database/runs/settling.py",
        {"    next > coalesce(ahead, '-infinity') OR NOT EXISTS (": "    true OR NOT EXISTS ("},
    ),
    Mutant(
        "a later row ends what comes before it",
        "src/scheduler_api/database/runs/settling.py",
        {"known.cause = 'schedule' AND known.scheduledfor = next\n": "true\n"},
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
    ),
    Mutant(
        "a connection is held while the call is made",
        "src/scheduler_api/workers/delivery/deliverer.py",
        {"            ended = await self._caller.attempt(started)\n": (
            "            async with self._database.engine.begin():\n"
            "                ended = await self._caller.attempt(started)\n"
        )},
    ),
    Mutant(
        "it is answered before the commit",
        "src/scheduler_api/database/engine.py",
        {"            await self._commit(session, opened)\n            session.committed()\n": (
            "            asyncio.get_running_loop().call_later(\n"
            "                0.2, lambda: asyncio.ensure_future(self._commit(session, opened))\n"
            "            )\n"
        )},
    ),
    Mutant(
        "limits are counted without taking turns",
        "src/scheduler_api/services/runs/claims.py",
        {"    mine = await claims.take_turns(session, [host for host in askers.hosts if host in wanted])\n": (
            "    mine = wanted\n"
        )},
    ),
    Mutant(
        "a limit that hosts share is counted by two claims at once",
        "src/scheduler_api/services/runs/claims.py",
        {"    locked = await shares.lock_limits(session, shared)\n": "    locked = shared\n"},
    ),
    Mutant(
        "what starts is decided by the count before the locks",
        "src/scheduler_api/services/runs/claims.py",
        {"    bounds = Bounds(found, now, terms.hostmost, breakers.HOST_BREAKS, room)\n": (
            "    bounds = seen\n"
        )},
    ),
    Mutant(
        "the attempt is written only when it has ended",
        "src/scheduler_api/database/runs/claims.py",
        {"SELECT logid, jobid, attempt, :now, :replica FROM started\n": (
            "SELECT logid, jobid, attempt, :now, :replica FROM started WHERE false\n"
        )},
    ),
    Mutant(
        "the next occurrence is computed from now",
        "src/scheduler_api/schedule/misfire.py",
        {"following = through + cadence.interval": "following = last + cadence.interval"},
    ),
    Mutant(
        "a time that comes twice runs twice",
        "src/scheduler_api/schedule/cron.py",
        {"if self.fold is Fold.ONCE and not": "if False and not"},
    ),
    Mutant(
        "a PATCH resumes a paused job",
        "src/scheduler_api/services/jobs/retiming.py",
        {"        return wanted._replace(active=False)\n": ""},
    ),
    Mutant(
        "maxruns is not asked on resume",
        "src/scheduler_api/services/jobs/opening.py",
        {"    return future.admit(first_beside(future.schedule, since, rows))\n": (
            "    return first_beside(future.schedule, since, rows)\n"
        )},
    ),
    Mutant(
        "an edit supersedes what it should keep",
        "src/scheduler_api/services/jobs/retiming.py",
        {"return succeed(planning.schedule_in(job), schedule, Part(since, now))": (
            "return succeed(planning.schedule_in(job), schedule, Part(since, now))._replace(\n"
            "            kept=(), gone=planning.schedule_in(job)\n        )"
        )},
    ),
    Mutant(
        "coalesced runs are counted one too many",
        "src/scheduler_api/schedule/misfire.py",
        {"    missed = (last - occurrence) // cadence.interval\n": (
            "    missed = (last - occurrence) // cadence.interval + 1\n"
        )},
    ),
    Mutant(
        "a connection whose call was given up is used again",
        "src/scheduler_api/database/statements.py",
        {"            driver.in_doubt = True\n": "            pass\n"},
    ),
    Mutant(
        "a commit that no standby has is acknowledged",
        "src/scheduler_api/database/engine.py",
        {"        if driver.warned and not": "        if False and not"},
    ),
    Mutant(
        "a row that somebody holds fails its batch",
        "src/scheduler_api/database/failures.py",
        {"    return is_bad_row(error) or is_locked(error)\n": "    return is_bad_row(error)\n"},
    ),
    Mutant(
        "a run whose row somebody holds is taken for one that was taken over",
        "src/scheduler_api/services/runs/holding.py",
        {"Renewed(renewed, await leases.current(session, left))": "Renewed(renewed, set())"},
    ),
    Mutant(
        "old code writes into a newer schema",
        "src/scheduler_api/database/engine.py",
        {"        if opened.compatiblefrom > self.version:\n": "        if False:\n"},
    ),
    Mutant(
        "a next run that is too late for no reason stays so",
        "src/scheduler_api/services/runs/repairs.py",
        {"    return following is not None and row.scheduledfor > following\n": "    return False\n"},
    ),
    Mutant(
        "a day that is open is thinned where history begins with it",
        "src/scheduler_api/database/runs/thinning.py",
        {"WHERE goneto < since AND firstday < since ": "WHERE goneto < since "},
    ),
    Mutant(
        "a secret goes to an origin that it is not for",
        "src/scheduler_api/workers/delivery/caller.py",
        {"        if allowed != origin:\n": "        if False:\n"},
    ),
    Mutant(
        "a job calls the service that it belongs to",
        "src/scheduler_api/routers/http/access.py",
        {"        if sender is not None and not self._self_calls and": "        if False and"},
    ),
    Mutant(
        "jobs are added beyond a quota by many at once",
        "src/scheduler_api/database/jobs/quotas.py",
        {"    await session.all(LOCK, project=project)\n": ""},
    ),
    Mutant(
        "a role in one project reaches another",
        "src/scheduler_api/routers/http/scope.py",
        {"    return principal.roles.where(needed)\n": "    return None\n"},
    ),
    Mutant(
        "an echo of a credential is kept",
        "src/scheduler_api/workers/delivery/caller.py",
        {"    secrets = secrets_in(call.headers, call.secrets)\n": "    secrets = list[str]()\n"},
    ),
    Mutant(
        "what is inside of a condition names no cell",
        "src/scheduler_api/database/cells.py",
        {"exp.and_(in_cell, where.this, copy=False)": "exp.and_(in_cell, where.this)"},
    ),
    Mutant(
        "what goes with a job goes to all cells",
        "src/scheduler_api/database/cells.py",
        {"frozenset({key, *(names[int(one.name) - 1] for one in arrays)})": "frozenset({key})"},
    ),
    Mutant(
        "a page goes back to a standby that lacks what it was told of",
        "src/scheduler_api/workers/standby.py",
        {"lag <= MAX_LAG and self._fresh_at >= self._published_at": "lag <= MAX_LAG"},
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
    """The first test that fails with the bug in place; None: none does."""
    with tempfile.TemporaryDirectory(prefix="scheduler-mutant-") as name:
        folder = Path(name)
        # The embedded server runs as another user where the tests run as root.
        folder.chmod(0o755)
        for part in PARTS:
            copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
            copy(ROOT / part, folder / part)
        _plant(folder / mutant.file, mutant.replaced)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-n",
            "auto",
            "-p",
            "no:cacheprovider",
            *SUITES,
        ]
        environment = os.environ | {"PYTHONPATH": str(folder / "src")}
        run = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        if run.returncode not in {0, 1, 2}:
            raise SystemExit(f"The tests do not run:\n{run.stdout}\n{run.stderr}")
        failed = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        if run.returncode and not failed:
            raise SystemExit(f"The tests end without a verdict:\n{run.stdout}")
        return failed[0].removeprefix("FAILED ").partition(" - ")[0] if failed else None


def _plant(file: Path, replaced: dict[str, str]) -> None:
    text = file.read_text()
    for old, new in replaced.items():
        if text.count(old) != 1:
            raise SystemExit(f"{file.name} does not hold this once: {old!r}")
        text = text.replace(old, new)
    file.write_text(text)


if __name__ == "__main__":
    sys.exit(main())
