"""Teams: members, and the logins that keep a team from being deleted (T1, T2, P4)."""

from collections.abc import Callable
from typing import NamedTuple

from admin_console.endpoint import Answer, done, page
from admin_console.pages.groups import user_id_of
from admin_console.paging import ROWS, at, cut
from admin_console.request import Request
from app_core import deletion, overviews, people, teams, vault
from app_core.errors import NotFound
from app_core.people import Person
from app_core.teams import Team
from app_core.work import Work

HOME = "/console/teams"
LEFT_BEHIND = "left-behind"
KINDS = (("", "All teams"), ("synced", "Synced"), ("manual", "Made by hand"), (LEFT_BEHIND, "Entra wants them gone"))
MOST_FOUND, MOST_LOGINS = 10, 25


class Row(NamedTuple):
    """A team as listed."""

    team: Team
    members: int
    logins: int


class Found(NamedTuple):
    """A person to add to a team."""

    person: Person
    is_in: bool


# The list -----------------------------------------------------------------------------------------------------------


def show_list(work: Work, request: Request) -> Answer:
    """List teams in the order in which they were made."""
    q, kind, after = request.asked("q"), request.asked("kind"), request.asked("after")
    rows = cut(_rows(work, q, kind, after), lambda row: row.team.id, HOME, {"q": q, "kind": kind, "after": after})
    return page("teams/list.html", "Teams", place="teams", rows=rows, kinds=KINDS, q=q, kind=kind)


def _rows(work: Work, q: str, kind: str, after: str) -> list[Row]:
    found = teams.page(
        work,
        after=after,
        limit=ROWS + 1,
        q=q or None,
        kind=kind if kind in ("synced", "manual") else None,
        left_behind=kind == LEFT_BEHIND,
    )
    logins = overviews.login_counts(work, [team.id for team, _ in found])
    return [Row(team, members, logins.get(team.id, 0)) for team, members in found]


def create(work: Work, request: Request) -> Answer:
    """Make a team by hand. Raises Invalid."""
    team = teams.create_manual(work, request.text("name"))
    return done(f"{HOME}/{team.id}", f"'{team.name}' is made. Now add its members.", target_id=team.id)


# One team -----------------------------------------------------------------------------------------------------------


def show(work: Work, request: Request) -> Answer:
    """Show a team with its members and logins, and people to add where it is made by hand. Raises NotFound."""
    team = _required(work, request.id)
    path = f"{HOME}/{team.id}"
    asked = {name: request.asked(name) for name in ("q", "after", "logins-after")}
    members, cursor = _members(work, team, asked["after"])
    logins = vault.page(work, team.id, after=asked["logins-after"], limit=MOST_LOGINS + 1)
    return page(
        "teams/team.html",
        team.name,
        place="teams",
        team=team,
        group=None if team.group_id is None else overviews.group(work, team.group_id),
        member_count=teams.member_count(work, team),
        login_count=vault.count(work, team.id),
        members=cut(members, cursor, path, asked),
        logins=cut(logins, lambda login: login.id, path, asked, name="logins-after", most=MOST_LOGINS),
        q=asked["q"],
        found=_found(work, team, asked["q"]),
        most_found=MOST_FOUND,
        back=at(path, {"q": asked["q"]}),
    )


def _required(work: Work, team_id: str) -> Team:
    team = teams.find(work, team_id)
    if team is None:
        raise NotFound("Team", team_id)
    return team


def _members(work: Work, team: Team, after: str) -> tuple[list[Person], Callable[[Person], str]]:
    if team.group_id is not None:
        return teams.people_of_group(work, team.group_id, after=after, limit=ROWS + 1), user_id_of
    return teams.members(work, team, after=after, limit=ROWS + 1), lambda person: person.id


def _found(work: Work, team: Team, q: str) -> list[Found]:
    if not q or team.kind != "manual":
        return []
    found = people.page(work, q=q, limit=MOST_FOUND)
    members = teams.those_in(work, team, [person.id for person in found])
    return [Found(person, person.id in members) for person in found]


def rename(work: Work, request: Request) -> Answer:
    """Rename a manual team. Raises NotFound, Invalid, NotPossible."""
    before = teams.lock(work, request.id)
    after = teams.rename_manual(work, before, request.text("name"))
    changed = ["name"] if after.name != before.name else []
    return done(f"{HOME}/{after.id}", f"The team is called '{after.name}'.", target_id=after.id, changed=changed)


def delete(work: Work, request: Request) -> Answer:
    """Delete a manual team. Raises NotFound, TeamHasLogins, NotPossible."""
    name = teams.lock(work, request.id).name
    deletion.delete_team(work, request.id)
    return done(HOME, f"'{name}' is deleted.", target_id=request.id)


def add_member(work: Work, request: Request) -> Answer:
    """Put a person into a manual team. Raises NotFound, NotPossible."""
    teams.add_member(work, teams.lock(work, request.id), request.text("person_id"))
    back = at(f"{HOME}/{request.id}", {"q": request.text("q")})
    return done(back, "The person is in the team now.", target_id=request.id)


def remove_member(work: Work, request: Request) -> Answer:
    """Take a person out of a manual team. Raises NotFound, NotPossible."""
    teams.remove_member(work, teams.lock(work, request.id), request.keys["person_id"])
    return done(f"{HOME}/{request.id}", "The person is no longer in the team.", target_id=request.id)


# Logins -------------------------------------------------------------------------------------------------------------


def choose_move(work: Work, request: Request) -> Answer:
    """Show teams to move a login to, or all logins of a team. Raises NotFound."""
    team = _required(work, request.id)
    login_id = request.keys.get("login_id")
    login = None if login_id is None else vault.find(work, team.id, login_id)
    if login_id is not None and login is None:
        raise NotFound("Login", login_id)
    asked = {name: request.asked(name) for name in ("q", "after")}
    rows = [row for row in _rows(work, asked["q"], "", asked["after"]) if row.team.id != team.id]
    return page(
        "teams/move.html",
        "Move a login" if login else "Move all logins",
        place="teams",
        team=team,
        login=login,
        count=vault.count(work, team.id),
        rows=cut(rows, lambda row: row.team.id, request.path, asked, most=ROWS - 1),
        q=asked["q"],
    )


def move(work: Work, request: Request) -> Answer:
    """Move a login to another team. Raises NotFound."""
    before = vault.lock(work, request.id, request.keys["login_id"])
    after = vault.move(work, before, request.text("team_id"))
    changed = ["team_id"] if after.team_id != before.team_id else []
    return done(f"{HOME}/{request.id}#logins", "The login is moved.", target_id=after.id, changed=changed)


def move_all(work: Work, request: Request) -> Answer:
    """Move all logins of a team to another one. Raises NotFound."""
    count = vault.move_all(work, _required(work, request.id).id, request.text("team_id"))
    sentence = f"{count} {'login is' if count == 1 else 'logins are'} moved. The team can be deleted now."
    changed = ["team_id"] if count else []
    return done(f"{HOME}/{request.id}#logins", sentence, target_id=request.id, changed=changed)


def delete_login(work: Work, request: Request) -> Answer:
    """Delete a login for ever. Raises NotFound."""
    login = vault.lock(work, request.id, request.keys["login_id"])
    vault.remove(work, login)
    return done(f"{HOME}/{request.id}", "The login is deleted.", target_id=login.id)
