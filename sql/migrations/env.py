"""Alembic's entry: run the migrations on the engine Nightshift hands over, a transaction each."""

from alembic import context

from routing_core.store.database import drop_views, without_foreign_keys
from routing_core.store.tables import metadata


def goes_down() -> bool:
    """Whether an older schema is asked for than the database has."""
    wanted, seen = context.get_revision_argument(), context.get_context().get_current_revision()
    newest_first = [step.revision for step in context.script.walk_revisions()]
    if seen is None or wanted is None or str(wanted).startswith("-"):
        return seen is not None
    return wanted in newest_first and newest_first.index(wanted) > newest_first.index(seen)


def run() -> None:
    with context.begin_transaction():
        context.run_migrations()


engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    down = goes_down()
    connection.rollback()
    if down:
        # What a view reads cannot be dropped.
        with connection.begin():
            drop_views(connection)
    # SQLite makes a table anew to drop a column or change a constraint, though others refer to it.
    with without_foreign_keys(connection):
        run()
