"""Invariants 11 to 19: which cards there are, who takes a seat, and what a card may show."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app_core.follow import AT_ONCE
from tests.answers import JSON, change, ok, unique, values
from tests.api import NAME, Company, MakeCompany, Push, fields_of, problem
from tests.conftest import Server
from tests.raw import Refused, cell, copied, sql

VALID = "+14255550100"
TITLE = {"key": "title", "source": "job_title", "mode": "always", "editable": True}


def phones(**numbers: str) -> list[JSON]:
    """Give phoneNumbers, by their types."""
    return [{"type": kind, "value": value} for kind, value in numbers.items()]


def activate(company: Company, user: JSON) -> None:
    """Activate the account of a user's person."""
    person = company.person(user)
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    company.call("POST", "activations/redeem", 200, {"sign_in": person["sign_in"], "start_code": code})


def reactivated(company: Company, group: JSON, user: JSON) -> JSON:
    """Let a user lose a group, and have its card taken up again by the administrator."""
    paused = company.leave(group, user).event("card.paused")
    return company.call("POST", f"cards/{paused['subject']['id']}/reactivate", 200)


def claimed(company: Company, template: JSON, person: JSON) -> JSON:
    """Invite a person to one more card, and have it claimed."""
    body = {"template_id": template["id"], "email": person["email"], "display_name": "Ada"}
    made = company.call("POST", "invitations", 201, body)
    found = company.call("POST", "invitations/claim", 200, {"claim_token": made["claim_token"]})
    assert person["id"] == found["person_id"]
    return company.get(f"cards/{found['card_id']}")


# 11 ---------------------------------------------------------------------------------------------------------------------


def test_inv_11_one_assigned_card_a_person_and_template(server: Server, company: Company) -> None:
    """However many groups and pushes; the database takes no second one, but one by invitation."""
    user = company.hire()
    groups = [company.found(user) for _ in range(3)]
    template, other = company.new_template(groups=groups), company.new_template(groups=groups)
    person = company.person(user)
    for group in groups:
        company.leave(group, user)
        company.join(group, user)
    assert [template["id"], other["id"]] == sorted(card["template_id"] for card in company.cards(person))
    card, second = company.card(person, template), company.card(person, other)
    url = server.database_url

    with pytest.raises(Refused, match=r"(?i)unique"):
        copied(url, "card", card["id"], id=str(uuid.uuid4()), slug=unique())
    with pytest.raises(Refused, match=r"(?i)unique"):
        sql(url, "UPDATE card SET template_id = ? WHERE id = ?", template["id"], second["id"])
    with pytest.raises(Refused, match=r"(?i)unique"):
        copied(url, "card", card["id"], id=str(uuid.uuid4()), origin="invitation")

    assert "invitation" == claimed(company, template, person)["origin"]
    assert ["assigned", "invitation"] == sorted(each["origin"] for each in company.cards(person, template))


# 12 ---------------------------------------------------------------------------------------------------------------------


def test_inv_12_follow_acts_on_assigned_cards_only(company: Company) -> None:
    """Groups and assignments create, pause and revive those; what an administrator or an invitation gave stays."""
    user = company.hire()
    group, other = company.found(user), company.found(user)
    by_hand, by_group = company.new_template(groups=[group]), company.new_template(groups=[other])
    manual = reactivated(company, group, user)
    invitation = claimed(company, by_group, company.person(user))
    person = company.person(user)
    theirs = {manual["id"], invitation["id"]}
    (assigned,) = {card["id"] for card in company.cards(person)} - theirs

    def seen() -> dict[str, str]:
        return {card["id"]: card["state"] for card in company.cards(person)}

    steps: list[tuple[Callable[[], Any], str]] = [
        (lambda: company.join(group, user), "active"),
        (lambda: company.leave(other, user), "paused"),
        (lambda: company.leave(group, user), "paused"),
        (lambda: company.join(other, user), "active"),
        (lambda: company.assign(by_group), "paused"),
        (lambda: company.assign(by_hand), "paused"),
        (lambda: company.assign(by_group, group, other), "active"),
        (lambda: company.delete(other), "paused"),
    ]
    for step, expected in steps:
        step()
        assert {assigned: expected, **dict.fromkeys(theirs, "active")} == seen()

    origins = {card["id"]: card["origin"] for card in company.cards(person)}
    assert {assigned: "assigned", manual["id"]: "manual", invitation["id"]: "invitation"} == origins
    # The person's own state counts for all of them (P5), and all of them come back but the one that lost its group.
    company.disable(user)
    assert dict.fromkeys((assigned, *theirs), "paused") == seen()
    company.enable(user)
    assert {assigned: "paused", **dict.fromkeys(theirs, "active")} == seen()


# 13 ---------------------------------------------------------------------------------------------------------------------


def all_pairs(states: list[Any]) -> Iterator[Any]:
    """Give states one after the other so that each follows each, itself too."""
    for at, state in enumerate(states):
        yield state
        for later in states[at + 1 :]:
            yield later
            yield state
    yield states[0]


def test_inv_13_a_card_is_wanted_by_the_active_in_an_assigned_group(company: Company) -> None:
    """From every state to every other: there is a live card iff the person is active and in one group or more."""
    user = company.hire()
    groups = [company.found(), company.found()]
    unassigned = company.found(user)
    template = company.new_template(groups=groups)
    person = company.person(user)
    states = list(itertools.product((True, False), repeat=3))
    seen_once, now = False, (True, False, False)

    for state in all_pairs(states):
        active, *inside = state
        if active != now[0]:
            ok(change(company.scim, user, {"op": "Replace", "path": "active", "value": str(active)}))
        for group, before, after in zip(groups, now[1:], inside, strict=True):
            if before != after:
                operation = {"op": "Add" if after else "Remove", "path": "members", "value": values(user)}
                ok(change(company.scim, group, operation), 204)
        now = state
        wanted = active and any(inside)
        seen_once = seen_once or wanted

        expected = ["active"] if wanted else ["paused"] if seen_once else []
        assert expected == [card["state"] for card in company.cards(person, template)], state

    assert unassigned["id"] not in company.get(f"templates/{template['id']}/assignments")["group_ids"]


def test_inv_13_an_assignment_counts_like_a_membership(company: Company) -> None:
    """It makes no difference which came first: the people, the group, the template, or the assignment."""
    user, late = company.hire(), company.hire(active=False)
    group = company.found(user, late)
    before, after = company.new_template(groups=[group]), company.new_template()
    assert ["active"] == [card["state"] for card in company.cards(company.person(user))]
    company.assign(after, group)
    company.enable(late)

    for each in (user, late):
        held = company.cards(company.person(each))
        assert {(before["id"], "active"), (after["id"], "active")} == {
            (card["template_id"], card["state"]) for card in held
        }


# 14 ---------------------------------------------------------------------------------------------------------------------


def test_inv_14_a_seat_is_open_while_a_card_or_the_account_needs_it(server: Server, company: Company) -> None:
    """From every state to every other; and the database takes no second open seat of one person."""
    user = company.hire()
    groups = [company.found(), company.found()]
    for group in groups:
        company.new_template(groups=[group])
    person = company.person(user)
    now = (False, False, False)

    for state in all_pairs(list(itertools.product((False, True), repeat=3))):
        *inside, account = state
        for group, before, after in zip(groups, now[:2], inside, strict=True):
            if before != after:
                operation = {"op": "Add" if after else "Remove", "path": "members", "value": values(user)}
                ok(change(company.scim, group, operation), 204)
        if account and not now[2]:
            activate(company, user)
        elif now[2] and not account:
            company.call("DELETE", f"people/{person['id']}/activation", 204)
        now = state

        seat = company.get(f"people/{person['id']}")["seat"]
        assert ("open" if any(state) else None) == seat, state
        held = [each for each in company.all("seats", limit=200) if each["person_id"] == person["id"]]
        assert any(state) == len(held), state

    url = server.database_url
    company.join(groups[0], user)
    query = "SELECT id FROM seat WHERE person_id = ? AND released_at IS NULL"
    ((seat_id,),) = sql(url, query, person["id"])
    with pytest.raises(Refused, match=r"(?i)unique"):
        copied(url, "seat", seat_id, id=str(uuid.uuid4()))
    with pytest.raises(Refused, match=r"(?i)unique"):
        copied(url, "seat", seat_id, id=str(uuid.uuid4()), opened_at=None)
    released = sql(url, "SELECT id FROM seat WHERE person_id = ? AND released_at IS NOT NULL", person["id"])
    assert len(released) > 3
    with pytest.raises(Refused, match=r"(?i)unique"):
        sql(url, "UPDATE seat SET released_at = NULL WHERE id = ?", released[0][0])


# 15 ---------------------------------------------------------------------------------------------------------------------


def test_inv_15_no_more_open_seats_than_the_limit(server: Server, make_company: MakeCompany) -> None:
    """By many pushes at once; and the database counts along and takes no seat too many."""
    company = make_company(seats=3)
    users = [company.hire() for _ in range(12)]
    groups = [company.found() for _ in range(4)]
    company.new_template(groups=groups)

    def join(at: int) -> int:
        operation = {"op": "Add", "path": "members", "value": values(users[at])}
        return change(company.scim, groups[at % 4], operation).status_code

    with ThreadPoolExecutor(12) as pool:
        assert {204} == set(pool.map(join, range(12)))

    assert (3, 3, 9) == company.seats()
    url, key = server.database_url, company.tenant_id
    assert "3" == cell(url, "tenant", key, "seats_open")
    with pytest.raises(Refused, match=r"(?i)check|seats"):
        sql(url, "UPDATE tenant SET seats_open = 4 WHERE id = ?", key)
    with pytest.raises(Refused, match=r"(?i)check|seats"):
        sql(url, "UPDATE tenant SET seat_limit = 2 WHERE id = ?", key)
    assert (3, 3, 9) == company.seats()


def test_inv_15_the_log_says_once_that_somebody_waits(make_company: MakeCompany) -> None:
    """Of the push that found no seat; not of those that change nothing about it."""
    company = make_company(seats=1)
    users = [company.hire(phoneNumbers=[]) for _ in range(3)]
    group = company.found()
    company.new_template(groups=[group])

    company.join(group, *users)
    company.set_attribute(users[2], "title", "Guide")
    company.join(group, *users)

    said = [entry for entry in company.log() if "seat" in (entry["reason"] or "")]
    assert [("warning", "update", group["id"])] == [
        (entry["outcome"], entry["action"], entry["target"]["id"]) for entry in said
    ]


# 16 ---------------------------------------------------------------------------------------------------------------------

MANY = AT_ONCE + 15


def leave_together(company: Company, group: JSON, users: list[JSON], template: JSON) -> Push:
    return company.leave(group, *users)


def replaced_by_nobody(company: Company, group: JSON, users: list[JSON], template: JSON) -> Push:
    return company.change(group, {"op": "replace", "path": "members", "value": []})


def group_deleted(company: Company, group: JSON, users: list[JSON], template: JSON) -> Push:
    return company.delete(group)


def group_unassigned(company: Company, group: JSON, users: list[JSON], template: JSON) -> Push:
    company.news()
    answer = company.api.put(f"templates/{template['id']}/assignments", json={"group_ids": []})
    return Push(answer, company.news())


@pytest.mark.parametrize(
    "lose", [leave_together, replaced_by_nobody, group_deleted, group_unassigned], ids=lambda lose: lose.__name__
)
def test_inv_16_losses_are_at_once_however_many(
    make_company: MakeCompany, lose: Callable[[Company, JSON, list[JSON], JSON], Push]
) -> None:
    """No worker runs here: when the answer comes, all cards are paused and all seats are free, or others'."""
    company = make_company(seats=MANY)
    group = company.found()
    template = company.new_template(groups=[group])
    users = company.hire_many(MANY)
    for at in range(0, MANY, AT_ONCE):
        company.join(group, *users[at : at + AT_ONCE])
    waiting, waiting_group = company.hire(), company.found()
    company.new_template(groups=[waiting_group])
    company.join(waiting_group, waiting)
    assert (MANY, MANY, 1) == company.seats()

    lost = lose(company, group, users, template)

    told = {kind: lost.types.count(kind) for kind in ("card.paused", "seat.released", "seat.opened")}
    assert {"card.paused": MANY, "seat.released": MANY, "seat.opened": 1} == told
    assert 1 == len({event["correlation_id"] for event in lost.events})
    assert (MANY, 1, 0) == company.seats()
    cards = company.all("cards", template_id=template["id"], limit=200)
    assert {("paused", "unassigned")} == {(card["state"], card["pause_reason"]) for card in cards}
    assert "open" == company.person(waiting)["seat"]


@pytest.mark.parametrize("push", ["disable", "delete"])
def test_inv_16_deactivation_takes_all_at_once(company: Company, push: str) -> None:
    """All cards of whatever origin, the account, and with them the seat."""
    user = company.hire()
    group, other = company.found(user), company.found(user)
    company.new_template(groups=[group])
    template = company.new_template(groups=[other])
    reactivated(company, group, user)
    claimed(company, template, company.person(user))
    activate(company, user)
    person = company.person(user)
    assert 3 == len(company.cards(person))

    lost = company.disable(user) if push == "disable" else company.delete(user)

    told = [lost.types.count(kind) for kind in ("card.paused", "activation.suspended", "seat.released")]
    assert [3, 1, 1] == told
    assert 1 == len({event["correlation_id"] for event in lost.events})
    assert {"paused"} == {card["state"] for card in company.cards(person)}
    after = company.get(f"people/{person['id']}")
    assert ("suspended", None) == (after["activation"], after["seat"])


# 17 ---------------------------------------------------------------------------------------------------------------------


def test_inv_17_only_paused_or_manual_cards_are_deleted(company: Company) -> None:
    """A live card that a group asks for would only come back: the refusal says how it goes."""
    user, waiting = company.hire(), company.hire()
    group = company.found(user, waiting)
    template = company.new_template(groups=[group])
    person = company.person(user)
    card = company.card(person)
    path = f"cards/{card['id']}"
    said = problem(company.api.delete(path), 409, "not-possible")
    assert "take the person out of them first" in said["detail"]
    assert card == company.get(path)

    company.disable(user)
    company.call("DELETE", path, 204)
    assert [] == company.cards(person)
    company.enable(user)
    new = company.card(person)
    assert (True, "active") == (new["id"] != card["id"], new["state"])

    manual = reactivated(company, group, user)
    company.call("DELETE", f"cards/{manual['id']}", 204)
    invitation = claimed(company, template, company.person(user))
    company.call("DELETE", f"cards/{invitation['id']}", 204)
    unclaimed = company.call("POST", "invitations", 201, {"template_id": template["id"], "display_name": "Ada"})
    company.call("DELETE", f"cards/{unclaimed['card_id']}", 204)
    problem(company.api.get(f"invitations/{unclaimed['id']}"), 404, "not-found")
    assert [] == company.cards(person)


# 18 ---------------------------------------------------------------------------------------------------------------------


def test_inv_18_no_invalid_phone_on_a_card(company: Company) -> None:
    """Neither from the directory nor typed by anybody nor by way of a text field; a valid one is shown as sent."""
    user = company.hire(phoneNumbers=phones(work="+1 (425) 555-0100", mobile=VALID, fax="none"))
    group = company.found(user)
    fields = [
        {"key": key, "source": source, "mode": mode, "editable": True}
        for key, source, mode in (
            ("work", "business_phone", "always"),
            ("mobile", "mobile_phone", "always"),
            ("fax", "fax_number", "initial"),
        )
    ]
    template = company.new_template(*fields, {"key": "own", "kind": "phone"}, groups=[group])
    person = company.person(user)
    path = f"cards/{company.card(person)['id']}"
    assert {"work": None, "mobile": VALID, "fax": None, "own": None} == fields_of(company.get(path))
    assert ["work", "fax"] == [each["key"] for each in company.get(path)["problems"]]

    for key in ("work", "mobile", "own"):
        said = problem(company.api.patch(path, json={"overrides": {key: "425 555 0100"}}), 400, "invalid")
        assert key in said["detail"]
    company.call("PATCH", path, 200, {"overrides": {"work": "+14255550101", "own": "+14255550102"}})
    shown = {"work": "+14255550101", "mobile": VALID, "fax": None, "own": "+14255550102"}
    assert shown == fields_of(company.get(path))
    as_text = {"fields": [{"key": "name", "source": "business_phone", "mode": "always"}]}
    problem(company.api.patch(f"templates/{template['id']}", json=as_text), 400, "invalid")
    as_text = {"fields": [{"key": "phone", "kind": "text", "source": "mobile_phone", "mode": "always"}]}
    problem(company.api.patch(f"templates/{template['id']}", json=as_text), 400, "invalid")

    # Nobody rewrote what the directory said.
    sent = {each["type"]: each["value"] for each in ok(company.scim.get(f"Users/{user['id']}"))["phoneNumbers"]}
    assert {"work": "+1 (425) 555-0100", "mobile": VALID, "fax": "none"} == sent
    assert {"+1 (425) 555-0100", "none"} == {each["value"] for each in company.person(user)["problems"]}


# 19 ---------------------------------------------------------------------------------------------------------------------


def test_inv_19_required_and_missing_is_incomplete(company: Company) -> None:
    """The card is there and lists what it lacks, an invalid phone too; filled, it is complete."""
    user = company.hire(title="", phoneNumbers=phones(work="none"))
    group = company.found(user)
    fields: list[JSON] = [
        {**NAME, "required": True},
        {**TITLE, "required": True},
        {"key": "phone", "source": "business_phone", "mode": "always", "required": True},
        {"key": "department", "source": "department", "mode": "always"},
    ]
    template = company.new_template(*fields, groups=[group])
    person = company.person(user)
    card = company.card(person, template)
    assert ("active", ["title", "phone"]) == (card["state"], card["incomplete"])

    company.set_attribute(user, "title", "Guide")
    assert ["phone"] == company.card(person, template)["incomplete"]
    company.set_attribute(user, 'phoneNumbers[type eq "work"].value', VALID)
    assert [] == company.card(person, template)["incomplete"]
    company.call("PATCH", f"cards/{card['id']}", 200, {"overrides": {"title": "  "}})
    assert ["title"] == company.card(person, template)["incomplete"]


def test_inv_19_what_is_not_editable_has_no_override(server: Server, company: Company) -> None:
    """Refused by name, whole; nothing is kept for later."""
    user = company.hire(title="Guide")
    group = company.found(user)
    template = company.new_template(
        {**NAME, "editable": False}, {**TITLE, "editable": False}, {"key": "pronouns"}, groups=[group]
    )
    card = company.card(company.person(user), template)
    company.news()

    for overrides in ({"title": "Boss"}, {"pronouns": "they", "title": "Boss"}, {"title": None}, {"nosuch": "x"}):
        said = problem(company.api.patch(f"cards/{card['id']}", json={"overrides": overrides}), 400, "invalid")
        assert ("title" if "title" in overrides else "nosuch") in said["detail"]

    assert card == company.get(f"cards/{card['id']}")
    assert "{}" == cell(server.database_url, "card", card["id"], "overrides")
    assert [] == company.news()
