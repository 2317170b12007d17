"""Schemathesis on the API door in this process: whatever a client sends, the answer is as openapi/app.yaml says."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.core import NOT_SET
from schemathesis.python.asgi import get_client, shutdown_lifespans
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from app_api.openapi import description
from app_core import api_keys, connections, tenants
from app_core.api_keys import KeyScope
from app_core.db import Connection, open_database
from app_core.migrations import upgrade
from tests.app_api.held import PNG
from tests.builders import a_group, a_user
from tests.conformance.application import APP, PUBLIC_URL, Served
from tests.scim_server.generated import examples

JSON = dict[str, Any]
Case = schemathesis.Case[Any]

BASE_URL = f"{PUBLIC_URL}/api/v1"
NUMBERS = itertools.count(1)
DESCRIPTION = description()
# Which names are taken, which ids exist and what a template's fields must be no description can express.
EXCLUDED: list[Any] = [positive_data_acceptance]

schemathesis.openapi.format("etag", st.sampled_from(['W/"1"', '"1"', 'W/"2", W/"1"', "*", "", "W/"]))

NOBODY = "http://127.0.0.1:9/hooks"
"""Where nobody listens."""
FIELD = {"key": "name", "source": "display_name", "mode": "always", "editable": True}


@dataclass
class Client:
    """A tenant's client: it makes what a request needs to meet something."""

    key: str
    token: str
    known: dict[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}

    def send(self, method: str, path: str, body: JSON | None = None, *, scim: bool = False) -> JSON:
        base, secret = (f"{PUBLIC_URL}/scim/v2", self.token) if scim else (BASE_URL, self.key)
        # Starlette types messages as mappings, schemathesis as dictionaries.
        with get_client(APP) as client:  # type: ignore[arg-type]
            headers = {"Authorization": f"Bearer {secret}"}
            answer = client.request(method, f"{base}/{path}", json=body, headers=headers)

        assert answer.status_code < 300, answer.text
        found: JSON = answer.json() if answer.content else {}
        return found

    def make(self, noun: str) -> str:
        """Make one of a noun and give its id."""
        n = next(NUMBERS)
        match noun:
            case "people":
                return str(self.send("POST", "people", {"display_name": f"P{n}", "email": f"p{n}@example.com"})["id"])
            case "teams":
                return str(self.send("POST", "teams", {"name": f"Team {n}"})["id"])
            case "logins":
                return str(self.send("POST", f"teams/{self.one('teams')}/logins", {"ciphertext": "c"})["id"])
            case "templates":
                return str(self.send("POST", "templates", {"name": f"Template {n}", "fields": [FIELD]})["id"])
            case "invitations":
                return str(self.send("POST", "invitations", {"template_id": self.one("templates")})["id"])
            case "cards":
                return str(self.send("POST", "invitations", {"template_id": self.one("templates")})["card_id"])
            case "groups":
                return str(self.send("POST", "Groups", a_group(f"Group {n}"), scim=True)["id"])
            case "users":
                return str(self.send("POST", "Users", a_user(n), scim=True)["id"])
            case "webhooks":
                # There cannot be many.
                found = self.send("GET", "webhooks")["items"]
                return str((found or [self.send("POST", "webhooks", {"url": NOBODY})["webhook"]])[0]["id"])
            case "provisioning-log":
                return str(self.send("GET", "provisioning-log")["items"][0]["id"])
            case _:
                return str(uuid.uuid4())

    def one(self, noun: str) -> str:
        """Give the id of one that is there."""
        if noun not in self.known:
            self.known[noun] = self.make(noun)
        return self.known[noun]

    def forget(self, noun: str) -> None:
        self.known.pop(noun, None)


def a_client(database_url: str) -> Client:
    """Make a tenant that no other test knows, with an API key and a directory."""

    def make(connection: Connection) -> Client:
        tenant = tenants.create(connection, f"tenant-{uuid.uuid4().hex}")
        connection_id = connections.create(connection, tenant, "Entra")
        _, token = connections.issue_token(connection, tenant, connection_id)
        _, key = api_keys.issue(connection, tenant, KeyScope.ADMIN)
        return Client(key, token)

    async def run() -> Client:
        database = await open_database(database_url)
        try:
            return await database.write(make)
        finally:
            await database.close()

    return asyncio.run(run())


# What schemathesis cannot know --------------------------------------------------------------------------------------


def aim(case: Case, client: Client, n: int) -> None:
    """Let most requests that are as described meet what is there, and get past the first refusal."""
    if n % 6:
        # Schemathesis likes one key best, which stands for one request.
        case.headers.pop("Idempotency-Key", None)
    if n % 5 == 0 or case.meta is None or case.meta.generation.mode != schemathesis.GenerationMode.POSITIVE:
        return
    noun = case.path.split("/")[1]
    deletes = case.method == "DELETE"
    if "id" in case.path_parameters:
        fresh = (deletes and noun not in ("teams", "webhooks")) or case.path.endswith("/link")
        case.path_parameters["id"] = client.make(noun) if fresh else client.one(noun)
    if "login_id" in case.path_parameters:
        case.path_parameters["login_id"] = client.make("logins")
    if "person_id" in case.path_parameters:
        case.path_parameters["person_id"] = client.one("people")
    if case.path == "/teams/{id}" and deletes:
        case.path_parameters["id"] = client.make("teams")
    if n % 7:
        case.headers.pop("If-Match", None)
    mend(case, client, n)


def mend(case: Case, client: Client, n: int) -> None:
    """Name what is there, and give names that are new."""
    body: Any = case.body
    if "/photo" in case.path and case.method == "PUT":
        case.body = PNG if n % 2 else body
    if not isinstance(body, dict):
        return
    there = {"team_id": "teams", "template_id": "templates", "directory_user_id": "users"}
    for name, noun in there.items():
        if isinstance(body.get(name), str):
            body[name] = client.make(noun) if noun == "users" else client.one(noun)
    if isinstance(body.get("group_ids"), list) and n % 3:
        body["group_ids"] = [client.one("groups")] * len(body["group_ids"][:2])
    if isinstance(body.get("url"), str) and case.path.startswith("/webhooks") and n % 2:
        body["url"] = NOBODY
    if isinstance(body.get("email"), str):
        body["email"] = f"mail{n}@example.com"
    if isinstance(body.get("name"), str) and body["name"].strip():
        body["name"] = f"Name {n}"
    if "start_code" in body and n % 2:
        person_id = client.make("people")
        body["start_code"] = client.send("POST", f"people/{person_id}/start-code")["start_code"]
        body["sign_in"] = client.send("GET", f"people/{person_id}")["sign_in"]
    if "claim_token" in body and n % 2:
        invited = {"template_id": client.one("templates")}
        body["claim_token"] = client.send("POST", "invitations", invited)["claim_token"]
        body["display_name"] = f"Guest {n}"
    fields = body.get("fields")
    if isinstance(fields, list) and n % 2:
        for at, each in enumerate(fields):
            if isinstance(each, dict):
                each.update(key=f"key_{at}", kind="text", source="job_title", mode="always")


# Tests --------------------------------------------------------------------------------------------------------------


def schema_of(document: JSON) -> schemathesis.BaseSchema:
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=BASE_URL)
    schema.app = APP
    return schema


schema = schema_of(DESCRIPTION)


@pytest.fixture(scope="module")
def served(database_url: str) -> Iterator[Served]:
    """The application on each kind of database; schemathesis starts it with its first request."""
    upgrade(database_url)
    APP.database_url = database_url
    yield APP
    shutdown_lifespans()


@pytest.fixture(scope="module")
def client(served: Served) -> Client:
    """The client of one tenant for all operations."""
    return a_client(served.database_url)


@schema.parametrize()
@examples(12)
def test_answers_are_as_described(case: Case, client: Client) -> None:
    """Status, headers and body are as described, the key is asked for, and what is not as described is refused."""
    aim(case, client, next(NUMBERS))
    # What is an image no description can express, and a query that is wrong may be no query any more once it is sent.
    free = [] if isinstance(case.body, dict) else [negative_data_rejection]

    answer = case.call_and_validate(headers=client.headers, excluded_checks=[*EXCLUDED, *free])

    if case.method == "DELETE" and answer.status_code == 204:
        client.forget(case.path.split("/")[1])
    assert case.body is NOT_SET or answer.status_code < 500
