"""Generates the calls and models from openapi.json when the package is built."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent


class Generate(BuildHookInterface):  # type: ignore[type-arg,misc]  # untyped
    """Runs openapi-python-client."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - as hatch calls it
        """Write `src/scheduler_client/generated`."""
        options = ["--meta", "none", "--overwrite", "--config", "generator.yaml"]
        command = [
            sys.executable,
            "-m",
            "openapi_python_client",
            "generate",
            "--path",
            "openapi.json",
            *options,
        ]
        subprocess.run([*command, "--output-path", "src/scheduler_client/generated"], cwd=ROOT, check=True)
