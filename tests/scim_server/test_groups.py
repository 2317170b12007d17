"""The life of a group over HTTP (RFC 7643 §4.2, RFC 7644 §3.3 to §3.6), whatever its size."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.answers import (
    BULK_REQUEST,
    JSON,
    change,
    id_set,
    ids,
    instant,
    members_of,
    new_group,
    new_user,
    new_users,
    ok,
    read,
    refused,
    unique,
    values,
)
from tests.builders import GROUP, PATCH_OP, USER, a_group, created

NOBODY = "00000000-0000-7000-8000-000000000000"


def add(*members: Any) -> JSON:
    return {"op": "add", "path": "members", "value": values(*members)}


def remove(*members: Any) -> JSON:
    return {"op": "remove", "path": "members", "value": values(*members)}


def put(door: httpx.Client, group: JSON, **attributes: Any) -> httpx.Response:
    """Replace a group by its name and these attributes."""
    body = {"schemas": [GROUP], "displayName": group["displayName"], **attributes}
    return door.put(f"Groups/{group['id']}", json=body)


# Create -----------------------------------------------------------------------------------------------------------------


def test_create_answers_the_resource_and_where_it_is(door: httpx.Client) -> None:
    """201 with Location, which is meta.location and leads back to the same resource (RFC 7644 §3.3, §3.4.1)."""
    sent = a_group(unique("Tour Guides"))

    answer = door.post("Groups", json=sent)

    group = created(answer)
    meta = group["meta"]
    assert f"{door.base_url}Groups/{group['id']}" == answer.headers["location"] == meta["location"]
    assert group == ok(door.get(answer.headers["location"]))
    assert "Group" == meta["resourceType"]
    assert instant(meta["created"]) == instant(meta["lastModified"])
    assert answer.headers["etag"] == meta["version"]
    assert [GROUP] == group["schemas"]
    assert (sent["displayName"], sent["externalId"]) == (group["displayName"], group["externalId"])


def test_create_takes_members(door: httpx.Client) -> None:
    """Members return with a link and their kind, users and groups alike (RFC 7643 §4.2, §8.4)."""
    user, inner = new_user(door), new_group(door)

    group = new_group(door, user, inner)

    kinds = {each["value"]: each["type"] for each in group["members"]}
    links = {each["value"]: ok(door.get(each["$ref"]))["id"] for each in group["members"]}
    assert {user["id"]: "User", inner["id"]: "Group"} == kinds
    assert {user["id"]: user["id"], inner["id"]: inner["id"]} == links
    assert group == read(door, group)


def test_read_only_attributes_are_ignored_on_create(door: httpx.Client) -> None:
    """`id` and `meta` are the server's (RFC 7644 §3.3)."""
    group = new_group(door, id=NOBODY, meta={"created": "2001-01-01T00:00:00Z", "resourceType": "User"})

    assert NOBODY != group["id"]
    assert "Group" == group["meta"]["resourceType"]
    assert "2001" != group["meta"]["created"][:4]


@pytest.mark.parametrize("missing", [{}, {"displayName": None}, {"displayName": ""}, {"displayName": "  "}])
def test_display_name_is_required(door: httpx.Client, missing: JSON) -> None:
    """RFC 7643 §4.2: REQUIRED."""
    group = new_group(door)

    refused(door.post("Groups", json={"schemas": [GROUP], **missing}), 400, "invalidValue")
    refused(door.put(f"Groups/{group['id']}", json={"schemas": [GROUP], **missing}), 400, "invalidValue")

    assert group == read(door, group)


@pytest.mark.parametrize(
    "wrong",
    [
        {"displayName": 5},
        {"displayName": {"value": "x"}},
        {"externalId": 5},
        {"members": 5},
        {"members": True},
        {"members": [5]},
        {"members": [[]]},
        {"members": [{"display": "no id"}]},
        {"members": [{"value": 5}]},
        {"members": [{"value": {"value": NOBODY}}]},
        {"members": [{"value": ""}]},
    ],
    ids=str,
)
def test_values_of_a_wrong_type_are_refused(door: httpx.Client, wrong: JSON) -> None:
    """POST, PUT and PATCH answer 400 invalidValue and store nothing (RFC 7644 table 9)."""
    group = new_group(door, new_user(door))
    body = {"schemas": [GROUP], "displayName": unique(), **wrong}

    refused(door.post("Groups", json=body), 400, "invalidValue")
    refused(put(door, group, **wrong), 400, "invalidValue")
    refused(change(door, group, {"op": "replace", "value": {"externalId": "after", **wrong}}), 400, "invalidValue")

    assert group == read(door, group)


# Names ------------------------------------------------------------------------------------------------------------------

TAKEN = [  # externalId of the group that is there, and of the other: None for none
    (None, None),
    ("1", None),
    (None, "1"),
    ("1", "1"),
    ("0AF1B3AC-15D1-4BB1-9B1B-6B2B0D63C5D2", "0af1b3ac-15d1-4bb1-9b1b-6b2b0d63c5d2"),
]
FREE = [("1", "2"), ("a", "A"), (str(uuid.uuid4()), str(uuid.uuid4()))]


def named(name: str, external_id: str | None) -> JSON:
    """Write a group's body; externalIds are made unique to the name where they are not GUIDs."""
    if external_id is None:
        return {"schemas": [GROUP], "displayName": name}
    return {
        "schemas": [GROUP],
        "displayName": name,
        "externalId": f"{external_id}-{name}" if len(external_id) < 9 else external_id,
    }


@pytest.mark.parametrize(("held", "other"), TAKEN)
def test_same_name_is_refused_unless_told_apart(door: httpx.Client, held: str | None, other: str | None) -> None:
    """409 uniqueness when the externalIds are equal or one is missing, by POST, PUT and PATCH, in any case."""
    name = unique("Ärzte")
    first = created(door.post("Groups", json=named(name, held)))
    body = {**named(name, other), "displayName": name.upper()}

    refused(door.post("Groups", json=body), 409, "uniqueness")
    apart = None if other is None or len(other) > 9 else body["externalId"]
    second = new_group(door, **({"externalId": apart} if apart is not None and held != other else {}))
    refused(put(door, second, **body), 409, "uniqueness")
    attributes = {key: value for key, value in body.items() if key != "schemas"}
    refused(change(door, second, {"op": "replace", "value": attributes}), 409, "uniqueness")

    assert second == read(door, second)
    assert [first["id"]] == ids(door.get("Groups", params={"filter": f'displayName eq "{name}"'}))
    ok(door.delete(f"Groups/{first['id']}"), 204)


@pytest.mark.parametrize(("held", "other"), FREE)
def test_same_name_is_taken_when_told_apart(door: httpx.Client, held: str, other: str) -> None:
    """Two groups may share a name when both have different externalIds."""
    name = unique("Sales")
    first = created(door.post("Groups", json=named(name, held)))

    second = created(door.post("Groups", json=named(name, other)))

    assert {first["id"], second["id"]} == set(ids(door.get("Groups", params={"filter": f'displayName eq "{name}"'})))


def test_groups_of_one_name_stay_told_apart(door: httpx.Client) -> None:
    """Neither may lose its externalId, or take the other's, while both have the name."""
    name = unique("Sales")
    created(door.post("Groups", json=named(name, "1")))
    second = created(door.post("Groups", json=named(name, "2")))

    for operation in (
        {"op": "remove", "path": "externalId"},
        {"op": "replace", "path": "externalId", "value": ""},
        {"op": "replace", "path": "externalId", "value": f"1-{name}"},
    ):
        refused(change(door, second, operation), 409, "uniqueness")

    refused(put(door, second), 409, "uniqueness")
    assert second == read(door, second)


def test_name_is_free_again_after_delete_and_rename(door: httpx.Client) -> None:
    """What is gone is in nobody's way; a group is no conflict with itself."""
    one, other = new_group(door), new_group(door)

    ok(change(door, one, {"op": "replace", "path": "displayName", "value": one["displayName"].upper()}), 204)
    assert one["displayName"].upper() == read(door, one)["displayName"]
    ok(door.delete(f"Groups/{one['id']}"), 204)
    old = other["displayName"]
    ok(change(door, other, {"op": "replace", "path": "displayName", "value": one["displayName"]}), 204)
    new_group(door, displayName=old)

    assert one["displayName"] == read(door, other)["displayName"]


# Read, delete, replace --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [NOBODY, "Tour%20Guides", "..%2FUsers", "%27"])
def test_unknown_ids_are_404(door: httpx.Client, key: str) -> None:
    """Nothing of that id, by whatever method (RFC 7644 §3.12)."""
    refused(door.get(f"Groups/{key}"), 404)
    refused(door.put(f"Groups/{key}", json={"schemas": [GROUP], "displayName": unique()}), 404)
    refused(door.patch(f"Groups/{key}", json={"schemas": [PATCH_OP], "Operations": [add(new_user(door))]}), 404)
    refused(door.delete(f"Groups/{key}"), 404)


def test_deleted_group_is_gone(door: httpx.Client) -> None:
    """204, then 404; its members stay, and groups that held it change (RFC 7644 §3.6)."""
    user = new_user(door)
    group = new_group(door, user)
    outer = new_group(door, group, user)

    ok(door.delete(f"Groups/{group['id']}"), 204)

    refused(door.get(f"Groups/{group['id']}"), 404)
    refused(door.delete(f"Groups/{group['id']}"), 404)
    after = read(door, outer)
    assert {user["id"]} == members_of(after)
    assert outer["meta"]["version"] != after["meta"]["version"]
    assert [outer["id"]] == [each["value"] for each in read(door, user)["groups"]]


def test_replace_sets_the_members(door: httpx.Client) -> None:
    """PUT answers the group as it then is: what is not sent is cleared (RFC 7644 §3.5.1)."""
    one, two, three, inner = *new_users(door, 3), new_group(door)
    group = new_group(door, one, two, inner, externalId=unique())

    replaced = ok(put(door, group, members=values(two, three), id=NOBODY, meta={"resourceType": "x"}))
    assert {two["id"], three["id"]} == members_of(replaced)
    assert "externalId" not in replaced
    assert group["meta"]["created"] == replaced["meta"]["created"]
    assert replaced == read(door, group)

    emptied = ok(put(door, group))
    assert "members" not in emptied
    assert emptied == read(door, group)


# Members ----------------------------------------------------------------------------------------------------------------

SHAPES: dict[str, Callable[[JSON], Any]] = {
    "list": lambda user: [{"value": user["id"]}],
    "object": lambda user: {"value": user["id"]},
    "bare-id": lambda user: user["id"],
    "bare-ids": lambda user: [user["id"]],
    "null-ref": lambda user: [{"$ref": None, "value": user["id"]}],
    "all-there-is": lambda user: [
        {"value": user["id"], "$ref": user["meta"]["location"], "type": "User", "display": user["userName"]}
    ],
    "lying-about-the-rest": lambda user: [{"value": user["id"], "$ref": "https://elsewhere/x", "type": "Group"}],
    "any-case": lambda user: [{"VALUE": user["id"]}],
    "twice": lambda user: [{"value": user["id"]}, {"value": user["id"]}],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_members_come_in_any_shape(door: httpx.Client, shape: str) -> None:
    """Only the id counts (entra rule 33); a link and a kind are answered whatever came."""
    user, members = new_user(door), SHAPES[shape]
    bodies: list[httpx.Response] = [
        door.post("Groups", json={"schemas": [GROUP], "displayName": unique(), "members": members(user)})
    ]
    groups = [created(bodies[0]), *(new_group(door) for _ in range(4))]
    ok(put(door, groups[1], members=members(user)))
    ok(change(door, groups[2], {"op": "add", "path": "members", "value": members(user)}), 204)
    ok(change(door, groups[3], {"op": "replace", "path": "members", "value": members(user)}), 204)
    ok(change(door, groups[4], {"op": "add", "value": {"members": members(user)}}), 204)

    for group in groups:
        (member,) = read(door, group)["members"]
        assert (user["id"], "User") == (member["value"], member["type"])
        assert user["meta"]["location"] == member["$ref"]


def test_unknown_members_are_all_named_and_nothing_is_changed(door: httpx.Client) -> None:
    """400 invalidValue for the whole request (RFC 7644 §3.5.2: all or none)."""
    user, gone = new_users(door, 2)
    ok(door.delete(f"Users/{gone['id']}"), 204)
    strangers = [gone["id"], NOBODY, "nobody", 'quo"te', "é"]
    group = new_group(door, user)
    name = unique("Fresh")
    members = values(user, *strangers)
    rename = {"op": "replace", "path": "displayName", "value": unique()}

    refusals = [
        refused(
            door.post("Groups", json={"schemas": [GROUP], "displayName": name, "members": members}), 400, "invalidValue"
        ),
        refused(put(door, group, members=members), 400, "invalidValue"),
        refused(change(door, group, rename, add(user, *strangers)), 400, "invalidValue"),
        refused(change(door, group, {"op": "replace", "path": "members", "value": members}), 400, "invalidValue"),
    ]

    for sentence in refusals:
        assert all(stranger in sentence for stranger in strangers)
        assert user["id"] not in sentence
    assert group == read(door, group)
    assert [] == ids(door.get("Groups", params={"filter": f'displayName eq "{name}"'}))


def test_a_group_is_no_member_of_itself(door: httpx.Client) -> None:
    """It would have no end; nothing is changed."""
    user = new_user(door)
    group = new_group(door, user)

    refused(change(door, group, add(user, group)), 400, "invalidValue")
    refused(put(door, group, members=values(group)), 400, "invalidValue")

    assert group == read(door, group)


def test_groups_may_hold_each_other(door: httpx.Client) -> None:
    """Nesting is kept as said and nothing runs in circles (RFC 7643 §4.2, RFC 7644 §3.7.1)."""
    user = new_user(door)
    one = new_group(door, user)
    other = new_group(door, one)

    ok(change(door, one, add(other)), 204)

    assert {user["id"], other["id"]} == members_of(read(door, one))
    assert {one["id"]} == members_of(read(door, other))
    ok(door.delete(f"Groups/{one['id']}"), 204)
    assert set() == members_of(read(door, other))


def test_adding_and_removing_again_changes_nothing(door: httpx.Client) -> None:
    """Who is in stays in once, who is out stays out: 204 and the same version (entra rule 28, RFC 7644 §3.5.2.1)."""
    user, outsider, inner = *new_users(door, 2), new_group(door)
    group = new_group(door, user, inner)

    for operation in (add(user), add(user, user, inner), remove(outsider), remove(NOBODY), remove("nobody")):
        ok(change(door, group, operation), 204)
        assert group == read(door, group)


EVERYBODY = 5  # users in a group of the removals, and one nested group behind them
REMOVALS: dict[str, tuple[Callable[[list[str]], list[JSON]], set[int]]] = {
    "value-list": (lambda m: [remove(m[0], m[1])], {0, 1}),
    "value-list-with-a-group": (lambda m: [remove(m[0], m[5])], {0, 5}),
    "value-object": (lambda m: [{"op": "remove", "path": "members", "value": {"value": m[0]}}], {0}),
    "value-path": (lambda m: [{"op": "remove", "path": f'members[value eq "{m[0]}"]'}], {0}),
    "value-path-of-a-group": (lambda m: [{"op": "remove", "path": f'members[value eq "{m[5]}"]'}], {5}),
    "value-path-with-urn": (lambda m: [{"op": "remove", "path": f'{GROUP}:members[value eq "{m[0]}"]'}], {0}),
    "value-path-in-any-case": (lambda m: [{"op": "remove", "path": f'MEMBERS[Value EQ "{m[0]}"]'}], {0}),
    "value-path-of-a-stranger": (lambda m: [{"op": "remove", "path": f'members[value eq "{NOBODY}"]'}], set()),
    "or": (lambda m: [{"op": "remove", "path": f'members[value eq "{m[0]}" or value eq "{m[2]}"]'}], {0, 2}),
    "and": (lambda m: [{"op": "remove", "path": f'members[value eq "{m[0]}" and type eq "User"]'}], {0}),
    "and-of-none": (lambda m: [{"op": "remove", "path": f'members[value eq "{m[0]}" and type eq "Group"]'}], set()),
    "not": (lambda m: [{"op": "remove", "path": f'members[not (value eq "{m[0]}")]'}], {1, 2, 3, 4, 5}),
    "by-type": (lambda m: [{"op": "remove", "path": 'members[type eq "Group"]'}], {5}),
    "all": (lambda m: [{"op": "remove", "path": "members"}], {0, 1, 2, 3, 4, 5}),
    "replace-by-none": (lambda m: [{"op": "replace", "path": "members", "value": []}], {0, 1, 2, 3, 4, 5}),
    "replace-by-some": (lambda m: [{"op": "replace", "path": "members", "value": values(m[3], m[5])}], {0, 1, 2, 4}),
    "replace-without-path": (lambda m: [{"op": "replace", "value": {"members": values(m[3])}}], {0, 1, 2, 4, 5}),
    "several": (lambda m: [remove(m[0]), remove(m[1]), {"op": "remove", "path": f'members[value eq "{m[2]}"]'}], {0, 1, 2}),
    "in-order": (lambda m: [{"op": "remove", "path": "members"}, add(m[1]), add(m[2]), remove(m[1])], {0, 1, 3, 4, 5}),
    "out-and-in": (lambda m: [remove(m[0]), add(m[0])], set()),
}  # fmt: skip


@pytest.mark.parametrize("removal", REMOVALS)
def test_members_are_removed(door: httpx.Client, removal: str) -> None:
    """Just those that are meant leave (RFC 7644 §3.5.2.2, §3.5.2.3; entra rules 5 and 6)."""
    operations, gone = REMOVALS[removal]
    members = [*(each["id"] for each in new_users(door, EVERYBODY)), new_group(door)["id"]]
    group = new_group(door, *members)

    ok(change(door, group, *operations(members)), 204)

    after = read(door, group)
    assert {member for at, member in enumerate(members) if at not in gone} == members_of(after)
    if gone:
        assert group["meta"]["version"] != after["meta"]["version"]


NOT_POSSIBLE = [
    {"op": "replace", "path": 'members[value eq "{0}"].value', "value": "{1}"},
    {"op": "replace", "path": 'members[value eq "{0}"].type', "value": "Group"},
    {"op": "replace", "path": "members.value", "value": "{1}"},
    {"op": "replace", "path": "id", "value": "{1}"},
    {"op": "replace", "path": "meta.version", "value": 'W/"1"'},
    {"op": "remove", "path": "displayName"},
    {"op": "replace", "path": "displayName", "value": ""},
    {"op": "remove"},
    {"op": "remove", "path": "members[value]"},
    {"op": "remove", "path": 'members[nosuch eq "{0}"]'},
    {"op": "add", "path": "members", "value": [{"display": "no id"}]},
    {"op": "add", "path": "members"},
    {"op": "add", "path": "nosuch", "value": "x"},
]


@pytest.mark.parametrize("operation", NOT_POSSIBLE, ids=str)
def test_what_a_patch_cannot_do(door: httpx.Client, operation: JSON) -> None:
    """400, and nothing of the request is done: a member's id is immutable (RFC 7643 §8.7.1; RFC 7644 §3.5.2)."""
    one, other = new_users(door, 2)
    group = new_group(door, one)
    meant: JSON = {
        name: text.replace("{0}", one["id"]).replace("{1}", other["id"]) if isinstance(text, str) else text
        for name, text in operation.items()
    }

    refused(change(door, group, meant), 400)
    if operation.get("path") != "nosuch":  # entra: an unknown attribute sinks no other
        refused(change(door, group, add(other), meant), 400)
        refused(change(door, group, remove(one), meant), 400)

    assert group == read(door, group)


# Answers of PATCH -------------------------------------------------------------------------------------------------------


def test_patch_answers_204_with_the_version(door: httpx.Client) -> None:
    """No body unless asked for one; the ETag is the new version's (RFC 7644 §3.5.2, entra rule 20)."""
    group = new_group(door)

    answer = change(door, group, add(new_user(door)))

    ok(answer, 204)
    assert read(door, group)["meta"]["version"] == answer.headers["etag"] != group["meta"]["version"]


@pytest.mark.parametrize(
    ("params", "present"),
    [
        ({"attributes": "displayName"}, {"schemas", "id", "displayName"}),
        ({"attributes": "members"}, {"schemas", "id", "members"}),
        ({"attributes": "members.value,meta"}, {"schemas", "id", "members", "meta"}),
    ],
)
def test_patch_answers_200_with_what_is_asked_for(door: httpx.Client, params: JSON, present: set[str]) -> None:
    """With `attributes` the answer must be 200 and have them (RFC 7644 §3.5.2, §3.9)."""
    group, user = new_group(door), new_user(door)

    answer = change(door, group, add(user), **params)

    assert present == set(ok(answer))
    assert read(door, group)["meta"]["version"] == answer.headers["etag"]


# Large groups -----------------------------------------------------------------------------------------------------------


def many_users(door: httpx.Client, number: int) -> list[str]:
    """Make users in bulk, as many at a time as one request may hold."""
    at_once = read(door, "ServiceProviderConfig")["bulk"]["maxOperations"]
    found: list[str] = []
    for first in range(0, number, at_once):
        operations = [
            {
                "method": "POST",
                "path": "/Users",
                "bulkId": f"u{n}",
                "data": {"schemas": [USER], "userName": f"many-{n}"},
            }
            for n in range(first, min(first + at_once, number))
        ]
        answer = ok(door.post("Bulk", json={"schemas": [BULK_REQUEST], "Operations": operations}))
        found += [each["location"].rpartition("/")[2] for each in answer["Operations"] if each["status"] == "201"]
    return found


@pytest.mark.parametrize("number", [2_500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_large_groups(door: httpx.Client, number: int) -> None:
    """Thousands of members by one PATCH, one of them leaves, one comes back; nobody else is touched."""
    users = many_users(door, number)
    group = new_group(door)
    assert number == len(set(users))

    ok(change(door, group, add(*users)), 204)
    assert set(users) == members_of(read(door, group))

    ok(change(door, group, {"op": "remove", "path": f'members[value eq "{users[number // 2]}"]'}), 204)
    ok(change(door, group, add(users[number // 2]), remove(users[7])), 204)
    assert set(users) - {users[7]} == members_of(read(door, group))

    one_by_one = [{"op": "remove", "path": f'members[value eq "{each}"]'} for each in users[:100]]
    ok(change(door, group, *one_by_one), 204)
    assert set(users[100:]) == members_of(read(door, group))
    assert [group["id"]] == ids(door.get("Groups", params={"filter": f'members.value eq "{users[-1]}"'}))
    ok(door.delete(f"Groups/{group['id']}"), 204)
    assert "groups" not in read(door, f"Users/{users[-1]}")


def test_members_of_a_page_are_their_own(door: httpx.Client) -> None:
    """A list shows each group with its members, as the group itself does (RFC 7644 §3.4.2)."""
    users = new_users(door, 3)
    prefix = unique("Page")
    groups = [new_group(door, *users[:n], displayName=f"{prefix} {n}") for n in range(4)]

    listed = ok(door.get("Groups", params={"filter": f'displayName sw "{prefix}"'}))["Resources"]

    assert {each["id"]: each for each in groups} == {each["id"]: each for each in listed}
    assert id_set(groups) == id_set(listed)
