"""The user filter of a connection: groups of the directory whose people are imported, where only we pull (G2).

Without a chosen group everybody is. Which groups are teams is another matter: a team has the members that are here,
chosen or not. Where Entra pushes, its assignments decide, and what is chosen here says nothing (ADR 0019).
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, ForeignKeyConstraint, Integer, and_, bindparam, delete, exists, literal, select
from sqlmodel import Field, SQLModel

from app_core import graph_links
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, among, insert_or_ignore, table_of
from app_core.directory import CONNECTION_OF, OF_USERS, G, M, U
from app_core.errors import Invalid
from app_core.events import Event
from app_core.resource import entra_object_id
from app_core.work import Work

MOST_GROUPS = 100


class UserFilterRow(SQLModel, table=True):
    """A group of the directory that an administrator chose, by its Entra object id; it need not be here yet."""

    __tablename__ = "user_filter"
    __table_args__ = (ForeignKeyConstraint(["tenant_id", "connection_id"], CONNECTION_OF, ondelete="CASCADE"),)

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(primary_key=True, sa_type=KeyText)
    object_id: str = Field(primary_key=True, sa_type=KeyText)
    since: str = Field(sa_type=KeyText)


class Chosen(NamedTuple):
    """A chosen group."""

    object_id: str
    since: Stamp
    group_id: str | None
    """Of the same group here; None where the mirror does not have it (any more)."""
    display_name: str | None


F = table_of(UserFilterRow)
OF_CONNECTION = (F.c.tenant_id == bindparam("tenant_id"), F.c.connection_id == bindparam("connection_id"))
OF_FILTER = and_(
    G.c.tenant_id == F.c.tenant_id, G.c.connection_id == F.c.connection_id, G.c.entra_object_id == F.c.object_id
)
CHOSEN = Statement(
    select(F.c.object_id, F.c.since, G.c.id, G.c.display_name)
    .select_from(F.outerjoin(G, OF_FILTER))
    .where(*OF_CONNECTION)
    .order_by(F.c.object_id)
)
ADD = Statement(
    insert_or_ignore(F).values(
        tenant_id=bindparam("tenant_id"),
        connection_id=bindparam("connection_id"),
        object_id=bindparam("object_id"),
        since=bindparam("now"),
    )
)
REMOVE = Statement(delete(F).where(*OF_CONNECTION, among(F.c.object_id, "object_ids")))


def _is_member() -> ColumnElement[bool]:
    """Say of a user whether it is in a chosen group directly, as far as the mirror knows."""
    in_chosen = M.join(G, and_(G.c.tenant_id == M.c.tenant_id, G.c.id == M.c.group_id)).join(F, OF_FILTER)
    members = select(literal(1)).select_from(in_chosen)
    return exists(members.where(M.c.tenant_id == U.c.tenant_id, M.c.user_id == U.c.id, *OF_CONNECTION).correlate(U))


WITHIN = Statement(select(U.c.entra_object_id).where(*OF_USERS, among(U.c.entra_object_id, "object_ids"), _is_member()))
ACTIVE = Statement(
    select(U.c.id, _is_member())
    .where(
        *OF_USERS,
        U.c.active.is_(True),
        U.c.entra_object_id.is_not(None),
        U.c.id > bindparam("after", type_=KeyText),
    )
    .order_by(U.c.id)
    .limit(bindparam("limit", type_=Integer()))
)


def chosen(work: Work) -> list[Chosen]:
    """List the chosen groups of the acting connection; none: everybody is imported."""
    return [Chosen(*row) for row in work.rows(CHOSEN, connection_id=work.connection_id)]


def choose(work: Work, object_ids: Sequence[str]) -> bool:
    """Have only the people of these groups imported, or everybody's; say whether that is a change.

    A change begins full rounds, and asks for a pull where the connection is live: who is in no chosen group is made
    inactive at its end, who is in one comes. Raises Invalid for what is no object id, and for too many.
    """
    wanted = {_object_id(each) for each in object_ids}
    if len(wanted) > MOST_GROUPS:
        raise Invalid(f"user_filter: at most {MOST_GROUPS} groups can be chosen.")
    before = {each.object_id for each in chosen(work)}
    if wanted == before:
        return False
    connection_id = work.connection_id
    work.run(REMOVE, connection_id=connection_id, object_ids=sorted(before - wanted))
    rows = [{"connection_id": connection_id, "object_id": each, "now": work.now} for each in sorted(wanted - before)]
    work.run_many(ADD, rows)
    work.record(Event("settings.changed", work.tenant_id, {"changed": ["user_filter"]}))
    for kind in graph_links.LINKS:
        graph_links.save(work, kind, None)
    if graph_links.find(work).live:
        graph_links.ask_for_pull(work)
    return True


def _object_id(value: str) -> str:
    known = entra_object_id(value.strip())
    if known is None:
        raise Invalid("user_filter: a group is named by its object id in Entra, a GUID.")
    return known


def within(work: Work, object_ids: Sequence[str]) -> set[str]:
    """Give those users, by object id, that are in a chosen group here."""
    if not object_ids:
        return set()
    rows = work.rows(WITHIN, connection_id=work.connection_id, object_ids=list(object_ids))
    return {str(row[0]) for row in rows}


def outside(work: Work, *, after: str = "", limit: int = 100, look: int = 2000) -> tuple[list[str], str | None]:
    """Find up to `limit` active users from the directory that are in no chosen group, of some from behind an id.

    Gives them, and from where to look on (None: there are no more).
    """
    rows = work.rows(ACTIVE, connection_id=work.connection_id, after=after, limit=look)
    found = [str(row[0]) for row in rows if not row[1]]
    if len(found) > limit:
        return found[:limit], found[limit - 1]
    return found, str(rows[-1][0]) if len(rows) == look else None
