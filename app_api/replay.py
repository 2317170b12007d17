"""Idempotency-Key: a POST that is sent again gets the answer that it got before, and nothing is done twice.

The key is claimed in the transaction of the change, so two at once are one after the other. What is refused leaves no
trace of its key: the request may be sent again.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import orjson

from app_api.exchange import Call
from app_api.problems import Problem, invalid_parameter
from app_core import idempotency
from app_core.api_keys import KeyCaller
from app_core.db import Connection
from app_core.work import Work

LONGEST = 255


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes out: a status, bytes, headers."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    more: "More | None" = None
    """What goes out behind the body."""


@dataclass(frozen=True, slots=True)
class More:
    """The rest of a long answer: from which position on, and how to read a part and the position behind it."""

    position: int
    read: Callable[[Connection, int], tuple[bytes, int | None]]


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that stands for this request: with the answer it got before, or to be kept with the one it gets."""

    key_id: str
    key: str
    once: bool
    reply: Reply | None

    def keep(self, work: Work, reply: Reply) -> None:
        """Keep the answer for the next time, unless it shows a secret."""
        body = None if self.once else orjson.dumps(reply.headers) + b"\n" + reply.body
        idempotency.store(work, self.key_id, self.key, reply.status, body)

    def drop(self, work: Work) -> None:
        """Give the key back: the request was refused."""
        idempotency.forget(work, self.key_id, self.key)


def claim(work: Work, caller: KeyCaller, call: Call, *, once: bool) -> Claim | None:
    """Claim the key of a POST that names one. Raises Problem, and Conflict where it stands for another request."""
    key = call.headers.get("idempotency-key")
    if key is None or call.method != "POST":
        return None
    if not 0 < len(key) <= LONGEST or not key.isascii() or not key.isprintable():
        raise invalid_parameter(("Idempotency-Key", f"expected 1 to {LONGEST} printable ASCII characters"))
    stored = idempotency.find(work, caller.key_id, key, f"{call.method} {call.path}\n".encode() + call.body)
    if stored is None:
        return Claim(caller.key_id, key, once, None)
    if stored.body is None:
        raise Problem(
            "already-done",
            "This request was carried out before, and its answer showed a secret, which is kept nowhere. "
            "Ask for a new one with another Idempotency-Key.",
        )
    headers, _, body = stored.body.partition(b"\n")
    return Claim(
        caller.key_id, key, once, Reply(stored.status, body, {**orjson.loads(headers), "Idempotent-Replayed": "true"})
    )
