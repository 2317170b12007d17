"""Strict readers of bodies and queries: what is unknown, of another type or out of bounds is refused by its name.

A body is a model of these; the OpenAPI description is derived from the same models (`openapi`). An absent member and
one that is null differ: `given(body)` names the members that were sent.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from app_api.exchange import DEFAULT_LIMIT, MAX_LIMIT
from app_api.problems import invalid, invalid_parameter
from app_core import clock

MOST_TEXT = 4000
WHOLE = re.compile(r"\d{1,18}", re.ASCII)
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)


class Body(BaseModel):
    """A JSON object of a request."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Query(BaseModel):
    """The parameters of a query."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Nothing(Body):
    """No members at all: such a request needs no body."""


B = TypeVar("B", bound=Body)
Q = TypeVar("Q", bound=Query)


def given(body: BaseModel) -> dict[str, Any]:
    """Give the members that were sent, with their values; null counts as sent."""
    return {name: getattr(body, name) for name in type(body).model_fields if name in body.model_fields_set}


# Types --------------------------------------------------------------------------------------------------------------


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("it holds a NUL character, which cannot be stored")
    return text


def _printable(text: str) -> str:
    if not text.strip():
        raise ValueError("it needs at least one character that is not blank")
    if not text.isprintable():
        raise ValueError("it holds a line break or another character that does not print")
    return text


def _whole(value: Any) -> Any:
    """Read digits; a query holds nothing but text."""
    if isinstance(value, str) and not WHOLE.fullmatch(value):
        raise ValueError("expected a whole number")
    return value


def _yes_or_no(value: Any) -> Any:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError("expected true or false")
    return value


def _moment(text: str) -> str:
    """Read an instant as the core keeps it."""
    try:
        if MOMENT.fullmatch(text):
            return clock.stamp(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        pass
    raise ValueError("expected an instant such as 2026-11-24T18:00:00Z")


Opaque = Annotated[str, AfterValidator(_storable)]
Text = Annotated[Opaque, Field(max_length=MOST_TEXT)]
"""Any text that can be stored, line breaks and all."""
Line = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_printable)]
"""A name on one line."""
Id = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_storable)]
Ids = Annotated[list[Id], Field(max_length=10_000)]
Secret = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_storable)]
Name = Annotated[str, Field(max_length=100), AfterValidator(_storable)]
Texts = Annotated[dict[Name, Text], Field(max_length=100)]
"""Fields of a card by their keys."""
Values = Annotated[dict[Name, Text | None], Field(max_length=100)]

Moment = Annotated[str, AfterValidator(_moment), WithJsonSchema({"type": "string", "format": "date-time"})]

Search = Annotated[str, Field(max_length=200, description="Part of the name, in any case.")]
Cursor = Annotated[str, Field(max_length=500, description="Read on behind this: the `next` of the page before.")]
Limit = Annotated[
    int,
    BeforeValidator(_whole),
    Field(ge=1, le=MAX_LIMIT, description=f"How many at most; {DEFAULT_LIMIT}, if not said."),
    WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
]
Position = Annotated[int, BeforeValidator(_whole), Field(ge=0, le=2**63 - 1)]
Flag = Annotated[bool, BeforeValidator(_yes_or_no)]


class Paging(Query):
    """A part of a list."""

    after: Cursor = ""
    limit: Limit = DEFAULT_LIMIT


def one_of(*texts: str) -> Any:
    """Say of a text in an answer which ones there are."""
    return Field(json_schema_extra={"enum": [*texts]})


# Reading ------------------------------------------------------------------------------------------------------------


def read_body(model: type[B], body: bytes) -> B:
    """Read a JSON body. Raises Problem `invalid` that names each member at fault by a JSON pointer."""
    if not body.strip():
        if any(field.is_required() for field in model.model_fields.values()):
            raise invalid(("", "the request needs a JSON body"))
        return model()
    try:
        value = orjson.loads(body)
    except ValueError as error:
        raise invalid(("", f"it is not valid JSON: {error}")) from None
    if not isinstance(value, dict):
        raise invalid(("", "expected a JSON object"))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid(*((_pointer(each["loc"]), _sentence(each)) for each in _errors(error))) from None


def read_query(model: type[Q], query: Mapping[str, str]) -> Q:
    """Read the parameters of a query. Raises Problem `invalid` that names each parameter at fault."""
    try:
        return model.model_validate(dict(query))
    except ValidationError as error:
        raise invalid_parameter(*((_name(each["loc"]), _sentence(each)) for each in _errors(error))) from None


def _errors(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_input=False)


def _pointer(place: tuple[int | str, ...]) -> str:
    steps = [str(step)[:100].replace("~", "~0").replace("/", "~1") for step in place]
    return "".join([f"/{step}" for step in steps])


def _name(place: tuple[int | str, ...]) -> str:
    return str(place[0])[:100] if place else ""


SUBJECT = re.compile(r"^(?:Input|String|List|Dictionary) should")
SENTENCES = {
    "bool_type": "expected true or false",
    "dict_type": "expected an object",
    "extra_forbidden": "there is no such member here",
    "int_type": "expected a whole number",
    "list_type": "expected a list",
    "missing": "it is required",
    "model_type": "expected an object",
    "string_type": "expected text",
}
"""pydantic's kinds of error in our words; the others are well said."""


def _sentence(error: Mapping[str, Any]) -> str:
    if error["type"] in SENTENCES:
        return SENTENCES[error["type"]]
    return SUBJECT.sub("it should", str(error["msg"]).removeprefix("Value error, "))[:300]
