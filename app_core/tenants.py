"""Tenants: the vendor's customers. Everything else belongs to one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import UniqueConstraint, bindparam, delete, insert, select, update
from sqlmodel import Field, SQLModel

from app_core import clock
from app_core.db import Connection, KeyText, Row, Statement, Violation, table_of
from app_core.errors import Conflict, Invalid, NotFound
from app_core.ids import new_short_id
from app_core.resource import fold


class TenantRow(SQLModel, table=True):
    """A customer of the vendor. It lives until an operator deletes it, and everything of it goes with it."""

    __tablename__ = "tenant"
    __table_args__ = (UniqueConstraint("name_key"),)

    id: str = Field(primary_key=True, sa_type=KeyText)
    name: str
    name_key: str = Field(sa_type=KeyText)
    seat_limit: int | None
    created_at: str = Field(sa_type=KeyText)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as read."""

    id: str
    name: str
    seat_limit: int | None
    created_at: clock.Stamp


MOST_SEATS = 2**31 - 1
T = table_of(TenantRow)
COLUMNS = (T.c.id, T.c.name, T.c.seat_limit, T.c.created_at)
INSERT = Statement(
    insert(T).values({name: bindparam(name) for name in ("id", "name", "name_key", "seat_limit", "created_at")})
)
FIND = Statement(
    select(*COLUMNS)
    .where((T.c.id == bindparam("key")) | (T.c.name_key == bindparam("name_key")))
    # A tenant may be named like another one's id: false sorts first.
    .order_by(T.c.id != bindparam("key"))
)
ALL = Statement(select(*COLUMNS).order_by(T.c.name_key))
CHANGE = Statement(
    update(T)
    .where(T.c.id == bindparam("key"))
    .values(name=bindparam("name"), name_key=bindparam("name_key"), seat_limit=bindparam("seat_limit"))
)
DELETE = Statement(delete(T).where(T.c.id == bindparam("key")))


def create(connection: Connection, name: str, *, seat_limit: int | None = None) -> Tenant:
    """Add a tenant. Raises Invalid for a name or a limit that cannot be, and Conflict when the name is taken."""
    name = _accepted(name, seat_limit)
    tenant = Tenant(new_short_id(), name, seat_limit, clock.now())
    try:
        connection.run(
            INSERT,
            {
                "id": tenant.id,
                "name": name,
                "name_key": fold(name),
                "seat_limit": seat_limit,
                "created_at": tenant.created_at,
            },
        )
    except Violation as violation:
        if violation.unique("name_key"):
            raise Conflict(f"A tenant named '{name}' already exists.") from violation
        raise
    return tenant


def change(connection: Connection, tenant: Tenant, *, name: str, seat_limit: int | None) -> Tenant:
    """Rename a tenant or change its seats. Raises Invalid and Conflict as `create` does."""
    name = _accepted(name, seat_limit)
    try:
        connection.run(CHANGE, {"key": tenant.id, "name": name, "name_key": fold(name), "seat_limit": seat_limit})
    except Violation as violation:
        if violation.unique("name_key"):
            raise Conflict(f"A tenant named '{name}' already exists.") from violation
        raise
    return Tenant(tenant.id, name, seat_limit, tenant.created_at)


def delete_all_of(connection: Connection, tenant: Tenant) -> None:
    """Delete a tenant and everything that belongs to it; whether it may go is `deletion`'s to say."""
    connection.run(DELETE, {"key": tenant.id})


def find(connection: Connection, key: str) -> Tenant:
    """Give the tenant of this id, else of this name. Raises NotFound."""
    row = connection.row(FIND, {"key": key, "name_key": fold(key)})
    if row is None:
        raise NotFound("Tenant", key)
    return _tenant(row)


def all_of(connection: Connection) -> Sequence[Tenant]:
    """List all tenants by name."""
    return [_tenant(row) for row in connection.rows(ALL, {})]


def _accepted(name: str, seat_limit: int | None) -> str:
    """Give a name as it is kept, without space around it. Raises Invalid."""
    name = name.strip()
    if not name:
        raise Invalid("A tenant needs a name.")
    if not name.isprintable():
        raise Invalid("The name of a tenant cannot hold line breaks or other characters that do not print.")
    if seat_limit is not None and not 0 <= seat_limit <= MOST_SEATS:
        raise Invalid(f"The number of seats must be between 0 and {MOST_SEATS}.")
    return name


def _tenant(row: Row) -> Tenant:
    return Tenant(*row)
