"""Activations and start codes: who may use an account, and the code that a person starts it with (T3, invariant 20).

A code is known in clear only to whoever is shown it once; here is its hash. A new one makes the former void, it works
once, before it expires, and not after five tries that were wrong. An activated account takes a seat (`seats` asks).
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from sqlalchemy import ForeignKeyConstraint, and_, bindparam, delete, or_, select, update
from sqlmodel import Field, SQLModel

from app_core import clock, credentials, people
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, among, table_of, upsert
from app_core.errors import NotPossible, WrongCode
from app_core.events import Event
from app_core.people import P, Person
from app_core.ports import Mail
from app_core.resource import fold, value_key
from app_core.work import Work

TRIES = 5
CODE_SECONDS = 7 * 86400


class ActivationState(StrEnum):
    """How far the activation of a person is."""

    REQUESTED = "requested"
    CODE_SENT = "code_sent"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"


# When two people turn out to be one, the one that is further counts.
FURTHEST = ("revoked", "requested", "code_sent", "suspended", "active")


class ActivationRow(SQLModel, table=True):
    """A person's account, as far as the product knows of it.

    requested  an administrator chose the person
    code_sent  a start code was shown or sent; it may have expired or been tried too often, then another is made
    active     the code was redeemed: the account takes a seat
    suspended  it was active, and the person is deactivated; comes back with the person
    revoked    an administrator ended it; may be requested anew
    """

    __tablename__ = "activation"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "person_id"], ["person.tenant_id", "person.id"], ondelete="CASCADE"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    person_id: str = Field(primary_key=True, sa_type=KeyText)
    state: str = Field(sa_type=KeyText)
    code_hash: str | None = Field(sa_type=KeyText)
    sent_at: str | None = Field(sa_type=KeyText)
    expires_at: str | None = Field(sa_type=KeyText)
    attempts: int
    used_at: str | None = Field(sa_type=KeyText)
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)


class Activation(NamedTuple):
    """An activation as read: never the code, nor its hash."""

    person_id: str
    state: str
    sent_at: Stamp | None
    expires_at: Stamp | None
    attempts: int
    """How many wrong codes were tried since the last one was made."""
    used_at: Stamp | None
    created_at: Stamp
    modified_at: Stamp


class StartCode(NamedTuple):
    """A start code in clear, for the one who is shown it."""

    code: str
    expires_at: Stamp


V = table_of(ActivationRow)
tenant = people.tenant
ACTIVATION = tuple(V.c[name] for name in Activation._fields)
OF_PERSON = (V.c.tenant_id == tenant, V.c.person_id == bindparam("person_id"))
OF_PEOPLE = (V.c.tenant_id == tenant, among(V.c.person_id, "person_ids"))
CHANGING = ("state", "code_hash", "sent_at", "expires_at", "attempts", "used_at", "modified_at")

FIND = Statement(select(*ACTIVATION).where(*OF_PERSON))
FIND_MANY = Statement(select(*ACTIVATION).where(*OF_PEOPLE))
LOCK = Statement(select(*ACTIVATION, V.c.code_hash).where(*OF_PERSON).with_for_update())
INSERTED = upsert(V).values(
    tenant_id=tenant, **{name: bindparam(name) for name in ("person_id", *CHANGING, "created_at")}
)
SAVE = Statement(
    INSERTED.on_conflict_do_update(
        index_elements=["tenant_id", "person_id"], set_={name: INSERTED.excluded[name] for name in CHANGING}
    )
)
# The sign-in name says best who is meant; of several people with one address, the latest code does.
CANDIDATE = Statement(
    select(V.c.person_id)
    .select_from(V.join(P, and_(P.c.tenant_id == V.c.tenant_id, P.c.id == V.c.person_id)))
    .where(
        *OF_PEOPLE,
        V.c.state == "code_sent",
        V.c.expires_at > bindparam("now"),
        V.c.attempts < TRIES,
        P.c.active.is_(True),
        or_(P.c.sign_in_key == bindparam("key"), P.c.email_key == bindparam("key")),
    )
    .order_by(P.c.sign_in_key != bindparam("key"), V.c.sent_at.desc(), V.c.person_id)
    .limit(1)
)
REDEEM = Statement(
    update(V)
    .where(*OF_PERSON)
    .values(state="active", code_hash=None, used_at=bindparam("now"), modified_at=bindparam("now"))
)
COUNT_ATTEMPT = Statement(update(V).where(*OF_PERSON).values(attempts=V.c.attempts + 1, modified_at=bindparam("now")))
SUSPEND = Statement(
    update(V)
    .where(*OF_PEOPLE, V.c.state == "active")
    .values(state="suspended", modified_at=bindparam("now"))
    .returning(V.c.person_id)
)
RESUME = Statement(
    update(V)
    .where(*OF_PEOPLE, V.c.state == "suspended")
    .values(state="active", modified_at=bindparam("now"))
    .returning(V.c.person_id)
)
DELETE = Statement(delete(V).where(*OF_PERSON))
HAND_OVER = Statement(update(V).where(*OF_PERSON).values(person_id=bindparam("heir_id"), modified_at=bindparam("now")))

# Reading ------------------------------------------------------------------------------------------------------------


def find(work: Work, person_id: str) -> Activation | None:
    """Read the activation of a person; there is none before an administrator asks for it."""
    row = work.row(FIND, person_id=person_id)
    return None if row is None else Activation(*row)


def of_people(work: Work, person_ids: Sequence[str]) -> dict[str, Activation]:
    """Read the activations of several people, for a list of them."""
    rows = work.rows(FIND_MANY, person_ids=list(person_ids)) if person_ids else []
    return {str(row[0]): Activation(*row) for row in rows}


# The administrator --------------------------------------------------------------------------------------------------


def request(work: Work, person_id: str) -> Activation:
    """Choose a person to have an account; one that is chosen already stays as it is.

    Raises NotFound, and NotPossible for who is deactivated.
    """
    _lock_active(work, person_id)
    before = _lock(work, person_id)
    if before is not None and before.state != "revoked":
        return before
    after = Activation(person_id, "requested", None, None, 0, None, before.created_at if before else work.now, work.now)
    _save(work, after, None)
    work.record(Event("activation.requested", person_id))
    return after


def issue_code(work: Work, person_id: str, *, seconds: float = CODE_SECONDS) -> StartCode:
    """Make a start code, to be shown this once; the former one is void. It chooses a person that is not yet chosen.

    Raises NotFound, and NotPossible for who is deactivated or has redeemed a code already.
    """
    before = request(work, person_id)
    if before.state not in ("requested", "code_sent"):
        raise NotPossible("This account is activated already. To start it anew, revoke the activation first.")
    code, expires_at = credentials.new_code(), clock.later(seconds)
    after = before._replace(
        state="code_sent", sent_at=work.now, expires_at=expires_at, attempts=0, used_at=None, modified_at=work.now
    )
    _save(work, after, credentials.code_hash(code))
    work.record(Event("activation.code_issued", person_id))
    return StartCode(code, expires_at)


def revoke(work: Work, person_id: str) -> bool:
    """End an activation with its code; say whether there was one. The seat is then `seats`' to release."""
    before = _lock(work, person_id)
    if before is None or before.state == "revoked":
        return False
    _save(work, before._replace(state="revoked", modified_at=work.now), None)
    work.record(Event("activation.revoked", person_id))
    return True


# The person ---------------------------------------------------------------------------------------------------------


def redeem(work: Work, who: str, code: str) -> str:
    """Activate the account of the person with this sign-in name or address, and give the person's id.

    Raises WrongCode, which says the same whatever is wrong. A try at a living code is counted, under the lock that
    it was compared under; after five the code is dead.
    """
    key = value_key(fold(who.strip()))
    # Anybody may ask, so the address is looked up in its indexes; whose it is by now is then the statement's to say.
    known = [each.id for each in people.by_address(work, who.strip())] if key else []
    found = work.row(CANDIDATE, person_ids=known, key=key, now=work.now) if known else None
    person = None if found is None else people.lock(work, str(found[0]))
    row = None if person is None else work.row(LOCK, person_id=person.id)
    before, code_hash = (None, None) if row is None else (Activation(*row[:-1]), row[-1])
    alive = person is not None and person.active and before is not None and _is_live(before, work.now)
    # Compared in any case, so that the time it takes says nothing about who exists.
    matches = credentials.code_matches(code, code_hash if alive else None)
    if person is None or not matches:
        counted = alive and person is not None and work.run(COUNT_ATTEMPT, person_id=person.id, now=work.now) > 0
        raise wrong_code(counted=counted)
    work.run(REDEEM, person_id=person.id, now=work.now)
    work.record(Event("activation.redeemed", person.id))
    return person.id


def wrong_code(*, counted: bool = False) -> WrongCode:
    """Give the refusal of a start code, which says the same whatever is wrong, also where there is no such tenant."""
    return WrongCode(
        "This start code does not work: it may be mistyped, used, expired, or tried too often, or it belongs to "
        "somebody else. Ask your administrator for a new one.",
        counted=counted,
    )


# What follows people ------------------------------------------------------------------------------------------------


def suspend(work: Work, person_ids: Sequence[str]) -> list[str]:
    """Suspend the activated accounts of people who may no longer sign in, however many; give whose they were."""
    return _switch(work, SUSPEND, person_ids, "activation.suspended")


def resume(work: Work, person_ids: Sequence[str]) -> list[str]:
    """Bring the suspended accounts of people back who may sign in again; give whose they are."""
    return _switch(work, RESUME, person_ids, "activation.resumed")


def remove(work: Work, person_id: str) -> None:
    """Forget the activation of a person who goes."""
    work.run(DELETE, person_id=person_id)


def hand_over(work: Work, person_id: str, heir_id: str) -> None:
    """Join the activations of two people who are one: the one that is further counts, and is the heir's."""
    states = {key: each.state for key, each in of_people(work, [person_id, heir_id]).items()}
    if person_id not in states:
        return
    mine, heirs = (FURTHEST.index(states[key]) if key in states else -1 for key in (person_id, heir_id))
    if mine <= heirs:
        remove(work, person_id)
        return
    remove(work, heir_id)
    work.run(HAND_OVER, person_id=person_id, heir_id=heir_id, now=work.now)
    work.record(Event(REACHED[states[person_id]], heir_id))


REACHED = {
    "revoked": "activation.revoked",
    "requested": "activation.requested",
    "code_sent": "activation.code_issued",
    "suspended": "activation.suspended",
    "active": "activation.redeemed",
}


def _switch(work: Work, statement: Statement, person_ids: Sequence[str], told: str) -> list[str]:
    if not person_ids:
        return []
    changed = [str(row[0]) for row in work.rows(statement, person_ids=list(person_ids), now=work.now)]
    for person_id in changed:
        work.record(Event(told, person_id))
    return changed


def _lock_active(work: Work, person_id: str) -> Person:
    person = people.lock(work, person_id)
    if not person.active:
        why = (
            "was deleted in the directory"
            if person.departed
            else "is deactivated in the directory; activate the user there first"
        )
        raise NotPossible(f"'{person.display_name}' {why}. Only active people can have an account.")
    return person


def _lock(work: Work, person_id: str) -> Activation | None:
    row = work.row(LOCK, person_id=person_id)
    return None if row is None else Activation(*row[:-1])


def _save(work: Work, activation: Activation, code_hash: str | None) -> None:
    work.run(SAVE, **activation._asdict(), code_hash=code_hash)


def _is_live(activation: Activation, now: Stamp) -> bool:
    fresh = activation.expires_at is not None and now < activation.expires_at
    return activation.state == "code_sent" and fresh and activation.attempts < TRIES


def letter(display_name: str, address: str, code: StartCode, link: str) -> Mail:
    """Write the letter with a start code: the one place beside the screen where it stands in clear.

    `link` is where it is typed in.
    """
    day = code.expires_at[:10]
    text = (
        f"Hello {display_name},\n\nyour account is ready. Your start code is\n\n    {code.code}\n\n"
        f"Type it in here, with this e-mail address as your sign-in name:\n\n    {link}\n\n"
        f"It works once, until {day}. Nobody will ask you for it by phone or mail; if you did not expect this letter, "
        "tell your administrator.\n"
    )
    return Mail(address, "Your start code", text)
