"""The catalogue of card fields: what of a user counts as what, which phone numbers can be shown, what a template takes."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_core import fields
from app_core.errors import Invalid
from app_core.fields import (
    GENERAL,
    SOURCES,
    Kind,
    Mode,
    TemplateField,
    directory_values,
    is_web_address,
    parse_fields,
    phone_problem,
    problems_of,
    read_fields,
    require_value,
    stored_fields,
)
from tests.builders import ENTERPRISE_USER, a_user

VALID = "+14255550123"

# What the directory says --------------------------------------------------------------------------------------------


def test_each_source_has_its_attribute() -> None:
    """Every source but the photo is read from where Entra's mapping puts it."""
    user = a_user(
        1,
        phoneNumbers=[
            {"type": "fax", "value": "+1 858 555 0111"},
            {"type": "work", "value": "+18585550109", "primary": True},
            {"type": "mobile", "value": "+18585550110"},
        ],
        **{ENTERPRISE_USER: {"department": "Tours", "organization": "Contoso"}},
    )
    expected = {
        "given_name": "Barbara",
        "surname": "Jensen 1",
        "display_name": "Barbara Jensen 1",
        "job_title": "Tour Guide",
        "department": "Tours",
        "company": "Contoso",
        "business_phone": "+18585550109",
        "mobile_phone": "+18585550110",
        "fax_number": "+1 858 555 0111",
        "address": "18/2111",
        "email": "person1@contoso.com",
    }

    assert expected == directory_values(user)
    assert set(SOURCES) - {"photo"} == set(expected)


@given(st.text(min_size=1).filter(lambda text: bool(text.strip())))
def test_values_are_exactly_as_sent(text: str) -> None:
    """Capitals, blanks and line breaks included (C5)."""
    user = {
        "displayName": text,
        "title": text,
        "phoneNumbers": [{"type": "work", "value": text}],
        "addresses": [{"type": "work", "formatted": text}],
    }

    assert dict.fromkeys(["display_name", "job_title", "business_phone", "address"], text) == directory_values(user)


@pytest.mark.parametrize(
    "user",
    [
        {},
        {"displayName": "", "title": "  ", "name": {}, "emails": [], "phoneNumbers": [], "addresses": []},
        {"name": {"givenName": ""}, "phoneNumbers": [{"type": "work"}], "addresses": [{"type": "work"}]},
        {"phoneNumbers": [{"value": VALID}], "addresses": [{"type": "home", "formatted": "at home"}]},
        {"emails": [{"type": "home", "value": "home@example.com"}], ENTERPRISE_USER: {"department": "\n"}},
        {"name": "Barbara", "phoneNumbers": "none", "addresses": [None], ENTERPRISE_USER: None},
    ],
)
def test_what_is_blank_or_elsewhere_says_nothing(user: dict[str, Any]) -> None:
    """A type that no card knows is left alone, and so is what has no value."""
    assert {} == directory_values(user)


def test_an_address_that_is_not_written_out_is_its_parts() -> None:
    """Each part on its line, in the order in which an address is read."""
    parts = {"country": "US", "locality": "San Diego", "streetAddress": "9256 Towne Center Dr.\nSuite 2", "region": ""}

    assert {"address": "9256 Towne Center Dr.\nSuite 2\nSan Diego\nUS"} == directory_values(
        {"addresses": [{"type": "home", "formatted": "no"}, {"type": "Work", **parts}]}
    )


@pytest.mark.parametrize(
    ("emails", "expected"),
    [
        ([{"type": "work", "value": "work"}, {"type": "other", "value": "first", "primary": True}], "first"),
        ([{"type": "other", "value": "other"}, {"type": "WORK", "value": "work"}], "work"),
        ([{"type": "other", "value": "other"}, {"value": "bare"}], "bare"),
    ],
)
def test_the_address_of_a_card(emails: list[dict[str, Any]], expected: str) -> None:
    """The primary one, else that of work, else one without a type."""
    assert {"email": expected} == directory_values({"emails": emails})


# Phone numbers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [VALID, "+442071838750", "+4930123456", "+80012345678", "+18585550109"])
def test_inv_18_valid_numbers_are_shown(number: str) -> None:
    """E.164 as sent, of any country."""
    assert phone_problem(number) is None


@pytest.mark.parametrize(
    ("number", "part"),
    [
        ("4255550123", "does not begin with '+'"),
        ("(425) 555-0100", "does not begin with '+'"),
        ("0049 30 123456", "does not begin with '+'"),
        ("", "does not begin with '+'"),
        ("+1 425 555 0100", "without blanks"),
        ("+1-425-555-0100", "without blanks"),
        (" " + VALID, "without blanks"),
        (VALID + "\n", "without blanks"),
        (VALID + ";ext=12", "without blanks"),
        ("+1425555٠100", "without blanks"),
        ("+012345678", "No country code begins with 0"),
        ("+49301", "5 digits"),
        ("+1234567890123456", "16 digits"),
        ("+", "0 digits"),
        ("+999123456", "given to no country"),
        ("+1425555010", "too few or too many digits"),
        ("+11234567890", "no such number"),
    ],
)
def test_inv_18_other_numbers_have_a_reason(number: str, part: str) -> None:
    """The sentence says what is wrong, and never the number itself."""
    reason = phone_problem(number)

    assert reason is not None
    assert part in reason
    assert len(number) < 5 or number not in reason


@given(st.text())
def test_only_e164_is_ever_shown(text: str) -> None:
    """Whatever else is sent has a reason."""
    if phone_problem(text) is None:
        assert fields.E164.fullmatch(text)


def test_a_user_with_invalid_numbers() -> None:
    """Each number that a card could show is named by its path in SCIM, as sent, with the reason."""
    user = {
        "phoneNumbers": [
            {"type": "work", "value": VALID},
            {"type": "mobile", "value": "+1 425 555 0101"},
            {"type": "Fax", "value": "none"},
            {"type": "home", "value": "not on a card"},
        ]
    }
    [mobile, fax] = problems_of(user)

    assert ('phoneNumbers[type eq "mobile"].value', "+1 425 555 0101") == (mobile["attribute"], mobile["value"])
    assert ('phoneNumbers[type eq "fax"].value', "none") == (fax["attribute"], fax["value"])
    assert "without blanks" in mobile["reason"]
    assert [] == problems_of({"phoneNumbers": user["phoneNumbers"][:1]})


def test_users_without_phones_do_not_load_the_numbering_plans() -> None:
    """They take 25 ms and more, at start-up or with the first user that has no phone at all."""
    code = (
        "import sys; from app_core.fields import problems_of; problems_of({}); sys.exit('phonenumbers' in sys.modules)"
    )

    assert 0 == subprocess.run([sys.executable, "-c", code]).returncode


# The fields of a template -------------------------------------------------------------------------------------------

flags = st.booleans()
lines = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=40).filter(str.strip)
sources_of = {kind: [None, *(name for name, held in SOURCES.items() if held is kind)] for kind in Kind}
sources_of[Kind.TEXT] += ["address", "email"]


any_key = st.sampled_from(sorted(GENERAL)) | st.from_regex(fields.KEY, fullmatch=True)


@st.composite
def template_fields(draw: st.DrawFn, keys: st.SearchStrategy[str] = any_key) -> TemplateField:
    """Any field that a template can have."""
    key = draw(keys)
    kind = Kind.TEXT if key in GENERAL else draw(st.sampled_from(Kind))
    source = draw(st.sampled_from(sources_of[kind]))
    mode = Mode.NONE if source is None else draw(st.sampled_from(Mode))
    placeholder = draw(st.none() | lines)
    return TemplateField(key, draw(lines), kind, source, mode, draw(flags), draw(flags), placeholder)


field_lists = st.lists(template_fields(), max_size=12, unique_by=lambda field: field.key)


@given(field_lists)
def test_fields_survive_the_wire_and_the_store(found: list[TemplateField]) -> None:
    """What is written as JSON is read as the same, and what is stored likewise."""
    wire = orjson.loads(stored_fields(found))
    parsed = parse_fields(wire)

    assert {field.key: field for field in found} == {field.key: field for field in parsed}
    assert parsed == read_fields(stored_fields(parsed))
    assert parsed == parse_fields(orjson.loads(stored_fields(parsed)))


@given(field_lists)
def test_general_fields_come_first(found: list[TemplateField]) -> None:
    """In their fixed order, whatever order was sent; the others in the order sent (C1)."""
    sent = [field.key for field in found]
    stored = [field.key for field in parse_fields(orjson.loads(stored_fields(found)))]
    general = [key for key in GENERAL if key in sent]

    assert [*general, *(key for key in sent if key not in GENERAL)] == stored


def one(**members: Any) -> TemplateField:
    [field] = parse_fields([members])
    return field


def test_defaults() -> None:
    """A key is enough: nothing is kept in sync unless it is said, and what nothing fills is open to the person."""
    assert TemplateField("name", "Name", Kind.TEXT, None, Mode.NONE, True, False, None) == one(key="name")
    assert TemplateField("pet_name", "Pet name", Kind.TEXT, None, Mode.NONE, True, False, None) == one(key="pet_name")


@pytest.mark.parametrize(
    ("key", "source"),
    [("name", "display_name"), ("title", "job_title"), ("department", "department"), ("company", "company")],
)
def test_general_fields_know_their_source(key: str, source: str) -> None:
    """The mode alone is enough to keep them in sync."""
    field = one(key=key, mode="always")

    assert (source, Mode.ALWAYS, Kind.TEXT, False) == (field.source, field.mode, field.kind, field.editable)


def test_naming_a_source_keeps_in_sync() -> None:
    """It says the kind as well."""
    field = one(key="mobile", source="mobile_phone")

    assert ("Mobile", Kind.PHONE, Mode.ALWAYS) == (field.label, field.kind, field.mode)
    assert Mode.NONE is one(key="mobile", source="mobile_phone", mode="none").mode
    assert Kind.TEXT is one(key="office", source="address", kind="text").kind
    assert "address" == one(key="headline", source="address").source


@pytest.mark.parametrize(
    ("raw", "part"),
    [
        ("name", "fields: a list"),
        ({"key": "name"}, "fields: a list"),
        (None, "fields: a list"),
        (["name"], "fields[0]: a field is an object"),
        ([{}], "fields[0].key: "),
        ([{"key": "Name"}], "fields[0].key: "),
        ([{"key": "1st"}], "fields[0].key: "),
        ([{"key": "a" * 41}], "fields[0].key: "),
        ([{"key": "name\n"}], "fields[0].key: "),
        ([{"key": "a"}, {"key": "b", "colour": 1}], "fields[1] ('b'): a field has no member 'colour'"),
        ([{"key": "a"}, {"key": "b"}, {"key": "a"}], "fields[2].key: there is a field 'a' already"),
        ([{"key": "a", "mode": "sometimes"}], "fields[0] ('a').mode: 'sometimes' is none of always, initial, none"),
        ([{"key": "a", "mode": None}], "fields[0] ('a').mode: "),
        ([{"key": "a", "mode": []}], "fields[0] ('a').mode: "),
        ([{"key": "a", "mode": "always"}], "fields[0] ('a').source: mode 'always' needs a source"),
        ([{"key": "pronouns", "mode": "initial"}], "fields[0] ('pronouns').source: mode 'initial' needs a source"),
        ([{"key": "a", "source": "shoe_size"}], "fields[0] ('a').source: the directory has no 'shoe_size'"),
        ([{"key": "a", "source": 1}], "fields[0] ('a').source: "),
        ([{"key": "a", "kind": "number"}], "fields[0] ('a').kind: 'number' is none of"),
        ([{"key": "title", "kind": "phone"}], "fields[0] ('title').kind: a general field holds text"),
        ([{"key": "a", "kind": "text", "source": "fax_number"}], "fields[0] ('a').source: 'fax_number' fills"),
        ([{"key": "title", "source": "fax_number"}], "fields[0] ('title').source: 'fax_number' fills"),
        ([{"key": "a", "kind": "phone", "source": "surname"}], "fields[0] ('a').source: 'surname' fills"),
        ([{"key": "a", "kind": "text", "source": "photo"}], "fields[0] ('a').source: 'photo' fills"),
        ([{"key": "a", "label": ""}], "fields[0] ('a').label: "),
        ([{"key": "a", "label": "x" * 101}], "fields[0] ('a').label: "),
        ([{"key": "a", "label": "two\nlines"}], "fields[0] ('a').label: "),
        ([{"key": "a", "label": 7}], "fields[0] ('a').label: "),
        ([{"key": "a", "placeholder": "nul\0"}], "fields[0] ('a').placeholder: "),
        ([{"key": "a", "editable": "yes"}], "fields[0] ('a').editable: it is true or false"),
        ([{"key": "a", "required": None}], "fields[0] ('a').required: it is true or false"),
        ([{"key": f"a{n}"} for n in range(101)], "fields: there are 101"),
    ],
)
def test_what_is_wrong_is_named(raw: Any, part: str) -> None:
    """A refusal says which field it is and what is wrong with it."""
    with pytest.raises(Invalid) as refused:
        parse_fields(raw)

    assert part in refused.value.sentence


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*fields.MEMBERS, "x"]) | st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_read_or_refused(raw: Any) -> None:
    """Nothing that a client can send breaks the reader."""
    try:
        parsed = parse_fields(raw)
    except Invalid:
        return
    assert parsed == read_fields(stored_fields(parsed))


# Values that people type --------------------------------------------------------------------------------------------


def of_kind(kind: Kind) -> TemplateField:
    return one(key="it", kind=kind)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Kind.TEXT, "  as It is\n\tline by line "),
        (Kind.ADDRESS, "9256 Towne Center Dr.\r\nSan Diego"),
        (Kind.PHONE, VALID),
        (Kind.PHONE, ""),
        (Kind.EMAIL, "barbara.jensen+card@contoso.com"),
        (Kind.URL, "https://例え.jp:8443/a?b=c#d"),
        (Kind.URL, ""),
    ],
)
def test_values_are_taken_as_typed(kind: Kind, text: str) -> None:
    """Nothing is trimmed or rewritten; an empty text shows nothing."""
    assert text == require_value(of_kind(kind), text)


@pytest.mark.parametrize(
    ("kind", "value", "part"),
    [
        (Kind.TEXT, None, "text is expected"),
        (Kind.TEXT, 7, "text is expected"),
        (Kind.TEXT, "x" * 2001, "2001 characters"),
        (Kind.TEXT, "nul\0", "control characters"),
        (Kind.TEXT, "escape\x1b[0m", "control characters"),
        (Kind.PHONE, "+1 425 555 0100", "cannot be on a card. It holds something else"),
        (Kind.EMAIL, "barbara", "no e-mail address"),
        (Kind.URL, "javascript:alert(1)", "no web address"),
        (Kind.URL, "contoso.com", "no web address"),
        (Kind.PHOTO, "https://contoso.com/me.jpg", "upload it"),
    ],
)
def test_values_that_a_field_cannot_hold(kind: Kind, value: Any, part: str) -> None:
    """The refusal names the field."""
    with pytest.raises(Invalid) as refused:
        require_value(of_kind(kind), value)

    assert refused.value.sentence.startswith("it: ")
    assert part in refused.value.sentence


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https:///x",
        "//contoso.com",
        "https://a b",
        'https://a"b',
        "https://[",
        "https://a:0",
        "http://a",
    ],
)
def test_addresses_that_no_logo_has(text: str) -> None:
    """An absolute https URL with a host, and nothing that could end the attribute it is written into."""
    assert not is_web_address(text, "https")
    assert is_web_address("https://contoso.com/logo.svg?v=2", "https")
