"""The worker: takes jobs, one step a transaction, until it is told to stop. It runs inside `serve` or alone."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app_core import clock, follow, jobs, outbox
from app_core.db import Connection, Database
from app_core.errors import Stale
from app_core.ids import new_correlation_id
from app_core.jobs import Job, Progress
from app_core.work import Actor, Source, Work
from runtime import maintenance
from runtime.settings import Settings

logger = logging.getLogger(__name__)
PAUSE = 0.5
"""Seconds between two looks for work while there is none."""

STEPS = {follow.ISSUE: follow.issue_step}


@asynccontextmanager
async def background(database: Database, settings: Settings) -> AsyncIterator[None]:
    """Do everything that no request waits for, as long as this is open: jobs and housekeeping."""
    tasks = [asyncio.create_task(each) for each in (maintenance.run(database, settings), run(database))]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def run(database: Database) -> None:
    """Work until cancelled; a failure of the database is logged, and the worker goes on."""
    while True:
        try:
            job = await database.write(jobs.claim)
        except Exception:
            logger.exception("the worker found no work; it will look again")
            job = None
        if job is None:
            await asyncio.sleep(PAUSE)
        else:
            await carry_out(database, job)


async def carry_out(database: Database, job: Job) -> None:
    """Take the steps of a job until it is finished, fails, or is somebody else's."""
    current: Job | None = job
    try:
        while current is not None:
            try:
                await database.write(lambda connection, job=current: step(connection, job))  # type: ignore[misc]
            except Stale:
                logger.info("job %s was asked for again or taken over", job.id)
            current = await database.read(lambda connection: jobs.reload(connection, job))
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        await asyncio.shield(database.write(lambda connection: jobs.give_back(connection, job)))
        raise
    except Exception as error:
        logger.exception("job %s failed and will be tried again", job.id)
        reason = type(error).__name__
        await database.write(lambda connection: jobs.postpone(connection, current or job, reason))


def step(connection: Connection, job: Job) -> Progress:
    """Take one step of a job, and save how far it is beside what it did."""
    work = Work(connection, job.tenant_id, "", Actor(Source.SYSTEM, job.id), new_correlation_id(), clock.now())
    progress = STEPS[job.kind](work, job)
    jobs.save(work, job, progress)
    outbox.flush(work)
    return progress
