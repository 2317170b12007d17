"""A receiver of webhooks on loopback: it checks what arrives as any receiver does, and answers as a test wants."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.answers import JSON
from tests.processes import wait_for
from tests.raw import sql

Answer = tuple[int, dict[str, str]]


@dataclass(frozen=True)
class Arrived:
    """A message that has arrived, and what it was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> JSON:
        found: JSON = json.loads(self.body)
        return found

    @property
    def event(self) -> JSON:
        """The event as the feed gives it."""
        found: JSON = self.message["data"]
        return found

    @property
    def said(self) -> tuple[str, str]:
        """What it tells of whom."""
        return self.event["type"], self.event["subject"]["id"]

    def verify(self, secret: str) -> Any:
        """Check the signature as the documentation says. Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


def taken(event: JSON) -> Answer:
    """Answer as whoever takes everything."""
    return 204, {}


@dataclass
class Receiver:
    """What has arrived, in its order, and how it is answered: `answer` is asked for each event."""

    url: str = ""
    answer: Callable[[JSON], Answer] = taken
    arrived: list[Arrived] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def taken(self) -> list[Arrived]:
        """What was taken."""
        return [each for each in self.arrived if each.status < 300]

    def events(self, subject_id: str) -> list[str]:
        """Give the types of events of a subject that were taken, in their order."""
        return [each.event["type"] for each in self.taken if each.event["subject"]["id"] == subject_id]

    def wait(self, number: int) -> list[Arrived]:
        """Wait until so many have arrived."""
        wait_for(lambda: len(self.arrived) >= number)
        return self.arrived

    def wait_for(self, *events: JSON) -> None:
        """Wait until events were taken."""
        ids = {event["id"] for event in events}
        wait_for(lambda: ids <= {each.id for each in self.taken})


class _Handler(BaseHTTPRequestHandler):
    receiver: Receiver
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        status, headers = self.receiver.answer(json.loads(body)["data"])
        named = {name.lower(): value for name, value in self.headers.items()}
        with self.receiver.lock:
            self.receiver.arrived.append(Arrived(self.path, named, body, status))
        self.send_response(status)
        for name, value in {"content-length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A sender that was killed breaks off; that is no fault."""


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive on a free port until the end."""
    receiver = Receiver()
    handler = type("Handler", (_Handler,), {"receiver": receiver})
    with _Server(("127.0.0.1", 0), handler) as server:
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}/hooks"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()


def time_passes(database_url: str, tenant_id: str) -> None:
    """Let the pauses pass that a tenant's webhooks and deliveries keep to."""
    long_ago = "2000-01-01T00:00:00.000Z"
    due = "UPDATE webhook_delivery SET next_attempt_at = ? WHERE tenant_id = ? AND next_attempt_at IS NOT NULL"
    sql(database_url, due, long_ago, tenant_id)
    sql(database_url, "UPDATE webhook SET rests_until = NULL WHERE tenant_id = ?", tenant_id)


def leases_pass(database_url: str) -> None:
    """Let the leases run out of whoever was killed."""
    sql(database_url, "UPDATE webhook SET leased_until = ?", "2000-01-01T00:00:00.000Z")
