"""A unit of work on both databases for tests of the core alone: `work` is undone when the test ends."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator

import asyncpg
import pytest

from app_core import clock, connections, db, migrations, tenants
from app_core.db import Connection, PostgresConnection, SqliteConnection, is_sqlite, open_sqlite, sqlite_path
from app_core.work import Actor, Source, Work
from tests.processes import empty_database

MakeWork = Callable[..., Work]


@pytest.fixture(scope="session")
def core_url(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A migrated database of each kind that no server uses."""
    with empty_database(database_url, tmp_path_factory.mktemp("core")) as url:
        migrations.upgrade(url)
        yield url


@pytest.fixture
def connection(core_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A connection within a transaction that is rolled back at the end of the test."""
    if is_sqlite(core_url):
        raw = open_sqlite(sqlite_path(core_url))
        raw.execute("BEGIN IMMEDIATE")
        yield SqliteConnection(raw)
        raw.close()
        return
    loop = asyncio.new_event_loop()
    # The product awaits inside a greenlet; a test is no greenlet, and waits for each statement by itself.
    monkeypatch.setattr(db, "await_only", loop.run_until_complete)
    far = loop.run_until_complete(asyncpg.connect(core_url))
    loop.run_until_complete(far.execute("BEGIN"))
    yield PostgresConnection(far)
    loop.run_until_complete(far.close())
    loop.close()


@pytest.fixture
def make_work(connection: Connection) -> MakeWork:
    """Give units of work in tenants that are made for them: `make_work(seats=2)`."""

    def make(*, seats: int | None = None) -> Work:
        tenant = tenants.create(connection, f"tenant-{uuid.uuid4().hex[:12]}", seat_limit=seats)
        connection_id = connections.create(connection, tenant, "Microsoft Entra ID")
        return Work(connection, tenant.id, connection_id, Actor(Source.ADMIN, "test"), "test", clock.now())

    return make


@pytest.fixture
def work(make_work: MakeWork) -> Work:
    """A unit of work of an administrator in a fresh tenant without a seat limit."""
    return make_work()
