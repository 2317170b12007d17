"""Cards follow groups and people: C1 to C7 and C9, from what Entra pushes to what the API shows."""

from __future__ import annotations

import base64
import re
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.answers import JSON, ok, refused, unique, values
from tests.api import NAME, Company, MakeCompany, fields_of, problem
from tests.builders import ENTERPRISE_USER, USER, a_user, created
from tests.conftest import Server
from tests.raw import sql

VALID, ALSO_VALID = "+14255550100", "+498912345678"
GENERAL = ["name", "accreditation", "pronouns", "title", "department", "company", "headline"]


def field(key: str, source: str | None = None, **members: Any) -> JSON:
    """Give a field of a template; one with a source is kept in sync unless it says otherwise."""
    return {"key": key, **({} if source is None else {"source": source, "mode": "always"}), **members}


def phones(**numbers: str) -> list[JSON]:
    """Give phoneNumbers, by their types."""
    return [{"type": kind, "value": value} for kind, value in numbers.items()]


def a_picture(width: int = 2, height: int = 3) -> bytes:
    """Make a PNG."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + b"\x7f" * width for _ in range(height)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# C1 ---------------------------------------------------------------------------------------------------------------------


def test_c1_templates_have_looks_and_fields_of_their_own(company: Company) -> None:
    """Any number of them; general fields keep their order whatever is sent, the others keep the order sent."""
    look = {
        "primary_color": "#0a66c2",
        "text_color": "#FFFFFF",
        "background_color": "#000000",
        "logo_url": "https://contoso.example/logo.svg",
        "headline": "Tours for everybody",
    }
    user = company.hire(title="Guide")
    group = company.found(user)
    fields = [
        field("fax", "fax_number"),
        *(field(key) for key in reversed(GENERAL[1:])),
        field("website", kind="url", placeholder="https://"),
        field("name", "display_name", required=True),
        field("mobile", "mobile_phone", editable=True),
    ]
    made = company.call("POST", "templates", 201, {"name": unique("Own"), "look": look, "fields": fields})
    plain = company.new_template(NAME)
    for template in (made, plain):
        company.assign(template, group)

    assert look == made["look"]
    assert dict.fromkeys(look) == plain["look"]
    assert [*GENERAL, "fax", "website", "mobile"] == [each["key"] for each in made["fields"]]
    person = company.person(user)
    shown = company.card(person, made)
    assert [*GENERAL, "fax", "website", "mobile"] == [each["key"] for each in shown["fields"]]
    assert ["name"] == [each["key"] for each in company.card(person, plain)["fields"]]

    reordered = [*fields[:1], fields[-1], *fields[1:-1]]
    company.call("PATCH", f"templates/{made['id']}", 200, {"fields": list(reversed(reordered))})
    assert [*GENERAL, "website", "mobile", "fax"] == [each["key"] for each in company.card(person, made)["fields"]]


def test_c1_always_is_kept_in_sync_initial_is_filled_once(company: Company) -> None:
    """And refreshed on demand; without a mode nothing is filled but by its owner."""
    user = company.hire(title="Guide", displayName="Barbara Jensen")
    group = company.found(user)
    template = company.new_template(
        field("name", "display_name"),
        field("title", "job_title", mode="initial"),
        field("department", mode="none", editable=True),
        groups=[group],
    )
    person = company.person(user)
    card = company.card(person, template)
    assert {"name": "Barbara Jensen", "title": "Guide", "department": None} == fields_of(card)

    company.change(
        user,
        {"op": "Replace", "path": "displayName", "value": "Babs Jensen"},
        {"op": "Replace", "path": "title", "value": "Chief Guide"},
    )

    after = company.card(person, template)
    assert {"name": "Babs Jensen", "title": "Guide", "department": None} == fields_of(after)
    assert "Chief Guide" == next(each["source_value"] for each in after["fields"] if each["key"] == "title")
    company.news()
    refreshed = company.call("POST", f"cards/{card['id']}/refresh", 200)
    assert {"name": "Babs Jensen", "title": "Chief Guide", "department": None} == fields_of(refreshed)
    (told,) = company.news()
    assert ("card.updated", card["id"]) == (told["type"], told["subject"]["id"])
    company.call("POST", f"cards/{card['id']}/refresh", 200)
    assert [] == company.news()


def test_c1_only_editable_fields_are_edited(company: Company) -> None:
    """An edit wins over the directory until it is taken back; a field that is not editable has none."""
    user = company.hire(title="Guide")
    group = company.found(user)
    template = company.new_template(
        field("name", "display_name"),
        field("title", "job_title", editable=True, placeholder="What you do"),
        field("pronouns", placeholder="she/her"),
        groups=[group],
    )
    card = company.card(company.person(user), template)
    path = f"cards/{card['id']}"

    edited = company.call("PATCH", path, 200, {"overrides": {"title": "Chief\nGuide", "pronouns": "they/them"}})

    (title,) = [each for each in edited["fields"] if each["key"] == "title"]
    assert ("Chief\nGuide", "Guide", True, True) == tuple(
        title[name] for name in ("value", "source_value", "overridden", "editable")
    )
    said = problem(company.api.patch(path, json={"overrides": {"name": "Me", "title": "Boss"}}), 400, "invalid")
    assert "name" in said["detail"]
    assert edited == company.get(path)
    company.set_attribute(user, "title", "Senior Guide")
    assert "Chief\nGuide" == fields_of(company.get(path))["title"]

    back = company.call("PATCH", path, 200, {"overrides": {"title": None, "pronouns": ""}})
    assert "Senior Guide" == fields_of(back)["title"]
    (pronouns,) = [each for each in back["fields"] if each["key"] == "pronouns"]
    assert (None, "she/her") == (pronouns["value"], pronouns["placeholder"])


# C2 ---------------------------------------------------------------------------------------------------------------------


def test_c2_a_template_without_a_synced_field_is_not_connected(company: Company) -> None:
    """The refusal says what is missing; with one field in sync it is connected, and that one stays."""
    user = company.hire()
    group = company.found(user)
    template = company.call("POST", "templates", 201, {"name": unique("Bare"), "fields": [field("name")]})
    assignments = f"templates/{template['id']}/assignments"
    body = {"group_ids": [group["id"]]}
    company.news()

    for asked in (company.api.put(assignments, json=body), company.api.post(f"{assignments}/preview", json=body)):
        assert "has no synced field" in problem(asked, 400, "invalid")["detail"]
    assert [] == company.get(assignments)["group_ids"]
    assert [] == company.cards(company.person(user), template)
    assert [] == company.news()

    company.call("PATCH", f"templates/{template['id']}", 200, {"fields": [NAME]})
    company.call("PUT", assignments, 200, body)
    assert "active" == company.card(company.person(user), template)["state"]
    said = problem(company.api.patch(f"templates/{template['id']}", json={"fields": [field("name")]}), 400, "invalid")
    assert "needs at least one synced field" in said["detail"]
    problem(company.api.delete(f"templates/{template['id']}"), 409, "still-holds")


# C3 ---------------------------------------------------------------------------------------------------------------------


def counted(company: Company, template: JSON, *groups: JSON) -> JSON:
    """Ask for a preview."""
    body = {"group_ids": [group["id"] for group in groups]}
    return company.call("POST", f"templates/{template['id']}/assignments/preview", 200, body)


def happened(events: list[JSON]) -> dict[str, int]:
    """Count what a preview foretells."""
    kinds = [event["type"] for event in events]
    return {
        "cards_issued": kinds.count("card.issued"),
        "cards_revived": kinds.count("card.revived"),
        "cards_paused": kinds.count("card.paused"),
        "seats_needed": kinds.count("seat.opened") + kinds.count("seat.waiting"),
        "seats_freed": kinds.count("seat.released"),
    }


def test_c3_assignments_are_many_to_many_with_a_preview(make_company: MakeCompany) -> None:
    """Each preview is what saving then does, to the card and to the seat; asking for it changes nothing."""
    company = make_company(seats=10)
    both, sales_only, guide_only, disabled, has_account = (company.hire() for _ in range(5))
    sales, guides = company.found(both, sales_only, disabled), company.found(both, guide_only, has_account)
    company.disable(disabled)
    person = company.person(has_account)
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    company.call("POST", "activations/redeem", 200, {"sign_in": person["sign_in"], "start_code": code})
    one, two = company.new_template(), company.new_template()
    steps: list[tuple[JSON, list[JSON], tuple[int, ...]]] = [
        # What is saved, and what it does: cards issued, revived, paused; seats needed, freed, left before.
        (one, [sales], (2, 0, 0, 2, 0, 9)),
        (one, [sales], (0, 0, 0, 0, 0, 7)),
        (two, [sales, guides], (4, 0, 0, 1, 0, 7)),
        (one, [sales, guides], (2, 0, 0, 0, 0, 6)),
        (one, [guides], (0, 0, 1, 0, 0, 6)),
        (two, [guides], (0, 0, 1, 0, 1, 6)),
        (two, [], (0, 0, 3, 0, 0, 7)),
        (one, [], (0, 0, 3, 0, 2, 7)),
        (one, [sales], (0, 2, 0, 2, 0, 9)),
    ]
    for template, groups, expected in steps:
        company.news()
        before = company.get(f"templates/{template['id']}/assignments")
        preview = counted(company, template, *groups)
        assert [] == company.news()
        assert before == company.get(f"templates/{template['id']}/assignments")
        assert expected == tuple(preview.values())

        company.assign(template, *groups)

        assert {**happened(company.news()), "seats_left": expected[5]} == preview
        company.assign(template, *groups)
        assert [] == company.news()


def test_c3_groups_of_the_tenant_only(company: Company, make_company: MakeCompany) -> None:
    """What is no group of this tenant is refused by name, and nothing is changed."""
    stranger = make_company()
    theirs = stranger.found(stranger.hire())
    ours = company.found(company.hire())
    template = company.new_template()

    for unknown in (theirs["id"], "nowhere"):
        body = {"group_ids": [ours["id"], unknown]}
        for path in (f"templates/{template['id']}/assignments/preview", f"templates/{template['id']}/assignments"):
            answer = company.api.request("POST" if path.endswith("preview") else "PUT", path, json=body)
            assert answer.status_code in (400, 404), answer.text
            assert unknown in answer.json()["detail"]
    assert [] == company.get(f"templates/{template['id']}/assignments")["group_ids"]
    assert [] == company.all("cards", template_id=template["id"])


# C4 ---------------------------------------------------------------------------------------------------------------------


def test_c4_one_card_per_template_however_many_groups_lead_there(company: Company) -> None:
    """In the answer's own transaction; leaving one of two groups changes nothing, the card stays."""
    user, group, other = company.hire(), company.found(), company.found()
    templates = [company.new_template(groups=[group, other]) for _ in range(2)]
    person = company.person(user)
    assert [] == company.cards(person)

    joined = company.join(group, user)

    assert ["team.members_changed", "card.issued", "card.issued", "seat.opened"] == joined.types
    cards = company.cards(person)
    assert {(template["id"], "assigned", "active") for template in templates} == {
        (card["template_id"], card["origin"], card["state"]) for card in cards
    }
    assert len(cards) == len({card["slug"] for card in cards})
    assert ["team.members_changed"] == company.join(other, user).types
    assert ["team.members_changed"] == company.leave(group, user).types
    assert cards == company.cards(person)


def test_c4_all_fields_are_filled_from_the_push(company: Company) -> None:
    """givenName, surname, jobTitle, phones, address, fax, department, company and mail come from the user as pushed."""
    user = company.hire(
        name={"givenName": "Barbara", "familyName": "Jensen"},
        title="Tour Guide",
        phoneNumbers=phones(work=VALID, mobile=ALSO_VALID, fax="+14255550101"),
        addresses=[{"type": "work", "streetAddress": "9256 Towne Center Dr.", "locality": "San Diego"}],
        **{ENTERPRISE_USER: {"department": "Tours", "organization": "Contoso"}},
    )
    group = company.found(user)
    sources = {
        "given": "given_name",
        "family": "surname",
        "title": "job_title",
        "phone": "business_phone",
        "mobile": "mobile_phone",
        "fax": "fax_number",
        "address": "address",
        "department": "department",
        "company": "company",
        "mail": "email",
        "photo": "photo",
    }
    template = company.new_template(*(field(key, source) for key, source in sources.items()), groups=[group])
    person = company.person(user)

    card = company.card(person, template)

    assert {
        "given": "Barbara",
        "family": "Jensen",
        "title": "Tour Guide",
        "phone": VALID,
        "mobile": ALSO_VALID,
        "fax": "+14255550101",
        "address": "9256 Towne Center Dr.\nSan Diego",
        "department": "Tours",
        "company": "Contoso",
        "mail": user["userName"],
        "photo": None,
    } == fields_of(card)
    assert ([], []) == (card["problems"], card["incomplete"])

    picture = a_picture()
    answer = company.api.put(f"people/{person['id']}/photo", content=picture, headers={"Content-Type": "image/png"})
    assert 204 == answer.status_code
    photo = company.api.get(f"people/{person['id']}/photo")
    assert (picture, "image/png") == (photo.content, photo.headers["content-type"])
    known = company.person(user)["photo_hash"]
    assert re.fullmatch(r"[0-9a-f]{64}", known)
    assert known == fields_of(company.card(person, template))["photo"]


# C5 ---------------------------------------------------------------------------------------------------------------------


def test_c5_values_are_shown_as_the_directory_holds_them(company: Company) -> None:
    """Capitals, blanks, line breaks and signs are on the card as they were pushed."""
    title, address = "  SENIOR  guide\r\nof é e\u0301 ß ﬀ ", "1 Way\nSan Diego\r\n\tCA "
    user = company.hire(title=title, addresses=[{"type": "work", "formatted": address}])
    template = company.new_template(
        field("title", "job_title"), field("address", "address"), groups=[company.found(user)]
    )

    assert {"title": title, "address": address} == fields_of(company.card(company.person(user), template))


INVALID = {
    "blanks": ("+1 425 555 0100", "without blanks"),
    "national": ("04255550100", "does not begin with '+'"),
    "zeros": ("004255550100", "does not begin with '+'"),
    "trunk-zero": ("+49 (0)89 12345678", "without blanks"),
    "no-country": ("+9991234567", "country code"),
    "no-such-number": ("+14250000000", "+1"),
    "too-short": ("+142555", "digits"),
    "extension": (f"{VALID}x12", "holds something else"),
    "blank-behind": (f"{VALID} ", "without blanks"),
}


@pytest.mark.parametrize(("number", "reason"), INVALID.values(), ids=INVALID)
def test_c5_an_invalid_phone_is_left_off_and_listed(company: Company, number: str, reason: str) -> None:
    """SCIM keeps it as sent; the card leaves it off and says why, and so do the person and the log; mended, it is shown."""
    body = a_user(userName=f"{unique()}@contoso.com", phoneNumbers=phones(work=number, mobile=VALID))
    user = created(company.push("POST", "Users", body).answer)
    template = company.new_template(
        field("phone", "business_phone"), field("mobile", "mobile_phone"), groups=[company.found(user)]
    )

    assert number == ok(company.scim.get(f"Users/{user['id']}"))["phoneNumbers"][0]["value"]
    person = company.person(user)
    (found,) = person["problems"]
    assert ('phoneNumbers[type eq "work"].value', number) == (found["attribute"], found["value"])
    assert reason in found["reason"]
    assert person["id"] in {each["id"] for each in company.all("people", problem="true", limit=200)}
    card = company.card(person, template)
    assert {"phone": None, "mobile": VALID} == fields_of(card)
    assert [("phone", found["reason"])] == [(each["key"], each["reason"]) for each in card["problems"]]
    (entry,) = [each for each in company.log(user["id"], action="create") if each["outcome"] != "failure"]
    assert ("warning", "invalidPhone", 201) == (entry["outcome"], entry["reason_code"], entry["status"])
    assert found["reason"] in entry["reason"]
    assert number not in str(entry)

    told = company.set_attribute(user, 'phoneNumbers[type eq "work"].value', ALSO_VALID)

    assert [("person.updated", person["id"])] == told.told
    person = company.person(user)
    assert [] == person["problems"]
    assert person["id"] not in {each["id"] for each in company.all("people", problem="true", limit=200)}
    card = company.card(person, template)
    assert ({"phone": ALSO_VALID, "mobile": VALID}, []) == (fields_of(card), card["problems"])


def test_c5_with_the_policy_to_reject_scim_answers_400(make_company: MakeCompany) -> None:
    """By POST, PATCH, PUT and Bulk; what is stored already does not stand in the way of other changes."""
    company = make_company()
    old = company.hire(phoneNumbers=phones(work="+1 425 555 0100"))
    company.set(invalid_phone="reject")
    user = company.hire(phoneNumbers=phones(work=VALID))
    group = company.found(user, old)
    template = company.new_template(field("phone", "business_phone"), groups=[group])
    wrong = phones(work="425 555 0100")
    company.news()

    new = a_user(phoneNumbers=wrong)
    work_phone = 'phoneNumbers[type eq "work"].value'
    for answer in (
        company.scim.post("Users", json=new),
        company.scim.put(f"Users/{user['id']}", json={**user, "phoneNumbers": wrong}),
        company.scim.patch(
            f"Users/{user['id']}",
            json={"Operations": [{"op": "Replace", "path": work_phone, "value": "425 555 0100"}]},
        ),
    ):
        sentence = refused(answer, 400, "invalidValue")
        assert work_phone in sentence
        assert "takes only numbers in E.164 form" in sentence
    assert [] == company.news()
    assert 0 == ok(company.scim.get("Users", params={"filter": f'userName eq "{new["userName"]}"'}))["totalResults"]
    assert {"phone": VALID} == fields_of(company.card(company.person(user), template))
    assert 3 == len([each for each in company.log(outcome="failure") if each["reason_code"] == "invalidValue"])

    assert ["person.updated"] == company.set_attribute(old, "title", "Guide").types
    assert ["person.deactivated", "card.paused", "seat.released"] == company.disable(old).types
    mended = company.set_attribute(old, work_phone, VALID)
    assert ["person.updated"] == mended.types
    assert [] == company.person(old)["problems"]


# C6 ---------------------------------------------------------------------------------------------------------------------


def test_c6_a_template_changes_all_its_cards_at_once(company: Company) -> None:
    """One change, one event, however many cards: none of them is touched, all of them show it."""
    users = company.hire_many(40)
    group = company.found(*users[:20])
    template = company.new_template(NAME, groups=[group])
    company.join(group, *users[20:])
    cards = company.all("cards", template_id=template["id"], limit=200)
    assert 40 == len(cards)
    company.news()

    fields = [field("name", "display_name", label="Called"), field("mail", "email"), field("pronouns")]
    look = {"headline": "New", "primary_color": "#123456"}
    company.call("PATCH", f"templates/{template['id']}", 200, {"fields": fields, "look": look})

    assert [("template.changed", template["id"])] == [(each["type"], each["subject"]["id"]) for each in company.news()]
    after = company.all("cards", template_id=template["id"], limit=200)
    assert {("name", "pronouns", "mail")} == {tuple(each["key"] for each in card["fields"]) for card in after}
    assert {"Called"} == {card["fields"][0]["label"] for card in after}
    assert all(fields_of(card)["mail"] for card in after)
    assert [(card["id"], card["version"]) for card in cards] == [(card["id"], card["version"]) for card in after]
    company.call("PATCH", f"templates/{template['id']}", 200, {"fields": fields, "look": look})
    assert [] == company.news()


def test_c6_an_edit_comes_back_with_its_field(company: Company) -> None:
    """A field that is no longer editable shows the directory again; the edit is kept in case it becomes so once more."""
    user = company.hire(title="Guide")
    editable, fixed = field("title", "job_title", editable=True), field("title", "job_title")
    template = company.new_template(editable, groups=[company.found(user)])
    card = company.card(company.person(user), template)
    company.call("PATCH", f"cards/{card['id']}", 200, {"overrides": {"title": "Chief"}})

    for fields, shown in (([fixed], "Guide"), ([editable], "Chief")):
        company.call("PATCH", f"templates/{template['id']}", 200, {"fields": fields})
        assert shown == fields_of(company.get(f"cards/{card['id']}"))["title"]


# C7 ---------------------------------------------------------------------------------------------------------------------


def leave_by_patch(company: Company, group: JSON, user: JSON) -> Any:
    return company.leave(group, user)


def empty_the_group(company: Company, group: JSON, user: JSON) -> Any:
    return company.change(group, {"op": "replace", "path": "members", "value": []})


def delete_the_group(company: Company, group: JSON, user: JSON) -> Any:
    return company.delete(group)


@pytest.mark.parametrize("lose", [leave_by_patch, empty_the_group, delete_the_group], ids=lambda lose: lose.__name__)
def test_c7_the_last_group_lost_pauses_the_card_and_frees_the_seat(
    company: Company, lose: Callable[[Company, JSON, JSON], Any]
) -> None:
    """In the transaction of the push; coming back revives the same card with its edits."""
    user = company.hire(title="Guide")
    group, other = company.found(user), company.found(user)
    template = company.new_template(field("title", "job_title", editable=True), groups=[group, other])
    person = company.person(user)
    card = company.card(person, template)
    company.call("PATCH", f"cards/{card['id']}", 200, {"overrides": {"title": "Chief"}})
    company.leave(other, user)
    assert "active" == company.card(person)["state"]
    _, seats_open, _ = company.seats()

    lost = lose(company, group, user)

    assert ("card.paused", card["id"]) in lost.told
    assert {"person_id": person["id"], "template_id": template["id"], "reason": "unassigned"} == lost.payload(
        "card.paused"
    )
    assert 1 == lost.types.count("seat.released")
    assert 1 == len({event["correlation_id"] for event in lost.events})
    paused = company.card(person)
    assert ("paused", "unassigned", None) == (
        paused["state"],
        paused["pause_reason"],
        company.person(user)["seat"],
    )
    assert seats_open - 1 == company.seats()[1]
    assert paused in company.all("cards", state="paused", limit=200)

    back = company.join(other, user)
    assert [("card.revived", card["id"])] == [each for each in back.told if each[0].startswith("card.")]
    assert "seat.opened" in back.types
    revived = company.card(person)
    assert (card["id"], "active", "Chief", None) == (
        revived["id"],
        revived["state"],
        fields_of(revived)["title"],
        revived["paused_at"],
    )


def test_c7_who_comes_back_and_who_is_new_in_one_push(make_company: MakeCompany) -> None:
    """One has a paused card and it is revived, the others get their first, and who leaves in the same push loses its."""
    company = make_company()
    back, new, goes, idle = (company.hire() for _ in range(4))
    group, other = company.found(back, goes), company.found(idle)
    template = company.new_template(groups=[group])
    company.leave(group, back)

    pushed = company.change(
        group,
        {"op": "Add", "path": "members", "value": values(back, new, idle)},
        {"op": "Remove", "path": "members", "value": values(goes)},
    )

    kinds = [kind for kind in pushed.types if kind.startswith("card.")]
    assert ["card.issued", "card.issued", "card.paused", "card.revived"] == sorted(kinds)
    assert ["active", "active", "paused", "active"] == [
        company.card(company.person(user), template)["state"] for user in (back, new, goes, idle)
    ]
    assert 1 == company.team(other)["member_count"]


def test_c7_the_administrator_reactivates_a_paused_card(company: Company) -> None:
    """It is theirs from then on: no group pauses it, none gives a second one; only the person's state still counts."""
    user = company.hire()
    group = company.found(user)
    template = company.new_template(groups=[group])
    person = company.person(user)
    card = company.card(person)
    path = f"cards/{card['id']}"
    problem(company.api.post(f"{path}/reactivate"), 409, "not-possible")
    said = problem(company.api.delete(path), 409, "not-possible")
    assert "not paused" in said["detail"]
    company.leave(group, user)
    company.news()

    reactivated = company.call("POST", f"{path}/reactivate", 200)

    assert ("active", "manual") == (reactivated["state"], reactivated["origin"])
    assert ["card.reactivated", "seat.opened"] == [each["type"] for each in company.news()]
    assert ["team.members_changed"] == company.join(group, user).types
    assert ["team.members_changed"] == company.leave(group, user).types
    company.assign(template)
    assert [reactivated] == company.cards(person)

    assert "card.paused" in company.disable(user).types
    problem(company.api.post(f"{path}/reactivate"), 409, "not-possible")
    assert "card.revived" in company.enable(user).types
    assert "active" == company.card(person)["state"]


def test_c7_the_administrator_deletes_a_paused_card(company: Company) -> None:
    """With its edits; who comes back to the group gets a new one."""
    user = company.hire(title="Guide")
    group = company.found(user)
    template = company.new_template(field("title", "job_title", editable=True), groups=[group])
    person = company.person(user)
    card = company.card(person)
    company.call("PATCH", f"cards/{card['id']}", 200, {"overrides": {"title": "Chief"}})
    company.leave(group, user)
    company.news()

    company.call("DELETE", f"cards/{card['id']}", 204)

    assert [("card.deleted", card["id"])] == [(each["type"], each["subject"]["id"]) for each in company.news()]
    assert [] == company.cards(person)
    assert "card.issued" in company.join(group, user).types
    new = company.card(person, template)
    assert (True, "Guide") == (new["id"] != card["id"], fields_of(new)["title"])


# C9 ---------------------------------------------------------------------------------------------------------------------


def invited(company: Company, template: JSON, **members: Any) -> JSON:
    return company.call("POST", "invitations", 201, {"template_id": template["id"], **members})


def test_c9_a_card_by_invitation(company: Company) -> None:
    """For somebody outside Entra: nobody holds it until the link is used, once; then a new person does."""
    template = company.new_template(
        field("name", "display_name"), field("title", "job_title", editable=True), field("phone", kind="phone")
    )
    _, seats_open, _ = company.seats()
    address = f"{unique('ext')}@partner.example"
    company.news()

    made = invited(company, template, email=address, display_name="Ada Ext", values={"title": "Partner"})

    assert ("open", None, address) == (made["state"], made["person_id"], made["email"])
    card = company.get(f"cards/{made['card_id']}")
    assert ("unclaimed", "invitation", None) == (card["state"], card["origin"], card["person_id"])
    assert {"name": "Ada Ext", "title": "Partner", "phone": None} == fields_of(card)
    assert card in company.all("cards", state="unclaimed")
    assert seats_open == company.seats()[1]
    assert {"invitation.created", "card.issued"} == {each["type"] for each in company.news()}
    assert "claim_token" not in company.get(f"invitations/{made['id']}")

    claimed = company.call("POST", "invitations/claim", 200, {"claim_token": made["claim_token"]})

    assert made["card_id"] == claimed["card_id"]
    person = company.get(f"people/{claimed['person_id']}")
    assert ("manual", "Ada Ext", address, "open") == tuple(
        person[name] for name in ("origin", "display_name", "email", "seat")
    )
    card = company.card(person)
    assert ("active", "invitation") == (card["state"], card["origin"])
    assert card["claimed_at"]
    assert {"name": "Ada Ext", "title": "Partner", "phone": None} == fields_of(card)
    assert {"person.created", "card.claimed", "invitation.claimed", "seat.opened"} == {
        each["type"] for each in company.news()
    }
    assert "claimed" == company.get(f"invitations/{made['id']}")["state"]
    again = {"claim_token": made["claim_token"], "display_name": "Thief"}
    problem(company.api.post("invitations/claim", json=again), 400, "wrong-code")
    problem(company.api.delete(f"invitations/{made['id']}"), 409, "not-possible")
    assert [] == company.news()

    # A card by invitation may be deleted at any time; the person remains.
    company.call("DELETE", f"cards/{card['id']}", 204)
    assert None is company.get(f"people/{person['id']}")["seat"]


def test_c9_refused_with_the_fields_that_nobody_could_fill(company: Company) -> None:
    """A field in sync that is not editable and has no value would be empty for ever."""
    template = company.new_template(
        field("name", "display_name"),
        field("title", "job_title"),
        field("department", "department", mode="initial"),
        field("phone", "business_phone", editable=True),
        field("pronouns"),
        field("photo", "photo"),
    )
    body = {"template_id": template["id"], "display_name": "Ada"}
    company.news()

    said = problem(company.api.post("invitations", json=body), 400, "missing-fields")

    assert ["title", "department"] == said["fields"]
    assert "title, department" in said["detail"]
    said = problem(company.api.post("invitations", json={**body, "values": {"title": " "}}), 400, "missing-fields")
    assert ["title", "department"] == said["fields"]
    assert [] == company.news()
    assert [] == company.all("cards", template_id=template["id"])
    made = invited(company, template, display_name="Ada", values={"title": "Partner", "department": "Sales"})
    assert {"title": "Partner", "department": "Sales"}.items() <= fields_of(
        company.get(f"cards/{made['card_id']}")
    ).items()


def test_c9_several_cards_of_one_person(company: Company) -> None:
    """Who was invited at one address holds all those cards and takes one seat; somebody of Entra is not doubled."""
    user = company.hire()
    group = company.found(user)
    template = company.new_template(groups=[group])
    person = company.person(user)
    own = company.card(person)
    address = f"{unique('ext')}@partner.example"

    def claim(made: JSON) -> JSON:
        return company.call("POST", "invitations/claim", 200, {"claim_token": made["claim_token"]})

    first, second = (invited(company, template, email=address, display_name="Ada") for _ in range(2))
    _, seats_open, _ = company.seats()
    claimed = [claim(first), claim(second)]
    assert 1 == len({each["person_id"] for each in claimed})
    assert 2 == len(company.cards({"id": claimed[0]["person_id"]}))
    assert seats_open + 1 == company.seats()[1]

    to_employee = claim(invited(company, template, email=person["email"].upper(), display_name="Ada"))
    assert person["id"] == to_employee["person_id"]
    assert [("assigned", "active"), ("invitation", "active")] == sorted(
        (card["origin"], card["state"]) for card in company.cards(person)
    )
    assert seats_open + 1 == company.seats()[1]

    # The group takes back what it gave, and nothing else.
    assert ("card.paused", own["id"]) in company.leave(group, user).told
    assert [("assigned", "paused"), ("invitation", "active")] == sorted(
        (card["origin"], card["state"]) for card in company.cards(person)
    )
    assert "open" == company.person(user)["seat"]


def test_c9_links_end(server: Server, company: Company) -> None:
    """Expired or taken back, a link is refused like one that never was; the unclaimed card goes with its invitation."""
    template = company.new_template()
    revoked, expired = (invited(company, template, display_name="Ada") for _ in range(2))
    company.call("DELETE", f"invitations/{revoked['id']}", 204)
    sql(
        server.database_url,
        "UPDATE invitation SET expires_at = ? WHERE id = ?",
        "2026-01-01T00:00:00.000Z",
        expired["id"],
    )

    said = {
        problem(company.api.post("invitations/claim", json={"claim_token": token}), 400, "wrong-code")["detail"]
        for token in (revoked["claim_token"], expired["claim_token"], base64.b64encode(b"no such token").decode())
    }

    assert 1 == len(said)
    problem(company.api.get(f"cards/{revoked['card_id']}"), 404, "not-found")
    assert "expired" == company.get(f"invitations/{expired['id']}")["state"]
    assert "unclaimed" == company.get(f"cards/{expired['card_id']}")["state"]
    company.call("DELETE", f"invitations/{expired['id']}", 204)
    problem(company.api.get(f"cards/{expired['card_id']}"), 404, "not-found")


def test_c9_the_invited_are_unknown_to_scim(company: Company) -> None:
    """Entra neither finds them nor meets their names."""
    template = company.new_template()
    address = f"{unique('ext')}@contoso.com"
    made = invited(company, template, email=address, display_name="Ada")
    claimed = company.call("POST", "invitations/claim", 200, {"claim_token": made["claim_token"]})

    refused(company.scim.get(f"Users/{claimed['person_id']}"), 404)
    assert 0 == ok(company.scim.get("Users", params={"filter": f'userName eq "{address}"'}))["totalResults"]
    user = created(company.scim.post("Users", json={"schemas": [USER], "userName": address}))
    assert claimed["person_id"] != company.person(user)["id"]
