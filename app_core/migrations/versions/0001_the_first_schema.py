"""the first schema"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# Compared by bytes on both databases.
KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "tenant",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_key", KEY, nullable=False),
        sa.Column("seat_limit", sa.Integer(), nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("name_key", name=op.f("uq_tenant_name_key")),
    )
    op.create_table(
        "directory_connection",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_directory_connection_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_directory_connection")),
    )
    op.create_table(
        "provisioning_log",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("at", KEY, nullable=False),
        sa.Column("source", KEY, nullable=False),
        sa.Column("actor", KEY, nullable=False),
        sa.Column("action", KEY, nullable=False),
        sa.Column("target_type", KEY, nullable=False),
        sa.Column("target_id", KEY, nullable=True),
        sa.Column("outcome", KEY, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("reason_code", KEY, nullable=True),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("changed", sa.Text(), nullable=False),
        sa.Column("exchange", sa.Text(), nullable=True),
        sa.Column("correlation_id", KEY, nullable=False),
        sa.Column("duration_us", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_provisioning_log_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_provisioning_log")),
    )
    with op.batch_alter_table("provisioning_log", schema=None) as batch_op:
        batch_op.create_index("ix_provisioning_log_target_id", ["tenant_id", "target_id", "id"], unique=False)

    op.create_table(
        "directory_group",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("display_key", KEY, nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("external_key", KEY, nullable=True),
        sa.Column("entra_object_id", KEY, nullable=True),
        sa.Column("extensions", sa.Text(), nullable=True),
        sa.Column("entry", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            name=op.f("fk_directory_group_tenant_id_connection_id_directory_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_directory_group")),
        sa.UniqueConstraint(
            "tenant_id",
            "connection_id",
            "entra_object_id",
            name=op.f("uq_directory_group_tenant_id_connection_id_entra_object_id"),
        ),
    )
    with op.batch_alter_table("directory_group", schema=None) as batch_op:
        batch_op.create_index(
            "ix_directory_group_display_key", ["tenant_id", "connection_id", "display_key", "id"], unique=False
        )
        batch_op.create_index(
            "ix_directory_group_external_key", ["tenant_id", "connection_id", "external_key"], unique=False
        )
        batch_op.create_index("ix_directory_group_paging", ["tenant_id", "connection_id", "id"], unique=False)

    op.create_table(
        "directory_tally",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            name=op.f("fk_directory_tally_tenant_id_connection_id_directory_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "connection_id", "kind", "slot", name=op.f("pk_directory_tally")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "directory_user",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("user_name", sa.String(), nullable=False),
        sa.Column("user_name_key", KEY, nullable=False),
        sa.Column("external_id", sa.String(), nullable=True),
        sa.Column("external_key", KEY, nullable=True),
        sa.Column("entra_object_id", KEY, nullable=True),
        sa.Column("display_key", KEY, nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.Column("password_hash", sa.String(), nullable=True),
        sa.Column("search", sa.Text(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            name=op.f("fk_directory_user_tenant_id_connection_id_directory_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_directory_user")),
        sa.UniqueConstraint(
            "tenant_id",
            "connection_id",
            "user_name_key",
            name=op.f("uq_directory_user_tenant_id_connection_id_user_name_key"),
        ),
    )
    with op.batch_alter_table("directory_user", schema=None) as batch_op:
        batch_op.create_index(
            "ix_directory_user_display_key", ["tenant_id", "connection_id", "display_key", "id"], unique=False
        )
        batch_op.create_index(
            "ix_directory_user_external_key", ["tenant_id", "connection_id", "external_key"], unique=False
        )
        batch_op.create_index("ix_directory_user_paging", ["tenant_id", "connection_id", "id"], unique=False)

    op.create_table(
        "scim_token",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("connection_id", KEY, nullable=False),
        sa.Column("hash", KEY, nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("expires_at", KEY, nullable=True),
        sa.Column("last_used_at", KEY, nullable=True),
        sa.Column("revoked_at", KEY, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "connection_id"],
            ["directory_connection.tenant_id", "directory_connection.id"],
            name=op.f("fk_scim_token_tenant_id_connection_id_directory_connection"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_scim_token")),
        sa.UniqueConstraint("hash", name=op.f("uq_scim_token_hash")),
    )
    with op.batch_alter_table("scim_token", schema=None) as batch_op:
        batch_op.create_index("ix_scim_token_tenant_id_connection_id", ["tenant_id", "connection_id"], unique=False)

    op.create_table(
        "directory_membership",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("group_id", KEY, nullable=False),
        sa.Column("user_id", KEY, nullable=False),
        sa.Column("since", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["directory_group.tenant_id", "directory_group.id"],
            name=op.f("fk_directory_membership_tenant_id_group_id_directory_group"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["directory_user.tenant_id", "directory_user.id"],
            name=op.f("fk_directory_membership_tenant_id_user_id_directory_user"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "group_id", "user_id", name=op.f("pk_directory_membership")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("directory_membership", schema=None) as batch_op:
        batch_op.create_index("ix_directory_membership_user_id", ["tenant_id", "user_id", "group_id"], unique=False)

    op.create_table(
        "directory_nesting",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("group_id", KEY, nullable=False),
        sa.Column("member_id", KEY, nullable=False),
        sa.Column("since", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["directory_group.tenant_id", "directory_group.id"],
            name=op.f("fk_directory_nesting_tenant_id_group_id_directory_group"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "member_id"],
            ["directory_group.tenant_id", "directory_group.id"],
            name=op.f("fk_directory_nesting_tenant_id_member_id_directory_group"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "group_id", "member_id", name=op.f("pk_directory_nesting")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("directory_nesting", schema=None) as batch_op:
        batch_op.create_index("ix_directory_nesting_member_id", ["tenant_id", "member_id", "group_id"], unique=False)

    op.create_table(
        "directory_user_value",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("user_id", KEY, nullable=False),
        sa.Column("attribute", KEY, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("value_key", KEY, nullable=True),
        sa.Column("type_key", KEY, nullable=True),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("element", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["directory_user.tenant_id", "directory_user.id"],
            name=op.f("fk_directory_user_value_tenant_id_user_id_directory_user"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "attribute", "position", name=op.f("pk_directory_user_value")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("directory_user_value", schema=None) as batch_op:
        batch_op.create_index(
            "ix_directory_user_value_value_key",
            ["tenant_id", "attribute", "value_key", "user_id"],
            unique=False,
            sqlite_where=sa.text("value_key IS NOT NULL"),
            postgresql_where=sa.text("value_key IS NOT NULL"),
        )


def downgrade() -> None:
    with op.batch_alter_table("directory_user_value", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_directory_user_value_value_key",
            sqlite_where=sa.text("value_key IS NOT NULL"),
            postgresql_where=sa.text("value_key IS NOT NULL"),
        )

    op.drop_table("directory_user_value")
    with op.batch_alter_table("directory_nesting", schema=None) as batch_op:
        batch_op.drop_index("ix_directory_nesting_member_id")

    op.drop_table("directory_nesting")
    with op.batch_alter_table("directory_membership", schema=None) as batch_op:
        batch_op.drop_index("ix_directory_membership_user_id")

    op.drop_table("directory_membership")
    with op.batch_alter_table("scim_token", schema=None) as batch_op:
        batch_op.drop_index("ix_scim_token_tenant_id_connection_id")

    op.drop_table("scim_token")
    with op.batch_alter_table("directory_user", schema=None) as batch_op:
        batch_op.drop_index("ix_directory_user_paging")
        batch_op.drop_index("ix_directory_user_external_key")
        batch_op.drop_index("ix_directory_user_display_key")

    op.drop_table("directory_user")
    op.drop_table("directory_tally")
    with op.batch_alter_table("directory_group", schema=None) as batch_op:
        batch_op.drop_index("ix_directory_group_paging")
        batch_op.drop_index("ix_directory_group_external_key")
        batch_op.drop_index("ix_directory_group_display_key")

    op.drop_table("directory_group")
    with op.batch_alter_table("provisioning_log", schema=None) as batch_op:
        batch_op.drop_index("ix_provisioning_log_target_id")

    op.drop_table("provisioning_log")
    op.drop_table("directory_connection")
    op.drop_table("tenant")
