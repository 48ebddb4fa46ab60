"""What accepted runs report: that they go on, how far they have come, and how they ended."""

import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.runs.reports import Report, ReportedStatus, RunState
from scheduler_api.database.runs import attempts, leases, pending
from scheduler_api.database.statements import Session
from scheduler_api.errors import LogNotFound, RunIsOver
from scheduler_api.services.jobs import project_secrets
from scheduler_api.services.runs.ends import Ended, target_in
from scheduler_api.services.runs.holding import settle_held
from scheduler_api.targets import Failure
from scheduler_api.targets.scrubbing import scrubbed, secrets_in

#: Lines of one attempt that are kept.
MAX_LINES = 1000
#: Seconds to the next report where the job has lost its target meanwhile.
HEARTBEAT_TIMEOUT = 300


async def report(
    session: Session, now: datetime, cipher: Cipher, logid: int, token: UUID, sent: Report
) -> RunState:
    """Take a report on the attempt that was given this token. Raises LogNotFound, RunIsOver."""
    row = await leases.lock(session, logid)
    if row is None:
        raise LogNotFound(logid)
    held = row.leasetoken or UUID(int=0)
    if row.status != "running" or not hmac.compare_digest(held.bytes, token.bytes):
        raise RunIsOver(
            f"This attempt of run {logid} is over: it ended, was cancelled, or another one replaced it."
        )
    sent = _without_secrets(sent, [*await project_secrets.values_of(session, row.jobid, cipher), token.hex])
    target = target_in(row.target)
    timeout = HEARTBEAT_TIMEOUT if target is None else target.heartbeattimeout
    until = max(now + timedelta(seconds=timeout), row.leaseuntil or now)
    await attempts.tell(session, logid, row.attempt, until, sent.progress, sent.message)
    if sent.lines:
        await attempts.add_lines(session, now, row, sent.lines, MAX_LINES)
    if sent.status is None:
        return RunState(logid=logid, attempt=row.attempt, status="running", leaseuntil=until)
    status = await settle_held(session, now, row, _ended(logid, token, sent))
    await pending.announce(session)
    return RunState(logid=logid, attempt=row.attempt, status=status, leaseuntil=None)


def _without_secrets(sent: Report, values: Sequence[str]) -> Report:
    """What is kept of a report says nothing of what let the call in, though the target may repeat it."""
    secrets = secrets_in({}, values)
    message = None if sent.message is None else scrubbed(sent.message, secrets)
    lines = [scrubbed(line, secrets) for line in sent.lines]
    return sent.model_copy(update={"message": message, "lines": lines})


def _ended(logid: int, token: UUID, sent: Report) -> Ended:
    if sent.status is ReportedStatus.FINISHED:
        return Ended(logid, token, "finished")
    error = f"The target reported: {sent.message}" if sent.message else "The target reported a failure."
    return Ended(logid, token, "failed", Failure.REPORTED, error, again=sent.retry)
