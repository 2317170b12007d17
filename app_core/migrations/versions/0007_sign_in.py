"""who administers, and who is signed in"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


# Compared by bytes on both databases.
KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
ONE = (
    "(operator_id IS NULL) = (tenant_id IS NOT NULL)"
    " AND (tenant_id IS NULL OR (administrator_id IS NULL) = (person_id IS NOT NULL))"
)


def upgrade() -> None:
    op.create_table(
        "operator",
        sa.Column("id", KEY, nullable=False),
        *_account("operator"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_operator")),
        sa.UniqueConstraint("email_key", name=op.f("uq_operator_email_key")),
    )
    op.create_table(
        "administrator",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        *_account("administrator"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_administrator_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_administrator")),
        sa.UniqueConstraint("tenant_id", "email_key", name=op.f("uq_administrator_tenant_id_email_key")),
    )
    op.create_table(
        "sign_in_link",
        *_owner("sign_in_link"),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("expires_at", KEY, nullable=False),
        sa.CheckConstraint(ONE, name=op.f("ck_sign_in_link_one")),
    )
    op.create_table(
        "web_session",
        *_owner("web_session"),
        sa.Column("acting_tenant_id", KEY, nullable=True),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("seen_at", KEY, nullable=False),
        sa.Column("expires_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["acting_tenant_id"],
            ["tenant.id"],
            name=op.f("fk_web_session_acting_tenant_id_tenant"),
            ondelete="SET NULL",
        ),
        sa.CheckConstraint(
            f"{ONE} AND (acting_tenant_id IS NULL OR operator_id IS NOT NULL)", name=op.f("ck_web_session_one")
        ),
    )
    for table in ("sign_in_link", "web_session"):
        op.create_index(f"ix_{table}_operator_id", table, ["operator_id"])
        op.create_index(f"ix_{table}_administrator_id", table, ["tenant_id", "administrator_id"])
        op.create_index(f"ix_{table}_person_id", table, ["tenant_id", "person_id"])
        op.create_index(f"ix_{table}_expires_at", table, ["expires_at"])
    op.create_index("ix_web_session_acting_tenant_id", "web_session", ["acting_tenant_id"])
    op.create_table(
        "sign_in_flow",
        sa.Column("hash", KEY, nullable=False),
        sa.Column("kept", sa.Text(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("expires_at", KEY, nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_sign_in_flow")),
    )
    op.create_index("ix_sign_in_flow_expires_at", "sign_in_flow", ["expires_at"])


def _account(table: str) -> tuple[Any, ...]:
    return (
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("email_key", KEY, nullable=False),
        sa.Column("entra_tenant_id", KEY, nullable=True),
        sa.Column("entra_object_id", KEY, nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("signed_in_at", KEY, nullable=True),
        sa.UniqueConstraint(
            "entra_tenant_id", "entra_object_id", name=op.f(f"uq_{table}_entra_tenant_id_entra_object_id")
        ),
    )


def _owner(table: str) -> tuple[Any, ...]:
    return (
        sa.Column("hash", KEY, nullable=False),
        sa.Column("operator_id", KEY, nullable=True),
        sa.Column("tenant_id", KEY, nullable=True),
        sa.Column("administrator_id", KEY, nullable=True),
        sa.Column("person_id", KEY, nullable=True),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.id"], name=op.f(f"fk_{table}_operator_id_operator"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "administrator_id"],
            ["administrator.tenant_id", "administrator.id"],
            name=op.f(f"fk_{table}_tenant_id_administrator"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "person_id"],
            ["person.tenant_id", "person.id"],
            name=op.f(f"fk_{table}_tenant_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f(f"pk_{table}")),
    )
