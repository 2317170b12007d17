"""Way in 3, the person: redeem a start code, claim a card."""

from typing import NamedTuple

from app_core import activation, cards, invitations, people, seats, texts
from app_core.errors import Invalid, NotPossible
from app_core.invitations import MOST_NAME, Invitation
from app_core.people import Person, Profile
from app_core.resource import fold
from app_core.work import Work


class Claimed(NamedTuple):
    """A card that has found its person."""

    person_id: str
    card_id: str


def redeem_start_code(work: Work, who: str, code: str) -> str:
    """Activate the account of the person with this sign-in name or address; it takes a seat, or waits for one.

    Gives the person's id. Raises WrongCode.
    """
    person_id = activation.redeem(work, who, code)
    seats.settle(work, [person_id])
    return person_id


def claim_card(work: Work, claim_token: str, *, display_name: str | None = None, email: str | None = None) -> Claimed:
    """Take the card of an invitation: as the person that it was sent to, else as a new one.

    Raises WrongCode, Invalid, and NotPossible for who is deactivated.
    """
    invitation = invitations.by_token(work, claim_token)
    invited = _invited(work, invitation)
    invitations.take(work, invitation)
    person = invited or _newcomer(work, invitation, display_name, email)
    cards.claim(work, cards.lock(work, invitation.card_id), person.id)
    seats.settle(work, [person.id])
    return Claimed(person.id, invitation.card_id)


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
