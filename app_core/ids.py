"""Identifiers that sort by the time they were made (UUID version 7, RFC 9562 §5.7)."""

import itertools
import os

from app_core import clock

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
PROCESS = os.urandom(8).hex()
COUNTER = itertools.count()


def new_id() -> str:
    """Make an identifier: 48 bits of milliseconds, then 74 random bits."""
    head = (clock.milliseconds() << 16 | 0x7000 | int.from_bytes(os.urandom(2)) & 0x0FFF).to_bytes(8)
    text = (head + (int.from_bytes(os.urandom(8)) & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000).to_bytes(8)).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_short_id() -> str:
    """Make an identifier for the few things whose id stands in front of every key: 12 letters and digits, 60 bits."""
    number = int.from_bytes(os.urandom(8)) >> 4
    return "".join(ALPHABET[number >> 5 * at & 31] for at in range(12))


def new_correlation_id() -> str:
    """Make an identifier for one request: cheap, unique among all processes, and saying nothing."""
    return f"{PROCESS}-{next(COUNTER):08x}"


def first_id_of(seconds: float) -> str:
    """Give the lowest identifier that could have been made at an instant, in seconds since the epoch."""
    text = f"{max(0, int(seconds * 1000)):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"
