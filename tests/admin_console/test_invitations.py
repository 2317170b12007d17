"""Invitations, and the page where a card is claimed: to look uses nothing up, a click takes the card once (C9)."""

from __future__ import annotations

import re
from typing import Any

from tests.api import NAME, Company, MakeCompany, fields_of
from tests.conftest import Server
from tests.console import Browser, administrator, said, values, where

HOME = "/console/invitations"
OPEN = {"key": "name", "source": "display_name", "mode": "always"}
COMPANY = {"key": "company", "source": "company", "mode": "always"}
PHONE = {"key": "phone", "label": "Phone", "kind": "phone", "editable": True, "required": True}
WRONG = "This link does not work: it may be incomplete, used, expired, or taken back."


def typed(**fields: str) -> dict[str, Any]:
    """Give what is typed into fields of a card, as the form has it."""
    return {f"value-{key}": value for key, value in fields.items()}


def invited(admin: Browser, template_id: str, **form: Any) -> str:
    """Make an invitation by the form; give the path of its link."""
    admin.get(f"{HOME}/new", template=template_id)
    made = admin.post(HOME, 200, template=template_id, **form)
    return "/claim/" + values(made)["claim-link"].rpartition("/claim/")[2]


def test_a_card_is_offered_looked_at_and_claimed(admin: Browser, company: Company, visitor: Browser) -> None:
    """The link shows the card as often as one likes; a click takes it, with what was missing, and signs its owner in."""
    template = company.new_template(OPEN, COMPANY, PHONE)
    link = invited(admin, template["id"], display_name="Robin", **typed(company="Northwind"))

    for _ in range(2):
        text = said(visitor.get(link))
        assert "Robin" in text
        assert "Northwind" in text
    taken = visitor.post(link, **typed(phone="+14255550177"))

    assert "/me" == where(taken)
    assert "The card is yours." in said(visitor.get("/me"))
    (invitation,) = [each for each in company.all("invitations") if each["template_id"] == template["id"]]
    person = company.get(f"people/{invitation['person_id']}")
    assert ("Robin", "manual") == (person["display_name"], person["origin"])
    shown = fields_of(company.card(person))
    assert {"name": "Robin", "company": "Northwind", "phone": "+14255550177"} == shown
    assert "claimed by Robin" in said(admin.get(HOME, state="claimed"))
    (entry,) = company.log(invitation["card_id"])
    assert ("claim", "member", "success") == (entry["action"], entry["source"], entry["outcome"])
    assert link.rpartition("/")[2] not in str(company.log())


def test_a_link_works_once(admin: Browser, company: Company, visitor: Browser) -> None:
    """Used, taken back or made up: each says the same, to look and to claim."""
    template = company.new_template({"key": "title", "editable": True})
    used = invited(admin, template["id"], display_name="Ada")
    revoked = invited(admin, template["id"], display_name="Bob")
    visitor.post(used)
    visitor.http.cookies.clear()
    (bob,) = [each for each in company.all("invitations") if each["display_name"] == "Bob"]
    assert "The invitation is taken back" in admin.send(f"{HOME}/{bob['id']}/revoke")

    for link in (used, revoked, "/claim/scimclaim_made-up"):
        assert WRONG in said(visitor.get(link, 400))
        assert WRONG in said(visitor.post(link, 400, display_name="Eve"))


def test_who_claimed_a_card_keeps_it(admin: Browser, company: Company, visitor: Browser) -> None:
    """A claimed invitation cannot be taken back; the refusal says what can be done."""
    template = company.new_template({"key": "title", "editable": True})
    visitor.post(invited(admin, template["id"], display_name="Cyd"))
    (made,) = [each for each in company.all("invitations") if each["display_name"] == "Cyd"]

    refused = admin.post(f"{HOME}/{made['id']}/revoke", 409)

    assert "To take the card away, delete the card." in said(refused)
    assert "claimed" == company.get(f"invitations/{made['id']}")["state"]


def test_fields_that_nobody_could_fill_are_listed(admin: Browser, company: Company) -> None:
    """The form marks them; without their values it is refused with the list of them, and there is no card."""
    template = company.new_template(OPEN, COMPANY, PHONE)
    before = len(company.all("invitations"))

    form = said(admin.get(f"{HOME}/new", template=template["id"]))
    refused = admin.post(HOME, 400, template=template["id"], display_name="Dan")

    assert "Company needed" in form
    assert "have no value: company." in said(refused)
    assert before == len(company.all("invitations"))


def test_another_template_keeps_what_was_typed(admin: Browser, company: Company) -> None:
    """Also what it has no field for: who comes back finds it again. Nothing is made by looking."""
    one = company.new_template({"key": "name", "editable": True}, COMPANY, PHONE)
    other = company.new_template({"key": "title", "editable": True})
    before = len(company.all("invitations"))
    form = {"display_name": "Robin <3", "email": "robin@partner.example", **typed(company="Northwind", phone="+1425")}
    admin.get(f"{HOME}/new", template=one["id"])
    there = admin.post(f"{HOME}/new", 200, template=other["id"], **form)
    back = admin.post(f"{HOME}/new", 200, template=one["id"], send="on", **form)

    assert '<input type="hidden" name="value-company" value="Northwind">' in there.text
    for shown, send in ((there, ""), (back, " checked")):
        assert {"f-display_name": "Robin <3", "f-email": "robin@partner.example"}.items() <= values(shown).items()
        assert f'name="send" value="on"{send}>' in shown.text
    assert {"value-company": "Northwind", "value-phone": "+1425"}.items() <= values(back).items()
    assert before == len(company.all("invitations"))


def test_a_refused_invitation_is_shown_again_as_it_was_typed(admin: Browser, company: Company) -> None:
    """Without scripts too: the reason stands in the form, and nothing was made."""
    template = company.new_template(OPEN, COMPANY, PHONE)
    admin.get(f"{HOME}/new", template=template["id"])
    refused = admin.post(HOME, 400, template=template["id"], display_name="Dan", **typed(phone="+14255550177"))

    assert re.search(r'role="alert"[^>]*autofocus>.*have no value: company\.', refused.text)
    assert {"f-display_name": "Dan", "value-phone": "+14255550177"}.items() <= values(refused).items()
    assert f'<option value="{template["id"]}" selected>' in refused.text


def test_the_name_is_asked_for_once(admin: Browser, company: Company, visitor: Browser) -> None:
    """It is the person's and the card's: by who invites, or by who claims; a card that has none offers it filled in."""
    template = company.new_template({"key": "name", "editable": True}, {"key": "title", "editable": True})
    form = admin.get(f"{HOME}/new", template=template["id"])
    assert 1 == len(re.findall(r"<label[^>]*>Name\b", form.text))

    named = invited(admin, template["id"], display_name="Ada")
    claimed = visitor.get(named)
    visitor.post(named)
    ada = said(visitor.get("/me"))
    visitor.http.cookies.clear()
    unnamed = invited(admin, template["id"])
    asked = visitor.get(unnamed)
    visitor.post(unnamed, display_name="Bob")
    bob = said(visitor.get("/me"))
    visitor.http.cookies.clear()
    made = company.call("POST", "invitations", 201, {"template_id": template["id"], "display_name": "Cyd"})
    offered = visitor.get("/claim/" + made["claim_token"])

    assert {"f-email", "value-title"} == {each for each in values(claimed) if each.startswith(("value-", "f-"))}
    assert ["Your name"] == re.findall(r"<label[^>]*>([\w ]*name)\b", asked.text, re.IGNORECASE)
    assert ("Ada" in ada, "Bob" in bob) == (True, True)
    assert "Cyd" == values(offered)["value-name"]


def test_what_a_card_cannot_show_uses_nothing_up(admin: Browser, company: Company, visitor: Browser) -> None:
    """A phone number that is none is refused with its reason, and a name is asked for; then the link still works."""
    template = company.new_template({"key": "title", "editable": True}, PHONE)
    link = invited(admin, template["id"])

    no_number = visitor.post(link, 400, display_name="Eve", **typed(phone="555"))
    no_name = visitor.post(link, 400, **typed(phone="+14255550177"))

    assert "Phone: this phone number cannot be on a card" in said(no_number)
    assert {"f-display_name": "Eve", "value-phone": "555"}.items() <= values(no_number).items()
    assert "say whose card it is" in said(no_name)
    visitor.post(link, display_name="Eve", email="eve@partner.example", **typed(phone="+14255550177"))
    assert "+14255550177" in said(visitor.get("/me"))


def test_who_is_known_by_the_address_gets_the_card(admin: Browser, company: Company, visitor: Browser) -> None:
    """It is theirs, and they are led to its public page; by the link alone nobody is signed in as them."""
    person = company.person(company.hire())
    template = company.new_template({"key": "title", "editable": True})
    link = invited(admin, template["id"], email=person["email"], send="on", **typed(title="Advisor"))

    assert f"/claim/{link.rpartition('/')[2]}" in said(admin.get("/console/letters"))
    taken = visitor.post(link)

    assert re.fullmatch(r"/c/[0-9a-f]{20}", where(taken))
    assert "/me/sign-in" in where(visitor.get("/me", 303))
    assert [template["id"]] == [each["template_id"] for each in company.cards(person)]


def test_lists_say_what_to_do_next(make_company: MakeCompany, server: Server) -> None:
    """Without a template there is nothing to invite to; without invitations the way to the first is shown."""
    company = make_company()

    with administrator(server.url, server.database_url, company.tenant_id) as browser:
        assert "There is no template yet" in said(browser.get(f"{HOME}/new"))
        assert "Nobody is invited yet" in said(browser.get(HOME))
        company.new_template(NAME)
        invited(browser, company.all("templates")[0]["id"], display_name="Ada")
        assert "Ada" in said(browser.get(HOME, state="open"))
        assert "None is expired" in said(browser.get(HOME, state="expired"))
