"""The invariants of the domain, by number: what no request, in whatever order, may break.

Those that a constraint of the database holds too are tried by SQL as well: whoever forgets the rule meets it there.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.answers import (
    JSON,
    change,
    client_of,
    ids,
    members_of,
    new_group,
    new_user,
    ok,
    path_of,
    read,
    refused,
    resources,
    unique,
    values,
)
from tests.builders import ENTERPRISE_USER, GROUP, USER, a_group, a_user, created, patch
from tests.conftest import Server
from tests.processes import Customer, another_token, log_of, new_customer
from tests.raw import OF_NO_TENANT, TABLES, Refused, cell, copied, sql


@pytest.fixture(scope="module")
def customer(server: Server) -> Customer:
    """A tenant that the tests of the module share."""
    return new_customer(server.database_url)


@pytest.fixture(scope="module")
def door(server: Server, customer: Customer) -> Iterator[httpx.Client]:
    with client_of(f"{server.url}/scim/v2", customer) as client:
        yield client


@pytest.fixture(scope="module")
def other_door(server: Server) -> Iterator[httpx.Client]:
    """A client of another tenant on the same server."""
    with client_of(f"{server.url}/scim/v2", new_customer(server.database_url)) as client:
        yield client


# 1 ----------------------------------------------------------------------------------------------------------------------


def test_inv_01_requests_reach_no_other_tenant(door: httpx.Client, other_door: httpx.Client) -> None:
    """A row never references another tenant: not by any member of any request."""
    stranger, strangers = new_user(other_door), new_group(other_door)
    group = new_group(door)
    for member in (stranger, strangers):
        refused(change(door, group, {"op": "add", "path": "members", "value": values(member)}), 400, "invalidValue")
        refused(door.put(path_of(group), json={**group, "members": values(member)}), 400, "invalidValue")

    assert group == read(door, group)
    assert (stranger, strangers) == (read(other_door, stranger), read(other_door, strangers))


@pytest.mark.parametrize("whose", ["the-group's", "the-member's"])
@pytest.mark.parametrize("kind", ["user", "group"])
def test_inv_01_the_database_refuses_it_too(
    server: Server, door: httpx.Client, other_door: httpx.Client, kind: str, whose: str
) -> None:
    """A membership or a nesting across tenants violates a foreign key, whichever tenant the row claims to be of."""
    url, group = server.database_url, new_group(door)
    stranger = new_user(other_door) if kind == "user" else new_group(other_door)
    tables = {"user": ("directory_membership", "user_id"), "group": ("directory_nesting", "member_id")}
    table, column = tables[kind]
    claimed = (
        cell(url, "directory_group", group["id"], "tenant_id")
        if whose == "the-group's"
        else cell(url, f"directory_{kind}", stranger["id"], "tenant_id")
    )
    insert = f"INSERT INTO {table} (tenant_id, group_id, {column}, since) VALUES (?, ?, ?, ?)"

    with pytest.raises(Refused, match=r"(?i)foreign key"):
        sql(url, insert, claimed, group["id"], stranger["id"], "2026-11-24T18:27:59.123Z")

    assert [] == sql(url, f"SELECT 1 FROM {table} WHERE group_id = ?", group["id"])


def test_inv_01_a_user_moves_to_no_other_tenant(server: Server, door: httpx.Client, other_door: httpx.Client) -> None:
    """Nor can a row that others refer to change its tenant, or point at another's connection."""
    url, user, stranger = server.database_url, new_user(door), new_user(other_door)
    new_group(door, user)

    for column in ("tenant_id", "connection_id"):
        with pytest.raises(Refused, match=r"(?i)foreign key"):
            sql(
                url,
                f"UPDATE directory_user SET {column} = ? WHERE id = ?",
                cell(url, "directory_user", stranger["id"], column),
                user["id"],
            )


@pytest.mark.parametrize("name", sorted(TABLES))
def test_inv_01_every_reference_carries_the_tenant(name: str) -> None:
    """Between tables of tenants a foreign key is (tenant_id, …) on both sides."""
    table = TABLES[name]
    for constraint in table.foreign_key_constraints:
        if "tenant_id" not in constraint.referred_table.columns:
            assert constraint.referred_table.name in ("tenant", *OF_NO_TENANT)
            continue
        pairs = {element.parent.name: element.column.name for element in constraint.elements}
        assert pairs.get("tenant_id") == "tenant_id", f"{name}: {pairs}"
    assert (name in ("tenant", *OF_NO_TENANT)) is ("tenant_id" not in table.columns)


# 2 ----------------------------------------------------------------------------------------------------------------------


def test_inv_02_user_names_are_unique(server: Server, door: httpx.Client) -> None:
    """Per connection among live users, in any case; the database says so too."""
    user, other = new_user(door, userName=unique("Ä")), new_user(door)

    refused(door.post("Users", json={"schemas": [USER], "userName": user["userName"].lower()}), 409, "uniqueness")
    key = cell(server.database_url, "directory_user", user["id"], "user_name_key")
    with pytest.raises(Refused, match=r"(?i)unique"):
        copied(server.database_url, "directory_user", user["id"], id=str(uuid.uuid4()))
    with pytest.raises(Refused, match=r"(?i)unique"):
        sql(server.database_url, "UPDATE directory_user SET user_name_key = ? WHERE id = ?", key, other["id"])

    ok(door.delete(path_of(user)), 204)
    new_user(door, userName=user["userName"])


def test_inv_02_object_ids_of_groups_are_unique(server: Server, door: httpx.Client) -> None:
    """Of live groups one has an Entra object id as externalId, in whatever case; the database says so too."""
    group = created(door.post("Groups", json=a_group(unique())))
    again = a_group(unique(), externalId=group["externalId"].upper())

    refused(door.post("Groups", json=again), 409, "uniqueness")
    with pytest.raises(Refused, match=r"(?i)unique"):
        copied(server.database_url, "directory_group", group["id"], id=str(uuid.uuid4()))

    ok(door.delete(path_of(group)), 204)
    created(door.post("Groups", json=again))


def test_inv_02_external_ids_of_users_are_not(door: httpx.Client) -> None:
    """The default mapping sends mailNickname: two people may have one."""
    external_id = str(uuid.uuid4())

    assert new_user(door, externalId=external_id)["id"] != new_user(door, externalId=external_id)["id"]


# 3 ----------------------------------------------------------------------------------------------------------------------


def test_inv_03_nothing_is_matched_by_display_name(door: httpx.Client) -> None:
    """People and groups of one name are different ones, and a name is no key."""
    name = unique("Barbara Jensen")
    one, other = (new_user(door, displayName=name) for _ in range(2))
    sales, sales_too = (new_group(door, displayName=name, externalId=str(uuid.uuid4())) for _ in range(2))

    assert 4 == len({each["id"] for each in (one, other, sales, sales_too)})
    for key in (name, one["userName"]):
        refused(door.get(f"Users/{key}"), 404)
        refused(door.delete(f"Users/{key}"), 404)
        refused(door.get(f"Groups/{key}"), 404)
        refused(change(door, sales, {"op": "add", "path": "members", "value": values(key)}), 400, "invalidValue")
    refused(door.delete(f"Groups/{name}"), 404)

    ok(change(door, one, {"op": "replace", "path": "title", "value": "changed"}))
    ok(change(door, sales, {"op": "add", "path": "members", "value": values(one)}), 204)
    ok(door.delete(path_of(sales)), 204)
    assert (other, sales_too) == (read(door, other), read(door, sales_too))


# 4 ----------------------------------------------------------------------------------------------------------------------


def said(resource: JSON) -> JSON:
    """Give what the directory said of a resource, without what the server adds."""
    return {name: value for name, value in resource.items() if name not in ("id", "meta", "groups")}


def test_inv_04_users_are_kept_as_sent(door: httpx.Client) -> None:
    """What a GET returns is what the directory last said, plus `id` and `meta`."""
    first = a_user(userName=f" {unique('AS.Sent')}@Contoso.COM", title="A\r\nB ", nickName='O\'Neil "x" \\ é e\u0301')
    second = a_user(2, userName=first["userName"].lower(), displayName="  blanks  ")
    for body in (first, second):
        del body["meta"], body["roles"]

    user = created(door.post("Users", json=first))
    assert first == said(read(door, user))

    ok(door.put(path_of(user), json=second))
    assert second == said(read(door, user))

    manager = {"op": "add", "path": f"{ENTERPRISE_USER}:manager", "value": {"value": "random-string"}}
    ok(change(door, user, {"op": "replace", "path": "title", "value": " New\n"}, manager))
    extended = {**second[ENTERPRISE_USER], "manager": {"value": "random-string"}}
    assert {**second, "title": " New\n", ENTERPRISE_USER: extended} == said(read(door, user))

    new_group(door, user)
    assert {"id", "meta", "groups"} == set(read(door, user)) - set(second)


def test_inv_04_groups_are_kept_as_sent(door: httpx.Client) -> None:
    """So are groups, and their members are those that were named."""
    user = new_user(door)
    sent = a_group(f" {unique('Sales  EMEA')} ", externalId=f" {uuid.uuid4()} ".upper())
    del sent["meta"]

    group = created(door.post("Groups", json={**sent, "members": values(user)}))

    assert sent == {name: value for name, value in said(read(door, group)).items() if name != "members"}
    assert {user["id"]} == members_of(read(door, group))


# 5 ----------------------------------------------------------------------------------------------------------------------


def test_inv_05_inactive_users_keep_their_memberships(server: Server, door: httpx.Client) -> None:
    """`active: false` takes nobody out of a group; memberships are not sent again on re-activation."""
    user, inner = new_user(door), new_group(door)
    groups = [new_group(door, user), new_group(door, user, inner)]
    before = [read(door, group) for group in groups]

    inactive = ok(change(door, user, {"op": "Replace", "path": "active", "value": "False"}))

    assert inactive["active"] is False
    assert {each["id"] for each in groups} == {each["value"] for each in inactive["groups"]}
    assert before == [read(door, group) for group in groups]
    count = "SELECT count(*) FROM directory_membership WHERE user_id = ?"
    assert [(2,)] == sql(server.database_url, count, user["id"])
    found = ids(door.get("Groups", params={"filter": f'members eq "{user["id"]}"'}))
    assert {each["id"] for each in groups} == set(found)

    late = new_group(door)
    ok(change(door, late, {"op": "add", "path": "members", "value": values(user)}), 204)
    again = ok(change(door, user, {"op": "Replace", "path": "active", "value": "True"}))
    assert {late["id"], *(each["id"] for each in groups)} == {each["value"] for each in again["groups"]}


# 23 ---------------------------------------------------------------------------------------------------------------------


def everything_logged(server: Server, customer: Customer) -> str:
    """Give all that the provisioning log of a tenant holds, as one text."""
    columns = [column.name for column in TABLES["provisioning_log"].columns]
    rows = sql(server.database_url, f"SELECT {', '.join(columns)} FROM provisioning_log")
    assert rows
    assert log_of(server.database_url, customer)
    return "\n".join(str(row) for row in rows)


def test_inv_23_the_log_holds_no_secret(server: Server, door: httpx.Client, customer: Customer) -> None:
    """Neither the token of a request nor a password, whatever became of it."""
    password = f"t1meMa$heen-{uuid.uuid4()}"
    secret = {"schemas": [USER], "userName": unique(), "password": password}
    user = created(door.post("Users", json=secret))
    refused(door.post("Users", json=secret), 409)
    refused(door.post("Users", json={**secret, "active": "perhaps"}), 400)
    refused(door.post("Users", json={**secret, "userName": unique(), "password": [password]}), 400)
    ok(door.put(path_of(user), json=secret))
    ok(change(door, user, {"op": "replace", "path": "password", "value": password}))
    ok(change(door, user, {"op": "add", "value": {"password": password, f"{USER}:password": password}}))
    refused(change(door, user, {"op": "add", "path": "password", "value": password}, {"op": "move"}), 400)
    refused(door.get("Users", params={"filter": f'password eq "{password}"'}), 400)
    door.post("Bulk", json={"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [
        {"method": "POST", "path": "/Users", "bulkId": "b", "data": {**secret, "userName": unique()}},
        {"method": "POST", "path": "/Users", "bulkId": "c", "data": secret},
    ]})  # fmt: skip

    logged = everything_logged(server, customer)

    for hidden in (password, customer.token, hashlib.sha256(customer.token.encode()).hexdigest(), "Bearer "):
        assert hidden not in logged


MISPLACED: dict[str, Callable[[httpx.Client, str], httpx.Response]] = {
    "user-name": lambda door, token: door.post("Users", json={"schemas": [USER], "userName": token}),
    "wrong-value": lambda door, token: door.post("Users", json={"schemas": [USER], "userName": "x", "active": token}),
    "filter": lambda door, token: door.get("Users", params={"filter": f'nosuch eq "{token}"'}),
    "word-in-a-filter": lambda door, token: door.get("Users", params={"filter": f"userName {token} x"}),
    "query": lambda door, token: door.delete("Users/nobody", params={"access_token": token}),
    "path": lambda door, token: door.delete(f"Users/{token}"),
    "member": lambda door, token: door.post("Groups", json={"displayName": "x", "members": values(token)}),
    "patch-path": lambda door, token: change(door, new_user(door), {"op": "add", "path": token, "value": "x"}),
    "attribute-name": lambda door, token: door.post("Users", json={"schemas": [USER], "userName": unique(), token: "x"}),
    "bulk-id": lambda door, token: door.post(
        "Bulk",
        json={
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
            "Operations": [{"method": "DELETE", "path": f"/Users/{token}", "bulkId": token}],
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", MISPLACED)
def test_inv_23_misplaced_tokens_are_not_logged(
    server: Server, door: httpx.Client, customer: Customer, place: str
) -> None:
    """A token that a client puts where it does not belong is masked like any other secret."""
    _, token = another_token(server.database_url, customer)

    MISPLACED[place](door, token)

    assert token not in everything_logged(server, customer)


def test_inv_23_refusals_are_logged(server: Server, door: httpx.Client, customer: Customer) -> None:
    """A failure survives the rollback that it caused, with what was aimed at and why."""
    user, group = new_user(door), new_group(door)
    refused(change(door, user, {"op": "replace", "path": "active", "value": "perhaps"}), 400)
    refused(change(door, group, {"op": "add", "path": "members", "value": values("nobody")}), 400)
    refused(door.post("Groups", json={"schemas": [GROUP], "displayName": group["displayName"]}), 409)
    refused(door.delete("Users/nobody"), 404)
    refused(door.patch(path_of(user), json=patch({"op": "move"}), headers={"If-Match": '"x"'}), 412)

    entries: list[dict[str, Any]] = log_of(server.database_url, customer, count=5)[::-1]

    assert ["failure"] * 5 == [entry["outcome"] for entry in entries]
    assert [400, 400, 409, 404, 412] == [entry["status"] for entry in entries]
    assert [user["id"], group["id"], None, "nobody", user["id"]] == [entry["target_id"] for entry in entries]
    assert ["invalidValue", "invalidValue", "uniqueness"] == [entry["reason_code"] for entry in entries[:3]]
    assert all(entry["reason"] for entry in entries)
    assert "no user or group has the id" in entries[1]["reason"]
    assert (user, group) == (read(door, user), read(door, group))


def test_inv_23_the_log_is_of_the_tenant(
    server: Server, door: httpx.Client, other_door: httpx.Client, customer: Customer
) -> None:
    """What one tenant does stands in its own log alone."""
    theirs, ours = new_user(other_door), new_user(door)

    targets = {entry["target_id"] for entry in log_of(server.database_url, customer)}

    assert ours["id"] in targets
    assert theirs["id"] not in targets


# 24 ---------------------------------------------------------------------------------------------------------------------


def test_inv_24_tokens_rotate(server: Server) -> None:
    """Several are live at once; a revoked one ends at the next request, on every connection; the others live on."""
    made = server.cli("tenant", "create", unique("tenant"), "--json")
    second = server.cli("token", "create", made["tenant_id"], "--json")
    third = server.cli("token", "create", made["tenant_id"], "--expires", "1h", "--json")
    clients = [
        httpx.Client(base_url=made["scim_url"], headers={"Authorization": f"Bearer {each['token']}"}, timeout=30)
        for each in (made, second, third)
    ]
    try:
        user = new_user(clients[0])
        assert [user] * 3 == [read(client, user) for client in clients]

        server.cli("token", "revoke", made["tenant_id"], second["token_id"])

        assert [200, 401, 200] == [client.get(path_of(user)).status_code for client in clients]
        assert [204, 401, 404] == [client.delete(path_of(user)).status_code for client in (clients[0], *clients[1:])]
    finally:
        for client in clients:
            client.close()


def test_inv_24_only_hashes_are_stored(server: Server, customer: Customer) -> None:
    """No column of any table holds a token; what is kept recognises it and does not open anything."""
    token = customer.token
    rows = sql(server.database_url, "SELECT * FROM scim_token")
    kept = [str(value) for row in rows for value in row]

    assert hashlib.sha256(token.encode()).hexdigest() in kept
    assert not [value for value in kept if token in value]
    assert not [value for value in kept if len(value) > 12 and value in token]
    for name in sorted(TABLES):
        for row in sql(server.database_url, f"SELECT * FROM {name}"):
            assert token not in str(row), name
    shown = server.cli("token", "list", customer.tenant_id, "--json")
    assert token not in str(shown)
    assert hashlib.sha256(token.encode()).hexdigest() not in str(shown)


def test_inv_24_an_expired_token_opens_nothing(server: Server, customer: Customer) -> None:
    """What has expired is refused as if it were not there."""
    expire = "UPDATE scim_token SET expires_at = ? WHERE id = ?"
    made = server.cli("token", "create", customer.tenant_id, "--expires", "1h", "--json")
    with httpx.Client(base_url=f"{server.url}/scim/v2", headers={"Authorization": f"Bearer {made['token']}"}) as client:
        assert resources(client.get("Users", params={"count": 1}))

        sql(server.database_url, expire, "2026-01-01T00:00:00.000Z", made["token_id"])

        refused(client.get("Users"), 401)
