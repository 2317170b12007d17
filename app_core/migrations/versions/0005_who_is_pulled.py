"""whom a pull imports, whom it waits for, and whose photos it has asked for"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


# Compared by bytes on both databases.
KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    # Whatever is here came by push, or was added by hand and is a team; so no team comes by itself where none is.
    op.add_column("directory_group", sa.Column("pushed", sa.Boolean(), server_default=sa.true(), nullable=False))
    # Groups that a pull has passed over so far are named in a full round only.
    op.execute("UPDATE directory_connection SET groups_link = NULL")
    op.add_column("photo", sa.Column("origin", KEY, server_default="hand", nullable=False))
    op.create_table(
        "user_filter",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("object_id", KEY, nullable=False),
        sa.Column("since", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            name=op.f("fk_user_filter_tenant_id_connection_id_directory_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "connection_id", "object_id", name=op.f("pk_user_filter")),
    )
    op.create_table(
        "awaited_user",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("object_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            name=op.f("fk_awaited_user_tenant_id_connection_id_directory_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "connection_id", "object_id", name=op.f("pk_awaited_user")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "awaited_manager",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("user_id", KEY, nullable=False),
        sa.Column("manager_object_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["directory_user.tenant_id", "directory_user.id"],
            name=op.f("fk_awaited_manager_tenant_id_user_id_directory_user"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name=op.f("pk_awaited_manager")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "directory_photo",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("user_id", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("etag", sa.String(), nullable=True),
        sa.Column("asked_at", KEY, nullable=True),
        sa.Column("due_at", KEY, nullable=False),
        sa.Column("problem", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["directory_user.tenant_id", "directory_user.id"],
            name=op.f("fk_directory_photo_tenant_id_user_id_directory_user"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            name=op.f("fk_directory_photo_tenant_id_connection_id_directory_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", name=op.f("pk_directory_photo")),
    )
    op.create_index("ix_directory_photo_due_at", "directory_photo", ["tenant_id", "connection_id", "due_at"])
