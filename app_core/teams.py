"""Teams: synced from a group, or made by hand.

A synced team has its group's name and its group's people: its members are read through the mirror, not copied, so
they can never differ (invariant 8). A manual team has members of its own.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import directory, people
from app_core.clock import Stamp
from app_core.db import KeyText, Params, Statement, among, insert_or_ignore, position, table_of
from app_core.errors import Invalid, NotFound, NotPossible
from app_core.events import Event
from app_core.ids import new_id
from app_core.people import PERSON, P, Person
from app_core.resource import fold
from app_core.tenants import T
from app_core.work import Work

MAX_NAME = 500


class TeamRow(SQLModel, table=True):
    """A team of the vendor's application, which logins belong to.

    synced → deleted    its group goes, or is no longer synced, and it holds no logins
    synced → manual     detached: it holds logins, and the tenant's policy lets the group go all the same
    manual → deleted    by an administrator, once it holds no logins
    """

    __tablename__ = "team"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "group_id"], ["directory_group.tenant_id", "directory_group.id"]),
        # A team is synced from at most one group, a group feeds at most one team (invariant 7).
        UniqueConstraint("tenant_id", "group_id"),
        Index("ix_team_name_key", "tenant_id", "name_key", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    name: str
    name_key: str = Field(sa_type=KeyText)
    kind: str = Field(sa_type=KeyText)
    group_id: str | None = Field(sa_type=KeyText)
    sync_status: str | None = Field(sa_type=KeyText)
    deletion_requested_at: str | None = Field(sa_type=KeyText)
    version: int
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)


class TeamMembershipRow(SQLModel, table=True):
    """A person in a manual team."""

    __tablename__ = "team_membership"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "team_id"], ["team.tenant_id", "team.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "person_id"], ["person.tenant_id", "person.id"], ondelete="CASCADE"),
        Index("ix_team_membership_person_id", "tenant_id", "person_id", "team_id"),
        {"sqlite_with_rowid": False},
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    team_id: str = Field(primary_key=True, sa_type=KeyText)
    person_id: str = Field(primary_key=True, sa_type=KeyText)
    since: str = Field(sa_type=KeyText)


class Team(NamedTuple):
    """A team as read."""

    id: str
    name: str
    kind: str
    group_id: str | None
    sync_status: str | None
    deletion_requested_at: Stamp | None
    version: int
    created_at: Stamp
    modified_at: Stamp


TEAM_TABLE = table_of(TeamRow)
MEMBERSHIP = table_of(TeamMembershipRow)
A, X, M = TEAM_TABLE, MEMBERSHIP, directory.M
tenant = directory.tenant
TEAM = tuple(A.c[name] for name in Team._fields)
OF_TENANT = A.c.tenant_id == tenant
GROUPS_WITH_TEAM = directory.G.outerjoin(
    A, and_(A.c.tenant_id == directory.G.c.tenant_id, A.c.group_id == directory.G.c.id)
)
"""Groups, each with the team that it feeds, if it feeds one."""

FIND = Statement(select(*TEAM).where(OF_TENANT, A.c.id == bindparam("team_id")))
LOCK = Statement(select(*TEAM).where(OF_TENANT, A.c.id == bindparam("team_id")).with_for_update())
LOCK_OF_GROUP = Statement(select(*TEAM).where(OF_TENANT, A.c.group_id == bindparam("group_id")).with_for_update())
OF_GROUPS = Statement(select(A.c.id, A.c.group_id).where(OF_TENANT, among(A.c.group_id, "group_ids")).order_by(A.c.id))
NEW = ("id", "name", "name_key", "kind", "group_id", "sync_status", "version", "created_at", "modified_at")
INSERT = Statement(insert(A).values(tenant_id=tenant, **{name: bindparam(name) for name in NEW}))
# Each group that is pushed becomes a team where the tenant's policy says so (P3); one that has a team keeps it.
INSERT_SYNCED = Statement(
    insert(A).from_select(
        ["tenant_id", *NEW],
        select(T.c.id, *[bindparam(name, type_=A.c[name].type) for name in NEW]).where(
            T.c.id == tenant,
            T.c.group_sync == "all",
            ~exists(
                select(literal(1)).where(OF_TENANT, A.c.group_id == bindparam("group_id", type_=A.c.group_id.type))
            ),
        ),
        include_defaults=False,
    )
)
RENAME = Statement(
    update(A)
    .where(OF_TENANT, A.c.id == bindparam("team_id"))
    .values(
        name=bindparam("name"),
        name_key=bindparam("name_key"),
        version=A.c.version + 1,
        modified_at=bindparam("now"),
    )
)
UNSYNC = Statement(
    update(A)
    .where(OF_TENANT, A.c.id == bindparam("team_id"))
    .values(
        kind="manual",
        group_id=None,
        sync_status="source_deleted",
        deletion_requested_at=None,
        version=A.c.version + 1,
        modified_at=bindparam("now"),
    )
)
MARK = Statement(
    update(A)
    .where(OF_TENANT, A.c.id == bindparam("team_id"), A.c.deletion_requested_at.is_(None))
    .values(deletion_requested_at=bindparam("now"))
)
UNMARK = Statement(
    update(A)
    .where(OF_TENANT, A.c.group_id == bindparam("group_id"), A.c.deletion_requested_at.is_not(None))
    .values(deletion_requested_at=None)
)
DELETE = Statement(delete(A).where(OF_TENANT, A.c.id == bindparam("team_id")))
ADD_MEMBER = Statement(
    insert_or_ignore(X).values(
        tenant_id=tenant, team_id=bindparam("team_id"), person_id=bindparam("person_id"), since=bindparam("now")
    )
)
REMOVE_MEMBER = Statement(
    delete(X).where(
        X.c.tenant_id == tenant, X.c.team_id == bindparam("team_id"), X.c.person_id == bindparam("person_id")
    )
)
THOSE_IN = Statement(
    select(X.c.person_id).where(
        X.c.tenant_id == tenant, X.c.team_id == bindparam("team_id"), among(X.c.person_id, "person_ids")
    )
)
KEEP_MEMBERS = Statement(
    insert_or_ignore(X).from_select(
        ["tenant_id", "team_id", "person_id", "since"],
        select(P.c.tenant_id, bindparam("team_id", type_=KeyText), P.c.id, M.c.since)
        .select_from(people.IN_GROUPS)
        .where(P.c.tenant_id == tenant, M.c.group_id == bindparam("group_id")),
        include_defaults=False,
    )
)
SYNCED_MEMBERS = (
    select(*PERSON).select_from(people.IN_GROUPS).where(P.c.tenant_id == tenant, M.c.group_id == bindparam("group_id"))
)
MANUAL_MEMBERS = (
    select(*PERSON)
    .select_from(P.join(X, and_(X.c.tenant_id == P.c.tenant_id, X.c.person_id == P.c.id)))
    .where(P.c.tenant_id == tenant, X.c.team_id == bindparam("team_id"))
)
PEOPLE_OF_GROUP = Statement(
    SYNCED_MEMBERS.where(M.c.tenant_id == tenant, M.c.user_id > bindparam("after", type_=KeyText))
    .order_by(M.c.user_id)
    .limit(bindparam("limit", type_=Integer()))
)
MEMBERS = {
    kind: Statement(
        chosen.where(P.c.id > bindparam("after", type_=KeyText))
        .order_by(P.c.id)
        .limit(bindparam("limit", type_=Integer()))
    )
    for kind, chosen in (("synced", SYNCED_MEMBERS), ("manual", MANUAL_MEMBERS))
}
MEMBER_COUNT = case(
    (
        A.c.group_id.is_(None),
        select(func.count())
        .where(X.c.tenant_id == A.c.tenant_id, X.c.team_id == A.c.id)
        .correlate(A)
        .scalar_subquery(),
    ),
    else_=select(func.count())
    .where(M.c.tenant_id == A.c.tenant_id, M.c.group_id == A.c.group_id)
    .correlate(A)
    .scalar_subquery(),
)
COUNTED = Statement(select(MEMBER_COUNT).where(OF_TENANT, A.c.id == bindparam("team_id")))
OF_PERSON = Statement(
    union_all(
        select(*TEAM)
        .select_from(A.join(X, and_(X.c.tenant_id == A.c.tenant_id, X.c.team_id == A.c.id)))
        .where(OF_TENANT, X.c.person_id == bindparam("person_id")),
        select(*TEAM)
        .select_from(
            A.join(M, and_(M.c.tenant_id == A.c.tenant_id, M.c.group_id == A.c.group_id)).join(
                P, and_(P.c.tenant_id == M.c.tenant_id, P.c.directory_user_id == M.c.user_id)
            )
        )
        .where(OF_TENANT, P.c.id == bindparam("person_id")),
    )
)

# Reading ------------------------------------------------------------------------------------------------------------


def find(work: Work, team_id: str) -> Team | None:
    """Read a team."""
    row = work.row(FIND, team_id=team_id)
    return None if row is None else Team(*row)


def lock(work: Work, team_id: str) -> Team:
    """Read a team that nobody else may change, nor put a login in, until the transaction ends. Raises NotFound."""
    row = work.row(LOCK, team_id=team_id)
    if row is None:
        raise NotFound("Team", team_id)
    return Team(*row)


def lock_of_group(work: Work, group_id: str) -> Team | None:
    """Read and hold the team that a group feeds."""
    row = work.row(LOCK_OF_GROUP, group_id=group_id)
    return None if row is None else Team(*row)


LEFT_BEHIND = or_(A.c.deletion_requested_at.is_not(None), A.c.sync_status == "source_deleted")


def _page(*, searched: bool, kind: bool, left_behind: bool) -> Statement:
    chosen = select(*TEAM, MEMBER_COUNT).where(OF_TENANT, A.c.id > bindparam("after", type_=KeyText))
    if left_behind:
        chosen = chosen.where(LEFT_BEHIND)
    if searched:
        chosen = chosen.where(position(A.c.name_key, bindparam("q", type_=Text())) > 0)
    if kind:
        chosen = chosen.where(A.c.kind == bindparam("kind", type_=KeyText))
    return Statement(chosen.order_by(A.c.id).limit(bindparam("limit", type_=Integer())))


PAGES = {key: _page(searched=key[0], kind=key[1], left_behind=key[2]) for key in product((False, True), repeat=3)}


def page(
    work: Work,
    *,
    after: str = "",
    limit: int = 50,
    q: str | None = None,
    kind: str | None = None,
    left_behind: bool = False,
) -> list[tuple[Team, int]]:
    """List teams with the number of their members, in the order of their ids, from behind `after`.

    `left_behind` asks for those alone whose group the directory wants gone, or has deleted.
    """
    statement = PAGES[(bool(q), kind is not None, left_behind)]
    rows = work.rows(statement, after=after, limit=limit, q=fold(q or ""), kind=kind)
    return [(Team(*row[:-1]), int(row[-1])) for row in rows]


def member_count(work: Work, team: Team) -> int:
    """Count the members of a team, active or not (invariant 5: who is inactive keeps the membership)."""
    row = work.row(COUNTED, team_id=team.id)
    return 0 if row is None else int(row[0])


def members(work: Work, team: Team, *, after: str = "", limit: int = 50) -> list[Person]:
    """List the people of a team in the order of their ids, from behind `after`."""
    kind = "manual" if team.group_id is None else "synced"
    rows = work.rows(MEMBERS[kind], group_id=team.group_id, team_id=team.id, after=after, limit=limit)
    return [Person(*row) for row in rows]


def people_of_group(work: Work, group_id: str, *, after: str = "", limit: int = 50) -> list[Person]:
    """List the people of a group, team or not, in the order of its directory users' ids, from behind one of those.

    That is the order of the memberships themselves, so a page of a group of 100,000 is read as quickly as any.
    """
    return [Person(*row) for row in work.rows(PEOPLE_OF_GROUP, group_id=group_id, after=after, limit=limit)]


def those_in(work: Work, team: Team, person_ids: Sequence[str]) -> set[str]:
    """Give those of some people that are in a manual team."""
    rows = work.rows(THOSE_IN, team_id=team.id, person_ids=list(person_ids)) if person_ids else []
    return {str(row[0]) for row in rows}


def of_groups(work: Work, group_ids: Sequence[str]) -> list[str]:
    """Give the teams that groups feed."""
    return [str(row[0]) for row in work.rows(OF_GROUPS, group_ids=list(group_ids))] if group_ids else []


def of_person(work: Work, person_id: str) -> list[Team]:
    """List the teams that a person is in."""
    return [Team(*row) for row in work.rows(OF_PERSON, person_id=person_id)]


# Synced teams -------------------------------------------------------------------------------------------------------


def _row(work: Work, name: str, kind: str, group_id: str | None) -> dict[str, str | int | None]:
    return {
        "id": new_id(),
        "name": name,
        "name_key": fold(name),
        "kind": kind,
        "group_id": group_id,
        "sync_status": "synced" if group_id else None,
        "version": 1,
        "created_at": work.now,
        "modified_at": work.now,
    }


def arrival(work: Work, group_id: str, name: str) -> tuple[Statement, Params]:
    """Give the write that makes the team of a group that is pushed, where the tenant's policy makes one of each."""
    return INSERT_SYNCED, _row(work, name, "synced", group_id)


def sync(work: Work, group_id: str, name: str) -> Team:
    """Make a team of a group. Raises Violation where the group has one."""
    row = _row(work, name, "synced", group_id)
    work.run(INSERT, **row)
    work.record(Event("team.created", str(row["id"]), {"name": name, "kind": "synced"}))
    return lock(work, str(row["id"]))


def rename(work: Work, team_id: str, former_name: str, name: str) -> None:
    """Give a team another name; the same name is no change."""
    if name == former_name:
        return
    work.run_later(RENAME, team_id=team_id, name=name, name_key=fold(name), now=work.now)
    work.record(Event("team.renamed", team_id, {"name": name, "former_name": former_name}))


def mark_deletion(work: Work, team_id: str) -> bool:
    """Remember that the directory wants the team gone; say whether that is new."""
    return bool(work.run(MARK, team_id=team_id, now=work.now))


def unmark_deletion(work: Work, group_id: str) -> None:
    """Forget that the directory wanted the team of a group gone: it speaks of the group again."""
    work.run(UNMARK, group_id=group_id)


def detach(work: Work, team: Team) -> None:
    """Let a team stay by itself, with the people it has: its group goes."""
    work.run(KEEP_MEMBERS, team_id=team.id, group_id=team.group_id)
    work.run(UNSYNC, team_id=team.id, now=work.now)
    work.record(Event("team.detached", team.id, {"name": team.name}))


def remove(work: Work, team: Team) -> None:
    """Forget a team; whether it may go is `deletion`'s to say, and each login's foreign key's."""
    work.record(Event("team.deleted", team.id, {"name": team.name}))
    work.run_later(DELETE, team_id=team.id)


def members_changed(
    work: Work, team_id: str, added: Sequence[str], removed: Sequence[str], counts: tuple[int, int]
) -> None:
    """Tell that people joined or left; at most 100 of each are named."""
    payload = {
        "added": list(added[:100]),
        "removed": list(removed[:100]),
        "added_count": counts[0],
        "removed_count": counts[1],
    }
    work.record(Event("team.members_changed", team_id, payload))


# Manual teams -------------------------------------------------------------------------------------------------------


def checked_name(name: str) -> str:
    """Give a name without blanks around it. Raises Invalid."""
    name = name.strip()
    if not name or len(name) > MAX_NAME or not name.isprintable():
        raise Invalid(f"name: a team's name has 1 to {MAX_NAME} characters and no line break.")
    return name


def create_manual(work: Work, name: str) -> Team:
    """Make a team by hand. Raises Invalid."""
    row = _row(work, checked_name(name), "manual", None)
    work.run(INSERT, **row)
    work.record(Event("team.created", str(row["id"]), {"name": row["name"], "kind": "manual"}))
    return lock(work, str(row["id"]))


def rename_manual(work: Work, team: Team, name: str) -> Team:
    """Rename a manual team. Raises Invalid, and NotPossible for a synced one: its group names it."""
    _require_manual(team, "has the name of its group; rename the group in Entra")
    rename(work, team.id, team.name, checked_name(name))
    return lock(work, team.id)


def add_member(work: Work, team: Team, person_id: str) -> None:
    """Put a person into a manual team; one that is in stays in. Raises NotFound, NotPossible."""
    _require_manual(team, "has the members of its group; add them in Entra")
    if people.find(work, person_id) is None:
        raise NotFound("Person", person_id)
    if work.run(ADD_MEMBER, team_id=team.id, person_id=person_id, now=work.now):
        members_changed(work, team.id, [person_id], [], (1, 0))


def remove_member(work: Work, team: Team, person_id: str) -> None:
    """Take a person out of a manual team; one that is not in is a success. Raises NotPossible."""
    _require_manual(team, "has the members of its group; remove them in Entra")
    if work.run(REMOVE_MEMBER, team_id=team.id, person_id=person_id):
        members_changed(work, team.id, [], [person_id], (0, 1))


def _require_manual(team: Team, why: str) -> None:
    if team.kind != "manual":
        raise NotPossible(f"Team '{team.name}' is synced and {why}.")
