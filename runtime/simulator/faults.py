"""What goes wrong on purpose: each fault strikes the requests it fits, a number of times or by chance."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class FaultKind(StrEnum):
    """The ways in which an answer can fail or mislead. The login face knows slow, timeout, throttle and error."""

    THROTTLE = "throttle"
    """429 with Retry-After; what asks again before that is refused again, and counted as impatient. (Requests that were
    under way already when it began count as well: a client that makes one at a time is exact.)"""
    ERROR = "error"
    """A 5xx (`status`), with `retry_after` when given, in Graph's form or as a gateway's page (`html`)."""
    SLOW = "slow"
    """The right answer after `seconds`."""
    TIMEOUT = "timeout"
    """Nothing for `seconds` (30), then a connection that breaks."""
    TRUNCATE = "truncate"
    """An answer that breaks off in the middle, and the connection with it."""
    GARBAGE = "garbage"
    """200 with a page of HTML instead of JSON."""
    UNAUTHORIZED = "unauthorized"
    """401: the token is not taken any more."""
    FORBIDDEN = "forbidden"
    """403: a permission is missing."""
    EXPIRED = "expired"
    """400 syncStateNotFound where a delta or skip token is used."""
    GONE = "gone"
    """410 with a Location from which to begin anew, where a delta or skip token is used."""
    EXPIRED_PAGE = "expired_page"
    """400 Directory_ExpiredPageToken where a skip token is used: a round or listing that breaks off."""
    EMPTY_PAGE = "empty_page"
    """A page without items and with a nextLink; what belonged on it comes after."""
    DUPLICATE = "duplicate"
    """A page with some items of its round for a second time."""
    REORDER = "reorder"
    """A page whose items are in another order."""
    REPLAY = "replay"
    """A page that was served before, and a nextLink to where it goes on."""
    SHORT_LISTING = "short_listing"
    """A page without its nextLink or deltaLink: it looks as if it were the last."""
    FOREIGN_LINK = "foreign_link"
    """A nextLink that leads to another host."""
    PART = "part"
    """In `$batch`: a part that fails with `status`."""


SHAPES = frozenset(
    {
        FaultKind.EMPTY_PAGE,
        FaultKind.DUPLICATE,
        FaultKind.REORDER,
        FaultKind.REPLAY,
        FaultKind.SHORT_LISTING,
        FaultKind.FOREIGN_LINK,
    }
)
"""What only pages can suffer."""
TOKENS = frozenset({FaultKind.EXPIRED, FaultKind.GONE, FaultKind.EXPIRED_PAGE})
"""What only requests with a token can suffer."""
PAGED = re.compile(r"/(?:users|groups)(?:/delta(?:\(\))?)?$|/(?:members|transitiveMembers)\b|/deletedItems/")


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request decides whether a fault fits it."""

    face: str
    path: str
    query: str
    in_batch: bool = False

    @property
    def has_delta_token(self) -> bool:
        """Whether a round begins that is not the first."""
        return "$deltatoken=" in self.query and "$deltatoken=latest" not in self.query

    @property
    def has_skip_token(self) -> bool:
        """Whether it asks for a further page."""
        return "$skiptoken=" in self.query


@dataclass(slots=True)
class Fault:
    """One fault that is switched on.

    `path` is a pattern searched in path and query; `skip` lets so many fitting requests pass first (the middle of a
    round); then it strikes `count` times, or for ever, each time with the probability `chance`.
    """

    kind: FaultKind
    path: str = ""
    face: str = "graph"
    count: int | None = 1
    chance: float = 1.0
    skip: int = 0
    seed: int = 0
    status: int = 503
    retry_after: int | None = None
    seconds: float = 1.0
    html: bool = False
    when: str = "any"
    """For expired tokens: `deltatoken` at the beginning of a round, `skiptoken` in the middle, or `any`."""
    struck: int = 0
    _random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)

    def strikes(self, asked: Asked) -> bool:
        """Say whether the fault strikes a request, and count it."""
        worn_out = self.count is not None and self.struck >= self.count
        if worn_out or not self._fits(asked):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if self.chance < 1.0 and self._random.random() >= self.chance:
            return False
        self.struck += 1
        return True

    def _fits(self, asked: Asked) -> bool:
        if asked.face != self.face or not re.search(self.path, f"{asked.path}?{asked.query}"):
            return False
        if self.kind in SHAPES:
            # The first page has none before it that could be replayed.
            return bool(PAGED.search(asked.path)) and (self.kind is not FaultKind.REPLAY or asked.has_skip_token)
        if self.kind is FaultKind.PART:
            return asked.in_batch
        if self.kind is FaultKind.EXPIRED_PAGE:
            return asked.has_skip_token
        if self.kind in TOKENS:
            delta = "/delta" in asked.path
            begins, goes_on = asked.has_delta_token, asked.has_skip_token
            return delta and {"deltatoken": begins, "skiptoken": goes_on}.get(self.when, begins or goes_on)
        return True


class Faults:
    """All faults that are switched on."""

    def __init__(self) -> None:
        self.active: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Switch one on."""
        self.active.append(fault)

    def clear(self) -> None:
        """Switch all off."""
        self.active.clear()

    def striking(self, asked: Asked) -> "Struck":
        """Give the faults that strike a request, at most one of each kind."""
        found: dict[FaultKind, Fault] = {}
        for fault in self.active:
            if fault.kind not in found and fault.strikes(asked):
                found[fault.kind] = fault
        return Struck(list(found.values()))


@dataclass(frozen=True, slots=True)
class Struck:
    """The faults that one request suffers."""

    faults: Sequence[Fault] = ()

    def get(self, kind: FaultKind) -> Fault | None:
        """Give the fault of a kind."""
        return next((fault for fault in self.faults if fault.kind is kind), None)

    def names(self) -> list[str]:
        """Name them for the list of requests."""
        return [fault.kind.value for fault in self.faults]
