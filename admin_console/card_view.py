"""A composed card as the pages draw it: what is its head, what are its lines, and what of them is a link.

One way for the editor's preview, the console, the member and the public page. A value is a link only where it is
valid; it is shown just as it is (C5).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from admin_console.look import Look, look_of
from admin_console.render import initials
from app_core.cards_view import ComposedCard, ComposedField
from app_core.fields import ADDRESS, Kind, is_web_address, phone_problem
from app_core.templates import Template

HEAD = ("name", "accreditation", "pronouns", "title", "department", "company", "headline")
"""The general fields, which have their places in the head of a card."""
SIGNS = {Kind.PHONE: "phone", Kind.EMAIL: "mail", Kind.URL: "globe", Kind.ADDRESS: "pin", Kind.TEXT: "note"}
SIGNS_OF_SOURCES = {"mobile_phone": "mobile", "fax_number": "fax", "department": "org", "company": "org"}
PARTS_OF_NAME = ("given_name", "surname")


@dataclass(frozen=True, slots=True)
class Line:
    """A field below the head of a card."""

    key: str
    label: str
    sign: str
    text: str
    href: str | None
    empty: bool
    """Whether the text is only a placeholder."""


@dataclass(frozen=True, slots=True)
class CardView:
    """A card as it is drawn."""

    look: Look
    logo: str | None
    company: str
    """Whose card it is: stands where there is no logo."""
    slogan: str | None
    name: str | None
    accreditation: str | None
    pronouns: str | None
    title: str | None
    place: tuple[str, ...]
    """Department and company."""
    headline: str | None
    has_photo: bool
    photo: str | None
    initials: str
    lines: tuple[Line, ...]
    prompts: frozenset[str]
    """What of the head is only a placeholder."""


def view_of(
    template: Template, composed: ComposedCard, company: str, *, photo: str | None, prompts: bool = False
) -> CardView:
    """Say how a card is drawn; `photo` is the address of its photo, `prompts` whether placeholders are shown.

    A placeholder asks the member for a value: whoever gets the card is not asked.
    """
    fields = {field.key: field for field in composed.fields}
    head = {key: _text(fields.get(key), prompts) for key in HEAD}
    name, spent = _name(template, composed, head["name"])
    return CardView(
        look=look_of(template.look),
        logo=template.look.get("logo_url"),
        company=company,
        slogan=template.look.get("headline"),
        name=name,
        accreditation=head["accreditation"],
        pronouns=head["pronouns"],
        title=head["title"],
        place=tuple(each for each in (head["department"], head["company"]) if each),
        headline=head["headline"],
        has_photo=any(field.kind is Kind.PHOTO for field in composed.fields),
        photo=photo if photo_of(composed) is not None else None,
        initials=initials(name or company),
        lines=tuple(_lines(template, composed, {*HEAD, *spent}, prompts)),
        prompts=frozenset(key for key in HEAD if key in fields and fields[key].value is None),
    )


def photo_of(composed: ComposedCard) -> str | None:
    """Give the hash of the photo that a card shows; None where it shows none."""
    return next((field.value for field in composed.fields if field.kind is Kind.PHOTO and field.value), None)


def name_of(template: Template, composed: ComposedCard) -> str | None:
    """Give the name that stands on a card."""
    fields = {field.key: field for field in composed.fields}
    return _name(template, composed, _text(fields.get("name"), prompts=False))[0]


def _name(template: Template, composed: ComposedCard, name: str | None) -> tuple[str | None, Sequence[str]]:
    """Give the name on a card, and the fields that it is made of where there is no field for all of it."""
    if name is not None:
        return name, ()
    sources = {field.key: field.source for field in template.fields}
    parts = [
        each
        for part in PARTS_OF_NAME
        for each in composed.fields
        if each.value is not None and sources[each.key] == part
    ]
    return " ".join([each.value or "" for each in parts]) or None, [each.key for each in parts]


def _text(field: ComposedField | None, prompts: bool) -> str | None:
    if field is None:
        return None
    return field.value or (field.placeholder if prompts else None)


def _lines(template: Template, composed: ComposedCard, spent: set[str], prompts: bool) -> list[Line]:
    sources = {field.key: field.source for field in template.fields}
    lines = []
    for field in composed.fields:
        text = _text(field, prompts)
        if field.key in spent or field.kind is Kind.PHOTO or text is None:
            continue
        sign = SIGNS_OF_SOURCES.get(sources[field.key] or "", SIGNS[field.kind])
        lines.append(Line(field.key, field.label, sign, text, link_of(field), field.value is None))
    return lines


def link_of(field: ComposedField) -> str | None:
    """Give where a value leads; None for what is no valid number or address."""
    value = field.value
    if value is None:
        return None
    if field.kind is Kind.PHONE and phone_problem(value) is None:
        return f"tel:{value}"
    if field.kind is Kind.EMAIL and ADDRESS.fullmatch(value):
        return f"mailto:{quote(value, safe='@')}"
    if field.kind is Kind.URL and is_web_address(value):
        return value
    return None
