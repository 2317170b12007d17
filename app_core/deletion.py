"""Guarded deletion: the one place that knows what keeps something from being deleted, and says so with counts."""

from sqlalchemy import BindParameter, bindparam, func, select

from app_core import connections, directory, tenants
from app_core.db import Connection, Statement
from app_core.errors import StillHolds
from app_core.tenants import Tenant

OF_TENANT: BindParameter[str] = bindparam("tenant_id")
HELD = {
    "users": Statement(select(func.count()).select_from(directory.U).where(directory.U.c.tenant_id == OF_TENANT)),
    "groups": Statement(select(func.count()).select_from(directory.G).where(directory.G.c.tenant_id == OF_TENANT)),
}


def delete_tenant(connection: Connection, tenant: Tenant) -> None:
    """Delete a tenant with its connections, tokens and log. Raises StillHolds while a directory has objects in it."""
    connections.lock_all(connection, tenant)
    refuse_while(f"Tenant '{tenant.name}'", tenant_blockers(connection, tenant), "deprovision them in Entra first")
    tenants.delete_all_of(connection, tenant)


def tenant_blockers(connection: Connection, tenant: Tenant) -> dict[str, int]:
    """Count what keeps a tenant from being deleted."""
    rows = {what: connection.row(statement, {"tenant_id": tenant.id}) for what, statement in HELD.items()}
    return {what: int(row[0]) for what, row in rows.items() if row and row[0]}


def refuse_while(what: str, blockers: dict[str, int], remedy: str) -> None:
    """Refuse a deletion while anything stands in its way. Raises StillHolds with the counts."""
    if blockers:
        raise StillHolds(what, blockers, remedy)
