"""The composed services, seen from outside: by the engine's commands and by the API.

COMPOSE and ENGINE name the commands to use, such as "docker compose" and "docker".
"""

import json
import os
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from typing import Any

from load import ask

COMPOSE = shlex.split(os.environ["COMPOSE"])
ENGINE = shlex.split(os.environ["ENGINE"])


def attempt(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def engine(*arguments: str) -> str:
    return _must(*ENGINE, *arguments)


def compose(*arguments: str) -> str:
    return _must(*COMPOSE, *arguments)


def _must(*command: str) -> str:
    done = attempt(*command)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}: {done.stderr.strip()}")
    return done.stdout


def containers(service: str, *, ended: bool = False) -> list[str]:
    return compose("ps", "--quiet", *(["--all"] if ended else []), service).split()


def exit_code(service: str) -> int:
    return int(engine("inspect", "--format", "{{.State.ExitCode}}", *containers(service, ended=True)))


def published_ports() -> set[tuple[str, int]]:
    """The addresses and ports of this machine that lead to a service."""
    services = [json.loads(line) for line in compose("ps", "--format", "json").splitlines()]
    ports = [port for service in services for port in service["Publishers"] or []]
    return {(port["URL"], port["PublishedPort"]) for port in ports if port["PublishedPort"]}


def replicas_that_answered(since: int = 0) -> tuple[set[str], int]:
    """The replicas in the balancer's log after so many lines, and how many lines it has."""
    lines = compose("logs", "--no-color", "--no-log-prefix", "balancer").splitlines()
    found = (re.search(r" replicas/(api\d+) \S+ 2\d\d ", line) for line in lines[since:])
    return {match[1] for match in found if match}, len(lines)


def logs_of(jobid: int) -> list[dict[str, Any]]:
    """All logs of a job, oldest first; none of a job that is not there."""
    logs: list[dict[str, Any]] = []
    path: str | None = f"/jobs/{jobid}?limit=100"
    while path:
        answer = ask("GET", path)
        if answer.failed:
            raise RuntimeError(str(answer))
        logs += answer.json().get("logs", [])
        further = re.match(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
        path = further[1] if further else None
    return logs[::-1]


def seconds_until(holds: Callable[[], bool], longest: float) -> float | None:
    """How many seconds it took until it held; None: longer than allowed."""
    began = time.monotonic()
    while time.monotonic() - began < longest:
        if holds():
            return time.monotonic() - began
        time.sleep(0.1)
    return None
