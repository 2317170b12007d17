"""The one place that asks what time it is."""

import calendar
import time

Stamp = str
"""An instant in UTC as fixed-width RFC 3339 text with milliseconds: sorts as time and leaves as it is stored."""


def now() -> Stamp:
    """Say the present instant, e.g. ``2026-11-24T18:27:59.123Z``."""
    return stamp(time.time())


def stamp(seconds: float) -> Stamp:
    """Write seconds since the epoch as a stamp."""
    whole, fraction = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction:03d}Z"


def seconds(instant: Stamp) -> float:
    """Read a stamp as seconds since the epoch."""
    return calendar.timegm(time.strptime(instant[:19], "%Y-%m-%dT%H:%M:%S")) + int(instant[20:23]) / 1000


def later(seconds: float) -> Stamp:
    """Say the instant that lies some seconds ahead (or behind, when negative)."""
    return stamp(time.time() + seconds)


def ticks() -> float:
    """Read a clock that only measures spans, in seconds."""
    return time.perf_counter()


def milliseconds() -> int:
    """Count milliseconds since the epoch, for identifiers that sort by time."""
    return time.time_ns() // 1_000_000
