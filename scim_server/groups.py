"""The endpoints of /Groups: a PATCH becomes sets of ids to add and remove; members are never loaded to change some."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import orjson
from sqlalchemy import bindparam, select

from app_core import directory, provisioning
from app_core.db import KeyText, Statement
from app_core.directory import Group
from app_core.errors import NotFound
from app_core.provisioning import GroupChange, GroupRecord, MemberStep
from app_core.resource import BASE, CORE_GROUP, JsonObject, meta
from app_core.work import Work
from scim_server import documents, entra, filters, listing, patch
from scim_server.errors import invalid_path, invalid_value, mutability
from scim_server.exchange import Answer, Call
from scim_server.filters import Comparison, Filter
from scim_server.listing import Wanted
from scim_server.patch import Operation
from scim_server.preconditions import require_match, unchanged
from scim_server.schemas import GROUP

Ids: TypeAlias = list[str] | Callable[[], Sequence[str]]
MEMBERS = "members"
MEMBERS_KEYS = frozenset({MEMBERS, f"{CORE_GROUP.lower()}:{MEMBERS}"})


def read(work: Work, call: Call) -> Answer:
    """Answer one group, without its members when they are not wanted."""
    group = directory.find_group(work, call.key)
    if group is None:
        raise NotFound("Group", call.key)
    tag = etag(group.version)
    if unchanged(call.headers, tag):
        return Answer(304, headers={"ETag": tag})
    return Answer(
        200, body(work, call, group, listing.wanted(call.query)), {"ETag": tag, "Location": _location(call, group)}
    )


def find(work: Work, call: Call) -> Answer:
    """Answer a list of groups."""
    return search(work, call, listing.query_from_url(call.query, call.limits))


def find_by_body(work: Work, call: Call) -> Answer:
    """Answer POST /Groups/.search."""
    return search(work, call, listing.query_from_body(call.json(), call.limits))


def search(work: Work, call: Call, query: listing.Query) -> Answer:
    """Answer a page of groups."""
    found = listing.find(work, GROUP, query)
    resources = page(work, call, found, query.wanted)
    by_cursor = query.cursor is not None
    return Answer(200, listing.list_response(resources, found, count=len(found.rows), by_cursor=by_cursor))


def page(work: Work, call: Call, found: listing.Found, wanted: Wanted) -> list[bytes]:
    """Make the groups of a page ready to send; the members of all are read at once."""
    groups = [Group(*row[: len(directory.GROUP)]) for row in found.rows]
    members = directory.members_of_groups(work, [group.id for group in groups]) if _wants_members(wanted) else {}
    return [_body(call, group, members.get(group.id, b""), wanted) for group in groups]


def create(work: Work, call: Call) -> Answer:
    """Take a new group; its members must exist."""
    wanted = listing.wanted(call.query)
    given, members = _split(call.json())
    accepted = documents.accept(GROUP, given)
    group = provisioning.create_group(work, _record(accepted.resource), members or (), group_id=call.key or None)
    return Answer(
        201,
        body(work, call, group, wanted) if members else _body(call, group, b"", wanted),
        {"Location": _location(call, group), "ETag": etag(group.version)},
        target_id=group.id,
        changed=[*accepted.resource, *([MEMBERS] if members else [])],
        notes=accepted.notes,
    )


def replace(work: Work, call: Call) -> Answer:
    """Replace a group; without `members` it has none afterwards (RFC 7644 §3.5.1)."""
    given, members = _split(call.json())
    before = _about_to_change(work, call)
    accepted = documents.accept(GROUP, given)
    change = GroupChange(_record(accepted.resource), [MemberStep("replace", members or ())])
    changed = provisioning.change_group(work, before, change)
    return _answer_whole(work, call, before, changed, accepted.notes)


def update(work: Work, call: Call) -> Answer:
    """Patch a group. Answers 204 (entra rule 20), or the group when `attributes` ask for some of it."""
    given = call.json()
    before = _about_to_change(work, call)
    operations = patch.operations_of(GROUP, given)
    change, notes = change_of(work, before, operations)
    changed = provisioning.change_group(work, before, change)
    if not listing.wanted(call.query).everything:
        return _answer_whole(work, call, before, changed, notes)
    return Answer(
        204,
        headers={"ETag": etag(before.version + bool(changed))},
        target_id=before.id,
        changed=changed,
        notes=notes,
    )


def delete(work: Work, call: Call) -> Answer:
    """Delete a group."""
    if "if-match" in call.headers or "if-none-match" in call.headers:
        _about_to_change(work, call)
    provisioning.delete_group(work, call.key)
    return Answer(204, target_id=call.key)


# PATCH --------------------------------------------------------------------------------------------------------------


def change_of(work: Work, before: Group, operations: Sequence[Operation]) -> tuple[GroupChange, list[str]]:
    """Turn operations into a change, and name what was left out. Raises ScimError."""
    steps: list[MemberStep] = []
    others: list[Operation] = []
    for operation in operations:
        if operation.target is not None and operation.target.attribute is GROUP.attributes[MEMBERS]:
            for op, ids in _member_steps(work, before, operation):
                _append(steps, op, ids)
        else:
            others.append(operation)
    resource = _resource(before)
    patched = patch.apply(GROUP, resource, others)
    return GroupChange(_record(resource) if others else None, steps), patched.notes


def _append(steps: list[MemberStep], op: str, ids: Ids) -> None:
    """Add a step; neighbours of one kind become one, so that thousands of one-member operations are two statements."""
    last = steps[-1].ids if steps and steps[-1].op == op and op != "replace" else None
    if last is not None and not callable(last) and not callable(ids):
        steps[-1] = MemberStep(op, [*last, *ids])
    else:
        steps.append(MemberStep(op, ids))


def _member_steps(work: Work, before: Group, operation: Operation) -> Iterator[tuple[str, Ids]]:
    target = operation.target
    assert target is not None
    if target.sub is not None:
        raise mutability(target.path, "a member cannot be changed; remove it and add another.")
    if target.where is not None:
        if operation.op != "remove":
            raise invalid_path(target.path, "members are added and replaced by the path 'members'.")
        yield "remove", _selected(work, before, target.where)
        return
    if operation.op == "remove" and operation.value is None:
        yield "replace", []
        return
    ids = entra.member_ids(operation.value)
    if ids is None:
        raise invalid_value(target.path, "members are a list of objects with the id of the member as value.")
    # Remove with a list means just these (entra rule 5).
    yield operation.op, ids


def _selected(work: Work, group: Group, where: Filter) -> Ids:
    """Give the members that a value path means: `members[value eq "id"]` names one, others are looked up in turn."""
    tree = where.tree
    if isinstance(tree, Comparison) and tree.op == "eq" and tree.path.lower() == "value":
        return [where.literals[tree.slot]]
    clause = filters.elements_clause(GROUP, GROUP.attributes[MEMBERS], tree)
    source = filters.MEMBERS.c
    found = select(source.value).where(
        source.tenant_id == directory.tenant, source.group_id == bindparam("group_id", type_=KeyText), clause.clause
    )
    params = clause.params(where.literals)
    return lambda: [str(row[0]) for row in work.rows(Statement(found), group_id=group.id, **params)]


# The wire ⇄ the core -------------------------------------------------------------------------------------------------


def _split(given: Any) -> tuple[Any, list[str] | None]:
    """Part a body's members from the rest: they may be many, and only their ids count."""
    if not isinstance(given, dict):
        return given, None
    rest: JsonObject = {}
    members: list[str] | None = None
    for name, value in given.items():
        if name.lower() not in MEMBERS_KEYS:
            rest[name] = value
            continue
        members = entra.member_ids(value)
        if members is None:
            raise invalid_value(MEMBERS, "members are a list of objects with the id of the member as value.")
    return rest, members


def _record(resource: JsonObject) -> GroupRecord:
    extensions = {name: value for name, value in resource.items() if name.startswith("urn:")}
    return GroupRecord(
        resource["displayName"],
        resource.get("externalId"),
        orjson.dumps(extensions).decode() if extensions else None,
    )


def _resource(group: Group) -> JsonObject:
    known = {"displayName": group.display_name, "externalId": group.external_id}
    extensions = orjson.loads(group.extensions) if group.extensions else {}
    return {name: value for name, value in {**known, **extensions}.items() if value is not None}


def _about_to_change(work: Work, call: Call) -> Group:
    before = provisioning.lock_group(work, call.key)
    require_match(call.headers, etag(before.version))
    return before


def _answer_whole(work: Work, call: Call, before: Group, changed: list[str], notes: list[str]) -> Answer:
    after = directory.find_group(work, before.id)
    assert after is not None
    shown = body(work, call, after, listing.wanted(call.query))
    headers = {"ETag": etag(after.version), "Location": _location(call, after)}
    return Answer(200, shown, headers, target_id=after.id, changed=changed, notes=notes)


def body(work: Work, call: Call, group: Group, wanted: Wanted) -> bytes:
    """Make a group ready to send."""
    members = directory.members_json(work, group.id) if _wants_members(wanted) else b""
    return _body(call, group, members, wanted)


def _body(call: Call, group: Group, members: bytes, wanted: Wanted) -> bytes:
    document = _document(group, members).replace(BASE, call.base_bytes)
    if wanted.everything or (wanted.only is None and wanted.without <= MEMBERS_KEYS):
        return document
    return listing.project(GROUP, document, wanted)


def _document(group: Group, members: bytes) -> bytes:
    schemas, extensions = [CORE_GROUP], b""
    if group.extensions:
        schemas += list(orjson.loads(group.extensions))
        extensions = b"," + group.extensions[1:-1].encode()
    external_id = b"" if group.external_id is None else b',"externalId":' + orjson.dumps(group.external_id)
    return b"".join(
        (
            b'{"schemas":',
            orjson.dumps(schemas),
            b',"id":"',
            group.id.encode(),
            b'"',
            external_id,
            b',"displayName":',
            orjson.dumps(group.display_name),
            extensions,
            b',"members":[' + members + b"]" if members else b"",
            meta("Group", group.id, group.created_at, group.modified_at, group.version),
        )
    )


def _wants_members(wanted: Wanted) -> bool:
    if wanted.only is not None:
        return any(
            name.partition(".")[0] == MEMBERS or name.startswith(f"{CORE_GROUP.lower()}:{MEMBERS}")
            for name in wanted.only
        )
    return not wanted.without & MEMBERS_KEYS


def _location(call: Call, group: Group) -> str:
    return f"{call.base}/Groups/{group.id}"


def etag(version: int) -> str:
    """Give the weak ETag of a group."""
    return f'W/"{version}"'
