"""Writes that wait for the next trip to the database, and those whose count is taken as given: nobody sees it."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import bindparam, insert, select, update

from app_core import tenants
from app_core.db import Connection, Database, PostgresConnection, Statement, Violation
from app_core.tenants import T
from tests.processes import in_core

OF_TENANT = T.c.id == bindparam("tenant_id")
RENAME = Statement(update(T).where(OF_TENANT).values(name=bindparam("name")))
LIMIT = Statement(update(T).where(OF_TENANT).values(seat_limit=bindparam("seats")))
AGAIN = Statement(
    insert(T).from_select([column.name for column in T.c], select(*T.c).where(OF_TENANT), include_defaults=False)
)
READ = Statement(select(T.c.name, T.c.seat_limit).where(OF_TENANT))


class Undone(Exception):
    """What a test takes a step back by."""


def name() -> str:
    return f"tenant-{uuid.uuid4().hex[:12]}"


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
