"""The client, generated from the document that is kept, as its package does when it is built."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "clients" / "python"


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The client can be imported; what the generator said."""
    folder = tmp_path_factory.mktemp("client") / "python"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("generated", "__pycache__"))
    options = ["--meta", "none", "--overwrite", "--config", "generator.yaml", "--fail-on-warning"]
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", "openapi.json", *options]
    command += ["--output-path", "src/scheduler_client/generated"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    sys.path.insert(0, str(folder / "src"))
    yield run.stdout + run.stderr
    sys.path.remove(str(folder / "src"))
