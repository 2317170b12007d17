"""The schema: one linear Alembic history for both databases, run at start under a lock."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from app_core.db import is_sqlite, open_sqlite, sqlite_path

LOCK = 0x5C1D0001


def upgrade(url: str) -> None:
    """Bring the schema up to date; others who start at the same time wait and then find nothing to do.

    Must not be called from a running event loop.
    """
    if is_sqlite(url):
        _on_sqlite(url, _upgrade)
    else:
        asyncio.run(_on_postgresql(url, _upgrade))


def drift(url: str) -> None:
    """Raise when the models say something else than the migrations made."""
    if is_sqlite(url):
        _on_sqlite(url, lambda connection: command.check(_config(connection)))
    else:
        asyncio.run(_on_postgresql(url, lambda connection: command.check(_config(connection))))


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def _on_sqlite(url: str, job: Callable[[Connection], None]) -> None:
    engine = create_engine("sqlite://", creator=lambda: open_sqlite(sqlite_path(url)))

    # The whole upgrade is one transaction that starts with the write lock, so two starting processes take turns.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    try:
        with engine.begin() as connection:
            job(connection)
    finally:
        engine.dispose()


async def _on_postgresql(url: str, job: Callable[[Connection], None]) -> None:
    # asyncpg reads the URL itself, as it does for the pool: sslmode and whatever else libpq knows.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            await connection.run_sync(job)
    finally:
        await engine.dispose()
