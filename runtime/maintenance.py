"""Housekeeping beside the requests: what is too old goes, secrets get the present key, SQLite keeps its statistics."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from app_core import (
    clock,
    deliveries,
    idempotency,
    jobs,
    outbox,
    provisioning_log,
    sessions,
    sign_in_flows,
    tenants,
    webhooks,
)
from app_core.db import Connection, Database, SqliteDatabase
from app_core.sealing import Sealer
from runtime.settings import Settings

logger = logging.getLogger(__name__)
EVERY = 3600.0
BATCH = 500
DAY = 86400


Purge = Callable[[Connection, str], int]
"""Removes a batch of what is too old in a tenant; gives how many went."""


async def run(database: Database, settings: Settings, sealer: Sealer | None) -> None:
    """Keep house until cancelled, once at the start and then hourly; a failure is logged and tried again."""
    while True:
        try:
            for purge in purges(settings):
                await remove_old(database, purge)
            await remove_over(database)
            if sealer is not None:
                await reseal(database, sealer)
            if isinstance(database, SqliteDatabase):
                await database.optimize()
        except Exception:
            logger.exception("housekeeping failed and will be tried again in an hour")
        await asyncio.sleep(EVERY)


def purges(settings: Settings) -> Sequence[Purge]:
    """Say what goes when it is too old: log entries and jobs, events that had their place, answers for repeats."""
    log_until = clock.milliseconds() / 1000 - settings.log_retention_days * DAY
    events_until = clock.later(-settings.event_retention_days * DAY)
    return (
        lambda connection, tenant_id: provisioning_log.purge(connection, tenant_id, log_until, count=BATCH),
        lambda connection, tenant_id: deliveries.purge(connection, tenant_id, events_until, count=BATCH),
        lambda connection, tenant_id: outbox.purge(connection, tenant_id, events_until, count=BATCH),
        lambda connection, tenant_id: idempotency.purge(connection, tenant_id, count=BATCH),
        lambda connection, tenant_id: jobs.purge(connection, tenant_id, log_until, count=BATCH),
    )


async def remove_old(database: Database, purge: Purge) -> int:
    """Remove what is too old, a batch a transaction so that nobody waits; give how many went."""
    removed = 0
    for tenant in await database.read(tenants.all_of):
        removed += await _in_batches(database, lambda connection, key=tenant.id: purge(connection, key))  # type: ignore[misc]
    return removed


async def remove_over(database: Database) -> int:
    """Remove sessions, sign-in links and sign-ins under way that are over, whosever they are; give how many went."""
    now = clock.now()
    removed = await _in_batches(database, lambda connection: sessions.purge(connection, now, count=BATCH))
    return removed + await _in_batches(database, lambda connection: sign_in_flows.purge(connection, now, count=BATCH))


async def reseal(database: Database, sealer: Sealer) -> None:
    """Seal the secrets of webhooks under the first of the keys: once all are, the others may go from the settings."""
    changed = await database.write(lambda connection: webhooks.reseal(connection, sealer))
    if changed:
        logger.info("%d secrets were sealed anew", changed)


async def _in_batches(database: Database, purge: Callable[[Connection], int]) -> int:
    removed = 0
    while (gone := await database.write(purge)) >= BATCH:
        removed += gone
        await asyncio.sleep(0)
    return removed + gone
