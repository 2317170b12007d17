"""The public page of a card: what everybody sees who has its address, and what nobody sees."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.answers import JSON, unique
from tests.api import NAME, Company, MakeCompany
from tests.builders import PICTURE
from tests.console import Browser, said

FIELDS = (
    NAME,
    {"key": "title", "mode": "always"},
    {"key": "pronouns", "placeholder": "Your pronouns"},
    {"key": "photo", "source": "photo", "editable": True},
    {"key": "email", "label": "E-mail", "source": "email"},
    {"key": "phone", "label": "Phone", "source": "business_phone"},
    {"key": "mobile", "label": "Mobile", "source": "mobile_phone"},
    {"key": "office", "label": "Office", "source": "address"},
    {"key": "site", "label": "Site", "kind": "url"},
)
PHONES = [{"type": "work", "value": "+14255550100"}, {"type": "mobile", "value": "0170 123"}]
ADDRESS = [{"type": "work", "formatted": "1 HARBOUR Street\nSeattle <WA>"}]


def published(company: Company, **look: str) -> tuple[JSON, JSON, JSON]:
    """Have somebody with a card and a photo; give user, group and card."""
    user = company.hire(
        displayName=unique("Adele"),
        userName=f"{unique('adele')}@contoso.com",
        title="Analyst & more",
        phoneNumbers=PHONES,
        addresses=ADDRESS,
    )
    group = company.found(user)
    template = company.new_template(*FIELDS, groups=[group])
    if look:
        company.call("PATCH", f"templates/{template['id']}", 200, {"look": look})
    person = company.person(user)
    company.api.put(f"people/{person['id']}/photo", content=PICTURE, headers={"Content-Type": "image/png"})
    card = company.card(person)
    company.call("PATCH", f"cards/{card['id']}", 200, {"overrides": {"site": "https://example.com/?a=1&b=2"}})
    return user, group, company.get(f"cards/{card['id']}")


def links(text: str) -> list[str]:
    return re.findall(r'href="((?:tel|mailto|https?):[^"]+)"', text)


def test_an_active_card_is_shown_as_it_is(company: Company, visitor: Browser) -> None:
    """Values stand there to the letter, links lead only where a value is valid, and nobody is asked for pronouns."""
    user, _, card = published(company, headline="We make things", primary_color="#0b6e4f")
    page = visitor.get(f"/c/{card['slug']}")

    assert all(each in said(page) for each in (user["displayName"], "Analyst & more", "We make things"))
    assert "1 HARBOUR Street\nSeattle &lt;WA&gt;" in page.text
    assert [f"mailto:{user['userName']}", "tel:+14255550100", "https://example.com/?a=1&amp;b=2"] == links(page.text)
    assert "0170 123" not in page.text
    assert "Your pronouns" not in page.text
    assert ("no-store", "noindex, nofollow") == (page.headers["cache-control"], page.headers["x-robots-tag"])
    assert "img-src 'self' data: blob:;" in page.headers["content-security-policy"]


def test_a_card_is_a_contact_a_code_and_a_photo(company: Company, visitor: Browser) -> None:
    """All of them by the address of the card, and the photo again only when it is another one."""
    user, _, card = published(company)
    path = f"/c/{card['slug']}"
    contact, code, photo = (visitor.get(f"{path}/{each}") for each in ("card.vcf", "qr.svg", "photo"))
    same = visitor.http.get(f"{path}/photo", headers={"If-None-Match": photo.headers["etag"]})

    assert f"filename*=UTF-8''{user['displayName'].replace(' ', '%20')}.vcf" in contact.headers["content-disposition"]
    assert contact.headers["content-type"].startswith("text/vcard")
    lines = contact.text.replace("\r\n ", "").split("\r\n")
    assert f"FN:{user['displayName']}" in lines
    assert "ADR;TYPE=WORK:;;1 HARBOUR Street\\nSeattle <WA>;;;;" in lines
    assert [line for line in lines if line.startswith("TEL")] == ["TEL;TYPE=WORK,VOICE:+14255550100"]
    assert any(line.startswith("PHOTO;ENCODING=b;TYPE=PNG:") for line in lines)
    assert ("image/svg+xml", True) == (code.headers["content-type"], code.text.startswith("<svg"))
    assert (PICTURE, 304) == (photo.content, same.status_code)


def test_a_paused_card_is_gone_at_once(company: Company, visitor: Browser) -> None:
    """It says so, and nothing of its person is left: no name, no contact, no photo, whatever the browser has kept."""
    user, group, card = published(company)
    path = f"/c/{card['slug']}"
    kept = visitor.get(f"{path}/photo").headers["etag"]
    company.change(group, {"op": "Remove", "path": f'members[value eq "{user["id"]}"]'})
    page = visitor.get(path)

    assert "This card is paused" in said(page)
    assert [] == [
        each for each in (user["displayName"], "Analyst", "+1425", "@contoso.com", "/photo") if each in page.text
    ]
    for file in ("card.vcf", "photo"):
        refused = visitor.http.get(f"{path}/{file}", headers={"If-None-Match": kept})
        assert 404 == refused.status_code
        assert user["displayName"] not in refused.text
    visitor.get(f"{path}/qr.svg")


def test_an_unclaimed_card_says_that_nobody_holds_it(company: Company, visitor: Browser) -> None:
    """What was said of the guest is for the guest."""
    template = company.new_template(NAME, {"key": "mobile", "source": "mobile_phone"})
    body = {"template_id": template["id"], "values": {"name": "Grace Guest", "mobile": "+14255550100"}}
    invitation = company.call("POST", "invitations", 201, body)
    slug = company.get(f"cards/{invitation['card_id']}")["slug"]
    page = visitor.get(f"/c/{slug}")

    assert "Nobody holds this card yet" in said(page)
    assert "Grace" not in page.text
    visitor.get(f"/c/{slug}/card.vcf", 404)


def test_a_card_that_waits_for_a_seat_is_not_shown(make_company: MakeCompany, visitor: Browser) -> None:
    """Until there is one it says that it is not active."""
    company = make_company(seats=0)
    _, _, card = published(company)
    page = visitor.get(f"/c/{card['slug']}")

    assert "This card is not active yet" in said(page)
    assert "Adele" not in page.text
    visitor.get(f"/c/{card['slug']}/photo", 404)


@pytest.mark.parametrize("path", ["", "/card.vcf", "/qr.svg", "/photo", "/nothing"])
def test_an_address_of_no_card_is_not_there(visitor: Browser, path: str) -> None:
    """Whatever is asked of it."""
    visitor.get(f"/c/0123456789abcdef0123{path}", 404)


def test_a_logo_may_come_from_its_own_address_and_nothing_else(company: Company, visitor: Browser) -> None:
    """The policy of the page names it, and none of its signs can say more than that."""
    _, _, card = published(company, logo_url="https://cdn.example.com:8443/a;b/logo,1.png?v=1;script-src%20*")
    policy: dict[str, Any] = dict(
        each.strip().partition(" ")[::2]
        for each in visitor.get(f"/c/{card['slug']}").headers["content-security-policy"].split(";")
    )

    assert "'self' https://cdn.example.com:8443/a%3Bb/logo%2C1.png data: blob:" == policy["img-src"]
    assert "'self'" == policy["script-src"]


def test_colours_come_by_a_stylesheet_of_their_own(visitor: Browser) -> None:
    """Its address says its colours, so it may be kept; an address that says none is not there."""
    sheet = visitor.get("/c/look/0b6e4f-16202e-ffffff.css")

    assert "text/css" in sheet.headers["content-type"]
    assert "--card-brand:#0b6e4f;" in sheet.text
    assert "max-age" in sheet.headers["cache-control"]
    for name in ("0b6e4f.css", "0b6e4f-16202e-ffffff", "0b6e4f-16202e-}*{x.css"):
        visitor.get(f"/c/look/{name}", 404)
