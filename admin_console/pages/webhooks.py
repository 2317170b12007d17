"""Settings → Webhooks: where events are sent to, how that goes, and what is to be sent again."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from admin_console.endpoint import Answer, Page, done, page
from admin_console.pages.settings import TABS, WEBHOOKS
from admin_console.paging import ROWS, Cut, cut
from admin_console.ports import Ports
from admin_console.request import Request
from app_core import clock, deliveries, webhooks
from app_core.deliveries import Delivery, Fate
from app_core.errors import Invalid
from app_core.events import TYPES, Kind
from app_core.ports import Address, Receipt, Trouble
from app_core.sealing import SealBroken, Sealer
from app_core.webhooks import State, Webhook
from app_core.work import Work

TROUBLES: Mapping[str, str] = {
    Trouble.STATUS: "The receiver did not take it.",
    Trouble.GONE: "The receiver says that it is gone.",
    Trouble.REDIRECT: "The receiver leads to another address, which is not followed. Enter that address here.",
    Trouble.TIMEOUT: "The receiver took longer than 15 seconds. It should answer first and do the work afterwards.",
    Trouble.UNREACHABLE: "There was no connection, or it broke off before the answer.",
    Trouble.CERTIFICATE: "The receiver's certificate is not valid for its name, or nobody known has issued it.",
    Trouble.UNKNOWN_HOST: "The name of its host leads nowhere.",
    Trouble.PRIVATE_HOST: "The name of its host leads into a private network, where nothing is sent to.",
    SealBroken.code: "Its secret cannot be opened with the keys of this server. Its operator must put the former key "
    "behind the present one in SCIM_SERVER_SECRET_KEY; or make a new secret here.",
}
"""Why events were not taken, and what to do."""


class Line(NamedTuple):
    """A webhook as listed."""

    webhook: Webhook
    host: str
    standing: tuple[str, str]
    """How it stands in a word, and the tone of that."""
    waiting: int
    dead: int


class Checked(NamedTuple):
    """What was found out before a form is carried out."""

    address: Address
    sealer: Sealer | None


# The list -------------------------------------------------------------------------------------------------------------


def show_list(work: Work, request: Request) -> Answer:
    """List the webhooks, and ask for another."""
    return page(
        "settings/webhooks.html",
        "Webhooks",
        place="settings",
        tabs=TABS,
        tab=WEBHOOKS,
        lines=[_line(work, each) for each in webhooks.all_of(work)],
        subjects=_subjects(),
        chosen=request.lists.get("types", []) if request.again else [],
    )


async def check(ports: Ports, request: Request, seen: None) -> Checked:
    """See whether events may be sent to an address."""
    webhooks.require_sealer(ports.sealer)
    return await check_change(ports, request, seen)


async def check_change(ports: Ports, request: Request, seen: object) -> Checked:
    """See the same of one that is changed, for which no secret is made."""
    assert ports.courier is not None
    return Checked(await ports.courier.check(request.text("url")), ports.sealer)


def create(work: Work, request: Request) -> Answer:
    """Add a webhook; its secret is shown this once."""
    checked: Checked = request.fetched
    made, secret = webhooks.create(
        work,
        webhooks.require_sealer(checked.sealer),
        checked.address,
        description=request.text("description"),
        types=request.lists.get("types", []),
    )
    return _page_of(work, request, made, secret=secret)


def _line(work: Work, webhook: Webhook) -> Line:
    waiting, dead = (deliveries.count(work, webhook.id, state) for state in (Fate.WAITING, Fate.DEAD))
    return Line(webhook, host_of(webhook), _standing(webhook), waiting, dead)


def host_of(webhook: Webhook) -> str:
    """Name a webhook by its host: the rest of its address may be for the receiver alone."""
    return urlsplit(webhook.url).netloc


def _standing(webhook: Webhook) -> tuple[str, str]:
    if webhook.state == State.DISABLED:
        return ("gone", "bad") if webhook.reason == Trouble.GONE else ("paused", "plain")
    if webhook.failing_since is not None:
        return "failing", "bad"
    return ("active", "good") if webhook.last_success_at else ("nothing sent yet", "plain")


def _subjects() -> Mapping[str, Mapping[str, Kind]]:
    """Give the types of events by what they are about."""
    found: dict[str, dict[str, Kind]] = {}
    for name, kind in TYPES.items():
        found.setdefault(kind.subject, {})[name] = kind
    return found


# One webhook ----------------------------------------------------------------------------------------------------------


def show(work: Work, request: Request) -> Answer:
    """Show a webhook, and what has not gone through."""
    return _page_of(work, request, webhooks.find(work, request.id))


def change(work: Work, request: Request) -> Answer:
    """Change the address, the description and which events are sent."""
    checked: Checked = request.fetched
    _, changed = webhooks.change(
        work,
        request.id,
        address=checked.address,
        description=request.text("description"),
        types=request.lists.get("types", []),
    )
    return done(
        _path(request), "It is saved." if changed else "Nothing was changed.", target_id=request.id, changed=changed
    )


def pause(work: Work, request: Request) -> Answer:
    """Send nothing until told otherwise."""
    _, changed = webhooks.change(work, request.id, active=False)
    said = "It is paused. What happens meanwhile is kept, and sent once you resume it."
    return done(_path(request), said, target_id=request.id, changed=changed)


def resume(work: Work, request: Request) -> Answer:
    """Send again, first what has happened meanwhile."""
    _, changed = webhooks.change(work, request.id, active=True)
    said = "It is active. What happened meanwhile is on its way."
    return done(_path(request), said, target_id=request.id, changed=changed)


def remove(work: Work, request: Request) -> Answer:
    """Delete a webhook with all that waits for it."""
    gone = webhooks.remove(work, request.id)
    return done(WEBHOOKS, f"The webhook to {host_of(gone)} is deleted.", target_id=gone.id)


async def sealer_of(ports: Ports, request: Request, seen: None) -> Sealer:
    """Give what seals secrets. Raises NotPossible."""
    return webhooks.require_sealer(ports.sealer)


def rotate(work: Work, request: Request) -> Answer:
    """Make another secret, which is shown this once."""
    after, secret = webhooks.rotate(work, request.fetched, request.id)
    return _page_of(work, request, after, secret=secret)


def find(work: Work, request: Request) -> Webhook:
    """Find what is to be tried."""
    return webhooks.find(work, request.id)


async def try_out(ports: Ports, request: Request, seen: Webhook) -> Receipt:
    """Send a test, whatever comes of it."""
    assert ports.courier is not None
    sealer = webhooks.require_sealer(ports.sealer)
    return await ports.courier.send(seen.url, deliveries.trial(seen, sealer, clock.now(), request.correlation_id))


def tell(work: Work, request: Request) -> Answer:
    """Show what came of a test."""
    return _page_of(work, request, webhooks.find(work, request.id), trial=request.fetched)


def replay(work: Work, request: Request) -> Answer:
    """Send an event again."""
    deliveries.replay(work, webhooks.find(work, request.id), request.keys["event_id"])
    return done(_path(request), "It is sent again now.", target_id=request.id)


def replay_dead(work: Work, request: Request) -> Answer:
    """Send all events again that were given up."""
    count = deliveries.replay_dead(work, webhooks.find(work, request.id))
    said = f"{count:,} events are on their way again." if count != 1 else "1 event is on its way again."
    return done(_path(request), said, target_id=request.id, changed=["deliveries"] if count else [])


def _path(request: Request) -> str:
    return f"{WEBHOOKS}/{request.id}"


def _page_of(
    work: Work, request: Request, webhook: Webhook, *, secret: str | None = None, trial: Receipt | None = None
) -> Page:
    path = f"{WEBHOOKS}/{webhook.id}"
    return page(
        "settings/webhook.html",
        host_of(webhook),
        place="settings",
        target_id=webhook.id,
        tabs=TABS,
        tab=WEBHOOKS,
        path=path,
        line=_line(work, webhook),
        webhook=webhook,
        secret=secret,
        trial=trial,
        troubles=TROUBLES,
        subjects=_subjects(),
        chosen=request.lists.get("types", []) if request.again else webhook.wanted,
        state=request.asked("state"),
        rows=_rows(work, request, webhook.id, path),
    )


def _rows(work: Work, request: Request, webhook_id: str, path: str) -> Cut[Delivery]:
    state, before = request.asked("state"), request.asked("before")
    if state not in ("", *Fate) or (before and not (before.isdecimal() and before.isascii() and len(before) < 19)):
        raise Invalid("There is no such part of the list. Open the page anew.")
    rows: Sequence[Delivery] = deliveries.page(
        work,
        webhook_id,
        state=Fate(state) if state else None,
        before=int(before) if before else None,
        limit=ROWS + 1,
    )
    return cut(rows, lambda each: str(each.position), path, {"state": state, "before": before}, name="before")
