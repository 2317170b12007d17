"""Tenants: the vendor's customers. Everything else belongs to one of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import CheckConstraint, UniqueConstraint, bindparam, delete, insert, literal, select, update
from sqlmodel import Field, SQLModel

from app_core import clock
from app_core.db import Connection, KeyText, Row, Statement, Violation, table_of
from app_core.errors import Conflict, Invalid, NotFound, NotPossible
from app_core.events import Event
from app_core.ids import new_short_id
from app_core.resource import fold
from app_core.work import Work


class TenantRow(SQLModel, table=True):
    """A customer of the vendor. It lives until an operator deletes it, and everything of it goes with it.

    `seats_open` counts the open seats: each that opens or is released counts it, so the limit holds under any race.
    """

    __tablename__ = "tenant"
    __table_args__ = (
        UniqueConstraint("name_key"),
        CheckConstraint("seat_limit IS NULL OR seats_open <= seat_limit", name="seats"),
    )

    id: str = Field(primary_key=True, sa_type=KeyText)
    name: str
    name_key: str = Field(sa_type=KeyText)
    seat_limit: int | None
    seats_open: int = Field(default=0, sa_column_kwargs={"server_default": "0"})
    group_sync: str = Field(default="all", sa_type=KeyText, sa_column_kwargs={"server_default": "all"})
    on_group_delete: str = Field(default="refuse", sa_type=KeyText, sa_column_kwargs={"server_default": "refuse"})
    invalid_phone: str = Field(default="flag", sa_type=KeyText, sa_column_kwargs={"server_default": "flag"})
    created_at: str = Field(sa_type=KeyText)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant as read."""

    id: str
    name: str
    seat_limit: int | None
    created_at: clock.Stamp
    seats_open: int = 0
    group_sync: str = "all"
    """Which groups of the directory become teams: `all`, or those `selected` by an administrator (P3)."""
    on_group_delete: str = "refuse"
    """What becomes of a deletion when the team still holds logins: `refuse` it, or `detach` the team (P4)."""
    invalid_phone: str = "flag"
    """What becomes of a phone number that no card can show: `flag` it, or `reject` the user (C5)."""


POLICIES: Mapping[str, tuple[str, ...]] = {
    "group_sync": ("all", "selected"),
    "on_group_delete": ("refuse", "detach"),
    "invalid_phone": ("flag", "reject"),
}
"""The settings of a tenant and their values, the default first."""
MOST_SEATS = 2**31 - 1
T = table_of(TenantRow)
COLUMNS = tuple(T.c[each.name] for each in dataclasses.fields(Tenant))
INSERT = Statement(
    insert(T).values(
        {name: bindparam(name) for name in ("id", "name", "name_key", "seat_limit", "created_at")}
        | {"seats_open": literal(0), "group_sync": "all", "on_group_delete": "refuse", "invalid_phone": "flag"}
    )
)
FIND = Statement(
    select(*COLUMNS)
    .where((T.c.id == bindparam("key")) | (T.c.name_key == bindparam("name_key")))
    # A tenant may be named like another one's id: false sorts first.
    .order_by(T.c.id != bindparam("key"))
)
ALL = Statement(select(*COLUMNS).order_by(T.c.name_key))
FIRST_TWO = Statement(select(*COLUMNS).order_by(T.c.id).limit(2))
CHANGE = Statement(
    update(T)
    .where(T.c.id == bindparam("key"))
    .values(name=bindparam("name"), name_key=bindparam("name_key"), seat_limit=bindparam("seat_limit"))
)
ACTING = Statement(select(*COLUMNS).where(T.c.id == bindparam("tenant_id")))
# Seats that open at the same time wait, and are counted before the limit is looked at.
LOCK = Statement(select(*COLUMNS).where(T.c.id == bindparam("tenant_id")).with_for_update(key_share=True))
SET_POLICIES = Statement(
    update(T).where(T.c.id == bindparam("tenant_id")).values({name: bindparam(name) for name in POLICIES})
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


def change(work: Work, *, name: str, seat_limit: int | None) -> Tenant:
    """Rename the acting tenant or change its seats; serving those who wait for one is `seats`' to do.

    Raises Invalid and Conflict as `create` does, and NotPossible for fewer seats than are open.
    """
    name, before = _accepted(name, seat_limit), _lock(work)
    if seat_limit is not None and seat_limit < before.seats_open:
        raise NotPossible(
            f"{before.seats_open} {'seat is' if before.seats_open == 1 else 'seats are'} open, so the limit cannot be "
            f"{seat_limit}. Pause cards or revoke activations until no more than {seat_limit} are open, or set "
            f"{before.seats_open} or more.",
            seats_open=before.seats_open,
            seat_limit=seat_limit,
        )
    try:
        work.run(CHANGE, key=work.tenant_id, name=name, name_key=fold(name), seat_limit=seat_limit)
    except Violation as violation:
        if violation.unique("name_key"):
            raise Conflict(f"A tenant named '{name}' already exists.") from violation
        raise
    changed = [field for field, new in (("name", name), ("seat_limit", seat_limit)) if new != getattr(before, field)]
    if changed:
        work.record(Event("settings.changed", work.tenant_id, {"changed": changed}))
    return replace(before, name=name, seat_limit=seat_limit)


def acting(work: Work) -> Tenant:
    """Give the tenant of a unit of work, with its seats and settings. Raises NotFound."""
    row = work.row(ACTING)
    if row is None:
        raise NotFound("Tenant", work.tenant_id)
    return _tenant(row)


def change_settings(work: Work, changes: Mapping[str, str]) -> Tenant:
    """Set some of the policies, by their names in POLICIES. Raises Invalid for a name or value that there is not."""
    for name, value in changes.items():
        if value not in POLICIES.get(name, ()):
            known = " or ".join([f"'{each}'" for each in POLICIES.get(name, POLICIES)])
            raise Invalid(
                f"{name}: it must be {known}." if name in POLICIES else f"There is no setting '{name[:40]}': {known}."
            )
    before = _lock(work)
    changed = [name for name, value in changes.items() if value != getattr(before, name)]
    if not changed:
        return before
    taken: dict[str, Any] = dict(changes)
    after = replace(before, **taken)
    work.run(SET_POLICIES, **{name: getattr(after, name) for name in POLICIES})
    work.record(Event("settings.changed", work.tenant_id, {"changed": changed}))
    return after


def delete_all_of(connection: Connection, tenant: Tenant) -> None:
    """Delete a tenant and everything that belongs to it; whether it may go is `deletion`'s to say."""
    connection.run(DELETE, {"key": tenant.id})


def find(connection: Connection, key: str) -> Tenant:
    """Give the tenant of this id, else of this name. Raises NotFound."""
    row = connection.row(FIND, {"key": key, "name_key": fold(key)})
    if row is None:
        raise NotFound("Tenant", key)
    return _tenant(row)


def only_one(connection: Connection) -> Tenant | None:
    """Give the tenant where there is one alone: then nobody has to say which is theirs."""
    rows = connection.rows(FIRST_TWO, {})
    return _tenant(rows[0]) if len(rows) == 1 else None


def all_of(connection: Connection) -> Sequence[Tenant]:
    """List all tenants by name."""
    return [_tenant(row) for row in connection.rows(ALL, {})]


def _lock(work: Work) -> Tenant:
    row = work.row(LOCK)
    if row is None:
        raise NotFound("Tenant", work.tenant_id)
    return _tenant(row)


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
