"""Identifiers: version 7 of RFC 9562, in the order in which a process made them."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app_core import clock, ids
from app_core.ids import first_id_of, new_id

NOW = 1_795_543_200_000


@given(ticks=st.lists(st.integers(NOW - 5, NOW + 5), min_size=1, max_size=60))
def test_ids_sort_as_they_were_made(ticks: list[int]) -> None:
    """Whatever the clock does: it stands still, it goes back."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ids, "HEADS", ids.Ascending())
        patched.setattr(clock, "milliseconds", iter(ticks).__next__)

        made = [new_id() for _ in ticks]

    assert sorted(set(made)) == made
    assert all((7, uuid.RFC_4122) == (uuid.UUID(each).version, uuid.UUID(each).variant) for each in made)
    assert NOW - 5 <= int(made[0].replace("-", "")[:12], 16) <= NOW + 5


def test_more_ids_than_a_millisecond_can_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """They go on in the next one, and it goes on behind them."""
    monkeypatch.setattr(ids, "HEADS", ids.Ascending())
    monkeypatch.setattr(clock, "milliseconds", lambda: NOW)

    made = [new_id() for _ in range(10_000)]

    assert sorted(set(made)) == made
    assert NOW <= int(made[-1].replace("-", "")[:12], 16) <= NOW + 3


def test_an_id_says_when_and_nothing_else() -> None:
    """It lies behind the first of its millisecond; what follows the count is of another draw each time."""
    before = time.time()

    made = [new_id() for _ in range(1000)]

    assert first_id_of(before) <= made[0]
    assert made[-1] < first_id_of(time.time() + 1)
    assert 1000 == len({each[19:] for each in made})
