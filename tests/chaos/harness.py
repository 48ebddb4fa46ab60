"""One run: everything is started, harmed, healed, looked at, and ended."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import aiohttp
from cryptography.fernet import Fernet

from scheduler_api import tokens
from tests.chaos import checker, clocks, collect, machine, target
from tests.chaos.clocks import Clock
from tests.chaos.disk import Disk
from tests.chaos.evidence import Evidence
from tests.chaos.fleet import Fleet
from tests.chaos.nemesis import Nemesis, omitted
from tests.chaos.papers import Papers
from tests.chaos.people import COMPLETED, People, bearer, signed_in
from tests.chaos.plan import SLACK, Deeds, Plan
from tests.chaos.postgres import Postgres
from tests.chaos.proxy import Proxy
from tests.chaos.report import Report
from tests.processes.service import run as run_program
from tests.processes.smith import Smith

#: Jobs that are created at once.
CREATORS = 8
#: Channels that are told of all jobs.
CHANNELS = 8


class Site(NamedTuple):
    """Everything that runs."""

    plan: Plan
    deeds: Deeds
    postgres: Postgres
    proxy: Proxy
    fleet: Fleet
    people: People
    target: target.Target


async def run(plan: Plan) -> Report:
    """Let the service suffer, let it heal, and say what came of it. Nothing that it starts outlives it."""
    papers = Papers.of(plan)
    deeds = Deeds(plan.strain, omitted=omitted(plan))
    try:
        async with _site(plan, papers, deeds) as site, machine.busy(plan.load):
            # To the end: what runs while we look is judged, too.
            with _watched(machine.watch(deeds), machine.watch_replicas(site.fleet, deeds)):
                with _watched(site.fleet.watch()):
                    await _create(site)
                    await _rage(site)
                    rested = await _heal(site, papers)
                evidence = await _look(site, papers)
        verdict = checker.check(evidence)
        report = Report(plan, deeds, evidence, verdict, site.fleet.started, rested)
        papers.keep(report)
        return report
    finally:
        papers.story(deeds)
        papers.close()


@contextlib.contextmanager
def _watched(*watches: Coroutine[None, None, None]) -> Iterator[None]:
    tasks = [asyncio.ensure_future(watch) for watch in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def _site(plan: Plan, papers: Papers, deeds: Deeds) -> AsyncIterator[Site]:
    async with contextlib.AsyncExitStack() as stack:
        # The database's user has to reach its folder.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="scheduler-chaos-")))
        folder.chmod(0o755)
        data = folder / "data"
        disk = Disk(data) if _comes_up(plan, deeds, "fill the disk") else None
        clock = Clock(folder / "clock", moves=_comes_up(plan, deeds, "clock forward", "clock back"))
        postgres = Postgres(data, papers.folder, deeds, disk, clock)
        stack.push_async_callback(postgres.stop)
        await postgres.start()
        proxy = Proxy(postgres.server.socket, plan.seed)
        stack.push_async_callback(proxy.stop)
        await proxy.start()
        postgres.joined = proxy.put
        await _migrate(postgres, proxy.ports[0], plan.cells)
        session = await stack.enter_async_context(_session())
        receiver = await stack.enter_async_context(target.running(papers.folder / "requests.jsonl", session))
        smith = Smith(clocks.preloaded() | dict(plan.environment))
        stack.callback(smith.stop)
        key = tokens.new_key()
        asking = {"SCHEDULER_AUTH": "required", "SCHEDULER_BOOTSTRAP_KEY_FILE": str(folder / "key")}
        # The target is on this machine.
        asking["SCHEDULER_TARGET_NETWORKS"] = "127.0.0.0/8"
        # Of the address of the channel.
        asking["SCHEDULER_SECRET_KEY"] = Fernet.generate_key().decode()
        (folder / "key").write_text(key)
        settings = plan.settings | asking
        fleet = Fleet(smith, plan.replicas, postgres.dsn(proxy.ports), settings, papers.folder, deeds)
        stack.push_async_callback(fleet.destroy)
        await fleet.start()
        people = People(plan, deeds, fleet, session, receiver.urls)
        people.passes = [bearer(key), await signed_in(session, fleet.serving[0], key)]
        await _tell_of_issues(session, fleet.serving[0], key, receiver.alerts)
        yield Site(plan, deeds, postgres, proxy, fleet, people, receiver)


def _comes_up(plan: Plan, deeds: Deeds, *kinds: str) -> bool:
    return bool((plan.faults - deeds.omitted.keys()).intersection(kinds))


def _session() -> aiohttp.ClientSession:
    # Replicas come and go: a connection that is kept is a connection to the dead.
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))


async def _tell_of_issues(session: aiohttp.ClientSession, url: str, key: str, address: str) -> None:
    """Add channels, each of which is told of all jobs: so there are many messages whose senders may die."""
    for number in range(CHANNELS):
        channel = {"name": f"chaos {number}", "kind": "webhook", "url": address}
        async with session.post(f"{url}/channels", json=channel, headers=bearer(key)) as added:
            added.raise_for_status()
            channelid = (await added.json())["channelid"]
        # The first one has a rule already; that another says the same tells nobody twice.
        async with session.post(f"{url}/rules", json={"channelid": channelid}, headers=bearer(key)) as added:
            added.raise_for_status()


async def _migrate(postgres: Postgres, port: int, cells: int | None) -> None:
    await _run(postgres, port, "migrate")
    if cells is not None:
        await _run(postgres, port, "distribute", "--yes", SCHEDULER_DATABASE_CELLS=str(cells))
    async with postgres.connection() as connection:
        await connection.execute(collect.WATCH)


async def _run(postgres: Postgres, port: int, *command: str, **environment: str) -> None:
    program = await run_program(*command, database=postgres.url(port), **environment)
    code, _, said = await program.ends()
    assert code == 0, said.decode()


async def _create(site: Site) -> None:
    kinds = iter(range(site.plan.jobs))

    async def create_some() -> None:
        for kind in kinds:
            await site.people.create(kind, ahead=4)

    await asyncio.gather(*(create_some() for _ in range(CREATORS)))


async def _rage(site: Site) -> None:
    """Faults and requests for as long as planned. Whoever fails ends the run: that is our own mistake."""
    nemesis = Nemesis(site.plan, site.deeds, site.fleet, site.postgres, site.proxy, site.target)
    tasks = [
        asyncio.create_task(nemesis.rage()),
        *(asyncio.create_task(site.people.edit_forever()) for _ in range(site.plan.editors)),
        *(asyncio.create_task(site.people.call_forever()) for _ in range(site.plan.callers)),
    ]
    try:
        done, _ = await asyncio.wait(tasks, timeout=site.plan.seconds, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in done:
        task.result()


async def _heal(site: Site, papers: Papers) -> float:
    """Wait until all is done that is due; how long it took. Where it is not, say who is in the way."""
    since = time.monotonic()
    calm = 0
    while calm < 2:
        if time.monotonic() - since > site.plan.grace:
            waiting = await collect.is_at_rest(site.postgres)
            papers.write("not-at-rest.txt", f"{waiting}\n\n{await collect.holders(site.postgres)}")
            break
        if len(site.fleet.serving) == site.plan.replicas:
            for jobid in await collect.paused(site.postgres):
                path = f"/jobs/{jobid}/resume"
                await site.people.ask("POST", path, "resume", {}, allowed=COMPLETED)
        at_rest = site.deeds.has_settled and await collect.is_at_rest(site.postgres) is None
        calm = calm + 1 if at_rest else 0
        await asyncio.sleep(1)
    return time.monotonic() - since


async def _until_told(site: Site, papers: Papers) -> None:
    """Wait until no alert waits to be sent."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(site.plan.grace):
            while await collect.untold(site.postgres):
                await asyncio.sleep(0.2)
    papers.write("channels.txt", await collect.channels(site.postgres))


async def _look(site: Site, papers: Papers) -> Evidence:
    """Look at the service while it lives, then stop it, and look at what it leaves."""
    async with asyncio.timeout(site.plan.grace):
        await site.fleet.complete()
    jobids = await collect.jobids(site.postgres)
    audits = await collect.audits(site.people, jobids)
    connections = await collect.connections(site.postgres, site.plan.replicas)
    now = await collect.clock(site.postgres)
    await _until_told(site, papers)
    await site.fleet.stop()
    found = await collect.evidence(
        now, site.postgres, site.people, site.target, site.fleet, audits, connections, site.deeds.done
    )
    return replace(found, slack=timedelta(seconds=SLACK * site.plan.strain))
