"""The provisioning log: what came in, what it changed, and why something was refused (P7).

An accepted change is logged in its own transaction; a refusal after the rollback, in another. Entries never hold
a secret, and of the exchange only what identifies objects and shows the shape: other values are masked.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple

import orjson
from sqlalchemy import ForeignKeyConstraint, Index, Integer, Text, bindparam, delete, func, insert, select
from sqlmodel import Field, SQLModel

from app_core import clock
from app_core.clock import Stamp
from app_core.credentials import PREFIXES, SECRET
from app_core.db import Connection, KeyText, Params, Row, Statement, table_of
from app_core.ids import first_id_of, new_id, seconds_of
from app_core.resource import GUID
from app_core.work import Work


class Outcome(StrEnum):
    """How a request ended."""

    SUCCESS = "success"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILURE = "failure"


class ProvisioningLogRow(SQLModel, table=True):
    """One request and what came of it. Append-only; removed by age alone."""

    __tablename__ = "provisioning_log"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        Index("ix_provisioning_log_target_id", "tenant_id", "target_id", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(sa_type=KeyText)
    at: str = Field(sa_type=KeyText)
    source: str = Field(sa_type=KeyText)
    actor: str = Field(sa_type=KeyText)
    action: str = Field(sa_type=KeyText)
    target_type: str = Field(sa_type=KeyText)
    target_id: str | None = Field(sa_type=KeyText)
    outcome: str = Field(sa_type=KeyText)
    status: int
    reason_code: str | None = Field(sa_type=KeyText)
    reason: str | None
    changed: str = Field(sa_type=Text)
    exchange: str | None = Field(sa_type=Text)
    correlation_id: str = Field(sa_type=KeyText)
    duration_us: int


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be said about a request."""

    action: str
    target_type: str
    target_id: str | None
    outcome: Outcome
    status: int
    reason_code: str | None = None
    reason: str | None = None
    changed: Sequence[str] = ()
    exchange: Any = None
    duration_us: int = 0


NO_CHANGE = "Everything was so already."
L = table_of(ProvisioningLogRow)
COLUMNS = tuple(column.name for column in L.columns)
INSERT = Statement(insert(L).values({name: bindparam(name) for name in COLUMNS}))
OF_TENANT = L.c.tenant_id == bindparam("tenant_id")
FIND = Statement(select(L).where(OF_TENANT, L.c.id == bindparam("entry_id")))
# Ids sort by the time they were made, which is within the transaction: the key leads to the few of one instant.
AT = Statement(
    select(L)
    .where(OF_TENANT, L.c.id >= bindparam("first"), L.c.id < bindparam("last"), L.c.at == bindparam("at"))
    .order_by(L.c.id)
    .limit(bindparam("count", type_=Integer()))
)
LONGEST_TRANSACTION = 10.0
"""Seconds between the instant that a transaction counts as and its entry, at most; of a longer one none is found."""
PURGE = Statement(
    delete(L).where(
        OF_TENANT,
        L.c.id.in_(
            select(L.c.id)
            .where(OF_TENANT, L.c.id < bindparam("before"))
            .order_by(L.c.id)
            .limit(bindparam("count", type_=Integer()))
        ),
    )
)


def ending(work: Work, changed: Sequence[str] | None) -> tuple[Outcome, str | None, str | None]:
    """Say how a write that was carried out ended, with the code and the sentence of why that is worth a word.

    `changed` names what changed, where it can have been nothing.
    """
    if work.warnings:
        said = " ".join(dict.fromkeys(sentence for _, sentence in work.warnings))
        return Outcome.WARNING, work.warnings[0][0], said
    if changed is not None and not changed:
        return Outcome.SKIPPED, None, NO_CHANGE
    return Outcome.SUCCESS, None, None


def record(work: Work, entry: Entry) -> None:
    """Write an entry down."""
    statement, params = entry_of(work, entry)
    work.run(statement, **params)


def record_many(work: Work, entries: Sequence[Entry]) -> None:
    """Write entries down, in their order."""
    work.run_many(INSERT, [dict(entry_of(work, entry)[1]) for entry in entries])


def entry_of(work: Work, entry: Entry) -> tuple[Statement, Params]:
    """Give the write of an entry; a token that somebody put where it does not belong is masked in all of it."""
    return INSERT, {
        "id": new_id(),
        "connection_id": work.connection_id,
        "at": work.now,
        "source": work.actor.source,
        "actor": work.actor.id,
        "action": entry.action,
        "target_type": entry.target_type,
        "target_id": _without_tokens(entry.target_id),
        "outcome": entry.outcome,
        "status": entry.status,
        "reason_code": entry.reason_code,
        "reason": _without_tokens(entry.reason),
        "changed": _without_tokens(orjson.dumps(entry.changed).decode()),
        "exchange": None if entry.exchange is None else _without_tokens(orjson.dumps(entry.exchange).decode()),
        "correlation_id": work.correlation_id,
        "duration_us": entry.duration_us,
    }


def page(
    work: Work,
    *,
    after: str = "~",
    limit: int = 50,
    outcome: str | None = None,
    action: str | None = None,
    source: str | None = None,
    target_id: str | None = None,
) -> list[dict[str, Any]]:
    """List entries newest first, from behind `after`, of one outcome, action, source or target where one is named."""
    wanted = Wanted(outcome, source, action, target_ids=None if target_id is None else [target_id])
    return [_entry(row) for row in _found(work, wanted, after, "", limit)]


def find(work: Work, entry_id: str) -> dict[str, Any] | None:
    """Read one entry."""
    row = work.row(FIND, entry_id=entry_id)
    return None if row is None else _entry(row)


def at_instant(work: Work, at: Stamp, *, limit: int = 5) -> list[dict[str, Any]]:
    """List the entries of the transactions that count as one instant: a fact that bears it came in one of them."""
    begun = clock.seconds(at)
    window = {"first": first_id_of(begun), "last": first_id_of(begun + LONGEST_TRANSACTION)}
    return [_entry(row) for row in work.rows(AT, at=at, count=limit, **window)]


def _entry(row: Row) -> dict[str, Any]:
    entry = dict(zip(COLUMNS, row, strict=True))
    entry["changed"] = orjson.loads(entry["changed"])
    entry["exchange"] = None if entry["exchange"] is None else orjson.loads(entry["exchange"])
    return entry


# For whoever looks on -----------------------------------------------------------------------------------------------

LOOKED_THROUGH = 20_000
"""How many entries one look goes through for those that a filter lets in, where no index answers it; and how many are
counted at most, the newest first. A tenant may have a million of them."""


class Wanted(NamedTuple):
    """Which entries somebody wants to see; None: whichever."""

    outcome: str | None = None
    source: str | None = None
    action: str | None = None
    reason_code: str | None = None
    target_ids: Sequence[str] | None = None


AT_ID = COLUMNS.index("id")


class Look(NamedTuple):
    """What a look has found, newest first."""

    entries: Sequence[dict[str, Any]]
    next: str | None
    """Where to look on, though nothing may have been found so far; None at the end of the log."""


@cache
def _look(named: frozenset[str]) -> Statement:
    chosen = select(L).where(
        OF_TENANT, L.c.id < bindparam("before", type_=KeyText), L.c.id >= bindparam("floor", type_=KeyText)
    )
    for name in sorted(named):
        chosen = chosen.where(L.c[name] == bindparam(name, type_=KeyText))
    return Statement(chosen.order_by(L.c.id.desc()).limit(bindparam("count", type_=Integer())))


FLOOR = Statement(
    select(L.c.id)
    .where(OF_TENANT, L.c.id < bindparam("before", type_=KeyText))
    .order_by(L.c.id.desc())
    .offset(LOOKED_THROUGH - 1)
    .limit(1)
)


def _newest(*columns: Any) -> Any:
    newest = select(*columns).where(OF_TENANT, L.c.id >= bindparam("since", type_=KeyText)).order_by(L.c.id.desc())
    return newest.limit(bindparam("most", type_=Integer())).subquery()


def _counting(newest: Any) -> Statement:
    return Statement(select(*newest.c, func.count()).group_by(*newest.c))


ACTIVITY = {
    width: _counting(_newest(func.substr(L.c.at, 1, width).label("part"), L.c.outcome)) for width in (10, 13, 16)
}
ENDS = _counting(_newest(L.c.source, L.c.outcome, L.c.reason_code))


def look(work: Work, wanted: Wanted, *, before: str = "~", limit: int = 50) -> Look:
    """List entries newest first, from before an id; goes no further than LOOKED_THROUGH entries at a time."""
    filtered = any(value is not None for value in wanted)
    floor = work.row(FLOOR, before=before) if filtered and wanted.target_ids is None else None
    lowest = "" if floor is None else str(floor[0])
    rows = _found(work, wanted, before, lowest, limit + 1)
    entries = [_entry(row) for row in rows[:limit]]
    if len(rows) > limit:
        return Look(entries, str(entries[-1]["id"]))
    return Look(entries, lowest or None)


def newer(work: Work, wanted: Wanted, since: str, *, limit: int = 200) -> Sequence[dict[str, Any]]:
    """List the newest entries from an id on, newest first."""
    return [_entry(row) for row in _found(work, wanted, "~", since, limit)]


def _found(work: Work, wanted: Wanted, before: str, floor: str, count: int) -> Sequence[Row]:
    asked = {name: value for name, value in wanted._asdict().items() if value is not None and name != "target_ids"}
    limits = {"before": before, "floor": floor, "count": count}
    if wanted.target_ids is None:
        return work.rows(_look(frozenset(asked)), **limits, **asked)
    # One look-up in the index for each: for all at once, SQLite would rather go through the log.
    statement = _look(frozenset({*asked, "target_id"}))
    found = [row for key in wanted.target_ids for row in work.rows(statement, **limits, **asked, target_id=key)]
    return sorted(found, key=lambda row: str(row[AT_ID]), reverse=True)[:count]


def activity(work: Work, since_seconds: float, width: int) -> Sequence[tuple[Stamp, str, int]]:
    """Count the newest entries since an instant (epoch seconds) by a part of their time and by outcome.

    The part is the beginning of their stamp: 10 characters for days, 13 for hours, 16 for minutes. At most
    LOOKED_THROUGH are counted; where they are as many, older ones have been left out.
    """
    rows = work.rows(ACTIVITY[width], since=first_id_of(since_seconds), most=LOOKED_THROUGH)
    return [(str(part), str(outcome), int(count)) for part, outcome, count in rows]


def counted_since(work: Work) -> float:
    """Say since when all entries would be counted, in epoch seconds; 0 where that is all of them."""
    floor = work.row(FLOOR, before="~")
    return 0.0 if floor is None else seconds_of(str(floor[0]))


def ends(work: Work, since_seconds: float, *, most: int) -> Sequence[tuple[str, str, str | None, int]]:
    """Count the newest entries since an instant (epoch seconds), at most `most`, by source, outcome and reason."""
    rows = work.rows(ENDS, since=first_id_of(since_seconds), most=most)
    return [(str(source), str(outcome), code, int(count)) for source, outcome, code, count in rows]


def purge(connection: Connection, tenant_id: str, until_seconds: float, *, count: int = 500) -> int:
    """Remove up to `count` of a tenant's entries older than an instant (epoch seconds); give how many went."""
    # Entry ids sort by time, so the oldest lie together at the front of the key.
    return connection.run(PURGE, {"tenant_id": tenant_id, "before": first_id_of(until_seconds), "count": count})


# Masking ------------------------------------------------------------------------------------------------------------

MASK = "•••"
Known = Callable[[str], bool]
"""Says whether a word is one of the protocol's own: an attribute, a schema. Every other may be personal."""

CLASSES = frozenset({"work", "home", "other", "mobile", "fax", "pager", "true", "false", "null"})
SHORT = max(map(len, CLASSES)) + 1
GUID_LENGTH = 36
WORDS = frozenset({"eq", "ne", "co", "sw", "ew", "gt", "ge", "lt", "le", "pr", "and", "or", "not"})
# What classifies a request or shows its shape, where it has the form that it should have.
PLAIN = {
    "schemas": re.compile(r"(urn:|https?://schemas\.microsoft\.com/)[\w:./-]{1,200}", re.IGNORECASE),
    "op": re.compile(r"add|replace|remove", re.IGNORECASE),
    "method": re.compile(r"GET|POST|PUT|PATCH|DELETE", re.IGNORECASE),
    "resourcetype": re.compile(r"User|Group"),
    "version": re.compile(r'(W/)?"[0-9a-f-]{1,40}"'),
}
ID = re.compile(r"[\w-]{1,64}", re.ASCII)
LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"?')
WORD = re.compile(r'"(?:[^"\\]|\\.)*"?|[^\s()\[\]"]+')
# The apostrophe within a word is part of it: 'O'Brien' is one quotation, and this one's is none.
QUOTED = re.compile(r"(?<!\w)'((?:[^']|(?<=\w)'(?=\w))*)'?")
DEPTH, LENGTH = 8, 50


def masked(value: Any, known: Known, key: str = "", depth: int = 0) -> Any:
    """Give the shape of a body: keys as they are, texts masked unless they only identify or classify.

    Long lists are cut, so that an entry's size does not follow a group's.
    """
    kind = type(value)
    if kind is str:
        return _masked_text(value, known, key)
    if value is None or kind is bool:
        return value
    if depth > DEPTH:
        return MASK
    if kind is dict:
        kept = value.items() if len(value) <= LENGTH else list(value.items())[:LENGTH]
        return {_masked_key(name, known): masked(held, known, name.lower(), depth + 1) for name, held in kept}
    if kind is list:
        shown = [masked(each, known, key, depth + 1) for each in value[:LENGTH]]
        return shown if len(value) <= LENGTH else [*shown, f"… {len(value) - LENGTH} more"]
    return MASK


def masked_filter(text: str, known: Known) -> str:
    """Mask what a filter or path compares with; attributes, operators, classes and GUIDs stay."""
    return WORD.sub(lambda found: found[0] if _is_plain(found[0], known) else _masked_word(found[0]), text[:500])


def masked_sentence(text: str, known: Known) -> str:
    """Mask what a sentence quotes of a request, unless it is the protocol's own."""
    return QUOTED.sub(lambda found: f"'{masked_filter(found[1], known)}'", LITERAL.sub(_masked_literal, text))


def masked_id(key: str | None) -> str | None:
    """Give an id as it is when it has the form of ours; a client may put anything in its place."""
    return key if not key or ID.fullmatch(key) else MASK


def _masked_text(text: str, known: Known, key: str) -> str:
    if key == "path":
        return masked_filter(text, known)
    length = len(text)
    if length < SHORT and (not text or text.lower() in CLASSES):
        return text
    form = PLAIN.get(key)
    if form is not None and form.fullmatch(text):
        return text
    return text if length == GUID_LENGTH and GUID.fullmatch(text) else MASK


def _masked_key(name: str, known: Known) -> str:
    return name if name.isascii() and name.isidentifier() and len(name) <= 100 else masked_filter(name, known)


def _is_plain(word: str, known: Known) -> bool:
    bare = word.strip('"').lower()
    return bare in CLASSES or GUID.fullmatch(bare) is not None or (word[0] != '"' and (bare in WORDS or known(word)))


def _masked_word(word: str) -> str:
    return f'"{MASK}"' if word[0] == '"' else MASK


def _masked_literal(found: re.Match[str]) -> str:
    plain = found[1].lower() in CLASSES or GUID.fullmatch(found[1])
    return found[0] if plain else f'"{MASK}"'


def _without_tokens(text: str | None) -> str | None:
    if text is None or not any(prefix in text for prefix in PREFIXES):
        return text
    return SECRET.sub(MASK, text)
