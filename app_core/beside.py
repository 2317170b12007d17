"""Small writes beside requests: that a secret or a session was used, noted at most once a minute, delaying nobody."""

import asyncio
from collections.abc import Callable
from typing import Any

from app_core import clock
from app_core.db import Connection, Database

NOTE_EVERY = 60.0
MOST_KEPT = 10_000
"""So many keys are remembered; then all are forgotten, which costs one write more each."""


class Uses:
    """What one door notes of those who come through it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[str, float] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def note(self, key: str, write: Callable[[Connection], Any]) -> None:
        """Note a use in a transaction of its own, beside the request, unless that was done within the last minute."""
        ticks = clock.ticks()
        if ticks - self._noted.get(key, -NOTE_EVERY) < NOTE_EVERY:
            return
        if len(self._noted) > MOST_KEPT:
            self._noted.clear()
        self._noted[key] = ticks
        task = asyncio.create_task(self._database.write(write))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Finish what still runs."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
