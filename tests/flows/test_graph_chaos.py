"""G7 as a whole: a directory that changes all the time, a Graph that fails in every way, workers killed again and again.

Real processes: a simulated Entra, `serve` and, on PostgreSQL, two workers beside it. In the end the mirror (by SQL) and
what follows from it (by the JSON API) are held against the directory, made out from scratch, and the feed of events is
replayed: nothing is told twice, nothing is left out. A failing run names its seed.
"""

from __future__ import annotations

import contextlib
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from app_core import (
    administration,
    api_keys,
    clock,
    directory_photos,
    graph_links,
    migrations,
    outbox,
    reconciliations,
    templates,
    tenants,
    user_filter,
)
from app_core.api_keys import KeyScope
from app_core.resource import ENTERPRISE_USER, attributes_of
from app_core.work import Work
from runtime.simulator.faults import FaultKind
from tests.agreement import disagreements
from tests.flows.test_pull import Joined
from tests.processes import ServerProcess, a_minute_passes, empty_database, new_customer, serving, wait_for, working
from tests.raw import sql
from tests.simulator import Entra, EntraTenant, simulated
from tests.told import Told

JSON = dict[str, Any]
PEOPLE, GROUPS, KILLS = 30, 6, 10
FIELDS = [
    {"key": "name", "source": "display_name", "mode": "always"},
    {"key": "title", "source": "job_title", "mode": "always"},
]
SMALL_PAGES = {"delta_page": 4, "members_page": 4, "list_page": 5, "shuffle": True, "removed_in_first_round": True}
FAULTS: list[JSON] = [
    # Each strikes early, wherever the work is then.
    {"kind": "gone", "skip": 4},
    {"kind": "expired", "when": "deltatoken", "skip": 2},
    {"kind": "expired", "when": "skiptoken", "skip": 12},
    {"kind": "expired_page", "path": "/delta", "skip": 20},
    {"kind": "expired_page", "path": r"/(users|members)\?", "skip": 2},
    {"kind": "short_listing", "path": "/delta", "skip": 8},
    {"kind": "short_listing", "path": r"/(users|members)\?", "skip": 3},
    {"kind": "foreign_link", "path": "/delta", "skip": 16},
    {"kind": "forbidden", "path": "/delta", "skip": 24},
    {"kind": "timeout", "seconds": 0.5, "skip": 28},
    {"kind": "garbage", "skip": 6},
    {"kind": "truncate", "skip": 7},
    {"kind": "part", "status": 503, "skip": 3},
    {"kind": "replay", "skip": 5},
    # A storm: while it lasts everything is refused, and whoever asks too early prolongs it.
    {"kind": "throttle", "retry_after": 1, "skip": 10, "count": 3, "path": "/delta"},
    # And all the while, by chance.
    {"kind": "throttle", "retry_after": 1, "chance": 0.01, "count": None},
    {"kind": "throttle", "chance": 0.02, "count": None},
    {"kind": "error", "status": 500, "chance": 0.01, "count": None},
    {"kind": "error", "status": 502, "html": True, "chance": 0.01, "count": None},
    {"kind": "error", "status": 503, "retry_after": 1, "chance": 0.01, "count": None},
    {"kind": "error", "status": 504, "chance": 0.01, "count": None},
    {"kind": "slow", "seconds": 0.3, "chance": 0.05, "count": None},
    {"kind": "truncate", "chance": 0.01, "count": None},
    {"kind": "garbage", "chance": 0.01, "count": None},
    {"kind": "unauthorized", "chance": 0.05, "count": None},
    {"kind": "expired", "when": "deltatoken", "chance": 0.1, "count": None},
    {"kind": "gone", "chance": 0.01, "count": None},
    {"kind": "expired_page", "chance": 0.01, "count": None},
    {"kind": "empty_page", "chance": 0.15, "count": None},
    {"kind": "duplicate", "chance": 0.3, "count": None},
    {"kind": "reorder", "chance": 0.5, "count": None},
    {"kind": "replay", "chance": 0.1, "count": None},
    {"kind": "short_listing", "chance": 0.01, "count": None},
    {"kind": "part", "status": 503, "chance": 0.05, "count": None},
    {"kind": "error", "face": "login", "chance": 0.1, "count": None},
    {"kind": "throttle", "face": "login", "retry_after": 1, "chance": 0.05, "count": None},
]


# ── A directory that changes ────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Changes:
    """Changes a directory at random, the same again from the same seed, and counts what it has changed."""

    there: EntraTenant
    random: random.Random
    live: dict[str, str] = field(default_factory=dict)
    """Object id → alias of the users that are there."""
    deleted: dict[str, str] = field(default_factory=dict)
    groups: dict[str, set[str]] = field(default_factory=dict)
    """Object id → members that are live."""
    names: dict[str, str] = field(default_factory=dict)
    chosen: list[str] = field(default_factory=list)
    """The groups of the user filter, by object id; they stay."""
    made: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often what of whom was changed."""
    steps: list[JSON] = field(default_factory=list)
    number: int = 0

    def found(self) -> None:
        """Make a company: people, and groups of a third of them each."""
        for _ in range(PEOPLE):
            self.hire()
        for _ in range(GROUPS):
            self.make_group(f"Group {self.new()}")
        self.send()

    def make(self, count: int) -> None:
        """Make some changes."""
        for _ in range(count):
            self.random.choices(list(ACTS), weights=list(ACTS.values()))[0](self)
        self.send()

    def send(self) -> None:
        self.there.entra.script(*self.steps)
        self.steps.clear()

    def do(self, verb: str, **arguments: Any) -> None:
        self.steps.append({"do": verb, "tenant": self.there.id, **arguments})

    def new(self) -> int:
        self.number += 1
        return self.number

    def someone(self) -> str:
        return self.random.choice(sorted(self.live))

    def some_group(self) -> str:
        return self.random.choice(sorted(self.groups))

    def new_id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))

    # What can happen

    def hire(self, alias: str = "") -> None:
        user, alias = self.new_id(), alias or f"p{self.new()}"
        self.live[user] = alias
        name = f"{alias}@{self.there.domain}"
        self.do(
            "create_user",
            id=user,
            userPrincipalName=name,
            mail=name,
            displayName=f"Person {alias}",
            jobTitle="Guide",
            department="Tours",
            mobilePhone="+14255550100",
            accountEnabled=self.random.random() < 0.9,
        )
        if self.groups:
            self.join(user)

    def hire_again(self) -> None:
        """Hire somebody under the name of one who is deleted, who gave it free."""
        free = sorted(set(self.deleted.values()) - set(self.live.values()))
        if free:
            self.hire(self.random.choice(free))

    def swap_names(self) -> None:
        one, two = self.random.sample(sorted(self.live), 2)
        self.live[one], self.live[two] = self.live[two], self.live[one]
        names = {each: f"{self.live[each]}@{self.there.domain}" for each in (one, two)}
        self.do("rename_user", user=one, name=f"p{self.new()}@{self.there.domain}")
        self.do("rename_user", user=two, name=names[two])
        self.do("rename_user", user=one, name=names[one])

    def rename_user(self) -> None:
        user, alias = self.someone(), f"p{self.new()}"
        self.live[user] = alias
        self.do("rename_user", user=user, name=f"{alias}@{self.there.domain}")

    def give_title(self) -> None:
        user = self.someone()
        self.made[user, "title"] += 1
        self.do("change_user", user=user, jobTitle=f"Title {self.new()}")

    def move(self) -> None:
        user = self.someone()
        self.made[user, "department"] += 1
        self.do("change_user", user=user, department=self.random.choice([None, f"Department {self.new()}"]))

    def switch(self) -> None:
        user = self.someone()
        self.made[user, "active"] += 1
        self.do("change_user", user=user, accountEnabled=self.random.random() < 0.5)

    def set_photo(self) -> None:
        self.do("set_photo", user=self.someone(), seed=f"photo {self.new()}")

    def remove_photo(self) -> None:
        self.do("remove_photo", user=self.someone())

    def give_manager(self) -> None:
        self.do("set_manager", user=self.someone(), manager=self.random.choice([None, self.someone()]))

    def join(self, user: str = "") -> None:
        user, group = user or self.someone(), self.some_group()
        self.groups[group].add(user)
        self.do("add_members", group=group, members=[user])

    def leave(self) -> None:
        group = self.some_group()
        if self.groups[group]:
            user = self.random.choice(sorted(self.groups[group]))
            self.groups[group].discard(user)
            self.do("remove_members", group=group, members=[user])

    def rename_group(self) -> None:
        group = self.some_group()
        self.names[group] = f"Group {self.new()}"
        self.made[group, "team.renamed"] += 1
        self.do("rename_group", group=group, name=self.names[group])

    def make_group(self, name: str) -> None:
        group = self.new_id()
        self.groups[group] = set(self.random.sample(sorted(self.live), len(self.live) // 3))
        self.names[group] = name
        self.do("create_group", id=group, displayName=name, members=sorted(self.groups[group]))

    def make_group_anew(self) -> None:
        """Delete a group, and make another one of its name."""
        group = self.random.choice(sorted(self.groups.keys() - set(self.chosen)))
        del self.groups[group]
        self.do("delete", object=group)
        self.make_group(self.names.pop(group))

    def delete(self) -> None:
        user = self.someone()
        self.deleted[user] = self.live.pop(user)
        for members in self.groups.values():
            members.discard(user)
        self.do("delete", object=user)

    def restore(self) -> None:
        taken = set(self.live.values())
        free = [user for user, alias in self.deleted.items() if alias not in taken]
        if free:
            user = self.random.choice(sorted(free))
            self.live[user] = self.deleted.pop(user)
            self.do("restore", object=user)

    def purge(self) -> None:
        if self.deleted:
            user = self.random.choice(sorted(self.deleted))
            del self.deleted[user]
            self.do("purge", object=user)


ACTS: Mapping[Callable[[Changes], None], int] = {
    Changes.give_title: 16,
    Changes.move: 10,
    Changes.switch: 10,
    Changes.give_manager: 6,
    Changes.set_photo: 4,
    Changes.remove_photo: 2,
    Changes.join: 18,
    Changes.leave: 12,
    Changes.rename_group: 8,
    Changes.rename_user: 3,
    Changes.swap_names: 3,
    Changes.hire: 8,
    Changes.hire_again: 3,
    Changes.delete: 6,
    Changes.restore: 4,
    Changes.purge: 3,
    Changes.make_group_anew: 2,
}


# ── Processes that are killed ───────────────────────────────────────────────────────────────────────────────────────


class House:
    """A tenant here and its directory there, the server that shows it, and those who work."""

    def __init__(self, url: str, folder: Path, entra: Entra, seed: int) -> None:
        self.url, self.folder, self.entra = url, folder, entra
        self.random = random.Random(seed)
        self.joined = Joined(url, entra, entra.new_tenant(), new_customer(url))
        self.changes = Changes(self.joined.there, random.Random(seed + 1))
        self.apart = not url.startswith("sqlite")
        """Whether workers are processes of their own."""
        self.running: list[contextlib.ExitStack] = []
        self.workers: list[ServerProcess] = []
        self.interrupted = 0
        self.key = self.write(self._key)

    def _key(self, work: Work) -> str:
        return api_keys.issue(work.connection, tenants.find(work.connection, work.tenant_id), KeyScope.ADMIN)[1]

    def write(self, act: Callable[[Work], Any]) -> Any:
        def flushed(work: Work) -> Any:
            value = act(work)
            outbox.flush(work)
            return value

        return self.joined.read(flushed)

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        with contextlib.ExitStack() as everything:
            if self.apart:
                known = self.entra.server_settings
                self.server = everything.enter_context(serving(self.url, self.folder, worker=False, **known))
            for at in range(2 if self.apart else 1):
                self.running.append(everything.enter_context(contextlib.ExitStack()))
                self.workers.append(self.start(at))
            yield

    def start(self, at: int) -> ServerProcess:
        """Start a worker in a place; on SQLite it is the server."""
        process = self.running[at].enter_context(working(self.url, self.folder, **self.entra.server_settings))
        if not self.apart:
            self.server = process
        return process

    def kill_one(self) -> None:
        """Kill a worker at work as a power cut would, let a minute pass, and start another."""
        time.sleep(self.random.random() * 1.5)
        if not any(row[0] == "running" for row in self.jobs()):
            self.ask()
            wait_for(self.at_work, 60)
        at = self.random.randrange(len(self.workers))
        self.workers[at].kill()
        self.interrupted += any(row[0] == "running" for row in self.jobs())
        if self.apart:
            # Of two workers the other may hold a lease too: it has slept past it then, and must notice.
            a_minute_passes(self.url, self.joined.customer.tenant_id)
        self.running[at].close()
        self.workers[at] = self.start(at)

    def jobs(self) -> list[tuple[Any, ...]]:
        query = "SELECT state, kind, run_at, error, failures FROM job WHERE tenant_id = ? AND finished_at IS NULL"
        return sql(self.url, query, self.joined.customer.tenant_id)

    def ask(self) -> None:
        """Ask for a pull, photos of all included."""
        self.write(directory_photos.ask_all)
        self.write(graph_links.ask_for_pull)

    def filter(self) -> None:
        """Have only the people of most groups imported from now on."""
        self.changes.chosen = sorted(self.changes.groups)[1:]
        self.write(lambda work: user_filter.choose(work, self.changes.chosen))

    def reconcile(self) -> str:
        return str(self.write(lambda work: reconciliations.ask(work, grace=0.0)).id)

    def at_work(self) -> bool:
        """Say whether somebody is at work, or there is nothing to do."""
        states = {row[0] for row in self.jobs() if row[0] == "running" or row[2] <= clock.now()}
        return "running" in states or not states

    def rests(self) -> bool:
        """Say whether there is nothing to do within a minute: a reconciliation that failed is tried again later."""
        return not any(row[0] == "running" or row[2] <= clock.later(60) for row in self.jobs())

    def work(self, turn: int, changes: int) -> None:
        """Change the directory before somebody begins to look at it, and in the middle of that."""
        self.changes.make(changes)
        if turn % 3 == 2:
            self.reconcile()
        else:
            self.ask()
        wait_for(self.at_work, 60)
        self.changes.make(changes // 2)

    def wait_a_while(self) -> None:
        """Let a job come to its end, if it does soon."""
        with contextlib.suppress(AssertionError):
            wait_for(self.rests, 1)

    def struck(self) -> Counter[str]:
        """Count how often each kind of fault has struck."""
        counts: Counter[str] = Counter()
        for each in self.entra.do("faults")["faults"]:
            counts[each["kind"]] += each["struck"]
        return +counts

    # In the end

    def settle(self) -> None:
        """Let everything be served, with nothing in the way; groups that were made anew are added by hand."""
        wait_for(self.rests, 60)
        self.ask()
        wait_for(self.rests, 60)
        for group in sorted(self.changes.groups):
            self.joined.do(lambda hand, group=group: hand.add(group))  # type: ignore[misc]
        run = self.check_run(self.reconcile())
        self.repaired = Counter(
            each.drift.kind for each in self.joined.read(lambda work: reconciliations.findings(work, run.id))
        )
        # Who has come has a turn for the photo since.
        self.ask()
        wait_for(self.rests, 60)

    def check_run(self, run_id: str) -> reconciliations.Run:
        wait_for(self.rests, 60)
        run: reconciliations.Run | None = self.joined.read(lambda work: reconciliations.find(work, run_id))
        assert run is not None
        assert ("done", None) == (run.state, run.error)
        return run

    @contextlib.contextmanager
    def api(self) -> Iterator[Callable[..., list[JSON]]]:
        """Give a way to read a list of the JSON API to its end."""
        headers = {"Authorization": f"Bearer {self.key}"}
        with httpx.Client(base_url=f"{self.server.url}/api/v1", headers=headers, timeout=60) as client:

            def every(path: str, **params: Any) -> list[JSON]:
                found: list[JSON] = []
                after: Any = None
                while True:
                    given = {"limit": 200, **params, **({} if after is None else {"after": after})}
                    page = client.get(path, params=given).raise_for_status().json()
                    found += page["items"]
                    after = page["next"]
                    if after is None:
                        return found

            yield every


# ── The test ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def entra(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entra]:
    with simulated(tmp_path_factory.mktemp("entra")) as running:
        yield running


@pytest.mark.timeout(400)
@pytest.mark.parametrize("seed", [1, *[pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 12)]])
def test_nothing_is_lost_and_nothing_doubled(database_url: str, entra: Entra, tmp_path: Path, seed: int) -> None:
    """Every fault, ten kills, changes all the while: directory, mirror, teams and cards agree, each event once (G7)."""
    entra.reset()
    with empty_database(database_url, tmp_path) as url:
        migrations.upgrade(url)
        house = House(url, tmp_path, entra, seed)
        prepare(house)
        with house.open():
            entra.script({"do": "settings", **SMALL_PAGES, "token_seconds": 302})
            entra.script(*[{"do": "fault", "seed": seed + at, **fault} for at, fault in enumerate(FAULTS)])
            t0 = time.monotonic()
            for turn in range(KILLS):
                if turn == KILLS // 2:
                    house.filter()
                house.work(turn, changes=6)
                house.kill_one()
                if turn % 2:
                    house.wait_a_while()
            turn = 0
            while not_struck := set(map(str, FaultKind)) - house.struck().keys():
                assert turn < 80, f"never struck: {not_struck}"
                print(round(time.monotonic() - t0, 1), not_struck, house.jobs())
                house.work(turn, changes=2)
                house.wait_a_while()
                turn += 1
            struck = house.struck()
            entra.do("clear_faults")
            house.settle()
            check(house)
            with house.api() as every:
                told = len(every("events"))
                house.ask()
                assert 0 == house.check_run(house.reconcile()).found
                assert told == len(every("events")), "a round without changes told something"
            check_seen(house)
    entra.reset()
    assert house.interrupted > KILLS // 2, "the kills met nobody at work"
    print(
        f"seed {seed}: {house.interrupted} of {KILLS} kills interrupted a job; struck: {dict(struck)}; "
        f"repaired at last: {dict(house.repaired)}"
    )


def prepare(house: House) -> None:
    """Make the company, connect it, take its groups over, and let two of them lead to a template; seats are short."""
    house.changes.found()
    house.joined.do(lambda hand: hand.connect(house.joined.there.id))
    house.joined.sync()
    added = [
        house.joined.do(lambda hand, group=group: hand.add(group))["group_id"]  # type: ignore[misc]
        for group in sorted(house.changes.groups)
    ]

    def assign(work: Work) -> None:
        tenants.change(work, name=f"House {uuid.uuid4().hex[:8]}", seat_limit=15)
        template = templates.create(work, "Standard", fields=FIELDS)
        administration.assign_template(work, template.id, added[:2])

    house.write(assign)


def check(house: House) -> None:
    """Hold everything against the directory, from scratch."""
    truth = house.joined.there.truth()
    tenant_id = house.joined.customer.tenant_id
    assert [] == disagreements(house.url, tenant_id)
    in_scope = {
        each["id"] for group in truth["groups"] if group["id"] in house.changes.chosen for each in group["members"]
    }
    ids = check_users(house, truth, in_scope)
    check_photos(house, truth)
    with house.api() as every:
        people = check_people(every, ids, in_scope)
        members = check_teams(every, truth, ids, people)
        cards = check_cards(house, every, truth, members)
        told, events = Told(), every("events")
        for event in events:
            told.take(event["type"], event["subject"]["id"], event["payload"])
        check_told(every, told, members, cards)
        check_counts(house, every, told, events)


def check_users(house: House, truth: JSON, in_scope: set[str]) -> dict[str, JSON]:
    """Hold the mirror's users against the directory's; give them by the mirror's id."""
    rows = sql(
        house.url,
        "SELECT id, entra_object_id, user_name, active, document FROM directory_user WHERE tenant_id = ?",
        house.joined.customer.tenant_id,
    )
    live, deleted = (
        {each["id"]: each for each in truth[name] if each["kind"] == "user"} for name in ("users", "deleted")
    )
    here = {str(row[1]): (str(row[0]), row) for row in rows}
    assert len(rows) == len(here)
    # Who is outside of the filter and was here before stays, inactive.
    assert live.keys() & in_scope <= here.keys() <= live.keys() | deleted.keys()
    for object_id, (_, row) in here.items():
        document = attributes_of(bytes(row[4]))
        said = live.get(object_id, deleted.get(object_id))
        assert said is not None
        active = object_id in live and object_id in in_scope and said["accountEnabled"]
        assert active == bool(row[3]), said["userPrincipalName"]
        if object_id in live:
            told = told_of(document)
            # One who is deleted and can be restored is a manager in one list of Graph's, and none in another.
            manager = told["manager"] if said["manager"] in deleted else here.get(said["manager"], (None,))[0]
            assert wanted_of(said, manager) == told, said["userPrincipalName"]
    return {key: {**live.get(object_id, {}), "object_id": object_id} for object_id, (key, _) in here.items()}


def wanted_of(said: JSON, manager: str | None) -> JSON:
    return {
        "userName": said["userPrincipalName"],
        "displayName": said["displayName"],
        "title": said.get("jobTitle"),
        "department": said.get("department"),
        "mail": said.get("mail"),
        "mobile": said.get("mobilePhone"),
        "manager": manager,
    }


def told_of(document: JSON) -> JSON:
    enterprise = document.get(ENTERPRISE_USER) or {}
    return {
        **{name: document.get(name) for name in ("userName", "displayName", "title")},
        "department": enterprise.get("department"),
        "mail": next((each["value"] for each in document.get("emails", [])), None),
        "mobile": next((each["value"] for each in document.get("phoneNumbers", [])), None),
        "manager": (enterprise.get("manager") or {}).get("value"),
    }


def check_photos(house: House, truth: JSON) -> None:
    """Hold the photos of the people against those of the directory; who is not active is not asked for."""
    rows = sql(
        house.url,
        "SELECT u.entra_object_id, d.etag, p.photo_hash FROM directory_user u "
        "JOIN person p ON p.tenant_id = u.tenant_id AND p.directory_user_id = u.id "
        "JOIN directory_photo d ON d.tenant_id = u.tenant_id AND d.user_id = u.id "
        "WHERE u.tenant_id = ? AND u.active AND d.asked_at IS NOT NULL",
        house.joined.customer.tenant_id,
    )
    photos = {each["id"]: each["photo"] for each in truth["users"]}
    assert {str(key): photos[str(key)] for key, _, _ in rows if key in photos} == {
        str(key): etag for key, etag, _ in rows if key in photos
    }
    assert all((etag is None) == (photo is None) for _, etag, photo in rows)
    assert len(rows) > PEOPLE // 2


def check_people(every: Callable[..., list[JSON]], ids: dict[str, JSON], in_scope: set[str]) -> dict[str, JSON]:
    """Hold people against the users that lead to them; give them by object id."""
    found = every("people")
    led = {each["directory_user_id"]: each for each in found if each["directory_user_id"] is not None}
    assert ids.keys() == led.keys()
    for key, person in led.items():
        active = bool(ids[key].get("accountEnabled")) and ids[key]["object_id"] in in_scope
        assert ("active" if active else "inactive") == person["state"]
        if "userPrincipalName" in ids[key]:
            assert ids[key]["userPrincipalName"] == person["sign_in"]
    return {ids[key]["object_id"]: person for key, person in led.items()}


def check_teams(
    every: Callable[..., list[JSON]], truth: JSON, ids: dict[str, JSON], people: dict[str, JSON]
) -> dict[str, set[str]]:
    """Hold teams and their members against the directory's groups; give the members by team."""
    groups = {each["id"]: each for each in every("groups")}
    teams = every("teams")
    by_object = {groups[each["group_id"]]["entra_object_id"]: each for each in teams}
    wanted = {each["id"]: each for each in truth["groups"]}
    assert wanted.keys() == by_object.keys()
    assert len(teams) == len(wanted)
    members: dict[str, set[str]] = {}
    gone = {person["id"] for object_id, person in people.items() if object_id not in {u["id"] for u in truth["users"]}}
    for object_id, team in by_object.items():
        assert wanted[object_id]["displayName"] == team["name"]
        listed = [each["id"] for each in every(f"teams/{team['id']}/members")]
        assert len(listed) == len(set(listed)) == team["member_count"]
        members[team["id"]] = set(listed)
        # Who is deleted and can be restored is still in, and Entra does not show it.
        named = {people[each["id"]]["id"] for each in wanted[object_id]["members"] if each["id"] in people}
        assert named == set(listed) - gone, team["name"]
    return members


def check_cards(
    house: House, every: Callable[..., list[JSON]], truth: JSON, members: dict[str, set[str]]
) -> dict[str, str]:
    """Hold cards and seats against who is in the groups that lead to them; give the cards' states."""
    leading = {
        str(row[0])
        for row in sql(
            house.url,
            "SELECT t.id FROM template_assignment a JOIN team t ON t.tenant_id = a.tenant_id AND t.group_id = a.group_id "
            "WHERE a.tenant_id = ?",
            house.joined.customer.tenant_id,
        )
    }
    active = {each["id"] for each in every("people") if each["state"] == "active"}
    wanted = set().union(*[members[team] for team in leading]) & active if leading else set()
    cards = every("cards")
    assert len(cards) == len({each["person_id"] for each in cards})
    assert wanted == {each["person_id"] for each in cards if each["state"] in ("active", "waiting")}
    seats = every("seats")
    assert wanted == {each["person_id"] for each in seats}
    assert min(15, len(wanted)) == sum(each["state"] == "open" for each in seats)
    return {each["id"]: "paused" if each["state"] == "paused" else "active" for each in cards}


def check_told(
    every: Callable[..., list[JSON]], told: Told, members: dict[str, set[str]], cards: dict[str, str]
) -> None:
    """Hold what the events tell against what is so: nothing is left out."""
    assert {each["id"]: each["state"] == "active" for each in every("people")} == told.people
    assert {each["id"]: (each["name"], each["kind"]) for each in every("teams")} == told.teams
    assert members == told.members
    assert cards == {card: state for card, (_, _, state) in told.cards.items()}
    assert {each["id"]: (each["person_id"], each["state"] == "open") for each in every("seats")} == told.seats


def check_counts(house: House, every: Callable[..., list[JSON]], told: Told, events: list[JSON]) -> None:
    """Hold that no change was told more often than it was made."""
    groups = {each["team_id"]: each["entra_object_id"] for each in every("groups")}
    users = {
        str(person): str(object_id)
        for person, object_id in sql(
            house.url,
            "SELECT p.id, u.entra_object_id FROM person p JOIN directory_user u "
            "ON u.tenant_id = p.tenant_id AND u.id = p.directory_user_id WHERE p.tenant_id = ?",
            house.joined.customer.tenant_id,
        )
    }
    for (what, subject), count in told.counts.items():
        object_id = groups.get(subject) or users.get(subject)
        if what in ("team.renamed", "title", "department") and object_id is not None:
            of_it = [event for event in events if event["subject"]["id"] == subject]
            assert count <= house.changes.made[object_id, what], f"{what} of {object_id}: {json.dumps(of_it)}"


def check_seen(house: House) -> None:
    """Hold that the connection is well again, and that no job was given up."""
    tenant_id = house.joined.customer.tenant_id
    link = "SELECT status, status_reason FROM directory_connection WHERE tenant_id = ?"
    assert [("connected", None)] == sql(house.url, link, tenant_id)
    assert [] == sql(house.url, "SELECT kind, error FROM job WHERE tenant_id = ? AND state = 'failed'", tenant_id)
