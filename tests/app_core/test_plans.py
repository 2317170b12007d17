"""How the databases carry out what concerns a few people: by an index, however large the tables are or seem to be."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app_core import cards, connections, deletion, directory, follow, people, seats
from app_core.db import Connection, Database, PostgresConnection, SqliteConnection, SqliteDatabase, Statement
from tests.processes import in_core

FOR_A_FEW = {
    "the caller": connections.BY_HASH,
    "the caller once more": connections.STILL_LIVE,
    "a user": directory.FIND_USER,
    "a user that changes": people.LOCK_USER,
    "the person of a user that changes": follow.CONCERNED,
    "the groups of a user that goes": directory.HOLD_GROUPS_OF,
    "a user that goes": follow.FAREWELL,
    "a group that changes": follow.HANGS_ON,
    "a group that goes": deletion.HANGS_ON,
    "cards to pause": cards.PAUSE_OF_PEOPLE,
    "cards to revive": cards.REVIVE,
    "why cards are paused": cards.SAY_WHY,
    "cards to issue": cards.MISSING,
    "seats to want": seats.NEEDY,
    "seats to release": seats.RELEASE,
    "how a card is seen": seats.CARD_STATE,
}
# A whole table is gone through, or (PostgreSQL) read into a hash while it is believed to be empty.
WHOLE = re.compile(r"SCAN (?!json_each|CONSTANT)\w+(?! VIRTUAL)|Seq Scan|hashed SubPlan")


def planned(connection: Connection, statement: Statement) -> str:
    """Give the plan of a statement, whatever its values are."""
    compiled = statement.compiled(connection.dialect)
    if isinstance(connection, SqliteConnection):
        values = ["[]" if name in compiled.lists else None for name, _ in compiled.names]
        found: list[Any] = connection.raw.execute(f"EXPLAIN QUERY PLAN {compiled.sql}", values).fetchall()
    else:
        assert isinstance(connection, PostgresConnection)
        nothing = ", ".join(["NULL"] * len(compiled.names))
        connection._wait(connection.raw.execute(f"PREPARE asked AS {compiled.sql}"))
        found = connection._wait(connection.raw.fetch(f"EXPLAIN EXECUTE asked ({nothing})"))
        connection._wait(connection.raw.execute("DEALLOCATE asked"))
    return "\n".join(str(row[-1]) for row in found)


@pytest.mark.parametrize("statement", FOR_A_FEW.values(), ids=FOR_A_FEW)
def test_no_table_is_gone_through_for_a_few(core_url: str, statement: Statement) -> None:
    """Also by a plan that was made while the tables were empty."""

    async def plan(database: Database) -> str:
        if isinstance(database, SqliteDatabase):
            await database.optimize()
        return await database.read(lambda connection: planned(connection, statement))

    told = in_core(core_url, plan)

    assert WHOLE.search(told) is None, told
