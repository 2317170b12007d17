"""Servers and databases of a test's own, beside those of the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.processes import Customer, empty_database, new_customer, serving

if TYPE_CHECKING:
    from tests.conftest import Server


@pytest.fixture
def own_database(database_url: str, tmp_path: Path) -> Iterator[str]:
    """An empty database of each kind, without the schema, for one test."""
    with empty_database(database_url, tmp_path) as url:
        yield url


@pytest.fixture(scope="session")
def doors(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The Tenant URLs of all server processes on the database: two on PostgreSQL, one on SQLite."""
    one = f"{server.url}/scim/v2"
    if server.database_url.startswith("sqlite"):
        yield [one]
        return
    with serving(server.database_url, tmp_path_factory.mktemp("second"), public_url=server.url) as second:
        yield [one, second.scim_url]
        assert 0 == second.terminate(), second.output()


@pytest.fixture
def customer(server: Server) -> Customer:
    """A tenant that no other test knows."""
    return new_customer(server.database_url)
