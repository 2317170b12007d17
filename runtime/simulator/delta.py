"""Delta rounds: what changed between two places in a journal, cut into pages; and the tokens that lead on.

What is on a page is planned when the round begins, how it looks is decided when the page is read. So a change in the
middle of a round may show early, and shows again in the next round: late or twice, never lost.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import orjson

from runtime.simulator.cloud import Cloud, Settings
from runtime.simulator.directory import Directory, Entry, Kind, Touched, What

JsonObject = dict[str, Any]

RELATIONS = {Kind.USER: "manager", Kind.GROUP: "members"}


class Query(NamedTuple):
    """What was asked for when a round first began; tokens carry it on."""

    kind: Kind
    select: tuple[str, ...] | None
    ids: tuple[str, ...] | None

    @property
    def shown(self) -> tuple[str, ...]:
        """The properties that come back."""
        return self.kind.defaults if self.select is None else self.select

    @property
    def relation(self) -> str | None:
        """The relation that is tracked beside the properties."""
        relation = RELATIONS[self.kind]
        # Without a selection groups tell their members, and users do not tell their manager.
        default = self.kind is Kind.GROUP
        return relation if (default if self.select is None else relation in self.select) else None

    def tracks(self, what: str) -> bool:
        """Say whether a change makes an object appear: a change of what is not selected does not."""
        if what.startswith("@"):
            return True
        if what in (What.MEMBERS, What.MANAGER):
            return what == self.relation
        return self.select is None or what in self.select


class State(NamedTuple):
    """What a delta token says."""

    tenant_id: str
    query: Query
    place: int
    issued: float
    generation: int


class Item(NamedTuple):
    """An object on a page, with the part of its relation that is told here. `changed` None means all of it."""

    id: str
    changed: frozenset[str] | None
    related: tuple[str, ...] = ()


def first_round(directory: Directory, query: Query, settings: Settings) -> Iterator[Item]:
    """Plan the round that shows everything there is."""
    for entry in directory.live[query.kind].values():
        if query.ids is None or entry.id in query.ids:
            related = tuple(entry.members) if query.relation == "members" else ()
            if query.relation == "manager" and entry.manager_id is not None:
                related = (entry.manager_id,)
            yield Item(entry.id, None, related)
    if settings.removed_in_first_round:
        yield from (Item(entry.id, None) for entry in directory.deleted.values() if entry.kind is query.kind)


def later_round(directory: Directory, query: Query, since: int, until: int) -> Iterator[Item]:
    """Plan the round that shows what changed between two places in the journal."""
    for object_id, touched in directory.touched(query.kind, since, until).items():
        if query.ids is not None and object_id not in query.ids:
            continue
        if not any(query.tracks(name) for name in touched.names):
            continue
        yield Item(object_id, None if touched.whole else frozenset(touched.names), _related(query, touched))


def _related(query: Query, touched: Touched) -> tuple[str, ...]:
    if query.relation == "members":
        return tuple(touched.members)
    return tuple(touched.managers) if query.relation == "manager" else ()


def paged(items: Iterable[Item], settings: Settings) -> list[list[Item]]:
    """Cut a round into pages; a group with many members lies on several, a slice on each."""
    pages: list[list[Item]] = [[]]
    room = settings.members_page
    for item in items:
        for piece in _sliced(item, settings.members_page):
            if len(pages[-1]) >= settings.delta_page or len(piece.related) > room:
                pages.append([])
                room = settings.members_page
            pages[-1].append(piece)
            room -= len(piece.related)
    return pages


def sliced(items: Iterable[Item], size: int) -> list[Item]:
    """Spread the relations of objects over items of their own, so that these can be put in any order."""
    return [piece for item in items for piece in _sliced(item, size)]


def _sliced(item: Item, size: int) -> Iterator[Item]:
    if len(item.related) <= size:
        yield item
        return
    for at in range(0, len(item.related), size):
        yield item._replace(related=item.related[at : at + size])


def rendered(directory: Directory, query: Query, item: Item, *, minimal: bool) -> JsonObject | None:
    """Show an object as a delta round does: what is missing was never set, null was cleared."""
    entry = directory.entries.get(item.id)
    if entry is None or not entry.live:
        reason = "deleted" if entry is None else "changed"
        return {"id": item.id, "@removed": {"reason": reason}}
    shown: JsonObject = {}
    for name in query.shown:
        if name in entry.properties and (item.changed is None or not minimal or name in item.changed):
            shown[name] = entry.properties[name]
    shown["id"] = entry.id
    told = _relation(directory, query, entry, item.related)
    if told:
        shown[f"{query.relation}@delta"] = told
    return shown


def _relation(directory: Directory, query: Query, entry: Entry, related: tuple[str, ...]) -> list[JsonObject]:
    """Tell of each related object whether it is one now. A deleted member is still in, and is not shown."""
    told = []
    for object_id in related:
        other = directory.entries.get(object_id)
        related_now = object_id in entry.members if query.relation == "members" else object_id == entry.manager_id
        if related_now and other is not None and not other.live:
            continue
        annotated: JsonObject = {"@odata.type": directory.kind_of(object_id).odata_type, "id": object_id}
        if not related_now:
            annotated["@removed"] = {"reason": "deleted"}
        told.append(annotated)
    return told


# ── Tokens ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Expired(Exception):
    """A token that is too old, or is none of ours."""


def token_of(cloud: Cloud, state: State) -> str:
    """Write what a delta token says, so that nobody reads it by accident."""
    kind, select, ids = state.query
    return sealed(cloud, [state.tenant_id, kind, select, ids, state.place, state.issued, state.generation])


def state_of(cloud: Cloud, tenant_id: str, token: str) -> State:
    """Read a delta token. Raises Expired when it is too old, of another tenant or not ours."""
    try:
        tenant, kind, select, ids, place, issued, generation = unsealed(token)
        query = Query(Kind(kind), _tuple(select), _tuple(ids))
        state = State(tenant, query, int(place), float(issued), int(generation))
    except (ValueError, TypeError):
        raise Expired from None
    age = cloud.clock.seconds() - state.issued
    if state.tenant_id != tenant_id or state.generation != cloud.generation:
        raise Expired
    if age > cloud.settings.delta_token_days * 86400:
        raise Expired
    return state


def sealed(cloud: Cloud, content: list[Any]) -> str:
    """Write a token; with padding when the settings want long ones."""
    text = base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")
    padding = cloud.settings.token_padding
    return f"{text[::-1]}.{'x' * padding}" if padding else text[::-1]


def unsealed(token: str) -> list[Any]:
    """Read a token. Raises ValueError."""
    text = token.partition(".")[0][::-1]
    try:
        content = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except binascii.Error:
        raise ValueError(token) from None
    if not isinstance(content, list):
        raise TypeError(token)
    return content


def _tuple(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
