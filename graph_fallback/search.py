"""Search of a directory's groups and users for the console, page by page, ordered by name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit

from app_core.errors import Invalid
from app_core.resource import GUID
from graph_fallback.client import DeltaExpired, GraphClient, NotInDirectory
from graph_fallback.pages import GROUP_PROPERTIES, USER_PROPERTIES, Page, page_at
from graph_fallback.payloads import GraphGroup, GraphUser, groups_of, users_of
from graph_fallback.tokens import GraphRefused

T = TypeVar("T")

# $search and $orderby are answered from another index, which has to be asked for in both ways (entra.md §8.10).
EVENTUAL = {"ConsistencyLevel": "eventual"}
GROUP_FIELDS, USER_FIELDS = ("displayName", "mail"), ("displayName", "userPrincipalName", "mail")
DEFAULT_LIMIT, MOST_LIMIT, LONGEST_TEXT, LONGEST_CURSOR = 25, 100, 100, 8192
NO_PLACE = "after: this is no place to go on from, or not any more; begin the list again."
QUOTED = "$&=,()'/:;@!*+~%-._"
"""What may stand in a query as it is: a cursor goes back as it came."""


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """A page of what was found. `next` leads to the following one; `count` is how many there are, where Graph says."""

    items: Sequence[T]
    next: str | None
    count: int | None


async def groups(
    client: GraphClient, text: str = "", *, after: str | None = None, limit: int = DEFAULT_LIMIT
) -> Found[GraphGroup]:
    """Find groups by the beginning of a word of their name or mail; without a text all of them.

    Raises Invalid, and what the client raises.
    """
    page = await _page(client, f"/groups?$select={GROUP_PROPERTIES}", GROUP_FIELDS, text, after, limit)
    return _found(page, groups_of)


async def users(
    client: GraphClient, text: str = "", *, after: str | None = None, limit: int = DEFAULT_LIMIT
) -> Found[GraphUser]:
    """Find users by the beginning of a word of their name, user principal name or mail; without a text all of them.

    Raises Invalid, and what the client raises.
    """
    page = await _page(client, f"/users?$select={USER_PROPERTIES}", USER_FIELDS, text, after, limit)
    return _found(page, users_of)


async def group(client: GraphClient, group_id: str) -> GraphGroup | None:
    """Read one group; None when the directory has none of that id. Raises Invalid for what is no object id."""
    try:
        return GraphGroup.parse(await client.get(f"/groups/{require_object_id(group_id)}?$select={GROUP_PROPERTIES}"))
    except NotInDirectory:
        return None


def require_object_id(value: str) -> str:
    """Give an object id as it may stand in a path. Raises Invalid."""
    if GUID.fullmatch(value) is None:
        raise Invalid("An object of the directory is named by its object id, a GUID.")
    return value.lower()


async def _page(
    client: GraphClient, start: str, fields: Sequence[str], text: str, after: str | None, limit: int
) -> Page:
    if after is not None:
        return await _following(client, start.partition("?")[0], after)
    start = f"{start}&$top={max(1, min(limit, MOST_LIMIT))}"
    ordered = f"{start}&$count=true&$orderby=displayName"
    text = " ".join(text.split())[:LONGEST_TEXT]
    if not text:
        return await page_at(client, ordered, headers=EVENTUAL)
    try:
        return await page_at(client, f"{ordered}&$search={_search(fields, text)}", headers=EVENTUAL)
    except GraphRefused as refused:
        if refused.facts.get("status") not in (400, 501):
            raise
    # Some directories and some texts cannot be searched; the beginning of a value can be asked of any.
    return await page_at(client, f"{start}&$filter={_starts(fields, text)}")


async def _following(client: GraphClient, path: str, after: str) -> Page:
    """Go on from a cursor: from outside comes the query alone, and it cannot lead to another path. Raises Invalid."""
    names = {name.lstrip("$").lower() for name, _ in parse_qsl(after, keep_blank_values=True)}
    if len(after) > LONGEST_CURSOR or not names & {"skiptoken", "skip"} or "expand" in names:
        raise Invalid(NO_PLACE)
    try:
        return await page_at(client, f"{path}?{quote(after, safe=QUOTED)}", headers=EVENTUAL)
    except DeltaExpired:
        raise Invalid(NO_PLACE) from None
    except GraphRefused as refused:
        if refused.facts.get("status") == 400:
            raise Invalid(NO_PLACE) from None
        raise


def _search(fields: Sequence[str], text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return quote(" OR ".join(f'"{name}:{escaped}"' for name in fields), safe="")


def _starts(fields: Sequence[str], text: str) -> str:
    escaped = text.replace("'", "''")
    return quote(" or ".join(f"startswith({name},'{escaped}')" for name in fields), safe="")


def _found(page: Page, read: Callable[[list[dict[str, Any]]], list[T]]) -> Found[T]:
    query = None if page.next_link is None else urlsplit(page.next_link).query
    return Found(read(page.items), query or None, page.count)
