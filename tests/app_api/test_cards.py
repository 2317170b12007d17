"""Templates, assignments, cards, seats and invitations, over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.app_api.conftest import House, new_house
from tests.app_api.held import (
    JSON,
    NAME,
    PNG,
    TITLE,
    ids,
    items,
    new_person,
    new_template,
    ok,
    person_of,
    push_group,
    push_user,
    refused,
    unique,
    walk,
)
from tests.builders import patch

if TYPE_CHECKING:
    from tests.conftest import Server

PHONE = {"key": "phone", "source": "business_phone", "required": True, "placeholder": "+1 …"}


def assigned(api: httpx.Client, scim: httpx.Client, *fields: JSON, people: int = 1, **user: Any) -> tuple[JSON, JSON]:
    """Make a template that a new group with new people leads to; give both."""
    group = push_group(scim, *[push_user(scim, **user) for _ in range(people)])
    template = new_template(api, *fields)
    ok(api.put(f"templates/{template['id']}/assignments", json={"group_ids": [group["id"]]}))
    return template, group


def shown(card: JSON) -> dict[str, str | None]:
    return {field["key"]: field["value"] for field in card["fields"]}


# Templates ----------------------------------------------------------------------------------------------------------


def test_a_template(api: httpx.Client) -> None:
    """It is read as it was made, with what follows from what was sent; general fields come first, in their order."""
    look = {"primary_color": "#0a66c2", "headline": "We make it", "logo_url": "https://example.com/logo.png"}
    made = api.post("templates", json={"name": "Card", "look": look, "fields": [PHONE, TITLE, NAME]})
    template = ok(made, 201)

    assert made.headers["location"].endswith(f"/templates/{template['id']}")
    assert {**look, "text_color": None, "background_color": None} == template["look"]
    assert ["name", "title", "phone"] == [field["key"] for field in template["fields"]]
    assert {
        "key": "phone",
        "label": "Phone",
        "kind": "phone",
        "source": "business_phone",
        "mode": "always",
        "editable": False,
        "required": True,
        "placeholder": "+1 …",
    } == template["fields"][2]
    assert template == ok(api.get(f"templates/{template['id']}"))

    changed = ok(api.patch(f"templates/{template['id']}", json={"fields": [NAME]}))
    assert ("Card", template["look"], 2) == tuple(changed[name] for name in ("name", "look", "version"))
    assert ["name"] == [field["key"] for field in changed["fields"]]
    assert changed == ok(api.patch(f"templates/{template['id']}", json={"name": "Card"}))
    assert None is ok(api.patch(f"templates/{template['id']}", json={"look": {}}))["look"]["headline"]

    ok(api.delete(f"templates/{template['id']}"), 204)
    refused(api.get(f"templates/{template['id']}"), 404, "not-found")


def test_what_was_given_can_be_sent_again(api: httpx.Client) -> None:
    """A template as it is read is a body as well, but for what the server says itself."""
    template = new_template(api, NAME, PHONE)
    body = {name: template[name] for name in ("name", "look", "fields")}

    assert template == ok(api.patch(f"templates/{template['id']}", json=body))


def test_names_of_templates_are_their_own(api: httpx.Client) -> None:
    """In any case, on making and on renaming."""
    first, second = new_template(api, name="First"), new_template(api, name="Second")

    refused(api.post("templates", json={"name": "FIRST"}), 409, "conflict")
    refused(api.patch(f"templates/{second['id']}", json={"name": "first"}), 409, "conflict")
    assert "FIRST" == ok(api.patch(f"templates/{first['id']}", json={"name": "FIRST"}))["name"]


def test_lists_of_templates(api: httpx.Client) -> None:
    """By a part of the name; page by page each once."""
    made = [new_template(api, name=name)["id"] for name in ("Sales", "Field sales", "Board")]

    assert made == ids(api.get("templates")) == [each["id"] for each in walk(api, "templates")]
    assert made[:2] == ids(api.get("templates", params={"q": "SALES"}))


def test_connecting_needs_a_synced_field(api: httpx.Client, scim: httpx.Client) -> None:
    """A template that takes nothing from the directory is not assigned, nor made so while it is (C2)."""
    group = push_group(scim)
    empty = new_template(api, {"key": "name", "editable": True})
    for path in ("assignments", "assignments/preview"):
        method = "PUT" if path == "assignments" else "POST"
        answer = api.request(method, f"templates/{empty['id']}/{path}", json={"group_ids": [group["id"]]})
        assert "synced field" in refused(answer, 400, "invalid")["detail"]

    template, _ = assigned(api, scim)
    answer = api.patch(f"templates/{template['id']}", json={"fields": [{"key": "name"}]})
    assert "synced field" in refused(answer, 400, "invalid")["detail"]


def test_a_template_in_use_stays(api: httpx.Client, scim: httpx.Client) -> None:
    """While groups lead to it or cards are made from it, it is not deleted; the refusal counts both."""
    template, _ = assigned(api, scim)
    body = refused(api.delete(f"templates/{template['id']}"), 409, "still-holds")
    assert "1 assigned group and 1 card" in body["detail"]

    ok(api.put(f"templates/{template['id']}/assignments", json={"group_ids": []}))
    refused(api.delete(f"templates/{template['id']}"), 409, "still-holds")
    [card] = items(api.get("cards"))
    ok(api.delete(f"cards/{card['id']}"), 204)
    ok(api.delete(f"templates/{template['id']}"), 204)


# Assignments --------------------------------------------------------------------------------------------------------


def test_a_preview_says_what_saving_does(api: httpx.Client, scim: httpx.Client) -> None:
    """Cards and seats before and after; a preview itself changes nothing."""
    one, both = push_user(scim), push_user(scim)
    first, second = push_group(scim, one, both), push_group(scim, both, push_user(scim, active=False))
    template = new_template(api)
    path = f"templates/{template['id']}/assignments"

    def preview(*groups: JSON) -> tuple[Any, ...]:
        found = ok(api.post(f"{path}/preview", json={"group_ids": [group["id"] for group in groups]}))
        names = ("cards_issued", "cards_revived", "cards_paused", "seats_needed", "seats_freed", "seats_left")
        return tuple(found[name] for name in names)

    assert (2, 0, 0, 2, 0, None) == preview(first, second)
    assert (1, 0, 0, 1, 0, None) == preview(second)
    assert [] == items(api.get("cards"))
    assert {"group_ids": []} == ok(api.get(path))

    both_groups = {"group_ids": sorted([first["id"], second["id"]])}
    assert (
        both_groups == ok(api.put(path, json=both_groups)) == ok(api.get(path)) == ok(api.put(path, json=both_groups))
    )
    assert 2 == len(items(api.get("cards")))
    assert (0, 0, 1, 0, 1, None) == preview(second)
    assert (0, 0, 2, 0, 2, None) == preview()

    ok(api.put(path, json={"group_ids": [second["id"]]}))
    assert ["active", "paused"] == sorted(card["state"] for card in items(api.get("cards")))
    assert (0, 1, 0, 1, 0, None) == preview(first, second)


def test_groups_that_are_not_there_are_not_assigned(api: httpx.Client, scim: httpx.Client) -> None:
    """And nothing of the rest is."""
    group, template = push_group(scim, push_user(scim)), new_template(api)
    path = f"templates/{template['id']}/assignments"

    refused(api.put(path, json={"group_ids": [group["id"], "nope"]}), 404, "not-found")

    assert {"group_ids": []} == ok(api.get(path))
    assert [] == items(api.get("cards"))


# Cards --------------------------------------------------------------------------------------------------------------


def test_a_card_shows_what_the_directory_says(api: httpx.Client, scim: httpx.Client) -> None:
    """One card a person and template; values as sent, an invalid phone left off with its reason."""
    fields = (NAME, TITLE, PHONE, {"key": "picture", "source": "photo", "editable": True})
    phones = [{"type": "work", "value": "+1 425 555 0100"}]
    template, _ = assigned(
        api, scim, *fields, displayName="VAN DER BERG", title="Guide\nand driver", phoneNumbers=phones
    )
    [card] = items(api.get("cards"))
    person = ok(api.get(f"people/{card['person_id']}"))

    assert (template["id"], "assigned", "active", None, 1) == tuple(
        card[name] for name in ("template_id", "origin", "state", "pause_reason", "version")
    )
    assert {"name": "VAN DER BERG", "title": "Guide\nand driver", "phone": None, "picture": None} == shown(card)
    assert ["phone"] == card["incomplete"] == [problem["key"] for problem in card["problems"]]
    [phone] = [field for field in card["fields"] if field["key"] == "phone"]
    assert ("+1 425 555 0100", "+1 …") == (phone["source_value"], phone["placeholder"])

    ok(api.put(f"people/{person['id']}/photo", content=PNG, headers={"Content-Type": "image/png"}), 204)
    mend = patch({"op": "Replace", "path": 'phoneNumbers[type eq "work"].value', "value": "+14255550100"})
    assert scim.patch(f"Users/{person['directory_user_id']}", json=mend).status_code < 300
    card = ok(api.get(f"cards/{card['id']}"))
    assert ("+14255550100", [], []) == (shown(card)["phone"], card["incomplete"], card["problems"])
    assert ok(api.get(f"people/{person['id']}"))["photo_hash"] == shown(card)["picture"]


def test_only_editable_fields_are_edited(api: httpx.Client, scim: httpx.Client) -> None:
    """An edit is kept until it is taken back; a field that is not editable, not there or wrong is refused."""
    assigned(api, scim, NAME, TITLE, {**PHONE, "editable": True}, displayName="Ann")
    [card] = items(api.get("cards"))
    path = f"cards/{card['id']}"

    edited = ok(api.patch(path, json={"overrides": {"name": "Annie"}}))
    assert ("Annie", 2) == (shown(edited)["name"], edited["version"])
    [name] = [field for field in edited["fields"] if field["key"] == "name"]
    assert (True, "Ann") == (name["overridden"], name["source_value"])
    for wrong in ({"title": "Boss"}, {"nope": "x"}, {"phone": "123"}, {"name": "a\0"}, {"name": 1}):
        refused(api.patch(path, json={"overrides": wrong}), 400, "invalid")
    assert edited == ok(api.patch(path, json={"overrides": {}})) == ok(api.get(path))
    assert "Ann" == shown(ok(api.patch(path, json={"overrides": {"name": None}})))["name"]


def test_what_is_filled_once_is_refreshed_on_demand(api: httpx.Client, scim: httpx.Client) -> None:
    """Mode `initial` keeps what the directory said, until the card is refreshed."""
    assigned(api, scim, {**NAME, "mode": "initial"}, displayName="Before")
    [card] = items(api.get("cards"))
    user_id = ok(api.get(f"people/{card['person_id']}"))["directory_user_id"]
    ok(scim.patch(f"Users/{user_id}", json=patch({"op": "Replace", "path": "displayName", "value": "After"})))

    assert "Before" == shown(ok(api.get(f"cards/{card['id']}")))["name"]
    refreshed = ok(api.post(f"cards/{card['id']}/refresh"))
    assert ("After", 2) == (shown(refreshed)["name"], refreshed["version"])
    assert refreshed == ok(api.post(f"cards/{card['id']}/refresh"))


def test_a_change_of_a_template_is_on_all_its_cards(api: httpx.Client, scim: httpx.Client) -> None:
    """At once, and without touching them."""
    template, _ = assigned(api, scim, NAME, people=3)
    versions = [card["version"] for card in items(api.get("cards"))]

    ok(api.patch(f"templates/{template['id']}", json={"fields": [TITLE]}))

    cards = items(api.get("cards"))
    assert [{"title": "Guide"}] * 3 == [shown(card) for card in cards]
    assert versions == [card["version"] for card in cards]


def test_a_paused_card_is_reactivated_or_deleted(api: httpx.Client, scim: httpx.Client) -> None:
    """A live card that follows its groups is neither; reactivated it is the administrator's, and stays."""
    template, group = assigned(api, scim)
    [card] = items(api.get("cards"))
    path = f"cards/{card['id']}"
    refused(api.post(f"{path}/reactivate"), 409, "not-possible")
    refused(api.delete(path), 409, "not-possible")

    ok(api.put(f"templates/{template['id']}/assignments", json={"group_ids": []}))
    paused = ok(api.get(path))
    assert ("paused", "unassigned") == (paused["state"], paused["pause_reason"])
    assert 0 == ok(api.get("seats"))["open"]

    active = ok(api.post(f"{path}/reactivate"))
    assert ("active", "manual", None) == tuple(active[name] for name in ("state", "origin", "pause_reason"))
    ok(api.put(f"templates/{template['id']}/assignments", json={"group_ids": [group["id"]]}))
    ok(api.put(f"templates/{template['id']}/assignments", json={"group_ids": []}))
    assert "active" == ok(api.get(path))["state"]
    ok(api.delete(path), 204)
    refused(api.get(path), 404, "not-found")
    assert 0 == ok(api.get("seats"))["open"]


def test_a_card_of_who_is_disabled_is_not_reactivated(api: httpx.Client, scim: httpx.Client) -> None:
    """The directory decides who is active."""
    assigned(api, scim)
    [card] = items(api.get("cards"))
    user_id = ok(api.get(f"people/{card['person_id']}"))["directory_user_id"]
    ok(scim.patch(f"Users/{user_id}", json=patch({"op": "Replace", "path": "active", "value": "False"})))

    assert "inactive" == ok(api.get(f"cards/{card['id']}"))["pause_reason"]
    refused(api.post(f"cards/{card['id']}/reactivate"), 409, "not-possible")


def test_lists_of_cards_and_seats(server: Server) -> None:
    """By person, template and state; who waits for a seat is shown; page by page each once."""
    house = new_house(server, seats=2)
    with house.client() as api, house.scim() as scim:
        template, _ = assigned(api, scim, people=3)
        other, _ = assigned(api, scim)
        token = ok(api.post("invitations", json={"template_id": template["id"], "values": {"title": "x"}}), 201)
        everything = walk(api, "cards")

        def found(**params: Any) -> list[str]:
            assert ids(api.get("cards", params=params)) == [each["id"] for each in walk(api, "cards", **params)]
            return ids(api.get("cards", params=params))

        assert 5 == len(everything)
        assert [card["id"] for card in everything] == found()
        assert 4 == len(found(template_id=template["id"]))
        assert (2, 2, 0, 1) == tuple(len(found(state=each)) for each in ("active", "waiting", "paused", "unclaimed"))
        assert [token["card_id"]] == found(state="unclaimed")
        one = everything[0]
        assert [one["id"]] == found(person_id=one["person_id"], template_id=one["template_id"], state=one["state"])
        assert [] == found(person_id=one["person_id"], template_id=other["id"])
        seats = ok(api.get("seats"))
        assert (2, 2, 2) == (seats["limit"], seats["open"], seats["waiting"])
        assert ["open", "open", "waiting", "waiting"] == [seat["state"] for seat in walk(api, "seats")]
        preview = ok(api.post(f"templates/{template['id']}/assignments/preview", json={"group_ids": []}))
        assert (3, 0) == (preview["cards_paused"], preview["seats_left"])


# Invitations --------------------------------------------------------------------------------------------------------


def test_an_invitation_is_claimed_once(api: httpx.Client) -> None:
    """Its card waits for whoever has the link; claimed, it is that person's, and takes a seat."""
    template = new_template(api, NAME, TITLE)
    body = {"template_id": template["id"], "email": "guest@example.com", "values": {"title": "Guest"}}
    made = api.post("invitations", json=body)
    invitation = ok(made, 201)
    path = f"invitations/{invitation['id']}"

    assert made.headers["location"].endswith(path)
    assert "claim_token" not in ok(api.get(path))
    assert ("open", None, "guest@example.com") == tuple(
        ok(api.get(path))[name] for name in ("state", "person_id", "email")
    )
    card = ok(api.get(f"cards/{invitation['card_id']}"))
    assert ("unclaimed", None, "invitation", "Guest") == (
        *(card[name] for name in ("state", "person_id", "origin")),
        shown(card)["title"],
    )
    assert 0 == ok(api.get("seats"))["open"]

    claim = {"claim_token": invitation["claim_token"], "display_name": "Guest"}
    claimed = ok(api.post("invitations/claim", json=claim))
    assert card["id"] == claimed["card_id"]
    assert "active" == ok(api.get(f"cards/{card['id']}"))["state"]
    person = ok(api.get(f"people/{claimed['person_id']}"))
    assert ("Guest", "guest@example.com", "manual", "open") == tuple(
        person[name] for name in ("display_name", "email", "origin", "seat")
    )
    assert "claimed" == ok(api.get(path))["state"]
    refused(api.post("invitations/claim", json=claim), 400, "wrong-code")
    refused(api.post("invitations/claim", json={**claim, "claim_token": "nothing"}), 400, "wrong-code")
    refused(api.delete(path), 409, "not-possible")


def test_fields_that_nobody_could_fill_are_listed(api: httpx.Client) -> None:
    """Kept in sync, not editable and without a value: the invitation is refused with their keys (C9)."""
    template = new_template(api, NAME, TITLE, {"key": "phone", "source": "business_phone"})

    body = refused(api.post("invitations", json={"template_id": template["id"]}), 400, "missing-fields")

    assert ["title", "phone"] == body["fields"]
    values = {"title": "T", "phone": "+14255550100"}
    ok(api.post("invitations", json={"template_id": template["id"], "values": values}), 201)
    for wrong in ({**values, "nope": "x"}, {**values, "phone": "123"}):
        refused(api.post("invitations", json={"template_id": template["id"], "values": wrong}), 400, "invalid")


def test_an_invitation_to_an_address_finds_its_person(api: httpx.Client, scim: httpx.Client) -> None:
    """Several cards to one address are one person's, who takes one seat."""
    template = new_template(api, NAME)
    new_person(api)
    person_ids = set()
    for _ in range(2):
        made = ok(api.post("invitations", json={"template_id": template["id"], "email": "two@example.com"}), 201)
        body = {"claim_token": made["claim_token"], "display_name": "Two"}
        person_ids.add(ok(api.post("invitations/claim", json=body))["person_id"])
    user = push_user(scim, userName=f"{unique()}@example.com")
    made = ok(api.post("invitations", json={"template_id": template["id"], "email": user["userName"]}), 201)
    claimed = ok(api.post("invitations/claim", json={"claim_token": made["claim_token"]}))

    assert 1 == len(person_ids)
    assert 2 == len(items(api.get("cards", params={"person_id": person_ids.pop()})))
    assert person_of(api, user)["id"] == claimed["person_id"]
    assert 2 == ok(api.get("seats"))["open"]


def test_an_invitation_is_taken_back(api: httpx.Client) -> None:
    """Its card goes with it, and the link does not work any more."""
    template = new_template(api, NAME)
    made = [ok(api.post("invitations", json={"template_id": template["id"]}), 201) for _ in range(3)]
    assert [each["id"] for each in made] == [each["id"] for each in walk(api, "invitations")]

    ok(api.delete(f"invitations/{made[0]['id']}"), 204)

    refused(api.get(f"invitations/{made[0]['id']}"), 404, "not-found")
    refused(api.get(f"cards/{made[0]['card_id']}"), 404, "not-found")
    body = {"claim_token": made[0]["claim_token"], "display_name": "Late"}
    refused(api.post("invitations/claim", json=body), 400, "wrong-code")
    assert [each["id"] for each in made[1:]] == ids(api.get("invitations"))


@pytest.mark.parametrize("body", [{}, {"display_name": None}])
def test_whose_card_it_is_must_be_said(api: httpx.Client, body: JSON) -> None:
    """An invitation that names nobody needs a name from who claims it; the link still works afterwards."""
    template = new_template(api, NAME)
    token = ok(api.post("invitations", json={"template_id": template["id"]}), 201)["claim_token"]

    answer = api.post("invitations/claim", json={"claim_token": token, **body})

    assert ["/display_name"] == [each["pointer"] for each in refused(answer, 400, "invalid")["errors"]]
    ok(api.post("invitations/claim", json={"claim_token": token, "display_name": "Guest"}))


def test_a_link_of_another_tenant_does_not_work(house: House, server: Server) -> None:
    """The API key decides the tenant, not the link."""
    with house.client() as api, new_house(server).client() as other:
        template = new_template(api, NAME)
        token = ok(api.post("invitations", json={"template_id": template["id"]}), 201)["claim_token"]
        body = {"claim_token": token, "display_name": "Guest"}

        refused(other.post("invitations/claim", json=body), 400, "wrong-code")
        ok(api.post("invitations/claim", json=body))
