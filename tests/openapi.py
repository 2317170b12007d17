"""The file openapi/scim.yaml: `python -m tests.openapi` writes it, a test holds it to the code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from scim_server.openapi import description

FILE = Path(__file__).resolve().parent.parent / "openapi" / "scim.yaml"
COMMAND = ".venv/bin/python -m tests.openapi"
HEAD = f"# Written by `{COMMAND}` from the routes and schemas of scim_server.\n"


class Plain(yaml.SafeDumper):
    """Writes a value out wherever it stands, instead of pointing at its first place."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text() -> str:
    """Give the file's text: sorted, so that it depends on what is described and on nothing else."""
    return HEAD + yaml.dump(description(), Dumper=Plain, sort_keys=True, allow_unicode=True, width=120)


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text(), encoding="utf-8")
    print(f"{FILE} is written.")
