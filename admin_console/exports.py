"""Lists as files: CSV for a spreadsheet, JSON lines for a program."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from admin_console.endpoint import File

FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> File:
    """Write rows under their columns. A value that a spreadsheet would run as a formula is shown as text."""
    written = io.StringIO()
    out = csv.writer(written)
    out.writerow(columns)
    for row in rows:
        texts = ["" if cell is None else str(cell) for cell in row]
        out.writerow([f"'{text}" if text.startswith(FORMULA) else text for text in texts])
    # The mark tells Excel that it is UTF-8.
    return File(media_type="text/csv", data=written.getvalue().encode("utf-8-sig"), name=f"{name}.csv")


def as_json_lines(name: str, rows: Iterable[Any]) -> File:
    """Write each row as a line of JSON."""
    data = b"".join([orjson.dumps(row) + b"\n" for row in rows])
    return File(media_type="application/jsonl", data=data, name=f"{name}.jsonl")
