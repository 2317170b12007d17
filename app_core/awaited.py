"""What Graph has named and is not here yet: people of a group, and managers. Kept, so that none of it is lost.

A user may be named as a member before it is known, and a manager after its people. Both are settled at the end of the
pull that brings them, or of a later one: rows, for a directory has more of them than a memory should hold.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import ForeignKeyConstraint, Integer, and_, bindparam, delete, select
from sqlmodel import Field, SQLModel

from app_core.db import KeyText, Statement, among, insert_or_ignore, table_of, upsert
from app_core.directory import CONNECTION_OF, OF_USERS, U
from app_core.work import Work


class AwaitedUserRow(SQLModel, table=True):
    """A user that a pull has to read by itself: a group has it, and it is not here, or was out of scope."""

    __tablename__ = "awaited_user"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], CONNECTION_OF, ondelete="CASCADE"),
        {"sqlite_with_rowid": False},
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(primary_key=True, sa_type=KeyText)
    object_id: str = Field(primary_key=True, sa_type=KeyText)


class AwaitedManagerRow(SQLModel, table=True):
    """The manager of a user, by object id, that was not here when it was named."""

    __tablename__ = "awaited_manager"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["directory_user.tenant_id", "directory_user.id"], ondelete="CASCADE"
        ),
        {"sqlite_with_rowid": False},
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    user_id: str = Field(primary_key=True, sa_type=KeyText)
    manager_object_id: str = Field(sa_type=KeyText)


W, B = table_of(AwaitedUserRow), table_of(AwaitedManagerRow)
OF_CONNECTION = (W.c.tenant_id == bindparam("tenant_id"), W.c.connection_id == bindparam("connection_id"))
OF_USER = (B.c.tenant_id == bindparam("tenant_id"), B.c.user_id == bindparam("user_id"))
EXPECT_USER = Statement(
    insert_or_ignore(W).values(
        tenant_id=bindparam("tenant_id"), connection_id=bindparam("connection_id"), object_id=bindparam("object_id")
    )
)
USERS = Statement(
    select(W.c.object_id).where(*OF_CONNECTION).order_by(W.c.object_id).limit(bindparam("limit", type_=Integer()))
)
DROP_USERS = Statement(delete(W).where(*OF_CONNECTION, among(W.c.object_id, "object_ids")))
DROP_ALL_USERS = Statement(delete(W).where(*OF_CONNECTION))
INSERT_MANAGER = upsert(B).values(
    tenant_id=bindparam("tenant_id"), user_id=bindparam("user_id"), manager_object_id=bindparam("manager_id")
)
EXPECT_MANAGER = Statement(
    INSERT_MANAGER.on_conflict_do_update(
        index_elements=["tenant_id", "user_id"], set_={"manager_object_id": INSERT_MANAGER.excluded.manager_object_id}
    )
)
DROP_MANAGER = Statement(delete(B).where(*OF_USER))
DROP_MANAGER_AMONG = Statement(delete(B).where(*OF_USER, among(B.c.manager_object_id, "object_ids")))
BOSS = U.alias("boss")
MANAGERS = Statement(
    select(B.c.user_id, BOSS.c.id)
    .select_from(
        B.join(U, and_(U.c.tenant_id == B.c.tenant_id, U.c.id == B.c.user_id)).outerjoin(
            BOSS,
            and_(
                BOSS.c.tenant_id == U.c.tenant_id,
                BOSS.c.connection_id == U.c.connection_id,
                BOSS.c.entra_object_id == B.c.manager_object_id,
            ),
        )
    )
    .where(*OF_USERS, B.c.tenant_id == bindparam("tenant_id"), B.c.user_id > bindparam("after", type_=KeyText))
    .order_by(B.c.user_id)
    .limit(bindparam("limit", type_=Integer()))
)


def expect_users(work: Work, object_ids: Collection[str]) -> None:
    """Have users read by themselves before the pull of the acting connection ends."""
    rows = [{"connection_id": work.connection_id, "object_id": each} for each in sorted(object_ids)]
    work.run_many(EXPECT_USER, rows)


def users(work: Work, limit: int) -> list[str]:
    """Give the object ids of the next users to be read."""
    return [str(row[0]) for row in work.rows(USERS, connection_id=work.connection_id, limit=limit)]


def drop_users(work: Work, object_ids: Sequence[str] | None = None) -> None:
    """Await these users no longer; without any, nobody."""
    if object_ids is None:
        work.run(DROP_ALL_USERS, connection_id=work.connection_id)
    elif object_ids:
        work.run(DROP_USERS, connection_id=work.connection_id, object_ids=list(object_ids))


def expect_manager(work: Work, user_id: str, object_id: str) -> None:
    """Remember who is the manager of a user, until it is here."""
    work.run(EXPECT_MANAGER, user_id=user_id, manager_id=object_id)


def drop_manager(work: Work, user_id: str, object_ids: Sequence[str] | None = None) -> None:
    """Await nobody as the manager of a user, or just none of these."""
    if object_ids is None:
        work.run(DROP_MANAGER, user_id=user_id)
    elif object_ids:
        work.run(DROP_MANAGER_AMONG, user_id=user_id, object_ids=list(object_ids))


def managers(
    work: Work, *, after: str = "", limit: int = 100, look: int = 2000
) -> tuple[list[tuple[str, str]], str | None]:
    """Find up to `limit` users whose awaited manager is here by now, of some from behind an id.

    Gives them, each with the manager's id, and from where to look on (None: there are no more).
    """
    rows = work.rows(MANAGERS, connection_id=work.connection_id, after=after, limit=look)
    found = [(str(user_id), str(manager_id)) for user_id, manager_id in rows if manager_id is not None]
    if len(found) > limit:
        return found[:limit], found[limit - 1][0]
    return found, str(rows[-1][0]) if len(rows) == look else None
