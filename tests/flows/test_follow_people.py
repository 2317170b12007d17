"""People follow the directory, and administrators activate them: P5 and T3, from SCIM to the API."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.answers import JSON, read, refused, unique
from tests.api import NAME, Company, MakeCompany, Push, fields_of, problem
from tests.builders import a_user, created
from tests.conftest import Server
from tests.raw import sql

TITLE = {"key": "title", "source": "job_title", "mode": "always", "editable": True}
OBJECT_ID = "283405f5aaaa4bbb8ccc1234567890ab"


class Employee(NamedTuple):
    """Somebody who has everything: a team, a card with an edit, an activated account, and with them a seat."""

    user: JSON
    person: JSON
    group: JSON
    team: JSON
    template: JSON
    card: JSON


def activated(company: Company, person: JSON) -> None:
    """Activate the account of a person, from the administrator's click to the redeemed code."""
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    company.call("POST", "activations/redeem", 200, {"sign_in": person["sign_in"], "start_code": code})


def an_employee(company: Company) -> Employee:
    user = company.hire()
    group = company.found()
    template = company.new_template(NAME, TITLE, groups=[group])
    company.join(group, user)
    person = company.person(user)
    activated(company, person)
    card = company.card(person, template)
    company.call("PATCH", f"cards/{card['id']}", 200, {"overrides": {"title": "Chief Guide"}})
    company.news()
    return Employee(
        user, company.person(user), group, company.team(group), template, company.get(f"cards/{card['id']}")
    )


# P5: suspended and brought back -----------------------------------------------------------------------------------------

SAYINGS: dict[str, Callable[[Company, JSON, bool], Push]] = {
    "Replace-text": lambda company, user, active: company.set_attribute(user, "active", str(active)),
    "Add-text": lambda company, user, active: company.change(
        user, {"op": "Add", "path": "active", "value": str(active)}
    ),
    "flag": lambda company, user, active: company.change(user, {"op": "replace", "path": "active", "value": active}),
    "flag-with-others": lambda company, user, active: company.change(
        user, {"op": "replace", "value": {"active": active, "nickName": f"Babs {active}"}}
    ),
    "put": lambda company, user, active: company.push(
        "PUT", f"Users/{user['id']}", {**user, "active": active}, status=200
    ),
}


@pytest.mark.parametrize("say", SAYINGS.values(), ids=SAYINGS)
def test_p5_inactive_suspends_and_active_brings_everything_back(
    company: Company, say: Callable[[Company, JSON, bool], Push]
) -> None:
    """Account suspended, cards paused, seat released, memberships kept; and all of it back, in every dialect."""
    it = an_employee(company)
    assert ("active", "active", "open") == (it.person["state"], it.person["activation"], it.person["seat"])
    _, seats_open, _ = company.seats()

    off = say(company, it.user, False)

    assert {
        ("person.deactivated", it.person["id"]),
        ("activation.suspended", it.person["id"]),
        ("card.paused", it.card["id"]),
    } <= set(off.told)
    assert "seat.released" in off.types
    assert {"person_id": it.person["id"], "template_id": it.template["id"], "reason": "inactive"} == off.payload(
        "card.paused"
    )
    # All in the one request, not by somebody who comes later.
    assert 1 == len({event["correlation_id"] for event in off.events})
    person, card = company.person(it.user), company.get(f"cards/{it.card['id']}")
    assert ("inactive", "suspended", None) == (person["state"], person["activation"], person["seat"])
    assert ("paused", "inactive") == (card["state"], card["pause_reason"])
    assert {it.person["id"]} == company.members(it.team)
    assert 1 == company.team(it.group)["member_count"]
    assert seats_open - 1 == company.seats()[1]
    assert it.person["id"] in {each["id"] for each in company.all("people", state="inactive")}

    on = say(company, it.user, True)

    assert {
        ("person.reactivated", it.person["id"]),
        ("activation.resumed", it.person["id"]),
        ("card.revived", it.card["id"]),
    } <= set(on.told)
    assert "seat.opened" in on.types
    person, card = company.person(it.user), company.get(f"cards/{it.card['id']}")
    assert ("active", "active", "open") == (person["state"], person["activation"], person["seat"])
    assert ("active", None, "Chief Guide") == (card["state"], card["pause_reason"], fields_of(card)["title"])
    assert seats_open == company.seats()[1]


def test_p5_who_is_created_inactive_has_nothing(company: Company) -> None:
    """Until Entra says that the user is active, however many groups lead to cards."""
    user = company.hire(active=False)
    group = company.found(user)
    template = company.new_template(groups=[group])
    person = company.person(user)

    assert ("inactive", None, None) == (person["state"], person["activation"], person["seat"])
    assert [] == company.cards(person)
    said = problem(company.api.post(f"people/{person['id']}/activation"), 409, "not-possible")
    assert "activate the user there" in said["detail"]

    assert ["person.reactivated", "card.issued", "seat.opened"] == company.enable(user).types
    assert "active" == company.card(person, template)["state"]


def test_p5_memberships_while_inactive_count_afterwards(company: Company) -> None:
    """Groups that somebody joins or leaves while inactive lead to cards, or no longer do, once active again."""
    it = an_employee(company)
    other = company.found()
    template = company.new_template(groups=[other])
    company.disable(it.user)
    joined = company.join(other, it.user)
    company.leave(it.group, it.user)
    assert ["team.members_changed"] == joined.types
    assert ["paused"] == [card["state"] for card in company.cards(it.person)]

    back = company.enable(it.user)

    assert {"card.issued", "person.reactivated", "activation.resumed", "seat.opened"} == set(back.types)
    assert {(it.template["id"], "paused"), (template["id"], "active")} == {
        (card["template_id"], card["state"]) for card in company.cards(it.person)
    }


def test_p5_a_group_joined_while_inactive_adds_to_what_comes_back(make_company: MakeCompany) -> None:
    """The former card is revived, and the new group's is issued beside it."""
    company = make_company()
    it = an_employee(company)
    other = company.found()
    template = company.new_template(groups=[other])
    company.disable(it.user)
    company.join(other, it.user)

    back = company.enable(it.user)

    assert {"person.reactivated", "activation.resumed", "card.revived", "card.issued", "seat.opened"} == set(back.types)
    assert {(it.template["id"], "active"), (template["id"], "active")} == {
        (card["template_id"], card["state"]) for card in company.cards(it.person)
    }


def test_p5_a_revoked_account_does_not_come_back(company: Company) -> None:
    """What the administrator ended while the person was inactive stays ended."""
    it = an_employee(company)
    company.disable(it.user)
    company.call("DELETE", f"people/{it.person['id']}/activation", 204)

    assert ["person.reactivated", "card.revived", "seat.opened"] == company.enable(it.user).types
    assert "revoked" == company.person(it.user)["activation"]


def test_p5_a_paused_card_says_why_it_is_paused_now(company: Company) -> None:
    """Somebody who is active again is not `inactive`, and who departed is not either: the reason is the one that holds."""
    lost_its_group, deleted = an_employee(company), an_employee(company)
    for it in (lost_its_group, deleted):
        company.disable(it.user)
    company.leave(lost_its_group.group, lost_its_group.user)
    company.enable(lost_its_group.user)
    company.delete(deleted.user)

    assert [("paused", "unassigned"), ("paused", "departed")] == [
        (card["state"], card["pause_reason"]) for card in (company.card(it.person) for it in (lost_its_group, deleted))
    ]


# P5: deleted ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("disabled_first", [False, True], ids=["deleted-at-once", "disabled-first"])
def test_p5_deleted_people_leave_their_cards_to_the_administrator(company: Company, disabled_first: bool) -> None:
    """The directory record goes, the person departs; cards stay paused, with their edits, until somebody decides."""
    it = an_employee(company)
    if disabled_first:
        company.disable(it.user)

    gone = company.delete(it.user)

    assert ("person.departed", it.person["id"]) in gone.told
    assert ("team.members_changed", it.team["id"]) in gone.told
    assert [it.person["id"]] == gone.payload("team.members_changed")["removed"]
    refused(company.scim.get(f"Users/{it.user['id']}"), 404)
    person = company.get(f"people/{it.person['id']}")
    assert ("departed", "directory", None, None) == tuple(
        person[name] for name in ("state", "origin", "directory_user_id", "seat")
    )
    assert "suspended" == person["activation"]
    assert it.person["id"] in {each["id"] for each in company.all("people", state="departed")}
    assert (set(), 0) == (company.members(it.team), company.team(it.group)["member_count"])
    card = company.card(person)
    assert (it.card["id"], "paused", "Chief Guide") == (card["id"], card["state"], fields_of(card)["title"])

    company.call("DELETE", f"cards/{card['id']}", 204)
    company.call("DELETE", f"people/{person['id']}", 204)
    problem(company.api.get(f"people/{person['id']}"), 404, "not-found")


def test_p5_deleted_people_who_hold_nothing_are_gone(company: Company) -> None:
    """Nothing waits for an administrator, so nothing is kept."""
    user = company.hire()
    group = company.found(user)
    person, team = company.person(user), company.team(group)

    gone = company.delete(user)

    assert [("team.members_changed", team["id"]), ("person.deleted", person["id"])] == gone.told
    problem(company.api.get(f"people/{person['id']}"), 404, "not-found")


def test_p5_the_administrator_keeps_somebody_who_was_deleted(company: Company) -> None:
    """A reactivated card makes the person one by hand; it has its seat again, and SCIM knows nothing of it."""
    it = an_employee(company)
    company.delete(it.user)

    card = company.call("POST", f"cards/{it.card['id']}/reactivate", 200)

    assert ("active", "manual", "Chief Guide") == (card["state"], card["origin"], fields_of(card)["title"])
    person = company.get(f"people/{it.person['id']}")
    assert ("active", "manual", "open") == (person["state"], person["origin"], person["seat"])
    assert it.person["display_name"] == fields_of(card)["name"]
    matching = company.scim.get("Users", params={"filter": f'userName eq "{it.person["sign_in"]}"'})
    assert 0 == matching.json()["totalResults"]


def test_p5_a_kept_card_shows_what_the_directory_said_last(company: Company) -> None:
    """Not what it said when the card was issued: nobody else knows the values any more."""
    it = an_employee(company)
    company.call("PATCH", f"cards/{it.card['id']}", 200, {"overrides": {"title": None}})
    company.change(it.user, replace("title", "Head of Tours"), replace("displayName", "Barbara Married"))
    company.delete(it.user)

    card = company.call("POST", f"cards/{it.card['id']}/reactivate", 200)

    assert {"name": "Barbara Married", "title": "Head of Tours"} == fields_of(card)


def test_p5_the_same_user_created_again_is_the_same_person(company: Company) -> None:
    """Entra deletes and re-creates with the same object id: person, card and edits are the former ones."""
    it = an_employee(company)
    company.delete(it.user)

    again = company.push("POST", "Users", a_user(externalId=it.user["externalId"], userName=unique("again")))
    user = created(again.answer)

    assert it.user["id"] != user["id"]
    assert [("person.linked", it.person["id"]), ("activation.resumed", it.person["id"])] == again.told[:2]
    assert {"directory_user_id": user["id"]} == again.payload("person.linked")
    person = company.person(user)
    assert (it.person["id"], "active", "active", "open") == (
        person["id"],
        person["state"],
        person["activation"],
        person["seat"],
    )
    assert user["userName"] == person["sign_in"]
    assert "paused" == company.card(person)["state"]

    # Entra sends memberships after the user.
    assert ("card.revived", it.card["id"]) in company.join(it.group, user).told
    card = company.card(person)
    assert (it.card["id"], "active", "Chief Guide") == (card["id"], card["state"], fields_of(card)["title"])


def test_p5_created_again_and_inactive_the_person_stays_suspended(make_company: MakeCompany) -> None:
    """Entra may create a disabled user: the person is known again, and nothing of it is active until it says so."""
    company = make_company()
    it = an_employee(company)
    company.delete(it.user)

    body = a_user(externalId=it.user["externalId"], userName=it.user["userName"], active=False)
    again = company.push("POST", "Users", body)

    assert ["person.linked"] == again.types
    user = created(again.answer)
    person = company.person(user)
    assert (it.person["id"], "inactive", "suspended", None) == tuple(
        person[name] for name in ("id", "state", "activation", "seat")
    )
    company.join(it.group, user)
    assert {"person.reactivated", "activation.resumed", "card.revived", "seat.opened"} == set(
        company.enable(user).types
    )


def test_p5_somebody_kept_by_hand_and_created_as_another_is_joined_by_the_administrator(
    make_company: MakeCompany,
) -> None:
    """Created anew with another object id it is a stranger; linked, the two are one, whatever cards each of them has."""
    company = make_company()
    it = an_employee(company)
    second = company.new_template(groups=[it.group])
    assert 2 == len(company.cards(it.person))
    company.delete(it.user)
    company.call("POST", f"cards/{it.card['id']}/reactivate", 200)
    user = company.hire()
    company.join(it.group, user)
    assert 2 == len(company.cards(company.person(user)))

    linked = company.call("POST", f"people/{it.person['id']}/link", 200, {"directory_user_id": user["id"]})

    assert (it.person["id"], "directory", "active") == (linked["id"], linked["origin"], linked["state"])
    live = {card["template_id"] for card in company.cards(linked) if card["state"] == "active"}
    assert {it.template["id"], second["id"]} == live


def test_p5_somebody_kept_by_hand_comes_back_to_the_directory(make_company: MakeCompany) -> None:
    """Who was kept and is created again follows the directory from then on, and is no manual person any more."""
    company = make_company()
    it = an_employee(company)
    company.delete(it.user)
    company.call("POST", f"cards/{it.card['id']}/reactivate", 200)

    user = created(company.push("POST", "Users", a_user(externalId=it.user["externalId"], userName=unique())).answer)

    person = company.person(user)
    assert (it.person["id"], "directory", "active") == (person["id"], person["origin"], person["state"])
    problem(company.api.patch(f"people/{person['id']}", json={"display_name": "Mine"}), 409, "not-possible")
    assert user["id"] == company.get(f"people/{it.person['id']}")["directory_user_id"]
    assert "inactive" == (company.disable(user), company.person(user))[1]["state"]


def test_p5_the_object_id_that_was_said_last_counts(company: Company) -> None:
    """An administrator maps externalId to the object id after the first cycle: people come back by it all the same."""
    it = an_employee(company)
    former, object_id = it.user["externalId"], str(uuid.uuid4())
    company.set_attribute(it.user, "externalId", object_id)
    company.delete(it.user)

    stranger = company.push("POST", "Users", a_user(externalId=former, userName=f"{unique()}@contoso.com"))
    again = company.push("POST", "Users", a_user(externalId=object_id, userName=f"{unique()}@contoso.com"))

    assert ["person.created"] == stranger.types
    assert it.person["id"] != company.person(created(stranger.answer))["id"]
    assert "person.linked" in again.types
    assert it.person["id"] == company.person(created(again.answer))["id"]


def test_p5_another_user_of_the_same_name_is_another_person(company: Company) -> None:
    """People come back by their object id and by nothing else: not by name, not by address."""
    it = an_employee(company)
    company.delete(it.user)
    same = {name: it.user[name] for name in ("userName", "displayName", "emails", "name")}

    again = company.push("POST", "Users", a_user(**same), status=201)

    assert ["person.created"] == again.types
    assert it.person["id"] != company.person(again.answer.json())["id"]
    assert "departed" == company.get(f"people/{it.person['id']}")["state"]


# P5: tombstones ---------------------------------------------------------------------------------------------------------


def replace(path: str, value: object) -> JSON:
    return {"op": "Replace", "path": path, "value": value}


def in_one_request(company: Company, user: JSON, user_name: str, active: bool) -> None:
    company.change(user, replace("userName", user_name), replace("active", str(active)))


def name_first(company: Company, user: JSON, user_name: str, active: bool) -> None:
    company.set_attribute(user, "userName", user_name)
    company.set_attribute(user, "active", str(active))


def name_last(company: Company, user: JSON, user_name: str, active: bool) -> None:
    company.set_attribute(user, "active", str(active))
    company.set_attribute(user, "userName", user_name)


def with_the_address(company: Company, user: JSON, user_name: str, active: bool) -> None:
    company.change(
        user,
        replace("userName", user_name),
        replace('emails[type eq "work"].value', user_name),
        replace("active", str(active)),
    )


def by_put(company: Company, user: JSON, user_name: str, active: bool) -> None:
    company.push("PUT", f"Users/{user['id']}", {**user, "userName": user_name, "active": active}, status=200)


ORDERS = [in_one_request, name_first, name_last, with_the_address, by_put]


@pytest.mark.parametrize("say", ORDERS, ids=lambda say: say.__name__)
def test_p5_a_tombstone_never_becomes_the_sign_in_address(
    company: Company, say: Callable[[Company, JSON, str, bool], None]
) -> None:
    """SCIM stores and gives back the name of the soft-deleted user; the person signs in by the former one (rule 29)."""
    it = an_employee(company)
    clean = it.user["userName"]
    known = ("sign_in", "email", "display_name")
    assert (clean, clean) == (it.person["sign_in"], it.person["email"])

    say(company, it.user, OBJECT_ID + clean, False)

    assert OBJECT_ID + clean == read(company.scim, it.user)["userName"]
    person = company.person(it.user)
    assert [it.person[name] for name in known] == [person[name] for name in known]
    assert ("inactive", "suspended", None) == (person["state"], person["activation"], person["seat"])
    assert "paused" == company.card(person)["state"]

    say(company, it.user, clean, True)

    assert clean == read(company.scim, it.user)["userName"]
    person = company.person(it.user)
    assert [it.person[name] for name in known] == [person[name] for name in known]
    assert ("active", "active", "open") == (person["state"], person["activation"], person["seat"])
    card = company.card(person)
    assert (it.card["id"], "active", "Chief Guide") == (card["id"], card["state"], fields_of(card)["title"])


def test_p5_a_tombstone_becomes_nobodys_name(company: Company) -> None:
    """Of whom the directory says nothing but userName, name and address are the clean one as well."""
    clean = f"{unique('bare')}@contoso.com"
    user = created(company.scim.post("Users", json={"userName": clean, "externalId": str(uuid.uuid4())}))
    known = ("sign_in", "email", "display_name")
    before = company.person(user)
    assert [clean] * 3 == [before[name] for name in known]

    in_one_request(company, user, OBJECT_ID + clean, False)

    assert [clean] * 3 == [company.person(user)[name] for name in known]


def test_p5_purged_as_a_tombstone_the_person_keeps_its_address(company: Company) -> None:
    """Entra purges thirty days after it has renamed; whoever departs is still known by the clean name."""
    it = an_employee(company)
    in_one_request(company, it.user, OBJECT_ID + it.user["userName"], False)

    company.delete(it.user)

    person = company.get(f"people/{it.person['id']}")
    assert ("departed", it.user["userName"], it.user["userName"]) == (
        person["state"],
        person["sign_in"],
        person["email"],
    )
    # The clean name is free again for whoever has it now.
    assert ["person.created"] == company.push("POST", "Users", a_user(userName=it.user["userName"]), status=201).types


@pytest.mark.parametrize(
    "renamed",
    [
        lambda clean: f"new-{clean}",
        lambda clean: f"{OBJECT_ID}somebody-else-{clean}",
        lambda clean: f"{OBJECT_ID[:31]}{clean}",
        lambda clean: f"{'x' * 32}{clean}",
    ],
    ids=["plain", "of-another-name", "31-digits", "no-object-id"],
)
def test_p5_other_names_are_followed(company: Company, renamed: Callable[[str], str]) -> None:
    """Only an object id in front of the current name is a tombstone; whoever marries signs in by the new name."""
    user = company.hire()
    name = renamed(user["userName"])

    told = company.set_attribute(user, "userName", name)

    assert ["person.updated"] == told.types
    assert ["userName"] == told.payload("person.updated")["changed"]
    assert name == company.person(user)["sign_in"]


def test_p5_a_person_follows_its_attributes(company: Company) -> None:
    """Name and address are the directory's; each change is told once, by the names of what changed."""
    user = company.hire()
    person = company.person(user)

    told = company.change(
        user,
        replace("displayName", "Babs J."),
        replace('emails[type eq "work"].value', "babs@contoso.com"),
        replace("title", "Guide"),
        {"op": "Add", "path": "nickName", "value": "Babs"},
    )

    assert [("person.updated", person["id"])] == told.told
    assert {"displayName", "emails", "title", "nickName"} == set(told.payload("person.updated")["changed"])
    after = company.person(user)
    assert ("Babs J.", "babs@contoso.com", person["sign_in"]) == (
        after["display_name"],
        after["email"],
        after["sign_in"],
    )
    assert [after] == company.all("people", q="babs j.", origin="directory")
    assert company.set_attribute(user, "title", "Chief").types == ["person.updated"]
    problem(company.api.patch(f"people/{person['id']}", json={"display_name": "Mine"}), 409, "not-possible")
    problem(company.api.delete(f"people/{person['id']}"), 409, "not-possible")


# T3 ---------------------------------------------------------------------------------------------------------------------


def test_t3_imported_people_are_activated_one_by_one(company: Company) -> None:
    """Activate account, show the start code once, redeem it once: then the account is active and takes a seat."""
    user, other = company.hire(), company.hire()
    person = company.person(user)
    assert (None, None) == (person["activation"], person["seat"])
    _, seats_open, _ = company.seats()
    company.news()

    requested = company.call("POST", f"people/{person['id']}/activation", 200)
    assert ("requested", None) == (requested["state"], requested["sent_at"])
    assert requested == company.call("POST", f"people/{person['id']}/activation", 200)
    shown = company.call("POST", f"people/{person['id']}/start-code", 200)
    assert "code_sent" == company.person(user)["activation"]
    assert seats_open == company.seats()[1]
    redeem = {"sign_in": person["sign_in"].upper(), "start_code": shown["start_code"]}
    assert {"person_id": person["id"]} == company.call("POST", "activations/redeem", 200, redeem)

    assert ("active", "open") == tuple(company.person(user)[name] for name in ("activation", "seat"))
    assert None is company.person(other)["activation"]
    assert seats_open + 1 == company.seats()[1]
    told = [(each["type"], each["subject"]["id"]) for each in company.news()]
    assert [
        ("activation.requested", person["id"]),
        ("activation.code_issued", person["id"]),
        ("activation.redeemed", person["id"]),
    ] == told[:3]
    assert ["seat.opened"] == [kind for kind, _ in told[3:]]

    problem(company.api.post("activations/redeem", json=redeem), 400, "wrong-code")
    problem(company.api.post(f"people/{person['id']}/start-code"), 409, "not-possible")

    company.call("DELETE", f"people/{person['id']}/activation", 204)
    assert ("revoked", None) == tuple(company.person(user)[name] for name in ("activation", "seat"))
    assert seats_open == company.seats()[1]
    activated(company, person)
    assert "active" == company.person(user)["activation"]


def redeem_refused(company: Company, person: JSON, code: str) -> str:
    body = {"sign_in": person["sign_in"], "start_code": code}
    return str(problem(company.api.post("activations/redeem", json=body), 400, "wrong-code")["detail"])


def wrong(code: str) -> str:
    """Give a code of the same form that is another one."""
    return ("A" if code[0] != "A" else "B") + code[1:]


def test_t3_few_tries(company: Company) -> None:
    """Five wrong codes and the right one is dead, though each was refused; a new one works again."""
    person = company.person(company.hire())
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]

    said = {redeem_refused(company, person, wrong(code)) for _ in range(4)}
    survivor = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    said |= {redeem_refused(company, person, wrong(survivor)) for _ in range(5)}
    said.add(redeem_refused(company, person, survivor))
    said.add(redeem_refused(company, person, code))
    said.add(redeem_refused(company, {"sign_in": "nobody@contoso.com"}, code))

    # Whatever is wrong, the refusal says the same.
    assert 1 == len(said)
    assert "code_sent" == company.get(f"people/{person['id']}")["activation"]
    activated(company, person)
    assert "active" == company.get(f"people/{person['id']}")["activation"]


def test_t3_four_wrong_tries_are_forgiven(company: Company) -> None:
    """The fifth try may be the right one."""
    person = company.person(company.hire())
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    for _ in range(4):
        redeem_refused(company, person, wrong(code))

    company.call("POST", "activations/redeem", 200, {"sign_in": person["sign_in"], "start_code": code})


def test_t3_before_it_expires(server: Server, company: Company) -> None:
    """An expired code is refused like any other."""
    person = company.person(company.hire())
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    sql(
        server.database_url,
        "UPDATE activation SET expires_at = ? WHERE person_id = ?",
        "2026-01-01T00:00:00.000Z",
        person["id"],
    )

    redeem_refused(company, person, code)

    assert "code_sent" == company.get(f"people/{person['id']}")["activation"]


def test_t3_a_code_of_who_is_disabled_meanwhile_does_not_work(company: Company) -> None:
    """Entra disables the user between code and redemption; enabled again, the same code works until it expires."""
    user = company.hire()
    person = company.person(user)
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    company.disable(user)

    redeem_refused(company, person, code)
    problem(company.api.post(f"people/{person['id']}/start-code"), 409, "not-possible")

    company.enable(user)
    company.call("POST", "activations/redeem", 200, {"sign_in": person["sign_in"], "start_code": code})
    assert ("active", "open") == tuple(company.person(user)[name] for name in ("activation", "seat"))


def test_t3_people_without_entra(company: Company) -> None:
    """Somebody added by hand is activated like the others, by the address; and removed with seat and account."""
    address = f"{unique('guest')}@partner.example"
    guest = company.call("POST", "people", 201, {"display_name": "Guest", "email": address})
    assert ("manual", "active", None) == (guest["origin"], guest["state"], guest["directory_user_id"])
    _, seats_open, _ = company.seats()

    activated(company, guest)

    assert ("active", "open") == tuple(company.get(f"people/{guest['id']}")[name] for name in ("activation", "seat"))
    assert seats_open + 1 == company.seats()[1]
    company.news()
    company.call("DELETE", f"people/{guest['id']}", 204)
    assert {"seat.released", "person.deleted"} == {each["type"] for each in company.news()}
    assert seats_open == company.seats()[1]


def test_t3_somebody_added_by_hand_is_found_in_entra_later(make_company: MakeCompany) -> None:
    """Linked, the two are one: the person keeps team, account and seat, and follows the user from then on."""
    company = make_company(seats=1)
    guest = company.call("POST", "people", 201, {"display_name": "Guest", "email": "guest@contoso.com"})
    activated(company, guest)
    team = company.call("POST", "teams", 201, {"name": "By hand"})
    company.call("PUT", f"teams/{team['id']}/members/{guest['id']}", 204)
    user = company.hire()
    group = company.found(user)
    template = company.new_template(groups=[group])
    twin = company.person(user)
    assert "waiting" == company.card(twin, template)["state"]

    linked = company.call("POST", f"people/{guest['id']}/link", 200, {"directory_user_id": user["id"]})

    assert (guest["id"], "directory", user["id"]) == (linked["id"], linked["origin"], linked["directory_user_id"])
    assert (user["userName"], "active", "open") == (linked["sign_in"], linked["activation"], linked["seat"])
    problem(company.api.get(f"people/{twin['id']}"), 404, "not-found")
    assert "active" == company.card(linked, template)["state"]
    assert ({guest["id"]}, {guest["id"]}) == (company.members(team), company.members(company.team(group)))
    assert (1, 1, 0) == company.seats()
    assert "inactive" == (company.disable(user), company.person(user))[1]["state"]
    assert (1, 0, 0) == company.seats()
