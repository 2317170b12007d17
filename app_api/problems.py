"""Refusals as problem details (RFC 9457), and the one table from the code of a refusal to its status and title."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import orjson

from app_core import clock
from app_core.errors import DomainError

MEDIA_TYPE = "application/problem+json"
PROBLEMS: Mapping[str, tuple[int, str]] = {
    "already-done": (409, "Already carried out"),
    "busy": (503, "Too busy"),
    "conflict": (409, "The value is taken"),
    "forbidden": (403, "The API key may not do this"),
    "graph": (502, "Microsoft Graph gave no answer that can be used"),
    "graph-refused": (409, "Microsoft refuses"),
    "graph-unavailable": (503, "Microsoft cannot be had right now"),
    "idempotency-key-reused": (422, "The Idempotency-Key belongs to another request"),
    "internal": (500, "The server failed"),
    "invalid": (400, "The request cannot be taken as it is"),
    "method-not-allowed": (405, "There is no such method here"),
    "missing-fields": (400, "Fields of the card could never be filled"),
    "not-found": (404, "There is no such thing"),
    "mail-not-sent": (409, "The mail server did not take the letter"),
    "not-possible": (409, "This is not possible in this state"),
    "refused": (409, "Refused"),
    "stale": (412, "Changed in the meantime"),
    "still-holds": (409, "It still holds other things"),
    "team-has-logins": (409, "The team still holds logins"),
    "too-large": (413, "The body is too large"),
    "unauthenticated": (401, "No live API key"),
    "unsupported-media-type": (415, "The body is of another kind"),
    "uri-too-long": (414, "The URL is too long"),
    "wrong-code": (400, "The code or link does not hold"),
}
HEADERS: Mapping[int, Mapping[str, str]] = {
    401: {"WWW-Authenticate": 'Bearer realm="api"'},
    503: {"Retry-After": "5"},
}
PLAIN = frozenset({"still-holds", "team-has-logins", "graph", "graph-refused", "graph-unavailable"})
"""Codes whose sentences name nothing personal but what the administrator must read: a team, a permission."""
MOST_ERRORS = 50


class Problem(Exception):
    """A refusal of this door: a code of the table, and a sentence that says what to do."""

    def __init__(self, code: str, detail: str, **facts: Any) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.facts = facts
        self.status, self.title = PROBLEMS[code]
        self.headers: dict[str, str] = dict(HEADERS.get(self.status, {}))
        self.plain = False
        """Whether the sentence names nothing personal, so that a log may hold it as it is."""

    def body(self, public_url: str, instance: str) -> bytes:
        """Give the problem as JSON; `instance` is the id of the request, which the log knows as well."""
        return orjson.dumps(
            {
                **self.facts,
                "type": f"{public_url}/problems/{self.code}",
                "title": self.title,
                "status": self.status,
                "detail": self.detail,
                "instance": instance,
            }
        )


def from_domain(error: DomainError) -> Problem:
    """Put a refusal of the core into this door's words; a code that is not in the table stands for its parent's."""
    codes = [kind.code for kind in type(error).__mro__ if issubclass(kind, DomainError)]
    problem = Problem(next(code for code in codes if code in PROBLEMS), error.sentence, **error.facts)
    problem.plain = problem.code in PLAIN
    if "retry_at" in error.facts:
        seconds = clock.seconds(error.facts["retry_at"]) - clock.milliseconds() / 1000
        problem.headers["Retry-After"] = str(max(1, ceil(seconds)))
    return problem


def invalid(*errors: tuple[str, str]) -> Problem:
    """Refuse members of a body, each named by a JSON pointer (RFC 6901): `("/name", "expected text")`."""
    return _invalid("pointer", errors)


def invalid_parameter(*errors: tuple[str, str]) -> Problem:
    """Refuse parameters of the query or headers, each by its name."""
    return _invalid("parameter", errors)


def _invalid(place: str, errors: tuple[tuple[str, str], ...]) -> Problem:
    shown = [{place: where, "detail": text} for where, text in errors[:MOST_ERRORS]]
    detail = "; ".join([f"{where.lstrip('/') or 'the body'}: {text}" for where, text in errors[:3]])
    more = f"; and {len(errors) - 3} more" if len(errors) > 3 else ""
    return Problem("invalid", f"{detail}{more}.", errors=shown)
