"""The feed of events: whoever reads on from the last position it has seen misses nothing (V3)."""

from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import Field, WithJsonSchema

from app_api.bodies import Limit, Position, Query
from app_api.exchange import DEFAULT_LIMIT, Answer, Call, Instant
from app_api.problems import invalid_parameter
from app_core import outbox
from app_core.events import TYPES
from app_core.outbox import Published
from app_core.work import Work


@dataclass(frozen=True, slots=True)
class Subject:
    """What an event happened to."""

    type: str
    id: str


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; openapi/events.yaml describes the payload of each type."""

    id: str
    position: int
    type: str
    subject: Subject
    payload: dict[str, Any]
    occurred_at: Instant
    correlation_id: str


@dataclass(frozen=True, slots=True)
class EventFeed:
    """Events in the order of their positions. `next` is null where there is no more yet: then go on from the last."""

    items: list[Event]
    next: int | None


Types = Annotated[
    str,
    Field(max_length=4000, description="Only events of these types, with commas between them."),
    WithJsonSchema({"type": "array", "items": {"type": "string", "enum": list(TYPES)}}),
]


class EventList(Query):
    """Which events to read."""

    after: Annotated[Position, Field(description="Read on behind this position.")] = 0
    types: Types = ""
    limit: Limit = DEFAULT_LIMIT


def find(work: Work, call: Call, query: EventList) -> Answer[EventFeed]:
    """Read the feed from behind a position."""
    rows = outbox.read(work, after=query.after, types=_types(query.types), limit=query.limit + 1)
    shown = rows[: query.limit]
    return Answer(
        200, EventFeed([_shown(event) for event in shown], shown[-1].position if len(rows) > len(shown) else None)
    )


def _types(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    unknown = [name for name in names if name not in TYPES]
    if unknown:
        raise invalid_parameter(("types", f"there is no event type '{unknown[0][:100]}'"))
    return names


def _shown(event: Published) -> Event:
    return Event(
        id=event.id,
        position=event.position,
        type=event.type,
        subject=Subject(event.subject_type, event.subject_id),
        payload=orjson.loads(event.payload),
        occurred_at=event.occurred_at,
        correlation_id=event.correlation_id,
    )
