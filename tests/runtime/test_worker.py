"""The worker: large groups get their cards step by step, each once, whoever dies, comes too late or asks again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from sqlalchemy import bindparam, select, update
from sqlalchemy.util import await_only

from app_core import (
    administration,
    api_keys,
    clock,
    follow,
    jobs,
    migrations,
    outbox,
    provisioning,
    teams,
    templates,
    tenants,
)
from app_core.api_keys import KeyScope
from app_core.db import Connection, Database, Statement
from app_core.errors import Invalid, Stale
from app_core.jobs import J, Job, Progress
from app_core.provisioning import GroupChange, GroupRecord, MemberStep
from app_core.resource import UserRecord
from app_core.work import Work
from runtime import worker
from runtime.worker import Step, in_one_transaction
from tests.app_core.follow_model import Facts, disagreements, facts_of
from tests.processes import Customer, in_core, new_customer, serving, wait_for

T = TypeVar("T")
MEMBERS = 2 * follow.BATCH + 50
A_MINUTE_AGO = Statement(update(J).where(J.c.tenant_id == bindparam("tenant_id")).values(leased_until=bindparam("at")))
ROWS = Statement(
    select(J.c.id, J.c.state, J.c.done, J.c.leased_until, J.c.failures, J.c.error, J.c.run_at)
    .where(J.c.tenant_id == bindparam("tenant_id"))
    .order_by(J.c.id)
)


@dataclass(frozen=True)
class House:
    """A tenant with a template and a large group that does not lead to it yet."""

    database_url: str
    customer: Customer
    template_id: str
    group_id: str
    key: str

    def unit(self, act: Callable[[Work], T]) -> Callable[[Connection], T]:
        """Make a unit of work of an act."""

        def job(connection: Connection) -> T:
            work = self.customer.work(connection)
            value = act(work)
            outbox.flush(work)
            return value

        return job

    def write(self, act: Callable[[Work], T]) -> T:
        return in_core(self.database_url, lambda database: database.write(self.unit(act)))

    def facts(self) -> Facts:
        return in_core(
            self.database_url,
            lambda database: database.read(lambda connection: facts_of(connection, self.customer.tenant_id)),
        )

    def jobs(self) -> list[dict[str, Any]]:
        return self.facts()["job"]

    def progress(self) -> int:
        """Say how many people the jobs have dealt with."""
        params = {"tenant_id": self.customer.tenant_id}
        rows = in_core(
            self.database_url, lambda database: database.read(lambda connection: connection.rows(ROWS, params))
        )
        return sum(row[2] for row in rows)

    def assign(self) -> None:
        self.write(lambda work: administration.assign_template(work, self.template_id, [self.group_id]))

    def a_minute_passes(self) -> None:
        """Let the lease of whoever died run out."""
        tenant_id = self.customer.tenant_id
        self.write(lambda work: work.connection.run(A_MINUTE_AGO, {"tenant_id": tenant_id, "at": clock.later(-1)}))

    @contextlib.contextmanager
    def api(self, url: str) -> Iterator[httpx.Client]:
        with httpx.Client(
            base_url=f"{url}/api/v1", headers={"Authorization": f"Bearer {self.key}"}, timeout=60
        ) as client:
            yield client

    def check(self, members: int = MEMBERS, *, groups: int = 1) -> None:
        """Hold that everybody has one card, was told of it once, and has a seat."""
        facts = self.facts()
        assert [] == disagreements(facts)
        assert members * groups == len(facts["card"]) == len({row["person_id"] for row in facts["card"]})
        told = Counter((row["type"], row["subject_id"]) for row in facts["outbox_event"])
        assert {1} == {count for (kind, _), count in told.items() if kind in ("card.issued", "seat.opened")}
        assert members * groups == sum(kind == "card.issued" for kind, _ in told)
        assert members * groups == sum(kind == "seat.opened" for kind, _ in told)


@pytest.fixture
def house(own_database: str) -> House:
    return new_house(own_database)


def new_house(database_url: str, members: int = MEMBERS) -> House:
    migrations.upgrade(database_url)
    customer = new_customer(database_url)

    def job(connection: Connection) -> House:
        work = customer.work(connection)
        fields = [{"key": "name", "source": "display_name", "mode": "always"}]
        template = templates.create(work, "Standard", fields=fields)
        _, key = api_keys.issue(connection, tenants.find(connection, customer.tenant_id), KeyScope.ADMIN)
        return House(database_url, customer, template.id, a_group(work, "Everybody", members), key)

    return in_core(database_url, lambda database: database.write(job))


def a_group(work: Work, name: str, members: int) -> str:
    users = [
        provisioning.create_user(work, UserRecord({"userName": f"{name}{n}@contoso.com", "active": True}, True)).id
        for n in range(members)
    ]
    return provisioning.create_group(work, GroupRecord(name, name), users).id


# ── In a server ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_large_group_is_served_by_and_by(own_database: str, tmp_path: Path) -> None:
    """Assigning a large group is answered at once; the worker issues the cards, and the job says how far it is."""
    members = 10 * follow.BATCH + 50
    house = new_house(own_database, members)
    with serving(house.database_url, tmp_path, worker=True) as server, house.api(server.url) as api:
        started = time.monotonic()
        answer = api.put(f"templates/{house.template_id}/assignments", json={"group_ids": [house.group_id]})
        assert 200 == answer.status_code, answer.text
        seen = [job_of(api)]
        while seen[-1]["finished_at"] is None:
            assert time.monotonic() < started + 60
            seen.append(job_of(api))

        assert [follow.ISSUE] * len(seen) == [job["kind"] for job in seen]
        assert {members} == {job["total"] for job in seen}
        counted = [job["done"] for job in seen]
        assert sorted(counted) == counted
        assert {*range(0, members, follow.BATCH), members} >= set(counted)
        assert any(0 < done < members for done in counted)
        assert ("done", 1, None) == (seen[-1]["state"], seen[-1]["attempt"], seen[-1]["error"])
        assert 0 == server.terminate(), server.output()
    house.check(members)


def job_of(api: httpx.Client) -> dict[str, Any]:
    [job] = api.get("jobs").json()["items"]
    return dict(job)


# A server that is asked to stop goes on working for a moment.
@pytest.mark.parametrize(
    ("end", "steps"), [("SIGKILL", 25), pytest.param("SIGTERM", 80, marks=pytest.mark.slow)], ids=["SIGKILL", "SIGTERM"]
)
def test_the_server_ends_in_the_middle(own_database: str, tmp_path: Path, end: str, steps: int) -> None:
    """What a step did is kept with how far it came; the next server goes on from there, and nobody gets two cards."""
    # Enough for the test to see the middle: a step takes 20 ms on SQLite, three times that on PostgreSQL.
    members = (steps if own_database.startswith("sqlite") else steps // 3) * follow.BATCH + 50
    house = new_house(own_database, members)
    house.assign()
    with serving(house.database_url, tmp_path, worker=True) as server:
        wait_for(lambda: house.progress() > 0)
        if end == "SIGKILL":
            server.kill()
        else:
            assert 0 == server.terminate(), server.output()
    [job] = house.jobs()
    assert 0 < job["done"] < members, "the job was faster than the test"
    assert job["done"] == len(house.facts()["card"])
    if end == "SIGKILL":
        assert ("running", True) == (job["state"], job["leased_until"] is not None)
        if not own_database.startswith("sqlite"):
            # On SQLite the next server knows that nobody has the job any more.
            house.a_minute_passes()
    else:
        assert ("queued", None) == (job["state"], job["leased_until"])

    with serving(house.database_url, tmp_path, worker=True) as server:
        wait_for(lambda: house.jobs()[0]["finished_at"] is not None)
        assert 0 == server.terminate(), server.output()

    [after] = house.jobs()
    assert ("done", members, 2, None) == tuple(after[name] for name in ("state", "done", "attempt", "error"))
    house.check(members)


def test_two_servers_share_the_jobs(own_database: str, tmp_path: Path) -> None:
    """Of many jobs each is done by one of two workers, once."""
    if own_database.startswith("sqlite"):
        pytest.skip("SQLite is served by one process")
    house = new_house(own_database, members=30)
    groups = [house.group_id, *house.write(lambda work: [a_group(work, f"Group {n}", 30) for n in range(7)])]
    with (
        serving(house.database_url, tmp_path, worker=True) as one,
        serving(house.database_url, tmp_path, worker=True) as two,
    ):
        house.write(lambda work: administration.assign_template(work, house.template_id, groups))
        wait_for(lambda: all(job["finished_at"] for job in house.jobs()))
        assert 0 == one.terminate(), one.output()
        assert 0 == two.terminate(), two.output()

    assert [("done", 30, 30, 1)] * 8 == [
        tuple(job[name] for name in ("state", "done", "total", "attempt")) for job in house.jobs()
    ]
    house.check(30, groups=8)


# ── In this process ─────────────────────────────────────────────────────────────────────────────────────────────────


@contextlib.asynccontextmanager
async def working(database: Database, known: dict[str, Step]) -> Any:
    """Run a worker for the block; it must be alive at its end."""
    task = asyncio.create_task(worker.run(database, known))
    try:
        yield
        assert not task.done(), "the worker has died"
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(database: Database, house: House, done: Callable[[list[Any]], bool], seconds: float = 20) -> list[Any]:
    """Wait until something is so of the job's rows, and give them."""
    deadline = time.monotonic() + seconds
    while True:
        rows = await database.read(lambda connection: connection.rows(ROWS, {"tenant_id": house.customer.tenant_id}))
        if done(list(rows)):
            return list(rows)
        assert time.monotonic() < deadline, [tuple(row) for row in rows]
        await asyncio.sleep(0.02)


def is_finished(rows: list[Any]) -> bool:
    return all(row[1] in ("done", "failed") for row in rows)


def ask(house: House, kind: str = "fake", slot: str = "fake") -> Callable[[Connection], None]:
    return house.unit(lambda work: jobs.enqueue(work, kind, slot, {"group_id": house.group_id}, total=1))


@pytest.fixture
def small(own_database: str) -> House:
    """A tenant whose group nobody looks at."""
    return new_house(own_database, members=1)


def test_jobs_are_shared(small: House) -> None:
    """Two workers take turns: none does nothing, and none does what the other did."""
    if small.database_url.startswith("sqlite"):
        pytest.skip("SQLite has one worker")
    taken: list[tuple[str, str]] = []

    def fake(database: Database, name: str) -> Step:
        async def step(job: Job) -> None:
            taken.append((name, job.id))
            await asyncio.sleep(0.05)
            await database.write(small.unit(lambda work: jobs.save(work, job, Progress(None, 1))))

        return step

    async def run(database: Database) -> None:
        for n in range(12):
            await database.write(ask(small, slot=f"slot {n}"))
        async with (
            working(database, {"fake": fake(database, "one")}),
            working(database, {"fake": fake(database, "two")}),
        ):
            await until(database, small, is_finished)

    in_core(small.database_url, run)

    assert 12 == len(taken) == len({job_id for _, job_id in taken})
    assert {"one", "two"} == {name for name, _ in taken}


def test_a_worker_that_is_stopped_gives_its_job_back(house: House) -> None:
    """What it had done stays done; the next one need not wait for a lease, and goes on from there."""
    house.assign()

    async def run(database: Database) -> None:
        first_step, known = asyncio.Event(), worker.steps(database)

        async def step(job: Job) -> None:
            await known[job.kind](job)
            first_step.set()

        async with working(database, {follow.ISSUE: step}):
            await first_step.wait()
        [row] = await until(database, house, lambda rows: True)
        assert ("queued", None) == (row[1], row[3])
        assert row[2] in (follow.BATCH, 2 * follow.BATCH)
        async with working(database, known):
            await until(database, house, is_finished)

    in_core(house.database_url, run)

    [job] = house.jobs()
    assert (MEMBERS, 2) == (job["done"], job["attempt"])
    house.check()


def test_who_comes_too_late_does_nothing(house: House) -> None:
    """A worker that slept past its lease finds the job taken: its step is undone, and the other's counts."""
    house.assign()

    def take(job: Job) -> Callable[[Connection], None]:
        return house.unit(lambda work: jobs.save(work, job, follow.issue_step(work, job)))

    async def run(database: Database) -> None:
        slow = await database.write(lambda connection: jobs.claim(connection, [follow.ISSUE]))
        assert slow is not None
        assert None is await database.write(lambda connection: jobs.claim(connection, [follow.ISSUE]))
        expired = {"tenant_id": house.customer.tenant_id, "at": clock.later(-1)}
        await database.write(lambda connection: connection.run(A_MINUTE_AGO, expired))
        quick = await database.write(lambda connection: jobs.claim(connection, [follow.ISSUE]))
        assert quick is not None
        assert (slow.id, slow.attempt + 1) == (quick.id, quick.attempt)

        with pytest.raises(Stale):
            await database.write(take(slow))
        await worker.carry_out(database, worker.steps(database), quick)
        with pytest.raises(Stale):
            await database.write(take(slow))

    in_core(house.database_url, run)
    house.check()


def asking_again(house: House, when: str, database: Database, again: Callable[[Connection], Any]) -> dict[str, Step]:
    """Give the worker's steps; in the first of them, or after it, the job is asked for again."""
    asked: list[str] = []

    def act(work: Work, job: Job) -> Progress:
        progress = follow.issue_step(work, job)
        if when == "during a step" and not asked:
            asked.append(when)
            await_only(database.write(again))
        return progress

    inner = in_one_transaction(database, act)

    async def step(job: Job) -> None:
        await inner(job)
        if when == "between two steps" and not asked:
            asked.append(when)
            await database.write(again)

    return {follow.ISSUE: step}


@pytest.mark.parametrize("when", ["between two steps", "during a step"])
def test_a_job_asked_for_again_starts_over(house: House, when: str) -> None:
    """What came meanwhile may lie before the place where the job is; it is the same job, and ends complete."""
    if when == "during a step" and house.database_url.startswith("sqlite"):
        pytest.skip("nothing comes between on SQLite")
    house.assign()

    async def run(database: Database) -> None:
        again = house.unit(
            lambda work: jobs.enqueue(
                work, follow.ISSUE, f"{follow.ISSUE}:{house.group_id}", {"group_id": house.group_id}, total=MEMBERS
            )
        )
        async with working(database, asking_again(house, when, database, again)):
            await until(database, house, is_finished)

    in_core(house.database_url, run)

    [job] = house.jobs()
    assert ("done", MEMBERS, MEMBERS, 2, 1) == tuple(
        job[name] for name in ("state", "done", "total", "generation", "attempt")
    )
    house.check()


def test_many_more_join_while_the_job_runs(house: House) -> None:
    """The job that then starts over is about the whole group, and says so."""
    house.assign()

    def more(work: Work) -> None:
        users = [
            provisioning.create_user(work, UserRecord({"userName": f"new{n}@contoso.com", "active": True}, True)).id
            for n in range(30)
        ]
        group = provisioning.lock_group(work, house.group_id)
        provisioning.change_group(work, group, GroupChange(steps=[MemberStep("add", users)]))

    async def run(database: Database) -> None:
        async with working(database, asking_again(house, "between two steps", database, house.unit(more))):
            await until(database, house, is_finished)

    in_core(house.database_url, run)

    house.check(MEMBERS + 30)
    [job] = house.jobs()
    assert (MEMBERS + 30, MEMBERS + 30) == (job["done"], job["total"])


def test_a_step_that_fails_is_tried_again(small: House) -> None:
    """Nothing of a failed step stays but that it failed and how; it is tried again later, and then all is well."""
    tries: list[float] = []

    def act(work: Work, job: Job) -> Progress:
        tries.append(time.monotonic())
        teams.create_manual(work, "Made by a step")
        if len(tries) == 1:
            raise RuntimeError("Ada's telephone number")
        return Progress(None, 1)

    async def run(database: Database) -> None:
        await database.write(ask(small))
        async with working(database, {"fake": in_one_transaction(database, act)}):
            [failed] = await until(database, small, lambda rows: rows[0][4] == 1)
            assert ("queued", 0, None, "RuntimeError") == (failed[1], failed[2], failed[3], failed[5])
            [done] = await until(database, small, is_finished)
            assert ("done", 1, None) == (done[1], done[2], done[5])

    in_core(small.database_url, run)

    assert tries[1] - tries[0] >= 0.9
    assert 1 == sum(row["name"] == "Made by a step" for row in small.facts()["team"])


def test_who_asks_again_need_not_wait_for_a_rest(small: House) -> None:
    """A job that rests after a failure is due when it is asked for again."""
    small.write(lambda work: jobs.enqueue(work, "fake", "fake", {}))

    def fail(connection: Connection) -> None:
        job = jobs.claim(connection, ["fake"])
        assert job is not None
        jobs.postpone(connection, job, "Graph wants a pause.", until=clock.later(600))

    def claim(connection: Connection) -> Job | None:
        return jobs.claim(connection, ["fake"])

    in_core(small.database_url, lambda database: database.write(fail))
    assert in_core(small.database_url, lambda database: database.write(claim)) is None

    small.write(lambda work: jobs.enqueue(work, "fake", "fake", {}))

    assert in_core(small.database_url, lambda database: database.write(claim)) is not None


def test_a_step_that_always_fails_is_given_up(small: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """After so many failures in a row the job has failed and says why; asked for again, it is another job."""
    monkeypatch.setattr(jobs, "MAX_ATTEMPTS", 2)

    def act(work: Work, job: Job) -> Progress:
        raise Invalid("Template 'Standard' cannot be read.")

    async def run(database: Database) -> None:
        await database.write(ask(small))
        async with working(database, {"fake": in_one_transaction(database, act)}):
            [failed] = await until(database, small, is_finished)
            assert ("failed", 2, "Template 'Standard' cannot be read.") == (failed[1], failed[4], failed[5])
        await database.write(ask(small))
        rows = await until(database, small, lambda rows: len(rows) == 2)
        assert ["failed", "queued"] == [row[1] for row in rows]

    in_core(small.database_url, run)


class Failing:
    """A database that can be away."""

    def __init__(self, inner: Database) -> None:
        self.inner = inner
        self.away = False

    async def read(self, job: Callable[[Connection], T]) -> T:
        if self.away:
            raise ConnectionError("the database is away")
        return await self.inner.read(job)

    async def write(self, job: Callable[[Connection], T]) -> T:
        if self.away:
            raise ConnectionError("the database is away")
        return await self.inner.write(job)

    async def close(self) -> None:
        """The inner one is closed by whoever opened it."""


@pytest.mark.parametrize("when", ["while it looks for work", "while it works"])
def test_the_worker_outlives_its_database(small: House, when: str) -> None:
    """When the database comes back the worker goes on, without anybody who starts it again."""

    async def run(inner: Database) -> None:
        database, started = Failing(inner), asyncio.Event()

        async def step(job: Job) -> None:
            if when == "while it works" and not started.is_set():
                database.away = True
            started.set()
            await database.write(small.unit(lambda work: jobs.save(work, job, Progress(None, 1))))

        async with working(database, {"fake": step}):
            if when == "while it works":
                await inner.write(ask(small, slot="first"))
                await started.wait()
            else:
                database.away = True
            await asyncio.sleep(1)
            database.away = False
            await inner.write(ask(small, slot="second"))
            await until(inner, small, lambda rows: rows[-1][1] == "done", 5)

    in_core(small.database_url, run)
