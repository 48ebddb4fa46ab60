"""Changes to jobs, as their authors write them."""

from typing import Annotated, Any

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    model_validator,
)

from scheduler_api.contracts.jobs.fields import READ_ONLY, UNSCHEDULED, After, JobFields, Monitor
from scheduler_api.contracts.jobs.targets import TargetPatch
from scheduler_api.contracts.values import MAX_ID, without_defaults, without_nulls

#: What no edit changes: what the service decides, and what has verbs of its own.
NOT_EDITED = READ_ONLY | {"active"}


def merge(current: Any, changes: Any) -> Any:
    """A JSON document with the changes of a merge patch (RFC 7396); at the top, null is a value."""
    return current | {name: _merged(current.get(name), value) for name, value in changes.items()}


def _merged(current: Any, changes: Any) -> Any:
    if not isinstance(changes, dict):
        return changes
    known = current if isinstance(current, dict) else {}
    merged = known | {name: _merged(known.get(name), value) for name, value in changes.items()}
    return {name: value for name, value in merged.items() if value is not None or name not in changes}


class AfterPatch(After):
    """Changes to what a job runs after."""

    model_config = ConfigDict(json_schema_extra=lambda schema: without_defaults(schema, {"on": "any"}))

    jobid: Annotated[int, Field(ge=1, le=MAX_ID)] = Field(0, description="The upstream job.")


class MonitorPatch(Monitor):
    """Changes to a job's monitor."""

    model_config = ConfigDict(json_schema_extra=lambda schema: without_defaults(schema, {"timeout": 7200}))


class JobPatch(JobFields):
    """Changes to a job: what is left out stays as it is."""

    model_config = ConfigDict(
        json_schema_extra=lambda schema: without_defaults(
            schema, {"jobname": "Nightly report, new"}, {"cron": "0 3 * * *"}, {"target": {"timeout": 5}}
        )
    )

    after: AfterPatch | None = Field(None, description="The changes to it; null: a schedule of its own.")
    target: TargetPatch | None = Field(None, description="The changes to it; null: no target any more.")
    monitor: MonitorPatch | None = Field(None, description="The changes to it; null: no monitor any more.")

    _seen: dict[str, Any] = PrivateAttr(default_factory=dict)
    _gone: list[str] = PrivateAttr(default_factory=list)
    _is_whole: bool = PrivateAttr(False)

    @classmethod
    def of(cls, draft: JobFields, fields: set[str]) -> "JobPatch":
        """These fields of a draft, each as a whole: what is in them now and not in the draft goes."""
        patch = cls.model_validate_json(draft.model_dump_json(include=fields))
        patch._is_whole = True  # noqa: SLF001 - its own
        return patch

    @model_validator(mode="wrap")
    @classmethod
    def _set_apart(cls, data: Any, handler: ModelWrapValidatorHandler["JobPatch"]) -> "JobPatch":
        rest, gone = without_nulls(cls, data)
        if not isinstance(rest, dict):
            return handler(rest)
        patch = handler({name: value for name, value in rest.items() if name not in NOT_EDITED})
        patch._gone.extend(gone)  # noqa: SLF001 - its own class
        patch._seen.update({name: value for name, value in data.items() if name in NOT_EDITED})  # noqa: SLF001 - its own class
        return patch

    @property
    def seen(self) -> dict[str, Any]:
        """What cannot be edited, as the client has seen it: it must be so still."""
        return self._seen

    @property
    def changes(self) -> dict[str, Any]:
        """What was given, as JSON has it; null: it becomes what it is without being given."""
        given = self.model_dump(mode="json", exclude_unset=True)
        if self.target is not None and "target" in given:
            given["target"] = self.target.changes
        return given | dict.fromkeys(self._gone)

    def applied_to(self, current: dict[str, Any]) -> dict[str, Any]:
        """The fields of a job with these changes; the kind of schedule follows the field that is given."""
        changes = self.changes
        merged = current | changes if self._is_whole else merge(current, changes)
        if changes.get("after") is not None:
            merged |= {name: none for name, none in UNSCHEDULED.items() if name not in changes}
            return self._without_gone(merged)
        if "after" not in changes and UNSCHEDULED.keys() & changes.keys():
            merged["after"] = None
        if changes.get("delay") is not None:
            merged |= dict.fromkeys({"startdate", "starttime"} - changes.keys())
        if changes.get("cron") is not None and "interval" not in changes:
            merged["interval"] = None
        if changes.get("interval") is not None and "cron" not in changes:
            merged["cron"] = None
        if "repeat" not in changes and {"cron", "interval"} & changes.keys():
            merged["repeat"] = merged["cron"] is not None or merged["interval"] is not None
        return self._without_gone(merged)

    def _without_gone(self, merged: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in merged.items() if value is not None or name not in self._gone}
