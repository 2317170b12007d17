"""Webhooks: where events are sent to, what has not gone through, and how that is sent again (V3)."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, WithJsonSchema

from app_api.bodies import WHOLE, Body, Cursor, Limit, Moment, Opaque, Paging, Query, given, one_of
from app_api.events import Subject
from app_api.exchange import DEFAULT_LIMIT, Answer, Call, Instant, Page, gone
from app_api.lists import page_of
from app_api.problems import invalid_parameter
from app_core import deliveries, webhooks
from app_core.deliveries import Fate
from app_core.events import TYPES
from app_core.ports import Address, Message, Receipt, Trouble
from app_core.sealing import SealBroken
from app_core.webhooks import State
from app_core.work import Work

Reason = Annotated[str, one_of(*Trouble, SealBroken.code)]
Url = Annotated[Opaque, Field(min_length=1, max_length=webhooks.LONGEST_URL)]
Description = Annotated[Opaque, Field(max_length=webhooks.LONGEST_DESCRIPTION)]
Types = Annotated[
    list[str],
    Field(max_length=len(TYPES), description="Which types of events are sent; all, where none is named."),
    WithJsonSchema({"type": "array", "maxItems": len(TYPES), "items": {"type": "string", "enum": list(TYPES)}}),
]


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events are sent to, and how that goes."""

    id: str
    url: str
    description: str
    types: list[str]
    """Which types of events are sent; all, where none is named."""
    state: Annotated[str, one_of(*State)]
    reason: Annotated[str, one_of("by-hand", "gone")] | None
    """Why it is disabled: by an administrator, or because the receiver answered 410."""
    failing_since: Instant | None
    """Since when nothing has been taken any more; null while all is well."""
    last_success_at: Instant | None
    last_failure_at: Instant | None
    last_failure_status: int | None
    """What the receiver answered then, if it did."""
    last_failure_reason: Reason | None
    waiting: int
    """How many events wait to be sent again, up to 1,000."""
    dead: int
    """How many were given up, up to 1,000."""
    former_secret_until: Instant | None
    """Until when the former secret signs as well."""
    created_at: Instant
    modified_at: Instant


@dataclass(frozen=True, slots=True)
class WebhookWithSecret:
    """A webhook with the secret that signs what is sent to it; it is shown this once."""

    webhook: Webhook
    secret: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """An event that has not been taken yet."""

    event_id: str
    position: int
    type: str
    subject: Subject
    occurred_at: Instant
    state: Annotated[str, one_of(*Fate)]
    attempts: int
    next_attempt_at: Instant | None
    """When it is sent again; null while another event of its subject has to be taken first."""
    last_attempt_at: Instant | None
    last_status: int | None
    last_reason: Reason | None


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a test: whether it was taken, what was answered, and how long that took."""

    delivered: bool
    status: int | None
    reason: Reason | None
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Replayed:
    """How many events are sent again."""

    count: int


class NewWebhook(Body):
    """Where events are to be sent to from now on."""

    url: Url
    description: Description = ""
    types: Types = Field(default_factory=list)


class WebhookChange(Body):
    """What is to be changed; what is left out stays."""

    url: Url = ""
    description: Description = ""
    types: Types = Field(default_factory=list)
    active: bool = True


class ReplayAsked(Body):
    """Which of the dead ones: those that happened from an instant on; all, if it is not said."""

    since: Moment | None = None


class DeliveryList(Query):
    """Which deliveries to list."""

    state: Annotated[Literal["waiting", "dead"] | None, Field(description="Those that wait, or were given up.")] = None
    after: Cursor = ""
    limit: Limit = DEFAULT_LIMIT


# Webhooks -------------------------------------------------------------------------------------------------------------


def find(work: Work, call: Call, query: Paging) -> Answer[Page[Webhook]]:
    """List the webhooks, oldest first."""
    rows = [each for each in webhooks.all_of(work) if each.id > query.after][: query.limit + 1]
    return page_of(query, rows, lambda webhook: shown(work, webhook), lambda webhook: webhook.id)


async def check(call: Call, seen: None, body: "NewWebhook | WebhookChange") -> Address | None:
    """See whether events may be sent to a URL."""
    if isinstance(body, NewWebhook):
        webhooks.require_sealer(call.sealer)
    return await call.require_courier().check(body.url) if "url" in body.model_fields_set else None


def create(work: Work, call: Call, body: NewWebhook, fetched: Address) -> Answer[WebhookWithSecret]:
    """Add a webhook; its secret is shown this once. It is told of what happens from now on."""
    sealer = webhooks.require_sealer(call.sealer)
    made, secret = webhooks.create(work, sealer, fetched, description=body.description, types=body.types)
    return Answer(201, WebhookWithSecret(shown(work, made), secret), made.id, location=f"/webhooks/{made.id}")


def read(work: Work, call: Call) -> Answer[Webhook]:
    """Read a webhook, and how it goes."""
    found = webhooks.find(work, call.id)
    return Answer(200, shown(work, found), found.id)


def change(work: Work, call: Call, body: WebhookChange, fetched: Address | None) -> Answer[Webhook]:
    """Change where events are sent to, which, and whether any are; what happens meanwhile is sent later."""
    asked = given(body)
    after, changed = webhooks.change(
        work,
        call.id,
        address=fetched,
        description=asked.get("description"),
        types=asked.get("types"),
        active=asked.get("active"),
    )
    return Answer(200, shown(work, after), after.id, changed)


def delete(work: Work, call: Call) -> Answer[None]:
    """Delete a webhook with all that waits for it."""
    return gone(webhooks.remove(work, call.id).id)


def rotate(work: Work, call: Call) -> Answer[WebhookWithSecret]:
    """Make another secret, shown this once; for a day the former one signs as well."""
    after, secret = webhooks.rotate(work, webhooks.require_sealer(call.sealer), call.id)
    return Answer(200, WebhookWithSecret(shown(work, after), secret), after.id)


def trial_of(work: Work, call: Call) -> tuple[str, Message]:
    """Give where a test goes to, and the test. Raises NotFound, SealBroken."""
    webhook = webhooks.find(work, call.id)
    sealer = webhooks.require_sealer(call.sealer)
    return webhook.url, deliveries.trial(webhook, sealer, work.now, work.correlation_id)


async def try_out(call: Call, seen: tuple[str, Message]) -> Receipt:
    """Send a test, whatever comes of it."""
    return await call.require_courier().send(*seen)


def tell(work: Work, call: Call, fetched: Receipt) -> Answer[Trial]:
    """Send a test, of type `webhook.test`, at once, and say what came of it."""
    trial = Trial(fetched.trouble is None, fetched.status, fetched.trouble, round(fetched.seconds * 1000))
    return Answer(200, trial, webhooks.find(work, call.id).id)


def shown(work: Work, webhook: webhooks.Webhook) -> Webhook:
    """Show a webhook."""
    return Webhook(
        id=webhook.id,
        url=webhook.url,
        description=webhook.description,
        types=[*webhook.wanted],
        state=webhook.state,
        reason=webhook.reason,
        failing_since=webhook.failing_since,
        last_success_at=webhook.last_success_at,
        last_failure_at=webhook.last_failure_at,
        last_failure_status=webhook.last_status,
        last_failure_reason=webhook.last_reason,
        waiting=deliveries.count(work, webhook.id, Fate.WAITING),
        dead=deliveries.count(work, webhook.id, Fate.DEAD),
        former_secret_until=webhook.former_until,
        created_at=webhook.created_at,
        modified_at=webhook.modified_at,
    )


# Deliveries -----------------------------------------------------------------------------------------------------------


def deliveries_of(work: Work, call: Call, query: DeliveryList) -> Answer[Page[Delivery]]:
    """List the events that have not been taken yet, the newest first."""
    webhook = webhooks.find(work, call.id)
    if query.after and not WHOLE.fullmatch(query.after):
        raise invalid_parameter(("after", "it is not the `next` of a page"))
    rows = deliveries.page(
        work,
        webhook.id,
        state=None if query.state is None else Fate(query.state),
        before=int(query.after) if query.after else None,
        limit=query.limit + 1,
    )
    items = rows[: query.limit]
    following = str(items[-1].position) if len(rows) > query.limit else None
    return Answer(200, Page([_delivery(each) for each in items], following))


def replay(work: Work, call: Call) -> Answer[Delivery]:
    """Send an event again as if it were new, behind others of its subject that wait."""
    webhook = webhooks.find(work, call.id)
    return Answer(200, _delivery(deliveries.replay(work, webhook, call.keys["event_id"])), webhook.id)


def replay_dead(work: Work, call: Call, body: ReplayAsked) -> Answer[Replayed]:
    """Send all events again that were given up."""
    webhook = webhooks.find(work, call.id)
    count = deliveries.replay_dead(work, webhook, body.since or "")
    return Answer(200, Replayed(count), webhook.id, ["deliveries"] if count else [])


def _delivery(each: deliveries.Delivery) -> Delivery:
    return Delivery(
        event_id=each.event_id,
        position=each.position,
        type=each.type,
        subject=Subject(each.subject_type, each.subject_id),
        occurred_at=each.occurred_at,
        state=each.state,
        attempts=each.attempts,
        next_attempt_at=each.next_attempt_at,
        last_attempt_at=each.last_attempt_at,
        last_status=each.last_status,
        last_reason=each.last_reason,
    )
