"""The files of openapi/: `python -m tests.openapi` writes them, tests hold them to the code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

import app_api.event_feed
import app_api.openapi
import scim_server.openapi

FOLDER = Path(__file__).resolve().parent.parent / "openapi"
COMMAND = ".venv/bin/python -m tests.openapi"
FILE = FOLDER / "scim.yaml"
SOURCES: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
    "scim.yaml": ("the routes and schemas of scim_server", scim_server.openapi.description),
    "app.yaml": ("the table and the types of app_api", app_api.openapi.description),
    "events.yaml": ("the kinds of events of app_core", app_api.event_feed.description),
}


class Plain(yaml.SafeDumper):
    """Writes a value out wherever it stands, instead of pointing at its first place."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text(name: str = "scim.yaml") -> str:
    """Give a file's text: sorted, so that it depends on what is described and on nothing else."""
    source, description = SOURCES[name]
    head = f"# Written by `{COMMAND}` from {source}.\n"
    return head + yaml.dump(description(), Dumper=Plain, sort_keys=True, allow_unicode=True, width=120)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in SOURCES:
        (FOLDER / name).write_text(text(name), encoding="utf-8")
        print(f"{FOLDER / name} is written.")
