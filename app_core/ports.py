"""What the core's doors need of the world outside, as protocols: whoever hangs the doors in the frame brings it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, NewType, Protocol

from app_core.errors import NotPossible


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter to one person. It may hold a start code, so it is kept and logged nowhere (invariant 20)."""

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)
    tenant_id: str = ""
    """Whose letter it is; the door that hands it over says so."""
    to_administrator: bool = False
    """Whether it signs an administrator in: where letters are kept, operators alone read it."""


class Letter(NamedTuple):
    """A letter that was not sent but kept, to be read on the screen."""

    mail: Mail
    at: str


class Mailer(Protocol):
    """Sends letters."""

    async def send(self, mail: Mail) -> None:
        """Hand a letter to the mail server. Raises MailNotSent."""


# Microsoft Entra ----------------------------------------------------------------------------------------------------

PERMISSIONS = ("User.Read.All", "Group.Read.All")
"""The application permissions that a directory grants us by consent; both only read (G1)."""


@dataclass(frozen=True, slots=True)
class EntraGroup:
    """A group of a customer's directory. `members` are the object ids of its direct users, where they were read."""

    object_id: str
    name: str | None
    """None where the directory does not tell it."""
    members: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class EntraGroups:
    """A page of a directory's groups; `next` leads to the following one."""

    items: Sequence[EntraGroup]
    next: str | None


@dataclass(frozen=True, slots=True)
class DirectoryProof:
    """A directory that has given us a token of its own, and what the token allows: no less than PERMISSIONS."""

    directory_id: str
    permissions: frozenset[str]


class EntraDirectory(Protocol):
    """Customers' directories behind Microsoft Graph, read by the application of the operator.

    Ask outside of a transaction. What goes wrong there is a DomainError: `graph-unavailable` says when to come back
    (`facts["retry_at"]`), `graph-refused` and what is below it that somebody must act, `graph` that an answer was of
    no use.
    """

    def consent_url(self, state: str, directory_id: str | None = None) -> str:
        """Give the link for consent in one directory, or in that of whoever opens it."""

    async def proof_of_return(self, query: Mapping[str, str]) -> DirectoryProof:
        """Prove the directory that a consent link came back from: errors first, then the token, then permissions.

        It is patient for a minute: Entra may need that long. Nothing of `query` is believed, its state not even read:
        that, the sign-in and the connecting are `entra_directory.expect_return` and `accept_return`, before and after.
        """

    async def prove(self, directory_id: str) -> DirectoryProof:
        """Prove by a token that a directory has consented to all that we need."""

    async def groups(self, directory_id: str, search: str, after: str | None, limit: int) -> EntraGroups:
        """List the groups whose name has a word that begins so. Raises Invalid for an `after` that is no place."""

    async def group(self, directory_id: str, object_id: str) -> EntraGroup:
        """Read one group with its members. Raises NotFound, and Invalid for what is no object id."""


def require_entra(entra: EntraDirectory | None) -> EntraDirectory:
    """Give the directories where the operator has named an application. Raises NotPossible."""
    if entra is None:
        raise NotPossible(
            "No Entra application is named on this server. Its operator must set SCIM_SERVER_ENTRA_CLIENT_ID, and "
            "SCIM_SERVER_ENTRA_CLIENT_SECRET or SCIM_SERVER_ENTRA_CLIENT_CERTIFICATE."
        )
    return entra


# Microsoft sign-in --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom Microsoft has signed in, from a checked id token. Only `tid` and `oid` together prove anybody."""

    tid: str
    """The directory."""
    oid: str
    """The user's object id in that directory."""
    name: str = field(default="", repr=False)
    preferred_username: str = field(default="", repr=False)
    """For the screen alone: whoever administers a directory can make it say anything."""
    administrator: bool | None = None
    """Whether they may consent for their directory; None where the token does not say."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A sign-in that begins: where the browser goes, and what must be known again when it returns."""

    url: str = field(repr=False)
    private: str = field(repr=False)
    """State, nonce and verifier, for `finish`; to be kept where the browser cannot read it (`sign_in_flows`)."""


class SignIn(Protocol):
    """Signs people in with Microsoft (OpenID Connect, by the application of the operator)."""

    async def begin(self, redirect_uri: str, *, prompt: str | None = None, domain_hint: str | None = None) -> Flow:
        """Begin a sign-in that comes back to an address. Raises SignInRefused."""

    async def finish(self, private: str, query: Mapping[str, str]) -> Identity:
        """Say who came back. `query` is what the browser brought, of which nothing is believed.

        Raises SignInRefused with a sentence for whoever sits there; sign in again after any of them.
        """


# Webhooks -----------------------------------------------------------------------------------------------------------

Address = NewType("Address", str)
"""A URL to which events may be sent, as a courier has found."""


class Trouble(StrEnum):
    """Why a message was not taken."""

    STATUS = "status"
    """The receiver has answered with something else than 2xx."""
    GONE = "gone"
    """It has answered 410: nothing shall be sent there any more."""
    REDIRECT = "redirect"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"
    """There is no connection, or it broke off before the answer."""
    CERTIFICATE = "certificate"
    UNKNOWN_HOST = "unknown-host"
    PRIVATE_HOST = "private-host"
    """The name leads into a private network by now."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent to a webhook. The secrets that sign it are kept and logged nowhere."""

    id: str
    """The same each time that it is sent."""
    body: bytes = field(repr=False)
    secrets: Sequence[str] = field(repr=False)


class Receipt(NamedTuple):
    """What came of sending a message once."""

    trouble: Trouble | None
    """None: the receiver has taken it."""
    status: int | None
    seconds: float
    wait: float | None = None
    """For how many seconds the receiver wants nothing, where it says so."""


class Courier(Protocol):
    """Brings messages to the receivers of webhooks. Ask outside of a transaction."""

    async def check(self, url: str) -> Address:
        """Say that events may be sent to a URL. Raises Invalid, also for a host in a private network."""

    async def send(self, address: str, message: Message) -> Receipt:
        """Send a message once, whatever comes of it."""
