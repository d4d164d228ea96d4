"""Alembic's entry: run the migrations on the engine Nightshift hands over, a transaction each."""

from alembic import context

from routing_core.store.tables import metadata

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
