"""Processes of a test's own: servers to stop and to kill, commands that may be refused, clients all at once."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import httpx

from app_core import clock, connections, provisioning_log, tenants
from app_core.db import Connection, Database, open_database
from app_core.work import Actor, Source, Work
from tests import nursery
from tests.nursery import Process
from tests.postgres import Postgres, free_port
from tests.raw import sql

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 60
STOP_SECONDS = 60

T = TypeVar("T")
Job = Callable[[httpx.AsyncClient], Awaitable[T]]


@dataclass(frozen=True)
class ServerProcess:
    """A server that the test itself has started."""

    url: str
    process: Process
    stdout: Path
    stderr: Path

    @property
    def scim_url(self) -> str:
        return f"{self.url}/scim/v2"

    def kill(self) -> None:
        """End it as a power cut would: SIGKILL."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """Ask it to stop (SIGTERM) and give its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    def output(self) -> str:
        return self.stdout.read_text(errors="replace") + self.stderr.read_text(errors="replace")


@dataclass(frozen=True)
class Customer:
    """A tenant with one token, made by the core in this process: a command takes longer than most tests."""

    tenant_id: str
    connection_id: str
    token_id: str
    token: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/scim+json"}

    def client(self, scim_url: str) -> httpx.Client:
        return httpx.Client(base_url=scim_url, headers=self.headers, timeout=60, verify=False)

    def work(self, connection: Connection) -> Work:
        """Give a unit of work in this tenant, for core functions."""
        actor = Actor(Source.SYSTEM, "test")
        return Work(connection, self.tenant_id, self.connection_id, actor, "test", clock.now())


def environment(database_url: str | None = None, /, **settings: str) -> dict[str, str]:
    """Give this process's environment with just these settings: `log_level="debug"` is SCIM_SERVER_LOG_LEVEL."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SCIM_SERVER_")}
    if database_url is not None:
        settings["database_url"] = database_url
    return {**kept, **{f"SCIM_SERVER_{name.upper()}": value for name, value in settings.items()}}


@contextlib.contextmanager
def serving(
    database_url: str, folder: Path, *, worker: bool = False, public_url: str | None = None, **settings: str
) -> Iterator[ServerProcess]:
    """Start a server and wait until it is ready; whatever is left of it afterwards is killed."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings["public_url"] = public_url or url
    arguments = ["serve", "--port", str(port), *([] if worker else ["--no-worker"])]
    with _running(arguments, url, database_url, folder, settings, lambda server: is_ready(server.url)) as server:
        yield server


@contextlib.contextmanager
def working(database_url: str, folder: Path, **settings: str) -> Iterator[ServerProcess]:
    """Start who does the background work: on SQLite the server itself, else a worker; what is left of it is killed."""
    if database_url.startswith("sqlite"):
        with serving(database_url, folder, worker=True, **settings) as server:
            yield server
        return
    ready = "The worker waits for work"
    with _running(["worker"], "", database_url, folder, settings, lambda worker: ready in worker.output()) as worker:
        yield worker


@contextlib.contextmanager
def _running(
    arguments: Sequence[str],
    url: str,
    database_url: str,
    folder: Path,
    settings: dict[str, str],
    ready: Callable[[ServerProcess], bool],
) -> Iterator[ServerProcess]:
    stdout, stderr = (folder / f"{arguments[0]}-{uuid.uuid4().hex[:6]}.{name}" for name in ("out", "err"))
    process = nursery.start(arguments, environment(database_url, **settings), stdout, stderr)
    server = ServerProcess(url, process, stdout, stderr)
    try:
        wait_for(lambda: process.poll() is not None or ready(server), START_SECONDS)
        assert process.poll() is None, f"the {arguments[0]} ended with {process.poll()}:\n{server.output()}"
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def is_ready(url: str) -> bool:
    # Asked often while a server starts on the same processors: the plainest client there is.
    line = http.client.HTTPConnection(url.removeprefix("http://"), timeout=2)
    try:
        line.request("GET", "/health/ready")
        return line.getresponse().status == 200
    except OSError:
        return False
    finally:
        line.close()


def wait_for(done: Callable[[], bool], seconds: float = 30) -> None:
    """Wait until something is so; fail when it never is."""
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(0.05)


def a_minute_passes(database_url: str, tenant_id: str) -> None:
    """Let the leases run out that workers have of a tenant's jobs: those that were killed, and any that are slow."""
    sql(
        database_url,
        "UPDATE job SET leased_until = ? WHERE tenant_id = ? AND leased_until IS NOT NULL",
        clock.later(-1),
        tenant_id,
    )


def command(database_url: str | None, /, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run `scim-server ARGUMENTS`, whatever comes of it."""
    return run(arguments, environment(database_url, **settings))


def run(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `scim-server ARGUMENTS` with this environment alone, whatever comes of it."""
    with tempfile.TemporaryDirectory() as folder:
        stdout, stderr = Path(folder, "out"), Path(folder, "err")
        code = nursery.start(arguments, environment, stdout, stderr).wait()
        return subprocess.CompletedProcess(arguments, code, stdout.read_text(), stderr.read_text())


@contextlib.contextmanager
def empty_database(like: str, folder: Path) -> Iterator[str]:
    """Make an empty database of the same kind as another, for a test that must not disturb the others."""
    if like.startswith("sqlite"):
        yield f"sqlite:///{folder}/{uuid.uuid4().hex[:8]}.db"
        return
    with Postgres(like).database() as url:
        yield url


def new_customer(database_url: str, name: str = "") -> Customer:
    """Make a tenant that no other test knows; the schema must be there."""

    def job(connection: Connection) -> Customer:
        tenant = tenants.create(connection, name or f"tenant-{uuid.uuid4().hex[:12]}")
        connection_id = connections.create(connection, tenant, "Microsoft Entra ID")
        token_id, secret = connections.issue_token(connection, tenant, connection_id, label="first token")
        return Customer(tenant.id, connection_id, token_id, secret)

    return in_core(database_url, lambda database: database.write(job))


def another_token(database_url: str, customer: Customer) -> tuple[str, str]:
    """Make one more token of a customer; give its id and the token."""

    def job(connection: Connection) -> tuple[str, str]:
        tenant = tenants.find(connection, customer.tenant_id)
        return connections.issue_token(connection, tenant, customer.connection_id)

    return in_core(database_url, lambda database: database.write(job))


def in_core(database_url: str, job: Callable[[Database], Awaitable[T]]) -> T:
    """Run a job on the database beside the server."""

    async def run() -> T:
        database = await open_database(database_url)
        try:
            return await job(database)
        finally:
            await database.close()

    return asyncio.run(run())


def log_of(database_url: str, customer: Customer, *, count: int = 100_000) -> list[dict[str, object]]:
    """Read the tenant's provisioning log, newest first, as the core gives it."""

    def job(connection: Connection) -> list[dict[str, object]]:
        return provisioning_log.page(customer.work(connection), limit=count)

    return in_core(database_url, lambda database: database.read(job))


def together(doors: Sequence[str], customer: Customer, jobs: Sequence[Job[T]]) -> list[T]:
    """Run each job as a client with a connection of its own, on the doors in turn, all at once."""

    async def run() -> list[T]:
        async with contextlib.AsyncExitStack() as stack:
            clients = []
            for at in range(len(jobs)):
                client = httpx.AsyncClient(
                    base_url=doors[at % len(doors)], headers=customer.headers, timeout=90, verify=False
                )
                clients.append(await stack.enter_async_context(client))
            # All are connected before the first of them starts.
            await asyncio.gather(*(client.get("ServiceProviderConfig") for client in clients))
            # When one fails the others are waited for: a cancelled request would leave its socket open.
            tasks = [asyncio.ensure_future(job(client)) for job, client in zip(jobs, clients, strict=True)]
            await asyncio.wait(tasks)
            return await asyncio.gather(*tasks)

    return asyncio.run(run())
