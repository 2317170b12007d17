"""What must be true of everything that the door hands to the core."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, TypeVar

from app_core.resource import BASE, attributes_of, document
from scim_server import documents
from scim_server.errors import ScimError
from scim_server.schemas import USER
from tests.scim_server.generated import JSON

T = TypeVar("T")
NOW = "2026-11-24T18:27:59.123Z"
PLURAL = ("emails", "phoneNumbers", "ims", "photos", "addresses", "entitlements", "roles", "x509Certificates")
GIVEN_BY_US = ("schemas", "id", "meta")
EMPTY: tuple[Any, ...] = (None, "", [], {})


def check_storable(resource: JSON) -> None:
    """Hold a user against what the core relies on: it can be stored, indexed, and comes back as it is."""
    record = documents.record_of(resource, active=True)
    record.columns()
    for element in record.elements():
        json.loads(element.element)
    stored = document("0193", record, NOW, NOW, 1)

    assert resource == attributes_of(stored)
    answer = json.loads(stored.replace(BASE, b""), object_pairs_hook=without_doubles)
    assert {"schemas", "id", "meta", *resource} == set(answer)
    assert {name for name in resource if name.lower().startswith("urn:")} <= set(answer["schemas"])
    assert not holds_nothing(resource)
    for name in PLURAL:
        assert at_most_one_primary(resource.get(name, [])), name
    # Known attributes are as the schema has them: taking the answer as a request changes nothing.
    again = documents.accept(USER, {**resource, "password": "x"})
    assert (resource, []) == (again.resource, again.notes)


def outcome(attempt: Callable[[], T]) -> T | ScimError:
    """Give what comes of an attempt, be it a refusal of the door."""
    try:
        return attempt()
    except ScimError as refusal:
        return refusal


def without_doubles(pairs: list[tuple[str, Any]]) -> JSON:
    found = dict(pairs)
    assert len(found) == len(pairs), f"a name is there twice: {pairs}"
    return found


def holds_nothing(value: Any) -> bool:
    """Say whether something in a value is unassigned, and should have been left out."""
    if isinstance(value, dict):
        return any(each in EMPTY or holds_nothing(each) for each in value.values())
    return isinstance(value, list) and any(each in EMPTY or holds_nothing(each) for each in value)


def at_most_one_primary(elements: list[JSON]) -> bool:
    return sum(1 for element in elements if element.get("primary") is True) <= 1
