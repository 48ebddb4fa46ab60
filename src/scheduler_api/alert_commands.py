"""scheduler-api alerts: try channels, for who has access to the database."""

import asyncio
import sys
from time import monotonic

import click

from scheduler_api.console import connected, read_settings, run
from scheduler_api.contracts.alerts.alerts import Alert, AlertState
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.alerts.told import AlertFilter
from scheduler_api.database.engine import Database
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.services.alerts import channels, issues

#: Seconds between two looks whether a test was sent.
LOOK = 0.5


@click.group("alerts")
def alert_commands() -> None:
    """Try the channels that alerts are sent to."""


@alert_commands.command("test")
@click.argument("names", nargs=-1)
@click.option("--wait", default=30.0, show_default=True, help="How many seconds to wait for each.")
def send_tests(names: tuple[str, ...], wait: float) -> None:
    """Send a test to channels, or to all of them, by a process that serves; exit 1 if one fails."""
    settings = read_settings()

    async def send() -> bool:
        async with connected(settings) as database:
            known = {channel.name: channel.channelid for channel in await database.read(channels.listing)}
            unknown = [name for name in names if name not in known]
            if unknown or not known:
                why = f"There is no channel {unknown[0]}." if unknown else "There are no channels."
                raise InvalidInput(FieldError((), why))
            results = [await _send(database, known[name], wait) for name in names or known]
            for name, alert in zip(names or known, results, strict=True):
                click.echo(f"{name}: {_outcome(alert)}")
            return all(alert is not None and alert.state is AlertState.SENT for alert in results)

    if not run(settings, send()):
        sys.exit(1)


async def _send(database: Database, channelid: int, wait: float) -> Alert | None:
    """Have a test sent, and wait for what becomes of it."""
    alertid = await database.transact(channels.test, channelid)
    give_up = monotonic() + wait
    found: Alert | None = None
    while monotonic() < give_up:
        wanted = AlertFilter(channelid=channelid)
        listed = await database.read(issues.alerts, wanted, MAX_ID, 100)
        found = next((one for one in listed if one.alertid == alertid), None)
        if found is None or found.state is not AlertState.WAITING or found.error is not None:
            break
        await asyncio.sleep(LOOK)
    return found


def _outcome(alert: Alert | None) -> str:
    if alert is None:
        return "the channel was removed"
    if alert.state is AlertState.SENT:
        return "sent"
    return alert.error or "not sent yet; is a process running with SCHEDULER_TICKER on?"
