"""Lists in pages: one more is read than is shown, to know whether there is more."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from app_api.bodies import Paging
from app_api.exchange import Answer, Page

R = TypeVar("R")
J = TypeVar("J")


def page_of(query: Paging, rows: Sequence[R], show: Callable[[R], J], key: Callable[[R], str]) -> Answer[Page[J]]:
    """Show the rows of a page, of which one more was read than is asked for; `key` is what `after` takes."""
    shown = rows[: query.limit]
    following = key(shown[-1]) if len(rows) > query.limit else None
    return Answer(200, Page([show(row) for row in shown], following))
