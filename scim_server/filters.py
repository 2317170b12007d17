"""Filters (RFC 7644 §3.4.2.2): text → tree, tree → verdict about one element, tree → SQL over an allow-list.

The tree holds no literals, only their slots, so that equal shapes share one compiled statement. The parser is our own:
it takes Entra's unquoted values (`id eq 54D3… and manager eq 2819…`), gives shapes, and bounds depth and length.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

import orjson
from sqlalchemy import (
    ColumnElement,
    Text,
    and_,
    bindparam,
    case,
    false,
    func,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.sql import FromClause

from app_core.db import json_text, position
from app_core.directory import G, M, N, U, V, tenant
from app_core.resource import CASE_EXACT, external_key, fold, value_key
from scim_server.errors import ScimError, invalid_filter
from scim_server.schemas import Attribute, ResourceType

# SQLite's parser holds 100 symbols, and a level of a filter needs up to eight of them.
MAX_LENGTH, MAX_DEPTH, MAX_TERMS = 8192, 10, 120


@dataclass(frozen=True, slots=True)
class Comparison:
    """`path op literal`; the literal is in a slot, `kind` says how it was written."""

    path: str
    op: str
    kind: str
    slot: int


@dataclass(frozen=True, slots=True)
class Present:
    """`path pr`."""

    path: str


@dataclass(frozen=True, slots=True)
class Not:
    """`not (item)`."""

    item: "Tree"


@dataclass(frozen=True, slots=True)
class Logical:
    """`a and b and …` or `a or b or …`."""

    op: str
    items: tuple["Tree", ...]


@dataclass(frozen=True, slots=True)
class ValuePath:
    """`path[item]`: one element satisfies the whole item."""

    path: str
    item: "Tree"


Tree: TypeAlias = Comparison | Present | Not | Logical | ValuePath


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed filter: its shape and its literals as text."""

    tree: Tree
    literals: tuple[str, ...]


# Parsing ------------------------------------------------------------------------------------------------------------

TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([()\[\]])|([^\s()\[\]"]+))')
PATH = re.compile(r"[A-Za-z$][\w:.$\-]*")
NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][+-]?\d+)?")
OPERATORS = frozenset({"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le"})


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[str] = []
        self.at = 0
        self.depth = 0
        self.terms = 0
        self.literals: list[str] = []
        end = 0
        stripped = text.rstrip()
        while end < len(stripped):
            found = TOKEN.match(stripped, end)
            if found is None:
                self.refuse(f"'{stripped[end : end + 20]}' is not understood; quotes may be unbalanced")
            self.tokens.append(found[0].lstrip())
            end = found.end()

    def refuse(self, problem: str) -> NoReturn:
        raise invalid_filter(f"The filter cannot be read: {problem}.")

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            what = f"'{wanted}'" if wanted else "something more"
            self.refuse(f"{what} is expected {f'where {token!r} stands' if token else 'at the end'}")
        self.at += 1
        return token

    def logical(self, op: str, inner: Callable[[], Tree]) -> Tree:
        items = [inner()]
        while self.peek().lower() == op:
            self.take()
            items.append(inner())
        return items[0] if len(items) == 1 else Logical(op, tuple(items))

    def expression(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse(f"it is nested more than {MAX_DEPTH} deep")
        tree = self.logical("or", lambda: self.logical("and", self.term))
        self.depth -= 1
        return tree

    def term(self) -> Tree:
        self.terms += 1
        if self.terms > MAX_TERMS:
            self.refuse(f"it has more than {MAX_TERMS} terms")
        token = self.take()
        if token == "(":
            inside = self.expression()
            self.take(")")
            return inside
        if token.lower() == "not" and self.peek() == "(":
            self.take("(")
            inside = self.expression()
            self.take(")")
            return Not(inside)
        return self.attribute(token)

    def attribute(self, path: str) -> Tree:
        if not PATH.fullmatch(path):
            self.refuse(f"'{path[:60]}' is not an attribute")
        if self.peek() != "[":
            return self.comparison(path)
        self.take("[")
        inside = self.expression()
        self.take("]")
        if not self.peek().startswith("."):
            return ValuePath(path, inside)
        # emails[type eq "work"].value eq "x": not in the RFC's grammar, Entra's matching query (entra rule 24).
        return ValuePath(path, Logical("and", (inside, self.comparison(self.take()[1:]))))

    def comparison(self, path: str) -> Tree:
        op = self.take().lower()
        if op == "pr":
            return Present(path)
        if op not in OPERATORS:
            self.refuse(f"'{op[:60]}' is not an operator")
        token = self.take()
        kind, value = self.literal(token)
        self.literals.append(value)
        return Comparison(path, op, kind, len(self.literals) - 1)

    def literal(self, token: str) -> tuple[str, str]:
        if token[0] == '"':
            try:
                return "string", orjson.loads(token)
            except ValueError:
                self.refuse("a quoted value is not a JSON string")
        if token in "()[]":
            self.refuse(f"a value is expected where '{token}' stands")
        if token.lower() in ("true", "false", "null"):
            return token.lower(), token
        return ("number" if NUMBER.fullmatch(token) else "word"), token


def parse(text: str) -> Filter:
    """Read a filter. Raises ScimError invalidFilter."""
    if len(text) > MAX_LENGTH:
        raise invalid_filter(f"The filter is longer than {MAX_LENGTH} characters.")
    if "\0" in text or "\\u0000" in text:
        raise invalid_filter("The filter contains a NUL character.")
    parser = _Parser(text)
    if not parser.tokens:
        raise invalid_filter("The filter is empty.")
    tree = parser.expression()
    if parser.peek():
        parser.refuse(f"'{parser.peek()[:60]}' is left over at the end")
    return Filter(tree, tuple(parser.literals))


# Attributes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Place:
    """What a path of a filter, sortBy or attributes parameter means."""

    extension: str | None
    attribute: Attribute
    sub: Attribute | None

    @property
    def key(self) -> str:
        """The lower-case path, as the search document spells it."""
        head = f"{self.extension}:{self.attribute.name}" if self.extension else self.attribute.name
        return (head if self.sub is None else f"{head}.{self.sub.name}").lower()

    @property
    def last(self) -> Attribute:
        """The attribute whose value the path means."""
        return self.sub or self.attribute


@lru_cache(maxsize=2048)
def resolve(resource_type: ResourceType, path: str) -> Place | None:
    """Find an attribute by its path, in any case, with or without its schema's URN; None when there is none.

    Enterprise attributes are found without their URN too, and behind a dot after it (entra Q12, §3.1).
    """
    lowered = path.lower()
    if lowered.startswith("urn:"):
        core = resource_type.urn.lower()
        if lowered.startswith((core + ":", core + ".")):
            return _within(None, resource_type.attributes, lowered[len(core) + 1 :])
        for key, (urn, attributes) in resource_type.extensions.items():
            if lowered.startswith((key + ":", key + ".")):
                return _within(urn, attributes, lowered[len(key) + 1 :])
        return None
    found = _within(None, resource_type.attributes, lowered)
    if found is not None:
        return found
    for urn, attributes in resource_type.extensions.values():
        found = _within(urn, attributes, lowered)
        if found is not None:
            return found
    return None


def _within(extension: str | None, attributes: Any, path: str) -> Place | None:
    name, dot, rest = path.partition(".")
    attribute: Attribute | None = attributes.get(name)
    if attribute is None:
        return None
    if not dot:
        return Place(extension, attribute, None)
    sub = attribute.sub.get(rest)
    return None if sub is None else Place(extension, attribute, sub)


def comparable(place: Place) -> Place:
    """Give what a comparison of a complex attribute compares: its `value` (RFC 7644 §3.4.2.2)."""
    if place.sub is None and "value" in place.attribute.sub:
        return Place(place.extension, place.attribute, place.attribute.sub["value"])
    return place


# One element --------------------------------------------------------------------------------------------------------


def matches(tree: Tree, literals: Sequence[str], attribute: Attribute, element: dict[str, Any]) -> bool:
    """Say whether one element of a multi-valued attribute satisfies the filter of a value path."""
    if isinstance(tree, Logical):
        verdicts = (matches(item, literals, attribute, element) for item in tree.items)
        return all(verdicts) if tree.op == "and" else any(verdicts)
    if isinstance(tree, Not):
        return not matches(tree.item, literals, attribute, element)
    if isinstance(tree, ValuePath):
        raise invalid_filter("A value path cannot stand inside another.")
    sub = attribute.sub.get(tree.path.lower())
    if sub is None:
        raise invalid_filter(f"'{attribute.name}' has no sub-attribute '{tree.path[:60]}'.")
    held = element.get(sub.name)
    if isinstance(tree, Present):
        return held not in (None, "", [])
    return _holds(tree, literals[tree.slot], sub, f"{attribute.name}.{sub.name}".lower(), held)


def _holds(comparison: Comparison, literal: str, sub: Attribute, path: str, held: Any) -> bool:
    if sub.type == "boolean":
        wanted = boolean(literal, path, comparison.op)
        # A boolean that was never said is false: Entra's roles[primary eq "False"] means those too.
        return bool((bool(held) == wanted) == (comparison.op == "eq"))
    if comparison.kind == "null":
        if comparison.op not in ("eq", "ne"):
            raise invalid_filter(f"'{path}' cannot be compared with null by '{comparison.op}'.")
        return (held is None) == (comparison.op == "eq")
    if held is None:
        return comparison.op == "ne"
    exact = path in CASE_EXACT or sub.case_exact
    left, right = (str(held), literal) if exact else (fold(str(held)), fold(literal))
    return TESTS[comparison.op](left, right)


TESTS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "co": lambda left, right: right in left,
    "sw": lambda left, right: left.startswith(right),
    "ew": lambda left, right: left.endswith(right),
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}


def boolean(literal: str, path: str, op: str) -> bool:
    """Read a boolean literal, quoted and in any case too (entra rule 4). Raises invalidFilter."""
    if op not in ("eq", "ne"):
        raise invalid_filter(f"'{path}' is a boolean and cannot be compared by '{op}'.")
    if literal.lower() not in ("true", "false"):
        raise invalid_filter(f"'{path}' is a boolean: compare it with true or false.")
    return literal.lower() == "true"


# SQL ----------------------------------------------------------------------------------------------------------------

Binder: TypeAlias = tuple[str, int, Callable[[str], Any]]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A WHERE clause for one shape of filter, and how its parameters come from the literals."""

    clause: ColumnElement[bool]
    binders: tuple[Binder, ...]

    def params(self, literals: Sequence[str]) -> dict[str, Any]:
        """Give the parameters of the clause for the literals of one filter."""
        return {name: read(literals[slot]) for name, slot, read in self.binders}


def _constant(text: str, like: ColumnElement[str]) -> ColumnElement[str]:
    """Give a text that compares as a key column does: a bare one would follow the locale of a PostgreSQL database."""
    return func.coalesce(literal_column(f"'{text}'", Text()), like, type_=Text())


USER_COLUMNS: dict[str, tuple[ColumnElement[Any], Callable[[str], str]]] = {
    "id": (U.c.id, str),
    "externalid": (U.c.external_key, external_key),
    "username": (U.c.user_name_key, fold),
    "displayname": (U.c.display_key, fold),
    "active": (U.c.active, str),
    "meta.created": (U.c.created_at, str),
    "meta.lastmodified": (U.c.modified_at, str),
    "meta.resourcetype": (_constant("User", U.c.id), str),
}
GROUP_COLUMNS: dict[str, tuple[ColumnElement[Any], Callable[[str], str]]] = {
    "id": (G.c.id, str),
    "externalid": (G.c.external_key, external_key),
    "displayname": (G.c.display_key, fold),
    "meta.created": (G.c.created_at, str),
    "meta.lastmodified": (G.c.modified_at, str),
    "meta.resourcetype": (_constant("Group", G.c.id), str),
}
MEMBERS = union_all(
    select(M.c.tenant_id, M.c.group_id, M.c.user_id.label("value"), _constant("user", M.c.user_id).label("type")),
    select(N.c.tenant_id, N.c.group_id, N.c.member_id.label("value"), _constant("group", N.c.member_id).label("type")),
).subquery("members")
GROUPS = (
    select(
        M.c.tenant_id,
        M.c.user_id,
        M.c.group_id.label("value"),
        G.c.display_key.label("display"),
        _constant("direct", M.c.group_id).label("type"),
    )
    .select_from(M.join(G, (G.c.tenant_id == M.c.tenant_id) & (G.c.id == M.c.group_id)))
    .subquery("groups_of")
)


@dataclass(frozen=True, slots=True)
class _Elements:
    """Where the elements of a multi-valued attribute are, one row each."""

    source: FromClause
    owner: ColumnElement[Any]
    scope: tuple[ColumnElement[bool], ...]
    columns: dict[str, tuple[ColumnElement[Any], Callable[[str], str]]]


def _elements(resource_type: ResourceType, attribute: Attribute) -> _Elements | None:
    if resource_type.name == "Group" and attribute.name == "members":
        m = MEMBERS.c
        return _Elements(
            MEMBERS, m.group_id, (m.tenant_id == tenant,), {"value": (m.value, str), "type": (m.type, fold)}
        )
    if resource_type.name == "User" and attribute.name == "groups":
        g = GROUPS.c
        columns: dict[str, tuple[ColumnElement[Any], Callable[[str], str]]] = {
            "value": (g.value, str),
            "display": (g.display, fold),
            "type": (g.type, fold),
        }
        return _Elements(GROUPS, g.user_id, (g.tenant_id == tenant,), columns)
    if resource_type.name == "User" and attribute.sub:
        name = attribute.name.lower()
        columns = {
            sub: (json_text(V.c.element, sub), str if f"{name}.{sub}" in CASE_EXACT else fold) for sub in attribute.sub
        }
        columns |= {"type": (V.c.type_key, fold), "primary": (V.c.is_primary, str)}
        return _Elements(V, V.c.user_id, (V.c.tenant_id == tenant, V.c.attribute == name), columns)
    return None


class _Compiler:
    def __init__(self, resource_type: ResourceType) -> None:
        self.resource_type = resource_type
        self.is_user = resource_type.name == "User"
        self.columns = USER_COLUMNS if self.is_user else GROUP_COLUMNS
        self.id = U.c.id if self.is_user else G.c.id
        self.binders: list[Binder] = []

    def clause(self, tree: Tree) -> ColumnElement[bool]:
        if isinstance(tree, Logical):
            parts = [self.clause(item) for item in tree.items]
            return and_(*parts) if tree.op == "and" else or_(*parts)
        if isinstance(tree, Not):
            return _negated(self.clause(tree.item))
        place = resolve(self.resource_type, tree.path)
        if place is None:
            # An attribute of another resource type is false here; one that no type has is refused by `require_known`.
            return false()
        self.allow(place, tree.path)
        if isinstance(tree, ValuePath):
            return self.value_path(place, tree)
        if place.attribute.multi_valued:
            return self.multi_valued(place, tree)
        if isinstance(tree, Present):
            return self.present(place)
        place = comparable(place)
        if place.last.sub:
            raise invalid_filter(f"'{tree.path}' is complex; compare one of its sub-attributes.")
        column, read = self.column(place)
        return self.compare(column, read, place.last, tree)

    def allow(self, place: Place, path: str) -> None:
        if place.attribute.returned == "never" or place.key in ("meta.location", "meta.version", "schemas"):
            raise invalid_filter(f"'{path}' cannot be filtered by.")

    def column(self, place: Place) -> tuple[ColumnElement[Any], Callable[[str], str]]:
        found = self.columns.get(place.key)
        if found is not None:
            return found
        return json_text(U.c.search, place.key), (str if place.key in CASE_EXACT else fold)

    def present(self, place: Place) -> ColumnElement[bool]:
        if place.sub is None and place.attribute.sub:
            parts = [
                self.column(Place(place.extension, place.attribute, sub))[0].is_not(None)
                for sub in place.attribute.sub.values()
            ]
            return true() if place.attribute.name == "meta" else or_(*parts)
        return self.column(place)[0].is_not(None)

    def value_path(self, place: Place, tree: ValuePath) -> ColumnElement[bool]:
        elements = _elements(self.resource_type, place.attribute) if place.attribute.multi_valued else None
        if elements is None or place.sub is not None:
            raise invalid_filter(f"'{tree.path}' has no elements to select from.")
        return self.any_element(elements, self.element_clause(place.attribute, elements, tree.item))

    def multi_valued(self, place: Place, tree: Comparison | Present) -> ColumnElement[bool]:
        elements = _elements(self.resource_type, place.attribute)
        if elements is None:
            raise invalid_filter(f"'{tree.path}' cannot be filtered by.")
        if isinstance(tree, Present) and place.sub is None:
            return self.any_element(elements, true())
        place = comparable(place)
        if place.sub is None:
            raise invalid_filter(f"'{tree.path}' is complex; compare one of its sub-attributes.")
        negative = isinstance(tree, Comparison) and tree.op == "ne"
        inner = Comparison(tree.path, "eq", tree.kind, tree.slot) if isinstance(tree, Comparison) and negative else tree
        found = self.any_element(elements, self.leaf(place.attribute, place.sub, elements, inner))
        if isinstance(tree, Comparison) and tree.kind == "null":
            # What has no values at all is unassigned as well (RFC 7643 §2.5).
            found = or_(found, _negated(self.any_element(elements, true())))
        # `ne` over several values: none of them equals (RFC 7644 leaves it open; this is its literal negation).
        return _negated(found) if negative else found

    def any_element(self, elements: _Elements, clause: ColumnElement[bool]) -> ColumnElement[bool]:
        return self.id.in_(select(elements.owner).where(*elements.scope, clause))

    def element_clause(self, attribute: Attribute, elements: _Elements, tree: Tree) -> ColumnElement[bool]:
        if isinstance(tree, Logical):
            parts = [self.element_clause(attribute, elements, item) for item in tree.items]
            return and_(*parts) if tree.op == "and" else or_(*parts)
        if isinstance(tree, Not):
            return _negated(self.element_clause(attribute, elements, tree.item))
        if isinstance(tree, ValuePath):
            raise invalid_filter("A value path cannot stand inside another.")
        sub = attribute.sub.get(tree.path.lower())
        if sub is None:
            raise invalid_filter(f"'{attribute.name}' has no sub-attribute '{tree.path[:60]}'.")
        return self.leaf(attribute, sub, elements, tree)

    def leaf(
        self, attribute: Attribute, sub: Attribute, elements: _Elements, tree: Comparison | Present
    ) -> ColumnElement[bool]:
        found = elements.columns.get(sub.name.lower())
        if found is None:
            raise invalid_filter(f"'{attribute.name}.{sub.name}' cannot be filtered by.")
        if isinstance(tree, Present):
            return found[0].is_(true()) if sub.type == "boolean" else found[0].is_not(None)
        if tree.op == "eq" and sub.name == "value" and elements.source is V and tree.kind != "null":
            # The index holds a long value by its hash, so only equality can use it.
            read = found[1]
            found = V.c.value_key, lambda literal: value_key(read(literal)) or ""
        return self.compare(*found, sub, tree)

    def compare(
        self, column: ColumnElement[Any], read: Callable[[str], str], attribute: Attribute, tree: Comparison
    ) -> ColumnElement[bool]:
        if tree.kind == "null" and tree.op not in ("eq", "ne"):
            raise invalid_filter(f"'{tree.path}' cannot be compared with null by '{tree.op}'.")
        if attribute.type == "boolean":
            return self.compare_boolean(column, tree)
        if tree.kind == "null":
            return column.is_(None) if tree.op == "eq" else column.is_not(None)
        if attribute.type == "dateTime":
            if tree.op in ("co", "sw", "ew"):
                raise invalid_filter(f"'{tree.path}' is a date and cannot be compared by '{tree.op}'.")
            read = instant
        if attribute.type == "binary" and tree.op in ("gt", "ge", "lt", "le"):
            raise invalid_filter(f"'{tree.path}' is binary and cannot be compared by '{tree.op}'.")
        name = f"v{tree.slot}"
        self.binders.append((name, tree.slot, read))
        value = bindparam(name, type_=column.type)
        if tree.op == "sw":
            self.binders.append((f"{name}_to", tree.slot, lambda literal: _after_prefix(read(literal))))
            upper = bindparam(f"{name}_to", type_=column.type)
            return and_(column >= value, column < upper)
        return COMPARE[tree.op](column, value)

    def compare_boolean(self, column: ColumnElement[Any], tree: Comparison) -> ColumnElement[bool]:
        if tree.kind == "null":
            return false() if tree.op == "eq" else true()
        # A boolean's literal belongs to the shape: it is checked when it is bound, and compared as a parameter.
        name = f"v{tree.slot}"
        self.binders.append((name, tree.slot, lambda literal: boolean(literal, tree.path, tree.op)))
        value = bindparam(name, type_=column.type)
        return column == value if tree.op == "eq" else column != value


COMPARE: dict[str, Callable[[ColumnElement[Any], ColumnElement[Any]], ColumnElement[bool]]] = {
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: or_(column.is_(None), column != value),
    "co": lambda column, value: position(column, value) > literal_column("0"),
    "ew": lambda column, value: (
        func.substr(column, func.length(column) - func.length(value) + literal_column("1")) == value
    ),
    "gt": lambda column, value: column > value,
    "ge": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "le": lambda column, value: column <= value,
}


def _negated(clause: ColumnElement[bool]) -> ColumnElement[bool]:
    # Without a value a comparison is unknown in SQL, but false in SCIM.
    return not_(func.coalesce(clause, false()))


def _after_prefix(prefix: str) -> str:
    """Give the least text above all that start with a prefix, in code point (= UTF-8 byte) order."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at])
        if code < 0x10FFFF:
            return prefix[:at] + chr(0xE000 if code == 0xD7FF else code + 1)
    return "\U0010ffff" * (len(prefix) + 8)


def instant(literal: str) -> str:
    """Read a date-time literal (RFC 7643 §2.3.5) as a stamp, or what sorts between stamps. Raises invalidFilter."""
    try:
        when = datetime.fromisoformat(literal)
    except ValueError:
        raise invalid_filter(f"'{literal[:60]}' is not a date-time such as 2026-11-24T18:27:59Z.") from None
    try:
        text = (when if when.tzinfo else when.replace(tzinfo=UTC)).astimezone(UTC).isoformat(timespec="microseconds")
    except OverflowError:
        raise invalid_filter(f"'{literal[:60]}' is out of range.") from None
    # Stamps end with the millisecond: …59.1234Z is later than …59.123Z and earlier than …59.124Z, as …59.123Z4 is.
    return f"{text[:23]}Z{text[23:26].rstrip('0')}"


@lru_cache(maxsize=1024)
def compiled(resource_type: ResourceType, tree: Tree) -> Compiled:
    """Give the SQL of a filter's shape over one resource type; an attribute that the type does not have is false.

    Raises invalidFilter for what cannot be filtered by, or not in this way.
    """
    compiler = _Compiler(resource_type)
    clause = compiler.clause(tree)
    return Compiled(clause, tuple(compiler.binders))


INDEXED = frozenset({"id", "externalid", "username", "displayname"})


def selective(resource_type: ResourceType, tree: Tree) -> bool:
    """Say whether an index of its own leads to the few rows that a filter can match: it demands an indexed value."""
    if isinstance(tree, Logical):
        return tree.op == "and" and any(selective(resource_type, item) for item in tree.items)
    place = None if isinstance(tree, Not) else resolve(resource_type, tree.path)
    if place is None:
        return False
    if isinstance(tree, ValuePath):
        terms = tree.item.items if isinstance(tree.item, Logical) and tree.item.op == "and" else (tree.item,)
        return any(isinstance(term, Comparison) and term.op == "eq" and term.path.lower() == "value" for term in terms)
    if not isinstance(tree, Comparison) or tree.op != "eq" or tree.kind == "null":
        return False
    place = comparable(place)
    return place.key in INDEXED or (place.attribute.multi_valued and place.last.name == "value")


def scans_names(resource_type: ResourceType, tree: Tree) -> bool:
    """Say whether a filter looks for a part of a displayName and nothing else: its index alone can answer that."""
    place = resolve(resource_type, tree.path) if isinstance(tree, Comparison) and tree.op in ("co", "ew") else None
    return place is not None and place.key == "displayname"


def require_known(resource_types: Sequence[ResourceType], tree: Tree) -> None:
    """Refuse a filter that names an attribute which none of the resource types has. Raises invalidFilter."""
    for path in _paths(tree):
        if all(resolve(resource_type, path) is None for resource_type in resource_types):
            names = " or ".join(resource_type.name for resource_type in resource_types)
            raise invalid_filter(f"'{path[:100]}' is not an attribute of {names}.")


def _paths(tree: Tree) -> list[str]:
    if isinstance(tree, Logical):
        return [path for item in tree.items for path in _paths(item)]
    if isinstance(tree, Not):
        return _paths(tree.item)
    return [tree.path]


def sort_key(resource_type: ResourceType, path: str) -> ColumnElement[Any]:
    """Give what a list is sorted by (RFC 7644 §3.4.2.3): of several values the primary or the first one."""
    place = resolve(resource_type, path)
    if place is None:
        raise ScimError(400, "invalidPath", f"sortBy: '{path[:100]}' is not an attribute of {resource_type.name}.")
    place = comparable(place)
    compiler = _Compiler(resource_type)
    try:
        compiler.allow(place, path)
    except ScimError:
        raise ScimError(400, "invalidPath", f"sortBy: '{path[:100]}' cannot be sorted by.") from None
    if place.attribute.multi_valued:
        elements = _elements(resource_type, place.attribute)
        column = elements.columns.get(place.last.name.lower()) if elements is not None else None
        if elements is None or column is None or elements.source is not V:
            raise ScimError(400, "invalidPath", f"sortBy: '{path[:100]}' cannot be sorted by.")
        first = select(_sortable(column[0], place)).where(*elements.scope, elements.owner == compiler.id)
        return first.order_by(V.c.is_primary.desc(), V.c.position).limit(1).scalar_subquery()
    if place.last.sub:
        raise ScimError(400, "invalidPath", f"sortBy: '{path[:100]}' is complex; name a sub-attribute.")
    return _sortable(compiler.column(place)[0], place)


def _sortable(column: ColumnElement[Any], place: Place) -> ColumnElement[Any]:
    """Give a boolean as text: what is sorted by goes into a cursor and comes back from it."""
    if place.last.type != "boolean":
        return column
    return case((column.is_(true()), literal_column("'true'", Text())), else_=literal_column("'false'", Text()))


def elements_clause(resource_type: ResourceType, attribute: Attribute, tree: Tree) -> Compiled:
    """Give the SQL of a value path's filter over the elements of one attribute. Raises invalidFilter."""
    compiler = _Compiler(resource_type)
    elements = _elements(resource_type, attribute)
    if elements is None:
        raise invalid_filter(f"'{attribute.name}' has no elements to select from.")
    clause = compiler.element_clause(attribute, elements, tree)
    return Compiled(clause, tuple(compiler.binders))
