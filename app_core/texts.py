"""Texts that people type: what can be stored of them, and how they are kept."""

import re

from app_core.errors import Invalid

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
ADDRESS = re.compile(r"[^\s@]+@[^\s@]+")
LONGEST_ADDRESS = 254
"""RFC 5321 §4.5.3.1.3, without the angle brackets."""


def line(name: str, text: str, most: int) -> str:
    """Give one line of text as it is kept, without space around it. Raises Invalid, naming what it is."""
    text = text.strip()
    if not text:
        raise Invalid(f"{name}: it is empty.")
    if len(text) > most:
        raise Invalid(f"{name}: it has {len(text)} characters; at most {most} are kept.")
    if CONTROL.search(text):
        raise Invalid(f"{name}: it holds a line break or another control character.")
    return text


def address(name: str, text: str) -> str:
    """Give an e-mail address as it is kept. Raises Invalid for what cannot be one."""
    text = line(name, text, LONGEST_ADDRESS)
    if not ADDRESS.fullmatch(text):
        raise Invalid(f"{name}: this is no e-mail address; write it like name@example.com.")
    return text


def opaque(name: str, text: str, most: int) -> str:
    """Give a text just as it came. Raises Invalid when it cannot be stored: too many bytes, or a NUL character."""
    if "\0" in text:
        raise Invalid(f"{name}: it holds a NUL character, which cannot be stored.")
    if len(text) * 4 > most and len(text.encode()) > most:
        raise Invalid(f"{name}: it is longer than {most} bytes.")
    return text
