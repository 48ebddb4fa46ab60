"""What all pages have in common: who looks at them, and how they are put together."""

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple, Self

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scheduler_api import __version__, wording
from scheduler_api.actors import ANYBODY, Principal, Role
from scheduler_api.contracts.system.problems import Problem, ProblemKind
from scheduler_api.contracts.values import DEFAULT_PROJECT
from scheduler_api.web import bars, glance
from scheduler_api.web.looks import Density, Theme
from scheduler_api.web.times import Times

HERE = Path(__file__).parents[1]
STATIC = HERE / "static"
#: Rows of a page to choose from.
SIZES = (20, 50, 100)


class Reader(NamedTuple):
    """Who looks at a page, and how."""

    times: Times
    here: str
    """The address of the page."""
    mark: str = ""
    """The place of the change feed when the page was made."""
    who: Principal | None = None
    """None: nobody knows."""
    shown: str | None = None
    """The project that pages show; None: all."""
    projects: Sequence[str] = ()
    """Those to choose from."""
    issuecount: int = 0
    """How many issues are open."""
    theme: Theme = Theme.SYSTEM
    density: Density = Density.COMPACT

    def may(self, role: str, project: str | None = None) -> bool:
        """Whether what needs that role is shown: in a project; without one, in any."""
        return self.who is not None and self.who.roles.may(Role(role), project)

    def may_everywhere(self, role: str) -> bool:
        """Whether what needs that role and belongs to no project is shown."""
        return self.who is not None and self.who.roles.may_everywhere(Role(role))

    @property
    def project(self) -> str:
        """The one that is suggested for a new job."""
        if self.shown is not None and self.may(Role.EDITOR, self.shown):
            return self.shown
        where = None if self.who is None else self.who.roles.where(Role.EDITOR)
        return DEFAULT_PROJECT if where is None or DEFAULT_PROJECT in where else next(iter(where), "")


class Again(NamedTuple):
    """A form that was sent in vain."""

    action: str
    fields: Mapping[str, str]


class Renderer:
    """Renders pages. One object per application, as they tell of its configuration."""

    def __init__(
        self,
        *,
        open_to_all: bool = False,
        base: str = "",
        who: Principal | None = ANYBODY,
        provider: str | None = None,
        traces: str | None = None,
    ) -> None:
        """`base` is where the service is; `who` looks at pages of errors, before anybody asked who it is.

        `provider` is what the identity provider is called that users may sign in with; `traces` is where
        traces are looked at, with `{traceid}` in it.
        """
        self._base = base
        self._templates = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            open_to_all=open_to_all,
            base=base,
            provider=provider,
            traces=traces,
            version=__version__,
            words=wording,
            bars=bars,
            glance=glance,
        )
        self._reader = Reader(Times(), "/jobs", who=who)

    def seen_by(self, reader: Reader) -> Self:
        """The same for one reader."""
        pages = copy(self)
        vars(pages)["_reader"] = reader
        return pages

    def error(self, problem: Problem, again: Again | None = None) -> str:
        """A problem, for people; with what may be sent again."""
        return self._render("error.html", problem=problem, again=again)

    def problem(self, kind: ProblemKind) -> str:
        """A kind of error, and what to do about it."""
        return self._render("problem.html", kind=kind)

    def documentation(self) -> str:
        """The interactive API documentation."""
        return self._render("swagger.html")

    def _render(self, template: str, **context: object) -> str:
        own = self._reader._asdict() | {
            "may": self._reader.may,
            "may_everywhere": self._reader.may_everywhere,
        }
        return self._templates.get_template(template).render(context | own)
