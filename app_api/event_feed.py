"""The OpenAPI 3.1 description of the events (`webhooks`), derived from the core's one table of their kinds."""

from app_core.events import TYPES, VERSION, Kind
from app_core.resource import JsonObject

TEXT: JsonObject = {"type": "string"}
JSON_TYPES: dict[str, JsonObject] = {
    "text": TEXT,
    "text?": {"type": ["string", "null"]},
    "integer": {"type": "integer"},
    "boolean": {"type": "boolean"},
    "texts": {"type": "array", "items": TEXT},
}


def description() -> JsonObject:
    """Describe every type of event."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Provisioning events",
            "version": str(VERSION),
            "description": "What happened, in the order of `position` for each subject, at least once, each with an "
            "`id` of its own: whoever has seen the id has seen the event. Read them from /api/v1/events. A payload "
            "holds the facts of the change, and neither secrets nor what a person's attributes say; members may be "
            "added to it.",
        },
        "webhooks": {name: {"post": _operation(name, kind)} for name, kind in TYPES.items()},
        "components": {
            "schemas": {
                "Event": _event(),
                **{schema_name(name): _of_kind(name, kind) for name, kind in TYPES.items()},
            }
        },
    }


def schema_name(name: str) -> str:
    """Name the component of a type: `team.members_changed` is `TeamMembersChanged`."""
    return "".join([word.capitalize() for word in name.replace(".", "_").split("_")])


def _operation(name: str, kind: Kind) -> JsonObject:
    schema = {"$ref": f"#/components/schemas/{schema_name(name)}"}
    return {
        "operationId": f"on{schema_name(name)}",
        "tags": [kind.subject],
        "summary": kind.sentence,
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {"2XX": {"description": "Taken; anything else is tried again."}},
    }


def _event() -> JsonObject:
    subject = {"type": "object", "properties": {"type": TEXT, "id": TEXT}, "required": ["type", "id"]}
    members: JsonObject = {
        "id": {**TEXT, "description": "The same each time that the event is told."},
        "position": {"type": "integer", "description": "Its place in the tenant's feed; no place is left out."},
        "type": {**TEXT, "enum": list(TYPES)},
        "subject": {**subject, "description": "What it happened to."},
        "payload": {"type": "object"},
        "occurred_at": {**TEXT, "format": "date-time"},
        "correlation_id": {**TEXT, "description": "The id of the request or job that it came with."},
    }
    return {
        "type": "object",
        "description": "Something that happened.",
        "properties": members,
        "required": list(members),
    }


def _of_kind(name: str, kind: Kind) -> JsonObject:
    payload = {"version": {"const": VERSION}, **{member: JSON_TYPES[what] for member, what in kind.payload.items()}}
    return {
        "allOf": [{"$ref": "#/components/schemas/Event"}],
        "description": kind.sentence,
        "type": "object",
        "properties": {
            "type": {"const": name},
            "subject": {"type": "object", "properties": {"type": {"const": kind.subject}}},
            "payload": {"type": "object", "properties": payload, "required": list(payload)},
        },
    }
