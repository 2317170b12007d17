"""One ASGI application: every door on one database."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext

from sqlalchemy import literal, select
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from admin_console.app import Console
from admin_console.ports import Ports
from app_api.app import ApiDoor
from app_api.exchange import Limits as ApiLimits
from app_core.db import Database, Statement
from runtime.ask_self import AskSelf
from runtime.courier import HttpCourier, sealer_of
from runtime.graph import entra_of, sign_in_of
from runtime.mailer import letters_of, mailer_of
from runtime.settings import Settings
from runtime.worker import background
from scim_server.app import Door
from scim_server.exchange import Limits

logger = logging.getLogger(__name__)
PROBE = Statement(select(literal(1)))


def build_app(database: Database, settings: Settings, public_url: str, *, worker: bool = True) -> Starlette:
    """Hang the doors in the frame. The application does not own the database: who opened it closes it."""
    door = Door(database, public_url, limits_of(settings))
    limits = ApiLimits(settings.max_body_bytes, settings.max_url_bytes)
    mailer, entra = mailer_of(settings, public_url), entra_of(settings, public_url)
    courier, sealer = HttpCourier(public_url), sealer_of(settings)
    api = ApiDoor(database, public_url, limits, mailer=mailer, entra=entra, courier=courier, sealer=sealer)
    sign_in = sign_in_of(settings)
    ports = Ports(public_url, mailer, entra, sign_in, letters=letters_of(mailer), courier=courier, sealer=sealer)
    console = Console(database, ports)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with background(database, settings, courier, sealer, entra) if worker else nullcontext():
            yield
        await door.close()
        await api.close()
        await console.close()
        if entra is not None:
            await entra.close()
        if sign_in is not None:
            await sign_in.close()

    async def live(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        try:
            await asyncio.wait_for(database.read(lambda connection: connection.row(PROBE, {})), 5)
        except Exception:
            logger.exception("the database does not answer")
            return JSONResponse({"status": "the database does not answer"}, 503)
        return JSONResponse({"status": "ok"})

    routes = [
        *door.routes(),
        *api.routes(),
        *console.routes(),
        Route("/health/live", live),
        Route("/health/ready", ready),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    console.ports.ask_self = AskSelf(app, public_url)
    return app


def limits_of(settings: Settings) -> Limits:
    """Give the SCIM door its share of the settings."""
    return Limits(
        body_bytes=settings.max_body_bytes,
        url_bytes=settings.max_url_bytes,
        page_size=settings.page_size,
        max_page_size=settings.max_page_size,
        bulk_operations=settings.max_bulk_operations,
    )
