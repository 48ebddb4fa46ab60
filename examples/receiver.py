"""A target in thirty lines: accepts each run, works on it in the background, and reports how it does.

Run it with `python examples/receiver.py 8000`, and let a job call http://localhost:8000/.
"""

import json
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Says 202, which keeps the run open until it is reported as over."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # The same run may come twice; webhook-id tells. Remember it where that would do harm.
        run, delivery = self.headers["scheduler-run"], self.headers["webhook-id"]
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()
        threading.Thread(target=work, args=(run, delivery), daemon=True).start()


def work(run: str, delivery: str) -> None:
    for percent in (0, 25, 50, 75):
        report(run, progress=percent, message=f"{percent} % of {delivery}")
        time.sleep(0.1)
    report(run, status="finished", lines=["All done."])


def report(run: str, **told: object) -> None:
    request = urllib.request.Request(run, json.dumps(told).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(request).close()  # 410: the run was cancelled, or was silent for too long


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
