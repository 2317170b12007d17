"""Seats: C8, from what Entra pushes to who has one, who waits, and who is served next."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from tests.answers import JSON, unique
from tests.api import Company, MakeCompany, company_by_command, problem
from tests.conftest import Server


def seated(company: Company, *users: JSON) -> list[str | None]:
    """Say of users whether their seats are open, waited for, or not needed."""
    return [company.person(user)["seat"] for user in users]


def states(company: Company, *users: JSON) -> list[str]:
    """Give the states of users' only cards."""
    return [company.card(company.person(user))["state"] for user in users]


def test_c8_who_finds_no_seat_is_provisioned_waits_and_is_served(server: Server) -> None:
    """With two seats for three people: all are provisioned, the third waits and is shown, and gets the next free seat."""
    with company_by_command(server, "--seats", "2") as company:
        users = [company.hire() for _ in range(3)]
        group = company.found()
        template = company.new_template(groups=[group])
        opened = company.join(group, *users[:2])
        assert 2 == opened.types.count("seat.opened")
        assert (2, 2, 0) == company.seats()

        waits = company.join(group, users[2])

        third = company.person(users[2])
        assert ["team.members_changed", "card.issued", "seat.waiting"] == waits.types
        assert {"person_id": third["id"]} == waits.payload("seat.waiting")
        assert ["open", "open", "waiting"] == seated(company, *users)
        assert ["active", "active", "waiting"] == states(company, *users)
        assert (2, 2, 1) == company.seats()
        assert {company.person(user)["id"] for user in users} == company.members(company.team(group))
        assert [third["id"]] == [card["person_id"] for card in company.all("cards", state="waiting")]
        (waiting,) = [each for each in company.all("seats") if each["state"] == "waiting"]
        assert (third["id"], None) == (waiting["person_id"], waiting["opened_at"])
        assert waiting["id"] == waits.event("seat.waiting")["subject"]["id"]

        served = company.leave(group, users[0])

        assert ["team.members_changed", "card.paused", "seat.released", "seat.opened"] == served.types
        assert ({"person_id": third["id"]}, waiting["id"]) == (
            served.payload("seat.opened"),
            served.event("seat.opened")["subject"]["id"],
        )
        assert [None, "open", "open"] == seated(company, *users)
        assert ["paused", "active", "active"] == states(company, *users)
        assert (2, 2, 0) == company.seats()
        assert template["id"] == company.card(third)["template_id"]


class Queue(NamedTuple):
    """A company with one seat: one has it, three wait, who came last first in the order of their ids."""

    company: Company
    holder: JSON
    waiting: list[JSON]
    group: JSON
    template: JSON
    other: JSON
    """A group that leads to another template and has nobody in it."""


@pytest.fixture
def queue(make_company: MakeCompany) -> Queue:
    company = make_company(seats=1)
    waiting = [company.hire() for _ in range(3)][::-1]
    holder = company.hire()
    group, other = company.found(), company.found()
    template = company.new_template(groups=[group])
    company.new_template(groups=[other])
    for user in (holder, *waiting):
        company.join(group, user)
    assert ["open", "waiting", "waiting", "waiting"] == seated(company, holder, *waiting)
    return Queue(company, holder, waiting, group, template, other)


def own_group(it: Queue, user: JSON) -> JSON:
    """Let a group of their own lead somebody to the template, in place of the common one."""
    group = it.company.found(user)
    it.company.assign(it.template, it.group, group)
    it.company.leave(it.group, user)
    return group


def activate(company: Company, user: JSON) -> None:
    person = company.person(user)
    code = company.call("POST", f"people/{person['id']}/start-code", 200)["start_code"]
    company.call("POST", "activations/redeem", 200, {"sign_in": person["sign_in"], "start_code": code})


def delete_the_group(it: Queue) -> None:
    it.company.delete(own_group(it, it.holder))


def take_the_group_from_the_template(it: Queue) -> None:
    own_group(it, it.holder)
    it.company.assign(it.template, it.group)


def revoke_the_account(it: Queue) -> None:
    activate(it.company, it.holder)
    it.company.leave(it.group, it.holder)
    assert ["open", "waiting"] == seated(it.company, it.holder, it.waiting[0])
    it.company.call("DELETE", f"people/{it.company.person(it.holder)['id']}/activation", 204)


FREED: dict[str, Callable[[Queue], object]] = {
    "leaves-the-group": lambda it: it.company.leave(it.group, it.holder),
    "is-disabled": lambda it: it.company.disable(it.holder),
    "is-deleted": lambda it: it.company.delete(it.holder),
    "group-deleted": delete_the_group,
    "group-unassigned": take_the_group_from_the_template,
    "account-revoked": revoke_the_account,
}


@pytest.mark.parametrize("free", FREED.values(), ids=FREED)
def test_c8_a_seat_that_frees_serves_the_oldest_who_waits(queue: Queue, free: Callable[[Queue], object]) -> None:
    """However it frees; who waits longest is served, not who was created first, and only one of them."""
    company = queue.company
    holder = company.person(queue.holder)

    free(queue)

    assert None is company.get(f"people/{holder['id']}")["seat"]
    assert ["open", "waiting", "waiting"] == seated(company, *queue.waiting)
    assert (1, 1, 2) == company.seats()
    assert ["active", "waiting", "waiting"] == states(company, *queue.waiting)


def test_c8_served_one_after_the_other(queue: Queue) -> None:
    """In the order in which they came to wait; each time somebody is served that is told once."""
    company = queue.company

    for at, user in enumerate((queue.holder, *queue.waiting)):
        left = company.leave(queue.group, user)
        assert 1 == left.types.count("seat.released")
        served = [event["payload"]["person_id"] for event in left.events if event["type"] == "seat.opened"]
        assert [company.person(each)["id"] for each in queue.waiting[at : at + 1]] == served

    assert (1, 0, 0) == company.seats()


def test_c8_who_no_longer_needs_a_seat_leaves_the_queue(queue: Queue) -> None:
    """And comes to its end when it needs one again."""
    company, (first, second, third) = queue.company, queue.waiting

    off = company.disable(first)
    assert ["seat.released"] == [kind for kind in off.types if kind.startswith("seat.")]
    assert (1, 1, 2) == company.seats()
    on = company.enable(first)
    assert ["seat.waiting"] == [kind for kind in on.types if kind.startswith("seat.")]
    assert (1, 1, 3) == company.seats()

    company.disable(queue.holder)
    assert ["waiting", "open", "waiting"] == seated(company, first, second, third)
    company.disable(second)
    assert ["waiting", None, "open"] == seated(company, first, second, third)
    company.delete(third)
    assert ["open", None] == seated(company, first, second)


def test_c8_one_seat_for_cards_and_account_together(make_company: MakeCompany) -> None:
    """A person takes one seat however many cards it holds, and keeps it until the last of them and the account is gone."""
    company = make_company(seats=1)
    user = company.hire()
    groups = [company.found(user), company.found(user)]
    for group in groups:
        company.new_template(groups=[group])
    activate(company, user)
    assert ((1, 1, 0), 2) == (company.seats(), len(company.cards(company.person(user))))
    (seat,) = company.all("seats")

    for group in groups:
        assert ["team.members_changed", "card.paused"] == company.leave(group, user).types
    assert [seat] == company.all("seats")
    company.call("DELETE", f"people/{company.person(user)['id']}/activation", 204)

    assert ([], (1, 0, 0)) == (company.all("seats"), company.seats())


def test_c8_an_account_waits_as_a_card_does(make_company: MakeCompany) -> None:
    """A redeemed code is not lost because no seat is left: the account waits for one."""
    company = make_company(seats=1)
    first, second = company.hire(), company.hire()
    activate(company, first)

    activate(company, second)

    assert ["open", "waiting"] == seated(company, first, second)
    assert "active" == company.person(second)["activation"]
    company.call("DELETE", f"people/{company.person(first)['id']}/activation", 204)
    assert [None, "open"] == seated(company, first, second)


def test_c8_a_higher_limit_serves_who_waits(server: Server, queue: Queue) -> None:
    """At once and the oldest first; no limit serves all."""
    company, limit = queue.company, ("tenant", "set", queue.company.tenant_id, "--seats")
    company.news()

    server.cli(*limit, "2")
    assert ["open", "open", "waiting", "waiting"] == seated(company, queue.holder, *queue.waiting)
    assert (2, 2, 2) == company.seats()
    assert ["settings.changed", "seat.opened"] == [each["type"] for each in company.news()]

    server.cli(*limit, "unlimited")
    assert (None, 4, 0) == company.seats()
    assert None is company.get("settings")["seat_limit"]


def test_c8_no_seat_at_all(make_company: MakeCompany) -> None:
    """With a limit of none everybody is provisioned and waits."""
    company = make_company(seats=0)
    user = company.hire()
    group = company.found(user)
    company.new_template(groups=[group])

    assert (["waiting"], (0, 0, 1)) == (seated(company, user), company.seats())
    assert {company.person(user)["id"]} == company.members(company.team(group))
    assert (0, 0, 0) == (company.leave(group, user), company.seats())[1]


def test_c8_invitations_wait_too(make_company: MakeCompany) -> None:
    """An unclaimed card takes no seat; claimed, its person takes one or waits like everybody."""
    company = make_company(seats=1)
    user = company.hire()
    group = company.found(user)
    template = company.new_template(groups=[group])
    made = company.call("POST", "invitations", 201, {"template_id": template["id"], "display_name": unique("Ada")})
    assert (1, 1, 0) == company.seats()

    claimed = company.call("POST", "invitations/claim", 200, {"claim_token": made["claim_token"]})

    assert (1, 1, 1) == company.seats()
    assert "waiting" == company.get(f"cards/{made['card_id']}")["state"]
    company.leave(group, user)
    assert "active" == company.get(f"cards/{made['card_id']}")["state"]
    assert "open" == company.get(f"people/{claimed['person_id']}")["seat"]
    problem(company.api.get("seats", params={"limit": "0"}), 400, "invalid")
