"""A SCIM service that takes everything and writes it down: what the provisioning service sends, as it came."""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
LIST_RESPONSE = "urn:ietf:params:scim:api:messages:2.0:ListResponse"


@dataclass(frozen=True)
class Received:
    """A request as it came from the socket."""

    method: str
    target: str
    headers: dict[str, str]
    body: Any


@dataclass
class Failure:
    """Answers that are not what they should be."""

    method: str
    target: str
    status: int
    body: str
    left: int


@dataclass
class OtherEnd:
    """The service: it stores what is created, and never what is patched."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    stored: dict[str, dict[str, Any]] = field(default_factory=dict)
    matches: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What a filter finds, by its text."""
    failures: list[Failure] = field(default_factory=list)
    delay: float = 0.0
    """Seconds before each answer."""

    def fail(self, method: str, target: str, status: int, body: str = "", times: int = 1) -> None:
        """Answer requests that fit with a status instead."""
        self.failures.append(Failure(method, target, status, body, times))

    def of(self, method: str, target: str = "") -> list[Received]:
        """Give the requests of a kind, oldest first."""
        return [each for each in self.received if each.method == method and re.search(target, each.target)]

    def bodies(self, method: str, target: str = "") -> list[Any]:
        return [each.body for each in self.of(method, target)]

    def answer(self, request: Received) -> tuple[int, str]:
        for failure in self.failures:
            if failure.left > 0 and failure.method == request.method and re.search(failure.target, request.target):
                failure.left -= 1
                return failure.status, failure.body
        path, _, query = request.target.partition("?")
        collection, _, key = path.removeprefix("/scim/").partition("/")
        if path == "/token":
            return 200, json.dumps({"access_token": "granted", "token_type": "Bearer", "expires_in": 3600})
        if request.method == "POST":
            return 201, json.dumps(self._create(collection, request.body))
        if request.method == "GET" and not key:
            found = self.matches.get(parse_qs(query)["filter"][0])
            resources = [] if found is None else [found]
            return 200, json.dumps({"schemas": [LIST_RESPONSE], "totalResults": len(resources), "Resources": resources})
        if key not in self.stored:
            return 404, "{}"
        if request.method == "DELETE":
            del self.stored[key]
        return (200, json.dumps(self.stored[key])) if request.method == "GET" else (204, "")

    def _create(self, collection: str, body: dict[str, Any]) -> dict[str, Any]:
        key = f"{collection[0].lower()}{sum(each.startswith(collection[0].lower()) for each in self.stored) + 1}"
        self.stored[key] = {**body, "id": key}
        enterprise = body.get(ENTERPRISE, {})
        if isinstance(enterprise.get("manager"), str):
            # It comes as a text, and can be read by Entra only as an object.
            self.stored[key][ENTERPRISE] = {**enterprise, "manager": {"value": enterprise["manager"]}}
        return self.stored[key]


@contextlib.contextmanager
def listening() -> Iterator[OtherEnd]:
    """Serve on a port of its own."""
    end = OtherEnd()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()

        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length).decode()
            is_json = "json" in (self.headers.get("Content-Type") or "")
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Received(self.command, self.path, headers, json.loads(raw) if is_json and raw else raw or None)
            end.received.append(request)
            time.sleep(end.delay)
            status, body = end.answer(request)
            content = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/scim+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = respond  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        end.url = f"http://127.0.0.1:{server.server_port}/scim"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield end
        finally:
            server.shutdown()
            thread.join()
