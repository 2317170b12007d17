"""The serving process: uvicorn around the application, and a clean stop."""

import asyncio
import signal
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import uvicorn

from app_core import administrators, tenants
from app_core.db import SqliteDatabase, open_database
from app_core.errors import Invalid
from runtime import graph
from runtime import logging as process_log
from runtime.asgi import build_app
from runtime.courier import HttpCourier, sealer_of
from runtime.settings import SIGN_IN_PATH, Settings, is_loopback
from runtime.worker import background

GRACE = 30
KEEP_ALIVE = 75
BACKLOG = 2048


def serve(settings: Settings, *, host: str, port: int, worker: bool) -> int:
    """Serve until SIGTERM or SIGINT; requests in flight are answered first. Gives the exit code.

    Raises Invalid when it cannot listen there.
    """
    with _listening(host, port) as listener:
        process_log.set_up(settings.log_level)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_serve(settings, host, listener, worker))


def _listening(host: str, port: int) -> socket.socket:
    """Take the port before anything is said of it: who connects from now on is answered once the server is up."""
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=BACKLOG
        )
    except OSError as error:
        cause = str(error.strerror).partition(" (while")[0]
        raise Invalid(f"Cannot listen on {_address(host, port)}: {cause}.") from error


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Give uvloop's loop where there is one (not on Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, host: str, listener: socket.socket, worker: bool) -> int:
    # uvicorn raises a captured signal again once it has stopped cleanly; that must not end us with its number.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    reached = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    public_url = settings.public_url or f"http://{_address(reached, listener.getsockname()[1])}"
    database = await open_database(settings.database_url, pool_size=settings.pool_size)
    try:
        if isinstance(database, SqliteDatabase):
            await database.optimize()
        known = await database.read(tenants.all_of)
        link = await database.write(administrators.first_link)
        _say(settings, public_url, bool(known), link)
        server = uvicorn.Server(
            uvicorn.Config(
                build_app(database, settings, public_url, worker=worker),
                http="httptools",
                backlog=BACKLOG,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=GRACE,
            )
        )
        try:
            await server.serve(sockets=[listener])
        except SystemExit:
            # uvicorn has said why it cannot start, and would leave with a number of its own.
            return 1
        return 0 if server.started else 1
    finally:
        await database.close()


def work(settings: Settings) -> int:
    """Do the background work alone until SIGTERM or SIGINT; a step that runs is finished first."""
    process_log.set_up(settings.log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_work(settings))


async def _work(settings: Settings) -> int:
    database = await open_database(settings.database_url, pool_size=settings.pool_size)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    print("The worker waits for work; SIGTERM ends it.", flush=True)
    courier, sealer = HttpCourier(settings.public_url or ""), sealer_of(settings)
    try:
        async with graph.opened(settings) as entra, background(database, settings, courier, sealer, entra):
            await stop.wait()
    finally:
        await database.close()
    return 0


def _unsent(public_url: str) -> str:
    if is_loopback(urlsplit(public_url).hostname or ""):
        return f"letters are kept in memory and shown at {public_url}/console/letters"
    return "start codes and claim links are shown, not sent"


def _say(settings: Settings, public_url: str, has_tenant: bool, link: str | None) -> None:
    """Tell whoever started this where everything is, and what to do next."""
    print(f"Tenant URL    {public_url}/scim/v2", flush=True)
    print(f"JSON API      {public_url}/api/v1", flush=True)
    print(f"Console       {public_url}/console", flush=True)
    print(f"Health        {public_url}/health/ready", flush=True)
    where = settings.database_url if settings.database_url.startswith("sqlite") else "PostgreSQL"
    print(f"Database      {where}", flush=True)
    if settings.smtp_url is None:
        print(f"Mail          SCIM_SERVER_SMTP_URL is not set: {_unsent(public_url)}", flush=True)
    if has_tenant:
        print("Secret token  ./run token create TENANT   (makes another one; the old ones stay valid)", flush=True)
    else:
        print(
            "Next step     ./run tenant create NAME    (prints the Tenant URL and a secret token for Entra)", flush=True
        )
    if link is not None:
        print(f"Sign-in link  {public_url}{SIGN_IN_PATH}{link}", flush=True)
        print("              (signs the first operator in, once, within 24 hours)", flush=True)
