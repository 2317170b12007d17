"""The mirror: what the directory says. Users, groups and who is in which, stored as sent.

Nothing here decides about products; `provisioning` is the way in, and what follows from a change is `follow`'s.
Membership is rows, and a change touches only the rows it names, whatever the size of the group.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from zlib import crc32

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    Text,
    UniqueConstraint,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    not_,
    or_,
    select,
    text,
    true,
    union_all,
    update,
)
from sqlmodel import Field, SQLModel

from app_core.clock import Stamp
from app_core.db import KeyText, Params, Statement, among, insert_or_ignore, joined, table_of, upsert
from app_core.resource import BASE, UserRecord, document, fold, groups_member
from app_core.work import Work

CONNECTION_OF = ["directory_connection.tenant_id", "directory_connection.id"]


class DirectoryUserRow(SQLModel, table=True):
    """A user of the customer's directory. It lives from the directory's POST to its DELETE; `id` never changes."""

    __tablename__ = "directory_user"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], CONNECTION_OF, ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "connection_id", "user_name_key"),
        Index("ix_directory_user_external_key", "tenant_id", "connection_id", "external_key"),
        Index(
            "ix_directory_user_entra_object_id",
            "tenant_id",
            "connection_id",
            "entra_object_id",
            sqlite_where=text("entra_object_id IS NOT NULL"),
            postgresql_where=text("entra_object_id IS NOT NULL"),
        ),
        # With the id, a search for a part of a name reads this index alone.
        Index("ix_directory_user_display_key", "tenant_id", "connection_id", "display_key", "id"),
        # Covers paging: the rows before a page are passed over without reading their documents.
        Index("ix_directory_user_paging", "tenant_id", "connection_id", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(sa_type=KeyText)
    user_name: str
    user_name_key: str = Field(sa_type=KeyText)
    external_id: str | None
    external_key: str | None = Field(sa_type=KeyText)
    entra_object_id: str | None = Field(sa_type=KeyText)
    display_key: str | None = Field(sa_type=KeyText)
    active: bool
    version: int
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)
    password_hash: str | None
    search: str = Field(sa_type=Text)
    document: bytes = Field(sa_type=LargeBinary)


class DirectoryUserValueRow(SQLModel, table=True):
    """One element of a multi-valued attribute of a user, folded: the index that filters on it use."""

    __tablename__ = "directory_user_value"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["directory_user.tenant_id", "directory_user.id"], ondelete="CASCADE"
        ),
        Index(
            "ix_directory_user_value_value_key",
            "tenant_id",
            "attribute",
            "value_key",
            "user_id",
            sqlite_where=text("value_key IS NOT NULL"),
            postgresql_where=text("value_key IS NOT NULL"),
        ),
        {"sqlite_with_rowid": False},
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    user_id: str = Field(primary_key=True, sa_type=KeyText)
    attribute: str = Field(primary_key=True, sa_type=KeyText)
    position: int = Field(primary_key=True)
    value_key: str | None = Field(sa_type=KeyText)
    type_key: str | None = Field(sa_type=KeyText)
    is_primary: bool
    element: str = Field(sa_type=Text)


class DirectoryGroupRow(SQLModel, table=True):
    """A group of the customer's directory, without its members."""

    __tablename__ = "directory_group"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], CONNECTION_OF, ondelete="CASCADE"),
        # Entra object ids are one per group; other external ids are the sender's own affair.
        UniqueConstraint("tenant_id", "connection_id", "entra_object_id"),
        Index("ix_directory_group_external_key", "tenant_id", "connection_id", "external_key"),
        Index("ix_directory_group_display_key", "tenant_id", "connection_id", "display_key", "id"),
        Index("ix_directory_group_paging", "tenant_id", "connection_id", "id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(sa_type=KeyText)
    display_name: str
    display_key: str = Field(sa_type=KeyText)
    external_id: str | None
    external_key: str | None = Field(sa_type=KeyText)
    entra_object_id: str | None = Field(sa_type=KeyText)
    extensions: str | None = Field(sa_type=Text)
    entry: str = Field(sa_type=Text)
    """How a user's `groups` lists this group: JSON, made when the name is."""
    pushed: bool = Field(default=True, sa_column_kwargs={"server_default": true()})
    """Whether Entra has named it here itself, by SCIM; a pull, or an administrator, may have brought it as well."""
    version: int
    created_at: str = Field(sa_type=KeyText)
    modified_at: str = Field(sa_type=KeyText)


class DirectoryMembershipRow(SQLModel, table=True):
    """A user in a group. An inactive user keeps it (invariant 5)."""

    __tablename__ = "directory_membership"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id"], ["directory_group.tenant_id", "directory_group.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "user_id"], ["directory_user.tenant_id", "directory_user.id"], ondelete="CASCADE"
        ),
        Index("ix_directory_membership_user_id", "tenant_id", "user_id", "group_id"),
        {"sqlite_with_rowid": False},
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    group_id: str = Field(primary_key=True, sa_type=KeyText)
    user_id: str = Field(primary_key=True, sa_type=KeyText)
    since: str = Field(sa_type=KeyText)


class DirectoryNestingRow(SQLModel, table=True):
    """A group in a group (RFC 7643 §4.2). Entra never sends it; it is kept, and not expanded."""

    __tablename__ = "directory_nesting"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "group_id"], ["directory_group.tenant_id", "directory_group.id"], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["tenant_id", "member_id"], ["directory_group.tenant_id", "directory_group.id"], ondelete="CASCADE"
        ),
        Index("ix_directory_nesting_member_id", "tenant_id", "member_id", "group_id"),
        {"sqlite_with_rowid": False},
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    group_id: str = Field(primary_key=True, sa_type=KeyText)
    member_id: str = Field(primary_key=True, sa_type=KeyText)
    since: str = Field(sa_type=KeyText)


class DirectoryTallyRow(SQLModel, table=True):
    """How many objects a connection holds, in slots: a list's total without counting, creates without queueing."""

    __tablename__ = "directory_tally"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "connection_id"], CONNECTION_OF, ondelete="CASCADE"),
        {"sqlite_with_rowid": False},
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(primary_key=True, sa_type=KeyText)
    kind: str = Field(primary_key=True, sa_type=KeyText)
    slot: int = Field(primary_key=True)
    total: int = Field(sa_type=BigInteger)


class User(NamedTuple):
    """A directory user as read."""

    id: str
    external_id: str | None
    user_name: str
    active: bool
    version: int
    created_at: Stamp
    document: bytes
    groups: str | None = None
    """Its groups, as the inside of a JSON array."""
    person_id: str | None = None
    """Whom it leads to, where that was asked for."""


class Group(NamedTuple):
    """A directory group as read, without its members."""

    id: str
    display_name: str
    external_id: str | None
    extensions: str | None
    version: int
    created_at: Stamp
    modified_at: Stamp
    pushed: bool = True
    """Whether Entra has named it here itself, by SCIM."""


U = table_of(DirectoryUserRow)
V = table_of(DirectoryUserValueRow)
G = table_of(DirectoryGroupRow)
M = table_of(DirectoryMembershipRow)
N = table_of(DirectoryNestingRow)
C = table_of(DirectoryTallyRow)

tenant: BindParameter[str] = bindparam("tenant_id")
directory_of: BindParameter[str] = bindparam("connection_id")
GROUPS_OF = (
    select(joined(G.c.entry, M.c.group_id))
    .select_from(M.join(G, (G.c.tenant_id == M.c.tenant_id) & (G.c.id == M.c.group_id)))
    .where(M.c.tenant_id == U.c.tenant_id, M.c.user_id == U.c.id)
    .correlate(U)
    .scalar_subquery()
)
"""The groups that a user is in directly, as the inside of a JSON array."""
USER = (
    U.c.id,
    U.c.external_id,
    U.c.user_name,
    U.c.active,
    U.c.version,
    U.c.created_at,
    U.c.document,
    GROUPS_OF,
)
GROUP = (
    G.c.id,
    G.c.display_name,
    G.c.external_id,
    G.c.extensions,
    G.c.version,
    G.c.created_at,
    G.c.modified_at,
    G.c.pushed,
)
OF_USERS = (U.c.tenant_id == tenant, U.c.connection_id == directory_of)
OF_GROUPS = (G.c.tenant_id == tenant, G.c.connection_id == directory_of)
KEYS = (
    "user_name",
    "user_name_key",
    "external_id",
    "external_key",
    "entra_object_id",
    "display_key",
    "active",
    "search",
)

# Users --------------------------------------------------------------------------------------------------------------

FIND_USER = Statement(select(*USER).where(*OF_USERS, U.c.id == bindparam("user_id")))
INSERT_USER = Statement(
    insert(U).values(
        tenant_id=tenant,
        connection_id=directory_of,
        **{
            name: bindparam(name)
            for name in ("id", *KEYS, "version", "created_at", "modified_at", "document", "password_hash")
        },
    )
)
UPDATE_USER = Statement(
    update(U)
    .where(U.c.tenant_id == tenant, U.c.id == bindparam("user_id"))
    .values(
        {name: bindparam(name) for name in (*KEYS, "version", "modified_at", "document")}
        # A user that Graph was matched with stays so, though SCIM calls it by another external id.
        | {"entra_object_id": func.coalesce(bindparam("entra_object_id", type_=KeyText), U.c.entra_object_id)}
    )
)
SET_PASSWORD = Statement(
    update(U)
    .where(U.c.tenant_id == tenant, U.c.id == bindparam("user_id"))
    .values(password_hash=bindparam("password_hash"))
)
DELETE_USER = Statement(delete(U).where(*OF_USERS, U.c.id == bindparam("user_id")))
INSERT_VALUE = Statement(
    insert(V).values(
        tenant_id=tenant,
        user_id=bindparam("user_id"),
        attribute=bindparam("attribute"),
        position=bindparam("position"),
        value_key=bindparam("value_key"),
        type_key=bindparam("type_key"),
        is_primary=bindparam("is_primary"),
        element=bindparam("element"),
    )
)
DELETE_VALUES = Statement(delete(V).where(V.c.tenant_id == tenant, V.c.user_id == bindparam("user_id")))


def _memberships(of_users: ColumnElement[bool]) -> Statement:
    """Make the statement that reads which groups some users are in: for each of them, the ids in one text."""
    chosen = select(M.c.user_id, joined(M.c.group_id, M.c.group_id)).where(M.c.tenant_id == tenant, of_users)
    return Statement(chosen.group_by(M.c.user_id))


MEMBERSHIPS_OF_USERS = _memberships(among(M.c.user_id, "user_ids"))
# Neighbours are read in one sweep over the index.
MEMBERSHIPS_FROM_TO = _memberships(
    and_(M.c.user_id >= bindparam("from", type_=KeyText), M.c.user_id <= bindparam("to", type_=KeyText))
)


ENTRIES = Statement(select(G.c.id, G.c.entry).where(G.c.tenant_id == tenant, among(G.c.id, "group_ids")))
# The groups of a user that is to go: groups first, then the user, as who adds members does.
# Always in one order, so that no two transactions wait crosswise.
HOLD_GROUPS_OF = Statement(
    select(G.c.id)
    .where(
        G.c.tenant_id == tenant,
        G.c.id.in_(select(M.c.group_id).where(M.c.tenant_id == tenant, M.c.user_id == bindparam("user_id"))),
    )
    .order_by(G.c.id)
    .with_for_update(key_share=True, of=G)
)
USER_BY_OBJECT_ID = Statement(select(U.c.id).where(*OF_USERS, U.c.entra_object_id == bindparam("object_id")))
# Matched once, by the name that both know it under; from then on by its object id (house.md §3 D).
MATCH_USER = Statement(
    update(U)
    .where(*OF_USERS, U.c.user_name_key == bindparam("user_name_key"), U.c.entra_object_id.is_(None))
    .values(entra_object_id=bindparam("object_id"))
    .returning(U.c.id)
)
UNLINKED_NAMES = Statement(
    select(U.c.user_name_key).where(*OF_USERS, U.c.entra_object_id.is_(None), among(U.c.user_name_key, "keys"))
)
HOLDER_OF_NAME = Statement(
    select(U.c.id, U.c.entra_object_id).where(*OF_USERS, U.c.user_name_key == bindparam("user_name_key"))
)
USERS_BY_OBJECT_ID = Statement(
    select(U.c.entra_object_id, U.c.id).where(*OF_USERS, among(U.c.entra_object_id, "object_ids"))
)
ACTIVE_BY_OBJECT_ID = Statement(
    select(U.c.entra_object_id).where(*OF_USERS, U.c.active.is_(True), among(U.c.entra_object_id, "object_ids"))
)
GROUP_BY_OBJECT_ID = Statement(select(G.c.id).where(*OF_GROUPS, G.c.entra_object_id == bindparam("object_id")))
LEAVE_ALL = Statement(delete(M).where(M.c.tenant_id == tenant, M.c.user_id == bindparam("user_id")))
TALLY = Statement(
    upsert(C)
    .values(
        tenant_id=tenant,
        connection_id=directory_of,
        kind=bindparam("kind"),
        slot=bindparam("slot"),
        total=bindparam("change"),
    )
    .on_conflict_do_update(
        index_elements=["tenant_id", "connection_id", "kind", "slot"],
        set_={"total": C.c.total + literal_column("excluded.total", BigInteger())},
    )
)
COUNTED = select(func.coalesce(func.sum(C.c.total), 0)).where(
    C.c.tenant_id == tenant, C.c.connection_id == directory_of, C.c.kind == bindparam("kind")
)
"""How many objects of a kind there are."""
TOTAL = Statement(COUNTED)
SLOTS = 16
FEW_VALUES = 12
"""How many values of a new user go with it in one statement; more follow by themselves."""


def find_user(work: Work, user_id: str) -> User | None:
    """Read a user of the acting connection."""
    row = work.row(FIND_USER, connection_id=work.connection_id, user_id=user_id)
    return None if row is None else User(*row)


def insert_user(
    work: Work, user_id: str, record: UserRecord, password_hash: str | None, *others: tuple[Statement, Params]
) -> tuple[User, list[int]]:
    """Write a new user down, and what goes with it; give how many rows each of the others changed.

    Raises Violation when the userName is taken.
    """
    stored = document(user_id, record, work.now, work.now, 1)
    row = {
        "id": user_id,
        "connection_id": work.connection_id,
        **record.columns(),
        "version": 1,
        "created_at": work.now,
        "modified_at": work.now,
        "document": stored,
        "password_hash": password_hash,
    }
    _, *counts = work.run_expecting([(INSERT_USER, row), *others], [1] * (1 + len(others)))
    values = _values(user_id, record)
    for each in values[:FEW_VALUES]:
        work.run_later(INSERT_VALUE, **each)
    work.run_many(INSERT_VALUE, values[FEW_VALUES:])
    count(work, "User", 1)
    user = User(user_id, record.external_id, record.user_name, record.active, 1, work.now, stored)
    return user, counts


def update_user(work: Work, before: User, record: UserRecord, *, values_changed: bool) -> User:
    """Write a user's new state down and count its version up. Raises Violation when the userName is taken."""
    version = before.version + 1
    stored = document(before.id, record, before.created_at, work.now, version)
    row = {
        "user_id": before.id,
        **record.columns(),
        "version": version,
        "modified_at": work.now,
        "document": stored,
    }
    work.run_expecting([(UPDATE_USER, row)], [1])
    if values_changed:
        work.run(DELETE_VALUES, user_id=before.id)
        work.run_many(INSERT_VALUE, _values(before.id, record))
    return User(before.id, record.external_id, record.user_name, record.active, version, before.created_at, stored)


def set_password(work: Work, user_id: str, password_hash: str) -> None:
    """Keep the hash of a password that the directory sent."""
    work.run(SET_PASSWORD, user_id=user_id, password_hash=password_hash)


def user_by_object_id(work: Work, object_id: str) -> str | None:
    """Give the user of an Entra object id."""
    row = work.row(USER_BY_OBJECT_ID, connection_id=work.connection_id, object_id=object_id)
    return None if row is None else str(row[0])


def match_user(work: Work, object_id: str, user_name: str) -> str | None:
    """Match a user that has no object id yet by its name, in whatever case; give it, if there is one."""
    params = {"connection_id": work.connection_id, "object_id": object_id, "user_name_key": fold(user_name)}
    rows = work.rows(MATCH_USER, **params)
    return str(rows[0][0]) if rows else None


def unlinked_names(work: Work, user_names: Iterable[str]) -> set[str]:
    """Give those of some names, folded, that users have here of whom no Entra object id is known."""
    rows = work.rows(UNLINKED_NAMES, connection_id=work.connection_id, keys=[fold(name) for name in user_names])
    return {str(row[0]) for row in rows}


def holder_of_name(work: Work, user_name: str) -> tuple[str, str | None] | None:
    """Give who has a name, in whatever case: its id and its Entra object id, as far as that is known."""
    row = work.row(HOLDER_OF_NAME, connection_id=work.connection_id, user_name_key=fold(user_name))
    return None if row is None else (str(row[0]), row[1])


def users_by_object_id(work: Work, object_ids: Sequence[str]) -> dict[str, str]:
    """Give the users of some Entra object ids, of those that are here."""
    rows = work.rows(USERS_BY_OBJECT_ID, connection_id=work.connection_id, object_ids=list(object_ids))
    return {str(row[0]): str(row[1]) for row in rows}


def active_by_object_id(work: Work, object_ids: Sequence[str]) -> set[str]:
    """Give those Entra object ids whose users are here and active."""
    rows = work.rows(ACTIVE_BY_OBJECT_ID, connection_id=work.connection_id, object_ids=list(object_ids))
    return {str(row[0]) for row in rows}


def group_by_object_id(work: Work, object_id: str) -> str | None:
    """Give the group of an Entra object id."""
    row = work.row(GROUP_BY_OBJECT_ID, connection_id=work.connection_id, object_id=object_id)
    return None if row is None else str(row[0])


def leave_groups(work: Work, user_id: str) -> None:
    """Take a user that is to go, and is held, out of its groups."""
    work.run_later(LEAVE_ALL, user_id=user_id)


def delete_user(work: Work, user_id: str, left: Sequence[str]) -> None:
    """Forget a user that is held and has left these groups."""
    work.run_later(DELETE_USER, connection_id=work.connection_id, user_id=user_id)
    count(work, "User", -1)
    touch_groups(work, left)


def groups_of_users(work: Work, user_ids: Sequence[str], *, neighbours: bool = False) -> dict[str, bytes]:
    """Give how several users' documents end with their groups; users in none are left out.

    `neighbours` says that they are in the order of their ids and that there is nobody between them.
    """
    if neighbours:
        rows = work.rows(MEMBERSHIPS_FROM_TO, **{"from": user_ids[0], "to": user_ids[-1]})
    else:
        rows = work.rows(MEMBERSHIPS_OF_USERS, user_ids=list(user_ids))
    # Colleagues are in the same groups: there are fewer sets than users, and fewer groups than memberships.
    sets = {text: sorted(text.split(",")) for text in {row[1] for row in rows}}
    group_ids = set(itertools.chain.from_iterable(sets.values()))
    entries = {row[0]: row[1] for row in work.rows(ENTRIES, group_ids=list(group_ids))} if sets else {}
    # One that is gone since the memberships were read is left out.
    endings = {
        text: groups_member(",".join([entries[each] for each in groups if each in entries])).ending
        for text, groups in sets.items()
    }
    return {user_id: endings[text] for user_id, text in rows}


def count(work: Work, kind: str, change: int) -> None:
    """Count objects up or down."""
    # One writer at a time on SQLite; on PostgreSQL concurrent creates take different rows.
    # One transaction keeps to one of them, so that two long ones never wait for each other crosswise.
    slot = crc32(work.correlation_id.encode()) % SLOTS if work.connection.far else 0
    work.run_later(TALLY, connection_id=work.connection_id, kind=kind, slot=slot, change=change)


def total(work: Work, kind: str) -> int:
    """Say how many objects of a kind the connection holds."""
    row = work.row(TOTAL, connection_id=work.connection_id, kind=kind)
    return int(row[0]) if row else 0


def _values(user_id: str, record: UserRecord) -> list[dict[str, Any]]:
    """Give the rows of a user's index table."""
    return [
        {
            "user_id": user_id,
            "attribute": element.attribute,
            "position": element.position,
            "value_key": element.value_key,
            "type_key": element.type_key,
            "is_primary": element.is_primary,
            "element": element.element,
        }
        for element in record.elements()
    ]


# Groups -------------------------------------------------------------------------------------------------------------

FIND_GROUP = Statement(select(*GROUP).where(*OF_GROUPS, G.c.id == bindparam("group_id")))
LOCK_GROUP = Statement(
    select(*GROUP).where(*OF_GROUPS, G.c.id == bindparam("group_id")).with_for_update(key_share=True)
)
OTHER = G.alias("other")
GROUP_COLUMNS = ("display_name", "display_key", "external_id", "external_key", "entra_object_id", "extensions", "entry")


def _given(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=G.c[name].type)


def _name_is_free(group_id: BindParameter[Any]) -> ColumnElement[bool]:
    """Say that no other group of the name could be taken for this one: only two externalIds tell two groups apart."""
    alike = or_(
        OTHER.c.external_key.is_(None), _given("external_key").is_(None), OTHER.c.external_key == _given("external_key")
    )
    return ~exists(
        select(literal(1)).where(
            OTHER.c.tenant_id == tenant,
            OTHER.c.connection_id == directory_of,
            OTHER.c.display_key == _given("display_key"),
            OTHER.c.id != group_id,
            alike,
        )
    )


ADDED = ("id", *GROUP_COLUMNS, "pushed", "version", "created_at", "modified_at")
INSERT_GROUP = Statement(
    insert(G).from_select(
        ["tenant_id", "connection_id", *ADDED],
        select(tenant, directory_of, *map(_given, ADDED)).where(_name_is_free(_given("id"))),
        include_defaults=False,
    )
)
THIS_GROUP = (G.c.tenant_id == tenant, G.c.id == bindparam("group_id", type_=KeyText))
NEW_STATE = {"version": G.c.version + 1, **{name: bindparam(name) for name in (*GROUP_COLUMNS, "modified_at")}}
UPDATE_GROUP = Statement(update(G).where(*THIS_GROUP).values(NEW_STATE))
NAME_GROUP = Statement(
    update(G).where(*THIS_GROUP, _name_is_free(bindparam("group_id", type_=KeyText))).values(NEW_STATE)
)
TOUCH_GROUPS = Statement(
    update(G)
    .where(
        G.c.tenant_id == tenant,
        among(G.c.id, "group_ids"),
    )
    .values(version=G.c.version + 1, modified_at=bindparam("now"))
)
MARK_PUSHED = Statement(update(G).where(*THIS_GROUP).values(pushed=true()))
DELETE_GROUP = Statement(delete(G).where(*OF_GROUPS, G.c.id == bindparam("group_id")))


def find_group(work: Work, group_id: str) -> Group | None:
    """Read a group of the acting connection, without its members."""
    row = work.row(FIND_GROUP, connection_id=work.connection_id, group_id=group_id)
    return None if row is None else Group(*row)


def lock_group(work: Work, group_id: str) -> Group | None:
    """Read a group whose name and members nobody else may change until the transaction ends."""
    row = work.row(LOCK_GROUP, connection_id=work.connection_id, group_id=group_id)
    return None if row is None else Group(*row)


def touch_groups(work: Work, group_ids: Iterable[str]) -> None:
    """Count up the version of groups whose members changed."""
    keys = list(group_ids)
    if keys:
        work.run_later(TOUCH_GROUPS, group_ids=keys, now=work.now)


def mark_pushed(work: Work, group_id: str) -> None:
    """Remember that Entra has named a group here itself. Nobody sees a change: its version stays."""
    work.run(MARK_PUSHED, group_id=group_id)


def delete_group(work: Work, group_id: str, *, nested: bool) -> None:
    """Forget a group that is held, and its memberships. Where others contain it (`nested`) they change with it."""
    if nested:
        touch_groups(work, sorted(str(row[0]) for row in work.rows(LEAVE_PARENTS, member_id=group_id)))
    work.run_later(DELETE_GROUP, connection_id=work.connection_id, group_id=group_id)
    count(work, "Group", -1)


# Memberships --------------------------------------------------------------------------------------------------------

ADD_USERS = Statement(
    insert_or_ignore(M)
    .from_select(
        ["tenant_id", "group_id", "user_id", "since"],
        select(U.c.tenant_id, bindparam("group_id", type_=KeyText), U.c.id, bindparam("since", type_=KeyText)).where(
            *OF_USERS, among(U.c.id, "ids")
        ),
        include_defaults=False,
    )
    .returning(M.c.user_id)
)
ADD_GROUPS = Statement(
    insert_or_ignore(N)
    .from_select(
        ["tenant_id", "group_id", "member_id", "since"],
        select(G.c.tenant_id, bindparam("group_id", type_=KeyText), G.c.id, bindparam("since", type_=KeyText)).where(
            *OF_GROUPS, among(G.c.id, "ids")
        ),
        include_defaults=False,
    )
    .returning(N.c.member_id)
)
KNOWN = Statement(
    union_all(
        select(U.c.id).where(*OF_USERS, among(U.c.id, "ids")),
        select(G.c.id).where(*OF_GROUPS, among(G.c.id, "ids")),
    )
)
REMOVE_USERS = Statement(
    delete(M)
    .where(M.c.tenant_id == tenant, M.c.group_id == bindparam("group_id"), among(M.c.user_id, "ids"))
    .returning(M.c.user_id)
)
REMOVE_GROUPS = Statement(
    delete(N)
    .where(N.c.tenant_id == tenant, N.c.group_id == bindparam("group_id"), among(N.c.member_id, "ids"))
    .returning(N.c.member_id)
)
KEEP_USERS = Statement(
    delete(M)
    .where(M.c.tenant_id == tenant, M.c.group_id == bindparam("group_id"), not_(among(M.c.user_id, "ids")))
    .returning(M.c.user_id)
)
KEEP_GROUPS = Statement(
    delete(N)
    .where(N.c.tenant_id == tenant, N.c.group_id == bindparam("group_id"), not_(among(N.c.member_id, "ids")))
    .returning(N.c.member_id)
)
COUNT_MEMBERS = Statement(
    select(func.count()).where(M.c.tenant_id == tenant, M.c.group_id == bindparam("group_id", type_=KeyText))
)
# A group that is to go, and those that contain it.
HOLD_GROUP = Statement(
    select(G.c.id)
    .where(
        G.c.tenant_id == tenant,
        or_(
            G.c.id == bindparam("group_id"),
            G.c.id.in_(select(N.c.group_id).where(N.c.tenant_id == tenant, N.c.member_id == bindparam("group_id"))),
        ),
    )
    .order_by(G.c.id)
    .with_for_update()
)
LEAVE_PARENTS = Statement(
    delete(N).where(N.c.tenant_id == tenant, N.c.member_id == bindparam("member_id")).returning(N.c.group_id)
)


def _member_json(column: ColumnElement[str], kind: str) -> ColumnElement[str]:
    head, middle, tail = '{"value":"', f'","$ref":"{BASE.decode()}/{kind}s/', f'","type":"{kind}"}}'
    literals = [literal_column(f"'{each}'", Text()) for each in (head, middle, tail)]
    return literals[0].concat(column).concat(literals[1]).concat(column).concat(literals[2])


MEMBER_JSON, NESTED_JSON = _member_json(M.c.user_id, "User"), _member_json(N.c.member_id, "Group")
# The members as JSON, made by the database: a group of 100,000 is one text, not 100,000 rows.
MEMBERS_JSON = Statement(
    select(
        select(joined(MEMBER_JSON))
        .where(M.c.tenant_id == tenant, M.c.group_id == bindparam("group_id"))
        .scalar_subquery(),
        select(joined(NESTED_JSON))
        .where(N.c.tenant_id == tenant, N.c.group_id == bindparam("group_id"))
        .scalar_subquery(),
    )
)
MEMBERS_OF_GROUPS = Statement(
    select(
        M.c.group_id,
        joined(MEMBER_JSON),
    )
    .where(M.c.tenant_id == tenant, among(M.c.group_id, "ids"))
    .group_by(M.c.group_id)
)
NESTED_OF_GROUPS = Statement(
    select(N.c.group_id, joined(NESTED_JSON))
    .where(N.c.tenant_id == tenant, among(N.c.group_id, "ids"))
    .group_by(N.c.group_id)
)


class Members(NamedTuple):
    """Members that came or left: users and groups apart, since only people follow."""

    users: list[str]
    groups: list[str]


def add_members(work: Work, group_id: str, ids: Sequence[str]) -> Members:
    """Put users and groups into a group; give those that were not in it, ignore those that do not exist."""
    params = {"connection_id": work.connection_id, "group_id": group_id, "ids": list(ids), "since": work.now}
    users = [str(row[0]) for row in work.rows(ADD_USERS, **params)]
    groups = [str(row[0]) for row in work.rows(ADD_GROUPS, **params)] if len(users) < len(ids) else []
    return Members(users, groups)


def unknown_members(work: Work, ids: Sequence[str]) -> list[str]:
    """Give the ids that are no user and no group of the acting connection, in the order asked."""
    known = {row[0] for row in work.rows(KNOWN, connection_id=work.connection_id, ids=list(ids))}
    return [member for member in ids if member not in known]


def remove_members(work: Work, group_id: str, ids: Sequence[str]) -> Members:
    """Take users and groups out of a group; give those that were in it."""
    params = {"group_id": group_id, "ids": list(ids)}
    users = [str(row[0]) for row in work.rows(REMOVE_USERS, **params)]
    groups = [str(row[0]) for row in work.rows(REMOVE_GROUPS, **params)] if len(users) < len(ids) else []
    return Members(users, groups)


def keep_members(work: Work, group_id: str, ids: Sequence[str]) -> Members:
    """Take everybody out of a group but these; give those that went."""
    params = {"group_id": group_id, "ids": list(ids)}
    users, groups = ([str(row[0]) for row in work.rows(each, **params)] for each in (KEEP_USERS, KEEP_GROUPS))
    return Members(users, groups)


def count_members(work: Work, group_id: str) -> int:
    """Count the users in a group."""
    row = work.row(COUNT_MEMBERS, group_id=group_id)
    return 0 if row is None else int(row[0])


def members_json(work: Work, group_id: str) -> bytes:
    """Give the members of a group as the inside of a JSON array."""
    row = work.row(MEMBERS_JSON, group_id=group_id)
    return ",".join(filter(None, row or ())).encode()


def members_of_groups(work: Work, group_ids: Sequence[str]) -> dict[str, bytes]:
    """Give the members of several groups, each as the inside of a JSON array; empty groups are left out."""
    if not group_ids:
        return {}
    found: dict[str, list[str]] = {}
    for statement in (MEMBERS_OF_GROUPS, NESTED_OF_GROUPS):
        for group_id, members in work.rows(statement, ids=list(group_ids)):
            found.setdefault(group_id, []).append(members)
    return {group_id: ",".join(parts).encode() for group_id, parts in found.items()}
