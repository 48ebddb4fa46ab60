"""The pages: what each shows, from the same contracts that the API answers with."""

from scheduler_api.web.pages.access import AccessPages
from scheduler_api.web.pages.alerts import AlertPages, ChannelsView
from scheduler_api.web.pages.jobs import JobPages, Told
from scheduler_api.web.pages.rendering import STATIC, Again, Reader
from scheduler_api.web.pages.runs import RunPages

__all__ = ["STATIC", "Again", "ChannelsView", "Pages", "Reader", "Told"]


class Pages(JobPages, RunPages, AlertPages, AccessPages):
    """All pages."""
