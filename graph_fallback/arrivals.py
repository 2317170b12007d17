"""People who were named and are not here yet, read one by one: with all that is pulled of them, and their groups.

A user that came after the users' round, or that enters the user filter, is named by nobody else: a change of a
membership is no change of the user. Its memberships were passed over while it was unknown, so they are read with it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app_core import awaited, user_filter
from app_core.provisioning_log import Entry, Outcome
from app_core.work import Work
from graph_fallback import apply, pages, payloads
from graph_fallback.apply import Tally
from graph_fallback.client import GraphClient, Part
from graph_fallback.pages import ListingBroken
from graph_fallback.payloads import Change, GraphGroup, GraphUser, MemberDelta

AT_ONCE = 20
"""As many as a batch holds."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """What Graph says of somebody who was named."""

    object_id: str
    user: GraphUser | None = None
    """None: the directory has no such user (any more)."""
    groups: frozenset[str] = frozenset()
    """The object ids of what it is a member of directly."""
    refusal: str | None = None


async def read(client: GraphClient, object_ids: Sequence[str]) -> list[Arrival]:
    """Ask Graph for some people and their groups. Raises GraphError."""
    users = dict(zip(object_ids, await client.batch([pages.user_of(each) for each in object_ids]), strict=True))
    here = [object_id for object_id, part in users.items() if part.status == 200]
    groups = dict(zip(here, await client.batch([pages.memberships_of(each) for each in here]), strict=True))
    return [await _arrival(client, object_id, part, groups.get(object_id, part)) for object_id, part in users.items()]


async def _arrival(client: GraphClient, object_id: str, of_user: Part, of_groups: Part) -> Arrival:
    if 404 in (of_user.status, of_groups.status):
        return Arrival(object_id)
    for part in (of_user, of_groups):
        if part.status != 200:
            return Arrival(object_id, refusal=_said(part))
    user = GraphUser.parse(of_user.json)
    if user is None or user.id != object_id:
        return Arrival(object_id, refusal=_said(of_user))
    return Arrival(object_id, payloads.whole(user), frozenset(await _groups(client, of_groups)))


def _said(part: Part) -> str:
    return f"Microsoft Graph does not give a user that a group names ({part.status} {part.error or 'no code'})."


async def _groups(client: GraphClient, first: Part) -> set[str]:
    """Read on where somebody is in more groups than a page has. Raises ListingBroken."""
    listed: Any = first.json.get("value")
    if not isinstance(listed, list):
        raise ListingBroken("A list of somebody's groups cannot be read.")
    found = payloads.members_in(listed)
    link = first.json.get("@odata.nextLink")
    if isinstance(link, str):
        async for page in pages.listed(client, link):
            found = found.then(payloads.members_in(page.items))
    return set(found.groups.added)


def take(work: Work, arrivals: Sequence[Arrival]) -> Tally:
    """Write people down whom the filter lets in, and put all who are here then into their groups."""
    chosen = {each.object_id for each in user_filter.chosen(work)}
    for each in arrivals:
        if each.refusal is not None:
            entry = Entry("pull", "User", each.object_id, Outcome.FAILURE, 409, "graph-refused", each.refusal)
            apply.log(work, entry)
    scope = {each.object_id for each in arrivals if not chosen or chosen & each.groups}
    tally = apply.apply_users(
        work, [each.user for each in arrivals if each.user is not None], scope=scope, complete=True
    )
    members: dict[str, set[str]] = {}
    for each in arrivals:
        for group_id in each.groups:
            members.setdefault(group_id, set()).add(each.object_id)
    apply.apply_groups(work, [_with_members(group_id, members[group_id]) for group_id in sorted(members)])
    awaited.drop_users(work, [each.object_id for each in arrivals])
    return tally


def _with_members(group_id: str, object_ids: set[str]) -> GraphGroup:
    return GraphGroup(group_id, members=MemberDelta(Change(frozenset(object_ids))))
