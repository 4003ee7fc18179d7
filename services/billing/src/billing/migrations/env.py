"""Alembic's entry: the migrations run in the transaction that `billing.migrate` opened."""

from alembic import context

from billing.adapters.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
