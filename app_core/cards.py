"""Cards: their life cycle. What a card shows is composed when it is read (`cards_view`), never copied (decision 7).

Wanted and actual are compared for some people, or for a whole template: pausing is one statement however many cards
there are, and saying the same twice changes nothing. Whoever decides about people's cards holds those people first.
"""

import secrets
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Integer,
    Select,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import cards_view, directory, fields, people
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, among, any_row, insert_or_ignore, table_of
from app_core.directory import M, U
from app_core.errors import NotFound
from app_core.events import Event
from app_core.ids import new_id
from app_core.people import P
from app_core.resource import attributes_of
from app_core.templates import TemplateAssignmentRow
from app_core.work import Work


class Origin(StrEnum):
    """Why there is a card."""

    ASSIGNED = "assigned"
    MANUAL = "manual"
    INVITATION = "invitation"


class CardRow(SQLModel, table=True):
    """A person's business card from one template.

    active  → paused   the last assigned group is lost, or the person is deactivated; the seat is freed
    paused  → active   the group or the person returns, or an administrator reactivates it (it is *manual* from then on)
    paused  → deleted  by an administrator only; a manual one or an invitation at any time
    An invitation has no person until it is claimed.
    """

    __tablename__ = "card"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "person_id"], ["person.tenant_id", "person.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "template_id"], ["template.tenant_id", "template.id"]),
        # Part of a public address, so no tenant stands in front.
        UniqueConstraint("slug"),
        # One assigned card per person and template (invariant 11).
        Index(
            "uq_card_assigned",
            "tenant_id",
            "person_id",
            "template_id",
            unique=True,
            sqlite_where=text("origin = 'assigned'"),
            postgresql_where=text("origin = 'assigned'"),
        ),
        Index("ix_card_person_id", "tenant_id", "person_id", "template_id"),
        Index("ix_card_template_id", "tenant_id", "template_id", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    person_id: str | None = Field(sa_type=KeyText)
    template_id: str = Field(sa_type=KeyText)
    origin: str = Field(sa_type=KeyText)
    state: str = Field(sa_type=KeyText)
    pause_reason: str | None = Field(sa_type=KeyText)
    slug: str = Field(sa_type=KeyText)
    overrides: str = Field(sa_type=Text)
    initial: str = Field(sa_type=Text)
    claimed_at: str | None = Field(sa_type=KeyText)
    paused_at: str | None = Field(sa_type=KeyText)
    version: int
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)


class Card(NamedTuple):
    """A card as read; whether a live one is active or waits is its person's seat's to say (`seats`)."""

    id: str
    person_id: str | None
    template_id: str
    origin: str
    state: str
    pause_reason: str | None
    slug: str
    overrides: str
    """The owner's edits: field key → text, as JSON."""
    initial: str
    """What the directory said when the card was issued or refreshed: source → text, as JSON."""
    claimed_at: Stamp | None
    paused_at: Stamp | None
    version: int
    created_at: Stamp
    modified_at: Stamp


class Moved(NamedTuple):
    """A card whose state changed."""

    id: str
    person_id: str
    template_id: str


K, A = table_of(CardRow), table_of(TemplateAssignmentRow)
tenant = directory.tenant
CARD = tuple(K.c[name] for name in Card._fields)
MOVED = (K.c.id, K.c.person_id, K.c.template_id)
OF_TENANT = K.c.tenant_id == tenant
ASSIGNED = K.c.origin == "assigned"

REASONS = people.IN_GROUPS.join(A, and_(A.c.tenant_id == M.c.tenant_id, A.c.group_id == M.c.group_id))
"""People with all that leads them to cards: their groups, and the templates that these are assigned to."""
# A card is wanted iff its person is active and in a group assigned to its template (invariant 13).
LEADS_THERE = any_row(
    select(literal(1))
    .select_from(REASONS)
    .where(P.c.tenant_id == K.c.tenant_id, P.c.id == K.c.person_id, A.c.template_id == K.c.template_id)
    .correlate(K)
)
HIS = and_(P.c.tenant_id == K.c.tenant_id, P.c.id == K.c.person_id)
PERSON_ACTIVE = any_row(select(literal(1)).select_from(P).where(HIS, P.c.active.is_(True)).correlate(K))
UNWANTED = or_(~PERSON_ACTIVE, and_(ASSIGNED, ~LEADS_THERE))
DEPARTED = any_row(
    select(literal(1))
    .select_from(P)
    .where(HIS, P.c.directory_user_id.is_(None), P.c.origin == "directory")
    .correlate(K)
)
REASON = case((PERSON_ACTIVE, "unassigned"), (DEPARTED, "departed"), else_="inactive")
WANTED_AGAIN = and_(PERSON_ACTIVE, or_(and_(ASSIGNED, LEADS_THERE), and_(~ASSIGNED, K.c.pause_reason != "unassigned")))


def _pausing(scope: ColumnElement[bool]) -> Statement:
    """Make the statement that pauses what is no longer wanted."""
    return Statement(
        update(K)
        .where(OF_TENANT, scope, K.c.state == "active", K.c.person_id.is_not(None), UNWANTED)
        .values(
            state="paused",
            pause_reason=REASON,
            paused_at=bindparam("now"),
            modified_at=bindparam("now"),
            version=K.c.version + 1,
        )
        .returning(*MOVED, K.c.pause_reason)
    )


OF_PEOPLE = among(K.c.person_id, "person_ids")
OF_TEMPLATES = among(K.c.template_id, "template_ids")
PAUSE_OF_PEOPLE = _pausing(OF_PEOPLE)
PAUSE_OF_TEMPLATES = _pausing(OF_TEMPLATES)
# A paused card says why it is so now: who is active again is not `inactive`. That is no change of its state.
SAY_WHY = Statement(
    update(K).where(OF_TENANT, OF_PEOPLE, K.c.state == "paused", K.c.pause_reason != REASON).values(pause_reason=REASON)
)
# What leads people to cards stays until the transaction ends: whoever takes an assignment away waits, and then pauses.
HOLD_REASONS = Statement(
    select(A.c.template_id)
    .select_from(REASONS)
    .where(P.c.tenant_id == tenant, among(P.c.id, "person_ids"))
    .order_by(A.c.template_id, A.c.group_id)
    .with_for_update(read=True, of=A)
)
LOCK_OWNERS = Statement(
    select(P.c.id)
    .where(
        P.c.tenant_id == tenant, P.c.id.in_(select(K.c.person_id).where(OF_TENANT, OF_TEMPLATES, K.c.state == "active"))
    )
    .order_by(P.c.id)
    .with_for_update(key_share=True)
)
REVIVE = Statement(
    update(K)
    .where(OF_TENANT, OF_PEOPLE, K.c.state == "paused", WANTED_AGAIN)
    .values(state="active", pause_reason=None, paused_at=None, modified_at=bindparam("now"), version=K.c.version + 1)
    .returning(*MOVED)
)
# A card of any origin is a card: nobody gets a second one of a template by being in its groups.
MISSING = Statement(
    select(P.c.id, A.c.template_id, P.c.directory_user_id)
    .select_from(REASONS)
    .where(
        P.c.tenant_id == tenant,
        among(P.c.id, "person_ids"),
        P.c.active.is_(True),
        ~exists(
            select(literal(1))
            .select_from(K)
            .where(K.c.tenant_id == P.c.tenant_id, K.c.person_id == P.c.id, K.c.template_id == A.c.template_id)
            .correlate(P, A)
        ),
    )
    .distinct()
    .order_by(P.c.id, A.c.template_id)
)
DOCUMENTS = Statement(select(U.c.id, U.c.document).where(U.c.tenant_id == tenant, among(U.c.id, "user_ids")))
NEW = (
    "id",
    "person_id",
    "template_id",
    "origin",
    "slug",
    "overrides",
    "initial",
    "claimed_at",
)
INSERT = Statement(
    insert_or_ignore(K).values(
        tenant_id=tenant,
        state="active",
        version=1,
        created_at=bindparam("now"),
        modified_at=bindparam("now"),
        **{name: bindparam(name) for name in NEW},
    )
)
FIND = Statement(select(*CARD).where(OF_TENANT, K.c.id == bindparam("card_id")))
LOCK = Statement(select(*CARD).where(OF_TENANT, K.c.id == bindparam("card_id")).with_for_update())
REACTIVATE = Statement(
    update(K)
    .where(OF_TENANT, K.c.id == bindparam("card_id"))
    .values(
        state="active",
        origin="manual",
        pause_reason=None,
        paused_at=None,
        modified_at=bindparam("now"),
        version=K.c.version + 1,
    )
)
SET_VALUES = Statement(
    update(K)
    .where(OF_TENANT, K.c.id == bindparam("card_id"))
    .values(
        overrides=bindparam("overrides"),
        initial=bindparam("initial"),
        modified_at=bindparam("now"),
        version=K.c.version + 1,
    )
)
OF_PERSON = Statement(select(K.c.id, K.c.initial).where(OF_TENANT, K.c.person_id == bindparam("person_id")))
SET_INITIAL = Statement(update(K).where(OF_TENANT, K.c.id == bindparam("card_id")).values(initial=bindparam("initial")))
CLAIM = Statement(
    update(K)
    .where(OF_TENANT, K.c.id == bindparam("card_id"), K.c.person_id.is_(None))
    .values(
        person_id=bindparam("person_id"),
        claimed_at=bindparam("now"),
        modified_at=bindparam("now"),
        version=K.c.version + 1,
    )
)
DELETE = Statement(delete(K).where(OF_TENANT, K.c.id == bindparam("card_id")))
DELETE_OF_PERSON = Statement(delete(K).where(OF_TENANT, K.c.person_id == bindparam("person_id")).returning(*MOVED))
COUNT_OF_TEMPLATE = Statement(select(func.count()).where(OF_TENANT, K.c.template_id == bindparam("template_id")))

# Follow -------------------------------------------------------------------------------------------------------------


def hold_reasons(work: Work, person_ids: Sequence[str]) -> None:
    """Hold the assignments that lead some people to cards: before the people themselves, as who unassigns does."""
    work.hold(HOLD_REASONS, person_ids=list(person_ids))


def settle(work: Work, person_ids: Sequence[str]) -> None:
    """Pause, revive and issue what some people's groups and state ask for.

    The people are held by the caller (`people.lock_many`). At most a few hundred at a time: their documents are read.
    """
    pause_of(work, person_ids)
    revived = [Moved(*row) for row in work.rows(REVIVE, person_ids=list(person_ids), now=work.now)]
    for card in revived:
        work.record(Event("card.revived", card.id, _payload(card)))
    work.run(SAY_WHY, person_ids=list(person_ids))
    _issue(work, person_ids)


def pause_of(work: Work, person_ids: Sequence[str]) -> list[str]:
    """Pause what some people no longer should have, however many they are; give whose cards were paused."""
    paused = work.rows(PAUSE_OF_PEOPLE, person_ids=list(person_ids), now=work.now)
    _tell_paused(work, paused)
    return list({str(row[1]) for row in paused})


def pause_unwanted(work: Work, template_ids: Sequence[str]) -> list[str]:
    """Pause all cards of some templates that no group asks for any more, however many; give whose they were."""
    work.hold(LOCK_OWNERS, template_ids=list(template_ids))
    paused = work.rows(PAUSE_OF_TEMPLATES, template_ids=list(template_ids), now=work.now)
    _tell_paused(work, paused)
    return list({str(row[1]) for row in paused})


def _tell_paused(work: Work, paused: Sequence[Sequence[Any]]) -> None:
    for card_id, person_id, template_id, reason in paused:
        work.record(
            Event("card.paused", card_id, {"person_id": person_id, "template_id": template_id, "reason": reason})
        )


def _issue(work: Work, person_ids: Sequence[str]) -> None:
    missing = work.rows(MISSING, person_ids=list(person_ids))
    if not missing:
        return
    users = list({str(row[2]) for row in missing})
    said = {str(user_id): _snapshot(bytes(document)) for user_id, document in work.rows(DOCUMENTS, user_ids=users)}
    rows = [
        _new(work, template_id, Origin.ASSIGNED, person_id=person_id, initial=said.get(str(user_id), "{}"))
        for person_id, template_id, user_id in missing
    ]
    work.run_many(INSERT, rows)


def _snapshot(document: bytes) -> str:
    return orjson.dumps(fields.directory_values(attributes_of(document))).decode()


# One card -----------------------------------------------------------------------------------------------------------


def insert_card(
    work: Work,
    template_id: str,
    origin: Origin,
    *,
    person_id: str | None = None,
    overrides: str = "{}",
    initial: str = "{}",
) -> str:
    """Make a card and give its id."""
    row = _new(work, template_id, origin, person_id=person_id, overrides=overrides, initial=initial)
    work.run(INSERT, **row)
    return str(row["id"])


def _new(
    work: Work,
    template_id: str,
    origin: Origin,
    *,
    person_id: str | None,
    overrides: str = "{}",
    initial: str = "{}",
) -> dict[str, Any]:
    """Make the row of a new card, and tell of it."""
    card_id = new_id()
    work.record(Event("card.issued", card_id, {"person_id": person_id, "template_id": template_id}))
    return {
        "id": card_id,
        "person_id": person_id,
        "template_id": template_id,
        "origin": origin,
        "slug": secrets.token_hex(10),
        "overrides": overrides,
        "initial": initial,
        "claimed_at": None,
        "now": work.now,
    }


def find(work: Work, card_id: str) -> Card | None:
    """Read a card."""
    row = work.row(FIND, card_id=card_id)
    return None if row is None else Card(*row)


def lock(work: Work, card_id: str) -> Card:
    """Read a card that nobody else may change until the transaction ends. Raises NotFound."""
    row = work.row(LOCK, card_id=card_id)
    if row is None:
        raise NotFound("Card", card_id)
    return Card(*row)


def reactivate(work: Work, card: Card) -> None:
    """Take a paused card up again; it is manual from now on, and follow leaves it alone (invariant 12)."""
    work.run(REACTIVATE, card_id=card.id, now=work.now)
    work.record(Event("card.reactivated", card.id, _payload(card)))


def set_values(work: Work, card: Card, *, overrides: str | None = None, initial: str | None = None) -> bool:
    """Write a card's edits, or what the directory said once, anew; say whether that is a change."""
    before = (card.overrides, card.initial)
    after = (card.overrides if overrides is None else overrides, card.initial if initial is None else initial)
    if before == after:
        return False
    work.run(SET_VALUES, card_id=card.id, overrides=after[0], initial=after[1], now=work.now)
    changed = sorted(_changed(before[0], after[0]) | _changed(before[1], after[1]))
    work.record(Event("card.updated", card.id, {**_payload(card), "changed": changed}))
    return True


def refresh(work: Work, card: Card) -> bool:
    """Fill the fields that are filled once anew from what the directory says now; say whether that is a change."""
    person = None if card.person_id is None else people.find(work, card.person_id)
    if person is None or person.directory_user_id is None:
        return False
    rows = work.rows(DOCUMENTS, user_ids=[person.directory_user_id])
    if not rows:
        return False
    said = fields.directory_values(attributes_of(bytes(rows[0][1])))
    return set_values(work, card, initial=cards_view.refilled(card, said))


def keep_last(work: Work, person_id: str, document: bytes) -> None:
    """Keep what the directory says last of a person that it is about to forget, for the cards that stay."""
    said = fields.directory_values(attributes_of(document))
    for card_id, initial in work.rows(OF_PERSON, person_id=person_id):
        work.run(SET_INITIAL, card_id=card_id, initial=cards_view.with_last(initial, said))


def claim(work: Work, card: Card, person_id: str) -> None:
    """Give a card by invitation to the person that claims it."""
    work.run(CLAIM, card_id=card.id, person_id=person_id, now=work.now)
    work.record(Event("card.claimed", card.id, {"person_id": person_id, "template_id": card.template_id}))


def remove(work: Work, card: Card) -> None:
    """Forget a card; whether it may go is `administration`'s to say."""
    work.run(DELETE, card_id=card.id)
    work.record(Event("card.deleted", card.id, _payload(card)))


def remove_of_person(work: Work, person_id: str) -> None:
    """Forget all cards of a person who goes."""
    for row in work.rows(DELETE_OF_PERSON, person_id=person_id):
        work.record(Event("card.deleted", row[0], _payload(Moved(*row))))


def count_of_template(work: Work, template_id: str) -> int:
    """Count the cards of a template, in whatever state."""
    row = work.row(COUNT_OF_TEMPLATE, template_id=template_id)
    return 0 if row is None else int(row[0])


def documents(work: Work, user_ids: Sequence[str]) -> dict[str, bytes]:
    """Read what the directory says about some users, to compose their cards."""
    return {str(row[0]): bytes(row[1]) for row in work.rows(DOCUMENTS, user_ids=list(user_ids))} if user_ids else {}


def _payload(card: Card | Moved) -> dict[str, Any]:
    return {"person_id": card.person_id, "template_id": card.template_id}


def _changed(before: str, after: str) -> set[str]:
    old, new = orjson.loads(before), orjson.loads(after)
    return {name for name in {**old, **new} if old.get(name) != new.get(name)}


# Lists --------------------------------------------------------------------------------------------------------------


def chosen(columns: Sequence[ColumnElement[Any]], *, by_person: bool, by_template: bool) -> Select[Any]:
    """Start a list of cards in the order of their ids."""
    found = select(*columns).where(OF_TENANT, K.c.id > bindparam("after", type_=KeyText))
    if by_person:
        found = found.where(K.c.person_id == bindparam("person_id", type_=KeyText))
    if by_template:
        found = found.where(K.c.template_id == bindparam("template_id", type_=KeyText))
    return found.order_by(K.c.id).limit(bindparam("limit", type_=Integer()))
