"""The catalogue of card fields: what a directory can fill, what a template may hold, and what a value must be.

Values are shown exactly as the directory holds them (C5). The one thing that is ever asked of them is that a phone
number is valid E.164 as it was sent; one that is not is left off, with its reason, and never rewritten (invariant 18).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypedDict
from urllib.parse import urlsplit

import orjson

from app_core.errors import Invalid
from app_core.resource import ENTERPRISE_USER, JsonObject


class Kind(StrEnum):
    """What a field holds; a phone number must be valid, the others decide how a value is shown."""

    TEXT = "text"
    PHONE = "phone"
    EMAIL = "email"
    URL = "url"
    ADDRESS = "address"
    PHOTO = "photo"


class Mode(StrEnum):
    """How the directory fills a field: kept in sync, filled once and refreshed on demand, or not at all."""

    ALWAYS = "always"
    INITIAL = "initial"
    NONE = "none"


SOURCES = {
    "given_name": Kind.TEXT,
    "surname": Kind.TEXT,
    "display_name": Kind.TEXT,
    "job_title": Kind.TEXT,
    "department": Kind.TEXT,
    "company": Kind.TEXT,
    "business_phone": Kind.PHONE,
    "mobile_phone": Kind.PHONE,
    "fax_number": Kind.PHONE,
    "address": Kind.ADDRESS,
    "email": Kind.EMAIL,
    "photo": Kind.PHOTO,
}
"""What a directory can say about a person, and what kind of value it is."""

# What the directory says --------------------------------------------------------------------------------------------

PHONES = {"work": "business_phone", "mobile": "mobile_phone", "fax": "fax_number"}
"""Of phoneNumbers: type → source. Entra sends at most one of each."""
ADDRESS_LINES = ("streetAddress", "locality", "region", "postalCode", "country")


class PhoneProblem(TypedDict):
    """A phone number that no card can show."""

    attribute: str
    """Its path in SCIM, as the mapping in Entra names it."""
    value: str
    reason: str


def directory_values(resource: JsonObject) -> dict[str, str]:
    """Give what a user's attributes say for each source, exactly as sent; what is blank says nothing.

    The photo is not among them: no provisioning sends it, it is kept by itself (`photos`).
    """
    name, enterprise = _object(resource.get("name")), _object(resource.get(ENTERPRISE_USER))
    found = {
        "given_name": name.get("givenName"),
        "surname": name.get("familyName"),
        "display_name": resource.get("displayName"),
        "job_title": resource.get("title"),
        "department": enterprise.get("department"),
        "company": enterprise.get("organization"),
        **_phones(resource),
        "address": _address(resource),
        "email": _email(resource),
    }
    return {source: value for source, value in found.items() if isinstance(value, str) and value.strip()}


def problems_of(resource: JsonObject) -> list[PhoneProblem]:
    """List the phone numbers of a user that no card can show, with the reason why."""
    if not resource.get("phoneNumbers"):
        return []
    paths = {source: f'phoneNumbers[type eq "{kind}"].value' for kind, source in PHONES.items()}
    reasons = ((source, value, phone_problem(value)) for source, value in _phones(resource).items())
    return [
        {"attribute": paths[source], "value": value, "reason": reason} for source, value, reason in reasons if reason
    ]


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _elements(resource: JsonObject, attribute: str) -> list[Mapping[str, Any]]:
    values = resource.get(attribute)
    return [each for each in values if isinstance(each, dict)] if isinstance(values, list) else []


def _type_of(element: Mapping[str, Any]) -> str:
    kind = element.get("type")
    return kind.lower() if isinstance(kind, str) else ""


def _phones(resource: JsonObject) -> dict[str, str]:
    """Give the first number of each type that a card knows."""
    found: dict[str, str] = {}
    for element in _elements(resource, "phoneNumbers"):
        source, value = PHONES.get(_type_of(element)), element.get("value")
        if source is not None and isinstance(value, str) and value.strip():
            found.setdefault(source, value)
    return found


def _address(resource: JsonObject) -> str | None:
    """Give the work address: written out as sent, else its parts, each on a line.

    Entra's default mapping writes the office into `formatted`; what an administrator maps there is shown, unread.
    """
    for element in _elements(resource, "addresses"):
        if _type_of(element) == "work":
            for parts in (("formatted",), ADDRESS_LINES):
                lines = [element.get(part) for part in parts]
                texts = [line for line in lines if isinstance(line, str) and line.strip()]
                if texts:
                    return "\n".join(texts)
    return None


def _email(resource: JsonObject) -> str | None:
    """Give the primary address, else that of work, else one that has no type: others are not for a card."""
    emails = [each for each in _elements(resource, "emails") if isinstance(each.get("value"), str)]
    ranked = [
        *(each for each in emails if each.get("primary") is True),
        *(each for each in emails if _type_of(each) == "work"),
        *(each for each in emails if not _type_of(each)),
    ]
    return next((each["value"] for each in ranked if each["value"].strip()), None)


# Phone numbers ------------------------------------------------------------------------------------------------------

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
"""What ITU-T E.164 allows: a plus sign and at most 15 digits, of which the first is no zero."""
EXAMPLE = "for example +14255550100"


def phone_problem(text: str) -> str | None:
    """Say why a phone number cannot be on a card; None when it is valid E.164 just as it stands."""
    if not E164.fullmatch(text):
        return _form_problem(text)
    return _number_problem(text)


def _form_problem(text: str) -> str:
    if not text.lstrip().startswith("+"):
        return f"It does not begin with '+' and a country code; write it in full, {EXAMPLE}."
    if not re.fullmatch(r"\+[0-9]*", text):
        return f"It holds something else than '+' and digits; write it without blanks and punctuation, {EXAMPLE}."
    if text.startswith("+0"):
        return f"No country code begins with 0; write the country code behind the '+', {EXAMPLE}."
    return f"It has {len(text) - 1} digits; with its country code a number has 7 to 15."


@lru_cache(maxsize=4096)
def _number_problem(text: str) -> str | None:
    import phonenumbers  # 25 ms, and its numbering plans more: only where there are phone numbers

    try:
        number = phonenumbers.parse(text)
    except phonenumbers.NumberParseException:
        return "It begins with a country code that is given to no country."
    if phonenumbers.is_valid_number(number):
        return None
    if phonenumbers.is_possible_number(number):
        return f"Country code +{number.country_code} has no such number; check its area code."
    return f"It has too few or too many digits for country code +{number.country_code}."


# The fields of a template -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TemplateField:
    """A field of a template, with the members that its JSON has."""

    key: str
    label: str
    kind: Kind
    source: str | None
    mode: Mode
    editable: bool
    required: bool
    placeholder: str | None

    @property
    def synced(self) -> bool:
        """Say whether the directory fills it."""
        return self.mode is not Mode.NONE


GENERAL = {
    "name": ("Name", "display_name"),
    "accreditation": ("Accreditation", None),
    "pronouns": ("Pronouns", None),
    "title": ("Title", "job_title"),
    "department": ("Department", "department"),
    "company": ("Company", "company"),
    "headline": ("Headline", None),
}
"""The general fields in their fixed order: the label of each, and what of the directory fills it if nothing else."""
MEMBERS = ("key", "label", "kind", "source", "mode", "editable", "required", "placeholder")
KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
MOST_FIELDS, LONGEST_LABEL, LONGEST_PLACEHOLDER = 100, 100, 200


def parse_fields(raw: object) -> tuple[TemplateField, ...]:
    """Read the fields of a template: the general ones first in their order, the others in the order sent.

    Raises Invalid that names the field and what is wrong with it.
    """
    if not isinstance(raw, Sequence) or isinstance(raw, str | bytes):
        raise Invalid("fields: a list of fields is expected.")
    if len(raw) > MOST_FIELDS:
        raise Invalid(f"fields: there are {len(raw)}; a template has at most {MOST_FIELDS}.")
    found: dict[str, TemplateField] = {}
    for at, each in enumerate(raw):
        parsed = _parse(f"fields[{at}]", each)
        if parsed.key in found:
            raise Invalid(f"fields[{at}].key: there is a field '{parsed.key}' already; each key is used once.")
        found[parsed.key] = parsed
    general = [found.pop(key) for key in GENERAL if key in found]
    return (*general, *found.values())


def stored_fields(fields: Sequence[TemplateField]) -> str:
    """Write fields as they are kept."""
    return orjson.dumps(fields).decode()


@lru_cache(maxsize=512)
def read_fields(stored: str) -> tuple[TemplateField, ...]:
    """Read fields that were kept: each card of a template is composed with the same text."""
    return tuple(
        TemplateField(**{**each, "kind": Kind(each["kind"]), "mode": Mode(each["mode"])})
        for each in orjson.loads(stored)
    )


def _parse(place: str, raw: object) -> TemplateField:
    if not isinstance(raw, Mapping):
        raise Invalid(f"{place}: a field is an object with a key.")
    key = raw.get("key")
    if not isinstance(key, str) or not KEY.fullmatch(key):
        raise Invalid(
            f"{place}.key: a key is a lower-case letter, then at most 39 lower-case letters, digits and underscores."
        )
    place = f"{place} ('{key}')"
    for name in raw:
        if name not in MEMBERS:
            raise Invalid(f"{place}: a field has no member '{str(name)[:100]}'; it has {', '.join(MEMBERS)}.")
    mode, source = _mode_and_source(place, key, raw)
    return TemplateField(
        key=key,
        label=_label(place, key, raw),
        kind=_kind(place, key, raw, source),
        source=source,
        mode=mode,
        # What nothing fills but the person must be open to the person.
        editable=_flag(place, "editable", raw, default=mode is Mode.NONE),
        required=_flag(place, "required", raw, default=False),
        placeholder=_line(place, "placeholder", raw, LONGEST_PLACEHOLDER),
    )


def _mode_and_source(place: str, key: str, raw: Mapping[str, Any]) -> tuple[Mode, str | None]:
    source = raw.get("source")
    if source is not None and (not isinstance(source, str) or source not in SOURCES):
        raise Invalid(f"{place}.source: the directory has no '{str(source)[:100]}'; it has {', '.join(SOURCES)}.")
    # Nothing is kept in sync unless it is said: by the mode, or by naming what to take.
    sent = raw.get("mode", Mode.NONE if source is None else Mode.ALWAYS)
    if sent not in tuple(Mode):
        raise Invalid(f"{place}.mode: '{str(sent)[:100]}' is none of {', '.join(Mode)}.")
    mode = Mode(sent)
    if mode is not Mode.NONE and source is None and key in GENERAL:
        source = GENERAL[key][1]
    if mode is not Mode.NONE and source is None:
        raise Invalid(f"{place}.source: mode '{mode}' needs a source, one of {', '.join(SOURCES)}.")
    return mode, source


def _kind(place: str, key: str, raw: Mapping[str, Any], source: str | None) -> Kind:
    filled = None if source is None else SOURCES[source]
    natural = Kind.TEXT if key in GENERAL or filled is None else filled
    sent = raw.get("kind", natural)
    if sent not in tuple(Kind):
        raise Invalid(f"{place}.kind: '{str(sent)[:100]}' is none of {', '.join(Kind)}.")
    kind = Kind(sent)
    if key in GENERAL and kind is not Kind.TEXT:
        raise Invalid(f"{place}.kind: a general field holds text; use a field with a key of your own.")
    # An address or a mail address is text as well; a phone number is not: as text it would be shown unchecked.
    if filled not in (None, kind) and (kind is not Kind.TEXT or filled in (Kind.PHONE, Kind.PHOTO)):
        raise Invalid(f"{place}.source: '{source}' fills fields of kind '{filled}', and this one's is '{kind}'.")
    return kind


def _label(place: str, key: str, raw: Mapping[str, Any]) -> str:
    label = _line(place, "label", raw, LONGEST_LABEL)
    if label is not None:
        return label
    return GENERAL[key][0] if key in GENERAL else key.replace("_", " ").strip().capitalize()


def _line(place: str, member: str, raw: Mapping[str, Any], most: int) -> str | None:
    text = raw.get(member)
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip() or len(text) > most or CONTROL.search(text):
        raise Invalid(f"{place}.{member}: it is one line of text, of 1 to {most} characters.")
    return text


def _flag(place: str, member: str, raw: Mapping[str, Any], *, default: bool) -> bool:
    value = raw.get(member, default)
    if not isinstance(value, bool):
        raise Invalid(f"{place}.{member}: it is true or false.")
    return value


# Values that people type --------------------------------------------------------------------------------------------

LONGEST_VALUE = 2000
LINE_BREAKS = re.compile(r"[\t\n\r\u2028\u2029]")
ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")


def require_value(field: TemplateField, text: object) -> str:
    """Give a value that a field can hold, just as it was typed. Raises Invalid that names the field and says why not.

    What the directory sends is not held to this: it is shown as it is, or, a phone number, left off.
    """
    if not isinstance(text, str):
        raise Invalid(f"{field.key}: text is expected.", label=field.label)
    problem = _value_problem(field.kind, text)
    if problem:
        raise Invalid(f"{field.key}: {problem}", label=field.label)
    return text


def _value_problem(kind: Kind, text: str) -> str | None:
    if kind is Kind.PHOTO:
        return "a photo is no text; upload it as the person's photo."
    if len(text) > LONGEST_VALUE:
        return f"it has {len(text)} characters; at most {LONGEST_VALUE} fit."
    if CONTROL.search(LINE_BREAKS.sub("", text)):
        return "it holds control characters."
    if not text:
        return None
    if kind is Kind.PHONE:
        reason = phone_problem(text)
        return reason and f"this phone number cannot be on a card. {reason}"
    if kind is Kind.EMAIL and not ADDRESS.fullmatch(text):
        return "this is no e-mail address; write it like name@example.com."
    if kind is Kind.URL and not is_web_address(text):
        return "this is no web address; write it in full, like https://example.com."
    return None


def is_web_address(text: str, *schemes: str) -> bool:
    """Say whether a text is an absolute URL of the web; without `schemes`, http or https."""
    if len(text) > LONGEST_VALUE or re.search(r"[\s\x00-\x20\x7f\"<>\\^`{|}]", text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in (schemes or ("http", "https")) and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
