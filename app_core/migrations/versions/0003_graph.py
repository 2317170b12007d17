"""how a connection and Microsoft Graph stand"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


# Compared by bytes on both databases.
KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("directory_connection", sa.Column("status", KEY, server_default="none", nullable=False))
    for name in ("entra_tenant_id", "connected_at", "pull_slot", "pulled_at"):
        op.add_column("directory_connection", sa.Column(name, KEY, nullable=True))
    op.add_column("directory_connection", sa.Column("status_reason", sa.String(), nullable=True))
    for name in ("users_link", "groups_link"):
        op.add_column("directory_connection", sa.Column(name, sa.Text(), nullable=True))
    op.create_index(
        "ix_directory_user_entra_object_id",
        "directory_user",
        ["tenant_id", "connection_id", "entra_object_id"],
        sqlite_where=sa.text("entra_object_id IS NOT NULL"),
        postgresql_where=sa.text("entra_object_id IS NOT NULL"),
    )
