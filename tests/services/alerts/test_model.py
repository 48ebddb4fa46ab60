"""Issues and alerts beside a model of them, through whatever may happen to a job."""

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from scheduler_api.contracts.alerts.channels import ChannelDraft, RuleDraft
from scheduler_api.contracts.alerts.issues import JobIssueKind
from scheduler_api.database.alerts.noticing import Noticed
from scheduler_api.database.engine import Database
from scheduler_api.database.statements import Session
from scheduler_api.services.alerts import channels, noticing
from tests.factories import ACTOR, CIPHER, NOON, add_job, execute, rows, scalar
from tests.services.runs.test_claims import at

KINDS = [kind.value for kind in JobIssueKind]
OF_SCHEDULE, OF_RUNS = {"missed", "late", "silent"}, {"failed", "stuck"}


@dataclass
class Issue:
    """An issue as it should be."""

    kind: str
    times: int
    is_flapping: bool
    seenat: datetime
    successes: int = 0
    ending: str | None = None
    endedat: datetime | None = None
    is_told: bool = False


@dataclass
class Model:
    """What is known of one job, and what its channel has been told."""

    after: int
    recoverafter: int
    issues: list[Issue] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)

    def notice(self, now: datetime, kind: str, times: int) -> None:
        issue = next((one for one in self.issues if one.kind == kind and one.ending is None), None)
        before = 0 if issue is None else issue.times
        if issue is None:
            lately = [one for one in self.issues if one.kind == kind and one.ending == "recovered"]
            hour = now - timedelta(hours=1)
            flaps = sum(one.endedat is not None and one.endedat > hour for one in lately) >= 3
            issue = Issue(kind, 0, flaps, now)
            self.issues.append(issue)
        issue.times, issue.seenat, issue.successes = before + times, now, 0
        least = self.after if kind == "failed" else 1
        # That it comes and goes is told once, and not again before the channel knows that it is over.
        silent = issue.is_flapping and any(
            one.is_flapping and one.is_told for one in self.issues if one.kind == kind and one is not issue
        )
        if before < least <= issue.times and not silent:
            issue.is_told = True
            self.told.append(("opened", kind))

    def end(self, now: datetime, ending: str, kinds: set[str], began: datetime | None = None) -> None:
        ended = []
        for issue in self.issues:
            if issue.ending is not None or issue.kind not in kinds:
                continue
            if issue.kind == "missed" and began is not None and issue.seenat >= began:
                continue
            if issue.kind == "failed" and ending == "recovered":
                issue.successes += 1
                if issue.successes < self.recoverafter:
                    continue
            issue.ending, issue.endedat = ending, now
            if issue.is_told and not issue.is_flapping:
                ended.append(("ended", issue.kind))
        self.told += ended


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_happens_to_a_job_issues_and_alerts_are_as_the_model_has_them(
    database: Database, seed: int
) -> None:
    chance = random.Random(seed)
    model = Model(after=chance.choice([1, 1, 2, 3]), recoverafter=chance.choice([1, 1, 2, 3]))
    draft = ChannelDraft.model_validate({"name": "#ops", "kind": "slack", "url": "https://chat.example/x"})
    added = await database.transact(channels.add, ACTOR, draft, CIPHER, can_mail=False)
    await execute(database, "DELETE FROM alertrule")
    rule = RuleDraft(channelid=added.channelid, kinds=list(JobIssueKind), after=model.after)
    await database.transact(channels.add_rule, ACTOR, rule)
    await add_job(database, interval=60, recoverafter=model.recoverafter)
    now, done = NOON, []
    # Some jobs come and go within minutes, others are calm for an hour.
    pause, often = chance.choice([1, 5, 50]), ["failed"] * 6 + ["success"] * 8
    for _ in range(60):
        now += timedelta(minutes=chance.choice([1, 1, pause]))
        step = chance.choice([*KINDS, *often, "pause", "resume", "edit", "retarget"])
        done.append(step)
        await take(database, model, now, step, chance.randint(1, 3))
        await compare(database, model, done)


async def take(database: Database, model: Model, now: datetime, step: str, times: int) -> None:
    """Let it happen, to the tables and to the model."""
    if step in KINDS:
        await at(database, now, noticing.notice, [Noticed(1, JobIssueKind(step), times, NOON, NOON, 7)])
        model.notice(now, step, times)
    elif step == "success":
        # One that makes up for what was missed began before all that was noticed, as it were.
        began = now if times > 1 else NOON - timedelta(days=1)
        await at(database, now, noticing.succeeded, {1: began})
        model.end(now, "recovered", {"failed", "missed", "silent"}, began)
    elif step == "pause":

        async def pause(session: Session, instant: datetime) -> None:
            await noticing.paused(session, instant, [1], is_asked=times > 1)

        await at(database, now, pause)
        model.end(now, "paused", OF_SCHEDULE | ({"failed", "paused"} if times > 1 else set()))
    elif step == "resume":
        await at(database, now, noticing.resumed, [1])
        model.end(now, "resumed", {"paused"})
    else:
        is_schedule = step == "edit"

        async def edit(session: Session, instant: datetime) -> None:
            await noticing.edited(session, instant, 1, schedule=is_schedule, target=not is_schedule)

        await at(database, now, edit)
        model.end(now, "edited", OF_SCHEDULE if is_schedule else OF_RUNS)


async def compare(database: Database, model: Model, done: list[str]) -> None:
    found = await rows(database, "SELECT kind, times, ending, flapping FROM jobissue ORDER BY issueid")
    wanted = [(one.kind, one.times, one.ending, one.is_flapping) for one in model.issues]
    assert [tuple(row) for row in found] == wanted, done
    count = await scalar(database, "SELECT openissues FROM job")
    assert count == sum(one.ending is None for one in model.issues), done
    told = await rows(database, "SELECT event, facts ->> 'kind' FROM alert ORDER BY alertid")
    said = [tuple(row) for row in told]
    # Those that end together are told in any order.
    assert (sorted(said), len(said)) == (sorted(model.told), len(model.told)), done
