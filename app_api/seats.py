"""Seats: how the tenant stands, who has one and who waits."""

from dataclasses import dataclass
from typing import Annotated

from app_api.bodies import Paging, one_of
from app_api.exchange import Answer, Call, Instant
from app_api.lists import page_of
from app_core import seats
from app_core.work import Work

State = Annotated[str, one_of("open", "waiting")]


@dataclass(frozen=True, slots=True)
class Seat:
    """A person's seat, or their place in the queue for one."""

    id: str
    person_id: str
    state: State
    wanted_at: Instant
    opened_at: Instant | None


@dataclass(frozen=True, slots=True)
class Seats:
    """How the tenant stands, and a page of its seats; a limit of null is none."""

    limit: int | None
    open: int
    waiting: int
    items: list[Seat]
    next: str | None


def find(work: Work, call: Call, query: Paging) -> Answer[Seats]:
    """Say how many seats are open and waited for, and whose they are."""
    counts = seats.counts(work)
    page = page_of(query, seats.page(work, after=query.after, limit=query.limit + 1), _shown, lambda seat: seat.id).body
    return Answer(200, Seats(counts.limit, counts.open, counts.waiting, page.items, page.next))


def _shown(seat: seats.Seat) -> Seat:
    state = "waiting" if seat.opened_at is None else "open"
    return Seat(seat.id, seat.person_id, state, seat.wanted_at, seat.opened_at)
