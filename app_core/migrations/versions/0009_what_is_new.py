"""what is new in a feed is found by its index, however many events there are"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_outbox_event_new", table_name="outbox_event")
    new = sa.text("position IS NULL")
    columns = ["tenant_id", "position", "sequence"]
    op.create_index("ix_outbox_event_new", "outbox_event", columns, sqlite_where=new, postgresql_where=new)
