"""Discovery: what /ServiceProviderConfig, /ResourceTypes and /Schemas say, and that it is true."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from app_core.resource import CASE_EXACT
from scim_server.schemas import RESOURCE_TYPES, SCHEMAS, USER, Attribute, ResourceType
from tests.builders import ENTERPRISE_USER, a_user, create_group, created
from tests.builders import GROUP as GROUP_SCHEMA
from tests.builders import USER as USER_SCHEMA
from tests.conftest import Server

JSON = dict[str, Any]

LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
ERROR = "urn:ietf:params:scim:api:messages:2.0:Error"
LISTS = ["ResourceTypes", "Schemas"]
ENDPOINTS = ["ServiceProviderConfig", *LISTS, "ResourceTypes/User", f"Schemas/{USER_SCHEMA}"]
CAMEL_CASE = re.compile(r"[a-z][a-zA-Z0-9]*")


@pytest.fixture(scope="module")
def scim(server: Server) -> Iterator[httpx.Client]:
    """The client of one tenant for all of this file: discovery only reads."""
    with a_tenant(server) as client:
        yield client


# Shapes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", LISTS)
def test_discovery_lists_are_list_responses(scim: httpx.Client, path: str) -> None:
    """All resource types and all schemas come at once, with the counts that go with them."""
    body = got(scim, path)

    assert {"schemas", "totalResults", "startIndex", "itemsPerPage", "Resources"} == body.keys()
    assert [LIST_RESPONSE] == body["schemas"]
    assert len(body["Resources"]) == body["totalResults"] == body["itemsPerPage"]
    assert 1 == body["startIndex"]


@pytest.mark.parametrize("path", LISTS)
def test_each_listed_is_found_by_its_id_and_location(scim: httpx.Client, path: str) -> None:
    """What is listed is also there by itself, the same, and at the place it says."""
    for each in got(scim, path)["Resources"]:
        assert f"{base_of(scim)}/{path}/{each['id']}" == each["meta"]["location"]
        assert each == got(scim, each["meta"]["location"])


@pytest.mark.parametrize("path", ENDPOINTS)
def test_documents_hold_no_nulls_and_camel_case_names(scim: httpx.Client, path: str) -> None:
    """Entra's discovery reads names as RFC 7643 spells them, and stumbles over nulls."""
    members = list(members_of(got(scim, path)))

    assert [] == [name for name, value in members if value is None]
    assert [] == [name for name, _ in members if name != "Resources" and not CAMEL_CASE.fullmatch(name)]


@pytest.mark.parametrize("path", ["ResourceTypes/Device", "ResourceTypes/user", "Schemas/urn:example:2.0:Device"])
def test_what_is_not_listed_is_not_found(scim: httpx.Client, path: str) -> None:
    """An unknown name is 404; names of resource types and URNs are compared as they are."""
    answer = scim.get(path)

    assert (404, [ERROR], "404") == (answer.status_code, answer.json()["schemas"], answer.json()["status"])


def test_resource_types_name_published_schemas(scim: httpx.Client) -> None:
    """Each resource type is served at its endpoint, and all its schemas are published."""
    published = {each["id"] for each in got(scim, "Schemas")["Resources"]}
    described = {each["name"]: each for each in got(scim, "ResourceTypes")["Resources"]}

    assert {"User": "/Users", "Group": "/Groups"} == {name: each["endpoint"] for name, each in described.items()}
    assert {"User": USER_SCHEMA, "Group": GROUP_SCHEMA} == {name: each["schema"] for name, each in described.items()}
    assert [{"schema": ENTERPRISE_USER, "required": False}] == described["User"]["schemaExtensions"]
    assert "schemaExtensions" not in described["Group"]
    assert {USER_SCHEMA, ENTERPRISE_USER, GROUP_SCHEMA} == published
    for each in described.values():
        assert 200 == scim.get(each["endpoint"].removeprefix("/")).status_code


def test_every_attribute_says_all_its_characteristics(scim: httpx.Client) -> None:
    """A client need not know the defaults of RFC 7643 §2.2."""
    said = {
        "name",
        "type",
        "multiValued",
        "description",
        "required",
        "caseExact",
        "mutability",
        "returned",
        "uniqueness",
    }
    for schema in got(scim, "Schemas")["Resources"]:
        for attribute in schema["attributes"]:
            for each in (attribute, *attribute.get("subAttributes", [])):
                assert set() == said - {"caseExact"} - each.keys(), each["name"]
                assert each["type"] == "complex" or "caseExact" in each, each["name"]
                assert each["type"] != "reference" or each["referenceTypes"], each["name"]


@pytest.mark.parametrize(
    ("attribute", "types"),
    [
        ("emails", ["work", "home", "other"]),
        ("phoneNumbers", ["work", "home", "mobile", "fax", "pager", "other"]),
        ("addresses", ["work", "home", "other"]),
    ],
)
def test_types_have_their_canonical_values(scim: httpx.Client, attribute: str, types: list[str]) -> None:
    """Entra offers `emails[type eq "work"]` and its like for mapping only when the schema names the values."""
    schema = got(scim, f"Schemas/{USER_SCHEMA}")
    [found] = [each for each in schema["attributes"] if each["name"] == attribute]
    [kind] = [each for each in found["subAttributes"] if each["name"] == "type"]

    assert types == kind["canonicalValues"]


# Refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["ServiceProviderConfig", *LISTS])
def test_a_filter_on_discovery_is_refused(scim: httpx.Client, path: str) -> None:
    """A client would take the answer for filtered (RFC 7644 §4)."""
    answer = scim.get(path, params={"filter": 'name eq "User"'})

    assert (403, "403") == (answer.status_code, answer.json()["status"])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("path", ENDPOINTS)
def test_discovery_cannot_be_written(scim: httpx.Client, path: str, method: str) -> None:
    """Only reading is possible, and the answer says so."""
    answer = scim.request(method, path, json={})

    assert (405, "GET", "405") == (answer.status_code, answer.headers.get("Allow"), answer.json()["status"])


@pytest.mark.parametrize("path", ENDPOINTS)
def test_discovery_needs_a_token(scim: httpx.Client, path: str) -> None:
    """What is offered is told to those who may use it."""
    answer = scim.get(path, headers={"Authorization": "Bearer unknown"})

    assert 401 == answer.status_code


# ServiceProviderConfig ----------------------------------------------------------------------------------------------


def test_service_provider_config_is_complete(scim: httpx.Client) -> None:
    """Everything of RFC 7643 §5 and of RFC 9865 §4 is said."""
    config = got(scim, "ServiceProviderConfig")
    supported = {
        name: config[name]["supported"] for name in ("patch", "bulk", "filter", "changePassword", "sort", "etag")
    }

    assert ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"] == config["schemas"]
    assert set(supported.values()) == {True}
    assert config["pagination"]["cursor"] is config["pagination"]["index"] is True
    assert ["oauthbearertoken"] == [each["type"] for each in config["authenticationSchemes"]]
    assert f"{base_of(scim)}/ServiceProviderConfig" == config["meta"]["location"]


def test_limits_are_those_that_hold(scim: httpx.Client) -> None:
    """One operation or one byte more than announced is refused by 413, as many as announced are not."""
    bulk = got(scim, "ServiceProviderConfig")["bulk"]
    many, large = bulk["maxOperations"], bulk["maxPayloadSize"]

    assert [200, 413] == [scim.post("Bulk", json=a_bulk(n)).status_code for n in (many, many + 1)]
    assert [400, 413] == [scim.post("Users", content=b" " * n).status_code for n in (large, large + 1)]


def test_pages_are_as_large_as_announced(scim: httpx.Client) -> None:
    """Without a count a page has the default size, and no count gets more than the maximum."""
    pagination = got(scim, "ServiceProviderConfig")["pagination"]
    default, largest = pagination["defaultPageSize"], pagination["maxPageSize"]
    for first in range(0, largest + 1, 500):
        create_users(scim, range(first, min(first + 500, largest + 1)))

    assert default == got(scim, "Users")["itemsPerPage"]
    assert largest == got(scim, f"Users?count={largest + 1}&attributes=id")["itemsPerPage"]


# Characteristics ----------------------------------------------------------------------------------------------------


def test_case_exact_is_the_same_inside_and_outside() -> None:
    """The core folds keys by a list of its own; it is the list that /Schemas publishes."""
    prefixes = {USER_SCHEMA: "", ENTERPRISE_USER: f"{ENTERPRISE_USER}:"}
    published = {
        f"{prefixes[urn]}{attribute['name']}{sub}".lower()
        for urn in prefixes
        for attribute in SCHEMAS[urn]["attributes"]
        for sub, exact in [
            ("", attribute.get("caseExact", False)),
            *((f".{each['name']}", each.get("caseExact", False)) for each in attribute.get("subAttributes", [])),
        ]
        if exact and attribute["returned"] != "never" and attribute["mutability"] != "readOnly"
    }

    assert published == CASE_EXACT


def leaves(kind: ResourceType) -> Iterator[tuple[str, Attribute]]:
    """Give each attribute that has a value of its own, by its path."""
    places: list[tuple[str, Mapping[str, Attribute]]] = [("", kind.attributes)]
    places += [(f"{urn}:", attributes) for urn, attributes in kind.extensions.values()]
    for prefix, attributes in places:
        for attribute in attributes.values():
            if not attribute.sub:
                yield prefix + attribute.name, attribute
            yield from ((f"{prefix}{attribute.name}.{sub.name}", sub) for sub in attribute.sub.values())


# Never returned, derived from the address, or never told to this server.
UNFILTERABLE = {
    *("schemas", "meta.location", "meta.version", "password", "groups.$ref", "members.$ref"),
    f"{ENTERPRISE_USER}:manager.displayName",
}
LEAVES = [(kind.name, path) for kind in RESOURCE_TYPES for path, _ in leaves(kind)]
ATTRIBUTES = {(kind.name, path): attribute for kind in RESOURCE_TYPES for path, attribute in leaves(kind)}


@dataclass(frozen=True)
class Directory:
    """A directory in which one user and one group have every attribute, and another of each nearly none."""

    scim: httpx.Client
    full: dict[str, JSON]

    def find(self, kind: str, wanted: str) -> list[str] | str:
        """Give the ids that a filter finds, or the scimType of its refusal."""
        answer = self.scim.get(f"{kind}s", params={"filter": wanted})
        body = answer.json()
        return [each["id"] for each in body["Resources"]] if answer.status_code == 200 else body["scimType"]


@pytest.fixture(scope="module")
def directory(server: Server) -> Iterator[Directory]:
    """The directory, on each kind of database, for all attributes; another tenant has the very same."""
    with a_tenant(server) as twin, a_tenant(server) as scim:
        fill(twin)
        yield Directory(scim, fill(scim))


@pytest.mark.parametrize(("kind", "path"), LEAVES)
def test_every_attribute_filters_or_says_that_it_does_not(directory: Directory, kind: str, path: str) -> None:
    """A filter by an attribute finds who has the value and nobody else; none is ignored."""
    if path in UNFILTERABLE:
        assert directory.find(kind, f'{path} eq "x"') in ([], "invalidFilter")
        return
    value = value_at(directory.full[kind], path)
    literal = str(value).lower() if isinstance(value, bool) else f'"{value}"'

    found = directory.find(kind, f"{path} eq {literal}")

    shared = path == "meta.resourceType"
    assert directory.full[kind]["id"] in found
    assert shared or [directory.full[kind]["id"]] == found


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        each
        for each in LEAVES
        if each[1] not in UNFILTERABLE and ATTRIBUTES[each].type in ("string", "reference", "binary")
    ],
)
def test_every_attribute_compares_as_its_schema_says(directory: Directory, kind: str, path: str) -> None:
    """The value in another case is the same value, unless the attribute is caseExact."""
    value = value_at(directory.full[kind], path).swapcase()

    found = directory.find(kind, f'{path} eq "{value}"')

    assert (directory.full[kind]["id"] in found) is not ATTRIBUTES[kind, path].case_exact


# ---------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def a_tenant(server: Server) -> Iterator[httpx.Client]:
    """Make a tenant that no other test knows, and a client with its token."""
    made = server.cli("tenant", "create", f"tenant-{uuid.uuid4().hex[:12]}", "--json")
    headers = {"Authorization": f"Bearer {made['token']}", "Content-Type": "application/scim+json"}
    with httpx.Client(base_url=made["scim_url"], headers=headers, timeout=30) as client:
        yield client


def fill(scim: httpx.Client) -> dict[str, JSON]:
    """Create a user and a group with all attributes, and one of each with nearly none; give the former."""
    enterprise = {ENTERPRISE_USER: full(USER.extensions[ENTERPRISE_USER.lower()][1])}
    user = created(scim.post("Users", json={"schemas": [USER_SCHEMA], **full(USER.attributes), **enterprise}))
    group = create_group(scim, "Group Aa", externalId="Ext-Aa", members=[{"value": user["id"]}])
    created(scim.post("Users", json={"schemas": [USER_SCHEMA], "userName": "other", "active": False}))
    create_group(scim, "other", externalId="other")
    return {"User": got(scim, f"Users/{user['id']}"), "Group": got(scim, f"Groups/{group['id']}")}


def full(attributes: Mapping[str, Attribute]) -> JSON:
    """Make a value for each attribute that a client may write; none is like another."""
    return {
        attribute.name: [made(attribute)] if attribute.multi_valued else made(attribute)
        for attribute in attributes.values()
        if not attribute.read_only and attribute.name not in ("schemas", "externalId")
    } | ({"externalId": "Ext-Aa"} if "externalid" in attributes else {})


def made(attribute: Attribute) -> Any:
    if attribute.sub:
        return {sub.name: made(sub) for sub in attribute.sub.values() if not sub.read_only}
    values = {"boolean": True, "binary": "QWFCYg==", "reference": f"https://example.com/Aa/{attribute.name}"}
    return values.get(attribute.type, f"{attribute.name} Aa")


def value_at(resource: JSON, path: str) -> Any:
    """Read a value by its path; of several elements the first."""
    value: Any = resource
    if path.startswith("urn:"):
        value, path = resource[ENTERPRISE_USER], path.removeprefix(f"{ENTERPRISE_USER}:")
    for step in path.split("."):
        value = value[step]
        value = value[0] if isinstance(value, list) else value
    return value


def a_bulk(operations: int) -> JSON:
    """Make a BulkRequest of operations that change nothing."""
    operation = {"method": "DELETE", "path": f"/Users/{uuid.uuid4()}"}
    return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"], "Operations": [operation] * operations}


def create_users(scim: httpx.Client, numbers: range) -> None:
    """Create many users at once."""
    operations = [{"method": "POST", "path": "/Users", "bulkId": str(n), "data": a_user(n)} for n in numbers]
    answer = scim.post("Bulk", json={**a_bulk(0), "Operations": operations})

    assert {"201"} == {each["status"] for each in answer.json()["Operations"]}


def got(scim: httpx.Client, path: str) -> JSON:
    """Read a document."""
    answer = scim.get(path)

    assert (200, "application/scim+json") == (answer.status_code, answer.headers["Content-Type"]), answer.text
    body: JSON = answer.json()
    return body


def base_of(scim: httpx.Client) -> str:
    return str(scim.base_url).rstrip("/")


def members_of(value: Any) -> Iterator[tuple[str, Any]]:
    """Give every member of a document, however deep."""
    if isinstance(value, dict):
        yield from value.items()
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from members_of(each)
