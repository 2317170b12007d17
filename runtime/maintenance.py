"""Housekeeping beside the requests: old log entries go, and SQLite's planner keeps its statistics."""

import asyncio
import logging

from app_core import clock, provisioning_log, tenants
from app_core.db import Database, SqliteDatabase
from runtime.settings import Settings

logger = logging.getLogger(__name__)
EVERY = 3600.0
BATCH = 500


async def run(database: Database, settings: Settings) -> None:
    """Keep house until cancelled, once at the start and then hourly; a failure is logged and tried again."""
    while True:
        try:
            await purge_log(database, settings.log_retention_days)
            if isinstance(database, SqliteDatabase):
                await database.optimize()
        except Exception:
            logger.exception("housekeeping failed and will be tried again in an hour")
        await asyncio.sleep(EVERY)


async def purge_log(database: Database, days: int) -> int:
    """Remove log entries older than the retention, a batch a transaction so that nobody waits; give how many went."""
    until = clock.milliseconds() / 1000 - days * 86400
    removed = 0
    for tenant in await database.read(tenants.all_of):
        while True:
            gone = await database.write(
                lambda connection, tenant=tenant: provisioning_log.purge(  # type: ignore[misc]
                    connection, tenant.id, until, count=BATCH
                )
            )
            removed += gone
            if gone < BATCH:
                break
            await asyncio.sleep(0)
    return removed
