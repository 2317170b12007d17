"""Pages of a list or of a delta round, their links, and what faults do to their shape."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote

from runtime.simulator.cloud import Cloud
from runtime.simulator.delta import sealed, unsealed
from runtime.simulator.faults import FaultKind, Struck
from runtime.simulator.gate import expired_page
from runtime.simulator.graph_call import Answer, Call, JsonObject

MOST_REMEMBERED = 3_000_000
"""Items of all rounds together; the rounds that nobody has read for longest are forgotten first."""
FOREIGN = "http://graph.attacker.invalid"
Render = Callable[[Any, bool], JsonObject | None]


@dataclass(slots=True)
class Round:
    """A list or a delta round that has begun: which objects are on which page, and how they are shown."""

    key: str
    tenant_id: str
    url: str
    pages: Sequence[Sequence[Any]]
    render: Render
    context: str
    count: int | None = None
    delta_link: str | None = None
    minimal: bool = False
    items: int = 0


def begin(cloud: Cloud, round_: Round) -> Round:
    """Remember a round, so that its further pages can be asked for, also more than once."""
    round_.items = sum(map(len, round_.pages))
    if len(round_.pages) > 1:
        cloud.rounds[round_.key] = round_
        while len(cloud.rounds) > 1 and sum(other.items for other in cloud.rounds.values()) > MOST_REMEMBERED:
            cloud.rounds.popitem(last=False)
    return round_


def continued(call: Call, token: str) -> tuple[Round, int, int]:
    """Find the round, the page and the repetition that a skip token means. Raises GraphError for one too old."""
    try:
        key, page, repetition = unsealed(token)
        round_: Round = call.cloud.rounds[key]
    except (ValueError, TypeError, KeyError):
        raise expired_page() from None
    if round_.tenant_id != call.tenant.id or round_.url.partition("?")[0] != call.url:
        raise expired_page()
    call.cloud.rounds.move_to_end(key)
    return round_, int(page), int(repetition)


def page_of(call: Call, round_: Round, page: int, repetition: int = 0) -> Answer:
    """Give one page."""
    struck = call.struck
    minimal = round_.minimal or "return=minimal" in call.incoming.headers.get("prefer", "").replace(" ", "")
    shown, place = _shape(call.cloud, round_, page, repetition, struck)
    body: JsonObject = {"@odata.context": round_.context}
    if round_.count is not None and page == 0:
        body["@odata.count"] = round_.count
    if struck.get(FaultKind.SHORT_LISTING) is None:
        body |= _links(call.cloud, round_, place, struck)
    body["value"] = [item for item in (round_.render(each, minimal) for each in shown) if item is not None]
    return Answer(200, body)


def _shape(
    cloud: Cloud, round_: Round, page: int, repetition: int, struck: Struck
) -> tuple[list[Any], tuple[int, int]]:
    """Say what lies on a page, and where it goes on."""
    if struck.get(FaultKind.EMPTY_PAGE) is not None:
        return [], (page, repetition + 1)
    if struck.get(FaultKind.REPLAY) is not None and page > 0:
        return list(round_.pages[cloud.random.randrange(page)]), (page, repetition + 1)
    items = list(round_.pages[page])
    if struck.get(FaultKind.DUPLICATE) is not None:
        earlier = [item for served in round_.pages[: page + 1] for item in served]
        items += cloud.random.sample(earlier, k=min(len(earlier), max(1, len(items) // 3)))
    if struck.get(FaultKind.REORDER) is not None:
        random.Random(cloud.random.random()).shuffle(items)
    return items, (page + 1, 0)


def _links(cloud: Cloud, round_: Round, place: tuple[int, int], struck: Struck) -> JsonObject:
    page, repetition = place
    if page >= len(round_.pages):
        return {} if round_.delta_link is None else {"@odata.deltaLink": round_.delta_link}
    link = f"{round_.url}{'&' if '?' in round_.url else '?'}$skiptoken={skip_token(cloud, round_, page, repetition)}"
    if struck.get(FaultKind.FOREIGN_LINK) is not None:
        link = link.replace(cloud.base_url, FOREIGN)
    return {"@odata.nextLink": link}


def skip_token(cloud: Cloud, round_: Round, page: int, repetition: int) -> str:
    """Write the token of a further page; a round that was kept to one page so far is remembered now."""
    cloud.rounds.setdefault(round_.key, round_)
    return sealed(cloud, [round_.key, page, repetition])


def options(raw_query: str) -> str:
    """Write the query options of a list again, as its links carry them: all but the token."""
    pairs = [(name, value) for name, value in parse_qsl(raw_query, keep_blank_values=True) if name != "$skiptoken"]
    return "&".join(f"{quote(name, safe='$')}={quote(value, safe='$,()=')}" for name, value in pairs)
