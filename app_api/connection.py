"""The tenant's directory, from both sides: what Entra pushes by SCIM, and what we read by Graph (G1 to G4)."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from app_api import jobs, teams
from app_api.bodies import Body, Paging, one_of
from app_api.exchange import Answer, Call, Instant, Page, gone
from app_api.jobs import Job
from app_api.teams import Team
from app_core import connections, consents, entra_directory, graph_links, overviews, user_filter
from app_core.jobs import unfinished
from app_core.ports import PERMISSIONS, EntraGroup, EntraGroups
from app_core.resource import entra_object_id
from app_core.work import Work

SYNCED, NOT_SYNCED = "Synced", "Not synced"


def _object_id(text: str) -> str:
    found = entra_object_id(text)
    if found is None:
        raise ValueError("expected an id of Entra, a GUID")
    return found


ObjectId = Annotated[str, AfterValidator(_object_id), WithJsonSchema({"type": "string", "format": "uuid"})]
Place = Annotated[str, Field(max_length=8192, description="Read on behind this: the `next` of the page before.")]

# How it stands ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pushed:
    """The SCIM side. `last_push_at` is when Entra last came, give or take a minute."""

    tenant_url: str
    live_tokens: int
    last_push_at: Instant | None


@dataclass(frozen=True, slots=True)
class Pulled:
    """The Graph side. Where the status is quarantined, `reason` says what Graph refuses and what to do."""

    available: bool
    """Whether this server has an application that a directory could consent to."""
    status: Annotated[str, one_of("none", "connected", "quarantined", "disconnected")]
    reason: str | None
    entra_tenant_id: str | None
    permissions: list[str]
    """The application permissions that are asked for."""
    missing_permissions: list[str]
    """Those of which Graph has said since that they are not granted."""
    connected_at: Instant | None
    pulled_at: Instant | None
    next_pull_at: Instant | None
    job: Job | None
    """The pull that runs or waits, and how far it is."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How the directory is connected."""

    scim: Pushed
    graph: Pulled


def read(work: Work, call: Call) -> Answer[Connection]:
    """Read how the directory is connected."""
    connections.act_on_first(work)
    pushes, link = connections.pushes(work), graph_links.find(work)
    job = unfinished(work, graph_links.pull_slot(work))
    scim = Pushed(f"{call.public_url}/scim/v2", pushes.live_tokens, pushes.last_used_at)
    graph = Pulled(
        available=call.entra is not None,
        status=link.status,
        reason=link.status_reason,
        entra_tenant_id=link.entra_tenant_id,
        permissions=[*PERMISSIONS],
        missing_permissions=[*link.missing],
        connected_at=link.connected_at,
        pulled_at=link.pulled_at,
        next_pull_at=link.next_pull_at(work.now),
        job=None if job is None else jobs.shown(job),
    )
    return Answer(200, Connection(scim, graph), work.connection_id)


# Connecting ---------------------------------------------------------------------------------------------------------


class ConsentAsked(Body):
    """For which directory consent is asked; if not said, for that of whoever opens the link."""

    entra_tenant_id: ObjectId | None = None


@dataclass(frozen=True, slots=True)
class ConsentLink:
    """Where an administrator of the directory grants consent. It works once and for half an hour."""

    url: str


def ask_for_consent(work: Work, call: Call, body: ConsentAsked) -> Answer[ConsentLink]:
    """Make a consent link; it leads back to the console, where an administrator of this tenant must be signed in."""
    entra = call.require_entra()
    connections.act_on_first(work)
    state = consents.ask(work, f"{consents.API_KEY}{work.actor.id}", body.entra_tenant_id)
    return Answer(200, ConsentLink(entra.consent_url(state, body.entra_tenant_id)), work.connection_id)


def disconnect(work: Work, call: Call) -> Answer[Connection]:
    """Pull no more; users, groups and teams stay, and so do SCIM tokens."""
    connections.act_on_first(work)
    changed = entra_directory.disconnect(work)
    answer = read(work, call)
    answer.changed = ["status"] if changed else []
    return answer


def sync(work: Work, call: Call) -> Answer[Job]:
    """Pull now; a pull that runs already starts over with what has changed since."""
    connections.act_on_first(work)
    job = entra_directory.sync_now(work)
    return Answer(202, jobs.shown(job), job.id, location=f"/jobs/{job.id}")


# Groups -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DirectoryGroup:
    """A group of the directory, whether it is here or not, and its team."""

    object_id: str
    name: str | None
    status: Annotated[str, one_of(SYNCED, NOT_SYNCED)]
    group_id: str | None
    team_id: str | None


class DirectoryGroupList(Paging):
    """Which groups of the directory to list."""

    search: Annotated[str, Field(max_length=200, description="The beginning of a word of the name.")] = ""
    after: Place = ""


class DirectoryGroupAdded(Body):
    """Which group of the directory to add as a team."""

    object_id: ObjectId


def directory_of(work: Work, call: Call) -> str:
    """Give the id of the directory to be asked. Raises NotPossible where there is none."""
    call.require_entra()
    connections.act_on_first(work)
    directory_id = graph_links.require_connected(work).entra_tenant_id
    assert directory_id is not None
    return directory_id


async def fetch_groups(call: Call, directory_id: str, query: DirectoryGroupList) -> EntraGroups:
    """Ask the directory for its groups."""
    return await call.require_entra().groups(directory_id, query.search, query.after or None, query.limit)


def find_groups(
    work: Work, call: Call, query: DirectoryGroupList, fetched: EntraGroups
) -> Answer[Page[DirectoryGroup]]:
    """List all groups of the directory by name, and which are teams; a page may hold fewer than `limit`."""
    connections.act_on_first(work)
    here = overviews.groups_by_object_id(work, [group.object_id for group in fetched.items])
    shown = []
    for group in fetched.items:
        group_id, team_id = here.get(group.object_id, (None, None))
        status = NOT_SYNCED if team_id is None else SYNCED
        shown.append(DirectoryGroup(group.object_id, group.name, status, group_id, team_id))
    return Answer(200, Page(shown, fetched.next))


async def fetch_group(call: Call, directory_id: str, body: DirectoryGroupAdded) -> EntraGroup:
    """Ask the directory for one group with its members."""
    return await call.require_entra().group(directory_id, body.object_id)


def add_group(work: Work, call: Call, body: DirectoryGroupAdded, fetched: EntraGroup) -> Answer[Team]:
    """Add a group of the directory as a team, with its members; a group that is one stays one."""
    connections.act_on_first(work)
    team = entra_directory.add_group(work, fetched)
    answer = teams.shown(work, team)
    answer.status, answer.location, answer.target_id = 201, f"/teams/{team.id}", team.group_id
    return answer


def remove_group(work: Work, call: Call) -> Answer[None]:
    """Remove a group's sync and its team, unless the team holds logins."""
    connections.act_on_first(work)
    return gone(entra_directory.remove_group(work, call.keys["object_id"]))


# User filter --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChosenGroup:
    """A chosen group; `group_id` and `name` are null where it is not here (yet)."""

    object_id: str
    group_id: str | None
    name: str | None
    since: Instant


@dataclass(frozen=True, slots=True)
class UserFilter:
    """Whose people are imported: those of the chosen groups; everybody's where none is chosen."""

    groups: list[ChosenGroup]


class UserFilterChosen(Body):
    """Which groups are chosen from now on, by their object ids."""

    object_ids: Annotated[list[ObjectId], Field(max_length=user_filter.MOST_GROUPS)]


def read_user_filter(work: Work, call: Call) -> Answer[UserFilter]:
    """Read which groups' people are imported."""
    connections.act_on_first(work)
    return Answer(200, _filter(work), work.connection_id)


def choose(work: Work, call: Call, body: UserFilterChosen) -> Answer[UserFilter]:
    """Import the people of these groups alone, or of none: everybody's. A full pull begins at once."""
    connections.act_on_first(work)
    changed = user_filter.choose(work, body.object_ids)
    return Answer(200, _filter(work), work.connection_id, ["user_filter"] if changed else [])


def _filter(work: Work) -> UserFilter:
    return UserFilter(
        [ChosenGroup(each.object_id, each.group_id, each.display_name, each.since) for each in user_filter.chosen(work)]
    )
