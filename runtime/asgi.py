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

from app_api.app import ApiDoor
from app_api.exchange import Limits as ApiLimits
from app_core.db import Database, Statement
from runtime import graph
from runtime.mailer import mailer_of
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
    api = ApiDoor(database, public_url, limits, mailer=mailer_of(settings, public_url))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with graph.opened(settings) as known, background(database, settings, known) if worker else nullcontext():
            yield
        await door.close()
        await api.close()

    async def live(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(request: Request) -> Response:
        try:
            await asyncio.wait_for(database.read(lambda connection: connection.row(PROBE, {})), 5)
        except Exception:
            logger.exception("the database does not answer")
            return JSONResponse({"status": "the database does not answer"}, 503)
        return JSONResponse({"status": "ok"})

    routes = [*door.routes(), *api.routes(), Route("/health/live", live), Route("/health/ready", ready)]
    return Starlette(routes=routes, lifespan=lifespan)


def limits_of(settings: Settings) -> Limits:
    """Give the SCIM door its share of the settings."""
    return Limits(
        body_bytes=settings.max_body_bytes,
        url_bytes=settings.max_url_bytes,
        page_size=settings.page_size,
        max_page_size=settings.max_page_size,
        bulk_operations=settings.max_bulk_operations,
    )
