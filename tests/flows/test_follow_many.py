"""Gains of many people at once are the worker's: what Entra pushes is answered first, and followed soon after."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from app_core.follow import AT_ONCE
from tests.answers import JSON, change, ok, values
from tests.api import NAME, Company, MakeCompany, companies, fields_of
from tests.processes import empty_database, serving, wait_for

MANY = AT_ONCE + 15


@pytest.fixture(scope="module")
def make_company(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeCompany]:
    """Make tenants of a server that has its worker."""
    folder: Path = tmp_path_factory.mktemp("worker")
    with empty_database(database_url, folder) as url, serving(url, folder, worker=True) as server:
        with companies(server.url, url) as make:
            yield make

        assert 0 == server.terminate(), server.output()


def settled(company: Company) -> list[JSON]:
    """Wait until no job is left; give them, newest first."""
    wait_for(lambda: all(job["finished_at"] for job in company.all("jobs")), 20)
    return company.all("jobs")


def join(company: Company, group: JSON, *users: JSON) -> None:
    ok(change(company.scim, group, {"op": "Add", "path": "members", "value": values(*users)}), 204)


def leave(company: Company, group: JSON, *users: JSON) -> None:
    ok(change(company.scim, group, {"op": "Remove", "path": "members", "value": values(*users)}), 204)


def switch(company: Company, user: JSON, *, active: bool) -> None:
    ok(change(company.scim, user, {"op": "Replace", "path": "active", "value": str(active)}))


def test_many_who_join_get_their_cards_soon(make_company: MakeCompany) -> None:
    """One PATCH is answered at once; a job with progress issues the cards, and seats as far as they reach."""
    company = make_company(seats=30)
    users = company.hire_many(MANY)
    group = company.found()
    template = company.new_template(NAME, groups=[group])

    join(company, group, *users)

    (job,) = settled(company)
    assert ("issue-cards", "done", MANY, MANY, None) == tuple(
        job[name] for name in ("kind", "state", "done", "total", "error")
    )
    assert (30, 30, MANY - 30) == company.seats()
    cards = company.all("cards", template_id=template["id"], limit=200)
    assert ({"assigned"}, MANY) == ({card["origin"] for card in cards}, len({card["person_id"] for card in cards}))
    assert {"active": 30, "waiting": MANY - 30} == {
        state: sum(card["state"] == state for card in cards) for state in ("active", "waiting")
    }
    told = [event["type"] for event in company.news()]
    assert (MANY, 30, MANY - 30) == tuple(told.count(kind) for kind in ("card.issued", "seat.opened", "seat.waiting"))

    # Entra sends it all again: nobody gets a second card, and nobody is told.
    join(company, group, *users)
    settled(company)
    assert [] == company.news()

    # Who leaves loses at once, however many; who waits is served in the same request.
    leaving = [card["person_id"] for card in cards if card["state"] == "active"]
    people = {person["id"]: person["directory_user_id"] for person in company.all("people", limit=200)}
    leave(company, group, *({"id": people[person_id]} for person_id in leaving))
    told = [event["type"] for event in company.news()]
    assert (30, 30, MANY - 30) == tuple(told.count(kind) for kind in ("card.paused", "seat.released", "seat.opened"))
    assert (30, MANY - 30, 0) == company.seats()


def test_many_of_a_group_that_is_assigned(make_company: MakeCompany) -> None:
    """The preview says what will be; the worker makes it so; taken away, all is gone at once."""
    company = make_company()
    group = company.found()
    join(company, group, *company.hire_many(MANY))
    template = company.new_template(NAME)
    body = {"group_ids": [group["id"]]}
    preview = company.call("POST", f"templates/{template['id']}/assignments/preview", 200, body)
    assert (MANY, MANY, None) == tuple(preview[name] for name in ("cards_issued", "seats_needed", "seats_left"))

    company.assign(template, group)

    settled(company)
    cards = company.all("cards", template_id=template["id"], state="active", limit=200)
    assert MANY == len(cards)
    assert all(fields_of(card)["name"] for card in cards)
    assert (None, MANY, 0) == company.seats()
    company.assign(template)
    assert (None, 0, 0) == company.seats()
    assert MANY == len(company.all("cards", template_id=template["id"], state="paused", limit=200))

    # Former cards are revived, and who is new gets a first one, in the same batch.
    new = company.hire()
    join(company, group, new)
    company.assign(template, group)
    settled(company)
    issued = company.card(company.person(new))
    assert {card["id"] for card in (*cards, issued)} == {
        card["id"] for card in company.all("cards", template_id=template["id"], state="active", limit=200)
    }


def test_what_changes_before_the_worker_comes_is_seen_by_it(database_url: str, make_company: MakeCompany) -> None:
    """It looks at what is, not at what was: who left, was disabled or deleted meanwhile gets nothing."""
    company = make_company()
    users = company.hire_many(MANY)
    group, other = company.found(), company.found()
    template = company.new_template(NAME, groups=[group])

    join(company, group, *users)
    leave(company, group, users[0])
    switch(company, users[1], active=False)
    ok(company.scim.delete(f"Users/{users[2]['id']}"), 204)
    join(company, other, *users[3:])
    company.assign(template, other)
    leave(company, other, users[3])

    settled(company)
    with_card = {card["person_id"] for card in company.all("cards", state="active", limit=200)}
    assert {company.person(user)["id"] for user in users[4:]} == with_card
    assert (None, MANY - 4, 0) == company.seats()
    switch(company, users[1], active=True)
    assert (None, MANY - 4, 0) == company.seats()


def test_many_wait_in_the_order_of_the_pushes(make_company: MakeCompany) -> None:
    """Whoever was pushed first is served first, though all of them got their cards from the worker."""
    company = make_company(seats=0)
    group = company.found()
    company.new_template(NAME, groups=[group])
    users = company.hire_many(2 * MANY)
    for those in (users[MANY:], users[:MANY]):
        join(company, group, *those)
        settled(company)
    assert (0, 0, 2 * MANY) == company.seats()
    led = {person["id"]: person["directory_user_id"] for person in company.all("people", limit=200)}

    waited = sorted(company.all("seats", limit=200), key=lambda seat: (seat["wanted_at"], seat["id"]))

    assert {user["id"] for user in users[MANY:]} == {led[seat["person_id"]] for seat in waited[:MANY]}
