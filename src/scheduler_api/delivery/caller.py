"""One call: the request put together, made, and judged."""

import structlog
from pydantic_core import to_json

from scheduler_api.ciphers import Cipher
from scheduler_api.contracts import Target, TestAnswer
from scheduler_api.delivery.client import Call, Client
from scheduler_api.delivery.requests import request_of
from scheduler_api.errors import SecretsUnavailable
from scheduler_api.services.calls import Started
from scheduler_api.services.outcomes import Ended
from scheduler_api.targets import Answer, Failure, Judgement, Rules, backoff, judge

log = structlog.get_logger(__name__)


class Caller:
    """Makes calls; `runsurl` is where accepted runs report."""

    def __init__(self, client: Client, cipher: Cipher, runsurl: str) -> None:
        self._client = client
        self._cipher = cipher
        self._runsurl = runsurl

    async def attempt(self, started: Started) -> Ended:
        """Make the call of a run. Whatever happens is the end of an attempt; nothing is raised."""
        entry, target = started.entry, started.target
        if target is None:
            return _unmade(started, "The job has no target any more, or none that can be understood.")
        try:
            call = self._request(target, started, f"{self._runsurl}/{entry.logid}/{started.token.hex}")
        except SecretsUnavailable as error:
            return _unmade(started, str(error))
        except Exception as error:  # one request that can not be made is no reason to stop
            log.exception("a request can not be put together", jobid=entry.jobid, logid=entry.logid)
            return _unmade(started, f"The request can not be put together: {error}")
        answer = await self._client.call(call)
        judgement = _judge(target, answer)
        if judgement.failure is not None:
            _tell(started, judgement)
        return _ended(started, answer, judgement)

    async def test(self, started: Started) -> TestAnswer:
        """Make the call of a run that no log tells of. Raises SecretsUnavailable."""
        assert started.target is not None
        call = self._request(started.target, started, None)
        answer = await self._client.call(call)
        judgement = _judge(started.target, answer)
        return TestAnswer(
            url=call.url,
            ok=judgement.failure is None,
            failure=judgement.failure,
            error=judgement.error,
            httpstatus=answer.status,
            timing=answer.timing,
            excerpt=answer.excerpt,
        )

    def _request(self, target: Target, started: Started, runurl: str | None) -> Call:
        secrets = [self._cipher.decrypt(secret) for secret in started.secrets]
        return request_of(target, started, secrets, runurl)


def _judge(target: Target, answer: Answer) -> Judgement:
    return judge(answer, Rules(target.success, target.pattern, target.retryon))


def _unmade(started: Started, error: str) -> Ended:
    return Ended(started.entry.logid, started.token, "failed", Failure.TEMPLATE, error)


def _ended(started: Started, answer: Answer, judgement: Judgement) -> Ended:
    return Ended(
        started.entry.logid,
        started.token,
        "accepted" if judgement.accepted else "failed" if judgement.failure else "finished",
        judgement.failure,
        judgement.error,
        judgement.again,
        backoff.retry_after(answer.retryafter, started.now) if judgement.again else None,
        answer.status,
        to_json(answer.timing).decode(),
        answer.excerpt,
    )


def _tell(started: Started, judgement: Judgement) -> None:
    log.info(
        "a call failed",
        jobid=started.entry.jobid,
        logid=started.entry.logid,
        attempt=started.entry.attempt,
        failure=str(judgement.failure),
        error=judgement.error,
    )
