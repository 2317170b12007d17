"""Seats: who takes one, who waits for one, and the limit that no race can exceed (C8, invariants 14 and 15).

A person needs a seat while it has a live card or an activated account. It then has a seat row, which is open or waits;
`tenant.seats_open` counts the open ones, and a CHECK of the database holds that number to the limit. Whoever opens or
releases seats holds the tenant's row, last of all locks; the oldest who wait are served first.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    Integer,
    and_,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import cards, directory
from app_core.activation import ActivationRow
from app_core.cards import CARD, Card, K
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, among, any_row, table_of
from app_core.events import Event
from app_core.ids import new_id
from app_core.people import P
from app_core.tenants import T
from app_core.work import Work


class SeatRow(SQLModel, table=True):
    """A person's claim to a seat, kept afterwards as history.

    waiting  → open      a seat is free, and nobody has waited longer
    waiting  → released  it is no longer needed
    open     → released  the last live card and the activated account are gone
    """

    __tablename__ = "seat"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "person_id"], ["person.tenant_id", "person.id"], ondelete="CASCADE"),
        # At most one a person at a time (invariant 14).
        Index(
            "uq_seat_person",
            "tenant_id",
            "person_id",
            unique=True,
            sqlite_where=text("released_at IS NULL"),
            postgresql_where=text("released_at IS NULL"),
        ),
        Index(
            "ix_seat_waiting",
            "tenant_id",
            "wanted_at",
            "id",
            sqlite_where=text("opened_at IS NULL AND released_at IS NULL"),
            postgresql_where=text("opened_at IS NULL AND released_at IS NULL"),
        ),
        Index("ix_seat_person_id", "tenant_id", "person_id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    person_id: str = Field(sa_type=KeyText)
    wanted_at: str = Field(sa_type=KeyText)
    opened_at: str | None = Field(sa_type=KeyText)
    released_at: str | None = Field(sa_type=KeyText)


class Seat(NamedTuple):
    """A seat row as read."""

    id: str
    person_id: str
    wanted_at: Stamp
    opened_at: Stamp | None
    released_at: Stamp | None


class Counts(NamedTuple):
    """How a tenant stands: its limit (None: none), who has a seat, and who waits."""

    limit: int | None
    open: int
    waiting: int


S, V = table_of(SeatRow), table_of(ActivationRow)
tenant = directory.tenant
SEAT = tuple(S.c[name] for name in Seat._fields)
OF_TENANT = S.c.tenant_id == tenant
CURRENT = S.c.released_at.is_(None)
WAITING = and_(S.c.opened_at.is_(None), CURRENT)


def needs_seat(person_id: Any) -> Any:
    """Say in SQL whether a person needs a seat: the one definition of it."""
    return or_(
        any_row(
            select(literal(1))
            .select_from(K)
            .where(K.c.tenant_id == tenant, K.c.person_id == person_id, K.c.state == "active")
        ),
        any_row(
            select(literal(1))
            .select_from(V)
            .where(V.c.tenant_id == tenant, V.c.person_id == person_id, V.c.state == "active")
        ),
    )


HAS_SEAT = exists(
    select(literal(1))
    .select_from(S)
    .where(S.c.tenant_id == P.c.tenant_id, S.c.person_id == P.c.id, CURRENT)
    .correlate(P)
)
NEEDY = Statement(
    select(P.c.id)
    .where(P.c.tenant_id == tenant, among(P.c.id, "person_ids"), P.c.active.is_(True), ~HAS_SEAT, needs_seat(P.c.id))
    .order_by(P.c.id)
)
WANT = Statement(
    insert(S).values(tenant_id=tenant, id=bindparam("id"), person_id=bindparam("person_id"), wanted_at=bindparam("now"))
)
RELEASE = Statement(
    update(S)
    .where(OF_TENANT, CURRENT, among(S.c.person_id, "person_ids"), ~needs_seat(S.c.person_id))
    .values(released_at=bindparam("now"))
    .returning(S.c.id, S.c.person_id, S.c.opened_at)
)
# NO KEY: whoever adds something to the tenant refers to its row, and would wait crosswise for us.
ACCOUNT = Statement(select(T.c.seat_limit, T.c.seats_open).where(T.c.id == tenant).with_for_update(key_share=True))
COUNT = Statement(
    update(T).where(T.c.id == tenant).values(seats_open=T.c.seats_open + bindparam("change", type_=Integer()))
)
OLDEST = Statement(
    select(S.c.id, S.c.person_id)
    .where(OF_TENANT, WAITING)
    .order_by(S.c.wanted_at, S.c.id)
    .limit(bindparam("limit", type_=Integer()))
)
OPEN = Statement(update(S).where(OF_TENANT, among(S.c.id, "seat_ids")).values(opened_at=bindparam("now")))
COUNTS = Statement(
    select(T.c.seat_limit, T.c.seats_open, select(func.count()).where(OF_TENANT, WAITING).scalar_subquery()).where(
        T.c.id == tenant
    )
)
OF_PERSON = Statement(select(*SEAT).where(OF_TENANT, S.c.person_id == bindparam("person_id"), CURRENT))
PAGE = Statement(
    select(*SEAT)
    .where(OF_TENANT, CURRENT, S.c.id > bindparam("after", type_=KeyText))
    .order_by(S.c.id)
    .limit(bindparam("limit", type_=Integer()))
)
ALL_THAT_WAIT = 2**31 - 1

# Follow -------------------------------------------------------------------------------------------------------------


def settle(work: Work, person_ids: Sequence[str]) -> None:
    """Release the seats that some people no longer need and claim those that they need now; serve who waits.

    The people are held by the caller (`people.lock_many`).
    """
    freed = _release(work, person_ids)
    wanted = _want(work, person_ids)
    if freed or wanted:
        opened = serve(work)
        waiting = {seat: person for seat, person in wanted.items() if seat not in opened}
        for seat_id, person_id in waiting.items():
            work.record(Event("seat.waiting", seat_id, {"person_id": person_id}))
        if waiting:
            waits = "1 person waits" if len(waiting) == 1 else f"{len(waiting)} people wait"
            work.warn("noSeat", f"No seat is left: {waits} for one.")


def release_unneeded(work: Work, person_ids: Sequence[str]) -> None:
    """Release what people no longer need, however many they are, and serve who waits."""
    if person_ids and _release(work, person_ids):
        serve(work)


def serve(work: Work) -> set[str]:
    """Open seats for those who have waited longest, as far as the limit reaches; give which."""
    row = work.row(ACCOUNT)
    assert row is not None
    limit, taken = row[0], int(row[1])
    free = ALL_THAT_WAIT if limit is None else max(0, int(limit) - taken)
    oldest = work.rows(OLDEST, limit=free) if free else []
    if not oldest:
        return set()
    work.run(OPEN, seat_ids=[str(row[0]) for row in oldest], now=work.now)
    work.run(COUNT, change=len(oldest))
    for seat_id, person_id in oldest:
        work.record(Event("seat.opened", seat_id, {"person_id": person_id}))
    return {str(row[0]) for row in oldest}


def _release(work: Work, person_ids: Sequence[str]) -> int:
    """Release seats; give how many of them were open."""
    # First the account, as who serves does: else a seat that waits could be opened while it is released.
    work.hold(ACCOUNT)
    released = work.rows(RELEASE, person_ids=list(person_ids), now=work.now)
    opened = sum(row[2] is not None for row in released)
    if opened:
        work.run(COUNT, change=-opened)
    for seat_id, person_id, _ in released:
        work.record(Event("seat.released", seat_id, {"person_id": person_id}))
    return opened


def _want(work: Work, person_ids: Sequence[str]) -> dict[str, str]:
    """Have people wait for a seat who need one and have none; give seat → person."""
    needy = {new_id(): str(row[0]) for row in work.rows(NEEDY, person_ids=list(person_ids))}
    work.run_many(WANT, [{"id": seat, "person_id": person, "now": work.now} for seat, person in needy.items()])
    return needy


# Reading ------------------------------------------------------------------------------------------------------------


def counts(work: Work) -> Counts:
    """Say how the tenant stands."""
    row = work.row(COUNTS)
    assert row is not None
    return Counts(*row)


def of_person(work: Work, person_id: str) -> Seat | None:
    """Give the seat that a person has or waits for."""
    row = work.row(OF_PERSON, person_id=person_id)
    return None if row is None else Seat(*row)


def page(work: Work, *, after: str = "", limit: int = 50) -> list[Seat]:
    """List the seats that are open or waited for, in the order of their ids, from behind `after`."""
    return [Seat(*row) for row in work.rows(PAGE, after=after, limit=limit)]


# Cards as they are seen: a live one is active when its person's seat is open, else it waits.
SEEN = case(
    (K.c.state == "paused", "paused"),
    (
        any_row(
            select(literal(1))
            .select_from(S)
            .where(S.c.tenant_id == K.c.tenant_id, S.c.person_id == K.c.person_id, CURRENT, S.c.opened_at.is_not(None))
            .correlate(K)
        ),
        "active",
    ),
    (K.c.person_id.is_(None), "unclaimed"),
    else_="waiting",
)
STATES = ("active", "waiting", "paused", "unclaimed")
CARD_STATE = Statement(select(SEEN).where(K.c.tenant_id == tenant, K.c.id == bindparam("card_id")))


def _cards(*, by_person: bool, by_template: bool, by_state: bool) -> Statement:
    chosen = cards.chosen((*CARD, SEEN), by_person=by_person, by_template=by_template)
    return Statement(chosen.where(bindparam("state", type_=KeyText) == SEEN) if by_state else chosen)


CARDS = {
    (by_person, by_template, by_state): _cards(by_person=by_person, by_template=by_template, by_state=by_state)
    for by_person in (False, True)
    for by_template in (False, True)
    for by_state in (False, True)
}


def card_state(work: Work, card_id: str) -> str:
    """Say how a card is seen: `active`, `waiting`, `paused`, or `unclaimed`."""
    row = work.row(CARD_STATE, card_id=card_id)
    return "paused" if row is None else str(row[0])


def cards_page(
    work: Work,
    *,
    after: str = "",
    limit: int = 50,
    person_id: str | None = None,
    template_id: str | None = None,
    state: str | None = None,
) -> list[tuple[Card, str]]:
    """List cards with how they are seen, in the order of their ids, from behind `after`."""
    statement = CARDS[(person_id is not None, template_id is not None, state is not None)]
    rows = work.rows(statement, after=after, limit=limit, person_id=person_id, template_id=template_id, state=state)
    return [(Card(*row[:-1]), str(row[-1])) for row in rows]
