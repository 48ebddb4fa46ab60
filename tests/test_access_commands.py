"""scheduler-api users | keys | projects: how the first ones come in."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cryptography.fernet import Fernet
from sqlalchemy.engine import URL

from scheduler_api import admission, tokens
from scheduler_api.ciphers import Cipher
from scheduler_api.cli import main
from scheduler_api.database.engine import Database
from scheduler_api.database.jobs.secrets import ciphertexts
from scheduler_api.errors import Misconfigured
from scheduler_api.services.access import keys
from scheduler_api.services.jobs import secrets
from tests.factories import ACTOR, add_job, connected, rows
from tests.servers import dsn

Command = Callable[..., Awaitable[Result]]


@pytest.fixture
def command(scratch: URL, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("SCHEDULER_DATABASE_URL", dsn(scratch))
    monkeypatch.setenv("SCHEDULER_PUBLIC_URL", "https://jobs.example.com")
    # It would send all that is logged from then on to where the command writes.
    monkeypatch.setattr("scheduler_api.logs.configure", lambda *_, **__: None)
    monkeypatch.setattr("scheduler_api.console.unknown_variables", lambda _: [])

    async def run(*arguments: str) -> Result:
        # In a thread of its own: the command has an event loop, as the tests have.
        return await asyncio.to_thread(CliRunner().invoke, main, arguments)

    return run


async def test_a_user_comes_by_a_link(command: Command) -> None:
    added = await command("users", "add", "Anna@example.com", "--role", "admin")
    assert added.exit_code == 0
    link = added.stdout.strip()
    assert re.fullmatch(r"https://jobs\.example\.com/sign-in/[\w-]{43}", link)
    assert "once" in added.stderr
    again = (await command("users", "link", "ANNA@example.com")).stdout.strip()
    assert link != again
    await command("users", "add", "bert", "--role", "viewer")
    assert (await command("users", "role", "bert", "operator")).exit_code == 0
    assert [line.split()[:2] for line in (await command("users", "list")).stdout.splitlines()] == [
        ["anna@example.com", "admin"], ["bert", "operator"],
    ]  # fmt: skip
    assert (await command("users", "remove", "bert")).exit_code == 0
    assert "bert" not in (await command("users", "list")).stdout


async def test_roles_are_given_in_projects(command: Command) -> None:
    assert (await command("projects", "add", "billing", "--description", "Invoices")).exit_code == 0
    assert (await command("projects", "list")).stdout.splitlines() == ["billing  Invoices", "default"]
    added = ("--role", "editor", "--project", "billing")
    assert (await command("users", "add", "anna", *added)).exit_code == 0
    assert (await command("keys", "add", "deploy", *added)).exit_code == 0
    assert "anna  editor@billing" in (await command("users", "list")).stdout
    assert "deploy  editor@billing" in (await command("keys", "list")).stdout
    assert (await command("users", "role", "anna", "viewer")).exit_code == 0
    assert (await command("users", "role", "anna", "none", "--project", "billing")).exit_code == 0
    assert "anna  viewer  " in (await command("users", "list")).stdout
    # The key goes with its project.
    assert (await command("projects", "remove", "billing")).exit_code == 0
    assert (await command("keys", "list")).stdout == ""


async def test_the_audit_log_is_printed(command: Command) -> None:
    await command("users", "add", "anna", "--role", "viewer")
    await command("keys", "add", "deploy", "--role", "editor")
    newest, before = (await command("audit")).stdout.splitlines()
    assert re.fullmatch(r"20\S+Z  key added  by scheduler-api keys add, \S+  deploy, editor", newest)
    assert re.fullmatch(r"20\S+Z  user added  by scheduler-api users add, \S+  anna, viewer", before)
    assert (await command("audit", "--limit", "1")).stdout.splitlines() == [newest]
    assert (await command("audit", "--client", "carl")).stdout == ""


async def test_secrets_are_encrypted_with_the_newest_key(
    command: Command, scratch: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    database = connected(scratch, 1)
    made = []
    for key in (old, new):
        jobid = await add_job(database)
        made.append((await database.transact(secrets.add, ACTOR, jobid, Cipher([key]))).secret)
    for keys_given, said, code in (
        (new, "1 cannot be decrypted: SCHEDULER_SECRET_KEY lacks their key.", 69),
        (f"{new},{old}", "2 secrets are encrypted with the first key.", 0),
        (new, "2 secrets are encrypted with the first key.", 0),
    ):
        monkeypatch.setenv("SCHEDULER_SECRET_KEY", keys_given)
        done = await command("secrets", "rotate")
        assert (done.exit_code, said in done.output) == (code, True), done.output
    assert await database.read(secrets.unreadable, Cipher([new])) == 0
    assert await database.read(secrets.unreadable, Cipher([old])) == 2
    kept = [await database.read(ciphertexts, jobid) for jobid in (1, 2)]
    assert [Cipher([new]).decrypt(one) for (one,) in kept] == made
    await database.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("users", "add", "carl", "--role", "viewer", "--project", "nowhere"),
            "projects.nowhere: There is no such project.",
        ),
        (
            ("keys", "add", "carl", "--role", "admin", "--project", "default"),
            "project: An admin is so everywhere",
        ),
        (("projects", "remove", "nowhere"), "There is no project nowhere."),
        (("projects", "remove", "default"), "Jobs without a project of their own belong to default."),
        (("projects", "add", "No"), "name: Must be 1 to 50 lower-case letters"),
        (("users", "link", "carl"), "There is no user carl."),
        (("users", "remove", "carl"), "There is no user carl."),
        (("users", "add", "a b", "--role", "viewer"), "name: Must be 1 to 100 lower-case letters"),
        (("keys", "revoke", "7"), "There is no key 7."),
        (("keys", "add", " ", "--role", "viewer"), "name: "),
        (
            ("keys", "add", "old", "--role", "viewer", "--expires", "2001-01-01"),
            "expiresat: Must be in the future.",
        ),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else None,
)
async def test_what_cannot_be_done_is_one_line(
    command: Command, arguments: tuple[str, ...], said: str
) -> None:
    refused = await command(*arguments)
    assert refused.exit_code == 69
    assert refused.stderr.startswith(said)
    assert len(refused.stderr.splitlines()) == 1


async def test_the_last_admin_is_not_removed_by_mistake(command: Command) -> None:
    await command("users", "add", "anna", "--role", "admin")
    for arguments in (("remove", "anna"), ("role", "anna", "viewer")):
        assert "the only admin" in (await command("users", *arguments)).stderr


async def test_a_key_is_printed_and_nothing_else(command: Command) -> None:
    key = (
        await command("keys", "add", "deploy", "--role", "editor", "--expires", "2900-01-01")
    ).stdout.strip()
    assert tokens.is_key(key)
    (line,) = (await command("keys", "list")).stdout.splitlines()
    assert line.startswith(f"1  {key[:10]}…  deploy  editor")
    assert (await command("keys", "revoke", "1")).exit_code == 0
    assert (await command("keys", "list")).stdout == ""
    assert tokens.is_key((await command("keys", "new")).stdout.strip())


@pytest.fixture
async def opened(scratch: URL) -> Database:
    return connected(scratch, 1)


async def test_a_machine_lets_in_the_key_that_it_was_given(opened: Database, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{tokens.new_key()}\n")
    for _ in range(2):
        await admission.open_doors(opened, file)
    (key,) = await opened.read(keys.listing)
    assert (key.name, key.role) == ("bootstrap", "admin")
    await opened.transact(keys.revoke, admission.operator("tests"), key.keyid)
    # What somebody has revoked does not come back with the next start.
    await admission.open_doors(opened, file)
    assert await opened.read(keys.listing) == []
    assert [row[0] for row in await rows(opened, "SELECT action FROM auditevent ORDER BY 1")] == [
        "keyadded", "keyrevoked",
    ]  # fmt: skip
    for text in ("", "sch_nothing"):
        await asyncio.to_thread(file.write_text, text)
        with pytest.raises(Misconfigured, match="holds no API key"):
            await admission.open_doors(opened, file)
    with pytest.raises(Misconfigured, match="cannot be read"):
        await admission.open_doors(opened, tmp_path / "nowhere")
    await opened.close()


async def test_replicas_that_start_together_let_in_the_same_key(scratch: URL, tmp_path: Path) -> None:
    file = tmp_path / "key"
    await asyncio.to_thread(file.write_text, tokens.new_key())
    databases = [connected(scratch, 1) for _ in range(4)]
    await asyncio.gather(*(admission.open_doors(database, file) for database in databases))
    assert len(await databases[0].read(keys.listing)) == 1
    for database in databases:
        await database.close()
