"""A bounded load on the service, with the fate of each request written down."""

import http.client
import json
import os
import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

HOST, PORT = "127.0.0.1", 5000
#: What lets in as an admin.
KEY = Path(os.environ["BOOTSTRAP_KEY_FILE"]).read_text().strip()
#: Requests under way at once, and seconds that each worker rests between two.
WORKERS, PAUSE = 8, 0.02
#: No load lasts longer than this, whatever happens.
LONGEST = 120.0
#: Seconds without an answer that count as a hang.
PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one request; status 0: the connection broke or could not be made."""

    method: str
    path: str
    worker: int
    began: float
    ended: float
    status: int
    headers: dict[str, str]
    text: str

    @property
    def failed(self) -> bool:
        return self.status == 0 or self.status >= 500

    def json(self) -> Any:
        return json.loads(self.text)

    def __str__(self) -> str:
        return f"{self.method} {self.path} → {self.status} {self.text[:120]!r}"


class Client:
    """One connection, kept open between requests as long as the other side does."""

    def __init__(self, worker: int = 0, port: int = PORT) -> None:
        self._worker = worker
        self._connection = http.client.HTTPConnection(HOST, port, timeout=PATIENCE)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        content = None if body is None else json.dumps(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        headers.setdefault("Authorization", f"Bearer {KEY}")
        began = time.monotonic()
        try:
            self._connection.request(method, path, content, headers)
            response = self._connection.getresponse()
            status, text = response.status, response.read().decode()
            received = {name.lower(): value for name, value in response.getheaders()}
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            status, text, received = 0, repr(error), {}
        return Answer(method, path, self._worker, began, time.monotonic(), status, received, text)

    def close(self) -> None:
        self._connection.close()


def ask(method: str, path: str, body: Any = None, *, port: int = PORT, **headers: str) -> Answer:
    client = Client(port=port)
    try:
        return client.ask(method, path, body, **headers)
    finally:
        client.close()


def draft(name: str, seconds: int, **more: Any) -> dict[str, Any]:
    """A job whose first run is so many seconds ahead."""
    start = datetime.now(UTC) + timedelta(seconds=seconds)
    return {"jobname": name, "startdate": f"{start:%Y-%m-%d}", "starttime": f"{start:%H:%M:%S}", **more}


class Load:
    """Reads and creates jobs, from several workers at once, while the context lasts."""

    def __init__(self, jobid: int) -> None:
        self.answers: list[Answer] = []
        self._reads = ("/jobs?limit=20", f"/jobs/{jobid}?limit=10")
        self._stop = threading.Event()
        self._workers = [threading.Thread(target=self._work, args=(n,)) for n in range(WORKERS)]

    def __enter__(self) -> Self:
        for worker in self._workers:
            worker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for worker in self._workers:
            worker.join()

    @property
    def failures(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.failed]

    @property
    def created(self) -> list[int]:
        """The jobs that the service said it had created."""
        return [answer.json()["jobid"] for answer in self.answers if answer.status == 201]

    def _work(self, number: int) -> None:
        client = Client(number)
        end = time.monotonic() + LONGEST
        while not self._stop.is_set() and time.monotonic() < end:
            if random.random() < 0.1:
                answer = client.ask("POST", "/jobs", draft(f"Load of worker {number}", 4))
            else:
                answer = client.ask("GET", random.choice(self._reads))
            self.answers.append(answer)
            self._stop.wait(PAUSE)
        client.close()
