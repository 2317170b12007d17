"""Identifiers that sort by the time they were made (UUID version 7, RFC 9562 §5.7)."""

import itertools
import os
from collections.abc import Iterable

from app_core import clock

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PROCESS = os.urandom(8).hex()
COUNTER = itertools.count()


class Ascending:
    """48 bits of milliseconds, 12 that count within one: they start at random below half (RFC 9562 §6.2 method 1)."""

    last = 0

    def next(self) -> int:
        """Give the next number: a higher one also when the clock goes back or a millisecond has no number left."""
        fresh = clock.milliseconds() << 12 | int.from_bytes(os.urandom(2)) >> 5
        self.last = number = max(fresh, self.last + 1)
        return number


HEADS = Ascending()


def new_id() -> str:
    """Make an identifier that sorts behind all that this process has made: 60 ascending bits, then 62 random ones."""
    head, rest = HEADS.next(), int.from_bytes(os.urandom(8)) >> 2
    text = f"{head >> 12:012x}7{head & 0xFFF:03x}{0x8000000000000000 | rest:016x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_short_id() -> str:
    """Make an identifier for the few things whose id stands in front of every key: 12 letters and digits, 60 bits."""
    number = int.from_bytes(os.urandom(8)) >> 4
    return "".join(ALPHABET[number >> 5 * at & 31] for at in range(12))


def new_correlation_id() -> str:
    """Make an identifier for one request: cheap, unique among all processes, and saying nothing."""
    return f"{PROCESS}-{next(COUNTER):08x}"


def correlation_id_of(given: Iterable[str | None]) -> str:
    """Take the first plain request id that a caller gave, so that both sides find the request; else make one."""
    for each in given:
        if each and len(each) <= 64 and each.replace("-", "").isalnum() and each.isascii():
            return each
    return new_correlation_id()


def first_id_of(seconds: float) -> str:
    """Give the lowest identifier that could have been made at an instant, in seconds since the epoch."""
    text = f"{max(0, int(seconds * 1000)):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"


def seconds_of(key: str) -> float:
    """Say when an identifier was made, in seconds since the epoch."""
    return int(key[:8] + key[9:13], 16) / 1000
