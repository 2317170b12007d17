"""Lists that join nouns, for whoever looks on from outside: the groups of the mirror with the teams that they feed.

Reads only; each list goes in the order of ids, from behind `after`.
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from sqlalchemy import Integer, Text, and_, bindparam, exists, func, literal, or_, select

from app_core import directory
from app_core.activation import V as ACTIVATION
from app_core.cards import K
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, among, position, table_of
from app_core.directory import G, M, U
from app_core.invitations import OWN, I, Invitation
from app_core.people import PERSON, P, Person
from app_core.people import chosen as chosen_people
from app_core.resource import JsonObject, attributes_of, fold
from app_core.seats import CURRENT, WAITING, S
from app_core.teams import GROUPS_WITH_TEAM, A
from app_core.templates import E, TemplateAssignmentRow
from app_core.vault import L
from app_core.work import Work


class GroupOverview(NamedTuple):
    """A group of the mirror, whichever connection it came by, and its team."""

    id: str
    display_name: str
    external_id: str | None
    entra_object_id: str | None
    created_at: Stamp
    modified_at: Stamp
    version: int
    member_count: int
    team_id: str | None
    sync_status: str | None
    deletion_requested_at: Stamp | None
    """When the directory wanted it gone, and its team with it; the team's logins keep both."""


OF_TENANT = G.c.tenant_id == bindparam("tenant_id")
MEMBER_COUNT = (
    select(func.count()).where(M.c.tenant_id == G.c.tenant_id, M.c.group_id == G.c.id).correlate(G).scalar_subquery()
)
GROUPS = (
    select(
        *[G.c[name] for name in GroupOverview._fields[:7]],
        MEMBER_COUNT,
        A.c.id,
        A.c.sync_status,
        A.c.deletion_requested_at,
    )
    .select_from(GROUPS_WITH_TEAM)
    .where(OF_TENANT)
)
GROUP = Statement(GROUPS.where(G.c.id == bindparam("group_id")))


def _page(*, searched: bool) -> Statement:
    chosen = GROUPS.where(G.c.id > bindparam("after", type_=KeyText))
    if searched:
        chosen = chosen.where(position(G.c.display_key, bindparam("q", type_=Text())) > 0)
    return Statement(chosen.order_by(G.c.id).limit(bindparam("limit", type_=Integer())))


PAGES = {searched: _page(searched=searched) for searched in (False, True)}
BY_OBJECT_ID = Statement(
    select(G.c.entra_object_id, G.c.id, A.c.id)
    .select_from(GROUPS_WITH_TEAM)
    .where(OF_TENANT, G.c.connection_id == bindparam("connection_id"), among(G.c.entra_object_id, "object_ids"))
)
OF_OBJECT_IDS = Statement(
    GROUPS.where(G.c.connection_id == bindparam("connection_id"), among(G.c.entra_object_id, "object_ids"))
)
LOGINS = Statement(
    select(L.c.team_id, func.count())
    .where(L.c.tenant_id == bindparam("tenant_id"), among(L.c.team_id, "team_ids"))
    .group_by(L.c.team_id)
)
J = table_of(TemplateAssignmentRow)
CARDS = Statement(
    select(K.c.template_id, func.count())
    .where(K.c.tenant_id == bindparam("tenant_id"), among(K.c.template_id, "template_ids"))
    .group_by(K.c.template_id)
)
ASSIGNED = Statement(
    select(J.c.template_id, func.count())
    .where(J.c.tenant_id == bindparam("tenant_id"), among(J.c.template_id, "template_ids"))
    .group_by(J.c.template_id)
)
GROUPS_BY_ID = Statement(GROUPS.where(among(G.c.id, "group_ids")).order_by(G.c.display_key, G.c.id))
PEOPLE = Statement(select(*PERSON).where(P.c.tenant_id == bindparam("tenant_id"), among(P.c.id, "person_ids")))
SEATS = Statement(
    select(S.c.person_id, S.c.opened_at).where(
        S.c.tenant_id == bindparam("tenant_id"), CURRENT, among(S.c.person_id, "person_ids")
    )
)


class Arrivals(NamedTuple):
    """What has come into a connection, for whoever sets it up."""

    users: int
    groups: int
    with_object_id: int
    """Of the latest users, those whose Entra object id is known."""
    without_object_id: int
    """Of the latest users, those that came with another `externalId`, or with none."""


LATEST = (
    select(U.c.entra_object_id)
    .where(U.c.tenant_id == bindparam("tenant_id"), U.c.connection_id == bindparam("connection_id"))
    .order_by(U.c.id.desc())
    .limit(50)
    .subquery()
)
ARRIVALS = Statement(
    select(
        func.count(LATEST.c.entra_object_id),
        func.count() - func.count(LATEST.c.entra_object_id),
    ).select_from(LATEST)
)


def groups(work: Work, *, after: str = "", limit: int = 50, q: str = "") -> list[GroupOverview]:
    """List the groups of a tenant; `q` is a part of a name, in any case."""
    return [GroupOverview(*row) for row in work.rows(PAGES[bool(q)], after=after, limit=limit, q=fold(q))]


def group(work: Work, group_id: str) -> GroupOverview | None:
    """Read one group."""
    row = work.row(GROUP, group_id=group_id)
    return None if row is None else GroupOverview(*row)


def groups_by_object_id(work: Work, object_ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
    """Give the groups of some Entra object ids, of those that the acting connection has, and the team of each."""
    rows = work.rows(BY_OBJECT_ID, connection_id=work.connection_id, object_ids=list(object_ids)) if object_ids else []
    return {str(object_id): (str(group_id), team_id) for object_id, group_id, team_id in rows}


def groups_of_object_ids(work: Work, object_ids: Sequence[str]) -> dict[str, GroupOverview]:
    """Read the groups of some Entra object ids, of those that the acting connection has."""
    rows = work.rows(OF_OBJECT_IDS, connection_id=work.connection_id, object_ids=list(object_ids)) if object_ids else []
    found = [GroupOverview(*row) for row in rows]
    return {str(group.entra_object_id): group for group in found}


def arrivals(work: Work) -> Arrivals:
    """Say what has come into the acting connection, and by which external ids the latest users came."""
    row = work.row(ARRIVALS, connection_id=work.connection_id)
    known, unknown = (0, 0) if row is None else (int(row[0] or 0), int(row[1] or 0))
    return Arrivals(directory.total(work, "User"), directory.total(work, "Group"), known, unknown)


def login_counts(work: Work, team_ids: Sequence[str]) -> dict[str, int]:
    """Count the logins of several teams; a team without any is left out."""
    if not team_ids:
        return {}
    return {str(team_id): int(number) for team_id, number in work.rows(LOGINS, team_ids=list(team_ids))}


def template_counts(work: Work, template_ids: Sequence[str]) -> dict[str, tuple[int, int]]:
    """Count the cards of several templates, in whatever state, and the groups that lead to each."""
    if not template_ids:
        return {}
    ids = list(template_ids)
    made = {str(row[0]): int(row[1]) for row in work.rows(CARDS, template_ids=ids)}
    led = {str(row[0]): int(row[1]) for row in work.rows(ASSIGNED, template_ids=ids)}
    return {each: (made.get(each, 0), led.get(each, 0)) for each in ids}


def groups_of(work: Work, group_ids: Sequence[str]) -> list[GroupOverview]:
    """Read several groups by their ids, in the order of their names."""
    rows = work.rows(GROUPS_BY_ID, group_ids=list(group_ids)) if group_ids else []
    return [GroupOverview(*row) for row in rows]


def seat_states(work: Work, person_ids: Sequence[str]) -> dict[str, str]:
    """Say of several people whether their seat is open or they wait for one; who needs none is left out."""
    rows = work.rows(SEATS, person_ids=list(person_ids)) if person_ids else []
    return {str(person_id): "open" if opened_at else "waiting" for person_id, opened_at in rows}


def people_of(work: Work, person_ids: Sequence[str]) -> dict[str, Person]:
    """Read several people by their ids."""
    rows = work.rows(PEOPLE, person_ids=list(person_ids)) if person_ids else []
    return {str(row[0]): Person(*row) for row in rows}


# People -------------------------------------------------------------------------------------------------------------

ACTIVATED = exists(
    select(literal(1))
    .select_from(ACTIVATION)
    .where(
        ACTIVATION.c.tenant_id == P.c.tenant_id,
        ACTIVATION.c.person_id == P.c.id,
        or_(ACTIVATION.c.state == "active", ACTIVATION.c.state == "suspended"),
    )
    .correlate(P)
)
NEEDS = {
    "problem": P.c.problems.is_not(None),
    # Few wait, of however many: they are found by their seats.
    "seat": P.c.id.in_(select(S.c.person_id).where(S.c.tenant_id == bindparam("tenant_id"), WAITING)),
    "activation": and_(P.c.active.is_(True), ~ACTIVATED),
}
"""What of people somebody has to see to: a phone number that no card shows, a seat that they wait for, an account."""


@cache
def _people(state: str | None, origin: str | None, need: str | None, *, searched: bool) -> Statement:
    chosen = chosen_people(state, origin, searched=searched)
    return Statement(chosen if need is None else chosen.where(NEEDS[need]))


def people(
    work: Work,
    *,
    after: str = "",
    limit: int = 50,
    q: str = "",
    state: str | None = None,
    origin: str | None = None,
    need: str | None = None,
) -> list[Person]:
    """List people: `q` is a part of a name or address, `state` one of `people.STATES`, `need` one of NEEDS."""
    statement = _people(state, origin, need, searched=bool(q))
    return [Person(*row) for row in work.rows(statement, after=after, limit=limit, q=fold(q), origin=origin)]


class DirectoryUser(NamedTuple):
    """What the directory says about a user."""

    id: str
    user_name: str
    external_id: str | None
    entra_object_id: str | None
    created_at: Stamp
    modified_at: Stamp
    attributes: JsonObject
    """As sent."""


DIRECTORY_USER = Statement(
    select(*[U.c[name] for name in DirectoryUser._fields[:-1]], U.c.document).where(
        U.c.tenant_id == bindparam("tenant_id"), U.c.id == bindparam("user_id")
    )
)


def directory_user(work: Work, user_id: str) -> DirectoryUser | None:
    """Read what the directory says about a user."""
    row = work.row(DIRECTORY_USER, user_id=user_id)
    return None if row is None else DirectoryUser(*[*row[:-1], attributes_of(bytes(row[-1]))])


# Invitations --------------------------------------------------------------------------------------------------------


class InvitationOverview(NamedTuple):
    """An invitation with the names of what it is for, and of who took it up."""

    invitation: Invitation
    template_name: str
    person_name: str | None


NOW = bindparam("now", type_=KeyText)
INVITATION_STATES = {
    "open": and_(I.c.claimed_at.is_(None), I.c.expires_at > NOW),
    "expired": and_(I.c.claimed_at.is_(None), I.c.expires_at <= NOW),
    "claimed": I.c.claimed_at.is_not(None),
}


@cache
def _invitations(state: str | None) -> Statement:
    named = (
        I.join(K, and_(K.c.tenant_id == I.c.tenant_id, K.c.id == I.c.card_id))
        .join(E, and_(E.c.tenant_id == K.c.tenant_id, E.c.id == K.c.template_id))
        .outerjoin(P, and_(P.c.tenant_id == K.c.tenant_id, P.c.id == K.c.person_id))
    )
    columns = (*[I.c[name] for name in OWN], K.c.template_id, K.c.person_id, E.c.name, P.c.display_name)
    chosen = select(*columns).select_from(named)
    chosen = chosen.where(I.c.tenant_id == bindparam("tenant_id"), I.c.id < bindparam("before", type_=KeyText))
    if state is not None:
        chosen = chosen.where(INVITATION_STATES[state])
    return Statement(chosen.order_by(I.c.id.desc()).limit(bindparam("limit", type_=Integer())))


def invitations(
    work: Work, *, before: str = "~", limit: int = 50, state: str | None = None
) -> list[InvitationOverview]:
    """List invitations, newest first, from before an id; `state` is one of INVITATION_STATES."""
    rows = work.rows(_invitations(state), before=before, limit=limit, now=work.now)
    return [InvitationOverview(Invitation(*row[:-2]), *row[-2:]) for row in rows]
