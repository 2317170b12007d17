"""A login and a Graph on a real socket that answer what a test puts there, and a clock that does not wait."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, unquote, urlsplit

import httpx

from graph_fallback.client import GraphClient
from graph_fallback.tokens import ClientSecret, EntraTokens

T = TypeVar("T")

DIRECTORY = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER_DIRECTORY = "bbbbbbbb-0000-4000-8000-000000000002"
CLIENT_ID = "cccccccc-0000-4000-8000-000000000003"
SECRET = "a-client-secret-Kq7vZr2XwPl9"
NOON = 1_800_000_000.0
ALL_ROLES = ("User.Read.All", "Group.Read.All")


class StillClock:
    """A clock that only goes on when somebody waits, and then at once."""

    def __init__(self, now: float = NOON) -> None:
        self.time = now
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


@dataclass(frozen=True)
class Asked:
    """A request as it came over the wire."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode()))

    @property
    def params(self) -> dict[str, str]:
        return dict(parse_qsl(self.query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Reply:
    """An answer. A body that is no bytes leaves as JSON; `cut` ends the connection in the middle of it."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False


def error(status: int, code: str, message: str = "", *, inner: Any = None, **headers: str) -> Reply:
    """A refusal in Graph's form (entra.md §8.6)."""
    body = {"code": code, "message": message, **({} if inner is None else {"innerError": inner})}
    return Reply(status, {"error": body}, {name.replace("_", "-"): value for name, value in headers.items()})


def sts_error(code: int, error: str = "invalid_client", status: int = 400, **headers: str) -> Reply:
    """A refusal in the login's form, with names in its description as Entra has them."""
    description = f"AADSTS{code}: Application with identifier '{CLIENT_ID}' of Quentin Zwiebelfisch. Trace ID: 1"
    body = {"error": error, "error_description": description, "error_codes": [code], "trace_id": "1"}
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def jwt(roles: tuple[str, ...] = ALL_ROLES, tid: str = DIRECTORY, mark: str = "") -> str:
    """A token that says what it grants. Nobody here looks at its signature."""
    head, claims = {"alg": "none"}, {"tid": tid, "roles": list(roles), "mark": mark}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in (head, claims)]
    return ".".join([*parts, "signature"])


Script = Callable[[Asked], Reply]


class Entra:
    """Both faces on one socket. `graph` answers what comes under /v1.0, `token` the token endpoint."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.asked: list[Asked] = []
        self.token_requests: list[Asked] = []
        self.issued: list[str] = []
        self.roles: tuple[str, ...] = ALL_ROLES
        self.tid: str | None = None
        self.graph: Script = lambda _: Reply(200, {"value": []})
        self.token: Script = self.issue
        self.metadata: Script = self.configuration
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
            self.url = f"https://localhost:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def script(self, *replies: Reply) -> None:
        """Answer the next Graph requests with these, then with the last of them."""
        left = list(replies)

        def next_reply(_: Asked) -> Reply:
            return left.pop(0) if len(left) > 1 else left[0]

        self.graph = next_reply

    def issue(self, asked: Asked) -> Reply:
        """Give a fresh token for the directory in the path."""
        directory = asked.path.split("/")[1]
        self.issued.append(jwt(self.roles, self.tid or directory, str(len(self.issued))))
        return Reply(200, {"token_type": "Bearer", "expires_in": 3599, "access_token": self.issued[-1]})

    def configuration(self, asked: Asked) -> Reply:
        base = f"{self.url}/{asked.path.split('/')[1]}"
        return Reply(
            200,
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
            },
        )

    def answer(self, asked: Asked) -> Reply:
        if asked.path.startswith("/v1.0/"):
            self.asked.append(asked)
            return self.graph(asked)
        if asked.path.endswith("/.well-known/openid-configuration"):
            return self.metadata(asked)
        if asked.path.endswith("/oauth2/v2.0/token"):
            self.token_requests.append(asked)
            return self.token(asked)
        return Reply(404, {"error": "no such address"})

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer = self.answer

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply = answer(Asked(self.command, unquote(parts.path), parts.query, headers, body))
                content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                with contextlib.suppress(OSError):
                    self.send_response_only(reply.status)
                    for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content[: len(content) // 2] if reply.cut else content)
                self.close_connection = self.close_connection or reply.cut

            do_POST = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler


@contextlib.contextmanager
def entra_running(certificate: Path | None = None) -> Iterator[Entra]:
    """Run one; with a certificate (PEM, with its key) it speaks https, as `localhost`."""
    running = Entra(certificate)
    try:
        yield running
    finally:
        running.close()


def asking(entra: Entra, use: Callable[[GraphClient], Awaitable[T]], clock: StillClock | None = None, **how: Any) -> T:
    """Run something with a client of the directory that lives in this Entra."""

    async def main() -> T:
        still = clock or StillClock()
        tokens = EntraTokens(CLIENT_ID, ClientSecret(SECRET), login_url=entra.url, graph_url=entra.url, clock=still)
        try:
            # Without the certificates of the world, which take longer to read than a test.
            async with httpx.AsyncClient(verify=False) as http:
                how.setdefault("jitter", lambda: 1.0)
                return await use(GraphClient(http, tokens, entra.url, DIRECTORY, clock=still, **how))
        finally:
            tokens.close()

    return asyncio.run(main())
