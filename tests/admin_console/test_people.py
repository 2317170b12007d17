"""People in the console: lists, why somebody has what they have, and what an administrator does with them (T3, C8)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from admin_console.table import TABLE
from tests.answers import unique
from tests.api import NAME, Company, MakeCompany
from tests.conftest import Server
from tests.console import Browser, administrator, member, nobody, said, values, where

PICTURE = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")
CODE = re.compile(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}")
HOME = "/console/people"
MINE = [path for path in TABLE if path.startswith((HOME, "/console/invitations"))]


def page_of(person: dict[str, Any]) -> str:
    return f"{HOME}/{person['id']}"


# Lists ----------------------------------------------------------------------------------------------------------------


def test_people_are_searched_and_filtered(make_company: MakeCompany, server: Server) -> None:
    """By a part of the name, of the sign-in name or of the e-mail address; by state, origin and what they need."""
    company = make_company(seats=1)
    group = company.found()
    seated, waiting = company.hire(displayName="Ada Seated"), company.hire(displayName="Bob Waiting")
    company.hire(displayName="Cyd Phone", phoneNumbers=[{"type": "work", "value": "555-0100"}])
    gone = company.hire(displayName="Dan Disabled")
    company.new_template(NAME, groups=[group])
    company.join(group, seated)
    company.join(group, waiting)
    company.disable(gone)
    company.call("POST", "people", 201, {"display_name": "Eve Hand", "email": "eve@partner.example"})
    everybody = {"Ada Seated", "Bob Waiting", "Cyd Phone", "Dan Disabled", "Eve Hand"}

    def listed(browser: Browser, **query: Any) -> set[str]:
        text = said(browser.get(HOME, **query))
        return {name for name in everybody if name in text}

    with administrator(server.url, server.database_url, company.tenant_id) as browser:
        assert everybody == listed(browser)
        assert {"Eve Hand"} == listed(browser, q="PARTNER.ex")
        assert {"Ada Seated"} == listed(browser, q="da SEAT")
        assert {"Bob Waiting"} == listed(browser, q=waiting["userName"])
        assert {"Dan Disabled"} == listed(browser, state="inactive")
        assert {"Eve Hand"} == listed(browser, origin="manual")
        assert {"Bob Waiting"} == listed(browser, need="seat")
        assert {"Cyd Phone"} == listed(browser, need="problem")
        assert everybody - {"Dan Disabled"} == listed(browser, need="activation")
        assert "Nobody fits" in said(browser.get(HOME, q="nobody has this name"))


def test_a_long_list_goes_page_by_page(make_company: MakeCompany, server: Server) -> None:
    """Fifty at a time; a part that is asked for alone is the list with its way on."""
    company = make_company()
    company.hire_many(53)

    with administrator(server.url, server.database_url, company.tenant_id) as browser:
        first = browser.get(HOME)
        following = re.search(r'href="([^"]+)" rel="next"', first.text)
        assert following is not None
        second = browser.http.get(
            following[1].replace("&amp;", "&"), headers={"HX-Request": "true", "HX-Target": "rows"}
        )

    ids = [set(re.findall(r'href="/console/people/([0-9a-f-]{36})"', each.text)) for each in (first, second)]
    assert [50, 3] == [len(each) for each in ids]
    assert not ids[0] & ids[1]
    assert "<html" not in second.text


# One person -----------------------------------------------------------------------------------------------------------


def test_a_person_says_why(admin: Browser, company: Company) -> None:
    """The card, the group that leads to it, the team; and each leads to the entry of the log that tells of it."""
    boss = company.hire(displayName="Grace Boss")
    user = company.hire(title="Head of Sales")
    company.set_attribute(user, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager", boss["id"])
    group = company.found(user, displayName=unique("Sales"))
    template = company.new_template(NAME, groups=[group])
    person = company.person(user)

    answer = admin.get(page_of(person))

    text = said(answer)
    assert f"Has a card of '{template['name']}'." in text
    assert f"Member of group '{group['displayName']}', which is assigned to this template." in text
    assert f"In team '{group['displayName']}'." in text
    assert "Has a seat." in text
    assert "Head of Sales" in text
    assert f'href="{page_of(company.person(boss))}"' in answer.text
    (entry,) = {each["id"] for each in company.log(template["id"]) if each["action"] == "assign"}
    assert f'href="/console/log/{entry}"' in answer.text

    company.disable(user)
    assert "Deactivated: no sign-in, cards paused, no seat." in said(admin.get(page_of(person)))


def test_an_account_is_activated_and_started(admin: Browser, company: Company, visitor: Browser) -> None:
    """Activate, show the code once, redeem it where people type it in; the log has each act and never the code."""
    person = company.person(company.hire())

    assert "The account is activated." in admin.send(f"{page_of(person)}/activate")
    shown = values(admin.post(f"{page_of(person)}/start-code", 200))
    text = said(visitor.get(shown["where"]))
    assert "Start your account" in text
    done = visitor.post("/start", at=company.tenant_id, who=person["email"], code=shown["code"].lower())
    assert "Your account is active" in said(visitor.get(where(done)))

    assert "active" == company.get(f"people/{person['id']}")["activation"]
    assert shown["code"] not in admin.get(page_of(person)).text
    log = company.log(person["id"])
    told = [(each["action"], each["source"], each["outcome"]) for each in log]
    assert [
        ("redeem start code", "member", "success"),
        ("issue start code", "admin", "success"),
        ("activate", "admin", "success"),
    ] == told
    assert shown["code"] not in str(log)
    assert "The account is revoked" in admin.send(f"{page_of(person)}/revoke")
    assert "revoked" == company.get(f"people/{person['id']}")["activation"]


def test_a_code_goes_by_e_mail_where_there_is_an_address(admin: Browser, company: Company) -> None:
    """The letter has the code and where it is typed in; without an address it is refused, and says what to do."""
    person = company.person(company.hire())
    unknown = company.call("POST", "people", 201, {"display_name": "Zed"})

    assert f"A start code went to {person['email']}." in admin.send(f"{page_of(person)}/start-code/mail")
    letters = said(admin.get("/console/letters"))
    refused = admin.post(f"{page_of(unknown)}/start-code/mail", 409)

    assert person["email"] in letters
    assert CODE.search(letters)
    assert f"/start?at={company.tenant_id}" in letters
    assert "'Zed' has no e-mail address. Show the code instead." in said(refused)
    assert ("mail start code", "failure") == tuple(
        company.log(unknown["id"])[0][name] for name in ("action", "outcome")
    )


def test_who_is_deactivated_gets_no_account(admin: Browser, company: Company) -> None:
    """The page offers none, and the act is refused all the same."""
    user = company.hire()
    company.disable(user)
    person = company.person(user)

    shown = admin.get(page_of(person))
    refused = admin.post(f"{page_of(person)}/activate", 409)

    assert f"{page_of(person)}/activate" not in shown.text
    assert "activate the user there first" in said(refused)
    assert None is company.get(f"people/{person['id']}")["activation"]


def test_several_accounts_are_activated_at_once(admin: Browser, company: Company) -> None:
    """All that are ticked, each with its entry in the log; who is activated stays so, nobody ticked is refused."""
    people = [company.person(company.hire()) for _ in range(3)]
    admin.send(f"{page_of(people[0])}/activate")
    admin.get(HOME)

    text = admin.send(f"{HOME}/activate", person=[each["id"] for each in people])
    nothing = admin.post(f"{HOME}/activate", 400)

    assert "2 accounts are activated." in text
    assert ["requested"] * 3 == [company.get(f"people/{each['id']}")["activation"] for each in people]
    assert [["activate"]] * 3 == [[entry["action"] for entry in company.log(each["id"])] for each in people]
    assert "Nobody is ticked." in said(nothing)


# By hand --------------------------------------------------------------------------------------------------------------


def test_a_person_is_added_changed_and_deleted_by_hand(admin: Browser, company: Company) -> None:
    """Each act says what it did; what cannot be taken is refused, and nothing is changed."""
    admin.get(f"{HOME}/new")
    made = admin.post(HOME, display_name="Mara", email="mara@partner.example")
    home = where(made)
    person_id = home.rpartition("/")[2]

    assert "Mara" in said(admin.get(home))
    refused = admin.post(f"{home}/edit", 400, display_name="Mara", email="no address")
    assert "write it like name@example.com" in said(refused)
    admin.get(f"{home}/edit")
    assert "The person is changed." in admin.send(f"{home}/edit", display_name="Mara Lind", email="")
    assert ("Mara Lind", None) == tuple(company.get(f"people/{person_id}")[name] for name in ("display_name", "email"))
    assert "'Mara Lind' is deleted" in admin.send(f"{home}/delete")
    admin.get(home, 404)


def test_who_comes_from_the_directory_is_changed_there(admin: Browser, company: Company) -> None:
    """Neither edited nor deleted by hand; the refusal says where."""
    person = company.person(company.hire())

    refusals = [
        admin.get(f"{page_of(person)}/edit", 409),
        admin.post(f"{page_of(person)}/edit", 409, display_name="Other"),
        admin.get(f"{page_of(person)}/link", 409),
    ]
    kept = admin.post(f"{page_of(person)}/delete", 409)

    assert all("comes from the directory" in said(each) for each in refusals)
    assert "directory" in said(kept)
    assert person["display_name"] == company.get(f"people/{person['id']}")["display_name"]


def test_a_person_by_hand_is_linked_with_a_user(admin: Browser, company: Company) -> None:
    """Whoever has the name is offered first; then both are one, which the directory describes."""
    name = unique("Twin")
    mine = company.call("POST", "people", 201, {"display_name": name})
    user = company.hire(displayName=name)
    other = company.person(user)

    offered = admin.get(f"{page_of(mine)}/link")
    text = admin.send(f"{page_of(mine)}/link", directory_user_id=user["id"])

    assert user["id"] in offered.text
    assert "From here on the directory describes this person." in text
    assert user["id"] == company.get(f"people/{mine['id']}")["directory_user_id"]
    admin.get(page_of(other), 404)


def test_a_photo_is_set_shown_and_removed(admin: Browser, company: Company) -> None:
    """Its address has its hash, so it may be kept; what is no picture is refused."""
    person = company.person(company.hire())
    home = page_of(person)
    admin.get(home)

    admin.post(f"{home}/photo", files={"photo": ("me.png", PICTURE, "image/png")})
    (address,) = set(re.findall(rf"{home}/photo\?v=[0-9a-f]+", admin.get(home).text))
    picture = admin.get(address)
    refused = admin.post(f"{home}/photo", 400, files={"photo": ("me.svg", b"<svg/>", "image/png")})

    assert (PICTURE, "image/png") == (picture.content, picture.headers["content-type"])
    assert "immutable" in picture.headers["cache-control"]
    assert "private" in picture.headers["cache-control"]
    assert "Send a JPEG, PNG, GIF or WebP image." in said(refused)
    admin.send(f"{home}/photo/remove")
    admin.get(f"{home}/photo", 404)


def test_a_sign_in_link_signs_the_person_in(admin: Browser, company: Company, visitor: Browser) -> None:
    """It is shown once and works once, for the pages of members alone."""
    person = company.person(company.hire())
    admin.get(page_of(person))

    link = values(admin.post(f"{page_of(person)}/sign-in-link", 200))["link"]
    secret = link.partition("link=")[2]
    visitor.post("/me/sign-in", link=secret)

    visitor.get("/me")
    assert "/console/sign-in" in where(visitor.get("/console", 303))
    assert secret not in str(company.log(person["id"]))
    with nobody(str(visitor.http.base_url)) as other:
        other.post("/me/sign-in", 400, link=secret)


def test_import_says_how_people_come(admin: Browser, company: Company) -> None:
    """By Entra's assignments, which are in use here; and by a sync, which nobody can ask for that is not connected."""
    company.hire()

    text = said(admin.get(f"{HOME}/import"))
    refused = admin.post(f"{HOME}/import", 409)

    assert "Users and groups" in text
    assert "Connect Microsoft Graph" in text
    assert "connect it first" in said(refused)


# Who may --------------------------------------------------------------------------------------------------------------


def test_another_tenants_people_are_not_there(admin: Browser, company: Company, make_company: MakeCompany) -> None:
    """No page and no act of a person or invitation of another tenant: 404, and nothing of it is changed."""
    theirs = make_company()
    person = theirs.person(theirs.hire())
    template = theirs.new_template({"key": "name", "editable": True})
    invitation = theirs.call("POST", "invitations", 201, {"template_id": template["id"]})
    form = {"display_name": "Other", "directory_user_id": person["directory_user_id"], "template": template["id"]}
    before = theirs.get(f"people/{person['id']}")
    admin.get(HOME)

    for path in [each for each in MINE if "{id}" in each]:
        key = invitation["id"] if "invitations" in path else person["id"]
        for method in TABLE[path]:
            files = {"photo": ("me.png", PICTURE, "image/png")} if path.endswith("/photo") else None
            if method == "GET":
                admin.get(path.format(id=key), 404)
            else:
                admin.post(path.format(id=key), 404, files=files, **form)
    admin.post("/console/invitations", 404, **form)
    admin.get("/console/invitations/new", 404, template=template["id"])

    assert before == theirs.get(f"people/{person['id']}")
    assert "open" == theirs.get(f"invitations/{invitation['id']}")["state"]
    assert "Nobody fits" in said(admin.get(HOME, q=person["sign_in"]))


@pytest.mark.parametrize("path", MINE)
def test_only_administrators_get_in(path: str, server: Server, company: Company, visitor: Browser) -> None:
    """Nobody, and a member as little, sees a page or does anything: they are led to the sign-in."""
    person = company.person(company.hire())
    path = path.format(id=person["id"])

    with member(server.url, server.database_url, company.tenant_id, person["id"]) as signed_in:
        for browser in (visitor, signed_in):
            for method in ("GET", "POST"):
                if method in TABLE[path.replace(person["id"], "{id}")]:
                    answer = browser.get(path, 303) if method == "GET" else browser.post(path)
                    assert "/console/sign-in" in where(answer)
    assert None is company.get(f"people/{person['id']}")["activation"]


def test_a_form_without_its_token_does_nothing(admin: Browser, company: Company) -> None:
    """Each form is held to the session that its page was made for."""
    person = company.person(company.hire())
    kept = admin.token

    for path in [each for each in MINE if "POST" in TABLE[each]]:
        admin.token = "0" * 40
        assert "This form is no longer valid" in said(admin.post(path.format(id=person["id"]), 403))

    admin.token = kept
    assert [] == company.log(person["id"])
