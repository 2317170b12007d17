"""Cards in the console: which there are, how they look, why they are paused, and what is wrong with them."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from admin_console.card_form import edits_of, inputs_of, require_version
from admin_console.card_view import photo_of, view_of
from admin_console.endpoint import Answer, File, done, page
from admin_console.request import Request
from app_core import administration, cards, deletion, photos, seats, shown_cards, templates
from app_core.cards import Card
from app_core.errors import NotFound
from app_core.shown_cards import LACKS, ShownCard
from app_core.work import Work

MOST_SHOWN, MOST_TEMPLATES = 50, 200
FILTERS = ("q", "state", "template", "lack")
REASONS: Mapping[str, str] = {
    "unassigned": "Its person is in no group any more that leads to this template.",
    "inactive": "The directory has disabled its person.",
    "departed": "The directory has deleted its person.",
}
REMEDIES: Mapping[str, str] = {
    "unassigned": "It comes back, edits and all, when they are put into such a group in Entra. "
    "Reactivate it to keep it by hand.",
    "inactive": "It comes back, edits and all, when the user is enabled in Entra.",
    "departed": "It comes back when the same user is restored in Entra. Reactivate it to keep person and card by hand.",
}
ORIGINS: Mapping[str, str] = {
    "assigned": "By a group: it follows the directory.",
    "manual": "Kept by hand: no group pauses it.",
    "invitation": "By invitation.",
}


def find(work: Work, request: Request) -> Answer:
    """List cards; with no one looked for, in the order in which they were issued."""
    asked = {name: request.asked(name) for name in FILTERS}
    after = request.asked("after")
    found = shown_cards.page(
        work,
        after=after,
        limit=MOST_SHOWN,
        q=asked["q"],
        template_id=asked["template"] or None,
        state=asked["state"] if asked["state"] in seats.STATES else None,
        lack=asked["lack"] if asked["lack"] in LACKS else None,
    )
    kept = {name: value for name, value in asked.items() if value}
    return page(
        "cards/list.html",
        "Cards",
        place="cards",
        cards=found.cards,
        asked=asked,
        after=after,
        next=None if found.next is None else f"/console/cards?{urlencode({**kept, 'after': found.next})}",
        first=f"/console/cards?{urlencode(kept)}" if after else None,
        templates=[(each.id, each.name) for each in templates.page(work, limit=MOST_TEMPLATES)],
        states=[(state, state.capitalize()) for state in seats.STATES],
        filtered=bool(kept),
    )


def read(work: Work, request: Request) -> Answer:
    """Show a card and all that is known of it."""
    shown = shown_cards.find(work, request.id)
    return page(
        "cards/card.html",
        _title(shown),
        place="cards",
        pictures=[shown.template.look[name] for name in ("logo_url",) if name in shown.template.look],
        inputs=inputs_of(shown.composed),
        problems={problem.key: problem for problem in shown.composed.problems},
        labels={field.key: field.label for field in shown.composed.fields},
        modes={field.key: field.mode for field in shown.template.fields},
        sources={field.key: field.source for field in shown.template.fields},
        reason=REASONS.get(shown.card.pause_reason or ""),
        remedy=REMEDIES.get(shown.card.pause_reason or ""),
        origin=ORIGINS[shown.card.origin],
        **drawn(request, shown, f"/console/cards/{shown.card.id}/photo", prompts=True),
    )


def photo(work: Work, request: Request) -> Answer:
    """Give the photo that a card shows."""
    shown = shown_cards.find(work, request.id)
    return photo_file(work, shown)


def edit(work: Work, request: Request) -> Answer:
    """Save what was typed into the editable fields of a card."""
    before = cards.lock(work, request.id)
    require_version(request, before)
    shown = shown_cards.find(work, before.id)
    after = administration.edit_card(work, before, edits_of(request, shown.composed))
    return _done(before, after, "The card is saved.")


def reactivate(work: Work, request: Request) -> Answer:
    """Take a paused card up again by hand."""
    after = administration.reactivate_card(work, request.id)
    waits = seats.card_state(work, after.id) == "waiting"
    sentence = "The card waits for a seat: none is free." if waits else "The card is active again, kept by hand."
    return done(f"/console/cards/{after.id}", sentence, target_id=after.id)


def refresh(work: Work, request: Request) -> Answer:
    """Fill the fields that are filled once anew."""
    before = cards.lock(work, request.id)
    cards.refresh(work, before)
    return _done(before, cards.lock(work, before.id), "The fields that are filled once hold what the directory says.")


def delete(work: Work, request: Request) -> Answer:
    """Delete a card that no group asks for now."""
    deletion.delete_card(work, request.id)
    return done("/console/cards", "The card is deleted; its public page is gone.", target_id=request.id)


def _done(before: Card, after: Card, sentence: str) -> Answer:
    changed = [name for name in ("overrides", "initial") if getattr(after, name) != getattr(before, name)]
    said = sentence if changed else "Nothing was changed."
    return done(f"/console/cards/{after.id}", said, target_id=after.id, changed=changed)


# What a card looks like, for other pages too ------------------------------------------------------------------------


def drawn(request: Request, shown: ShownCard, photo_path: str, *, prompts: bool = False) -> dict[str, Any]:
    """Give a page what it needs to draw a card and to share it."""
    assert request.tenant is not None
    photo = photo_of(shown.composed)
    return {
        "shown": shown,
        "view": view_of(
            shown.template,
            shown.composed,
            request.tenant.name,
            photo=None if photo is None else f"{photo_path}?v={photo[:12]}",
            prompts=prompts,
        ),
        "public": f"{request.public_url}/c/{shown.card.slug}",
    }


def photo_file(work: Work, shown: ShownCard) -> Answer:
    """Give the photo that a card shows, which a browser asks for again each time: what is paused is gone at once."""
    photo = None
    if shown.person is not None and photo_of(shown.composed) is not None:
        photo = photos.get(work, shown.person.id)
    if photo is None:
        raise NotFound("Photo of card", shown.card.id)
    return File(media_type=photo.media_type, data=photo.data, etag=f'"{photo.hash[:32]}"', cache="private, no-cache")


def _title(shown: ShownCard) -> str:
    return "Unclaimed card" if shown.person is None else f"Card of {shown.person.display_name}"
