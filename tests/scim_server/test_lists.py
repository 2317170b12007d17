"""Lists and searches: filters, order, pages by index and by cursor (RFC 7644 §3.4.2, §3.4.3; RFC 9865)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta, timezone
from typing import Any

import httpx
import pytest

from tests.answers import (
    JSON,
    SEARCH_REQUEST,
    client_of,
    id_set,
    ids,
    instant,
    new_group,
    new_user,
    ok,
    read,
    refused,
    resources,
    values,
)
from tests.builders import ENTERPRISE_USER, GROUP, USER
from tests.conftest import Server
from tests.processes import Customer, new_customer

# One directory for the whole module, and nothing in it is changed. Keys are what the expectations name people by.
PEOPLE: dict[str, JSON] = {
    "anna": {
        "userName": "Anna@contoso.com",
        "displayName": "Anna Ärmel",
        "title": "Tour Guide",
        "nickName": "Annie",
        "externalId": "ext-A",
        "profileUrl": "https://contoso.com/Anna",
        "name": {"givenName": "Anna", "familyName": "Ärmel"},
        "emails": [
            {"value": "anna@contoso.com", "type": "work", "primary": True},
            {"value": "anna@home.example", "type": "home"},
        ],
        ENTERPRISE_USER: {"employeeNumber": "10", "department": "Tours", "manager": {"value": "M-1"}},
    },
    "bert": {
        "userName": "bert@contoso.com",
        "displayName": "Bert Brecht",
        "title": "Director",
        "externalId": "ext-a",
        "active": False,
        "name": {"givenName": "Bert", "familyName": "Brecht"},
        "emails": [{"value": "bert@home.example", "type": "home", "primary": True}],
        "phoneNumbers": [{"value": "+1 858 555 0109", "type": "work"}],
        ENTERPRISE_USER: {"employeeNumber": "9", "department": "Sales"},
    },
    "carla": {
        "userName": "carla@fabrikam.com",
        "displayName": "carla columna",
        "name": {"givenName": "Carla"},
        "emails": [{"value": "carla@contoso.com", "type": "home"}],
        "roles": [{"value": "Admin", "primary": True}],
        ENTERPRISE_USER: {"department": "tours"},
    },
    "dora": {"userName": "dora", "title": 'the "boss"\\chief', "displayName": "50% off_sale*"},
    "emil": {"userName": "ÉMIL", "displayName": "Emil", "title": "tour guide", "nickName": "Tiger"},
}
TEAMS: dict[str, JSON] = {
    "all": {"displayName": "Everybody", "externalId": "g-1", "members": ["anna", "bert", "carla"]},
    "sales": {"displayName": "sales EMEA", "externalId": "g-2", "members": ["bert"]},
    "tours": {"displayName": "Tours", "members": ["all"]},
    "void": {"displayName": "Anna's fans"},
}


class Directory:
    """The objects by their keys, and back."""

    def __init__(self, door: httpx.Client) -> None:
        self.door = door
        self.users: dict[str, JSON] = {key: new_user(door, **attributes) for key, attributes in PEOPLE.items()}
        self.groups: dict[str, JSON] = {}
        for key, attributes in TEAMS.items():
            members = [(self.users.get(each) or self.groups[each])["id"] for each in attributes.get("members", [])]
            self.groups[key] = new_group(door, *members, **{**attributes, "members": values(*members)})
        everything = {**self.users, **self.groups}
        self.keys = {resource["id"]: key for key, resource in everything.items()}
        self.id_of = {key: resource["id"] for key, resource in everything.items()}

    def found(self, endpoint: str, **params: Any) -> list[str]:
        """Ask for a list and name what it holds, in its order."""
        return [self.keys[each] for each in ids(self.door.get(endpoint, params=params))]


@pytest.fixture(scope="module")
def directory(door: httpx.Client) -> Directory:
    return Directory(door)


# Filters ----------------------------------------------------------------------------------------------------------------

EVERYONE = set(PEOPLE)
# {anna} and the like stand for ids. The expectation names who is found.
USER_FILTERS: list[tuple[str, set[str]]] = [
    # eq: in any case where the attribute is not caseExact (RFC 7643 §2.2), to the letter where it is
    ('userName eq "anna@contoso.com"', {"anna"}),
    ('userName eq "ANNA@CONTOSO.COM"', {"anna"}),
    ('userName eq "émil"', {"emil"}),
    ('userName eq "anna"', set()),
    ('title eq "TOUR GUIDE"', {"anna", "emil"}),
    ('id eq "{anna}"', {"anna"}),
    ('id eq "nobody"', set()),
    ('externalId eq "ext-A"', {"anna"}),
    ('externalId eq "EXT-A"', set()),
    ('displayName eq "anna ärmel"', {"anna"}),
    (r'title eq "the \"boss\"\\chief"', {"dora"}),
    (r'title eq "Tour\u0020Guide"', {"anna", "emil"}),
    ("active eq true", EVERYONE - {"bert"}),
    ("active eq false", {"bert"}),
    ("active ne true", {"bert"}),
    ('profileUrl eq "https://contoso.com/Anna"', {"anna"}),
    # ne
    ('userName ne "anna@contoso.com"', EVERYONE - {"anna"}),
    ('not (title eq "Director")', EVERYONE - {"bert"}),
    # co, sw, ew: wildcards of SQL are letters like any other
    ('userName co "CONTOSO"', {"anna", "bert"}),
    ('displayName co "%"', {"dora"}),
    ('displayName co "f_s"', {"dora"}),
    ('displayName co "e_"', set()),
    ('displayName co "*"', {"dora"}),
    ('displayName co "ärm"', {"anna"}),
    ('title co "\\""', {"dora"}),
    ('userName sw "b"', {"bert"}),
    ('userName sw "ém"', {"emil"}),
    ('displayName sw "50%"', {"dora"}),
    ('displayName sw "5_"', set()),
    ('userName ew ".COM"', {"anna", "bert", "carla"}),
    ('displayName ew "*"', {"dora"}),
    ('nickName ew "nnie and more than there is"', set()),
    # gt, ge, lt, le: as text
    ('userName gt "bert@contoso.com"', {"carla", "dora", "emil"}),
    ('userName ge "bert@contoso.com"', {"bert", "carla", "dora", "emil"}),
    ('userName lt "BERT@contoso.com"', {"anna"}),
    ('userName le "bert@contoso.com"', {"anna", "bert"}),
    ('employeeNumber gt "10"', {"bert"}),
    # pr
    ("title pr", {"anna", "bert", "dora", "emil"}),
    ("not (title pr)", {"carla"}),
    ("name pr", {"anna", "bert", "carla"}),
    ("name.familyName pr", {"anna", "bert"}),
    ("emails pr", {"anna", "bert", "carla"}),
    ("emails.type pr", {"anna", "bert", "carla"}),
    ("emails.display pr", set()),
    ("phoneNumbers pr", {"bert"}),
    ("userName pr", EVERYONE),
    ("id pr", EVERYONE),
    ("meta pr", EVERYONE),
    ("meta.created pr", EVERYONE),
    ("groups pr", {"anna", "bert", "carla"}),
    (f"{ENTERPRISE_USER}:manager pr", {"anna"}),
    ("title eq null", {"carla"}),
    # and before or, grouping, not (figure 1)
    ('title pr and userName co "contoso"', {"anna", "bert"}),
    ('userName eq "dora" or title eq "Director" and active eq true', {"dora"}),
    ('(userName eq "dora" or title eq "Director") and active eq false', {"bert"}),
    ('not (title pr or userName sw "c")', set()),
    ('title pr and not (userName co "contoso")', {"dora", "emil"}),
    ('TITLE PR AND NOT (USERNAME CO "contoso")', {"dora", "emil"}),
    ('userName eq "anna@contoso.com" or userName eq "dora" or userName eq "émil"', {"anna", "dora", "emil"}),
    ('((((userName eq "dora"))))', {"dora"}),
    # sub-attributes, several values: one of them is enough
    ('name.familyName co "RECHT"', {"bert"}),
    ('name.givenName sw "c"', {"carla"}),
    ('emails.value eq "ANNA@home.example"', {"anna"}),
    ('emails eq "anna@home.example"', {"anna"}),
    ('emails co "contoso.com"', {"anna", "carla"}),
    ('emails.type eq "work"', {"anna"}),
    ("emails.primary eq true", {"anna", "bert"}),
    ('phoneNumbers.value eq "+1 858 555 0109"', {"bert"}),
    ('roles eq "admin"', {"carla"}),
    # value paths: one value satisfies it all (RFC 7644 §3.4.2.2)
    ('emails[type eq "work"]', {"anna"}),
    ('emails[type eq "work" and value co "@home.example"]', set()),
    ('emails[type eq "home" and value co "@contoso.com"]', {"carla"}),
    ('emails[type eq "work" or value sw "bert"]', {"anna", "bert"}),
    ('emails[not (type eq "home")]', {"anna"}),
    ("emails[primary eq true]", {"anna", "bert"}),
    ('emails[primary eq true and type eq "home"]', {"bert"}),
    ('not (emails[type eq "work"])', EVERYONE - {"anna"}),
    ('title sw "d" and emails[type eq "home"]', {"bert"}),
    ('emails[type eq "home"] and roles[value eq "admin"]', {"carla"}),
    ('emails[type eq "work"].value eq "anna@contoso.com"', {"anna"}),
    ('emails[type eq "home"].value eq "anna@contoso.com"', set()),
    # names with their URN (§3.10), the extension's without it (entra Q12)
    (f'{USER}:userName sw "a"', {"anna"}),
    (f'{USER}:name.familyName eq "brecht"', {"bert"}),
    (f'{ENTERPRISE_USER}:department eq "TOURS"', {"anna", "carla"}),
    ('urn:IETF:params:scim:schemas:extension:enterprise:2.0:user:DEPARTMENT eq "sales"', {"bert"}),
    (f'{ENTERPRISE_USER}:manager.value eq "M-1"', {"anna"}),
    (f'{ENTERPRISE_USER}:manager eq "M-1"', {"anna"}),
    (f'{ENTERPRISE_USER}:manager eq "m-1"', set()),
    ('id eq "{anna}" and manager eq "M-1"', {"anna"}),
    ("manager eq M-1 and id eq {anna}", {"anna"}),
    ('id eq "{bert}" and manager eq "M-1"', set()),
    # meta and groups
    ('meta.resourceType eq "User"', EVERYONE),
    ('meta.resourceType eq "Group"', set()),
    ('groups.value eq "{sales}"', {"bert"}),
    ('groups eq "{all}"', {"anna", "bert", "carla"}),
    ('groups.display eq "SALES emea"', {"bert"}),
    ('groups[display sw "every"]', {"anna", "bert", "carla"}),
]
GROUP_FILTERS: list[tuple[str, set[str]]] = [
    ('displayName eq "everybody"', {"all"}),
    ('displayName eq "Anna\'s fans"', {"void"}),
    ('displayName sw "SALES"', {"sales"}),
    ('externalId eq "g-1"', {"all"}),
    ("externalId pr", {"all", "sales"}),
    ('members eq "{bert}"', {"all", "sales"}),
    ('members.value eq "{bert}"', {"all", "sales"}),
    ('members[value eq "{bert}"]', {"all", "sales"}),
    ('members.value eq "{all}"', {"tours"}),
    ('members[value eq "{all}" and type eq "Group"]', {"tours"}),
    ('members.type eq "group"', {"tours"}),
    ("members pr", {"all", "sales", "tours"}),
    ("not (members pr)", {"void"}),
    ('id eq "{sales}" and members eq "{bert}"', {"sales"}),
    ('members eq "{anna}" and id eq "{sales}"', set()),
    ('members eq "{anna}" or members eq "{all}"', {"all", "tours"}),
    ('members eq "nobody"', set()),
    (f'{GROUP}:displayName eq "tours"', {"tours"}),
    ('meta.resourceType eq "Group"', set(TEAMS)),
]


@pytest.mark.parametrize(("text", "expected"), USER_FILTERS, ids=[each[0] for each in USER_FILTERS])
def test_users_are_filtered(directory: Directory, text: str, expected: set[str]) -> None:
    """Each operator and form of RFC 7644 §3.4.2.2, by example; the total is that of the filter."""
    text = re.sub(r"\{(\w+)}", lambda key: directory.id_of[key[1]], text)

    answer = directory.door.get("Users", params={"filter": text})

    assert expected == {directory.keys[each] for each in ids(answer)}
    assert len(expected) == answer.json()["totalResults"]


@pytest.mark.parametrize(("text", "expected"), GROUP_FILTERS, ids=[each[0] for each in GROUP_FILTERS])
def test_groups_are_filtered(directory: Directory, text: str, expected: set[str]) -> None:
    """The same for groups, members among it."""
    text = re.sub(r"\{(\w+)}", lambda key: directory.id_of[key[1]], text)

    answer = directory.door.get("Groups", params={"filter": text})

    assert expected == {directory.keys[each] for each in ids(answer)}
    assert len(expected) == answer.json()["totalResults"]


INVALID = [
    'password eq "t1meMa$heen"',
    "password pr",
    'password sw ""',
    'nosuch eq "x"',
    "nosuch pr",
    'name.nosuch eq "x"',
    'userName.value eq "x"',
    'emails[nosuch eq "x"]',
    'urn:example:2.0:Other:colour eq "x"',
    'name eq "Barbara"',
    'addresses eq "x"',
    'meta eq "x"',
    'userName xx "anna"',
    'userName = "anna"',
    "userName eq",
    "userName",
    "eq",
    '"anna" eq userName',
    'userName eq "anna',
    "userName eq 'anna' 'bert'",
    '(userName eq "anna"',
    'userName eq "anna")',
    'userName eq "anna" and',
    'userName eq "anna" userName eq "bert"',
    'or userName eq "anna"',
    "not userName pr",
    "()",
    "not ()",
    "userName pr pr",
    'emails[type eq "work"',
    'emails type eq "work"]',
    "emails[]",
    'emails[type eq "work"] value eq "x"',
    'emails[addresses[type eq "work"]]',
    'userName[value eq "x"]',
    'name[givenName eq "x"]',
    r'userName eq "\x"',
    r'userName eq "\ud800"',
    "active gt true",
    "active le false",
    'active co "t"',
    'active eq "perhaps"',
    "active eq 1",
    'meta.created gt "yesterday"',
    'meta.created gt "2026-13-01T00:00:00Z"',
    "meta.created eq 5",
    "meta.created ge true",
    "user name pr",
    "userName pr; DROP TABLE directory_user",
    'userName eq "a" AND (',
    "[",
    "]",
    "members[value pr",
]


@pytest.mark.parametrize("text", INVALID)
@pytest.mark.parametrize("endpoint", ["Users", ""])
def test_invalid_filters_are_refused(directory: Directory, endpoint: str, text: str) -> None:
    """400 invalidFilter, saying what is wrong (RFC 7644 §3.4.2.2, table 9); by GET and by .search."""
    refused(directory.door.get(endpoint, params={"filter": text}), 400, "invalidFilter")
    search = {"schemas": [SEARCH_REQUEST], "filter": text}
    refused(directory.door.post(f"{endpoint}/.search".strip("/"), json=search), 400, "invalidFilter")


def test_attributes_of_users_are_unknown_to_groups(directory: Directory) -> None:
    """A filter on one endpoint knows that endpoint's attributes (RFC 7644 §3.4.2.2)."""
    refused(directory.door.get("Groups", params={"filter": 'userName eq "x"'}), 400, "invalidFilter")
    refused(directory.door.get("Users", params={"filter": "members pr"}), 400, "invalidFilter")


def test_dates_are_compared_as_dates(directory: Directory) -> None:
    """In any zone, with and without a fraction: what counts is the instant (RFC 7643 §2.3.5, RFC 7644 §3.4.2.2)."""
    anna = directory.users["anna"]
    created = instant(anna["meta"]["created"])
    second = timedelta(seconds=1)

    def holds(op: str, text: str) -> bool:
        return ["anna"] == directory.found("Users", filter=f'id eq "{anna["id"]}" and meta.created {op} "{text}"')

    for offset in (0, 2, -8, 5.75):
        zone = timezone(timedelta(hours=offset))
        for written in (
            created.astimezone(zone).isoformat(),
            created.astimezone(zone).isoformat(timespec="milliseconds"),
        ):
            assert holds("eq", written), written
            assert holds("ge", written), written
            assert holds("le", written), written
            assert not holds("ne", written), written
            assert not holds("gt", written), written
            assert not holds("lt", written), written
        before, after = ((created + change).astimezone(zone).replace(microsecond=0) for change in (-second, second))
        for early, late in (
            (before.isoformat(), after.isoformat()),
            (before.isoformat().replace("+00:00", "Z"), after.isoformat().replace("+00:00", "Z")),
        ):
            assert holds("gt", early), early
            assert holds("lt", late), late
            assert not holds("lt", early), early
            assert not holds("gt", late), late


# Order ------------------------------------------------------------------------------------------------------------------

BY_NAME = ["anna", "bert", "carla", "dora", "emil"]
ORDERS: list[tuple[str, list[list[str]]]] = [  # groups of equals, ascending; those without a value last
    ("userName", [[each] for each in BY_NAME]),
    ("USERNAME", [[each] for each in BY_NAME]),
    (f"{USER}:userName", [[each] for each in BY_NAME]),
    ("displayName", [["dora"], ["anna"], ["bert"], ["carla"], ["emil"]]),
    ("title", [["bert"], ["dora"], ["anna", "emil"], ["carla"]]),
    ("name.familyName", [["bert"], ["anna"], ["carla", "dora", "emil"]]),
    ("active", [["bert"], ["anna", "carla", "dora", "emil"]]),
    ("emails.value", [["anna"], ["bert"], ["carla"], ["dora", "emil"]]),
    ("emails", [["anna"], ["bert"], ["carla"], ["dora", "emil"]]),
    ("meta.created", [["anna"], ["bert"], ["carla"], ["dora"], ["emil"]]),
    ("department", [["bert"], ["anna", "carla"], ["dora", "emil"]]),
    (f"{ENTERPRISE_USER}:employeeNumber", [["anna"], ["bert"], ["carla", "dora", "emil"]]),
]
ORDER_IDS = [each[0] for each in ORDERS]


def in_groups(found: list[str], groups: list[list[str]]) -> list[list[str]]:
    """Cut a list into pieces of the expected sizes, each in alphabetical order."""
    rest = iter(found)
    return [sorted(next(rest) for _ in group) for group in groups]


@pytest.mark.parametrize(("by", "expected"), ORDERS, ids=ORDER_IDS)
def test_lists_are_sorted(directory: Directory, by: str, expected: list[list[str]]) -> None:
    """Ascending unless said; without a value last, descending first; primary or first value (RFC 7644 §3.4.2.3)."""
    if by == "meta.created":
        times = {user["meta"]["created"] for user in directory.users.values()}
        expected = expected if len(times) == len(PEOPLE) else [sorted(PEOPLE)]

    for order in ({}, {"sortOrder": "ascending"}):
        assert expected == in_groups(directory.found("Users", sortBy=by, **order), expected)

    backwards = expected[::-1]
    assert backwards == in_groups(directory.found("Users", sortBy=by, sortOrder="descending"), backwards)


@pytest.mark.parametrize(("by", "expected"), ORDERS, ids=ORDER_IDS)
@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("count", [1, 2])
def test_sorted_pages_add_up(directory: Directory, by: str, expected: list[list[str]], order: str, count: int) -> None:
    """Page by page, by index and by cursor, gives the same list (RFC 7644 §3.4.2.4, RFC 9865 §2.2)."""
    whole = directory.found("Users", sortBy=by, sortOrder=order)
    params: JSON = {"sortBy": by, "sortOrder": order, "count": count}

    by_index = [key for start in range(1, 6, count) for key in directory.found("Users", **params, startIndex=start)]

    assert whole == by_index
    pages = by_cursor(directory.door, "Users", **params)
    assert whole == [directory.keys[each["id"]] for page in pages for each in page["Resources"]]


@pytest.mark.parametrize("by", ["nosuch", "name.nosuch", "password", "members", "user name", "userName;"])
def test_what_cannot_be_sorted_by(directory: Directory, by: str) -> None:
    """400; a list in another order than asked for would be a lie."""
    refused(directory.door.get("Users", params={"sortBy": by}), 400)


def test_sort_order_is_one_of_two(directory: Directory) -> None:
    """RFC 7644 §3.4.2.3."""
    refused(directory.door.get("Users", params={"sortBy": "userName", "sortOrder": "upwards"}), 400, "invalidValue")
    assert BY_NAME[::-1] == directory.found("Users", sortBy="userName", sortOrder="Descending")


# Pages by index ---------------------------------------------------------------------------------------------------------

INDEXES: list[tuple[JSON, slice, int]] = [  # parameters, which of those in order, startIndex as answered
    ({}, slice(0, 5), 1),
    ({"startIndex": 1, "count": 2}, slice(0, 2), 1),
    ({"startIndex": 2, "count": 2}, slice(1, 3), 2),
    ({"startIndex": 5, "count": 2}, slice(4, 5), 5),
    ({"startIndex": 6, "count": 2}, slice(5, 5), 6),
    ({"startIndex": 1000000000}, slice(5, 5), 1000000000),
    ({"startIndex": 0, "count": 2}, slice(0, 2), 1),
    ({"startIndex": -7, "count": 2}, slice(0, 2), 1),
    ({"startIndex": 3}, slice(2, 5), 3),
    ({"count": 0}, slice(0, 0), 1),
    ({"startIndex": 2, "count": 0}, slice(0, 0), 2),
    ({"count": -3}, slice(0, 0), 1),
    ({"count": 5}, slice(0, 5), 1),
    ({"count": 1000000000}, slice(0, 5), 1),
]


@pytest.mark.parametrize(("params", "part", "start"), INDEXES, ids=[str(each[0]) for each in INDEXES])
@pytest.mark.parametrize("filtered", [False, True])
def test_pages_by_index(directory: Directory, params: JSON, part: slice, start: int, filtered: bool) -> None:
    """startIndex from 1, below it 1; count from 0, below it 0; the total is that of all (RFC 7644 §3.4.2.4)."""
    more = {"filter": "userName pr"} if filtered else {}
    answer = directory.door.get("Users", params={**params, **more, "sortBy": "userName"})

    assert BY_NAME[part] == [directory.keys[each] for each in ids(answer)]
    body = answer.json()
    assert (5, start) == (body["totalResults"], body["startIndex"])
    assert len(BY_NAME[part]) == body["itemsPerPage"]
    assert "nextCursor" not in body
    unsorted = ok(directory.door.get("Users", params={**params, **more}))
    assert (5, start, len(BY_NAME[part])) == (
        unsorted["totalResults"],
        unsorted["startIndex"],
        len(unsorted["Resources"]),
    )


@pytest.mark.parametrize("name", ["startIndex", "count"])
@pytest.mark.parametrize("value", ["one", "1.5", "1e3", "0x1", "1,2", "9" * 5000])
def test_numbers_are_numbers(directory: Directory, name: str, value: str) -> None:
    """What is no integer is refused and not guessed at."""
    refused(directory.door.get("Users", params={name: value}), 400, "invalidValue")


def test_no_match_is_an_empty_list(directory: Directory) -> None:
    """200, never 404 (RFC 7644 §3.4.2, entra rule 1)."""
    body = ok(directory.door.get("Users", params={"filter": 'userName eq "nobody"'}))

    assert (0, 0, []) == (body["totalResults"], body["itemsPerPage"], body["Resources"])


def test_pages_without_an_order_add_up(directory: Directory) -> None:
    """A client that pages sees everybody once (RFC 7644 §3.4.2.4)."""
    pages = [directory.found("Users", startIndex=start, count=2) for start in (1, 3, 5)]

    assert sorted(PEOPLE) == sorted(key for page in pages for key in page)


def test_listed_resources_are_as_read(directory: Directory) -> None:
    """A list shows what GET of each shows, groups of users and members of groups included (RFC 7644 §3.4.2)."""
    for endpoint, known in (("Users", directory.users), ("Groups", directory.groups)):
        for listed in resources(directory.door.get(endpoint)):
            assert read(directory.door, known[directory.keys[listed["id"]]]) == listed


def test_page_size_has_a_maximum(server: Server) -> None:
    """No page is larger than /ServiceProviderConfig says, and the default is what it says (RFC 9865 §4)."""
    with client_of(f"{server.url}/scim/v2", new_customer(server.database_url)) as door:
        config = read(door, "ServiceProviderConfig")
        size, most = config["pagination"]["defaultPageSize"], config["pagination"]["maxPageSize"]
        operations = [
            {"method": "POST", "path": "/Groups", "bulkId": f"{n}", "data": {"displayName": f"Group {n}"}}
            for n in range(most + 1)
        ]
        for part in (operations[:-1], operations[-1:]):
            request = {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": part}
            ok(door.post("Bulk", json=request))

        for params, expected in (({}, size), ({"count": most + 1}, most), ({"cursor": "", "count": most + 1}, most)):
            body = ok(door.get("Groups", params=params))
            assert (most + 1, expected) == (body["totalResults"], len(body["Resources"]))

        total = sum(len(page["Resources"]) for page in by_cursor(door, "Groups", count=most))
        assert most + 1 == total
        assert config["filter"]["maxResults"] >= most


# Pages by cursor --------------------------------------------------------------------------------------------------------


def by_cursor(door: httpx.Client, endpoint: str, **params: Any) -> Iterator[JSON]:
    """Walk all pages by cursor."""
    cursor = ""
    for _ in range(100):
        page = ok(door.get(endpoint, params={**params, "cursor": cursor}))
        yield page
        if "nextCursor" not in page:
            return
        cursor = page["nextCursor"]
    pytest.fail("the last page never comes")


@pytest.mark.parametrize("endpoint", ["Users", "Groups", ""])
@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 10])
def test_pages_by_cursor(directory: Directory, endpoint: str, count: int) -> None:
    """From the empty cursor on; nextCursor is absent on the last page alone and is URL-safe (RFC 9865 §2)."""
    expected = {"Users": set(PEOPLE), "Groups": set(TEAMS), "": {*PEOPLE, *TEAMS}}[endpoint]

    pages = list(by_cursor(directory.door, endpoint, count=count))

    seen = [directory.keys[each["id"]] for page in pages for each in page["Resources"]]
    assert sorted(expected) == sorted(seen)
    for at, page in enumerate(pages):
        assert len(expected) == page["totalResults"]
        assert len(page["Resources"]) == page["itemsPerPage"] <= count
        assert "startIndex" not in page
        assert ("nextCursor" in page) is (at < len(pages) - 1)
        assert re.fullmatch(r"[A-Za-z0-9._~-]+", page.get("nextCursor", "-"))
    if endpoint:
        assert (len(expected) + count - 1) // count == len(pages)


def test_cursor_follows_a_filter(directory: Directory) -> None:
    """The total and the pages are those of the filter (RFC 9865 §2)."""
    pages = list(by_cursor(directory.door, "Users", count=1, filter='userName co "contoso"'))

    assert [2, 2] == [page["totalResults"] for page in pages]
    assert {"anna", "bert"} == {directory.keys[page["Resources"][0]["id"]] for page in pages}


def test_cursor_without_count(directory: Directory) -> None:
    """The server sets the size of the page (RFC 9865 §2); a bare `cursor` is the empty one."""
    page = ok(directory.door.get("Users?cursor"))

    assert 5 == len(page["Resources"])
    assert "nextCursor" not in page


@pytest.mark.parametrize("count", [0, -1])
def test_cursor_with_count_of_zero(directory: Directory, count: int) -> None:
    """Nothing but the total; below 0 counts as 0 (RFC 9865 §2, table 1)."""
    page = ok(directory.door.get("Users", params={"cursor": "", "count": count}))

    assert (5, []) == (page["totalResults"], page["Resources"])


def test_count_of_a_cursor_is_a_number(directory: Directory) -> None:
    """400 invalidCount (RFC 9865 §2.1)."""
    refused(directory.door.get("Users", params={"cursor": "", "count": "many"}), 400, "invalidCount")


@pytest.mark.parametrize(
    "cursor", ["garbage", "e30", "W10", "WzEsMl0", "%00", "é", "a" * 5000, "User.x", "Group.W10", "X.", "."]
)
@pytest.mark.parametrize("endpoint", ["Users", "Groups", ""])
def test_invented_cursors_are_refused(directory: Directory, endpoint: str, cursor: str) -> None:
    """400 invalidCursor (RFC 9865 §2.1)."""
    refused(directory.door.get(endpoint, params={"cursor": cursor}), 400, "invalidCursor")


def test_cursor_belongs_to_its_query(directory: Directory) -> None:
    """With another filter, order or endpoint it is invalid (RFC 9865 §2: all parameters identical)."""
    door = directory.door
    cursor = ok(door.get("Users", params={"cursor": "", "count": 1, "filter": "title pr"}))["nextCursor"]
    same = {"cursor": cursor, "count": 1, "filter": "title pr"}
    ok(door.get("Users", params=same))

    for other in (
        {"filter": "userName pr"},
        {"filter": ""},
        {"sortBy": "title"},
        {"sortBy": "userName", "sortOrder": "descending"},
    ):
        refused(door.get("Users", params={**same, **other}), 400, "invalidCursor")
    refused(door.get("Groups", params={"cursor": cursor, "count": 1}), 400, "invalidCursor")


@pytest.mark.parametrize("count", [1, 5], ids=["within-a-type", "between-types"])
def test_cursor_over_all_types_belongs_to_its_query(directory: Directory, count: int) -> None:
    """So it does on the root, wherever the page ends (RFC 9865 §2)."""
    door = directory.door
    cursor = ok(door.get("", params={"cursor": "", "count": count, "filter": "id pr"}))["nextCursor"]
    ok(door.get("", params={"cursor": cursor, "count": count, "filter": "id pr"}))

    refused(door.get("", params={"cursor": cursor, "count": count, "filter": "displayName pr"}), 400, "invalidCursor")


def test_cursor_outlives_the_row_it_stands_at(server: Server) -> None:
    """Who was to come still comes, once, when others come and go in between (RFC 9865 §1)."""
    with client_of(f"{server.url}/scim/v2", new_customer(server.database_url)) as door:
        users = [new_user(door) for _ in range(6)]
        first = ok(door.get("Users", params={"cursor": "", "count": 3}))
        seen = [each["id"] for each in first["Resources"]]
        for gone in (seen[0], seen[-1]):
            ok(door.delete(f"Users/{gone}"), 204)
        ok(door.patch(f"Users/{seen[1]}", json={"Operations": [{"op": "add", "path": "title", "value": "x"}]}))

        rest = ok(door.get("Users", params={"cursor": first["nextCursor"], "count": 10}))

        assert id_set(users) - set(seen) == id_set(rest["Resources"])
        assert 4 == rest["totalResults"]


# Search by POST, and over everything --------------------------------------------------------------------------------------

QUERIES: list[JSON] = [
    {},
    {"filter": 'displayName sw "anna"'},
    {"filter": 'displayName co "e"', "sortBy": "displayName"},
    {"sortBy": "displayName", "sortOrder": "descending", "startIndex": 2, "count": 3},
    {"startIndex": 3, "count": 2},
    {"count": 0},
    {"attributes": ["displayName"]},
    {"attributes": ["displayName", "externalId"], "filter": "externalId pr"},
    {"excludedAttributes": ["members", "emails", "meta.version"]},
    {"cursor": "", "count": 2},
    {"cursor": "", "count": 2, "filter": "externalId pr"},
]


@pytest.mark.parametrize("query", QUERIES, ids=str)
@pytest.mark.parametrize("endpoint", ["Users", "Groups", ""])
def test_search_finds_what_get_finds(directory: Directory, endpoint: str, query: JSON) -> None:
    """POST /.search answers as GET with the same parameters does (RFC 7644 §3.4.3, RFC 9865 §3)."""
    params = {name: ",".join(value) if isinstance(value, list) else value for name, value in query.items()}
    expected = directory.door.get(endpoint, params=params)

    answer = directory.door.post(f"{endpoint}/.search".strip("/"), json={"schemas": [SEARCH_REQUEST], **query})

    assert resources(expected) == resources(answer)
    assert expected.json() == answer.json()


@pytest.mark.parametrize(
    "body",
    [
        {"schemas": [USER]},
        {"schemas": []},
        {"schemas": SEARCH_REQUEST},
        {"schemas": 5},
        {"schemas": [SEARCH_REQUEST], "filter": 5},
        {"schemas": [SEARCH_REQUEST], "count": "ten"},
        {"schemas": [SEARCH_REQUEST], "startIndex": [1]},
        {"schemas": [SEARCH_REQUEST], "startIndex": 1.5},
        {"schemas": [SEARCH_REQUEST], "attributes": 5},
        {"schemas": [SEARCH_REQUEST], "attributes": [5]},
        {"schemas": [SEARCH_REQUEST], "cursor": 5},
        {"schemas": [SEARCH_REQUEST], "sortBy": ["userName"]},
        {"schemas": [SEARCH_REQUEST], "sortBy": "userName", "sortOrder": "up"},
        {"schemas": [SEARCH_REQUEST], "attributes": ["userName"], "excludedAttributes": ["title"]},
    ],
    ids=str,
)
@pytest.mark.parametrize("endpoint", ["Users/.search", "Groups/.search", ".search"])
def test_search_needs_a_search_request(directory: Directory, endpoint: str, body: JSON) -> None:
    """400 for what is none (RFC 7644 §3.4.3)."""
    refused(directory.door.post(endpoint, json=body), 400, "invalidSyntax", "invalidValue")


ROOT: list[tuple[JSON, set[str]]] = [
    ({}, {*PEOPLE, *TEAMS}),
    ({"filter": 'displayName co "anna"'}, {"anna", "void"}),
    ({"filter": 'meta.resourceType eq "Group"'}, set(TEAMS)),
    ({"filter": 'meta.resourceType eq "User" or meta.resourceType eq "Group"'}, {*PEOPLE, *TEAMS}),
    # An attribute that a type does not have has no value there (RFC 7644 §3.4.2.1).
    ({"filter": "userName pr"}, set(PEOPLE)),
    ({"filter": 'userName eq "dora" or displayName eq "tours"'}, {"dora", "tours"}),
    ({"filter": "not (userName pr)"}, set(TEAMS)),
    ({"filter": "members pr and externalId pr"}, {"all", "sales"}),
    ({"filter": 'id eq "{sales}"'}, {"sales"}),
    ({"sortBy": "active"}, {*PEOPLE, *TEAMS}),
    ({"sortBy": "meta.created"}, {*PEOPLE, *TEAMS}),
    ({"sortBy": "emails.value"}, {*PEOPLE, *TEAMS}),
    ({"sortBy": "externalId", "sortOrder": "descending"}, {*PEOPLE, *TEAMS}),
]


@pytest.mark.parametrize(("params", "expected"), ROOT, ids=[str(each[0]) for each in ROOT])
def test_root_searches_all_types(directory: Directory, params: JSON, expected: set[str]) -> None:
    """GET on the root looks through users and groups (RFC 7644 §3.4.2.1)."""
    meant = {name: re.sub(r"\{(\w+)}", lambda key: directory.id_of[key[1]], value) for name, value in params.items()}

    answer = directory.door.get("", params=meant)

    found = [directory.keys[each] for each in ids(answer)]
    assert sorted(expected) == sorted(found)
    assert len(expected) == answer.json()["totalResults"]
    pages = [key for start in range(1, 10, 2) for key in directory.found("", **meant, startIndex=start, count=2)]
    assert found == pages


def test_root_sorts_across_types(directory: Directory) -> None:
    """One order over both, without a value last (RFC 7644 §3.4.2.3)."""
    expected = ["dora", "anna", "void", "bert", "carla", "emil", "all", "sales", "tours"]

    assert expected == directory.found("", sortBy="displayName")
    assert expected[::-1] == directory.found("", sortBy="displayName", sortOrder="descending")
    assert expected[3:5] == directory.found("", sortBy="displayName", startIndex=4, count=2)
    assert BY_NAME == directory.found("", sortBy="userName")[:5]


# HEAD -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["Users", "Groups?count=1", "", "Users/{anna}", "Users/nobody", "Schemas", "Nosuch"])
def test_head_is_get_without_a_body(directory: Directory, path: str) -> None:
    """Status and headers of GET, and nothing else (RFC 9110 §9.3.2)."""
    path = path.replace("{anna}", directory.id_of["anna"])
    headers = ("content-type", "content-length", "etag", "location")

    get, head = directory.door.get(path), directory.door.head(path)

    assert b"" == head.content
    assert get.status_code == head.status_code
    assert [get.headers.get(name) for name in headers] == [head.headers.get(name) for name in headers]


def test_parameters_count_in_any_case(directory: Directory, customer: Customer) -> None:
    """Entra and others spell them as they like; none of it leaks into another tenant's answers."""
    assert ["anna", "bert"] == directory.found("Users", SORTBY="userName", COUNT=2)
    assert customer.tenant_id not in directory.door.get("Users").text
