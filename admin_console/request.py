"""A request as the pages see it: plain values, no framework."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app_core.sessions import Kind, Visitor
from app_core.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Upload:
    """A file of a form."""

    name: str
    data: bytes


@dataclass(slots=True)
class Request:
    """One request: where it went, with what, and who is there."""

    method: str
    path: str
    keys: Mapping[str, str]
    """What stands in the path's braces."""
    query: Mapping[str, str]
    correlation_id: str
    public_url: str
    cookies: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    lists: Mapping[str, list[str]] = field(default_factory=dict)
    """Every value of a field that a form names several times."""
    files: Mapping[str, Upload] = field(default_factory=dict)
    part: str | None = None
    """The part of the page that is asked for alone (htmx: the id of the element that it goes into)."""
    htmx: bool = False
    polled: bool = False
    """Whether an open page asks by itself: that is no use of the session, which ends when nobody is there."""
    held: str = ""
    """What the browser holds already (If-None-Match)."""
    agent: str = ""
    """What browser it says it is, shortened: for the list of sessions."""
    can_mail: bool = False
    """Whether this server sends mail."""
    keeps_letters: bool = False
    """Whether letters are kept to be read here, in place of being sent."""
    can_sign_in: bool = False
    """Whether people sign in with Microsoft here."""
    secret: str | None = field(default=None, repr=False)
    """What the session cookie holds."""
    visitor: Visitor | None = None
    tenant: Tenant | None = None
    again: bool = False
    """Whether the page shows the form that was sent once more, with what was typed."""
    refused: str | None = None
    """Why that form was refused, if it was."""
    fetched: Any = None
    """What the endpoint's `fetch` brought from outside, before the transaction began."""

    @property
    def id(self) -> str:
        """The id in the path."""
        return self.keys["id"]

    @property
    def who(self) -> Visitor:
        """The visitor, where the endpoint asks for one."""
        assert self.visitor is not None
        return self.visitor

    @property
    def is_operator(self) -> bool:
        """Whether an operator looks on."""
        return self.visitor is not None and self.visitor.kind is Kind.OPERATOR

    def text(self, name: str) -> str:
        """Give a field of the form without space around it; empty where it was not sent."""
        return self.form.get(name, "").strip()

    def typed(self, name: str, otherwise: str = "") -> str:
        """Give what a field is to show: what was typed into a form that is shown again, or something else."""
        return self.form.get(name, "") if self.again else otherwise

    def asked(self, name: str) -> str:
        """Give a parameter of the query without space around it; empty where it was not sent."""
        return self.query.get(name, "").strip()
