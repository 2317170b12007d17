"""A card as a file for an address book: vCard 3.0, which all of them read (RFC 2426; escaping and folding as RFC 6350).

It holds what the card shows and nothing else.
"""

import re
from base64 import b64encode
from collections.abc import Iterable

from admin_console.card_view import name_of
from app_core.cards_view import ComposedCard, ComposedField
from app_core.fields import Kind
from app_core.photos import Photo
from app_core.templates import Template

LONGEST_LINE = 75
"""Octets, without the line break (RFC 6350 §3.2)."""
LARGEST_PHOTO = 256 * 1024
"""Address books refuse files that are much larger."""
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
PHOTO_TYPES = {"image/jpeg": "JPEG", "image/png": "PNG", "image/gif": "GIF"}
PHONE_TYPES = {"mobile_phone": "CELL,VOICE", "fax_number": "WORK,FAX"}


def vcard(template: Template, composed: ComposedCard, *, url: str, photo: Photo | None) -> bytes:
    """Write what a card shows as a vCard; `url` is its public address."""
    shown = {field.key: field for field in composed.fields if field.value is not None}
    sources = {field.key: field.source for field in template.fields}
    name = name_of(template, composed)
    lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        f"FN:{escaped(name or _first(shown.values()) or url)}",
        f"N:{_structured(shown, sources, name)}",
        *_organization(shown),
        *[line for key, field in shown.items() for line in _line(field, sources[key])],
        *_note(shown, sources),
        *_photo(photo),
        f"SOURCE:{url}",
        f"UID:{url}",
        "END:VCARD",
    ]
    return "".join([folded(line) for line in lines]).encode()


def escaped(text: str) -> str:
    """Write a text as a value (RFC 6350 §3.4); control characters have no place in one."""
    text = CONTROL.sub("", text)
    text = text.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
    return text.replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")


def folded(line: str) -> str:
    """Break a line into such of at most 75 octets, never within a character (RFC 6350 §3.2)."""
    parts, part, size = [], "", 0
    for character in line:
        octets = len(character.encode())
        if size + octets > LONGEST_LINE:
            parts.append(part)
            part, size = "", 1  # the blank in front of what goes on
        part, size = part + character, size + octets
    return "\r\n ".join([*parts, part]) + "\r\n"


def _first(fields: Iterable[ComposedField]) -> str | None:
    return next((field.value for field in fields if field.kind is not Kind.PHOTO), None)


def _structured(shown: dict[str, ComposedField], sources: dict[str, str | None], name: str | None) -> str:
    """Give surname; given name; others; prefix; suffix. A name that nobody has taken apart is not taken apart here."""
    parts = {sources[key]: field.value for key, field in shown.items()}
    suffix = shown["accreditation"].value if "accreditation" in shown else None
    surname, given = parts.get("surname"), parts.get("given_name")
    if surname is None and given is None:
        given = name
    return ";".join([escaped(each or "") for each in (surname, given, None, None, suffix)])


def _organization(shown: dict[str, ComposedField]) -> list[str]:
    company, department = (shown[key].value if key in shown else None for key in ("company", "department"))
    if not company and not department:
        return []
    return [f"ORG:{escaped(company or '')}" + (f";{escaped(department)}" if department else "")]


def _line(field: ComposedField, source: str | None) -> list[str]:
    value = field.value or ""
    if field.key == "title":
        return [f"TITLE:{escaped(value)}"]
    if field.kind is Kind.PHONE:
        return [f"TEL;TYPE={PHONE_TYPES.get(source or '', 'WORK,VOICE')}:{escaped(value)}"]
    if field.kind is Kind.EMAIL:
        return [f"EMAIL;TYPE=INTERNET,WORK:{escaped(value)}"]
    if field.kind is Kind.URL:
        return [f"URL:{value}"]
    if field.kind is Kind.ADDRESS:
        return [f"ADR;TYPE=WORK:;;{escaped(value)};;;;"]
    return []


def _note(shown: dict[str, ComposedField], sources: dict[str, str | None]) -> list[str]:
    """Put what has no place of its own into the note."""
    placed = {"name", "accreditation", "title", "department", "company"}
    named = {"given_name", "surname", "display_name"}
    kept = [
        f"{field.label}: {field.value}"
        for key, field in shown.items()
        if field.kind is Kind.TEXT and key not in placed and sources[key] not in named
    ]
    return [f"NOTE:{escaped(chr(10).join(kept))}"] if kept else []


def _photo(photo: Photo | None) -> list[str]:
    if photo is None or photo.media_type not in PHOTO_TYPES or len(photo.data) > LARGEST_PHOTO:
        return []
    return [f"PHOTO;ENCODING=b;TYPE={PHOTO_TYPES[photo.media_type]}:{b64encode(photo.data).decode()}"]
