"""Directory connections and their SCIM tokens: one customer directory joined to one tenant.

A token decides the tenant (product decision 3). Several may be live at once, for rotation; only hashes are stored, and
each request looks its token up, so that a revocation counts at once on every process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    bindparam,
    false,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlmodel import Field, SQLModel

from app_core import clock, credentials
from app_core.db import Connection, KeyText, Lateral, Params, Row, Statement, table_of
from app_core.errors import Invalid, NotFound, Unauthenticated
from app_core.ids import new_id, new_short_id
from app_core.tenants import T, Tenant
from app_core.work import Work

LIVE_ALONE = "status IN ('connected', 'quarantined') AND NOT shared"


class DirectoryConnectionRow(SQLModel, table=True):
    """A directory that feeds a tenant: Entra pushes into it by SCIM, and we pull from Graph.

    none → connected             an administrator consented, and a token proved which directory it is
    connected → quarantined      Graph refuses us; `status_reason` says why, and a pull that succeeds ends it
    connected → disconnected     by an administrator

    Connected or quarantined, it has its directory for itself, unless an operator lets it share one (`shared`).
    """

    __tablename__ = "directory_connection"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        # Whosever tenant's it is: two that connect at the same moment do not both succeed (ADR 0021).
        Index(
            "uq_directory_connection_entra_tenant_id",
            "entra_tenant_id",
            unique=True,
            sqlite_where=text(LIVE_ALONE),
            postgresql_where=text(LIVE_ALONE),
        ),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    name: str
    created_at: str = Field(sa_type=KeyText)
    entra_tenant_id: str | None = Field(sa_type=KeyText)
    status: str = Field(default="none", sa_type=KeyText, sa_column_kwargs={"server_default": "none"})
    status_reason: str | None
    missing_permissions: str | None = Field(sa_type=KeyText)
    shared: bool = Field(default=False, sa_column_kwargs={"server_default": false()})
    connected_at: str | None = Field(sa_type=KeyText)
    users_link: str | None = Field(sa_type=Text)
    groups_link: str | None = Field(sa_type=Text)
    pull_slot: str | None = Field(sa_type=KeyText)
    pulled_at: str | None = Field(sa_type=KeyText)


class ScimTokenRow(SQLModel, table=True):
    """A SCIM secret.

    live → expired   `expires_at` has passed
    live → revoked   by an operator or an administrator, at once
    """

    __tablename__ = "scim_token"
    __table_args__ = (
        ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            ondelete="CASCADE",
        ),
        # The one key without a tenant in front: the token is what names the tenant.
        UniqueConstraint("hash"),
        Index("ix_scim_token_tenant_id_connection_id", "tenant_id", "connection_id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    connection_id: str = Field(sa_type=KeyText)
    hash: str = Field(sa_type=KeyText)
    hint: str
    label: str
    created_at: str = Field(sa_type=KeyText)
    expires_at: str | None = Field(sa_type=KeyText)
    last_used_at: str | None = Field(sa_type=KeyText)
    revoked_at: str | None = Field(sa_type=KeyText)


@dataclass(frozen=True, slots=True)
class Caller:
    """Whom a live token stands for."""

    tenant_id: str
    connection_id: str
    token_id: str


@dataclass(frozen=True, slots=True)
class Pushes:
    """How the SCIM side of a connection stands."""

    live_tokens: int
    last_used_at: clock.Stamp | None
    """When Entra last came, give or take a minute; with whichever token, also one that is dead by now."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as listed: never the secret itself."""

    id: str
    hint: str
    label: str
    created_at: clock.Stamp
    expires_at: clock.Stamp | None
    last_used_at: clock.Stamp | None
    revoked_at: clock.Stamp | None


CONNECTION = table_of(DirectoryConnectionRow)
TOKEN = table_of(ScimTokenRow)

INSERT_CONNECTION = Statement(
    insert(CONNECTION).values(
        {name: bindparam(name) for name in ("tenant_id", "id", "name", "created_at")}
        | {"status": "none", "shared": false()}
    )
)
CONNECTIONS = Statement(
    select(CONNECTION.c.id).where(CONNECTION.c.tenant_id == bindparam("tenant_id")).order_by(CONNECTION.c.id)
)
NAMING = (
    select(CONNECTION.c.id, T.c.group_sync)
    .join(T, T.c.id == CONNECTION.c.tenant_id)
    .where(CONNECTION.c.tenant_id == bindparam("tenant_id"), CONNECTION.c.id == bindparam("connection_id"))
)
NAME_ALONE = Statement(NAMING.with_for_update(key_share=True, of=CONNECTION))
NAME_WITH_OTHERS = Statement(NAMING.with_for_update(read=True, of=CONNECTION))
LOCK_ALL = Statement(select(CONNECTION.c.id).where(CONNECTION.c.tenant_id == bindparam("tenant_id")).with_for_update())
INSERT_TOKEN = Statement(
    insert(TOKEN).values(
        {
            name: bindparam(name)
            for name in ("tenant_id", "id", "connection_id", "hash", "hint", "label", "created_at", "expires_at")
        }
    )
)
BY_HASH_COLUMNS = (
    TOKEN.c.tenant_id,
    TOKEN.c.connection_id,
    TOKEN.c.id,
    TOKEN.c.expires_at,
    TOKEN.c.revoked_at,
)
WIDTH = len(BY_HASH_COLUMNS)
BY_HASH = Statement(select(*BY_HASH_COLUMNS).where(TOKEN.c.hash == bindparam("hash")))
OPENING = Lateral(BY_HASH, "scim_token", ("tenant_id", "connection_id"))
TOKENS = Statement(
    select(
        TOKEN.c.id,
        TOKEN.c.hint,
        TOKEN.c.label,
        TOKEN.c.created_at,
        TOKEN.c.expires_at,
        TOKEN.c.last_used_at,
        TOKEN.c.revoked_at,
    )
    .where(TOKEN.c.tenant_id == bindparam("tenant_id"))
    .order_by(TOKEN.c.id)
)
OF_CONNECTION = (
    TOKEN.c.tenant_id == bindparam("tenant_id"),
    TOKEN.c.connection_id == bindparam("connection_id"),
)
LIVE = (
    TOKEN.c.revoked_at.is_(None),
    or_(TOKEN.c.expires_at.is_(None), TOKEN.c.expires_at > bindparam("now", type_=KeyText)),
)
STILL_LIVE = Statement(
    select(TOKEN.c.id).where(
        TOKEN.c.hash == bindparam("hash"), TOKEN.c.id == bindparam("token_id"), *OF_CONNECTION, *LIVE
    )
)
PUSHES = Statement(
    select(
        select(func.count()).select_from(TOKEN).where(*OF_CONNECTION, *LIVE).scalar_subquery(),
        select(func.max(TOKEN.c.last_used_at)).where(*OF_CONNECTION).scalar_subquery(),
    )
)
REVOKE = Statement(
    update(TOKEN)
    .where(
        TOKEN.c.tenant_id == bindparam("tenant_id"), TOKEN.c.id == bindparam("token_id"), TOKEN.c.revoked_at.is_(None)
    )
    .values(revoked_at=bindparam("now"))
)
NOTE_USE = Statement(
    update(TOKEN)
    .where(TOKEN.c.tenant_id == bindparam("tenant_id"), TOKEN.c.id == bindparam("token_id"))
    .values(last_used_at=bindparam("now"))
)


def create(connection: Connection, tenant: Tenant, name: str) -> str:
    """Join a directory to a tenant and give the connection's id."""
    connection_id = new_short_id()
    connection.run(
        INSERT_CONNECTION,
        {"tenant_id": tenant.id, "id": connection_id, "name": name, "created_at": clock.now()},
    )
    return connection_id


def first_of(connection: Connection, tenant: Tenant) -> str:
    """Give the id of the tenant's (oldest) connection. Raises NotFound."""
    row = connection.row(CONNECTIONS, {"tenant_id": tenant.id})
    if row is None:
        raise NotFound("Connection of tenant", tenant.name)
    return str(row[0])


def act_on_first(work: Work) -> None:
    """Let a unit of work act on its tenant's (oldest) connection. Raises NotFound."""
    row = work.row(CONNECTIONS)
    if row is None:
        raise NotFound("Connection of tenant", work.tenant_id)
    work.connection_id = str(row[0])


def pushes(work: Work) -> Pushes:
    """Say how the SCIM side of the acting connection stands."""
    row = work.row(PUSHES, connection_id=work.connection_id, now=work.now)
    assert row is not None
    return Pushes(int(row[0]), row[1])


def issue_token(
    connection: Connection,
    tenant: Tenant,
    connection_id: str,
    *,
    label: str = "",
    expires_at: clock.Stamp | None = None,
) -> tuple[str, str]:
    """Make a token and give its id and the secret, which is shown this once. Raises Invalid for a past expiry."""
    if expires_at is not None and expires_at <= clock.now():
        raise Invalid("The token would have expired already.")
    secret, token_id = credentials.new_token(), new_id()
    connection.run(
        INSERT_TOKEN,
        {
            "tenant_id": tenant.id,
            "id": token_id,
            "connection_id": connection_id,
            "hash": credentials.token_hash(secret),
            "hint": credentials.hint(secret),
            "label": label,
            "created_at": clock.now(),
            "expires_at": expires_at,
        },
    )
    return token_id, secret


def tokens_of(connection: Connection, tenant: Tenant) -> Sequence[Token]:
    """List the tenant's tokens, oldest first, without their secrets."""
    return [Token(*row) for row in connection.rows(TOKENS, {"tenant_id": tenant.id})]


def revoke_token(connection: Connection, tenant: Tenant, token_id: str) -> None:
    """End a token at once. Raises NotFound when the tenant has no such live token."""
    if not connection.run(REVOKE, {"tenant_id": tenant.id, "token_id": token_id, "now": clock.now()}):
        raise NotFound("Live token", token_id)


def authenticate(connection: Connection, token_hash: str, now: clock.Stamp) -> Caller:
    """Say whom a token stands for. Raises Unauthenticated; the sentence never says more than the caller knows."""
    return _caller(connection.row(BY_HASH, {"hash": token_hash}), now)


def assume(connection: Connection, token_hash: str, caller: Caller, now: clock.Stamp) -> bool:
    """Take it that a token still stands for whom it stood before; it is looked at before anything is stored or told.

    Where that is wrong the whole job is run again. Gives False where nothing is assumed: then `authenticate`.
    """
    params = {
        "tenant_id": caller.tenant_id,
        "connection_id": caller.connection_id,
        "token_id": caller.token_id,
        "hash": token_hash,
        "now": now,
    }
    return connection.assume(STILL_LIVE, params)


def _caller(row: Row | None, now: clock.Stamp) -> Caller:
    if row is None:
        raise Unauthenticated("The bearer token is not known here. Create one and paste it without 'Bearer '.")
    tenant_id, connection_id, token_id, expires_at, revoked_at = row
    if revoked_at is not None:
        raise Unauthenticated("The bearer token was revoked.")
    if expires_at is not None and expires_at <= now:
        raise Unauthenticated("The bearer token has expired. Create a new one and replace it in the client.")
    return Caller(tenant_id, connection_id, token_id)


def open_with(work: Work, token_hash: str, statement: Statement, params: Params) -> tuple[Caller, Sequence[Row]]:
    """Run the first SELECT of a request together with the look-up of its caller: one trip to the database, not two.

    Sets the tenant of the work. Raises Unauthenticated.
    """
    rows = work.connection.rows(OPENING.joined_to(statement), {**params, "hash": token_hash})
    caller = _caller(rows[0][:WIDTH] if rows else None, work.now)
    work.tenant_id, work.connection_id = caller.tenant_id, caller.connection_id
    return caller, [row[WIDTH + 1 :] for row in rows if row[WIDTH]]


def note_use(connection: Connection, caller: Caller, now: clock.Stamp) -> None:
    """Remember when a token was last used."""
    connection.run(NOTE_USE, {"tenant_id": caller.tenant_id, "token_id": caller.token_id, "now": now})


def lock_all(connection: Connection, tenant: Tenant) -> None:
    """Keep others from adding to any connection of a tenant until the transaction ends."""
    connection.rows(LOCK_ALL, {"tenant_id": tenant.id})


def hold_names(work: Work, *, alone: bool) -> str:
    """Keep the names of the acting connection's groups as they are until the transaction ends; give `group_sync`.

    Where a name alone tells a group from others, no constraint does so: then nobody else may name any (`alone`). Those
    whose groups have object ids only wait for such a one.
    """
    row = work.row(NAME_ALONE if alone else NAME_WITH_OTHERS, connection_id=work.connection_id)
    if row is None:
        raise NotFound("Connection", work.connection_id)
    return str(row[1])
