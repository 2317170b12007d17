"""The form of a template: what stands in it, saved or not, and what of it becomes a template.

The same form is read to save it, to preview it, and to change its list of fields, so nothing that was typed is lost
by any of them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from admin_console.look import DEFAULT
from admin_console.request import Request
from app_core.fields import GENERAL, SOURCES, Kind, Mode, TemplateField
from app_core.templates import COLOURS, Template

SOURCE_WORDS = {
    "display_name": "Display name",
    "given_name": "Given name",
    "surname": "Surname",
    "job_title": "Job title",
    "department": "Department",
    "company": "Company name",
    "email": "E-mail address",
    "business_phone": "Business phone",
    "mobile_phone": "Mobile phone",
    "fax_number": "Fax number",
    "address": "Address",
    "photo": "Photo",
}
"""What of the directory fills a field, as Entra's administrators call it."""
MODE_WORDS = {
    Mode.ALWAYS: "Kept in sync",
    Mode.INITIAL: "Filled once",
    Mode.NONE: "Not filled",
}
KIND_WORDS = {
    Kind.TEXT: "Text",
    Kind.PHONE: "Phone number",
    Kind.EMAIL: "E-mail address",
    Kind.URL: "Web address",
    Kind.ADDRESS: "Postal address",
    Kind.PHOTO: "Photo",
}
NO_LOOK = {**DEFAULT, "logo_url": "", "headline": ""}
TYPED = "typed"
"""Stands among the sources of a new field for one that its member types."""
FIRST: tuple[Mapping[str, Any], ...] = (
    {"key": "name", "mode": "always", "required": True},
    {"key": "pronouns", "placeholder": "Your pronouns"},
    {"key": "title", "mode": "always"},
    {"key": "department", "mode": "always"},
    {"key": "company", "mode": "always"},
    {"key": "photo", "label": "Photo", "source": "photo", "editable": True},
    {"key": "email", "label": "E-mail", "source": "email"},
    {"key": "business_phone", "label": "Phone", "source": "business_phone"},
    {"key": "mobile_phone", "label": "Mobile", "source": "mobile_phone", "editable": True},
    {"key": "address", "label": "Office", "source": "address"},
)
"""The fields of a new template: what most companies print."""


@dataclass(frozen=True, slots=True)
class Row:
    """A field as it stands in the form."""

    key: str
    label: str
    kind: str
    source: str
    """Empty where nothing of the directory fills it."""
    mode: str
    editable: bool
    required: bool
    placeholder: str
    on: bool = True
    """Whether the cards have it; only general fields can be off and still stand in the form."""
    unfolded: bool = field(default=False, compare=False)
    """Whether all of it is seen; what is folded is held by one hidden input."""

    @property
    def summary(self) -> str:
        """What of it is seen while it is folded."""
        if not self.on:
            return "Not on the card"
        said = [f"{SOURCE_WORDS.get(self.source, self.source)}, {MODE_WORDS[Mode(self.mode)].lower()}"]
        if not self.source or self.mode == Mode.NONE:
            said = ["Typed by the member" if self.editable else "Given with an invitation"]
        elif self.editable:
            said.append("editable")
        return " · ".join([*said, *(["required"] if self.required else [])])

    @property
    def held(self) -> str:
        """What the form is sent of it: its key, and while it is folded, what is not as it would be anyway."""
        if self.unfolded:
            return self.key
        words = {"label": self.label, "source": self.source, "placeholder": self.placeholder}
        if self.source and self.mode != Mode.ALWAYS:
            words["mode"] = self.mode
        if self.kind != SOURCES.get(self.source, Kind.TEXT):
            words["kind"] = self.kind
        marks = {"on": self.on and self.key in GENERAL, "editable": self.editable, "required": self.required}
        words |= {name: "on" for name in marks if marks[name]}
        # What joins the words is one letter in a page too, which `&` is not.
        return f"{self.key}?{urlencode({name: word for name, word in words.items() if word}).replace('&', ';')}"


@dataclass(frozen=True, slots=True)
class Draft:
    """A template as it stands in the form."""

    name: str
    look: Mapping[str, str]
    general: tuple[Row, ...]
    others: tuple[Row, ...]


def draft_of(template: Template) -> Draft:
    """Put a template into the form."""
    rows = {field.key: _row(field) for field in template.fields}
    general = tuple(rows.pop(key) if key in rows else _absent(key) for key in GENERAL)
    return Draft(template.name, {**NO_LOOK, **template.look}, general, tuple(rows.values()))


def _row(field: TemplateField) -> Row:
    return Row(
        key=field.key,
        label=field.label,
        kind=field.kind,
        source=field.source or "",
        mode=field.mode,
        editable=field.editable,
        required=field.required,
        placeholder=field.placeholder or "",
    )


def _absent(key: str) -> Row:
    label, source = GENERAL[key]
    mode = Mode.ALWAYS if source else Mode.NONE
    return Row(key, label, Kind.TEXT, source or "", mode, source is None, False, "", on=False)


# From the form ------------------------------------------------------------------------------------------------------


def read_draft(request: Request) -> Draft:
    """Read the form as it stands."""
    keys = (each.partition("?") for each in request.lists.get("field", []))
    held = {key: dict(parse_qsl(words, separator=";")) for key, _, words in keys}
    look = {name: request.text(name) for name in (*COLOURS, "logo_url", "headline")}
    general = tuple(_sent(request, key, held.get(key, {})) for key in GENERAL)
    others = tuple(_sent(request, key, words) for key, words in held.items() if key not in GENERAL)
    return Draft(request.text("name"), look, general, others)


def _sent(request: Request, key: str, held: Mapping[str, str]) -> Row:
    """Read a field from the inputs it has while it is unfolded, or from the one that holds it."""

    def sent(name: str) -> str:
        return request.text(f"{name}-{key}") or held.get(name, "")

    source = sent("source")
    mode = sent("mode") or Mode.ALWAYS
    return Row(
        key=key,
        label=sent("label"),
        kind=sent("kind") or SOURCES.get(source, Kind.TEXT),
        source=source if source in SOURCES else "",
        mode=mode if source and mode in tuple(Mode) else Mode.NONE,
        editable=bool(sent("editable")),
        required=bool(sent("required")),
        placeholder=sent("placeholder"),
        on=key not in GENERAL or bool(sent("on")),
        unfolded=key in request.lists.get("open", []),
    )


def raw_look(draft: Draft) -> dict[str, str]:
    """Give a look for the core to check; what is left as it would be anyway is not said."""
    return {name: value for name, value in draft.look.items() if value and value.lower() != DEFAULT.get(name)}


def raw_fields(draft: Draft, before: Template) -> list[dict[str, Any]]:
    """Give the fields for the core to check."""
    kinds = {field.key: (field.source or "", field.kind) for field in before.fields}
    rows = [row for row in (*draft.general, *draft.others) if row.on]
    return [_raw(row, kept=kinds.get(row.key) == (row.source, row.kind)) for row in rows]


def _raw(row: Row, *, kept: bool) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "key": row.key,
        "label": row.label or None,
        "source": row.source or None,
        "mode": row.mode,
        "editable": row.editable,
        "required": row.required,
        "placeholder": row.placeholder or None,
    }
    # What fills a field says of what kind it is; one that was made otherwise stays so until it is filled by another.
    if row.key not in GENERAL and (kept or not row.source):
        raw["kind"] = row.kind
    return {name: value for name, value in raw.items() if value is not None}


# The list of fields -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edit:
    """What a button of the list has done to it."""

    draft: Draft
    said: str
    added: str | None = None
    """The field that is new."""


def edited(draft: Draft, request: Request) -> Edit:
    """Do what a button of the list asks for: `open:KEY`, `up:KEY`, `down:KEY`, `remove:KEY`, `add`."""
    verb, _, key = request.text("do").partition(":")
    if verb == "open":
        return Edit(replace(draft, general=_opened(draft.general, key), others=_opened(draft.others, key)), "")
    if verb == "add":
        return _added(draft, request.text("add_source"), request.text("add_label"))
    keys = [row.key for row in draft.others]
    if key not in keys:
        return Edit(draft, "")
    at, label = keys.index(key), draft.others[keys.index(key)].label
    others = [row for row in draft.others if row.key != key]
    if verb == "remove":
        return Edit(replace(draft, others=tuple(others)), f"{label} is removed.")
    to = max(0, min(len(others), at + (1 if verb == "down" else -1)))
    others.insert(to, draft.others[at])
    return Edit(replace(draft, others=tuple(others)), f"{label} is at place {to + 1} of {len(keys)}.")


def _opened(rows: Sequence[Row], key: str) -> tuple[Row, ...]:
    return tuple(replace(row, unfolded=row.unfolded or row.key == key) for row in rows)


def _added(draft: Draft, source: str, label: str) -> Edit:
    taken = {row.key for row in (*draft.general, *draft.others)}
    if source in SOURCES:
        made = Row(
            _free(source, taken), label or SOURCE_WORDS[source], SOURCES[source], source, Mode.ALWAYS, False, False, ""
        )
    else:
        label = label or "New field"
        made = Row(_free(_slug(label), taken), label, Kind.TEXT, "", Mode.NONE, True, False, "")
    made = replace(made, unfolded=True)
    return Edit(replace(draft, others=(*draft.others, made)), f"{made.label} is added at the end.", made.key)


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_0123456789")[:30] or "field"


def _free(key: str, taken: set[str]) -> str:
    numbered = (f"{key}_{number}" for number in range(2, len(taken) + 3))
    return next(each for each in (key, *numbered) if each not in taken)


def unused_sources(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Give what of the directory no field shows yet, for a new one: pairs of value and word."""
    used = {row.source for row in rows if row.on}
    return [(source, word) for source, word in SOURCE_WORDS.items() if source not in used]
