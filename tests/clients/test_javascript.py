"""JavaScript programs, where npm is there: generated types, and libraries that verify signatures."""

import base64
import hashlib
import json
import shutil
import subprocess
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scheduler_api.targets import signatures
from tests.clients.conftest import FOLDER

HERE = Path(__file__).with_name("javascript")
#: Kinds of bodies, as they are sent.
BODIES = {
    "json": '{"a": "é"}'.encode(),
    "empty": b"",
    "text": "Grüße".encode(),
    "latin": "Grüße".encode("latin-1"),
}
JSON_ONLY = ["ok", "SyntaxError", "SyntaxError", "WebhookVerificationError"]

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm")


@pytest.fixture(scope="module")
def packages() -> Path:
    """A folder with the packages, installed once on a machine."""
    digest = hashlib.sha256((HERE / "package.json").read_bytes()).hexdigest()[:12]
    folder = Path(__file__).parents[2] / ".cache" / "javascript" / digest
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        shutil.copy(HERE / "package.json", made)
        run("npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", cwd=made)
        try:
            made.rename(folder)
        except OSError:
            # Another worker was first.
            shutil.rmtree(made)
    return folder


def run(*command: str, cwd: Path, stdin: str = "") -> str:
    done = subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_types_are_generated_and_hold(packages: Path, tmp_path: Path) -> None:
    (tmp_path / "node_modules").symlink_to(packages / "node_modules")
    shutil.copy(HERE / "client.ts", tmp_path)
    run(
        "npx",
        "openapi-typescript",
        str(FOLDER / "openapi.json"),
        "--default-non-nullable=false",
        "-o",
        "schema.d.ts",
        cwd=tmp_path,
    )
    run("npx", "tsc", "--strict", "--noEmit", "client.ts", "schema.d.ts", cwd=tmp_path)


@pytest.mark.parametrize(
    ("library", "options", "found"),
    [
        ("standardwebhooks", {}, ["ok", "ok", "SyntaxError", "WebhookVerificationError"]),
        ("standardwebhooks", {"jsonParse": False}, ["ok", "ok", "ok", "WebhookVerificationError"]),
        ("svix", {}, JSON_ONLY),
    ],
)
def test_libraries_verify_as_the_page_on_targets_says(
    packages: Path, library: str, options: dict[str, bool], found: list[str]
) -> None:
    secret, now = signatures.new_secret(), datetime.now(UTC)
    cases = [
        {
            "body": base64.b64encode(body).decode(),
            "headers": {
                "webhook-id": "msg_1",
                "webhook-timestamp": str(int(now.timestamp())),
                "webhook-signature": signatures.sign([secret], "msg_1", now, body),
            },
        }
        for body in BODIES.values()
    ]
    given = json.dumps({"secret": secret, "cases": cases})
    script = shutil.copy(HERE / "verify.cjs", packages)
    said = run("node", str(script), library, json.dumps(options), cwd=packages, stdin=given)
    assert said.split() == found
