"""what follows the directory: people, teams, logins, cards, seats, events, jobs, API keys"""

import sqlalchemy as sa
from alembic import op

from app_core import clock
from app_core.ids import new_id
from app_core.resource import attributes_of, entra_object_id, fold, value_key

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


# Compared by bytes on both databases.
KEY = sa.String().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("hash", KEY, nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("scope", KEY, nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("expires_at", KEY, nullable=True),
        sa.Column("last_used_at", KEY, nullable=True),
        sa.Column("revoked_at", KEY, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_api_key_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_key_hash")),
    )
    op.create_table(
        "job",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("slot", KEY, nullable=False),
        sa.Column("args", sa.Text(), nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("phase", KEY, nullable=False),
        sa.Column("cursor", KEY, nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("run_at", KEY, nullable=False),
        sa.Column("leased_until", KEY, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.Column("finished_at", KEY, nullable=True),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_job_tenant_id_tenant"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_job")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index(
            "ix_job_due",
            ["run_at"],
            unique=False,
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )
        batch_op.create_index(
            "uq_job_slot",
            ["tenant_id", "slot"],
            unique=True,
            sqlite_where=sa.text("finished_at IS NULL"),
            postgresql_where=sa.text("finished_at IS NULL"),
        )

    op.create_table(
        "outbox_event",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.Column("type", KEY, nullable=False),
        sa.Column("subject_type", KEY, nullable=False),
        sa.Column("subject_id", KEY, nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("occurred_at", KEY, nullable=False),
        sa.Column("correlation_id", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_outbox_event_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_outbox_event")),
    )
    with op.batch_alter_table("outbox_event", schema=None) as batch_op:
        batch_op.create_index(
            "ix_outbox_event_new",
            ["tenant_id", "sequence"],
            unique=False,
            sqlite_where=sa.text("position IS NULL"),
            postgresql_where=sa.text("position IS NULL"),
        )
        batch_op.create_index(
            "ix_outbox_event_position",
            ["tenant_id", "position"],
            unique=False,
            sqlite_where=sa.text("position IS NOT NULL"),
            postgresql_where=sa.text("position IS NOT NULL"),
        )

    op.create_table(
        "outbox_feed",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("last_position", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_outbox_feed_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_outbox_feed")),
    )
    op.create_table(
        "template",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_key", KEY, nullable=False),
        sa.Column("look", sa.Text(), nullable=False),
        sa.Column("fields", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_template_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_template")),
        sa.UniqueConstraint("tenant_id", "name_key", name=op.f("uq_template_tenant_id_name_key")),
    )
    op.create_table(
        "idempotency",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("key_id", KEY, nullable=False),
        sa.Column("key", KEY, nullable=False),
        sa.Column("request_hash", KEY, nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "key_id"],
            ["api_key.tenant_id", "api_key.id"],
            name=op.f("fk_idempotency_tenant_id_key_id_api_key"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "key_id", "key", name=op.f("pk_idempotency")),
    )
    with op.batch_alter_table("idempotency", schema=None) as batch_op:
        batch_op.create_index("ix_idempotency_created_at", ["tenant_id", "created_at"], unique=False)

    op.create_table(
        "person",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("origin", KEY, nullable=False),
        sa.Column("directory_user_id", KEY, nullable=True),
        sa.Column("entra_object_id", KEY, nullable=True),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("sign_in", sa.String(), nullable=False),
        sa.Column("sign_in_key", KEY, nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("email_key", KEY, nullable=True),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("display_key", KEY, nullable=False),
        sa.Column("problems", sa.Text(), nullable=True),
        sa.Column("photo_hash", KEY, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "directory_user_id"],
            ["directory_user.tenant_id", "directory_user.id"],
            name=op.f("fk_person_tenant_id_directory_user_id_directory_user"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_person_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_person")),
        sa.UniqueConstraint("tenant_id", "directory_user_id", name=op.f("uq_person_tenant_id_directory_user_id")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("person", schema=None) as batch_op:
        batch_op.create_index(
            "ix_person_entra_object_id",
            ["tenant_id", "entra_object_id"],
            unique=False,
            sqlite_where=sa.text("entra_object_id IS NOT NULL AND directory_user_id IS NULL"),
            postgresql_where=sa.text("entra_object_id IS NOT NULL AND directory_user_id IS NULL"),
        )
        batch_op.create_index(
            "ix_person_manual",
            ["tenant_id", "email_key"],
            unique=False,
            sqlite_where=sa.text("origin = 'manual'"),
            postgresql_where=sa.text("origin = 'manual'"),
        )
        batch_op.create_index(
            "ix_person_problems",
            ["tenant_id", "id"],
            unique=False,
            sqlite_where=sa.text("problems IS NOT NULL"),
            postgresql_where=sa.text("problems IS NOT NULL"),
        )

    op.create_table(
        "team",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("name_key", KEY, nullable=False),
        sa.Column("kind", KEY, nullable=False),
        sa.Column("group_id", KEY, nullable=True),
        sa.Column("sync_status", KEY, nullable=True),
        sa.Column("deletion_requested_at", KEY, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["directory_group.tenant_id", "directory_group.id"],
            name=op.f("fk_team_tenant_id_group_id_directory_group"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_team_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_team")),
        sa.UniqueConstraint("tenant_id", "group_id", name=op.f("uq_team_tenant_id_group_id")),
    )
    with op.batch_alter_table("team", schema=None) as batch_op:
        batch_op.create_index("ix_team_name_key", ["tenant_id", "name_key", "id"], unique=False)

    op.create_table(
        "template_assignment",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("template_id", KEY, nullable=False),
        sa.Column("group_id", KEY, nullable=False),
        sa.Column("since", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "group_id"],
            ["directory_group.tenant_id", "directory_group.id"],
            name=op.f("fk_template_assignment_tenant_id_group_id_directory_group"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "template_id"],
            ["template.tenant_id", "template.id"],
            name=op.f("fk_template_assignment_tenant_id_template_id_template"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "template_id", "group_id", name=op.f("pk_template_assignment")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("template_assignment", schema=None) as batch_op:
        batch_op.create_index("ix_template_assignment_group_id", ["tenant_id", "group_id", "template_id"], unique=False)

    op.create_table(
        "activation",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("code_hash", KEY, nullable=True),
        sa.Column("sent_at", KEY, nullable=True),
        sa.Column("expires_at", KEY, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("used_at", KEY, nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "person_id"],
            ["person.tenant_id", "person.id"],
            name=op.f("fk_activation_tenant_id_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "person_id", name=op.f("pk_activation")),
    )
    op.create_table(
        "card",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=True),
        sa.Column("template_id", KEY, nullable=False),
        sa.Column("origin", KEY, nullable=False),
        sa.Column("state", KEY, nullable=False),
        sa.Column("pause_reason", KEY, nullable=True),
        sa.Column("slug", KEY, nullable=False),
        sa.Column("overrides", sa.Text(), nullable=False),
        sa.Column("initial", sa.Text(), nullable=False),
        sa.Column("claimed_at", KEY, nullable=True),
        sa.Column("paused_at", KEY, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "person_id"],
            ["person.tenant_id", "person.id"],
            name=op.f("fk_card_tenant_id_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "template_id"],
            ["template.tenant_id", "template.id"],
            name=op.f("fk_card_tenant_id_template_id_template"),
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_card_tenant_id_tenant"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_card")),
        sa.UniqueConstraint("slug", name=op.f("uq_card_slug")),
    )
    with op.batch_alter_table("card", schema=None) as batch_op:
        batch_op.create_index("ix_card_person_id", ["tenant_id", "person_id", "template_id"], unique=False)
        batch_op.create_index("ix_card_template_id", ["tenant_id", "template_id", "id"], unique=False)
        batch_op.create_index(
            "uq_card_assigned",
            ["tenant_id", "person_id", "template_id"],
            unique=True,
            sqlite_where=sa.text("origin = 'assigned'"),
            postgresql_where=sa.text("origin = 'assigned'"),
        )

    op.create_table(
        "login",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("team_id", KEY, nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("url", sa.String(), nullable=True),
        sa.Column("ciphertext", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", KEY, nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "team_id"],
            ["team.tenant_id", "team.id"],
            name=op.f("fk_login_tenant_id_team_id_team"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_login")),
    )
    with op.batch_alter_table("login", schema=None) as batch_op:
        batch_op.create_index("ix_login_team_id", ["tenant_id", "team_id", "id"], unique=False)

    op.create_table(
        "photo",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("hash", KEY, nullable=False),
        sa.Column("media_type", KEY, nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("modified_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "person_id"],
            ["person.tenant_id", "person.id"],
            name=op.f("fk_photo_tenant_id_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "person_id", name=op.f("pk_photo")),
    )
    op.create_table(
        "seat",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("wanted_at", KEY, nullable=False),
        sa.Column("opened_at", KEY, nullable=True),
        sa.Column("released_at", KEY, nullable=True),
        sa.ForeignKeyConstraint(
            ["tenant_id", "person_id"],
            ["person.tenant_id", "person.id"],
            name=op.f("fk_seat_tenant_id_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_seat")),
    )
    with op.batch_alter_table("seat", schema=None) as batch_op:
        batch_op.create_index("ix_seat_person_id", ["tenant_id", "person_id"], unique=False)
        batch_op.create_index(
            "ix_seat_waiting",
            ["tenant_id", "wanted_at", "id"],
            unique=False,
            sqlite_where=sa.text("opened_at IS NULL AND released_at IS NULL"),
            postgresql_where=sa.text("opened_at IS NULL AND released_at IS NULL"),
        )
        batch_op.create_index(
            "uq_seat_person",
            ["tenant_id", "person_id"],
            unique=True,
            sqlite_where=sa.text("released_at IS NULL"),
            postgresql_where=sa.text("released_at IS NULL"),
        )

    op.create_table(
        "team_membership",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("team_id", KEY, nullable=False),
        sa.Column("person_id", KEY, nullable=False),
        sa.Column("since", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "person_id"],
            ["person.tenant_id", "person.id"],
            name=op.f("fk_team_membership_tenant_id_person_id_person"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "team_id"],
            ["team.tenant_id", "team.id"],
            name=op.f("fk_team_membership_tenant_id_team_id_team"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "team_id", "person_id", name=op.f("pk_team_membership")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("team_membership", schema=None) as batch_op:
        batch_op.create_index("ix_team_membership_person_id", ["tenant_id", "person_id", "team_id"], unique=False)

    op.create_table(
        "invitation",
        sa.Column("tenant_id", KEY, nullable=False),
        sa.Column("id", KEY, nullable=False),
        sa.Column("card_id", KEY, nullable=False),
        sa.Column("email", sa.String(), nullable=True),
        sa.Column("display_name", sa.String(), nullable=True),
        sa.Column("claim_hash", KEY, nullable=False),
        sa.Column("expires_at", KEY, nullable=False),
        sa.Column("claimed_at", KEY, nullable=True),
        sa.Column("created_at", KEY, nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "card_id"],
            ["card.tenant_id", "card.id"],
            name=op.f("fk_invitation_tenant_id_card_id_card"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("claim_hash", name=op.f("uq_invitation_claim_hash")),
    )
    with op.batch_alter_table("invitation", schema=None) as batch_op:
        batch_op.create_index("ix_invitation_card_id", ["tenant_id", "card_id"], unique=False)

    # Plain statements, which both databases take: a batch would make the table anew, and everything hangs on it.
    op.execute(
        "ALTER TABLE tenant ADD COLUMN seats_open INTEGER DEFAULT 0 NOT NULL "
        "CONSTRAINT ck_tenant_seats CHECK (seat_limit IS NULL OR seats_open <= seat_limit)"
    )
    for name, default in (("group_sync", "all"), ("on_group_delete", "refuse"), ("invalid_phone", "flag")):
        op.add_column("tenant", sa.Column(name, KEY, server_default=default, nullable=False))
    backfill()


def backfill() -> None:
    """Give each user that is there its person, and each group its team, as `follow` would have."""
    link = op.get_bind()
    now = clock.now()
    users = sa.table("directory_user", *[sa.column(each) for each in ("tenant_id", "id", "active", "document")])
    for tenant_id, user_id, active, document in link.execute(sa.select(users)).fetchall():
        resource = attributes_of(bytes(document))
        user_name = resource["userName"]
        name = resource.get("displayName") or user_name
        row = {
            "tenant_id": tenant_id,
            "id": new_id(),
            "origin": "directory",
            "directory_user_id": user_id,
            "entra_object_id": entra_object_id(resource.get("externalId")),
            "active": bool(active),
            "sign_in": user_name,
            "sign_in_key": value_key(fold(user_name)),
            "email": user_name if "@" in user_name else None,
            "email_key": value_key(fold(user_name)) if "@" in user_name else None,
            "display_name": name,
            "display_key": fold(name),
            "version": 1,
            "created_at": now,
            "modified_at": now,
        }
        link.execute(sa.insert(sa.table("person", *[sa.column(each) for each in row])).values(row))
    groups = sa.table("directory_group", *[sa.column(each) for each in ("tenant_id", "id", "display_name")])
    for tenant_id, group_id, name in link.execute(sa.select(groups)).fetchall():
        row = {
            "tenant_id": tenant_id,
            "id": new_id(),
            "name": name,
            "name_key": fold(name),
            "kind": "synced",
            "group_id": group_id,
            "sync_status": "synced",
            "version": 1,
            "created_at": now,
            "modified_at": now,
        }
        link.execute(sa.insert(sa.table("team", *[sa.column(each) for each in row])).values(row))
