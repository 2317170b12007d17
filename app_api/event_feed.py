"""The OpenAPI 3.1 description of the events (`webhooks`), derived from the core's one table of their kinds."""

from app_core.deliveries import TRIAL
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
HEADERS = {
    "webhook-id": "The id of the event, the same each time that it is sent.",
    "webhook-timestamp": "When it is sent, in seconds since 1970.",
    "webhook-signature": "`v1,` and the base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`; several, with blanks "
    "between them, while a secret is being changed.",
}


def description() -> JsonObject:
    """Describe every type of event."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Provisioning events",
            "version": str(VERSION),
            "description": "What happened, in the order of `position` for each subject, at least once, each with an "
            "`id` of its own: whoever has seen the id has seen the event. Read them from /api/v1/events, or have them "
            "sent to a webhook (/api/v1/webhooks), signed as Standard Webhooks has it. A payload holds the "
            "facts of the change, and neither secrets nor what a person's attributes say; members may be added to it.",
        },
        "webhooks": {
            **{name: {"post": _operation(name, kind.subject, kind.sentence)} for name, kind in TYPES.items()},
            TRIAL: {"post": _operation(TRIAL, "webhook", "Tries a webhook; it is no event and has no position.")},
        },
        "components": {
            "parameters": {schema_name(name): _header(name, text) for name, text in HEADERS.items()},
            "schemas": {
                "Event": _event(),
                **{schema_name(name): _of_kind(name, kind) for name, kind in TYPES.items()},
                schema_name(TRIAL): _trial(),
            },
        },
    }


def schema_name(name: str) -> str:
    """Name the component of a type or a header: `team.members_changed` is `TeamMembersChanged`."""
    return "".join([word.capitalize() for word in name.replace(".", "_").replace("-", "_").split("_")])


def _operation(name: str, subject: str, sentence: str) -> JsonObject:
    return {
        "operationId": f"on{schema_name(name)}",
        "tags": [subject],
        "summary": sentence,
        "parameters": [{"$ref": f"#/components/parameters/{schema_name(header)}"} for header in HEADERS],
        "requestBody": {"required": True, "content": {"application/json": {"schema": _message(name)}}},
        "responses": {
            "2XX": {"description": "Taken."},
            "410": {"description": "Nothing is sent here any more."},
            "default": {"description": "Not taken: it is sent again, later each time."},
        },
    }


def _message(name: str) -> JsonObject:
    members: JsonObject = {
        "type": {"const": name},
        "timestamp": {**TEXT, "format": "date-time", "description": "When it happened."},
        "data": {"$ref": f"#/components/schemas/{schema_name(name)}"},
    }
    return {"type": "object", "properties": members, "required": list(members)}


def _header(name: str, text: str) -> JsonObject:
    return {"name": name, "in": "header", "required": True, "description": text, "schema": TEXT}


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


def _trial() -> JsonObject:
    event = _event()
    members = event["properties"]
    members |= {"type": {"const": TRIAL}, "position": {"type": "null"}}
    return {**event, "description": "What tries a webhook: like an event."}


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
