"""What everybody did, in one list."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import Field

from scheduler_api.actors import ActorKind
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.values import Output


class AuditObject(StrEnum):
    """To what something was done."""

    JOB = "job"
    RUN = "run"
    SECRET = "secret"  # noqa: S105 - no password
    LIMIT = "limit"
    CALENDAR = "calendar"
    USER = "user"
    SESSION = "session"
    KEY = "key"
    PROJECT = "project"
    ISSUE = "issue"
    ALERT = "alert"
    CHANNEL = "channel"
    RULE = "rule"
    MUTE = "mute"
    SERVICE = "service"


_ACTIONS = {
    AuditObject.RUN: ("started", "backfilled", "retried", "cancelled"),
    AuditObject.SECRET: ("secretadded", "secretremoved"),
    AuditObject.LIMIT: ("limitset", "limitremoved"),
    AuditObject.CALENDAR: ("calendarset", "calendarremoved"),
    AuditObject.USER: ("useradded", "userchanged", "userremoved", "passwordset", "linkmade"),
    AuditObject.SESSION: ("signedin", "signinrefused", "signedout"),
    AuditObject.KEY: ("keyadded", "keyrevoked"),
    AuditObject.PROJECT: ("projectadded", "projectremoved"),
    AuditObject.ISSUE: ("acknowledged", "issueclosed"),
    AuditObject.ALERT: ("redriven",),
    AuditObject.CHANNEL: ("channeladded", "channelchanged", "channelremoved"),
    AuditObject.RULE: ("ruleadded", "ruleremoved"),
    AuditObject.MUTE: ("muteadded", "muteremoved"),
    AuditObject.SERVICE: ("restoreconfirmed",),
}
#: To what each action is done: to a job, unless it says otherwise.
OBJECTS = dict.fromkeys(ChangeAction, AuditObject.JOB) | {
    ChangeAction(action): thing for thing, actions in _ACTIONS.items() for action in actions
}


class AuditEvent(Output):
    """Something that was done: to a job, a limit, a calendar, to who may come in, or to the service."""

    changeid: int
    at: datetime
    action: ChangeAction
    object: AuditObject = Field(description="To what it was done.")
    actor: ActorKind = Field(description="Who did it.")
    client: str | None = Field(description="The user's or the key's name; else the program and its machine.")
    address: str | None = Field(
        description="From where it came; of IPv6 the network. Null: from this machine, or the service itself."
    )
    project: str | None = Field(description="The project of the job, or of the key, as it was then.")
    jobid: int | None = Field(description="The job, if it was one; it may be gone.")
    before: dict[str, Any] | None = Field(description="What changed, as it was. Secrets are not kept.")
    after: dict[str, Any] | None = Field(description="The same, as it became.")
