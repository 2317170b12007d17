"""Alembic's entry: it runs on the connection that `app_core.migrations` hands over."""

from alembic import context

from app_core.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
    compare_type=False,
)
with context.begin_transaction():
    context.run_migrations()
