"""A resource's body → what is stored: names in the schema's case, values as sent, what is unassigned left out.

Unknown attributes beside known ones are left out and noted, so that a stray mapping never sinks a deprovisioning;
unknown extension URNs are kept. A value of the wrong type is refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app_core.resource import JsonObject, UserRecord
from scim_server import entra
from scim_server.errors import invalid_syntax, invalid_value
from scim_server.filters import Place, resolve
from scim_server.schemas import Attribute, ResourceType

URN = re.compile(r"urn:[a-z0-9][a-z0-9-]{0,31}:\S+", re.IGNORECASE)
MAX_NESTING = 12
IGNORED = frozenset({"schemas", "id", "meta"})


@dataclass(slots=True)
class Accepted:
    """A body that can be stored."""

    resource: JsonObject
    notes: list[str] = field(default_factory=list)
    """Attributes that were left out because no schema has them."""
    password: str | None = None


def accept(resource_type: ResourceType, body: Any) -> Accepted:
    """Take a POST or PUT body. Raises ScimError invalidSyntax, invalidValue."""
    if not isinstance(body, dict):
        raise invalid_syntax(f"The body must be a JSON object with the attributes of a {resource_type.name}.")
    accepted = Accepted({})
    for key, value in body.items():
        lowered = key.lower()
        if lowered in IGNORED:
            continue
        attribute = resource_type.attributes.get(lowered)
        if attribute is not None:
            _put(accepted, accepted.resource, attribute, value, attribute.name)
        else:
            _put_elsewhere(accepted, resource_type, key, value)
    require(resource_type, accepted.resource)
    return accepted


def require(resource_type: ResourceType, resource: Mapping[str, Any]) -> None:
    """Refuse a resource that lacks a required attribute, or holds only blanks in it (RFC 7643 §2.2)."""
    for attribute in resource_type.attributes.values():
        if attribute.required:
            value = resource.get(attribute.name)
            if value is None or (isinstance(value, str) and not value.strip()):
                raise invalid_value(attribute.name, f"a {resource_type.name} needs it, and it was empty or missing.")


def take(attribute: Attribute, value: Any, path: str, notes: list[str]) -> Any:
    """Give a value as it is stored, or None when it unassigns. Raises ScimError invalidValue."""
    if attribute.name == "manager" and attribute.type == "complex":
        value = entra.manager(value)
    if entra.unassigned(value):
        return None
    if not attribute.multi_valued:
        return _single(attribute, value, path, notes)
    taken = [_element(attribute, each, path, notes) for each in (value if isinstance(value, list) else [value])]
    elements = [each for each in taken if each is not None]
    if sum(1 for each in elements if isinstance(each, dict) and each.get("primary") is True) > 1:
        raise invalid_value(path, "only one value may be primary.")
    return elements or None


def is_foreign(resource_type: ResourceType, urn: str) -> bool:
    """Say whether a name is the URN of an extension that is not known here, not something of a known schema."""
    known = (resource_type.urn.lower(), *resource_type.extensions)
    return URN.fullmatch(urn) is not None and not urn.lower().startswith(known)


def urn_as_kept(urn: str) -> str:
    """Give a URN with its scheme in lower case, which is one in any case (RFC 8141 §3.1)."""
    return "urn:" + urn[4:]


def record_of(resource: JsonObject, *, active: bool) -> UserRecord:
    """Give what the core stores of a user. `active` counts where the resource does not say it."""
    return UserRecord(resource, active=resource.get("active", active))


def _put(accepted: Accepted, target: JsonObject, attribute: Attribute, value: Any, path: str) -> None:
    if attribute.read_only:
        return
    taken = take(attribute, value, path, accepted.notes)
    if taken is None:
        return
    if attribute.name == "password":
        accepted.password = taken
    else:
        target[attribute.name] = taken


def _put_elsewhere(accepted: Accepted, resource_type: ResourceType, key: str, value: Any) -> None:
    """Put what is not a plain core attribute: extensions, flattened names, names without their URN."""
    urn = entra.extension_urn(key)
    known = resource_type.extensions.get(urn.lower())
    if known is not None:
        _put_extension(accepted, *known, value)
        return
    if urn.lower() == resource_type.urn.lower() and isinstance(value, dict):
        for name, held in value.items():
            attribute = resource_type.attributes.get(name.lower())
            if attribute is None:
                accepted.notes.append(f"{key}:{name}")
            elif name.lower() not in IGNORED:
                _put(accepted, accepted.resource, attribute, held, attribute.name)
        return
    place = resolve(resource_type, key)
    if place is not None:
        _put_place(accepted, place, key, value)
        return
    if is_foreign(resource_type, key):
        kept = free(value, key)
        if kept is not None:
            accepted.resource[urn_as_kept(key)] = kept
        return
    accepted.notes.append(key)


def _put_place(accepted: Accepted, place: Place, key: str, value: Any) -> None:
    """Put a flattened name, or one without its URN: `"name.givenName"`, `"manager"`, `"urn:…:User:department"`."""
    if place.attribute.read_only or place.last.read_only:
        return
    home = accepted.resource.setdefault(place.extension, {}) if place.extension else accepted.resource
    if place.sub is None or place.attribute.multi_valued:
        _put(accepted, home, place.attribute, value, key)
    else:
        taken = take(place.sub, value, key, accepted.notes)
        if taken is not None:
            home.setdefault(place.attribute.name, {})[place.sub.name] = taken
    if place.extension and not home:
        del accepted.resource[place.extension]


def _put_extension(accepted: Accepted, urn: str, attributes: Mapping[str, Attribute], value: Any) -> None:
    if entra.unassigned(value):
        return
    if not isinstance(value, dict):
        raise invalid_value(urn, "an extension must be a JSON object.")
    home = accepted.resource.setdefault(urn, {})
    for name, held in value.items():
        attribute = attributes.get(name.lower())
        if attribute is None:
            accepted.notes.append(f"{urn}:{name}")
        else:
            _put(accepted, home, attribute, held, f"{urn}:{attribute.name}")
    if not home:
        del accepted.resource[urn]


def _element(attribute: Attribute, value: Any, path: str, notes: list[str]) -> Any:
    if attribute.name == "roles":
        value = entra.role(value)
    return None if entra.unassigned(value) else _single(attribute, value, path, notes)


def _single(attribute: Attribute, value: Any, path: str, notes: list[str]) -> Any:
    kind = attribute.type
    if kind == "complex":
        return _complex(attribute, value, path, notes)
    if kind == "boolean":
        value = entra.boolean(value)
        if not isinstance(value, bool):
            raise invalid_value(path, "it must be true or false.")
        return value
    if kind == "any":
        return free(value, path)
    if not isinstance(value, str):
        raise invalid_value(path, f"it must be text, not {_kind_of(value)}.")
    return value


def _complex(attribute: Attribute, value: Any, path: str, notes: list[str]) -> JsonObject | None:
    if not isinstance(value, dict):
        raise invalid_value(path, f"it must be an object with sub-attributes, not {_kind_of(value)}.")
    taken: JsonObject = {}
    for name, held in value.items():
        sub = attribute.sub.get(name.lower())
        if sub is None:
            notes.append(f"{path}.{name}")
            continue
        if sub.read_only:
            continue
        inner = take(sub, held, f"{path}.{sub.name}", notes)
        if inner is not None:
            taken[sub.name] = inner
    return taken or None


def free(value: Any, path: str, depth: int = 0) -> Any:
    """Give a value of an unknown extension as sent, without what is unassigned. Raises ScimError invalidValue."""
    if depth > MAX_NESTING:
        raise invalid_value(path, f"it is nested more than {MAX_NESTING} deep.")
    if isinstance(value, dict):
        kept = {name: free(held, path, depth + 1) for name, held in value.items()}
        return {name: held for name, held in kept.items() if held is not None} or None
    if isinstance(value, list):
        return [each for each in (free(each, path, depth + 1) for each in value) if each is not None] or None
    return None if value == "" else value


def _kind_of(value: Any) -> str:
    kinds = {bool: "a boolean", int: "a number", float: "a number", list: "a list", dict: "an object", str: "text"}
    return kinds.get(type(value), "null")
