"""The worker: takes jobs, one step a transaction, until it is told to stop. It runs inside `serve` or alone."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

from app_core import clock, deliveries, follow, graph_links, jobs, outbox, provisioning_log, reconciliations
from app_core.db import Connection, Database, SqliteDatabase
from app_core.errors import DomainError, Stale
from app_core.ids import new_correlation_id
from app_core.jobs import Job, Progress
from app_core.provisioning_log import Entry, Outcome
from app_core.sealing import Sealer
from app_core.work import Actor, Source, Work
from runtime import maintenance, relay
from runtime.courier import HttpCourier
from runtime.settings import Settings

if TYPE_CHECKING:
    from graph_fallback.client import Graph
    from runtime.entra import Entra

logger = logging.getLogger(__name__)
PAUSE = 0.25
"""Seconds between two looks for work while there is none."""
LOOK_EVERY = 20.0
"""Seconds between two looks at the schedule."""

Step: TypeAlias = Callable[[Job], Awaitable[None]]
"""Takes one step of a job and saves how far it is. Raises Stale when the job is somebody else's by now."""


def steps(database: Database, graph: "Graph | None" = None) -> dict[str, Step]:
    """Say how the steps of each kind of job are taken; without Graph there are no pulls and no reconciliations."""
    known: dict[str, Step] = {follow.ISSUE: in_one_transaction(database, follow.issue_step)}
    if graph is not None:
        from graph_fallback import pull, reconcile  # httpx, 150 ms, which only those pay who pull

        known[graph_links.PULL] = pull.Puller(database, graph).step
        known[reconciliations.RECONCILE] = reconcile.Reconciler(database, graph).step
    return known


def in_one_transaction(database: Database, act: Callable[[Work, Job], Progress]) -> Step:
    """Make a step of something that only needs the database."""

    async def step(job: Job) -> None:
        def take(connection: Connection) -> None:
            work = Work(connection, job.tenant_id, "", Actor(Source.SYSTEM, job.id), new_correlation_id(), clock.now())
            jobs.save(work, job, act(work, job))
            for code, sentence in work.warnings:
                entry = Entry(job.kind, "Job", job.id, Outcome.WARNING, 200, code, sentence)
                provisioning_log.record(work, entry)
            outbox.flush(work)

        await database.write(take)

    return step


@asynccontextmanager
async def background(
    database: Database,
    settings: Settings,
    courier: HttpCourier,
    sealer: Sealer | None,
    entra: "Entra | None" = None,
) -> AsyncIterator[None]:
    """Do everything that no request waits for, as long as this is open: jobs, webhooks, housekeeping."""
    if isinstance(database, SqliteDatabase):
        # One server has the file: it need not wait for the leases of the one that was killed before it.
        await database.write(jobs.take_back)
        await database.write(deliveries.take_back)
    loops = [
        maintenance.run(database, settings, sealer),
        run(database, steps(database, None if entra is None else entra.graph)),
        relay.run(database, courier, sealer),
    ]
    if entra is not None:
        loops.append(schedule(database))
    tasks = [asyncio.create_task(each) for each in loops]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def schedule(database: Database) -> None:
    """Ask for the hourly pulls until cancelled; whichever replica looks first asks, the others find it done."""
    from graph_fallback import pull

    while True:
        try:
            await database.write(lambda connection: pull.enqueue_due(connection, clock.now()))
        except Exception:
            logger.exception("the schedule could not be kept; it will look again")
        await asyncio.sleep(LOOK_EVERY)


async def run(database: Database, known: Mapping[str, Step]) -> None:
    """Work until cancelled; a failure of the database is logged, and the worker goes on."""
    while True:
        try:
            job = await database.write(lambda connection: jobs.claim(connection, list(known)))
            if job is not None:
                await carry_out(database, known, job)
        except Exception:
            # The database is away: a lease that we hold runs out, and whoever looks then goes on.
            logger.exception("the worker could not go on; it will look again")
            job = None
        if job is None:
            await asyncio.sleep(PAUSE)


async def carry_out(database: Database, known: Mapping[str, Step], job: Job) -> None:
    """Take the steps of a job until it is finished, fails, or is somebody else's."""
    current: Job | None = job
    try:
        while current is not None:
            try:
                await known[job.kind](current)
            except Stale:
                logger.info("job %s was asked for again or taken over", job.id)
            current = await database.read(lambda connection: jobs.reload(connection, job))
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        await asyncio.shield(database.write(lambda connection: jobs.give_back(connection, job)))
        raise
    except Exception as error:
        logger.exception("job %s failed and will be tried again", job.id)
        # Sentences of ours name nothing personal; of others only the kind is kept.
        reason = error.sentence if isinstance(error, DomainError) else type(error).__name__
        until = error.facts.get("retry_at") if isinstance(error, DomainError) else None
        failed = current or job
        await database.write(lambda connection: jobs.postpone(connection, failed, reason, until=until))
