"""Statements on the secrets that sign a job's calls."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, delete, insert, select

from scheduler_api.database.statements import Session, Statement
from scheduler_api.database.tables.base import columns
from scheduler_api.database.tables.jobs import jobsecret


class SecretRow(NamedTuple):
    """A secret, but for what it is."""

    secretid: int
    jobid: int
    createdat: datetime


SECRETS = Statement(
    select(*columns(jobsecret, SecretRow))
    .where(jobsecret.c.jobid == bindparam("jobid"))
    .order_by(jobsecret.c.secretid),
    SecretRow,
)
ADD_SECRET = Statement(
    insert(jobsecret)
    .values(jobid=bindparam("jobid"), createdat=bindparam("now"), ciphertext=bindparam("ciphertext"))
    .returning(*columns(jobsecret, SecretRow)),
    SecretRow,
)
REMOVE_SECRET = Statement(
    delete(jobsecret)
    .where(jobsecret.c.jobid == bindparam("jobid"), jobsecret.c.secretid == bindparam("secretid"))
    .returning(jobsecret.c.secretid)
)
CIPHERTEXTS = Statement(
    select(jobsecret.c.ciphertext)
    .where(jobsecret.c.jobid == bindparam("jobid"))
    .order_by(jobsecret.c.secretid.desc())
)


async def of_job(session: Session, jobid: int) -> list[SecretRow]:
    """The job's secrets, oldest first, but for what they are."""
    return await session.all(SECRETS, jobid=jobid)


async def add(session: Session, now: datetime, jobid: int, ciphertext: bytes) -> SecretRow:
    """Give the job a further secret."""
    return await session.one(ADD_SECRET, now=now, jobid=jobid, ciphertext=ciphertext)


async def remove(session: Session, jobid: int, secretid: int) -> bool:
    """Take a secret from the job; whether it had it."""
    return await session.one_or_none(REMOVE_SECRET, jobid=jobid, secretid=secretid) is not None


async def ciphertexts(session: Session, jobid: int) -> list[bytes]:
    """The job's secrets, newest first, encrypted."""
    return await session.values(CIPHERTEXTS, jobid=jobid)
