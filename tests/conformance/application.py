"""The application in this process, as schemathesis calls it, and clients of fresh tenants."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from dataclasses import dataclass, field

from pydantic import SecretStr
from schemathesis.python.asgi import get_client
from starlette.types import ASGIApp, Receive, Scope, Send

from app_core import connections, tenants
from app_core.db import Connection, open_database
from runtime.asgi import build_app
from runtime.settings import Settings
from tests.builders import a_group, a_user

PUBLIC_URL = "http://localhost"
BASE_URL = f"{PUBLIC_URL}/scim/v2"
NUMBERS = itertools.count(1)


class Served:
    """The application on one database at a time, opened in the loop it runs in: a database belongs to its loop."""

    database_url = ""
    inner: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await self.inner(scope, receive, send)
            return
        database = await open_database(self.database_url)
        try:
            settings = Settings(database_url=self.database_url, secret_key=SecretStr("a key for tests"))
            self.inner = build_app(database, settings, PUBLIC_URL, worker=False)
            await self.inner(scope, receive, send)
        finally:
            await database.close()


APP = Served()


@dataclass
class Client:
    """A tenant's client, and what it knows to be there."""

    token: str
    known: dict[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def create(self, kind: str) -> str:
        """Create a user or a group and give its id."""
        n = next(NUMBERS)
        body = a_user(n) if kind == "Users" else a_group(f"Group {n}")
        # Starlette types messages as mappings, schemathesis as dictionaries.
        with get_client(APP) as client:  # type: ignore[arg-type]
            answer = client.post(f"{BASE_URL}/{kind}", json=body, headers=self.headers)

        assert 201 == answer.status_code, answer.text
        created: str = answer.json()["id"]
        return created

    def one(self, kind: str) -> str:
        """Give the id of a user or a group that is there."""
        if kind not in self.known:
            self.known[kind] = self.create(kind)
        return self.known[kind]


def a_client(database_url: str) -> Client:
    """Make a tenant that no other test knows, and a client with its token."""

    def make(connection: Connection) -> str:
        tenant = tenants.create(connection, f"tenant-{uuid.uuid4().hex}")
        connection_id = connections.create(connection, tenant, "Entra")
        return connections.issue_token(connection, tenant, connection_id, label="schemathesis")[1]

    async def run() -> str:
        database = await open_database(database_url)
        try:
            return await database.write(make)
        finally:
            await database.close()

    return Client(asyncio.run(run()))
