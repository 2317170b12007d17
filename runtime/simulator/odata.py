"""The query options of OData as far as Graph takes them for people and groups: select, filter, search, order."""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from runtime.simulator.directory import Entry, Kind

Test = Callable[[Entry], bool]
WORDS = re.compile(r"\w+")
TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<word>[\w/]+)|(?P<sign>[(),]))")
SEARCHED = re.compile(r'\s*(?P<word>AND|OR|\(|\)|"(?P<property>\w+):(?P<text>[^"]*)")')


class BadQuery(Exception):
    """A query option that Graph does not take."""


class Expand(NamedTuple):
    """What `$expand=manager($select=id,displayName)` asks for."""

    name: str
    select: tuple[str, ...] | None


def selected(text: str | None, kind: Kind, related: tuple[str, ...] = ()) -> tuple[str, ...] | None:
    """Read `$select`; None when nothing is selected. Raises BadQuery for a name that does not exist."""
    if not text:
        return None
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name not in kind.properties and name not in related:
            raise BadQuery(
                "Parsing OData Select and Expand failed: Could not find a property named "
                f"'{name}' on type 'microsoft.graph.{kind}'."
            )
    return names


def expanded(text: str | None, allowed: tuple[str, ...]) -> Expand | None:
    """Read `$expand` of one relation. Raises BadQuery."""
    if not text:
        return None
    found = re.fullmatch(r"(\w+)(?:\(\$select=([\w,]+)\))?", text.strip())
    if found is None or found[1] not in allowed:
        raise BadQuery(f"Parsing OData Select and Expand failed: '{text}' cannot be expanded here.")
    return Expand(found[1], selected(found[2], Kind.USER))


def ids_only(text: str | None) -> tuple[str, ...] | None:
    """Read the one filter of delta queries: `id eq '…'` joined by `or`, at most 50. Raises BadQuery."""
    if not text:
        return None
    terms = re.split(r"\s+or\s+", text.strip())
    found = [re.fullmatch(r"id\s+eq\s+'([^']+)'", term) for term in terms]
    if len(terms) > 50 or any(term is None for term in found):
        raise BadQuery("The filter of a delta query can only name up to 50 objects: id eq '…' or id eq '…'.")
    return tuple(term[1] for term in found if term is not None)


def filtered(text: str, kind: Kind) -> Test:
    """Read `$filter`: eq, ne, in, startswith, endswith with and, or, not. Raises BadQuery."""
    parser = _Filter(text, kind)
    test = parser.either()
    parser.end()
    return test


def needs_consistency(text: str) -> bool:
    """Say whether a filter is only taken with `ConsistencyLevel: eventual` and `$count=true`."""
    return bool(re.search(r"\b(?:ne|not)\b|endswith\(", re.sub(r"'(?:[^']|'')*'", "", text)))


def searched(text: str, kind: Kind) -> Test:
    """Read `$search`: `"displayName:sal"` finds words that begin so; joined by AND and OR. Raises BadQuery."""
    tests: list[Test] = []
    joint = ""
    at = 0
    text = text.strip()
    while at < len(text):
        found = SEARCHED.match(text, at)
        if found is None:
            raise BadQuery(f"Syntax error at position {at} in '{text}'.")
        at = found.end()
        if found["property"] is None:
            joint = found["word"] if found["word"] in ("AND", "OR") else joint
            continue
        if found["property"] not in kind.properties:
            raise BadQuery(f"Could not find a property named '{found['property']}' on type 'microsoft.graph.{kind}'.")
        tests.append(_has_words(found["property"], found["text"]))
    if not tests:
        raise BadQuery('A search looks like this: "displayName:text".')
    return (
        (lambda entry: any(test(entry) for test in tests))
        if joint == "OR"
        else (lambda entry: all(test(entry) for test in tests))
    )


def ordered(text: str, kind: Kind) -> tuple[str, bool]:
    """Read `$orderby`: a property and whether it descends. Raises BadQuery."""
    found = re.fullmatch(r"(\w+)(?:\s+(asc|desc))?", text.strip())
    if found is None or found[1] not in kind.properties:
        raise BadQuery(f"The expression '{text}' cannot be used to order.")
    return found[1], found[2] == "desc"


def _has_words(name: str, text: str) -> Test:
    wanted = [word.casefold() for word in WORDS.findall(text)]

    def test(entry: Entry) -> bool:
        words = [word.casefold() for word in WORDS.findall(str(entry.value(name) or ""))]
        return all(any(word.startswith(part) for word in words) for part in wanted)

    return test


class _Filter:
    """A reader of one filter expression, one method a level of precedence."""

    def __init__(self, text: str, kind: Kind) -> None:
        self.text = text
        self.kind = kind
        self.tokens = list(self._split(text))

    def either(self) -> Test:
        tests = [self.both()]
        while self._took("or"):
            tests.append(self.both())
        return tests[0] if len(tests) == 1 else lambda entry: any(test(entry) for test in tests)

    def both(self) -> Test:
        tests = [self.one()]
        while self._took("and"):
            tests.append(self.one())
        return tests[0] if len(tests) == 1 else lambda entry: all(test(entry) for test in tests)

    def one(self) -> Test:
        if self._took("not"):
            test = self.one()
            return lambda entry: not test(entry)
        if self._took("("):
            test = self.either()
            self._require(")")
            return test
        word = self._next()
        if word in ("startswith", "endswith"):
            return self._affix(word)
        return self._comparison(word)

    def end(self) -> None:
        if self.tokens:
            raise BadQuery(f"Syntax error in '{self.text}' at '{self.tokens[0]}'.")

    def _affix(self, word: str) -> Test:
        self._require("(")
        name = self._property(self._next())
        self._require(",")
        affix = str(self._value(self._next())).casefold()
        self._require(")")
        method = str.startswith if word == "startswith" else str.endswith
        return lambda entry: method(str(entry.value(name) or "").casefold(), affix)

    def _comparison(self, word: str) -> Test:
        name = self._property(word)
        operator = self._next()
        if operator == "in":
            self._require("(")
            values = [self._value(self._next())]
            while self._took(","):
                values.append(self._value(self._next()))
            self._require(")")
            return lambda entry: any(_equal(entry.value(name), value) for value in values)
        if operator not in ("eq", "ne"):
            raise BadQuery(f"Invalid filter clause: unsupported operator '{operator}'.")
        value = self._value(self._next())
        return lambda entry: _equal(entry.value(name), value) is (operator == "eq")

    def _property(self, name: str) -> str:
        if name not in self.kind.properties:
            raise BadQuery(f"Could not find a property named '{name}' on type 'microsoft.graph.{self.kind}'.")
        return name

    def _value(self, token: str) -> Any:
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        constants: Mapping[str, Any] = {"true": True, "false": False, "null": None}
        if token not in constants:
            raise BadQuery(f"Invalid filter clause: '{token}' is no value.")
        return constants[token]

    def _took(self, token: str) -> bool:
        if self.tokens and self.tokens[0] == token:
            del self.tokens[0]
            return True
        return False

    def _require(self, token: str) -> None:
        if not self._took(token):
            raise BadQuery(f"Syntax error in '{self.text}': '{token}' expected.")

    def _next(self) -> str:
        if not self.tokens:
            raise BadQuery(f"Syntax error: '{self.text}' ends too early.")
        return self.tokens.pop(0)

    @staticmethod
    def _split(text: str) -> list[str]:
        tokens, at = [], 0
        text = text.strip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None:
                raise BadQuery(f"Syntax error at position {at} in '{text}'.")
            tokens.append(found[0].strip())
            at = found.end()
        return tokens


def _equal(actual: Any, wanted: Any) -> bool:
    """Compare as the directory does: text in any case."""
    if isinstance(actual, str) and isinstance(wanted, str):
        return actual.casefold() == wanted.casefold()
    return bool(actual == wanted)
