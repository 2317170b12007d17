"""Lists that join nouns, for whoever looks on from outside: the groups of the mirror with the teams that they feed.

Reads only; each list goes in the order of ids, from behind `after`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Integer, Text, and_, bindparam, func, select

from app_core.clock import Stamp
from app_core.db import KeyText, Statement, among, position
from app_core.directory import G, M
from app_core.people import PERSON, P, Person
from app_core.resource import fold
from app_core.seats import CURRENT, S
from app_core.teams import A
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
    )
    .select_from(G.outerjoin(A, and_(A.c.tenant_id == G.c.tenant_id, A.c.group_id == G.c.id)))
    .where(OF_TENANT)
)
GROUP = Statement(GROUPS.where(G.c.id == bindparam("group_id")))


def _page(*, searched: bool) -> Statement:
    chosen = GROUPS.where(G.c.id > bindparam("after", type_=KeyText))
    if searched:
        chosen = chosen.where(position(G.c.display_key, bindparam("q", type_=Text())) > 0)
    return Statement(chosen.order_by(G.c.id).limit(bindparam("limit", type_=Integer())))


PAGES = {searched: _page(searched=searched) for searched in (False, True)}
LOGINS = Statement(
    select(L.c.team_id, func.count())
    .where(L.c.tenant_id == bindparam("tenant_id"), among(L.c.team_id, "team_ids"))
    .group_by(L.c.team_id)
)
PEOPLE = Statement(select(*PERSON).where(P.c.tenant_id == bindparam("tenant_id"), among(P.c.id, "person_ids")))
SEATS = Statement(
    select(S.c.person_id, S.c.opened_at).where(
        S.c.tenant_id == bindparam("tenant_id"), CURRENT, among(S.c.person_id, "person_ids")
    )
)


def groups(work: Work, *, after: str = "", limit: int = 50, q: str = "") -> list[GroupOverview]:
    """List the groups of a tenant; `q` is a part of a name, in any case."""
    return [GroupOverview(*row) for row in work.rows(PAGES[bool(q)], after=after, limit=limit, q=fold(q))]


def group(work: Work, group_id: str) -> GroupOverview | None:
    """Read one group."""
    row = work.row(GROUP, group_id=group_id)
    return None if row is None else GroupOverview(*row)


def login_counts(work: Work, team_ids: Sequence[str]) -> dict[str, int]:
    """Count the logins of several teams; a team without any is left out."""
    if not team_ids:
        return {}
    return {str(team_id): int(number) for team_id, number in work.rows(LOGINS, team_ids=list(team_ids))}


def seat_states(work: Work, person_ids: Sequence[str]) -> dict[str, str]:
    """Say of several people whether their seat is open or they wait for one; who needs none is left out."""
    rows = work.rows(SEATS, person_ids=list(person_ids)) if person_ids else []
    return {str(person_id): "open" if opened_at else "waiting" for person_id, opened_at in rows}


def people_of(work: Work, person_ids: Sequence[str]) -> dict[str, Person]:
    """Read several people by their ids."""
    rows = work.rows(PEOPLE, person_ids=list(person_ids)) if person_ids else []
    return {str(row[0]): Person(*row) for row in rows}
