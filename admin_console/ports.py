"""What the pages need of the world outside; `runtime` brings it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from app_core.ports import Courier, EntraDirectory, Letter, Mailer, SignIn
from app_core.sealing import Sealer


@dataclass(frozen=True, slots=True)
class OwnAnswer:
    """What a request to our own SCIM address was answered."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    trouble: str | None = None
    """Why our public address could not be reached, in words of the network; then the answer is of this process."""


class AskSelf(Protocol):
    """Asks this server's own SCIM address as Entra would."""

    async def __call__(self, path: str, token: str) -> OwnAnswer:
        """Send a GET to a path below /scim/v2, by the public address; where that fails, within this process."""


@dataclass(slots=True)
class Ports:
    """The world outside, as far as it is configured."""

    public_url: str
    mailer: Mailer | None = None
    directory: EntraDirectory | None = None
    """Microsoft Graph; None where no Entra application is configured."""
    sign_in: SignIn | None = None
    """Microsoft sign-in; None where no Entra application is configured."""
    ask_self: AskSelf | None = None
    letters: Callable[[str], Sequence[Letter]] | None = None
    """Gives a tenant's letters where they are kept in place of being sent."""
    courier: Courier | None = None
    """Brings messages to webhooks."""
    sealer: Sealer | None = None
    """Seals their secrets; None where no key is set."""
