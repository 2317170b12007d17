"""Microsoft sign-ins under way: what we must know again when the browser returns (ADR 0022).

It is kept here and not in the browser: a cookie names it, so it is good in that browser, once, and for ten minutes.
"""

from typing import NamedTuple

import orjson
from sqlalchemy import Index, Integer, Text, bindparam, delete, insert, select
from sqlmodel import Field, SQLModel

from app_core import clock, credentials
from app_core.clock import Stamp
from app_core.db import Connection, KeyText, Statement, table_of

SECONDS = 600.0


class SignInFlowRow(SQLModel, table=True):
    """A sign-in that was sent to Microsoft. It goes when the browser comes back, or when it is too old.

    Nobody is known yet, so it belongs to no tenant (ADR 0022).
    """

    __tablename__ = "sign_in_flow"
    __table_args__ = (Index("ix_sign_in_flow_expires_at", "expires_at"),)

    hash: str = Field(primary_key=True, sa_type=KeyText)
    kept: str = Field(sa_type=Text)
    created_at: str = Field(sa_type=KeyText)
    expires_at: str = Field(sa_type=KeyText)


class Kept(NamedTuple):
    """What is kept of a sign-in under way."""

    flow: str
    """`Flow.private`."""
    purpose: str
    """What it is for, in the door's words."""
    after: str = ""
    """The page to go on to."""
    session_id: str = ""
    """The session that asked for it, where one did: nobody else's is to go on with it."""


F = table_of(SignInFlowRow)
ADD = Statement(insert(F).values({column.name: bindparam(column.name) for column in F.columns}))
THIS = (F.c.hash == bindparam("hash"), F.c.expires_at > bindparam("now", type_=KeyText))
FIND = Statement(select(F.c.kept).where(*THIS))
TAKE = Statement(delete(F).where(*THIS).returning(F.c.kept))
PURGE = Statement(
    delete(F).where(
        F.c.hash.in_(
            select(F.c.hash)
            .where(F.c.expires_at <= bindparam("now", type_=KeyText))
            .limit(bindparam("count", type_=Integer()))
        )
    )
)


def keep(connection: Connection, kept: Kept, now: Stamp) -> str:
    """Keep what a sign-in needs when it returns, and give the secret for the cookie that names it."""
    secret = credentials.new_token(credentials.FLOW_PREFIX)
    row = {"hash": credentials.token_hash(secret), "kept": orjson.dumps(kept._asdict()).decode(), "created_at": now}
    connection.run(ADD, {**row, "expires_at": clock.stamp(clock.seconds(now) + SECONDS)})
    return secret


def find(connection: Connection, secret: str, now: Stamp) -> Kept | None:
    """Give what is kept, to ask Microsoft with; only who takes it afterwards may go on."""
    return _read(connection, FIND, secret, now)


def take(connection: Connection, secret: str, now: Stamp) -> Kept | None:
    """Give what was kept, once; None where there is nothing, or nothing any more."""
    return _read(connection, TAKE, secret, now)


def _read(connection: Connection, statement: Statement, secret: str, now: Stamp) -> Kept | None:
    row = connection.row(statement, {"hash": credentials.token_hash(secret), "now": now})
    return None if row is None else Kept(**orjson.loads(row[0]))


def purge(connection: Connection, now: Stamp, *, count: int = 500) -> int:
    """Remove up to `count` that nobody came back for in time; give how many went."""
    return connection.run(PURGE, {"now": now, "count": count})
