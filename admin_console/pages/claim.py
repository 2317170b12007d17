"""The page of an invitation, for whoever has its link: it shows the card, and a click takes it.

To look uses nothing up: mail scanners open links as well. Whatever is wrong with a link, the page says the same.
"""

from dataclasses import replace
from typing import Any

from admin_console import guard
from admin_console.card_form import Input, inputs_of
from admin_console.endpoint import Answer, done, page
from admin_console.pages.cards import drawn
from admin_console.pages.invitations import NAME
from admin_console.request import Request
from app_core import clock, invitations, self_service, sessions, shown_cards
from app_core.db import Connection
from app_core.invitations import Invitation
from app_core.self_service import Claimed
from app_core.shown_cards import ShownCard
from app_core.work import Work


def tenant_of(connection: Connection, request: Request) -> str:
    """Give the tenant of an invitation. Raises WrongCode."""
    return invitations.tenant_of(connection, request.keys["token"], clock.now())


def show(work: Work, request: Request) -> Answer:
    """Show the card that waits. Raises WrongCode."""
    invitation = invitations.by_token(work, request.keys["token"])
    shown = shown_cards.find(work, invitation.card_id)
    facts: dict[str, Any] = drawn(request, shown, "", prompts=True)
    view = facts["view"]
    return page(
        "claim.html",
        f"A card from {view.company}",
        pictures=[] if view.logo is None else [view.logo],
        invitation=invitation,
        inputs=_missing(shown, invitation),
        required={field.key for field in shown.template.fields if field.required},
        **facts,
    )


def _missing(shown: ShownCard, invitation: Invitation) -> list[Input]:
    """Give the fields that show nothing yet and that whoever claims the card may fill.

    The name on the card is asked for once: as whose card it is, or, where that is known, with it filled in.
    """
    empty = _empty(shown)
    if invitation.display_name is None:
        return [each for key, each in empty.items() if key != NAME]
    known = {NAME: replace(empty[NAME], value=invitation.display_name)} if NAME in empty else {}
    return [known.get(key, each) for key, each in empty.items()]


def _empty(shown: ShownCard) -> dict[str, Input]:
    return {each.key: each for each in inputs_of(shown.composed) if not each.value}


def claim(work: Work, request: Request) -> Answer:
    """Take the card. Raises WrongCode, Invalid, NotPossible."""
    token = request.keys["token"]
    invitation = invitations.by_token(work, token)
    shown = shown_cards.find(work, invitation.card_id)
    typed = {each.key: request.text(f"value-{each.key}") for each in _missing(shown, invitation)}
    if invitation.display_name is None and NAME in _empty(shown):
        typed[NAME] = request.text("display_name")
    claimed = self_service.claim_card(
        work,
        token,
        display_name=request.text("display_name") or None,
        email=request.text("email") or None,
        values={key: value for key, value in typed.items() if value},
    )
    sentence = "The card is yours."
    if claimed.newcomer and request.visitor is None:
        # Nobody was this person before, so the link is all there is to prove them by.
        return done(
            "/me", sentence, target_id=claimed.card_id, cookies={guard.MEMBER: _signed_in(work, request, claimed)}
        )
    own = request.visitor is not None and request.visitor.subject_id == claimed.person_id
    where = "/me" if own else f"/c/{shown.card.slug}"
    return done(where, sentence, target_id=claimed.card_id)


def _signed_in(work: Work, request: Request, claimed: Claimed) -> str:
    link = sessions.new_member_link(work, claimed.person_id)
    secret, _ = sessions.open_by_link(work.connection, link, work.now, request.agent)
    return secret
