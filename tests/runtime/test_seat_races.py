"""Seats, teams and cards under races: what the limit, the guard and the mirror say holds whoever comes first.

On PostgreSQL the clients are spread over two server processes.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest
from sqlalchemy.util import await_only

from app_core import (
    administration,
    api_keys,
    clock,
    deletion,
    directory,
    follow,
    invitations,
    jobs,
    outbox,
    provisioning,
    self_service,
    teams,
    templates,
    tenants,
)
from app_core.api_keys import KeyScope
from app_core.db import Connection, Database
from app_core.directory import User
from app_core.errors import NotFound
from app_core.provisioning import GroupChange, GroupRecord, MemberStep
from app_core.resource import UserRecord, attributes_of
from app_core.work import Actor, Source, Work
from tests.app_core.follow_model import Facts, disagreements, facts_of
from tests.builders import patch
from tests.processes import Customer, Job, in_core, new_customer, together

if TYPE_CHECKING:
    from tests.conftest import Server

T = TypeVar("T")
SEED = 20261125


@dataclass(frozen=True)
class House:
    """A tenant, a template that anybody may fill, and an API key."""

    database_url: str
    customer: Customer
    template_id: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    def write(self, act: Callable[[Work], T]) -> T:
        """Carry an act out in a transaction beside the servers."""

        def job(connection: Connection) -> T:
            work = self.customer.work(connection)
            value = act(work)
            outbox.flush(work)
            return value

        return in_core(self.database_url, lambda database: database.write(job))

    def facts(self) -> Facts:
        return in_core(
            self.database_url,
            lambda database: database.read(lambda connection: facts_of(connection, self.customer.tenant_id)),
        )

    def events(self) -> Counter[str]:
        return Counter(row["type"] for row in self.facts()["outbox_event"])

    def people(self, count: int) -> list[str]:
        """Make directory users; give their ids."""
        return self.write(lambda work: [a_user(work, n).id for n in range(count)])

    def group(self, name: str, members: Sequence[str] = ()) -> str:
        return self.write(lambda work: provisioning.create_group(work, GroupRecord(name, name), members).id)

    def team_of(self, group: str) -> str:
        [team] = [str(row["id"]) for row in self.facts()["team"] if row["group_id"] == group]
        return team

    def assign(self, *groups: str) -> None:
        self.write(lambda work: administration.assign_template(work, self.template_id, groups))

    def invite(self, count: int) -> list[str]:
        """Invite nobody in particular; give the secrets of the links."""
        return self.write(lambda work: [invitations.create(work, self.template_id)[1] for _ in range(count)])

    def claim_beside(self, tokens: Sequence[str]) -> list[str]:
        """Have each link claimed, one after the other; give the cards."""

        def act(work: Work) -> list[str]:
            return [
                self_service.claim_card(work, token, display_name=f"Early {n}").card_id
                for n, token in enumerate(tokens)
            ]

        return self.write(act)

    def claim(self, token: str, name: str) -> Job[httpx.Response]:
        body = {"claim_token": token, "display_name": name}
        return lambda client: client.post(api(client, "invitations/claim"), json=body, headers=self.headers)

    def delete_card(self, card: str) -> Job[httpx.Response]:
        return lambda client: client.delete(api(client, f"cards/{card}"), headers=self.headers)

    def at_once(self, doors: Sequence[str], requests: Sequence[Job[httpx.Response]]) -> list[httpx.Response]:
        """Send all requests at once, over eight clients, which have as many connections as they need."""
        lanes = [list(range(at, len(requests), 8)) for at in range(8)]

        def lane(places: Sequence[int]) -> Job[list[httpx.Response]]:
            async def job(client: httpx.AsyncClient) -> list[httpx.Response]:
                return list(await asyncio.gather(*(requests[place](client) for place in places)))

            return job

        found = together(doors, self.customer, [lane(places) for places in lanes])
        answers = {
            place: answer
            for places, each in zip(lanes, found, strict=True)
            for place, answer in zip(places, each, strict=True)
        }
        return [answers[place] for place in range(len(requests))]


def api(client: httpx.AsyncClient, path: str) -> str:
    """Give an address of the JSON door beside a client's SCIM door."""
    return str(client.base_url.join(f"/api/v1/{path}"))


def a_user(work: Work, n: int, *, active: bool = True) -> User:
    return provisioning.create_user(work, UserRecord({"userName": f"person{n}@contoso.com", "active": active}, active))


@pytest.fixture
def house(server: Server) -> House:
    return new_house(server)


def new_house(server: Server, *, seats: int | None = None) -> House:
    customer = new_customer(server.database_url)

    def job(connection: Connection) -> House:
        work = customer.work(connection)
        tenant = tenants.find(connection, customer.tenant_id)
        tenants.change(work, name=tenant.name, seat_limit=seats)
        fields = [{"key": "name", "source": "display_name", "mode": "always", "editable": True}]
        template = templates.create(work, "Standard", fields=fields)
        _, key = api_keys.issue(connection, tenant, KeyScope.ADMIN)
        return House(server.database_url, customer, template.id, key)

    return in_core(server.database_url, lambda database: database.write(job))


# ── The last seats ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_200_claims_on_the_last_10_seats(doors: list[str], server: Server) -> None:
    """Of 200 people who claim a card at once ten get a seat; the others have their card and wait, and all are told."""
    house = new_house(server, seats=25)
    house.claim_beside(house.invite(15))
    claims = [house.claim(token, f"Guest {n}") for n, token in enumerate(house.invite(200))]

    answers = house.at_once(doors, claims)

    assert Counter({200: 200}) == Counter(answer.status_code for answer in answers)
    facts = house.facts()
    assert [] == disagreements(facts)
    assert (25, 190) == (count_open(facts), count_waiting(facts))
    events = house.events()
    assert (25, 190, 215) == (events["seat.opened"], events["seat.waiting"], events["card.claimed"])
    with httpx.Client(base_url=doors[-1], headers=house.headers, timeout=60) as client:
        shown = client.get(str(client.base_url.join("/api/v1/seats")), params={"limit": 200}).json()
        assert (25, 25, 190) == (shown["limit"], shown["open"], shown["waiting"])


def test_claims_while_others_let_go(doors: list[str], server: Server) -> None:
    """Seats that free while others claim are handed on: none is idle, none is given twice."""
    house = new_house(server, seats=10)
    tokens = house.invite(70)
    held = house.claim_beside(tokens[:30])
    going = [house.delete_card(card) for card in held[:20]]
    coming = [house.claim(token, f"Guest {n}") for n, token in enumerate(tokens[30:])]
    mixed = [*going, *coming]
    random.Random(SEED).shuffle(mixed)

    answers = house.at_once(doors, mixed)

    assert Counter({200: 40, 204: 20}) == Counter(answer.status_code for answer in answers)
    facts = house.facts()
    assert [] == disagreements(facts)
    assert (10, 40) == (count_open(facts), count_waiting(facts))


def test_one_link_is_claimed_once(doors: list[str], house: House) -> None:
    """Whoever comes second with the same link is refused, and leaves no person, card or seat behind."""
    [token] = house.invite(1)

    answers = house.at_once(doors, [house.claim(token, f"Guest {n}") for n in range(32)])

    assert Counter({200: 1, 400: 31}) == Counter(answer.status_code for answer in answers)
    facts = house.facts()
    assert (1, 1, 1) == (len(facts["person"]), len(facts["card"]), len(facts["seat"]))
    assert [] == disagreements(facts)


def count_open(facts: Facts) -> int:
    return sum(row["opened_at"] is not None and row["released_at"] is None for row in facts["seat"])


def count_waiting(facts: Facts) -> int:
    return sum(row["opened_at"] is None and row["released_at"] is None for row in facts["seat"])


# ── The guard of teams ──────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["DELETE the group by SCIM", "remove the group", "delete the manual team"])
def test_50_logins_against_the_deletion_of_their_team(doors: list[str], house: House, way: str) -> None:
    """The team goes and no login was acknowledged, or it stays with all that were; nothing in between."""
    outcomes = Counter(race_for_a_team(doors, house, way, at) for at in (0, 8, 50))

    assert {"gone", "stays"} >= set(outcomes)


def race_for_a_team(doors: list[str], house: House, way: str, at: int) -> str:
    """Let the deletion be the n-th of 51 requests; say what became of the team."""
    if way == "delete the manual team":
        group = ""
        team = house.write(lambda work: teams.create_manual(work, f"Team {at}").id)
    else:
        group = house.group(f"Group {at}")
        team = house.team_of(group)
    body = {"ciphertext": "opaque"}
    adds: list[Job[httpx.Response]] = [
        lambda client: client.post(api(client, f"teams/{team}/logins"), json=body, headers=house.headers)
    ] * 50
    deletions: dict[str, Job[httpx.Response]] = {
        "DELETE the group by SCIM": lambda client: client.delete(f"Groups/{group}"),
        "remove the group": lambda client: client.delete(api(client, f"groups/{group}/team"), headers=house.headers),
        "delete the manual team": lambda client: client.delete(api(client, f"teams/{team}"), headers=house.headers),
    }

    answers = house.at_once(doors, [*adds[:at], deletions[way], *adds[at:]])

    statuses = Counter(answer.status_code for answer in answers)
    facts = house.facts()
    logins = sum(row["team_id"] == team for row in facts["login"])
    if statuses[204]:
        assert Counter({204: 1, 404: 50}) == statuses
        assert 0 == logins
        assert team not in [row["id"] for row in facts["team"]]
        return "gone"
    assert Counter({409: 1, 201: 50}) == statuses, [answer.text for answer in answers if answer.status_code > 299]
    assert 50 == logins
    [row] = [row for row in facts["team"] if row["id"] == team]
    assert (way == "DELETE the group by SCIM") == (row["deletion_requested_at"] is not None)
    return "stays"


# ── From one group to another ───────────────────────────────────────────────────────────────────────────────────────


def test_who_goes_from_one_group_to_another_keeps_the_card(doors: list[str], house: House) -> None:
    """Out of one group and into another at once, on two processes: both lead to the template, so the card stays."""
    people = house.people(16)
    groups = [house.group("North", people), house.group("South")]
    house.assign(*groups)
    cards = {row["person_id"]: row["id"] for row in house.facts()["card"]}

    def move(person: str, turn: int) -> Job[list[httpx.Response]]:
        origin, goal = groups[turn % 2], groups[1 - turn % 2]
        leave = patch({"op": "Remove", "path": f'members[value eq "{person}"]'})
        join = patch({"op": "Add", "path": "members", "value": [{"value": person}]})

        async def job(client: httpx.AsyncClient) -> list[httpx.Response]:
            requests = [
                client.patch(f"{doors[0]}/Groups/{origin}", json=leave),
                client.patch(f"{doors[-1]}/Groups/{goal}", json=join),
            ]
            return list(await asyncio.gather(*(requests if turn % 4 < 2 else requests[::-1])))

        return job

    for turn in range(4):
        answers = together(doors, house.customer, [move(person, turn) for person in people])

        assert {204} == {answer.status_code for both in answers for answer in both}
        facts = house.facts()
        assert [] == disagreements(facts)
        assert cards == {row["person_id"]: row["id"] for row in facts["card"] if row["state"] == "active"}
    events = house.events()
    assert (16, events["card.paused"]) == (events["card.issued"], events["card.revived"])


def test_groups_people_and_assignments_change_at_once(doors: list[str], house: House) -> None:
    """While groups come to lead to a template and no longer do, people join, leave and come back: all agrees after."""
    people = house.people(24)
    groups = [house.group(f"Group {n}", people[n::3]) for n in range(3)]

    def person(number: int) -> Job[list[int]]:
        async def job(client: httpx.AsyncClient) -> list[int]:
            choose, found = random.Random(SEED + number), []
            for _ in range(6):
                group = choose.choice(groups)
                join = patch({"op": "Add", "path": "members", "value": [{"value": people[number]}]})
                leave = patch({"op": "Remove", "path": f'members[value eq "{people[number]}"]'})
                switch = patch({"op": "Replace", "path": "active", "value": choose.random() < 0.7})
                path, body = choose.choice(
                    [(f"Groups/{group}", join), (f"Groups/{group}", leave), (f"Users/{people[number]}", switch)]
                )
                found.append((await client.patch(path, json=body)).status_code)
            return found

        return job

    async def administrator(client: httpx.AsyncClient) -> list[int]:
        choose, found = random.Random(SEED), []
        for _ in range(20):
            body = {"group_ids": [group for group in groups if choose.random() < 0.5]}
            path = api(client, f"templates/{house.template_id}/assignments")
            found.append((await client.put(path, json=body, headers=house.headers)).status_code)
        return found

    answers = together(doors, house.customer, [administrator, *map(person, range(24)), administrator])

    assert {200, 204} >= {status for found in answers for status in found}
    assert [] == disagreements(house.facts())


# ── Who came first is decided by a lock ─────────────────────────────────────────────────────────────────────────────

Act = Callable[[Work], object]


def come_back(user: str) -> Act:
    def act(work: Work) -> None:
        before = provisioning.lock_user(work, user)
        resource = {**attributes_of(before.document), "active": True}
        provisioning.save_user(work, before, UserRecord(resource, active=True))

    return act


def join(group: str, user: str) -> Act:
    step = MemberStep("add", [user])
    return lambda work: provisioning.change_group(work, provisioning.lock_group(work, group), GroupChange(steps=[step]))


def be_reached_by_the_worker(group: str) -> Act:
    def act(work: Work) -> None:
        now = clock.now()
        args = f'{{"group_id": "{group}"}}'
        job = jobs.Job(
            work.tenant_id, "job", follow.ISSUE, args, "running", "", "", 0, 1, 1, 0, 1, None, now, now, None, now
        )
        follow.issue_step(work, job)

    return act


@pytest.fixture
def two_people(house: House) -> tuple[House, str, dict[str, Act]]:
    """A group that leads to the template; one who is disabled and has a paused card, and one outside the group."""
    disabled, outside = house.people(2)
    group = house.group("Sales", [disabled])
    house.assign(group)
    house.write(lambda work: provisioning.save_user(work, *switched_off(work, disabled)))
    gains = {
        "who comes back": come_back(disabled),
        "who joins": join(group, outside),
        "whom the worker reaches": be_reached_by_the_worker(group),
    }
    return house, group, gains


def switched_off(work: Work, user: str) -> tuple[User, UserRecord]:
    before = provisioning.lock_user(work, user)
    return before, UserRecord({**attributes_of(before.document), "active": False}, active=False)


@pytest.mark.parametrize("first", ["the gain", "the loss"])
@pytest.mark.parametrize("loss", ["unassign", "delete the group"])
@pytest.mark.parametrize("gain", ["who comes back", "who joins", "whom the worker reaches"])
def test_a_gain_and_the_loss_of_its_reason_at_once(
    two_people: tuple[House, str, dict[str, Act]], gain: str, loss: str, first: str
) -> None:
    """While one transaction takes a group's assignment away and another one gives a card for it, one of them waits."""
    house, group, gains = two_people
    if house.database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    if gain == "whom the worker reaches":
        # A person that has no card yet: its group was too large to be served at once.
        house.write(lambda work: join_silently(work, group))
    losses: dict[str, Act] = {
        "unassign": lambda work: administration.assign_template(work, house.template_id, []),
        "delete the group": lambda work: provisioning.delete_group(work, group),
    }
    acts = [gains[gain], losses[loss]]
    if first == "the loss":
        acts.reverse()

    in_core(house.database_url, lambda database: one_inside_the_other(database, house.customer, *acts))

    assert [] == disagreements(house.facts())


@pytest.mark.parametrize("first", ["who waits", "who is served"])
def test_who_waits_lets_go_while_a_seat_frees(server: Server, first: str) -> None:
    """The freed seat goes to the next who still waits, and is not lost on who let go in the same moment."""
    house = new_house(server, seats=1)
    if house.database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time")
    served, waiting, _ = house.claim_beside(house.invite(3))
    acts: list[Act] = [lambda work, card=card: deletion.delete_card(work, card) for card in (waiting, served)]  # type: ignore[misc]
    if first == "who is served":
        acts.reverse()

    in_core(house.database_url, lambda database: one_inside_the_other(database, house.customer, *acts))

    facts = house.facts()
    assert [] == disagreements(facts)
    assert (1, 0) == (count_open(facts), count_waiting(facts))


def join_silently(work: Work, group: str) -> None:
    user = a_user(work, 99)
    directory.add_members(work, group, [user.id])


async def one_inside_the_other(database: Database, customer: Customer, first: Act, second: Act) -> None:
    """Start the second when the first has done all but commit; the first commits when the second waits or is through."""
    done, may_commit = asyncio.Event(), asyncio.Event()

    def unit(act: Act, *, held: bool) -> Callable[[Connection], None]:
        def job(connection: Connection) -> None:
            work = Work(
                connection,
                customer.tenant_id,
                customer.connection_id,
                Actor(Source.SCIM, "test"),
                "test",
                clock.now(),
            )
            act(work)
            outbox.flush(work)
            if held:
                done.set()
                await_only(may_commit.wait())

        return job

    one: Awaitable[None] = asyncio.ensure_future(database.write(unit(first, held=True)))
    await asyncio.wait_for(done.wait(), 10)
    other = asyncio.ensure_future(database.write(unit(second, held=False)))
    await asyncio.wait([other], timeout=0.3)
    may_commit.set()
    await one
    # The group may be gone when its new member comes: refused, as it should be.
    with contextlib.suppress(NotFound):
        await other
