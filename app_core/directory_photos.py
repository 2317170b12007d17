"""Asking the directory for photos: it tells of no change of them, so each user has an hour of the day (G6, ADR 0020).

The hour follows from the object id, so that the users of a directory are spread evenly over the 24 hourly slots, and a
slot that was missed is made up for at the next look. Who is not active, or has a photo given by hand, is passed over.
"""

from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from sqlalchemy import Integer, and_, bindparam, case, exists, func, literal, select, update

from app_core import clock, photos
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, insert_or_ignore
from app_core.directory import OF_USERS, U, directory_of, tenant
from app_core.graph_links import SLOT_BEGINS
from app_core.people import P, Person
from app_core.photos import D, F, Origin
from app_core.work import Work

SLOTS = 24


class Due(NamedTuple):
    """A user whose turn it is."""

    user_id: str
    object_id: str
    person_id: str
    etag: str | None
    """Of the directory's photo that was taken over last."""
    problem: str | None
    asked: bool
    """Whether the directory is to be asked: the user is active, and has no photo that was given by hand."""


class Status(NamedTuple):
    """How far the photos of a connection are."""

    users: int
    """How many users have their turn."""
    photos: int
    """How many of them have a photo in the directory that was taken over."""
    problems: int
    due: int
    """How many have their turn now."""
    asked_at: Stamp | None
    """When the directory was asked last."""


class Problem(NamedTuple):
    """A photo of the directory that could not be taken over."""

    user_id: str
    person_id: str
    problem: str
    asked_at: Stamp | None


OF_USER = and_(D.c.tenant_id == U.c.tenant_id, D.c.user_id == U.c.id)
OF_CONNECTION = (D.c.tenant_id == tenant, D.c.connection_id == directory_of)
WITH_PERSON = D.join(U, OF_USER).join(P, and_(P.c.tenant_id == U.c.tenant_id, P.c.directory_user_id == U.c.id))
LIMIT = bindparam("limit", type_=Integer())
BY_HAND = exists(
    select(literal(1)).where(F.c.tenant_id == P.c.tenant_id, F.c.person_id == P.c.id, F.c.origin == Origin.HAND)
).correlate(P)
USERS = Statement(
    select(U.c.id, U.c.entra_object_id, D.c.user_id)
    .select_from(U.outerjoin(D, OF_USER))
    .where(*OF_USERS, U.c.entra_object_id.is_not(None), U.c.id > bindparam("after", type_=KeyText))
    .order_by(U.c.id)
    .limit(LIMIT)
)
ENROL = Statement(
    insert_or_ignore(D).values(
        tenant_id=tenant, connection_id=directory_of, user_id=bindparam("user_id"), due_at=bindparam("due_at")
    )
)
DUE = Statement(
    select(
        U.c.id,
        U.c.entra_object_id,
        P.c.id,
        D.c.etag,
        D.c.problem,
        and_(U.c.active.is_(True), ~BY_HAND),
    )
    .select_from(WITH_PERSON)
    .where(*OF_CONNECTION, D.c.due_at <= bindparam("now", type_=KeyText))
    .order_by(D.c.due_at)
    .limit(LIMIT)
)
THIS = (D.c.tenant_id == tenant, D.c.user_id == bindparam("user_id"))
PUT_OFF = Statement(update(D).where(*THIS).values(due_at=bindparam("due_at")))
SETTLE = Statement(
    update(D)
    .where(*THIS)
    .values(
        etag=bindparam("etag"),
        problem=bindparam("problem"),
        asked_at=bindparam("now"),
        due_at=bindparam("due_at"),
    )
)
ASK_ALL = Statement(update(D).where(*OF_CONNECTION).values(due_at=bindparam("now")))
STATUS = Statement(
    select(
        func.count(),
        func.count(D.c.etag),
        func.count(D.c.problem),
        func.coalesce(func.sum(case((D.c.due_at <= bindparam("now", type_=KeyText), 1), else_=0)), 0),
        func.max(D.c.asked_at),
    ).where(*OF_CONNECTION)
)
PROBLEMS = Statement(
    select(U.c.id, P.c.id, D.c.problem, D.c.asked_at)
    .select_from(WITH_PERSON)
    .where(
        *OF_CONNECTION,
        D.c.problem.is_not(None),
        D.c.user_id > bindparam("after", type_=KeyText),
    )
    .order_by(D.c.user_id)
    .limit(LIMIT)
)

# When ---------------------------------------------------------------------------------------------------------------


def slot_of(object_id: str) -> int:
    """Say in which hour of the day (UTC, from five past) the directory is asked for a user's photo."""
    return crc32(object_id.encode()) % SLOTS


def next_turn(object_id: str, now: Stamp) -> Stamp:
    """Say when a user's slot begins next, after the present one."""
    hour = int((clock.seconds(now) - SLOT_BEGINS) // 3600)
    ahead = (slot_of(object_id) - hour) % SLOTS or SLOTS
    return clock.stamp((hour + ahead) * 3600 + SLOT_BEGINS)


def enrol(work: Work, *, after: str = "", look: int = 2000) -> str | None:
    """Give users their turn, the next one, of some from behind an id; say from where to look on (None: no more)."""
    rows = work.rows(USERS, connection_id=work.connection_id, after=after, limit=look)
    new = [(user_id, object_id) for user_id, object_id, known in rows if known is None]
    turns = [{"user_id": user_id, "due_at": next_turn(object_id, work.now)} for user_id, object_id in new]
    work.run_many(ENROL, [{"connection_id": work.connection_id, **turn} for turn in turns])
    return str(rows[-1][0]) if len(rows) == look else None


def due(work: Work, limit: int) -> list[Due]:
    """Give the users whose turn has come, who waited longest first."""
    rows = work.rows(DUE, connection_id=work.connection_id, now=work.now, limit=limit)
    return [Due(*row) for row in rows]


def ask_all(work: Work) -> int:
    """Have the photos of all users asked for by the next pull; say of how many."""
    return work.run(ASK_ALL, connection_id=work.connection_id, now=work.now)


# What came of it ----------------------------------------------------------------------------------------------------


def settle(work: Work, turn: Due, etag: str | None, problem: str | None = None) -> None:
    """Remember what the directory has, and ask again in a day."""
    due_at = next_turn(turn.object_id, work.now)
    work.run(SETTLE, user_id=turn.user_id, etag=etag, problem=problem, now=work.now, due_at=due_at)


def put_off(work: Work, turn: Due, until: Stamp | None = None) -> None:
    """Ask again at an instant, else in a day; what is known stays."""
    work.run(PUT_OFF, user_id=turn.user_id, due_at=until or next_turn(turn.object_id, work.now))


def take(work: Work, person: Person, data: bytes) -> bool:
    """Give a person that the caller holds the directory's photo; say whether that is a change. Raises Invalid."""
    return photos.put(work, person, data, origin=Origin.DIRECTORY)


def drop(work: Work, person: Person) -> bool:
    """Take the directory's photo of a person that the caller holds away; say whether there was one of the directory."""
    return not photos.is_by_hand(work, person) and photos.remove(work, person)


# For the administrator ----------------------------------------------------------------------------------------------


def status(work: Work) -> Status:
    """Say how far the photos of the acting connection are."""
    row = work.row(STATUS, connection_id=work.connection_id, now=work.now)
    assert row is not None
    return Status(int(row[0]), int(row[1]), int(row[2]), int(row[3]), row[4])


def problems(work: Work, *, after: str = "", limit: int = 50) -> Sequence[Problem]:
    """List the photos that could not be taken over, in the order of their users, from behind one."""
    rows = work.rows(PROBLEMS, connection_id=work.connection_id, after=after, limit=limit)
    return [Problem(*row) for row in rows]
