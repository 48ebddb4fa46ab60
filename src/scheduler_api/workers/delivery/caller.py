"""One call: the request put together, made, and judged."""

import asyncio

import structlog
from pydantic_core import to_json

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.jobs.targets import Target
from scheduler_api.contracts.runs.attempts import TestAnswer
from scheduler_api.database.runs.claims import Started
from scheduler_api.errors import JobHasNoTarget, SecretsUnavailable
from scheduler_api.services.runs.ends import Ended, target_in
from scheduler_api.targets import Answer, Failure, Judgement, Rules, backoff, judge
from scheduler_api.targets.scrubbing import scrubbed, secrets_in
from scheduler_api.workers.delivery.client import Call, Client
from scheduler_api.workers.delivery.requests import attempt_of

log = structlog.get_logger(__name__)

#: Characters of a target's JSON from which on the request takes a while to be put together.
LARGE = 16_384


class Caller:
    """Makes calls; `runsurl` is where accepted runs report."""

    def __init__(self, client: Client, cipher: Cipher, runsurl: str) -> None:
        self._client = client
        self._cipher = cipher
        self._runsurl = runsurl
        self._large = asyncio.Lock()

    async def attempt(self, started: Started) -> Ended:
        """Make the call of a run. Whatever happens is the end of an attempt.

        Raises OutOfDescriptors where no request was made.
        """
        try:
            target, call = await self._prepare(
                started, f"{self._runsurl}/{started.logid}/{started.token.hex}"
            )
        except (JobHasNoTarget, SecretsUnavailable) as error:
            return _unmade(started, str(error))
        except Exception as error:  # one request that cannot be made is no reason to stop
            log.exception("a request cannot be put together", jobid=started.jobid, logid=started.logid)
            return _unmade(started, f"The request cannot be put together: {error}")
        answer = await self._client.call(call)
        judgement = _judge(target, answer)
        answer, judgement = _without_secrets(call, answer, judgement)
        if judgement.failure is not None:
            _tell(started, judgement)
        if not target.keepresponse:
            answer = answer._replace(excerpt=None)
        return _ended(started, answer, judgement)

    async def test(self, started: Started) -> TestAnswer:
        """Make the call of a run that no log tells of.

        Raises JobHasNoTarget, SecretsUnavailable, OutOfDescriptors.
        """
        target, call = await self._prepare(started, None)
        answer = await self._client.call(call)
        answer, judgement = _without_secrets(call, answer, _judge(target, answer))
        return TestAnswer(
            url=call.url,
            ok=judgement.failure is None,
            failure=judgement.failure,
            error=judgement.error,
            httpstatus=answer.status,
            timing=answer.timing,
            excerpt=answer.excerpt,
        )

    async def _prepare(self, started: Started, runurl: str | None) -> tuple[Target, Call]:
        """What to call and the request. Raises JobHasNoTarget, SecretsUnavailable."""
        if len(started.document or "") <= LARGE:
            return self._put_together(started, runurl)
        # Many that begin at once would keep the loop from all else, such as renewing leases.
        async with self._large:
            return await asyncio.to_thread(self._put_together, started, runurl)

    def _put_together(self, started: Started, runurl: str | None) -> tuple[Target, Call]:
        target = target_in(started.document)
        if target is None:
            raise JobHasNoTarget("The job has no target any more, or none that can be understood.")
        secrets = [self._cipher.decrypt(secret) for secret in started.secrets]
        return target, attempt_of(target, started, secrets, runurl)


def _judge(target: Target, answer: Answer) -> Judgement:
    return judge(answer, Rules(target.success, target.pattern, target.retryon))


def _without_secrets(call: Call, answer: Answer, judgement: Judgement) -> tuple[Answer, Judgement]:
    """What is kept of an answer says nothing of what let the call in, though the target may echo it."""
    secrets = secrets_in(call.headers)
    if not secrets:
        return answer, judgement
    if answer.excerpt:
        answer = answer._replace(excerpt=scrubbed(answer.excerpt, secrets, is_cut=answer.truncated))
    if judgement.error:
        judgement = judgement._replace(error=scrubbed(judgement.error, secrets))
    return answer, judgement


def _unmade(started: Started, error: str) -> Ended:
    return Ended(started.logid, started.token, "failed", Failure.TEMPLATE, error)


def _ended(started: Started, answer: Answer, judgement: Judgement) -> Ended:
    error = judgement.error
    asked = backoff.retry_after(answer.retryafter, started.now) if judgement.again else None
    if asked is not None and asked > backoff.MAX_RETRY_AFTER:
        error, asked = f"{error} It asks to wait for longer than a day; a day it is.", backoff.MAX_RETRY_AFTER
    return Ended(
        started.logid,
        started.token,
        "accepted" if judgement.accepted else "failed" if judgement.failure else "finished",
        judgement.failure,
        error,
        judgement.again,
        asked,
        answer.status,
        to_json(answer.timing).decode(),
        answer.excerpt,
    )


def _tell(started: Started, judgement: Judgement) -> None:
    log.info(
        "a call failed",
        jobid=started.jobid,
        logid=started.logid,
        attempt=started.attempt,
        failure=str(judgement.failure),
        error=judgement.error,
    )
