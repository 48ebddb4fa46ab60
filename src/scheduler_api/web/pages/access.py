"""Pages of who may come in: signing in, users, keys, projects and their secrets, what was done."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from scheduler_api.actors import ActorKind, Principal, Role
from scheduler_api.contracts.access.audit import AuditEvent, AuditObject
from scheduler_api.contracts.access.keys import Key, NewKey
from scheduler_api.contracts.access.projects import Project
from scheduler_api.contracts.access.users import MIN_PASSWORD, Invitation, User
from scheduler_api.contracts.jobs.changes import ChangeAction
from scheduler_api.contracts.jobs.secrets import ProjectSecret
from scheduler_api.database.access.sessions import SessionRow
from scheduler_api.errors import FieldError
from scheduler_api.web import filters, form
from scheduler_api.web.form import Typed
from scheduler_api.web.pages.rendering import Renderer


class AccessPages(Renderer):
    """Pages of who may come in: signing in, users, keys, projects and their secrets, what was done."""

    def sign_in(
        self, fields: Mapping[str, str], field_errors: Sequence[FieldError], *, can_keep: bool
    ) -> str:
        """The form to sign in; `can_keep`: whether the browser will keep a session."""
        messages = form.messages(field_errors, None)
        return self._render("sign_in.html", fields=fields, messages=messages, can_keep=can_keep)

    def set_password(
        self, name: str, token: str, field_errors: Sequence[FieldError], *, can_keep: bool
    ) -> str:
        """The form to set a password, for whom a link lets in."""
        return self._render(
            "set_password.html",
            name=name,
            token=token,
            shortest=MIN_PASSWORD,
            messages=form.messages(field_errors, None),
            can_keep=can_keep,
        )

    def account(
        self,
        now: datetime,
        principal: Principal,
        sessions: Sequence[SessionRow],
        issuer: str | None,
        field_errors: Sequence[FieldError],
    ) -> str:
        """Who has signed in, and where; `issuer` is the identity provider that let them in, if one did."""
        return self._render(
            "account.html",
            now=now,
            principal=principal,
            sessions=sessions,
            issuer=issuer,
            shortest=MIN_PASSWORD,
            messages=form.messages(field_errors, None),
        )

    def audit(
        self, now: datetime, found: Sequence[AuditEvent], further: str | None, query: Mapping[str, str]
    ) -> str:
        """What everybody did, with filters."""
        narrowed = filters.given(query, filters.OF_AUDIT)
        return self._render(
            "audit.html",
            now=now,
            found=found,
            further=further,
            first="cursor" not in query,
            filters=narrowed,
            kept=filters.given(query, filters.KEPT_OF_AUDIT),
            actors=list(ActorKind),
            objects=list(AuditObject),
            actions=list(ChangeAction),
        )

    def keys(
        self,
        now: datetime,
        found: Sequence[Key],
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
    ) -> str:
        """API keys, and the form for a new one, with what was typed and what is wrong with it."""
        return self._accesses("keys.html", now, found, fields, field_errors)

    def new_key(self, key: NewKey) -> str:
        """A new key, shown this once."""
        return self._render("new_key.html", key=key)

    def users(
        self,
        now: datetime,
        found: Sequence[User],
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
    ) -> str:
        """Users, and the form for a new one, with what was typed and what is wrong with it."""
        return self._accesses("users.html", now, found, fields, field_errors)

    def project_secrets(
        self,
        now: datetime,
        project: str,
        found: Sequence[ProjectSecret],
        further: str | None,
        typed: Typed,
    ) -> str:
        """A project's secrets, where they go on, and the form to set one with what was typed."""
        more = {"project": project, "further": further}
        return self._accesses("project_secrets.html", now, found, typed.fields, typed.field_errors, **more)

    def projects(
        self,
        now: datetime,
        found: Sequence[Project],
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
    ) -> str:
        """Projects, and the form for a new one, with what was typed and what is wrong with it."""
        return self._accesses("projects.html", now, found, fields, field_errors)

    def invitation(self, invitation: Invitation) -> str:
        """A link that lets a user in, shown this once."""
        return self._render("invitation.html", invitation=invitation)

    def _accesses(
        self,
        template: str,
        now: datetime,
        found: Sequence[Key] | Sequence[User] | Sequence[Project] | Sequence[ProjectSecret],
        fields: Mapping[str, str],
        field_errors: Sequence[FieldError],
        **more: str | None,
    ) -> str:
        messages = form.messages(field_errors, None)
        context = {"now": now, "found": found, "fields": fields, "messages": messages}
        return self._render(template, choices=list(Role), **context, **more)
