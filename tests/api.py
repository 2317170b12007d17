"""A customer of the vendor from its two sides: what Entra pushes by SCIM, and what the JSON API then shows.

Every push is sent twice, as Entra does after a timeout: the second time nobody may be told anything new.
"""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from app_core import api_keys, connections, tenants
from app_core.api_keys import KeyScope
from app_core.db import Connection
from tests.agreement import disagreements
from tests.answers import JSON, SCIM, in_scim_form, ok, unique
from tests.builders import a_group, a_user, created, patch
from tests.conftest import Server
from tests.processes import in_core

PROBLEM = "application/problem+json"
NAME = {"key": "name", "source": "display_name", "mode": "always"}
"""The least that a template needs to be connected to the directory."""
MANY = 10_000

numbers = itertools.count(1)


@dataclass(frozen=True)
class Push:
    """What came of a push: the first answer, and what it led to."""

    answer: httpx.Response
    events: list[JSON] = field(default_factory=list)

    @property
    def told(self) -> list[tuple[str, str]]:
        """What was told of whom, in order."""
        return [(event["type"], event["subject"]["id"]) for event in self.events]

    @property
    def types(self) -> list[str]:
        """What was told, in order."""
        return [event["type"] for event in self.events]

    def event(self, kind: str) -> JSON:
        """Give the one event of a type."""
        (found,) = [event for event in self.events if event["type"] == kind]
        return found

    def payload(self, kind: str) -> JSON:
        """Give the payload of the one event of a type, without its version."""
        return {name: value for name, value in self.event(kind)["payload"].items() if name != "version"}


@dataclass
class Company:
    """A tenant: `scim` is Entra's side, `api` the administrator's."""

    tenant_id: str
    scim: httpx.Client
    api: httpx.Client
    api_key: str
    position: int = 0
    """How far the feed of events was read."""

    # The administrator ------------------------------------------------------------------------------------------------

    def call(self, method: str, path: str, status: int, json: Any = None, **options: Any) -> JSON:
        """Ask the API for something and hold the answer against a status."""
        return ok(self.api.request(method, path, json=json, **options), status)

    def get(self, path: str, **params: Any) -> JSON:
        """Read from the API."""
        return self.call("GET", path, 200, params=params or None)

    def all(self, path: str, **params: Any) -> list[JSON]:
        """Read a list of the API to its end, page by page."""
        found: list[JSON] = []
        after = None
        for _ in range(MANY):
            page = self.get(path, **params, **({} if after is None else {"after": after}))
            found += page["items"]
            after = page["next"]
            if after is None:
                return found
        raise AssertionError(f"{path} has no end")

    def news(self) -> list[JSON]:
        """Read on in the feed of events; give what is new since the last time."""
        found: list[JSON] = []
        more = True
        while more:
            page = self.get("events", after=self.position, limit=200)
            found += page["items"]
            self.position = found[-1]["position"] if found else self.position
            more = page["next"] is not None
        return found

    def person(self, user: Mapping[str, Any] | str) -> JSON:
        """Give the person that follows a user of the directory."""
        user_id = user if isinstance(user, str) else user["id"]
        (found,) = [each for each in self.all("people", limit=200) if each["directory_user_id"] == user_id]
        return found

    def team(self, group: Mapping[str, Any]) -> JSON:
        """Give the team that follows a group of the directory."""
        team_id = self.get(f"groups/{group['id']}")["team_id"]
        return self.get(f"teams/{team_id}")

    def members(self, team: Mapping[str, Any]) -> set[str]:
        """Give the ids of the people in a team, each there once."""
        found = [person["id"] for person in self.all(f"teams/{team['id']}/members", limit=200)]
        assert len(found) == len(set(found)), "a member is listed twice"
        return set(found)

    def cards(self, person: Mapping[str, Any], template: Mapping[str, Any] | None = None) -> list[JSON]:
        """Give the cards of a person."""
        return self.all(
            "cards", person_id=person["id"], **({} if template is None else {"template_id": template["id"]})
        )

    def card(self, person: Mapping[str, Any], template: Mapping[str, Any] | None = None) -> JSON:
        """Give the one card of a person."""
        (found,) = self.cards(person, template)
        return found

    def seats(self) -> tuple[int | None, int, int]:
        """Give the limit, how many seats are open, and how many people wait."""
        found = self.get("seats")
        return found["limit"], found["open"], found["waiting"]

    def log(self, target_id: str | None = None, **params: Any) -> list[JSON]:
        """Give the provisioning log, newest first."""
        return self.all("provisioning-log", **({} if target_id is None else {"target_id": target_id}), **params)

    def new_template(self, *fields: JSON, groups: Sequence[Mapping[str, Any]] = ()) -> JSON:
        """Make a template, and let groups lead to it."""
        template = self.call("POST", "templates", 201, {"name": unique("Template"), "fields": list(fields) or [NAME]})
        if groups:
            self.assign(template, *groups)
        return template

    def assign(self, template: Mapping[str, Any], *groups: Mapping[str, Any]) -> JSON:
        """Let exactly these groups lead to a template."""
        body = {"group_ids": [group["id"] for group in groups]}
        return self.call("PUT", f"templates/{template['id']}/assignments", 200, body)

    def add_login(self, team: Mapping[str, Any], **members: Any) -> JSON:
        """Put a login into a team."""
        return self.call("POST", f"teams/{team['id']}/logins", 201, {"ciphertext": "b3BhcXVl", **members})

    def set(self, **settings: str) -> JSON:
        """Change policies of the tenant."""
        return self.call("PATCH", "settings", 200, settings)

    # Entra ------------------------------------------------------------------------------------------------------------

    def push(self, method: str, path: str, json: Any = None, *, status: int | None = None, **options: Any) -> Push:
        """Send what Entra sends, twice: the second time nobody is told anything new."""
        pushed = self.push_once(method, path, json, status=status, **options)
        self.scim.request(method, path, json=json, **options)

        assert [] == self.news(), f"{method} {path} was told of twice"
        return pushed

    def push_once(self, method: str, path: str, json: Any = None, *, status: int | None = None, **options: Any) -> Push:
        """Send what Entra sends; beside a worker, news may come at any time."""
        self.news()
        answer = self.scim.request(method, path, json=json, **options)
        if status is not None:
            assert status == answer.status_code, answer.text
        return Push(answer, self.news())

    def hire(self, **changes: Any) -> JSON:
        """Have Entra create a user, as its initial cycle does."""
        user_name = changes.get("userName", f"{unique('person')}@contoso.com")
        emails = [{"primary": True, "type": "work", "value": user_name}]
        body = a_user(next(numbers), **{"userName": user_name, "emails": emails, **changes})
        matching = self.scim.get("Users", params={"filter": f'userName eq "{user_name}"'})
        assert 0 == ok(matching)["totalResults"]
        return created(self.push("POST", "Users", body).answer)

    def found(self, *members: Mapping[str, Any], **changes: Any) -> JSON:
        """Have Entra create a group, without members, and then add them."""
        body = a_group(changes.pop("displayName", unique("Group")), **changes)
        matching = {"excludedAttributes": "members", "filter": f'externalId eq "{body["externalId"]}"'}
        assert 0 == ok(self.scim.get("Groups", params=matching))["totalResults"]
        group = created(self.push("POST", "Groups", body).answer)
        if members:
            self.join(group, *members)
        return group

    def change(self, resource: Mapping[str, Any], *operations: JSON) -> Push:
        """PATCH a user or a group."""
        kind = resource["meta"]["resourceType"]
        return self.push(
            "PATCH", f"{kind}s/{resource['id']}", patch(*operations), status=204 if kind == "Group" else 200
        )

    def set_attribute(self, user: Mapping[str, Any], path: str, value: Any) -> Push:
        """Have one attribute of a user or group replaced."""
        return self.change(user, {"op": "Replace", "path": path, "value": value})

    def join(self, group: Mapping[str, Any], *users: Mapping[str, Any]) -> Push:
        """Add members as Entra does: all in one operation, with `$ref` null."""
        named = [{"$ref": None, "value": user["id"]} for user in users]
        return self.change(group, {"op": "Add", "path": "members", "value": named})

    def leave(self, group: Mapping[str, Any], *users: Mapping[str, Any]) -> Push:
        """Remove members as Entra does without the flag: named in the value."""
        named = [{"$ref": None, "value": user["id"]} for user in users]
        return self.change(group, {"op": "Remove", "path": "members", "value": named})

    def disable(self, user: Mapping[str, Any]) -> Push:
        """Say `active` is false, as text, as Entra does."""
        return self.set_attribute(user, "active", "False")

    def enable(self, user: Mapping[str, Any]) -> Push:
        """Say `active` is true again."""
        return self.set_attribute(user, "active", "True")

    def delete(self, resource: Mapping[str, Any], status: int = 204) -> Push:
        """Have a user or a group deleted."""
        return self.push("DELETE", f"{resource['meta']['resourceType']}s/{resource['id']}", status=status)

    def hire_many(self, number: int) -> list[JSON]:
        """Create users in one request, for tests of sizes."""
        operations = [
            {
                "method": "POST",
                "path": "/Users",
                "bulkId": f"u{at}",
                "data": {**a_user(at), "userName": f"{unique('many')}@contoso.com", "phoneNumbers": []},
            }
            for at in range(number)
        ]
        answer = ok(self.scim.post("Bulk", json=bulk(*operations)))
        assert {"201"} == {each["status"] for each in answer["Operations"]}
        return [
            {"id": each["location"].rpartition("/")[2], "meta": {"resourceType": "User"}}
            for each in answer["Operations"]
        ]


MakeCompany = Callable[..., Company]


def bulk(*operations: JSON) -> JSON:
    """Wrap operations into a BulkRequest."""
    return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": list(operations)}


# Answers of the JSON door ---------------------------------------------------------------------------------------------


def in_api_form(answer: httpx.Response) -> None:
    """Hold an answer against what is true of all: no 5xx, JSON, refusals as problem details (RFC 9457)."""
    answer.read()
    said = f"{answer.request.method} {str(answer.request.url)[:200]} → {answer.status_code} {answer.text[:500]}"

    assert answer.status_code < 500, said
    assert answer.headers.get("x-request-id"), said
    if answer.status_code < 400:
        return
    assert PROBLEM == answer.headers["content-type"], said
    body = answer.json()
    assert {"type", "title", "status", "detail", "instance"} <= set(body), said
    assert (answer.status_code, answer.headers["x-request-id"]) == (body["status"], body["instance"]), said


def problem(answer: httpx.Response, status: int, code: str) -> JSON:
    """Hold an answer of the API against a refusal; give it."""
    assert status == answer.status_code, answer.text
    body: JSON = answer.json()
    assert body["type"].endswith(f"/problems/{code}"), body
    return body


def fields_of(card: Mapping[str, Any]) -> dict[str, str | None]:
    """Give what a card shows, by the keys of its fields."""
    return {each["key"]: each["value"] for each in card["fields"]}


# Making one -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def company_of(url: str, tenant_id: str, token: str, api_key: str) -> Iterator[Company]:
    """Open the clients of both sides."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": f"{SCIM}; charset=utf-8"}
    with (
        httpx.Client(
            base_url=f"{url}/scim/v2", headers=headers, timeout=60, event_hooks={"response": [in_scim_form]}
        ) as scim,
        httpx.Client(
            base_url=f"{url}/api/v1",
            headers={"Authorization": f"Bearer {api_key}"},
            timeout=60,
            event_hooks={"response": [in_api_form]},
        ) as api,
    ):
        yield Company(tenant_id, scim, api, api_key)


@contextlib.contextmanager
def company_by_command(server: Server, *options: str) -> Iterator[Company]:
    """Make a tenant and an API key as an operator does; in the end its rows agree with each other."""
    made = server.cli("tenant", "create", unique("company"), *options, "--json")
    key = server.cli("api-key", "create", made["tenant_id"], "--scope", "admin", "--json")
    with company_of(server.url, made["tenant_id"], made["token"], key["api_key"]) as company:
        yield company

    assert [] == disagreements(server.database_url, company.tenant_id)


@contextlib.contextmanager
def companies(url: str, database_url: str) -> Iterator[MakeCompany]:
    """Make tenants by the core in this process, since a command takes longer than most tests: `make(seats=2)`."""
    made: list[Company] = []
    with contextlib.ExitStack() as stack:

        def make(*, seats: int | None = None) -> Company:
            secrets = in_core(database_url, lambda database: database.write(lambda it: _new_tenant(it, seats)))
            made.append(stack.enter_context(company_of(url, *secrets)))
            return made[-1]

        yield make

    for each in made:
        assert [] == disagreements(database_url, each.tenant_id)


def _new_tenant(connection: Connection, seats: int | None) -> tuple[str, str, str]:
    tenant = tenants.create(connection, f"company-{uuid.uuid4().hex[:12]}", seat_limit=seats)
    connection_id = connections.create(connection, tenant, "Microsoft Entra ID")
    _, token = connections.issue_token(connection, tenant, connection_id)
    _, api_key = api_keys.issue(connection, tenant, KeyScope.ADMIN)
    return tenant.id, token, api_key
