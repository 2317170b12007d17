"""Templates as pages: the editor, what it shows before it saves, and who gets a card."""

from __future__ import annotations

from typing import Any

import pytest

from app_core.fields import GENERAL
from tests.answers import JSON, unique
from tests.api import NAME, Company, MakeCompany
from tests.conftest import Server
from tests.console import Browser, administrator, form_of, member, said, where
from tests.processes import new_customer

EMAIL = {"key": "email", "label": "E-mail", "source": "email"}
PHONE = {"key": "phone", "label": "Phone", "source": "business_phone"}
NOTHING = "01a00000-0000-7000-8000-000000000000"


def editor(admin: Browser, template: JSON) -> dict[str, list[str]]:
    """Open the editor; give what its form would send."""
    return form_of(admin.get(f"/console/templates/{template['id']}"), "editor")


def order(form: dict[str, list[str]]) -> list[str]:
    """Give the keys of the fields that have no fixed place, in their order."""
    keys = [each.partition("?")[0] for each in form["field"]]
    return [key for key in keys if key not in GENERAL]


def part(admin: Browser, path: str, target: str, form: dict[str, Any], status: int = 200) -> str:
    """Send a form as htmx does, for one part of the page; give its text."""
    headers = {"HX-Request": "true", "HX-Target": target}
    answer = admin.http.post(path, data={"_token": admin.token, **form}, headers=headers)
    assert status == answer.status_code, said(answer)
    assert "<html" not in answer.text
    return said(answer)


# The editor ---------------------------------------------------------------------------------------------------------


def test_a_new_template_begins_with_what_most_cards_show(company: Company, admin: Browser) -> None:
    """It has synced fields, so that groups can lead to it; a name that is taken is refused."""
    name = unique("Template")
    admin.get("/console/templates")
    opened = admin.post("/console/templates", name=name)
    refused = admin.post("/console/templates", 409, name=name)
    made = company.get(f"templates/{where(opened).rpartition('/')[2]}")

    assert (name, 10) == (made["name"], len(made["fields"]))
    assert {"email", "business_phone", "photo"} <= {
        field["source"] for field in made["fields"] if field["mode"] == "always"
    }
    assert f"A template named '{name}' already exists." in said(refused)


def test_what_is_saved_is_on_all_cards_at_once(company: Company, admin: Browser) -> None:
    """Look, labels, modes and placeholders are what the form says; the log names what changed."""
    person = company.hire()
    template = company.new_template(NAME, EMAIL, groups=[company.found(person)])
    form = editor(admin, template) | {"headline": ["We make things"], "primary_color": ["#0b6e4f"]}
    form |= {"label-email": ["Write to me"], "placeholder-pronouns": ["Your pronouns"], "on-pronouns": ["on"]}
    told = admin.send(f"/console/templates/{template['id']}", **form)
    again = admin.send(f"/console/templates/{template['id']}", **editor(admin, template))
    after, card = company.get(f"templates/{template['id']}"), company.card(company.person(person))

    assert ("The template is saved" in told, "Nothing was changed." in again) == (True, True)
    assert {"headline": "We make things", "primary_color": "#0b6e4f"} == {
        name: value for name, value in after["look"].items() if value is not None
    }
    assert [("name", "Name"), ("pronouns", "Pronouns"), ("email", "Write to me")] == [
        (field["key"], field["label"]) for field in card["fields"]
    ]
    assert [[], ["look", "fields"]] == [entry["changed"] for entry in company.log(template["id"], action="update")[:2]]


def test_two_administrators_do_not_overwrite_each_other(company: Company, admin: Browser) -> None:
    """The form of who opened it first is refused with a sentence, and nothing of it is stored."""
    template = company.new_template(NAME)
    form = editor(admin, template)
    company.call("PATCH", f"templates/{template['id']}", 200, {"name": unique("Changed")})
    refused = admin.post(f"/console/templates/{template['id']}", 409, **form | {"headline": ["Mine"]})

    assert "Somebody else has saved this template since you opened it." in said(refused)
    assert company.get(f"templates/{template['id']}")["look"]["headline"] is None


def test_fields_are_moved_added_and_removed_before_anything_is_saved(company: Company, admin: Browser) -> None:
    """Each button gives the form back with what was typed; what is saved is the order that is seen, general ones first."""
    template = company.new_template(NAME, EMAIL, PHONE)
    path = f"/console/templates/{template['id']}"
    form = editor(admin, template) | {"label-phone": ["Call me"]}
    for button in ("up:phone", "down:nothing", "up:phone"):
        form = form_of(admin.post(f"{path}/fields", 200, **form, do=button), "editor")
    form |= {"add_source": ["mobile_phone"], "add_label": [""]}
    form = form_of(admin.post(f"{path}/fields", 200, **form, do="add"), "editor")
    form |= {"add_source": ["typed"], "add_label": ["Language skills"]}
    shown = admin.post(f"{path}/fields", 200, **form, do="add")
    form = form_of(shown, "editor")
    unsaved = company.get(f"templates/{template['id']}")
    admin.send(path, **form_of(admin.post(f"{path}/fields", 200, **form, do="remove:email"), "editor"))
    fields = {field["key"]: field for field in company.get(f"templates/{template['id']}")["fields"]}

    assert ["phone", "email", "mobile_phone", "language_skills"] == order(form)
    assert "Language skills is added at the end." in shown.text
    assert template["fields"] == unsaved["fields"]
    assert ["name", "phone", "mobile_phone", "language_skills"] == list(fields)
    assert ("Call me", "mobile_phone", "always") == (
        fields["phone"]["label"],
        fields["mobile_phone"]["source"],
        fields["mobile_phone"]["mode"],
    )
    assert (None, "none", True) == tuple(fields["language_skills"][name] for name in ("source", "mode", "editable"))


def test_a_field_is_unfolded_and_nothing_is_lost(company: Company, admin: Browser) -> None:
    """Folded fields are sent as they are; the button of one shows all of it, and nothing counts as changed by that."""
    made = {
        **EMAIL,
        "mode": "none",
        "kind": "text",
        "editable": True,
        "required": True,
        "placeholder": "Where to write",
    }
    template = company.new_template({**NAME, "label": "Who"}, made, PHONE)
    path = f"/console/templates/{template['id']}"
    folded = editor(admin, template)
    shown = admin.post(f"{path}/fields", 200, **folded, do="open:email")
    whole = form_of(shown, "editor")
    told = admin.send(path, **whole)

    assert (["email"], order(folded)) == (whole.pop("open"), order(whole))
    assert {"label": "E-mail", "source": "email", "mode": "none", "kind": "text", "placeholder": "Where to write"} == {
        name: whole[f"{name}-email"][0] for name in ("label", "source", "mode", "kind", "placeholder")
    }
    assert '<span class="soft small" id="dirty" hidden>' in shown.text
    assert "Nothing was changed." in told
    assert template["fields"] == company.get(f"templates/{template['id']}")["fields"]


def test_a_field_keeps_its_kind_until_something_else_fills_it(company: Company, admin: Browser) -> None:
    """An address that was made plain text stays so; a field that a phone number fills is checked as one."""
    template = company.new_template(NAME, {**EMAIL, "kind": "text"})
    path = f"/console/templates/{template['id']}"
    admin.send(path, **editor(admin, template) | {"label-email": ["Post"]})
    kept = company.get(f"templates/{template['id']}")["fields"][1]
    admin.send(path, **editor(admin, template) | {"source-email": ["business_phone"]})

    assert ("text", "phone") == (kept["kind"], company.get(f"templates/{template['id']}")["fields"][1]["kind"])


def test_the_preview_shows_what_is_typed_and_saves_nothing(company: Company, admin: Browser) -> None:
    """It is composed as cards are; while what is typed cannot be saved it says why, and shows the last that could."""
    template = company.new_template(NAME, PHONE)
    path = f"/console/templates/{template['id']}/preview"
    form = editor(admin, template) | {
        "headline": ["Brand new"],
        "on-pronouns": ["on"],
        "placeholder-pronouns": ["she/her"],
    }
    shown = part(admin, path, "preview", form)
    wrong = part(admin, path, "preview", form | {"logo_url": ["http://example.com/logo.png"]})
    faint = part(admin, path, "preview", form | {"text_color": ["#eeeeee"]})

    assert all(each in shown for each in ("Brand new", "Megan Bowen", "she/her", "+14255550100"))
    assert "this cannot be saved: look.logo_url: an address that begins with https:// is expected." in wrong
    assert "can hardly be read" in faint
    assert template == company.get(f"templates/{template['id']}")


def test_a_template_goes_when_nothing_hangs_on_it(company: Company, admin: Browser) -> None:
    """While groups lead to it or cards are made of it, it is refused with both counts."""
    person = company.hire()
    template = company.new_template(groups=[company.found(person)])
    path = f"/console/templates/{template['id']}"
    admin.get(path)
    refused = said(admin.post(f"{path}/delete", 409))
    company.assign(template)
    company.call("DELETE", f"cards/{company.card(company.person(person))['id']}", 204)
    told = admin.send(f"{path}/delete")

    assert "still holds 1 assigned group and 1 card" in refused
    assert f"The template {template['name']} is deleted." in told
    admin.get(path, 404)


# Who gets a card ----------------------------------------------------------------------------------------------------


def test_groups_are_previewed_before_they_are_saved(make_company: MakeCompany, server: Server) -> None:
    """The page says how many cards and seats it takes, and who would wait; only Save does it."""
    company = make_company(seats=1)
    group = company.found(company.hire(), company.hire(), company.hire(active=False), displayName="Sales EMEA")
    template = company.new_template(NAME)
    path = f"/console/templates/{template['id']}/groups"
    with administrator(server.url, server.database_url, company.tenant_id) as admin:
        opened = said(admin.get(path, q="emea"))
        shown = part(admin, f"{path}/preview", "impact", {"group": [group["id"]]})
        before = company.all("cards")
        told = admin.send(path, group=[group["id"]])
        listed = said(admin.get("/console/templates"))
        freed = part(admin, f"{path}/preview", "impact", {})

    assert "Sales EMEA 3 members" in opened
    assert "Cards issued 2 Cards revived 0 Cards paused 0 Seats needed 2 Seats freed 0 Seats left now 1" in shown
    assert "1 person waits for a seat" in shown
    assert [] == before
    assert "1 group leads to this template now." in told
    assert ["active", "waiting"] == sorted(card["state"] for card in company.all("cards"))
    assert "2 cards · 1 group · 1 field" in listed
    assert "Cards paused 2 Seats needed 0 Seats freed 2 Seats left now 0" in freed


def test_no_group_leads_to_a_template_that_takes_nothing_from_the_directory(company: Company, admin: Browser) -> None:
    """Preview and Save are refused with what to do (C2), and the page says so before anybody asks."""
    group = company.found(company.hire())
    template = company.new_template({"key": "name"})
    path = f"/console/templates/{template['id']}/groups"
    opened = said(admin.get(path))
    shown = part(admin, f"{path}/preview", "impact", {"group": [group["id"]]}, 400)
    saved = said(admin.post(path, 400, group=[group["id"]]))

    assert "No field of this template is filled from the directory" in opened
    assert all(
        "has no synced field, so the directory would fill nothing of its cards" in each for each in (shown, saved)
    )
    assert [] == company.get(f"templates/{template['id']}/assignments")["group_ids"]


def test_what_is_ticked_outlives_a_search_without_scripts(company: Company, admin: Browser) -> None:
    """The search of the form keeps what is chosen, and is no question about people."""
    sales = company.found(displayName=unique("Sales"))
    other = company.found(displayName=unique("Workshop"))
    template = company.new_template(NAME)
    path = f"/console/templates/{template['id']}/groups"
    admin.get(path)
    found = admin.post(f"{path}/preview", 200, group=[sales["id"]], q=other["displayName"], do="search")

    assert [sales["id"]] == form_of(found, "groups")["group"]
    assert other["displayName"] in said(found)
    assert [] == company.get(f"templates/{template['id']}/assignments")["group_ids"]


# Who may ------------------------------------------------------------------------------------------------------------

PATHS = ("", "/groups")
ACTIONS = ("", "/fields", "/preview", "/groups", "/groups/preview", "/delete")


def test_templates_of_others_are_not_there(server: Server, company: Company, admin: Browser) -> None:
    """Another tenant's administrator finds none of the pages, and no form changes anything."""
    template = company.new_template(NAME)
    other = new_customer(server.database_url)
    with administrator(server.url, server.database_url, other.tenant_id) as stranger:
        for path in PATHS:
            stranger.get(f"/console/templates/{template['id']}{path}", 404)
        for path in ACTIONS:
            stranger.post(f"/console/templates/{template['id']}{path}", 404, name="Mine", version="1")
        listed = said(stranger.get("/console/templates"))

    assert template["name"] not in listed
    assert template == company.get(f"templates/{template['id']}")


@pytest.mark.parametrize("path", ["/console/templates", f"/console/templates/{NOTHING}", "/console/cards"])
def test_only_administrators_come_in(server: Server, company: Company, visitor: Browser, path: str) -> None:
    """Whoever is not signed in goes to the sign-in page, and so does a member."""
    person = company.person(company.hire())
    with member(server.url, server.database_url, company.tenant_id, person["id"]) as somebody:
        assert where(somebody.get(path, 303)).startswith("/console/sign-in")
    assert where(visitor.get(path, 303)).startswith("/console/sign-in")


def test_a_form_without_its_token_does_nothing(company: Company, admin: Browser) -> None:
    """It could have come from anywhere."""
    template = company.new_template(NAME)
    admin.get("/console/templates")
    answer = admin.http.post(f"/console/templates/{template['id']}/delete", data={"_token": "0" * 40})

    assert 403 == answer.status_code
    assert template == company.get(f"templates/{template['id']}")
