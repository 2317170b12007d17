"""What a card shows: composed on reading from its template, the directory and the member's own edits.

A card is no copy (product decision 7): a change of the template or of the directory is on every card at once. What a
card keeps of its own are two small JSON objects: `overrides`, what its member typed, by field; and `initial`, what it
was filled with once, by source, and what an administrator gave with an invitation. Nothing here touches the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from app_core.errors import Invalid
from app_core.fields import SOURCES, Kind, Mode, TemplateField, phone_problem, require_value


class Template(Protocol):
    """What composing asks of a template."""

    @property
    def fields(self) -> Sequence[TemplateField]:
        """Its fields in their order."""


class Card(Protocol):
    """What composing asks of a card."""

    @property
    def overrides(self) -> str:
        """What its member typed: key of the field → text, as JSON."""

    @property
    def initial(self) -> str:
        """What it was filled with once: source → text, and what was `given`, as JSON."""


class Person(Protocol):
    """What composing asks of a person."""

    @property
    def display_name(self) -> str:
        """Their name."""

    @property
    def email(self) -> str | None:
        """Their address."""

    @property
    def photo_hash(self) -> str | None:
        """Which photo they have."""


@dataclass(frozen=True, slots=True)
class ComposedField:
    """A field of a card as it is shown, with the members that its JSON has."""

    key: str
    label: str
    kind: Kind
    value: str | None
    """Of a photo its hash."""
    source_value: str | None
    """What the directory says now, whatever the card shows."""
    placeholder: str | None
    """Shown in the place of a value, and only then."""
    editable: bool
    overridden: bool


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """Why a field shows nothing although there is something."""

    key: str
    value: str
    """What there is, for whoever has to mend it."""
    reason: str


@dataclass(frozen=True, slots=True)
class ComposedCard:
    """A card as it is shown."""

    fields: tuple[ComposedField, ...]
    incomplete: tuple[str, ...]
    """The required fields that show nothing (invariant 19)."""
    problems: tuple[FieldProblem, ...]


def compose(template: Template, card: Card, directory: Mapping[str, str] | None, person: Person | None) -> ComposedCard:
    """Say what a card shows.

    `directory` is what the directory says by source (`fields.directory_values`), None where it knows nobody;
    `person` is None while nobody has claimed the card.
    """
    overrides, initial = _read(card.overrides), _read(card.initial)
    shown, incomplete, problems = [], [], []
    for field in template.fields:
        said = _said(field, directory, person)
        overridden = field.editable and field.key in overrides and field.kind is not Kind.PHOTO
        value = overrides[field.key] if overridden else _unedited(field, said, initial, directory, person)
        # Blank is nothing; all else is shown as it is, to the last line break (C5).
        if value is not None and not value.strip():
            value = None
        reason = phone_problem(value) if field.kind is Kind.PHONE and value is not None else None
        if value is not None and reason is not None:
            problems.append(FieldProblem(field.key, value, reason))
            value = None
        if field.required and value is None:
            incomplete.append(field.key)
        shown.append(
            ComposedField(
                key=field.key,
                label=field.label,
                kind=field.kind,
                value=value,
                source_value=said,
                placeholder=field.placeholder if value is None else None,
                editable=field.editable,
                overridden=overridden,
            )
        )
    return ComposedCard(tuple(shown), tuple(incomplete), tuple(problems))


def _said(field: TemplateField, directory: Mapping[str, str] | None, person: Person | None) -> str | None:
    """Give what the directory says now for a field."""
    if field.kind is Kind.PHOTO:
        # A person has one photo, the directory's or their own: there is no former one to keep.
        return person.photo_hash if person is not None and (field.synced or field.editable) else None
    if directory is None or field.source is None or not field.synced:
        return None
    return directory.get(field.source)


def _unedited(
    field: TemplateField,
    said: str | None,
    initial: Mapping[str, str],
    directory: Mapping[str, str] | None,
    person: Person | None,
) -> str | None:
    """Give what a field shows that its member has not edited."""
    if field.kind is Kind.PHOTO:
        return said
    given_value = initial.get(GIVEN + field.key)
    if field.source is None or not field.synced:
        return given_value
    filled_with = initial.get(field.source)
    if field.mode is not Mode.INITIAL:
        # Of whom the directory knows nothing any more, the card keeps what it said last.
        filled_with = initial.get(LAST + field.source, filled_with) if directory is None else said
    value = filled_with or given_value
    if value is None and directory is None and person is not None:
        own = {"display_name": person.display_name, "email": person.email}
        return own.get(field.source)
    return value


# What a card keeps --------------------------------------------------------------------------------------------------

GIVEN = "given:"
"""Marks what an administrator gave with the invitation. No source has a colon in its name."""


LAST = "last:"
"""Marks what the directory said last of somebody whom it has forgotten."""


def with_last(initial: str, said: Mapping[str, str]) -> str:
    """Give a card's `initial` with what the directory says last, beside what the card was filled with."""
    kept = {key: value for key, value in _read(initial).items() if not key.startswith(LAST)}
    return _written({**kept, **{LAST + source: said.get(source, "") for source in SOURCES}})


def edited(template: Template, card: Card, values: Mapping[str, str | None]) -> str:
    """Give a card's `overrides` once its member has typed these values.

    None goes back to what the directory says; an empty text shows nothing. Raises Invalid for a field that is not
    there, that is not editable (invariant 19), or that cannot hold the value.
    """
    fields = {field.key: field for field in template.fields}
    before = _read(card.overrides)
    after = dict(before)
    for key, value in values.items():
        field = _require_field(fields, key)
        if not field.editable:
            raise Invalid(f"{key}: this field cannot be edited. Make it editable in the template, or leave it out.")
        if value is None:
            after.pop(key, None)
        else:
            after[key] = require_value(field, value)
    return card.overrides if after == before else _written(after)


def refilled(card: Card, directory: Mapping[str, str]) -> str:
    """Give a card's `initial` once it is filled anew with what the directory says now; what was given stays."""
    before = _read(card.initial)
    after = {**{key: value for key, value in before.items() if key.startswith((GIVEN, LAST))}, **directory}
    return card.initial if after == before else _written(after)


def _read(stored: str) -> dict[str, str]:
    read: dict[str, str] = orjson.loads(stored)
    return read


def _written(values: Mapping[str, str]) -> str:
    return orjson.dumps(values, option=orjson.OPT_SORT_KEYS).decode()


# Invitations --------------------------------------------------------------------------------------------------------


def invitation_values(
    template: Template, values: Mapping[str, str], display_name: str | None = None, email: str | None = None
) -> dict[str, str]:
    """Give the values of an invitation by field: those sent, and the name and address where the template asks for them.

    Raises Invalid for a field that is not there or that cannot hold the value.
    """
    fields = {field.key: field for field in template.fields}
    sent = {key: require_value(_require_field(fields, key), value) for key, value in values.items()}
    known = {"display_name": display_name, "email": email}
    own = {field.key: known.get(field.source or "") for field in template.fields if field.synced}
    return {**{key: value for key, value in own.items() if value}, **sent}


def missing_for_invitation(template: Template, values: Mapping[str, str]) -> list[str]:
    """List the fields that nobody could ever fill: kept in sync, not editable, and without a value (C9).

    A photo is none of them: an administrator can upload it for whoever claims the card.
    """
    return [
        field.key
        for field in template.fields
        if field.synced
        and not field.editable
        and field.kind is not Kind.PHOTO
        and not values.get(field.key, "").strip()
    ]


def given(values: Mapping[str, str]) -> str:
    """Give the `initial` of a card by invitation: its values are no edits, and stay below those of its member."""
    return _written({GIVEN + key: value for key, value in values.items() if value.strip()})


def _require_field(fields: Mapping[str, TemplateField], key: str) -> TemplateField:
    if key not in fields:
        raise Invalid(f"{key[:100]}: the template has no such field; it has {', '.join(fields) or 'none'}.")
    return fields[key]
