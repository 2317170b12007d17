"""Cards as pages: found, explained, mended."""

from __future__ import annotations

from typing import Any

from tests.answers import JSON, unique
from tests.api import NAME, Company, MakeCompany
from tests.builders import PICTURE
from tests.conftest import Server
from tests.console import Browser, administrator, said
from tests.processes import new_customer

MOBILE = {"key": "mobile", "label": "Mobile", "source": "mobile_phone", "editable": True}
TITLE = {"key": "title", "source": "job_title", "mode": "initial"}
PHOTO = {"key": "photo", "label": "Photo", "source": "photo"}


def hired(company: Company, *fields: JSON, **changes: Any) -> tuple[JSON, JSON]:
    """Have somebody come to a group that leads to a template; give user and card."""
    user = company.hire(**changes)
    company.new_template(NAME, *fields, groups=[company.found(user)])
    return user, company.card(company.person(user))


def phones(mobile: str) -> list[JSON]:
    return [{"type": "mobile", "value": mobile}]


def typed(admin: Browser, card: JSON, **values: str) -> dict[str, Any]:
    """Open a card; give what its form sends once these values are typed."""
    page = admin.get(f"/console/cards/{card['id']}")
    version = page.text.partition('name="version" value="')[2].partition('"')[0]
    return {"version": version} | {f"value-{key}": value for key, value in values.items()}


def test_cards_are_found_by_person_state_template_and_what_is_wrong(make_company: MakeCompany, server: Server) -> None:
    """Each filter gives the cards that are so and no others; the page says which card is whose."""
    company = make_company(seats=3)
    names = ("Adele Vance", "Megan Bowen", "Patti Fernandez", "Lee Gu")
    users = [
        company.hire(displayName=name, phoneNumbers=phones("0170 1" if name == "Megan Bowen" else f"+1425555010{at}"))
        for at, name in enumerate(names)
    ]
    group = company.found(*users)
    template = company.new_template(NAME, MOBILE, {"key": "pronouns", "required": True}, groups=[group])
    company.change(users[2], {"op": "Replace", "path": "active", "value": False})
    company.call(
        "POST",
        "invitations",
        201,
        {"template_id": template["id"], "values": {"name": "Guest", "mobile": "+14255550109"}},
    )
    empty = company.new_template(NAME)
    asked: dict[str, dict[str, Any]] = {
        "all": {},
        "search": {"q": "bOwen"},
        "paused": {"state": "paused"},
        "unclaimed": {"state": "unclaimed"},
        "template": {"template": empty["id"]},
        "problems": {"lack": "problems"},
        "incomplete": {"lack": "incomplete", "q": "gu"},
    }
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        shown = {name: said(admin.get("/console/cards", **query)) for name, query in asked.items()}

    found = {name: [each for each in (*names, "Nobody yet") if each in text] for name, text in shown.items()}
    assert {
        "all": [*names, "Nobody yet"],
        "search": ["Megan Bowen"],
        "paused": ["Patti Fernandez"],
        "unclaimed": ["Nobody yet"],
        "template": [],
        "problems": ["Megan Bowen"],
        "incomplete": ["Lee Gu"],
    } == found
    assert "No card is like that" in shown["template"]


def test_a_card_says_what_is_wrong_with_it(company: Company, admin: Browser) -> None:
    """A number that no card can show is quoted with its reason; a required field without a value is named."""
    _, card = hired(company, MOBILE, {"key": "pronouns", "required": True}, phoneNumbers=phones("+49 170 123"))
    text = said(admin.get(f"/console/cards/{card['id']}"))

    assert "Mobile is left off. “+49 170 123” is no valid E.164 number as sent: It holds something else" in text
    assert "Incomplete. Pronouns: required, and without a value." in text
    assert f"/c/{card['slug']}" in admin.get(f"/console/cards/{card['id']}").text


def test_an_edit_wins_until_it_is_taken_back(company: Company, admin: Browser) -> None:
    """What is typed shows; what the directory says, typed or chosen, takes the edit back; a wrong number is refused."""
    _, card = hired(company, MOBILE, phoneNumbers=phones("+14255550100"))
    path = f"/console/cards/{card['id']}"
    refused = said(admin.post(path, 400, **typed(admin, card, mobile="0170 1")))
    saved = admin.send(path, **typed(admin, card, mobile="+14255550155"))
    edited = company.get(f"cards/{card['id']}")["fields"][1]
    admin.send(path, **typed(admin, card, mobile="+14255550155"), back="mobile")
    back = company.get(f"cards/{card['id']}")["fields"][1]
    same = admin.send(path, **typed(admin, card, mobile="+14255550100"))

    assert "this phone number cannot be on a card" in refused
    assert ("The card is saved." in saved, "Nothing was changed." in same) == (True, True)
    assert [("+14255550155", True), ("+14255550100", False)] == [
        (each["value"], each["overridden"]) for each in (edited, back)
    ]


def test_what_is_not_editable_cannot_be_typed(company: Company, admin: Browser) -> None:
    """A value that is sent for it all the same is left alone."""
    _, card = hired(company, MOBILE)
    told = admin.send(f"/console/cards/{card['id']}", **typed(admin, card, name="Somebody Else"))

    assert "Nothing was changed." in told
    assert card["fields"] == company.get(f"cards/{card['id']}")["fields"]


def test_a_card_that_changed_meanwhile_is_not_overwritten(company: Company, admin: Browser) -> None:
    """The second of two administrators reads that somebody was faster."""
    _, card = hired(company, MOBILE)
    form = typed(admin, card, mobile="+14255550155")
    company.call("PATCH", f"cards/{card['id']}", 200, {"overrides": {"mobile": "+14255550166"}})
    refused = said(admin.post(f"/console/cards/{card['id']}", 409, **form))

    assert "Somebody else has changed this card since you opened it." in refused
    assert "+14255550166" == company.get(f"cards/{card['id']}")["fields"][1]["value"]


def test_a_paused_card_says_why_and_can_be_taken_up_or_deleted(company: Company, admin: Browser) -> None:
    """An active one that follows its groups can be neither; the log knows who did it."""
    user = company.hire(displayName="Adele Vance")
    group = company.found(user)
    company.new_template(NAME, groups=[group])
    card = company.card(company.person(user))
    path = f"/console/cards/{card['id']}"
    admin.get(path)
    active = [said(admin.post(f"{path}/{verb}", 409)) for verb in ("reactivate", "delete")]
    company.change(group, {"op": "Remove", "path": f'members[value eq "{user["id"]}"]'})
    paused = said(admin.get(path))
    taken_up = admin.send(f"{path}/reactivate")
    state = company.get(f"cards/{card['id']}")["state"]
    deleted = admin.send(f"{path}/delete")

    assert "The card is not paused." in active[0]
    assert "The card follows its groups and is not paused" in active[1]
    assert "Paused since" in paused
    assert "Its person is in no group any more that leads to this template." in paused
    assert "The card is active again, kept by hand." in taken_up
    assert "active" == state
    assert "The card is deleted" in deleted
    admin.get(path, 404)
    assert [("delete", "success"), ("reactivate", "success"), ("delete", "failure"), ("reactivate", "failure")] == [
        (entry["action"], entry["outcome"]) for entry in company.log(card["id"], source="admin")
    ]


def test_what_is_filled_once_is_refreshed_on_demand(company: Company, admin: Browser) -> None:
    """Until then the card says what the directory said when it was issued, and the page shows both."""
    user, card = hired(company, TITLE, title="Analyst")
    company.change(user, {"op": "Replace", "path": "title", "value": "Director"})
    before = said(admin.get(f"/console/cards/{card['id']}"))
    told = admin.send(f"/console/cards/{card['id']}/refresh")

    assert "Title filled once Analyst Director" in before
    assert "hold what the directory says" in told
    assert "Director" == company.get(f"cards/{card['id']}")["fields"][1]["value"]


def test_the_photo_is_asked_for_again_each_time(company: Company, admin: Browser) -> None:
    """The browser keeps it and is told that it is the same; a card without one has none."""
    user, card = hired(company, PHOTO)
    path = f"/console/cards/{card['id']}/photo"
    admin.get(path, 404)
    person = company.person(user)
    company.api.put(f"people/{person['id']}/photo", content=PICTURE, headers={"Content-Type": "image/png"})
    sent = admin.get(path)
    again = admin.http.get(path, headers={"If-None-Match": sent.headers["etag"]})

    assert (PICTURE, "image/png", "private, no-cache") == (
        sent.content,
        sent.headers["content-type"],
        sent.headers["cache-control"],
    )
    assert (304, b"") == (again.status_code, again.content)


def test_cards_of_others_are_not_there(server: Server, company: Company) -> None:
    """Another tenant's administrator finds no page, no photo and no action of a card."""
    _, card = hired(company, MOBILE, displayName=unique("Adele"))
    other = new_customer(server.database_url)
    path = f"/console/cards/{card['id']}"
    with administrator(server.url, server.database_url, other.tenant_id) as stranger:
        for each in (path, f"{path}/photo"):
            stranger.get(each, 404)
        for each in (path, f"{path}/reactivate", f"{path}/refresh", f"{path}/delete"):
            stranger.post(each, 404, version="1", **{"value-mobile": "+14255550155"})
        listed = said(stranger.get("/console/cards"))

    assert "There is no card yet" in listed
    assert card == company.get(f"cards/{card['id']}")
