"""A customer for the stories: in the end its rows agree with each other."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from graph_fallback import client
from tests.api import Company, MakeCompany, companies, company_by_command
from tests.conftest import Server


@pytest.fixture(scope="module")
def company(server: Server) -> Iterator[Company]:
    """A tenant without a seat limit that the tests of a module share; each uses people and groups of its own."""
    with company_by_command(server) as company:
        yield company


@pytest.fixture
def make_company(server: Server) -> Iterator[MakeCompany]:
    """Make tenants for one test: `make_company(seats=2)`."""
    with companies(server.url, server.database_url) as make:
        yield make


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process rest for moments where Graph names no time; the servers of a test rest as they do."""
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.02)
