"""How much came in and how it ended, as bars: of the last days, the last hours, or the last minutes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from app_core import clock, provisioning_log
from app_core.clock import Stamp
from app_core.work import Work

OUTCOMES = {"success": "good", "skipped": "good", "warning": "warn", "failure": "bad"}


class Span(NamedTuple):
    """A span of time: its word, how many bars it has, how many seconds each is, and as much of a stamp as names it."""

    word: str
    bars: int
    seconds: float
    width: int


class Bar(NamedTuple):
    """What came in during one part of a span."""

    begins_at: Stamp
    good: int
    warn: int
    bad: int
    counted: bool
    """Whether all of it was counted: of a log that is too long, only the newest entries are."""

    @property
    def total(self) -> int:
        """Count all of it."""
        return self.good + self.warn + self.bad


class Chart(NamedTuple):
    """Bars, oldest first."""

    span: str
    bars: Sequence[Bar]
    cut: bool
    """Whether older entries of the span were left out."""

    @property
    def highest(self) -> int:
        """Give the height of the highest bar."""
        return max([bar.total for bar in self.bars])

    @property
    def totals(self) -> Mapping[str, int]:
        """Sum up all bars."""
        return {kind: sum([getattr(bar, kind) for bar in self.bars]) for kind in ("good", "warn", "bad")}


SPANS = {
    "fortnight": Span("14 days", 14, 86400.0, 10),
    "day": Span("24 hours", 24, 3600.0, 13),
    "hour": Span("60 minutes", 60, 60.0, 16),
}


def chart(work: Work, asked: str) -> Chart:
    """Chart a span; where none is asked for, the longest of which all is counted."""
    if asked in SPANS:
        return _chart(work, asked)
    since = provisioning_log.counted_since(work)
    whole = [name for name, span in SPANS.items() if _first(work, span) > since]
    return _chart(work, whole[0] if whole else "hour")


def _first(work: Work, span: Span) -> float:
    """Give the beginning of the first bar, in epoch seconds."""
    return clock.seconds(work.now) // span.seconds * span.seconds - (span.bars - 1) * span.seconds


def _chart(work: Work, name: str) -> Chart:
    span = SPANS[name]
    first = _first(work, span)
    counts: dict[str, dict[str, int]] = {}
    for part, outcome, count in provisioning_log.activity(work, first, span.width):
        kinds = counts.setdefault(part, dict.fromkeys(("good", "warn", "bad"), 0))
        kinds[OUTCOMES[outcome]] += count
    cut = sum([sum(kinds.values()) for kinds in counts.values()]) >= provisioning_log.LOOKED_THROUGH
    oldest = min(counts, default="")
    bars = []
    for at in range(span.bars):
        begins_at = clock.stamp(first + at * span.seconds)
        part = begins_at[: span.width]
        kinds = counts.get(part, {})
        tall = [kinds.get(kind, 0) for kind in ("good", "warn", "bad")]
        bars.append(Bar(begins_at, tall[0], tall[1], tall[2], not cut or part > oldest))
    return Chart(name, bars, cut)
