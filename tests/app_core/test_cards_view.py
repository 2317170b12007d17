"""What a card shows, composed of its template, the directory and its member's edits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_core import cards_view
from app_core.cards_view import ComposedCard, ComposedField, compose, edited, missing_for_invitation, refilled
from app_core.errors import Invalid
from app_core.fields import SOURCES, Kind, Mode, TemplateField, parse_fields, phone_problem
from tests.app_core.test_fields import VALID, template_fields

OTHER = "+442071838750"


class Template(NamedTuple):
    fields: tuple[TemplateField, ...]


class Card(NamedTuple):
    overrides: str = "{}"
    initial: str = "{}"


class Person(NamedTuple):
    display_name: str = "Barbara Jensen"
    email: str | None = "barbara@contoso.com"
    photo_hash: str | None = None


def a_template(*fields: dict[str, Any]) -> Template:
    return Template(parse_fields(fields))


def a_card(overrides: Mapping[str, str] | None = None, initial: Mapping[str, str] | None = None) -> Card:
    return Card(orjson.dumps(overrides or {}).decode(), orjson.dumps(initial or {}).decode())


def an_invitation(**values: str) -> Card:
    return Card(initial=cards_view.given(values))


BARBARA = Person()
TITLE = {"key": "title", "source": "job_title"}
MOBILE = {"key": "mobile", "source": "mobile_phone"}
NOTHING: dict[str, str] = {}


def show(template: Template, card: Card, directory: dict[str, str] | None, person: Any = BARBARA) -> ComposedCard:
    return compose(template, card, directory, person)


def shown(field: dict[str, Any], card: Card, directory: dict[str, str] | None, person: Any = BARBARA) -> str | None:
    """Give the value of the only field."""
    [field_shown] = show(a_template(field), card, directory, person).fields
    return field_shown.value


# Modes --------------------------------------------------------------------------------------------------------------


def test_always_is_what_the_directory_says_now() -> None:
    """Whatever it said when the card was issued."""
    assert "Now" == shown(TITLE, a_card(initial={"job_title": "Then"}), {"job_title": "Now"})
    assert shown(TITLE, a_card(initial={"job_title": "Then"}), NOTHING) is None


def test_initial_is_what_the_card_was_filled_with() -> None:
    """Until it is refreshed; the directory's present value is shown beside."""
    field = {**TITLE, "mode": "initial"}
    card = a_card(initial={"job_title": "Then"})
    [before] = show(a_template(field), card, {"job_title": "Now"}).fields
    refreshed = card._replace(initial=refilled(card, {"job_title": "Now"}))

    assert ("Then", "Now") == (before.value, before.source_value)
    assert "Now" == shown(field, refreshed, {"job_title": "Later"})
    assert shown(field, a_card(), {"job_title": "Now"}) is None


def test_none_is_the_members_own() -> None:
    """The directory says nothing of it, even where a source is still named."""
    field = {**TITLE, "mode": "none"}
    [untouched] = show(a_template(field), a_card(initial={"job_title": "Then"}), {"job_title": "Now"}).fields

    assert (None, None) == (untouched.value, untouched.source_value)
    assert "Mine" == shown(field, a_card({"title": "Mine"}), {"job_title": "Now"})


def test_a_value_is_shown_to_the_letter() -> None:
    """Capitals and line breaks as the directory holds them (C5)."""
    assert " 9256 Towne CENTER Dr.\r\nSan Diego\n" == shown(
        {"key": "office", "source": "address"}, a_card(), {"address": " 9256 Towne CENTER Dr.\r\nSan Diego\n"}
    )


# Edits --------------------------------------------------------------------------------------------------------------


def test_inv_19_only_an_editable_field_has_an_override() -> None:
    """What was typed while it was editable is kept, and counts again when it is editable again."""
    card = a_card({"title": "Mine"})
    [open_field] = show(a_template({**TITLE, "editable": True}), card, {"job_title": "Theirs"}).fields
    [closed] = show(a_template(TITLE), card, {"job_title": "Theirs"}).fields

    assert ("Mine", "Theirs", True, True) == (
        open_field.value,
        open_field.source_value,
        open_field.editable,
        open_field.overridden,
    )
    assert ("Theirs", False, False) == (closed.value, closed.editable, closed.overridden)


def test_an_empty_edit_hides_what_the_directory_says() -> None:
    """A member may leave a number off their card."""
    template = a_template({**MOBILE, "editable": True})
    card = Card(edited(template, a_card(), {"mobile": ""}))
    [field] = show(template, card, {"mobile_phone": VALID}).fields

    assert (None, True) == (field.value, field.overridden)


def test_an_edit_and_its_way_back() -> None:
    """None takes an edit back; the others stay; the same again is no change, to the letter."""
    template = a_template({**TITLE, "editable": True}, {"key": "headline"}, {**MOBILE, "editable": True})
    card = Card(edited(template, a_card({"headline": "Hello"}), {"title": "Mine", "mobile": VALID}))
    taken_back = edited(template, card, {"title": None})

    assert {"headline": "Hello", "title": "Mine", "mobile": VALID} == orjson.loads(card.overrides)
    assert {"headline": "Hello", "mobile": VALID} == orjson.loads(taken_back)
    assert card.overrides is edited(template, card, {"mobile": VALID, "title": "Mine"})
    assert "{}" == edited(template, a_card(), {"title": None})


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"company": "Mine"}, "company: this field cannot be edited"),
        ({"company": None}, "company: this field cannot be edited"),
        ({"shoe_size": "44"}, "shoe_size: the template has no such field; it has company, mobile, photo"),
        ({"mobile": "0123"}, "mobile: this phone number cannot be on a card. It does not begin with '+'"),
        ({"photo": "x"}, "photo: a photo is no text"),
        ({"mobile": VALID, "company": "Mine"}, "company: "),
    ],
)
def test_what_cannot_be_edited(values: dict[str, str | None], part: str) -> None:
    """The refusal names the field and what to do; nothing of it is taken."""
    template = a_template(
        {"key": "company", "source": "company"},
        {**MOBILE, "editable": True},
        {"key": "photo", "source": "photo", "editable": True},
    )
    with pytest.raises(Invalid) as refused:
        edited(template, a_card(), values)

    assert refused.value.sentence.startswith(part)


# What is missing or wrong -------------------------------------------------------------------------------------------


def test_inv_18_an_invalid_phone_is_left_off_with_its_reason() -> None:
    """Whether the directory said it or the member typed it while the field was none for phones."""
    template = a_template({**MOBILE, "editable": True, "required": True, "placeholder": "Your mobile"})
    for card in (a_card(), a_card({"mobile": "+1 425 555 0123"})):
        composed = show(template, card, {"mobile_phone": "+1 425 555 0123"})
        [field], [problem] = composed.fields, composed.problems

        assert (None, "Your mobile", "+1 425 555 0123") == (field.value, field.placeholder, field.source_value)
        assert ("mobile", phone_problem("+1 425 555 0123")) == (problem.key, problem.reason)
        assert ("mobile",) == composed.incomplete


def test_inv_19_a_required_field_without_value_is_marked() -> None:
    """In the template's order; the card is shown all the same."""
    template = a_template(
        {"key": "motto", "required": True, "placeholder": "Your motto"},
        {**TITLE, "required": True},
        {"key": "headline"},
    )
    empty = show(template, a_card({"motto": "  "}), NOTHING)
    full = show(template, a_card({"motto": "Onwards"}), {"job_title": "Guide"})

    assert ("title", "motto") == empty.incomplete
    assert [None, None, "Your motto"] == [field.placeholder for field in empty.fields]
    assert () == full.incomplete
    assert [None, None, None] == [field.placeholder for field in full.fields]


def test_general_fields_come_first() -> None:
    """The card has the order of its template, and the template that of the general fields."""
    template = a_template(MOBILE, {"key": "company"}, {"key": "name"})

    assert ["name", "company", "mobile"] == [field.key for field in show(template, a_card(), NOTHING).fields]


# People -------------------------------------------------------------------------------------------------------------


def test_a_photo_is_its_persons() -> None:
    """Shown where the template has the directory or the member give one."""
    person = Person(photo_hash="abc")

    assert "abc" == shown({"key": "photo", "source": "photo"}, a_card(), NOTHING, person)
    assert "abc" == shown({"key": "photo", "kind": "photo", "editable": True}, a_card({"photo": "x"}), NOTHING, person)
    assert shown({"key": "photo", "kind": "photo", "editable": False}, a_card(), NOTHING, person) is None
    assert shown({"key": "photo", "source": "photo"}, a_card(), None, None) is None


def test_whom_the_directory_does_not_know() -> None:
    """Their own name and address stand in; all else is theirs to type."""
    template = a_template(
        {"key": "name", "mode": "always"}, TITLE, {"key": "email", "source": "email", "mode": "initial"}
    )
    values = [field.value for field in show(template, a_card(), None, Person("Ann Lee", None)).fields]

    assert ["Ann Lee", None, None] == values
    assert "barbara@contoso.com" == shown({"key": "email", "source": "email"}, a_card(), None)


def test_who_departed_keeps_what_the_card_was_filled_with() -> None:
    """An administrator may take the card of a departed person up again: it is not empty."""
    card = a_card(initial={"job_title": "Then", "display_name": "Barbara"})

    assert "Then" == shown(TITLE, card, None)
    assert "Barbara" == shown({"key": "name", "mode": "always"}, card, None)


# Invitations --------------------------------------------------------------------------------------------------------


def test_an_invitation_shows_what_was_given() -> None:
    """Below the member's edits and the directory's word, above what the person says of itself."""
    card = an_invitation(name="Dr. Ann Lee", accreditation="MD", title=" ")
    template = a_template(
        {"key": "name", "mode": "always"}, {"key": "accreditation", "editable": False}, {**TITLE, "editable": True}
    )
    unclaimed = [field.value for field in show(template, card, None, None).fields]
    claimed = show(template, card._replace(overrides='{"title":"Surgeon"}'), None, Person("annie")).fields
    known = [field.value for field in show(template, card, {"display_name": "Ann Lee"}).fields]

    assert ["Dr. Ann Lee", "MD", None] == unclaimed
    assert ["Dr. Ann Lee", "MD", "Surgeon"] == [field.value for field in claimed]
    assert [False, False, True] == [field.overridden for field in claimed]
    assert ["Ann Lee", "MD", None] == known


def test_refreshing_keeps_what_was_given() -> None:
    """And forgets what the directory no longer says; the same again is no change, to the letter."""
    card = Card(initial=orjson.dumps({"job_title": "Then", "surname": "Lee", "given:title": "Guest"}).decode())
    after = refilled(card, {"job_title": "Now"})

    assert {"job_title": "Now", "given:title": "Guest"} == orjson.loads(after)
    assert after is refilled(Card(initial=after), {"job_title": "Now"})


def test_what_nobody_could_fill() -> None:
    """Kept in sync, not editable, no value: named in the template's order (C9). A photo can be uploaded."""
    template = a_template(
        MOBILE,
        {"key": "name", "mode": "always"},
        {**TITLE, "mode": "initial"},
        {"key": "department", "mode": "always", "editable": True},
        {"key": "headline", "required": True},
        {"key": "photo", "source": "photo"},
    )

    assert ["name", "title", "mobile"] == missing_for_invitation(template, {})
    assert ["title"] == missing_for_invitation(template, {"name": "Ann", "title": " ", "mobile": VALID})


def test_the_values_of_an_invitation() -> None:
    """Its name and address fill the fields that ask for them, unless a value was sent."""
    template = a_template(
        {"key": "name", "mode": "always"}, {"key": "mail", "source": "email"}, {"key": "headline"}, MOBILE
    )

    assert {"name": "Ann Lee", "mail": "ann@example.com", "headline": "Hello"} == cards_view.invitation_values(
        template, {"headline": "Hello"}, "Ann Lee", "ann@example.com"
    )
    assert {"name": "Dr. Ann Lee"} == cards_view.invitation_values(template, {"name": "Dr. Ann Lee"}, "Ann Lee")
    for values, part in (({"x": "1"}, "x: the template has no such field"), ({"mobile": "1"}, "mobile: this phone")):
        with pytest.raises(Invalid) as refused:
            cards_view.invitation_values(template, values)
        assert refused.value.sentence.startswith(part)


# Properties ---------------------------------------------------------------------------------------------------------

keys = st.sampled_from(["name", "title", "headline", "a", "b", "c", "d"])
texts = st.sampled_from(["", " ", "Text\n", VALID, OTHER, "+1 425 555 0123"]) | st.text(max_size=8)
templates = st.builds(
    lambda fields: Template(parse_fields(orjson.loads(orjson.dumps(fields)))),
    st.lists(template_fields(keys), max_size=6, unique_by=lambda field: field.key),
)
directories = st.dictionaries(st.sampled_from([name for name in SOURCES if name != "photo"]), texts)
kept = st.dictionaries(st.sampled_from([*SOURCES, *(f"given:{key}" for key in "abc")]), texts)
cards = st.builds(a_card, st.dictionaries(keys, texts), kept)
people = st.none() | st.builds(Person, texts, st.none() | texts, st.none() | st.just("hash"))


@given(templates, cards, st.none() | directories, people)
def test_what_is_true_of_every_card(
    template: Template, card: Card, directory: dict[str, str] | None, person: Person | None
) -> None:
    """Whatever the template, the edits and the directory are."""
    composed = compose(template, card, directory, person)
    problems = {problem.key for problem in composed.problems}

    assert [field.key for field in template.fields] == [field.key for field in composed.fields]
    for field, asked in zip(composed.fields, template.fields, strict=True):
        assert field.value is None or field.value.strip()
        assert field.placeholder == (asked.placeholder if field.value is None else None)
        assert (field.key in composed.incomplete) == (asked.required and field.value is None)
        assert field.key not in problems or field.value is None
        assert asked.editable or not field.overridden
        if field.kind is Kind.PHONE and field.value is not None:
            assert phone_problem(field.value) is None
        if field.value is not None:
            assert field.value in everything_said(card, directory, person)
        if asked.mode is Mode.ALWAYS and directory is not None and not field.overridden and field.source_value:
            assert field.value in (field.source_value, None)


def everything_said(card: Card, directory: dict[str, str] | None, person: Person | None) -> list[Any]:
    """Values are never made up nor rewritten: each was said by somebody."""
    kept_values = [*orjson.loads(card.overrides).values(), *orjson.loads(card.initial).values()]
    return [*kept_values, *(directory or {}).values(), *(person or ())]


@given(templates, cards, directories, st.dictionaries(keys, st.none() | texts))
def test_editing_and_refreshing_twice_is_once(
    template: Template, card: Card, directory: dict[str, str], values: dict[str, str | None]
) -> None:
    """What is so already changes nothing, to the letter; what is taken is on the card or has a problem."""
    refreshed = refilled(card, directory)
    assert refreshed is refilled(Card(initial=refreshed), directory)
    try:
        once = edited(template, card, values)
    except Invalid:
        return
    after = Card(once, card.initial)
    assert once is edited(template, after, values)
    composed = {field.key: field for field in compose(template, after, directory, None).fields}
    for key, value in values.items():
        assert composed[key].overridden == (value is not None)
        assert value is None or composed[key].value == (value if value.strip() else None)


@given(templates, st.dictionaries(keys, texts), directories)
def test_an_invitation_that_is_not_refused_can_be_filled(
    template: Template, values: dict[str, str], directory: dict[str, str]
) -> None:
    """Each synced field has a value, or its holder may type one."""
    try:
        known = cards_view.invitation_values(template, values)
    except Invalid:
        return
    missing = missing_for_invitation(template, known)
    composed = compose(template, Card(initial=cards_view.given(known)), None, None)
    for field, asked in zip(composed.fields, template.fields, strict=True):
        if asked.synced and field.kind is not Kind.PHOTO:
            assert (field.key in missing) == (field.value is None and not field.editable)


def test_a_composed_card_is_json_as_it_stands() -> None:
    """The doors write it without a converter."""
    card = show(a_template({**MOBILE, "label": "Mobile", "required": True}), a_card(), {"mobile_phone": "1"})

    assert {
        "fields": [
            {
                "key": "mobile",
                "label": "Mobile",
                "kind": "phone",
                "value": None,
                "source_value": "1",
                "placeholder": None,
                "editable": False,
                "overridden": False,
            }
        ],
        "incomplete": ["mobile"],
        "problems": [{"key": "mobile", "value": "1", "reason": phone_problem("1")}],
    } == orjson.loads(orjson.dumps(card))
    assert isinstance(card.fields[0], ComposedField)
