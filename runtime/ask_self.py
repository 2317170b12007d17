"""Requests of this server to its own SCIM address, for whoever wants to know whether Entra could reach it.

The public address is asked over the network, so that its name, its certificate and the proxy before it are tried as
well. Some networks do not let a machine reach itself from outside; then the same request is answered within this
process, which still says whether the token is good, and the trouble is told beside it.
"""

import ssl
from typing import TYPE_CHECKING

from admin_console.ports import OwnAnswer
from scim_server.app import OWN_TEST

if TYPE_CHECKING:
    import httpx
    from starlette.types import ASGIApp

SECONDS = 10.0
LONGEST_BODY = 64 * 1024


class AskSelf:
    """Asks our own SCIM address, as Entra would."""

    def __init__(self, app: "ASGIApp", public_url: str) -> None:
        self._app = app
        self._base = public_url.rstrip("/") + "/scim/v2"

    async def __call__(self, path: str, token: str) -> OwnAnswer:
        """Send a GET to a path below /scim/v2, by the public address; where that fails, within this process."""
        import httpx  # 150 ms, which only those pay who test

        try:
            return await self._ask(self._base + path, token, None, None)
        except httpx.InvalidURL:
            trouble = "the address cannot be read"
        except httpx.TimeoutException:
            trouble = f"no answer within {SECONDS:.0f} seconds"
        except httpx.TransportError as error:
            trouble = _trouble(error)
        # Whatever stands before the path in the public address is the proxy's affair.
        return await self._ask(f"http://localhost/scim/v2{path}", token, httpx.ASGITransport(self._app), trouble)

    async def _ask(
        self, url: str, token: str, transport: "httpx.AsyncBaseTransport | None", trouble: str | None
    ) -> OwnAnswer:
        import httpx

        headers = {"Authorization": f"Bearer {token}", "Accept": "application/scim+json", OWN_TEST: "1"}
        async with httpx.AsyncClient(transport=transport, timeout=SECONDS, follow_redirects=False) as client:
            # Entra has been seen sending none: what stands before us must not mind.
            del client.headers["user-agent"]
            async with client.stream("GET", url, headers=headers) as response:
                body = b""
                async for part in response.aiter_bytes():
                    body += part
                    if len(body) > LONGEST_BODY:
                        break
                return OwnAnswer(response.status_code, dict(response.headers), body, trouble)


def _trouble(error: "httpx.TransportError") -> str:
    """Say what went wrong in words for an administrator; the library's own name hosts and files of ours."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS, or none that is known here"
        cause = cause.__cause__ or cause.__context__
    text = str(error).lower()
    if "name or service not known" in text or "nodename" in text or "name resolution" in text:
        return "its name is not known (DNS)"
    if "refused" in text or "connection attempts failed" in text:
        return "nothing answers there: the connection is refused"
    return f"the connection failed ({type(error).__name__})"
