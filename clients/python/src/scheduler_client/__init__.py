"""A typed client for the job scheduler.

Calls and models are generated from the service's OpenAPI document, in `generated`; around them:

- `checked` gives a call's result, or raises `ApiError`;
- `pages` and `pages_async` iterate over lists, however long;
- `wait` and `wait_async` wait until a run has ended;
- `verify` tells whether a request comes from the service;
- `Report` and `AsyncReport` tell the service how an accepted run goes.
"""

from scheduler_client.calls import ApiError, checked, pages, pages_async
from scheduler_client.client import Client
from scheduler_client.deliveries import Delivery, NotFromService, verify
from scheduler_client.reports import AsyncReport, Report, RunIsOver
from scheduler_client.waiting import wait, wait_async

__all__ = [
    "ApiError",
    "AsyncReport",
    "Client",
    "Delivery",
    "NotFromService",
    "Report",
    "RunIsOver",
    "checked",
    "pages",
    "pages_async",
    "verify",
    "wait",
    "wait_async",
]
