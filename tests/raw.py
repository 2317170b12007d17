"""The database as somebody sees it who has forgotten every rule: what is refused here is refused by a constraint."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

import asyncpg

from app_core.tables import METADATA

TABLES = METADATA.tables
OF_NO_TENANT = {
    "operator": "operators act in every tenant (ADR 0022)",
    "sign_in_flow": "nobody is known yet while Microsoft signs somebody in (ADR 0022)",
}
"""The tables without a tenant, each with its reason; `tenant` itself aside."""


class Refused(Exception):
    """The database did not take a row."""


def sql(database_url: str, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement by itself. `?` stands for a value."""
    if database_url.startswith("sqlite"):
        raw = sqlite3.connect(database_url.removeprefix("sqlite:///"), timeout=30, isolation_level=None)
        try:
            raw.execute("PRAGMA foreign_keys = ON")
            return raw.execute(statement, values).fetchall()
        except sqlite3.IntegrityError as error:
            raise Refused(str(error)) from error
        finally:
            raw.close()

    async def run() -> list[tuple[Any, ...]]:
        raw = await asyncpg.connect(database_url)
        pieces = statement.split("?")
        numbered = "".join(f"{piece}${at}" for at, piece in enumerate(pieces[:-1], start=1)) + pieces[-1]
        try:
            return [tuple(row) for row in await raw.fetch(numbered, *values)]
        except asyncpg.IntegrityConstraintViolationError as error:
            raise Refused(str(error)) from error
        finally:
            await raw.close()

    return asyncio.run(run())


def copied(database_url: str, table: str, key: str, **changes: Any) -> None:
    """Insert a copy of a row in which some columns are other."""
    columns = [column.name for column in TABLES[table].columns]
    chosen = ", ".join("?" if name in changes else name for name in columns)
    given = [changes[name] for name in columns if name in changes]
    sql(
        database_url,
        f"INSERT INTO {table} ({', '.join(columns)}) SELECT {chosen} FROM {table} WHERE id = ?",
        *given,
        key,
    )


def cell(database_url: str, table: str, key: str, column: str) -> str:
    """Give what stands in one column of the row with an id."""
    ((value,),) = sql(database_url, f"SELECT {column} FROM {table} WHERE id = ?", key)
    return str(value)
