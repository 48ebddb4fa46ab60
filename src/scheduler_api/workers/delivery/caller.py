"""One call: the request put together, made, and judged."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from time import monotonic
from typing import NamedTuple

import structlog
from pydantic_core import to_json

from scheduler_api import metrics
from scheduler_api.ciphers import Cipher
from scheduler_api.contracts.runs.attempts import TestAnswer
from scheduler_api.database.runs.claims import Started
from scheduler_api.errors import JobHasNoTarget, OutOfDescriptors, SecretsUnavailable, TokenUnavailable
from scheduler_api.services.runs.ends import Ended
from scheduler_api.targets import Answer, Failure, Judgement, backoff, judge, signatures
from scheduler_api.targets.headers import INSTALLATION
from scheduler_api.targets.scrubbing import scrubbed, secrets_in
from scheduler_api.tracing import TracedAttempt, Tracer
from scheduler_api.workers.delivery.certificates import Certificates, Pems
from scheduler_api.workers.delivery.client import Call, Client
from scheduler_api.workers.delivery.requests import CompiledTarget, attempt_of, compiled_in
from scheduler_api.workers.delivery.tokens import Credentials, Token, Tokens

log = structlog.get_logger(__name__)

#: Characters of a target's JSON from which on the request takes a while to be put together.
LARGE = 16_384


class Prepared(NamedTuple):
    """A request that is ready to be made."""

    compiled: CompiledTarget
    call: Call
    token: Token | None = None
    """The access token in it; None: it has none."""


class Caller:
    """Makes calls; `runsurl` is where accepted runs report, `installation` the name of whom they are from."""

    def __init__(
        self,
        client: Client,
        cipher: Cipher,
        runsurl: str,
        installation: str,
        tracer: Tracer | None = None,
    ) -> None:
        self._client = client
        self._tracer = tracer
        self._cipher = cipher
        self._runsurl = runsurl
        self._installation = installation
        self._large = asyncio.Lock()
        self._certificates = Certificates()
        self._tokens = Tokens(client, installation)

    @property
    def is_traced(self) -> bool:
        """Whether somebody wants traces."""
        return self._tracer is not None

    async def attempt(self, started: Started) -> Ended:
        """Make the call of a run. Whatever happens is the end of an attempt.

        Raises OutOfDescriptors where no request was made.
        """
        if self._tracer is None:
            return await self._attempt(started)
        with self._tracer.attempt(_traced(started)) as span:
            ended = await self._attempt(started)
            # The sentence may quote what was sent or answered; it is on the page of the run.
            failure = None if ended.failure is None else str(ended.failure)
            span.tell({"scheduler.outcome": ended.outcome}, failure)
            return ended

    async def _attempt(self, started: Started) -> Ended:
        try:
            prepared = await self._prepare(started, f"{self._runsurl}/{started.logid}/{started.token.hex}")
        except TokenUnavailable as error:
            return _unmade(started, str(error), again=True)
        except (JobHasNoTarget, SecretsUnavailable) as error:
            return _unmade(started, str(error))
        except OutOfDescriptors:
            raise
        except OSError as error:
            return _unmade(started, f"The request cannot be put together: {error}", again=True)
        except Exception as error:  # one request that cannot be made is no reason to stop
            log.exception("a request cannot be put together", jobid=started.jobid, logid=started.logid)
            return _unmade(started, f"The request cannot be put together: {error}")
        began = monotonic()
        answer, judgement = await self._make(prepared)
        if judgement.failure is not None:
            _tell(started, judgement)
        if not prepared.compiled.target.keepresponse:
            answer = answer._replace(excerpt=None)
        ended = _ended(started, answer, judgement)
        metrics.CALL.labels(ended.outcome).observe(monotonic() - began)
        return ended

    async def test(self, started: Started) -> TestAnswer:
        """Make the call of a run that no log tells of.

        Raises JobHasNoTarget, SecretsUnavailable, TokenUnavailable, OutOfDescriptors.
        """
        prepared = await self._prepare(started, None)
        answer, judgement = await self._make(prepared)
        return TestAnswer(
            url=prepared.call.url,
            ok=judgement.failure is None,
            failure=judgement.failure,
            error=judgement.error,
            httpstatus=answer.status,
            timing=answer.timing,
            excerpt=answer.excerpt,
        )

    async def _make(self, prepared: Prepared) -> tuple[Answer, Judgement]:
        compiled, call, token = prepared
        answer = await self._call(call)
        judgement = judge(answer, compiled.rules)
        if answer.status == HTTPStatus.UNAUTHORIZED and token is not None:
            self._tokens.forget(token)
            # It may have been taken back meanwhile; of a fresh one, another is no better.
            if judgement.failure is not None and not token.is_fresh:
                judgement = judgement._replace(again=True)
        return _without_secrets(call, answer, judgement)

    async def _call(self, call: Call) -> Answer:
        if self._tracer is None:
            return await self._client.call(call)
        with self._tracer.client(call.method, call.url) as span:
            call.headers["traceparent"] = span.traceparent
            answer = await self._client.call(call)
            failure = None if answer.failure is None else str(answer.failure)
            span.tell({"http.response.status_code": answer.status}, failure)
            return answer

    async def _prepare(self, started: Started, runurl: str | None) -> Prepared:
        """What to call and the request.

        Raises JobHasNoTarget, SecretsUnavailable, TokenUnavailable, OutOfDescriptors.
        """
        if len(started.document or "") <= LARGE:
            compiled, call, named = self._put_together(started, runurl)
        else:
            # Many that begin at once would keep the loop from all else, such as renewing leases.
            async with self._large:
                compiled, call, named = await asyncio.to_thread(self._put_together, started, runurl)
        if not named:
            return Prepared(compiled, call)
        target = compiled.target
        own, authorities = (
            None if secret is None else named[secret.secret] for secret in (target.clientcert, target.cacert)
        )
        encryption = await self._certificates.encryption(Pems(own, authorities))
        call = call._replace(encryption=encryption)
        if target.oauth2 is None:
            return Prepared(compiled, call)
        client = target.oauth2
        secret = named[client.clientsecret.secret]
        token = await self._tokens.token(Credentials(client.tokenurl, client.clientid, secret, client.scope))
        call.headers["Authorization"] = f"Bearer {token.text}"
        return Prepared(compiled, call._replace(secrets=(*call.secrets, secret)), token)

    def _put_together(
        self, started: Started, runurl: str | None
    ) -> tuple[CompiledTarget, Call, Mapping[str, str]]:
        compiled = compiled_in(started.document)
        if compiled is None:
            raise JobHasNoTarget("The job has no target any more, or none that can be understood.")
        secrets = [self._cipher.decrypt(secret) for secret in started.secrets]
        named = _opened(compiled.named, started.named, self._cipher)
        call = attempt_of(compiled, started, secrets, named, runurl)
        call.headers[INSTALLATION] = self._installation
        return compiled, call, named


def _opened(names: Sequence[tuple[str, str]], document: str | None, cipher: Cipher) -> Mapping[str, str]:
    """The secrets that a target names (with their origins), by their names. Raises SecretsUnavailable.

    That a secret goes to its own origin only was judged when the job was written. It is judged again here,
    where it is used.
    """
    known: dict[str, tuple[str, str]] = {} if document is None else json.loads(document)
    opened = {}
    for name, origin in names:
        if name not in known:
            raise SecretsUnavailable(f"The secret {name} is not there.")
        allowed, ciphertext = known[name]
        if allowed != origin:
            raise SecretsUnavailable(f"The secret {name} is for {allowed}, and was not sent to {origin}.")
        opened[name] = cipher.decrypt(ciphertext.encode())
    return opened


def _without_secrets(call: Call, answer: Answer, judgement: Judgement) -> tuple[Answer, Judgement]:
    """What is kept of an answer says nothing of what let the call in, though the target may echo it."""
    if not answer.excerpt and not judgement.error:
        return answer, judgement
    secrets = secrets_in(call.headers, call.secrets)
    if answer.excerpt:
        answer = answer._replace(
            excerpt=scrubbed(answer.excerpt, secrets, is_cut=answer.truncated or answer.failure is not None)
        )
    if judgement.error:
        judgement = judgement._replace(error=scrubbed(judgement.error, secrets))
    return answer, judgement


def _traced(started: Started) -> TracedAttempt:
    """What its span tells of an attempt."""
    parent = None
    if started.parent is not None:
        run = started.parent
        cause = signatures.cause_of(run.cause, run.parentlogid)
        parent = signatures.delivery_id(run.jobid, run.createdat, run.scheduledfor, cause)
    cause = signatures.cause_of(started.cause, started.parentlogid)
    return TracedAttempt(
        signatures.delivery_id(started.jobid, started.createdat, started.scheduledfor, cause),
        started.attempt,
        started.jobid,
        started.jobname,
        started.logid,
        started.cause,
        started.scheduledfor,
        started.host,
        parent,
    )


def _unmade(started: Started, error: str, *, again: bool = False) -> Ended:
    return Ended(started.logid, started.token, "failed", Failure.TEMPLATE, error, again)


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
