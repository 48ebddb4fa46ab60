"""Channels and rules: who is told, and of what."""

from datetime import datetime, timedelta

from scheduler_api.actors import Actor
from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.alerts.channels import (
    Channel,
    ChannelDraft,
    ChannelKind,
    ChannelSecrets,
    CoveredJob,
    NewChannel,
    Rule,
    RuleDraft,
    RulePreview,
)
from scheduler_api.contracts.alerts.issues import JobIssue
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.database.access import projects
from scheduler_api.database.alerts import channels, outbox, previews
from scheduler_api.database.alerts.channels import ChannelRow, RuleRow
from scheduler_api.database.jobs import changes, definitions
from scheduler_api.database.jobs.changes import Event
from scheduler_api.database.statements import Session
from scheduler_api.errors import ChannelNotFound, FieldError, InvalidInput, RuleNotFound
from scheduler_api.targets import signatures, urls
from scheduler_api.wording import alerts as words

#: How many there may be: each issue is compared with all rules, and each look goes over all channels.
MAX_CHANNELS, MAX_RULES = 100, 500
#: How far back a preview of a rule looks; up to how many jobs it counts, and how many it shows of each.
PREVIEWED, MAX_COUNTED, SHOWN = timedelta(days=7), 1000, 20


async def listing(session: Session) -> list[Channel]:
    """All channels, by name."""
    return [_channel(row) for row in await channels.listing(session)]


async def get(session: Session, channelid: int) -> Channel:
    """A channel. Raises ChannelNotFound."""
    row = await channels.by_id(session, channelid)
    if row is None:
        raise ChannelNotFound(channelid)
    return _channel(row)


def _channel(row: ChannelRow) -> Channel:
    return Channel.model_validate(row._asdict())


async def add(
    session: Session, now: datetime, actor: Actor, draft: ChannelDraft, cipher: Cipher, *, can_mail: bool
) -> NewChannel:
    """Add a channel. The first one is told of all jobs, so that none is left out by accident.

    Raises InvalidInput, SecretsUnavailable.
    """
    _require_mail(draft, can_mail=can_mail)
    if await channels.count(session) >= MAX_CHANNELS:
        raise InvalidInput(FieldError((), f"There are {MAX_CHANNELS} channels. Remove one first."))
    secret = signatures.new_secret() if draft.kind is ChannelKind.WEBHOOK else None
    values = {
        "name": draft.name,
        "kind": draft.kind,
        "recipients": draft.recipients,
        "origin": _origin(draft),
        "ciphertext": _sealed(draft, secret, cipher),
    }
    channelid = await channels.add(session, now, values)
    if channelid is None:
        raise InvalidInput(FieldError(("name",), "There is such a channel already."))
    await changes.record(session, now, actor, Event(ChangeAction.CHANNEL_ADDED, after=_said(draft)))
    if not await channels.count_rules(session):
        await add_rule(session, now, actor, RuleDraft(channelid=channelid))
    return NewChannel(**(await get(session, channelid)).model_dump(), secret=secret)


async def put(
    session: Session,
    now: datetime,
    actor: Actor,
    channelid: int,
    draft: ChannelDraft,
    cipher: Cipher,
    *,
    can_mail: bool,
) -> Channel:
    """Write a channel anew; its kind stays, and so does the secret that signs. What waits is tried at once.

    Raises ChannelNotFound, InvalidInput, SecretsUnavailable.
    """
    if not await channels.lock(session, channelid):
        raise ChannelNotFound(channelid)
    before = await get(session, channelid)
    if draft.kind is not before.kind:
        raise InvalidInput(FieldError(("kind",), f"It is {before.kind}. Add another channel instead."))
    _require_mail(draft, can_mail=can_mail)
    if await channels.is_taken(session, draft.name, channelid):
        raise InvalidInput(FieldError(("name",), "There is such a channel already."))
    kept = await secrets_of(session, channelid, cipher) if draft.kind is ChannelKind.WEBHOOK else None
    secret = None if kept is None else kept.secret
    values = {
        "name": draft.name,
        "recipients": draft.recipients,
        "origin": _origin(draft),
        "ciphertext": _sealed(draft, secret, cipher),
    }
    await channels.change(session, now, channelid, values)
    was = {"name": before.name, "kind": before.kind, "origin": before.origin, "recipients": before.recipients}
    event = Event(ChangeAction.CHANNEL_CHANGED, before=was, after=_said(draft))
    await changes.record(session, now, actor, event)
    return await get(session, channelid)


async def remove(session: Session, now: datetime, actor: Actor, channelid: int) -> None:
    """Remove a channel, with its rules. What waits for it is given up. Raises ChannelNotFound."""
    if not await channels.lock(session, channelid):
        raise ChannelNotFound(channelid)
    before = await get(session, channelid)
    await channels.remove(session, channelid)
    await outbox.give_up_lost(session, now)
    event = Event(ChangeAction.CHANNEL_REMOVED, before={"name": before.name, "kind": before.kind})
    await changes.record(session, now, actor, event)


async def test(session: Session, now: datetime, channelid: int) -> int:
    """Have a channel told that this is a test; the alertid. Raises ChannelNotFound."""
    if not await channels.lock(session, channelid):
        raise ChannelNotFound(channelid)
    return await outbox.add_test(session, now, channelid)


def _require_mail(draft: ChannelDraft, *, can_mail: bool) -> None:
    if draft.kind is ChannelKind.EMAIL and not can_mail:
        raise InvalidInput(
            FieldError(("kind",), "Set SCHEDULER_SMTP_URL and SCHEDULER_MAIL_FROM to send e-mail.")
        )


def _origin(draft: ChannelDraft) -> str | None:
    return None if draft.address is None else urls.origin_of(draft.address)


def _sealed(draft: ChannelDraft, secret: str | None, cipher: Cipher) -> bytes | None:
    if draft.address is None:
        return None
    kept = ChannelSecrets(
        url=draft.address, token=draft.token, chat=draft.chat, secret=secret, body=draft.body
    )
    return cipher.encrypt(kept.model_dump_json())


def _said(draft: ChannelDraft) -> dict[str, object]:
    """What the audit log tells of a channel: nothing that is secret."""
    return {
        "name": draft.name,
        "kind": draft.kind,
        "origin": _origin(draft),
        "recipients": draft.recipients,
    }


async def rules(session: Session) -> list[Rule]:
    """All rules, the oldest first."""
    return [_rule(row) for row in await channels.rules(session)]


def _rule(row: RuleRow) -> Rule:
    return Rule.model_validate(row._asdict() | {"words": words.rule_in_words(row)})


async def add_rule(session: Session, now: datetime, actor: Actor, draft: RuleDraft) -> Rule:
    """Add a rule. Raises InvalidInput where it names what is not there."""
    if not await channels.lock(session, draft.channelid):
        raise InvalidInput(FieldError(("channelid",), "There is no such channel."))
    if await channels.count_rules(session) >= MAX_RULES:
        raise InvalidInput(FieldError((), f"There are {MAX_RULES} rules. Remove one first."))
    if draft.project is not None and not await projects.known(session, [draft.project]):
        raise InvalidInput(FieldError(("project",), "There is no such project."))
    if draft.jobid is not None and await definitions.share(session, draft.jobid) is None:
        raise InvalidInput(FieldError(("jobid",), "There is no such job."))
    row = await channels.rule(session, await channels.insert_rule(session, now, draft.values))
    assert row is not None
    await changes.record(session, now, actor, Event(ChangeAction.RULE_ADDED, after=_rule_said(row)))
    return _rule(row)


async def preview(session: Session, draft: RuleDraft) -> RulePreview:
    """What a rule would be about, and what it would have sent. Raises InvalidInput for no such channel."""
    channel = await channels.by_id(session, draft.channelid)
    if channel is None:
        raise InvalidInput(FieldError(("channelid",), "There is no such channel."))
    now = await definitions.clock(session)
    row = RuleRow(ruleid=0, channel=channel.name, createdat=now, **draft.values)
    return await _previewed(session, now, row)


async def preview_rule(session: Session, ruleid: int) -> RulePreview:
    """The same of a rule that is there. Raises RuleNotFound."""
    row = await channels.rule(session, ruleid)
    if row is None:
        raise RuleNotFound(ruleid)
    return await _previewed(session, await definitions.clock(session), row)


async def _previewed(session: Session, now: datetime, row: RuleRow) -> RulePreview:
    names = ("project", "tag", "jobid", "kinds", "after", "outof", "service", "reminds", "recovers")
    rule, since = {name: getattr(row, name) for name in names}, now - PREVIEWED
    jobs = await previews.some_jobs(session, rule, SHOWN)
    found = await previews.some_issues(session, rule, since, SHOWN)
    return RulePreview(
        words=words.rule_in_words(row),
        jobs=await previews.count_jobs(session, rule, MAX_COUNTED),
        examples=[CoveredJob.model_validate(job._asdict()) for job in jobs],
        alerts=await previews.count_alerts(session, rule, since),
        issues=[JobIssue.model_validate(issue._asdict()) for issue in found],
    )


async def rules_for(session: Session, jobid: int) -> list[Rule]:
    """The rules that cover a job, the oldest first."""
    return [_rule(row) for row in await channels.rules_for(session, jobid)]


async def secrets_of(session: Session, channelid: int, cipher: Cipher) -> ChannelSecrets | None:
    """What is secret of a channel, for who changes the rest; None: nothing. Raises SecretsUnavailable."""
    kept = await channels.ciphertext(session, channelid)
    return None if kept is None else ChannelSecrets.model_validate_json(cipher.decrypt(kept))


async def remove_rule(session: Session, now: datetime, actor: Actor, ruleid: int) -> None:
    """Remove a rule. Raises RuleNotFound."""
    row = await channels.rule(session, ruleid)
    if row is None:
        raise RuleNotFound(ruleid)
    await channels.delete_rule(session, ruleid)
    await changes.record(session, now, actor, Event(ChangeAction.RULE_REMOVED, before=_rule_said(row)))


def _rule_said(row: RuleRow) -> dict[str, object]:
    return {"rule": words.rule_in_words(row), "channel": row.channel}
