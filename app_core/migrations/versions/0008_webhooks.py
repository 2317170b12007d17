"""where events are sent to, and those that did not go through at once"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


# Compared by bytes on both databases.
KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "webhook",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.String(), nullable=False),
        sa.Column("types", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("former_secret", sa.Text(), nullable=True),
        sa.Column("former_until", KEY, nullable=True),
        sa.Column("state", KEY, nullable=False),
        sa.Column("reason", KEY, nullable=True),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("leased_until", KEY, nullable=False),
        sa.Column("rests_until", KEY, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("failing_since", KEY, nullable=True),
        sa.Column("last_success_at", KEY, nullable=True),
        sa.Column("last_failure_at", KEY, nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_reason", KEY, nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_webhook_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_webhook")),
    )
    active = sa.text("state = 'active'")
    op.create_index("ix_webhook_active", "webhook", ["leased_until"], sqlite_where=active, postgresql_where=active)
    op.create_table(
        "webhook_delivery",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("webhook_id", KEY, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("event_id", KEY, nullable=False),
        sa.Column("type", KEY, nullable=False),
        sa.Column("subject_type", KEY, nullable=False),
        sa.Column("subject_id", KEY, nullable=False),
        sa.Column("occurred_at", KEY, nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_attempt_at", KEY, nullable=True),
        sa.Column("last_attempt_at", KEY, nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_reason", KEY, nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "webhook_id"],
            ["webhook.tenant_id", "webhook.id"],
            name=op.f("fk_webhook_delivery_tenant_id_webhook"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "webhook_id", "position", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint(
            "tenant_id", "webhook_id", "event_id", name=op.f("uq_webhook_delivery_tenant_id_webhook_id_event_id")
        ),
    )
    of_webhook = ["tenant_id", "webhook_id"]
    op.create_index("ix_webhook_delivery_state", "webhook_delivery", [*of_webhook, "state", "position"])
    waits = sa.text("state = 'waiting'")
    op.create_index(
        "ix_webhook_delivery_subject",
        "webhook_delivery",
        [*of_webhook, "subject_id", "position"],
        sqlite_where=waits,
        postgresql_where=waits,
    )
    due = sa.text("next_attempt_at IS NOT NULL")
    op.create_index(
        "ix_webhook_delivery_due",
        "webhook_delivery",
        [*of_webhook, "next_attempt_at"],
        sqlite_where=due,
        postgresql_where=due,
    )
