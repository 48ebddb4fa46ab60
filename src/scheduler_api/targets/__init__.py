"""The HTTP requests that due jobs make: pure functions on values; no clock, no I/O, no framework."""

from scheduler_api.targets import backoff, headers, judgement, signatures, templates, urls
from scheduler_api.targets.addresses import Guard
from scheduler_api.targets.judgement import HOST_FAILURES, Answer, Failure, Judgement, Rules, judge
from scheduler_api.targets.templates import Values

__all__ = [
    "HOST_FAILURES",
    "Answer",
    "Failure",
    "Guard",
    "Judgement",
    "Rules",
    "Values",
    "backoff",
    "headers",
    "judge",
    "judgement",
    "signatures",
    "templates",
    "urls",
]
