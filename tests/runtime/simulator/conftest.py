"""One simulator for all tests, and a directory in it for each of them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.simulator import Entra, EntraTenant, simulated


@pytest.fixture(scope="session")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Entra]:
    with simulated(tmp_path_factory.mktemp("entra")) as entra:
        yield entra


@pytest.fixture
def entra(simulator: Entra) -> Iterator[Entra]:
    """The simulator, without faults and as it is set at the start."""
    simulator.reset()
    yield simulator
    simulator.reset()


@pytest.fixture
def contoso(entra: Entra) -> EntraTenant:
    """An empty directory that no other test knows."""
    return entra.new_tenant()


@pytest.fixture
def graph(contoso: EntraTenant) -> Iterator[httpx.Client]:
    """A client of Graph with what the product is granted: User.Read.All and Group.Read.All."""
    with contoso.graph() as client:
        yield client
