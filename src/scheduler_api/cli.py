"""The command line: scheduler-api serve | migrate | check | export | distribute | users | alerts …"""

import asyncio
import contextlib
import sys
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from time import monotonic

import click
import structlog

from scheduler_api import __version__, admission, checking, exporting, server
from scheduler_api.access_commands import (
    key_commands,
    project_commands,
    secret_commands,
    show_audit,
    user_commands,
)
from scheduler_api.alert_commands import alert_commands
from scheduler_api.app import create_app
from scheduler_api.console import connected, fail, read_settings, run
from scheduler_api.contracts.history.checks import JobCheck
from scheduler_api.contracts.system.overview import Restore
from scheduler_api.database import distribution, migrations
from scheduler_api.database.runs import parts
from scheduler_api.database.statements import prepare_for_cells
from scheduler_api.databases import database_server, requests_database
from scheduler_api.errors import Misconfigured
from scheduler_api.exporting import Extent, Format
from scheduler_api.running import shares
from scheduler_api.services.system import restore
from scheduler_api.settings import Auth, Settings

log = structlog.get_logger(__name__)

#: What a check counts.
TOTALS = ("expected", "accounted", "rows", "holes", "doubles", "strays", "miscounts", "invariants")


@click.group()
@click.version_option(__version__)
def main() -> None:
    """A job scheduler that needs nothing but Postgres. Settings come from SCHEDULER_… variables."""


@main.command()
@click.option("--host", help="The address to listen on (default: SCHEDULER_HOST, or 127.0.0.1).")
@click.option("--port", type=int, help="The port to listen on (default: SCHEDULER_PORT, or 5000).")
def serve(host: str | None, port: int | None) -> None:
    """Run the service."""
    settings = read_settings(**{k: v for k, v in {"host": host, "port": port}.items() if v is not None})
    if settings.auth is Auth.LOCAL and not settings.binds_loopback():
        fail(
            Misconfigured(
                f"Listening on {settings.host} would let other machines in, and no one has to sign in. "
                "Set SCHEDULER_AUTH=required, or listen on 127.0.0.1."
            )
        )
    try:
        admission.require_coherent(settings)
    except Misconfigured as error:
        fail(error)
    if settings.auth is Auth.OFF:
        log.warning(
            "SCHEDULER_AUTH=off: everybody who reaches the port may do everything",
            host=settings.host,
        )
    run(settings, _serve(settings))


main.add_command(user_commands)
main.add_command(project_commands)
main.add_command(key_commands)
main.add_command(secret_commands)
main.add_command(show_audit)
main.add_command(alert_commands)


@main.command()
def migrate() -> None:
    """Bring the database schema up to date."""
    settings = read_settings()
    changed, version = run(settings, _migrate(settings))
    click.echo(f"The schema is at {version}{'' if changed else ' already'}.")
    if version < migrations.needed():
        click.echo("What only older replicas use is still there: run this again when they have gone.")


@main.command()
@click.argument("jobids", nargs=-1, type=click.IntRange(1))
@click.option("--full", is_flag=True, help="Compare the days again that are closed, and were compared then.")
def check(jobids: tuple[int, ...], full: bool) -> None:
    """Compare the ledger with the schedules: of the given jobs, or of all.

    Prints holes, doubles and broken rules; exits with 1 if there are any. Tells on stderr how far it is.
    """
    settings = read_settings()
    jobs, is_clean, totals = run(settings, _check(settings, jobids, full=full))
    said = ", ".join(f"{totals[name]:,} {name}" for name in TOTALS)
    click.echo(f"{jobs:,} {'job' if jobs == 1 else 'jobs'} checked: {said}.")
    sys.exit(0 if is_clean else 1)


@main.command()
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder to write to.",
)
@click.option(
    "--before", type=click.DateTime(["%Y-%m-%d"]), help="Only days before this one, in UTC (YYYY-MM-DD)."
)
@click.option(
    "--format",
    "kind",
    type=click.Choice([kind.value for kind in Format]),
    default=Format.CSV.value,
    show_default=True,
    help="How to write it. Parquet needs pyarrow.",
)
@click.option(
    "--release",
    is_flag=True,
    help="Let these days be dropped, where SCHEDULER_EXPORT_BEFORE_DROP keeps them.",
)
def export(folder: Path, before: datetime | None, kind: str, release: bool) -> None:
    """Write days of history to files, a file for each table and day.

    Days are written once they are closed, about two days after they end. Those that are in the folder are
    left alone, so that this can be run again and again.
    """
    settings = read_settings()
    count, days = run(
        settings, _export(settings, folder, before and before.date(), Format(kind), release=release)
    )
    if days.end <= days.first:
        click.echo("Nothing to export: no such day is kept, and closed.")
    else:
        last = days.end - timedelta(days=1)
        click.echo(
            f"{count:,} {'day' if count == 1 else 'days'} exported: {folder} has {days.first} to {last}."
        )


@main.command()
def confirm_restore() -> None:
    """Confirm that the database was restored: replicas that wait for it go on."""
    settings = read_settings()
    found = run(settings, _confirm_restore(settings))
    if found.restoredat is None:
        click.echo("No restore was noticed.")
    else:
        click.echo(f"The restore that was noticed at {found.restoredat:%Y-%m-%dT%H:%M:%SZ} is confirmed.")


@main.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
def distribute(yes: bool) -> None:
    """Distribute the tables of jobs over the cells that SCHEDULER_DATABASE_CELLS says.

    Says what it would do, asks, and does it. All replicas have to be stopped, and nothing takes it back.
    """
    settings = read_settings()
    if settings.database_cells is None:
        fail(Misconfigured("Set SCHEDULER_DATABASE_CELLS to the number of cells, such as 64."))
    run(settings, _distribute(settings, settings.database_cells, sure=yes))


async def _distribute(settings: Settings, cells: int, *, sure: bool) -> None:
    # Of a database that is distributed already the number is no condition here.
    async with connected(settings.model_copy(update={"database_cells": None})) as database:
        # Before anybody says yes.
        await asyncio.to_thread(prepare_for_cells)
        await migrations.under_lock(database, distribution.require_possible)
        engine = await database.read(parts.has_engine)
        steps = distribution.steps(cells, engine=engine)
        if not sure:
            for step in steps:
                click.echo(f"- {step.what}")
            if engine:
                click.echo("This was never tried as a whole: try it with a copy of this database first.")
            else:
                click.echo("There is no Citus here: the tables stay on this server.")
            click.echo("All tables of jobs are written anew: there has to be room for as much again.")
            click.confirm("Nothing takes this back. Go on?", abort=True)
        since = monotonic()
        await distribution.distribute(database, steps, lambda step: click.echo(step.what))
    click.echo(f"Done in {monotonic() - since:.1f} s. Start the replicas again.")


async def _confirm_restore(settings: Settings) -> Restore:
    async with connected(settings) as database:
        return await database.transact(restore.confirm, admission.operator("confirm-restore"))


async def _export(
    settings: Settings, folder: Path, before: date | None, kind: Format, *, release: bool
) -> tuple[int, Extent]:
    """How many days were written, and which are in the folder."""
    count = 0
    async with connected(settings) as database:
        days = await exporting.reach(database, before)
        async with contextlib.aclosing(
            exporting.export(database, folder, days, kind, release=release)
        ) as written:
            async for day in written:
                count += 1
                said = ", ".join(f"{rows:,} in {table}" for table, rows in day.rows.items())
                click.echo(f"{day.day}: {said}", err=True)
    return count, days


async def _check(
    settings: Settings, jobids: tuple[int, ...], *, full: bool
) -> tuple[int, bool, Counter[str]]:
    """How many jobs were checked, whether all is well, and the sums; what is wrong is told on the way."""
    jobs, is_clean, totals = 0, True, Counter[str]()
    async with connected(settings) as database:
        progress = checking.Progress(sys.stderr)
        async with contextlib.aclosing(checking.check(database, jobids, progress, full=full)) as reports:
            async for report in reports:
                jobs += 1
                is_clean = is_clean and report.clean and report.complete
                totals.update({name: getattr(report, name) for name in TOTALS})
                _tell_findings(report, progress)
    return jobs, is_clean, totals


def _tell_findings(report: JobCheck, progress: checking.Progress) -> None:
    if report.findings or not report.complete:
        progress.end()
    for finding in report.findings:
        where = f" at {finding.at:%Y-%m-%dT%H:%M:%SZ}" if finding.at else ""
        click.echo(f"job {report.jobid}: {finding.kind}{where}, {finding.count}: {finding.detail}")
    if not report.complete:
        click.echo(f"job {report.jobid}: not compared as a whole: its schedule takes too long to compute.")


async def _serve(settings: Settings) -> None:
    # The lifespan is entered here and not by uvicorn, which would answer a database that is away with
    # a traceback.
    share = shares(settings)
    with server.listening(settings, share.backlog) as listener:
        # The service tells targets where it is: by the port that it has got.
        app = create_app(settings.model_copy(update={"port": listener.getsockname()[1]}))
        async with app.router.lifespan_context(app) as state:
            assert state is not None

            # Calls that are in progress may end while requests do.
            def asked_to_stop() -> None:
                state["deliverer"].cease()
                # Pages would follow the changes for ever.
                state["feed"].close()

            configuration = server.configuration(server.WithState(app, state), settings, share)
            serving = server.Server(configuration, asked_to_stop)
            server.spare_the_collector()
            await serving.serve(sockets=[listener])
    log.info("stopped")


async def _migrate(settings: Settings) -> tuple[bool, str]:
    async with database_server(settings) as url:
        database = requests_database(settings, url)
        try:
            changed = await migrations.migrate(database)
            await migrations.require_current(database)
            return changed, await database.read(migrations.found) or ""
        finally:
            await database.close()
