"""The simulator's time: the machine's, and for everything but tokens it can be put forward."""

import calendar
import time


class Clock:
    """What time it is in the directory. Tokens follow the machine, because their readers do."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def seconds(self) -> float:
        """Say the directory's time, in seconds since the epoch."""
        return self.machine_seconds() + self._ahead

    def machine_seconds(self) -> int:
        """Say the machine's time, in whole seconds since the epoch."""
        return calendar.timegm(time.gmtime())

    def now(self) -> str:
        """Say the directory's time as Graph writes it."""
        return written(self.seconds())

    def advance(self, seconds: float) -> None:
        """Put the directory's time forward: delta tokens age, escrows fall due."""
        self._ahead += seconds


def written(seconds: float) -> str:
    """Write seconds since the epoch as Graph does: `2026-01-01T00:00:00Z`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
