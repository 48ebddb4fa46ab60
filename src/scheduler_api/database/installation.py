"""Where the database lives: noticed when it was restored, so that no id is ever given out twice.

The row of `installation` says where it was written, which a restored copy says too, but of another place.
What is compared, and why the ids that follow are new: docs/decisions/0021-restores-are-noticed.md.
"""

from datetime import UTC, datetime
from hashlib import sha256
from typing import NamedTuple

import asyncpg
import structlog

from scheduler_api.database.statements import Session, Statement
from scheduler_api.errors import RestoreNotHandled

log = structlog.get_logger(__name__)

#: Every identity that the service gives out.
IDENTITIES = (
    ("job", "jobid"),
    ("joblog", "logid"),
    ("auditevent", "changeid"),
    ("logline", "lineid"),
    ("jobsecret", "secretid"),
    ("useraccount", "userid"),
    ("usersession", "sessionid"),
    ("apikey", "keyid"),
)
#: Ids that follow a restore begin with the microseconds since then. No installation gives out a million ids a
#: second for long, so those that it gave out before, in whatever life, are smaller. Up to the year 2310 they
#: are below 2^53, so that JavaScript reads them as they are.
FIRST_ID_AT = datetime(2025, 1, 1, tzinfo=UTC)
#: Where the clock was ahead once, the ids that it led to are passed by so many.
STEP = 10**10
#: What the newest rows tell of, is the newest that the tables know: so many are looked at.
NEWEST = 20_000

#: In the opening statement of each unit of work: changes with each restore by a dump, and with each copy.
#: It also changes with each change of the row, and when the table is rewritten, which costs one more look.
ROW = "(SELECT pg_relation_filepath(tableoid) || ' ' || xmin::text FROM installation)"

# An ordinary role may call all of this on PostgreSQL 15 to 18. Where somebody has revoked that, the server
# refuses the whole statement, even if the call were not reached: so this is asked before.
MAY_SEE = Statement(
    """
    SELECT coalesce(has_function_privilege(to_regprocedure('pg_control_system()'), 'execute'), false),
           coalesce(has_function_privilege(to_regprocedure('pg_current_wal_insert_lsn()'), 'execute')
                    AND has_function_privilege(to_regprocedure('pg_walfile_name(pg_lsn)'), 'execute'), false)
    """
)
SYSTEM = "(SELECT system_identifier::text FROM pg_control_system())"
# Not that of the last checkpoint, which comes after a promotion and not with it.
TIMELINE = "left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)"
PLACE = {
    (system, timeline): Statement(
        f"""
        SELECT {SYSTEM if system else "'?'"}, {TIMELINE if timeline else "'?'"},
               (SELECT oid::text FROM pg_database WHERE datname = current_database()),
               CAST(CAST('joblog' AS regclass) AS oid)::text
        """
    )
    for system in (False, True)
    for timeline in (False, True)
}
# A row that a dump brought was written by another transaction than it says.


class MarkRow(NamedTuple):
    """Where the database says that it lives."""

    mark: str | None
    is_original: bool
    """Whether the row is the very one that was written, and no copy."""


class RestoreRow(NamedTuple):
    """The newest restore that was noticed."""

    restoredat: datetime
    lastknown: datetime | None
    """The newest instant that the tables knew of."""
    confirmedat: datetime | None


MARK = "SELECT mark, mark IS NULL OR xmin::text = writer AS is_original FROM installation"
READ = Statement(MARK, MarkRow)
LOCK = Statement(f"{MARK} FOR UPDATE", MarkRow)
ADD = Statement("INSERT INTO installation (mark, writer) VALUES ('', '') ON CONFLICT DO NOTHING")
# Each change of the row writes who made it, or it would look restored.
_WRITER = "writer = CAST(pg_current_xact_id() AS xid)::text"
KEEP_MARK = Statement(f"UPDATE installation SET mark = :mark, {_WRITER}")
KEEP_RESTORE = Statement(
    f"""
    UPDATE installation
    SET mark = :mark, {_WRITER}, restoredat = :now, lastknown = :lastknown, confirmedat = NULL
    """
)
CONFIRM = Statement(
    f"""
    UPDATE installation SET confirmedat = :now, {_WRITER} WHERE restoredat IS NOT NULL AND confirmedat IS NULL
    """
)
ZONE_RULES = Statement("SELECT zonerules FROM installation")
KEEP_ZONE_RULES = Statement(f"UPDATE installation SET zonerules = :rules, {_WRITER}")
FOUND = Statement(
    "SELECT restoredat, lastknown, confirmedat FROM installation WHERE restoredat IS NOT NULL", RestoreRow
)
# No sequence is read but by taking from it: that needs no other right than to move it. The tables are asked
# as replication copies rows but not sequences.
JUMP = {
    table: Statement(
        f"""
        SELECT setval(seq, greatest(:first, nextval(seq) + {STEP}, coalesce(largest, 0) + {STEP}))
        FROM (SELECT CAST(pg_get_serial_sequence('{table}', '{key}') AS regclass) AS seq,
                     (SELECT max({key}) FROM {table}) AS largest) AS ids
        """
    )
    for table, key in IDENTITIES
}
LAST_KNOWN = Statement(
    """
    SELECT greatest(
        (SELECT max(greatest(startedat, finishedat))
         FROM (SELECT startedat, finishedat FROM joblog ORDER BY logid DESC LIMIT :newest) AS logs),
        (SELECT at FROM auditevent ORDER BY changeid DESC LIMIT 1),
        (SELECT at FROM logline ORDER BY lineid DESC LIMIT 1)
    )
    """
)


class InstallationMark(NamedTuple):
    """Where a database lives; `?` where this role may not see it."""

    system: str
    """The identifier of the cluster, which physical copies share."""
    timeline: str
    """Another one after each promotion and each recovery to a point in time."""
    database: str
    table: str
    """The object identifier of the table of runs, which a dump does not carry."""

    @property
    def name(self) -> str:
        """What the installation is called in requests to targets: the same for all replicas, and opaque."""
        return sha256(f"{self.system} {self.database} {self.table}".encode()).hexdigest()[:16]

    def is_of(self, other: "InstallationMark") -> bool:
        """Whether both may be the same place, as far as both are known."""
        return all(here == there or "?" in (here, there) for here, there in zip(self, other, strict=True))

    def filled_from(self, other: "InstallationMark") -> "InstallationMark":
        """This, with what only the other knows."""
        return InstallationMark(
            *(there if here == "?" else here for here, there in zip(self, other, strict=True))
        )


async def settle_in(session: Session, now: datetime) -> bool:
    """See whether the database still lives where it did; if not, move all ids on, and write that down.

    Returns whether the row was locked for that: then the transaction is to be committed before any other
    work, so that nobody waits for the lock for long. Raises RestoreNotHandled where this role may not do it.
    """
    here = await place(session)
    found = await session.one_or_none(READ)
    if _is_same(found, here):
        return False
    if found is None:
        await session.all(ADD)
    row = await session.one(LOCK)
    # Another may have done it while this one waited for the lock.
    if _is_same(row, here):
        return True
    if row.mark is None:
        await session.all(KEEP_MARK, mark=" ".join(here))
    elif row.is_original and (before := _mark(row.mark)).is_of(here):
        await session.all(KEEP_MARK, mark=" ".join(here.filled_from(before)))
    else:
        await _move_on(session, now, row.mark, here)
    return True


async def confirm(session: Session, now: datetime) -> None:
    """Somebody knows of the restore, and wants the service to go on."""
    await session.all(CONFIRM, now=now)


async def last_restore(session: Session) -> RestoreRow | None:
    """When the newest restore was noticed, what was known then, and since when it is confirmed, if it is."""
    return await session.one_or_none(FOUND)


async def zone_rules(session: Session) -> str | None:
    """A digest of the rules of time zones by which all next runs were timed; None: nobody knows."""
    found: str | None = await session.value(ZONE_RULES)
    return found


async def keep_zone_rules(session: Session, _: datetime, rules: str) -> None:
    """All next runs are timed by these rules."""
    await session.all(KEEP_ZONE_RULES, rules=rules)


async def place(session: Session) -> InstallationMark:
    """Where the database that a session reaches lives."""
    system, timeline = await session.one(MAY_SEE)
    return InstallationMark(*await session.one(PLACE[system, timeline]))


def _mark(kept: str) -> InstallationMark:
    parts = kept.split(" ")
    return (
        InstallationMark(*parts)
        if len(parts) == len(InstallationMark._fields)
        else InstallationMark("", "", "", "")
    )


def _is_same(row: MarkRow | None, here: InstallationMark) -> bool:
    """Whether nothing is to be done."""
    if row is None or row.mark is None or not row.is_original:
        return False
    before = _mark(row.mark)
    return before.is_of(here) and here.filled_from(before) == before


async def _move_on(session: Session, now: datetime, before: str, here: InstallationMark) -> None:
    """Sequences know no rollback: if the transaction fails, they only are further ahead."""
    lastknown = await session.value(LAST_KNOWN, newest=NEWEST)
    first = int((now - FIRST_ID_AT).total_seconds() * 1_000_000)
    try:
        for jump in JUMP.values():
            await session.all(jump, first=first)
    except asyncpg.InsufficientPrivilegeError as error:
        raise RestoreNotHandled(
            "The database was restored, and this role may not move its ids on. As the owner of the tables: "
            "GRANT UPDATE ON ALL SEQUENCES IN SCHEMA … TO the role of the service."
        ) from error
    await session.all(KEEP_RESTORE, mark=" ".join(here), now=now, lastknown=lastknown)
    log.warning(
        "the database was restored, or is a copy of another; ids go on from a number that none had before",
        first=first,
        lastknown=None if lastknown is None else lastknown.isoformat(),
        was=before,
        now_at=" ".join(here),
    )
