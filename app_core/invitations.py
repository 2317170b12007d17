"""Invitations: cards for people outside the directory, and the links by which they claim them (C9).

The card is there from the start and nobody holds it; whoever has the link claims it once, before it expires. Of the
link only a hash is kept. An invitation to an address proves that address: the link came by it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    Integer,
    UniqueConstraint,
    and_,
    bindparam,
    insert,
    select,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import cards, cards_view, clock, credentials, templates, texts
from app_core.cards import K, Origin
from app_core.clock import Stamp
from app_core.db import Connection, KeyText, Statement, table_of
from app_core.errors import MissingFields, NotFound, NotPossible, WrongCode
from app_core.events import Event
from app_core.ids import new_id
from app_core.ports import Mail
from app_core.work import Work

SECONDS = 30 * 86400
MOST_NAME = 500


class InvitationRow(SQLModel, table=True):
    """A link by which a card finds its person; it goes with the card.

    open → claimed   somebody claimed the card
    open → expired   `expires_at` has passed; the card still waits, and an administrator may revoke
    open → revoked   by an administrator: the row and the unclaimed card are gone
    """

    __tablename__ = "invitation"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "card_id"], ["card.tenant_id", "card.id"], ondelete="CASCADE"),
        # Without a tenant in front: the link is all that its owner has.
        UniqueConstraint("claim_hash"),
        Index("ix_invitation_card_id", "tenant_id", "card_id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    card_id: str = Field(sa_type=KeyText)
    email: str | None
    display_name: str | None
    claim_hash: str = Field(sa_type=KeyText)
    expires_at: str = Field(sa_type=KeyText)
    claimed_at: str | None = Field(sa_type=KeyText)
    created_at: str = Field(sa_type=KeyText)


class Invitation(NamedTuple):
    """An invitation as read: never the link."""

    id: str
    card_id: str
    email: str | None
    display_name: str | None
    expires_at: Stamp
    claimed_at: Stamp | None
    created_at: Stamp
    template_id: str
    person_id: str | None
    """Who claimed the card."""


I = table_of(InvitationRow)  # noqa: E741 - the initial of the table, as everywhere
tenant = cards.tenant
OWN = Invitation._fields[:-2]
READ = (
    select(*[I.c[name] for name in OWN], K.c.template_id, K.c.person_id)
    .select_from(I.join(K, and_(K.c.tenant_id == I.c.tenant_id, K.c.id == I.c.card_id)))
    .where(I.c.tenant_id == tenant)
)
FIND = Statement(READ.where(I.c.id == bindparam("invitation_id")))
LOCK = Statement(READ.where(I.c.id == bindparam("invitation_id")).with_for_update(of=I))
OF_LINK = (I.c.claim_hash == bindparam("claim_hash"), I.c.claimed_at.is_(None), I.c.expires_at > bindparam("now"))
# Whoever has a link has nothing else: it is what names the tenant.
TENANT_OF = Statement(select(I.c.tenant_id).where(*OF_LINK))
BY_TOKEN = Statement(READ.where(*OF_LINK))
PAGE = Statement(READ.where(I.c.id > bindparam("after")).order_by(I.c.id).limit(bindparam("limit", type_=Integer())))
INSERT = Statement(
    insert(I).values(tenant_id=tenant, claim_hash=bindparam("claim_hash"), **{name: bindparam(name) for name in OWN})
)
TAKE = Statement(
    update(I)
    .where(I.c.tenant_id == tenant, I.c.id == bindparam("invitation_id"), I.c.claimed_at.is_(None))
    .values(claimed_at=bindparam("now"))
)

# The administrator --------------------------------------------------------------------------------------------------


def create(
    work: Work,
    template_id: str,
    *,
    email: str | None = None,
    display_name: str | None = None,
    values: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> tuple[Invitation, str]:
    """Make a card that nobody holds yet; give the invitation and the secret of its link, which is shown this once.

    `values` are what the card shows, by field. Raises NotFound, Invalid, and MissingFields for what nobody could fill.
    """
    email = None if email is None else texts.address("email", email)
    display_name = None if display_name is None else texts.line("display_name", display_name, MOST_NAME)
    template = templates.find(work, template_id)
    if template is None:
        raise NotFound("Template", template_id)
    known = cards_view.invitation_values(template, values or {}, display_name, email)
    missing = cards_view.missing_for_invitation(template, known)
    if missing:
        raise MissingFields(missing)
    card_id = cards.insert_card(work, template_id, Origin.INVITATION, initial=cards_view.given(known))
    token = credentials.new_token(credentials.CLAIM_PREFIX)
    made = Invitation(new_id(), card_id, email, display_name, clock.later(seconds), None, work.now, template_id, None)
    own = dict(zip(OWN, made, strict=False))
    work.run(INSERT, **own, claim_hash=credentials.token_hash(token))
    work.record(Event("invitation.created", made.id, {"card_id": card_id}))
    return made, token


def find(work: Work, invitation_id: str) -> Invitation | None:
    """Read an invitation."""
    row = work.row(FIND, invitation_id=invitation_id)
    return None if row is None else Invitation(*row)


def page(work: Work, *, after: str = "", limit: int = 50) -> list[Invitation]:
    """List invitations, oldest first, from behind `after`."""
    return [Invitation(*row) for row in work.rows(PAGE, after=after, limit=limit)]


def revoke(work: Work, invitation_id: str) -> None:
    """Take an invitation back; its card goes with it.

    Raises NotFound, and NotPossible for one that was claimed: then the card is somebody's.
    """
    row = work.row(LOCK, invitation_id=invitation_id)
    if row is None:
        raise NotFound("Invitation", invitation_id)
    invitation = Invitation(*row)
    if invitation.claimed_at is not None:
        raise NotPossible("This invitation was claimed. To take the card away, delete the card.")
    cards.remove(work, cards.lock(work, invitation.card_id))
    work.record(Event("invitation.revoked", invitation.id, {"card_id": invitation.card_id}))


# The person ---------------------------------------------------------------------------------------------------------


def tenant_of(connection: Connection, token: str, now: Stamp) -> str:
    """Give the tenant of the open invitation that a link is for. Raises WrongCode, whatever is wrong with the link."""
    row = connection.row(TENANT_OF, {"claim_hash": credentials.token_hash(token), "now": now})
    if row is None:
        raise _wrong_link()
    return str(row[0])


def by_token(work: Work, token: str) -> Invitation:
    """Give the open invitation that a link is for. Raises WrongCode, which says the same whatever is wrong."""
    row = work.row(BY_TOKEN, claim_hash=credentials.token_hash(token), now=work.now)
    if row is None:
        raise _wrong_link()
    return Invitation(*row)


def take(work: Work, invitation: Invitation) -> None:
    """Use an open invitation up; its card is then to be given. Raises WrongCode where somebody was faster."""
    if not work.run(TAKE, invitation_id=invitation.id, now=work.now):
        raise _wrong_link()
    work.record(Event("invitation.claimed", invitation.id, {"card_id": invitation.card_id}))


def letter(invitation: Invitation, address: str, sender: str, link: str) -> Mail:
    """Write the letter with the link of an invitation; `sender` is what its company is called."""
    greeting = f"Hello {invitation.display_name}" if invitation.display_name else "Hello"
    text = (
        f"{greeting},\n\n{sender} has a business card for you. Look at it and take it here:\n\n    {link}\n\n"
        f"The link works once, until {invitation.expires_at[:10]}, for whoever has it: do not pass it on. If you did "
        "not expect this letter, you need not do anything.\n"
    )
    return Mail(address, f"A business card from {sender}", text)


def _wrong_link() -> WrongCode:
    return WrongCode(
        "This link does not work: it may be incomplete, used, expired, or taken back. "
        "Ask whoever sent it for a new one."
    )
