"""scheduler-api users | keys | projects | secrets: who may come in, for who has access to the database."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, TypeVar

import click
from pydantic import BaseModel, ValidationError

from scheduler_api.actors import Role
from scheduler_api.admission import operator
from scheduler_api.console import connected, fail, read_settings, run
from scheduler_api.contracts.access.keys import KeyDraft
from scheduler_api.contracts.access.projects import ProjectDraft
from scheduler_api.contracts.access.users import Invitation, UserDraft
from scheduler_api.contracts.validation import field_errors_of
from scheduler_api.contracts.values import MAX_ID
from scheduler_api.database.engine import Database
from scheduler_api.database.jobs.changes import ChangeFilter
from scheduler_api.database.jobs.project_secrets import FIRST
from scheduler_api.databases import cipher_of
from scheduler_api.errors import InvalidInput, SecretsUnavailable
from scheduler_api.services.access import audit as audit_services
from scheduler_api.services.access import keys as key_services
from scheduler_api.services.access import projects as project_services
from scheduler_api.services.access import users as user_services
from scheduler_api.services.jobs import secrets as secret_services
from scheduler_api.settings import Settings
from scheduler_api.tokens import new_key
from scheduler_api.wording.jobs import action, differences

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

ROLE = click.Choice([role.value for role in Role])
#: Names are in lower case.
NAME: Callable[[str], str] = str.lower
needs_role = click.option("--role", type=ROLE, required=True, help="What they may do.")
in_project = click.option("--project", help="Where they may do so (default: everywhere).")


@click.group("users")
def user_commands() -> None:
    """Add, change and remove users, and make links for them to set a password."""


@user_commands.command("add")
@click.argument("name")
@needs_role
@in_project
def add_user(name: str, role: str, project: str | None) -> None:
    """Add a user, and print a link that lets them in once."""
    roles = {"role": role} if project is None else {"projects": {project: role}}
    draft = _made(UserDraft, name=name, **roles)
    _tell_link(
        _do(
            lambda database, settings: database.transact(
                user_services.add, operator("users add"), draft, settings.base_url
            )
        )
    )


@user_commands.command("link")
@click.argument("name", type=NAME)
def link_user(name: str) -> None:
    """Print a link by which a user sets another password, such as a lost one."""

    async def make(database: Database, settings: Settings) -> Invitation:
        userid = await database.read(user_services.id_of, name)
        return await database.transact(
            user_services.invite, operator("users link"), userid, settings.base_url
        )

    _tell_link(_do(make))


@user_commands.command("role")
@click.argument("name", type=NAME)
@click.argument("role", type=click.Choice([*ROLE.choices, "none"]))
@in_project
def change_role(name: str, role: str, project: str | None) -> None:
    """Let a user do other things: everywhere, or in a project."""
    wanted = None if role == "none" else role

    async def change(database: Database, _: Settings) -> None:
        userid = await database.read(user_services.id_of, name)
        await database.transact(user_services.give, operator("users role"), userid, project, wanted)

    _do(change)
    click.echo(f"{name} is {role} now{f' in {project}' if project else ''}.")


@user_commands.command("remove")
@click.argument("name", type=NAME)
@click.option("--erase", is_flag=True, help="Take the name out of the audit log, too.")
def remove_user(name: str, erase: bool) -> None:
    """Remove a user, who is signed out everywhere."""

    async def remove(database: Database, _: Settings) -> None:
        userid = await database.read(user_services.id_of, name)
        await database.transact(user_services.remove, operator("users remove"), userid, erase=erase)

    _do(remove)
    click.echo(f"{name} is removed.")


@user_commands.command("list")
def list_users() -> None:
    """Print all users."""
    for user in _do(lambda database, _: database.read(user_services.listing)):
        seen = f"last seen {user.lastseen:%Y-%m-%dT%H:%M:%SZ}" if user.lastseen else "never seen"
        roles = ([user.role.value] if user.role else []) + [
            f"{r.value}@{p}" for p, r in user.projects.items()
        ]
        click.echo(f"{user.name}  {', '.join(roles) or 'no role'}  {seen}")


@click.group("keys")
def key_commands() -> None:
    """Add and revoke API keys."""


@key_commands.command("new")
def print_key() -> None:
    """Print a new key for SCHEDULER_BOOTSTRAP_KEY_FILE. Nothing knows it yet."""
    click.echo(new_key())


@key_commands.command("add")
@click.argument("name")
@needs_role
@in_project
@click.option(
    "--expires", type=click.DateTime(["%Y-%m-%d"]), help="The day from which it stops working, in UTC."
)
def add_key(name: str, role: str, project: str | None, expires: datetime | None) -> None:
    """Add an API key, and print it."""
    until = None if expires is None else f"{expires:%Y-%m-%d}T00:00:00Z"
    draft = _made(KeyDraft, name=name, role=role, project=project, expiresat=until)
    added = _do(lambda database, _: database.transact(key_services.add, operator("keys add"), draft))
    click.echo(added.key)
    click.echo(f"This is key {added.keyid}; it is not shown again.", err=True)


@key_commands.command("revoke")
@click.argument("keyid", type=click.IntRange(1))
def revoke_key(keyid: int) -> None:
    """Let an API key let in no more."""
    _do(lambda database, _: database.transact(key_services.revoke, operator("keys revoke"), keyid))
    click.echo(f"Key {keyid} is revoked.")


@key_commands.command("list")
def list_keys() -> None:
    """Print all API keys that are not revoked, without what they are."""
    for key in _do(lambda database, _: database.read(key_services.listing)):
        used = f"last used {key.lastused:%Y-%m-%dT%H:%M:%SZ}" if key.lastused else "never used"
        role = key.role if key.project is None else f"{key.role}@{key.project}"
        click.echo(f"{key.keyid}  {key.prefix}…  {key.name}  {role}  {used}")


@click.group("projects")
def project_commands() -> None:
    """Add and remove projects, to which jobs, keys and roles belong."""


@project_commands.command("add")
@click.argument("name")
@click.option("--description", default="", help="What it is for.")
def add_project(name: str, description: str) -> None:
    """Add a project."""
    draft = _made(ProjectDraft, name=name, description=description)
    _do(lambda database, _: database.transact(project_services.add, operator("projects add"), draft))
    click.echo(f"{draft.name} is added.")


@project_commands.command("remove")
@click.argument("name")
def remove_project(name: str) -> None:
    """Remove a project that has no jobs, with its keys and what users may do in it."""
    _do(lambda database, _: database.transact(project_services.remove, operator("projects remove"), name))
    click.echo(f"{name} is removed.")


@project_commands.command("list")
def list_projects() -> None:
    """Print all projects."""
    for one in _do(lambda database, _: database.read(project_services.listing, None)):
        click.echo(f"{one.name}  {one.description}".rstrip())


@click.command("audit")
@click.option("--client", help="Only what this user or key did.")
@click.option("--jobid", type=click.IntRange(1), help="Only what was done to this job.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="How many.")
def show_audit(client: str | None, jobid: int | None, limit: int) -> None:
    """Print who did what, newest first."""
    wanted = ChangeFilter(client=client, jobid=jobid)
    for event in _do(lambda database, _: database.read(audit_services.events, wanted, MAX_ID, limit)):
        by = f"{event.client or 'schedule'}{f' ({event.address})' if event.address else ''}"
        job = "" if event.jobid is None else f" job {event.jobid}"
        said = "; ".join(differences(event))
        click.echo(f"{event.at:%Y-%m-%dT%H:%M:%SZ}  {action(event)}{job}  by {by}  {said}".rstrip())


@click.group("secrets")
def secret_commands() -> None:
    """Look after what signs requests to targets, and lets them in there."""


@secret_commands.command("rotate")
def rotate_secrets() -> None:
    """Encrypt all secrets with the first of the keys in SCHEDULER_SECRET_KEY."""

    async def rotate(database: Database, settings: Settings) -> tuple[int, int]:
        cipher, done, lost, after = cipher_of(settings), 0, 0, FIRST
        while True:
            part = await database.transact(secret_services.rotate, cipher, after)
            if part.last is None:
                return done, lost
            done, lost, after = done + part.done, lost + part.lost, part.last

    done, lost = _do(rotate)
    click.echo(f"{done} secrets are encrypted with the first key.")
    if lost:
        fail(SecretsUnavailable(f"{lost} cannot be decrypted: SCHEDULER_SECRET_KEY lacks their key."))


def _do(work: Callable[[Database, Settings], Awaitable[T]]) -> T:
    settings = read_settings()

    async def do() -> T:
        async with connected(settings) as database:
            return await work(database, settings)

    return run(settings, do())


def _made(model: type[Model], **values: Any) -> Model:
    """The values as a model; what is wrong with them ends the process."""
    try:
        return model.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        fail(InvalidInput(*field_errors_of(error.errors(include_url=False, include_input=False))))


def _tell_link(invitation: Invitation) -> None:
    click.echo(invitation.link)
    click.echo(
        f"It lets {invitation.user.name} set a password, once, until "
        f"{invitation.expiresat:%Y-%m-%dT%H:%M:%SZ}.",
        err=True,
    )
