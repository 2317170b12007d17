"""The relay: sends events to webhooks, one webhook at a time by its lease, on any replica, until it is told to stop."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app_core import clock, deliveries, webhooks
from app_core.db import Connection, Database
from app_core.deliveries import Batch, Item
from app_core.errors import Stale
from app_core.ports import Message, Receipt, Trouble
from app_core.sealing import SealBroken, Sealer
from runtime.courier import HttpCourier

if TYPE_CHECKING:
    from runtime.webhook_line import WebhookLine

logger = logging.getLogger(__name__)
PAUSE = 0.25
"""Seconds between two looks while there is nothing to send."""
WEBHOOKS_AT_ONCE = 8
SUBJECTS_AT_ONCE = 8
"""How many messages are on their way to one receiver at once, each about another subject."""
MOST_FAILURES = 5
"""After so many failures in a row the rest of a batch is left for later."""
BATCH_SECONDS = 20.0
"""No message is begun later than that; with the last one under way it stays within the lease."""


async def run(database: Database, courier: HttpCourier, sealer: Sealer | None) -> None:
    """Send until cancelled; a failure of the database is logged, and the relay goes on."""
    free = asyncio.Semaphore(WEBHOOKS_AT_ONCE)
    async with asyncio.TaskGroup() as group:
        while True:
            await free.acquire()
            batch = await _next(database)
            if batch is None:
                free.release()
                await asyncio.sleep(PAUSE)
            else:
                task = group.create_task(_carry_out(database, courier, sealer, batch))
                task.add_done_callback(lambda _: free.release())


async def _next(database: Database) -> Batch | None:
    try:
        # Nearly always there is nothing, and looking takes no lock.
        if await database.read(deliveries.is_any_due):
            return await database.write(deliveries.take)
    except Exception:
        logger.exception("the relay could not go on; it will look again")
    return None


async def _carry_out(database: Database, courier: HttpCourier, sealer: Sealer | None, batch: Batch) -> None:
    """Send a batch and write down what came of it, also when told to stop in the middle."""
    webhook_id, sending = batch.webhook.id, Sending(batch)
    try:
        try:
            sending.secrets = webhooks.secrets_of(batch.webhook, sealer, clock.now())
        except SealBroken as broken:
            logger.warning("webhook %s: %s", webhook_id, broken.sentence)
            await database.write(lambda connection: deliveries.record_broken(connection, batch))
            return
        try:
            if batch.chains:
                async with courier.line(batch.webhook.url) as line:
                    await sending.run(line)
        except asyncio.CancelledError:
            # What was taken need not be sent again.
            await asyncio.shield(database.write(sending.record))
            raise
        await database.write(sending.record)
    except Stale:
        logger.info("webhook %s was taken over", webhook_id)
    except Exception:
        # Nothing is written down: once the lease is over, all of it is sent again.
        logger.exception("a batch for webhook %s could not be sent, or what came of it not be written down", webhook_id)


class Sending:
    """A batch on its way."""

    def __init__(self, batch: Batch) -> None:
        self.secrets: Sequence[str] = ()
        self.receipts: dict[int, Receipt] = {}
        self._batch = batch
        self._failures = 0
        self._over = False
        self._began = clock.ticks()

    async def run(self, line: "WebhookLine") -> None:
        """Send what is to be sent: those of one subject one after the other, several subjects side by side."""
        places = asyncio.Semaphore(SUBJECTS_AT_ONCE)

        async def send(chain: Sequence[Item]) -> None:
            async with places:
                await self._chain(line, chain)

        async with asyncio.TaskGroup() as group:
            for chain in self._batch.chains:
                group.create_task(send(chain))

    async def _chain(self, line: "WebhookLine", chain: Sequence[Item]) -> None:
        for item in chain:
            if self._over or clock.ticks() - self._began > BATCH_SECONDS:
                return
            event = item.event
            receipt = await line.send(Message(event.id, deliveries.body_of(event), self.secrets))
            self.receipts[event.position] = receipt
            self._count(receipt)
            if receipt.trouble is not None:
                return

    def _count(self, receipt: Receipt) -> None:
        """End the batch where going on would do no good: the receiver is away, is gone, or wants a pause."""
        self._failures = 0 if receipt.trouble is None else self._failures + 1
        if self._failures >= MOST_FAILURES or receipt.trouble is Trouble.GONE or receipt.wait:
            self._over = True

    def record(self, connection: Connection) -> None:
        """Write down what came of it."""
        deliveries.record(connection, self._batch, self.receipts)
