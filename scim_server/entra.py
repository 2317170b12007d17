"""Entra's deviations, one named function each, with the sample as it comes over the wire.

Both dialects (with and without `?aadOptscim062020`) arrive at one time from one tenant, since provisioning on demand
ignores the flag: nothing here is a switch. What is not named here is strict.
"""

from typing import Any

import orjson

from app_core.resource import ENTERPRISE_USER

LEGACY_ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0user"


def operation_name(op: str) -> str:
    """Read an operation in any case: `{"op": "Replace", …}` is the default job's habit."""
    return op.strip().lower()


def boolean(value: Any) -> Any:
    """Read a boolean that comes as text: `{"op": "Replace", "path": "active", "value": "False"}`."""
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    return value


def unassigned(value: Any) -> bool:
    """Say whether a value clears: `"value": ""`, `null`, `{}`, `[]`. Entra has no other way to clear an attribute."""
    return value is None or value == "" or value == {} or value == []


def manager(value: Any) -> Any:
    """Read a manager as text, object or list: `"271"`, `{"value": "271"}`, `[{"$ref": "…", "value": "271"}]`."""
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        return {"value": value}
    return value


def role(value: Any) -> Any:
    r"""Unwrap a role that comes as JSON inside a string; what POST calls `display` may be `displayName` here.

    `{"path": "roles", "value": [{"value": "{\"id\": \"06b0…\", \"value\": \"25\", \"displayName\": \"R\"}"}]}`
    """
    if not isinstance(value, dict):
        return value
    wrapped = value.get("value")
    if isinstance(wrapped, str) and wrapped.lstrip().startswith("{"):
        try:
            inner = orjson.loads(wrapped)
        except ValueError:
            inner = None
        if isinstance(inner, dict) and ("value" in inner or "displayName" in inner):
            value = {**{name: held for name, held in value.items() if name != "value"}, **inner}
            value.pop("id", None)
    if "displayName" in value:
        display = value["displayName"]
        value = {name: held for name, held in value.items() if name != "displayName"}
        value.setdefault("display", display)
    return value


def extension_urn(urn: str) -> str:
    """Mend the URN that Microsoft's documentation misspells: `…:enterprise:2.0User`."""
    return ENTERPRISE_USER if urn.lower() == LEGACY_ENTERPRISE else urn


def member_ids(value: Any) -> list[str] | None:
    """Read members as a list, one object or a bare id: `[{"$ref": null, "value": "u1"}]`, `{"value": "u1"}`, `"u1"`.

    Only `value` counts; `display`, `displayName`, `type` and `$ref` may be there or not. None when it is none of these.
    """
    if value is None:
        return []
    ids = []
    for each in value if isinstance(value, list) else [value]:
        key = (
            next((held for name, held in each.items() if name.lower() == "value"), None)
            if isinstance(each, dict)
            else each
        )
        if not isinstance(key, str) or not key:
            return None
        ids.append(key)
    return ids
