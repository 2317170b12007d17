"""What answers one method of one path, and what it may give: a page, a redirect or a file."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

from admin_console.ports import Ports
from admin_console.request import Request
from app_core.db import Connection
from app_core.ports import Mail


class Who(StrEnum):
    """Who may ask."""

    ANYONE = "anyone"
    MEMBER = "member"
    ADMINISTRATOR = "administrator"
    """Administrators of the tenant, and operators who have chosen it."""
    STAFF = "staff"
    """Administrators and operators, whether a tenant is chosen or not."""
    OPERATOR = "operator"


@dataclass(slots=True)
class Said:
    """What the provisioning log is to say of a write beside its action."""

    target_id: str | None = None
    changed: Sequence[str] | None = None
    """Names of what changed, where it can have been nothing."""
    mail: Mail | None = None
    """A letter to send once all is stored."""
    cookies: Mapping[str, str | None] = field(default_factory=dict)
    """Cookies to set (or, with None, to take away) by their names in `guard`."""


@dataclass(slots=True)
class Page(Said):
    """A page: its file below html/, and what it shows. `facts` hold the title, too."""

    file: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200
    pictures: Sequence[str] = ()
    """Pictures of other hosts that it shows: the logos of templates."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers beside those of every page."""


@dataclass(slots=True)
class Redirect(Said):
    """Go on to another page, which says what was done."""

    to: str = "/console"
    done: str | None = None
    """A sentence for the next page: "The team was renamed."."""


@dataclass(slots=True)
class File(Said):
    """Bytes that are no page."""

    media_type: str = "application/octet-stream"
    data: bytes = b""
    name: str | None = None
    """The name to save it under; None to show it."""
    etag: str | None = None
    cache: str = "no-store"


Answer: TypeAlias = Page | Redirect | File


@dataclass(frozen=True)
class Endpoint:
    """A function `answer(scope, request)`, and what the door must know of it.

    The scope is a `Work` of the tenant, or a bare connection where no tenant is known (ANYONE, STAFF, OPERATOR).
    """

    answer: Callable[[Any, Request], Answer]
    who: Who = Who.ADMINISTRATOR
    action: str = ""
    """What a write is called in the provisioning log; empty where it is not told (sign-in has its own)."""
    kind: str = ""
    """What the action is done to: the target type of the log."""
    writes: bool = False
    """Whether a GET of it needs a transaction that may write."""
    tenant: Callable[[Connection, Request], str] | None = None
    """Of what anybody may ask: finds the tenant that it is about, so that the scope is a `Work` in it."""
    before: Callable[[Any, Request], Any] | None = None
    """Reads what `fetch` needs, in a unit of work of its own."""
    fetch: Callable[[Ports, Request, Any], Awaitable[Any]] | None = None
    """Asks the world outside, between two transactions; what it gives is `request.fetched`."""
    again: "Endpoint | None" = None
    """Shows the form once more, with what was typed, where a write is refused: for forms that answer with a page."""
    limited: bool = False
    """Whether one address may ask this only so often."""


def page(
    file: str,
    title: str,
    *,
    status: int = 200,
    target_id: str | None = None,
    pictures: Sequence[str] = (),
    headers: Mapping[str, str] | None = None,
    **facts: Any,
) -> Page:
    """Make a page."""
    return Page(
        file=file,
        facts={"title": title, **facts},
        status=status,
        target_id=target_id,
        pictures=pictures,
        headers=headers or {},
    )


def done(to: str, sentence: str | None = None, *, target_id: str | None = None, **said: Any) -> Redirect:
    """Go on to a page, which says what was done."""
    return Redirect(to=to, done=sentence, target_id=target_id, **said)
