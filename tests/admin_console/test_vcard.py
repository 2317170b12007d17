"""The file for an address book: its lines, its values, and what of a card is in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_console.vcard import LARGEST_PHOTO, escaped, folded, vcard
from app_core import cards_view
from app_core.cards_view import ComposedCard
from app_core.fields import parse_fields
from app_core.photos import Photo
from app_core.templates import Template

URL = "https://cards.example.com/c/0123456789abcdef0123"
NOW = "2026-11-25T00:00:00.000Z"


class Held:
    """A card that was filled with what the directory says."""

    overrides = "{}"

    def __init__(self, initial: str = "{}") -> None:
        self.initial = initial


def written(fields: list[dict[str, Any]], said: dict[str, str], photo: Photo | None = None) -> list[str]:
    """Write a vCard and give its lines, unfolded."""
    template = Template("t", "Standard", {}, parse_fields(fields), 1, NOW, NOW)
    composed: ComposedCard = cards_view.compose(template, Held(), said, None)
    return unfolded(vcard(template, composed, url=URL, photo=photo).decode())


def unfolded(text: str) -> list[str]:
    assert text.endswith("\r\n")
    return text.replace("\r\n ", "").removesuffix("\r\n").split("\r\n")


def test_a_card_is_written_field_by_field() -> None:
    """Name, company, numbers by their kind, address, and the rest as a note; nothing that the card does not show."""
    fields = [
        {"key": "name", "mode": "always"},
        {"key": "title", "mode": "always"},
        {"key": "company", "mode": "always"},
        {"key": "department", "mode": "always"},
        *({"key": source, "source": source} for source in ("business_phone", "mobile_phone", "fax_number")),
        {"key": "email", "source": "email"},
        {"key": "address", "source": "address"},
        {"key": "floor", "label": "Floor", "source": "surname"},
    ]
    said = {
        "display_name": "Ada Lovelace; Countess",
        "job_title": "Analyst, first",
        "company": "Contoso",
        "department": "R&D",
        "business_phone": "+14255550100",
        "mobile_phone": "0170 123",
        "fax_number": "+14255550199",
        "email": "ada@contoso.com",
        "address": "1 Harbour Street\r\nSeattle, WA",
        "given_name": "Ada",
    }

    assert [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "FN:Ada Lovelace\\; Countess",
        "N:;Ada Lovelace\\; Countess;;;",
        "ORG:Contoso;R&D",
        "TITLE:Analyst\\, first",
        "TEL;TYPE=WORK,VOICE:+14255550100",
        "TEL;TYPE=WORK,FAX:+14255550199",
        "EMAIL;TYPE=INTERNET,WORK:ada@contoso.com",
        "ADR;TYPE=WORK:;;1 Harbour Street\\nSeattle\\, WA;;;;",
        f"SOURCE:{URL}",
        f"UID:{URL}",
        "END:VCARD",
    ] == written(fields, said)


def test_a_name_in_parts_is_a_name_in_parts() -> None:
    """Given name and surname of the directory are those of the address book; the accreditation stands behind them."""
    fields = [
        {"key": "accreditation", "source": "department", "mode": "always"},
        {"key": "first", "source": "given_name"},
        {"key": "last", "source": "surname"},
    ]
    lines = written(fields, {"given_name": "Ada", "surname": "Lovelace", "department": "PhD"})

    assert ["FN:Ada Lovelace", "N:Lovelace;Ada;;;PhD"] == lines[2:4]


@pytest.mark.parametrize(
    ("media_type", "size", "there"),
    [("image/jpeg", 100, True), ("image/webp", 100, False), ("image/png", LARGEST_PHOTO + 1, False)],
)
def test_only_small_photos_of_common_formats_are_inside(media_type: str, size: int, *, there: bool) -> None:
    """Address books refuse the rest, and with it the contact."""
    photo = Photo(b"x" * size, "hash", media_type, 10, 10, NOW)

    found = written([{"key": "name", "mode": "always"}], {"display_name": "Ada"}, photo)

    assert there is any(line.startswith("PHOTO;ENCODING=b;TYPE=JPEG:eHh4") for line in found)
    assert there is any(line.startswith("PHOTO") for line in found)


@given(st.text())
def test_lines_are_short_and_lose_nothing(text: str) -> None:
    """No line has more than 75 octets, each is whole UTF-8, and unfolded they are what was written."""
    value = escaped(text)
    line = folded(f"NOTE:{value}")

    assert all(len(each.encode()) <= 75 for each in line.removesuffix("\r\n").split("\r\n"))
    assert [f"NOTE:{value}"] == unfolded(line)


@given(st.text(alphabet="a,;\\\n\r\0\x1fü"))
def test_no_value_ends_its_line(text: str) -> None:
    """Whatever a value holds, it neither ends its line nor begins another value."""
    value = escaped(text)
    plain = value.replace("\\\\", "").replace("\\,", "").replace("\\;", "").replace("\\n", "")

    assert not set(plain) & set(",;\\\r\n\0\x1f")
