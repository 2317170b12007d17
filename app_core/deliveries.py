"""Deliveries: events on their way to webhooks, in order for each subject, at least once (V3, invariant 22, ADR 0025).

Only what did not go through at once has a row. Whoever has the lease of a webhook takes a batch (`take`), sends it
outside of any transaction, and writes down what came of it in one (`record`): when that is lost, the batch is sent
once more. An event whose subject has an earlier delivery that waits goes behind it, without being sent.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import orjson
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    Integer,
    UniqueConstraint,
    and_,
    bindparam,
    delete,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import clock, outbox, provisioning_log
from app_core.clock import Stamp
from app_core.db import Connection, KeyText, Statement, among, table_of, upsert
from app_core.errors import NotFound, NotPossible, Stale
from app_core.events import VERSION
from app_core.ids import new_correlation_id, new_id
from app_core.outbox import Published
from app_core.outbox import V as E
from app_core.ports import Message, Receipt, Trouble
from app_core.provisioning_log import Entry, Outcome
from app_core.sealing import Sealer
from app_core.webhooks import BROKEN, WEBHOOK, State, W, Webhook, secrets_of
from app_core.work import Actor, Source, Work

LEASE_SECONDS = 60.0
BATCH = 100
"""How many events one batch has at most, of those that wait and of new ones each."""
MOST_WAITING = 1000
"""While more wait, no new ones are taken: they stay in the feed."""
PAUSES = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds after each failure, give or take a tenth; the one after the last is the end."""
LONGEST_WAIT = 86_400.0
"""The longest that a receiver may ask us to wait."""
FIRST_REST, LONGEST_REST = 5.0, 300.0
"""Seconds for which a webhook rests after nothing of a batch was taken, twice as long each time."""
TRIAL = "webhook.test"
"""The type of what is sent to try a webhook; it is no event."""


class Fate(StrEnum):
    """What becomes of a delivery that did not go through at once."""

    WAITING = "waiting"
    DEAD = "dead"


class WebhookDeliveryRow(SQLModel, table=True):
    """An event that a webhook has not taken yet.

    waiting → (gone)    the receiver has taken it
    waiting → dead      it failed too often; it stands in nobody's way from then on
    dead → waiting      an administrator has it sent again

    It goes with its event when that is too old, and with its webhook. `next_attempt_at` is null while another of its
    subject is to be taken first.
    """

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "webhook_id"], ["webhook.tenant_id", "webhook.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "webhook_id", "event_id"),
        Index("ix_webhook_delivery_state", "tenant_id", "webhook_id", "state", "position"),
        Index(
            "ix_webhook_delivery_subject",
            "tenant_id",
            "webhook_id",
            "subject_id",
            "position",
            sqlite_where=text("state = 'waiting'"),
            postgresql_where=text("state = 'waiting'"),
        ),
        Index(
            "ix_webhook_delivery_due",
            "tenant_id",
            "webhook_id",
            "next_attempt_at",
            sqlite_where=text("next_attempt_at IS NOT NULL"),
            postgresql_where=text("next_attempt_at IS NOT NULL"),
        ),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    webhook_id: str = Field(primary_key=True, sa_type=KeyText)
    # The event's place in the feed. No key leads there: the feed would need another index, which each request pays.
    position: int = Field(primary_key=True, sa_type=BigInteger)
    event_id: str = Field(sa_type=KeyText)
    type: str = Field(sa_type=KeyText)
    subject_type: str = Field(sa_type=KeyText)
    subject_id: str = Field(sa_type=KeyText)
    occurred_at: str = Field(sa_type=KeyText)
    state: str = Field(sa_type=KeyText)
    attempts: int
    next_attempt_at: str | None = Field(sa_type=KeyText)
    last_attempt_at: str | None = Field(sa_type=KeyText)
    last_status: int | None
    last_reason: str | None = Field(sa_type=KeyText)
    created_at: str = Field(sa_type=KeyText)


class Delivery(NamedTuple):
    """A delivery as read."""

    position: int
    event_id: str
    type: str
    subject_type: str
    subject_id: str
    occurred_at: Stamp
    state: str
    attempts: int
    next_attempt_at: Stamp | None
    last_attempt_at: Stamp | None
    last_status: int | None
    last_reason: str | None
    created_at: Stamp


class Item(NamedTuple):
    """An event to be sent, and how often that has failed already."""

    event: Published
    attempts: int = 0
    waits: bool = False
    """Whether it has a row."""
    since: Stamp | None = None
    """Since when it waits."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is to be sent to a webhook by whoever has its lease."""

    webhook: Webhook
    chains: Sequence[Sequence[Item]]
    """Those of one subject each, in their order: the next may be sent once the one before was taken."""
    behind: Sequence[Published]
    """New events whose subjects have deliveries that wait."""
    position: int
    """How far the feed is taken with it."""


D = table_of(WebhookDeliveryRow)
DELIVERY = tuple(D.c[name] for name in Delivery._fields)
EVENT = tuple(E.c[name] for name in Published._fields)
NOW = bindparam("now", type_=KeyText)
OF_TENANT = D.c.tenant_id == bindparam("tenant_id")
OF_WEBHOOK = (OF_TENANT, D.c.webhook_id == bindparam("webhook_id"))
WAITS = D.c.state == literal_column("'waiting'")
LIMIT = bindparam("limit", type_=Integer())


def _is_first() -> ColumnElement[bool]:
    """Say that no other delivery of its subject is to be taken first."""
    before = D.alias()
    return ~exists(
        select(literal(1))
        .select_from(before)
        .where(
            before.c.tenant_id == D.c.tenant_id,
            before.c.webhook_id == D.c.webhook_id,
            before.c.subject_id == D.c.subject_id,
            before.c.subject_type == D.c.subject_type,
            before.c.state == literal_column("'waiting'"),
            before.c.position < D.c.position,
        )
        .correlate(D)
    )


def _of_its_own(*conditions: ColumnElement[bool]) -> Any:
    """Begin a look at the deliveries of the webhook that is looked at."""
    mine = (D.c.tenant_id == W.c.tenant_id, D.c.webhook_id == W.c.id)
    return select(D.c.position).where(*mine, *conditions).correlate(W)


def _events(*conditions: ColumnElement[bool]) -> Any:
    """Begin a look at the events of the tenant whose webhook is looked at."""
    return select(E.c.sequence).where(E.c.tenant_id == W.c.tenant_id, *conditions).correlate(W)


def _has(found: Any, *order: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say whether there is one. The order names the index: for EXISTS, SQLite may read a table from its beginning."""
    first: ColumnElement[bool] = found.order_by(*order).limit(1).scalar_subquery().is_not(None)
    return first


IS_DUE = and_(WAITS, D.c.next_attempt_at <= NOW, _is_first())
DUE = (
    select(*WEBHOOK)
    .where(
        W.c.state == literal_column("'active'"),
        W.c.leased_until <= NOW,
        or_(W.c.rests_until.is_(None), W.c.rests_until <= NOW),
        or_(
            _has(_of_its_own(IS_DUE), D.c.next_attempt_at),
            and_(
                or_(
                    _has(_events(E.c.position.is_(None)), *outbox.AS_NEW),
                    _has(_events(E.c.position > W.c.position), E.c.position),
                ),
                ~_has(_of_its_own(WAITS).offset(MOST_WAITING), D.c.position),
            ),
        ),
    )
    .order_by(W.c.leased_until)
    .limit(1)
)
LOOK = Statement(DUE)
CLAIM = Statement(DUE.with_for_update(skip_locked=True, of=W))
THIS = (W.c.tenant_id == bindparam("tenant_id"), W.c.id == bindparam("webhook_id"))
MINE = (*THIS, W.c.attempt == bindparam("attempt_was"))
LEASE = Statement(update(W).where(*THIS).values(attempt=W.c.attempt + 1, leased_until=bindparam("until")))
TAKE_BACK = Statement(update(W).where(W.c.leased_until > NOW).values(leased_until=NOW))
SAVE = Statement(
    update(W)
    .where(*MINE)
    .values(
        leased_until=bindparam("now"),
        **{
            name: bindparam(name)
            for name in (
                *("position", "rests_until", "failures", "failing_since"),
                *("last_success_at", "last_failure_at", "last_status", "last_reason"),
            )
        },
    )
)
REST = Statement(update(W).where(*MINE).values(leased_until=NOW, rests_until=bindparam("rests_until")))
END = Statement(update(W).where(*MINE).values(state=State.DISABLED.value, reason=Trouble.GONE.value, modified_at=NOW))
TRY_NOW = Statement(update(W).where(*THIS).values(rests_until=None))
FIRST_DUE = Statement(
    select(D.c.subject_type, D.c.subject_id).where(*OF_WEBHOOK, IS_DUE).order_by(D.c.next_attempt_at).limit(LIMIT)
)
OF_SUBJECTS = Statement(
    select(D.c.position, D.c.attempts, D.c.created_at, *EVENT)
    .select_from(D.outerjoin(E, and_(E.c.tenant_id == D.c.tenant_id, E.c.position == D.c.position)))
    .where(*OF_WEBHOOK, WAITS, among(D.c.subject_id, "subjects"))
    .order_by(D.c.position)
    .limit(LIMIT)
)
BUSY = Statement(
    select(D.c.subject_type, D.c.subject_id).distinct().where(*OF_WEBHOOK, WAITS, among(D.c.subject_id, "subjects"))
)
COUNT = Statement(
    select(func.count()).select_from(
        select(literal(1))
        .select_from(D)
        .where(*OF_WEBHOOK, D.c.state == bindparam("state", type_=KeyText))
        .limit(LIMIT)
        .subquery()
    )
)
DROP = Statement(delete(D).where(*OF_WEBHOOK, D.c.position == bindparam("position", type_=BigInteger())))
TRIED = ("state", "attempts", "next_attempt_at", "last_attempt_at", "last_status", "last_reason")
KEEP = Statement(
    upsert(D)
    .values(
        {
            name: bindparam(name)
            for name in (
                *("tenant_id", "webhook_id", "position", "event_id", "type", "subject_type", "subject_id"),
                *("occurred_at", "created_at", *TRIED),
            )
        }
    )
    .on_conflict_do_update(
        index_elements=["tenant_id", "webhook_id", "position"],
        set_={name: literal_column(f"excluded.{name}", D.c[name].type) for name in TRIED},
    )
)


def _letting_go(*conditions: ColumnElement[bool]) -> Statement:
    """Let those be sent that no other of their subject stands before any more."""
    return Statement(
        update(D).where(*conditions, WAITS, D.c.next_attempt_at.is_(None), _is_first()).values(next_attempt_at=NOW)
    )


LET_GO = _letting_go(*OF_WEBHOOK)
LET_GO_ALL = _letting_go(OF_TENANT)
# Who has failed since the receiver went away need not wait until its own next time.
WAKE = Statement(
    update(D)
    .where(*OF_WEBHOOK, WAITS, D.c.next_attempt_at > NOW, D.c.created_at >= bindparam("since", type_=KeyText))
    .values(next_attempt_at=NOW)
)
FRESH: dict[str, Any] = {"state": Fate.WAITING.value, "attempts": 0, "next_attempt_at": NOW}
REPLAY = Statement(update(D).where(*OF_WEBHOOK, D.c.event_id == bindparam("event_id")).values(FRESH))
REPLAY_ALL = Statement(
    update(D)
    .where(*OF_WEBHOOK, D.c.state == Fate.DEAD.value, D.c.occurred_at >= bindparam("since", type_=KeyText))
    .values(FRESH)
)
ONE = Statement(select(*DELIVERY).where(*OF_WEBHOOK, D.c.event_id == bindparam("event_id")))
BEFORE = (*OF_WEBHOOK, D.c.position < bindparam("before", type_=BigInteger()))
PAGE = Statement(select(*DELIVERY).where(*BEFORE).order_by(D.c.position.desc()).limit(LIMIT))
PAGE_OF_STATE = Statement(
    select(*DELIVERY)
    .where(*BEFORE, D.c.state == bindparam("state", type_=KeyText))
    .order_by(D.c.position.desc())
    .limit(LIMIT)
)
OLD = select(D.c.webhook_id, D.c.position).where(OF_TENANT, D.c.occurred_at < bindparam("before", type_=KeyText))
PURGE = Statement(OLD.limit(LIMIT))
LAST = 2**63 - 1

# For whoever sends ----------------------------------------------------------------------------------------------------


def is_any_due(connection: Connection) -> bool:
    """Say whether there is something to send to anybody; it only reads."""
    return connection.row(LOOK, {"now": clock.now()}) is not None


def take_back(connection: Connection) -> None:
    """Take all leases back: for the only sender there is, as it starts. Whoever held one is dead."""
    connection.run(TAKE_BACK, {"now": clock.now()})


def take(connection: Connection) -> Batch | None:
    """Take the lease of a webhook that has something to be sent, whosever it is, and the batch; None: there is none."""
    now = clock.now()
    row = connection.row(CLAIM, {"now": now})
    if row is None:
        return None
    webhook = Webhook(*row)
    work = _work(connection, webhook, now)
    work.run(LEASE, webhook_id=webhook.id, until=clock.later(LEASE_SECONDS))
    chains = _waiting(work, webhook)
    fresh, behind, position = _new(work, webhook)
    return Batch(webhook._replace(attempt=webhook.attempt + 1), [*chains, *fresh], behind, position)


def _work(connection: Connection, webhook: Webhook, now: Stamp) -> Work:
    return Work(connection, webhook.tenant_id, "", Actor(Source.SYSTEM, webhook.id), new_correlation_id(), now)


def _waiting(work: Work, webhook: Webhook) -> list[list[Item]]:
    """Read what waits and is due, by subject."""
    due = {tuple(row) for row in work.rows(FIRST_DUE, webhook_id=webhook.id, now=work.now, limit=BATCH)}
    if not due:
        return []
    chains: dict[tuple[str, ...], list[Item]] = {}
    lost = []
    rows = work.rows(OF_SUBJECTS, webhook_id=webhook.id, subjects=[subject for _, subject in due], limit=BATCH)
    for position, attempts, since, *row in rows:
        if row[0] is None:
            # Its event was too old.
            lost.append({"webhook_id": webhook.id, "position": position})
            continue
        event = Published(*row)
        chains.setdefault((event.subject_type, event.subject_id), []).append(Item(event, attempts, True, since))
    if lost:
        work.run_many(DROP, lost)
        work.run(LET_GO, webhook_id=webhook.id, now=work.now)
    return [chain for subject, chain in chains.items() if subject in due]


def _new(work: Work, webhook: Webhook) -> tuple[list[list[Item]], list[Published], int]:
    """Read on in the feed: what is to be sent, by subject, what goes behind others, and how far the feed is taken."""
    if count(work, webhook.id, Fate.WAITING, most=MOST_WAITING + 1) > MOST_WAITING:
        return [], [], webhook.position
    found = outbox.read(work, after=webhook.position, limit=BATCH)
    wanted = [event for event in found if webhook.wants(event.type)]
    subjects = list({event.subject_id for event in wanted})
    rows = work.rows(BUSY, webhook_id=webhook.id, subjects=subjects) if subjects else ()
    busy = {tuple(row) for row in rows}
    chains: dict[tuple[str, str], list[Item]] = {}
    behind: list[Published] = []
    position = found[-1].position if found else webhook.position
    for event in wanted:
        subject = (event.subject_type, event.subject_id)
        if subject in busy:
            behind.append(event)
            continue
        if chains and webhook.failing_since is not None:
            # One is enough to see whether the receiver is back.
            return list(chains.values()), behind, event.position - 1
        chains.setdefault(subject, []).append(Item(event))
    return list(chains.values()), behind, position


def record(connection: Connection, batch: Batch, receipts: Mapping[int, Receipt]) -> None:
    """Write down what came of a batch; `receipts` has those that were sent, by their positions.

    Raises Stale when somebody else has the webhook now.
    """
    webhook = batch.webhook
    work = _work(connection, webhook, clock.now())
    if not work.run(SAVE, webhook_id=webhook.id, attempt_was=webhook.attempt, **_standing(batch, receipts, work.now)):
        raise Stale(f"Webhook '{webhook.id}' was taken over.")
    taken = [
        {"webhook_id": webhook.id, "position": item.event.position}
        for chain in batch.chains
        for item in chain
        if item.waits and _is_taken(receipts.get(item.event.position))
    ]
    kept = [_row(webhook, item, receipts.get(item.event.position), work.now) for item in _left(batch, receipts)]
    work.run_many(DROP, taken)
    work.run_many(KEEP, kept)
    if webhook.failing_since is not None and any(map(_is_taken, receipts.values())):
        work.run(WAKE, webhook_id=webhook.id, since=webhook.failing_since, now=work.now)
    if taken or kept:
        work.run(LET_GO, webhook_id=webhook.id, now=work.now)
    if any(each.trouble is Trouble.GONE for each in receipts.values()):
        work.run(END, webhook_id=webhook.id, attempt_was=webhook.attempt, now=work.now)
        _tell(work, webhook, "disable", Trouble.GONE, "The receiver answered 410: it is gone. Nothing is sent to it.")
    given_up = sum(row["state"] == Fate.DEAD for row in kept)
    if given_up:
        sentence = f"Given up after {len(PAUSES) + 1} tries: {given_up}. They can be sent again."
        _tell(work, webhook, "deliver", "given-up", sentence)


def _tell(work: Work, webhook: Webhook, action: str, code: str, sentence: str) -> None:
    """Tell the log what somebody should look at."""
    provisioning_log.record(work, Entry(action, "Webhook", webhook.id, Outcome.WARNING, 200, code, sentence))


def _is_taken(receipt: Receipt | None) -> bool:
    return receipt is not None and receipt.trouble is None


def _left(batch: Batch, receipts: Mapping[int, Receipt]) -> list[Item]:
    """Give those to be kept: what failed, and new ones that were not sent."""
    sent = [item for chain in batch.chains for item in chain]
    left = [item for item in sent if not _is_taken(receipts.get(item.event.position))]
    return [item for item in left if item.event.position in receipts or not item.waits] + [*map(Item, batch.behind)]


def _row(webhook: Webhook, item: Item, receipt: Receipt | None, now: Stamp) -> dict[str, Any]:
    event = item.event
    row: dict[str, Any] = {
        "webhook_id": webhook.id,
        "position": event.position,
        "event_id": event.id,
        "type": event.type,
        "subject_type": event.subject_type,
        "subject_id": event.subject_id,
        "occurred_at": event.occurred_at,
        "state": Fate.WAITING.value,
        "attempts": item.attempts,
        "next_attempt_at": None,
        "last_attempt_at": None,
        "last_status": None,
        "last_reason": None,
        "created_at": now,
    }
    if receipt is None:
        return row
    pause = _pause(item.attempts, receipt)
    return row | {
        "state": (Fate.DEAD if pause is None else Fate.WAITING).value,
        "attempts": item.attempts + 1,
        "next_attempt_at": None if pause is None else clock.stamp(clock.seconds(now) + pause),
        "last_attempt_at": now,
        "last_status": receipt.status,
        "last_reason": receipt.trouble,
    }


def _pause(attempts: int, receipt: Receipt) -> float | None:
    """Give the seconds until the next try, after some that have failed and this one; None: it is given up."""
    if attempts >= len(PAUSES):
        return None
    pause = PAUSES[attempts] * random.uniform(0.9, 1.1)  # noqa: S311 - so that not all come back at once
    return max(pause, min(receipt.wait or 0.0, LONGEST_WAIT))


def _standing(batch: Batch, receipts: Mapping[int, Receipt], now: Stamp) -> dict[str, Any]:
    """Say how a webhook stands after a batch."""
    webhook = batch.webhook
    failed = [receipt for receipt in receipts.values() if receipt.trouble is not None]
    worked = len(receipts) > len(failed)
    waits = [receipt.wait for receipt in failed if receipt.wait is not None]
    failures = 0 if worked else webhook.failures + bool(failed)
    rest = min(max(waits, default=0.0), LONGEST_WAIT)
    if failed and not worked:
        rest = max(rest, min(LONGEST_REST, FIRST_REST * 2.0 ** min(failures - 1, 10)))
    return {
        "now": now,
        "position": batch.position,
        "failures": failures,
        "failing_since": None if worked else webhook.failing_since or (now if failed else None),
        "rests_until": clock.stamp(clock.seconds(now) + rest) if rest else None,
        "last_success_at": now if worked else webhook.last_success_at,
        "last_failure_at": now if failed else webhook.last_failure_at,
        "last_status": failed[-1].status if failed else webhook.last_status,
        "last_reason": failed[-1].trouble if failed else webhook.last_reason,
    }


def record_broken(connection: Connection, batch: Batch) -> None:
    """Write down that a webhook's secret cannot be opened: nothing of the batch was sent, and all of it waits."""
    work = _work(connection, batch.webhook, clock.now())
    this = {"webhook_id": batch.webhook.id, "now": work.now}
    if work.run(REST, **this, attempt_was=batch.webhook.attempt, rests_until=clock.later(LONGEST_REST)):
        work.run(BROKEN, **this)


def body_of(event: Published) -> bytes:
    """Write an event as a webhook gets it: `data` is the event as the feed gives it."""
    return _body(
        event.type,
        event.occurred_at,
        {
            "id": event.id,
            "position": event.position,
            "type": event.type,
            "subject": {"type": event.subject_type, "id": event.subject_id},
            "payload": orjson.Fragment(event.payload),
            "occurred_at": event.occurred_at,
            "correlation_id": event.correlation_id,
        },
    )


def trial(webhook: Webhook, sealer: Sealer | None, now: Stamp, correlation_id: str) -> Message:
    """Write what tries a webhook: like an event, but without a place in the feed. Raises SealBroken."""
    message_id = new_id()
    data = {
        "id": message_id,
        "position": None,
        "type": TRIAL,
        "subject": {"type": "webhook", "id": webhook.id},
        "payload": {"version": VERSION},
        "occurred_at": now,
        "correlation_id": correlation_id,
    }
    return Message(message_id, _body(TRIAL, now, data), secrets_of(webhook, sealer, now))


def _body(type_: str, at: Stamp, data: Mapping[str, Any]) -> bytes:
    return orjson.dumps({"type": type_, "timestamp": at, "data": data})


# For administrators ---------------------------------------------------------------------------------------------------


def count(work: Work, webhook_id: str, state: Fate, *, most: int = MOST_WAITING) -> int:
    """Count the deliveries of a webhook in a state, up to a number."""
    row = work.row(COUNT, webhook_id=webhook_id, state=state, limit=most)
    return 0 if row is None else int(row[0])


def page(
    work: Work, webhook_id: str, *, state: Fate | None = None, before: int | None = None, limit: int = 50
) -> list[Delivery]:
    """List what has not gone through, the newest event first, from before a position."""
    place = LAST if before is None else before
    if state is None:
        rows = work.rows(PAGE, webhook_id=webhook_id, before=place, limit=limit)
    else:
        rows = work.rows(PAGE_OF_STATE, webhook_id=webhook_id, before=place, limit=limit, state=state)
    return [Delivery(*row) for row in rows]


def find(work: Work, webhook_id: str, event_id: str) -> Delivery:
    """Read a delivery. Raises NotFound."""
    row = work.row(ONE, webhook_id=webhook_id, event_id=event_id)
    if row is None:
        raise NotFound("Delivery", event_id)
    return Delivery(*row)


def replay(work: Work, webhook: Webhook, event_id: str) -> Delivery:
    """Have an event sent again as if it were new, behind others of its subject that wait.

    Raises NotFound, NotPossible.
    """
    _require_active(webhook)
    work.run(TRY_NOW, webhook_id=webhook.id)
    work.run(REPLAY, webhook_id=webhook.id, event_id=event_id, now=work.now)
    return find(work, webhook.id, event_id)


def replay_dead(work: Work, webhook: Webhook, since: Stamp = "") -> int:
    """Have all events sent again that were given up, or those that happened from an instant on; give how many.

    Raises NotPossible.
    """
    _require_active(webhook)
    work.run(TRY_NOW, webhook_id=webhook.id)
    return work.run(REPLAY_ALL, webhook_id=webhook.id, since=since, now=work.now)


def _require_active(webhook: Webhook) -> None:
    if webhook.state != State.ACTIVE:
        raise NotPossible("The webhook is disabled: nothing is sent to it. Activate it first.")


def purge(connection: Connection, tenant_id: str, before: Stamp, *, count: int = 500) -> int:
    """Remove up to `count` of a tenant's deliveries whose events are older than an instant."""
    old = connection.rows(PURGE, {"tenant_id": tenant_id, "before": before, "limit": count})
    connection.run_many(DROP, [{"tenant_id": tenant_id, "webhook_id": each[0], "position": each[1]} for each in old])
    if old:
        connection.run(LET_GO_ALL, {"tenant_id": tenant_id, "now": clock.now()})
    return len(old)
