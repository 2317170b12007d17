"""The endpoints of /Users (RFC 7644 §3.3 to §3.6): thin steps between the wire and `provisioning`."""

from app_core import credentials, directory, provisioning
from app_core.directory import User
from app_core.errors import NotFound
from app_core.resource import (
    BASE,
    NO_GROUPS,
    GroupsMember,
    attributes_of,
    groups_member,
    page_with_groups,
    with_groups,
)
from app_core.work import Work
from scim_server import documents, listing, patch
from scim_server.exchange import Answer, Call
from scim_server.listing import Wanted
from scim_server.preconditions import require_match, unchanged
from scim_server.schemas import USER


def read(work: Work, call: Call) -> Answer:
    """Answer one user, active or not; 304 when the client has this version."""
    user = directory.find_user(work, call.key)
    if user is None:
        raise NotFound("User", call.key)
    groups = groups_member(user.groups)
    tag = etag(user.version, groups)
    if unchanged(call.headers, tag):
        return Answer(304, headers={"ETag": tag})
    return Answer(
        200,
        body(call, user.document, groups, listing.wanted(call.query)),
        {"ETag": tag, "Location": f"{call.base}/Users/{user.id}"},
    )


def find(work: Work, call: Call) -> Answer:
    """Answer a list of users."""
    return search(work, call, listing.query_from_url(call.query, call.limits))


def find_by_body(work: Work, call: Call) -> Answer:
    """Answer POST /Users/.search."""
    return search(work, call, listing.query_from_body(call.json(), call.limits))


def search(work: Work, call: Call, query: listing.Query) -> Answer:
    """Answer a page of users."""
    found = listing.find(work, USER, query)
    resources = page(work, call, found, query.wanted)
    by_cursor = query.cursor is not None
    return Answer(200, listing.list_response(resources, found, count=len(found.rows), by_cursor=by_cursor))


def page(work: Work, call: Call, found: listing.Found, wanted: Wanted) -> list[bytes]:
    """Make the users of a page ready to send; their groups are read at once, each group is written once."""
    if not found.rows:
        return []
    if found.has_groups:
        endings = {entries: groups_member(entries).ending for entries in {row[2] for row in found.rows}}
        documents = page_with_groups([(row[2], row[1]) for row in found.rows], endings)
    else:
        endings = directory.groups_of_users(work, [row[0] for row in found.rows], neighbours=found.neighbours)
        documents = page_with_groups(found.rows, endings)
    if wanted.everything:
        # One pass over the whole page fills in the service's address.
        return [b",".join(documents).replace(BASE, call.base_bytes)]
    return [listing.project(USER, each.replace(BASE, call.base_bytes), wanted) for each in documents]


def create(work: Work, call: Call) -> Answer:
    """Take a new user (RFC 7644 §3.3); `call.key` may hold an id that a bulk request has already given out."""
    wanted = listing.wanted(call.query)
    accepted = documents.accept(USER, call.json())
    # The directory always sees `active`, or it would send it again and again (entra rule 31).
    accepted.resource.setdefault("active", True)
    record = documents.record_of(accepted.resource, active=True)
    user = provisioning.create_user(
        work, record, user_id=call.key or None, password_hash=_password_hash(accepted.password)
    )
    location = f"{call.base}/Users/{user.id}"
    return Answer(
        201,
        body(call, user.document, NO_GROUPS, wanted),
        {"Location": location, "ETag": etag(user.version, NO_GROUPS)},
        target_id=user.id,
        changed=list(record.resource),
        notes=accepted.notes,
    )


def replace(work: Work, call: Call) -> Answer:
    """Replace a user (RFC 7644 §3.5.1): what is not sent is cleared, except for `active`, which stays as it is."""
    given = call.json()
    before, groups = _about_to_change(work, call)
    accepted = documents.accept(USER, given)
    accepted.resource.setdefault("active", bool(before.active))
    return _save(work, call, before, groups, accepted.resource, accepted.notes, accepted.password)


def update(work: Work, call: Call) -> Answer:
    """Patch a user (RFC 7644 §3.5.2); answers the whole user, so that logs on both sides show it."""
    given = call.json()
    before, groups = _about_to_change(work, call)
    operations = patch.operations_of(USER, given)
    resource = attributes_of(before.document)
    patched = patch.apply(USER, resource, operations)
    return _save(work, call, before, groups, resource, patched.notes, patched.password)


def delete(work: Work, call: Call) -> Answer:
    """Delete a user; it leaves its groups."""
    if "if-match" in call.headers or "if-none-match" in call.headers:
        _about_to_change(work, call)
    provisioning.delete_user(work, call.key)
    return Answer(204, target_id=call.key)


def _about_to_change(work: Work, call: Call) -> tuple[User, GroupsMember]:
    before = provisioning.lock_user(work, call.key)
    groups = groups_member(before.groups)
    require_match(call.headers, etag(before.version, groups))
    return before, groups


def _save(
    work: Work,
    call: Call,
    before: User,
    groups: GroupsMember,
    resource: dict[str, object],
    notes: list[str],
    password: str | None,
) -> Answer:
    wanted = listing.wanted(call.query)
    record = documents.record_of(resource, active=bool(before.active))
    user, changed = provisioning.save_user(work, before, record, password_hash=_password_hash(password))
    return Answer(
        200,
        body(call, user.document, groups, wanted),
        {"ETag": etag(user.version, groups), "Location": f"{call.base}/Users/{user.id}"},
        target_id=user.id,
        changed=[*changed, *(["password"] if password else [])],
        notes=notes,
    )


def body(call: Call, document: bytes, groups: GroupsMember, wanted: Wanted) -> bytes:
    """Make a stored user ready to send."""
    return listing.project(USER, with_groups(document, groups).replace(BASE, call.base_bytes), wanted)


def etag(version: int, groups: GroupsMember) -> str:
    """Give the weak ETag of a user: its own version, continued by what its groups say."""
    return f'W/"{version}{groups.suffix}"'


def _password_hash(password: str | None) -> str | None:
    return None if password is None else credentials.password_hash(password)
