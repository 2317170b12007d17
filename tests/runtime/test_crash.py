"""The server dies or is stopped under load: what it acknowledged is there, and nothing is there by half.

Each client names its requests (`x-request-id`), keeps what it asked for and what was acknowledged. Afterwards the
provisioning log says which of the requests happened, and everything that can be read must be the sum of just these.
"""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app_core import migrations, provisioning
from app_core.db import Connection
from app_core.provisioning import GroupRecord
from tests.builders import a_user, patch
from tests.processes import Customer, ServerProcess, in_core, log_of, new_customer, serving, wait_for
from tests.runtime.test_concurrency import BULK_REQUEST, everyone, members_of, version_of

WRITERS = 8
SEED = 20261124


# ── What clients ask for ────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Person:
    """A user as its client means it to be."""

    email: str
    title: str = "Tour Guide"
    version: int = 1
    member: bool = False


@dataclass
class Asked:
    """One request: what it would do to which people, and whether an answer came."""

    request_id: str
    method: str
    path: str
    body: dict[str, Any] | None
    people: list[str]
    """The userNames that it concerns."""
    acknowledged: bool = False


@dataclass
class Writer:
    """A client that writes people of its own until the server is gone."""

    name: str
    group: str
    random: random.Random
    asked: list[Asked] = field(default_factory=list)
    ids: dict[str, str] = field(default_factory=dict)
    """The id of each userName whose create was acknowledged."""
    free: list[str] = field(default_factory=list)
    """Acknowledged userNames that no request without an answer concerns."""
    refused: list[str] = field(default_factory=list)
    count: int = 0

    def run(self, scim_urls: Sequence[str], customer: Customer, stop: threading.Event) -> None:
        """Write until told to stop, or until no server answers."""
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(customer.client(url)) for url in scim_urls]
            while clients and not stop.is_set():
                client = clients[self.count % len(clients)]
                asked = self.next()
                self.asked.append(asked)
                try:
                    answer = client.request(
                        asked.method, asked.path, json=asked.body, headers={"x-request-id": asked.request_id}
                    )
                except httpx.TransportError:
                    clients.remove(client)
                    continue
                if not answer.is_success:
                    self.refused.append(f"{asked.method} {asked.path}: {answer.status_code} {answer.text[:300]}")
                    continue
                asked.acknowledged = True
                self.note(asked, answer)

    def next(self) -> Asked:
        """Think of the next request; whom it concerns is not touched again before it is acknowledged."""
        self.count += 1
        what = self.random.choice(["create", "title", "email", "join", "leave", "delete", "bulk"])
        if what == "create" or len(self.free) < 3:
            user_name = f"{self.name}-{self.count}@contoso.com"
            return self.ask("POST", "Users", a_user(1, userName=user_name, emails=work(user_name)), [user_name])
        if what == "bulk":
            names = [f"{self.name}-{self.count}-{n}@contoso.com" for n in range(4)]
            return self.ask("POST", "Bulk", self.bulk(names), names)
        user_name = self.free.pop(self.random.randrange(len(self.free)))
        user = f"Users/{self.ids[user_name]}"
        if what == "title":
            change = {"op": "Replace", "path": "title", "value": f"title {self.count}"}
            return self.ask("PATCH", user, patch(change), [user_name])
        if what == "email":
            value = f"mail{self.count}.{user_name}"
            change = {"op": "Replace", "path": 'emails[type eq "work"].value', "value": value}
            return self.ask("PATCH", user, patch(change), [user_name])
        if what == "delete":
            return self.ask("DELETE", user, None, [user_name])
        members = [{"value": self.ids[user_name]}]
        op = "Add" if what == "join" else "Remove"
        join: dict[str, Any] = {"op": op, "path": "members", "value": members}
        return self.ask("PATCH", f"Groups/{self.group}", patch(join), [user_name])

    def bulk(self, names: list[str]) -> dict[str, Any]:
        makes: list[dict[str, Any]] = [
            {
                "method": "POST",
                "path": "/Users",
                "bulkId": f"u{n}",
                "data": a_user(1, userName=name, emails=work(name)),
            }
            for n, name in enumerate(names)
        ]
        members = [{"value": f"bulkId:u{n}"} for n in range(len(names))]
        joins = {
            "method": "PATCH",
            "path": f"/Groups/{self.group}",
            "data": patch({"op": "Add", "path": "members", "value": members}),
        }
        return {"schemas": [BULK_REQUEST], "Operations": [*makes, joins]}

    def ask(self, method: str, path: str, body: dict[str, Any] | None, people: list[str]) -> Asked:
        return Asked(f"{self.name}-{self.count}-{uuid.uuid4().hex[:8]}", method, path, body, people)

    def note(self, asked: Asked, answer: httpx.Response) -> None:
        if asked.path == "Users":
            self.ids[asked.people[0]] = answer.json()["id"]
        elif asked.path == "Bulk":
            reports = answer.json()["Operations"]
            assert ["201"] * 4 + ["204"] == [report["status"] for report in reports]
            for name, report in zip(asked.people, reports, strict=False):
                self.ids[name] = report["location"].rpartition("/")[2]
        if asked.method != "DELETE":
            self.free += asked.people


def work(value: str) -> list[dict[str, Any]]:
    return [{"primary": True, "type": "work", "value": value}]


def apply(asked: Asked, people: dict[str, Person]) -> int:
    """Do to the expected people what a request does; give how many versions of the group it makes."""
    if asked.path in ("Users", "Bulk"):
        for name in asked.people:
            people[name] = Person(name, member=asked.path == "Bulk")
        return int(asked.path == "Bulk")
    [name] = asked.people
    if asked.method == "DELETE":
        return int(people.pop(name).member)
    person = people[name]
    assert asked.body is not None
    operation = asked.body["Operations"][0]
    if operation["path"] == "members":
        before, person.member = person.member, operation["op"] == "Add"
        return int(before != person.member)
    if operation["path"] == "title":
        person.title = operation["value"]
    else:
        person.email = operation["value"]
    person.version += 1
    return 0


class Load:
    """All writers, on one tenant and one group, over any number of servers."""

    def __init__(self, database_url: str, customer: Customer, group: str, seed: int) -> None:
        self.database_url = database_url
        self.customer = customer
        self.group = group
        self.writers = [Writer(f"w{n}", group, random.Random(seed + n)) for n in range(WRITERS)]

    @property
    def acknowledged(self) -> int:
        return sum(asked.acknowledged for writer in self.writers for asked in writer.asked)

    @contextlib.contextmanager
    def running(self, *scim_urls: str) -> Iterator[threading.Event]:
        """Write during the block; afterwards all writers have noticed the end, by the event or by the servers."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=writer.run, args=(scim_urls, self.customer, stop)) for writer in self.writers
        ]
        for thread in threads:
            thread.start()
        try:
            yield stop
        finally:
            for thread in threads:
                thread.join(90)
        assert not any(thread.is_alive() for thread in threads)

    def wait_for_acknowledged(self, more: int) -> None:
        wanted = self.acknowledged + more
        wait_for(lambda: self.acknowledged >= wanted, 60)

    def check(self, scim_url: str) -> None:
        """Hold what can be read against what was asked for and, by the log, has happened."""
        assert [] == [refusal for writer in self.writers for refusal in writer.refused]
        rows: dict[str, list[dict[str, Any]]] = {}
        for row in log_of(self.database_url, self.customer):
            rows.setdefault(str(row["correlation_id"]), []).append(row)
        asked = [each for writer in self.writers for each in writer.asked]
        assert {each.request_id for each in asked} >= set(rows)
        assert [] == [each.request_id for each in asked if each.acknowledged and each.request_id not in rows]
        people: dict[str, Person] = {}
        group_version = 1
        for each in asked:
            if each.request_id in rows:
                found = rows[each.request_id]
                assert {"success", "skipped"} >= {row["outcome"] for row in found}
                assert (5 if each.path == "Bulk" else 1) == len(found)
                group_version += apply(each, people)
        with self.customer.client(scim_url) as scim:
            self.check_resources(scim, people, group_version)
            self.check_filters(scim, asked, people)

    def check_resources(self, scim: httpx.Client, people: dict[str, Person], group_version: int) -> None:
        users = everyone(scim)  # which holds totalResults against their number
        by_name = {user["userName"]: user for user in users.values()}
        assert sorted(people) == sorted(by_name)
        for name, person in people.items():
            user = by_name[name]
            assert person.title == user["title"]
            assert person.email == user["emails"][0]["value"]
            assert ([self.group] if person.member else []) == [each["value"] for each in user.get("groups", [])]
            assert f'W/"{person.version}' == user["meta"]["version"].rstrip('"').partition("-")[0]
        members = sorted(by_name[name]["id"] for name, person in people.items() if person.member)
        assert members == members_of(scim, self.group)
        assert group_version == version_of(scim.get(f"Groups/{self.group}"))

    def check_filters(self, scim: httpx.Client, asked: Sequence[Asked], people: dict[str, Person]) -> None:
        """The index rows say what the documents say: for who is there, was there, or never came to be."""
        everything = {name for each in asked for name in each.people} | {each.email for each in people.values()}
        for batch in batches(sorted(everything), 20):
            found = scim.post(
                "Users/.search",
                json={
                    "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
                    "filter": " or ".join(f'emails.value eq "{email}"' for email in batch),
                    "attributes": ["userName"],
                },
            ).json()
            expected = sorted(name for name, person in people.items() if person.email in batch)
            assert expected == sorted(user["userName"] for user in found["Resources"])
            assert len(expected) == found["totalResults"]


def batches(values: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for at in range(0, len(values), size):
        yield values[at : at + size]


@pytest.fixture
def load(own_database: str) -> Load:
    """A tenant with a group, on a database of the test's own."""
    migrations.upgrade(own_database)
    customer = new_customer(own_database)

    def make_group(connection: Connection) -> str:
        work = customer.work(connection)
        return provisioning.create_group(work, GroupRecord("Everybody")).id

    group = in_core(own_database, lambda database: database.write(make_group))
    return Load(own_database, customer, group, SEED)


# ── SIGKILL ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_killed_under_load(load: Load, tmp_path: Path) -> None:
    """Three times the server is killed at a random moment; each time nothing acknowledged is missing or half done."""
    kill_and_check(load, tmp_path, times=3, more=100)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_under_load_for_long(load: Load, tmp_path: Path) -> None:
    """The same fifteen times."""
    kill_and_check(load, tmp_path, times=15, more=400)


def kill_and_check(load: Load, folder: Path, *, times: int, more: int) -> None:
    moment = random.Random(SEED)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(load.database_url, folder))
        for _ in range(times):
            with load.running(server.scim_url):
                load.wait_for_acknowledged(moment.randint(more // 3, more))
                time.sleep(moment.random() / 50)
                server.kill()
            assert "" == server.stderr.read_text()
            server = stack.enter_context(serving(load.database_url, folder))
            load.check(server.scim_url)
        assert 0 == server.terminate(), server.output()


def test_one_of_two_replicas_is_killed(load: Load, tmp_path: Path) -> None:
    """On PostgreSQL the other replica goes on answering, and nothing of either is lost."""
    if load.database_url.startswith("sqlite"):
        pytest.skip("SQLite is served by one process")
    moment = random.Random(SEED)
    with serving(load.database_url, tmp_path) as staying:
        for _ in range(3):
            with (
                serving(load.database_url, tmp_path) as dying,
                load.running(staying.scim_url, dying.scim_url) as stop,
            ):
                load.wait_for_acknowledged(moment.randint(30, 100))
                time.sleep(moment.random() / 50)
                dying.kill()
                load.wait_for_acknowledged(50)
                stop.set()
            load.check(staying.scim_url)
        assert 0 == staying.terminate(), staying.output()


# ── SIGTERM ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_stopped_under_load(load: Load, tmp_path: Path) -> None:
    """SIGTERM ends a busy server with 0, and whatever it has carried out it has also answered."""
    with serving(load.database_url, tmp_path) as server:
        with load.running(server.scim_url):
            load.wait_for_acknowledged(100)
            code = server.terminate()

        assert 0 == code, server.output()
        assert not accepts(server)
        assert "" == server.stderr.read_text()
    happened = {row["correlation_id"] for row in log_of(load.database_url, load.customer)}
    unanswered = {each.request_id for writer in load.writers for each in writer.asked if not each.acknowledged}
    assert set() == happened & unanswered
    with serving(load.database_url, tmp_path) as server:
        load.check(server.scim_url)
        assert 0 == server.terminate()


def test_requests_in_flight_are_answered_after_sigterm(load: Load, tmp_path: Path) -> None:
    """Requests whose bodies are still on their way when SIGTERM comes are carried out; nobody new is let in."""
    bodies = [json.dumps(a_user(n)).encode() for n in range(12)]
    with serving(load.database_url, tmp_path) as server:
        lines = [connected(server) for _ in bodies]
        idle = connected(server)
        for line, body in zip(lines, bodies, strict=True):
            line.sendall(head_of(load.customer, len(body)) + body[:100])
        # The server has read the halves once it answers what was sent after them.
        with load.customer.client(server.scim_url) as scim:
            assert 0 == scim.get("Users").json()["totalResults"]
            assert 0 == scim.get("Users").json()["totalResults"]
        server.process.terminate()
        wait_for(lambda: not accepts(server))
        assert server.process.poll() is None

        for line, body in zip(lines, bodies, strict=True):
            line.sendall(body[100:])
        answers = [read_all(line) for line in lines]

        assert [b"HTTP/1.1 201 Created"] * len(bodies) == [answer.partition(b"\r\n")[0] for answer in answers]
        assert b"" == read_all(idle)
        assert 0 == server.process.wait(60), server.output()
    assert [201] * len(bodies) == [row["status"] for row in log_of(load.database_url, load.customer)]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_client_that_never_finishes_does_not_hold_the_server(load: Load, tmp_path: Path) -> None:
    """After the grace period the server ends although a body never came; nothing of it is stored."""
    with serving(load.database_url, tmp_path) as server:
        line = connected(server)
        line.sendall(head_of(load.customer, 1000) + b'{"userName": "')
        time.sleep(0.5)

        assert 0 == server.terminate(), server.output()
        line.close()
    assert [] == log_of(load.database_url, load.customer)


def connected(server: ServerProcess) -> socket.socket:
    parts = urlsplit(server.url)
    return socket.create_connection((str(parts.hostname), int(parts.port or 0)), timeout=30)


def accepts(server: ServerProcess) -> bool:
    try:
        connected(server).close()
    except ConnectionRefusedError:
        return False
    return True


def head_of(customer: Customer, length: int) -> bytes:
    return (
        "POST /scim/v2/Users HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/scim+json\r\n"
        f"Authorization: Bearer {customer.token}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def read_all(line: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    with line:
        answer = b""
        while part := line.recv(65536):
            answer += part
        return answer
