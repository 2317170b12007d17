"""Entra's exchanges, replayed: every file of `tests/wire/entra` alone, then the stories that take several requests.

What Entra sends is stated in the files; here is only what one file cannot say: a whole cycle, a restore, parallel
requests, sizes nobody would write down.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.builders import ENTERPRISE_USER, GROUP, USER, a_user, create_group, create_user, patch
from tests.wire import exchanges

if TYPE_CHECKING:
    from tests.conftest import Server

WIRE = Path(__file__).parent.parent / "wire" / "entra"
FILES = sorted(WIRE.glob("*.json"))

SOURCE = re.compile(r"Entra fact sheet [0-9B].*")
RULES = re.compile(r"rules? ([\d, and]+)")
QUIRKS = re.compile(r"Q(\d+)")
# 23 is a throughput (the load test measures it), 27 is `test_parallel_requests_on_one_group`.
RULES_SHOWN_ELSEWHERE = {23, 27}

TOMBSTONE = "283405f5aaaa4bbb8ccc1234567890ab"


# ── The recorded exchanges ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def directory(server: Server) -> Iterator[httpx.Client]:
    """One tenant for all files: making one takes longer than an exchange."""
    made = server.cli("tenant", "create", "recorded exchanges", "--json")
    headers = {"Authorization": f"Bearer {made['token']}"}
    with httpx.Client(base_url=made["scim_url"], headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def empty_directory(directory: httpx.Client) -> httpx.Client:
    """A tenant that holds nobody and nothing."""
    for collection in ("Groups", "Users"):
        for resource in listed(directory, collection):
            directory.delete(f"{collection}/{resource['id']}")
        assert not listed(directory, collection), f"{collection} could not be emptied"
    return directory


def listed(scim: httpx.Client, collection: str) -> list[dict[str, Any]]:
    resources: list[dict[str, Any]] = scim.get(collection, params={"count": 200}).json()["Resources"]
    return resources


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_exchange(empty_directory: httpx.Client, file: Path) -> None:
    """What Entra sends is answered as recorded, and what must hold afterwards holds."""
    exchanges.Replay(empty_directory).run(exchanges.read(file))


# ── The files themselves ────────────────────────────────────────────────────────────────────────────────────────────


def test_every_file_of_the_folder_is_replayed() -> None:
    """No file escapes by its ending or by lying deeper."""
    there = {Path(folder) / name for folder, _, names in os.walk(WIRE) for name in names}

    assert there == set(FILES)
    assert len(FILES) >= 200


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_file_is_well_formed(file: Path) -> None:
    """A file says what it shows, where that comes from, and nothing the replayer would pass over."""
    exchange = exchanges.read(file)

    assert re.fullmatch(r"[A-Z].+\.", exchange.about), exchange.about
    assert SOURCE.fullmatch(exchange.source), exchange.source


def test_every_rule_and_quirk_has_an_exchange() -> None:
    """Each of the 36 rules and 33 quirks is shown by at least one file."""
    sources = [exchanges.read(file).source for file in FILES]
    rules = {int(n) for source in sources for found in RULES.findall(source) for n in re.findall(r"\d+", found)}
    quirks = {int(n) for source in sources for n in QUIRKS.findall(source)}

    assert set(range(1, 37)) == rules | RULES_SHOWN_ELSEWHERE
    assert set(range(1, 34)) == quirks


@pytest.mark.parametrize(
    "change",
    [
        {"abuot": "x"},
        {"request": {"method": "GET", "path": "/Users", "querry": "x"}},
        {"request": {"method": "POST", "path": "/Users", "body": {}, "raw": "{}"}},
        {"response": {"status": 200, "absence": ["title"]}},
        {"response": {"body": {}}},
        {"given": [{"as": "a", "post": "/Users", "bodi": {}}]},
        {"given": [{"post": "/Users", "patch": "/Users/1"}]},
        {"then": [{"get": "/Users", "boddy": {}}]},
        {"then": [{"status": 200}]},
    ],
    ids=str,
)
def test_typing_error_in_a_file_is_loud(change: dict[str, Any]) -> None:
    """A key the replayer does not know is refused: it would silently check nothing."""
    sound = {
        "about": "A probe.",
        "source": "Entra fact sheet 1.1",
        "request": {"method": "GET", "path": "/Users"},
        "response": {"status": 200},
    }
    exchanges.parse(sound)

    with pytest.raises(exchanges.Malformed):
        exchanges.parse(sound | change)


def test_repeated_key_in_a_file_is_loud(tmp_path: Path) -> None:
    """JSON keeps the last of two equal keys, so the first would check nothing."""
    file = tmp_path / "twice.json"
    file.write_text('{"about": "A probe.", "about": "Another."}')

    with pytest.raises(exchanges.Malformed, match=r"twice\.json"):
        exchanges.read(file)


@pytest.mark.parametrize(
    ("expected", "actual", "whole"),
    [
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {}, False),
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": True}, {"a": 1}, False),
        ([{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 1}], False),
        ([{"a": 1}], [{"a": 1}, {"a": 2}], False),
        ([], None, False),
    ],
)
def test_difference_is_seen(expected: Any, actual: Any, whole: bool) -> None:
    """The comparison of an answer misses nothing it was asked to see."""
    assert list(exchanges.differences(expected, actual, whole=whole))


@pytest.mark.parametrize(
    ("expected", "actual", "whole"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, False),
        ([{"a": 1}, {"a": 2}], [{"a": 2, "b": 1}, {"a": 1}], False),
        ({"a": [1, {"b": 2}]}, {"a": [{"b": 2}, 1]}, True),
    ],
)
def test_likeness_is_seen(expected: Any, actual: Any, whole: bool) -> None:
    """What a file leaves unsaid is free, and lists have no order."""
    assert not list(exchanges.differences(expected, actual, whole=whole))


# ── Stories of several requests ─────────────────────────────────────────────────────────────────────────────────────


def found(scim: httpx.Client, collection: str, expression: str) -> list[dict[str, Any]]:
    """Ask as Entra asks before it writes; groups without their members."""
    without_members = {"excludedAttributes": "members"} if collection == "Groups" else {}
    answer = scim.get(collection, params={**without_members, "filter": expression})

    assert 200 == answer.status_code, answer.text
    resources: list[dict[str, Any]] = answer.json()["Resources"]
    return resources


def changed(scim: httpx.Client, path: str, *operations: dict[str, Any]) -> None:
    answer = scim.patch(path, json=patch(*operations))

    assert answer.status_code in (200, 204), answer.text


def member_ids(scim: httpx.Client, group_id: str) -> list[str]:
    group = scim.get(f"Groups/{group_id}").json()
    return sorted(member["value"] for member in group.get("members", []))


def add_member(user_id: str) -> dict[str, Any]:
    return {"op": "Add", "path": "members", "value": [{"$ref": None, "value": user_id}]}


def test_initial_cycle_of_a_group_with_two_members(scim: httpx.Client) -> None:
    """The first cycle of an assigned group: one person is new, one is met by name, references come last."""
    met = create_user(scim, 2, userName="b@contoso.com", title="Clerk")

    assert [] == found(scim, "Users", 'userName eq "9edf3db5-f590-4367-a7b6-d76747c0a509"')
    assert [] == found(scim, "Users", 'userName eq "a@contoso.com"')
    new = create_user(scim, 1, userName="a@contoso.com")
    assert [met["id"]] == [user["id"] for user in found(scim, "Users", 'userName eq "b@contoso.com"')]
    changed(scim, f"Users/{met['id']}", {"op": "Replace", "path": "title", "value": "Tour Guide"})
    assert [] == found(scim, "Groups", 'displayName eq "Design"')
    group = create_group(scim, "Design")
    changed(
        scim,
        f"Users/{new['id']}",
        {"op": "Add", "path": f"{ENTERPRISE_USER}:manager", "value": met["id"]},
    )
    changed(scim, f"Groups/{group['id']}", add_member(new["id"]), add_member(met["id"]))

    assert sorted([new["id"], met["id"]]) == member_ids(scim, group["id"])
    assert {"value": met["id"]} == scim.get(f"Users/{new['id']}").json()[ENTERPRISE_USER]["manager"]
    assert "Tour Guide" == scim.get(f"Users/{met['id']}").json()["title"]


def test_second_cycle_finds_nothing_to_change(scim: httpx.Client) -> None:
    """A restarted job asks again and sends members again; what it meets is what it left."""
    person = create_user(scim, 1)
    group = create_group(scim, "Design")
    changed(scim, f"Groups/{group['id']}", add_member(person["id"]))

    [again] = found(scim, "Users", f'userName eq "{person["userName"]}"')
    changed(scim, f"Groups/{group['id']}", add_member(person["id"]))

    sent = {name: value for name, value in person.items() if name != "meta"}  # its version follows `groups`
    assert sent == {name: again[name] for name in sent}
    assert [person["id"]] == member_ids(scim, group["id"])


def test_soft_delete_and_restore_of_a_member(scim: httpx.Client) -> None:
    """A deleted person is renamed and switched off, looked up in vain, and comes back under the same id and name."""
    person = create_user(scim, 1)
    group = create_group(scim, "Design")
    changed(scim, f"Groups/{group['id']}", add_member(person["id"]))
    name, path = person["userName"], f"Users/{person['id']}"

    changed(
        scim,
        path,
        {"op": "Replace", "path": "userName", "value": TOMBSTONE + name},
        {"op": "Replace", "path": "active", "value": "False"},
    )
    assert [] == found(scim, "Users", f'userName eq "{name}"')
    assert [False] == [user["active"] for user in found(scim, "Users", f'userName eq "{TOMBSTONE}{name}"')]
    changed(
        scim,
        path,
        {"op": "Replace", "path": "userName", "value": name},
        {"op": "Replace", "path": "active", "value": "True"},
    )

    restored = found(scim, "Users", f'userName eq "{name}"')
    assert [(person["id"], True)] == [(user["id"], user["active"]) for user in restored]
    assert [person["id"]] == member_ids(scim, group["id"])


def test_unassigned_and_assigned_again(scim: httpx.Client) -> None:
    """Leaving the scope switches off, returning switches on; in between the person stays findable."""
    person = create_user(scim, 1)
    path = f"Users/{person['id']}"

    changed(scim, path, {"op": "Replace", "path": "active", "value": "False"})
    assert [False] == [user["active"] for user in found(scim, "Users", f'userName eq "{person["userName"]}"')]
    changed(scim, path, {"op": "Replace", "path": "active", "value": "True"})

    assert [True] == [user["active"] for user in found(scim, "Users", f'userName eq "{person["userName"]}"')]


def test_parallel_requests_on_one_group(scim: httpx.Client) -> None:
    """Members added and removed by many requests at once are all added and all removed."""
    people = [create_user(scim, n)["id"] for n in range(40)]
    staying, leaving, coming = people[:10], people[10:25], people[25:]
    group = create_group(scim, "Design")
    path = f"Groups/{group['id']}"
    changed(scim, path, *(add_member(person) for person in staying + leaving))
    removals = [{"op": "remove", "path": f'members[value eq "{person}"]'} for person in leaving]

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda operation: changed(scim, path, operation), [*map(add_member, coming), *removals]))

    assert sorted(staying + coming) == member_ids(scim, group["id"])


def test_parallel_creates_of_one_user(scim: httpx.Client) -> None:
    """A create sent again before the first is answered makes one user, and says so."""
    body = a_user(1)
    with ThreadPoolExecutor(6) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: scim.post("Users", json=body), range(6))]

    assert [201, 409, 409, 409, 409, 409] == sorted(statuses)
    assert 1 == len(found(scim, "Users", f'userName eq "{body["userName"]}"'))


def test_many_members_in_one_operation_and_in_many(scim: httpx.Client) -> None:
    """One operation with sixty members and sixty operations with one each come to the same, both ways."""
    people = sorted(create_user(scim, n)["id"] for n in range(60))
    wide, long = create_group(scim, "Wide"), create_group(scim, "Long")
    everybody = [{"$ref": None, "value": person} for person in people]

    changed(scim, f"Groups/{wide['id']}", {"op": "Add", "path": "members", "value": everybody})
    changed(scim, f"Groups/{long['id']}", *map(add_member, people))
    assert people == member_ids(scim, wide["id"]) == member_ids(scim, long["id"])

    changed(scim, f"Groups/{wide['id']}", {"op": "Remove", "path": "members", "value": everybody[1:]})
    changed(
        scim,
        f"Groups/{long['id']}",
        *({"op": "remove", "path": f'members[value eq "{person}"]'} for person in people[1:]),
    )
    assert people[:1] == member_ids(scim, wide["id"]) == member_ids(scim, long["id"])


def test_thousands_of_operations_in_one_patch(scim: httpx.Client) -> None:
    """No number of operations is promised by Entra, so none is too many; they apply in order."""
    person = create_user(scim, 1)
    operations = [{"op": "Replace", "path": "title", "value": f"title {n}"} for n in range(2000)]

    changed(scim, f"Users/{person['id']}", *operations)

    assert "title 1999" == scim.get(f"Users/{person['id']}").json()["title"]


def test_body_of_more_than_a_megabyte(scim: httpx.Client) -> None:
    """A body may be large: thousands of members with their references come to a megabyte."""
    body = json.dumps(a_user(1)) + " " * 1_200_000

    answer = scim.post("Users", content=body.encode())

    assert 201 == answer.status_code, answer.text


def test_pages_hold_everybody_once(scim: httpx.Client) -> None:
    """Walking through pages of five meets each of eleven users once."""
    people = {create_user(scim, n)["id"] for n in range(11)}

    pages = [scim.get("Users", params={"startIndex": start, "count": 5}).json() for start in (1, 6, 11)]

    assert [1, 6, 11] == [page["startIndex"] for page in pages]
    met = [user["id"] for page in pages for user in page["Resources"]]
    assert sorted(people) == sorted(met)


# ── What the gallery's validation reads ─────────────────────────────────────────────────────────────────────────────

# The default mapping of a non-gallery application, by target attribute.
MAPPED = {
    USER: {
        "userName",
        "active",
        "displayName",
        "title",
        'emails[type eq "work"].value',
        "preferredLanguage",
        "name.givenName",
        "name.familyName",
        "name.formatted",
        *(
            f'addresses[type eq "work"].{part}'
            for part in ("formatted", "streetAddress", "locality", "region", "postalCode", "country")
        ),
        *(f'phoneNumbers[type eq "{kind}"].value' for kind in ("work", "mobile", "fax")),
    },
    ENTERPRISE_USER: {"employeeNumber", "department", "manager"},
    GROUP: {"displayName", "members"},
}


def flattened(schema: dict[str, Any]) -> Iterator[str]:
    """Name a schema's attributes as the validation does: the types of a list become value paths."""
    for attribute in schema["attributes"]:
        name, parts = attribute["name"], attribute.get("subAttributes", [])
        yield name
        types = [t for part in parts if part["name"] == "type" for t in part.get("canonicalValues", [])]
        for part in parts:
            if not attribute["multiValued"]:
                yield f"{name}.{part['name']}"
            yield from (f'{name}[type eq "{kind}"].{part["name"]}' for kind in types)


def test_schemas_cover_the_default_mapping(scim: httpx.Client) -> None:
    """`/Schemas` is a ListResponse that names every mapped attribute, the group's schema included."""
    answer = scim.get("Schemas").json()

    assert [exchanges.LIST_RESPONSE] == answer["schemas"]
    published = {schema["id"]: set(flattened(schema)) for schema in answer["Resources"]}
    missing = {schema: names - published.get(schema, set()) for schema, names in MAPPED.items()}
    assert {USER: set(), ENTERPRISE_USER: set(), GROUP: set()} == missing
