"""Domain errors: one tree, and no word of HTTP in it.

The first line of a class's docstring is its title; `code` is the stable name that clients may match.
"""

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
        return (
            f"{shortened('.'.join(map(str, self.path)), PATH_LIMIT)}: {shortened(self.detail, DETAIL_LIMIT)}"
        )


#: How many errors of an input are told, and how many characters of each.
ERRORS_LIMIT, PATH_LIMIT, DETAIL_LIMIT = 50, 200, 500


def shortened(text: str, limit: int) -> str:
    """The text, or its beginning, in at most so many characters."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def further(number: int) -> FieldError:
    """What stands for so many errors that are not told."""
    return FieldError((), f"{number:,} more errors are not shown.")


class InvalidInput(SchedulerError):
    """Some of the input is not valid."""

    code = "invalid_input"

    def __init__(self, *field_errors: FieldError) -> None:
        # One more may be there already, that stands for others.
        if len(field_errors) > ERRORS_LIMIT + 1:
            field_errors = (*field_errors[:ERRORS_LIMIT], further(len(field_errors) - ERRORS_LIMIT))
        super().__init__(" ".join(map(str, field_errors)))
        self.field_errors = field_errors


class JobNotFound(SchedulerError):
    """There is no such job."""

    code = "job_not_found"

    def __init__(self, jobid: int) -> None:
        super().__init__(f"There is no job {jobid}.")
        self.jobid = jobid


class LogNotFound(SchedulerError):
    """There is no such log."""

    code = "log_not_found"

    def __init__(self, logid: int) -> None:
        super().__init__(f"There is no log {logid}.")


class SecretNotFound(SchedulerError):
    """There is no such secret."""

    code = "secret_not_found"


class LimitNotFound(SchedulerError):
    """There is no such limit."""

    code = "limit_not_found"


class JobIsDeleted(SchedulerError):
    """The job is deleted."""

    code = "job_deleted"

    def __init__(self, jobid: int) -> None:
        super().__init__(f"Job {jobid} is deleted; only its history is left.")


class JobHasNoFuture(SchedulerError):
    """The job has no further run."""

    code = "job_has_no_future"


class JobIsPaused(SchedulerError):
    """The job is paused."""

    code = "job_paused"

    def __init__(self, jobid: int) -> None:
        super().__init__(f"Job {jobid} is paused, so there is no next run; resume it first.")


class JobHasFollowers(SchedulerError):
    """Other jobs run after the job."""

    code = "job_has_followers"


class ScheduleUnusable(SchedulerError):
    """The job's schedule can not be computed."""

    code = "schedule_unusable"


class StaleVersion(SchedulerError):
    """The job has changed since you read it."""

    code = "stale_version"

    def __init__(self, jobid: int, version: int) -> None:
        super().__init__(f"Job {jobid} is at version {version} now; read it again before you change it.")
        self.version = version


class KeyReused(SchedulerError):
    """The idempotency key was used for another request."""

    code = "idempotency_key_reused"


class KeyInFlight(SchedulerError):
    """A request with the same idempotency key is under way."""

    code = "idempotency_key_in_flight"


class LogIsSettled(SchedulerError):
    """The log has its verdict already."""

    code = "log_settled"


class RunNotStarted(SchedulerError):
    """The log promises the job's next run."""

    code = "run_not_started"


class NothingToRetry(SchedulerError):
    """There is nothing to try again."""

    code = "nothing_to_retry"


class JobHasNoTarget(SchedulerError):
    """The job calls nothing."""

    code = "job_has_no_target"


class RunIsOver(SchedulerError):
    """The run is over."""

    code = "run_is_over"


class SecretsUnavailable(SchedulerError):
    """Secrets can not be used."""

    code = "secrets_unavailable"


class TooManySecrets(SchedulerError):
    """The job has two secrets already."""

    code = "too_many_secrets"


class DatabaseUnavailable(SchedulerError):
    """The database does not answer."""

    code = "database_unavailable"


class DatabaseBusy(SchedulerError):
    """The database is too busy to answer in time."""

    code = "database_busy"


class ServiceBusy(SchedulerError):
    """The service is too busy to answer in time."""

    code = "service_busy"


class TooLong(SchedulerError):
    """The answer takes too long to compute."""

    code = "too_long"


class TooManyStreams(SchedulerError):
    """Too many event stream clients."""

    code = "too_many_streams"


class OutOfDescriptors(SchedulerError):
    """This replica can open no further connection at the moment."""

    code = "out_of_descriptors"

    def __init__(self) -> None:
        super().__init__("This replica has no file descriptor left for the call, which was not made.")


class DatabaseReadOnly(SchedulerError):
    """The database accepts no changes at the moment."""

    code = "database_read_only"


class StorageFull(SchedulerError):
    """The database has no room left."""

    code = "storage_full"


class OutcomeUnknown(SchedulerError):
    """The database did not confirm the change: it may be there or not."""

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
            "The database was restored, and this process was told to start paused: look at the overview, and "
            "confirm the restore by POST /restore/confirm."
        )


class SchemaMismatch(SchedulerError):
    """The database schema is not the one that this version needs."""

    code = "schema_mismatch"


class Misconfigured(SchedulerError):
    """A setting does not allow the service to start."""

    code = "misconfigured"
