"""The public page of a card, for whoever has its address: the page, a file for the address book, a QR code, the photo.

Only an active card shows anything. What is paused is gone at the next look: nothing of it may be kept by a browser
without asking again.
"""

from io import BytesIO
from typing import Any

from admin_console.card_view import name_of, photo_of
from admin_console.endpoint import Answer, File, page
from admin_console.pages.cards import drawn, photo_file
from admin_console.request import Request
from admin_console.vcard import vcard
from app_core import clock, photos, shown_cards, tenants
from app_core.db import Connection
from app_core.errors import NotFound
from app_core.sessions import Kind
from app_core.shown_cards import ShownCard
from app_core.work import Actor, Source, Work

SAYINGS = {
    "paused": ("pause", "This card is paused", "It shows nothing for now, until its company takes it up again."),
    "waiting": ("clock", "This card is not active yet", "It is here as soon as its company has a free seat for it."),
    "unclaimed": (
        "person",
        "Nobody holds this card yet",
        "Who was invited to it claims it by the link they were sent.",
    ),
    "unknown": ("search", "There is no such card", "The address may be incomplete, or the card was deleted."),
}
"""What stands in the place of a card that shows nothing: a sign, a title, a sentence."""


def read(connection: Connection, request: Request) -> Answer:
    """Show a card, or why it shows nothing."""
    found = _find(connection, request)
    if found is None:
        saying = SAYINGS["unknown"]
        return page("public/nothing.html", saying[1], status=404, saying=saying, view=None, theme="auto")
    _, shown = found
    facts: dict[str, Any] = drawn(request, shown, f"/c/{shown.card.slug}/photo")
    if shown.state != "active":
        saying = SAYINGS[shown.state]
        return page("public/nothing.html", saying[1], saying=saying, theme="auto", **facts)
    view = facts["view"]
    visitor = request.visitor
    own = visitor is not None and visitor.kind is Kind.MEMBER and visitor.subject_id == shown.card.person_id
    return page(
        "public/card.html",
        view.name or "Business card",
        pictures=[] if view.logo is None else [view.logo],
        theme="auto",
        own=own,
        **facts,
    )


def contact(connection: Connection, request: Request) -> Answer:
    """Give what a card shows as a file for an address book."""
    work, shown = _active(connection, request)
    photo = None
    if shown.person is not None and photo_of(shown.composed) is not None:
        photo = photos.get(work, shown.person.id)
    url = f"{request.public_url}/c/{shown.card.slug}"
    name = name_of(shown.template, shown.composed) or "contact"
    data = vcard(shown.template, shown.composed, url=url, photo=photo)
    return File(media_type="text/vcard", data=data, name=f"{name}.vcf")


def photo(connection: Connection, request: Request) -> Answer:
    """Give the photo that an active card shows."""
    return photo_file(*_active(connection, request))


def qr_code(connection: Connection, request: Request) -> Answer:
    """Give the QR code of a card's address, whether the card shows anything or not."""
    if shown_cards.place_of(connection, request.keys["slug"]) is None:
        raise NotFound("Card", request.keys["slug"])
    import segno  # only where there is a code to draw

    drawing = BytesIO()
    code = segno.make(f"{request.public_url}/c/{request.keys['slug']}", micro=False, error="m")
    code.save(drawing, kind="svg", border=2, light="#fff", omitsize=True, xmldecl=False, svgclass=None, lineclass=None)
    return File(media_type="image/svg+xml", data=drawing.getvalue(), cache="private, max-age=3600")


def _active(connection: Connection, request: Request) -> tuple[Work, ShownCard]:
    """Find a card that shows something. Raises NotFound."""
    found = _find(connection, request)
    if found is None or found[1].state != "active":
        raise NotFound("Card", request.keys["slug"])
    return found


def _find(connection: Connection, request: Request) -> tuple[Work, ShownCard] | None:
    """Find a card by its address, which says of which tenant it is; from then on all is read in that tenant."""
    place = shown_cards.place_of(connection, request.keys["slug"])
    if place is None:
        return None
    tenant_id, card_id = place
    request.tenant = tenants.find(connection, tenant_id)
    actor = Actor(Source.SYSTEM, "public page")
    work = Work(connection, tenant_id, "", actor, request.correlation_id, clock.now())
    return work, shown_cards.find(work, card_id)
