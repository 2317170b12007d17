"""What members see and may do: their own cards, and of them what is theirs to say."""

from __future__ import annotations

from typing import Any

import pytest

from tests.answers import JSON, unique
from tests.api import NAME, Company
from tests.builders import PICTURE
from tests.conftest import Server
from tests.console import Browser, administrator, member, said, where

MOBILE = {"key": "mobile", "label": "Mobile", "source": "mobile_phone", "editable": True}
PHOTO = {"key": "photo", "label": "Photo", "source": "photo", "editable": True}
ANOTHER = PICTURE + b"."


def carded(company: Company, *fields: JSON) -> tuple[JSON, JSON, JSON]:
    """Have somebody with a card; give user, group and card."""
    user = company.hire(displayName=unique("Adele"), phoneNumbers=[{"type": "mobile", "value": "+14255550100"}])
    group = company.found(user)
    company.new_template(NAME, *fields, groups=[group])
    return user, group, company.card(company.person(user))


def signed_in(server: Server, company: Company, card: JSON) -> Any:
    return member(server.url, server.database_url, company.tenant_id, card["person_id"])


def version_of(browser: Browser, card: JSON) -> str:
    page = browser.get(f"/me/cards/{card['id']}")
    return page.text.partition('name="version" value="')[2].partition('"')[0]


def test_members_find_their_cards_and_edit_what_is_theirs_to_say(server: Server, company: Company) -> None:
    """What they type is on the card; what is not editable stays, whatever they send; the log says that it was them."""
    user, _, card = carded(company, MOBILE)
    path = f"/me/cards/{card['id']}"
    with signed_in(server, company, card) as browser:
        shown = said(browser.get("/me"))
        version = version_of(browser, card)
        saved = browser.send(path, version=version, **{"value-mobile": "+14255550155", "value-name": "Mine"})
        stale = said(browser.post(path, 409, version=version, **{"value-mobile": "+14255550166"}))
        wrong = said(browser.post(path, 400, version=version_of(browser, card), **{"value-mobile": "0170"}))
    after = company.get(f"cards/{card['id']}")

    assert user["displayName"] in shown
    assert "Your card is saved." in saved
    assert "Somebody else has changed this card" in stale
    assert "this phone number cannot be on a card" in wrong
    assert [user["displayName"], "+14255550155"] == [field["value"] for field in after["fields"]]
    assert [("failure", []), ("failure", []), ("success", ["overrides"])] == [
        (entry["outcome"], entry["changed"]) for entry in company.log(card["id"], source="member")
    ]


def test_cards_of_others_are_not_there(server: Server, company: Company) -> None:
    """A member reads and edits none but their own."""
    _, _, card = carded(company, MOBILE)
    user, _, other = carded(company, MOBILE)
    with signed_in(server, company, card) as browser:
        listed = said(browser.get("/me"))
        for path in ("", "/photo"):
            browser.get(f"/me/cards/{other['id']}{path}", 404)
        browser.post(f"/me/cards/{other['id']}", 404, version="1", **{"value-mobile": "+14255550155"})

    assert user["displayName"] not in listed
    assert other == company.get(f"cards/{other['id']}")


def test_members_choose_their_photo_where_a_card_lets_them(server: Server, company: Company) -> None:
    """It is checked as every photo is, shown on their cards, and taken away again."""
    _, _, card = carded(company, PHOTO)
    with signed_in(server, company, card) as browser:
        browser.get("/me/account")
        none = said(browser.post("/me/photo", 400))
        wrong = said(browser.post("/me/photo", 400, files={"photo": ("me.svg", b"<svg/>", "image/png")}))
        told = browser.send("/me/photo", files={"photo": ("me.png", PICTURE, "image/png")}, card=card["id"])
        sent = browser.get(f"/me/cards/{card['id']}/photo")
        gone = browser.send("/me/photo/delete", card=card["id"])
        browser.get(f"/me/cards/{card['id']}/photo", 404)

    assert "Choose a picture first." in none
    assert "This is no photo that can be shown." in wrong
    assert ("Your photo is on your cards." in told, "Your photo is taken away." in gone) == (True, True)
    assert PICTURE == sent.content
    assert company.get(f"people/{card['person_id']}")["photo_hash"] is None


def test_a_photo_that_the_company_chooses_is_the_companys(server: Server, company: Company) -> None:
    """Where no card lets its member choose, neither a new one nor taking it away is possible."""
    _, _, card = carded(company, {**PHOTO, "editable": False})
    person = f"people/{card['person_id']}"
    company.api.put(f"{person}/photo", content=PICTURE, headers={"Content-Type": "image/png"})
    with signed_in(server, company, card) as browser:
        page = browser.get(f"/me/cards/{card['id']}")
        refused = [
            said(browser.post("/me/photo", 409, files={"photo": ("me.png", ANOTHER, "image/png")})),
            said(browser.post("/me/photo/delete", 409)),
        ]

    assert "Choose a picture" not in said(page)
    assert all("None of your cards lets you choose the photo." in each for each in refused)
    assert company.get(person)["photo_hash"] is not None


def test_a_paused_card_says_why_and_cannot_be_edited(server: Server, company: Company) -> None:
    """The member sees it, and that nobody else does; edits are kept for when it comes back."""
    user, group, card = carded(company, MOBILE)
    company.change(group, {"op": "Remove", "path": f'members[value eq "{user["id"]}"]'})
    with signed_in(server, company, card) as browser:
        listed = said(browser.get("/me"))
        page = said(browser.get(f"/me/cards/{card['id']}"))
        refused = said(browser.post(f"/me/cards/{card['id']}", 409, version="2", **{"value-mobile": "+14255550155"}))

    for text in (listed, page):
        assert "Paused since" in text
        assert "You are in no group any more that this card is for." in text
    assert "Save" not in page
    assert "This card is paused, so it cannot be edited." in refused


def test_members_see_and_end_their_sessions(server: Server, company: Company) -> None:
    """Signed out is signed out: what the cookie held is worth nothing any more."""
    _, _, card = carded(company)
    with signed_in(server, company, card) as here, signed_in(server, company, card) as there:
        here.get("/me/account")
        told = here.send("/me/sessions/end")
        assert where(there.get("/me", 303)).startswith("/me/sign-in")
        cookie = dict(here.http.cookies)
        here.post("/me/sign-out")
        here.http.cookies.update(cookie)
        assert where(here.get("/me", 303)).startswith("/me/sign-in")

    assert "1 other session is ended." in told


@pytest.mark.parametrize("path", ["/me", "/me/account", "/me/cards/01a00000-0000-7000-8000-000000000000"])
def test_only_members_come_in(server: Server, company: Company, visitor: Browser, path: str) -> None:
    """Neither nobody nor an administrator is one."""
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        assert where(admin.get(path, 303)).startswith("/me/sign-in")
    assert where(visitor.get(path, 303)).startswith("/me/sign-in")


def test_a_form_without_its_token_does_nothing(server: Server, company: Company) -> None:
    """It could have come from anywhere."""
    _, _, card = carded(company, MOBILE)
    with signed_in(server, company, card) as browser:
        answer = browser.http.post(f"/me/cards/{card['id']}", data={"version": "1", "value-mobile": "+14255550155"})

    assert 403 == answer.status_code
    assert card == company.get(f"cards/{card['id']}")
