"""Every knob, typed, validated once, read from the environment with the prefix SCHEDULER_."""

import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from email.utils import parseaddr
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, IPvAnyNetwork, SecretStr, StringConstraints
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from scheduler_api.actors import Grant, Role
from scheduler_api.address import Address
from scheduler_api.ciphers import is_key

PREFIX, DOTENV = "SCHEDULER_", ".env"
PROJECT = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
HEADER_NAME = r"^[A-Za-z0-9-]{1,100}$"


class Pooler(StrEnum):
    """How long a connection is ours."""

    NONE = "none"
    """For as long as we like: it is the server itself."""
    TRANSACTION = "transaction"
    """For one transaction: a pooler stands in between, in whatever mode."""


class Auth(StrEnum):
    """Who may come in."""

    LOCAL = "local"
    """Only this machine: loopback peers, known host names."""
    REQUIRED = "required"
    """Users who sign in, and programs with an API key."""
    OFF = "off"
    """Everybody who can reach the port."""


def _postgres_url(value: SecretStr) -> SecretStr:
    Address.of(value.get_secret_value())
    return value


def _one_server(value: SecretStr) -> SecretStr:
    if "," in Address.of(value.get_secret_value()).shown:
        raise ValueError("must name one server: how far another one is behind would not be known")
    return value


def _split(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _http_url(value: SecretStr) -> SecretStr:
    _base_url(value.get_secret_value())
    return value


def _smtp_url(value: SecretStr) -> SecretStr:
    parts = urlsplit(value.get_secret_value())
    if parts.scheme not in {"smtp", "smtps", "smtp+plain"} or not parts.hostname:
        raise ValueError("must be smtp://, smtps:// or smtp+plain://, and a host")
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("must end with the host or the port")
    _ = parts.port
    return value


def _sender(value: str) -> str:
    _, address = parseaddr(value)
    if "@" not in address or not value.isprintable():
        raise ValueError("must be an e-mail address, or a name and an address in angle brackets")
    return value


def _trace_url(value: str) -> str:
    if "{traceid}" not in value:
        raise ValueError("must contain {traceid}, where the id of a trace is to stand")
    return _base_url(value)


def _base_url(value: str) -> str:
    if not value.startswith(("http://", "https://")):
        raise ValueError("must start with http:// or https://")
    return value.rstrip("/")


def _issuer(value: str) -> str:
    """As the provider spells it: its tokens must name the very same."""
    parts = urlsplit(value)
    host = parts.hostname or ""
    # RFC 6761: such a name always means this machine.
    is_here = host in {"localhost", "127.0.0.1", "::1"} or host.endswith(".localhost")
    if not (parts.scheme == "https" or (parts.scheme == "http" and is_here)) or not parts.hostname:
        raise ValueError("must start with https://, as tokens are as good as passwords")
    if parts.query or parts.fragment or parts.username:
        raise ValueError("must be an address without a query, a fragment or a user")
    return value


def _grant(text: object) -> object:
    if not isinstance(text, str):
        return text
    where, _, who = (part.strip() for part in text.partition("="))
    role, at, project = where.partition("@")
    if role not in {str(one) for one in Role} or not who or who == "user:":
        raise ValueError(f"must be a role, = and a group, such as admin=platform; {text!r} is not")
    if at and (not PROJECT.fullmatch(project) or role == Role.ADMIN):
        raise ValueError(f"{text!r}: after @ stands the name of a project, in which there are no admins")
    return Grant(Role(role), who, project or None)


def _keys(value: SecretStr) -> SecretStr:
    if not all(is_key(key) for key in value.get_secret_value().split(",")):
        raise ValueError(
            "must be 32 random bytes in URL-safe base64, such as: openssl rand -base64 32 | tr +/ -_"
        )
    return value


class Settings(BaseSettings):
    """The configuration of one service process."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        # A file of settings where the service is started; other programs may keep theirs there, too.
        env_file=DOTENV,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    database_url: Annotated[SecretStr, AfterValidator(_postgres_url)] | None = Field(
        None,
        description="The Postgres server to use. Unset: an embedded one, in `SCHEDULER_DATA_DIR`.",
    )
    database_pooler: Pooler = Field(
        Pooler.NONE,
        description="`transaction` where `SCHEDULER_DATABASE_URL` leads to a pooler, such as PgBouncer, in "
        "transaction or session mode; else `none`.",
    )
    database_direct_url: Annotated[SecretStr, AfterValidator(_postgres_url)] | None = Field(
        None,
        description="The server itself, where `SCHEDULER_DATABASE_POOLER` is `transaction`: for migrations, "
        "and to hear of changes.",
    )
    database_read_url: Annotated[SecretStr, AfterValidator(_one_server)] | None = Field(
        None,
        description="A standby of the database, one server and no balancer, from which pages are read "
        "while it is less than five seconds behind. Unset: all is read from the primary.",
    )
    database_cells: int | None = Field(
        None,
        ge=2,
        le=64,
        description="Over how many cells `scheduler-api distribute` distributes the tables of jobs. A "
        "service starts only where they have as many. Unset: whatever the database says.",
    )
    data_dir: Path | None = Field(
        None,
        description="Where the embedded server keeps its data. Unset: the platform's folder for user data.",
    )
    auto_migrate: bool = Field(
        False,
        description="Bring the schema up to date at start. The embedded server always does; elsewhere run "
        "`scheduler-api migrate`, or set this.",
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(5000, ge=0, le=65535, description="The port to listen on; 0 picks a free one.")
    auth: Auth = Field(
        Auth.LOCAL,
        description="`local`: only this machine may come in, without signing in. `required`: users who sign "
        "in, and programs with an API key. `off`: everybody who can reach the port, with a banner on each "
        "page; needs `SCHEDULER_ALLOWED_HOSTS`.",
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description="Host names that requests may ask for, separated by commas, `*` for any. Unset: "
        "localhost, 127.0.0.1 and [::1] with `SCHEDULER_AUTH=local`, any with `required`.",
    )
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description="Networks of proxies whose `X-Forwarded-For` is believed, such as `10.0.0.0/8`, with "
        "commas in between: failed attempts to sign in are counted by the address that it names. So is "
        "`SCHEDULER_PROXY_USER_HEADER`.",
    )
    roles: Annotated[
        tuple[Annotated[Grant, BeforeValidator(_grant)], ...], NoDecode, BeforeValidator(_split)
    ] = Field(
        (),
        description="Which roles a proxy's or an identity provider's groups have, separated by commas, such "
        "as `admin=platform,editor@billing=finance,viewer=*`; `@` and a project give a role there only. `*` "
        "is anyone they sign in, `user:` and a name one user. The highest role counts; who has none does not "
        "get in.",
    )
    proxy_user_header: Annotated[str, StringConstraints(pattern=HEADER_NAME)] | None = Field(
        None,
        description="The header in which a proxy that signs users in names the user, such as `Remote-User`. "
        "It is believed from `SCHEDULER_TRUSTED_PROXIES` alone; requests of anybody else that carry it are "
        "refused.",
    )
    proxy_groups_header: Annotated[str, StringConstraints(pattern=HEADER_NAME)] | None = Field(
        None,
        description="The header in which that proxy lists the user's groups, separated by commas, such as "
        "`Remote-Groups`.",
    )
    oidc_issuer: Annotated[str, AfterValidator(_issuer)] | None = Field(
        None,
        description="The identity provider to sign in with by OpenID Connect: its issuer, letter for letter, "
        "such as `https://login.example.com/realms/team`.",
    )
    oidc_client_id: str | None = Field(None, min_length=1, description="What this service is called there.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="The secret that it was given there; unset for a public client."
    )
    oidc_scopes: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        ("openid", "profile", "email"),
        description="What to ask for, separated by commas; some providers tell groups only if `groups` is "
        "among it.",
    )
    oidc_name_claim: str = Field(
        "email",
        min_length=1,
        description="The claim that holds the user's name. With `email`, the provider must have verified it.",
    )
    oidc_groups_claim: str = Field(
        "groups",
        min_length=1,
        description="The claim that lists the user's groups; dots lead into objects, as in "
        "`realm_access.roles`.",
    )
    oidc_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description="Further hosts, with their ports unless they are the usual ones, that the provider's "
        "own configuration may name, separated by commas.",
    )
    oidc_label: str = Field(
        "single sign-on",
        min_length=1,
        max_length=50,
        description="What the provider is called on the page to sign in: “Sign in with …”.",
    )
    bootstrap_key_file: Path | None = Field(
        None,
        description="A file with an API key (`sch_…`) that lets in as an admin, for machines that set up "
        "others: read at start, with `SCHEDULER_AUTH=required`. `scheduler-api keys new` prints one.",
    )
    ticker: bool = Field(
        True,
        description="Run due jobs, and send alerts, in this process. `off`: it only answers requests, and "
        "runs due jobs on `POST /jobs/run`.",
    )
    start_paused: bool = Field(
        False,
        description="After a restore of the database, run nothing until it is confirmed. Read when this "
        "process starts.",
    )
    ready_lag: float = Field(
        60.0,
        gt=0,
        description="`/readyz` answers 503 if a run has been waiting, and this process not looking, for "
        "longer than this many seconds.",
    )
    ticker_interval: float = Field(
        5.0,
        ge=0.05,
        le=3600,
        description="How long the ticker sleeps between two looks, at most, in seconds.",
    )
    concurrency: int = Field(
        200,
        ge=1,
        le=10_000,
        description="How many requests this process makes at once, at most; fewer if the limit of open files "
        "is too low.",
    )
    host_concurrency: int = Field(
        16,
        ge=1,
        le=10_000,
        description="How many requests to one host are made at once, at most, by all processes together; "
        "`PUT /limits/host/…` sets another limit for a host.",
    )
    target_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description="Private networks that targets may be in, such as `10.0.0.0/8`, separated by commas. "
        "Unset: only public addresses; with `SCHEDULER_AUTH=local` this machine, too.",
    )
    self_calls: bool = Field(
        False,
        description="Whether jobs may call this service itself, such as to pause others.",
    )
    lease: float = Field(
        15.0,
        ge=0.5,
        le=600,
        description="Other processes take over the runs of one that has been silent for this many seconds, "
        "after twice as long at the latest.",
    )
    trace_url: Annotated[str, AfterValidator(_trace_url)] | None = Field(
        None,
        description="Where a trace is looked at, such as `https://jaeger.example.com/trace/{traceid}`: the "
        "pages of runs link there. OpenTelemetry's own variables say where traces are sent.",
    )
    heartbeat_url: Annotated[SecretStr, AfterValidator(_http_url)] | None = Field(
        None,
        description="Where this process sends a sign of life (`GET`) each minute in which it has done its "
        "work, such as a check of Healthchecks. Give each process a check of its own: `{hostname}` in it is "
        "replaced.",
    )
    smtp_url: Annotated[SecretStr, AfterValidator(_smtp_url)] | None = Field(
        None,
        description="The mail server for alerts, such as `smtp://user:password@mail.example.com:587`. "
        "`smtp://` encrypts by STARTTLS, `smtps://` from the beginning, `smtp+plain://` not at all.",
    )
    mail_from: Annotated[str, AfterValidator(_sender)] | None = Field(
        None, description="Whom e-mail with alerts is from, such as `scheduler@example.com`."
    )
    shutdown_grace: float = Field(
        20.0,
        ge=0,
        le=600,
        description="How long calls may go on after SIGTERM, in seconds; what takes longer counts as lost.",
    )
    public_url: Annotated[str, AfterValidator(_base_url)] | None = Field(
        None,
        description="Where this service is: targets report there on runs that they accepted with 202, and "
        "links for new users lead there. Unset: `http://localhost:` and the port.",
    )
    secret_key: Annotated[SecretStr, AfterValidator(_keys)] | None = Field(
        None,
        description="Encrypts secrets, those that sign calls, those of projects and those of channels: a "
        "Fernet key, or several with commas in between, of which the first encrypts. Unset: the embedded "
        "server has one beside its data.",
    )
    keep_history: int = Field(
        90,
        ge=0,
        le=36_500,
        description="How many days runs are kept, with their attempts and output; 0 keeps them for ever. "
        "What became of each job's runs is counted for each day, and these counts stay. Of several replicas "
        "the one that keeps the fewest days decides.",
    )
    export_before_drop: bool = Field(
        False,
        description="Keep days of history until `scheduler-api export --release` has written them, however "
        "long that takes. Set it for all replicas.",
    )
    batch_size: int = Field(1000, ge=1, le=10_000, description="The most runs in one transaction.")
    pool_size: int = Field(10, ge=1, le=100, description="Database connections kept for requests.")
    pool_overflow: int = Field(0, ge=0, le=100, description="Further connections that requests may open.")
    pool_timeout: float = Field(
        3.0,
        gt=0,
        le=60,
        description="How long a request waits for a connection, in seconds, before 503.",
    )
    statement_timeout: float = Field(
        4.0,
        gt=0,
        le=300,
        description="How long one statement may take, in seconds. A request that the database does not "
        "answer at all gets 503 at most a second later.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least important events that are logged."
    )
    log_format: Literal["console", "json"] | None = Field(
        None, description="`console` or `json`. Unset: `console` on a terminal, else `json`."
    )

    @property
    def base_url(self) -> str:
        """Where targets reach this service."""
        return self.public_url or f"http://localhost:{self.port}"

    @property
    def can_mail(self) -> bool:
        """Whether e-mail can be sent."""
        return self.smtp_url is not None and self.mail_from is not None

    @property
    def history_kept(self) -> timedelta | None:
        """How long history is kept; None: for ever."""
        return timedelta(days=self.keep_history) if self.keep_history else None

    def secret_keys(self) -> list[str]:
        """The keys that are given."""
        return [] if self.secret_key is None else self.secret_key.get_secret_value().split(",")

    @property
    def address(self) -> Address | None:
        """Where the given server is; None: use the embedded one."""
        return None if self.database_url is None else Address.of(self.database_url.get_secret_value())

    @property
    def direct_address(self) -> Address | None:
        """Where the server itself is, behind a pooler."""
        url = self.database_direct_url
        return None if url is None else Address.of(url.get_secret_value())

    @property
    def read_address(self) -> Address | None:
        """Where the standby is that pages are read from."""
        url = self.database_read_url
        return None if url is None else Address.of(url.get_secret_value())

    def binds_loopback(self) -> bool:
        """Whether the address to listen on can be reached from this machine only."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """What looks like a setting, in the environment or in the file of settings, and is none; in sentences."""
    known = {f"{PREFIX}{name}".upper() for name in Settings.model_fields}
    given = {name.upper() for name in (*environment, *dotenv_values(DOTENV))}
    found = []
    for name in sorted(given - known):
        if name.startswith(PREFIX):
            near = "".join(f" Did you mean {other}?" for other in get_close_matches(name, known, 1))
            found.append(f"There is no setting {name}.{near}")
    return found
