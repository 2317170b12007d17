"""What a POST or PUT body becomes: names as the schema has them, values as sent, nothing that is unassigned."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scim_server.documents import accept
from scim_server.errors import ScimError
from scim_server.schemas import GROUP, USER, Attribute
from tests.builders import ENTERPRISE_USER, a_user
from tests.builders import GROUP as GROUP_URN
from tests.builders import USER as USER_URN
from tests.scim_server import generated
from tests.scim_server.generated import JSON, examples, texts
from tests.scim_server.stored import check_storable, outcome

LEGACY_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0user"
CUSTOM = "urn:contoso:scim:schemas:1.0:User"

spellings: st.SearchStrategy[Callable[[str], str]] = st.sampled_from(
    [str, str.lower, str.upper, str.swapcase, str.title]
)
nothings: st.SearchStrategy[Any] = st.sampled_from([None, "", [], {}])


# What is taken ------------------------------------------------------------------------------------------------------


@examples(60)
@given(generated.users())
def test_values_are_kept_as_sent(body: JSON) -> None:
    """What holds only assigned attributes, spelled as the schema has them, is stored to the letter."""
    accepted = accept(USER, copy.deepcopy(body))

    assert body == accepted.resource
    assert [] == accepted.notes
    check_storable(accepted.resource)


@examples(60)
@given(body=generated.users(), data=st.data())
def test_how_a_body_is_written_does_not_matter(body: JSON, data: st.DataObject) -> None:
    """Names in any case, what is unassigned beside what is not, what only we may say: the same is stored."""
    accepted = accept(USER, disguised(body, data))

    assert body == accepted.resource
    assert [] == accepted.notes


def disguised(body: JSON, data: st.DataObject) -> JSON:
    written: JSON = {
        "schemas": data.draw(st.sampled_from([[], [USER_URN], ["urn:x"], None])),
        "ID": "mine",
        "Meta": {"resourceType": "Group", "created": "never"},
        "groups": [{"value": "0193"}],
    }
    for name, value in body.items():
        if name == CUSTOM:
            written[name] = value
        elif name == ENTERPRISE_USER:
            urn = data.draw(st.sampled_from([name, name.lower(), name.upper(), LEGACY_ENTERPRISE]))
            written[urn] = disguised_object(value, data)
        else:
            written[data.draw(spellings)(name)] = disguised_value(value, data)
    unsaid = [name for name in generated.user_attributes if name not in body and name != CUSTOM]
    for name in data.draw(st.lists(st.sampled_from(unsaid), unique=True, max_size=4) if unsaid else st.just([])):
        written[name] = data.draw(nothings)
    return written


def disguised_value(value: Any, data: st.DataObject) -> Any:
    if isinstance(value, bool):
        return data.draw(st.sampled_from([value, str(value), str(value).lower(), f" {value} "]))
    if isinstance(value, dict):
        return disguised_object(value, data)
    if isinstance(value, list):
        elements = [disguised_object(element, data) for element in value]
        return elements[0] if len(elements) == 1 and data.draw(st.booleans()) else [*elements, data.draw(nothings)]
    return value


def disguised_object(value: JSON, data: st.DataObject) -> JSON:
    written = {data.draw(spellings)(name): disguised_value(inner, data) for name, inner in value.items()}
    manager = next((name for name in written if name.lower() == "manager"), None)
    if manager is not None and set(value["manager"]) == {"value"}:
        text = value["manager"]["value"]
        written[manager] = data.draw(st.sampled_from([text, {"Value": text}, [{"value": text, "displayName": "Boss"}]]))
    return written


@examples(40)
@given(name=st.sampled_from(["employeeNumber", "department", "costCenter"]), value=texts, spelling=spellings)
def test_extension_attributes_may_stand_alone(name: str, value: str, spelling: Callable[[str], str]) -> None:
    """Nested, behind the URN and a colon or a dot, or bare: the same attribute."""
    nested = {ENTERPRISE_USER: {name: value}}

    for key in (f"{ENTERPRISE_USER}:{name}", f"{ENTERPRISE_USER}.{name}", name):
        assert {"userName": "x", **nested} == accept(USER, {"userName": "x", spelling(key): value}).resource


@pytest.mark.parametrize(
    "key", ["name.givenName", f"{USER_URN}:name.givenName", "NAME.GIVENNAME", f"{USER_URN}.name.givenName"]
)
def test_a_dotted_name_is_a_sub_attribute(key: str) -> None:
    """`{"name.givenName": "Barbara"}`, as Entra writes them in a PATCH, is understood in a POST too."""
    assert {"userName": "x", "name": {"givenName": "Barbara"}} == accept(
        USER, {"userName": "x", key: "Barbara"}
    ).resource


def test_attributes_below_the_core_urn_are_core_attributes() -> None:
    """`{"urn:…:core:2.0:User": {"title": …}}` is read; what is not there is named."""
    accepted = accept(
        USER, {USER_URN: {"userName": "x", "Title": "Boss", "id": "1", "meta": {}, "schemas": [], "shoe": 9}}
    )

    assert {"userName": "x", "title": "Boss"} == accepted.resource
    assert [f"{USER_URN}:shoe"] == accepted.notes


@examples(60)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
        max_leaves=8,
    ),
    urn=st.sampled_from([CUSTOM, "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User"]),
)
def test_an_unknown_extension_is_kept_without_what_is_unassigned(value: Any, urn: str) -> None:
    """Whatever an unknown URN holds comes back, its nulls and empties aside."""
    accepted = accept(USER, {"userName": "x", urn: value})

    kept = assigned(value)
    assert {"userName": "x", **({} if kept is None else {urn: kept})} == accepted.resource
    assert [] == accepted.notes
    check_storable(accepted.resource)


def test_a_urn_may_be_in_capitals() -> None:
    """`URN:` is `urn:` (RFC 8141 §2), which the core knows an extension by."""
    accepted = accept(USER, {"userName": "x", "URN:contoso:X": ["a"]})

    assert {"userName": "x", "urn:contoso:X": ["a"]} == accepted.resource
    check_storable(accepted.resource)


def assigned(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: kept for name, held in value.items() if (kept := assigned(held)) is not None} or None
    if isinstance(value, list):
        return [kept for held in value if (kept := assigned(held)) is not None] or None
    return None if value == "" else value


@examples(60)
@given(body=generated.users(), name=st.text(min_size=1, max_size=12), value=st.integers() | texts | st.just({"a": 1}))
def test_an_unknown_attribute_is_named_and_left_out(body: JSON, name: str, value: Any) -> None:
    """A stray mapping never sinks the rest: the resource is as without it, the note says what it was."""
    stray = f"x{name}"
    known = {each.lower() for each in [*USER.attributes, *next(iter(USER.extensions.values()))[1]]}
    if stray.lower().partition(".")[0] in known:
        return

    at_the_top = accept(USER, {stray: value, **body})
    in_an_element = accept(USER, {**body, "roles": [{"value": "a", stray: value}]})
    in_the_extension = accept(USER, {**body, ENTERPRISE_USER: {stray: value}})

    assert (body, [stray]) == (at_the_top.resource, at_the_top.notes)
    assert ({**body, "roles": [{"value": "a"}]}, [f"roles.{stray}"]) == (in_an_element.resource, in_an_element.notes)
    assert [f"{ENTERPRISE_USER}:{stray}"] == in_the_extension.notes
    assert ENTERPRISE_USER not in in_the_extension.resource


@pytest.mark.parametrize(
    "key",
    [f"{ENTERPRISE_USER}:shoeSize", f"{ENTERPRISE_USER}.shoeSize", f"{USER_URN}:shoeSize", "name.shoeSize"],
)
def test_an_unknown_attribute_of_a_known_schema_is_no_extension(key: str) -> None:
    """A name that a published schema lacks is left out and named, however it is written."""
    accepted = accept(USER, {"userName": "x", key: "43"})

    assert {"userName": "x"} == accepted.resource
    assert [key] == accepted.notes


@pytest.mark.parametrize(
    "key",
    [
        *("meta.created", f"{USER_URN}:meta.version", f"{USER_URN}:meta", f"{USER_URN}:id", f"{USER_URN}:schemas"),
        *("groups.value", "manager.displayName"),
    ],
)
def test_what_only_we_say_is_ignored_however_it_is_written(key: str) -> None:
    """Read-only attributes behind a dot or a URN are no way around it."""
    accepted = accept(USER, {"userName": "x", key: "y"})

    assert {"userName": "x"} == accepted.resource
    check_storable(accepted.resource)


def test_a_read_only_sub_attribute_is_ignored() -> None:
    """`manager.displayName` is ours to say."""
    manager = {"value": "0193", "displayName": "Boss"}

    assert {"value": "0193"} == accept(USER, {"userName": "x", "manager": manager}).resource[ENTERPRISE_USER]["manager"]
    assert ENTERPRISE_USER not in accept(USER, {"userName": "x", "manager": {"displayName": "Boss"}}).resource


def test_a_password_is_handed_over_apart() -> None:
    """It never enters the document."""
    for key in ("password", "PassWord", f"{USER_URN}:password"):
        accepted = accept(USER, {"userName": "x", key: "s3cret"})

        assert ({"userName": "x"}, "s3cret") == (accepted.resource, accepted.password)


# What is refused ----------------------------------------------------------------------------------------------------


def names(refusal: ScimError, path: str) -> bool:
    """Say whether a detail begins with the attribute that it is about, quoted or not."""
    return refusal.detail.replace("'", "").startswith(f"{path}: ")


def wrong_values(attribute: Attribute) -> st.SearchStrategy[Any]:
    """Values of a type that an attribute does not have; `{}` and the like unassign, and are not wrong."""
    numbers = st.integers() | st.floats(allow_nan=False)
    objects = st.dictionaries(st.just("x"), texts, min_size=1)
    lists = st.lists(texts, min_size=1)
    if attribute.type == "boolean":
        return numbers | objects | lists | st.sampled_from(["yes", "1", "Truee", "ja"])
    if attribute.name == "manager":
        return numbers | st.booleans()
    if attribute.type == "complex":
        return (
            numbers
            | st.booleans()
            | texts
            | (lists if attribute.multi_valued else lists | st.lists(objects, min_size=1))
        )
    return numbers | st.booleans() | objects | lists


def all_attributes() -> list[tuple[str, Attribute]]:
    """Every writable attribute and sub-attribute with its path."""
    found = []
    extension = next(iter(USER.extensions.values()))[1]
    homes = [("", USER.attributes), (f"{ENTERPRISE_USER}:", extension)]
    for prefix, attributes in homes:
        for attribute in attributes.values():
            if attribute.read_only or attribute.name == "schemas":
                continue
            found.append((prefix + attribute.name, attribute))
            found += [
                (f"{prefix}{attribute.name}.{sub.name}", sub) for sub in attribute.sub.values() if not sub.read_only
            ]
    return found


def wrapped(path: str, value: Any) -> JSON:
    """Build the body that holds a value at a path."""
    urn, _, rest = path.rpartition(":")
    name, _, sub = rest.partition(".")
    inner = {name: {sub: value} if sub else value}
    return {urn: inner} if urn else inner


@pytest.mark.parametrize(
    ("path", "attribute"), all_attributes(), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_value_of_the_wrong_type_is_refused_by_its_path(path: str, attribute: Attribute) -> None:
    """400 invalidValue, and the detail says which attribute it was."""

    @examples(8)
    @given(wrong_values(attribute))
    def refuse(value: Any) -> None:
        with pytest.raises(ScimError) as refused:
            accept(USER, {**a_user(), **wrapped(path, value)})

        assert (400, "invalidValue") == (refused.value.status, refused.value.scim_type)
        assert names(refused.value, path)

    refuse()


@pytest.mark.parametrize("name", [name for name in generated.multi_valued if name != "x509Certificates"])
@pytest.mark.parametrize("true", [True, "True", "true"])
def test_two_primary_values_are_refused(name: str, true: object) -> None:
    """RFC 7643 §2.4: one value is primary at most."""
    sub = "formatted" if name == "addresses" else "value"
    elements = [{sub: "a", "primary": True}, {sub: "b", "primary": "False"}, {sub: "c", "Primary": true}]

    with pytest.raises(ScimError) as refused:
        accept(USER, {"userName": "x", name: elements})

    assert "invalidValue" == refused.value.scim_type
    assert names(refused.value, name)


@pytest.mark.parametrize("body", [{}, {"userName": None}, {"userName": ""}, {"userName": " \t"}, {"USERNAME": {}}])
def test_a_user_needs_a_user_name(body: JSON) -> None:
    """Missing, empty and blank are one."""
    with pytest.raises(ScimError) as refused:
        accept(USER, {**body, "displayName": "x"})

    assert names(refused.value, "userName")


def test_a_group_needs_a_display_name() -> None:
    """So it is for groups, whose other attributes are optional."""
    with pytest.raises(ScimError) as refused:
        accept(GROUP, {"schemas": [GROUP_URN], "externalId": "x"})

    assert names(refused.value, "displayName")
    assert {"displayName": "x"} == accept(GROUP, {"DisplayName": "x", "id": "y"}).resource


# Anything at all ----------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        *(name for name, _ in all_attributes()),
        *(name.upper() for name in ("userName", "active", "emails", "meta", "schemas", ENTERPRISE_USER, USER_URN)),
        *(
            "meta",
            "schemas",
            "id",
            "groups",
            "meta.created",
            "schemas.x",
            "id.x",
            "emails.value",
            "groups.value",
            "manager.displayName",
        ),
        *(
            USER_URN,
            GROUP_URN,
            ENTERPRISE_USER,
            LEGACY_ENTERPRISE,
            CUSTOM,
            "urn:",
            "urn:x",
            "URN:X:y",
            "urn:a:1.0",
            f"{USER_URN}:",
            f"{USER_URN}.name",
        ),
        *(
            "type",
            "value",
            "primary",
            "display",
            "displayName",
            "$ref",
            "",
            ".",
            ":",
            "x",
            "roles[primary eq true].value",
            "\x01",
            "\x02",
            ',"meta":{',
        ),
    ]
)
characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
scalars: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        False,
        "",
        "True",
        "x",
        "y",
        0,
        1,
        1.5,
        {},
        [],
        '{"value":"25","displayName":"R"}',
        "{",
        "\x01",
        "\x02",
    ]
) | st.text(characters, max_size=3)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(characters, max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


# Few names at a time, and often with a text: of a larger body something is wrong almost always.
bodies = st.dictionaries(NAMES, texts, max_size=3) | st.dictionaries(NAMES, anything, max_size=3) | anything


@examples(500)
@given(body=bodies, named=st.sampled_from([True, True, False]))
@example(body={"meta.created": "x"}, named=True)
@example(body={"manager.displayName": "x"}, named=True)
@example(body={"URN:contoso:x": ["a"]}, named=True)
@example(body={f"{ENTERPRISE_USER}:shoe": ["a"]}, named=True)
def test_any_json_is_taken_or_refused(body: Any, named: bool) -> None:
    """Whatever a body holds ends in something that can be stored as it is, or in a 400."""
    if named and isinstance(body, dict):
        body = {**body, "userName": "barbara@contoso.com"}
    for resource_type in (USER, GROUP):
        accepted = outcome(partial(accept, resource_type, copy.deepcopy(body)))
        if isinstance(accepted, ScimError):
            assert 400 == accepted.status
            assert accepted.scim_type in ("invalidSyntax", "invalidValue")
        elif resource_type is USER:
            check_storable(accepted.resource)


def test_nesting_has_an_end() -> None:
    """An unknown extension nested too deep is refused rather than followed."""
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]

    with pytest.raises(ScimError):
        accept(USER, {"userName": "x", CUSTOM: deep})
