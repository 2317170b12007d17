"""What the core's doors need of the world outside, as protocols: whoever hangs the doors in the frame brings it."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Mail:
    """A letter to one person. It may hold a start code, so it is kept and logged nowhere (invariant 20)."""

    to: str = field(repr=False)
    subject: str
    text: str = field(repr=False)


class Mailer(Protocol):
    """Sends letters."""

    async def send(self, mail: Mail) -> None:
        """Hand a letter to the mail server. Raises MailNotSent."""
