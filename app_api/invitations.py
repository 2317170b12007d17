"""Invitations: cards for people outside the directory, and the links by which they are claimed (C9)."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from app_api.bodies import Body, Id, Line, Paging, Secret, Texts, one_of
from app_api.exchange import Answer, Call, Instant, Page, gone
from app_api.lists import page_of
from app_core import invitations, self_service
from app_core.errors import NotFound
from app_core.work import Work

State = Annotated[str, one_of("open", "claimed", "expired")]


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation to claim a card."""

    id: str
    card_id: str
    template_id: str
    person_id: str | None
    state: State
    email: str | None
    display_name: str | None
    expires_at: Instant
    claimed_at: Instant | None
    created_at: Instant


@dataclass(frozen=True, slots=True)
class NewInvitation(Invitation):
    """An invitation, and the secret of its link, which is shown this once."""

    claim_token: str


@dataclass(frozen=True, slots=True)
class Claimed:
    """A card that has found its person."""

    person_id: str
    card_id: str


class InvitationBody(Body):
    """Whom to invite to which card, and what it is to show, by the keys of its template's fields."""

    template_id: Id
    email: Line | None = None
    display_name: Line | None = None
    values: Texts = Field(default_factory=dict)


class Claim(Body):
    """The secret of a link, and who has it: a name is needed where the invitation names nobody."""

    claim_token: Secret
    display_name: Line | None = None
    email: Line | None = None


def find(work: Work, call: Call, query: Paging) -> Answer[Page[Invitation]]:
    """List invitations, oldest first."""
    rows = invitations.page(work, after=query.after, limit=query.limit + 1)
    return page_of(query, rows, lambda each: Invitation(**_members(work, each)), lambda each: each.id)


def create(work: Work, call: Call, body: InvitationBody) -> Answer[NewInvitation]:
    """Invite somebody to a card; the link's secret is shown this once."""
    made, token = invitations.create(
        work, body.template_id, email=body.email, display_name=body.display_name, values=body.values
    )
    shown = NewInvitation(**_members(work, made), claim_token=token)
    return Answer(201, shown, made.id, location=f"/invitations/{made.id}")


def read(work: Work, call: Call) -> Answer[Invitation]:
    """Read an invitation."""
    found = invitations.find(work, call.id)
    if found is None:
        raise NotFound("Invitation", call.id)
    return Answer(200, Invitation(**_members(work, found)), call.id)


def revoke(work: Work, call: Call) -> Answer[None]:
    """Take an invitation back; the card that nobody has claimed goes with it."""
    invitations.revoke(work, call.id)
    return gone(call.id)


def claim(work: Work, call: Call, body: Claim) -> Answer[Claimed]:
    """Claim the card of an invitation; whatever is wrong with a link, the refusal is the same."""
    found = self_service.claim_card(work, body.claim_token, display_name=body.display_name, email=body.email)
    return Answer(200, Claimed(found.person_id, found.card_id), found.card_id)


def _members(work: Work, found: invitations.Invitation) -> dict[str, Any]:
    expired = found.expires_at <= work.now
    state = "claimed" if found.claimed_at is not None else "expired" if expired else "open"
    return {**found._asdict(), "state": state}
