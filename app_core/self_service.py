"""Way in 3, the person: redeem a start code, claim a card, edit one's own."""

from collections.abc import Mapping
from typing import NamedTuple

from app_core import activation, cards, cards_view, invitations, people, photos, seats, shown_cards, templates, texts
from app_core.cards import Card
from app_core.errors import Invalid, NotFound, NotPossible
from app_core.fields import Kind
from app_core.invitations import MOST_NAME, Invitation
from app_core.people import Person, Profile
from app_core.resource import fold
from app_core.templates import Template
from app_core.work import Work


class Claimed(NamedTuple):
    """A card that has found its person."""

    person_id: str
    card_id: str
    newcomer: bool
    """Whether the person came into being by it."""


def redeem_start_code(work: Work, who: str, code: str) -> str:
    """Activate the account of the person with this sign-in name or address; it takes a seat, or waits for one.

    Gives the person's id. Raises WrongCode.
    """
    person_id = activation.redeem(work, who, code)
    seats.settle(work, [person_id])
    return person_id


def claim_card(
    work: Work,
    claim_token: str,
    *,
    display_name: str | None = None,
    email: str | None = None,
    values: Mapping[str, str | None] | None = None,
) -> Claimed:
    """Take the card of an invitation: as the person that it was sent to, else as a new one.

    `values` are the first edits of its fields, by key. Raises WrongCode, Invalid, and NotPossible for who is
    deactivated.
    """
    invitation = invitations.by_token(work, claim_token)
    invited = _invited(work, invitation)
    invitations.take(work, invitation)
    person = invited or _newcomer(work, invitation, display_name, email)
    card = cards.lock(work, invitation.card_id)
    cards.claim(work, card, person.id)
    if values:
        edit_card(work, card, values)
    seats.settle(work, [person.id])
    return Claimed(person.id, invitation.card_id, invited is None)


def _invited(work: Work, invitation: Invitation) -> Person | None:
    """Give the person that an invitation was sent to: whoever has the link has read that mailbox.

    An address that somebody only said to be theirs is not enough: cards that are meant for others would be given to it.
    """
    if invitation.email is None:
        return None
    known = [
        person
        for person in people.by_address(work, invitation.email)
        if not person.departed and (person.origin == "directory" or fold(person.sign_in) == fold(invitation.email))
    ]
    if not known:
        return None
    person = people.lock(work, min(known, key=lambda each: (not each.active, each.origin, each.id)).id)
    if not person.active:
        raise NotPossible("The account of this address is deactivated. Ask your administrator.")
    return person


def _newcomer(work: Work, invitation: Invitation, display_name: str | None, email: str | None) -> Person:
    """Add the person that claims a card. An address counts as theirs where the invitation was sent to it."""
    name = display_name if display_name is not None else invitation.display_name
    if name is None:
        raise Invalid("display_name: say whose card it is.")
    name = texts.line("display_name", name, MOST_NAME)
    if invitation.email is not None:
        return people.insert_manual(work, name, invitation.email)
    person = people.insert_manual(work, name, None)
    if email is None:
        return person
    said = Profile(True, "", texts.address("email", email), name, None)
    people.set_profile(work, person, said, user_id=None)
    return person


# Their own cards ----------------------------------------------------------------------------------------------------


def lock_card(work: Work, person_id: str, card_id: str) -> Card:
    """Hold a card of a person. Raises NotFound for anybody else's, and NotPossible for one that is paused."""
    card = cards.lock(work, card_id)
    if card.person_id != person_id:
        raise NotFound("Card", card_id)
    if card.state == "paused":
        raise NotPossible("This card is paused, so it cannot be edited. Ask your administrator.")
    return card


def edit_card(work: Work, card: Card, values: Mapping[str, str | None]) -> bool:
    """Change what a held card says in its editable fields; None takes an edit back. Says whether that is a change.

    Raises Invalid for a field that is not editable or that cannot hold the value.
    """
    template = templates.find(work, card.template_id)
    assert template is not None
    return cards.set_values(work, card, overrides=cards_view.edited(template, card, values))


def set_photo(work: Work, person_id: str, data: bytes) -> bool:
    """Give oneself a photo; say whether that is a change. Raises Invalid, and NotPossible where no card allows it."""
    person = people.lock(work, person_id)
    _require_own_photo(work, person_id)
    return photos.put(work, person, data)


def remove_photo(work: Work, person_id: str) -> bool:
    """Take one's own photo away; say whether there was one. Raises NotPossible where no card allows it."""
    person = people.lock(work, person_id)
    _require_own_photo(work, person_id)
    return photos.remove(work, person)


def may_set_photo(template: Template) -> bool:
    """Say whether the cards of a template let their member choose the photo."""
    return any(field.kind is Kind.PHOTO and field.editable for field in template.fields)


def _require_own_photo(work: Work, person_id: str) -> None:
    held = seats.cards_page(work, person_id=person_id, limit=shown_cards.ONE_PERSON)
    chosen = {card.template_id for card, state in held if state != "paused"}
    found = [templates.find(work, template_id) for template_id in sorted(chosen)]
    if not any(template is not None and may_set_photo(template) for template in found):
        raise NotPossible("None of your cards lets you choose the photo. Ask your administrator to change it.")
