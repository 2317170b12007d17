"""Versions and conditional requests (RFC 7644 §3.14, RFC 9110 §13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.answers import JSON, change, new_group, new_user, new_users, ok, path_of, read, refused, resources, values
from tests.builders import ENTERPRISE_USER, GROUP, USER, patch

TITLE = {"op": "replace", "path": "title", "value": "changed"}
RENAME = {"op": "replace", "path": "externalId", "value": "changed"}
METHODS = ["PATCH", "PUT", "DELETE"]


@pytest.fixture(params=["User", "Group"])
def resource(door: httpx.Client, request: pytest.FixtureRequest) -> JSON:
    """One user in a group, or one group with a user."""
    user = new_user(door, title="t", displayName="before")
    group = new_group(door, user)
    return read(door, user if request.param == "User" else group)


def send(door: httpx.Client, method: str, resource: JSON, **headers: str) -> httpx.Response:
    """Change or delete a resource on a condition."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if method == "PATCH":
        return door.patch(path_of(resource), json=patch(RENAME), headers=sent)
    if method == "PUT":
        return door.put(path_of(resource), json={**resource, "externalId": "changed"}, headers=sent)
    return door.delete(path_of(resource), headers=sent)


def opaque(tag: str) -> str:
    """Give an ETag without its weakness."""
    return tag.removeprefix("W/")


# The tag ----------------------------------------------------------------------------------------------------------------


def test_every_answer_has_the_version(door: httpx.Client) -> None:
    """POST, GET, PUT, PATCH, lists and HEAD agree; the header is meta.version (RFC 7644 §3.14)."""
    for endpoint, body in (
        ("Users", {"schemas": [USER], "userName": "versioned"}),
        ("Groups", {"schemas": [GROUP], "displayName": "versioned"}),
    ):
        answer = door.post(endpoint, json=body)
        created = ok(answer, 201)
        path = f"{endpoint}/{created['id']}"

        assert answer.headers["etag"] == created["meta"]["version"]
        for again in (door.get(path), door.head(path), door.put(path, json=body)):
            assert answer.headers["etag"] == again.headers["etag"]
        (listed,) = resources(door.get(endpoint, params={"filter": f'id eq "{created["id"]}"'}))
        assert answer.headers["etag"] == listed["meta"]["version"]

        patched = door.patch(path, json=patch({"op": "add", "path": "externalId", "value": "x"}))
        assert patched.headers["etag"] == read(door, path)["meta"]["version"] != answer.headers["etag"]
        ok(door.delete(path), 204)


# Changes of a user, and whether they are any: TITLED is how it starts.
TITLED: JSON = {
    "title": "t",
    "emails": [{"value": "a@x.example", "type": "work"}],
    "name": {"givenName": "A"},
    ENTERPRISE_USER: {"manager": {"value": "m"}},
}
SAME: list[JSON] = [
    {"op": "replace", "path": "title", "value": "t"},
    {"op": "add", "path": "title", "value": "t"},
    {"op": "replace", "path": "active", "value": True},
    {"op": "replace", "path": "active", "value": "True"},
    {"op": "remove", "path": "nickName"},
    {"op": "replace", "path": "nickName", "value": ""},
    {"op": "add", "path": "emails", "value": [{"value": "a@x.example", "type": "work"}]},
    {"op": "remove", "path": 'emails[type eq "home"]'},
    {"op": "replace", "path": 'emails[type eq "work"].value', "value": "a@x.example"},
    {"op": "replace", "value": {"title": "t", "name": {"givenName": "A"}}},
    {"op": "replace", "path": f"{ENTERPRISE_USER}:manager", "value": "m"},
]
OTHER: list[JSON] = [
    {"op": "replace", "path": "title", "value": "T"},
    {"op": "replace", "path": "title", "value": "t "},
    {"op": "remove", "path": "title"},
    {"op": "replace", "path": "active", "value": False},
    {"op": "add", "path": "emails", "value": [{"value": "b@x.example", "type": "home"}]},
    {"op": "replace", "path": 'emails[type eq "work"].value', "value": "A@x.example"},
    {"op": "add", "path": 'emails[type eq "work"].primary', "value": True},
    {"op": "replace", "path": "name.givenName", "value": "B"},
    {"op": "remove", "path": f"{ENTERPRISE_USER}:manager"},
]


@pytest.mark.parametrize("operation", SAME, ids=str)
def test_saying_the_same_keeps_the_version(door: httpx.Client, operation: JSON) -> None:
    """A PATCH that changes nothing leaves version and lastModified alone (RFC 7644 §3.5.2.1)."""
    user = new_user(door, **TITLED)

    assert user == ok(change(door, user, operation))
    assert user == read(door, user)


@pytest.mark.parametrize("operation", OTHER, ids=str)
def test_saying_something_else_changes_the_version(door: httpx.Client, operation: JSON) -> None:
    """However small the difference (RFC 7643 §3.1 version)."""
    user = new_user(door, **TITLED)

    assert user["meta"]["version"] != ok(change(door, user, operation))["meta"]["version"]
    assert user["meta"]["version"] != read(door, user)["meta"]["version"]


def test_replacing_by_the_same_keeps_the_version(door: httpx.Client, resource: JSON) -> None:
    """A PUT of what was read is no change."""
    assert resource == ok(door.put(path_of(resource), json=resource))
    assert resource == read(door, resource)


def test_version_of_a_group_follows_its_members(door: httpx.Client) -> None:
    """In and out change it; in again and out again do not."""
    user, other = new_users(door, 2)
    group = new_group(door, user)
    seen: list[str] = [group["meta"]["version"]]

    def then(*operations: JSON) -> bool:
        """Say whether these operations changed the version."""
        ok(change(door, group, *operations), 204)
        seen.append(read(door, group)["meta"]["version"])
        return seen[-1] != seen[-2]

    assert then({"op": "add", "path": "members", "value": values(other)})
    assert not then({"op": "add", "path": "members", "value": values(other, user)})
    assert not then({"op": "replace", "path": "members", "value": values(user, other)})
    assert then({"op": "remove", "path": "members", "value": values(user)})
    assert not then({"op": "remove", "path": "members", "value": values(user)})
    assert then({"op": "remove", "path": "members"})
    assert not then({"op": "remove", "path": "members"})
    assert not then({"op": "replace", "path": "displayName", "value": group["displayName"]})
    assert then({"op": "replace", "path": "displayName", "value": group["displayName"].upper()})
    assert len(set(seen)) == 1 + 4


GROUP_CHANGES: list[tuple[str, Callable[[httpx.Client, JSON, JSON], Any]]] = [
    ("joins", lambda door, user, group: ok(change(door, group, {"op": "add", "path": "members", "value": values(user)}), 204)),
    ("leaves", lambda door, user, group: ok(change(door, group, {"op": "remove", "path": "members", "value": values(user)}), 204)),
    ("renamed", lambda door, user, group: ok(change(door, group, {"op": "replace", "path": "displayName", "value": group["displayName"] + "!"}), 204)),
    ("emptied", lambda door, user, group: ok(door.put(path_of(group), json={"displayName": group["displayName"]}))),
    ("deleted", lambda door, user, group: ok(door.delete(path_of(group)), 204)),
]  # fmt: skip


@pytest.mark.parametrize("what", [each[0] for each in GROUP_CHANGES])
def test_version_of_a_user_follows_its_groups(door: httpx.Client, what: str) -> None:
    """`groups` is part of the representation, so a cache must not take the old one for valid (RFC 9110 §8.8.1)."""
    user = new_user(door)
    group = new_group(door, *([] if what == "joins" else [user]))
    before = door.get(path_of(user))

    dict(GROUP_CHANGES)[what](door, user, group)

    after = door.get(path_of(user), headers={"If-None-Match": before.headers["etag"]})
    assert 200 == after.status_code
    assert before.headers["etag"] != after.headers["etag"]
    refused(door.patch(path_of(user), json=patch(TITLE), headers={"If-Match": before.headers["etag"]}), 412)
    ok(door.patch(path_of(user), json=patch(TITLE), headers={"If-Match": after.headers["etag"]}))


def test_versions_do_not_come_back(door: httpx.Client) -> None:
    """Changed there and back is another version: somebody may have seen what was between."""
    user = new_user(door, title="a")

    for value in ("b", "a"):
        ok(change(door, user, {"op": "replace", "path": "title", "value": value}))

    assert user["meta"]["version"] != read(door, user)["meta"]["version"]


# Reading on a condition -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written", ["{tag}", "{opaque}", "W/{opaque}", "*", '"x", {tag}', '{tag},"x"', '"x" , W/"y",  {opaque}']
)
def test_known_version_is_not_sent_again(door: httpx.Client, resource: JSON, written: str) -> None:
    """304 without a body, with the tag; weak and strong compare alike (RFC 9110 §13.1.2, §15.4.5)."""
    tag = resource["meta"]["version"]

    answer = door.get(path_of(resource), headers={"If-None-Match": written.format(tag=tag, opaque=opaque(tag))})

    assert (304, b"") == (answer.status_code, answer.content)
    assert tag == answer.headers["etag"]


@pytest.mark.parametrize("written", ['"x"', 'W/"x"', '"x", "y"', "", '""', "x", "{bare}", '"{bare}'])
def test_unknown_version_is_sent(door: httpx.Client, resource: JSON, written: str) -> None:
    """Any other tag, and what is no tag, gives the resource."""
    bare = opaque(resource["meta"]["version"]).strip('"')

    answer = door.get(path_of(resource), headers={"If-None-Match": written.format(bare=bare)})

    assert resource == ok(answer)


def test_condition_on_what_is_not_there(door: httpx.Client) -> None:
    """404 comes first on a read; a change is refused either way (RFC 9110 §13.1)."""
    for path in ("Users/nobody", "Groups/nobody"):
        refused(door.get(path, headers={"If-None-Match": "*"}), 404)
        for headers in ({"If-Match": "*"}, {"If-Match": '"1"'}, {"If-None-Match": "*"}):
            for answer in (door.delete(path, headers=headers), door.patch(path, json=patch(RENAME), headers=headers)):
                assert answer.status_code in (404, 412), answer.text


# Changing on a condition ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ['"x"', 'W/"0"', '"x", W/"y"', "x", "", "{bare}"])
def test_changes_of_another_version_are_refused(door: httpx.Client, resource: JSON, written: str) -> None:
    """412, and nothing is done (RFC 7644 §3.14, RFC 9110 §13.1.1)."""
    bare = opaque(resource["meta"]["version"]).strip('"')

    for method in METHODS:
        refused(send(door, method, resource, If_Match=written.format(bare=bare)), 412)

        assert resource == read(door, resource)


@pytest.mark.parametrize("written", ["{tag}", "*", '"x", {tag}', '{tag} , "x"'])
@pytest.mark.parametrize("method", METHODS)
def test_changes_of_the_known_version_are_made(door: httpx.Client, resource: JSON, written: str, method: str) -> None:
    """The weak tags that were given out count for If-Match, as the RFC's own example has it (RFC 7644 §3.14)."""
    answer = send(door, method, resource, If_Match=written.format(tag=resource["meta"]["version"]))

    assert answer.status_code in (200, 204), answer.text
    assert resource["meta"]["version"] != answer.headers.get("etag")


def test_old_version_is_refused_after_a_change(door: httpx.Client, resource: JSON) -> None:
    """Who has not seen the change cannot overwrite it (RFC 7644 §3.14)."""
    ok(door.put(path_of(resource), json={**resource, "externalId": "new"}))
    seen = read(door, resource)

    for method in METHODS:
        refused(send(door, method, resource, If_Match=resource["meta"]["version"]), 412)
    assert seen == read(door, resource)

    ok(door.delete(path_of(resource), headers={"If-Match": seen["meta"]["version"]}), 204)


@pytest.mark.parametrize("written", ["*", "{tag}", '"x", {tag}'])
def test_changes_unless_it_is_this_version(door: httpx.Client, resource: JSON, written: str) -> None:
    """If-None-Match on a change: 412 when it matches (RFC 9110 §13.1.2)."""
    for method in METHODS:
        refused(send(door, method, resource, If_None_Match=written.format(tag=resource["meta"]["version"])), 412)

    assert resource == read(door, resource)


def test_changes_unless_it_is_another_version(door: httpx.Client, resource: JSON) -> None:
    """If-None-Match with other tags lets a change pass."""
    answer = door.put(path_of(resource), json={**resource, "externalId": "new"}, headers={"If-None-Match": '"x"'})

    assert "new" == ok(answer)["externalId"]
