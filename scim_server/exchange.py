"""One request as the endpoints see it, and their answer: plain values, no framework."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import orjson

from scim_server.errors import ScimError, invalid_syntax, invalid_value

LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
MAX_PARAMETERS = 50
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
    # PostgreSQL cannot hold NUL in text. The escape is looked for first: parsing again is for suspects only.
    if b"\\u0000" in body and _holds_nul(value):
        raise invalid_value("body", "a text holds a NUL character, which cannot be stored.")
    return value


def _holds_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in name or _holds_nul(held) for name, held in value.items())
    return isinstance(value, list) and any(_holds_nul(each) for each in value)


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
