"""Graph's JSON → typed values → SCIM: nothing invented, nothing lost, missing and null kept apart, junk harmless."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app_core.fields import directory_values
from app_core.resource import ENTERPRISE_USER
from graph_fallback.pages import USER_PROPERTIES
from graph_fallback.payloads import (
    BY_PATH,
    PLACES,
    UNSET,
    USER_TEXTS,
    Change,
    GraphGroup,
    GraphMember,
    GraphUser,
    ManagerDelta,
    MemberDelta,
    MemberKind,
    Removed,
    applied,
    changes,
    groups_of,
    is_tombstone,
    members_in,
    object_id,
    scim_resource,
    users_of,
)
from scim_server.documents import accept
from scim_server.schemas import USER

ID = "25dcffff-959e-4ece-9973-e5d9b800e8cc"
ONE, TWO, THREE = (f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2, 3))
FULL = {
    "id": ID,
    "userPrincipalName": "lidia@contoso.com",
    "displayName": "Lidia Holloway",
    "givenName": "Lidia",
    "surname": "Holloway",
    "mail": "Lidia.Holloway@contoso.com",
    "jobTitle": "Product Manager",
    "department": "Engineering",
    "companyName": "Contoso",
    "employeeId": "4711",
    "officeLocation": "20/2107",
    "businessPhones": ["+1 918 555 0107"],
    "mobilePhone": "+19185550108",
    "faxNumber": "+19185550109",
    "streetAddress": "7633 E. 63rd Place\nSuite 300",
    "city": "Tulsa",
    "state": "OK",
    "postalCode": "74133",
    "country": "United States",
    "preferredLanguage": "en-US",
    "accountEnabled": True,
    "mailNickname": "lidia",
    "userType": "Member",
}


def a_graph_user(**properties: Any) -> GraphUser:
    user = GraphUser.parse({**FULL, **properties})
    assert user is not None
    return user


def a_delta(**properties: Any) -> GraphUser:
    user = GraphUser.parse({"id": ID, **properties})
    assert user is not None
    return user


# Users --------------------------------------------------------------------------------------------------------------


def test_every_property_is_read() -> None:
    """What is asked for by `$select` has a field, and each field reads its own property."""
    asked = set(USER_PROPERTIES.split(","))
    user = a_graph_user()

    assert asked == {"id", "businessPhones", "accountEnabled", *USER_TEXTS.values()}
    assert all(FULL[graph_name] == getattr(user, name) for name, graph_name in USER_TEXTS.items())
    assert (ID, None, "+1 918 555 0107", True) == (user.id, user.removed, user.business_phone, user.account_enabled)
    assert frozenset() == user.unread


def test_missing_is_not_null() -> None:
    """A key that is missing says nothing; null says that there is none (entra.md §8.3)."""
    user = a_delta(jobTitle=None, businessPhones=[], manager=None)

    assert (None, None, None) == (user.job_title, user.business_phone, user.manager)
    assert UNSET is user.department is user.mobile_phone is user.account_enabled


@pytest.mark.parametrize(
    ("reason", "removed"),
    [
        ({"reason": "changed"}, Removed.CHANGED),
        ({"reason": "deleted"}, Removed.DELETED),
        ({"reason": "vanished"}, Removed.CHANGED),
        ({}, Removed.CHANGED),
        (None, Removed.CHANGED),
        ("deleted", Removed.CHANGED),
    ],
)
def test_why_somebody_is_gone(reason: Any, removed: Removed) -> None:
    """Soft-deleted or gone for good; what cannot be read is the one that can be undone."""
    user = a_delta(**{"@removed": reason})

    assert (removed, True) == (user.removed, user.gone)


@pytest.mark.parametrize(
    ("value", "phone"),
    [
        (["+1"], "+1"),
        (["", "+2"], "+2"),
        ([None, "+3"], "+3"),
        ("+4", "+4"),
        ([], None),
        (None, None),
        ("", None),
        ([""], None),
        (5, UNSET),
        ([5], UNSET),
        ([["+1"]], UNSET),
        ({"value": "+1"}, UNSET),
    ],
)
def test_the_business_phone(value: Any, phone: Any) -> None:
    """Graph has a list of at most one; what is no list of texts says nothing."""
    user = a_delta(businessPhones=value)

    assert phone == user.business_phone
    assert (phone is UNSET) == ("business_phone" in user.unread)


@pytest.mark.parametrize("junk", [5, 1.5, True, [], ["x"], {}, {"a": 1}, "a\0b"])
def test_junk_neither_writes_nor_clears(junk: Any) -> None:
    """A value of another type is as if it were not there, in a delta and in a complete listing."""
    user = a_delta(jobTitle=junk, surname=junk)
    stored = scim_resource(a_graph_user())

    assert UNSET is user.job_title
    assert {"job_title", "surname"} == user.unread
    assert not {"title", "name.familyName"} & set(changes(user, stored))
    assert not {"title", "name.familyName"} & set(changes(user, stored, complete=True))
    assert "Holloway" in changes(user, stored, complete=True)["name.formatted"]  # type: ignore[operator]


@pytest.mark.parametrize("raw", [{}, {"id": None}, {"id": ""}, {"id": " "}, {"id": 5}, {"id": ["x"]}])
def test_what_has_no_id_is_nobody(raw: dict[str, Any]) -> None:
    """Nothing is made of it."""
    assert GraphUser.parse(raw) is None
    assert GraphGroup.parse(raw) is None
    assert GraphMember.parse(raw) is None
    assert ([], []) == (users_of([raw]), groups_of([raw]))


def test_object_ids_are_compared_in_lower_case() -> None:
    """The digits of a GUID are one in either case; anything else is as it is."""
    assert ID == object_id(ID.upper())
    assert "NotAGuid" == object_id("NotAGuid")


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        ({"manager@delta": [{"@odata.type": "#microsoft.graph.user", "id": ONE}]}, ManagerDelta(ONE)),
        ({"manager@delta": [{"id": ONE, "@removed": {"reason": "deleted"}}]}, ManagerDelta(None, frozenset({ONE}))),
        (
            {"manager@delta": [{"id": TWO}, {"id": ONE, "@removed": {"reason": "deleted"}}]},
            ManagerDelta(TWO, frozenset({ONE})),
        ),
        (
            {"manager@delta": [{"id": ONE, "@removed": {"reason": "deleted"}}, {"id": TWO}]},
            ManagerDelta(TWO, frozenset({ONE})),
        ),
        ({"manager": {"id": ONE.upper()}}, ManagerDelta(ONE)),
        ({"manager": None}, None),
        ({"manager@delta": []}, UNSET),
        ({"manager@delta": "x"}, UNSET),
        ({"manager": "x"}, UNSET),
        ({"manager": {}}, UNSET),
        ({}, UNSET),
    ],
)
def test_the_manager(annotation: dict[str, Any], expected: Any) -> None:
    """A change comes as farewell and welcome in any order; an expanded manager as an object."""
    assert expected == a_delta(**annotation).manager


def test_a_manager_is_settled_with_what_is_known() -> None:
    """A farewell to somebody else changes nothing; a new manager counts whatever was."""
    assert TWO == ManagerDelta(TWO, frozenset({ONE})).after(ONE)
    assert None is ManagerDelta(None, frozenset({ONE})).after(ONE)
    assert TWO == ManagerDelta(None, frozenset({ONE})).after(TWO)
    assert None is ManagerDelta(None, frozenset({ONE})).after(None)


# Groups and members -------------------------------------------------------------------------------------------------


def member(key: str, kind: str | None = "user", *, gone: bool = False) -> dict[str, Any]:
    named = {} if kind is None else {"@odata.type": f"#microsoft.graph.{kind}"}
    return {**named, "id": key, **({"@removed": {"reason": "deleted"}} if gone else {})}


def test_a_group_of_the_documentation() -> None:
    """The sample of entra.md §8.4: one who left, one who came. The first id is no GUID, as printed there."""
    (group,) = groups_of(
        [
            {
                "displayName": "TestGroup3",
                "description": "A test group for change tracking",
                "id": "2e5807ce-58f3-4a94-9b37-ffff2e085957",
                "members@delta": [
                    member("632f6bb2-3ec8-4c1f-9073-0027a8c6859", gone=True),
                    member("37de1ae3-408f-4702-8636-20824abda004"),
                ],
            }
        ]
    )

    assert ("TestGroup3", None) == (group.display_name, group.removed)
    assert isinstance(group.members, MemberDelta)
    assert (
        Change(
            frozenset({"37de1ae3-408f-4702-8636-20824abda004"}),
            frozenset({"632f6bb2-3ec8-4c1f-9073-0027a8c6859"}),
        )
        == group.members.users
    )


def test_other_members_are_kept_apart() -> None:
    """Groups are nested, devices and contacts are nothing to us; one without a type is known by its id."""
    found = members_in(
        [
            member(ONE),
            member(TWO, "group"),
            member(THREE, "device", gone=True),
            member("x", "servicePrincipal"),
            member("y", None),
            member("z", None, gone=True),
            "junk",
            {"id": None},
        ]
    )

    assert Change(frozenset({ONE, "y"}), frozenset({"z"})) == found.users
    assert Change(frozenset({TWO, "y"}), frozenset({"z"})) == found.groups
    assert Change(frozenset({"x"}), frozenset({THREE})) == found.others


def test_a_removed_member_is_not_a_removed_user() -> None:
    """Inside `members@delta`, "deleted" means the membership (entra.md §8.4)."""
    entry = GraphMember.parse(member(ONE, gone=True))

    assert GraphMember(ONE, MemberKind.USER, removed=True) == entry


def test_slices_of_a_group_are_one() -> None:
    """A large group comes again and again with other members; the last word on each of them counts."""
    (group,) = groups_of(
        [
            {"id": ONE, "displayName": "Sales", "members@delta": [member("a"), member("b")]},
            {"id": ONE.upper(), "members@delta": [member("a", gone=True), member("c")]},
            {"id": ONE, "displayName": "Sales EMEA", "description": None},
        ]
    )

    assert ("Sales EMEA", None) == (group.display_name, group.description)
    assert isinstance(group.members, MemberDelta)
    assert Change(frozenset({"b", "c"}), frozenset({"a"})) == group.members.users


def test_a_group_that_comes_back_is_there() -> None:
    """Of a deletion and a restoration in one page the last one counts."""
    gone, back = {"id": ONE, "@removed": {"reason": "changed"}}, {"id": ONE, "displayName": "Sales"}

    assert [Removed.CHANGED] == [group.removed for group in groups_of([back, gone])]
    assert [None] == [group.removed for group in groups_of([gone, back])]


def test_a_group_without_members_says_nothing_of_them() -> None:
    """A rename does not touch members."""
    (group,) = groups_of([{"id": ONE, "displayName": "Sales", "members@delta": "junk"}])

    assert UNSET is group.members


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        ({"groupTypes": ["Unified"], "mailEnabled": True, "securityEnabled": False}, "microsoft365"),
        ({"groupTypes": [], "mailEnabled": False, "securityEnabled": True}, "security"),
        ({"groupTypes": ["DynamicMembership"], "mailEnabled": True, "securityEnabled": True}, "mail_security"),
        ({"groupTypes": [], "mailEnabled": True, "securityEnabled": False}, "distribution"),
        ({}, UNSET),
        ({"mailEnabled": "x", "securityEnabled": 1}, UNSET),
    ],
)
def test_what_a_group_is(raw: dict[str, Any], kind: Any) -> None:
    """As the Entra portal names it."""
    (group,) = groups_of([{"id": ONE, **raw}])

    assert kind == group.kind


IDS = st.sampled_from(["a", "b", "c", "d"])
SLICES = st.lists(st.lists(st.tuples(IDS, st.booleans()), max_size=6), max_size=5)


@given(SLICES)
def test_slices_in_any_number_come_to_the_same(slices: list[list[tuple[str, bool]]]) -> None:
    """Put together, slices have the effect that they have one after the other."""
    before = frozenset({"a", "d"})
    one_by_one = before
    for each in slices:
        for key, gone in each:
            one_by_one = one_by_one - {key} if gone else one_by_one | {key}

    together = MemberDelta()
    for each in slices:
        together = together.then(members_in(member(key, gone=gone) for key, gone in each))

    assert one_by_one == (before - together.users.removed) | together.users.added
    assert not together.users.added & together.users.removed


# As SCIM ------------------------------------------------------------------------------------------------------------


def test_the_default_mapping() -> None:
    """Row by row of entra.md §7, and the company."""
    assert scim_resource(a_graph_user()) == {
        "externalId": "lidia",
        "userName": "lidia@contoso.com",
        "active": True,
        "displayName": "Lidia Holloway",
        "title": "Product Manager",
        "preferredLanguage": "en-US",
        "name": {"givenName": "Lidia", "familyName": "Holloway", "formatted": "Lidia Holloway"},
        "emails": [{"primary": True, "type": "work", "value": "Lidia.Holloway@contoso.com"}],
        "addresses": [
            {
                "primary": True,
                "type": "work",
                "formatted": "20/2107",
                "streetAddress": "7633 E. 63rd Place\nSuite 300",
                "locality": "Tulsa",
                "region": "OK",
                "postalCode": "74133",
                "country": "United States",
            }
        ],
        "phoneNumbers": [
            {"primary": True, "type": "work", "value": "+1 918 555 0107"},
            {"type": "mobile", "value": "+19185550108"},
            {"type": "fax", "value": "+19185550109"},
        ],
        ENTERPRISE_USER: {"employeeNumber": "4711", "department": "Engineering", "organization": "Contoso"},
    }


def test_the_object_id_can_be_the_external_id() -> None:
    """What the setup guide advises; then the object id is known by the mirror from the start."""
    assert ID == scim_resource(a_graph_user(), external_id_is_object_id=True)["externalId"]


def test_an_almost_empty_user() -> None:
    """What is not said or empty is left out; nobody is inactive unless the directory says so."""
    user = a_delta(userPrincipalName="x@contoso.com", mail=None, jobTitle="", businessPhones=[])

    assert {"userName": "x@contoso.com", "active": True} == scim_resource(user)


@pytest.mark.parametrize(
    ("properties", "active"),
    [
        ({"accountEnabled": False}, False),
        ({"accountEnabled": None}, True),
        ({"accountEnabled": "no"}, True),
        ({"@removed": {"reason": "changed"}}, False),
    ],
)
def test_who_is_active(properties: dict[str, Any], active: bool) -> None:
    """IsSoftDeleted turned round: disabled or deleted."""
    assert active is scim_resource(a_graph_user(**properties))["active"]


def test_it_is_a_user_of_our_schema() -> None:
    """The SCIM door would take it just as it is, without a note."""
    accepted = accept(USER, scim_resource(a_graph_user()))

    assert ([], scim_resource(a_graph_user())) == (accepted.notes, accepted.resource)


def test_a_card_can_be_filled_from_it() -> None:
    """Every source of a card field but the photo."""
    assert {
        "given_name": "Lidia",
        "surname": "Holloway",
        "display_name": "Lidia Holloway",
        "job_title": "Product Manager",
        "department": "Engineering",
        "company": "Contoso",
        "business_phone": "+1 918 555 0107",
        "mobile_phone": "+19185550108",
        "fax_number": "+19185550109",
        "address": "20/2107",
        "email": "Lidia.Holloway@contoso.com",
    } == directory_values(scim_resource(a_graph_user()))


# Changes ------------------------------------------------------------------------------------------------------------


def test_a_delta_changes_what_it_says() -> None:
    """New values and cleared ones by their SCIM paths; what is missing stays."""
    user = a_delta(department=None, jobTitle="Director", mobilePhone=None, city="Oslo", surname="Berg")

    assert {
        f"{ENTERPRISE_USER}:department": None,
        "title": "Director",
        'phoneNumbers[type eq "mobile"].value': None,
        'addresses[type eq "work"].locality': "Oslo",
        "name.familyName": "Berg",
        "name.formatted": "Lidia Berg",
    } == changes(user, scim_resource(a_graph_user()))


def test_a_complete_listing_clears_what_it_lacks() -> None:
    """There, missing is empty; the userName is never nothing."""
    found = changes(a_delta(displayName="Lidia Holloway"), scim_resource(a_graph_user()), complete=True)

    assert {path for path in BY_PATH if path not in ("userName", "displayName")} == set(found)
    assert {None} == set(found.values())


def test_nothing_to_change() -> None:
    """What is as stored is no change, in either reading."""
    stored = scim_resource(a_graph_user())

    assert {} == changes(a_graph_user(), stored)
    assert {} == changes(a_graph_user(), stored, complete=True)
    assert {} == changes(a_delta(), stored)


def test_other_elements_and_attributes_stay() -> None:
    """A home address, a nickname, a department's neighbour: what Graph does not speak of is not its to touch."""
    stored = {
        "userName": "lidia@contoso.com",
        "nickName": "Lil",
        "emails": [{"type": "home", "value": "l@home.example", "primary": True}, {"type": "Work", "value": "old@x"}],
        "addresses": [{"type": "work", "formatted": "1/1", "locality": "Tulsa", "display": "HQ"}],
        ENTERPRISE_USER: {"costCenter": "12", "department": "Tours", "manager": {"value": "m"}},
        "urn:contoso:2.0:User": {"badge": "7"},
    }
    user = a_delta(mail="new@x", officeLocation=None, city=None, department=None, mobilePhone="+1")

    assert {
        "userName": "lidia@contoso.com",
        "nickName": "Lil",
        "emails": [{"type": "home", "value": "l@home.example", "primary": True}, {"type": "Work", "value": "new@x"}],
        "addresses": [{"type": "work", "display": "HQ"}],
        "phoneNumbers": [{"type": "mobile", "value": "+1"}],
        ENTERPRISE_USER: {"costCenter": "12", "manager": {"value": "m"}},
        "urn:contoso:2.0:User": {"badge": "7"},
    } == applied(stored, changes(user, stored))


def test_a_new_element_is_primary_only_where_none_is() -> None:
    """At most one value is primary (RFC 7643 §2.4)."""
    stored = {"emails": [{"type": "home", "value": "l@home.example", "primary": True}]}

    found = applied(stored, changes(a_delta(mail="work@x"), stored))

    assert [True, None] == [each.get("primary") for each in found["emails"]]


def test_an_element_that_holds_nothing_any_more_goes() -> None:
    """The last value takes its element and attribute with it."""
    stored = scim_resource(a_delta(mail="a@x", mobilePhone="+1", department="Tours"))

    assert {"active": True} == applied(stored, changes(a_delta(mail=None, mobilePhone=None, department=None), stored))


@pytest.mark.parametrize(
    "name", [None, "", f"{ID.replace('-', '')}lidia@contoso.com", f"{ID.replace('-', '').upper()}L@x"]
)
def test_a_user_name_is_never_lost(name: str | None) -> None:
    """Neither by nothing, nor by the name of the recycle bin (P5, entra.md rule 29)."""
    stored = scim_resource(a_graph_user())

    assert {} == changes(a_delta(userPrincipalName=name), stored)
    assert {} == changes(a_graph_user(userPrincipalName=name), stored, complete=True)


def test_a_user_name_can_change() -> None:
    """A marriage is no tombstone, and neither is another's id."""
    stored = scim_resource(a_graph_user())

    assert {"userName": "berg@contoso.com"} == changes(a_delta(userPrincipalName="berg@contoso.com"), stored)
    assert not is_tombstone(ID, f"{ONE.replace('-', '')}lidia@contoso.com")
    assert not is_tombstone("no-guid", "noguid@contoso.com")


def test_who_is_gone_is_only_inactive() -> None:
    """A removed entry has an id and nothing else; nothing of the person is cleared, not even by a complete listing."""
    stored = scim_resource(a_graph_user())
    gone = a_delta(**{"@removed": {"reason": "deleted"}})

    assert {"active": False} == changes(gone, stored) == changes(gone, stored, complete=True)
    assert {} == changes(gone, {**stored, "active": False})


def test_who_comes_back_is_active() -> None:
    """A restored user is a normal entry."""
    stored = {**scim_resource(a_graph_user()), "active": False}

    assert {"active": True} == changes(a_delta(accountEnabled=True), stored)
    assert {} == changes(a_delta(accountEnabled=None), stored)
    assert {} == changes(a_delta(), stored)


def test_the_external_id_is_nobodys_to_change() -> None:
    """It is the key of whoever provisions."""
    stored = {**scim_resource(a_graph_user()), "externalId": "other"}

    assert {} == changes(a_graph_user(mailNickname="new"), stored, complete=True)


# Laws ---------------------------------------------------------------------------------------------------------------

TEXTS = st.none() | st.text(max_size=8) | st.sampled_from(["Tulsa", "+14255550100", "a@b"])
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(USER_TEXTS.values(), TEXTS),
        "userPrincipalName": st.none() | st.text(min_size=1, max_size=8),
        "businessPhones": st.none() | st.lists(TEXTS, max_size=2),
        "accountEnabled": st.none() | st.booleans(),
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = [*USER_TEXTS.values(), "businessPhones", "accountEnabled", "manager", "manager@delta", "members@delta"]
NAMES += ["@removed", "id", "groupTypes", "mailEnabled", "securityEnabled"]
JUNK = st.dictionaries(st.sampled_from(NAMES), JSON)


@given(PROPERTIES)
def test_import_and_listing_agree(properties: dict[str, Any]) -> None:
    """A user imported from a listing does not differ from the same listing."""
    user = a_delta(**properties)

    assert {} == changes(user, scim_resource(user), complete=True)
    assert {} == changes(user, scim_resource(user))


@given(PROPERTIES, PROPERTIES, st.booleans())
def test_changes_applied_are_no_changes_any_more(before: dict[str, Any], after: dict[str, Any], complete: bool) -> None:
    """Carried out once is carried out: the replay of a page changes nothing."""
    stored, user = scim_resource(a_delta(**before)), a_delta(**after)

    wanted = changes(user, stored, complete=complete)
    then = applied(stored, wanted)

    assert {} == changes(user, then, complete=complete)
    assert then == applied(then, wanted)
    assert stored == scim_resource(a_delta(**before))


@given(PROPERTIES, PROPERTIES)
def test_a_listing_leads_where_an_import_leads(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Brought up to date by a complete listing, a resource says the same as one that is imported anew."""
    stored, user = scim_resource(a_delta(**before)), a_delta(**after)
    assume(not user.unread)  # what cannot be read is not cleared either
    fresh = scim_resource(user)

    then = applied(stored, changes(user, stored, complete=True))

    if not isinstance(user.user_principal_name, str):
        fresh = {**fresh, **({"userName": stored["userName"]} if "userName" in stored else {})}
    if not isinstance(user.account_enabled, bool):
        fresh["active"] = stored["active"]
    fresh.pop("externalId", None)
    then.pop("externalId", None)
    assert settled(fresh) == settled(then)


def settled(resource: dict[str, Any]) -> dict[str, Any]:
    """Order does not matter between elements, nor which of them is the primary one."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return sorted(
                ({name: held for name, held in each.items() if name != "primary"} for each in value),
                key=lambda each: str(each["type"]),
            )
        return value

    return {name: plain(value) for name, value in resource.items()}


@given(PROPERTIES)
def test_values_are_never_rewritten(properties: dict[str, Any]) -> None:
    """Each value leaves as it came: capitals, line breaks, blanks (C5)."""
    resource = scim_resource(a_delta(**properties))

    user = a_delta(**properties)
    for name, place in PLACES.items():
        said = getattr(user, name)
        held: Any = resource.get(place.attribute)
        if place.of_type is not None:
            held = next((each for each in held or [] if each["type"] == place.of_type), None)
        if place.sub is not None:
            held = (held or {}).get(place.sub)
        assert held == (said if isinstance(said, str) else None)


@given(JUNK, JUNK)
def test_any_json_is_read_without_harm(raw: dict[str, Any], other: dict[str, Any]) -> None:
    """Whatever comes: something typed comes out, it maps to something storable, and a replay changes nothing."""
    raw, other = {"id": ID, **raw}, {"id": ID, **other}
    for user in users_of([raw, other]):
        stored = scim_resource(user)
        assert accept(USER, {"userName": "x", **stored}).notes == []
        assert {} == changes(user, applied(stored, changes(user, stored)))
    for group in groups_of([raw, other]):
        assert group.display_name is UNSET or group.display_name is None or isinstance(group.display_name, str)
    members_in([raw, other, raw.get("members@delta")])


@given(st.dictionaries(st.sampled_from(sorted(BY_PATH)), JSON, max_size=4))
def test_any_stored_resource_can_be_compared(junk: dict[str, Any]) -> None:
    """What was pushed by another client need not look like ours."""
    stored = {BY_PATH[path].attribute: value for path, value in junk.items()}
    user = a_graph_user()

    then = applied(stored, changes(user, stored))

    assert {} == changes(user, then)
