"""The provisioning log: what came in by any door, what became of it, and why (P7)."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from app_api.bodies import Paging, one_of
from app_api.exchange import Answer, Call, Instant, Page
from app_api.lists import page_of
from app_core import provisioning_log
from app_core.errors import NotFound
from app_core.provisioning_log import Outcome
from app_core.work import Source, Work

From = Annotated[str, one_of(*Source)]
End = Annotated[str, one_of(*Outcome)]
Word = Annotated[str, Field(max_length=100)]


@dataclass(frozen=True, slots=True)
class Target:
    """What something was done to."""

    type: str
    id: str | None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One request and what came of it; values are masked."""

    id: str
    at: Instant
    source: From
    actor: str
    action: str
    target: Target
    outcome: End
    status: int
    reason_code: str | None
    reason: str | None
    changed: list[str]
    exchange: dict[str, Any] | None
    correlation_id: str
    duration_us: int


class LogList(Paging):
    """Which entries to list."""

    outcome: Literal["success", "skipped", "warning", "failure"] | None = None
    action: Word | None = None
    source: Literal["scim", "graph", "admin", "member", "system"] | None = None
    target_id: Word | None = None


def find(work: Work, call: Call, query: LogList) -> Answer[Page[LogEntry]]:
    """List entries, newest first."""
    rows = provisioning_log.page(
        work,
        after=query.after or "~",
        limit=query.limit + 1,
        outcome=query.outcome,
        action=query.action,
        source=query.source,
        target_id=query.target_id,
    )
    return page_of(query, rows, _shown, lambda entry: str(entry["id"]))


def read(work: Work, call: Call) -> Answer[LogEntry]:
    """Read an entry."""
    entry = provisioning_log.find(work, call.id)
    if entry is None:
        raise NotFound("Log entry", call.id)
    return Answer(200, _shown(entry), call.id)


def _shown(entry: dict[str, Any]) -> LogEntry:
    return LogEntry(
        target=Target(entry["target_type"], entry["target_id"]),
        **{name: entry[name] for name in LogEntry.__dataclass_fields__ if name != "target"},
    )
