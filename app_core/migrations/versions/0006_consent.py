"""who asked for consent, and a directory for each connection"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


# Compared by bytes on both databases.
KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")
LIVE_ALONE = "status IN ('connected', 'quarantined') AND NOT shared"
# Nobody was refused before: of several connections to one directory all but one share it.
SHARE = """
    UPDATE directory_connection SET shared = true
    WHERE status IN ('connected', 'quarantined') AND EXISTS (
        SELECT 1 FROM directory_connection AS other
        WHERE other.entra_tenant_id = directory_connection.entra_tenant_id
        AND other.status IN ('connected', 'quarantined') AND other.id < directory_connection.id
    )
"""


def upgrade() -> None:
    op.add_column("directory_connection", sa.Column("missing_permissions", KEY, nullable=True))
    op.add_column("directory_connection", sa.Column("shared", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.execute(SHARE)
    op.create_index(
        "uq_directory_connection_entra_tenant_id",
        "directory_connection",
        ["entra_tenant_id"],
        unique=True,
        sqlite_where=sa.text(LIVE_ALONE),
        postgresql_where=sa.text(LIVE_ALONE),
    )
    op.create_table(
        "consent_request",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("hash", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("asker", KEY, nullable=False),
        sa.Column("directory_id", KEY, nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("expires_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            name=op.f("fk_consent_request_tenant_id_directory_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "hash", name=op.f("pk_consent_request")),
    )
