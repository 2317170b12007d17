"""Entra's default attribute mapping, and the bodies made of it: creates, and PATCHes in both of its styles."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Literal, NamedTuple

from runtime.simulator.directory import Entry

JsonObject = dict[str, Any]
Value = str | bool
Mapped = dict[str, Value]
"""Values by the path to which they go, as the administrator sees them in the mapping."""

USER = "urn:ietf:params:scim:schemas:core:2.0:User"
ENTERPRISE_USER = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
OLD_GROUP = "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
MANAGER = f"{ENTERPRISE_USER}:manager"

VALUE_PATH = re.compile(r'(?P<list>\w+)\[type eq "(?P<type>\w+)"\]\.(?P<name>\w+)')

ExternalId = Literal["mailNickname", "objectId"]


class Style(StrEnum):
    """The two ways in which PATCHes are written."""

    DEFAULT = "default"
    FLAG = "aadOptscim062020"


SOURCES: dict[str, str | Callable[[Entry], Any]] = {
    "userName": "userPrincipalName",
    "displayName": "displayName",
    "title": "jobTitle",
    'emails[type eq "work"].value': "mail",
    "preferredLanguage": "preferredLanguage",
    "name.givenName": "givenName",
    "name.familyName": "surname",
    "name.formatted": lambda user: " ".join(filter(None, (user.value("givenName"), user.value("surname")))),
    'addresses[type eq "work"].formatted': "officeLocation",
    'addresses[type eq "work"].streetAddress': "streetAddress",
    'addresses[type eq "work"].locality': "city",
    'addresses[type eq "work"].region': "state",
    'addresses[type eq "work"].postalCode': "postalCode",
    'addresses[type eq "work"].country': "country",
    'phoneNumbers[type eq "work"].value': lambda user: next(iter(user.value("businessPhones")), None),
    'phoneNumbers[type eq "mobile"].value': "mobilePhone",
    'phoneNumbers[type eq "fax"].value': "faxNumber",
    f"{ENTERPRISE_USER}:employeeNumber": "employeeId",
    f"{ENTERPRISE_USER}:department": "department",
}


def mapped_user(user: Entry, *, active: bool, external_id: ExternalId, empty_text: bool = False) -> Mapped:
    """Give what a user's attributes are mapped to. What is null is left out, which is why nothing is ever cleared.

    `empty_text` is what administrators do about it: an expression that maps null to an empty text.
    """
    mapped: Mapped = {}
    for path, source in SOURCES.items():
        value = user.value(source) if isinstance(source, str) else source(user)
        if value:
            mapped[path] = value
        elif empty_text and path != "userName":
            mapped[path] = ""
    mapped["active"] = active
    identifier = user.id if external_id == "objectId" else user.value("mailNickname")
    if identifier:
        mapped["externalId"] = identifier
    return mapped


def mapped_group(group: Entry) -> Mapped:
    """Give what a group's attributes are mapped to."""
    return {"displayName": group.value("displayName"), "externalId": group.id}


# ── Creates ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def user_body(mapped: Mapped, manager_id: str | None = None) -> JsonObject:
    """Write the body that creates a user. Empty texts have no place in it; `manager_id` is sent as a bare string."""
    body: JsonObject = {"schemas": [USER, ENTERPRISE_USER]}
    for path, value in mapped.items():
        if value != "":
            _put(body, path, value)
    if manager_id is not None:
        _put(body, MANAGER, manager_id)
    return {**body, "roles": [], "meta": {"resourceType": "User"}}


def group_body(mapped: Mapped, style: Style) -> JsonObject:
    """Write the body that creates a group: never with members."""
    schemas = [GROUP, OLD_GROUP] if style is Style.DEFAULT else [GROUP]
    return {"schemas": schemas, **mapped, "members": [], "meta": {"resourceType": "Group"}}


def _put(body: JsonObject, path: str, value: Value) -> None:
    found = VALUE_PATH.fullmatch(path)
    if found is not None:
        elements = body.setdefault(found["list"], [])
        element = next((element for element in elements if element["type"] == found["type"]), None)
        if element is None:
            primary = {"primary": True} if found["type"] == "work" else {}
            element = {**primary, "type": found["type"]}
            elements.append(element)
        element[found["name"]] = value
    elif path.startswith(ENTERPRISE_USER):
        body.setdefault(ENTERPRISE_USER, {})[path.removeprefix(f"{ENTERPRISE_USER}:")] = value
    else:
        owner, separator, name = path.rpartition(".")
        (body.setdefault(owner, {}) if separator else body)[name] = value


# ── Updates ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Difference(NamedTuple):
    """An attribute whose value at the other end is not ours; `absent` when there is none."""

    path: str
    value: Value
    absent: bool


def differences(mapped: Mapped, resource: Mapping[str, Any]) -> list[Difference]:
    """Compare what is mapped with what the other end has answered."""
    found = []
    for path, value in mapped.items():
        actual = value_at(resource, path)
        if actual is None and value == "":
            continue
        if actual != value:
            found.append(Difference(path, value, actual is None))
    return found


def value_at(resource: Mapping[str, Any], path: str) -> Any:
    """Read the value at a path out of a resource; None where there is nothing."""
    found = VALUE_PATH.fullmatch(path)
    if found is not None:
        elements: list[JsonObject] = resource.get(found["list"]) or []
        return next((each.get(found["name"]) for each in elements if each.get("type") == found["type"]), None)
    if path.startswith(ENTERPRISE_USER):
        return (resource.get(ENTERPRISE_USER) or {}).get(path.removeprefix(f"{ENTERPRISE_USER}:"))
    owner, separator, name = path.rpartition(".")
    return ((resource.get(owner) or {}) if separator else resource).get(name)


def patch(operations: Sequence[JsonObject]) -> JsonObject:
    """Wrap operations."""
    return {"schemas": [PATCH_OP], "Operations": list(operations)}


def operations_for(found: Iterable[Difference], style: Style) -> list[JsonObject]:
    """Write the operations that bring an object up to date."""
    if style is Style.DEFAULT:
        return [
            {"op": "Add" if each.absent else "Replace", "path": each.path, "value": _as_text(each.value)}
            for each in found
        ]
    apart: list[JsonObject] = []
    together: dict[str, Value] = {}
    for each in found:
        if each.absent or VALUE_PATH.fullmatch(each.path):
            apart.append({"op": "add" if each.absent else "replace", "path": each.path, "value": each.value})
        else:
            together[each.path] = each.value
    if len(together) == 1:
        ((path, value),) = together.items()
        apart.append({"op": "replace", "path": path, "value": value})
    elif together:
        apart.append({"op": "replace", "value": together})
    return apart


def _as_text(value: Value) -> str:
    """Write booleans as the default style does: the Switch expression of the mapping gives texts."""
    return str(value)


class ManagerForm(StrEnum):
    """The ways in which a manager is written."""

    STRING = "string"
    LIST = "list"


def manager_operation(manager_id: str, style: Style, form: ManagerForm, base: str, *, absent: bool) -> JsonObject:
    """Write the operation that gives a user a manager."""
    op = "Add" if absent else "Replace"
    if form is ManagerForm.LIST:
        reference = {"$ref": f"{base}/Users/{manager_id}", "value": manager_id}
        return {"op": op, "path": "manager", "value": [reference]}
    return {"op": op if style is Style.DEFAULT else op.lower(), "path": MANAGER, "value": manager_id}


def member_operations(verb: Literal["add", "remove"], ids: Sequence[str], style: Style) -> list[JsonObject]:
    """Write the operations that put members in or take them out."""
    if style is Style.FLAG and verb == "remove":
        return [{"op": "remove", "path": f'members[value eq "{member_id}"]'} for member_id in ids]
    value = [{"$ref": None, "value": member_id} for member_id in ids]
    return [{"op": verb if style is Style.FLAG else verb.capitalize(), "path": "members", "value": value}]
