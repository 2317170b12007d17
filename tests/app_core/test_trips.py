"""Writes that wait for the next trip to the database, and those whose count is taken as given: nobody sees it."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from sqlalchemy import bindparam, insert, select, update

from app_core import tenants
from app_core.db import Connection, Database, PostgresConnection, Statement, Violation, is_sqlite
from app_core.ids import new_short_id
from app_core.tenants import T
from tests.processes import in_core

OF_TENANT = T.c.id == bindparam("tenant_id")
RENAME = Statement(update(T).where(OF_TENANT).values(name=bindparam("name")))
LIMIT = Statement(update(T).where(OF_TENANT).values(seat_limit=bindparam("seats")))
AGAIN = Statement(
    insert(T).from_select([column.name for column in T.c], select(*T.c).where(OF_TENANT), include_defaults=False)
)
NOW = "2026-11-24T18:27:59.123Z"
BY_NAME = Statement(select(T.c.id).where(T.c.name == bindparam("name")))
HOLD_FIRST = Statement(select(T.c.id).where(T.c.id == bindparam("first")).with_for_update())
HOLD_SECOND = Statement(select(T.c.id).where(T.c.id == bindparam("second")).with_for_update())
READ = Statement(select(T.c.name, T.c.seat_limit).where(OF_TENANT))


class Undone(Exception):
    """What a test takes a step back by."""


def name() -> str:
    return f"tenant-{uuid.uuid4().hex[:12]}"


def add(connection: Connection, tenant: str) -> None:
    row = {"id": new_short_id(), "name": tenant, "name_key": tenant, "seat_limit": None, "created_at": NOW}
    connection.run_later(tenants.INSERT, row)


def standing(connection: Connection, names: list[str]) -> list[bool]:
    return [connection.row(BY_NAME, {"name": each}) is not None for each in names]


@pytest.fixture
def tenant_id(connection: Connection) -> str:
    return tenants.create(connection, name()).id


def seen(connection: Connection, tenant_id: str) -> tuple[str, int | None]:
    row = connection.row(READ, {"tenant_id": tenant_id})
    assert row is not None
    return row[0], row[1]


def test_it_is_there_at_the_next_read(connection: Connection, tenant_id: str) -> None:
    """Whatever reads comes after it."""
    renamed = name()

    connection.run_later(RENAME, {"tenant_id": tenant_id, "name": renamed})

    assert renamed == seen(connection, tenant_id)[0]


def test_two_writes_of_one_row_both_happen(connection: Connection, tenant_id: str) -> None:
    """In their order: PostgreSQL would leave one out if both were in one statement."""
    renamed = name()

    connection.run_later(RENAME, {"tenant_id": tenant_id, "name": name()})
    connection.run_later(LIMIT, {"tenant_id": tenant_id, "seats": 5})
    counts = connection.run_expecting([(RENAME, {"tenant_id": tenant_id, "name": renamed})], [1])

    assert ([1], (renamed, 5)) == (counts, seen(connection, tenant_id))


def test_what_fails_takes_back_what_waits_inside_alone(connection: Connection, tenant_id: str) -> None:
    """A write before a savepoint stays, one within goes."""
    renamed = name()
    connection.run_later(RENAME, {"tenant_id": tenant_id, "name": renamed})

    with pytest.raises(Undone):
        limit_and_fail(connection, tenant_id)

    assert (renamed, None) == seen(connection, tenant_id)


def limit_and_fail(connection: Connection, tenant_id: str) -> None:
    with connection.savepoint():
        connection.run_later(LIMIT, {"tenant_id": tenant_id, "seats": 5})
        raise Undone


def test_what_still_waits_is_in_the_commit(core_url: str) -> None:
    """Nothing comes after it, and it is durable all the same."""
    renamed = name()

    def made(connection: Connection) -> str:
        return tenants.create(connection, name()).id

    async def run(database: Database) -> tuple[str, int | None]:
        tenant_id = await database.write(made)
        await database.write(lambda connection: connection.run_later(RENAME, {"tenant_id": tenant_id, "name": renamed}))
        return await database.read(lambda connection: seen(connection, tenant_id))

    assert (renamed, None) == in_core(core_url, run)


def test_rows_of_one_table_come_one_by_one_or_together(connection: Connection) -> None:
    """Several INSERTs of a kind are one on PostgreSQL; each row is there."""
    names = [name() for _ in range(3)]
    for each in names:
        add(connection, each)

    assert [True] * 3 == standing(connection, names)


# What is held and what is assumed -------------------------------------------------------------------------------------


@pytest.mark.parametrize("right", [True, False])
def test_what_was_assumed_is_so_or_is_asked(core_url: str, *, right: bool) -> None:
    """A write that relied on something else is undone, and the job hears that it has to ask."""
    tenant_id = in_core(core_url, lambda database: database.write(lambda c: tenants.create(c, name()).id))
    others: list[str] = []
    told: list[bool] = []

    def rely(connection: Connection) -> None:
        told.append(connection.assume(READ, {"tenant_id": tenant_id if right else "nobody"}))
        others.append(name())
        add(connection, others[-1])

    in_core(core_url, lambda database: database.write(rely))
    stood = in_core(core_url, lambda database: database.read(lambda connection: standing(connection, others)))

    assert {1: [True], 2: [False, True]}[len(others)] == stood
    if is_sqlite(core_url):
        assert [False] == told
    else:
        assert ([True] if right else [True, False]) == told


def test_what_is_assumed_needs_no_look_before_others_are_read(core_url: str, begun: list[bool]) -> None:
    """It is looked at with the writes: read and written is in two trips, without a transaction around them."""
    tenant_id = in_core(core_url, lambda database: database.write(lambda c: tenants.create(c, name()).id))
    begun.clear()

    def job(connection: Connection) -> None:
        connection.assume(READ, {"tenant_id": tenant_id})
        seen(connection, tenant_id)
        add(connection, name())

    in_core(core_url, lambda database: database.write(job))

    assert [] == begun


def test_what_is_held_waits_for_its_turn(core_url: str) -> None:
    """Rows are held one after the other, the first ones first, and until the end."""
    first, second = (in_core(core_url, lambda d: d.write(lambda c: tenants.create(c, name()).id)) for _ in range(2))
    happened: list[str] = []

    async def hold(database: Database, mark: str) -> None:
        def job(connection: Connection) -> None:
            connection.hold((HOLD_FIRST, HOLD_SECOND), {"first": first, "second": second})
            happened.append(f"{mark} holds")
            connection.rows(READ, {"tenant_id": first})
            happened.append(f"{mark} goes")

        await database.write(job)

    async def both(database: Database) -> None:
        await asyncio.gather(hold(database, "a"), hold(database, "b"))

    in_core(core_url, both)

    assert happened in (
        ["a holds", "a goes", "b holds", "b goes"],
        ["b holds", "b goes", "a holds", "a goes"],
    )


# Counts that are taken as given -------------------------------------------------------------------------------------


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What was begun on PostgreSQL: a statement alone is a transaction by itself."""
    found: list[bool] = []
    begin = PostgresConnection._begin

    def noted(connection: PostgresConnection) -> None:
        found.append(True)
        begin(connection)

    monkeypatch.setattr(PostgresConnection, "_begin", noted)
    return found


def test_what_has_waited_together_to_the_end_is_one_statement(core_url: str, begun: list[bool]) -> None:
    """After a plain read; and it is there."""
    renamed = name()
    tenant_id = in_core(core_url, lambda database: database.write(lambda c: tenants.create(c, name()).id))
    begun.clear()

    def rename(connection: Connection) -> list[int]:
        seen(connection, tenant_id)
        return connection.run_expecting([(RENAME, {"tenant_id": tenant_id, "name": renamed})], [1])

    assert [1] == in_core(core_url, lambda database: database.write(rename))
    assert renamed == in_core(core_url, lambda database: database.read(lambda c: seen(c, tenant_id)))[0]
    assert [] == begun


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "in a transaction"])
def test_a_wrong_expectation_has_the_job_run_again(core_url: str, *, alone: bool) -> None:
    """The job is told the right count in the end, and what it did before that is undone."""
    told: list[int] = []
    others: list[str] = []

    def rename_nobody(connection: Connection) -> None:
        if not alone:
            others.append(tenants.create(connection, name()).id)
        told.extend(connection.run_expecting([(RENAME, {"tenant_id": "nobody", "name": name()})], [1]))

    def standing(connection: Connection) -> list[bool]:
        return [connection.row(READ, {"tenant_id": each}) is not None for each in others]

    in_core(core_url, lambda database: database.write(rename_nobody))
    stood = in_core(core_url, lambda database: database.read(standing))

    assert 0 == told[-1]
    assert [each == others[-1] for each in others] == stood


@pytest.mark.parametrize("read", [True, False], ids=["at the next read", "at the end"])
def test_what_is_refused_is_refused_where_it_was_asked(core_url: str, *, read: bool) -> None:
    """Whoever asked for the write gets its refusal, not whoever came next."""
    tenant_id = in_core(core_url, lambda database: database.write(lambda c: tenants.create(c, name()).id))

    def write_again(connection: Connection) -> None:
        try:
            connection.run_expecting([(AGAIN, {"tenant_id": tenant_id})], [1])
        except Violation as violation:
            raise Undone from violation
        if read:
            seen(connection, tenant_id)

    with pytest.raises(Undone):
        in_core(core_url, lambda database: database.write(write_again))


def test_inside_a_savepoint_nothing_is_taken_as_given(core_url: str) -> None:
    """What fails there is to be undone there, and not the whole job."""
    told: list[int] = []

    def rename_nobody(connection: Connection) -> None:
        with connection.savepoint():
            told.extend(connection.run_expecting([(RENAME, {"tenant_id": "nobody", "name": name()})], [1]))

    in_core(core_url, lambda database: database.write(rename_nobody))

    assert [0] == told
