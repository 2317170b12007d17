"""Teams: what they look like, and the verbs on them. A synced team's name and members are its group's."""

from dataclasses import dataclass
from typing import Annotated, Literal

from app_api import people
from app_api.bodies import Body, Line, Paging, Search, one_of
from app_api.exchange import Answer, Call, Instant, Page, gone
from app_api.lists import page_of
from app_api.people import Person
from app_core import deletion, overviews, teams, vault
from app_core.errors import NotFound
from app_core.work import Work

Kind = Annotated[str, one_of("manual", "synced")]
SyncStatus = Annotated[str, one_of("synced", "source_deleted")]


@dataclass(frozen=True, slots=True)
class Team:
    """A team of the application, which logins belong to."""

    id: str
    name: str
    kind: Kind
    sync_status: SyncStatus | None
    group_id: str | None
    member_count: int
    login_count: int
    deletion_requested_at: Instant | None
    version: int
    created_at: Instant
    modified_at: Instant


class TeamList(Paging):
    """Which teams to list."""

    q: Search = ""
    kind: Literal["manual", "synced"] | None = None


class NewTeam(Body):
    """A manual team to make."""

    name: Line


class TeamChange(Body):
    """What of a manual team to change."""

    name: Line | None = None


def find(work: Work, call: Call, query: TeamList) -> Answer[Page[Team]]:
    """List teams in the order in which they were made."""
    rows = teams.page(work, after=query.after, limit=query.limit + 1, q=query.q or None, kind=query.kind)
    counts = overviews.login_counts(work, [team.id for team, _ in rows])
    return page_of(
        query,
        rows,
        lambda row: _shown(row[0], row[1], counts.get(row[0].id, 0)),
        lambda row: row[0].id,
    )


def create(work: Work, call: Call, body: NewTeam) -> Answer[Team]:
    """Make a manual team."""
    team = teams.create_manual(work, body.name)
    return Answer(201, _shown(team, 0, 0), team.id, version=team.version, location=f"/teams/{team.id}")


def read(work: Work, call: Call) -> Answer[Team]:
    """Read a team."""
    return shown(work, required(work, call.id))


def change(work: Work, call: Call, body: TeamChange) -> Answer[Team]:
    """Rename a manual team."""
    team = teams.lock(work, call.id)
    call.require_version(team.version)
    after = team if body.name is None else teams.rename_manual(work, team, body.name)
    answer = shown(work, after)
    answer.changed = ["name"] if after.name != team.name else []
    return answer


def delete(work: Work, call: Call) -> Answer[None]:
    """Delete a team that holds no logins."""
    call.require_version(teams.lock(work, call.id).version)
    deletion.delete_team(work, call.id)
    return gone(call.id)


def members(work: Work, call: Call, query: Paging) -> Answer[Page[Person]]:
    """List the people of a team."""
    team = required(work, call.id)
    return people.page(work, query, teams.members(work, team, after=query.after, limit=query.limit + 1))


def add_member(work: Work, call: Call) -> Answer[None]:
    """Put a person into a manual team; one that is in stays in."""
    teams.add_member(work, teams.lock(work, call.id), call.keys["person_id"])
    return gone(call.id)


def remove_member(work: Work, call: Call) -> Answer[None]:
    """Take a person out of a manual team; one that is not in is no mistake."""
    teams.remove_member(work, teams.lock(work, call.id), call.keys["person_id"])
    return gone(call.id)


def required(work: Work, team_id: str) -> teams.Team:
    """Give a team. Raises NotFound."""
    team = teams.find(work, team_id)
    if team is None:
        raise NotFound("Team", team_id)
    return team


def shown(work: Work, team: teams.Team) -> Answer[Team]:
    """Answer with one team."""
    body = _shown(team, teams.member_count(work, team), vault.count(work, team.id))
    return Answer(200, body, team.id, version=team.version)


def _shown(team: teams.Team, member_count: int, login_count: int) -> Team:
    return Team(
        id=team.id,
        name=team.name,
        kind=team.kind,
        sync_status=team.sync_status,
        group_id=team.group_id,
        member_count=member_count,
        login_count=login_count,
        deletion_requested_at=team.deletion_requested_at,
        version=team.version,
        created_at=team.created_at,
        modified_at=team.modified_at,
    )
