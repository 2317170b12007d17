"""The life of a user over HTTP (RFC 7643 §3.1, §4.1, §4.3; RFC 7644 §3.3 to §3.6)."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest

from tests.answers import (
    JSON,
    change,
    ids,
    instant,
    members_of,
    new_group,
    new_user,
    ok,
    read,
    refused,
    unique,
)
from tests.builders import ENTERPRISE_USER, GROUP, PATCH_OP, USER, a_user, created

NOBODY = "00000000-0000-7000-8000-000000000000"


def put(door: httpx.Client, user: JSON, **attributes: Any) -> httpx.Response:
    """Replace a user by its userName and these attributes."""
    body = {"schemas": [USER], "userName": user["userName"], **attributes}
    return door.put(f"Users/{user['id']}", json=body)


# Create -----------------------------------------------------------------------------------------------------------------


def test_create_answers_the_resource_and_where_it_is(door: httpx.Client) -> None:
    """201 with Location, which is meta.location and leads back to the same resource (RFC 7644 §3.3, §3.4.1)."""
    answer = door.post("Users", json={"schemas": [USER], "userName": unique("bjensen")})

    user = created(answer)
    meta = user["meta"]
    assert f"{door.base_url}Users/{user['id']}" == answer.headers["location"] == meta["location"]
    assert user == ok(door.get(answer.headers["location"]))
    assert "User" == meta["resourceType"]
    assert instant(meta["created"]) == instant(meta["lastModified"])
    assert answer.headers["etag"] == meta["version"]
    assert [USER] == user["schemas"]


def test_values_return_as_they_were_sent(door: httpx.Client) -> None:
    """Capitals, blanks, line breaks, accents and unknown formats are not touched (RFC 7644 §3.3, entra rule 14)."""
    sent = {
        **a_user(),
        "userName": f"  Ünïcode.{uuid.uuid4()}@CONTOSO.com ",
        "displayName": "Zoe\u0301 \u202eabc\u202c 👩‍🚀\u0001",
        "title": "Line 1\r\nLine 2\t",
        "locale": "RJWNTUNNOHNZ",
        "timezone": "Nowhere/At All",
        "profileUrl": "not a url",
        "phoneNumbers": [{"value": "56-357-7743", "type": "work"}, {"value": "tel:+1-201-555-0123", "type": "other"}],
        "ims": [{"value": "someaimhandle", "type": "aim"}],
        "photos": [{"value": "https://photos.example.com/F.JPG", "type": "photo"}],
        "entitlements": [{"value": "A"}],
        "x509Certificates": [{"value": "MIIDQzCCAqygAwIBAgICEAAwDQYJKoZIhvcNAQEFBQAwTjELMAkGA1UEBhMCVVM="}],
        "nickName": " ",
        "userType": "'; DROP TABLE directory_user; --",
    }
    del sent["roles"], sent["meta"]

    user = created(door.post("Users", json=sent))

    for answer in (user, read(door, user)):
        assert sent == {name: value for name, value in answer.items() if name not in ("id", "meta")}


def test_read_only_attributes_are_ignored_on_create(door: httpx.Client) -> None:
    """`id`, `meta`, `groups` and the manager's name are the server's (RFC 7644 §3.3)."""
    group = new_group(door)

    user = new_user(
        door,
        id=NOBODY,
        meta={
            "created": "2001-01-01T00:00:00Z",
            "version": 'W/"x"',
            "location": "https://elsewhere",
            "resourceType": "X",
        },
        groups=[{"value": group["id"], "display": "mine"}],
        **{ENTERPRISE_USER: {"manager": {"value": NOBODY, "displayName": "The Boss"}, "division": "Theme Park"}},
    )

    assert NOBODY != user["id"]
    assert "2001" != user["meta"]["created"][:4]
    assert "User" == user["meta"]["resourceType"]
    assert "groups" not in user
    assert {"manager": {"value": NOBODY}, "division": "Theme Park"} == user[ENTERPRISE_USER]
    assert "members" not in read(door, group)


def test_unknown_attributes_do_not_sink_the_rest(door: httpx.Client) -> None:
    """What no schema has is left out (RFC 7644 §3.3: the server may), and is not shown as if it had been stored."""
    user = new_user(door, favouriteColour="blue", title="Guide", name={"givenName": "A", "shoeSize": 3})

    assert "favouriteColour" not in user
    assert {"givenName": "A"} == user["name"]
    assert "Guide" == user["title"]


def test_attribute_names_count_in_any_case(door: httpx.Client) -> None:
    """Names are case-insensitive and return in the schema's spelling (RFC 7643 §2.1)."""
    user_name = unique("case")

    user = created(door.post("Users", json={"SCHEMAS": [USER], "username": user_name, "NAME": {"GIVENNAME": "Ann"}}))

    assert user_name == user["userName"]
    assert {"givenName": "Ann"} == user["name"]


def test_null_and_empty_list_are_no_value(door: httpx.Client) -> None:
    """Null, an empty list and an absent attribute are one state (RFC 7643 §2.5)."""
    user = new_user(door, title=None, emails=[], name=None, nickName="", **{ENTERPRISE_USER: None})

    assert {"schemas", "id", "userName", "active", "meta"} == set(user)


@pytest.mark.parametrize("missing", [{}, {"userName": None}, {"userName": ""}, {"userName": "  "}])
def test_user_name_is_required(door: httpx.Client, missing: JSON) -> None:
    """A POST or PUT without userName is refused (RFC 7643 §4.1.1, RFC 7644 table 9)."""
    user = new_user(door)

    refused(door.post("Users", json={"schemas": [USER], **missing}), 400, "invalidValue")
    refused(door.put(f"Users/{user['id']}", json={"schemas": [USER], **missing}), 400, "invalidValue")

    assert user == read(door, user)


WRONG = [
    {"userName": 5},
    {"userName": ["a"]},
    {"userName": {"value": "a"}},
    {"userName": True},
    {"displayName": 5},
    {"externalId": 5},
    {"externalId": {"value": "a"}},
    {"active": "perhaps"},
    {"active": 1},
    {"active": [True]},
    {"name": "Barbara"},
    {"name": ["Barbara"]},
    {"name": {"familyName": 5}},
    {"name": {"familyName": {"value": "a"}}},
    {"emails": "a@b.example"},
    {"emails": [5]},
    {"emails": [["a@b.example"]]},
    {"emails": [{"value": 5}]},
    {"emails": [{"value": "a", "primary": "perhaps"}]},
    {"emails": [{"value": "a", "primary": True}, {"value": "b", "primary": True}]},
    {"addresses": [{"locality": 5}]},
    {"addresses": "18/2111"},
    {ENTERPRISE_USER: "Tours"},
    {ENTERPRISE_USER: ["Tours"]},
    {ENTERPRISE_USER: {"department": 5}},
    {ENTERPRISE_USER: {"manager": 5}},
    {ENTERPRISE_USER: {"manager": {"value": 5}}},
    {"password": 5},
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_values_of_a_wrong_type_are_refused(door: httpx.Client, wrong: JSON) -> None:
    """POST, PUT and PATCH answer 400 invalidValue and store nothing (RFC 7643 §2.3, RFC 7644 table 9)."""
    user = new_user(door, title="before")
    body = {"schemas": [USER], "userName": user["userName"], **wrong}

    refused(door.post("Users", json={**body, "userName": wrong.get("userName", unique())}), 400, "invalidValue")
    refused(door.put(f"Users/{user['id']}", json={**body, "title": "after"}), 400, "invalidValue")
    refused(change(door, user, {"op": "replace", "value": {"title": "after", **wrong}}), 400, "invalidValue")

    assert user == read(door, user)


# Uniqueness -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{}@contoso.com", "{}@contoso.com"),
        ("{}@contoso.com", "{}@CONTOSO.com"),
        ("Ärger-{}", "ärger-{}"),
        ("ΑΒΓ-{}", "αβγ-{}"),
        ("ЖЩ-{}", "жщ-{}"),
    ],
)
def test_user_name_is_unique_in_any_case(door: httpx.Client, first: str, second: str) -> None:
    """Another user of the name is 409 uniqueness by POST, PUT and PATCH (RFC 7643 §4.1.1; RFC 7644 §3.3, §3.5)."""
    key = uuid.uuid4().hex
    new_user(door, userName=first.format(key))
    taken = second.format(key)
    other = new_user(door, title="before")

    refused(door.post("Users", json={"schemas": [USER], "userName": taken}), 409, "uniqueness")
    refused(put(door, {**other, "userName": taken}), 409, "uniqueness")
    operations = [
        {"op": "replace", "path": path, "value": value} for path, value in [("title", "x"), ("userName", taken)]
    ]
    refused(change(door, other, *operations), 409, "uniqueness")

    assert other == read(door, other)


def test_user_name_may_change_its_case(door: httpx.Client) -> None:
    """A user is no conflict with itself; the new spelling is kept."""
    user = new_user(door)
    shouted = user["userName"].upper()

    ok(change(door, user, {"op": "replace", "path": "userName", "value": shouted}))

    assert shouted == read(door, user)["userName"]


def test_external_id_may_repeat_among_users(door: httpx.Client) -> None:
    """externalId is the client's affair (RFC 7643 §3.1); Entra's default mapping sends mailNickname."""
    one, other = (new_user(door, externalId="bjensen") for _ in range(2))

    found = ids(door.get("Users", params={"filter": 'externalId eq "bjensen"'}))

    assert {one["id"], other["id"]} <= set(found)


def test_user_name_is_free_again_after_delete(door: httpx.Client) -> None:
    """A deleted resource is in the way of nothing (RFC 7644 §3.6), and the new one is another."""
    user = new_user(door)
    ok(door.delete(f"Users/{user['id']}"), 204)

    again = new_user(door, userName=user["userName"])

    assert user["id"] != again["id"]


# Read, delete -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [NOBODY, "bjensen", "..%2FGroups", "a%20b", "%27", "a" * 3000])
def test_unknown_ids_are_404(door: httpx.Client, key: str) -> None:
    """Nothing of that id, by whatever method (RFC 7644 §3.12)."""
    body = {"schemas": [USER], "userName": unique()}
    operation = {"op": "replace", "path": "title", "value": "x"}

    refused(door.get(f"Users/{key}"), 404)
    refused(door.put(f"Users/{key}", json=body), 404)
    refused(door.patch(f"Users/{key}", json={"schemas": [PATCH_OP], "Operations": [operation]}), 404)
    refused(door.delete(f"Users/{key}"), 404)
    assert [] == ids(door.get("Users", params={"filter": f'userName eq "{body["userName"]}"'}))


def test_users_are_not_groups(door: httpx.Client) -> None:
    """An id counts under its own endpoint only."""
    user, group = new_user(door), new_group(door)

    refused(door.get(f"Groups/{user['id']}"), 404)
    refused(door.delete(f"Users/{group['id']}"), 404)
    refused(door.put(f"Users/{group['id']}", json={"schemas": [USER], "userName": unique()}), 404)

    assert group == read(door, group)


def test_deleted_user_is_gone(door: httpx.Client) -> None:
    """204 without a body, then 404, and no list has it (RFC 7644 §3.6)."""
    user = new_user(door)

    ok(door.delete(f"Users/{user['id']}"), 204)

    refused(door.get(f"Users/{user['id']}"), 404)
    refused(door.delete(f"Users/{user['id']}"), 404)
    assert [] == ids(door.get("Users", params={"filter": f'id eq "{user["id"]}"'}))


# Replace ----------------------------------------------------------------------------------------------------------------


def test_replace_clears_what_is_not_sent(door: httpx.Client) -> None:
    """PUT leaves what is in the body, the id and the day of creation (RFC 7644 §3.5.1)."""
    user = created(door.post("Users", json=a_user(userName=unique("put"))))
    sent = {"schemas": [USER], "userName": user["userName"], "displayName": "New", "active": True, "id": NOBODY}

    answer = door.put(f"Users/{user['id']}", json=sent)

    replaced = ok(answer)
    assert {**sent, "id": user["id"]} == {name: value for name, value in replaced.items() if name != "meta"}
    assert user["meta"]["created"] == replaced["meta"]["created"]
    assert user["meta"]["location"] == replaced["meta"]["location"]
    assert user["meta"]["version"] != replaced["meta"]["version"]
    assert replaced == read(door, user)


def test_replace_ignores_read_only_attributes(door: httpx.Client) -> None:
    """A client may send back what it has read (RFC 7644 §3.5.1)."""
    user = new_user(door)
    group = new_group(door, user)
    seen = read(door, user)

    replaced = ok(door.put(f"Users/{user['id']}", json={**seen, "title": "New", "groups": []}))

    assert [group["id"]] == [each["value"] for each in replaced["groups"]]
    assert {user["id"]} == members_of(read(door, group))


@pytest.mark.parametrize("active", [True, False])
def test_replace_without_active_opens_and_closes_nothing(door: httpx.Client, active: bool) -> None:
    """Whoever does not say `active` does not change it (RFC 7644 §3.5.1 leaves the default to the server)."""
    user = new_user(door, active=active)

    assert active is ok(put(door, user))["active"]


# active -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [{}, {"active": None}, {"active": ""}])
def test_active_is_there_unasked(door: httpx.Client, given: JSON) -> None:
    """Every representation has `active` as a boolean, true by default (entra rule 31)."""
    user = new_user(door, **given)

    assert user["active"] is True
    assert read(door, user)["active"] is True


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize(
    "operation",
    [
        {"op": "replace", "path": "active", "value": None},
        {"op": "replace", "path": "active", "value": ""},
        {"op": "replace", "value": {"active": None}},
    ],
)
def test_active_stays_there(door: httpx.Client, active: bool, operation: JSON) -> None:
    """Clearing it is refused or changes nothing: it never disappears, and nobody is let in by a blank (entra rule 31)."""
    user = new_user(door, active=active)

    answer = change(door, user, operation)

    assert answer.status_code in (200, 400), answer.text
    assert active is read(door, user).get("active")


@pytest.mark.parametrize("active", [True, False])
def test_active_may_be_removed_but_nobody_moves(door: httpx.Client, active: bool) -> None:
    """Remove unassigns it (RFC 7644 §3.5.2.2), and the person stays as suspended, or not, as before."""
    user = new_user(door, active=active)

    answer = ok(change(door, user, {"op": "remove", "path": "active"}))

    assert "active" not in answer
    found = door.get(
        "Users", params={"filter": f'userName eq "{user["userName"]}" and active eq {str(active).lower()}'}
    )
    assert [user["id"]] == ids(found)


def test_inactive_user_is_still_there(door: httpx.Client) -> None:
    """An inactive user is found by id and by filter (entra rule 15)."""
    user = new_user(door)

    answer = ok(change(door, user, {"op": "replace", "path": "active", "value": False}))

    assert answer["active"] is False
    assert answer == read(door, user)
    assert [user["id"]] == ids(door.get("Users", params={"filter": f'userName eq "{user["userName"]}"'}))


# PATCH ------------------------------------------------------------------------------------------------------------------

WORK, HOME = {"value": "w@x.example", "type": "work"}, {"value": "h@x.example", "type": "home"}
DESK = {"type": "work", "streetAddress": "911 Universal City Plaza", "locality": "Hollywood"}
STARTS: JSON = {
    "nickName": "Babs",
    "emails": [WORK, HOME],
    "addresses": [DESK],
    "name": {"givenName": "Barbara", "familyName": "Jensen"},
}
# What a PATCH does to STARTS: the operations, then the attributes that differ afterwards (None: gone).
EFFECTS: list[tuple[str, list[JSON], JSON]] = [
    # §3.5.2.1
    ("add", [{"op": "add", "path": "title", "value": "Guide"}], {"title": "Guide"}),
    ("add-over", [{"op": "add", "path": "nickName", "value": "Barb"}], {"nickName": "Barb"}),
    (
        "add-without-path",
        [{"op": "add", "value": {"emails": [{"value": "babs@jensen.example", "type": "other"}], "nickName": "B"}}],
        {"emails": [WORK, HOME, {"value": "babs@jensen.example", "type": "other"}], "nickName": "B"},
    ),
    ("add-same-value-again", [{"op": "add", "path": "emails", "value": [WORK]}], {}),
    ("add-to-a-complex", [{"op": "add", "path": "name", "value": {"middleName": "J"}}], {"name": {**STARTS["name"], "middleName": "J"}}),
    ("add-a-sub-attribute", [{"op": "add", "path": "name.middleName", "value": "J"}], {"name": {**STARTS["name"], "middleName": "J"}}),
    # §3.5.2.2
    ("remove", [{"op": "remove", "path": "nickName"}], {"nickName": None}),
    ("remove-absent", [{"op": "remove", "path": "title"}], {}),
    ("remove-list", [{"op": "remove", "path": "emails"}], {"emails": None}),
    ("remove-selected", [{"op": "remove", "path": 'emails[type eq "work"]'}], {"emails": [HOME]}),
    (
        "remove-selected-by-two",
        [{"op": "remove", "path": 'emails[type eq "work" and value ew "x.example"]'}],
        {"emails": [HOME]},
    ),
    ("remove-sub-attribute", [{"op": "remove", "path": "name.familyName"}], {"name": {"givenName": "Barbara"}}),
    (
        "remove-sub-attribute-of-selected",
        [{"op": "remove", "path": 'addresses[type eq "work"].locality'}],
        {"addresses": [{"type": "work", "streetAddress": DESK["streetAddress"]}]},
    ),
    # §3.5.2.3
    ("replace", [{"op": "replace", "path": "nickName", "value": "Barb"}], {"nickName": "Barb"}),
    ("replace-absent", [{"op": "replace", "path": "title", "value": "Guide"}], {"title": "Guide"}),
    ("replace-list", [{"op": "replace", "path": "emails", "value": [HOME]}], {"emails": [HOME]}),
    (
        "replace-selected",
        [{"op": "replace", "path": 'addresses[type eq "work"]', "value": {"type": "work", "locality": "San Jose"}}],
        {"addresses": [{"type": "work", "locality": "San Jose"}]},
    ),
    (
        "replace-sub-attribute-of-selected",
        [{"op": "replace", "path": 'addresses[type eq "work"].streetAddress', "value": "1010 Broadway Ave"}],
        {"addresses": [{**DESK, "streetAddress": "1010 Broadway Ave"}]},
    ),
    (
        "replace-without-path",
        [{"op": "replace", "value": {"emails": [HOME], "nickName": "Babs J", "name": {"familyName": "J"}}}],
        {"emails": [HOME], "nickName": "Babs J", "name": {"givenName": "Barbara", "familyName": "J"}},
    ),
    (
        "replace-sub-attribute-of-all",
        [{"op": "replace", "path": "emails.type", "value": "other"}],
        {"emails": [{**WORK, "type": "other"}, {**HOME, "type": "other"}]},
    ),
    # §3.5.2: in the order sent; names in any case and with their URN (RFC 7643 §2.1, §3.10)
    (
        "in-order",
        [{"op": "remove", "path": "emails"}, {"op": "add", "path": "emails", "value": [HOME]}, {"op": "add", "path": "emails", "value": [WORK]}],
        {"emails": [HOME, WORK]},
    ),
    ("name-in-any-case", [{"op": "replace", "path": "NICKNAME", "value": "B"}], {"nickName": "B"}),
    ("name-with-urn", [{"op": "replace", "path": f"{USER}:name.familyName", "value": "J"}], {"name": {"givenName": "Barbara", "familyName": "J"}}),
    ("extension", [{"op": "add", "path": f"{ENTERPRISE_USER}:division", "value": "Parks"}], {ENTERPRISE_USER: {"division": "Parks"}}),
    ("extension-object", [{"op": "add", "value": {ENTERPRISE_USER: {"division": "Parks"}}}], {ENTERPRISE_USER: {"division": "Parks"}}),
    ("extension-manager", [{"op": "add", "path": f"{ENTERPRISE_USER}:manager.value", "value": "x"}], {ENTERPRISE_USER: {"manager": {"value": "x"}}}),
    (
        "primary-moves",
        [{"op": "add", "path": 'emails[type eq "work"].primary', "value": True}, {"op": "add", "path": 'emails[type eq "home"].primary', "value": True}],
        {"emails": [{**WORK, "primary": False}, {**HOME, "primary": True}]},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("operations", "differs"), [each[1:] for each in EFFECTS], ids=[each[0] for each in EFFECTS])
def test_patch_does_what_it_says(door: httpx.Client, operations: list[JSON], differs: JSON) -> None:
    """Answers 200 with the whole user, changed in this and nothing else (RFC 7644 §3.5.2)."""
    user = new_user(door, **STARTS)
    expected = {name: value for name, value in {**user, **differs}.items() if value is not None and name != "meta"}
    if ENTERPRISE_USER in differs:
        expected["schemas"] = [USER, ENTERPRISE_USER]

    answer = ok(change(door, user, *operations))

    assert expected == {name: value for name, value in answer.items() if name != "meta"}
    assert answer == read(door, user)
    assert user["meta"]["created"] == answer["meta"]["created"]
    assert instant(user["meta"]["lastModified"]) <= instant(answer["meta"]["lastModified"])


# What a PATCH cannot do: the operation, and the scimTypes that say so.
REFUSED: list[tuple[JSON, set[str]]] = [
    ({"op": "replace", "path": "id", "value": NOBODY}, {"mutability"}),
    ({"op": "remove", "path": "id"}, {"mutability"}),
    ({"op": "replace", "path": "meta.created", "value": "2001-01-01T00:00:00Z"}, {"mutability"}),
    ({"op": "replace", "path": "meta", "value": {"created": "2001-01-01T00:00:00Z"}}, {"mutability"}),
    ({"op": "add", "path": "groups", "value": [{"value": NOBODY}]}, {"mutability"}),
    ({"op": "remove", "path": f'groups[value eq "{NOBODY}"]'}, {"mutability"}),
    ({"op": "replace", "path": f"{ENTERPRISE_USER}:manager.displayName", "value": "x"}, {"mutability"}),
    ({"op": "remove", "path": "userName"}, {"mutability", "invalidValue"}),
    ({"op": "replace", "path": "userName", "value": None}, {"mutability", "invalidValue"}),
    ({"op": "replace", "path": "userName", "value": ""}, {"mutability", "invalidValue"}),
    ({"op": "replace", "value": {"userName": " "}}, {"mutability", "invalidValue"}),
    ({"op": "remove"}, {"noTarget"}),
    ({"op": "remove", "value": {"nickName": "Babs"}}, {"noTarget"}),
    ({"op": "move", "path": "nickName", "value": "x"}, {"invalidSyntax"}),
    ({"path": "nickName", "value": "x"}, {"invalidSyntax"}),
    ({"op": 5, "path": "nickName", "value": "x"}, {"invalidSyntax"}),
    ({"op": "add", "path": "nickName"}, {"invalidValue", "invalidSyntax"}),
    ({"op": "replace", "path": 5, "value": "x"}, {"invalidPath", "invalidSyntax"}),
    ({"op": "add", "value": "x"}, {"invalidValue", "invalidSyntax"}),
    ({"op": "add", "value": ["x"]}, {"invalidValue", "invalidSyntax"}),
    ({"op": "replace", "path": "emails[", "value": "x"}, {"invalidPath", "invalidFilter"}),
    ({"op": "replace", "path": "emails[]", "value": "x"}, {"invalidPath", "invalidFilter"}),
    ({"op": "replace", "path": "emails[type]", "value": "x"}, {"invalidPath", "invalidFilter"}),
    ({"op": "replace", "path": "emails[type xx 5].value", "value": "x"}, {"invalidPath", "invalidFilter"}),
    ({"op": "replace", "path": 'emails[type eq "work"]value', "value": "x"}, {"invalidPath"}),
    ({"op": "replace", "path": 'emails[type eq "work"].value.x', "value": "x"}, {"invalidPath"}),
    (
        {"op": "replace", "path": 'emails[type eq "work"][type eq "home"]', "value": "x"},
        {"invalidPath", "invalidFilter"},
    ),
    ({"op": "replace", "path": 'emails[nosuch eq "work"].value', "value": "x"}, {"invalidPath", "invalidFilter"}),
    ({"op": "replace", "path": 'name[givenName eq "x"].familyName', "value": "x"}, {"invalidPath"}),
    ({"op": "replace", "path": 'nickName[value eq "x"]', "value": "x"}, {"invalidPath"}),
    ({"op": "replace", "path": 'emails[type eq "a" or type eq "b"].value', "value": "x"}, {"noTarget"}),
    ({"op": "replace", "path": "nosuch", "value": "x"}, {"invalidPath"}),
    ({"op": "replace", "path": "name.nosuch", "value": "x"}, {"invalidPath"}),
    ({"op": "replace", "path": "userName.value", "value": "x"}, {"invalidPath"}),
    ({"op": "replace", "path": f"{ENTERPRISE_USER}:nosuch", "value": "x"}, {"invalidPath"}),
    (
        {"op": "replace", "path": "emails", "value": [{**WORK, "primary": True}, {**HOME, "primary": True}]},
        {"invalidValue"},
    ),
    ({"op": "replace", "path": 'emails[type eq "work"].value', "value": {"x": 1}}, {"invalidValue"}),
]


@pytest.mark.parametrize(("operation", "scim_types"), REFUSED, ids=[str(each[0]) for each in REFUSED])
def test_patch_is_refused_whole(door: httpx.Client, operation: JSON, scim_types: set[str]) -> None:
    """400 with the scimType of RFC 7644 table 9, alone and after a good operation, and nothing is changed (§3.5.2)."""
    user = new_user(door, **STARTS)
    good = {"op": "replace", "path": "nickName", "value": "changed"}

    refused(change(door, user, operation), 400, *scim_types)
    if scim_types != {"invalidPath"} or "nosuch" not in str(operation):  # entra: an unknown attribute sinks no other
        answer = change(door, user, good, operation)
        assert 400 == answer.status_code or (200 == answer.status_code and scim_types == {"invalidPath"}), answer.text
        if answer.status_code == 200:
            return

        assert user == read(door, user)


@pytest.mark.parametrize(
    "body", [{}, {"Operations": []}, {"Operations": {}}, {"Operations": [5]}, {"Operations": None}]
)
def test_patch_needs_operations(door: httpx.Client, body: JSON) -> None:
    """A PatchOp has one or more operations (RFC 7644 §3.5.2)."""
    user = new_user(door)

    refused(
        door.patch(f"Users/{user['id']}", json={"schemas": [PATCH_OP], **body}), 400, "invalidSyntax", "invalidValue"
    )


def test_patch_cannot_take_a_schema_away(door: httpx.Client) -> None:
    """`schemas` says which attributes are there (RFC 7643 §3); no client's word changes that."""
    user = new_user(door, **{ENTERPRISE_USER: {"division": "Parks"}})

    answer = change(door, user, {"op": "replace", "path": "schemas", "value": ["urn:example:2.0:Other"]})

    assert answer.status_code in (200, 400), answer.text
    assert {USER, ENTERPRISE_USER} == set(read(door, user)["schemas"])


def test_extension_leaves_with_its_last_attribute(door: httpx.Client) -> None:
    """`schemas` lists what is in the resource (RFC 7643 §3)."""
    user = new_user(door, **{ENTERPRISE_USER: {"division": "Parks"}})

    answer = ok(change(door, user, {"op": "remove", "path": f"{ENTERPRISE_USER}:division"}))

    assert [USER] == answer["schemas"]
    assert ENTERPRISE_USER not in answer


# password ---------------------------------------------------------------------------------------------------------------


def test_password_is_never_returned(door: httpx.Client) -> None:
    """It can be set by each method and is in no answer, even when asked for (RFC 7643 §4.1.1, §7 returned)."""
    password = f"t1meMa$heen-{uuid.uuid4()}"
    user_name = unique("secretive")
    one = {"filter": f'userName eq "{user_name}"'}

    answers = [door.post("Users", json={"schemas": [USER], "userName": user_name, "password": password})]
    user = created(answers[0])
    path = f"Users/{user['id']}"
    answers += [
        door.get(path),
        door.get(path, params={"attributes": "password,userName"}),
        door.get(path, params={"excludedAttributes": "title"}),
        door.get("Users", params=one),
        door.get("Users", params={**one, "attributes": "password"}),
        put(door, user, password=password),
        change(door, user, {"op": "replace", "path": "password", "value": password}),
        change(door, user, {"op": "add", "value": {"password": password}}, attributes="password"),
    ]

    for answer in answers:
        assert answer.status_code in (200, 201), answer.text
        assert "assword" not in answer.text
        assert password not in answer.text


# Groups of a user -------------------------------------------------------------------------------------------------------


def test_groups_of_a_user_follow_its_groups(door: httpx.Client) -> None:
    """`groups` names the groups one is in directly, by their present name, with a link (RFC 7643 §4.1.2)."""
    user = new_user(door)
    inner, outer = new_group(door, user), new_group(door)
    ok(change(door, outer, {"op": "add", "path": "members", "value": [{"value": inner["id"]}]}), 204)

    shown = read(door, user)["groups"]

    direct = [each for each in shown if each["value"] == inner["id"]]
    assert [{"value": inner["id"], "display": inner["displayName"], "type": "direct"}] == [
        {name: value for name, value in each.items() if name != "$ref"} for each in direct
    ]
    assert inner == ok(door.get(direct[0]["$ref"]))
    assert all("indirect" == each["type"] for each in shown if each["value"] != inner["id"])

    name = unique("Renamed")
    ok(change(door, inner, {"op": "replace", "path": "displayName", "value": name}), 204)

    for found in (read(door, user), ok(door.get("Users", params={"filter": f'id eq "{user["id"]}"'}))["Resources"][0]):
        assert name in [each["display"] for each in found["groups"]]

    ok(door.delete(f"Groups/{inner['id']}"), 204)

    assert "groups" not in read(door, user)


def test_change_of_a_user_answers_with_its_groups(door: httpx.Client) -> None:
    """PUT and PATCH answer as GET would (RFC 7644 §3.5)."""
    user = new_user(door)
    new_group(door, user)

    patched = ok(change(door, user, {"op": "replace", "path": "title", "value": "x"}))
    assert patched == read(door, user)
    assert "groups" in patched
    assert ok(put(door, user, title="y")) == read(door, user)


def test_deleted_user_leaves_its_groups(door: httpx.Client) -> None:
    """The groups lose the member, and with it their version changes (RFC 7644 §3.6, §3.14)."""
    user, other = new_user(door), new_user(door)
    group, untouched = new_group(door, user, other), new_group(door, other)

    ok(door.delete(f"Users/{user['id']}"), 204)

    after = read(door, group)
    assert {other["id"]} == members_of(after)
    assert group["meta"]["version"] != after["meta"]["version"]
    assert instant(group["meta"]["lastModified"]) <= instant(after["meta"]["lastModified"])
    assert untouched == read(door, untouched)
    assert [GROUP] == after["schemas"]
