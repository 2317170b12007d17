"""Who may do what: every endpoint without a key, with a dead one, with too small a one, and with another tenant's ids."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from app_api.table import TABLE
from app_core import reconciliations
from app_core.api_keys import KeyScope
from app_core.db import Connection
from app_core.reconciliations import Policy
from tests.app_api.conftest import House, new_house
from tests.app_api.held import (
    JSON,
    NAME,
    PNG,
    PREFIX,
    items,
    new_login,
    new_person,
    new_team,
    new_template,
    ok,
    person_of,
    push_group,
    push_user,
    refused,
    unique,
    walk,
)
from tests.processes import in_core

if TYPE_CHECKING:
    from tests.conftest import Server

ENDPOINTS = [(method, route) for route, methods in TABLE.items() for method in methods]
NO_LISTS = ("/settings", "/connection", "/connection/groups", "/connection/user-filter")
"""GET gives one thing, or what only a connected directory can tell (test_connection)."""
NAMING_ONE = [(method, route) for method, route in ENDPOINTS if "{" in route]


class World:
    """A tenant with one of everything, by the name of its place in a path."""

    def __init__(self, house: House) -> None:
        self.house = house
        with house.client() as api, house.scim() as scim:
            self.user = push_user(scim)
            self.group = push_group(scim, self.user)
            self.person = new_person(api, email=f"{unique()}@example.com")
            self.team = new_team(api)
            self.other_team = new_team(api)
            self.login = new_login(api, self.team)
            self.template = new_template(api, NAME)
            ok(api.put(f"templates/{self.template['id']}/assignments", json={"group_ids": [self.group["id"]]}))
            self.directory_person = person_of(api, self.user)
            [self.card] = items(api.get("cards", params={"person_id": self.directory_person["id"]}))
            self.invitation = ok(api.post("invitations", json={"template_id": self.template["id"]}), 201)
            ok(api.put(f"people/{self.person['id']}/photo", content=PNG, headers={"Content-Type": "image/png"}), 204)
            ok(api.put(f"teams/{self.team['id']}/members/{self.person['id']}"), 204)
            self.webhook = ok(api.post("webhooks", json={"url": "http://127.0.0.1:9/hooks"}), 201)["webhook"]
            [self.entry, *_] = items(api.get("provisioning-log"))
            self.reconciliation = {"id": in_core(house.database_url, lambda it: it.write(self.reconcile))}

    def reconcile(self, connection: Connection) -> str:
        """Ask for a run, as only who has a directory can over the API."""
        return reconciliations.ask(self.house.customer.work(connection), Policy.REPORT).id

    def path(self, route: str) -> str:
        """Fill a path of the table in with this tenant's ids."""
        noun = route.split("/")[1]
        ids = {
            "people": self.person,
            "teams": self.team,
            "groups": self.group,
            "templates": self.template,
            "cards": self.card,
            "invitations": self.invitation,
            "provisioning-log": self.entry,
            "jobs": {"id": str(uuid.uuid4())},
            "reconciliations": self.reconciliation,
            "webhooks": self.webhook,
        }
        one = ids.get(noun, {"id": ""})["id"]
        places = {"id": one, "login_id": self.login["id"], "person_id": self.person["id"]}
        places["event_id"] = str(uuid.uuid4())
        places["object_id"] = self.group["externalId"]
        return re.sub(r"\{(\w+)\}", lambda found: places[found[1]], route).lstrip("/")

    def body(self, method: str, route: str) -> JSON:
        """Give a body that the endpoint takes."""
        bodies: dict[tuple[str, str], Any] = {
            ("POST", "/people"): {"display_name": unique()},
            ("PATCH", "/people/{id}"): {"display_name": unique()},
            ("POST", "/people/{id}/link"): {"directory_user_id": self.user["id"]},
            ("POST", "/activations/redeem"): {"sign_in": "nobody", "start_code": "0000-0000-0000"},
            ("POST", "/teams"): {"name": unique()},
            ("PATCH", "/teams/{id}"): {"name": unique()},
            ("POST", "/teams/{id}/logins"): {"ciphertext": unique()},
            ("PATCH", "/teams/{id}/logins/{login_id}"): {"ciphertext": unique()},
            ("POST", "/teams/{id}/logins/{login_id}/move"): {"team_id": self.other_team["id"]},
            ("POST", "/templates"): {"name": unique()},
            ("PATCH", "/templates/{id}"): {"name": unique()},
            ("PUT", "/templates/{id}/assignments"): {"group_ids": []},
            ("POST", "/templates/{id}/assignments/preview"): {"group_ids": []},
            ("PATCH", "/cards/{id}"): {"overrides": {"name": unique()}},
            ("POST", "/invitations"): {"template_id": self.template["id"]},
            ("POST", "/invitations/claim"): {"claim_token": "nothing", "display_name": "Nobody"},
            ("PATCH", "/settings"): {"invalid_phone": "flag"},
            ("POST", "/connection/groups"): {"object_id": self.group["externalId"]},
            ("PUT", "/connection/user-filter"): {"object_ids": []},
            ("POST", "/reconciliations"): {"policy": "report"},
            ("POST", "/webhooks"): {"url": "http://127.0.0.1:9/hooks"},
            ("PATCH", "/webhooks/{id}"): {"description": unique()},
        }
        if (method, route) == ("PUT", "/people/{id}/photo"):
            return {"content": PNG, "headers": {"Content-Type": "image/png"}}
        found = bodies.get((method, route))
        return {} if found is None else {"json": found}

    def send(self, api: httpx.Client, method: str, route: str) -> httpx.Response:
        return api.request(method, self.path(route), **self.body(method, route))


@pytest.fixture(scope="module")
def world(server: Server) -> World:
    return World(new_house(server))


@pytest.fixture(scope="module")
def other(server: Server) -> World:
    return World(new_house(server))


@pytest.fixture(scope="module")
def held_by_other(other: World) -> dict[str, list[JSON]]:
    """What the other tenant holds before anybody tries anything on it, and ever after."""
    return snapshot(other)


@pytest.fixture(scope="module")
def client_with(world: World) -> Iterator[Callable[[str], httpx.Client]]:
    clients: dict[str, httpx.Client] = {}

    def give(key: str) -> httpx.Client:
        if key not in clients:
            clients[key] = world.house.client(key)
        return clients[key]

    yield give
    for client in clients.values():
        client.close()


@pytest.mark.parametrize(("method", "route"), ENDPOINTS)
@pytest.mark.parametrize("key", ["none", "unknown", "revoked", "expired", "scim", "basic"])
def test_without_a_live_key_nothing_is_answered(
    world: World, client_with: Callable[[str], httpx.Client], method: str, route: str, key: str
) -> None:
    """No key, one that nobody knows, a revoked or expired one, a SCIM token: 401, whatever is asked."""
    headers = {
        "none": "",
        "unknown": "Bearer scimapi_unknown",
        "scim": f"Bearer {world.house.customer.token}",
        "basic": f"Basic {world.house.keys['admin']}",
        **{name: f"Bearer {world.house.keys[name]}" for name in ("revoked", "expired")},
    }
    asked: JSON = {"json": {}} if method != "GET" else {}

    answer = client_with("admin").request(method, world.path(route), headers={"Authorization": headers[key]}, **asked)

    refused(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(("method", "route"), ENDPOINTS)
def test_a_key_of_too_small_a_scope_is_refused(
    world: World, client_with: Callable[[str], httpx.Client], method: str, route: str
) -> None:
    """What needs write is 403 for read, what needs admin is 403 for both; the smallest scope that is enough passes."""
    needed = TABLE[route][method].scope
    for scope in KeyScope:
        if not scope.covers(needed):
            body = refused(world.send(client_with(scope), method, route), 403, "forbidden")
            assert f"scope {needed}" in body["detail"]


# What others need is not deleted here.
@pytest.mark.parametrize(("method", "route"), [each for each in ENDPOINTS if each[0] != "DELETE"])
def test_the_smallest_scope_is_enough(
    world: World, client_with: Callable[[str], httpx.Client], method: str, route: str
) -> None:
    """Nothing asks for a larger key than it is said to: whatever comes of it, it is not 401 or 403."""
    answer = world.send(client_with(TABLE[route][method].scope), method, route)

    assert answer.status_code not in (401, 403)


@pytest.mark.parametrize(("method", "route"), NAMING_ONE)
def test_another_tenants_ids_are_not_found(
    world: World, other: World, held_by_other: dict[str, list[JSON]], method: str, route: str
) -> None:
    """An id of another tenant is as good as none: 404, and nothing of the other tenant changes."""
    with world.house.client() as api:
        answer = other.send(api, method, route)

    refused(answer, 404, "not-found")
    assert held_by_other == snapshot(other)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "teams/{team}/members/{other_person}", None),
        ("GET", "teams/{team}/logins/{other_login}", None),
        ("POST", "teams/{team}/logins/{login}/move", {"team_id": "{other_team}"}),
        ("POST", "people/{person}/link", {"directory_user_id": "{other_user}"}),
        ("PUT", "templates/{template}/assignments", {"group_ids": ["{other_group}"]}),
        ("POST", "templates/{template}/assignments/preview", {"group_ids": ["{other_group}"]}),
        ("POST", "invitations", {"template_id": "{other_template}"}),
    ],
)
def test_another_tenants_ids_are_not_found_in_second_place(
    world: World, other: World, held_by_other: dict[str, list[JSON]], method: str, path: str, body: JSON | None
) -> None:
    """Nor do own things take in what is another tenant's."""
    names = ("person", "team", "login", "template", "user", "group")
    known = {name: getattr(world, name)["id"] for name in names}
    known |= {f"other_{name}": getattr(other, name)["id"] for name in names}
    sent = None if body is None else {name: filled(value, known) for name, value in body.items()}
    with world.house.client() as api:
        answer = api.request(method, path.format(**known), json=sent)

    refused(answer, 404, "not-found")
    assert held_by_other == snapshot(other)


def filled(value: Any, known: dict[str, str]) -> Any:
    return [filled(each, known) for each in value] if isinstance(value, list) else value.format(**known)


def test_lists_hold_nothing_of_another_tenant(world: World, other: World) -> None:
    """Every list of a tenant holds its own things alone, also when it is asked for another's."""
    theirs = {str(getattr(other, name)["id"]) for name in vars(other) if isinstance(getattr(other, name), dict)}
    with world.house.client() as api:
        for route, methods in TABLE.items():
            if "GET" in methods and "{" not in route and route not in NO_LISTS:
                found = {str(each["id"]) for each in walk(api, route.lstrip("/"), 200)}
                assert set() == theirs & found, route
        assert [] == items(api.get("cards", params={"person_id": other.directory_person["id"]}))
        # What was tried on it is this tenant's own doing.
        tried = items(api.get("provisioning-log", params={"target_id": other.team["id"]}))
        assert {"failure"} >= {each["outcome"] for each in tried}


def test_a_key_by_command_works_until_it_is_revoked(server: Server, house: House) -> None:
    """What the command prints is a key of the tenant and scope that were asked for; a revocation counts at once."""
    tenant_id = house.customer.tenant_id
    made = server.cli("api-key", "create", tenant_id, "--scope", "read", "--json")
    with httpx.Client(base_url=server.url + PREFIX, headers={"Authorization": f"Bearer {made['api_key']}"}) as client:
        assert [] == items(client.get("teams"))
        refused(client.post("teams", json={"name": "T"}), 403, "forbidden")
        server.cli("api-key", "revoke", tenant_id, made["api_key_id"])
        refused(client.get("teams"), 401, "unauthenticated")


def snapshot(world: World) -> dict[str, list[JSON]]:
    """Give all that a tenant holds, but for the log and the events, which grow."""
    with world.house.client() as api:
        found = {
            name: walk(api, name, 200) for name in ("people", "teams", "templates", "cards", "invitations", "webhooks")
        }
        found["logins"] = walk(api, f"teams/{world.team['id']}/logins", 200)
        found["members"] = walk(api, f"teams/{world.team['id']}/members", 200)
        found["assignments"] = [ok(api.get(f"templates/{world.template['id']}/assignments"))]
        return found
