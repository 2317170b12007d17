"""what a complete listing of the directory found to differ"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


# Compared by bytes on both databases.
KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "reconciliation",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("policy", KEY, nullable=False),
        sa.Column("started_at", KEY, nullable=False),
        sa.Column("cutoff", KEY, nullable=False),
        sa.Column("finished_at", KEY, nullable=True),
        sa.Column("approved_at", KEY, nullable=True),
        sa.Column("approved_by", KEY, nullable=True),
        sa.Column("users", sa.Integer(), nullable=False),
        sa.Column("groups", sa.Integer(), nullable=False),
        sa.Column("memberships", sa.Integer(), nullable=False),
        sa.Column("found", sa.Integer(), nullable=False),
        sa.Column("removals", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            name=op.f("fk_reconciliation_tenant_id_directory_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_reconciliation")),
    )
    op.create_index("ix_reconciliation_connection_id", "reconciliation", ["tenant_id", "connection_id", "id"])
    op.create_table(
        "reconciliation_drift",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("run_id", KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("object_id", KEY, nullable=False),
        sa.Column("member_id", KEY, nullable=True),
        sa.Column("our_id", KEY, nullable=True),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("repair", sa.Text(), nullable=False),
        sa.Column("outcome", KEY, nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "run_id"],
            ["reconciliation.tenant_id", "reconciliation.id"],
            name=op.f("fk_reconciliation_drift_tenant_id_reconciliation"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "run_id", "position", name=op.f("pk_reconciliation_drift")),
    )
