"""A card as the world sees it, and as the member does who holds it, on a phone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from app_core.sessions import Kind, Subject
from tests.browser.conftest import Contoso, Reader, Windows

FIELDS = [
    {"key": "name", "source": "display_name", "mode": "always", "required": True},
    {"key": "photo", "source": "photo", "mode": "always", "editable": True},
    {"key": "pronouns", "mode": "none", "editable": True, "placeholder": "she/her"},
    {"key": "phone", "label": "Phone", "kind": "phone", "source": "business_phone", "mode": "always"},
]
PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "overview.png"


def a_card_with_a_photo(contoso: Contoso) -> dict[str, Any]:
    """Let the people of Support have a card whose pronouns and photo are theirs to choose."""
    groups = contoso.api("GET", "groups")["items"]
    support = next(each["id"] for each in groups if each["display_name"] == "Support")
    template = contoso.api("POST", "templates", {"name": "Support card", "fields": FIELDS})
    contoso.api("PUT", f"templates/{template['id']}/assignments", {"group_ids": [support]})
    card: dict[str, Any] = contoso.api("GET", f"cards?template_id={template['id']}&state=active")["items"][0]
    return card


def card_of(contoso: Contoso, person: dict[str, Any]) -> dict[str, Any]:
    """Give the first card of a person."""
    card: dict[str, Any] = contoso.api("GET", f"cards?person_id={person['id']}")["items"][0]
    return card


def test_everybody_can_open_and_keep_a_card(window: Windows, contoso: Contoso) -> None:
    """The page by its address, the contact for the phone, the QR code for paper."""
    card = card_of(contoso, contoso.person("Uma Patel"))
    reader = window(phone=True)
    page = reader.open(f"/c/{card['slug']}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Uma Patel")
    reader.check()
    with page.expect_download() as contact:
        page.get_by_role("link", name="Save contact").click()
    with page.expect_download() as code:
        page.get_by_role("link", name="Download QR code").click()

    assert "FN:Uma Patel" in contact.value.path().read_text("utf-8")
    assert "<svg" in code.value.path().read_text("utf-8")


def test_a_paused_card_says_nothing_of_its_person(window: Windows, contoso: Contoso) -> None:
    """Entra disables the person, and the public page has neither name nor number."""
    person = contoso.person("Paul Albers")
    card = card_of(contoso, person)
    reader = window(phone=True)
    page = reader.open(f"/c/{card['slug']}")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Paul Albers")
    contoso.entra.do("change_user", user=person["sign_in"], accountEnabled=False)
    contoso.push()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("This card is paused")
    reader.check()

    assert re.search(r"Albers|@|\+49", page.content()) is None
    contoso.entra.do("change_user", user=person["sign_in"], accountEnabled=True)
    contoso.push()
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Paul Albers")


def test_a_member_edits_a_card_and_chooses_a_photo(window: Windows, contoso: Contoso, admin: Reader) -> None:
    """Signed in by a link that the administrator has made, on a phone; the public page has both."""
    card = a_card_with_a_photo(contoso)
    page = admin.open(f"/console/people/{card['person_id']}")
    page.get_by_label("More for").click()
    page.get_by_role("button", name="Make a sign-in link").click()
    link = page.get_by_label("Sign-in link").input_value()
    admin.check()

    member = window(phone=True)
    page = member.page
    page.goto(link)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your cards")).to_be_visible()
    member.check()
    page.locator(f"a[href='/me/cards/{card['id']}']").click()
    page.get_by_label("Pronouns").fill("they/them")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("status").first).to_contain_text("saved")
    page.get_by_label("Choose a picture").set_input_files(PICTURE)
    page.get_by_role("img", name="Your photo").focus()
    for key in ("ArrowLeft", "ArrowLeft", "+", "+"):
        page.keyboard.press(key)
    member.check()
    page.get_by_role("button", name="Use this photo").click()
    expect(page.get_by_role("button", name="Take my photo away")).to_be_visible()
    member.check()
    page.get_by_role("link", name="Public page").click()
    photo = page.locator(".bcard-photo img")
    expect(photo).to_be_visible()

    assert "they/them" in page.get_by_role("main").inner_text()
    sides = photo.evaluate("img => img.decode().then(() => [img.naturalWidth, img.naturalHeight])")
    assert sides[0] == sides[1]


def test_a_deactivated_member_cannot_sign_in(window: Windows, contoso: Contoso) -> None:
    """A link of before does nothing any more."""
    person = contoso.person("Elif Kaya")
    link = contoso.link(Subject(Kind.MEMBER, contoso.secrets.tenant_id, person["id"]))
    contoso.entra.do("change_user", user=person["sign_in"], accountEnabled=False)
    contoso.push()
    reader = window(phone=True)
    page = reader.open(f"/me/sign-in?link={link}")
    expect(page.get_by_role("main")).to_contain_text("was used, has expired, or is not known")
    reader.check()
