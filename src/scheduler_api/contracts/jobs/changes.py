"""Changes of a job: who made them, when, and what differs."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from scheduler_api.actors import ActorKind
from scheduler_api.contracts.values import Output


class ChangeAction(StrEnum):
    """What was done: to a job, a limit, a calendar, to who may come in, or to the whole service.

    `repaired`: the next run was missing, or later than its schedule. `started`: a run was asked for.
    """

    CREATED = "created"
    EDITED = "edited"
    PAUSED = "paused"
    RESUMED = "resumed"
    SKIPPED = "skipped"
    DELETED = "deleted"
    RESTORED = "restored"
    REPAIRED = "repaired"
    STARTED = "started"
    BACKFILLED = "backfilled"
    RETRIED = "retried"
    CANCELLED = "cancelled"
    SECRET_ADDED = "secretadded"  # noqa: S105 - no password
    SECRET_REMOVED = "secretremoved"  # noqa: S105 - no password
    SECRET_SET = "secretset"  # noqa: S105 - no password
    LIMIT_SET = "limitset"
    LIMIT_REMOVED = "limitremoved"
    CALENDAR_SET = "calendarset"
    CALENDAR_REMOVED = "calendarremoved"
    RESTORE_CONFIRMED = "restoreconfirmed"
    SIGNED_IN = "signedin"
    SIGN_IN_REFUSED = "signinrefused"
    SIGNED_OUT = "signedout"
    USER_ADDED = "useradded"
    USER_CHANGED = "userchanged"
    USER_REMOVED = "userremoved"
    PASSWORD_SET = "passwordset"  # noqa: S105 - no password
    LINK_MADE = "linkmade"
    KEY_ADDED = "keyadded"
    KEY_REVOKED = "keyrevoked"
    PROJECT_ADDED = "projectadded"
    PROJECT_CHANGED = "projectchanged"
    PROJECT_REMOVED = "projectremoved"
    CHANNEL_ADDED = "channeladded"
    CHANNEL_CHANGED = "channelchanged"
    CHANNEL_REMOVED = "channelremoved"
    RULE_ADDED = "ruleadded"
    RULE_REMOVED = "ruleremoved"
    ACKNOWLEDGED = "acknowledged"
    REDRIVEN = "redriven"
    MUTE_ADDED = "muteadded"
    MUTE_REMOVED = "muteremoved"
    ADDRESS_CHANGED = "addresschanged"
    ISSUE_CLOSED = "issueclosed"


class Change(Output):
    """A change to a job."""

    changeid: int
    jobid: int
    at: datetime
    action: ChangeAction
    actor: ActorKind = Field(description="Who made it.")
    client: str | None = Field(description="The client's program and machine, if known.")
    before: Annotated[
        dict[str, Any] | None,
        Field(
            description="The changed fields before; of a target, only those of its fields. Header values are "
            "not kept; of a body over 1 KB, only its size and digest."
        ),
    ]
    after: Annotated[dict[str, Any] | None, Field(description="The changed fields after.")]
