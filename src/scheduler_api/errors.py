"""Domain errors: one tree, and no word of HTTP in it.

The first line of a class's docstring is its title; `code` is the stable name that clients may match.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class SchedulerError(Exception):
    """The scheduler could not do what was asked."""

    code: ClassVar[str] = "error"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One thing that is wrong with an input: where, as a path of keys, and what to do about it."""

    path: tuple[str | int, ...]
    detail: str

    def __str__(self) -> str:
        where = shortened(".".join(map(str, self.path)), PATH_LIMIT)
        return (
            f"{where}: {shortened(self.detail, DETAIL_LIMIT)}"
            if where
            else shortened(self.detail, DETAIL_LIMIT)
        )


#: How many field errors an answer lists, and how many characters of each path and detail.
ERRORS_LIMIT, PATH_LIMIT, DETAIL_LIMIT = 50, 200, 500


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning, in at most so many characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def enumerated(found: Sequence[int], limit: int) -> str:
    """Up to `limit` of these numbers, and whether there are more."""
    return ", ".join(map(str, found[:limit])) + (" and others" if found[limit:] else "")


def further(number: int) -> FieldError:
    """The entry that counts errors which are not listed."""
    return FieldError((), f"{number:,} more errors are not shown.")


class InvalidInput(SchedulerError):
    """Invalid request."""

    code = "invalid_input"

    def __init__(self, *field_errors: FieldError) -> None:
        # One more may be there already, that stands for others.
        if len(field_errors) > ERRORS_LIMIT + 1:
            field_errors = (*field_errors[:ERRORS_LIMIT], further(len(field_errors) - ERRORS_LIMIT))
        super().__init__(" ".join(map(str, field_errors)))
        self.field_errors = field_errors


class JobNotFound(SchedulerError):
    """Job not found."""

    code = "job_not_found"

    def __init__(self, jobid: int, *, deleted: bool = False) -> None:
        there = "was deleted; `deleted=true` shows it with its history" if deleted else "does not exist"
        super().__init__(f"Job {jobid} {there}.")
        self.jobid = jobid


class LogNotFound(SchedulerError):
    """Run not found."""

    code = "log_not_found"

    def __init__(self, logid: int) -> None:
        super().__init__(f"Run {logid} does not exist.")


class SecretNotFound(SchedulerError):
    """Secret not found."""

    code = "secret_not_found"


class LimitNotFound(SchedulerError):
    """Limit not found."""

    code = "limit_not_found"


class IssueNotFound(SchedulerError):
    """Issue not found."""

    code = "issue_not_found"

    def __init__(self, issueid: int) -> None:
        super().__init__(f"Issue {issueid} does not exist.")


class IssueIsOver(SchedulerError):
    """Issue is over."""

    code = "issue_is_over"


class ChannelNotFound(SchedulerError):
    """Channel not found."""

    code = "channel_not_found"

    def __init__(self, channelid: int) -> None:
        super().__init__(f"Channel {channelid} does not exist.")


class RuleNotFound(SchedulerError):
    """Rule not found."""

    code = "rule_not_found"

    def __init__(self, ruleid: int) -> None:
        super().__init__(f"Rule {ruleid} does not exist.")


class MuteNotFound(SchedulerError):
    """Mute not found."""

    code = "mute_not_found"

    def __init__(self, muteid: int) -> None:
        super().__init__(f"Mute {muteid} does not exist.")


class AlertNotFound(SchedulerError):
    """Alert not found."""

    code = "alert_not_found"

    def __init__(self, alertid: int) -> None:
        super().__init__(f"Alert {alertid} does not exist.")


class CalendarNotFound(SchedulerError):
    """Calendar not found."""

    code = "calendar_not_found"

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no calendar {name}.")


class CalendarInUse(SchedulerError):
    """Jobs go by the calendar."""

    code = "calendar_in_use"

    def __init__(self, name: str, count: int, jobid: int) -> None:
        others = "" if count == 1 else f" and {count - 1:,} more"
        super().__init__(f"Job {jobid}{others} {'goes' if count == 1 else 'go'} by the calendar {name}.")


class JobIsDeleted(SchedulerError):
    """Job deleted."""

    code = "job_deleted"

    def __init__(self, jobid: int) -> None:
        super().__init__(f"Job {jobid} was deleted. Its history is kept.")


class JobHasNoFuture(SchedulerError):
    """No further runs."""

    code = "job_has_no_future"


class JobIsPaused(SchedulerError):
    """Job paused."""

    code = "job_paused"

    def __init__(self, jobid: int) -> None:
        super().__init__(f"Job {jobid} is paused. Resume it first.")


class JobHasFollowers(SchedulerError):
    """Other jobs run after this job."""

    code = "job_has_followers"


class ScheduleUnusable(SchedulerError):
    """The job's schedule cannot be computed."""

    code = "schedule_unusable"


class StaleVersion(SchedulerError):
    """Job changed."""

    code = "stale_version"

    def __init__(self, jobid: int, version: int) -> None:
        super().__init__(f"Job {jobid} is now at version {version}. Read it again before you change it.")
        self.version = version


class KeyReused(SchedulerError):
    """Idempotency key reused."""

    code = "idempotency_key_reused"


class KeyInFlight(SchedulerError):
    """Idempotency key in use."""

    code = "idempotency_key_in_flight"


class LogIsSettled(SchedulerError):
    """Run already finished."""

    code = "log_settled"


class RunNotStarted(SchedulerError):
    """Run not started."""

    code = "run_not_started"


class NothingToRetry(SchedulerError):
    """Nothing to retry."""

    code = "nothing_to_retry"


class JobHasNoTarget(SchedulerError):
    """Job has no target."""

    code = "job_has_no_target"


class JobIsMonitor(SchedulerError):
    """Job is a monitor."""

    code = "job_is_monitor"

    def __init__(self, jobid: int) -> None:
        super().__init__(f"Job {jobid} is a monitor: its runs are made elsewhere, and reported.")


class JobIsNoMonitor(SchedulerError):
    """Job is not a monitor."""

    code = "job_is_no_monitor"


class MonitorNotFound(SchedulerError):
    """Monitor not found."""

    code = "monitor_not_found"


class RunIsOver(SchedulerError):
    """Run is over."""

    code = "run_is_over"


class SecretsUnavailable(SchedulerError):
    """Secrets unavailable."""

    code = "secrets_unavailable"


class TooManyReports(SchedulerError):
    """Too many reports."""

    code = "too_many_reports"

    def __init__(self, seconds: int) -> None:
        super().__init__(f"This monitor was reported to too often; report again in {seconds} s.")
        self.seconds = seconds


class QuotaExceeded(SchedulerError):
    """Quota exceeded."""

    code = "quota_exceeded"

    def __init__(self, detail: str, seconds: int | None = None) -> None:
        """`seconds`: after so many there is room again; None: when something has gone."""
        super().__init__(detail)
        self.seconds = seconds


class SecretInUse(SchedulerError):
    """Secret in use."""

    code = "secret_in_use"


class TokenUnavailable(SchedulerError):
    """No access token for the target."""

    code = "token_unavailable"


class TooManySecrets(SchedulerError):
    """Too many secrets."""

    code = "too_many_secrets"


class DatabaseUnavailable(SchedulerError):
    """Database unavailable."""

    code = "database_unavailable"


class DatabaseBusy(SchedulerError):
    """Database busy."""

    code = "database_busy"


class ServiceBusy(SchedulerError):
    """Service busy."""

    code = "service_busy"


class TooLong(SchedulerError):
    """Too much to compute."""

    code = "too_long"


class TooManyStreams(SchedulerError):
    """Too many event stream clients."""

    code = "too_many_streams"


class OutOfDescriptors(SchedulerError):
    """No file descriptors left."""

    code = "out_of_descriptors"

    def __init__(self) -> None:
        super().__init__("This replica has no file descriptors left. The request was not sent.")


class DatabaseReadOnly(SchedulerError):
    """Database is read-only."""

    code = "database_read_only"


class StorageFull(SchedulerError):
    """Database storage is full."""

    code = "storage_full"


class OutcomeUnknown(SchedulerError):
    """The database did not confirm the change."""

    code = "outcome_unknown"


class ReplicaOutdated(SchedulerError):
    """A newer version of the service has taken over the database."""

    code = "replica_outdated"


class RestoreNotHandled(SchedulerError):
    """The database was restored, and its ids cannot be moved on."""

    code = "restore_not_handled"


class RestoreNotConfirmed(SchedulerError):
    """The database was restored, and nobody has confirmed it."""

    code = "restore_not_confirmed"

    def __init__(self) -> None:
        super().__init__(
            "The database was restored, and this process is configured to start paused. Review the overview, "
            "then confirm with POST /restore/confirm."
        )


class SchemaMismatch(SchedulerError):
    """The database schema is not the one that this version needs."""

    code = "schema_mismatch"


class ReplicasInTheWay(SchedulerError):
    """Replicas of older code are still there, which could not work with the new schema."""

    code = "replicas_in_the_way"

    def __init__(self, version: int, names: Sequence[str]) -> None:
        super().__init__(
            f"Only code of schema version {version} or newer may go on from here, and older replicas are "
            f"still there, or were minutes ago: {', '.join(names)}. Replace them first."
        )


class NotDistributable(SchedulerError):
    """The tables cannot be distributed now."""

    code = "not_distributable"


class NotSignedIn(SchedulerError):
    """Not signed in."""

    code = "not_signed_in"


class SignInRefused(SchedulerError):
    """The identity provider's answer lets nobody in."""

    code = "sign_in_refused"


class ProviderUnavailable(SchedulerError):
    """The identity provider cannot be asked."""

    code = "provider_unavailable"


class NotPermitted(SchedulerError):
    """Not permitted."""

    code = "not_permitted"


class SigningInIsOff(SchedulerError):
    """Signing in is not required."""

    code = "signing_in_is_off"


class TooManyTries(SchedulerError):
    """Too many failed attempts to sign in."""

    code = "too_many_tries"


class KeyNotFound(SchedulerError):
    """API key not found."""

    code = "key_not_found"


class ProjectNotFound(SchedulerError):
    """Project not found."""

    code = "project_not_found"


class ProjectInUse(SchedulerError):
    """The project cannot be removed."""

    code = "project_in_use"


class UserNotFound(SchedulerError):
    """User not found."""

    code = "user_not_found"


class SignedInElsewhere(SchedulerError):
    """The user signs in at an identity provider."""

    code = "signed_in_elsewhere"


class LinkNotFound(SchedulerError):
    """Link used, or expired."""

    code = "link_not_found"


class LastAdmin(SchedulerError):
    """The only admin."""

    code = "last_admin"


class Misconfigured(SchedulerError):
    """A setting does not allow the service to start."""

    code = "misconfigured"
