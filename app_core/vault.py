"""Logins of teams (vault items). What they hold is encrypted end to end by the application: here it is opaque text.

Here is known that a login exists and which team owns it: that is what keeps a team from being deleted (invariant 9).
Two guards, one truth: whoever puts a login into a team holds the team's key, for which whoever deletes it waits; and
the foreign key restricts whoever forgot.
"""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ForeignKeyConstraint, Index, Integer, Text, bindparam, delete, func, insert, select, update
from sqlmodel import Field, SQLModel

from app_core import teams
from app_core.clock import Stamp
from app_core.db import KeyText, Statement, among, table_of
from app_core.errors import NotFound
from app_core.events import Event
from app_core.ids import new_id
from app_core.texts import opaque
from app_core.work import Work

MOST_TITLE = 1024
MOST_URL = 8192
MOST_CIPHERTEXT = 256 * 1024


class LoginRow(SQLModel, table=True):
    """A login of a team. It lives from when a member adds it to when one deletes it, and may move between teams."""

    __tablename__ = "login"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "team_id"], ["team.tenant_id", "team.id"], ondelete="RESTRICT"),
        Index("ix_login_team_id", "tenant_id", "team_id", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    team_id: str = Field(sa_type=KeyText)
    title: str | None
    url: str | None
    ciphertext: str = Field(sa_type=Text)
    version: int
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)


class Login(NamedTuple):
    """A login as read."""

    id: str
    team_id: str
    title: str | None
    url: str | None
    ciphertext: str
    version: int
    created_at: Stamp
    modified_at: Stamp


L = table_of(LoginRow)
A = teams.A
LOGIN = tuple(L.c[name] for name in Login._fields)
OF_TEAM = (L.c.tenant_id == teams.tenant, L.c.team_id == bindparam("team_id"))
THE_LOGIN = (*OF_TEAM, L.c.id == bindparam("login_id"))

# The lock that the foreign key would take: a rename of the team goes on beside it, a deletion waits.
HOLD_TEAM = Statement(
    select(A.c.id)
    .where(A.c.tenant_id == teams.tenant, A.c.id == bindparam("team_id"))
    .with_for_update(read=True, key_share=True)
)
FIND = Statement(select(*LOGIN).where(*THE_LOGIN))
LOCK = Statement(select(*LOGIN).where(*THE_LOGIN).with_for_update())
PAGE = Statement(
    select(*LOGIN)
    .where(*OF_TEAM, L.c.id > bindparam("after"))
    .order_by(L.c.id)
    .limit(bindparam("limit", type_=Integer()))
)
COUNT = Statement(select(func.count()).select_from(L).where(*OF_TEAM))
COUNTS = Statement(
    select(L.c.team_id, func.count())
    .where(L.c.tenant_id == teams.tenant, among(L.c.team_id, "team_ids"))
    .group_by(L.c.team_id)
)
INSERT = Statement(insert(L).values(tenant_id=teams.tenant, **{name: bindparam(name) for name in Login._fields}))
UPDATE = Statement(
    update(L)
    .where(*THE_LOGIN)
    .values(
        version=L.c.version + 1,
        **{name: bindparam(name) for name in ("title", "url", "ciphertext", "modified_at")},
    )
)
MOVE = Statement(
    update(L)
    .where(*THE_LOGIN)
    .values(team_id=bindparam("to_team_id"), version=L.c.version + 1, modified_at=bindparam("modified_at"))
)
LOCK_ALL = Statement(select(L.c.id).where(*OF_TEAM).order_by(L.c.id).with_for_update())
MOVE_ALL = Statement(
    update(L)
    .where(*OF_TEAM, among(L.c.id, "login_ids"))
    .values(team_id=bindparam("to_team_id"), version=L.c.version + 1, modified_at=bindparam("modified_at"))
)
DELETE = Statement(delete(L).where(*THE_LOGIN))


def add(work: Work, team_id: str, *, title: str | None = None, url: str | None = None, ciphertext: str) -> Login:
    """Put a login into a team. Raises NotFound for the team, and Invalid for what cannot be stored."""
    _require(title, url, ciphertext)
    _hold_team(work, team_id)
    login = Login(new_id(), team_id, title, url, ciphertext, 1, work.now, work.now)
    work.run(INSERT, **login._asdict())
    work.record(Event("login.added", login.id, {"team_id": team_id}))
    return login


def page(work: Work, team_id: str, *, after: str = "", limit: int = 50) -> list[Login]:
    """List the logins of a team, oldest first, from behind `after`; none of a team that there is not."""
    return [Login(*row) for row in work.rows(PAGE, team_id=team_id, after=after, limit=limit)]


def count(work: Work, team_id: str) -> int:
    """Count the logins of a team."""
    row = work.row(COUNT, team_id=team_id)
    return 0 if row is None else int(row[0])


def counts(work: Work, team_ids: Sequence[str]) -> dict[str, int]:
    """Count the logins of several teams; a team without any is left out."""
    rows = work.rows(COUNTS, team_ids=list(team_ids)) if team_ids else []
    return {str(row[0]): int(row[1]) for row in rows}


def find(work: Work, team_id: str, login_id: str) -> Login | None:
    """Read a login of a team."""
    row = work.row(FIND, team_id=team_id, login_id=login_id)
    return None if row is None else Login(*row)


def lock(work: Work, team_id: str, login_id: str) -> Login:
    """Read a login of a team that nobody else may change until the transaction ends. Raises NotFound."""
    row = work.row(LOCK, team_id=team_id, login_id=login_id)
    if row is None:
        raise NotFound("Login", login_id)
    return Login(*row)


def change(work: Work, before: Login, *, title: str | None, url: str | None, ciphertext: str) -> Login:
    """Give a locked login another content; the same content is no change. Raises Invalid."""
    _require(title, url, ciphertext)
    after = before._replace(title=title, url=url, ciphertext=ciphertext)
    if after == before:
        return before
    work.run(
        UPDATE,
        team_id=before.team_id,
        login_id=before.id,
        title=title,
        url=url,
        ciphertext=ciphertext,
        modified_at=work.now,
    )
    work.record(Event("login.updated", before.id, {"team_id": before.team_id}))
    return after._replace(version=before.version + 1, modified_at=work.now)


def move(work: Work, before: Login, to_team_id: str) -> Login:
    """Put a locked login into another team. Raises NotFound for that team."""
    if to_team_id == before.team_id:
        return before
    _hold_team(work, to_team_id)
    work.run(MOVE, team_id=before.team_id, login_id=before.id, to_team_id=to_team_id, modified_at=work.now)
    work.record(Event("login.moved", before.id, {"team_id": to_team_id, "former_team_id": before.team_id}))
    return before._replace(team_id=to_team_id, version=before.version + 1, modified_at=work.now)


def move_all(work: Work, team_id: str, to_team_id: str) -> int:
    """Put all logins of a team into another one; give how many. Raises NotFound for that other team."""
    if to_team_id == team_id:
        return 0
    _hold_team(work, to_team_id)
    # One that is added meanwhile stays where it is: nobody has been told of it.
    login_ids = [str(row[0]) for row in work.rows(LOCK_ALL, team_id=team_id)]
    if login_ids:
        work.run(MOVE_ALL, team_id=team_id, to_team_id=to_team_id, login_ids=login_ids, modified_at=work.now)
    for login_id in login_ids:
        work.record(Event("login.moved", login_id, {"team_id": to_team_id, "former_team_id": team_id}))
    return len(login_ids)


def remove(work: Work, login: Login) -> None:
    """Forget a locked login."""
    work.run(DELETE, team_id=login.team_id, login_id=login.id)
    work.record(Event("login.deleted", login.id, {"team_id": login.team_id}))


def _hold_team(work: Work, team_id: str) -> None:
    if work.row(HOLD_TEAM, team_id=team_id) is None:
        raise NotFound("Team", team_id)


def _require(title: str | None, url: str | None, ciphertext: str) -> None:
    if title is not None:
        opaque("title", title, MOST_TITLE)
    if url is not None:
        opaque("url", url, MOST_URL)
    opaque("ciphertext", ciphertext, MOST_CIPHERTEXT)
