"""The serving process: uvicorn around the application, and a clean stop."""

import asyncio
import signal
from collections.abc import Callable

import uvicorn

from app_core import tenants
from app_core.db import open_database
from runtime import logging as process_log
from runtime.asgi import build_app
from runtime.settings import Settings

GRACE = 30
KEEP_ALIVE = 75


def serve(settings: Settings, *, host: str, port: int, worker: bool) -> int:
    """Serve until SIGTERM or SIGINT; requests in flight are answered first. Gives the exit code."""
    process_log.set_up(settings.log_level)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(_serve(settings, host, port, worker))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Give uvloop's loop where there is one (not on Windows)."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, host: str, port: int, worker: bool) -> int:
    # uvicorn raises a captured signal again once it has stopped cleanly; that must not end us with its number.
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.signal(signal.SIGINT, lambda *_: None)
    public_url = settings.public_url or f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{port}"  # noqa: S104
    database = await open_database(settings.database_url, pool_size=settings.pool_size)
    try:
        known = await database.read(tenants.all_of)
        _say(settings, public_url, bool(known))
        server = uvicorn.Server(
            uvicorn.Config(
                build_app(database, settings, public_url, worker=worker),
                host=host,
                port=port,
                http="httptools",
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
            await server.serve()
        except SystemExit:
            # uvicorn has said why it cannot listen, and would leave with a number of its own.
            return 1
        return 0 if server.started else 1
    finally:
        await database.close()


def _say(settings: Settings, public_url: str, has_tenant: bool) -> None:
    """Tell whoever started this where everything is, and what to do next."""
    print(f"Tenant URL    {public_url}/scim/v2", flush=True)
    print(f"Health        {public_url}/health/ready", flush=True)
    where = settings.database_url if settings.database_url.startswith("sqlite") else "PostgreSQL"
    print(f"Database      {where}", flush=True)
    if has_tenant:
        print("Secret token  ./run token create TENANT   (makes another one; the old ones stay valid)", flush=True)
    else:
        print(
            "Next step     ./run tenant create NAME    (prints the Tenant URL and a secret token for Entra)", flush=True
        )
