"""No request holds the event loop, whatever it asks: every route, with the worst that it takes."""

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute

from scheduler_api.app import PARTS
from scheduler_api.database.engine import Database
from scheduler_api.routers import pages
from scheduler_api.schedule import Definition, schedule_of
from tests.factories import execute, scalar
from tests.loopwatch import LIMIT, watching

JSON, FORM = "application/json", "application/x-www-form-urlencoded"
PAGE, DATA = "text/html", "application/json"


def nested(levels: int) -> list[Any]:
    return [0] if levels == 0 else [nested(levels - 1)]


#: 64 KB of JSON whose every part has to be looked at, with as many levels as a body may have.
BODY = [nested(13) for _ in range(1950)]
#: The same in few levels, as often as history may hold it.
FLAT = [list(range(10)) for _ in range(2700)]
#: Days that are excluded, to come and past: each of those parts a long absence.
AHEAD, VERSIONS = (
    [str(date(year, 1, 1) + timedelta(days=2 * number)) for number in range(400)] for year in (2030, 2024)
)
TAGS = [f"{number:050}" for number in range(20)]
HEADERS = {f"X-Name-{number}": "v" * 200 for number in range(50)}
TARGET = {"url": "http://127.0.0.1:9/", "headers": HEADERS}
HEAVY: dict[str, Any] = {
    "jobname": "Heavy" * 20,
    "cron": "* * * * * *",
    "timezone": "Europe/Berlin",
    "exclude": AHEAD,
    "tags": TAGS,
    "target": TARGET | {"body": BODY},
}
#: Each of its headers becomes a secret.
SECRETIVE = {"jobname": "Secretive", "interval": 60, "target": TARGET | {
    "headers": {f"X-Token-{number}": "v" * 4000 for number in range(50)}
}}  # fmt: skip
#: As many days as a calendar may have, every other one; and a file whose events repeat for ever.
YEARS = [str(date(2030, 1, 1) + timedelta(days=2 * number)) for number in range(500)]
HOLIDAYS = "\r\n".join(
    [
        "BEGIN:VCALENDAR",
        *(
            f"BEGIN:VEVENT\r\nUID:{number}\r\nRRULE:FREQ=YEARLY\r\n"
            f"DTSTART;VALUE=DATE:2000{number % 12 + 1:02}{number // 12 + 1:02}\r\nEND:VEVENT"
            for number in range(40)
        ),
        "END:VCALENDAR\r\n",
    ]
).encode()
#: Of these a body holds so many.
WRONG = 22_000
NAMES = {f"x{number:05}": 0 for number in range(WRONG)}
#: How many logs the first two jobs have.
LOGS = 5_000


#: What a program elsewhere may say: in one line, and in many.
OUTPUT = b"x" * 200_000 + b"\n" * 60_000 + "\x1b[31mé\x1b[0m\n".encode() * 6000


class Ask(NamedTuple):
    """One request, and how it may be answered."""

    statuses: tuple[int, ...]
    query: str = ""
    body: bytes = b""
    kind: str = JSON
    accept: str = DATA
    jobid: int = 1


def of_json(value: Any, *statuses: int, **others: Any) -> Ask:
    body = json.dumps(value, separators=(",", ":")).encode()
    return Ask(statuses or (200, 201, 202), body=body, **others)


def of_form(values: Mapping[str, Any], *statuses: int, **others: Any) -> Ask:
    return Ask(statuses or (200, 303), body=urlencode(values).encode(), kind=FORM, accept=PAGE, **others)


def both(query: str = "", *statuses: int, jobid: int = 1) -> list[Ask]:
    """As data, and as a page."""
    return [Ask(statuses or (200,), query, accept=accept, jobid=jobid) for accept in (DATA, PAGE)]


CHANNEL = {"name": "Channel 1", "kind": "slack", "url": "https://chat.example/" + "x" * 1900}
#: What is wrong with a body, in many ways, for every route that takes one.
BROKEN = [
    of_json(NAMES, 422),
    of_json({"target": NAMES}, 422),
    of_json({"target": TARGET | {"headers": dict.fromkeys(NAMES, 1)}}, 422),
    of_json({"target": TARGET | {"body": [[["{{wrong}}"]]] * (WRONG // 2)}}, 422),
    of_json({"tags": [0] * (5 * WRONG)}, 422),
    of_json({"exclude": ["no day"] * WRONG}, 422),
    of_json({"filter": {"jobids": ["x"] * (2 * WRONG)}}, 422),
    of_json({"lines": [0] * (5 * WRONG)}, 422),
    of_json([0] * (5 * WRONG), 422),
    Ask((400, 422), body=b'{"a":' + b"[" * 200_000),
    Ask((400, 422), body=b'{"\\ud800":1,' * 20_000),
]
#: All of them go through one door; most routes get the two that cost most.
INVALID = [BROKEN[0], BROKEN[-2]]
#: The same of forms; some routes take them all the same.
BROKEN_FORM = [
    of_form({f"x{number}": "y" * 200 for number in range(1090)}, 200, 303, 422),
    Ask((200, 303, 400, 422), body=b"a=%41" * 50_000, kind=FORM, accept=PAGE),
]
EMPTY_FORM = Ask((200, 201, 303, 404, 409), kind=FORM, accept=PAGE)
FIELDS = {
    "jobname": "By form",
    "kind": "cron",
    "cron": "* * * * * *",
    "timezone": "Europe/Berlin",
    "exclude": " ".join(AHEAD),
    "target_url": "http://127.0.0.1:9/",
    "target_body": json.dumps(BODY, separators=(",", ":")),
    "target_headers": "\n".join(f"{name}: {value}" for name, value in HEADERS.items()),
}
CRONS = ["* * * * * *", "@yearly", "0 0 29 2 *", "0 0 * 2 MON#5", "30 2 * 3 0L"]
AGES = {"since": "1900-01-01T00:00:00Z", "until": "9000-01-01T00:00:00Z", "every": True}
JOBS = (1, 2, 3)

#: In the order in which they are asked; what deletes comes last.
WEEK = f"until={datetime.now(UTC) + timedelta(days=7, hours=-1):%Y-%m-%dT%H:%M:%SZ}"
WORST: dict[tuple[str, str], list[Ask]] = {
    ("GET", "/"): both("", 307),
    ("GET", "/healthz"): both(),
    ("GET", "/readyz"): both(),
    ("GET", "/swagger-ui"): both(),
    ("GET", "/docs"): both("", 307),
    ("GET", "/redoc"): both("", 307),
    ("GET", "/problems"): both(),
    ("GET", "/problems/{code}"): both("", 404),
    ("GET", "/issues"): both("limit=1000"),
    ("GET", "/issues/{issueid}"): both(),
    ("POST", "/issues/{issueid}/acknowledge"): [of_json({}), EMPTY_FORM, *INVALID, *BROKEN_FORM],
    ("POST", "/issues/{issueid}/close"): [Ask((200,)), EMPTY_FORM],
    ("GET", "/alerts"): both("limit=1000"),
    ("POST", "/alerts/{alertid}/retry"): [Ask((204,)), EMPTY_FORM],
    ("GET", "/channels"): both(),
    ("GET", "/channels/{channelid}"): both(),
    ("PUT", "/channels/{channelid}"): [of_json(CHANNEL), *INVALID],
    ("POST", "/channels"): [
        of_json(CHANNEL, 422),
        of_json(CHANNEL | {"name": "Another"}, query="dryrun=true"),
        of_form(CHANNEL, 422),
        *INVALID,
        *BROKEN_FORM,
    ],
    ("POST", "/channels/{channelid}/test"): [Ask((202,)), EMPTY_FORM],
    ("GET", "/rules"): [Ask((200,))],
    ("GET", "/rules/{ruleid:int}/preview"): both(),
    ("POST", "/rules/preview"): [
        of_json({"channelid": 1}),
        of_json({"channelid": 1, "tag": TAGS[0], "after": 2, "outof": 100}),
        of_form({"channelid": 1}, 200),
        *INVALID,
        *BROKEN_FORM,
    ],
    ("POST", "/rules"): [
        of_json({"channelid": 1}, query="dryrun=true"),
        of_form({"channelid": 999}, 422),
        *INVALID,
        *BROKEN_FORM,
    ],
    ("DELETE", "/rules/{ruleid:int}"): [Ask((204,), "dryrun=true")],
    ("POST", "/rules/{ruleid}/delete"): [EMPTY_FORM],
    ("DELETE", "/channels/{channelid}"): [Ask((204,), "dryrun=true")],
    ("POST", "/channels/{channelid}/edit"): [of_form(CHANNEL, 303, 409, 422), *BROKEN_FORM],
    ("POST", "/channels/{channelid}/delete"): [EMPTY_FORM],
    ("GET", "/mutes"): [Ask((200,))],
    ("POST", "/mutes"): [
        of_json({"cron": "* * * * * *", "minutes": 10_080}),
        of_form({"until": "2099-01-01T00:00"}),
        *INVALID,
        *BROKEN_FORM,
    ],
    ("DELETE", "/mutes/{muteid}"): [Ask((204,))],
    ("POST", "/mutes/{muteid}/delete"): [Ask((303, 404), kind=FORM, accept=PAGE)],
    ("GET", "/calendars"): both("limit=1000"),
    ("GET", "/calendars/{name}"): both(),
    ("PUT", "/calendars/{name}"): [
        of_json({"days": YEARS}, query="dryrun=true"),
        of_json({"days": YEARS}),
        Ask((200,), "dryrun=true", body=HOLIDAYS, kind="text/calendar"),
        of_json({"days": ["no day"] * WRONG}, 422),
        *INVALID,
    ],
    ("POST", "/calendars/edit"): [
        of_form({"name": "a.example", "days": " ".join(YEARS)}, 200, 303),
        of_form({"name": "a.example", "days": HOLIDAYS.decode()}, 200, 303),
        *BROKEN_FORM,
    ],
    ("POST", "/calendars/{name}/delete"): [EMPTY_FORM],
    ("DELETE", "/calendars/{name}"): [Ask((204, 404, 409))],
    ("GET", "/overview"): both(),
    # It has no end; each of its steps is a line.
    ("GET", "/events"): [],
    ("GET", "/limits"): both(),
    ("GET", "/account"): both(),
    ("GET", "/audit"): both("limit=1000"),
    ("POST", "/account/password"): [of_form({"password": "x" * 60_000}), of_form({})],
    ("POST", "/account/sign-out"): [Ask((401,))],
    ("GET", "/sign-in"): [Ask((303,), accept=PAGE)],
    ("POST", "/sign-in"): [of_form({"name": "x" * 60_000, "password": "x" * 60_000}, 401)],
    ("GET", "/sign-in/{token}"): [Ask((404,), accept=PAGE)],
    ("POST", "/sign-in/{token}"): [of_form({"password": "x" * 60_000}, 404)],
    ("POST", "/sign-out"): [EMPTY_FORM],
    ("GET", "/sign-in/oidc"): [Ask((404,), accept=PAGE)],
    ("GET", "/sign-in/oidc/callback"): [Ask((404,), "state=" + "x" * 60_000, accept=PAGE)],
    ("GET", "/projects"): both(),
    ("POST", "/projects"): [of_json({"name": "crm", "description": "x" * 200}), *INVALID, *BROKEN_FORM],
    ("GET", "/projects/{project}/secrets"): both("", 404),
    ("POST", "/projects/{project}/secrets/edit"): [
        of_form({"name": "crm", "origin": "https://example.com", "value": "x" * 32_000}, 404),
        *(ask._replace(statuses=(404, 422)) for ask in BROKEN_FORM),
    ],
    ("PUT", "/projects/{project}/secrets/{secret}"): [
        of_json({"origin": "https://example.com", "value": "x" * 32_000}, 404),
        *INVALID,
    ],
    ("POST", "/projects/{project}/secrets/{secret}/delete"): [of_form({}, 404)],
    ("DELETE", "/projects/{project}/secrets/{secret}"): [Ask((404,))],
    ("PATCH", "/projects/{project}"): [of_json({"maxjobs": 5}, 404), *INVALID],
    ("POST", "/projects/{project}/edit"): [
        of_form({"maxjobs": 5}, 404),
        *(ask._replace(statuses=(404, 422)) for ask in BROKEN_FORM),
    ],
    ("DELETE", "/projects/{project}"): [Ask((204, 404, 409))],
    ("POST", "/projects/{project}/delete"): [of_form({}, 303, 404, 409)],
    ("GET", "/keys"): both(),
    ("POST", "/keys"): [
        of_json({"name": "x" * 100, "role": "admin"}, 409),
        of_form({"name": "x" * 100, "role": "admin"}, 409),
        *INVALID,
    ],
    ("POST", "/keys/{keyid}/delete"): [of_form({}, 409)],
    ("DELETE", "/keys/{keyid}"): [Ask((409,))],
    ("GET", "/users"): both(),
    ("POST", "/users"): [
        of_json({"name": "x" * 100, "role": "admin"}, 409),
        of_form({"name": "y" * 100, "role": "admin"}, 409),
        *INVALID,
    ],
    ("PATCH", "/users/{userid}"): [of_json({"role": "viewer"}, 409), *INVALID],
    ("POST", "/users/{userid}/edit"): [of_form({"role": "admin"}, 409)],
    ("POST", "/users/{userid}/link"): [Ask((409,)), of_form({}, 409)],
    ("POST", "/users/{userid}/delete"): [of_form({}, 409)],
    ("DELETE", "/users/{userid}"): [Ask((409,))],
    ("GET", "/forecast"): both(),
    ("GET", "/metrics"): [Ask((200,))],
    ("GET", "/metrics/jobs"): [Ask((200,), "limit=10000")],
    ("GET", "/upcoming"): [*both(f"{WEEK}&limit=1000&each=1000"), *both(f"{WEEK}&limit=1000&each=1")],
    ("GET", "/jobs"): [
        *both("limit=1000"),
        *both("form=true&from=1"),
        *both(f"limit=1000&sort=nextrun&tag={TAGS[0]}"),
        *both("limit=1000&state=overdue"),
        *both("limit=1000&name=Heavy"),
        *both("name=" + "%25" * 100),
    ],
    ("GET", "/logs"): [*both("limit=1000"), *both("limit=1000&status=failed")],
    ("GET", "/jobs/{jobid:jobid}"): [
        *both("form=true"),
        *(ask for jobid in JOBS for ask in both("limit=1000&span=30d", jobid=jobid)),
    ],
    ("GET", "/jobs/{jobid:jobid}/logs"): both("limit=1000"),
    ("GET", "/jobs/{jobid:jobid}/changes"): both("limit=1000"),
    ("GET", "/jobs/{jobid:jobid}/days"): both("limit=1000"),
    ("GET", "/performance"): both("limit=1000&sort=p95"),
    ("GET", "/jobs/{jobid:jobid}/explain"): [
        ask
        for jobid in JOBS
        for year in (1900, 2026, 9000)
        for ask in both(f"at={year}-01-01T00:00:00Z", jobid=jobid)
    ],
    ("GET", "/jobs/{jobid:jobid}/check"): [ask for jobid in JOBS for ask in both(jobid=jobid)],
    ("GET", "/jobs/{jobid:jobid}/upcoming"): [
        ask for jobid in JOBS for ask in both("limit=1000", jobid=jobid)
    ],
    ("GET", "/jobs/{jobid:jobid}/secrets"): both(),
    ("GET", "/logs/{logid:logid}"): both(),
    ("POST", "/restore/confirm"): [Ask((200, 204, 303, 404, 409)), EMPTY_FORM],
    ("POST", "/preferences"): [of_form({"clock": "zone", "zone": "x" * 60_000}, 303, 422), *BROKEN_FORM],
    ("POST", "/schedules/preview"): [
        *(of_json({"cron": cron, "count": 100, "exclude": AHEAD}, 200, 422) for cron in CRONS),
        *(of_form(FIELDS | {"cron": cron, "jobid": jobid}, 200, 422) for cron in CRONS for jobid in JOBS),
        of_json(HEAVY),
        *INVALID,
        *BROKEN_FORM,
    ],
    ("PATCH", "/jobs/{jobid:jobid}"): [
        *(of_json({"cron": cron}, query="dryrun=true", jobid=jobid) for cron in CRONS for jobid in JOBS),
        of_json(HEAVY | {"jobname": "Changed"}),
        of_json({"jobname": "Once more"}),
        *INVALID,
    ],
    ("POST", "/jobs/{jobid:jobid}/edit"): [of_form(FIELDS, 303), *BROKEN_FORM],
    ("POST", "/jobs"): [of_json(HEAVY), of_json(SECRETIVE), of_form(FIELDS, 303), *BROKEN, *BROKEN_FORM],
    ("POST", "/jobs/{jobid:jobid}/backfill"): [
        *(of_json(AGES, 200, 422, jobid=jobid) for jobid in JOBS),
        *INVALID,
    ],
    ("POST", "/jobs/{jobid:jobid}/pause"): [
        *(of_json({"reason": "x" * 500}, jobid=jobid) for jobid in JOBS),
        *INVALID,
    ],
    ("POST", "/jobs/{jobid:jobid}/resume"): [
        *(of_json({"missed": "skip"}, jobid=jobid) for jobid in JOBS),
        *INVALID,
    ],
    ("POST", "/jobs/{jobid:jobid}/restore"): [Ask((200,), jobid=jobid) for jobid in JOBS],
    ("POST", "/jobs/{jobid:jobid}/undo"): [of_form({"version": "1"}, 303, 412), *BROKEN_FORM],
    ("POST", "/jobs/{jobid:jobid}/skip"): [Ask((200, 409), jobid=jobid) for jobid in JOBS],
    ("POST", "/jobs/{jobid:jobid}/run"): [
        Ask((202,)),
        EMPTY_FORM,
        of_form({"body": json.dumps(BODY)}, 303),
        Ask((422,), body=b"body=" + b"[" * 240_000, kind=FORM, accept=PAGE),
    ],
    ("POST", "/jobs/{jobid:jobid}/test"): both("", 200),
    ("POST", "/jobs/{jobid:jobid}/secrets"): [Ask((201,)), EMPTY_FORM],
    ("DELETE", "/jobs/{jobid:jobid}/secrets/{secretid}"): [Ask((204,))],
    ("POST", "/jobs/{jobid:jobid}/secrets/{secretid}/delete"): [EMPTY_FORM],
    ("PUT", "/limits/{scope}/{name}"): [of_json({"limit": 5}), *INVALID],
    ("DELETE", "/limits/{scope}/{name}"): [Ask((204,))],
    ("POST", "/jobs/{jobid:jobid}/spread"): [of_form({"jitter": 600}), *BROKEN_FORM],
    ("POST", "/logs/{logid:logid}/retry"): [Ask((202, 409))],
    ("POST", "/logs/{logid:logid}/cancel"): [Ask((200, 409))],
    ("POST", "/runs/{logid:logid}/{token}"): [of_json({"lines": ["x" * 2000] * 100}, 404, 410), *INVALID],
    **{
        ("POST", f"/monitors/{{token}}{end}"): [Ask((200,), body=OUTPUT, kind="text/plain")]
        for end in ("", "/start", "/fail")
    },
    ("GET", "/jobs/{jobid:jobid}/monitor"): [Ask((200, 409))],
    ("POST", "/jobs/{jobid:jobid}/monitor"): [Ask((200, 409)), EMPTY_FORM],
    ("POST", "/logs/retry"): [
        of_json({"all": True}, query="dryrun=true"),
        of_json({"all": True}),
        *INVALID,
        *BROKEN_FORM,
    ],
    ("POST", "/jobs/run"): [Ask((200,))],
    ("POST", "/jobs/bulk"): [
        of_json({"action": "pause", "all": True}),
        of_json({"action": "resume", "all": True}),
        of_form({f"job-{number}": "on" for number in range(1, 1000)} | {"action": "pause"}),
        of_json({"action": "run", "filter": {"jobids": list(range(1, 1000))}}),
        *INVALID,
        *BROKEN_FORM,
        of_json({"action": "delete", "filter": {"jobids": list(range(100, 1000))}}),
    ],
    ("POST", "/jobs/{jobid:jobid}/delete"): [EMPTY_FORM],
    ("DELETE", "/jobs/{jobid:jobid}"): [Ask((204,), "history=remove")],
}
VALUES = {
    "{logid:logid}": "1",
    "{secretid}": "1",
    "{keyid}": "1",
    "{userid}": "1",
    "{issueid}": "1",
    "{alertid}": "1",
    "{channelid}": "1",
    "{ruleid}": "1",
    "{ruleid:int}": "1",
    "{muteid}": "1",
    "{project}": "nowhere",
    "{secret}": "crm-token",
    "{scope}": "host",
    "{name}": "a.example",
    "{code}": "nothing",
    "{token}": "00000000-0000-4000-8000-000000000000",
}


def test_every_route_has_its_worst() -> None:
    routers = [part.router for part in PARTS] + [
        getattr(part, name)
        for part in (*pages.PARTS, pages.preferences)
        for name in ("router", "own_router")
        if hasattr(part, name)
    ]
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    assert {(method, route.path) for route in routes for method in route.methods or ()} == set(WORST)


async def asked(app: Callable[..., Any], method: str, path: str, ask: Ask) -> int:
    """Ask the application itself, as what a client does would be counted, too; the status."""
    sent: list[Any] = [{"type": "http.request", "body": ask.body, "more_body": False}]
    status = 0

    async def receive() -> Any:
        if not sent:
            await asyncio.Event().wait()
        return sent.pop()

    async def send(message: Any) -> None:
        nonlocal status
        status = message.get("status", status)

    headers = {"host": "localhost", "accept": ask.accept, "content-type": ask.kind,
               "content-length": str(len(ask.body)), "accept-encoding": "gzip"}  # fmt: skip
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path,
        "raw_path": path.encode(), "query_string": ask.query.encode(), "root_path": "", "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 5), "server": ("localhost", 80),
    }  # fmt: skip
    await app(scope, receive, send)
    return status


#: Jobs of the worst kinds, and many more, each with a run that is to come.
FILL_JOBS = """
    WITH added AS (
        INSERT INTO job
            (jobname, timezone, repeat, cron, exclude, tags, target, kind, host, active, createdat, validfrom)
        SELECT 'Heavy' || repeat('y', 90), 'Europe/Berlin', true, row ->> 0, CAST(:exclude AS text[]),
               CAST(:tags AS text[]), nullif(row -> 1, 'null'),
               CAST(CASE WHEN row -> 1 <> 'null' THEN 'http' ELSE 'plain' END AS runkind),
               CASE WHEN row -> 1 <> 'null' THEN '127.0.0.1:9' END, true,
               now() - interval '4 years', now() - interval '4 years'
        FROM jsonb_array_elements(CAST(:rows AS jsonb)) WITH ORDINALITY AS given (row, n) ORDER BY n
        RETURNING jobid, kind, host
    )
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind, host)
    SELECT jobid, CAST(row ->> 2 AS timestamptz), now() + interval '1 hour', kind, host
    FROM added JOIN jsonb_array_elements(CAST(:rows AS jsonb)) WITH ORDINALITY AS given (row, n) ON n = jobid
"""
FILL_MONITOR = """
    WITH added AS (
        INSERT INTO job (jobname, timezone, repeat, cron, exclude, misfire, kind, monitor, monitortoken,
                         active, createdat, validfrom)
        SELECT 'A monitor', timezone, true, cron, exclude, 'skip', 'monitor', '{"timeout": 3600}', :token,
               true, createdat, validfrom
        FROM job WHERE jobid = 1
        RETURNING jobid
    )
    INSERT INTO joblog (jobid, scheduledfor, nextrun, kind)
    SELECT added.jobid, scheduledfor, nextrun, 'monitor' FROM added, joblog WHERE joblog.jobid = 1
"""
FILL_LOGS = """
    INSERT INTO joblog (jobid, scheduledfor, status, startedat, lastrun, finishedat, kind, host, error)
    SELECT jobid, at, status, at, at, at, kind, host,
           CASE WHEN status = 'failed' THEN repeat('It failed. ', 20) END
    FROM (
        SELECT job.jobid, job.kind, job.host, scheduledfor - n * interval '1 second' AS at,
               CAST(CASE WHEN job.kind = 'http' AND n < 20 THEN 'failed' ELSE 'finished' END AS logstatus)
                   AS status
        FROM job JOIN joblog USING (jobid), generate_series(1, :logs) AS n
        WHERE jobid <= 2 OR (jobid <= 60 AND n <= 60)
    ) AS run
"""
FILL_CHANGES = """
    INSERT INTO auditevent (jobid, at, action, actor, client, before, after)
    SELECT jobid, now(), 'edited', 'local', 'test', told, told
    FROM (
        SELECT jobid, jsonb_build_object('target', jsonb_set(target, '{body}', CAST(:body AS jsonb))) AS told
        FROM job WHERE jobid = 1
    ) AS first, generate_series(1, 30)
"""
FILL_ATTEMPTS = """
    INSERT INTO logattempt (logid, jobid, attempt, startedat, finishedat, outcome, error, excerpt, replica,
                            timing)
    SELECT 1, 1, n, now(), now(), 'failed', 'It failed.', repeat('<é', 2000), 'test', '{"total": 5}'
    FROM generate_series(1, 101) AS n
"""
FILL_LINES = """
    INSERT INTO logline (logid, jobid, attempt, at, line)
    SELECT 1, 1, 1, now(), repeat('<&é ', 500) FROM generate_series(1, 1000)
"""
FILL_ISSUES = """
    INSERT INTO jobissue (jobid, kind, since, seenat, times, error, logid)
    SELECT jobid, 'failed', now(), now(), 1000, repeat('It failed. ', 180), 1 FROM job
"""
FILL_CHANNELS = """
    INSERT INTO alertchannel (name, kind, origin, ciphertext, createdat, changedat)
    SELECT 'Channel ' || n, 'slack', 'https://chat.example', 'x', now(), now()
    FROM generate_series(1, 99) AS n
"""
FILL_RULES = """
    INSERT INTO alertrule (channelid, kinds, createdat)
    SELECT channelid, '{failed,missed,late,stuck,silent,paused}', now()
    FROM alertchannel, generate_series(1, 5)
"""
FILL_ALERTS = """
    INSERT INTO alert (channelid, issueid, jobid, event, number, at, facts, deadat, error)
    SELECT 1, issueid, jobid, 'reminder', n, now(), '{"jobname": "A job", "kind": "failed"}', now(),
           repeat('It failed. ', 40)
    FROM jobissue, generate_series(1, 2) AS n
"""
FILL_DAYS = """
    INSERT INTO jobtally (jobid, day, finished, failed, skipped, missed, rows, accounted, stopped)
    SELECT 1, DATE '2024-01-01' + n, n, n, '{"misfire": 5, "overlap": 6}', n, n, n, false
    FROM generate_series(1, 1001) AS n
"""


FILL_ALL_OF_ALERTS = (FILL_ISSUES, FILL_CHANNELS, FILL_RULES, FILL_ALERTS)


async def fill(database: Database) -> None:
    """Put what is worst into the tables: large, dense, long ago."""
    since = datetime.now(UTC) - timedelta(days=1003)
    crons = ["* * * * * *", "* * * * * *", "0 0 29 2 *", *(f"{n % 60} {n % 24} * * *" for n in range(1000))]
    targets = [HEAVY["target"], None, *(TARGET for _ in crons[2:])]
    schedules = [schedule_of(Definition(None, None, "Europe/Berlin", cron=cron)) for cron in crons]
    rows = list(zip(crons, targets, [str(one.next_after(since)) for one in schedules], strict=True))
    await execute(database, FILL_JOBS, rows=json.dumps(rows), exclude=VERSIONS, tags=TAGS)
    await execute(database, FILL_MONITOR, token=VALUES["{token}"])
    await execute(
        database, "INSERT INTO calendar (name, days, version) VALUES ('a.example', :days, 1)", days=AHEAD
    )
    await execute(database, "UPDATE job SET calendars = '{a.example}' WHERE jobid <= 60")
    await execute(database, FILL_LOGS, logs=LOGS)
    await execute(database, FILL_CHANGES, body=json.dumps(FLAT))
    for statement in (FILL_ATTEMPTS, FILL_LINES, FILL_DAYS, *FILL_ALL_OF_ALERTS):
        await execute(database, statement)
    await execute(database, "ANALYZE job, joblog")


@pytest.fixture
def unhurried() -> None:
    """All budgets are as they are in a service."""


@pytest.mark.timeout(600)
async def test_no_request_holds_the_loop(
    app: FastAPI, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that orders to many end soon.
    monkeypatch.setattr("scheduler_api.workers.runner.CALL_SECONDS", 0.3)
    await fill(database)
    wrong: list[str] = []
    # An application is put together with its first request: in a service, before it serves.
    assert await asked(app.state.served, "GET", "/", Ask((307,))) == 307
    with watching() as watch:
        for (method, template), asks in WORST.items():
            for number, ask in enumerate(asks):
                path = template.replace("{jobid:jobid}", str(ask.jobid))
                for name, value in VALUES.items():
                    path = path.replace(name, value)
                await watch.fresh()
                status = await asked(app.state.served, method, path, ask)
                step = await watch.longest()
                said = f"{method} {path}?{ask.query} ({number}, {ask.accept}) {status}: {step}"
                if status not in ask.statuses or step.seconds > LIMIT:
                    wrong.append(said)
    assert not wrong, "\n".join(wrong)
    assert await scalar(database, "SELECT count(*) FROM job WHERE jobid = 1") == 0
