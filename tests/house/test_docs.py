"""docs/api.md is what people read in place of the code: its tables hold what the code has."""

from __future__ import annotations

import re
from pathlib import Path

from app_api.problems import PROBLEMS
from app_core.events import TYPES

API = (Path(__file__).resolve().parents[2] / "docs/api.md").read_text(encoding="utf-8")


def test_every_problem_is_explained_with_its_status() -> None:
    """No code is left out, none is a leftover, and each has the status that it is sent with."""
    explained = re.findall(r"^\| `([a-z-]+)` \| (\d{3}) \|", API, re.MULTILINE)

    assert sorted((code, str(status)) for code, (status, _) in PROBLEMS.items()) == sorted(explained)


def test_every_event_is_listed_under_its_subject() -> None:
    """No type is left out, and none is a leftover."""
    subjects = {kind.subject for kind in TYPES.values()}
    rows = re.findall(r"^\| `([a-z]+)` \| (.*) \|$", API, re.MULTILINE)
    listed = [f"{row}.{name}" for row, names in rows if row in subjects for name in re.findall(r"`(\w+)`", names)]

    assert sorted(TYPES) == sorted(listed)
