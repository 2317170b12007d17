"""The groups of the mirror, and which of them are teams: Add a group as a team, Remove it again (G3)."""

from dataclasses import dataclass

from app_api import teams
from app_api.bodies import Paging, Search
from app_api.exchange import Answer, Call, Instant, Page, gone
from app_api.lists import page_of
from app_api.teams import SyncStatus, Team
from app_core import administration, overviews
from app_core.errors import NotFound
from app_core.overviews import GroupOverview
from app_core.work import Work


@dataclass(frozen=True, slots=True)
class Group:
    """A group of the directory, and the team that follows it."""

    id: str
    display_name: str
    external_id: str | None
    entra_object_id: str | None
    member_count: int
    team_id: str | None
    sync_status: SyncStatus | None
    created_at: Instant
    modified_at: Instant


class GroupList(Paging):
    """Which groups to list."""

    q: Search = ""


def find(work: Work, call: Call, query: GroupList) -> Answer[Page[Group]]:
    """List the groups of the directory."""
    rows = overviews.groups(work, after=query.after, limit=query.limit + 1, q=query.q)
    return page_of(query, rows, _shown, lambda group: group.id)


def read(work: Work, call: Call) -> Answer[Group]:
    """Read a group."""
    return Answer(200, _shown(_required(work, call.id)), call.id)


def add(work: Work, call: Call) -> Answer[Team]:
    """Add a group as a team; a group that is one stays one."""
    team = administration.sync_group(work, call.id)
    answer = teams.shown(work, team)
    answer.status, answer.location, answer.target_id = 201, f"/teams/{team.id}", call.id
    return answer


def remove(work: Work, call: Call) -> Answer[None]:
    """Remove a group's sync and its team, unless the team holds logins."""
    administration.remove_group(work, call.id)
    return gone(call.id)


def _required(work: Work, group_id: str) -> GroupOverview:
    group = overviews.group(work, group_id)
    if group is None:
        raise NotFound("Group", group_id)
    return group


def _shown(group: GroupOverview) -> Group:
    return Group(
        id=group.id,
        display_name=group.display_name,
        external_id=group.external_id,
        entra_object_id=group.entra_object_id,
        member_count=group.member_count,
        team_id=group.team_id,
        sync_status=group.sync_status,
        created_at=group.created_at,
        modified_at=group.modified_at,
    )
