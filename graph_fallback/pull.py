"""One pull: users, groups, and what follows from both; photos last. Each step is one transaction (G4, G7).

A worker that dies between two steps goes on at the step; what comes twice changes nothing the second time. The links
live on the connection, so the next pull begins where this one ended.

users      what has changed of them since the last pull, page by page
groups     the same of groups and their members
arrivals   people whom a group named and who were not here, read by themselves
scope      whoever is active and outside of the user filter is made inactive
managers   who waited for a manager that has come
photos     of those whose hour it is
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

import orjson

from app_core import (
    awaited,
    clock,
    directory,
    directory_photos,
    graph_links,
    jobs,
    outbox,
    overviews,
    reconciliations,
    user_filter,
)
from app_core.db import Connection, Database
from app_core.graph_links import GraphLink
from app_core.ids import new_correlation_id
from app_core.jobs import Job, Progress
from app_core.provisioning_log import Entry, Outcome
from app_core.work import Actor, Source, Work
from graph_fallback import apply, arrivals, pages, payloads, photos
from graph_fallback.apply import Tally
from graph_fallback.client import DeltaExpired, Graph, GraphClient
from graph_fallback.pages import ListingBroken, Page
from graph_fallback.payloads import UNSET, GraphGroup
from graph_fallback.tokens import GraphRefused

T = TypeVar("T")
FIRST = {"users": pages.USERS_DELTA, "groups": pages.GROUPS_DELTA}
ANEW, LATER = "anew", "later"
"""Marks of a place."""
DUE = "due"
"""The place of a pull that asks for photos, once everybody has a turn."""


def enqueue_due(connection: Connection, now: clock.Stamp) -> int:
    """Ask for the pulls of the present slot, whosever tenant's; on any number of replicas each is asked for once."""
    hour, count = graph_links.slot_of(now), 0
    for tenant_id, connection_id in graph_links.due(connection, hour):
        work = Work(connection, tenant_id, connection_id, Actor(Source.SYSTEM, "schedule"), new_correlation_id(), now)
        if graph_links.take_slot(work, hour):
            graph_links.ask_for_pull(work)
            count += 1
    return count


class Place(NamedTuple):
    """How far a pull is."""

    stage: str = "users"
    at: str | None = None
    """Where the stage goes on: the link of a page, the id behind which to look (None: at its beginning)."""
    anew: bool = False
    """Whether something was never said, so that only a complete listing can tell: a full round had to begin."""
    later: bool = False
    """Whether the round tells what has changed; a first one tells all there is."""

    @classmethod
    def of(cls, job: Job) -> "Place":
        """Read it from a job."""
        if not job.cursor:
            return cls()
        stage, at, *marks = orjson.loads(job.cursor)
        return cls(stage, at, ANEW in marks, LATER in marks)

    @property
    def cursor(self) -> str:
        """Write it down for a job."""
        marks = [mark for mark, is_so in ((ANEW, self.anew), (LATER, self.later)) if is_so]
        return orjson.dumps([self.stage, self.at, *marks]).decode()


class Taken(NamedTuple):
    """What a step came to."""

    seen: int = 0
    said: str = ""
    more: bool = False
    """Whether its stage goes on."""
    at: str | None = None
    """Where."""
    anew: bool = False
    later: bool = False


Take: TypeAlias = Callable[[Work], Taken]
"""Writes down what was read, in the transaction of the step."""


class Step(NamedTuple):
    """A step that is to be taken."""

    database: Database
    job: Job
    state: GraphLink
    client: GraphClient
    place: Place

    async def read(self, act: Callable[[Work], T]) -> T:
        """Look into the core."""
        return await self.database.read(lambda connection: act(_work(connection, self.job)))


class Puller:
    """Takes the steps of pulls: reads something from Graph, then writes down what it says."""

    def __init__(self, database: Database, graph: Graph) -> None:
        self.database = database
        self.graph = graph

    async def step(self, job: Job) -> None:
        """Take the next step of a pull. Raises GraphUnavailable (try later), GraphRefused (somebody must act)."""
        place = Place.of(job)
        state = await self.database.read(lambda connection: graph_links.require_connected(_work(connection, job)))
        assert state.entra_tenant_id is not None
        client = self.graph.directory(state.entra_tenant_id)
        try:
            take = await STAGES[place.stage](Step(self.database, job, state, client, place))
        except ListingBroken:
            if place.stage in FIRST:
                await self._write(job, place, lambda work: _start_over(work, place.stage, None))
            raise
        except GraphRefused as refused:
            reason, missing = refused.sentence, refused.facts.get("permissions", ())
            await self.database.write(
                lambda connection: graph_links.quarantine(_work(connection, job), reason, missing)
            )
            raise
        await self._write(job, place, take)

    async def _write(self, job: Job, place: Place, take: Take) -> None:
        def write(connection: Connection) -> None:
            work = _work(connection, job)
            _go_on(work, job, place, take(work))
            outbox.flush(work)

        await self.database.write(write)


def _work(connection: Connection, job: Job) -> Work:
    connection_id: str = job.arguments()["connection_id"]
    actor = Actor(Source.GRAPH, job.id)
    return Work(connection, job.tenant_id, connection_id, actor, new_correlation_id(), clock.now())


def _go_on(work: Work, job: Job, place: Place, taken: Taken) -> None:
    """Save where the pull goes on; once all is written down but the photos, it is as good as done."""
    anew = place.anew or taken.anew
    stages = list(STAGES)
    at = stages.index(place.stage)
    following: Place | None = Place(place.stage, taken.at, anew, taken.later)
    if not taken.more:
        following = Place(stages[at + 1], None, anew) if at + 1 < len(stages) else None
        if place.stage == "managers":
            graph_links.pulled(work)
            if anew:
                # What this pull has written down would be too fresh for a run that began now.
                old_enough = clock.later(reconciliations.GRACE_SECONDS + 60)
                reconciliations.ask(work, tries=reconciliations.TRIES, at=old_enough)
    said = f"{place.stage}: {taken.said}" if taken.said else job.phase
    jobs.save(work, job, Progress(None if following is None else following.cursor, taken.seen, said))


# Users and groups ---------------------------------------------------------------------------------------------------


async def _users(step: Step) -> Take:
    """Read a page of users."""
    try:
        page, later = await _page(step, step.state.users_link)
    except DeltaExpired as expired:
        return _starting_over("users", expired)
    users = payloads.users_of(page.items)
    pushed = step.state.pushed
    begins = step.place.at is None and step.state.users_link is None

    def take(work: Work) -> Taken:
        # Who was here before the first round and is gone by then is in no round.
        anew = begins and directory.total(work, "User") > 0
        if later and not pushed:
            _expect(work, [user.id for user in users if not user.gone])
        scope = _scope(work, [user.id for user in users], pushed)
        tally = apply.apply_users(work, users, scope=scope)
        return _page_taken(work, "users", page, tally)._replace(later=later, anew=anew)

    return take


async def _groups(step: Step) -> Take:
    """Read a page of groups."""
    try:
        page, later = await _page(step, step.state.groups_link)
    except DeltaExpired as expired:
        return _starting_over("groups", expired)
    groups = payloads.groups_of(page.items)
    imports = not step.state.pushed

    def take(work: Work) -> Taken:
        bare = imports and later and _come_bare(work, groups)
        members = apply.members_here(work, groups)
        tally = apply.apply_groups(work, groups, imports=imports, members=members)
        if imports:
            apply.expect_members(work, groups, [each.object_id for each in user_filter.chosen(work)], members)
        return _page_taken(work, "groups", page, tally)._replace(later=later, anew=bare)

    return take


def _come_bare(work: Work, groups: Sequence[GraphGroup]) -> bool:
    """Say whether one of some groups is new here and nobody is said to be in it.

    One that was restored comes like that, with its members; only a listing has them.
    """
    bare = [
        group.id for group in groups if not group.gone and (group.members is UNSET or not group.members.users.added)
    ]
    return len(overviews.groups_by_object_id(work, bare)) < len(bare)


def _expect(work: Work, object_ids: Sequence[str]) -> None:
    """Have the people read by themselves of whom a later round speaks and who are not here.

    They are new, restored, or have been outside of the filter: their groups may have named them before, or never will.
    """
    known = directory.users_by_object_id(work, object_ids)
    awaited.expect_users(work, [each for each in object_ids if each not in known])


def _scope(work: Work, object_ids: Sequence[str], pushed: bool) -> apply.Scope:
    """Say who of some users may come and be made active; in a filter is who is in a chosen group here."""
    if pushed:
        return apply.NOBODY
    return user_filter.within(work, object_ids) if user_filter.chosen(work) else None


async def _page(step: Step, held: str | None) -> tuple[Page, bool]:
    """Read the page where a round goes on, or the first of the next; say whether the round is a later one."""
    place = step.place
    # Of a round that was left in the middle nobody knows: it counts as a first one.
    later = place.later if place.at is not None else held is not None and "skiptoken" not in held
    start = place.at or held or FIRST[place.stage]
    page = await pages.delta_page(step.client, start)
    if page.next_link == start:
        raise ListingBroken("A page named itself as the next: the round turns in circles.")
    return page, later


def _page_taken(work: Work, kind: str, page: Page, tally: Tally) -> Taken:
    graph_links.save(work, kind, page.link)
    return Taken(tally.seen, _said(tally), more=page.next_link is not None, at=page.next_link)


def _starting_over(kind: str, expired: DeltaExpired) -> Take:
    # Where Graph wants to begin may have lost what we asked for, and each later round would lack it without a word.
    restart = expired.restart if expired.restart and pages.asks_for(expired.restart, FIRST[kind]) else None
    return lambda work: _start_over(work, kind, restart)


def _start_over(work: Work, kind: str, restart: str | None) -> Taken:
    """Begin a kind of object with a full round, where Graph says: what has changed since the last link is unknown."""
    graph_links.save(work, kind, None)
    return Taken(0, "a full round", more=True, at=restart, anew=True)


def _said(tally: Tally) -> str:
    return f"{tally.created} new, {tally.changed} changed"


# What follows from both ---------------------------------------------------------------------------------------------


async def _arrivals(step: Step) -> Take:
    """Read people whom a group named; where Entra pushes, nobody is."""
    if step.state.pushed:

        def forget(work: Work) -> Taken:
            awaited.drop_users(work)
            return Taken()

        return forget
    object_ids = await step.read(lambda work: awaited.users(work, arrivals.AT_ONCE))
    found = await arrivals.read(step.client, object_ids)

    def take(work: Work) -> Taken:
        tally = arrivals.take(work, found)
        return Taken(tally.seen, _said(tally) if found else "", more=bool(found))

    return take


async def _outside(step: Step) -> Take:
    """Look for people outside of the filter; while a chosen group is not here, nobody is known to be."""

    def take(work: Work) -> Taken:
        chosen = [] if step.state.pushed else user_filter.chosen(work)
        missing = [each.object_id for each in chosen if each.group_id is None]
        for object_id in missing:
            apply.log(work, Entry("pull", "Group", object_id, Outcome.WARNING, 200, "filter-group-missing", MISSING))
        if missing or not chosen:
            return Taken()
        found, at = user_filter.outside(work, after=step.place.at or "")
        tally = apply.switch_off(work, found)
        return Taken(tally.seen, f"{tally.changed} left out" if found else "", more=at is not None, at=at)

    return take


MISSING = (
    "A group of the user filter is not in the directory: until it is taken out of the filter, or comes back, nobody "
    "is made inactive for being in none of the chosen groups."
)


async def _managers(step: Step) -> Take:
    """Give people the managers that have come."""

    def take(work: Work) -> Taken:
        found, at = awaited.managers(work, after=step.place.at or "")
        tally = apply.set_managers(work, found)
        return Taken(tally.seen, f"{tally.changed} set" if found else "", more=at is not None, at=at)

    return take


async def _photos(step: Step) -> Take:
    """Ask for the photos of those whose turn it is; first of all, give a turn to who has none."""
    if step.place.at != DUE:

        def enrol(work: Work) -> Taken:
            at = directory_photos.enrol(work, after=step.place.at or "")
            return Taken(more=True, at=at or DUE)

        return enrol
    turns = await step.read(lambda work: directory_photos.due(work, photos.AT_ONCE))
    answers = await photos.ask(step.client, turns)

    def take(work: Work) -> Taken:
        tally = photos.take(work, answers)
        return Taken(tally.seen, f"{tally.changed} changed" if turns else "", more=bool(turns), at=DUE)

    return take


STAGES: Mapping[str, Callable[[Step], Awaitable[Take]]] = {
    "users": _users,
    "groups": _groups,
    "arrivals": _arrivals,
    "scope": _outside,
    "managers": _managers,
    "photos": _photos,
}
"""In the order in which a pull takes them."""
