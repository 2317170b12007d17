"""Pages of a list or of a delta query, one after the other. Empty pages with a next one are normal (entra.md §8.2).

A walk either reaches its end or raises: only what was listed completely may say what is missing. A plain list that
Graph cuts short looks complete all the same; a first round of changes does not, for its end carries a delta link.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from graph_fallback.client import DeltaExpired, GraphClient, JsonObject
from graph_fallback.tokens import GraphError

USER_PROPERTIES = (
    "id,userPrincipalName,displayName,givenName,surname,mail,jobTitle,department,companyName,employeeId,"
    "officeLocation,businessPhones,mobilePhone,faxNumber,streetAddress,city,state,postalCode,country,"
    "preferredLanguage,accountEnabled,mailNickname"
)
"""Without `$select` half of them would not come, and a change of one that is not named would show nobody."""
GROUP_PROPERTIES = "id,displayName,description,mail,mailEnabled,securityEnabled,groupTypes"

USERS_DELTA = f"/users/delta?$select={USER_PROPERTIES},manager"
GROUPS_DELTA = f"/groups/delta?$select={GROUP_PROPERTIES},members"
ALL_USERS = f"/users?$select={USER_PROPERTIES}&$expand=manager($select=id)&$top=999"
ALL_GROUPS = f"/groups?$select={GROUP_PROPERTIES}&$top=999"
DELETED_USERS = "/directory/deletedItems/microsoft.graph.user?$select=id&$top=999"
MINIMAL: Mapping[str, str] = {"Prefer": "return=minimal"}
"""Asks a delta link for what has changed only; a null is a clearing then, and a missing key says nothing."""
MOST_PAGES = 1_000_000


class ListingBroken(GraphError):
    """A list cannot be completed: it turns in circles, ends in the middle, or is not readable. It proves no absence."""

    code = "graph-listing-broken"


@dataclass(frozen=True, slots=True)
class Page:
    """A page. A delta query's last one has the link to begin with next time; before it, each names the next page."""

    items: list[JsonObject] = field(repr=False)
    """Objects, each with an `id`."""
    unreadable: int
    """How many others were there: a listing with any of them proves no absence."""
    next_link: str | None = field(repr=False)
    delta_link: str | None = field(repr=False)
    count: int | None = None
    """How many there are in all, where Graph was asked to say (`$count=true`)."""

    @property
    def link(self) -> str | None:
        """Give where to go on, now or next time: what is to be remembered with what this page said."""
        return self.next_link or self.delta_link


def user_of(user_id: str) -> str:
    """Give the path of a user with all that is pulled of it."""
    return f"/users/{quote(user_id, safe='')}?$select={USER_PROPERTIES}&$expand=manager($select=id)"


def memberships_of(user_id: str) -> str:
    """Give the path of the groups that a user is in directly, among other things that have members."""
    return f"/users/{quote(user_id, safe='')}/memberOf?$select=id&$top=999"


def asks_for(link: str, path: str) -> bool:
    """Say whether a link asks for all properties that a path of ours does."""
    asked, wanted = (
        {name for each in parse_qs(urlsplit(url).query).get("$select", []) for name in each.split(",")}
        for url in (link, path)
    )
    return asked >= wanted


def members_of(group_id: str) -> str:
    """Give the path of a group's direct members, of whatever type."""
    return f"/groups/{group_id}/members?$select=id&$top=999"


async def listed(
    client: GraphClient, start: str, *, headers: Mapping[str, str] | None = None, most: int = MOST_PAGES
) -> AsyncIterator[Page]:
    """Walk a list from a path, or from a link where a walk was left.

    Raises ListingBroken, and what the client raises; then the list is not complete.
    """
    try:
        async for page in _walk(client, start, headers, most):
            yield page
    except DeltaExpired as error:
        raise ListingBroken(
            "A page link was no longer good before the list was complete; list anew.", **error.facts
        ) from None


async def delta(
    client: GraphClient, start: str, *, minimal: bool = False, most: int = MOST_PAGES
) -> AsyncIterator[Page]:
    """Walk a round of changes from USERS_DELTA or GROUPS_DELTA, a delta link, or a next link where a walk was left.

    Each page has a link to remember; the last one's is the delta link. Raises DeltaExpired when a full round is due;
    ListingBroken when this round cannot be completed: begin it anew with the link that it began with. What else the
    client raises leaves the link of the last page good.
    """
    async for page in _walk(client, start, MINIMAL if minimal else None, most):
        yield _of_round(page)


async def delta_page(client: GraphClient, start: str, *, minimal: bool = False) -> Page:
    """Read one page of a round of changes: it always has a link to remember. Raises as `delta` does.

    Whoever reads page by page has to notice by itself when a round turns in circles.
    """
    return _of_round(await page_at(client, start, headers=MINIMAL if minimal else None))


def _of_round(page: Page) -> Page:
    if page.link is None:
        raise ListingBroken("A round of changes ended without saying where the next one begins; begin it again.")
    return page


async def page_at(client: GraphClient, start: str, *, headers: Mapping[str, str] | None = None) -> Page:
    """Read one page. Raises ListingBroken for what is none, and ForeignLink for one that leads to another host."""
    body = await client.get(start, headers=headers)
    value = body.get("value")
    if not isinstance(value, list):
        raise ListingBroken("A page of a list had no entries to read.")
    items = [item for item in value if isinstance(item, dict) and isinstance(item.get("id"), str) and item["id"]]
    count = body.get("@odata.count")
    return Page(
        items,
        len(value) - len(items),
        _link(client, body, "@odata.nextLink"),
        _link(client, body, "@odata.deltaLink"),
        count if isinstance(count, int) and not isinstance(count, bool) else None,
    )


async def _walk(client: GraphClient, start: str, headers: Mapping[str, str] | None, most: int) -> AsyncIterator[Page]:
    # Digests: links run to kilobytes, and there may be thousands.
    seen = {_digest(start)}
    link: str | None = start
    while link is not None:
        page = await page_at(client, link, headers=headers)
        link = page.next_link
        # Said before the page is handed out, so that nobody remembers a link that leads back.
        if link is not None and _digest(link) in seen:
            raise ListingBroken("A page named an earlier one as the next: the list turns in circles.")
        if link is not None and len(seen) >= most:
            raise ListingBroken(f"The list has more than {most} pages.")
        yield page
        if link is not None:
            seen.add(_digest(link))


def _digest(link: str) -> bytes:
    return sha256(link.encode(errors="replace")).digest()[:16]


def _link(client: GraphClient, body: JsonObject, name: str) -> str | None:
    link: Any = body.get(name)
    if link is None:
        return None
    if not isinstance(link, str) or not link:
        raise ListingBroken("A page named its next one in a way that is not readable.")
    client.require_own(link)
    return link
