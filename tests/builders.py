"""Plain functions with plain defaults: the bodies that Entra sends, and the calls that put them in place."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE_USER = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
PICTURE = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de")
"""The least that is a PNG."""


def a_user(n: int = 1, **changes: Any) -> dict[str, Any]:
    """Build the body with which Entra creates its n-th person; changes replace whole attributes.

    The manager is left out: Entra sends it by PATCH once that person is there.
    """
    user_name = f"person{n}@contoso.com"
    return {
        "schemas": [USER, ENTERPRISE_USER],
        "externalId": str(uuid.uuid4()),
        "userName": user_name,
        "active": True,
        "displayName": f"Barbara Jensen {n}",
        "title": "Tour Guide",
        "preferredLanguage": "en-US",
        "emails": [{"primary": True, "type": "work", "value": user_name}],
        "addresses": [
            {
                "type": "work",
                "formatted": "18/2111",
                "streetAddress": "9256 Towne Center Dr.",
                "locality": "San Diego",
                "region": "CA",
                "postalCode": "92121",
                "country": "United States",
                "primary": True,
            }
        ],
        "phoneNumbers": [
            {"type": "work", "value": "+18585550109", "primary": True},
            {"type": "mobile", "value": "+18585550110"},
            {"type": "fax", "value": "+18585550111"},
        ],
        "name": {"givenName": "Barbara", "familyName": f"Jensen {n}", "formatted": f"Barbara Jensen {n}"},
        ENTERPRISE_USER: {"employeeNumber": str(700000 + n), "department": "Tours"},
        "roles": [],
        "meta": {"resourceType": "User"},
        **changes,
    }


def a_group(name: str = "Tour Guides", **changes: Any) -> dict[str, Any]:
    """Build the body with which Entra creates a group: always without members."""
    return {
        "schemas": [GROUP],
        "externalId": str(uuid.uuid4()),
        "displayName": name,
        "meta": {"resourceType": "Group"},
        **changes,
    }


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    """Wrap operations into a PatchOp body."""
    return {"schemas": [PATCH_OP], "Operations": list(operations)}


def create_user(scim: httpx.Client, n: int = 1, **changes: Any) -> dict[str, Any]:
    """Create the n-th person and return the resource as answered."""
    return created(scim.post("Users", json=a_user(n, **changes)))


def create_group(scim: httpx.Client, name: str = "Tour Guides", **changes: Any) -> dict[str, Any]:
    """Create a group and return the resource as answered."""
    return created(scim.post("Groups", json=a_group(name, **changes)))


def created(answer: httpx.Response) -> dict[str, Any]:
    """Hold an answer against 201 and return its body."""
    assert 201 == answer.status_code, answer.text
    body: dict[str, Any] = answer.json()
    return body
