"""Identifiers that sort by the time they were made (UUID version 7, RFC 9562 §5.7)."""

import os

from app_core import clock


def new_id() -> str:
    """Make an identifier: 48 bits of milliseconds, then 74 random bits."""
    head = (clock.milliseconds() << 16 | 0x7000 | int.from_bytes(os.urandom(2)) & 0x0FFF).to_bytes(8)
    text = (head + (int.from_bytes(os.urandom(8)) & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000).to_bytes(8)).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def first_id_of(seconds: float) -> str:
    """Give the lowest identifier that could have been made at an instant, in seconds since the epoch."""
    text = f"{max(0, int(seconds * 1000)):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"
