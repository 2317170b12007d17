"""Who may ask, and what of whom they see (RFC 7644 §2; each tenant for itself)."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.answers import (
    BULK_REQUEST,
    JSON,
    SEARCH_REQUEST,
    change,
    client_of,
    ids,
    in_scim_form,
    members_of,
    new_group,
    new_user,
    ok,
    read,
    refused,
    resources,
    unique,
    values,
)
from tests.builders import ENTERPRISE_USER, GROUP, USER, created, patch
from tests.conftest import Server
from tests.processes import Customer, another_token, new_customer


@dataclass(frozen=True)
class Neighbours:
    """Two tenants: ours, whose door is open, and theirs, with a user in a group."""

    url: str
    ours: httpx.Client
    theirs: httpx.Client
    customer: Customer
    user: JSON
    group: JSON

    def bare(self, authorization: str | None) -> httpx.Client:
        """Open a client that shows whatever it likes."""
        headers = {} if authorization is None else {"Authorization": authorization}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, event_hooks={"response": [in_scim_form]})

    def unchanged(self) -> bool:
        """Say whether the others' objects are as they were."""
        return read(self.theirs, self.user) == self.user and read(self.theirs, self.group) == self.group


@pytest.fixture(scope="module")
def neighbours(server: Server) -> Iterator[Neighbours]:
    url = f"{server.url}/scim/v2"
    customer = new_customer(server.database_url)
    other = new_customer(server.database_url)
    with client_of(url, customer) as ours, client_of(url, other) as theirs:
        user = new_user(theirs, userName="shared@contoso.com", externalId="x-1", title="Secret title")
        group = new_group(theirs, user, displayName="Their secret group", externalId=str(uuid.uuid4()))
        yield Neighbours(url, ours, theirs, customer, read(theirs, user), group)


TITLE = patch({"op": "replace", "path": "title", "value": "taken over"})
RENAME = patch({"op": "replace", "path": "displayName", "value": "taken over"})
# Every endpoint: method, path ({user} and {group} are of the other tenant), body.
ENDPOINTS: list[tuple[str, str, Any]] = [
    ("GET", "Users", None),
    ("POST", "Users", {"schemas": [USER], "userName": "intruder"}),
    ("POST", "Users/.search", {"schemas": [SEARCH_REQUEST]}),
    ("GET", "Users/{user}", None),
    ("HEAD", "Users/{user}", None),
    ("PUT", "Users/{user}", {"schemas": [USER], "userName": "intruder"}),
    ("PATCH", "Users/{user}", TITLE),
    ("DELETE", "Users/{user}", None),
    ("GET", "Groups", None),
    ("POST", "Groups", {"schemas": [GROUP], "displayName": "intruders"}),
    ("POST", "Groups/.search", {"schemas": [SEARCH_REQUEST]}),
    ("GET", "Groups/{group}", None),
    ("HEAD", "Groups/{group}", None),
    ("PUT", "Groups/{group}", {"schemas": [GROUP], "displayName": "intruders"}),
    ("PATCH", "Groups/{group}", RENAME),
    ("DELETE", "Groups/{group}", None),
    ("POST", "Bulk", {"schemas": [BULK_REQUEST], "Operations": []}),
    ("GET", "", None),
    ("POST", ".search", {"schemas": [SEARCH_REQUEST]}),
    ("GET", "Me", None),
    ("PATCH", "Me", TITLE),
    ("GET", "ServiceProviderConfig", None),
    ("GET", "ResourceTypes", None),
    ("GET", "ResourceTypes/User", None),
    ("GET", "Schemas", None),
    ("GET", f"Schemas/{USER}", None),
]
ENDPOINT_IDS = [f"{method} /{path}" for method, path, _ in ENDPOINTS]


def send(client: httpx.Client, neighbours: Neighbours, method: str, path: str, body: Any) -> httpx.Response:
    path = path.format(user=neighbours.user["id"], group=neighbours.group["id"])
    return client.request(method, path, json=body)


def is_401(answer: httpx.Response) -> None:
    """Hold an answer against RFC 9110 §15.5.2 and RFC 6750 §3: it says how to authenticate."""
    assert 401 == answer.status_code, answer.text
    assert answer.headers["www-authenticate"].lower().startswith("bearer")


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS, ids=ENDPOINT_IDS)
def test_no_token(neighbours: Neighbours, method: str, path: str, body: Any) -> None:
    """401, whatever is asked for, and nothing is done."""
    with neighbours.bare(None) as client:
        is_401(send(client, neighbours, method, path, body))

    assert neighbours.unchanged()


@pytest.fixture(scope="module")
def revoked(server: Server, neighbours: Neighbours) -> str:
    """A token of ours that was good and is no more."""
    customer = neighbours.customer
    token_id, token = another_token(server.database_url, customer)
    with neighbours.bare(f"Bearer {token}") as client:
        ok(client.get("Users"))
    server.cli("token", "revoke", customer.tenant_id, token_id)
    return token


@pytest.mark.parametrize(("method", "path", "body"), ENDPOINTS, ids=ENDPOINT_IDS)
def test_revoked_token(neighbours: Neighbours, revoked: str, method: str, path: str, body: Any) -> None:
    """401 from the moment of its revocation."""
    with neighbours.bare(f"Bearer {revoked}") as client:
        is_401(send(client, neighbours, method, path, body))

    assert neighbours.unchanged()


def test_what_is_remembered_of_a_token_lets_nobody_in(server: Server, neighbours: Neighbours) -> None:
    """A server may expect the caller it knows: once the token is revoked nothing is stored, and nothing else is said."""
    customer = neighbours.customer
    token_id, token = another_token(server.database_url, customer)
    meant = {"schemas": [USER], "userName": unique("user")}
    with neighbours.bare(f"Bearer {token}") as client:
        user, group = new_user(client), new_group(client)
        assert 204 == client.delete(f"Users/{new_user(client)['id']}").status_code
        server.cli("token", "revoke", customer.tenant_id, token_id)
        is_401(client.post("Users", json=meant))
        is_401(client.post("Users", json={**meant, "userName": user["userName"]}))
        is_401(client.post("Users", json={"userName": 5}))
        is_401(client.post("Users", content=b"{", headers={"Content-Type": "application/scim+json"}))
        is_401(client.delete(f"Users/{user['id']}"))
        is_401(client.delete("Users/nobody"))
        is_401(client.delete(f"Groups/{group['id']}"))

    assert [user, group] == [read(neighbours.ours, each) for each in (user, group)]
    assert [] == ids(neighbours.ours.get("Users", params={"filter": f'userName eq "{meant["userName"]}"'}))


MALFORMED = [
    "",
    "Bearer",
    "Basic {token}",
    "Basic dXNlcjpwYXNz",
    "Token {token}",
    "{token}",
    "Bearer {token}x",
    "Bearer x{token}",
    "Bearer Bearer {token}",
    "Bearer {token},{token}",
    "Bearer {token} {token}",
    "Bearer {hash}",
    "Bearer null",
    "Bearer " + "a" * 20_000,
    "Bearer \xe9\xe8",
    "Bearer ' OR 1=1 --",
    "Bearer {upper}",
    "Bearer {short}",
]


@pytest.mark.parametrize("written", MALFORMED, ids=[each[:30] for each in MALFORMED])
def test_malformed_token(neighbours: Neighbours, written: str) -> None:
    """401 for what is no token, and for what is almost one (RFC 6750 §2.1, §3.1)."""
    token = neighbours.customer.token
    words = {"hash": hashlib.sha256(token.encode()).hexdigest(), "upper": token.upper(), "short": token[:-1]}
    header = {b"Authorization": written.format(token=token, **words).encode("latin-1")}

    with neighbours.bare(None) as client:
        is_401(client.get("Users", headers=header))
        is_401(client.post("Users", headers=header, json={"schemas": [USER], "userName": "intruder"}))
        is_401(client.delete(f"Users/{neighbours.user['id']}", headers=header))

    assert [] == ids(neighbours.ours.get("Users", params={"filter": 'userName eq "intruder"'}))


@pytest.mark.parametrize("written", ["Bearer {token}", "bearer {token}", "BEARER {token}", "Bearer   {token}"])
def test_token_is_taken(neighbours: Neighbours, written: str) -> None:
    """The scheme counts in any case (RFC 9110 §11.1)."""
    with neighbours.bare(written.format(token=neighbours.customer.token)) as client:
        ok(client.get("Users"))


def test_token_counts_in_the_header_alone(neighbours: Neighbours) -> None:
    """Neither the URL nor the body authenticates (RFC 6750 §5.3)."""
    token = neighbours.customer.token
    with neighbours.bare(None) as client:
        is_401(client.get("Users", params={"access_token": token}))
        is_401(client.post("Users/.search", json={"schemas": [SEARCH_REQUEST], "access_token": token}))
        is_401(client.get("Users", headers={"Cookie": f"token={token}"}))


BY_ID = [each for each in ENDPOINTS if "{" in each[1]]


@pytest.mark.parametrize(("method", "path", "body"), BY_ID, ids=[f"{method} /{path}" for method, path, _ in BY_ID])
def test_ids_of_another_tenant(neighbours: Neighbours, method: str, path: str, body: Any) -> None:
    """404, exactly as for an id that nobody has."""
    answer = send(neighbours.ours, neighbours, method, path, body)
    nobody = str(uuid.uuid4())
    other = neighbours.ours.request(method, path.format(user=nobody, group=nobody), json=body)

    assert 404 == answer.status_code == other.status_code
    told = answer.text.replace(neighbours.user["id"], nobody).replace(neighbours.group["id"], nobody)
    assert other.text == told
    assert neighbours.unchanged()


FILTERS = [
    ("Users", 'id eq "{user}"'),
    ("Users", 'userName eq "shared@contoso.com"'),
    ("Users", 'externalId eq "x-1"'),
    ("Users", 'title sw "Secret"'),
    ("Users", 'not (title eq "x")'),
    ("Users", 'groups.value eq "{group}"'),
    ("Users", 'groups[display sw "Their"]'),
    ("Users", "groups pr"),
    ("Users", "id pr or userName pr"),
    ("Groups", 'id eq "{group}"'),
    ("Groups", 'displayName sw "Their"'),
    ("Groups", 'members.value eq "{user}"'),
    ("Groups", "members pr"),
    ("", 'id eq "{user}" or id eq "{group}"'),
    ("", "id pr"),
]


@pytest.mark.parametrize(("endpoint", "text"), FILTERS)
def test_lists_show_ours_alone(neighbours: Neighbours, endpoint: str, text: str) -> None:
    """No filter, search, total or page reaches over."""
    meant = text.format(user=neighbours.user["id"], group=neighbours.group["id"])
    found = neighbours.ours.get(endpoint, params={"filter": meant})
    searched = neighbours.ours.post(
        f"{endpoint}/.search".strip("/"), json={"schemas": [SEARCH_REQUEST], "filter": meant}
    )

    for answer in (found, searched):
        assert not {neighbours.user["id"], neighbours.group["id"]} & set(ids(answer))
        assert len(ids(answer)) == answer.json()["totalResults"]
        assert "ecret" not in answer.text


@pytest.mark.parametrize("endpoint", ["Users", "Groups", ""])
def test_cursors_open_no_door(neighbours: Neighbours, endpoint: str) -> None:
    """A cursor of another tenant shows at most one's own (RFC 9865 §6.2)."""
    for _ in range(2):
        new_user(neighbours.theirs)
        new_group(neighbours.theirs)
    cursor = ok(neighbours.theirs.get(endpoint, params={"cursor": "", "count": 1}))["nextCursor"]
    own = {each["id"] for each in resources(neighbours.ours.get(endpoint))}

    answer = neighbours.ours.get(endpoint, params={"cursor": cursor, "count": 10})

    assert answer.status_code in (200, 400)
    if answer.status_code == 200:
        assert set(ids(answer)) <= own


def test_members_of_another_tenant(neighbours: Neighbours) -> None:
    """They are unknown like any other id; nothing is told, nothing is joined."""
    ours, user, group = neighbours.ours, neighbours.user, neighbours.group
    mine = new_group(ours, new_user(ours))
    for stranger in (user, group):
        member = values(stranger)
        refusals = [
            ours.post("Groups", json={"schemas": [GROUP], "displayName": unique(), "members": member}),
            ours.put(
                f"Groups/{mine['id']}", json={"schemas": [GROUP], "displayName": mine["displayName"], "members": member}
            ),
            change(ours, mine, {"op": "add", "path": "members", "value": member}),
            change(ours, mine, {"op": "replace", "path": "members", "value": member}),
        ]
        for answer in refusals:
            refused(answer, 400, "invalidValue")
            assert "ecret" not in answer.text
        ok(change(ours, mine, {"op": "remove", "path": "members", "value": member}), 204)
        ok(change(ours, mine, {"op": "remove", "path": f'members[value eq "{stranger["id"]}"]'}), 204)

    assert mine == read(ours, mine)
    assert neighbours.unchanged()


def test_manager_of_another_tenant(neighbours: Neighbours) -> None:
    """The reference is kept as text (entra rule 34) and says nothing of whom it would mean."""
    user = new_user(neighbours.ours, **{ENTERPRISE_USER: {"manager": {"value": neighbours.user["id"]}}})

    assert {"value": neighbours.user["id"]} == read(neighbours.ours, user)[ENTERPRISE_USER]["manager"]


def test_bulk_into_another_tenant(neighbours: Neighbours) -> None:
    """Each operation meets 404 or 400, as it would alone."""
    ours, user, group = neighbours.ours, neighbours.user["id"], neighbours.group["id"]
    mine = new_group(ours)
    add = {"op": "add", "path": "members", "value": values(user)}
    operations = [
        {"method": "PUT", "path": f"/Users/{user}", "data": {"schemas": [USER], "userName": "intruder"}},
        {"method": "PATCH", "path": f"/Users/{user}", "data": TITLE},
        {"method": "DELETE", "path": f"/Users/{user}"},
        {"method": "PATCH", "path": f"/Groups/{group}", "data": RENAME},
        {"method": "DELETE", "path": f"/Groups/{group}"},
        {"method": "PATCH", "path": f"/Groups/{mine['id']}", "data": patch(add)},
        {
            "method": "POST",
            "path": "/Groups",
            "bulkId": "g",
            "data": {"displayName": unique(), "members": values(user)},
        },
    ]

    answer = ours.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": operations})

    assert ["404", "404", "404", "404", "404", "400", "400"] == [each["status"] for each in ok(answer)["Operations"]]
    assert "ecret" not in answer.text
    assert neighbours.unchanged()
    assert mine == read(ours, mine)


def test_the_same_names_in_two_tenants(neighbours: Neighbours) -> None:
    """Names, externalIds and Entra's object ids are one's own affair."""
    ours = neighbours.ours
    user = new_user(ours, userName=neighbours.user["userName"], externalId=neighbours.user["externalId"])
    group = new_group(
        ours, user, displayName=neighbours.group["displayName"], externalId=neighbours.group["externalId"]
    )

    assert {user["id"]} == members_of(read(ours, group))
    for client, own in ((ours, user), (neighbours.theirs, neighbours.user)):
        assert [own["id"]] == ids(client.get("Users", params={"filter": 'userName eq "SHARED@contoso.com"'}))
        assert [own["id"]] == ids(client.get("Users", params={"filter": 'externalId eq "x-1"'}))
    assert {group["id"]} == {each["value"] for each in read(ours, user)["groups"]}

    ok(ours.delete(f"Users/{user['id']}"), 204)
    ok(ours.delete(f"Groups/{group['id']}"), 204)
    assert neighbours.unchanged()


def test_the_url_names_no_tenant(neighbours: Neighbours) -> None:
    """The token decides, whatever else the request claims."""
    mine = new_user(neighbours.ours)
    claims = {"X-Tenant-Id": "other", "X-Tenant": "other", "Host": "127.0.0.1"}

    body = {"schemas": [USER], "userName": unique(), "tenant_id": "other", "connection_id": "other"}
    made = created(neighbours.ours.post("Users", json=body, headers=claims, params={"tenant_id": "other"}))

    assert mine == ok(neighbours.ours.get(f"Users/{mine['id']}", headers=claims, params={"tenant_id": "other"}))
    refused(neighbours.theirs.get(f"Users/{made['id']}"), 404)
