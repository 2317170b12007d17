"""A customer, and browsers in front of the console."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api import Company, MakeCompany, companies
from tests.conftest import Server
from tests.console import Browser, administrator, nobody


@pytest.fixture(scope="module")
def company(server: Server) -> Iterator[Company]:
    """A tenant without a seat limit that the tests of a module share; each uses people and groups of its own."""
    with companies(server.url, server.database_url) as make:
        yield make()


@pytest.fixture
def make_company(server: Server) -> Iterator[MakeCompany]:
    """Make tenants for one test: `make_company(seats=2)`."""
    with companies(server.url, server.database_url) as make:
        yield make


@pytest.fixture(scope="module")
def admin(server: Server, company: Company) -> Iterator[Browser]:
    """An administrator of the shared tenant."""
    with administrator(server.url, server.database_url, company.tenant_id) as browser:
        yield browser


@pytest.fixture
def visitor(server: Server) -> Iterator[Browser]:
    """A browser in which nobody is signed in."""
    with nobody(server.url) as browser:
        yield browser
