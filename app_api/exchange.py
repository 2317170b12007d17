"""One request as the endpoints see it, and their answer: plain values, no framework."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar
from urllib.parse import unquote_plus

from pydantic import WithJsonSchema

from app_api.problems import Problem, invalid_parameter
from app_core.errors import Stale
from app_core.ports import Courier, EntraDirectory, Mail, require_entra
from app_core.sealing import Sealer
from app_core.work import Work

T = TypeVar("T")
Instant = Annotated[str, WithJsonSchema({"type": "string", "format": "date-time"})]
"""An instant as the core keeps it: RFC 3339 in UTC, with milliseconds."""
MAX_PARAMETERS = 50
DEFAULT_LIMIT, MAX_LIMIT = 50, 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may cost; settings of the operator."""

    body_bytes: int = 8 * 1024 * 1024
    url_bytes: int = 16 * 1024


@dataclass(slots=True)
class Call:
    """A request: where it went and with what."""

    method: str
    route: str
    """The path of the table that answers it: `/teams/{id}`."""
    path: str
    keys: Mapping[str, str]
    """What stands in the path's braces."""
    headers: Mapping[str, str]
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    public_url: str = ""
    """The address of this server, without this door's prefix."""
    can_mail: bool = False
    """Whether this server sends mail."""
    entra: EntraDirectory | None = None
    """The directories of customers; None where no Entra application is named."""
    courier: Courier | None = None
    """Brings messages to webhooks."""
    sealer: Sealer | None = None
    """Seals their secrets; None where no key is set."""

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.keys["id"]

    @property
    def media_type(self) -> str:
        """What the body says it is, without parameters; empty when it says nothing."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    def require_entra(self) -> EntraDirectory:
        """Give the directories of customers. Raises NotPossible where no Entra application is named."""
        return require_entra(self.entra)

    def require_courier(self) -> Courier:
        """Give who brings messages to webhooks."""
        assert self.courier is not None
        return self.courier

    def require_version(self, version: int) -> None:
        """Refuse a change of a version that the client has not seen (RFC 9110 §13.1.1). Raises Stale."""
        given = self.headers.get("if-match")
        if given is None or given.strip() == "*":
            return
        # Versions are weak, and a client may leave the W/ out: what counts is the number.
        if f'"{version}"' not in [each.strip().removeprefix("W/") for each in given.split(",")]:
            raise Stale("It has changed since it was read (If-Match): read it again, then change it.")


@dataclass(slots=True)
class Answer(Generic[T]):
    """A status, a body, and what the provisioning log is to say about a write."""

    status: int
    body: T
    target_id: str | None = None
    changed: list[str] | None = None
    """Names of what a change changed, where it can have changed nothing: the empty list says so."""
    version: int | None = None
    location: str | None = None
    """The path of what was made, below this door."""
    mail: Mail | None = None
    """A letter to send once all is stored."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list; `next` goes into `after` to read on, and is null at the end."""

    items: list[T]
    next: str | None


@dataclass(frozen=True, slots=True)
class Image:
    """A body that is not JSON."""

    media_type: str
    data: bytes
    hash: str


@dataclass(frozen=True, slots=True)
class Lines:
    """A text to save, of any length: its first part, and how to read on from a position, each in a transaction."""

    media_type: str
    file_name: str
    first: bytes
    following: int | None
    """The position to read on from; None: the first part is all."""
    read: Callable[[Work, int], tuple[bytes, int | None]]


def gone(target_id: str) -> Answer[None]:
    """Answer a DELETE."""
    return Answer(204, None, target_id)


def query_of(raw: bytes) -> dict[str, str]:
    """Read a query string, strictly: each parameter once, as percent-encoded UTF-8, and no NUL. Raises Problem."""
    found: dict[str, str] = {}
    try:
        pairs = [pair.partition("=") for pair in raw.decode("ascii").split("&", MAX_PARAMETERS) if pair]
        decoded = [(_decoded(name), _decoded(value)) for name, _, value in pairs]
    except ValueError:
        raise Problem("invalid", "The query string cannot be read as percent-encoded UTF-8.") from None
    for name, value in decoded:
        if "\0" in name or "\0" in value:
            raise invalid_parameter((name.replace("\0", "")[:100], "it holds a NUL character"))
        if name in found:
            raise invalid_parameter((name[:100], "it is given more than once"))
        found[name] = value
    return found


def _decoded(text: str) -> str:
    return unquote_plus(text, errors="strict") if "%" in text or "+" in text else text
