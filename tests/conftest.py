"""What every test can ask for: a real server on a real database, a fresh tenant, a client that speaks as Entra."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import nursery
from tests.nursery import Process
from tests.postgres import free_port, running_postgres
from tests.processes import new_customer, run

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
STOP_SECONDS = 30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--soak", action="store_true", help="run the tests marked slow as well")
    parser.addoption(
        "--half",
        choices=HALVES,
        help="only the tests on PostgreSQL, or only the others: `./run test` runs both at once",
    )


HALVES = ("sqlite", "postgresql")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    half, soak = config.getoption("--half"), config.getoption("--soak")

    def wanted(item: pytest.Item) -> bool:
        return (soak or not item.get_closest_marker("slow")) and half in (None, half_of(item))

    left_out = [item for item in items if not wanted(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if wanted(item)]


def half_of(item: pytest.Item) -> str:
    """Say which half a test belongs to; one that needs no database goes with SQLite, whose tests are quicker."""
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    return "postgresql" if parameters.get("database_url") == "postgresql" else "sqlite"


@pytest.fixture(scope="session", autouse=True)
def closed_network() -> Iterator[None]:
    """Refuse every connection of the test process that leaves this machine."""
    connect = socket.socket.connect

    def connect_on_loopback(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_loopback(str(address[0])):
            raise AssertionError(f"a test tried to reach {address!r}: the network is closed in tests")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(socket.socket, "connect", connect_on_loopback)
        yield


@pytest.fixture(scope="session", autouse=True)
def authorities() -> Iterator[None]:
    """Read a list of certificate authorities once, not for each client: that takes longer than most tests."""
    make, once = ssl.create_default_context, cache(lambda cafile: make(cafile=cafile))

    def give(*purpose: Any, **named: Any) -> ssl.SSLContext:
        return make(*purpose, **named) if purpose or named.keys() != {"cafile"} else once(named["cafile"])

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ssl, "create_default_context", give)
        yield


def is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A fresh, empty database; every test that uses it runs on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/scim-server.db"
        return
    with running_postgres() as postgres, postgres.database() as url:
        yield url


@dataclass(frozen=True)
class Server:
    """A running server process, and the command line on the same database."""

    url: str
    database_url: str
    process: Process
    environment: dict[str, str] = field(repr=False)

    def cli(self, *args: str) -> Any:
        """Run `scim-server ARGS`; return the parsed JSON when `--json` is asked for, else the text."""
        done = run(args, self.environment)
        if done.returncode != 0:
            raise AssertionError(f"scim-server {' '.join(args)} exited with {done.returncode}:\n{done.stderr}")
        return json.loads(done.stdout) if "--json" in args else done.stdout


@dataclass(frozen=True)
class Tenant:
    """What `tenant create` would say."""

    tenant_id: str
    scim_url: str
    token: str


@pytest.fixture(scope="session")
def server(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server as an administrator starts it, without the worker, on each kind of database."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SCIM_SERVER_")},
        "SCIM_SERVER_DATABASE_URL": database_url,
        "SCIM_SERVER_PUBLIC_URL": url,
        "SCIM_SERVER_SECRET_KEY": "a key for tests",
        "PYTHONUNBUFFERED": "1",
    }
    arguments = ["--host", "127.0.0.1", "--port", str(port), "--database-url", database_url, "--no-worker"]
    log = tmp_path_factory.mktemp("server") / "output"
    process = nursery.start(["serve", *arguments], environment, log, log)
    try:
        wait_until_ready(process, url, log)
        yield Server(url, database_url, process, environment)
        process.send_signal(signal.SIGTERM)
        code = process.wait(STOP_SECONDS)

        assert 0 == code, f"the server ended with {code}:\n{log.read_text(errors='replace')}"
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_until_ready(process: Process, url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    with httpx.Client(base_url=url, timeout=2) as client:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if client.get("/health/ready").status_code == 200:
                    return
            time.sleep(0.05)
    pytest.fail(f"the server is not ready (exit code {process.poll()}):\n{log.read_text(errors='replace')}")


@pytest.fixture
def tenant(server: Server) -> Tenant:
    """A tenant that no other test knows."""
    made = new_customer(server.database_url)
    return Tenant(made.tenant_id, f"{server.url}/scim/v2", made.token)


@pytest.fixture
def scim(tenant: Tenant) -> Iterator[httpx.Client]:
    """A client with the tenant's URL and token, as Entra is set up with them."""
    headers = {"Authorization": f"Bearer {tenant.token}", "Content-Type": "application/scim+json"}
    with httpx.Client(base_url=tenant.scim_url, headers=headers, timeout=30) as client:
        yield client
