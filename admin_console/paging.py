"""Lists that go by cursor: one row more is read than is shown, and it says whether there is a next page."""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar
from urllib.parse import urlencode

T = TypeVar("T")
ROWS = 50


class Cut(NamedTuple, Generic[T]):
    """A page of a list, and the paths of the following page and of the beginning, where there is another."""

    items: Sequence[T]
    next: str | None
    first: str | None


def cut(
    rows: Sequence[T],
    cursor: Callable[[T], str],
    path: str,
    asked: dict[str, str],
    *,
    name: str = "after",
    most: int = ROWS,
) -> Cut[T]:
    """Cut a page from `most` + 1 rows. `asked` is the query of the present page, in which `name` holds its cursor."""
    last = cursor(rows[most - 1]) if len(rows) > most else None
    return Cut(rows[:most], None if last is None else at(path, {**asked, name: last}), beginning(path, asked, name))


def beginning(path: str, asked: dict[str, str], name: str = "after") -> str | None:
    """Give the path of the first page; None where this is it."""
    return at(path, {**asked, name: ""}) if asked.get(name) else None


def at(path: str, asked: dict[str, str]) -> str:
    """Write a path with its query, of which what is empty is left out."""
    query = urlencode({key: value for key, value in asked.items() if value})
    return f"{path}?{query}" if query else path
