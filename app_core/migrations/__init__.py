"""The schema: one linear Alembic history for both databases, run at start under a lock."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from app_core.db import is_sqlite, open_sqlite, sqlite_path

LOCK = 0x5C1D0001
T = TypeVar("T")


def upgrade(url: str) -> None:
    """Bring the schema up to date; others who start at the same time wait and then find nothing to do.

    Where it is up to date no lock is taken: a command must not hold up a server that writes, nor wait for it.
    Must not be called from a running event loop.
    """
    if not _run(url, _is_current):
        _run(url, _upgrade, locked=True)


def drift(url: str) -> None:
    """Raise when the models say something else than the migrations made."""
    _run(url, lambda connection: command.check(_config(connection)))


def _is_current(connection: Connection) -> bool:
    heads = ScriptDirectory.from_config(_config(connection)).get_heads()
    return set(heads) == set(MigrationContext.configure(connection).get_current_heads())


def _upgrade(connection: Connection) -> None:
    command.upgrade(_config(connection), "head")


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def _run(url: str, job: Callable[[Connection], T], *, locked: bool = False) -> T:
    """Run a job in one transaction; when locked, in turn with others that do so."""
    if is_sqlite(url):
        return _on_sqlite(url, job, locked)
    return asyncio.run(_on_postgresql(url, job, locked))


def _on_sqlite(url: str, job: Callable[[Connection], T], locked: bool) -> T:
    engine = create_engine("sqlite://", creator=lambda: open_sqlite(sqlite_path(url)))

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # The write lock from the start: taken later, it would fail where somebody else has written in between.
        connection.exec_driver_sql("BEGIN IMMEDIATE" if locked else "BEGIN")

    try:
        with engine.begin() as connection:
            return job(connection)
    finally:
        engine.dispose()


async def _on_postgresql(url: str, job: Callable[[Connection], T], locked: bool) -> T:
    # asyncpg reads the URL itself, as it does for the pool: sslmode and whatever else libpq knows.
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url))
    try:
        async with engine.begin() as connection:
            if locked:
                await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
            return await connection.run_sync(job)
    finally:
        await engine.dispose()
