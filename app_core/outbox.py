"""The outbox: events as rows beside the change they tell of. No row, no event; no change, no row (invariant 21).

Rows are inserted in the order of their `sequence`, but become visible when their transaction ends, which may be in
another order. So that nobody who reads the feed from a place on misses one, places are given out when the feed is read:
each event that is visible and has none gets the next, under the feed's lock.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlmodel import Field, SQLModel

from app_core.clock import Stamp
from app_core.db import Connection, KeyText, Params, Statement, among, insert_or_ignore, table_of
from app_core.events import VERSION, Event
from app_core.ids import new_id
from app_core.work import Work


class OutboxEventRow(SQLModel, table=True):
    """An event, until its age removes it."""

    __tablename__ = "outbox_event"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        Index(
            "ix_outbox_event_position",
            "tenant_id",
            "position",
            sqlite_where=text("position IS NOT NULL"),
            postgresql_where=text("position IS NOT NULL"),
        ),
        Index(
            "ix_outbox_event_new",
            "tenant_id",
            # Null in each of its rows: so SQLite's planner sees that they are few (ADR 0008).
            "position",
            "sequence",
            sqlite_where=text("position IS NULL"),
            postgresql_where=text("position IS NULL"),
        ),
    )

    # The one key without a tenant in front: the database itself counts, so that one subject's events keep their order
    # on any number of replicas, whatever their clocks say.
    sequence: int | None = Field(
        default=None,
        sa_column=Column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    )
    tenant_id: str = Field(sa_type=KeyText)
    id: str = Field(sa_type=KeyText)
    position: int | None = Field(sa_type=BigInteger)
    type: str = Field(sa_type=KeyText)
    subject_type: str = Field(sa_type=KeyText)
    subject_id: str = Field(sa_type=KeyText)
    payload: str = Field(sa_type=Text)
    occurred_at: str = Field(sa_type=KeyText)
    correlation_id: str = Field(sa_type=KeyText)


class OutboxFeedRow(SQLModel, table=True):
    """How far the places of a tenant's feed are given out; its row is the lock for doing so."""

    __tablename__ = "outbox_feed"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),)

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    last_position: int = Field(sa_type=BigInteger)


class Published(NamedTuple):
    """An event as the feed gives it."""

    position: int
    id: str
    type: str
    subject_type: str
    subject_id: str
    payload: str
    occurred_at: Stamp
    correlation_id: str


V, F = table_of(OutboxEventRow), table_of(OutboxFeedRow)
OF_TENANT = V.c.tenant_id == bindparam("tenant_id")
NEW = ("id", "type", "subject_type", "subject_id", "payload", "occurred_at", "correlation_id")
# Nobody asks for its number: rows that are written together get theirs in their order.
INSERT = Statement(
    insert(V).values(tenant_id=bindparam("tenant_id"), **{name: bindparam(name) for name in NEW}).inline()
)
OPEN_FEED = Statement(insert_or_ignore(F).values(tenant_id=bindparam("tenant_id"), last_position=0))
LAST_PLACE = select(F.c.last_position).where(F.c.tenant_id == bindparam("tenant_id"))
LAST = Statement(LAST_PLACE)
LOCK_FEED = Statement(LAST_PLACE.with_for_update())
MOVE_FEED = Statement(update(F).where(F.c.tenant_id == bindparam("tenant_id")).values(last_position=bindparam("last")))
# The order of the index: PostgreSQL reads it for no shorter one, but the table from its beginning.
AS_NEW = (V.c.position, V.c.sequence)
UNPLACED = Statement(select(V.c.sequence).where(OF_TENANT, V.c.position.is_(None)).order_by(*AS_NEW).limit(1))
RANKED = (
    select(V.c.sequence, func.row_number().over(order_by=AS_NEW).label("rank"))
    .where(OF_TENANT, V.c.position.is_(None))
    .order_by(*AS_NEW)
    .limit(bindparam("limit", type_=Integer()))
    .subquery()
)
PLACE = Statement(
    update(V)
    .where(OF_TENANT, V.c.sequence == RANKED.c.sequence)
    .values(position=bindparam("last", type_=BigInteger()) + RANKED.c.rank)
)
READ = select(*[V.c[name] for name in Published._fields]).where(
    OF_TENANT, V.c.position > bindparam("after", type_=BigInteger())
)
PAGE = Statement(READ.order_by(V.c.position).limit(bindparam("limit", type_=Integer())))
PAGE_OF_TYPES = Statement(
    READ.where(among(V.c.type, "types")).order_by(V.c.position).limit(bindparam("limit", type_=Integer()))
)
OLD = (OF_TENANT, V.c.occurred_at < bindparam("before", type_=KeyText))
COUNT = bindparam("count", type_=Integer())


def _purging(chosen: ColumnElement[bool], *order: ColumnElement[int | None]) -> Statement:
    found = select(V.c.sequence).where(*OLD, chosen).order_by(*order).limit(COUNT)
    return Statement(delete(V).where(OF_TENANT, V.c.sequence.in_(found)))


PURGE = _purging(V.c.position.is_not(None), V.c.position)
# Of a tenant whose feed nobody reads.
PURGE_UNREAD = _purging(V.c.position.is_(None), *AS_NEW)
FEW = 8
"""How many events go out together with the log entry of their request in one statement."""
PLACES = 1000
"""How many events get their place in one read."""
ALL = 2**31 - 1


def flush(work: Work, *others: tuple[Statement, Params]) -> None:
    """Write down what happened, beside the facts: the last statement of a unit of work that changed something.

    `others` are writes that go with it in the same trip, such as the log entry.
    """
    rows = [_row(work, event) for event in work.events]
    work.events.clear()
    for statement, params in [*others, *[(INSERT, row) for row in rows[:FEW]]]:
        work.run_later(statement, **params)
    work.run_many(INSERT, rows[FEW:])


def _row(work: Work, event: Event) -> dict[str, Any]:
    return {
        "id": new_id(),
        "type": event.type,
        "subject_type": event.subject_type,
        "subject_id": event.subject_id,
        "payload": orjson.dumps({"version": VERSION, **event.payload}).decode(),
        "occurred_at": work.now,
        "correlation_id": work.correlation_id,
    }


def read(work: Work, *, after: int = 0, types: Sequence[str] = (), limit: int = 100) -> list[Published]:
    """Read the feed from behind a place. It gives out places, so it belongs into a unit of work that writes."""
    _give_out_places(work, PLACES)
    statement = PAGE_OF_TYPES if types else PAGE
    return [Published(*row) for row in work.rows(statement, after=after, types=list(types), limit=limit)]


def end(work: Work) -> int:
    """Give the last place of the feed, once all that is visible has one: what happens from now on comes behind it."""
    _give_out_places(work, ALL)
    row = work.row(LAST)
    return 0 if row is None else int(row[0])


def _give_out_places(work: Work, most: int) -> None:
    """Give places to events that have none, in their order, up to a number."""
    if work.row(UNPLACED) is None:
        return
    work.run(OPEN_FEED)
    row = work.row(LOCK_FEED)
    last = 0 if row is None else int(row[0])
    placed = work.run(PLACE, last=last, limit=most)
    if placed:
        work.run(MOVE_FEED, last=last + placed)


def purge(connection: Connection, tenant_id: str, before: Stamp, *, count: int = 500) -> int:
    """Remove up to `count` of a tenant's events that are older than an instant, read or not."""
    params = {"tenant_id": tenant_id, "before": before, "count": count}
    return connection.run(PURGE, params) or connection.run(PURGE_UNREAD, params)
