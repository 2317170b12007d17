"""Messages to one receiver of webhooks: signed as Standard Webhooks has it, to a checked address, over one connection.

What the receiver answers is read no further than needed, and kept and logged nowhere.
"""

import asyncio
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Protocol

import httpx
from standardwebhooks import Webhook

from app_core import clock
from app_core.ports import Message, Receipt, Trouble
from graph_fallback.tokens import USER_AGENT, retry_after
from runtime.courier import PrivateHost, UnknownHost

SECONDS = 15.0
"""The longest that one message may take, looking up the name and the whole answer included."""
MOST_READ = 4096
"""Bytes of an answer's body that are read, so that its connection can be used again."""
MOST_ADDRESSES = 3
GONE = 410
ASKS_TO_WAIT = frozenset({429, 503})


class Resolver(Protocol):
    """Says where a host is."""

    async def addresses_of(self, host: str) -> list[str]:
        """Give addresses that may be reached. Raises UnknownHost, PrivateHost."""


def new_trust() -> ssl.SSLContext:
    """Read the certificates of those whom we trust (30 ms)."""
    return httpx.create_ssl_context()


class WebhookLine:
    """The way to one receiver, looked up once and kept to: what a name leads to is checked, then not asked again."""

    def __init__(self, resolver: Resolver, address: str, trust: ssl.SSLContext) -> None:
        self._resolver = resolver
        self._url = httpx.URL(address)
        self._addresses: list[str] = []
        # No proxy, no .netrc: the connection goes to the address that was checked, with nothing of this machine.
        self._http = httpx.AsyncClient(
            verify=trust,
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(SECONDS, connect=5.0),
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=20),
            headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def send(self, message: Message) -> Receipt:
        """Send a message once, whatever comes of it."""
        began = clock.ticks()
        status, wait = None, None
        try:
            async with asyncio.timeout(SECONDS):
                status, wait = await self._post(message)
            trouble = _trouble_of_status(status)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnknownHost, PrivateHost) as error:
            trouble = _trouble_of(error)
        return Receipt(trouble, status, clock.ticks() - began, wait)

    async def _post(self, message: Message) -> tuple[int, float | None]:
        """Send to the first address that takes a connection; give the status, and how long we are asked to wait."""
        if not self._addresses:
            self._addresses = (await self._resolver.addresses_of(self._url.host))[:MOST_ADDRESSES]
        for address in self._addresses[:-1]:
            try:
                return await self._post_to(address, message)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if _trouble_of(error) is Trouble.CERTIFICATE:
                    raise
        return await self._post_to(self._addresses[-1], message)

    async def _post_to(self, address: str, message: Message) -> tuple[int, float | None]:
        headers = {"Host": self._url.netloc.decode(), "Content-Type": "application/json", **signed(message)}
        # The certificate is checked against the name, though the connection goes to the address.
        name = {"sni_hostname": self._url.raw_host.decode().rstrip(".")}
        url = self._url.copy_with(host=address)
        request = self._http.build_request("POST", url, headers=headers, content=message.body, extensions=name)
        response = await self._http.send(request, stream=True)
        try:
            await _skip(response)
        finally:
            await response.aclose()
        asked = response.status_code in ASKS_TO_WAIT
        wait = retry_after(response.headers, clock.milliseconds() / 1000) if asked else None
        return response.status_code, wait


async def _skip(response: httpx.Response) -> None:
    read = 0
    async for part in response.aiter_raw():
        read += len(part)
        if read > MOST_READ:
            return


def signed(message: Message) -> dict[str, str]:
    """Give the headers that name and sign a message at this instant, by each of its secrets."""
    at = datetime.fromtimestamp(clock.milliseconds() // 1000, tz=UTC)
    body = message.body.decode()
    signatures = [Webhook(secret).sign(message.id, at, body) for secret in message.secrets]
    return {
        "webhook-id": message.id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def _trouble_of_status(status: int) -> Trouble | None:
    if 200 <= status < 300:
        return None
    if status == GONE:
        return Trouble.GONE
    return Trouble.REDIRECT if 300 <= status < 400 else Trouble.STATUS


def _trouble_of(error: Exception) -> Trouble:
    if isinstance(error, UnknownHost):
        return Trouble.UNKNOWN_HOST
    if isinstance(error, PrivateHost):
        return Trouble.PRIVATE_HOST
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return Trouble.TIMEOUT
    if any(isinstance(cause, ssl.SSLError) for cause in _causes(error)):
        return Trouble.CERTIFICATE
    return Trouble.UNREACHABLE


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
