"""The filter compiler against two judges: a walk over the tree, and scim2-models; then sorting, paging and the parser.

Resources are stored over the core, on both databases, in a tenant of their own for every example; the ids are the same in
all of them, so that a filter that forgets the tenant is found out.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import hypothesis
import pytest
import scim2_models
from hypothesis import given
from hypothesis import strategies as st

from app_core import provisioning
from app_core.provisioning import GroupRecord
from app_core.work import Work
from scim_server import documents, filters, listing
from scim_server.errors import ScimError
from scim_server.filters import parse
from scim_server.listing import ALL, Query
from scim_server.schemas import GROUP, RESOURCE_TYPES, USER, EnterpriseUser, ResourceType
from tests.builders import ENTERPRISE_USER
from tests.builders import GROUP as GROUP_URN
from tests.builders import USER as USER_URN
from tests.scim_server import generated
from tests.scim_server.asked import (
    DATES,
    KEYS,
    OF_GROUPS,
    OF_USERS,
    Asked,
    Attribute,
    Compare,
    Hand,
    Has,
    HasAny,
    Joined,
    Kinds,
    Never,
    OneOf,
    asked_of,
    holds,
    nothing_of,
    ops_of,
    plain,
)
from tests.scim_server.conftest import Core, Directory
from tests.scim_server.generated import EXACT, EXTERNAL_IDS, JSON, STAMPS, TYPES, URIS, WORDS, examples, folded, texts
from tests.scim_server.stored import outcome

# A directory --------------------------------------------------------------------------------------------------------

USER_IDS = tuple(f"0193-u{n}" for n in range(6))
GROUP_IDS = tuple(f"0193-g{n}" for n in range(4))
IDS = (*USER_IDS, *GROUP_IDS)


@dataclass(frozen=True)
class Population:
    """What a directory holds, as a client sees it."""

    users: list[JSON]
    groups: list[JSON]


@st.composite
def populations(draw: st.DrawFn, most_users: int = 4) -> Population:
    """A few users and groups, who is in which, and when they were made and changed."""
    names = draw(st.lists(texts, min_size=1, max_size=most_users, unique_by=folded))
    people = [draw(generated.users(st.just(name))) for name in names]
    titles = draw(st.lists(texts, max_size=len(GROUP_IDS), unique_by=folded))
    keys = draw(
        st.lists(
            st.none() | st.sampled_from(EXTERNAL_IDS),
            min_size=len(titles),
            max_size=len(titles),
            unique_by=lambda key: (key and key.lower()) or object(),
        )
    )
    users = [{"id": key, **each, "meta": draw(metas("User"))} for key, each in zip(USER_IDS, people, strict=False)]
    groups: list[JSON] = []
    for key, title, external_id in zip(GROUP_IDS, titles, keys, strict=False):
        group: JSON = {"id": key, "displayName": title, "meta": draw(metas("Group", changed=False))}
        if external_id is not None:
            group["externalId"] = external_id
        members = [{"value": user["id"], "type": "User"} for user in users if draw(st.booleans())]
        members += [{"value": other["id"], "type": "Group"} for other in groups if draw(st.booleans())]
        if members:
            group["members"] = members
        groups.append(group)
    for user in users:
        user.setdefault("active", True)
        mine = [group for group in groups if {"value": user["id"], "type": "User"} in group.get("members", [])]
        if mine:
            user["groups"] = [
                {"value": group["id"], "display": group["displayName"], "type": "direct"} for group in mine
            ]
    return Population(users, groups)


@st.composite
def metas(draw: st.DrawFn, kind: str, *, changed: bool = True) -> JSON:
    created = draw(st.sampled_from(STAMPS))
    modified = (
        draw(st.just(created) | st.sampled_from([stamp for stamp in STAMPS if stamp >= created]))
        if changed
        else created
    )
    return {"resourceType": kind, "created": created, "lastModified": modified}


def attributes_of(resource: JSON) -> JSON:
    return {name: value for name, value in resource.items() if name not in ("id", "meta", "groups")}


def store(directory: Directory, population: Population) -> None:
    """Put a population in place, each resource at its own time; those that changed were something else before."""
    for user in population.users:
        directory.write(partial(create_user, user=user), now=user["meta"]["created"])
    for group in population.groups:
        directory.write(partial(create_group, group=group), now=group["meta"]["created"])
    for user in population.users:
        if user["meta"]["lastModified"] != user["meta"]["created"]:
            directory.write(partial(change_user, user=user), now=user["meta"]["lastModified"])


def create_user(work: Work, user: JSON) -> None:
    before = {"userName": user["userName"], "title": "before", "emails": [{"value": "before@contoso.com"}]}
    changed = user["meta"]["lastModified"] != user["meta"]["created"]
    accepted = documents.accept(USER, before if changed else attributes_of(user))
    provisioning.create_user(work, documents.record_of(accepted.resource, active=True), user_id=user["id"])


def change_user(work: Work, user: JSON) -> None:
    record = documents.record_of(documents.accept(USER, attributes_of(user)).resource, active=True)
    provisioning.save_user(work, provisioning.lock_user(work, user["id"]), record)


def create_group(work: Work, group: JSON) -> None:
    record = GroupRecord(group["displayName"], group.get("externalId"))
    members = [member["value"] for member in group.get("members", [])]
    provisioning.create_group(work, record, members, group_id=group["id"])


def query(text: str | None = None, **changes: Any) -> Query:
    asked = Query(None if text is None else parse(text), None, False, 1, 1000, None, ALL)
    return replace(asked, **changes)


def found(directory: Directory, resource_type: ResourceType, asked: Query) -> listing.Found:
    return directory.read(lambda work: listing.find(work, resource_type, asked))


def ids(rows: Sequence[Sequence[Any]]) -> list[str]:
    return [row[0] for row in rows]


# Filters ------------------------------------------------------------------------------------------------------------

OracleUser = scim2_models.User[EnterpriseUser]


def library_resource(resource_type: ResourceType, resource: JSON) -> Any:
    """Build what scim2-models evaluates; there, a `primary` that was never said is false too."""
    if resource_type is GROUP:
        return scim2_models.Group.model_validate({"schemas": [GROUP_URN], **resource})
    body: JSON = {"schemas": [USER_URN, ENTERPRISE_USER]}
    for name, value in resource.items():
        if name in generated.multi_valued:
            body[name] = [{"primary": False, **element} for element in value]
        elif not name.startswith("urn:contoso"):
            body[name] = value
    return OracleUser.model_validate(body)


def library_says(resource_type: ResourceType, asked: Asked, resources: Sequence[Any]) -> list[str] | None:
    """Give the ids that scim2-models finds, or None where it means something else, or refuses."""
    if differs(asked):
        return None
    model: Any = OracleUser if resource_type is USER else scim2_models.Group
    bound: Any = scim2_models.ScimFilter.__class_getitem__(model)
    try:
        wanted = bound(plain(resource_type.urn).write(asked))
        return [each.id for each in resources if wanted.match(each)]
    except scim2_models.InvalidFilterException:
        return None  # an e-mail address, a URI or a date that is none


def differs(asked: Asked) -> bool:
    """Say whether scim2-models has another opinion: about object ids, base64, accents in exact values, presence."""
    match asked:
        case Joined(_, parts):
            return any(differs(part) for part in parts)
        case Never(inner):
            return differs(inner)
        case OneOf(_, inner, then):
            return differs(inner) or (then is not None and differs(then))
        case Has(attribute):
            return attribute.kind == "boolean" and attribute.multi_valued
        case HasAny():
            return False
        case Compare(attribute, _, value):
            decomposed = isinstance(value, str) and not unicodedata.is_normalized("NFC", value)
            zone_missing = attribute.kind == "date" and str(value) in ("2026-11-24T18:27:59.123", "2026-11-24")
            return (
                (attribute.kind == "exact" and decomposed)
                or attribute.kind == "externalId"
                or attribute.name == "x509Certificates"
                or zone_missing
            )


JUDGED = {"users": (USER, OF_USERS), "groups": (GROUP, OF_GROUPS)}


@pytest.mark.parametrize("kind", JUDGED)
def test_a_filter_finds_exactly_what_it_says(core: Core, kind: str) -> None:
    """Of generated resources, SQL finds the same as a walk over the tree in Python, and as scim2-models."""
    resource_type, kinds = JUDGED[kind]
    judged_by_library = 0

    @examples(20)
    @given(population=populations(), data=st.data())
    def judge(population: Population, data: st.DataObject) -> None:
        nonlocal judged_by_library
        directory = core.directory()
        store(directory, population)
        resources: list[JSON] = getattr(population, kind)
        of_library = [library_resource(resource_type, each) for each in resources]
        for _ in range(10):
            asked = data.draw(asked_of(kinds, IDS))
            text = written(kinds, asked, data)
            hypothesis.note(text)

            expected = [each["id"] for each in resources if holds(asked, each)]
            answer = found(directory, resource_type, query(text))
            assert expected == ids(answer.rows)
            assert len(expected) == answer.total

            other = library_says(resource_type, asked, of_library)
            judged_by_library += other is not None
            assert other in (None, expected), "scim2-models and the walk disagree"

    judge()

    assert judged_by_library > 50


def written(kinds: Kinds, asked: Asked, data: st.DataObject) -> str:
    """Write a filter in a hand chosen by chance."""
    chance = data.draw(st.randoms(use_true_random=False))
    return Hand(kinds.urn, chance.randrange).write(asked)


@examples(12)
@given(population=populations(3), data=st.data())
def test_a_filter_over_all_types_is_false_where_a_type_lacks_the_attribute(
    core: Core, population: Population, data: st.DataObject
) -> None:
    """On the root, `title eq "x"` is false for groups and `not (title eq "x")` true (RFC 7644 §3.4.2.1)."""
    directory = core.directory()
    store(directory, population)
    attribute = data.draw(
        st.sampled_from([each for each in OF_USERS.single if each.name in ("title", "userName", "nickName")])
    )
    asked: Asked = Compare(attribute, "eq", data.draw(texts))
    if data.draw(st.booleans()):
        asked = Never(asked)
    text = plain(USER_URN).write(asked)

    for kind, (resource_type, _) in JUDGED.items():
        expected = [each["id"] for each in getattr(population, kind) if holds(asked, each)]
        answer = directory.read(partial(listing.rows, resource_type=resource_type, query=query(text)))
        assert expected == ids(answer.rows)


def everybody() -> Population:
    """A person for every word, with the others of a pool in turn; every seventh has nothing but a name."""

    def turn(pool: Sequence[str], n: int) -> str:
        return pool[n % len(pool)]

    people: list[JSON] = []
    for n, word in enumerate(WORDS):
        taken = folded(word) in {folded(person["userName"]) for person in people}
        stamps = {"created": min(STAMPS), "lastModified": turn(STAMPS, n)}
        person: JSON = {
            "id": f"0193-u{n:02}",
            "userName": f"{word} {n}" if taken else word,
            "meta": {"resourceType": "User", **stamps},
        }
        people.append(person)
        if n % 7 == 6:
            continue
        person |= {
            "title": word,
            "displayName": turn(WORDS, 3 * n + 1),
            "externalId": turn(EXTERNAL_IDS, n),
            "active": bool(n % 3),
            "profileUrl": turn(URIS, n),
            "name": {"familyName": turn(WORDS, 5 * n)},
            "phoneNumbers": [
                {"value": word, "type": turn(TYPES, n)},
                {"value": turn(WORDS, n + 9), "type": turn(TYPES, n + 1), "primary": bool(n % 2)},
            ],
            "roles": [{"display": word, "primary": bool(n % 2)}, {"value": turn(WORDS, n + 5)}][: 1 + n % 2],
            "photos": [{"value": turn(URIS, n)}],
            ENTERPRISE_USER: {"department": turn(WORDS, 11 * n), "manager": {"value": turn(EXACT, n)}},
        }
    for person in people:
        person.setdefault("active", True)
    return Population(people, [])


ASKED = {
    *("title", "userName", "displayName", "externalId", "active", "profileUrl", "name.familyName", "meta.lastModified"),
    *("phoneNumbers.value", "phoneNumbers.type", "phoneNumbers.primary", "roles.display", "photos.value"),
    *(f"{ENTERPRISE_USER}:department", f"{ENTERPRISE_USER}:manager.value"),
}


def test_every_operator_on_every_kind_of_attribute(core: Core) -> None:
    """One by one, and inside brackets: each operator with each word, in capitals and in part, there and not there."""
    directory, population = core.directory(), everybody()
    store(directory, population)
    questions = [
        question
        for attribute in (*OF_USERS.single, *OF_USERS.multi)
        if attribute.path in ASKED and not attribute.implied
        for question in questions_about(attribute)
    ]

    def wrong(work: Work) -> list[tuple[str, list[str], list[str]]]:
        found = []
        for question in questions:
            text = plain(USER_URN).write(question)
            expected = [person["id"] for person in population.users if holds(question, person)]
            actual = ids(listing.find(work, USER, query(text)).rows)
            if expected != actual:
                found.append((text, expected, actual))
        return found

    assert len(questions) > 3000
    assert [] == directory.read(wrong)[:5]


def questions_about(attribute: Attribute) -> Iterator[Asked]:
    """Ask everything of an attribute that its kind allows."""
    pools: dict[str, tuple[Any, ...]] = {
        "boolean": (True, False),
        "date": DATES,
        "externalId": EXTERNAL_IDS,
        "exact": EXACT,
    }
    values = pools.get(attribute.kind, TYPES if attribute.sub == "type" else WORDS)
    if attribute.kind not in ("boolean", "date"):
        values = tuple(
            dict.fromkeys([*values, *(value.upper() for value in values), *(value[-1] for value in values), ""])
        )
    comparisons = [Compare(attribute, op, value) for op in ops_of(attribute) for value in values]
    leaves: list[Compare | Has] = [Has(attribute), *comparisons, *nothing_of(attribute)]
    for asked in leaves:
        yield asked
        yield Never(asked)
        if attribute.multi_valued and not (isinstance(asked, Compare) and asked.op in ("sw", "ew", "gt", "le")):
            yield OneOf(attribute.name, asked)


@pytest.mark.parametrize("name", ["roles", "phoneNumbers", "photos", "x509Certificates"])
def test_a_long_value_is_found_like_a_short_one(core: Core, name: str) -> None:
    """Longer than an index can hold, and alike but for the end."""
    directory = core.directory()
    longs = [f"{'Yé' * 1500}{end}" for end in ("A", "a", "B")]
    people = [
        {
            "id": key,
            "userName": key,
            name: [{"value": value}],
            "meta": {"created": STAMPS[0], "lastModified": STAMPS[0]},
        }
        for key, value in zip(USER_IDS, longs, strict=False)
    ]
    store(directory, Population(people, []))
    (attribute,) = (each for each in OF_USERS.multi if each.name == name and each.sub == "value" and not each.implied)

    for op in ("eq", "ne", "sw", "ew", "co"):
        for value in (longs[0], longs[0].lower(), longs[0][:-1], "A", "Yé"):
            compare = Compare(attribute, op, value)
            for asked in (compare, Never(compare), OneOf(name, compare), OneOf(name, Never(compare))):
                expected = [person["id"] for person in people if holds(asked, person)]
                assert expected == ids(found(directory, USER, query(plain(USER_URN).write(asked))).rows)


REFUSED = [
    *('unknown eq "x"', "unknown pr", 'emails.unknown eq "x"', 'emails[unknown eq "x"]', 'userName.x eq "y"'),
    *('name eq "x"', 'addresses eq "x"', 'name[givenName eq "x"]', 'emails.value[type eq "work"]'),
    *('title. eq "x"', "emails. pr", 'urn:ietf:params:scim:schemas:core:2.0:Group:displayName eq "x"'),
    *(f'{ENTERPRISE_USER} eq "x"', f"{ENTERPRISE_USER}:unknown pr"),
    *(
        'emails[emails[type eq "work"]]',
        'emails[type eq "work"][value eq "x"]',
        'emails[type eq "work"].unknown eq "x"',
    ),
    *(
        "password pr",
        'password eq "x"',
        "schemas pr",
        'meta.location eq "x"',
        'meta.version eq "x"',
        'groups.$ref eq "x"',
    ),
    *(f"active {op} true" for op in ("co", "sw", "ew", "gt", "ge", "lt", "le")),
    *(f"active {op} null" for op in ("co", "sw", "ew", "gt", "ge", "lt", "le")),
    *(f"emails[primary {op} null]" for op in ("co", "gt")),
    *('active eq "yes"', "active eq 1", 'emails[primary eq "x"]', "emails.primary gt true"),
    *('meta.created co "2026"', 'meta.created sw "2026"', 'meta.created eq "yesterday"', "meta.created gt true"),
    *("title gt null", "emails co null", 'x509Certificates gt "YQ=="'),
]


@pytest.mark.parametrize("text", REFUSED)
def test_what_cannot_be_filtered_by_is_refused(core: Core, text: str) -> None:
    """Unknown attributes, complex ones, operators that a type does not have: 400 invalidFilter, also inside or."""
    directory = core.directory()

    for asked in (text, f'userName eq "x" or not ({text})'):
        with pytest.raises(ScimError) as refused:
            found(directory, USER, query(asked))

        assert (400, "invalidFilter") == (refused.value.status, refused.value.scim_type)


# The parser ---------------------------------------------------------------------------------------------------------

TOKENS = st.sampled_from(
    [
        *(
            "userName",
            "emails",
            "emails.value",
            "type",
            "active",
            "meta.created",
            "urn:x:y:z",
            "$ref",
            ".value",
            "a..b",
            "[",
            "]",
            "(",
            ")",
        ),
        *(
            "eq",
            "NE",
            "co",
            "gt",
            "pr",
            "and",
            "OR",
            "not",
            "true",
            "null",
            "12",
            "-1.5e3",
            '"x"',
            '"\\""',
            '"\\u00e9"',
            '"',
            "\\",
            "é",
            "",
        ),
    ]
)


@examples(250)
@given(st.text(max_size=40) | st.lists(TOKENS, max_size=14).map(" ".join) | st.lists(TOKENS, max_size=10).map("".join))
def test_any_text_is_read_or_refused_as_a_filter(text: str) -> None:
    """Whatever stands in `filter` ends in a tree whose SQL can be made, or in 400 invalidFilter."""
    for resource_type in RESOURCE_TYPES:
        made = outcome(partial(parameters, resource_type, text))
        if isinstance(made, ScimError):
            assert (400, "invalidFilter") == (made.status, made.scim_type)
            assert made.body()


def parameters(resource_type: ResourceType, text: str) -> JSON:
    """Read a filter, make its SQL, and give what is bound to it."""
    wanted = parse(text)
    return filters.compiled(resource_type, wanted.tree).params(wanted.literals)


@examples(60)
@given(data=st.data(), asked=asked_of(OF_USERS, IDS))
def test_equal_shapes_are_equal_trees_with_the_literals_aside(data: st.DataObject, asked: Asked) -> None:
    """However it is spaced, and whatever its texts: the same shape is the same tree, which keys the prepared statement."""
    hand = plain(USER_URN)
    one = parse(hand.write(asked))
    text = hand.write(data.draw(st.just(asked) | st.builds(with_other_texts, st.just(asked), texts)))
    other = parse(re.sub(r" (eq|pr)(?= |\)|\]|$)", lambda found: f" \t{found[1].title()} ", f" {text}"))

    assert one.tree == other.tree
    assert hash(one.tree) == hash(other.tree)
    assert literals_of(asked) == list(one.literals)
    assert one.tree != parse(hand.write(Never(asked))).tree


def with_other_texts(asked: Asked, text: str) -> Asked:
    match asked:
        case Compare(attribute, op, str(_)):
            return Compare(attribute, op, text)
        case Never(inner):
            return Never(with_other_texts(inner, text))
        case Joined(op, parts):
            return Joined(op, tuple(with_other_texts(part, text) for part in parts))
        case OneOf(name, inner, then):
            changed = None if then is None else with_other_texts(then, text)
            assert changed is None or isinstance(changed, Compare | Has)
            return OneOf(name, with_other_texts(inner, text), changed)
        case _:
            return asked


def literals_of(asked: Asked) -> list[str]:
    match asked:
        case Compare(_, _, value):
            return [value if isinstance(value, str) else "null" if value is None else str(value).lower()]
        case Never(inner):
            return literals_of(inner)
        case Joined(_, parts):
            return [literal for part in parts for literal in literals_of(part)]
        case OneOf(_, inner, then):
            return literals_of(inner) + ([] if then is None else literals_of(then))
        case _:
            return []


def test_the_deepest_filter_that_is_read_also_runs(core: Core) -> None:
    """At the limits of depth, terms and length both databases still answer; one beyond is refused."""
    directory = core.directory()
    deep = "not (" * (filters.MAX_DEPTH - 1) + "title pr" + ")" * (filters.MAX_DEPTH - 1)
    broad = " or ".join(f'emails[type eq "{n}" and value co "x"]' for n in range(filters.MAX_TERMS // 3))
    long = f'title eq "{"é" * (filters.MAX_LENGTH - 11)}"'

    for text in (deep, broad, long):
        assert 0 <= found(directory, USER, query(text)).total
    for beyond in (f"not ({deep})", f"{broad} or title pr", f"{long} ", "(" * 8000, "a[" * 4000, "not(" * 2000):
        with pytest.raises(ScimError) as refused:
            parse(beyond)
        assert "invalidFilter" == refused.value.scim_type


@pytest.mark.parametrize(
    "text", ["", " ", 'title eq "a\\u0000b"', "title eq \0", '"title" eq "a"', "title eq", "title"]
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    """Empty, cut off, or with a character that PostgreSQL cannot hold."""
    with pytest.raises(ScimError):
        parse(text)


def test_a_literal_that_is_not_quoted_keeps_its_case() -> None:
    """`externalId eq TRUE` is compared as it was written: the attribute is exact."""
    assert ("TRUE",) == parse("externalId eq TRUE").literals


# Order and pages ----------------------------------------------------------------------------------------------------


def sort_value(attribute: Attribute, resource: JSON) -> str | None:
    """Give what a resource is sorted by: of several values the primary one, or else the first."""
    if attribute.multi_valued:
        elements = attribute.elements(resource)
        if not elements:
            return None
        chosen = next((each for each in elements if each.get("primary")), elements[0])
        held = chosen.get(str(attribute.sub), False if attribute.kind == "boolean" else None)
    else:
        held = attribute.of(resource)
    if held is None or attribute.kind == "date":
        return held
    return str(held).lower() if attribute.kind == "boolean" else str(KEYS[attribute.kind](held))


def in_order(attribute: Attribute | None, resources: Sequence[JSON], *, descending: bool) -> list[JSON]:
    """Sort: what has no value comes last when ascending and first when descending; equals by id, always ascending."""
    by_id = sorted(resources, key=lambda each: each["id"])
    if attribute is None:
        return by_id

    def key(each: JSON) -> tuple[bool, str]:
        value = sort_value(attribute, each)
        return value is None, value or ""

    return sorted(by_id, key=key, reverse=descending)


def sortable(kinds: Kinds) -> st.SearchStrategy[Attribute | None]:
    multi = [each for each in kinds.multi if each.name not in ("groups", "members")]
    return st.none() | st.sampled_from([*kinds.single, *multi])


def by_index(directory: Directory, resource_type: ResourceType, asked: Query) -> list[str]:
    """Read all pages by index."""
    seen: list[str] = []
    while True:
        page = found(directory, resource_type, replace(asked, start=len(seen) + 1))
        seen += ids(page.rows)
        if len(seen) >= page.total or not page.rows:
            return seen


def by_cursor(
    directory: Directory,
    resource_type: ResourceType,
    asked: Query,
    between: Callable[[list[str]], None] = lambda _: None,
) -> list[str]:
    """Read all pages by cursor; `between` happens after each, and is told what has been seen."""
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = found(directory, resource_type, replace(asked, cursor=cursor))
        assert len(page.rows) == asked.count or page.next_cursor is None
        seen += ids(page.rows)
        assert len(set(seen)) == len(seen), "a resource comes twice"
        cursor = page.next_cursor
        between(seen)
    return seen


def test_everything_that_has_an_order_is_paged_in_it(core: Core) -> None:
    """Everybody, by each attribute, up and down: the pages join to Python's own order."""
    directory, population = core.directory(), everybody()
    store(directory, population)
    attributes = [each for each in (*OF_USERS.single, *OF_USERS.multi) if each.name != "groups"]

    for attribute in attributes:
        for descending in (False, True):
            wanted = query(sort_by=attribute.path, descending=descending, count=5)
            expected = [each["id"] for each in in_order(attribute, population.users, descending=descending)]
            assert expected == by_cursor(directory, USER, wanted), wanted
            if attribute.path in ASKED:
                assert expected == by_index(directory, USER, wanted), wanted


@pytest.mark.parametrize("kind", JUDGED)
def test_pages_visit_every_resource_once_in_order(core: Core, kind: str) -> None:
    """Sorted by anything, either way, filtered or not: pages by index and by cursor join to Python's own order."""
    resource_type, kinds = JUDGED[kind]

    @examples(12)
    @given(population=populations(), data=st.data())
    def judge(population: Population, data: st.DataObject) -> None:
        directory = core.directory()
        store(directory, population)
        resources: list[JSON] = getattr(population, kind)
        for _ in range(6):
            attribute = data.draw(sortable(kinds))
            descending = data.draw(st.booleans())
            asked = data.draw(st.none() | asked_of(kinds, IDS))
            hand = Hand(kinds.urn, data.draw(st.randoms(use_true_random=False)).randrange)
            wanted = query(
                None if asked is None else hand.write(asked),
                sort_by=None if attribute is None else hand.path(attribute.path),
                descending=descending,
                count=data.draw(st.integers(1, 4)),
            )
            hypothesis.note(str(wanted))

            chosen = [each for each in resources if asked is None or holds(asked, each)]
            expected = ids([(each["id"],) for each in in_order(attribute, chosen, descending=descending)])
            assert expected == by_index(directory, resource_type, wanted)
            assert expected == by_cursor(directory, resource_type, wanted)

    judge()


@examples(12)
@given(population=populations(), data=st.data())
def test_a_cursor_holds_its_place_while_rows_come_and_go_behind_it(
    core: Core, population: Population, data: st.DataObject
) -> None:
    """What was visited may be deleted, the cursor's own row too, and new rows may come before it: the rest is exact."""
    directory = core.directory()
    store(directory, population)
    unique = ("id", "userName", "externalId")
    attribute = data.draw(sortable(OF_USERS).filter(lambda each: each is None or each.name not in unique))
    descending = data.draw(st.booleans())
    users = in_order(attribute, population.users, descending=descending)
    twins = 0

    def come_and_go(seen: list[str]) -> None:
        nonlocal twins
        for key in seen:
            if key not in deleted and data.draw(st.booleans()):
                # Before it goes, somebody comes who is sorted right in front of it.
                twins += 1
                original = next(user for user in users if user["id"] == key)
                twin = {**original, "id": f"0193-a{twins:04}", "userName": f"twin {twins}"}
                store(directory, Population([twin], []))
                directory.write(partial(provisioning.delete_user, user_id=key))
                deleted.add(key)

    deleted: set[str] = set()
    wanted = query(
        sort_by=None if attribute is None else attribute.path, descending=descending, count=data.draw(st.integers(1, 3))
    )

    seen = by_cursor(directory, USER, wanted, come_and_go)

    assert [user["id"] for user in users] == seen


@pytest.mark.parametrize(
    "path", ["name", "addresses", "groups", "schemas", "password", "meta", "meta.version", "unknown", "emails.x"]
)
def test_what_has_no_order_is_refused(core: Core, path: str) -> None:
    """Complex attributes, what is not stored by resource, and what does not exist: 400 invalidPath."""
    with pytest.raises(ScimError) as refused:
        found(core.directory(), USER, query(sort_by=path))

    assert (400, "invalidPath") == (refused.value.status, refused.value.scim_type)


@examples(200)
@given(text=st.text(max_size=30) | st.binary(max_size=30).map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_a_cursor_of_our_making_is_the_only_one(text: str) -> None:
    """Anything else that stands in `cursor` is 400 invalidCursor."""
    hypothesis.assume(text)

    refusal = outcome(lambda: listing._read_cursor(text, 1))

    assert isinstance(refusal, ScimError)
    assert (400, "invalidCursor") == (refusal.status, refusal.scim_type)


@examples(100)
@given(
    last=texts,
    value=st.none() | texts,
    one=st.integers(0, 2**32 - 1),
    other=st.integers(0, 2**32 - 1),
)
def test_a_cursor_gives_back_its_place_to_its_own_query_only(
    last: str, value: str | None, one: int, other: int
) -> None:
    """Filter, order and direction are part of it."""
    cursor = listing._write_cursor(last, value, one)

    assert (last, value) == listing._read_cursor(cursor, one)
    if one != other:
        with pytest.raises(ScimError):
            listing._read_cursor(cursor, other)
