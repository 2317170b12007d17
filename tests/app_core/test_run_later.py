"""Writes that wait for the next trip to the database: nobody sees that they waited."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from sqlalchemy import bindparam, select, update

from app_core import tenants
from app_core.db import Connection, Statement, open_database
from app_core.tenants import T

OF_TENANT = T.c.id == bindparam("tenant_id")
RENAME = Statement(update(T).where(OF_TENANT).values(name=bindparam("name")))
LIMIT = Statement(update(T).where(OF_TENANT).values(seat_limit=bindparam("seats")))
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
    counts = connection.run_together([(RENAME, {"tenant_id": tenant_id, "name": renamed})])

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

    async def run() -> tuple[str, int | None]:
        database = await open_database(core_url)
        try:
            made = await database.write(lambda connection: tenants.create(connection, name()))
            await database.write(
                lambda connection: connection.run_later(RENAME, {"tenant_id": made.id, "name": renamed})
            )
            return await database.read(lambda connection: seen(connection, made.id))
        finally:
            await database.close()

    assert (renamed, None) == asyncio.run(run())
