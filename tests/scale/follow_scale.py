"""How long it takes when one request concerns 20,000 people: `python -m tests.scale.follow_scale sqlite|postgresql`.

By hand, on a quiet machine; it starts a server (and, for PostgreSQL, a throw-away cluster without fsync) of its own and
prints what it measured. About two minutes each.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert

from app_core import (
    administration,
    api_keys,
    cards,
    clock,
    follow,
    migrations,
    outbox,
    people,
    provisioning,
    templates,
    tenants,
)
from app_core.api_keys import KeyScope
from app_core.db import Connection, Database, Statement, open_database
from app_core.ids import new_id
from app_core.jobs import Job
from app_core.provisioning import GroupRecord
from app_core.resource import UserRecord
from app_core.work import Work
from tests.postgres import running_postgres
from tests.processes import Customer, new_customer, serving

MEMBERS = 20_000
MANY_CARDS = 100_000
FEW_CARDS = 10
FIELDS = [
    {"key": "name", "source": "display_name", "mode": "always"},
    {"key": "title", "source": "job_title", "mode": "initial", "editable": True},
    {"key": "mobile", "label": "Mobile", "kind": "phone", "source": "mobile_phone", "mode": "always"},
]
CARDS = Statement(insert(cards.K))


class Counting:
    """A connection that counts what is asked of it."""

    def __init__(self, inner: Connection) -> None:
        self.inner = inner
        self.dialect, self.far = inner.dialect, inner.far
        self.counts: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self.inner, name)

        def counted(*arguments: Any) -> Any:
            if name != "savepoint":
                self.counts["statements"] += 1
            if name == "run_many":
                self.counts["rows of many"] += len(arguments[1])
            return asked(*arguments)

        return counted


class Undone(Exception):
    """Takes back what was only counted."""


class Scale:
    """A tenant of 20,000 people on a server of its own."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        migrations.upgrade(database_url)
        self.customer: Customer = new_customer(database_url)
        self.loop = asyncio.new_event_loop()
        self.database: Database = self.loop.run_until_complete(open_database(database_url))

    def write(self, act: Callable[[Work], Any]) -> Any:
        def job(connection: Connection) -> Any:
            work = self.customer.work(connection)
            value = act(work)
            outbox.flush(work)
            return value

        return self.loop.run_until_complete(self.database.write(job))

    def count(self, what: str, act: Callable[[Work], Any]) -> None:
        """Say how many statements an act takes and how long, with its events, and undo it."""

        def job(connection: Connection) -> None:
            counting = Counting(connection)
            work = self.customer.work(counting)
            started = time.perf_counter()
            act(work)
            events = len(work.events)
            outbox.flush(work)
            counts = counting.counts
            say(
                what,
                f"{counts['statements']} statements, one of them for {counts['rows of many']} rows"
                if counts["rows of many"]
                else f"{counts['statements']} statements",
                f"{events} events",
                seconds(started),
            )
            raise Undone

        with contextlib.suppress(Undone):
            self.loop.run_until_complete(self.database.write(job))

    def close(self) -> None:
        self.loop.run_until_complete(self.database.close())
        self.loop.close()

    def prepare(self) -> tuple[str, str, str]:
        """Make people, a group of all of them, and a template; give the group, the template and an API key."""
        started = time.perf_counter()
        users: list[str] = []
        for start in range(0, MEMBERS, 1000):
            users += self.write(lambda work, start=start: [a_user(work, start + n) for n in range(1000)])  # type: ignore[misc]
        say("people made by the core", f"{MEMBERS}", seconds(started))
        started = time.perf_counter()
        group = self.write(lambda work: provisioning.create_group(work, GroupRecord("Everybody", "all"), users).id)
        say("group of all made by the core", seconds(started))
        template = self.write(lambda work: templates.create(work, "Standard", fields=FIELDS).id)

        def key(work: Work) -> str:
            return api_keys.issue(work.connection, tenants.find(work.connection, work.tenant_id), KeyScope.ADMIN)[1]

        return group, template, self.write(key)

    def template_with_cards(self, count: int) -> str:
        """Make a template and cards of it by hand, several for a person."""
        owners: list[str] = []
        while len(owners) < min(count, MEMBERS):
            read = functools.partial(people.page, after=owners[-1] if owners else "", limit=5000)
            owners += [each.id for each in self.write(read)]

        def act(work: Work) -> str:
            template = templates.create(work, f"{count} cards", fields=FIELDS).id
            for start in range(0, count, 10_000):
                places = range(start, min(count, start + 10_000))
                work.run_many(CARDS, [a_card(work, template, owners[n % len(owners)]) for n in places])
            return template

        made: str = self.write(act)
        return made


def a_user(work: Work, n: int) -> str:
    name = f"person{n}@contoso.com"
    resource = {
        "userName": name,
        "externalId": f"mail{n}",
        "active": True,
        "displayName": f"Person {n}",
        "title": "Engineer",
        "emails": [{"type": "work", "primary": True, "value": name}],
        "phoneNumbers": [{"type": "mobile", "value": "+14255550100"}],
    }
    return provisioning.create_user(work, UserRecord(resource, active=True)).id


def a_card(work: Work, template: str, person: str) -> dict[str, Any]:
    card_id = new_id()
    return {
        "tenant_id": work.tenant_id,
        "id": card_id,
        "person_id": person,
        "template_id": template,
        "origin": "manual",
        "state": "paused",
        "pause_reason": "unassigned",
        "slug": card_id,
        "overrides": "{}",
        "initial": "{}",
        "claimed_at": None,
        "paused_at": work.now,
        "version": 1,
        "created_at": work.now,
        "modified_at": work.now,
    }


# ── What is measured ────────────────────────────────────────────────────────────────────────────────────────────────


def say(what: str, *figures: str) -> None:
    print(f"{what:<48}{' · '.join(figures)}", flush=True)


def seconds(started: float) -> str:
    return f"{time.perf_counter() - started:.2f} s"


@contextlib.contextmanager
def reading_beside(api: str, headers: dict[str, str]) -> Iterator[list[float]]:
    """Read something small all the time; give how long each read took."""
    took: list[float] = []
    stop = threading.Event()

    def read() -> None:
        with httpx.Client(base_url=api, headers=headers, timeout=300) as client:
            while not stop.is_set():
                started = time.perf_counter()
                client.get("templates").raise_for_status()
                took.append(time.perf_counter() - started)
                time.sleep(0.01)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield took
    finally:
        stop.set()
        thread.join()


def beside(took: Sequence[float]) -> str:
    if not took:
        return "no read beside it"
    return f"reads beside it: {len(took)}, median {statistics.median(took) * 1e3:.1f} ms, slowest {max(took):.2f} s"


def measure(scale: Scale, folder: Path) -> None:
    group, template, key = scale.prepare()
    headers = {"Authorization": f"Bearer {key}"}
    with serving(scale.database_url, folder, worker=True) as server:
        api = f"{server.url}/api/v1"
        with httpx.Client(base_url=api, headers=headers, timeout=300) as client:
            path = f"templates/{template}/assignments"
            started = time.perf_counter()
            preview = client.post(f"{path}/preview", json={"group_ids": [group]})
            preview.raise_for_status()
            say("preview of the assignment", f"{preview.json()['cards_issued']} cards", seconds(started))
            assign(client, path, group, api, headers)
            scale.count(
                "unassign, in this process and taken back",
                lambda work: administration.assign_template(work, template, []),
            )
            with reading_beside(api, headers) as took:
                started = time.perf_counter()
                client.put(path, json={"group_ids": []}).raise_for_status()
                answered = seconds(started)
            say("unassign, answered", answered, beside(took))
            state = {"state": "active", "template_id": template}
            assert [] == client.get("cards", params=state).json()["items"]
            scale.count("a step of the worker that revives 200", lambda work: revive(work, template, group))
            for count in (FEW_CARDS, MANY_CARDS):
                edited = scale.template_with_cards(count)
                say(f"template edit with {count} cards", edit(client, edited))
        assert 0 == server.terminate(), server.output()


def assign(client: httpx.Client, path: str, group: str, api: str, headers: dict[str, str]) -> None:
    """Assign the group, and wait until the worker has issued everything."""
    with reading_beside(api, headers) as took:
        started = time.perf_counter()
        client.put(path, json={"group_ids": [group]}).raise_for_status()
        say("assign, answered", seconds(started))
        seen: list[tuple[int, int]] = []
        while True:
            [job] = client.get("jobs", params={"limit": 1}).json()["items"]
            seen.append((job["done"], job["total"]))
            if job["finished_at"] is not None:
                break
            time.sleep(0.1)
        whole = time.perf_counter() - started
    assert ("done", MEMBERS, MEMBERS) == (job["state"], job["done"], job["total"]), job
    say(
        "assign, all cards issued by the worker",
        f"{whole:.1f} s",
        f"{MEMBERS / whole:.0f} cards a second",
        f"{len(set(seen))} readings of progress",
        beside(took),
    )


def revive(work: Work, template: str, group: str) -> None:
    templates.set_assignments_rows(work, template, [group], [])
    now = clock.now()
    args = f'{{"group_id": "{group}"}}'
    follow.issue_step(
        work,
        Job(work.tenant_id, new_id(), follow.ISSUE, args, "running", "", "", 0, 0, 1, 0, 1, None, now, now, None, now),
    )


def edit(client: httpx.Client, template: str) -> str:
    """Change a template's headline twenty times; say how long one change takes."""
    took = []
    for n in range(20):
        started = time.perf_counter()
        client.patch(f"templates/{template}", json={"look": {"headline": f"Headline {n}"}}).raise_for_status()
        took.append(time.perf_counter() - started)
    return f"median {statistics.median(took) * 1e3:.1f} ms, slowest {max(took) * 1e3:.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("database", choices=["sqlite", "postgresql"])
    kind = parser.parse_args().database
    started = time.perf_counter()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if kind == "sqlite":
            url = f"sqlite:///{folder}/scale.db"
        else:
            url = stack.enter_context(stack.enter_context(running_postgres()).database())
        scale = Scale(url)
        stack.callback(scale.close)
        measure(scale, folder)
    say("all together", seconds(started))


if __name__ == "__main__":
    main()
