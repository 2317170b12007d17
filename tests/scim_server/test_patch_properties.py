"""The PATCH interpreter: what holds for any operations, and a small model of what a few kinds of them come to.

Most is said of `apply` on a document; what is about storing (all or nothing, what a GET then shows, versions) goes
through the endpoints on both databases.
"""

from __future__ import annotations

import copy
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import scim2_models
from hypothesis import assume, example, given
from hypothesis import strategies as st

from app_core.errors import DomainError
from app_core.work import Work
from scim_server import groups, patch, users
from scim_server.documents import accept
from scim_server.errors import ScimError
from scim_server.exchange import Answer, Call, Limits
from scim_server.schemas import USER, EnterpriseUser
from tests.builders import ENTERPRISE_USER, a_user
from tests.builders import GROUP as GROUP_URN
from tests.builders import USER as USER_URN
from tests.builders import patch as patch_body
from tests.scim_server import generated
from tests.scim_server.conftest import Core, Directory
from tests.scim_server.generated import EMAILS, EXACT, JSON, examples, folded, texts
from tests.scim_server.stored import PLURAL, check_storable, outcome

CUSTOM = "urn:contoso:scim:schemas:1.0:User"


def patched(resource: JSON, *operations: JSON) -> JSON:
    """Give what a document is after operations; the document itself stays."""
    changed, _ = patched_with_notes(resource, *operations)
    return changed


def patched_with_notes(resource: JSON, *operations: JSON) -> tuple[JSON, list[str]]:
    changed = copy.deepcopy(resource)
    read = patch.operations_of(USER, patch_body(*copy.deepcopy(operations)))
    return changed, patch.apply(USER, changed, read).notes


# Operations ---------------------------------------------------------------------------------------------------------

SINGLE = ("displayName", "nickName", "title", "userType", "preferredLanguage", "locale", "timezone", "externalId")
NAMES = tuple(f"name.{sub}" for sub in ("givenName", "familyName", "formatted", "middleName", "honorificPrefix"))
ENTERPRISE = tuple(f"{ENTERPRISE_USER}:{name}" for name in ("department", "employeeNumber", "costCenter", "division"))
MANAGER = f"{ENTERPRISE_USER}:manager"
TYPED = {
    "emails": "value",
    "phoneNumbers": "value",
    "ims": "value",
    "roles": "value",
    "addresses": "locality",
    "entitlements": "value",
}
SUBS = {
    "emails": ("value", "display"),
    "roles": ("value", "display"),
    "addresses": ("locality", "country", "formatted"),
}
types = st.sampled_from(["work", "home", "other"])
blank = st.sampled_from(["", None])


def operation(op: str, path: str, value: Any = ...) -> JSON:
    return {"op": op, "path": path, **({} if value is ... else {"value": value})}


@st.composite
def set_one(draw: st.DrawFn) -> JSON:
    """Set something that has one value: an attribute, a sub-attribute, one of an element."""
    op = draw(st.sampled_from(["add", "replace"]))
    match draw(st.integers(0, 4)):
        case 0:
            return operation(op, draw(st.sampled_from([*SINGLE, *NAMES, *ENTERPRISE])), draw(texts))
        case 1:
            return operation(op, "active", draw(st.booleans()))
        case 2:
            return operation(op, MANAGER, draw(st.sampled_from(EXACT).map(lambda boss: {"value": boss})))
        case _:
            name = draw(st.sampled_from(sorted(TYPED)))
            sub = draw(st.sampled_from(SUBS.get(name, ("value",))))
            return operation(op, f'{name}[type eq "{draw(types)}"].{sub}', draw(texts))


@st.composite
def set_many(draw: st.DrawFn) -> JSON:
    """Add to or replace a list, or what of it is selected; or say which is primary."""
    op = draw(st.sampled_from(["add", "replace"]))
    name = draw(st.sampled_from(sorted(SUBS)))
    match draw(st.integers(0, 4)):
        case 0:
            return operation(
                op, f'{name}[type eq "{draw(types)}"].primary', draw(st.sampled_from([True, False, "True", "False"]))
            )
        case 1:
            return operation(op, f"{name}.type", draw(types))
        case 2:
            return operation(op, f'{name}[primary eq "True"].{TYPED[name]}', draw(texts))
        case 3:
            element = draw(st.fixed_dictionaries({TYPED[name]: texts}, optional={"primary": st.booleans()}))
            return operation(op, f'{name}[type eq "{draw(types)}"]', element)
        case _:
            return operation(op, name, draw(generated.multi_valued[name]))


@st.composite
def clear(draw: st.DrawFn) -> JSON:
    """Take something away."""
    name = draw(st.sampled_from(sorted(TYPED)))
    selected = f'{name}[type eq "{draw(types)}"]'
    path = draw(
        st.sampled_from([*SINGLE, *NAMES, *ENTERPRISE, "name", MANAGER, name, selected, f"{selected}.{TYPED[name]}"])
    )
    if draw(st.booleans()):
        return operation("remove", path)
    return (
        operation(draw(st.sampled_from(["add", "replace"])), path, draw(blank))
        if path != selected
        else operation("remove", path)
    )


known_operations = st.one_of(set_one(), set_many(), clear())
documents = generated.users()


# What always holds --------------------------------------------------------------------------------------------------


@examples(150)
@given(before=documents, operations=st.lists(known_operations, min_size=1, max_size=6))
def test_whatever_was_done_the_document_is_sound(before: JSON, operations: list[JSON]) -> None:
    """At most one value is primary, nothing unassigned stays behind, and it can be stored and sent as it is."""
    after, notes = patched_with_notes(before, *operations)

    assert [] == notes
    check_storable(after)


@examples(150)
@given(before=documents, once=known_operations)
def test_what_is_said_twice_is_said_once(before: JSON, once: JSON) -> None:
    """Entra retries what it saw time out: setting, adding the same values and removing come to the same, done twice."""
    after = patched(before, once)

    assert after == patched(before, once, once)
    assert after == patched(after, once)


@examples(150)
@given(before=documents, done=known_operations)
def test_what_is_not_named_does_not_change(before: JSON, done: JSON) -> None:
    """An operation changes the attribute it names, and of a selected list the elements it selects."""
    after = patched(before, done)

    name = done["path"].removeprefix(f"{ENTERPRISE_USER}:").partition("[")[0].partition(".")[0]
    assert without(before, name) == without(after, name)
    if "[type eq" in done["path"] and "primary" not in str(done):
        kind = done["path"].partition('"')[2].partition('"')[0]
        others = [element for element in before.get(name, []) if folded(element.get("type", "")) != kind]
        assert others == [element for element in after.get(name, []) if folded(element.get("type", "")) != kind]
    if done["path"].startswith("name."):
        sub = done["path"].partition(".")[2]
        assert without(before.get("name", {}), sub) == without(after.get("name", {}), sub)


def without(resource: JSON, name: str) -> JSON:
    """Leave an attribute out, here and in the extension; an extension that then says nothing goes too."""
    kept = {key: value for key, value in resource.items() if key not in (name, ENTERPRISE_USER)}
    extension = {key: value for key, value in resource.get(ENTERPRISE_USER, {}).items() if key != name}
    return {**kept, ENTERPRISE_USER: extension} if extension else kept


@examples(120)
@given(before=documents, done=set_one())
def test_a_value_comes_back_as_it_was_sent(before: JSON, done: JSON) -> None:
    """No trimming, no normal form, no change of case: Entra would see drift and send it for ever."""
    after = patched(before, done)

    assert done["value"] in values_at(after, done["path"])


def values_at(resource: JSON, path: str) -> list[Any]:
    """Find what a path of ours leads to."""
    if "[" in path:
        name, _, rest = path.partition("[")
        kind, sub = rest.partition('"')[2].split('"].')
        return [element.get(sub) for element in resource.get(name, []) if folded(element.get("type", "")) == kind]
    urn, _, name = path.rpartition(":")
    name, _, sub = name.partition(".")
    held = (resource.get(urn, {}) if urn else resource).get(name)
    return [held.get(sub) if sub and held else held]


@examples(100)
@given(before=documents, name=st.sampled_from(sorted(SUBS)), kind=types, data=st.data())
def test_sibling_operations_share_one_new_element(before: JSON, name: str, kind: str, data: st.DataObject) -> None:
    """However many operations name `addresses[type eq "work"]`, and however: one element comes of them (SCIM-SDK#680)."""
    before = {**before, name: [element for element in before.get(name, []) if folded(element.get("type", "")) != kind]}
    before = before if before[name] else {key: value for key, value in before.items() if key != name}
    subs = data.draw(st.lists(st.sampled_from(SUBS[name]), min_size=1, max_size=6))
    operations = [
        operation(
            data.draw(st.sampled_from(["Add", "replace"])),
            data.draw(
                st.sampled_from(
                    [
                        f'{name}[type eq "{kind}"].{sub}',
                        f'{name.upper()}[Type EQ "{kind}"].{sub.title() if sub != "formatted" else sub}',
                    ]
                )
            ),
            data.draw(texts),
        )
        for sub in subs
    ]

    after = patched(before, *operations)

    (made,) = [element for element in after[name] if element.get("type") == kind]
    expected = {sub: each["value"] for sub, each in zip(subs, operations, strict=True)}
    assert {"type": kind, **expected} == {key: value for key, value in made.items() if key != "primary"}
    assert before.get(name, []) == [element for element in after[name] if element is not made]


@pytest.mark.parametrize("op", ["add", "replace"])
@pytest.mark.parametrize("true", [True, "True"])
def test_primary_for_all_is_for_one(op: str, true: object) -> None:
    """`emails.primary` without a filter names every element, of which one can be primary."""
    before = {"userName": "x", "emails": [{"value": "a@contoso.com"}, {"value": "b@contoso.com"}]}

    check_storable(patched(before, operation(op, "emails.primary", true)))


# Ways to say the same -----------------------------------------------------------------------------------------------


@examples(100)
@given(before=documents, data=st.data())
def test_both_dialects_of_entra_say_the_same(before: JSON, data: st.DataObject) -> None:
    """One operation per path, capitalised, booleans as text; or one without a path, its keys dotted or behind a URN."""
    changes = data.draw(st.lists(set_one(), min_size=1, max_size=6, unique_by=lambda each: each["path"]))

    with_paths = [
        operation(each["op"].title(), legacy_path(each["path"], data), legacy_value(each["value"], data))
        for each in changes
    ]
    op = data.draw(st.sampled_from(["add", "replace"]))
    flat = {"op": op, "value": {each["path"]: each["value"] for each in changes}}
    nested = {"op": op, "value": nested_keys(changes)}

    expected = patched(before, *changes)
    assert expected == patched(before, *with_paths)
    assert expected == patched(before, flat)
    assert expected == patched(before, nested)


def legacy_path(path: str, data: st.DataObject) -> str:
    urn, _, name = path.rpartition(":")
    if "[" in path or not urn:
        return (
            path if "[" in path else data.draw(st.sampled_from([path, f" {path}", f"{USER_URN}:{path}", path.upper()]))
        )
    return data.draw(st.sampled_from([path, f"{urn}.{name}", name, name.title()]))


def legacy_value(value: Any, data: st.DataObject) -> Any:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, dict):
        return data.draw(st.sampled_from([value["value"], value, [value], [{"$ref": None, **value}]]))
    return value


def nested_keys(changes: list[JSON]) -> JSON:
    """Write changes as the resource is written: complex attributes and the extension as objects."""
    value: JSON = {}
    for each in changes:
        urn, _, name = each["path"].rpartition(":") if "[" not in each["path"] else ("", "", each["path"])
        head, _, sub = ("", "", "") if "[" in name else name.partition(".")
        if urn:
            value.setdefault(urn, {})[name] = each["value"]
        elif sub:
            value.setdefault(head, {})[sub] = each["value"]
        else:
            value[name] = each["value"]
    return value


NOTHINGS: tuple[Any, ...] = ("", None, {}, [])
CLEARABLE = [*SINGLE, *NAMES, *ENTERPRISE, "name", "profileUrl", *PLURAL]


@examples(120)
@given(before=documents, path=st.sampled_from(CLEARABLE))
def test_there_are_many_ways_to_clear(before: JSON, path: str) -> None:
    """`""`, null, `{}`, `[]` and Remove leave the same behind: nothing."""
    cleared = patched(before, operation("remove", path))

    assert [None] == values_at(cleared, path)
    for op in ("add", "replace"):
        for nothing in NOTHINGS:
            if op == "add" and path in PLURAL:
                # Adding nothing to a list is no change.
                assert before == patched(before, operation(op, path, nothing))
                continue
            assert cleared == patched(before, operation(op, path, nothing))
            assert cleared == patched(before, {"op": op, "value": {path: nothing}})


@examples(60)
@given(before=documents)
def test_a_manager_is_cleared_by_an_empty_value_too(before: JSON) -> None:
    """`{"value": ""}` is what the SCIM Validator sends."""
    cleared = patched(before, operation("remove", MANAGER))

    assert [None] == values_at(cleared, MANAGER)
    for nothing in ({"value": ""}, {"value": None}, [{"value": ""}], *NOTHINGS):
        for path in (MANAGER, "manager", f"{ENTERPRISE_USER}.manager"):
            assert cleared == patched(before, operation("replace", path, nothing))


@examples(100)
@given(before=documents, name=st.sampled_from(sorted(TYPED)), kind=types)
def test_an_element_is_cleared_by_its_value(before: JSON, name: str, kind: str) -> None:
    """`emails[type eq "work"].value` with `""`, null or Remove: what then says nothing goes as a whole."""
    path = f'{name}[type eq "{kind}"].{TYPED[name]}'

    cleared = patched(before, operation("remove", path))

    assert all(held is None for held in values_at(cleared, path))
    for element in cleared.get(name, []):
        if folded(element.get("type", "")) == kind:
            assert set(element) - {"type", "primary", "display"}
    for nothing in ("", None):
        assert cleared == patched(before, operation("Replace", path, nothing))


@examples(60)
@given(before=documents, kept=texts)
def test_clearing_one_attribute_of_an_extension_leaves_the_others(before: JSON, kept: str) -> None:
    """The extension may be sent as a whole, at its own path or without one: what it does not name stays."""
    cleared_at_its_path_alone(ENTERPRISE_USER, before, kept)


def test_clearing_one_attribute_of_an_unknown_extension_leaves_the_others() -> None:
    """As for the one that is known here."""
    cleared_at_its_path_alone(CUSTOM, {"userName": "x"}, "kept")


def cleared_at_its_path_alone(urn: str, before: JSON, kept: str) -> None:
    before = {**before, urn: {"department": "x", "division": kept}}
    expected = {**before, urn: {"division": kept}}

    assert expected == patched(before, operation("remove", f"{urn}:department"))
    assert expected == patched(before, operation("replace", f"{urn}:department", ""))
    assert expected == patched(before, operation("replace", urn, {"department": ""}))
    assert expected == patched(before, {"op": "replace", "value": {urn: {"department": ""}}})


@examples(60)
@given(before=documents, sent=generated.enterprise)
def test_an_extension_at_its_own_path_is_read_by_its_schema(before: JSON, sent: JSON) -> None:
    """`"path": "urn:…:enterprise:2.0:User"` and no path at all come to the same, down to what is unknown or wrong."""
    shouted = {name.upper(): value for name, value in sent.items()}
    without_path = patched_with_notes(before, {"op": "add", "value": {ENTERPRISE_USER: {**shouted, "shoe": 1}}})

    assert without_path == patched_with_notes(before, operation("add", ENTERPRISE_USER, {**shouted, "shoe": 1}))
    for wrong in ("text", 5, True, ["x"], {"department": 5}, {"manager": True}):
        with pytest.raises(ScimError) as refused:
            patched(before, operation("replace", ENTERPRISE_USER, wrong))
        assert "invalidValue" == refused.value.scim_type


@examples(80)
@given(
    before=documents, sent=generated.some(givenName=texts | blank, familyName=texts | blank, formatted=texts | blank)
)
def test_a_complex_attribute_is_changed_by_what_is_sent_of_it(before: JSON, sent: JSON) -> None:
    """`{"path": "name", "value": {"familyName": "New"}}` leaves the given name alone; what is blank goes (entra Q17)."""
    merged = {name: value for name, value in {**before.get("name", {}), **sent}.items() if value}
    expected = {**without(before, "name"), **({"name": merged} if merged else {})}

    for op in ("add", "Replace"):
        assert expected == patched(before, operation(op, "name", sent))
        assert expected == patched(before, operation(op, "NAME", {name.upper(): value for name, value in sent.items()}))
        assert expected == patched(before, {"op": op, "value": {"name": sent}})
        assert expected == patched(before, *(operation(op, f"name.{name}", value) for name, value in sent.items()))


few = st.lists(
    generated.some(
        value=st.sampled_from(EMAILS[:2]), type=st.sampled_from(["work", "home"]), display=st.sampled_from("ab")
    ),
    min_size=1,
    max_size=3,
)


@examples(100)
@given(held=few, added=few, one=st.booleans())
def test_adding_appends_what_is_not_there(held: list[JSON], added: list[JSON], one: bool) -> None:
    """What is there with the same value and type is brought up to date; what has no value is there when all is equal."""
    before = accept(USER, {"userName": "x"}).resource
    before["emails"] = copy.deepcopy(held)
    expected = copy.deepcopy(held)
    for each in added[:1] if one else added:
        twins = [
            other
            for other in expected
            if (
                "value" in each and [other.get(name) for name in ("value", "type")] == [each["value"], each.get("type")]
            )
            or other == each
        ]
        if twins:
            twins[0].update(each)
        else:
            expected.append(dict(each))

    assert expected == patched(before, operation("add", "emails", added[0] if one else added))["emails"]


@examples(80)
@given(before=documents, listed=generated.several(value=st.sampled_from(EMAILS), type=types), data=st.data())
def test_remove_with_values_removes_just_these(before: JSON, listed: list[JSON], data: st.DataObject) -> None:
    """As with members (entra rule 5): a list says which."""
    held = data.draw(generated.several(value=st.sampled_from(EMAILS), type=types))
    before = {**before, "emails": [*held, *({**each, "primary": False} for each in listed)]}
    named = [{name: each[name] for name in ("value", "type") if name in each} for each in listed]
    assume(all(named))

    after = patched(before, operation("Remove", "emails", named))

    expected = [each for each in before["emails"] if not any(each.items() >= one.items() for one in named)]
    assert expected == after.get("emails", [])
    assert before == patched(before, operation("Remove", "emails", [{"value": "nobody@contoso.com"}]))


@pytest.mark.parametrize("listed", [[], [{}], [{"value": ""}]])
def test_remove_with_an_empty_list_removes_none(listed: list[JSON]) -> None:
    """A list without anything in it is no way to say all of them."""
    before = {"userName": "x", "emails": [{"value": "a@contoso.com"}]}

    assert before == patched(before, operation("Remove", "emails", listed))


# What is not known, and what is refused -----------------------------------------------------------------------------

UNKNOWN = (
    *("shoeSize", "name.nick", "emails.shoe", 'emails[type eq "work"].shoe', 'shoes[type eq "work"].value', "x.y"),
    *(f"{ENTERPRISE_USER}:shoeSize", f"{ENTERPRISE_USER}.manager.shoe", f"{USER_URN}:shoeSize"),
)


@examples(100)
@given(
    before=documents,
    known=st.lists(known_operations, min_size=1, max_size=3),
    stray=st.sampled_from(UNKNOWN),
    data=st.data(),
)
def test_what_no_schema_has_is_named_and_changes_nothing(
    before: JSON, known: list[JSON], stray: str, data: st.DataObject
) -> None:
    """A stray mapping never sinks a deprovisioning, wherever among the operations it comes."""
    odd = data.draw(
        st.sampled_from(
            [operation("add", stray, "43"), operation("remove", stray), {"op": "replace", "value": {stray: 43}}]
        )
    )
    at = data.draw(st.integers(0, len(known)))

    after, notes = patched_with_notes(before, *known[:at], odd, *known[at:])

    assert patched(before, *known) == after
    assert [stray] == notes


@pytest.mark.parametrize("path", UNKNOWN)
def test_what_no_schema_has_is_refused_alone(path: str) -> None:
    """Nothing else in the PATCH: 400 invalidPath, with the path in the detail."""
    with pytest.raises(ScimError) as refused:
        patched({"userName": "x"}, operation("replace", path, "43"))

    assert (400, "invalidPath") == (refused.value.status, refused.value.scim_type)
    assert path in refused.value.detail


@pytest.mark.parametrize("name", ["title", "roles", "id", "schemas", "emails", "password", "manager", "active"])
@pytest.mark.parametrize("value", ["x", " Text ", "true"])
def test_an_attribute_of_an_unknown_extension_is_only_that(name: str, value: str) -> None:
    """Whatever its name is elsewhere: it is kept as sent, in its extension, and means nothing."""
    before = {"userName": "x", "active": True}
    read = patch.operations_of(USER, patch_body(operation("add", f"{CUSTOM}:{name}", value)))
    after = copy.deepcopy(before)

    done = patch.apply(USER, after, read)

    assert {**before, CUSTOM: {name: value}} == after
    assert (None, []) == (done.password, done.notes)
    assert before == patched(after, operation("remove", f"{CUSTOM}:{name}"))
    assert before == patched(after, operation("replace", f"{CUSTOM}:{name}", ""))


@pytest.mark.parametrize("path", ["urn:contoso:scim:1.0:User", "URN:Contoso:Scim:1.0:User"])
def test_an_unknown_extension_is_the_same_to_post_and_patch(path: str) -> None:
    """A bare URN names the extension as a whole."""
    posted = accept(USER, {"userName": "x", path: {"a": "1"}}).resource

    assert posted == patched({"userName": "x"}, operation("add", path, {"a": "1"}))
    assert posted == patched({"userName": "x"}, {"op": "add", "value": {path: {"a": "1"}}})
    check_storable(posted)


def test_schemas_follow_from_the_attributes() -> None:
    """Sent along without a path they are passed over, as in a POST."""
    before = {"userName": "x", ENTERPRISE_USER: {"department": "a"}}

    assert before == patched(before, {"op": "add", "value": {"schemas": [CUSTOM], "ID": "y", "meta": {"version": "z"}}})


@pytest.mark.parametrize("nothing", NOTHINGS)
def test_active_is_not_cleared_by_a_blank(nothing: Any) -> None:
    """It would leave open whether the person may come in: an empty expression in a mapping re-enables nobody."""
    for done in (operation("replace", "active", nothing), {"op": "Add", "value": {"active": nothing}}):
        with pytest.raises(ScimError) as refused:
            patched({"userName": "x", "active": False}, done)

        assert "invalidValue" == refused.value.scim_type


REFUSED: list[tuple[Any, str]] = [
    ([], "invalidSyntax"),
    ({"Operations": []}, "invalidSyntax"),
    ({"Operations": {"op": "add"}}, "invalidSyntax"),
    (patch_body("add"), "invalidSyntax"),  # type: ignore[arg-type]
    (patch_body({"op": "move", "path": "title", "value": "x"}), "invalidSyntax"),
    (patch_body({"path": "title", "value": "x"}), "invalidSyntax"),
    (patch_body(operation("add", "title")), "invalidValue"),
    (patch_body({"op": "add", "value": "x"}), "invalidValue"),
    (patch_body({"op": "remove"}), "noTarget"),
    (patch_body({"op": "add", "path": 5, "value": "x"}), "invalidPath"),
    (patch_body(operation("add", "emails[", "x")), "invalidPath"),
    (patch_body(operation("add", "emails]type[", "x")), "invalidPath"),
    (patch_body(operation("add", 'name[type eq "x"].givenName', "x")), "invalidPath"),
    (patch_body(operation("add", "x" * 3000, "x")), "invalidPath"),
    (patch_body(operation("add", "emails[type].value", "x")), "invalidFilter"),
    (patch_body(operation("add", "emails[].value", "x")), "invalidFilter"),
    (patch_body(operation("add", 'emails[shoe eq "x"].value', "x")), "noTarget"),
    (patch_body(operation("add", 'emails[type ne "work"].value', "x")), "noTarget"),
    (patch_body(operation("add", 'emails[type eq "a" or type eq "b"].value', "x")), "noTarget"),
    *(
        (patch_body(operation(op, name, "x")), "mutability")
        for op in ("add", "remove")
        for name in ("id", "meta", "schemas", "groups", "meta.created", f"{USER_URN}:id")
    ),
    (patch_body(operation("remove", "userName")), "mutability"),
    (patch_body(operation("replace", "userName", "")), "invalidValue"),
    (patch_body(operation("replace", "userName", " ")), "invalidValue"),
    (patch_body(operation("replace", "active", "maybe")), "invalidValue"),
    (
        patch_body(operation("add", "emails", [{"value": "a", "primary": True}, {"value": "b", "primary": "True"}])),
        "invalidValue",
    ),
    (patch_body(*[operation("add", "title", "x")] * 10_001), "invalidSyntax"),
]


@pytest.mark.parametrize(("body", "scim_type"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_patch_that_cannot_be_understood_is_refused(body: Any, scim_type: str) -> None:
    """With the scimType of RFC 7644 table 9."""
    with pytest.raises(ScimError) as refused:
        patch.apply(USER, {"userName": "x"}, patch.operations_of(USER, body))

    assert (400, scim_type) == (refused.value.status, refused.value.scim_type)


characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
names = st.sampled_from(
    [
        *(
            *SINGLE,
            *NAMES,
            *ENTERPRISE,
            MANAGER,
            *PLURAL,
            *UNKNOWN,
            *CLEARABLE,
            CUSTOM,
            ENTERPRISE_USER,
            USER_URN,
            GROUP_URN,
            f"{CUSTOM}:x",
        ),
        *(
            "active",
            "userName",
            "password",
            "schemas",
            "id",
            "meta",
            "meta.created",
            "groups",
            "emails.primary",
            "emails.type",
            "manager.value",
        ),
        *(
            "manager.displayName",
            "urn:",
            "urn:x",
            "URN:x:y",
            f"{USER_URN}:",
            f"{ENTERPRISE_USER}:",
            f"{ENTERPRISE_USER}:manager.value",
            "",
            " ",
            ".",
        ),
        *(
            'emails[type eq "work"].value',
            'emails[type eq "work"]',
            'emails[primary eq "True"].value',
            "roles[primary eq true].display",
        ),
        *(
            'emails[not (type eq "work")].value',
            'emails[value co "a"].type',
            "emails[type pr].primary",
            'addresses[type eq "x"].region',
            "schemas[value eq 1]",
        ),
        *("value", "type", "primary", "display", "displayName", "$ref"),
    ]
)
scalars: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, False, "", "True", "x", 0, 1.5, {}, [], '{"value":"25","displayName":"R"}', "\x01"]
)
values = st.recursive(
    scalars | texts,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names | st.text(characters, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
ops = st.sampled_from(["add", "Replace", "remove", "Add"])
# Half of them are nearly right: of the others something is wrong almost always.
any_operation = st.fixed_dictionaries(
    {"op": ops},
    optional={
        "path": names | st.text(characters, max_size=5),
        "value": values | st.dictionaries(names, values, max_size=2),
    },
) | st.fixed_dictionaries({"op": ops, "path": names, "value": texts | values})
any_operations = st.lists(any_operation, min_size=1, max_size=2) | st.lists(
    any_operation | values, min_size=1, max_size=3
)


@examples(400)
@given(before=documents, operations=any_operations)
@example(before={"userName": "x"}, operations=[operation("add", "URN:contoso:1.0:User", ["a"])])
@example(before={"userName": "x"}, operations=[operation("add", "schemas", ["a"])])
@example(before={"userName": "x"}, operations=[operation("add", ENTERPRISE_USER, "text")])
@example(before={"userName": "x"}, operations=[operation("add", "urn:x", "text")])
def test_any_json_is_carried_out_or_refused(before: JSON, operations: list[Any]) -> None:
    """Whatever the operations hold ends in a document that can be stored, or in a 400."""
    after = outcome(lambda: patched(before, *operations))

    if isinstance(after, ScimError):
        assert 400 == after.status
        assert after.body()
    else:
        check_storable(after)


# The strict subset --------------------------------------------------------------------------------------------------

OracleUser = scim2_models.User[EnterpriseUser]
STRICT_LISTS = {
    "emails": generated.several(value=st.sampled_from(EMAILS), type=types),
    "phoneNumbers": generated.several(value=texts, type=types),
    "roles": generated.several(value=texts, type=types),
}


@st.composite
def strict(draw: st.DrawFn) -> JSON:
    """An operation on which RFC 7644 leaves no doubt."""
    op = draw(st.sampled_from(["add", "replace"]))
    name = draw(st.sampled_from(sorted(STRICT_LISTS)))
    value = st.sampled_from(EMAILS) if name == "emails" else texts
    match draw(st.integers(0, 6)):
        case 0:
            return operation(op, draw(st.sampled_from([*SINGLE, *NAMES, *ENTERPRISE])), draw(texts))
        case 1:
            return operation("remove", draw(st.sampled_from([*SINGLE, *NAMES, *ENTERPRISE, *STRICT_LISTS, "name"])))
        case 2:
            return operation(op, f'{name}[type eq "{draw(types)}"].value', draw(value))
        case 3:
            return operation("remove", f'{name}[type eq "{draw(types)}" and value pr]')
        case 4:
            return operation("replace", name, draw(STRICT_LISTS[name]))
        case 5:
            return operation("add", name, draw(STRICT_LISTS[name].map(lambda elements: elements[:1])))
        case _:
            return operation(op, f'{name}[type eq "{draw(types)}"].primary', True)


@examples(150)
@given(before=documents, operations=st.lists(strict(), min_size=1, max_size=4))
def test_where_the_standard_is_clear_scim2_models_agrees(before: JSON, operations: list[JSON]) -> None:
    """Of what it carries out, the same comes; it has no upsert, so that it refuses some."""
    before = {name: value for name, value in before.items() if name not in (CUSTOM, "x509Certificates", "ims")}
    # Where a value is added again with another `primary`, it becomes two there: it has to be new.
    values = [each["value"] for each in operations if isinstance(each.get("value"), list)]
    assume(
        not any(
            same_value(one, held)
            for new in values
            for one in new
            for name in STRICT_LISTS
            for held in [*before.get(name, []), *(x for other in values if other is not new for x in other)]
        )
    )
    resource = OracleUser.model_validate({"schemas": [USER_URN, ENTERPRISE_USER], **before})
    try:
        scim2_models.PatchOp[OracleUser].model_validate(patch_body(*operations)).patch(resource)
    except (scim2_models.SCIMException, ValueError, AttributeError):
        # AttributeError: on Python 3.11.2 it cannot copy some of its own enumerations.
        assume(False)

    expected = {name: value for name, value in resource.model_dump().items() if name not in ("schemas", "meta")}
    assert tidy(expected) == tidy(patched(before, *operations))


def same_value(one: JSON, other: JSON) -> bool:
    return folded(one.get("value", "")) == folded(other.get("value", ""))


def tidy(resource: Any) -> Any:
    """Leave out what says nothing: nulls, empties, and `primary` where it is false. The library changes types' case."""
    if isinstance(resource, dict):
        kept = {name: tidy(value) for name, value in resource.items() if not (name == "primary" and value is False)}
        kept |= {"type": folded(kept["type"])} if "type" in kept else {}
        return {name: value for name, value in kept.items() if value not in (None, {}, [])}
    return [tidy(each) for each in resource] if isinstance(resource, list) else resource


# PATCH, then GET ----------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """What a user is to this test: texts by path, and typed lists."""

    texts: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[JSON]] = field(default_factory=dict)
    active: bool = True

    def set(self, path: str, value: str) -> None:
        """Set a single value, or with nothing clear it."""
        self.texts.pop(path, None)
        if value:
            self.texts[path] = value

    def set_typed(self, name: str, kind: str, value: str) -> None:
        """Set the value of the one element of a type, which is made when there is none; with nothing it goes."""
        held = self.lists.setdefault(name, [])
        mine = next((element for element in held if element["type"] == kind), None)
        if not value:
            self.lists[name] = [element for element in held if element is not mine]
        elif mine is not None:
            mine["value"] = value
        else:
            first: JSON = {} if held else {"primary": True}
            held.append({"type": kind, "value": value, **first})

    def resource(self) -> JSON:
        """Write it down as SCIM does."""
        found: JSON = {"active": self.active}
        for path, value in self.texts.items():
            urn, _, name = path.rpartition(":")
            home = found.setdefault(urn, {}) if urn else found
            head, _, sub = name.partition(".")
            if name == "manager":
                home[name] = {"value": value}
            elif sub:
                home.setdefault(head, {})[sub] = value
            else:
                home[name] = value
        return {**found, **{name: held for name, held in self.lists.items() if held}}


@st.composite
def steps(draw: st.DrawFn) -> tuple[JSON, Callable[[Model], None]]:
    """One operation as Entra writes it, and what it does to the model."""
    op = draw(st.sampled_from(["Add", "Replace", "add", "replace"]))
    removing = draw(st.integers(0, 4)) == 0
    value = "" if removing else draw(texts)
    match draw(st.integers(0, 4)):
        case 0:
            path = draw(st.sampled_from([*SINGLE, *NAMES, *ENTERPRISE]))
            return written(draw, op, path, value), lambda model: model.set(path, value)
        case 1:
            boss = "" if removing else draw(st.sampled_from(EXACT))
            sent = draw(st.sampled_from([boss, {"value": boss}, [{"value": boss}]]))
            return written(draw, op, MANAGER, sent, removed=not boss), lambda model: model.set(MANAGER, boss)
        case 2:
            active = draw(st.booleans())
            said = draw(st.sampled_from([active, str(active)]))

            def activate(model: Model) -> None:
                model.active = active

            return written(draw, op, "active", said, removed=False), activate
        case _:
            name = draw(st.sampled_from(["emails", "phoneNumbers", "ims", "entitlements"]))
            kind = draw(types)
            path = f'{name}[type eq "{kind}"].value'
            return written(draw, op, path, value), lambda model: model.set_typed(name, kind, value)


def written(draw: st.DrawFn, op: str, path: str, value: Any, *, removed: bool | None = None) -> JSON:
    removed = value == "" if removed is None else removed
    if removed and draw(st.booleans()):
        return operation(draw(st.sampled_from(["Remove", "remove"])), path)
    if draw(st.integers(0, 2)) == 0:
        return {"op": op, "value": {path: value}}
    return operation(op, path, value)


def call(method: str, key: str, body: Any = None) -> Call:
    return Call(
        method, "https://scim.example", key, {}, {}, b"" if body is None else json.dumps(body).encode(), Limits()
    )


def sent(directory: Directory, endpoint: Callable[[Work, Call], Answer], made: Call) -> Answer:
    return directory.write(lambda work: endpoint(work, made))


def got(directory: Directory, endpoint: Callable[[Work, Call], Answer], key: str) -> JSON:
    answer: JSON = json.loads(directory.read(lambda work: endpoint(work, call("GET", key))).body)
    return answer


def attributes(answer: JSON) -> JSON:
    return {name: value for name, value in answer.items() if name not in ("schemas", "id", "meta", "userName")}


@pytest.fixture(scope="module")
def directory(core: Core) -> Directory:
    made = core.directory()
    sent(made, users.create, call("POST", "", {"userName": "taken@contoso.com"}))
    return made


@examples(40)
@given(rounds=st.lists(st.lists(steps(), min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_get_shows_what_the_patches_came_to(
    directory: Directory, rounds: list[list[tuple[JSON, Callable[[Model], None]]]]
) -> None:
    """PATCH by PATCH, the answer and a GET are what the model says; and a version counts changes, nothing else."""
    key = str(uuid.uuid4())
    sent(directory, users.create, call("POST", key, {"userName": key}))
    model = Model()
    before = got(directory, users.read, key)

    for operations in rounds:
        answer = sent(directory, users.update, call("PATCH", key, patch_body(*(each for each, _ in operations))))
        for _, change in operations:
            change(model)

        after = got(directory, users.read, key)
        assert json.loads(answer.body) == after
        assert model.resource() == attributes(after)
        assert (attributes(before) == attributes(after)) == (before["meta"]["version"] == after["meta"]["version"])
        assert not answer.notes
        before = after


SPOILERS = [
    operation("replace", "active", "maybe"),
    operation("remove", "userName"),
    operation("replace", "id", "x"),
    operation("add", 'emails[type co "x"].value', "x"),
    operation("add", "emails[type", "x"),
    operation("replace", "title", 5),
    operation("replace", f"{ENTERPRISE_USER}:manager", 5),
    operation("add", "roles", [{"value": "a", "primary": True}, {"value": "b", "primary": True}]),
    {"op": "erase", "path": "title"},
    operation("replace", "userName", "TAKEN@contoso.com"),
]


@examples(40)
@given(operations=st.lists(known_operations, max_size=4), spoiler=st.sampled_from(SPOILERS), at=st.integers(0, 4))
def test_all_operations_or_none(directory: Directory, operations: list[JSON], spoiler: JSON, at: int) -> None:
    """One that is refused, at whatever place, leaves the user to the byte as it was; also when the name is taken."""
    key = str(uuid.uuid4())
    sent(directory, users.create, call("POST", key, {**a_user(), "userName": key}))
    before = got(directory, users.read, key)

    with pytest.raises((ScimError, DomainError)):
        sent(directory, users.update, call("PATCH", key, patch_body(*operations[:at], spoiler, *operations[at:])))

    assert before == got(directory, users.read, key)


# Members ------------------------------------------------------------------------------------------------------------

PEOPLE = tuple(f"0193-p{n}" for n in range(5))
people = st.lists(st.sampled_from(PEOPLE), max_size=4)


@pytest.fixture(scope="module")
def populated(core: Core) -> Directory:
    made = core.directory()
    for key in PEOPLE:
        sent(made, users.create, call("POST", key, {"userName": key}))
    return made


@st.composite
def member_steps(draw: st.DrawFn) -> tuple[JSON, Callable[[set[str]], set[str]]]:
    """One operation on members in one of its many spellings, and what it does to a set."""
    ids = draw(people)
    listed = [
        {"value": key, **draw(st.sampled_from([{}, {"$ref": None}, {"type": "User", "display": "x"}]))} for key in ids
    ]
    match draw(st.integers(0, 6)):
        case 0:
            return operation("Add", "members", listed), lambda members: members | set(ids)
        case 1:
            return {"op": "add", "value": {"members": listed}}, lambda members: members | set(ids)
        case 2:
            return operation("Remove", "members", listed), lambda members: members - set(ids)
        case 3:
            key = draw(st.sampled_from(PEOPLE))
            return operation("remove", f'members[value eq "{key}"]'), lambda members: members - {key}
        case 4:
            return operation("replace", "Members", listed), lambda _: set(ids)
        case 5:
            key = draw(st.sampled_from(PEOPLE))
            return operation("remove", f'members[value ne "{key}"]'), lambda members: members & {key}
        case _:
            return operation("remove", "members"), lambda _: set()


@examples(40)
@given(rounds=st.lists(st.lists(member_steps(), min_size=1, max_size=5), min_size=1, max_size=3))
def test_members_are_a_set(
    populated: Directory, rounds: list[list[tuple[JSON, Callable[[set[str]], set[str]]]]]
) -> None:
    """Adding, removing and replacing in any order and spelling is what it is of sets; no change counts no version."""
    key = str(uuid.uuid4())
    sent(populated, groups.create, call("POST", key, {"displayName": key}))
    members: set[str] = set()
    version = got(populated, groups.read, key)["meta"]["version"]

    for operations in rounds:
        sent(populated, groups.update, call("PATCH", key, patch_body(*(each for each, _ in operations))))
        before = members
        for _, change in operations:
            members = change(members)

        after = got(populated, groups.read, key)
        assert members == {each["value"] for each in after.get("members", [])}
        if before != members:
            assert version != after["meta"]["version"]
        version = after["meta"]["version"]
        again = sent(
            populated,
            groups.update,
            call("PATCH", key, patch_body(operation("add", "members", [{"value": each} for each in members] or []))),
        )
        assert version == again.headers["ETag"]


def test_a_selection_of_members_sees_what_was_done_before(populated: Directory) -> None:
    """Operations count in the order sent (RFC 7644 §3.5.2), also where a filter selects members."""
    key = str(uuid.uuid4())
    sent(populated, groups.create, call("POST", key, {"displayName": key, "members": [{"value": PEOPLE[0]}]}))

    sent(
        populated,
        groups.update,
        call(
            "PATCH",
            key,
            patch_body(
                operation("add", "members", [{"value": PEOPLE[1]}, {"value": PEOPLE[2]}]),
                operation("remove", f'members[type eq "user" and not (value eq "{PEOPLE[1]}")]'),
            ),
        ),
    )

    assert [PEOPLE[1]] == [each["value"] for each in got(populated, groups.read, key)["members"]]


def test_an_unknown_member_undoes_the_whole_patch(populated: Directory) -> None:
    """Also the rename beside it, and the members that do exist."""
    sent(
        populated,
        groups.create,
        call("POST", "0193-gone", {"displayName": "before", "members": [{"value": PEOPLE[0]}]}),
    )
    before = got(populated, groups.read, "0193-gone")

    with pytest.raises(DomainError):
        sent(
            populated,
            groups.update,
            call(
                "PATCH",
                "0193-gone",
                patch_body(
                    operation("replace", "displayName", "after"),
                    operation("remove", "members"),
                    operation("add", "members", [{"value": PEOPLE[1]}, {"value": "nobody"}]),
                ),
            ),
        )

    assert before == got(populated, groups.read, "0193-gone")
