"""An Entra of each test's own, on a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.graph_fallback.loopback import Entra, StillClock, entra_running


@pytest.fixture
def entra() -> Iterator[Entra]:
    """A login and a Graph that answer what the test says."""
    with entra_running() as running:
        yield running


@pytest.fixture
def clock() -> StillClock:
    """A clock that does not wait."""
    return StillClock()
