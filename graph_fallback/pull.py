"""One pull: users, then groups, page by page. A page and the link to the next one are one transaction (G4, G7).

A worker that dies between two pages goes on at the page; a page that comes twice changes nothing the second time. The
links live on the connection, so the next pull begins where this one ended.
"""

from typing import Any

import orjson

from app_core import clock, graph_links, jobs, outbox
from app_core.db import Connection, Database
from app_core.graph_links import GraphLink
from app_core.ids import new_correlation_id
from app_core.jobs import Job, Progress
from app_core.work import Actor, Source, Work
from graph_fallback import apply, pages, payloads, reconcile
from graph_fallback.client import DeltaExpired, Graph, GraphClient
from graph_fallback.pages import ListingBroken, Page
from graph_fallback.tokens import GraphRefused

PULL = "pull"
FIRST = {"users": pages.USERS_DELTA, "groups": pages.GROUPS_DELTA}
AFTER = {"users": "groups", "groups": None}
ANEW = "anew"
"""Marks the place of a pull that had to begin a full round."""


def enqueue(work: Work) -> None:
    """Ask for a pull of the acting connection; one that runs already starts over with what has changed since."""
    jobs.enqueue(work, PULL, slot(work), {"connection_id": work.connection_id})


def slot(work: Work) -> str:
    """Name the place that pulls of the acting connection share: there is one at a time."""
    return f"{PULL}:{work.connection_id}"


def slot_of(now: clock.Stamp) -> str:
    """Name the hourly slot that an instant belongs to: each begins at five past the hour (G4)."""
    return clock.stamp(clock.seconds(now) - 300)[:13]


def enqueue_due(connection: Connection, now: clock.Stamp) -> int:
    """Ask for the pulls of the present slot, whosever tenant's; on any number of replicas each is asked for once."""
    hour, count = slot_of(now), 0
    for tenant_id, connection_id in graph_links.due(connection, hour):
        work = Work(connection, tenant_id, connection_id, Actor(Source.SYSTEM, "schedule"), new_correlation_id(), now)
        if graph_links.take_slot(work, hour):
            enqueue(work)
            count += 1
    return count


class Puller:
    """Takes the steps of pulls: reads a page from Graph, then writes down what it says."""

    def __init__(self, database: Database, graph: Graph) -> None:
        self.database = database
        self.graph = graph

    async def step(self, job: Job) -> None:
        """Take the next page of a pull. Raises GraphUnavailable (try later), GraphRefused (somebody must act)."""
        kind, link = _place(job)
        state = await self.database.read(lambda connection: graph_links.require_connected(_work(connection, job)))
        start = link or _begin(state, kind)
        assert state.entra_tenant_id is not None
        client = self.graph.directory(state.entra_tenant_id)
        try:
            page = await _page(client, start)
        except DeltaExpired as expired:
            restart = expired.restart
            await self.database.write(lambda connection: _start_over(_work(connection, job), job, kind, restart))
            return
        except ListingBroken:
            await self.database.write(lambda connection: _start_over(_work(connection, job), job, kind, None))
            raise
        except GraphRefused as refused:
            reason = refused.sentence
            await self.database.write(lambda connection: graph_links.quarantine(_work(connection, job), reason))
            raise
        await self.database.write(lambda connection: _take(_work(connection, job), job, kind, state, page))


async def _page(client: GraphClient, start: str) -> Page:
    page = await pages.delta_page(client, start)
    if page.next_link == start:
        raise ListingBroken("A page named itself as the next: the round turns in circles.")
    return page


def _work(connection: Connection, job: Job) -> Work:
    connection_id: str = job.arguments()["connection_id"]
    actor = Actor(Source.GRAPH, job.id)
    return Work(connection, job.tenant_id, connection_id, actor, new_correlation_id(), clock.now())


def _place(job: Job) -> tuple[str, str | None]:
    """Read how far a pull is: which kind of object, and the link of the next page (None: where the last one ended)."""
    if not job.cursor:
        return "users", None
    kind, link, *_ = orjson.loads(job.cursor)
    return kind, link


def _began_anew(job: Job) -> bool:
    """Say whether this pull had to begin a full round: then what went in between was never said."""
    return bool(job.cursor) and len(orjson.loads(job.cursor)) > 2


def _begin(state: GraphLink, kind: str) -> str:
    held = state.users_link if kind == "users" else state.groups_link
    return held or FIRST[kind]


def _take(work: Work, job: Job, kind: str, state: GraphLink, page: Page) -> None:
    """Write down what a page says, and where to go on, in one transaction."""
    if kind == "users":
        users = payloads.users_of(page.items)
        tally = apply.apply_users(work, users, imports=not state.pushed)
    else:
        tally = apply.apply_groups(work, payloads.groups_of(page.items))
    graph_links.save(work, kind, page.link)
    following: Any = (kind, page.next_link) if page.next_link is not None else (AFTER[kind], None)
    done = following[0] is None
    if _began_anew(job):
        following = (*following, ANEW)
    if done:
        graph_links.pulled(work)
        if _began_anew(job):
            reconcile.enqueue(work)
    cursor = None if done else orjson.dumps(following).decode()
    jobs.save(work, job, Progress(cursor, tally.seen, f"{kind}: {tally.created} new, {tally.changed} changed"))
    outbox.flush(work)


def _start_over(work: Work, job: Job, kind: str, restart: str | None) -> None:
    """Begin a kind of object with a full round, where Graph says: what has changed since the last link is unknown."""
    graph_links.save(work, kind, None)
    jobs.save(work, job, Progress(orjson.dumps((kind, restart, ANEW)).decode(), 0, f"{kind}: a full round"))
