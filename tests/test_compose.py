"""What compose starts with: secrets of its own, and no other way in."""

import re
import shutil
import stat
import subprocess
from pathlib import Path

from scheduler_api.ciphers import is_key as is_secret_key
from scheduler_api.embedded.server import SETTINGS
from scheduler_api.tokens import is_key

TOP = Path(__file__).parents[1]


def made_in(folder: Path) -> tuple[dict[str, str], str, str]:
    """What is in .env, the API key, and what was said."""
    done = subprocess.run([folder / "deploy/secrets.sh"], capture_output=True, text=True, check=True)
    lines = (folder / ".env").read_text().splitlines()
    key = (folder / "deploy/secrets/bootstrap-key").read_text()
    return dict(line.split("=", 1) for line in lines), key.strip(), done.stdout


def test_the_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    shutil.copy(TOP / "deploy/secrets.sh", tmp_path / "deploy")
    (tmp_path / ".env").write_text("SCHEDULER_PORT=5001\n")
    environment, key, said = made_in(tmp_path)
    assert is_key(key)
    assert is_secret_key(environment["SECRET_KEY"])
    assert re.fullmatch(r"[A-Za-z0-9]{32}", environment["POSTGRES_PASSWORD"])
    assert environment["SCHEDULER_PORT"] == "5001"
    assert not any(secret in said for secret in (key, *environment.values()))
    # Others on the machine do not reach the key, which the service in its container can read.
    assert stat.S_IMODE((tmp_path / "deploy/secrets").stat().st_mode) == 0o700
    assert made_in(tmp_path) == (environment, key, "")


def test_compose_does_not_start_without_secrets(tmp_path: Path) -> None:
    """There is no default for any of them."""
    composed = (TOP / "compose.yaml").read_text()
    for name in ("POSTGRES_PASSWORD", "SECRET_KEY"):
        assert set(re.findall(rf"\$\{{{name}(:.)", composed)) == {":?"}
    assert "SCHEDULER_AUTH: required" in composed


def test_nobody_comes_in_beside_the_proxy_that_signs_in() -> None:
    """It alone is reached, and it drops what users send in its place."""
    composed = (TOP / "deploy/compose.proxy.yaml").read_text()
    assert "balancer:\n    ports: !reset []" in composed
    lines = [line.strip() for line in (TOP / "deploy/haproxy-sign-in.cfg").read_text().splitlines()]
    for header in ("remote-user", "remote-groups"):
        named = [n for n, line in enumerate(lines) if header in line]
        assert lines[named[0]] == f"http-request del-header {header}"
        assert named[1:], "it is set after that"


def test_the_server_is_set_as_the_how_to_recommends() -> None:
    """So is the embedded one, which was built without lz4."""
    page = (TOP / "docs/how-to/postgres.md").read_text()
    recommended = dict(
        re.findall(r"^(\w+) = (\S+)", page.partition("```ini\n")[2].partition("```")[0], re.MULTILINE)
    )
    assert "autovacuum_naptime" in recommended
    assert recommended | {"wal_compression": "off"} == {name: SETTINGS[name] for name in recommended}
    given = dict(re.findall(r"^ +- -c(\w+)=(\S+)$", (TOP / "compose.yaml").read_text(), re.MULTILINE))
    assert recommended == {name: given.get(name) for name in recommended}
