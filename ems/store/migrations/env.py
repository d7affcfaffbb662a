"""Run by Alembic: migrate over the connection, and in the transaction, that `open_engine` holds."""

from alembic import context

from ems.store.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter a column in place; batch mode copies the table.
    render_as_batch=True,
)
context.run_migrations()
