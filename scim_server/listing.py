"""Lists: filter, sorting, paging by index (RFC 7644 §3.4.2.4) and by cursor (RFC 9865), chosen attributes (§3.9).

A statement is made once per shape of request and kept. Paging walks an index: the rows before a page are passed over
without reading them, and by cursor not even that.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from zlib import crc32

import orjson
from sqlalchemy import ColumnElement, Integer, Text, and_, bindparam, func, or_, select
from sqlalchemy.sql import Select

from app_core import directory
from app_core.db import KeyText, Statement
from app_core.directory import GROUP, GROUPS_OF, OF_GROUPS, OF_USERS, G, U
from app_core.work import Work
from scim_server import filters
from scim_server.errors import ScimError, invalid_value
from scim_server.exchange import LIST_RESPONSE, SEARCH_REQUEST, Limits
from scim_server.filters import Filter, Tree
from scim_server.schemas import Attribute, ResourceType

# Requests -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which attributes an answer carries (RFC 7644 §3.9): names in lower case, or all by default."""

    only: frozenset[str] | None = None
    without: frozenset[str] = frozenset()

    @property
    def everything(self) -> bool:
        """Say whether the answer is the whole document."""
        return self.only is None and not self.without


ALL = Wanted()


@dataclass(frozen=True, slots=True)
class Query:
    """What a list or search asks for."""

    filter: Filter | None
    sort_by: str | None
    descending: bool
    start: int
    count: int
    cursor: str | None
    """None: paging by index. Empty: the first page by cursor."""
    wanted: Wanted


def query_from_url(query: Mapping[str, str], limits: Limits) -> Query:
    """Read the parameters of a GET. Raises ScimError."""
    return _query(query, limits)


def query_from_body(body: Any, limits: Limits) -> Query:
    """Read a SearchRequest message (RFC 7644 §3.4.3). Raises ScimError."""
    if not isinstance(body, dict):
        raise ScimError(400, "invalidSyntax", "A search needs a JSON object as its body.")
    given = {str(name).lower(): value for name, value in body.items() if value is not None}
    schemas = given.pop("schemas", [SEARCH_REQUEST])
    if not isinstance(schemas, list) or SEARCH_REQUEST not in schemas:
        raise ScimError(400, "invalidSyntax", f"schemas must be ['{SEARCH_REQUEST}'].")
    for name in ("filter", "sortby", "sortorder", "cursor"):
        if name in given and not isinstance(given[name], str):
            raise invalid_value(name, "it must be text.")
    for name in ("startindex", "count"):
        if name in given and (not isinstance(given[name], int) or isinstance(given[name], bool)):
            raise invalid_value(name, "it must be an integer.")
    for name in ("attributes", "excludedattributes"):
        value = given.get(name)
        if isinstance(value, list) and all(isinstance(each, str) for each in value):
            given[name] = ",".join(value)
        elif name in given and not isinstance(value, str):
            raise invalid_value(name, "it must be a list of attribute names.")
    return _query(given, limits)


def _query(given: Mapping[str, Any], limits: Limits) -> Query:
    text = given.get("filter")
    order = given.get("sortorder", "ascending").lower()
    if order not in ("ascending", "descending"):
        raise invalid_value("sortOrder", "it must be ascending or descending.")
    cursor = given.get("cursor")
    return Query(
        filter=filters.parse(text) if text and text.strip() else None,
        sort_by=given.get("sortby") or None,
        descending=order == "descending",
        start=max(1, _number(given, "startindex", 1)),
        count=_count(given, limits, by_cursor=cursor is not None),
        cursor=cursor,
        wanted=wanted(given),
    )


def wanted(given: Mapping[str, Any]) -> Wanted:
    """Read `attributes` and `excludedAttributes`. Raises ScimError invalidValue when both are there."""
    only, without = given.get("attributes"), given.get("excludedattributes")
    if only and without:
        raise invalid_value("attributes", "it cannot be combined with excludedAttributes.")
    if only:
        return Wanted(only=_names(only))
    return Wanted(without=_names(without)) if without else ALL


@lru_cache(maxsize=512)
def _names(text: str) -> frozenset[str]:
    return frozenset(name for name in (each.strip().lower() for each in text.split(",")) if name)


def _number(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name)
    if value is None or value == "":
        return default
    try:
        number = int(value)
    except ValueError:
        raise invalid_value(name, f"'{str(value)[:40]}' is not an integer.") from None
    return max(-(2**31), min(number, 2**31))


def _count(given: Mapping[str, Any], limits: Limits, *, by_cursor: bool) -> int:
    try:
        count = _number(given, "count", limits.page_size)
    except ScimError as error:
        raise (ScimError(400, "invalidCount", error.detail) if by_cursor else error) from None
    return max(0, min(count, limits.max_page_size))


# Statements ---------------------------------------------------------------------------------------------------------

ID = {"User": U.c.id, "Group": G.c.id}
SCOPE = {"User": OF_USERS, "Group": OF_GROUPS}
COLUMNS: dict[str, tuple[ColumnElement[Any], ...]] = {"User": (U.c.id, U.c.document), "Group": GROUP}


@dataclass(frozen=True, slots=True)
class Page:
    """The prepared statement for one shape of list, and the binders of its filter."""

    statement: Statement
    filter: filters.Compiled | None
    has_groups: bool = False


def _selection(resource_type: ResourceType, tree: Tree | None) -> tuple[Select[Any], filters.Compiled | None]:
    compiled = None if tree is None else filters.compiled(resource_type, tree)
    scope, key = SCOPE[resource_type.name], ID[resource_type.name]
    chosen = select(*COLUMNS[resource_type.name]).where(*scope)
    if tree is None or compiled is None:
        return chosen, None
    if filters.scans_names(resource_type, tree):
        return chosen.where(key.in_(select(key).where(*scope, compiled.clause).correlate(None))), compiled
    return chosen.where(compiled.clause), compiled


FEW = 10
"""So many users' groups cost less than two more trips to the database."""


@lru_cache(maxsize=512)
def _page(
    resource_type: ResourceType, tree: Tree | None, sort_by: str | None, descending: bool, mode: str, one_trip: bool
) -> Page:
    """Make a page's statement. Modes: `first`, `index`, `after` a cursor, `after-none` (its sort value missing).

    `one_trip` has each user's groups read with it, though that costs more than to read those of all of them at once.
    """
    chosen, compiled = _selection(resource_type, tree)
    key = ID[resource_type.name]
    limit = bindparam("limit", type_=Integer())
    offset = bindparam("offset", type_=Integer())
    if sort_by is None:
        # Few rows come out of an index of their own; a planner without statistics would rather walk the ids in order.
        few = tree is not None and filters.selective(resource_type, tree)
        order = key.concat("") if few else key
        has_groups = (few or one_trip) and resource_type.name == "User"
        if has_groups:
            chosen = chosen.add_columns(GROUPS_OF)
        if tree is None:
            chosen = chosen.add_columns(directory.COUNTED.scalar_subquery())
        if mode == "after":
            chosen = chosen.where(key > bindparam("last", type_=KeyText))
        elif mode == "index" and tree is None:
            # Passes over the rows before the page in the index alone.
            inner = select(key).where(*SCOPE[resource_type.name]).order_by(key).limit(1).offset(offset)
            chosen = chosen.where(key >= inner.scalar_subquery())
        elif mode == "index":
            chosen = chosen.offset(offset)
        return Page(Statement(chosen.order_by(order).limit(limit)), compiled, has_groups)
    by = filters.sort_key(resource_type, sort_by)
    chosen = chosen.add_columns(by.label("sort_value"))
    if mode.startswith("after"):
        chosen = chosen.where(_beyond(by, key, descending, mode == "after-none"))
    if mode == "index":
        chosen = chosen.offset(offset)
    # Without a value: last when ascending, first when descending (RFC 7644 §3.4.2.3).
    missing = by.is_(None)
    ranks = (missing.desc(), by.desc(), key) if descending else (missing, by, key)
    return Page(Statement(chosen.order_by(*ranks).limit(limit)), compiled)


def _beyond(by: ColumnElement[Any], key: ColumnElement[Any], descending: bool, none: bool) -> ColumnElement[bool]:
    last, value = bindparam("last", type_=KeyText), bindparam("last_value", type_=Text())
    if none:
        rest = and_(by.is_(None), key > last)
        return or_(rest, by.is_not(None)) if descending else rest
    same = and_(by == value, key > last)
    return or_(by < value, same) if descending else or_(by > value, same, by.is_(None))


@lru_cache(maxsize=512)
def _total(resource_type: ResourceType, tree: Tree) -> Page:
    compiled = filters.compiled(resource_type, tree)
    counted = select(func.count()).select_from(U if resource_type.name == "User" else G)
    return Page(Statement(counted.where(*SCOPE[resource_type.name], compiled.clause)), compiled)


# Running ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """A page of rows, the total behind it, and where the next page begins."""

    rows: Sequence[Sequence[Any]]
    total: int
    start: int
    next_cursor: str | None
    has_groups: bool = False
    """Whether rows of users carry their groups; else they are to be read for the whole page at once."""
    neighbours: bool = False
    """Whether the rows follow each other by id with nothing between them."""

    def one(self, row: Sequence[Any]) -> "Found":
        """Give a page of one of these rows."""
        return Found((row,), 1, 1, None, self.has_groups, neighbours=True)


def find(work: Work, resource_type: ResourceType, query: Query) -> Found:
    """Find one page of users or groups. Raises ScimError invalidFilter, invalidPath, invalidCursor."""
    if query.filter is not None:
        filters.require_known((resource_type,), query.filter.tree)
    return rows(work, resource_type, query)


def rows(work: Work, resource_type: ResourceType, query: Query) -> Found:
    """Find one page as `find` does, where attributes that the type does not have are false."""
    if query.cursor is not None:
        return _find_after(work, resource_type, query)
    offset = query.start - 1
    got: Sequence[Sequence[Any]] = ()
    has_groups = False
    if query.count:
        page = _page_of(work, resource_type, query, "index" if offset else "first")
        got, has_groups = _run(work, resource_type, page, query, limit=query.count, offset=offset), page.has_groups
    # A short page that holds something has said how many there are.
    known = offset + len(got) if len(got) < query.count and (got or not offset) else None
    known = _total_behind(work, resource_type, query, got) if known is None else known
    return Found(got, known, query.start, None, has_groups, _neighbours(query))


def _total_behind(work: Work, resource_type: ResourceType, query: Query, got: Sequence[Sequence[Any]]) -> int:
    """Give the total behind a page: each row of a plain one carries it."""
    return int(got[0][-1]) if got and _neighbours(query) else total(work, resource_type, query.filter)


def total(work: Work, resource_type: ResourceType, wanted_filter: Filter | None) -> int:
    """Count what a filter matches; without one, look it up."""
    if wanted_filter is None:
        return directory.total(work, resource_type.name)
    page = _total(resource_type, wanted_filter.tree)
    assert page.filter is not None
    row = work.row(page.statement, connection_id=work.connection_id, **page.filter.params(wanted_filter.literals))
    return int(row[0]) if row else 0


def _find_after(work: Work, resource_type: ResourceType, query: Query) -> Found:
    fingerprint = _fingerprint(resource_type, query)
    last = _read_cursor(query.cursor or "", fingerprint)
    if not query.count:
        return Found((), total(work, resource_type, query.filter), 1, None)
    mode = "first" if last is None else "after-none" if query.sort_by and last[1] is None else "after"
    page = _page_of(work, resource_type, query, mode)
    place = {} if last is None else {"last": last[0], "last_value": last[1]}
    got = _run(work, resource_type, page, query, limit=query.count + 1, **place)
    more = len(got) > query.count
    got = got[: query.count]
    known = len(got) if last is None and not more else None
    cursor = _write_cursor(got[-1][0], got[-1][-1] if query.sort_by else None, fingerprint) if more else None
    known = _total_behind(work, resource_type, query, got) if known is None else known
    return Found(got, known, 1, cursor, page.has_groups, _neighbours(query))


def _page_of(work: Work, resource_type: ResourceType, query: Query, mode: str) -> Page:
    one_trip = work.connection.far and query.count <= FEW
    return _page(resource_type, _tree(query), query.sort_by, query.descending, mode, one_trip)


def _run(work: Work, resource_type: ResourceType, page: Page, query: Query, **params: Any) -> Sequence[Sequence[Any]]:
    literals = {} if page.filter is None or query.filter is None else page.filter.params(query.filter.literals)
    known = {"connection_id": work.connection_id, "kind": resource_type.name}
    return work.rows(page.statement, **known, **literals, **params)


def _neighbours(query: Query) -> bool:
    return query.filter is None and query.sort_by is None


def _tree(query: Query) -> Tree | None:
    return None if query.filter is None else query.filter.tree


# Cursors ------------------------------------------------------------------------------------------------------------


def _fingerprint(resource_type: ResourceType, query: Query) -> int:
    return crc32(repr((resource_type.name, query.filter, query.sort_by, query.descending)).encode())


def start_cursor(resource_type: ResourceType, query: Query) -> str:
    """Make a cursor to the first page of a query."""
    return _write_cursor("", None, _fingerprint(resource_type, query))


def _write_cursor(last: str, value: str | None, fingerprint: int) -> str:
    """Make a cursor: the last row and its sort value. It needs no secret: it can only say where to go on."""
    return base64.urlsafe_b64encode(orjson.dumps([fingerprint, last, value])).decode().rstrip("=")


def _read_cursor(cursor: str, fingerprint: int) -> tuple[str, str | None] | None:
    """Read a cursor of the same query; None for the first page. Raises ScimError invalidCursor (RFC 9865 §2.1)."""
    if not cursor:
        return None
    foreign = ScimError(400, "invalidCursor", "The cursor was not made by this server.")
    try:
        parts = orjson.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True))
    except (ValueError, binascii.Error):
        raise foreign from None
    if not isinstance(parts, list) or len(parts) != 3:
        raise foreign
    made_for, last, value = parts
    if not isinstance(last, str) or not isinstance(value, str | None) or "\0" in last + (value or ""):
        raise foreign
    if made_for != fingerprint:
        raise ScimError(400, "invalidCursor", "The cursor belongs to another filter or order: start again without it.")
    return last, value


# Answers ------------------------------------------------------------------------------------------------------------


def list_response(resources: Sequence[bytes], found: Found, *, count: int | None = None, by_cursor: bool) -> bytes:
    """Write a ListResponse around resources that are ready to send (`count` of them, where some come joined)."""
    count = len(resources) if count is None else count
    head = f'{{"schemas":["{LIST_RESPONSE}"],"totalResults":{found.total},"itemsPerPage":{count},'
    if not by_cursor:
        head += f'"startIndex":{found.start},'
    if found.next_cursor:
        head += f'"nextCursor":"{found.next_cursor}",'
    return head.encode() + b'"Resources":[' + b",".join(resources) + b"]}"


def project(resource_type: ResourceType, document: bytes, chosen: Wanted) -> bytes:
    """Keep the chosen attributes of a document; `id` and `schemas` always stay (RFC 7643 §7, returned)."""
    return (
        document
        if chosen.everything
        else orjson.dumps(select_attributes(resource_type, orjson.loads(document), chosen))
    )


def select_attributes(resource_type: ResourceType, document: dict[str, Any], chosen: Wanted) -> dict[str, Any]:
    """Keep the chosen attributes of a resource."""
    kept: dict[str, Any] = {}
    for name, value in document.items():
        attributes = resource_type.extensions.get(name.lower())
        if name.lower().startswith("urn:"):
            inner = _extension(name, value, attributes[1] if attributes else {}, resource_type, chosen)
            if inner not in (None, {}):
                kept[name] = inner
            continue
        attribute = resource_type.attributes.get(name.lower())
        if attribute is not None and attribute.returned == "always":
            kept[name] = value
            continue
        names = _spellings(resource_type, None, name)
        held = _choose(attribute, value, names, chosen)
        if held is not None:
            kept[name] = held
    return kept


def _extension(
    urn: str, value: Any, attributes: Mapping[str, Attribute], resource_type: ResourceType, chosen: Wanted
) -> Any:
    lowered = urn.lower()
    if chosen.only is not None and lowered in chosen.only:
        return value
    if lowered in chosen.without:
        return None
    if not isinstance(value, dict):
        return value if chosen.only is None else None
    kept = {}
    for name, held in value.items():
        inner = _choose(attributes.get(name.lower()), held, _spellings(resource_type, urn, name), chosen)
        if inner is not None:
            kept[name] = inner
    return kept


def _spellings(resource_type: ResourceType, urn: str | None, name: str) -> tuple[str, ...]:
    lowered = name.lower()
    if urn is None:
        return lowered, f"{resource_type.urn.lower()}:{lowered}"
    # Enterprise attributes may be named without their URN, as Entra's paths do.
    known = urn.lower() in resource_type.extensions
    return (f"{urn.lower()}:{lowered}", lowered) if known else (f"{urn.lower()}:{lowered}",)


def _choose(attribute: Attribute | None, value: Any, names: tuple[str, ...], chosen: Wanted) -> Any:
    asked = chosen.without if chosen.only is None else chosen.only
    whole = any(name in asked for name in names)
    if whole:
        return value if chosen.only is not None else None
    subs = {each.partition(name + ".")[2] for name in names for each in asked if each.startswith(name + ".")}
    if not subs or attribute is None or not attribute.sub:
        return None if chosen.only is not None else value
    if isinstance(value, list):
        parts = [_sub(each, subs, chosen) for each in value]
        return [each for each in parts if each] or None
    return _sub(value, subs, chosen) or None


def _sub(value: Any, names: set[str], chosen: Wanted) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: held for name, held in value.items() if (name.lower() in names) == (chosen.only is not None)}
