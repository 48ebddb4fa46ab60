"""Those who use the service: authors, editors, and callers of POST /jobs/run."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import aiohttp

from tests.chaos.evidence import Made, Order, deletion
from tests.chaos.fleet import Fleet
from tests.chaos.plan import Deeds, Plan
from tests.chaos.receiver import TIMEOUT

#: Seconds that they wait for an answer; some of them do not wait at all.
PATIENCE, IMPATIENCE = 12.0, 0.03
BODY = {
    "logid": "{{logid}}",
    "attempt": "{{attempt}}",
    "jobid": "{{jobid}}",
    "scheduledfor": "{{scheduledfor}}",
}
TOO_LATE = 422
#: The refusal of those who want to pause or resume a job that has run as often as it may.
COMPLETED = "job_has_no_future"
#: Of so many jobs two have a limit of runs; so many orders, of one, come with a deletion.
LIMITED, DELETED = 10, 0.03
#: Seconds to leave a service alone that could not do what it was asked.
RESPITE = 0.3
Answer = dict[str, Any]


def bearer(key: str) -> dict[str, str]:
    """The header of programs with that API key."""
    return {"Authorization": f"Bearer {key}"}


async def signed_in(session: aiohttp.ClientSession, url: str, key: str) -> dict[str, str]:
    """The header of a browser in which a new user has signed in by a link."""
    user = {"name": "somebody@example.com", "role": "editor"}
    async with session.post(f"{url}/users", json=user, headers=bearer(key)) as added:
        link = (await added.json())["link"]
    password = {"password": "correct horse battery", "again": "correct horse battery"}
    path = f"{url}/sign-in/{link.rpartition('/')[2]}"
    async with session.post(path, data=password, allow_redirects=False) as answer:
        return {"Cookie": f"session={answer.cookies['session'].value}"}


class Reply(NamedTuple):
    """What a replica answered."""

    status: int | None
    """None: nothing came."""
    told: Answer

    @property
    def is_done(self) -> bool:
        """Whether it did what it was asked."""
        return self.status is not None and self.status < 300


@dataclass
class People:
    """They remember what they asked for, and what they were told."""

    plan: Plan
    deeds: Deeds
    fleet: Fleet
    session: aiohttp.ClientSession
    targets: list[str]
    passes: list[dict[str, str]] = field(default_factory=list)
    """Headers that let them in: of programs with a key, and of somebody who has signed in."""
    orders: list[Order] = field(default_factory=list)
    made: list[Made] = field(default_factory=list)
    _count: int = 0
    _doomed: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.plan.seed} people")

    async def ask(
        self,
        method: str,
        path: str,
        kind: str,
        body: Answer | None = None,
        *,
        marker: str = "",
        key: str | None = None,
        patience: float = PATIENCE,
        allowed: str = "",
    ) -> Reply:
        """Ask one of the replicas, and remember what came of it."""
        while not (urls := self.fleet.serving):
            await asyncio.sleep(0.05)
        url = self._random.choice(urls) + path
        headers = self._random.choice(self.passes) | ({} if key is None else {"Idempotency-Key": key})
        timeout = aiohttp.ClientTimeout(total=patience)
        try:
            async with self.session.request(
                method, url, json=body, headers=headers, timeout=timeout
            ) as response:
                status, told = response.status, await response.json(content_type=None) or {}
        except (aiohttp.ClientError, TimeoutError, OSError):
            status, told = None, {}
        except asyncio.CancelledError:
            # Whoever asks no further does not know what became of it, either.
            self.orders.append(Order(kind, None, "", marker, None, allowed))
            raise
        reply = Reply(status, told)
        logid = told["logid"] if reply.is_done and kind == "run now" else None
        code = "" if reply.is_done else str(told.get("code", ""))
        # A start that lay ahead when it was written may have passed by the time it was read.
        if not (kind == "create" and status == TOO_LATE):
            self.orders.append(Order(kind, status, code, marker, logid, allowed))
        if not reply.is_done:
            await asyncio.sleep(RESPITE)
        return reply

    async def create(self, kind: int, *, ahead: float) -> None:
        """Create a job, asking with one key until there is an answer."""
        self._count += 1
        name = f"chaos {self.plan.seed} job {self._count}"
        job = self._job(kind)
        answer = None
        while answer is None:
            start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=ahead)
            when = {"startdate": f"{start:%Y-%m-%d}", "starttime": f"{start:%H:%M:%S}"}
            answer = await self._create_once(job | when | {"jobname": f"{name} from {start:%H:%M:%S}"}, start)
        self.made.append(
            Made(
                answer["jobid"],
                start,
                job["interval"],
                job["misfire"],
                job.get("grace", 0),
                "target" in job,
                job.get("overlap", False),
                job.get("maxruns"),
            )
        )

    async def _create_once(self, job: Answer, start: datetime) -> Answer | None:
        """The same request again and again, for as long as it can be the first."""
        name = job["jobname"]
        while True:
            late = datetime.now(UTC) >= start
            reply = await self.ask("POST", "/jobs", "create", job, marker=name, key=name.replace(" ", "-"))
            if reply.is_done:
                return reply.told
            if late:
                return None

    def _job(self, kind: int) -> Answer:
        """Half of the jobs are plain, most of them by the second; the others call somebody."""
        chance = self._random
        job: Answer = {"repeat": True, "misfire": chance.choice(["once", "all", "skip"])}
        if job["misfire"] == "skip":
            job["grace"] = chance.randint(1, 4)
        if kind % LIMITED in {4, 7}:
            job["maxruns"] = chance.randint(3, 20)
        if kind % 2 == 0:
            return job | {"interval": chance.choice([1, 1, 1, 1, 1, 1, 2, 3])}
        target: Answer = {"url": chance.choice(self.targets), "body": BODY, "timeout": TIMEOUT}
        target |= {"retries": 50, "backoff": 1, "maxbackoff": 2}
        return job | {
            "interval": chance.choice([2, 3, 4, 5]),
            "target": target,
            "overlap": kind % 4 == 1,
        }

    async def call_forever(self) -> None:
        """Have everything that is due run, again and again."""
        while True:
            await self.ask("POST", "/jobs/run", "run")
            await asyncio.sleep(self._random.uniform(0.1, 1.0))

    async def edit_forever(self) -> None:
        """Rename, pause, resume, re-time, run and create jobs, one request after the other."""
        while True:
            await asyncio.sleep(self._random.uniform(*self.plan.edits))
            # Of the jobs of the beginning a fifth gets new intervals; of the later ones some are deleted.
            made = self._random.choice(self.made[: self.plan.jobs])
            kind = self._random.choice(["rename", "pause", "resume", "run now", "retime"])
            await self._edit(made, kind)
            if self._random.random() < DELETED:
                await self._delete()

    async def _delete(self) -> None:
        """Delete one of the later jobs; nobody does anything with it afterwards."""
        left = [made.jobid for made in self.made[self.plan.jobs :] if made.jobid not in self._doomed]
        if left:
            jobid = self._random.choice(left)
            self._doomed.add(jobid)
            await self.ask("DELETE", f"/jobs/{jobid}", "delete", marker=deletion(jobid))

    async def _edit(self, made: Made, kind: str) -> None:
        jobid, allowed = made.jobid, COMPLETED if made.maxruns else ""
        self._count += 1
        marker = f"chaos {self.plan.seed} order {self._count}"
        path = f"/jobs/{jobid}"
        patience = IMPATIENCE if self._random.random() < 0.15 else PATIENCE
        match kind:
            case "rename":
                await self.ask("PATCH", path, kind, {"jobname": marker}, marker=marker, patience=patience)
            case "pause":
                body = {"reason": marker}
                await self.ask(
                    "POST", f"{path}/pause", kind, body, marker=marker, patience=patience, allowed=allowed
                )
                await asyncio.sleep(self._random.uniform(0, 1))
                await self.ask("POST", f"{path}/resume", "resume", {"missed": "policy"}, allowed=allowed)
            case "resume":
                missed = self._random.choice(["policy", "skip"])
                await self.ask(
                    "POST", f"{path}/resume", kind, {"missed": missed}, patience=patience, allowed=allowed
                )
            case "run now":
                await self.ask("POST", f"{path}/run", kind, patience=patience)
            case "retime" if self.deeds.clock_is_wrong:
                # From when on a schedule holds, nobody could say.
                pass
            case "retime" if jobid % 5 == 0 and made.maxruns is None:
                interval = {"interval": self._random.choice([1, 2, 3])}
                await self.ask("PATCH", path, kind, interval, patience=patience)
            case "retime":
                await self.create(self._random.randrange(4), ahead=5)
