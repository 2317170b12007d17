"""Filters as they are meant: a small tree of our own, how a client may write it, and what it says of a resource.

Written from RFC 7644 §3.4.2.2 and the decisions about what it leaves open; nothing here reads the server's code, so that
the two can disagree.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from hypothesis import strategies as st

from tests.builders import ENTERPRISE_USER, GROUP, USER
from tests.scim_server.generated import EMAILS, EXACT, EXTERNAL_IDS, JSON, STAMPS, TYPES, WORDS, folded, odd_texts

# Attributes ---------------------------------------------------------------------------------------------------------

Kind: TypeAlias = Literal["text", "exact", "externalId", "boolean", "date"]


@dataclass(frozen=True, repr=False)
class Attribute:
    """Something a filter can compare."""

    name: str
    sub: str | None = None
    kind: Kind = "text"
    home: str = ""
    """The URN of the extension it is in."""
    multi_valued: bool = False
    implied: bool = False
    """Comparing the attribute compares this sub-attribute: `emails eq "…"` means its value."""

    def __repr__(self) -> str:
        return self.path

    def elements(self, resource: JSON) -> list[JSON]:
        """Give the values of a multi-valued attribute."""
        found: list[JSON] = resource.get(self.name, [])
        return found

    def of(self, resource: JSON) -> Any:
        """Give a single value, or None."""
        held = resource.get(self.home, {}) if self.home else resource
        held = held.get(self.name)
        return held.get(self.sub) if self.sub and isinstance(held, dict) else held

    @property
    def path(self) -> str:
        """The path as the standard spells it."""
        name = self.name if self.sub is None or self.implied else f"{self.name}.{self.sub}"
        return f"{self.home}:{name}" if self.home else name


def complex_attribute(name: str, subs: str, *, exact: bool = False, primary: bool = True) -> list[Attribute]:
    kinds: dict[str, Kind] = {"value": "exact" if exact else "text", "primary": "boolean"}
    names = [*subs.split(), *(["primary"] if primary else [])]
    found = [Attribute(name, sub, kinds.get(sub, "text"), multi_valued=True) for sub in names]
    implied = [Attribute(name, "value", kinds["value"], multi_valued=True, implied=True)] if "value" in names else []
    return [*found, *implied]


META = [
    Attribute("meta", "created", "date"),
    Attribute("meta", "lastModified", "date"),
    Attribute("meta", "resourceType", "exact"),
]
USER_SINGLE = [
    Attribute("userName"),
    Attribute("id", kind="exact"),
    Attribute("externalId", kind="externalId"),
    Attribute("displayName"),
    Attribute("nickName"),
    Attribute("title"),
    Attribute("userType"),
    Attribute("preferredLanguage"),
    Attribute("locale"),
    Attribute("timezone"),
    Attribute("profileUrl", kind="exact"),
    Attribute("active", kind="boolean"),
    *(Attribute("name", sub) for sub in ("familyName", "givenName", "formatted", "middleName", "honorificPrefix")),
    *META,
    *(
        Attribute(name, home=ENTERPRISE_USER)
        for name in ("department", "employeeNumber", "costCenter", "organization", "division")
    ),
    Attribute("manager", "value", "exact", ENTERPRISE_USER),
    Attribute("manager", "value", "exact", ENTERPRISE_USER, implied=True),
    Attribute("manager", "$ref", "exact", ENTERPRISE_USER),
]
USER_MULTI = [
    *complex_attribute("emails", "value type display"),
    *complex_attribute("phoneNumbers", "value type"),
    *complex_attribute("ims", "value type"),
    *complex_attribute("photos", "value type", exact=True),
    *complex_attribute("addresses", "formatted locality country type region"),
    *complex_attribute("entitlements", "value type"),
    *complex_attribute("roles", "value display type"),
    *complex_attribute("x509Certificates", "value", exact=True),
    *complex_attribute("groups", "value", exact=True, primary=False),
    *complex_attribute("groups", "display type", primary=False),
]
GROUP_SINGLE = [
    Attribute("id", kind="exact"),
    Attribute("externalId", kind="externalId"),
    Attribute("displayName"),
    *META,
]
GROUP_MULTI = [
    *complex_attribute("members", "value", exact=True, primary=False),
    *complex_attribute("members", "type", primary=False),
]


@dataclass(frozen=True, eq=False)
class Kinds:
    """The attributes of a resource type."""

    urn: str
    single: list[Attribute]
    multi: list[Attribute]
    whole: tuple[str, ...]
    """Complex attributes of which only presence can be asked."""


OF_USERS = Kinds(USER, USER_SINGLE, USER_MULTI, ("name", f"{ENTERPRISE_USER}:manager", "meta", "addresses"))
OF_GROUPS = Kinds(GROUP, GROUP_SINGLE, GROUP_MULTI, ("meta", "members"))

# The tree -----------------------------------------------------------------------------------------------------------

Op: TypeAlias = Literal["eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"]


@dataclass(frozen=True)
class Compare:
    """`attribute op value`; None is null."""

    attribute: Attribute
    op: Op
    value: str | bool | None


@dataclass(frozen=True)
class Has:
    """`attribute pr`."""

    attribute: Attribute


@dataclass(frozen=True)
class HasAny:
    """`attribute pr` of a complex attribute as a whole."""

    path: str


@dataclass(frozen=True)
class Never:
    """`not (inner)`."""

    inner: Asked


@dataclass(frozen=True)
class Joined:
    """`a and b and …`, or with or."""

    op: Literal["and", "or"]
    parts: tuple[Asked, ...]


@dataclass(frozen=True)
class OneOf:
    """`attribute[inner]`; with `then`, Entra's `attribute[inner].sub op value`."""

    name: str
    inner: Asked
    then: Compare | Has | None = None


Asked: TypeAlias = Compare | Has | HasAny | Never | Joined | OneOf

# What it says -------------------------------------------------------------------------------------------------------

TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda held, value: bool(held == value),
    "ne": lambda held, value: bool(held != value),
    "co": lambda held, value: value in held,
    "sw": lambda held, value: bool(held.startswith(value)),
    "ew": lambda held, value: bool(held.endswith(value)),
    "gt": lambda held, value: bool(held > value),
    "ge": lambda held, value: bool(held >= value),
    "lt": lambda held, value: bool(held < value),
    "le": lambda held, value: bool(held <= value),
}
GUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def holds(asked: Asked, resource: JSON) -> bool:
    """Say whether a resource is what was asked for."""
    match asked:
        case Joined("and", parts):
            return all(holds(part, resource) for part in parts)
        case Joined(_, parts):
            return any(holds(part, resource) for part in parts)
        case Never(inner):
            return not holds(inner, resource)
        case OneOf(name, inner, then):
            wanted: Asked = inner if then is None else Joined("and", (inner, then))
            return any(holds_of_element(wanted, element) for element in resource.get(name, []))
        case HasAny(path):
            urn, _, name = path.rpartition(":")
            return bool((resource.get(urn, {}) if urn else resource).get(name))
        case Has(attribute):
            if not attribute.multi_valued:
                return attribute.of(resource) is not None
            if attribute.implied:
                return bool(attribute.elements(resource))
            return any(holds_of_element(asked, element) for element in attribute.elements(resource))
        case Compare(attribute, op, value):
            if not attribute.multi_valued:
                return compares(attribute.kind, attribute.of(resource), op, value)
            elements = attribute.elements(resource)
            if op == "ne":
                return not holds(Compare(attribute, "eq", value), resource)
            if value is None and not elements:
                return True
            return any(holds_of_element(asked, element) for element in elements)


def holds_of_element(asked: Asked, element: JSON) -> bool:
    """Say whether one element of a multi-valued attribute is what was asked for."""
    match asked:
        case Joined("and", parts):
            return all(holds_of_element(part, element) for part in parts)
        case Joined(_, parts):
            return any(holds_of_element(part, element) for part in parts)
        case Never(inner):
            return not holds_of_element(inner, element)
        case Has(Attribute(sub="primary")):
            # A boolean that was never said is false, so that there is only true to be present.
            return element.get("primary") is True
        case Has(attribute):
            return attribute.sub in element
        case Compare(attribute, op, value):
            return compares(attribute.kind, element.get(str(attribute.sub)), op, value)
        case _:
            raise AssertionError(asked)


def compares(kind: Kind, held: Any, op: Op, value: str | bool | None) -> bool:
    """Compare what is held with a value, as its kind wants it."""
    if kind == "boolean":
        return (bool(held) == value) == (op == "eq")
    if value is None or held is None:
        return (held is value) == (op == "eq") if value is None else op == "ne"
    key = KEYS[kind]
    return TESTS[op](key(held), key(value))


def instant(text: Any) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


KEYS: dict[Kind, Callable[[Any], Any]] = {
    "text": folded,
    "exact": str,
    "externalId": lambda text: text.lower() if GUID.fullmatch(text) else text,
    "date": instant,
}


# How it is written --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hand:
    """A handwriting: everything in which two clients may differ that mean the same."""

    urn: str
    pick: Callable[[int], int]

    def write(self, asked: Asked) -> str:
        """Write a filter down."""
        match asked:
            case Joined(op, parts):
                return f"{self.space()}{self.cased(op)}{self.space()}".join(self.part(asked, part) for part in parts)
            case Never(inner):
                return f"{self.cased('not')}{self.space(0)}({self.write(inner)})"
            case OneOf(name, inner, then):
                selected = f"{self.path(name)}[{self.space(0)}{self.write_inside(inner)}{self.space(0)}]"
                return selected if then is None else f"{selected}.{self.write_inside(then)}"
            case HasAny(path):
                return f"{self.path(path)}{self.space()}{self.cased('pr')}"
            case Has(attribute):
                return f"{self.path(attribute.path)}{self.space()}{self.cased('pr')}"
            case Compare(attribute, op, value):
                return f"{self.path(attribute.path)}{self.space()}{self.cased(op)}{self.space()}{self.literal(value)}"

    def write_inside(self, asked: Asked) -> str:
        """Write the filter of a value path: names are those of the sub-attributes."""
        match asked:
            case Has(attribute):
                return f"{self.cased(str(attribute.sub))}{self.space()}{self.cased('pr')}"
            case Compare(attribute, op, value):
                return (
                    f"{self.cased(str(attribute.sub))}{self.space()}{self.cased(op)}{self.space()}{self.literal(value)}"
                )
            case Never(inner):
                return f"not ({self.write_inside(inner)})"
            case Joined(op, parts):
                return f" {op} ".join(self.part(asked, part, self.write_inside) for part in parts)
            case _:
                raise AssertionError(asked)

    def part(self, whole: Joined, part: Asked, write: Callable[[Asked], str] | None = None) -> str:
        text = (write or self.write)(part)
        needed = isinstance(part, Joined) and (whole.op == "and" or part.op == whole.op)
        return f"({text})" if needed or self.pick(4) == 0 else text

    def path(self, path: str) -> str:
        urn, _, name = path.rpartition(":")
        if not urn:
            return self.cased(name if self.pick(3) else f"{self.urn}:{name}")
        # Entra also writes enterprise attributes behind a dot, or bare.
        return self.cased((path, path, f"{urn}.{name}", name)[self.pick(4)])

    def cased(self, text: str) -> str:
        return (text, text, text.lower(), text.upper(), text.swapcase())[self.pick(5)]

    def space(self, least: int = 1) -> str:
        return (" " * least, " " * least, "  ", "\t ")[self.pick(4)]

    def literal(self, value: str | bool | None) -> str:
        if value is None:
            return self.cased("null")
        if isinstance(value, bool):
            return (f'"{value}"', str(value).lower(), f'"{str(value).lower()}"', str(value))[self.pick(4)]
        bare = re.fullmatch(r'[^\s()\[\]"]+', value) and value.lower() not in ("true", "false", "null")
        if bare and self.pick(3) == 0:
            return value
        return json.dumps(value, ensure_ascii=self.pick(2) == 0)


def plain(urn: str) -> Hand:
    """A hand as the standard's: qualified where it must be, values quoted."""
    return Hand(urn, lambda choices: 1 % choices)


# Asking at random ---------------------------------------------------------------------------------------------------


@st.composite
def near(draw: st.DrawFn, values: tuple[str, ...]) -> str:
    """A value that is likely to meet one of these: itself, a part of it, or another spelling."""
    value = draw(st.sampled_from(values))
    match draw(st.integers(0, 7)):
        case 0:
            return value.upper()
        case 1:
            return value.lower()
        case 2:
            return value[: draw(st.integers(0, len(value)))]
        case 3:
            return value[draw(st.integers(0, len(value))) :]
        case 4:
            return folded(value)
        case _:
            return value


DATES = (
    *STAMPS,
    "2026-11-24T18:27:59Z",
    "2026-11-24T19:27:59.123+01:00",
    "2026-11-24T18:27:59.1234Z",
    "2026-11-24T18:27:59.122999Z",
    "2026-11-24T00:27:59.123-18:00",
    "2026-11-24T18:27:59.123",
    "2026-11-24",
    "0900-01-01T00:00:00Z",
    "1969-12-31T23:59:59.5Z",
    "9999-12-31T23:59:59Z",
)


def values_for(attribute: Attribute, ids: tuple[str, ...]) -> st.SearchStrategy[Any]:
    """Values that are worth comparing an attribute with."""
    if attribute.kind == "boolean":
        return st.booleans()
    if attribute.kind == "date":
        return st.sampled_from(DATES)
    if attribute.kind == "externalId":
        return near(EXTERNAL_IDS)
    if attribute.name in ("id", "groups", "members") and attribute.sub in (None, "value"):
        return near(ids)
    pools = {"type": (*TYPES, "direct", "User", "Group"), "resourceType": ("User", "Group")}
    if str(attribute.sub) in pools:
        return near(pools[str(attribute.sub)])
    if attribute.name == "x509Certificates":
        return near(("YWJj", "ywjJ"))
    if attribute.kind == "exact":
        return near(EXACT)
    return near(EMAILS) if attribute.name == "emails" else near(WORDS) | odd_texts


def ops_of(attribute: Attribute) -> list[Op]:
    """Give the operators that an attribute's kind has."""
    equality: list[Op] = ["eq", "ne"]
    order: list[Op] = ["gt", "ge", "lt", "le"]
    parts: list[Op] = ["co", "sw", "ew"]
    if attribute.name == "x509Certificates" and attribute.sub == "value":
        return equality + parts  # binary (RFC 7643 §2.3.6) has no order
    return {"boolean": equality, "date": equality + order}.get(attribute.kind, equality + order + parts)


def nothing_of(attribute: Attribute) -> list[Compare]:
    """Compare with null; a boolean that is not said is false, not null."""
    return [] if attribute.kind == "boolean" else [Compare(attribute, "eq", None), Compare(attribute, "ne", None)]


def comparisons(attribute: Attribute, ids: tuple[str, ...]) -> st.SearchStrategy[Compare | Has]:
    """Everything that may be asked of one attribute."""
    values = values_for(attribute, ids)
    wanted = [st.builds(Compare, st.just(attribute), st.sampled_from(ops_of(attribute)), values)] * 6
    without_value = st.sampled_from(nothing_of(attribute)) if nothing_of(attribute) else st.nothing()
    return st.one_of(*wanted, without_value, st.just(Has(attribute)))


def joined(leaves: st.SearchStrategy[Asked], most: int) -> st.SearchStrategy[Asked]:
    """Leaves, negated and joined to trees."""

    @st.composite
    def leaf(draw: st.DrawFn) -> Asked:
        # Only for its name: Hypothesis writes strategies out, and all attributes together are long.
        return draw(leaves)

    return st.recursive(
        leaf(),
        lambda inner: (
            st.builds(Never, inner)
            | st.builds(Joined, st.sampled_from(["and", "or"]), st.lists(inner, min_size=2, max_size=3).map(tuple))
        ),
        max_leaves=most,
    )


@lru_cache
def asked_of(kinds: Kinds, ids: tuple[str, ...]) -> st.SearchStrategy[Asked]:
    """Any filter over a resource type."""
    selected = []
    for name in dict.fromkeys(attribute.name for attribute in kinds.multi):
        subs = [attribute for attribute in kinds.multi if attribute.name == name and not attribute.implied]
        inside = st.one_of(*(comparisons(sub, ids) for sub in subs))
        selected.append(st.builds(OneOf, st.just(name), joined(inside, 4), st.none() | inside))
    leaves: st.SearchStrategy[Asked] = st.one_of(
        st.sampled_from(kinds.single).flatmap(lambda attribute: comparisons(attribute, ids)),
        st.sampled_from(kinds.multi).flatmap(lambda attribute: comparisons(attribute, ids)),
        st.one_of(*selected),
        st.sampled_from(kinds.whole).map(HasAny),
    )
    return joined(leaves, 6)
