"""The core on a real database, without a server in between."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import httpx
import pytest

from app_core import connections, tenants
from app_core.clock import Stamp
from app_core.db import Connection, Database, open_database
from app_core.migrations import upgrade
from app_core.work import Actor, Source, Work
from tests.answers import client_of
from tests.conftest import Server
from tests.processes import Customer, new_customer

T = TypeVar("T")
NOW = "2026-11-24T18:27:59.123Z"


@dataclass(frozen=True)
class Directory:
    """The directory of a tenant that no other test knows, and the units of work in it."""

    core: Core
    tenant_id: str
    connection_id: str

    def read(self, job: Callable[[Work], T]) -> T:
        """Run a job that only reads."""
        return self.core.runner.run(self.core.database.read(lambda connection: job(self._work(connection, NOW))))

    def write(self, job: Callable[[Work], T], *, now: Stamp = NOW) -> T:
        """Run a job in a transaction of its own, at an instant of our choice."""
        return self.core.runner.run(self.core.database.write(lambda connection: job(self._work(connection, now))))

    def _work(self, connection: Connection, now: Stamp) -> Work:
        return Work(connection, self.tenant_id, self.connection_id, Actor(Source.SCIM, "test"), "test", now)


@dataclass(frozen=True)
class Core:
    """A database with the current schema, and the loop that it is used from."""

    runner: asyncio.Runner
    database: Database

    def directory(self) -> Directory:
        """Make a tenant with an empty directory."""

        def make(connection: Connection) -> tuple[str, str]:
            tenant = tenants.create(connection, f"tenant-{uuid.uuid4().hex}")
            return tenant.id, connections.create(connection, tenant, "Entra")

        return Directory(self, *self.runner.run(self.database.write(make)))


@pytest.fixture(scope="session")
def core(database_url: str) -> Iterator[Core]:
    """The core on each kind of database."""
    upgrade(database_url)
    with asyncio.Runner() as runner:
        database = runner.run(open_database(database_url))
        yield Core(runner, database)
        runner.run(database.close())


# Over HTTP ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def customer(server: Server) -> Customer:
    """A tenant that the tests of a module share."""
    return new_customer(server.database_url)


@pytest.fixture(scope="module")
def door(server: Server, customer: Customer) -> Iterator[httpx.Client]:
    """A client of the module's tenant that holds each answer against the RFCs; tests use objects of their own."""
    with client_of(f"{server.url}/scim/v2", customer) as client:
        yield client
