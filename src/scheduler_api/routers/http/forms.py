"""The form for a job: how its fields, all of them text, become a draft."""

import json
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from scheduler_api.contracts.access.users import UserDraft
from scheduler_api.contracts.alerts.channels import (
    ALLOWED,
    NEEDED,
    ChannelDraft,
    ChannelKind,
    ChannelSecrets,
    RuleDraft,
)
from scheduler_api.contracts.alerts.mutes import MuteDraft
from scheduler_api.contracts.bodies import MAX_BODY_DEPTH
from scheduler_api.contracts.jobs.actions import RunOrder
from scheduler_api.contracts.jobs.bulk import BulkOrder
from scheduler_api.contracts.jobs.credentials import MASK, HeaderValue, OAuth2, plain
from scheduler_api.contracts.jobs.drafts import JobDraft
from scheduler_api.contracts.jobs.job import Job
from scheduler_api.contracts.jobs.patches import JobPatch
from scheduler_api.contracts.jobs.schedules import ScheduleDraft
from scheduler_api.contracts.runs.retries import RetryFilter, RetryOrder
from scheduler_api.contracts.validation import field_errors_of
from scheduler_api.errors import FieldError, InvalidInput
from scheduler_api.schedule import UnknownZone, instant_of
from scheduler_api.web.form import body_text, until_text

#: What a browser sends for a date with a time: no offset.
LOCAL = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2})?", re.ASCII)
Model = TypeVar("Model", bound=BaseModel)

#: The fields that a preview looks at: the others may be wrong meanwhile.
SCHEDULE = {
    "startdate", "starttime", "timezone", "repeat", "interval", "cron", "until", "exclude", "calendars",
    "dstgap", "dstfold", "after",
}  # fmt: skip
SEPARATORS = re.compile(r"[\s,;]+")
LINE_END = re.compile(r"\r\n|\r|\n")
TOO_DEEP = f"Must not be nested deeper than {MAX_BODY_DEPTH} levels."
START = {"startdate", "starttime"}
COUNT = re.compile(r"\d{1,9}", re.ASCII)
#: Which fields go with each kind of schedule.
KINDS = {
    "once": ("startdate", "starttime"),
    "every": ("startdate", "starttime", "interval"),
    "cron": ("cron",),
    "after": ("after_jobid", "after_on"),
}
OF_KIND = {name for names in KINDS.values() for name in names} | {"repeat"}
#: Fields about the form itself, not about the job.
ABOUT = {"kind", "unit", "version", "from", "jobid", *(f"cron{name}" for name in START)}
#: What the names of the fields of a target and of a monitor begin with.
TARGET, OAUTH2, MONITOR = "target_", "oauth2_", "monitor_"
#: How a line of headers names a secret.
REFERENCE = re.compile(r"\{\{ ?secret:([^{}\s]{1,100}) ?\}\}", re.ASCII)
#: The box of one job in a list.
PICKED = re.compile(r"job-(\d{1,18})", re.ASCII)
#: The fields of a filter, in a form.
OF_FILTER = ("search", "name", "state", "laststatus", "tag", "project")


def draft_of(fields: dict[str, str], known: Job | None = None) -> JobDraft:
    """The form's fields as a draft; an empty field counts as left out. Raises InvalidInput.

    Values of headers that the form only shows a mask of are those of the `known` job.
    """
    own = {name: value for name, value in fields.items() if not name.startswith((TARGET, MONITOR))}
    values, field_errors = _values(own), list[FieldError]()
    if known is not None and known.until is not None and _is_untouched(own, known):
        values["until"] = known.until.isoformat()
    if known is not None:
        # A form that does not say where leaves the job, or its copy, where it is.
        values.setdefault("project", known.project)
    # A box that is ticked says so; the time stays typed beside one that is not.
    if values.pop("monitor", "false") == "true":
        timeout = fields.get(f"{MONITOR}timeout", "").strip()
        values["monitor"] = {"timeout": timeout} if timeout else {}
    if fields.get(f"{TARGET}url", "").strip():
        values["target"] = _target(fields, field_errors, known)
    return validated(values, JobDraft, field_errors)


def _is_untouched(fields: dict[str, str], known: Job) -> bool:
    """Whether the end stands as it was shown: clocks show some times twice, and no fractions of seconds."""
    typed = fields.get("until", "")
    # Browsers leave out seconds that are none.
    typed += ":00" if typed.count(":") == 1 else ""
    return typed == until_text(known) and fields.get("timezone") == known.timezone


def user_of(fields: Mapping[str, str]) -> UserDraft:
    """A user with one role: everywhere, or in the project that is given. Raises InvalidInput."""
    role, project = fields.get("role"), fields.get("project")
    values: dict[str, Any] = {name: text for name, text in fields.items() if name != "project" and text}
    if project:
        values |= {"projects": {project.strip(): role}}
        values.pop("role", None)
    return validated(values, UserDraft, [])


def patch_of(draft: JobDraft) -> JobPatch:
    """Everything that a draft says, as changes to a job."""
    return JobPatch.of(draft, set(JobPatch.model_fields))


def schedule_patch_of(draft: ScheduleDraft) -> JobPatch:
    """What a draft says of the schedule, as changes to a job."""
    return JobPatch.of(draft, SCHEDULE)


def schedule_draft_of(fields: dict[str, str]) -> ScheduleDraft:
    """Those of the form's fields that make a schedule. Raises InvalidInput."""
    values = _values(fields)
    return validated({name: value for name, value in values.items() if name in SCHEDULE}, ScheduleDraft)


def model_of(fields: dict[str, str], model: type[Model]) -> Model:
    """The form's fields as a `model`; an empty field counts as left out. Raises InvalidInput."""
    return validated({name: value for name, value in fields.items() if value.strip()}, model)


def meant(fields: dict[str, str], model: type[BaseModel]) -> BaseModel:
    """The fields of a program's form as the `model` that JSON would be read as. Raises InvalidInput."""
    make = _MEANT.get(model)
    return validated(fields, model) if make is None else make(fields)


def _retry_order_of(fields: dict[str, str]) -> RetryOrder:
    rest = {name: text for name, text in fields.items() if name != "all"}
    wanted = validated(rest, RetryFilter).model_dump(exclude_none=True)
    return validated({"filter": wanted, "all": fields.get("all", "false")}, RetryOrder)


def channel_of(fields: Mapping[str, str], kept: ChannelSecrets | None = None) -> ChannelDraft:
    """The channel that a form describes, of the fields that its kind has. Raises InvalidInput.

    What is secret and left empty is what was `kept` of it.
    """
    values: dict[str, Any] = {name: text for name, text in fields.items() if text.strip()}
    field_errors = list[FieldError]()
    if "body" in values:
        values["body"] = _body(LINE_END.sub("\n", values["body"]), field_errors)
    if kept is not None:
        values = kept.model_dump(include={"url", "token", "chat", "body"}, exclude_none=True) | values
    kind = next((kind for kind in ChannelKind if kind == values.get("kind")), None)
    if kind is not None:
        own = {"name", "kind", *NEEDED[kind], *ALLOWED.get(kind, ())}
        known = {"url", "token", "chat", "recipients", "body"}
        values = {name: text for name, text in values.items() if name in own or name not in known}
    if "recipients" in values:
        parts = re.split(r"[\s,;]+", values["recipients"])
        values["recipients"] = [part for part in parts if part]
    return validated(values, ChannelDraft, field_errors)


def rule_of(fields: Mapping[str, str]) -> RuleDraft:
    """The rule that a form describes: the kinds of issues are boxes, those that are not ticked are not sent.

    Raises InvalidInput.
    """
    values: dict[str, Any] = {
        name: text for name, text in fields.items() if text.strip() and not name.startswith("kind-")
    }
    ticked = [name.removeprefix("kind-") for name in fields if name.startswith("kind-")]
    if ticked or "boxes" in values:
        values["kinds"] = ticked
    elif "kinds" in values:
        values["kinds"] = [part for part in re.split(r"[\s,]+", values["kinds"]) if part]
    if values.pop("boxes", None) is not None:
        values = {"reminds": "false", "recovers": "false", "service": "false"} | values
    return validated(values, RuleDraft)


def mute_of(fields: Mapping[str, str]) -> MuteDraft:
    """The mute that a form describes; what is given without an offset is UTC. Raises InvalidInput."""
    values = {
        name: _instant(text.strip(), "UTC") if name in {"since", "until"} and LOCAL.fullmatch(text) else text
        for name, text in fields.items()
        if text.strip()
    }
    return validated(values, MuteDraft)


def run_order_of(fields: dict[str, str]) -> RunOrder:
    """How to run a job now. Raises InvalidInput."""
    if not fields.get("body", "").strip():
        return validated({name: text for name, text in fields.items() if name != "body"}, RunOrder)
    field_errors = list[FieldError]()
    body = _body(LINE_END.sub("\n", fields["body"]), field_errors)
    return validated(fields | {"body": body}, RunOrder, field_errors)


def bulk_order_of(fields: Mapping[str, str]) -> BulkOrder:
    """The order that a form gives. Raises InvalidInput."""
    wanted: dict[str, Any] = {}
    pauseid = fields.get("pauseid", "").strip() or None
    if fields.get("scope") == "matching":
        wanted = {name: fields[name] for name in OF_FILTER if fields.get(name, "").strip()}
    elif fields.get("scope") == "selected" or pauseid is None or fields.get("jobids"):
        wanted = {"jobids": _picked(fields)}
    values: dict[str, Any] = {"action": fields.get("action", ""), "filter": wanted, "pauseid": pauseid}
    values["all"] = not wanted and pauseid is None
    if values["action"] == "pause":
        values |= {name: fields[name] for name in ("reason", "until") if fields.get(name, "").strip()}
    return validated(values, BulkOrder)


def _picked(fields: Mapping[str, str]) -> list[int]:
    picked = [int(found.group(1)) for name in fields if (found := PICKED.fullmatch(name))]
    picked += [int(text) for text in re.findall(r"\d{1,18}", fields.get("jobids", ""), re.ASCII)]
    if not picked:
        raise InvalidInput(FieldError(("jobids",), "Select at least one job, or choose all matching."))
    return picked


def _values(fields: dict[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        name: value for name, value in _of_kind(fields).items() if value.strip() and name not in ABOUT
    }
    if values.get("cron"):
        # A browser leaves out a box that is not ticked; a cron expression repeats by itself.
        values.setdefault("repeat", "true")
    chosen = {"cron": "cron", "every": "interval"}.get(fields.get("kind", ""))
    if chosen is not None:
        # What was chosen and left empty is what is missing, and no start.
        values.setdefault(chosen, "")
    for name, separators in (("exclude", SEPARATORS), ("calendars", SEPARATORS), ("tags", re.compile(","))):
        if name in values:
            values[name] = [part.strip() for part in separators.split(values[name]) if part.strip()]
    if "after_jobid" in values or fields.get("kind") == "after":
        after = {"jobid": values.pop("after_jobid", "").strip(), "on": values.pop("after_on", "finished")}
        # The form suggests a start, which is not meant then.
        values = {name: value for name, value in values.items() if name not in START} | {"after": after}
    values.pop("after_on", None)
    if LOCAL.fullmatch(values.get("until", "")):
        values["until"] = _instant(values["until"], values.get("timezone", "UTC"))
    return values


def _of_kind(fields: dict[str, str]) -> dict[str, str]:
    """The fields that matter for the kind of schedule that is chosen, if one is; others may hold anything."""
    kind, unit = fields.get("kind"), fields.get("unit", "1")
    if kind is None:
        return fields
    kept = {name: value for name, value in fields.items() if name not in OF_KIND}
    kept |= {name: fields.get(name, "") for name in KINDS.get(kind, ())}
    if kind == "cron":
        kept |= {name: fields.get(f"cron{name}", "") for name in START}
    if kind == "every":
        interval = kept["interval"].strip()
        is_plain = COUNT.fullmatch(interval) and COUNT.fullmatch(unit)
        kept |= {"repeat": "true", "interval": str(int(interval) * int(unit)) if is_plain else interval}
    return kept


def _target(fields: dict[str, str], field_errors: list[FieldError], known: Job | None) -> dict[str, Any]:
    """Those of the form's fields that make a target; what cannot be read goes to the errors."""
    found = {name.removeprefix(TARGET): text for name, text in fields.items() if name.startswith(TARGET)}
    values: dict[str, Any] = {name: text for name, text in found.items() if text.strip()}
    values["url"] = values["url"].strip()
    if "headers" in values:
        of_old = {} if known is None or known.target is None else known.target.headers
        values["headers"] = _headers(values["headers"], field_errors, of_old)
    for name in ("clientcert", "cacert", "oauth2_clientsecret"):
        if name in values:
            values[name] = {"secret": values[name].strip()}
    client = {
        name: values.pop(f"{OAUTH2}{name}") for name in OAuth2.model_fields if f"{OAUTH2}{name}" in values
    }
    if client:
        values["oauth2"] = {
            name: text.strip() if isinstance(text, str) else text for name, text in client.items()
        }
    typed = LINE_END.sub("\n", found.get("body", ""))
    if (
        known is not None
        and known.target is not None
        and typed == LINE_END.sub("\n", body_text(known.target.body))
    ):
        # Some text reads as JSON, some JSON as text: what was not touched stays what it was.
        values["body"] = known.target.body
    elif "body" in values:
        values["body"] = _body(typed, field_errors)
    for name in ("success", "retryon"):
        if name in values:
            values[name] = [part for part in SEPARATORS.split(values[name]) if part]
    return values


def _headers(text: str, field_errors: list[FieldError], known: Mapping[str, HeaderValue]) -> dict[str, Any]:
    """Lines such as `Name: value`. What a value is never becomes part of a message."""
    pairs: list[tuple[str, Any]] = []
    kept = plain(known)
    for number, line in enumerate(LINE_END.split(text), 1):
        name, colon, value = line.partition(":")
        if colon and value.strip() == MASK:
            pairs.append((name.strip(), kept.get(name.strip(), "")))
            if name.strip() not in kept:
                wrong = f"Line {number}: give the value of {name.strip()}."
                field_errors.append(FieldError(("target", "headers"), wrong))
        elif named := REFERENCE.fullmatch(value.strip()):
            pairs.append((name.strip(), {"secret": named[1]}))
        elif colon:
            pairs.append((name.strip(), value.strip()))
        elif line.strip():
            field_errors.append(
                FieldError(("target", "headers"), f"Line {number} must be a name, a colon and a value.")
            )
    counts = Counter(name for name, _ in pairs)
    field_errors += [
        FieldError(("target", "headers"), f"{name} is given twice.")
        for name in counts
        if counts[name] > 1 and name
    ]
    return dict(pairs)


def _body(text: str, field_errors: list[FieldError]) -> Any:
    """A JSON object or array as what it is; all else as text."""
    if not text.lstrip().startswith(("{", "[")):
        return text
    try:
        value = json.loads(text, object_pairs_hook=_members, parse_float=_finite, parse_constant=_no_constant)
        _check_depth(value, MAX_BODY_DEPTH)
    except _Unkept as error:
        field_errors.append(FieldError(("target", "body"), str(error)))
    except RecursionError:
        field_errors.append(FieldError(("target", "body"), TOO_DEEP))
    except ValueError:
        return text
    else:
        return value
    return None


def _check_depth(value: Any, left: int) -> None:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if left < 0:
        raise _Unkept(TOO_DEEP)
    for item in inner:
        _check_depth(item, left - 1)


class _Unkept(Exception):
    """JSON that would not be sent as it was typed."""


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Unkept("An object has the same name twice.")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise _Unkept("Holds too large a number.")
    return number


def _no_constant(name: str) -> None:
    raise ValueError(name)


def validated(values: dict[str, Any], model: type[Model], field_errors: Sequence[FieldError] = ()) -> Model:
    """The values as a `model`. Raises InvalidInput for them, and for the errors that are known already."""
    try:
        made = model.model_validate(values, strict=False)
    except ValidationError as error:
        further = field_errors_of(error.errors(include_url=False, include_input=False), model)
        raise InvalidInput(*field_errors, *further) from None
    if field_errors:
        raise InvalidInput(*field_errors)
    return made


def _instant(local: str, zone: str) -> str:
    """What clocks in the job's zone call `local`, with its offset."""
    try:
        wall = datetime.fromisoformat(local)
        return instant_of(wall, zone).astimezone(UTC).isoformat()
    except UnknownZone:
        # The zone has a message of its own.
        return f"{wall.isoformat()}Z"
    except (ValueError, OverflowError):
        raise InvalidInput(FieldError(("until",), "This date and time do not exist.")) from None


#: Of what a form is no plain list of fields.
_MEANT: dict[type[BaseModel], Callable[[dict[str, str]], BaseModel]] = {
    JobDraft: draft_of,
    ScheduleDraft: schedule_draft_of,
    RunOrder: run_order_of,
    BulkOrder: bulk_order_of,
    RetryOrder: _retry_order_of,
    ChannelDraft: channel_of,
    RuleDraft: rule_of,
    MuteDraft: mute_of,
}
