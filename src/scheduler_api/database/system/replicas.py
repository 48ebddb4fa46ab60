"""Statements on the replicas that are there."""

from datetime import datetime

from sqlalchemy import bindparam, delete
from sqlalchemy.dialects.postgresql import insert

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.system import replica

SEE = Statement(
    insert(replica)
    .values(name=bindparam("name"), version=bindparam("version"), seenat=bindparam("now"))
    .on_conflict_do_update(
        index_elements=["name"], set_={"version": bindparam("version"), "seenat": bindparam("now")}
    )
)
LOSE = Statement(delete(replica).where(replica.c.name == bindparam("name")))
LOSE_OLD = Statement(delete(replica).where(replica.c.seenat < bindparam("before")))


async def see(session: Session, name: str, version: int, now: datetime) -> None:
    """A replica is there."""
    await session.all(SEE, name=name, version=version, now=now)


async def lose(session: Session, name: str) -> None:
    """A replica goes."""
    await session.all(LOSE, name=name)


async def lose_old(session: Session, before: datetime) -> None:
    """Replicas that were last there before then are gone."""
    await session.all(LOSE_OLD, before=before)
