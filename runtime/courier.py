"""Brings messages to the receivers of webhooks, to hosts that the internet reaches alone (ADR 0025)."""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from app_core import webhooks
from app_core.errors import Invalid
from app_core.ports import Address, Message, Receipt
from app_core.sealing import Sealer, keys_of
from runtime.settings import Settings, is_loopback

if TYPE_CHECKING:
    import ssl

    from runtime.webhook_line import WebhookLine

LOOK_UP_SECONDS = 5.0


class UnknownHost(Exception):
    """A name leads nowhere, or nobody says where in time."""


class PrivateHost(Exception):
    """A name leads to an address that the internet does not reach."""


class HttpCourier:
    """Sends by HTTPS. Plain HTTP, and this machine itself, only where our own address is on this machine as well."""

    def __init__(self, public_url: str) -> None:
        self.local = is_loopback(urlsplit(public_url).hostname or "")
        self._trust: ssl.SSLContext | None = None

    async def check(self, url: str) -> Address:
        """Say that events may be sent to a URL. Raises Invalid."""
        address = webhooks.require_address(url, local=self.local)
        try:
            await self.addresses_of(_host_of(address))
        except UnknownHost:
            raise Invalid("url: the name of its host leads nowhere. Check how it is spelled.") from None
        except PrivateHost:
            raise Invalid(webhooks.PRIVATE) from None
        return address

    async def send(self, address: str, message: Message) -> Receipt:
        """Send a message once, whatever comes of it."""
        async with self.line(address) as line:
            return await line.send(message)

    @asynccontextmanager
    async def line(self, address: str) -> AsyncIterator["WebhookLine"]:
        """Open what several messages to one receiver share; no other receiver gets its connections."""
        from runtime.webhook_line import WebhookLine, new_trust  # httpx, 150 ms, which only those pay who send

        if self._trust is None:
            self._trust = new_trust()
        line = WebhookLine(self, address, self._trust)
        try:
            yield line
        finally:
            await line.close()

    async def addresses_of(self, host: str) -> list[str]:
        """Look a host up and give its addresses, each of which may be reached. Raises UnknownHost, PrivateHost."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(LOOK_UP_SECONDS):
                found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):  # a time-out is an OSError
            raise UnknownHost from None
        addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        if not addresses:
            raise UnknownHost
        if not all(webhooks.may_be_reached(ipaddress.ip_address(each), local=self.local) for each in addresses):
            raise PrivateHost
        return addresses


def _host_of(address: Address) -> str:
    """Give the host as it will be looked up. Raises Invalid for one that no name can be."""
    import httpx  # 150 ms, which only those pay who have webhooks

    try:
        url = httpx.URL(address)
        return url.host if url.raw_host else ""
    except (httpx.InvalidURL, UnicodeError):
        raise Invalid("url: its host is not written as a host is.") from None


def sealer_of(settings: Settings) -> Sealer | None:
    """Give what seals secrets by the keys of the settings; None where none is set."""
    return None if settings.secret_key is None else Sealer(keys_of(settings.secret_key.get_secret_value()))
