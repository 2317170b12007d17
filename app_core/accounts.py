"""Accounts of those who administer: operators of this server, and administrators of one tenant.

An e-mail address is a label and where a link is sent to; it proves nobody. What proves somebody is a sign-in link, or
the Microsoft identity that they linked while they were signed in by one (ADR 0022).
"""

from sqlalchemy import ForeignKeyConstraint, UniqueConstraint
from sqlmodel import Field, SQLModel

from app_core.db import KeyText, table_of


class OperatorRow(SQLModel, table=True):
    """Somebody who runs this server and acts in every tenant; so it has none itself (ADR 0022).

    invited → signed in   the first sign-in, by a link; Microsoft may be linked from then on
    any     → gone        removed by another, which ends all sessions and links
    """

    __tablename__ = "operator"
    __table_args__ = (UniqueConstraint("email_key"), UniqueConstraint("entra_tenant_id", "entra_object_id"))

    id: str = Field(primary_key=True, sa_type=KeyText)
    email: str
    email_key: str = Field(sa_type=KeyText)
    entra_tenant_id: str | None = Field(sa_type=KeyText)
    entra_object_id: str | None = Field(sa_type=KeyText)
    created_at: str = Field(sa_type=KeyText)
    signed_in_at: str | None = Field(sa_type=KeyText)


class AdministratorRow(SQLModel, table=True):
    """Somebody who administers one tenant, with the life of an operator."""

    __tablename__ = "administrator"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenant.id"], ondelete="CASCADE"),
        UniqueConstraint("tenant_id", "email_key"),
        # Without a tenant in front: at a Microsoft sign-in the identity is what names the tenant.
        UniqueConstraint("entra_tenant_id", "entra_object_id"),
    )

    tenant_id: str = Field(primary_key=True, sa_type=KeyText)
    id: str = Field(primary_key=True, sa_type=KeyText)
    email: str
    email_key: str = Field(sa_type=KeyText)
    entra_tenant_id: str | None = Field(sa_type=KeyText)
    entra_object_id: str | None = Field(sa_type=KeyText)
    created_at: str = Field(sa_type=KeyText)
    signed_in_at: str | None = Field(sa_type=KeyText)


O = table_of(OperatorRow)  # noqa: E741 - the initial of the table, as everywhere
A = table_of(AdministratorRow)
