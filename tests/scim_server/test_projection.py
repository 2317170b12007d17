"""Chosen attributes: `attributes` and `excludedAttributes` wherever a resource is answered (RFC 7644 §3.4.2.5, §3.9)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.answers import JSON, SEARCH_REQUEST, change, new_group, new_user, ok, read, refused, resources, unique
from tests.builders import ENTERPRISE_USER, GROUP, USER, created

KNOWN = "urn:example:params:scim:schemas:extension:custom:2.0:User"
ATTRIBUTES: JSON = {
    "externalId": "e-1",
    "title": "Guide",
    "name": {"givenName": "Barbara", "familyName": "Jensen", "formatted": "B. Jensen"},
    "emails": [{"value": "w@x.example", "type": "work", "primary": True}, {"value": "h@x.example", "type": "home"}],
    ENTERPRISE_USER: {"department": "Tours", "employeeNumber": "7", "manager": {"value": "m", "$ref": "../Users/m"}},
    KNOWN: {"tag": "blue", "size": 5},
}

CHOSEN: list[
    tuple[str, JSON]
] = [  # `attributes`, and what is answered beside `schemas` and `id`; … stands for the value
    ("userName", {"userName": ...}),
    ("USERNAME", {"userName": ...}),
    ("title,userName", {"userName": ..., "title": ...}),
    (" title , userName ", {"userName": ..., "title": ...}),
    ("id", {}),
    ("schemas", {}),
    ("externalId", {"externalId": ...}),
    ("active", {"active": ...}),
    ("groups", {"groups": ...}),
    ("meta", {"meta": ...}),
    ("name", {"name": ...}),
    ("name.familyName", {"name": {"familyName": "Jensen"}}),
    ("name.familyName,name.givenName", {"name": {"familyName": "Jensen", "givenName": "Barbara"}}),
    ("name,name.familyName", {"name": ...}),
    ("name.nosuch", {}),
    ("emails.value", {"emails": [{"value": "w@x.example"}, {"value": "h@x.example"}]}),
    ("emails.primary", {"emails": [{"primary": True}]}),
    ("emails", {"emails": ...}),
    ("nickName", {}),
    ("nosuch", {}),
    ("nosuch,title", {"title": ...}),
    ("password", {}),
    (",", {}),
    (f"{USER}:title", {"title": ...}),
    (f"{USER}:name.familyName", {"name": {"familyName": "Jensen"}}),
    (f"{USER}:emails.type", {"emails": [{"type": "work"}, {"type": "home"}]}),
    (f"{ENTERPRISE_USER}:department", {ENTERPRISE_USER: {"department": "Tours"}}),
    (f"{ENTERPRISE_USER.upper()}:DEPARTMENT", {ENTERPRISE_USER: {"department": "Tours"}}),
    (f"{ENTERPRISE_USER}:manager.value", {ENTERPRISE_USER: {"manager": {"value": "m"}}}),
    (f"{ENTERPRISE_USER}:division", {}),
    (ENTERPRISE_USER, {ENTERPRISE_USER: ...}),
    (f"{ENTERPRISE_USER}:department,title", {ENTERPRISE_USER: {"department": "Tours"}, "title": ...}),
    (KNOWN, {KNOWN: ...}),
    (f"{KNOWN}:tag", {KNOWN: {"tag": "blue"}}),
]

EXCLUDED: list[tuple[str, Callable[[JSON], None]]] = [  # `excludedAttributes`, and what it takes away
    ("title", lambda user: drop(user, "title")),
    ("TITLE,name", lambda user: drop(user, "title", "name")),
    ("id,schemas", lambda user: None),
    ("nosuch", lambda user: None),
    ("meta", lambda user: drop(user, "meta")),
    ("groups", lambda user: drop(user, "groups")),
    ("active", lambda user: drop(user, "active")),
    ("name.familyName", lambda user: drop(user["name"], "familyName")),
    ("name.familyName,name.givenName,name.formatted", lambda user: drop(user, "name")),
    ("emails.type", lambda user: drop_from_each(user["emails"], "type")),
    (f"{USER}:title", lambda user: drop(user, "title")),
    (f"{ENTERPRISE_USER}:department", lambda user: drop(user[ENTERPRISE_USER], "department")),
    (f"{ENTERPRISE_USER}:manager.$ref", lambda user: drop(user[ENTERPRISE_USER]["manager"], "$ref")),
    (ENTERPRISE_USER, lambda user: drop(user, ENTERPRISE_USER)),
    (f"{KNOWN}:tag", lambda user: drop(user[KNOWN], "tag")),
]


def drop(where: JSON, *names: str) -> None:
    for name in names:
        del where[name]


def drop_from_each(where: list[JSON], name: str) -> None:
    for each in where:
        drop(each, name)


@pytest.fixture(scope="module")
def user(door: httpx.Client) -> JSON:
    made = new_user(door, **ATTRIBUTES)
    new_group(door, made)
    return read(door, made)


def chosen(user: JSON, expected: JSON) -> JSON:
    """Fill in the values that are expected as they are."""
    filled = {name: user[name] if value is ... else value for name, value in expected.items()}
    return {"schemas": user["schemas"], "id": user["id"], **filled}


def shown(door: httpx.Client, user: JSON, **params: str) -> list[JSON]:
    """Read a user by GET, by a list, by both searches, and as the answer of a change that changes nothing."""
    body = {"schemas": [SEARCH_REQUEST], "filter": f'id eq "{user["id"]}"'}
    body |= {name: value.split(",") for name, value in params.items()}
    return [
        read(door, user, **params),
        *resources(door.get("Users", params={"filter": body["filter"], **params})),
        *resources(door.get("", params={"filter": body["filter"], **params})),
        *resources(door.post("Users/.search", json=body)),
        *resources(door.post(".search", json=body)),
        ok(change(door, user, {"op": "replace", "path": "title", "value": "Guide"}, **params)),
        ok(door.put(f"Users/{user['id']}", json=user, params=params)),
    ]


@pytest.mark.parametrize(("attributes", "expected"), CHOSEN, ids=[each[0] for each in CHOSEN])
def test_only_what_is_asked_for(door: httpx.Client, user: JSON, attributes: str, expected: JSON) -> None:
    """`attributes` replaces the default set; `id` and `schemas` are returned always (RFC 7644 §3.9, RFC 7643 §7)."""
    answers = shown(door, user, attributes=attributes)

    assert [chosen(user, expected)] * 7 == answers


@pytest.mark.parametrize(("excluded", "take_away"), EXCLUDED, ids=[each[0] for each in EXCLUDED])
def test_all_but_what_is_excluded(
    door: httpx.Client, user: JSON, excluded: str, take_away: Callable[[JSON], None]
) -> None:
    """`excludedAttributes` takes away from the default set, and never `id` and `schemas` (RFC 7644 §3.9)."""
    expected = read(door, user)
    take_away(expected)

    answers = shown(door, user, excludedAttributes=excluded)

    assert [expected] * 7 == answers


def test_nothing_named_means_everything(door: httpx.Client, user: JSON) -> None:
    """An empty parameter chooses nothing."""
    for params in ({"attributes": ""}, {"excludedAttributes": ""}, {"attributes": "", "excludedAttributes": ""}):
        assert user == read(door, user, **params)


@pytest.mark.parametrize("path", ["Users", "Groups", "", "Users/{id}", "Groups/{group}"])
def test_both_at_once_are_refused(door: httpx.Client, user: JSON, path: str) -> None:
    """They are alternatives (RFC 7644 §3.4.2.5); a guess would hide what was asked for."""
    params = {"attributes": "userName", "excludedAttributes": "title"}
    path = path.format(id=user["id"], group=user["groups"][0]["value"])

    refused(door.get(path, params=params), 400, "invalidValue")


def test_both_at_once_change_nothing(door: httpx.Client) -> None:
    """What is refused is not done, by whatever method."""
    user, params = new_user(door), {"attributes": "userName", "excludedAttributes": "title"}
    name = unique()
    body = {"schemas": [USER], "userName": name}

    refused(door.post("Users", json=body, params=params), 400, "invalidValue")
    refused(door.put(f"Users/{user['id']}", json=body, params=params), 400, "invalidValue")
    refused(change(door, user, {"op": "add", "path": "title", "value": "x"}, **params), 400, "invalidValue")

    assert user == read(door, user)
    assert [] == resources(door.get("Users", params={"filter": f'userName eq "{name}"'}))


def test_create_answers_what_is_asked_for(door: httpx.Client) -> None:
    """POST takes the parameters too; Location and ETag are there whatever is asked for (RFC 7644 §3.9, §3.3)."""
    for params, names in (
        ({"attributes": "userName"}, {"schemas", "id", "userName"}),
        ({"attributes": f"{ENTERPRISE_USER}:department"}, {"schemas", "id", ENTERPRISE_USER}),
        ({"excludedAttributes": "meta,active"}, {"schemas", "id", "userName", "title", ENTERPRISE_USER}),
    ):
        body: JSON = {"schemas": [USER], "userName": unique(), "title": "x", ENTERPRISE_USER: {"department": "d"}}

        answer = door.post("Users", json=body, params=params)

        assert names == set(created(answer))
        assert read(door, f"Users/{answer.json()['id']}")["meta"]["version"] == answer.headers["etag"]
        assert f"{door.base_url}Users/{answer.json()['id']}" == answer.headers["location"]


GROUPS: list[tuple[dict[str, str], Callable[[JSON], JSON]]] = [
    ({"attributes": "displayName"}, lambda g: {"displayName": g["displayName"]}),
    ({"attributes": "members"}, lambda g: {"members": g["members"]}),
    ({"attributes": "members.value"}, lambda g: {"members": [{"value": each["value"]} for each in g["members"]]}),
    ({"attributes": "MEMBERS.Type"}, lambda g: {"members": [{"type": each["type"]} for each in g["members"]]}),
    ({"attributes": f"{GROUP}:members.value"}, lambda g: {"members": [{"value": each["value"]} for each in g["members"]]}),
    ({"attributes": "id"}, lambda g: {}),
    ({"excludedAttributes": "members"}, lambda g: without(g, "members")),
    ({"excludedAttributes": "Members,displayName"}, lambda g: without(g, "members", "displayName")),
    ({"excludedAttributes": f"{GROUP}:members"}, lambda g: without(g, "members")),
    ({"excludedAttributes": "members.$ref"}, lambda g: {**g, "members": [without(each, "$ref") for each in g["members"]]}),
    ({"excludedAttributes": "members,members.value"}, lambda g: without(g, "members")),
    ({"excludedAttributes": "members.value,members.$ref,members.type"}, lambda g: without(g, "members")),
    ({"excludedAttributes": "id,schemas,nosuch"}, lambda g: g),
]  # fmt: skip


def without(where: JSON, *names: str) -> JSON:
    return {name: value for name, value in where.items() if name not in names}


@pytest.mark.parametrize(("params", "expected"), GROUPS, ids=[str(each[0]) for each in GROUPS])
def test_groups_are_projected(door: httpx.Client, params: dict[str, str], expected: Callable[[JSON], JSON]) -> None:
    """Members above all: Entra never wants them (entra rule 19)."""
    group = new_group(door, new_user(door), new_group(door), externalId=unique())
    wanted = {"schemas": group["schemas"], "id": group["id"], **expected(group)}
    one = {"filter": f'id eq "{group["id"]}"', **params}
    again = {"op": "replace", "path": "displayName", "value": group["displayName"]}

    answers: list[Any] = [
        read(door, group, **params),
        *resources(door.get("Groups", params=one)),
        *resources(door.get("", params=one)),
        ok(change(door, group, again, **params)),
        ok(door.put(f"Groups/{group['id']}", json=group, params=params)),
    ]

    assert [wanted] * 5 == answers


def test_etag_does_not_depend_on_the_choice(door: httpx.Client, user: JSON) -> None:
    """The version is the resource's, not the representation's (RFC 7644 §3.14)."""
    for params in ({"attributes": "title"}, {"excludedAttributes": "groups"}, {"attributes": "meta"}):
        answer = door.get(f"Users/{user['id']}", params=params)

        assert user["meta"]["version"] == answer.headers["etag"]
    assert {"version": user["meta"]["version"]} == read(door, user, attributes="meta.version")["meta"]
