"""How every answer is held against the RFCs, whatever a test is about; and short words for what tests ask of one."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import httpx

from tests.builders import GROUP, USER, created, patch
from tests.processes import Customer

JSON = dict[str, Any]

SCIM = "application/scim+json"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
SEARCH_REQUEST = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
BULK_REQUEST = "urn:ietf:params:scim:api:messages:2.0:BulkRequest"
BULK_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:BulkResponse"

# RFC 7644 table 9 and RFC 9865 §2.1.
SCIM_TYPES = {
    *("invalidFilter", "tooMany", "uniqueness", "mutability", "invalidSyntax", "invalidPath", "noTarget"),
    *("invalidValue", "invalidVers", "sensitive", "invalidCursor", "expiredCursor", "invalidCount"),
}

numbers = itertools.count(1)


def client_of(scim_url: str, customer: Customer) -> httpx.Client:
    """Open a client that holds each answer against the RFCs."""
    return httpx.Client(
        base_url=scim_url, headers=customer.headers, timeout=60, event_hooks={"response": [in_scim_form]}
    )


def in_scim_form(answer: httpx.Response) -> None:
    """Hold an answer against what RFC 7644 §3.1, §3.12, §3.14 and §8.1 ask of all; never a 500, never a null."""
    answer.read()
    said = f"{answer.request.method} {str(answer.request.url)[:200]} → {answer.status_code} {answer.text[:500]}"

    assert answer.status_code not in (500, 502, 503), said
    if answer.request.method == "HEAD":
        return
    if answer.status_code in (204, 304):
        assert b"" == answer.content, said
        return
    assert SCIM == answer.headers["content-type"].partition(";")[0], said
    body = answer.json()
    assert "null" not in _kinds(body), f"a null in {said}"
    if answer.status_code >= 400:
        is_error(body, answer.status_code)
        return
    if {USER, GROUP} & set(body.get("schemas", [])):
        assert answer.headers.get("etag"), f"no ETag: {said}"
        assert body.get("meta", {}).get("version", answer.headers["etag"]) == answer.headers["etag"], said


def _kinds(value: Any) -> set[str]:
    if isinstance(value, dict):
        return {kind for held in value.values() for kind in _kinds(held)}
    if isinstance(value, list):
        return {kind for held in value for kind in _kinds(held)}
    return {"null"} if value is None else set()


def is_error(body: Any, status: int) -> None:
    """Hold a body against RFC 7644 §3.12: `status` as text, a reason, a scimType of the tables or none."""
    assert [ERROR] == body["schemas"], body
    assert str(status) == body["status"], body
    assert isinstance(body["detail"], str), body
    assert body["detail"], body
    assert body.get("scimType") in {None, *SCIM_TYPES}, body


def refused(answer: httpx.Response, status: int, *scim_types: str) -> str:
    """Hold an answer against a refusal; give its sentence."""
    assert status == answer.status_code, answer.text
    body = answer.json()
    if scim_types:
        assert body.get("scimType") in scim_types, body
    return str(body["detail"])


def ok(answer: httpx.Response, status: int = 200) -> JSON:
    """Hold an answer against a status and give its body."""
    assert status == answer.status_code, answer.text
    body: JSON = answer.json() if answer.content else {}
    return body


def resources(answer: httpx.Response) -> list[JSON]:
    """Give the resources of a list, after holding it against RFC 7644 §3.4.2."""
    body = ok(answer)
    assert [LIST_RESPONSE] == body["schemas"], body
    found: list[JSON] = body["Resources"]
    assert len(found) == body["itemsPerPage"] <= body["totalResults"], body
    return found


def ids(answer: httpx.Response) -> list[str]:
    """Give the ids of a list, in its order."""
    return [each["id"] for each in resources(answer)]


# Arranging ------------------------------------------------------------------------------------------------------------


def unique(text: str = "x") -> str:
    """Make a text that no other test of the run uses."""
    return f"{text}-{next(numbers)}-{uuid.uuid4().hex[:8]}"


def new_user(door: httpx.Client, **attributes: Any) -> JSON:
    """Create a user with these attributes and nothing else; its userName is its own unless given."""
    return created(door.post("Users", json={"schemas": [USER], "userName": unique("user"), **attributes}))


def new_users(door: httpx.Client, number: int) -> list[JSON]:
    return [new_user(door) for _ in range(number)]


def new_group(door: httpx.Client, *members: Mapping[str, Any] | str, **attributes: Any) -> JSON:
    """Create a group with these members, given as resources or ids."""
    body: JSON = {"schemas": [GROUP], "displayName": unique("Group"), **attributes}
    if members:
        body["members"] = values(*members)
    return created(door.post("Groups", json=body))


def values(*members: Mapping[str, Any] | str) -> list[JSON]:
    """Write members as RFC 7643 §4.2 does, by their ids."""
    return [{"value": each if isinstance(each, str) else each["id"]} for each in members]


def read(door: httpx.Client, resource: Mapping[str, Any] | str, **params: Any) -> JSON:
    """Read a resource again, by itself or by its path."""
    return ok(door.get(path_of(resource), params=params or None))


def path_of(resource: Mapping[str, Any] | str) -> str:
    """Give the path of a resource below the Tenant URL."""
    if isinstance(resource, str):
        return resource
    return f"{resource['meta']['resourceType']}s/{resource['id']}"


def change(door: httpx.Client, resource: Mapping[str, Any], *operations: JSON, **params: Any) -> httpx.Response:
    """Send a PATCH with these operations."""
    return door.patch(path_of(resource), json=patch(*operations), params=params or None)


def members_of(group: Mapping[str, Any]) -> set[str]:
    """Give the ids of a group's members, each there once."""
    found = [each["value"] for each in group.get("members", [])]
    assert len(found) == len(set(found)), "a member is listed twice"
    return set(found)


def id_set(each: Collection[Mapping[str, Any]]) -> set[str]:
    return {one["id"] for one in each}


def instant(text: str) -> datetime:
    """Read a date-time of RFC 7643 §2.3.5, which has a zone."""
    when = datetime.fromisoformat(text)
    assert when.tzinfo is not None, text
    return when
