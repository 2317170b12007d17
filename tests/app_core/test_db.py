"""What a database does when others come in between."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest
from sqlalchemy import text

from app_core import db
from app_core.db import Connection, PostgresDatabase, SqliteDatabase, Statement, Violation, open_sqlite
from app_core.errors import Busy
from tests.processes import in_core

T = TypeVar("T")


class Contended(PostgresDatabase):
    """A database whose first attempts fail, one after the other."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__(pool=None)
        self.failures = list(failures)

    async def _once(self, job: Callable[[Connection], T], *, guesses: bool) -> T:
        if self.failures:
            raise self.failures.pop(0)
        return job(None)  # type: ignore[arg-type]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was waited between attempts; nobody waits really."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return waited


DEADLOCK = asyncpg.DeadlockDetectedError("deadlock detected")
CONFLICT = asyncpg.SerializationError("could not serialize access")
GONE = Violation("reference", "fk_group_member_user")


def test_a_write_is_tried_again(waits: list[float]) -> None:
    """After a deadlock, a serialization failure and a row that went, five times at most, each after a short wait."""
    database = Contended(DEADLOCK, CONFLICT, GONE, DEADLOCK, CONFLICT)

    assert "done" == asyncio.run(database.write(lambda _: "done"))
    assert 5 == len(waits)
    assert all(0 <= wait <= 0.01 * 2**attempt for attempt, wait in enumerate(waits, 1))


def test_writes_that_met_do_not_wait_alike(waits: list[float]) -> None:
    """Chance decides how long, so that two do not meet again and again."""
    for _ in range(2):
        asyncio.run(Contended(DEADLOCK).write(lambda _: None))

    assert waits[0] != waits[1]


@pytest.mark.parametrize("failure", [DEADLOCK, CONFLICT])
def test_a_write_is_given_up_as_busy(
    waits: list[float], caplog: pytest.LogCaptureFixture, failure: asyncpg.PostgresError
) -> None:
    """Who asked can try again later; the operator reads that it happened."""
    with pytest.raises(Busy):
        asyncio.run(Contended(*[failure] * 6).write(lambda _: None))

    assert 5 == len(waits)
    assert [f"a write was given up after 6 attempts: {type(failure).__name__}"] == caplog.messages


@pytest.mark.parametrize(
    ("failures", "waited"), [([GONE] * 6, 5), ([Violation("unique", "uq_scim_user_name")], 0), ([ValueError()], 0)]
)
def test_other_failures_stay_what_they_are(waits: list[float], failures: list[Exception], waited: int) -> None:
    """What another attempt would not mend is not tried again, and a reference that stays broken is our fault."""
    with pytest.raises(type(failures[0])):
        asyncio.run(Contended(*failures).write(lambda _: None))

    assert waited == len(waits)


def test_a_lock_that_another_process_keeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite waits for it, then says Busy to all that waited; reads go on, and afterwards writes do."""
    monkeypatch.setattr(db, "PATIENCE", 0.05)
    other = open_sqlite(str(tmp_path / "scim.db"))
    other.execute("CREATE TABLE kept (text)")

    def add(connection: Connection) -> None:
        raw_of(connection).execute("INSERT INTO kept VALUES ('x')")

    def count(connection: Connection) -> int:
        (found,) = raw_of(connection).execute("SELECT count(*) FROM kept").fetchone()
        return int(found)

    async def run() -> list[Any]:
        database = SqliteDatabase(str(tmp_path / "scim.db"))
        try:
            other.execute("BEGIN IMMEDIATE")
            refused = await asyncio.gather(database.write(add), database.write(add), return_exceptions=True)
            seen = await database.read(count)
            other.execute("ROLLBACK")
            await database.write(add)
            return [*map(type, refused), seen, await database.read(count)]
        finally:
            await database.close()

    assert [Busy, Busy, 0, 1] == asyncio.run(run())
    other.close()


def test_a_new_file_that_many_open_at_once(tmp_path: Path) -> None:
    """All of them get in: SQLite itself refuses those who come while another turns the write-ahead log on."""
    together = threading.Barrier(8)

    def modes(path: Path) -> str:
        together.wait()
        with closing(open_sqlite(str(path))) as raw:
            return str(raw.execute("PRAGMA journal_mode").fetchone()[0])

    with ThreadPoolExecutor(8) as pool:
        for number in range(20):
            assert ["wal"] * 8 == list(pool.map(modes, [tmp_path / f"{number}.db"] * 8))


def raw_of(connection: Connection) -> sqlite3.Connection:
    assert isinstance(connection, db.SqliteConnection)
    return connection.raw


EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}


def test_a_plan_made_while_a_table_is_empty_reads_it_by_its_index(core_url: str) -> None:
    """It is kept while the table fills, until somebody counts anew."""
    lookup = "SELECT group_id FROM directory_membership WHERE tenant_id = 't' AND user_id = 'u'"

    def plan(connection: Connection) -> str:
        connection.rows(Statement(text("ANALYZE directory_membership")), {})
        asked = Statement(text(f"{EXPLAIN[connection.dialect.name]} {lookup}"))
        return "\n".join(str(row[-1]) for row in connection.rows(asked, {}))

    told = in_core(core_url, lambda database: database.write(plan))

    assert "ix_directory_membership_user_id" in told
    assert "Seq Scan" not in told
