"""What members see: their cards, what of them they may edit, their photo, and where they are signed in."""

from typing import Any, NamedTuple

from admin_console import guard
from admin_console.card_form import edits_of, inputs_of, require_version
from admin_console.endpoint import Answer, done, page
from admin_console.pages.cards import drawn, photo_file
from admin_console.request import Request
from app_core import self_service, sessions, shown_cards
from app_core.errors import Invalid, NotFound
from app_core.shown_cards import ShownCard
from app_core.work import Work

WHY_PAUSED = {
    "unassigned": "You are in no group any more that this card is for. It comes back with what you edited "
    "when you are in one again.",
    "inactive": "Your account is disabled.",
    "departed": "Your account was deleted.",
}


class Mine(NamedTuple):
    """A card of the member, and all to draw it."""

    shown: ShownCard
    facts: dict[str, Any]
    why: str | None
    editable: bool


def read(work: Work, request: Request) -> Answer:
    """Show the member's cards as they look."""
    mine = [_mine(request, each) for each in shown_cards.of_person(work, request.who.subject_id)]
    mine.sort(key=lambda each: (each.shown.state != "active", each.shown.card.id))
    return page(
        "me/cards.html",
        "Your cards",
        here="cards",
        pictures=[each.facts["view"].logo for each in mine if each.facts["view"].logo],
        mine=mine,
    )


def card(work: Work, request: Request) -> Answer:
    """Show one of the member's cards, with what of it they may edit."""
    mine = _mine(request, _own(work, request))
    view = mine.facts["view"]
    return page(
        "me/card.html",
        view.name or mine.shown.template.name,
        here="cards",
        pictures=[] if view.logo is None else [view.logo],
        mine=mine,
        inputs=inputs_of(mine.shown.composed),
        own_photo=self_service.may_set_photo(mine.shown.template),
        **mine.facts,
    )


def edit(work: Work, request: Request) -> Answer:
    """Save what the member typed into the editable fields."""
    held = self_service.lock_card(work, request.who.subject_id, request.id)
    require_version(request, held)
    shown = shown_cards.find(work, held.id)
    changed = self_service.edit_card(work, held, edits_of(request, shown.composed))
    sentence = "Your card is saved." if changed else "Nothing was changed."
    return done(f"/me/cards/{held.id}", sentence, target_id=held.id, changed=["overrides"] if changed else [])


def photo(work: Work, request: Request) -> Answer:
    """Give the photo on one of the member's cards."""
    return photo_file(work, _own(work, request))


def set_photo(work: Work, request: Request) -> Answer:
    """Take the member's photo, which all their cards show that have one."""
    sent = request.files.get("photo")
    if sent is None or not sent.data:
        raise Invalid("Choose a picture first.")
    changed = self_service.set_photo(work, request.who.subject_id, sent.data)
    return _photo_done(request, changed, "Your photo is on your cards.")


def remove_photo(work: Work, request: Request) -> Answer:
    """Take the member's photo away."""
    changed = self_service.remove_photo(work, request.who.subject_id)
    return _photo_done(request, changed, "Your photo is taken away.")


def _photo_done(request: Request, changed: bool, sentence: str) -> Answer:
    back = f"/me/cards/{request.text('card')}" if request.text("card").replace("-", "").isalnum() else "/me"
    said = sentence if changed else "Nothing was changed."
    return done(back, said, target_id=request.who.subject_id, changed=["photo"] if changed else [])


def _own(work: Work, request: Request) -> ShownCard:
    """Find a card of the member. Raises NotFound for anybody else's."""
    shown = shown_cards.find(work, request.id)
    if shown.card.person_id != request.who.subject_id:
        raise NotFound("Card", request.id)
    return shown


def _mine(request: Request, shown: ShownCard) -> Mine:
    why = WHY_PAUSED.get(shown.card.pause_reason or "") if shown.state == "paused" else None
    editable = shown.state != "paused" and (
        bool(inputs_of(shown.composed)) or self_service.may_set_photo(shown.template)
    )
    facts = drawn(request, shown, f"/me/cards/{shown.card.id}/photo", prompts=True)
    return Mine(shown, facts, why, editable)


# Where they are signed in -------------------------------------------------------------------------------------------


def account(work: Work, request: Request) -> Answer:
    """Show where the member is signed in."""
    return page(
        "me/account.html", "Your account", here="account", sessions=sessions.list_of(work.connection, request.who)
    )


def end_session(work: Work, request: Request) -> Answer:
    """End another of the member's sessions."""
    sessions.close_one(work.connection, request.who, request.id)
    return done("/me/account", "That session is ended.")


def end_sessions(work: Work, request: Request) -> Answer:
    """Sign out everywhere but here."""
    count = sessions.close_all(work.connection, request.who, but=request.who.session_id)
    return done("/me/account", f"{count} other {'session is' if count == 1 else 'sessions are'} ended.")


def set_theme(work: Work, request: Request) -> Answer:
    """Choose light, dark, or what the device says."""
    theme = request.text("theme")
    return done("/me/account", cookies={guard.THEME: theme if theme in ("light", "dark") else "auto"})
