"""Mail by SMTP: start codes to the people they are for."""

import asyncio
import logging
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from urllib.parse import unquote, urlsplit

from app_core.errors import MailNotSent
from app_core.ports import Mail
from runtime.settings import Settings

logger = logging.getLogger(__name__)
SECONDS = 15.0
PORTS = {"smtp": 587, "smtps": 465}


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


def mailer_of(settings: Settings, public_url: str) -> SmtpMailer | None:
    """Give the mailer of the settings; None where there is none."""
    return None if settings.smtp_url is None else SmtpMailer(settings.smtp_url.get_secret_value(), public_url)
