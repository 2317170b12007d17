"""Requests that are sent twice: the second one gets the answer of the first, and changes nothing.

A key is claimed in the transaction of the change it stands for. Two at once: the second waits for the first, and then
finds its answer. Where the change is refused the claim is undone with it, and the request may be sent again.
"""

from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import (
    BindParameter,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    bindparam,
    delete,
    select,
    tuple_,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import clock
from app_core.db import Connection, KeyText, Statement, insert_or_ignore, table_of
from app_core.errors import Conflict
from app_core.work import Work

KEPT_SECONDS = 86400


class IdempotencyRow(SQLModel, table=True):
    """The answer to a request that named a key, for a day; of the key and of the request only hashes are kept."""

    __tablename__ = "idempotency"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "key_id"], ["api_key.tenant_id", "api_key.id"], ondelete="CASCADE"),
        Index("ix_idempotency_created_at", "tenant_id", "created_at"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    key_id: str = Field(primary_key=True, sa_type=KeyText)
    key: str = Field(primary_key=True, sa_type=KeyText)
    request_hash: str = Field(sa_type=KeyText)
    status: int
    body: bytes | None = Field(sa_type=LargeBinary)
    created_at: str = Field(sa_type=KeyText)


class KeyReused(Conflict):
    """An idempotency key was sent with another request than the one it stands for."""

    code = "idempotency-key-reused"


class Stored(NamedTuple):
    """An answer that was given before; its body is empty where it held a secret, which is shown once."""

    status: int
    body: bytes | None


I = table_of(IdempotencyRow)  # noqa: E741 - the initial of the table, as everywhere
OF_TENANT: BindParameter[str] = bindparam("tenant_id")
THE_KEY = (I.c.tenant_id == OF_TENANT, I.c.key_id == bindparam("key_id"), I.c.key == bindparam("key"))
CLAIM = Statement(
    insert_or_ignore(I).values(
        {
            name: bindparam(name)
            for name in ("tenant_id", "key_id", "key", "request_hash", "status", "body", "created_at")
        }
    )
)
FIND = Statement(select(I.c.request_hash, I.c.status, I.c.body, I.c.created_at).where(*THE_KEY))
STORE = Statement(update(I).where(*THE_KEY).values(status=bindparam("answer"), body=bindparam("content")))
FORGET = Statement(delete(I).where(*THE_KEY))
PURGE = Statement(
    delete(I).where(
        I.c.tenant_id == OF_TENANT,
        tuple_(I.c.key_id, I.c.key).in_(
            select(I.c.key_id, I.c.key)
            .where(I.c.tenant_id == OF_TENANT, I.c.created_at < bindparam("before"))
            .order_by(I.c.created_at)
            .limit(bindparam("count", type_=Integer()))
        ),
    )
)


def find(work: Work, key_id: str, key: str, request: bytes) -> Stored | None:
    """Give the answer that this request got before; else claim the key for it, until `store` says the answer.

    `request` is all that tells two requests apart: method, path and body. Raises KeyReused.
    """
    hashed = {"key_id": key_id, "key": _hash(key.encode())}
    claim = {"request_hash": _hash(request), "status": 0, "body": None, "created_at": work.now}
    if work.run(CLAIM, **hashed, **claim):
        return None
    row = work.row(FIND, **hashed)
    if row is not None and row[3] < clock.later(-KEPT_SECONDS):
        work.run(FORGET, **hashed)
        work.run(CLAIM, **hashed, **claim)
        return None
    if row is None or row[0] != claim["request_hash"]:
        raise KeyReused(
            "This Idempotency-Key was sent with another request before. Nothing was changed; use a new key for each "
            "request, and the same one only to repeat it."
        )
    return Stored(row[1], row[2])


def store(work: Work, key_id: str, key: str, status: int, body: bytes | None) -> None:
    """Keep the answer to a request whose key was claimed; leave out a body that holds a secret (invariant 20)."""
    work.run(STORE, key_id=key_id, key=_hash(key.encode()), answer=status, content=body)


def forget(work: Work, key_id: str, key: str) -> None:
    """Give a claimed key back: its request was refused, though something of it is committed (`errors.WrongCode`)."""
    work.run(FORGET, key_id=key_id, key=_hash(key.encode()))


def purge(connection: Connection, tenant_id: str, *, count: int = 500) -> int:
    """Remove up to `count` of a tenant's answers that are older than a day; give how many went."""
    return connection.run(PURGE, {"tenant_id": tenant_id, "before": clock.later(-KEPT_SECONDS), "count": count})


def _hash(data: bytes) -> str:
    return sha256(data).hexdigest()
