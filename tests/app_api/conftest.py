"""Tenants with API keys, and clients that hold each answer against the description."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest
from sqlalchemy import bindparam, update

from app_core import api_keys, clock, tenants
from app_core.api_keys import ApiKeyRow, KeyScope
from app_core.db import Connection, Statement, table_of
from tests.app_api.held import PREFIX, as_described
from tests.processes import Customer, in_core, new_customer

if TYPE_CHECKING:
    from tests.conftest import Server


@dataclass(frozen=True)
class House:
    """A tenant with an API key of each kind, made by the core in this process: a command takes longer than a test."""

    url: str
    database_url: str
    customer: Customer
    keys: dict[str, str]
    """By scope, and `revoked` and `expired` ones."""
    key_ids: dict[str, str]

    def client(self, key: str = "admin") -> httpx.Client:
        """Open a client with one of the keys that holds each answer against the description."""
        return httpx.Client(
            base_url=self.url + PREFIX,
            headers={"Authorization": f"Bearer {self.keys[key]}"},
            timeout=60,
            event_hooks={"response": [as_described]},
        )

    def scim(self) -> httpx.Client:
        """Open a client that speaks for the tenant's directory."""
        return self.customer.client(f"{self.url}/scim/v2")


def new_house(server: Server, *, seats: int | None = None) -> House:
    """Make a tenant that no other test knows."""
    customer = new_customer(server.database_url)

    def job(connection: Connection) -> dict[str, tuple[str, str]]:
        tenant = tenants.find(connection, customer.tenant_id)
        if seats is not None:
            tenants.change(customer.work(connection), name=tenant.name, seat_limit=seats)
        made = {str(scope): api_keys.issue(connection, tenant, scope) for scope in KeyScope}
        made["revoked"] = api_keys.issue(connection, tenant, KeyScope.ADMIN)
        api_keys.revoke(connection, tenant, made["revoked"][0])
        made["expired"] = api_keys.issue(connection, tenant, KeyScope.ADMIN, expires_at=clock.later(3600))
        connection.run(EXPIRE, {"tenant_id": tenant.id, "key_id": made["expired"][0], "at": clock.later(-1)})
        return made

    made = in_core(server.database_url, lambda database: database.write(job))
    keys = {name: secret for name, (_, secret) in made.items()}
    key_ids = {name: key_id for name, (key_id, _) in made.items()}
    return House(server.url, server.database_url, customer, keys, key_ids)


K = table_of(ApiKeyRow)
EXPIRE = Statement(
    update(K)
    .where(K.c.tenant_id == bindparam("tenant_id"), K.c.id == bindparam("key_id"))
    .values(expires_at=bindparam("at"))
)


@pytest.fixture
def house(server: Server) -> House:
    """A tenant that no other test knows."""
    return new_house(server)


@pytest.fixture
def api(house: House) -> Iterator[httpx.Client]:
    """A client of the tenant with an admin key."""
    with house.client() as client:
        yield client


@pytest.fixture
def scim(house: House) -> Iterator[httpx.Client]:
    """The tenant's directory."""
    with house.scim() as client:
        yield client
