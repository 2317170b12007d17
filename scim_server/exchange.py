"""One request as the endpoints see it, and their answer: plain values, no framework."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import orjson

from scim_server.errors import ScimError, invalid_syntax, invalid_value

LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
MAX_PARAMETERS = 50
SHALLOW = 100
NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
HUGE = re.compile(rb"[\[:,\s]-?\d{19,5000}\s*[,}\]]")
# Bodies are looked through for a plain text first: that takes a twentieth of what the patterns take.
ESCAPED_NUL, AS_ZEROS, ZEROS = rb"\u0000", bytes.maketrans(b"123456789", b"0" * 9), b"0" * 19
SEARCH_REQUEST = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost; settings of the operator."""

    body_bytes: int = 8 * 1024 * 1024
    url_bytes: int = 16 * 1024
    page_size: int = 100
    max_page_size: int = 1000
    bulk_operations: int = 1000


@dataclass(slots=True)
class Call:
    """A request: where it went, with what, and under which address this service is known."""

    method: str
    base: str
    key: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    limits: Limits

    @property
    def base_bytes(self) -> bytes:
        """The service's address, as documents take it."""
        return self.base.encode()

    def json(self) -> Any:
        """Read the body as JSON. Raises ScimError invalidSyntax."""
        return read_json(self.body)


@dataclass(slots=True)
class Answer:
    """A status, a body, and what the provisioning log is to say about a write."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    target_id: str | None = None
    changed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Attributes that were left out: a warning in the log."""


def read_json(body: bytes) -> Any:
    """Read JSON that both databases can hold. Raises ScimError invalidSyntax, invalidValue."""
    if not body.strip():
        raise invalid_syntax("The request needs a JSON body.")
    try:
        value = orjson.loads(body)
    except ValueError as error:
        raise invalid_syntax(f"The body is not valid JSON: {error}.") from None
    # PostgreSQL cannot hold NUL in text.
    if ESCAPED_NUL in body and NUL.search(body):
        raise invalid_value("body", "a text holds a NUL character, which cannot be stored.")
    if body.count(b"{") + body.count(b"[") > SHALLOW:
        _require_shallow(value)
    if ZEROS in body.translate(AS_ZEROS) and HUGE.search(body):
        _require_exact(body)
    return value


def _require_shallow(value: Any) -> None:
    """Refuse what is nested deeper than it could be written again."""
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        raise invalid_syntax("The body is nested too deep.") from None


def _require_exact(body: bytes) -> None:
    """Refuse a whole number that would come back as another one: more than 64 bits are read as a float."""

    def exact(digits: str) -> int:
        number = int(digits)
        if not -(2**63) <= number < 2**64:
            raise invalid_value("body", f"the number {digits[:40]} is too large to be kept exactly; send it as text.")
        return number

    try:
        json.loads(body, parse_int=exact)
    except (ValueError, RecursionError):
        raise invalid_syntax("The body cannot be read.") from None


def query_of(raw: bytes) -> dict[str, str]:
    """Read a query string; names in any case, the first of each counts. A bare `aadOptscim062020` is no parameter.

    Raises ScimError invalidValue for text that is not UTF-8.
    """
    found: dict[str, str] = {}
    try:
        # A Tenant URL that carries a flag may leave a question mark too many (entra rule 25).
        for pair in raw.decode("ascii").lstrip("?").split("&", MAX_PARAMETERS):
            name, _, value = pair.partition("=")
            if name:
                found.setdefault(_decoded(name).lower(), _decoded(value))
    except ValueError:
        raise ScimError(400, "invalidValue", "The query string cannot be read as percent-encoded UTF-8.") from None
    return found


def _decoded(text: str) -> str:
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text
