"""The OpenAPI 3.1 description of the JSON door, derived from its table and from the types of bodies and answers."""

from collections.abc import Iterable
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from app_api.bodies import Body, Nothing
from app_api.endpoint import JSON, WITH_BODY, Endpoint
from app_api.exchange import Image, Lines
from app_api.problems import MEDIA_TYPE, PROBLEMS
from app_api.reconciliations import CSV, JSON_LINES
from app_api.table import READ, TABLE
from app_core.photos import FORMATS
from app_core.resource import JsonObject

TEXT: JsonObject = {"type": "string"}
ID: JsonObject = {"type": "string", "minLength": 1, "maxLength": 100}
REFUSALS: dict[int, tuple[str, str]] = {
    400: ("BadRequest", "The request cannot be taken as it is; `errors` names each member or parameter at fault."),
    401: ("Unauthorized", "The API key is missing, unknown, expired or revoked."),
    403: ("Forbidden", "The scope of the API key is too small."),
    404: ("NotFound", "The tenant has no such thing."),
    409: ("Conflict", "It does not fit what is there, or somebody else changed the same at the same moment."),
    412: ("PreconditionFailed", "It is in another version than If-Match says: read it again."),
    413: ("TooLarge", "The body is larger than the operator allows."),
    414: ("UriTooLong", "The URL is longer than the operator allows."),
    415: ("UnsupportedMediaType", "The body is of another media type."),
    422: ("IdempotencyKeyReused", "The Idempotency-Key was sent with another request before."),
    502: ("BadGateway", "Microsoft Graph gave no answer that can be used; nothing was changed."),
    503: ("Busy", "It cannot be done right now; nothing was changed."),
}
"""Statuses of refusals, and the component that describes each."""
HEADERS: dict[str, tuple[str, str]] = {
    "ETag": ("ETag", "The version, for If-Match."),
    "Location": ("Location", "The path of what was made."),
    "Retry-After": ("RetryAfter", "How many seconds to wait before sending the request again."),
    "WWW-Authenticate": ("Challenge", "The way to authenticate (RFC 6750 §3)."),
    "x-request-id": ("RequestId", "The id of the request in the provisioning log: the caller's own if it sent one."),
}
CONDITION = {"If-Match": "Only if it has this version still."}
REPEAT = {"Idempotency-Key": "The same key and request again get the same answer, and nothing is done twice."}


def description() -> JsonObject:
    """Describe every path and method of the door's table."""
    schemas, of_type = _schemas()
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Provisioning API",
            "version": "1",
            "description": "People, teams, logins, templates, cards, seats and webhooks of one tenant: the API key "
            "decides which. A key of scope write may all that read may, and admin all that write may. Lists are read "
            "on by `after` and `limit` until `next` is null. A method that a path does not have is answered by 405.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"bearer": []}],
        "paths": {
            route: {method.lower(): _operation(route, method, endpoint, of_type) for method, endpoint in each.items()}
            for route, each in TABLE.items()
        },
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "parameters": {_name(name): _header(name, text) for name, text in {**CONDITION, **REPEAT}.items()},
            "headers": {
                name: {"description": text, "required": True, "schema": TEXT} for name, text in HEADERS.values()
            },
            "responses": {name: _refusal(status, text) for status, (name, text) in REFUSALS.items()},
            "schemas": {**schemas, "Problem": _problem()},
        },
    }


# Operations ---------------------------------------------------------------------------------------------------------


def _operation(route: str, method: str, endpoint: Endpoint, of_type: dict[Any, JsonObject]) -> JsonObject:
    parameters = [
        *({"name": key, "in": "path", "required": True, "schema": ID} for key in _keys(route)),
        *_query(endpoint),
        *([_ref("parameters", "IfMatch")] if endpoint.conditional else []),
        *([_ref("parameters", "IdempotencyKey")] if method == "POST" else []),
    ]
    return {
        "operationId": operation_id(route, method),
        "tags": [endpoint.kind],
        "summary": endpoint.summary,
        "description": f"Needs an API key of scope {endpoint.scope}.",
        "security": [{"bearer": [str(endpoint.scope)]}],
        **({"parameters": parameters} if parameters else {}),
        **_request(method, endpoint, of_type),
        "responses": {
            str(endpoint.status): _success(endpoint, of_type),
            **({"304": _answer("It is the same as in If-None-Match.", ["ETag"])} if endpoint.gives_image else {}),
            **_refusals(route, method, endpoint),
        },
    }


def operation_id(route: str, method: str) -> str:
    """Name an operation: `GET /teams/{id}/logins` is `getTeamsByIdLogins`."""
    words = [f"by-{step[1:-1]}" if step[0] == "{" else step for step in route.split("/")[1:]]
    return method.lower() + "".join([part.capitalize() for word in words for part in word.replace("_", "-").split("-")])


def _keys(route: str) -> Iterable[str]:
    return [step[1:-1] for step in route.split("/") if step.startswith("{")]


def _query(endpoint: Endpoint) -> Iterable[JsonObject]:
    schema = TypeAdapter(endpoint.query).json_schema(schema_generator=_Plain)
    for name, described in schema.get("properties", {}).items():
        kept = _without_null(described)
        said = {"description": described.pop("description")} if "description" in described else {}
        listed = {"style": "form", "explode": False} if kept.get("type") == "array" else {}
        yield {"name": name, "in": "query", "schema": kept, **said, **listed}


def _without_null(schema: JsonObject) -> JsonObject:
    """Leave out that a parameter may be null: it is left out itself then."""
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    return kinds[0] if len(kinds) == 1 else schema


def _request(method: str, endpoint: Endpoint, of_type: dict[Any, JsonObject]) -> JsonObject:
    if method not in WITH_BODY or endpoint.body is Nothing:
        return {}
    if endpoint.body is None:
        return {"requestBody": {"required": True, "content": _images()}}
    needed = any(field.is_required() for field in endpoint.body.model_fields.values())
    return {"requestBody": {"required": needed, "content": {JSON: {"schema": of_type[endpoint.body]}}}}


def _images() -> JsonObject:
    return {media_type: {"schema": {}} for media_type in FORMATS}


def _success(endpoint: Endpoint, of_type: dict[Any, JsonObject]) -> JsonObject:
    if endpoint.gives is None:
        return _answer("Done.", [])
    if endpoint.gives_image:
        return {**_answer("The image.", ["ETag"]), "content": _images()}
    if endpoint.gives_lines:
        return {**_answer("A text to save.", []), "content": {kind: {"schema": TEXT} for kind in (CSV, JSON_LINES)}}
    headers = [
        *(["ETag"] if "version" in getattr(endpoint.gives, "__dataclass_fields__", ()) else []),
        *(["Location"] if endpoint.status in (201, 202) else []),
    ]
    return {**_answer("Done.", headers), "content": {JSON: {"schema": of_type[endpoint.gives]}}}


def codes_of(route: str, method: str, endpoint: Endpoint) -> set[str]:
    """Name the problems that an operation can have."""
    codes = {"invalid", "unauthenticated", "uri-too-long", *endpoint.refusals}
    codes |= {"forbidden"} if endpoint.scope is not READ else set()
    codes |= {"not-found"} if "{" in route else set()
    codes |= {"stale"} if endpoint.conditional else set()
    codes |= {"conflict"} if method != "GET" else set()
    codes |= {"busy"} if endpoint.writes_by(method) else set()
    codes |= {"idempotency-key-reused"} if method == "POST" else set()
    codes |= {"already-done"} if endpoint.once else set()
    codes |= {"too-large", "unsupported-media-type"} if method in WITH_BODY else set()
    return codes


GENERAL = frozenset({"conflict", "invalid"})
"""Problems of statuses that others have as well: nothing is to be said of them where they are alone."""


def _refusals(route: str, method: str, endpoint: Endpoint) -> JsonObject:
    by_status: dict[int, list[str]] = {}
    for code in sorted(codes_of(route, method, endpoint)):
        by_status.setdefault(PROBLEMS[code][0], []).append(code)
    found: JsonObject = {}
    for status, codes in sorted(by_status.items()):
        special = [code for code in codes if code not in GENERAL] if len(codes) > 1 else []
        name, text = REFUSALS[status]
        listed = "".join([f" {code}: {PROBLEMS[code][1]}." for code in special])
        found[str(status)] = _refusal(status, text + listed) if special else _ref("responses", name)
    return found


def _refusal(status: int, text: str) -> JsonObject:
    named = {401: ["WWW-Authenticate"], 503: ["Retry-After"]}
    return {**_answer(text, named.get(status, [])), "content": {MEDIA_TYPE: {"schema": _ref("schemas", "Problem")}}}


def _answer(text: str, headers: Iterable[str]) -> JsonObject:
    return {
        "description": text,
        "headers": {name: _ref("headers", HEADERS[name][0]) for name in (*headers, "x-request-id")},
    }


def _header(name: str, text: str) -> JsonObject:
    example = {"If-Match": 'W/"1"', "Idempotency-Key": "9f5b2a54"}[name]
    schema = {"type": "string", "format": "etag"} if name == "If-Match" else {**TEXT, "minLength": 1, "maxLength": 255}
    return {"name": name, "in": "header", "description": text, "schema": schema, "example": example}


def _name(header: str) -> str:
    return header.replace("-", "")


# Schemas ------------------------------------------------------------------------------------------------------------


class _Plain(GenerateJsonSchema):
    """JSON Schema without the noise: no titles made of names, and no defaults of what is not sent."""

    def generate(self, schema: Any, mode: JsonSchemaMode = "validation") -> JsonObject:
        cleaned: JsonObject = _cleaned(super().generate(schema, mode))
        return cleaned

    def generate_definitions(self, inputs: Any) -> Any:
        refs, definitions = super().generate_definitions(inputs)
        return refs, _cleaned(definitions)


def _cleaned(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_cleaned(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _cleaned(held)
        for name, held in schema.items()
        if not (name == "title" and isinstance(held, str)) and (name != "default" or type(held) is int)
    }


def _schemas() -> tuple[JsonObject, dict[Any, JsonObject]]:
    """Give the components of all types that bodies and answers have, and the reference to each."""
    endpoints = [endpoint for methods in TABLE.values() for endpoint in methods.values()]
    bodies = {each.body for each in endpoints if each.body not in (None, Nothing)}
    answers = {each.gives: None for each in endpoints if each.gives not in (None, Image, Lines)}
    modes: list[tuple[Any, JsonSchemaMode]] = [
        *((each, "validation") for each in sorted(filter(None, bodies), key=_class_name)),
        *((each, "serialization") for each in answers),
    ]
    keyed = [(number, mode, TypeAdapter(kind)) for number, (kind, mode) in enumerate(modes)]
    refs, found = TypeAdapter.json_schemas(keyed, ref_template="{model}", schema_generator=_Plain)
    names = {name: _page_name(name) for name in found["$defs"]}
    of_type = {kind: _named(refs[number, mode], names) for number, (kind, mode) in enumerate(modes)}
    return {names[name]: _named(schema, names) for name, schema in found["$defs"].items()}, of_type


def _class_name(kind: type[Body]) -> str:
    return kind.__name__


def _page_name(name: str) -> str:
    return f"{name.removeprefix('Page_').removesuffix('_')}Page" if name.startswith("Page_") else name


def _named(schema: Any, names: dict[str, str]) -> Any:
    if isinstance(schema, list):
        return [_named(each, names) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        return _ref("schemas", names[schema["$ref"]])
    return {name: _named(held, names) for name, held in schema.items()}


def _problem() -> JsonObject:
    place = {
        "type": "object",
        "properties": {"pointer": TEXT, "parameter": TEXT, "detail": TEXT},
        "required": ["detail"],
        "description": "What is at fault: a member of the body (RFC 6901), or a parameter of the query or headers.",
    }
    return {
        "type": "object",
        "description": "Why a request was refused (RFC 9457). Further members are the facts of the case.",
        "properties": {
            "type": {**TEXT, "description": f"Ends in a code: {', '.join(sorted(PROBLEMS))}."},
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "instance": {**TEXT, "description": "The id of the request."},
            "errors": {"type": "array", "items": place},
        },
        "required": ["type", "title", "status", "detail", "instance"],
    }


def _ref(section: str, name: str) -> JsonObject:
    return {"$ref": f"#/components/{section}/{name}"}
