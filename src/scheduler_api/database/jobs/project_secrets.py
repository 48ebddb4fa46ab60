"""Statements on the secrets of projects, which the targets of jobs name; and on all that is encrypted."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from scheduler_api.database.statements import Session, Statement

#: What a job's target names, as JSON: of each by its name the origin, and what it is, encrypted.
NAMED = """
    (SELECT CAST(jsonb_object_agg(name, jsonb_build_array(origin, convert_from(ciphertext, 'UTF8'))) AS text)
     FROM projectsecret WHERE projectsecret.project = job.project AND name = ANY(job.secretnames))
"""
#: Whether a job names a secret. The index is on jobs that name any.
_NAMES_IT = """
    job.project = projectsecret.project
    AND cardinality(job.secretnames) > 0 AND job.secretnames @> ARRAY[projectsecret.name]
"""


class ProjectSecretRow(NamedTuple):
    """A secret, but for what it is."""

    name: str
    project: str
    origin: str
    generated: bool
    createdat: datetime
    changedat: datetime
    jobs: int
    """How many jobs name it that are not deleted."""


class KnownSecret(NamedTuple):
    """A secret as it is kept, for who is about to name it."""

    name: str
    origin: str
    ciphertext: bytes
    generated: bool


class Use(NamedTuple):
    """A job that names a secret, and its target as JSON."""

    jobid: int
    target: str


OF_JOB = Statement(f"SELECT {NAMED} FROM job WHERE jobid = :jobid")
_LISTED = f"""
    SELECT name, project, origin, generated, createdat, changedat,
           (SELECT count(*) FROM job WHERE {_NAMES_IT} AND job.deletedat IS NULL) AS jobs
    FROM projectsecret
"""
LISTED = Statement(
    f"{_LISTED} WHERE project = :project AND name > :after ORDER BY name LIMIT :limit", ProjectSecretRow
)
ONE = Statement(f"{_LISTED} WHERE project = :project AND name = :name", ProjectSecretRow)
# A job that names one waits for a removal or another origin of it.
KNOWN = Statement(
    """
    SELECT name, origin, ciphertext, generated FROM projectsecret
    WHERE project = :project AND name = ANY(CAST(:names AS text[])) ORDER BY name FOR KEY SHARE
    """,
    KnownSecret,
)
LOCK = Statement(
    """
    SELECT name, origin, ciphertext, generated FROM projectsecret
    WHERE project = :project AND name = :name FOR UPDATE
    """,
    KnownSecret,
)
ADD = Statement(
    """
    INSERT INTO projectsecret (project, name, origin, ciphertext, generated, createdat, changedat)
    VALUES (:project, :name, :origin, :ciphertext, false, :now, :now)
    ON CONFLICT (project, name) DO NOTHING RETURNING name
    """
)
REPLACE_VALUE = Statement(
    """
    UPDATE projectsecret
    SET origin = :origin, ciphertext = :ciphertext, generated = false, changedat = :now
    WHERE project = :project AND name = :name
    """
)
# Who takes one that is there keeps it from being swept, even by who has looked before.
GENERATE = Statement(
    """
    INSERT INTO projectsecret (project, name, origin, ciphertext, generated, createdat, changedat)
    VALUES (:project, :name, :origin, :ciphertext, true, :now, :now)
    ON CONFLICT (project, name) DO UPDATE SET
        changedat = CASE WHEN projectsecret.generated THEN excluded.changedat ELSE projectsecret.changedat END
    RETURNING name, origin, ciphertext, generated
    """,
    KnownSecret,
)
REMOVE = Statement("DELETE FROM projectsecret WHERE project = :project AND name = :name")
USES = Statement(
    f"""
    SELECT jobid, CAST(target AS text) AS target FROM projectsecret JOIN job ON {_NAMES_IT}
    WHERE projectsecret.project = :project AND name = :name AND deletedat IS NULL
    ORDER BY jobid LIMIT :limit
    """,
    Use,
)
NOTE_USE = Statement(
    """
    UPDATE projectsecret SET changedat = :now
    WHERE project = :project AND name = ANY(CAST(:names AS text[])) AND generated
    """
)
#: A secret that came with a job, and that none has named since then: one that was deleted later counts.
_UNNAMED = f"""
    generated AND changedat < :before AND NOT EXISTS (
        SELECT FROM job WHERE {_NAMES_IT} AND (job.deletedat IS NULL OR job.deletedat >= :before)
    )
"""
LOCK_UNNAMED = Statement(
    f"""
    SELECT secretid FROM projectsecret WHERE {_UNNAMED}
    ORDER BY secretid LIMIT :limit FOR UPDATE SKIP LOCKED
    """
)
REMOVE_OF = Statement(
    f"DELETE FROM projectsecret WHERE secretid = ANY(:secretids) AND {_UNNAMED} RETURNING secretid"
)


class Encrypted(NamedTuple):
    """A secret as it is kept: one that signs a job's calls, one of a project, or those of a channel."""

    kind: str
    secretid: int
    ciphertext: bytes


#: Before all of them.
FIRST = Encrypted("", 0, b"")
ALL = Statement(
    """
    SELECT kind, secretid, ciphertext FROM (
        SELECT 'job' AS kind, secretid, ciphertext FROM jobsecret
        UNION ALL SELECT 'project', secretid, ciphertext FROM projectsecret
        UNION ALL SELECT 'channel', channelid, ciphertext FROM alertchannel WHERE ciphertext IS NOT NULL
    ) AS kept
    WHERE (kind, secretid) > (CAST(:kind AS text), CAST(:after AS bigint))
    ORDER BY kind, secretid LIMIT :limit
    """,
    Encrypted,
)
_REPLACE = "UPDATE {} SET ciphertext = :ciphertext WHERE {} = :secretid AND ciphertext = :before"
REPLACE = {
    kind: Statement(_REPLACE.format(table, key))
    for kind, table, key in (
        ("job", "jobsecret", "secretid"),
        ("project", "projectsecret", "secretid"),
        ("channel", "alertchannel", "channelid"),
    )
}


async def listing(session: Session, project: str, after: str, limit: int) -> list[ProjectSecretRow]:
    """Up to `limit` secrets of a project with a name above `after`, by name, but for what they are."""
    return await session.all(LISTED, project=project, after=after, limit=limit)


async def named(session: Session, jobid: int) -> str | None:
    """What a job's target names, as NAMED has it; None: nothing."""
    found: str | None = await session.value(OF_JOB, jobid=jobid)
    return found


async def listed(session: Session, project: str, name: str) -> ProjectSecretRow:
    """A secret that is there, but for what it is."""
    return await session.one(ONE, project=project, name=name)


async def known(session: Session, project: str, names: Collection[str]) -> list[KnownSecret]:
    """Those of these secrets of a project that there are; they stay, and for the same origin, until the
    transaction ends."""
    return await session.all(KNOWN, project=project, names=sorted(names))


async def lock(session: Session, project: str, name: str) -> KnownSecret | None:
    """Keep others from naming a secret until the transaction ends; None: there is none."""
    return await session.one_or_none(LOCK, project=project, name=name)


async def add(
    session: Session, now: datetime, project: str, name: str, origin: str, ciphertext: bytes
) -> bool:
    """Add a secret, unless there is one of this name; whether there was none."""
    values = {"project": project, "name": name, "origin": origin, "ciphertext": ciphertext}
    return await session.one_or_none(ADD, now=now, **values) is not None


async def replace_value(
    session: Session, now: datetime, project: str, name: str, origin: str, ciphertext: bytes
) -> None:
    """Give a secret that is there another value, and maybe another origin."""
    values = {"project": project, "name": name, "origin": origin, "ciphertext": ciphertext}
    await session.all(REPLACE_VALUE, now=now, **values)


async def generate(
    session: Session, now: datetime, project: str, name: str, origin: str, ciphertext: bytes
) -> KnownSecret:
    """Add a secret that goes when no job names it any more, or find the one of this name."""
    values = {"project": project, "name": name, "origin": origin, "ciphertext": ciphertext}
    return await session.one(GENERATE, now=now, **values)


async def remove(session: Session, project: str, name: str) -> None:
    """Remove a secret."""
    await session.all(REMOVE, project=project, name=name)


async def uses(session: Session, project: str, name: str, limit: int) -> list[Use]:
    """Up to `limit` jobs that name a secret and are not deleted."""
    return await session.all(USES, project=project, name=name, limit=limit)


async def note_use(session: Session, now: datetime, project: str, names: Collection[str]) -> None:
    """Note that secrets that came with jobs were named until now."""
    await session.all(NOTE_USE, now=now, project=project, names=sorted(names))


async def lock_unnamed(session: Session, now: datetime, age: timedelta, limit: int) -> list[int]:
    """Lock up to `limit` secrets that came with jobs, and that none has named for so long."""
    return await session.values(LOCK_UNNAMED, before=now - age, limit=limit)


async def remove_of(session: Session, now: datetime, age: timedelta, secretids: Sequence[int]) -> int:
    """Remove those of the locked secrets that still nobody names; how many."""
    return len(await session.values(REMOVE_OF, before=now - age, secretids=secretids))


async def some(session: Session, after: Encrypted, limit: int) -> Sequence[Encrypted]:
    """Up to `limit` secrets of all jobs and projects after this one, in order."""
    return await session.all(ALL, kind=after.kind, after=after.secretid, limit=limit)


async def replace(session: Session, secret: Encrypted, ciphertext: bytes) -> None:
    """Keep a secret in other words, unless it is another one by now."""
    values = {"secretid": secret.secretid, "before": secret.ciphertext, "ciphertext": ciphertext}
    await session.all(REPLACE[secret.kind], **values)
