"""Groups: those of the mirror, and all of the directory where Graph is connected; Add one as a team, Remove it (G3)."""

from typing import NamedTuple

from admin_console import guard, paging
from admin_console.endpoint import Answer, done, page
from admin_console.paging import ROWS, cut
from admin_console.ports import Ports
from admin_console.request import Request
from app_core import administration, connections, entra_directory, graph_links, overviews, teams, templates
from app_core.errors import DomainError, NotFound
from app_core.overviews import GroupOverview
from app_core.people import Person
from app_core.ports import EntraGroup, EntraGroups, require_entra
from app_core.work import Work

HOME = "/console/groups"
HERE, ENTRA = "here", "entra"
"""What is listed: the groups that are here, or all of the directory."""


class Row(NamedTuple):
    """A group as listed. What is not here yet has an object id alone."""

    name: str
    object_id: str | None
    here: GroupOverview | None


# The list -----------------------------------------------------------------------------------------------------------


class Looked(NamedTuple):
    """What the directory is to be asked for; None where it is not to be asked."""

    directory_id: str | None
    connected: bool


def look(work: Work, request: Request) -> Looked:
    """Say which directory to ask for its groups, if any."""
    connections.act_on_first(work)
    link = graph_links.find(work)
    wanted = link.live and request.asked("view") != HERE
    return Looked(link.entra_tenant_id if wanted else None, link.live)


class Found(NamedTuple):
    """What the directory gave, or why it gave nothing."""

    connected: bool
    groups: EntraGroups | None = None
    problem: str | None = None


async def search(ports: Ports, request: Request, looked: Looked) -> Found:
    """Ask the directory for its groups; that it does not answer is told on the page, which shows what is here."""
    if looked.directory_id is None or ports.directory is None:
        return Found(looked.connected and ports.directory is not None)
    after = request.asked("after") or None
    try:
        return Found(True, await ports.directory.groups(looked.directory_id, request.asked("q"), after, ROWS))
    except DomainError as error:
        return Found(True, problem=error.sentence)


def show_list(work: Work, request: Request) -> Answer:
    """List groups with what they are here."""
    connections.act_on_first(work)
    found: Found = request.fetched
    asked = {name: request.asked(name) for name in ("view", "q", "after")}
    shown = _of_entra(work, found.groups, asked) if found.groups is not None else _here(work, asked, found)
    return page(
        "groups/list.html",
        "Groups",
        place="groups",
        rows=shown,
        q=asked["q"],
        view=HERE if found.groups is None else ENTRA,
        connected=found.connected,
        problem=found.problem,
        back=paging.at(HOME, asked) if any(asked.values()) else "",
    )


def _here(work: Work, asked: dict[str, str], found: Found) -> paging.Cut[Row]:
    # A cursor of the directory's list is none of ours.
    after = "" if found.problem else asked["after"]
    groups = overviews.groups(work, after=after, limit=ROWS + 1, q=asked["q"])
    rows = [Row(group.display_name, group.entra_object_id, group) for group in groups]
    return cut(rows, _id_of, HOME, {**asked, "view": HERE if found.connected else "", "after": after})


def _id_of(row: Row) -> str:
    assert row.here is not None
    return row.here.id


def _of_entra(work: Work, groups: EntraGroups, asked: dict[str, str]) -> paging.Cut[Row]:
    here = overviews.groups_of_object_ids(work, [group.object_id for group in groups.items])
    rows = [Row(each.name or each.object_id, each.object_id, here.get(each.object_id)) for each in groups.items]
    following = paging.at(HOME, {**asked, "after": groups.next}) if groups.next else None
    return paging.Cut(rows, following, paging.beginning(HOME, asked))


# One group ----------------------------------------------------------------------------------------------------------


def show(work: Work, request: Request) -> Answer:
    """Show a group: who is in it, its team, and the templates that it leads to. Raises NotFound."""
    group = overviews.group(work, request.id)
    if group is None:
        raise NotFound("Group", request.id)
    path, asked = f"{HOME}/{group.id}", {"after": request.asked("after")}
    people = teams.people_of_group(work, group.id, after=asked["after"], limit=ROWS + 1)
    found = [templates.find(work, each) for each in templates.assigned_templates(work, [group.id])]
    return page(
        "groups/group.html",
        group.display_name,
        place="groups",
        group=group,
        members=cut(people, user_id_of, path, asked),
        templates=[template for template in found if template is not None],
        logins=overviews.login_counts(work, [group.team_id]).get(group.team_id, 0) if group.team_id else 0,
        back=path,
    )


def user_id_of(person: Person) -> str:
    """Give the cursor of a list of a group's people."""
    return person.directory_user_id or ""


def add(work: Work, request: Request) -> Answer:
    """Add a group that is here as a team; one that is a team stays one. Raises NotFound."""
    team = administration.sync_group(work, request.id)
    return done(_back(request), f"'{team.name}' is a team now.", target_id=request.id)


async def read_group(ports: Ports, request: Request, directory_id: str) -> EntraGroup:
    """Ask the directory for a group with its members."""
    return await require_entra(ports.directory).group(directory_id, request.keys["object_id"])


def add_from_entra(work: Work, request: Request) -> Answer:
    """Take a group of the directory over as a team, with those of its members that are here. Raises NotFound."""
    connections.act_on_first(work)
    team = entra_directory.add_group(work, request.fetched)
    count = teams.member_count(work, team)
    sentence = f"'{team.name}' is a team now, with {count} of its people who {'is' if count == 1 else 'are'} here."
    return done(_back(request), sentence, target_id=team.group_id)


def remove(work: Work, request: Request) -> Answer:
    """Stop syncing a group and delete its team. Raises NotFound, TeamHasLogins."""
    administration.remove_group(work, request.id)
    sentence = "The group is no longer synced, and its team is deleted. You can add it again at any time."
    back = _back(request)
    return done(HOME if back.startswith("/console/teams") else back, sentence, target_id=request.id)


def _back(request: Request) -> str:
    """Give the list that the reader came from, with its search and page."""
    back = request.text("back")
    return back if guard.is_local(back) and back.startswith(HOME) else HOME
