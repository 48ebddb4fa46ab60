"""Folders of all sorts, and users of all sorts."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from scheduler_api.embedded import server
from scheduler_api.embedded.server import EmbeddedServer, EmbeddedServerError, installed_programs

from .conftest import (
    AS_ROOT,
    Embed,
    Serve,
    User,
    as_root_only,
    ask,
    lives,
    mode,
    read,
    server_of,
    supervisor_of,
    write,
)

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
NAMES = {
    "spaces and umlauts": "Füße im Schnee  ä",
    "quotes": "it's \"quoted\" 'so'",
    "a comma": "one, two",
    "a colon and a percent sign": "a:5432%20%s",
    "a long one": "/".join(["x" * 100] * 3),
}


def moved(data_dir: Path, name: str) -> Path:
    target = data_dir.parent / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return data_dir.rename(target)


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
async def test_any_path_will_do(name: str, embed: Embed, data_dir: Path) -> None:
    data_dir = moved(data_dir, name)
    first, second = embed(data_dir), embed(data_dir)
    await write(make_url((await first.start()).render_as_string()), "kept")
    orphan = server_of(data_dir)
    os.kill(supervisor_of(data_dir), 9)
    await first.ended()
    assert second.url == first.url
    assert await read(await second.start()) == ["kept"]
    assert not lives(orphan)


def test_a_long_path_has_its_socket_in_a_temporary_folder(folder: Path) -> None:
    long = EmbeddedServer(folder / ("x" * 200))
    assert long.socket_dir.parent == Path(tempfile.gettempdir())
    assert EmbeddedServer(folder / ("x" * 199)).socket_dir != long.socket_dir
    assert EmbeddedServer(folder / "data").socket_dir == folder / "data" / "socket"


def test_a_long_temporary_folder_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(folder / ("x" * 100)))
    assert EmbeddedServer(folder / ("x" * 200)).socket_dir.parent == Path("/tmp")


@pytest.mark.parametrize("length", range(60, 110, 7))
def test_no_socket_path_is_longer_than_the_system_allows(length: int, folder: Path) -> None:
    postgres = EmbeddedServer(folder / ("ü" * length))
    assert len(os.fsencode(postgres.socket_dir / ".s.PGSQL.5432")) <= server.SOCKET_PATH_LIMIT


async def test_a_link_in_place_of_the_temporary_folder_is_refused(embed: Embed, data_dir: Path) -> None:
    postgres = embed(moved(data_dir, NAMES["a long one"]))
    elsewhere = data_dir.parent / "elsewhere"
    elsewhere.mkdir(0o777)
    postgres.socket_dir.symlink_to(elsewhere)
    try:
        with pytest.raises(EmbeddedServerError, match=f"{postgres.socket_dir} does not belong to user"):
            await postgres.start()
    finally:
        postgres.socket_dir.unlink()
    assert not any(elsewhere.iterdir())


@as_root_only
async def test_a_temporary_folder_of_somebody_else_is_refused(embed: Embed, data_dir: Path) -> None:
    postgres = embed(moved(data_dir, NAMES["a long one"]))
    postgres.socket_dir.mkdir()
    os.chown(postgres.socket_dir, 4711, 4711)
    try:
        with pytest.raises(EmbeddedServerError, match=f"{postgres.socket_dir} does not belong to user"):
            await postgres.start()
    finally:
        postgres.socket_dir.rmdir()


def test_a_folder_that_may_not_be_written_to_is_named(
    serve: Serve, folder: Path, data_dir: Path, ordinary_user: User
) -> None:
    closed = folder / "closed"
    closed.mkdir(0o555)
    refused = serve(closed / "data", user=ordinary_user).tells("refused")
    assert refused.startswith(f"{closed}/data cannot be used (Permission denied): set SCHEDULER_DATA_DIR")
    (data_dir / "cluster.lock").unlink()
    data_dir.chmod(0o555)
    refused = serve(data_dir, user=ordinary_user).tells("refused")
    data_dir.chmod(0o700)
    assert refused.startswith(f"{data_dir}/cluster.lock cannot be used (Permission denied): set")


@as_root_only
def test_a_disk_that_is_mounted_for_reading_is_named(serve: Serve, data_dir: Path) -> None:
    mount = f'mount --bind -o ro {data_dir} {data_dir} 2>/dev/null && exec "$0" "$@"'
    reader = User(0, 0, ["unshare", "-m", "sh", "-c", mount])
    if subprocess.run([*reader.switch, "true"], check=False).returncode:
        pytest.skip("no mounts here")
    refused = serve(data_dir, user=reader).tells("refused")
    assert "cannot be used (Read-only file system): set SCHEDULER_DATA_DIR" in refused


async def test_a_file_in_place_of_the_folder_is_named(embed: Embed, folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(EmbeddedServerError, match=r"/file cannot be used \(File exists\)"):
        await embed(folder / "file").start()


async def test_data_of_another_version_is_left_as_it_is(embed: Embed, data_dir: Path) -> None:
    version = data_dir / "cluster" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(EmbeddedServerError, match=r"of PostgreSQL 17, the programs are of PostgreSQL 18"):
        await embed(data_dir).start()
    version.write_text("18\n")
    assert await ask(await embed(data_dir).start(), "SELECT 1") == 1


@pytest.mark.skipif(not POSTGRES_15.exists(), reason="no PostgreSQL 15 here")
async def test_data_of_postgres_15_is_left_to_postgres_15(embed: Embed, folder: Path) -> None:
    older = embed(folder / "data", programs=POSTGRES_15)
    await write(await older.start(), "kept")
    assert (await ask(older.url, "SHOW server_version")).startswith("15.")
    assert await ask(older.url, "SHOW data_checksums") == "on"
    await older.stop()
    with pytest.raises(EmbeddedServerError, match="pg_upgrade or pg_dump, or set SCHEDULER_DATA_DIR"):
        await embed(folder / "data").start()
    assert await read(await older.start()) == ["kept"]


async def test_a_bare_postgres_data_folder_is_left_alone(embed: Embed, data_dir: Path) -> None:
    cluster = data_dir / "cluster"
    before = sorted(cluster.iterdir())
    with pytest.raises(EmbeddedServerError, match="is a PostgreSQL data folder itself"):
        await embed(cluster).start()
    assert sorted(cluster.iterdir()) == before


def test_an_empty_folder_is_made_private(folder: Path) -> None:
    (folder / "empty").mkdir(0o755)
    server.make_data_dir(folder / "empty")
    assert mode(folder / "empty") == 0o700


async def test_a_folder_with_other_things_keeps_its_mode(embed: Embed, data_dir: Path) -> None:
    (data_dir / "socket").rmdir()
    data_dir.chmod(0o755)
    await embed(data_dir).start()
    assert mode(data_dir) == 0o755
    assert [mode(data_dir / name) for name in ("cluster", "socket")] == [0o700, 0o700]


def owner_of(pid: int) -> str:
    return subprocess.check_output(["ps", "-o", "user=", "-p", str(pid)], text=True).strip()


@as_root_only
async def test_root_changes_nothing_above_the_data(embed: Embed, folder: Path) -> None:
    data_dir = folder / "above" / "data"
    data_dir.parent.mkdir(0o711)
    above = [(path, path.stat().st_mode, path.stat().st_uid) for path in data_dir.parents]
    postgres = embed(data_dir)
    await postgres.start()
    assert above == [(path, path.stat().st_mode, path.stat().st_uid) for path in data_dir.parents]
    assert owner_of(server_of(data_dir)) == data_dir.owner() in server.SERVER_USERS
    assert {path.owner() for path in data_dir.rglob("*")} == {data_dir.owner()}
    assert mode(data_dir) == 0o700


@as_root_only
async def test_root_refuses_a_folder_of_root_with_other_things(embed: Embed, folder: Path) -> None:
    (folder / "other").touch()
    with pytest.raises(EmbeddedServerError, match=r"belongs to root.*: give it to a user \(chown\), or set"):
        await embed(folder).start()


@as_root_only
async def test_root_says_that_the_server_cannot_reach_a_closed_folder(embed: Embed, folder: Path) -> None:
    (folder / "closed").mkdir(0o700)
    with pytest.raises(EmbeddedServerError, match=r"to a folder that user .* can reach and write"):
        await embed(folder / "closed" / "data").start()


@as_root_only
async def test_programs_in_a_closed_folder_are_copied(embed: Embed, data_dir: Path) -> None:
    package = installed_programs().parents[1]
    closed = data_dir.parent / "closed"
    closed.mkdir(0o700)
    for part in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(part, closed / part.name)
    for _ in range(2):
        postgres = embed(data_dir, programs=closed / package.name / "pginstall" / "bin")
        await write(await postgres.start(), "kept")
        await postgres.stop()
    (copies,) = data_dir.glob("*programs*")
    assert copies.name == "programs-18.6"
    assert copies.owner() == "root"
    assert not (copies / package.name / "pginstall" / "include").exists()


@as_root_only
async def test_other_programs_in_a_closed_folder_are_named(embed: Embed, data_dir: Path) -> None:
    closed = data_dir.parent / "closed"
    closed.mkdir(0o700)
    (closed / "postgres").symlink_to(installed_programs() / "postgres")
    with pytest.raises(EmbeddedServerError, match=f"PostgreSQL runs, cannot run {closed}"):
        await embed(data_dir, programs=closed).start()


@as_root_only
def test_a_user_starts_with_an_empty_folder(serve: Serve, folder: Path, ordinary_user: User) -> None:
    os.chown(folder, ordinary_user.uid, ordinary_user.gid)
    serve(folder / "data", user=ordinary_user).tells("started")
    assert owner_of(server_of(folder / "data")) == (folder / "data").owner() == "nobody"


@as_root_only
def test_a_user_is_told_that_the_data_belongs_to_another(serve: Serve, data_dir: Path) -> None:
    reach = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    other = User(4711, 4711, ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups", *reach])
    refused = serve(data_dir, user=other).tells("refused")
    assert "cannot be used (Permission denied): set SCHEDULER_DATA_DIR" in refused


@as_root_only
def test_a_user_without_a_name_is_told_to_get_one(serve: Serve, folder: Path) -> None:
    reach = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    other = User(4711, 4711, ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups", *reach])
    (folder / "data").mkdir()
    os.chown(folder / "data", other.uid, other.gid)
    assert "name for user id 4711: add one (useradd)" in serve(folder / "data", user=other).tells("refused")


@pytest.mark.skipif(not AS_ROOT, reason="the fallback needs root")
def test_root_runs_the_server_as_nobody_where_there_is_no_postgres(
    monkeypatch: pytest.MonkeyPatch, ordinary_user: User
) -> None:
    monkeypatch.setattr(server, "SERVER_USERS", ("no-such-user", "nobody"))
    assert server.server_account() == (ordinary_user.uid, ordinary_user.gid)
    monkeypatch.setattr(server, "SERVER_USERS", ("no-such-user",))
    with pytest.raises(EmbeddedServerError, match="start the service as an ordinary user"):
        server.server_account()
