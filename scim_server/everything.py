"""Search over all resource types at once: GET on the root and POST /.search (RFC 7644 §3.4.2.1, §3.4.3)."""

from dataclasses import replace
from typing import Any

from app_core.work import Work
from scim_server import filters, groups, listing, users
from scim_server.errors import ScimError, invalid_value
from scim_server.exchange import Answer, Call
from scim_server.listing import Found, Query
from scim_server.schemas import GROUP, RESOURCE_TYPES, USER, ResourceType

PAGES = {"User": users.page, "Group": groups.page}


def find(work: Work, call: Call) -> Answer:
    """Answer a GET on the root."""
    return search(work, call, listing.query_from_url(call.query, call.limits))


def find_by_body(work: Work, call: Call) -> Answer:
    """Answer POST /.search."""
    return search(work, call, listing.query_from_body(call.json(), call.limits))


def search(work: Work, call: Call, query: Query) -> Answer:
    """Answer a page over users, then groups; or over both in one order, when sorted."""
    if query.filter is not None:
        filters.require_known(RESOURCE_TYPES, query.filter.tree)
    if query.cursor is not None:
        return _by_cursor(work, call, query)
    totals = {each.name: listing.total(work, each, query.filter) for each in RESOURCE_TYPES}
    resources = (
        _sorted(work, call, query, sum(totals.values()))
        if query.sort_by
        else _one_after_the_other(work, call, query, totals)
    )
    found = Found((), sum(totals.values()), query.start, None)
    return Answer(200, listing.list_response(resources, found, by_cursor=False))


def _one_after_the_other(work: Work, call: Call, query: Query, totals: dict[str, int]) -> list[bytes]:
    resources: list[bytes] = []
    skip, left = query.start - 1, query.count
    for kind in RESOURCE_TYPES:
        here = max(0, min(left, totals[kind.name] - skip))
        if here:
            found = listing.rows(work, kind, replace(query, start=skip + 1, count=here))
            resources += _single(work, call, kind, found, query)
            left -= here
        skip = max(0, skip - totals[kind.name])
    return resources


def _sorted(work: Work, call: Call, query: Query, total: int) -> list[bytes]:
    """Merge the sorted fronts of all types; a type without the attribute counts as without a value."""
    if not any(filters.resolve(kind, query.sort_by or "") for kind in RESOURCE_TYPES):
        raise ScimError(400, "invalidPath", f"sortBy: '{query.sort_by}' is not an attribute of any resource type.")
    if query.start > total:
        return []
    candidates: list[tuple[Any, ResourceType, Any]] = []
    for kind in RESOURCE_TYPES:
        has = filters.resolve(kind, query.sort_by or "") is not None
        front = replace(query, start=1, count=query.start - 1 + query.count, sort_by=query.sort_by if has else None)
        for row in listing.rows(work, kind, front).rows:
            value = row[-1] if has else None
            candidates.append(((value is None, value or "", row[0]), kind, row))
    candidates.sort(key=lambda each: each[0][:2], reverse=query.descending)
    chosen = candidates[query.start - 1 : query.start - 1 + query.count]
    return [
        resource for _, kind, row in chosen for resource in _single(work, call, kind, Found([row], 1, 1, None), query)
    ]


def _by_cursor(work: Work, call: Call, query: Query) -> Answer:
    if query.sort_by:
        raise invalid_value("sortBy", "over several resource types a cursor cannot follow an order; use startIndex.")
    name, _, inner = (query.cursor or "").partition(".")
    kind = GROUP if name == GROUP.name else USER
    if query.cursor and name not in PAGES:
        raise ScimError(400, "invalidCursor", "The cursor was not made by this server.")
    found = listing.rows(work, kind, replace(query, cursor=inner))
    resources = _single(work, call, kind, found, query)
    following = f"{kind.name}.{found.next_cursor}" if found.next_cursor else None
    if kind is USER and following is None:
        following = f"{GROUP.name}.{listing.start_cursor(GROUP, query)}"
    total = sum(listing.total(work, each, query.filter) for each in RESOURCE_TYPES)
    return Answer(200, listing.list_response(resources, Found((), total, 1, following), by_cursor=True))


def _single(work: Work, call: Call, kind: ResourceType, found: Found, query: Query) -> list[bytes]:
    """Give each resource by itself, so that they can be counted."""
    return [resource for row in found.rows for resource in PAGES[kind.name](work, call, found.one(row), query.wanted)]
