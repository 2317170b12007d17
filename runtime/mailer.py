"""Mail by SMTP: start codes to the people they are for."""

import asyncio
import logging
import smtplib
import ssl
from collections import deque
from collections.abc import Callable
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from app_core import clock
from app_core.errors import MailNotSent
from app_core.ports import Letter, Mail
from runtime.settings import Settings, is_loopback

logger = logging.getLogger(__name__)
SECONDS = 15.0
PORTS = {"smtp": 587, "smtps": 465}
KEPT = 50


class SmtpMailer:
    """Sends by the mail server of the settings, encrypted wherever it offers that."""

    def __init__(self, url: str, public_url: str) -> None:
        parts = urlsplit(url)
        self.host = parts.hostname or ""
        self.port = parts.port or PORTS[parts.scheme]
        self.secure = parts.scheme == "smtps"
        self.user = None if parts.username is None else unquote(parts.username)
        self.password = unquote(parts.password or "")
        named = self.user if self.user is not None and "@" in self.user else None
        self.sender = named or f"no-reply@{urlsplit(public_url).hostname}"

    async def send(self, mail: Mail) -> None:
        """Hand a letter to the mail server, in a thread. Raises MailNotSent."""
        letter = EmailMessage()
        letter["From"], letter["To"], letter["Subject"] = self.sender, mail.to, mail.subject
        letter["Date"], letter["Message-ID"] = formatdate(), make_msgid(domain=self.sender.partition("@")[2])
        letter.set_content(mail.text)
        try:
            await asyncio.to_thread(self._send, letter)
        except (OSError, smtplib.SMTPException) as error:
            # What the server says may quote the address: only what kind of failure it was is kept.
            logger.warning("a letter was not sent: %s", type(error).__name__)
            raise MailNotSent(
                "The start code was made, and the mail server did not take the letter. Try again, or show a new code."
            ) from None

    def _send(self, letter: EmailMessage) -> None:
        with self._connected() as server:
            if self.user is not None:
                server.login(self.user, self.password)
            server.send_message(letter)

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self.secure:
            return smtplib.SMTP_SSL(self.host, self.port, timeout=SECONDS, context=context)
        server = smtplib.SMTP(self.host, self.port, timeout=SECONDS)
        server.ehlo()
        if server.has_extn("starttls"):
            server.starttls(context=context)
        return server


class Drawer:
    """Keeps letters where no mail server is set, for the console to show: for looking around on one's own machine.

    They are in memory alone, the latest few, and gone with the process.
    """

    def __init__(self) -> None:
        self.letters: deque[Letter] = deque(maxlen=KEPT)

    async def send(self, mail: Mail) -> None:
        """Put a letter into the drawer."""
        self.letters.appendleft(Letter(mail, clock.now()))

    def of_tenant(self, tenant_id: str) -> list[Letter]:
        """Give the letters of a tenant, newest first."""
        return [each for each in self.letters if each.mail.tenant_id == tenant_id]


def mailer_of(settings: Settings, public_url: str) -> SmtpMailer | Drawer | None:
    """Give the mailer of the settings; where there is none, a drawer on one's own machine, and elsewhere nothing."""
    if settings.smtp_url is not None:
        return SmtpMailer(settings.smtp_url.get_secret_value(), public_url)
    return Drawer() if is_loopback(urlsplit(public_url).hostname or "") else None


def letters_of(mailer: SmtpMailer | Drawer | None) -> Callable[[str], list[Letter]] | None:
    """Give what reads a tenant's letters in the drawer, where there is one."""
    return mailer.of_tenant if isinstance(mailer, Drawer) else None
