"""The OpenAPI 3.1 description of the SCIM door, derived from its routes and its schemas.

It says what a client should send and what it gets. What the door tolerates beyond that (see `entra`) is not promised.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from app_core.resource import ENTERPRISE_USER, JsonObject
from scim_server.app import MEDIA_TYPE, TABLE, TAKEN, WITH_BODY, Endpoint
from scim_server.bulk import BULK_REQUEST, BULK_RESPONSE, ENDPOINTS
from scim_server.discovery import CONFIG, RESOURCE_TYPE
from scim_server.errors import ERROR
from scim_server.exchange import LIST_RESPONSE, SEARCH_REQUEST
from scim_server.patch import MAX_OPERATIONS
from scim_server.schemas import RESOURCE_TYPES, SCHEMAS

PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
SCHEMA = "urn:ietf:params:scim:schemas:core:2.0:Schema"

TEXT: JsonObject = {"type": "string"}
SAID: JsonObject = {"type": "string", "pattern": r"\S"}
"""Text that says something: blanks are no name."""
NUMBER: JsonObject = {"type": "integer"}
FLAG: JsonObject = {"type": "boolean"}
NAMES: JsonObject = {"type": "array", "items": TEXT}
PATH: JsonObject = {"type": "string", "format": "scim-path"}
PATHS: JsonObject = {"type": "array", "items": PATH}
ETAG: JsonObject = {"type": "string", "format": "etag"}
TYPES: dict[str, JsonObject] = {
    "boolean": FLAG,
    "integer": NUMBER,
    "decimal": {"type": "number"},
    "dateTime": {"type": "string", "format": "date-time"},
}
"""SCIM's types in JSON Schema's words; all others travel as text (RFC 7643 §2.3)."""
MUTABILITY: dict[str, JsonObject] = {"readOnly": {"readOnly": True}, "writeOnly": {"writeOnly": True}}

SCIM_TYPES = (
    *("invalidCount", "invalidCursor", "invalidFilter", "invalidPath", "invalidSyntax", "invalidValue"),
    *("mutability", "noTarget", "uniqueness"),
)
ERRORS: dict[int, tuple[str, str]] = {
    400: ("BadRequest", "The request cannot be carried out as it is; scimType and detail say what is wrong with it."),
    401: ("Unauthorized", "The bearer token is missing, unknown, expired or revoked."),
    403: ("Forbidden", "Discovery cannot be filtered (RFC 7644 §4)."),
    404: ("NotFound", "The tenant has no such resource."),
    409: ("Conflict", "Another resource holds a value that must be unique."),
    412: ("PreconditionFailed", "The resource is in another version than If-Match or If-None-Match ask for."),
    413: ("TooLarge", "The body is larger, or holds more operations, than /ServiceProviderConfig allows."),
    414: ("UriTooLong", "The URL is too long; POST to …/.search instead."),
    415: ("UnsupportedMediaType", "The body is neither application/scim+json nor application/json."),
    501: ("NotImplemented", "A token stands for a directory, not for a person, so there is no /Me."),
    503: ("Busy", "Others kept changing the same; nothing was changed."),
}

HEADERS: dict[str, tuple[str, str]] = {
    "ETag": ("ETag", "The version of the resource, for If-Match and If-None-Match."),
    "Location": ("Location", "The address of the resource."),
    "Retry-After": ("RetryAfter", "How many seconds to wait before sending the request again."),
    "WWW-Authenticate": ("Challenge", "The way to authenticate (RFC 6750 §3)."),
    "x-request-id": ("RequestId", "The id of the request in the provisioning log: the caller's own if it sent one."),
}
"""Response headers, and the component that describes each."""

QUERY: dict[str, tuple[JsonObject, str]] = {
    "filter": ({"type": "string", "format": "scim-filter"}, "Only resources that match (RFC 7644 §3.4.2.2)."),
    "sortBy": (PATH, "The attribute to sort by."),
    "sortOrder": (
        {"type": "string", "enum": ["ascending", "descending"]},
        "The order of sorting: ascending, if not said.",
    ),
    "startIndex": (NUMBER, "The first result of the page, from 1 on; less counts as 1."),
    "count": (NUMBER, "The size of the page; the server's limit is pagination.maxPageSize."),
    "cursor": (TEXT, "Page by cursor (RFC 9865): empty for the first page, then each answer's nextCursor."),
    "attributes": (PATHS, "Only these attributes, besides schemas and id."),
    "excludedAttributes": (PATHS, "All attributes but these; not together with attributes."),
}
CHOICE = ("attributes", "excludedAttributes")
CONDITIONS = {
    "If-Match": "Only if the resource has one of these versions.",
    "If-None-Match": "Only if the resource has none of these versions.",
}


@dataclass(frozen=True)
class Action:
    """What the endpoints of one action of the table have in common; `{kind}` is the resource type."""

    summary: str
    body: str = ""
    parameters: Iterable[str] = ()
    refusals: frozenset[int] = frozenset()


ACTIONS = {
    "find": Action("Find resources: {kind}", "SearchRequest", QUERY),
    "create": Action("Create a {kind}", "{kind}Request", CHOICE, frozenset({409})),
    "read": Action("Read a {kind}", "", (*CHOICE, "If-None-Match")),
    "replace": Action(
        "Replace a {kind}; what is not sent is cleared", "{kind}Request", (*CHOICE, *CONDITIONS), frozenset({409, 412})
    ),
    "update": Action(
        "Change a {kind}: all operations or none", "PatchOp", (*CHOICE, *CONDITIONS), frozenset({409, 412})
    ),
    "delete": Action("Delete a {kind}", "", CONDITIONS, frozenset({412})),
    "bulk": Action("Carry out many operations; each stands or fails by itself", "BulkRequest"),
    "discover": Action("Say what this server can do: {kind}"),
    "me": Action("Refused: a token stands for a directory, not for a person", refusals=frozenset({501})),
}


def description() -> JsonObject:
    """Describe every path and method of the door's table."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SCIM 2.0 provisioning",
            "version": "2.0",
            "description": "RFC 7643, RFC 7644 and RFC 9865. The bearer token decides the tenant. "
            "A method that a path does not have is answered by 405 with Allow.",
        },
        "servers": [{"url": "/scim/v2"}],
        "security": [{"bearer": []}],
        "paths": {
            path_of(route): {
                method.lower(): _operation(route, method, endpoint) for method, endpoint in methods.items()
            }
            for route, methods in TABLE.items()
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "parameters": _parameters(),
            "headers": {
                name: {"description": text, "required": True, "schema": TEXT} for name, text in HEADERS.values()
            },
            "requestBodies": {
                name: {
                    "required": True,
                    "content": {taken: {"schema": _ref("schemas", name)} for taken in sorted(TAKEN)},
                }
                for name in ("UserRequest", "GroupRequest", "PatchOp", "BulkRequest", "SearchRequest")
            },
            "responses": {name: _error(status, text) for status, (name, text) in ERRORS.items()},
            "schemas": _schemas(),
        },
    }


def path_of(route: str) -> str:
    """Give a route of the table as a path of the description."""
    return route.replace("{key}", "{id}") or "/"


def _operation(route: str, method: str, endpoint: Endpoint) -> JsonObject:
    action, kind, one = ACTIONS[endpoint.action], endpoint.kind, "{key}" in route
    # A search asks by its body, a list by its URL.
    searches = endpoint.action == "find" and method == "POST"
    body = action.body.format(kind=kind) if searches or endpoint.action != "find" else ""
    parameters = () if searches else action.parameters
    refusals = {400, 401, 414} | action.refusals | ({413, 415} if method in WITH_BODY else set())
    refusals |= {503} if endpoint.writes else set()
    refusals |= {404} if one else {403} if endpoint.action == "discover" else set()
    words = route.replace("{key}", "ById").replace(".", "").split("/")
    return {
        "operationId": method.lower() + ("".join(word[:1].upper() + word[1:] for word in words) or "Everything"),
        "tags": [kind],
        "summary": action.summary.format(kind=kind),
        "parameters": [_ref("parameters", name) for name in (*(["id"] if one else []), *parameters)],
        **({"requestBody": _ref("requestBodies", body)} if body else {}),
        "responses": {
            **_success(endpoint, listed=not one),
            **{str(status): _ref("responses", ERRORS[status][0]) for status in sorted(refusals)},
        },
    }


def _success(endpoint: Endpoint, *, listed: bool) -> JsonObject:
    kind, versioned = endpoint.kind, ("ETag", "Location")
    whole = {"200": _answer("The resource as it is now.", kind, *versioned)}
    match endpoint.action:
        case "find" | "discover":
            found = f"{kind}List" if listed and kind != "ServiceProviderConfig" else kind
            return {"200": _answer("What was found.", found)}
        case "create":
            return {"201": _answer("The resource as it is now.", kind, *versioned)}
        case "read":
            return {**whole, "304": _answer("It still has the version named by If-None-Match.", None, "ETag")}
        case "update" if kind == "Group":
            return {**whole, "204": _answer("Done; a group is shown only when attributes are chosen.", None, "ETag")}
        case "replace" | "update":
            return whole
        case "delete":
            return {"204": _answer("It is gone.")}
        case "bulk":
            return {"200": _answer("What became of each operation.", "BulkResponse")}
        case _:
            return {}


def _answer(text: str, schema: str | None = None, *headers: str) -> JsonObject:
    answer: JsonObject = {
        "description": text,
        "headers": {name: _ref("headers", HEADERS[name][0]) for name in (*headers, "x-request-id")},
    }
    return {**answer, "content": {MEDIA_TYPE.decode(): {"schema": _ref("schemas", schema)}}} if schema else answer


def _error(status: int, text: str) -> JsonObject:
    named = {401: ["WWW-Authenticate"], 503: ["Retry-After"]}
    return _answer(text, "Error", *named.get(status, []))


def _parameters() -> JsonObject:
    listed = {"style": "form", "explode": False}
    return {
        "id": {"name": "id", "in": "path", "required": True, "schema": TEXT},
        **{
            name: {
                "name": name,
                "in": "query",
                "description": text,
                "schema": schema,
                **(listed if schema is PATHS else {}),
            }
            for name, (schema, text) in QUERY.items()
        },
        **{
            name: {"name": name, "in": "header", "description": text, "schema": ETAG, "example": 'W/"1"'}
            for name, text in CONDITIONS.items()
        },
    }


# Schemas ------------------------------------------------------------------------------------------------------------


def _schemas() -> JsonObject:
    return {
        **{kind.name: _resource(kind.urn, [urn for urn, _ in kind.extensions.values()]) for kind in RESOURCE_TYPES},
        **{f"{kind.name}Request": _request(kind.name, kind.urn) for kind in RESOURCE_TYPES},
        "EnterpriseUser": _object({}, **_attributes(SCHEMAS[ENTERPRISE_USER]["attributes"])),
        "Meta": _object(
            {},
            **dict.fromkeys(("resourceType", "location", "version"), TEXT),
            **dict.fromkeys(("created", "lastModified"), TYPES["dateTime"]),
        ),
        **{f"{kind}List": _list_of(kind) for kind in ("User", "Group", "ResourceType", "Schema")},
        "ResourceList": _list_of("User", "Group"),
        **_discovered(),
        **_messages(),
    }


def _resource(urn: str, extensions: Iterable[str]) -> JsonObject:
    resource = _object(
        {"schemas": NAMES, "id": {**TEXT, "readOnly": True}},
        externalId=TEXT,
        **_attributes(SCHEMAS[urn]["attributes"]),
        **{extension: _ref("schemas", SCHEMAS[extension]["name"]) for extension in extensions},
        meta={"allOf": [_ref("schemas", "Meta")], "readOnly": True},
    )
    return {**resource, "description": SCHEMAS[urn]["description"]}


def _request(name: str, urn: str) -> JsonObject:
    """Require what a client must send; an answer may leave it out, when other attributes were chosen."""
    needed = [attribute["name"] for attribute in SCHEMAS[urn]["attributes"] if attribute["required"]]
    return {"allOf": [_ref("schemas", name), _object(dict.fromkeys(needed, SAID))]}


def _attributes(definitions: Iterable[JsonObject]) -> JsonObject:
    return {definition["name"]: _attribute(definition) for definition in definitions}


def _attribute(definition: JsonObject) -> JsonObject:
    if definition["type"] == "complex":
        schema = _object({}, **_attributes(definition["subAttributes"]))
    else:
        schema = TYPES.get(definition["type"], TEXT)
    if "canonicalValues" in definition:
        # Suggestions, not a closed list (RFC 7643 §7): Entra sends others, and gets them back.
        schema = {**schema, "examples": definition["canonicalValues"]}
    if definition["multiValued"]:
        schema = _many(schema)
    text = " ".join(definition["description"].split())
    return {**schema, "description": text, **MUTABILITY.get(definition["mutability"], {})}


def _discovered() -> JsonObject:
    supported = {"supported": FLAG}
    config = {
        **dict.fromkeys(("patch", "changePassword", "sort", "etag"), _object(supported)),
        "filter": _object({**supported, "maxResults": NUMBER}),
        "bulk": _object({**supported, "maxOperations": NUMBER, "maxPayloadSize": NUMBER}),
        "pagination": _object(
            {
                **dict.fromkeys(("cursor", "index"), FLAG),
                "defaultPaginationMethod": _one_of("cursor", "index"),
                **dict.fromkeys(("defaultPageSize", "maxPageSize"), NUMBER),
            }
        ),
        "authenticationSchemes": _many(
            _object(dict.fromkeys(("type", "name", "description"), TEXT), specUri=TEXT, primary=FLAG)
        ),
    }
    attribute = _object(
        {
            **dict.fromkeys(("name", "type", "description", "mutability", "returned", "uniqueness"), TEXT),
            **dict.fromkeys(("multiValued", "required", "caseExact"), FLAG),
        },
        **dict.fromkeys(("canonicalValues", "referenceTypes"), NAMES),
        subAttributes=_many(_ref("schemas", "Attribute")),
    )
    described = {**dict.fromkeys(("id", "name", "description"), TEXT), "meta": _ref("schemas", "Meta")}
    return {
        "ServiceProviderConfig": _message(CONFIG, {**config, "meta": described["meta"]}),
        "ResourceType": _message(
            RESOURCE_TYPE,
            {**described, **dict.fromkeys(("endpoint", "schema"), TEXT)},
            schemaExtensions=_many(_object({"schema": TEXT, "required": FLAG})),
        ),
        "Schema": _message(SCHEMA, {**described, "attributes": _many(_ref("schemas", "Attribute"))}),
        "Attribute": attribute,
    }


def _messages() -> JsonObject:
    status = {"type": "string", "pattern": "^[1-5][0-9]{2}$"}
    change = _object({"op": _one_of("add", "remove", "replace")}, path=PATH, value={})
    asked = _object(
        {"method": _one_of(*sorted({method for method, _ in ENDPOINTS})), "path": TEXT},
        **dict.fromkeys(("bulkId", "version"), TEXT),
        data={"type": "object"},
    )
    done = _object(
        {"method": TEXT, "status": status},
        **dict.fromkeys(("bulkId", "location", "version"), TEXT),
        response=_ref("schemas", "Error"),
    )
    return {
        "Error": _message(ERROR, {"status": status, "detail": TEXT}, scimType=_one_of(*SCIM_TYPES)),
        "SearchRequest": _message(SEARCH_REQUEST, {}, **{name: schema for name, (schema, _) in QUERY.items()}),
        "PatchOp": _message(PATCH_OP, {"Operations": {**_many(change), "minItems": 1, "maxItems": MAX_OPERATIONS}}),
        "BulkRequest": _message(
            BULK_REQUEST, {"Operations": _many(asked)}, failOnErrors={"type": "integer", "minimum": 1}
        ),
        "BulkResponse": _message(BULK_RESPONSE, {"Operations": _many(done)}),
    }


def _list_of(*kinds: str) -> JsonObject:
    resources = _many({"anyOf": [_ref("schemas", kind) for kind in kinds]} if kinds[1:] else _ref("schemas", *kinds))
    page = {"totalResults": NUMBER, "itemsPerPage": NUMBER, "Resources": resources}
    return _message(LIST_RESPONSE, page, startIndex=NUMBER, nextCursor=TEXT)


# Words of JSON Schema -----------------------------------------------------------------------------------------------


def _ref(section: str, name: str) -> JsonObject:
    return {"$ref": f"#/components/{section}/{name}"}


def _one_of(*texts: str) -> JsonObject:
    return {"type": "string", "enum": list(texts)}


def _many(items: JsonObject) -> JsonObject:
    return {"type": "array", "items": items}


def _object(needed: JsonObject, **optional: JsonObject) -> JsonObject:
    return {"type": "object", "properties": {**needed, **optional}, **({"required": list(needed)} if needed else {})}


def _message(urn: str, needed: JsonObject, **optional: JsonObject) -> JsonObject:
    """Describe an object that names its one schema (RFC 7644 §8.2)."""
    schemas = {**_many(_one_of(urn)), "minItems": 1, "maxItems": 1}
    return _object({"schemas": schemas, **needed}, **optional)
