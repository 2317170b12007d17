"""The PATCH interpreter (RFC 7644 §3.5.2) on a stored document: all operations or none, in the order sent.

It upserts where Entra expects it (a value path that selects nothing makes its element), treats Add and Replace of
a single value alike, and clears on an empty value. What no schema has is left out and noted.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from app_core.resource import JsonObject
from scim_server import entra
from scim_server.documents import IGNORED, URN, free, is_foreign, require, take, urn_as_kept
from scim_server.errors import invalid_path, invalid_syntax, invalid_value, mutability, no_target
from scim_server.filters import Comparison, Filter, Logical, Tree, boolean, matches, parse, resolve
from scim_server.schemas import Attribute, ResourceType

PATH = re.compile(r"(?P<name>[^\[\]]+)(?:\[(?P<where>.*)\](?:\.(?P<sub>[\w$\-]+))?)?", re.DOTALL)
BARE_URN = re.compile(r"urn:.*:\d+(\.\d+)*:\w+", re.IGNORECASE)
MAX_OPERATIONS, MAX_PATH = 10_000, 2048


@dataclass(frozen=True, slots=True)
class Target:
    """What a PATCH path points at."""

    path: str
    extension: str | None
    attribute: Attribute | None
    """None: the extension as a whole."""
    sub: Attribute | None = None
    where: Filter | None = None


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation on one path; path-less ones have been taken apart."""

    op: str
    target: Target | None
    """None: no schema has what the path names."""
    path: str
    value: Any


@dataclass(slots=True)
class Patched:
    """What a PATCH came to."""

    notes: list[str] = field(default_factory=list)
    password: str | None = None


def operations_of(resource_type: ResourceType, body: Any) -> list[Operation]:
    """Read a PatchOp message. Raises ScimError invalidSyntax, invalidPath, invalidFilter, noTarget, mutability."""
    if not isinstance(body, dict):
        raise invalid_syntax("A PATCH body must be a JSON object with Operations.")
    given = next((value for name, value in body.items() if name.lower() == "operations"), None)
    if not isinstance(given, list) or not given:
        raise invalid_syntax("Operations must be a list with at least one operation.")
    if len(given) > MAX_OPERATIONS:
        raise invalid_syntax(f"A PATCH may hold {MAX_OPERATIONS} operations, not {len(given)}.")
    operations = [operation for each in given for operation in _read(resource_type, each)]
    unknown = [operation.path for operation in operations if operation.target is None]
    if unknown and len(unknown) == len(operations):
        raise invalid_path(
            unknown[0], f"no schema of {resource_type.name} has this attribute, and the PATCH names no other."
        )
    return operations


def apply(resource_type: ResourceType, resource: JsonObject, operations: Sequence[Operation]) -> Patched:
    """Change a resource in place. After a ScimError it must be thrown away: nothing of it counts."""
    patched = Patched()
    for operation in operations:
        if operation.target is None:
            patched.notes.append(operation.path)
        else:
            _apply(resource, operation, operation.target, patched)
    require(resource_type, resource)
    return patched


# Reading ------------------------------------------------------------------------------------------------------------


def _read(resource_type: ResourceType, given: Any) -> Iterator[Operation]:
    if not isinstance(given, dict):
        raise invalid_syntax("Each operation must be a JSON object.")
    parts = {name.lower(): value for name, value in given.items()}
    op, path, value = parts.get("op"), parts.get("path"), parts.get("value")
    if not isinstance(op, str) or entra.operation_name(op) not in ("add", "replace", "remove"):
        raise invalid_syntax(f"op must be add, replace or remove, not {str(op)[:40]!r}.")
    op = entra.operation_name(op)
    if path is not None and not isinstance(path, str):
        raise invalid_path(str(path), "a path must be text.")
    if path is not None and path.strip():
        if op != "remove" and "value" not in parts:
            raise invalid_value(path.strip(), f"{op} needs a value.")
        yield from _located(resource_type, op, path.strip(), value)
        return
    if op == "remove":
        raise no_target("")
    if not isinstance(value, dict):
        raise invalid_value("value", f"{op} without a path needs an object with attributes.")
    yield from _flattened(resource_type, op, value)


def _located(resource_type: ResourceType, op: str, path: str, value: Any) -> Iterator[Operation]:
    """Read an operation with a path; one on a whole known extension is taken apart into its attributes."""
    urn = entra.extension_urn(path)
    if op == "add" and value == {} and urn.lower() in resource_type.extensions:
        return
    if urn.lower() not in resource_type.extensions or op == "remove" or entra.unassigned(value):
        yield _operation(resource_type, op, path, value)
        return
    if not isinstance(value, dict):
        raise invalid_value(path, "an extension must be a JSON object.")
    for name, held in value.items():
        yield _operation(resource_type, op, f"{urn}:{name}", held)


def _flattened(resource_type: ResourceType, op: str, value: JsonObject) -> Iterator[Operation]:
    """Take a path-less operation apart: its keys are attributes, dotted names, URN-qualified names and value paths."""
    for key, held in value.items():
        urn = entra.extension_urn(key)
        if key.lower() in IGNORED:
            # {"id": …, "displayName": …}: tolerated without a path, as the whole resource may be sent.
            continue
        if urn.lower() in resource_type.extensions:
            yield from _located(resource_type, op, urn, held)
            continue
        if urn.lower() == resource_type.urn.lower() and isinstance(held, dict):
            for name, inner in held.items():
                yield _operation(resource_type, op, f"{urn}:{name}", inner)
            continue
        operation = _operation(resource_type, op, key, held, pathless=True)
        if operation.target is None or operation.target.attribute is None or not operation.target.attribute.read_only:
            yield operation


def _operation(resource_type: ResourceType, op: str, path: str, value: Any, *, pathless: bool = False) -> Operation:
    target = target_of(resource_type, path)
    if target is not None and target.attribute is not None and target.attribute.read_only and not pathless:
        raise mutability(path, "it is read-only.")
    return Operation(op, target, path, value)


@lru_cache(maxsize=4096)
def target_of(resource_type: ResourceType, path: str) -> Target | None:
    """Read a PATCH path; None when no schema has what it names. Raises ScimError invalidPath, invalidFilter."""
    if len(path) > MAX_PATH:
        raise invalid_path(path[:60], "the path is too long.")
    found = PATH.fullmatch(path)
    if found is None:
        raise invalid_path(path, "the path cannot be read.")
    name, where, sub = found["name"].strip(), found["where"], found["sub"]
    urn = entra.extension_urn(name)
    known = resource_type.extensions.get(urn.lower())
    if known is not None and where is None:
        return Target(path, known[0], None)
    place = resolve(resource_type, name)
    if place is None:
        return _free_target(resource_type, path, name) if where is None else None
    if where is None:
        return Target(path, place.extension, place.attribute, place.sub)
    if not place.attribute.multi_valued or place.sub is not None:
        raise invalid_path(path, "only a multi-valued attribute has values to select from.")
    inner = None if sub is None else place.attribute.sub.get(sub.lower())
    if sub is not None and inner is None:
        return None
    return Target(path, place.extension, place.attribute, inner, parse(where))


def _free_target(resource_type: ResourceType, path: str, name: str) -> Target | None:
    if not is_foreign(resource_type, name):
        return None
    if BARE_URN.fullmatch(name):
        return Target(path, urn_as_kept(name), None)
    urn, _, attribute = name.rpartition(":")
    return Target(path, urn_as_kept(urn), Attribute(attribute, "any")) if URN.fullmatch(urn) and attribute else None


# Applying -----------------------------------------------------------------------------------------------------------


def _apply(resource: JsonObject, operation: Operation, target: Target, patched: Patched) -> None:
    attribute = target.attribute
    if attribute is None:
        _whole_extension(resource, operation, str(target.extension))
        return
    if attribute.returned == "never":
        patched.password = take(attribute, operation.value, target.path, patched.notes)
        return
    home = resource if target.extension is None else resource.setdefault(target.extension, {})
    if not isinstance(home, dict):
        raise invalid_path(target.path, "the extension holds a plain value, not attributes.")
    if target.where is not None:
        _selected(home, operation, target, attribute, target.where, patched)
    elif target.sub is not None:
        _sub_attribute(home, operation, target, attribute, target.sub, patched)
    elif operation.op == "remove":
        _remove(home, attribute, operation.value, patched)
    else:
        _put(home, operation, attribute, target.path, patched)
    if target.extension is not None and not home:
        del resource[target.extension]


def _whole_extension(resource: JsonObject, operation: Operation, urn: str) -> None:
    held, value = resource.get(urn), operation.value
    kept = None if operation.op == "remove" else free(value, operation.path)
    if operation.op != "remove" and isinstance(value, dict) and isinstance(held, dict):
        cleared = {name for name, inner in value.items() if entra.unassigned(inner)}
        _assign(resource, urn, {name: inner for name, inner in {**held, **(kept or {})}.items() if name not in cleared})
    else:
        _assign(resource, urn, kept)


def _put(home: JsonObject, operation: Operation, attribute: Attribute, path: str, patched: Patched) -> None:
    """Add or replace an attribute as a whole."""
    taken = take(attribute, operation.value, path, patched.notes)
    if attribute.name == "active" and attribute.type == "boolean" and taken is None:
        # Clearing it would leave open whether the person may come in: nobody is re-enabled by a blank.
        raise invalid_value(path, "it must be true or false.")
    if attribute.multi_valued:
        if operation.op == "replace":
            _assign(home, attribute.name, taken)
        elif taken is not None:
            home[attribute.name] = _joined(home.get(attribute.name) or [], taken)
    elif attribute.type == "complex" and attribute.name != "manager" and isinstance(operation.value, dict):
        _merge(home, attribute, operation.value, taken or {})
    else:
        _assign(home, attribute.name, taken)


def _merge(home: JsonObject, attribute: Attribute, given: JsonObject, taken: JsonObject) -> None:
    """Set the sub-attributes that were sent, leave the others: `{"path": "name", "value": {"familyName": "New"}}`."""
    merged = {**home.get(attribute.name, {}), **taken}
    for name, value in given.items():
        sub = attribute.sub.get(name.lower())
        if sub is not None and entra.unassigned(value):
            merged.pop(sub.name, None)
    _assign(home, attribute.name, merged if given else None)


def _remove(home: JsonObject, attribute: Attribute, value: Any, patched: Patched) -> None:
    """Remove an attribute, or only the values listed: `{"op": "Remove", "path": "roles", "value": [{…}]}`."""
    if attribute.required:
        raise mutability(attribute.name, "it is required and cannot be removed.")
    held = home.get(attribute.name)
    listed = take(attribute, value, attribute.name, patched.notes) if attribute.multi_valued else None
    if listed is None and isinstance(value, list):
        # Remove with a list means just these (entra rule 5), and these are none.
        return
    if listed is None or not isinstance(held, list):
        home.pop(attribute.name, None)
        return
    _assign(home, attribute.name, [each for each in held if not any(_covers(gone, each) for gone in listed)])


def _sub_attribute(
    home: JsonObject, operation: Operation, target: Target, attribute: Attribute, sub: Attribute, patched: Patched
) -> None:
    if sub.read_only:
        raise mutability(target.path, "it is read-only.")
    taken = None if operation.op == "remove" else take(sub, operation.value, target.path, patched.notes)
    if attribute.multi_valued:
        elements = home.get(attribute.name) or ([{}] if taken is not None else [])
        for element in elements:
            _assign(element, sub.name, taken)
        _one_primary(elements, elements)
        _assign(home, attribute.name, [element for element in elements if element])
        return
    inner = dict(home.get(attribute.name) or {})
    _assign(inner, sub.name, taken)
    _assign(home, attribute.name, inner)


def _selected(
    home: JsonObject, operation: Operation, target: Target, attribute: Attribute, where: Filter, patched: Patched
) -> None:
    """Change the elements that a value path selects."""
    held: list[JsonObject] = home.get(attribute.name) or []
    chosen = [element for element in held if matches(where.tree, where.literals, attribute, element)]
    sub = target.sub
    if operation.op == "remove":
        taken = None
    elif sub is not None:
        taken = take(sub, operation.value, target.path, patched.notes)
    else:
        one = take(attribute, operation.value, target.path, patched.notes)
        taken = one[0] if one else None
    if taken is None:
        _clear(home, attribute, held, chosen, sub)
        return
    if not chosen:
        element = _made_from(where, attribute, target.path)
        if (
            not held
            and attribute.sub.get("primary")
            and "primary" not in element
            and sub is not None
            and sub.name == "value"
        ):
            element["primary"] = True
        held, chosen = [*held, element], [element]
    for element in chosen:
        if sub is not None:
            element[sub.name] = taken
        elif operation.op == "add":
            element.update(taken)
        else:
            kept = _equalities(where, attribute) or {}
            element.clear()
            element.update({**kept, **taken})
    _one_primary(held, chosen)
    home[attribute.name] = held


def _clear(
    home: JsonObject, attribute: Attribute, held: list[JsonObject], chosen: list[JsonObject], sub: Attribute | None
) -> None:
    """Remove the chosen elements, or one sub-attribute of them; an element that then says nothing goes too."""
    if sub is not None:
        for element in chosen:
            element.pop(sub.name, None)
    gone = [element for element in chosen if sub is None or not set(element) - {"type", "primary", "display"}]
    _assign(home, attribute.name, [element for element in held if not any(element is each for each in gone)])


def _joined(held: list[Any], added: list[Any]) -> list[Any]:
    """Append what is not there yet; what is there with the same value and type is brought up to date."""
    joined = list(held)
    fresh = []
    for each in added:
        twin = next((other for other in joined if _same(each, other)), None)
        if twin is None:
            joined.append(each)
            twin = each
        elif isinstance(twin, dict):
            twin.update(each)
        fresh.append(twin)
    _one_primary(joined, fresh)
    return joined


def _one_primary(held: list[Any], fresh: list[Any]) -> None:
    """Leave `primary` with whom it was given last (RFC 7644 §3.5.2)."""
    holder = next((each for each in reversed(fresh) if isinstance(each, dict) and each.get("primary") is True), None)
    if holder is None:
        return
    for each in held:
        if each is not holder and isinstance(each, dict) and each.get("primary") is True:
            each["primary"] = False


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict) and "value" in one:
        return bool(one["value"] == other.get("value")) and one.get("type") == other.get("type")
    return bool(one == other)


def _covers(listed: Any, held: Any) -> bool:
    """Say whether a listed value means a held one: all that it says is so."""
    if not isinstance(listed, dict) or not isinstance(held, dict):
        return bool(listed == held)
    if "value" in listed:
        return bool(listed["value"] == held.get("value")) and listed.get("type", held.get("type")) == held.get("type")
    return all(held.get(name) == value for name, value in listed.items())


def _made_from(where: Filter, attribute: Attribute, path: str) -> JsonObject:
    """Make the element that a value path would have selected: `emails[type eq "work"]` gives `{"type": "work"}`."""
    element = _equalities(where, attribute)
    if element is None:
        raise no_target(path)
    return element


def _equalities(where: Filter, attribute: Attribute) -> JsonObject | None:
    terms = where.tree.items if isinstance(where.tree, Logical) and where.tree.op == "and" else (where.tree,)
    element: JsonObject = {}
    for term in terms:
        if not _is_equality(term, attribute):
            return None
        assert isinstance(term, Comparison)
        sub, literal = attribute.sub[term.path.lower()], where.literals[term.slot]
        element[sub.name] = boolean(literal, term.path, "eq") if sub.type == "boolean" else literal
    return element


def _is_equality(term: Tree, attribute: Attribute) -> bool:
    return (
        isinstance(term, Comparison) and term.op == "eq" and term.kind != "null" and term.path.lower() in attribute.sub
    )


def _assign(home: JsonObject, name: str, value: Any) -> None:
    if value is None or value == {} or value == []:
        home.pop(name, None)
    else:
        home[name] = value
