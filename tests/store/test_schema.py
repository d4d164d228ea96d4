"""The results schema: described, migrated, and the same in code and in the database."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData, insert, inspect, make_url, text
from sqlalchemy.exc import IntegrityError

from routing_core.errors import SchemaError
from routing_core.settings import Settings, load_settings
from routing_core.store import database
from routing_core.store.tables import metadata


@pytest.mark.parametrize("table", metadata.sorted_tables, ids=lambda table: table.name)
def test_every_table_and_column_says_what_it_means(table):
    assert table.comment, table.name
    assert table.comment.endswith(".")
    for column in table.columns:
        assert column.comment, f"{table.name}.{column.name}"
        assert column.comment.endswith("."), f"{table.name}.{column.name}"


def test_migrations_build_exactly_what_the_code_declares(settings: Settings):
    with database.reading(settings) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_descriptions_are_in_postgresql_too(postgres_settings: Settings):
    inspector = inspect(database.engine(postgres_settings))
    assert inspector.get_table_comment("routing_runs")["text"] == metadata.tables["routing_runs"].comment
    assert all(column["comment"] for column in inspector.get_columns("assignments"))


def test_every_view_answers_and_states_its_grain(settings: Settings):
    with database.reading(settings) as connection:
        for file in database.view_files():
            assert file.read_text().startswith("-- One row per "), file.name
            assert connection.execute(text(f"SELECT * FROM {database.view_name(file)}")).all() == []


def test_migrating_again_changes_nothing(settings: Settings):
    assert database.migrate(settings) == database.schema_head()
    database.check_schema(settings)


def test_keys_that_held_whose_run_and_which_opening_it_is_give_each_a_column_and_take_them_back(settings: Settings):
    keys = {1: "dag/a", 2: "dag/a#2.1", 3: "dag/a#3.2", 4: "dag/b#1.4", 5: "dag/manual#7", 6: "dag/c#1.2#1.1"}
    engine = database.engine(settings)
    command.downgrade(database._alembic(engine), "0007")
    before = MetaData()
    before.reflect(engine, only=["routing_runs"])
    runs, day, moment = before.tables["routing_runs"], date(2026, 11, 22), datetime(2026, 11, 22, tzinfo=UTC)
    common = {"dt": day, "execution_date": day, "status": "failed", "opened_at": moment, "degraded": ""}
    common |= {
        "replan": False,
        "dry_run": False,
        "solve_attempt": 0,
        "code_version": "1",
        "settings": {},
        "options": {},
    }
    common |= {"seed": 1, "batching": "planned", "batches": 1, "budget_usd": 1.0}
    with database.writing(settings) as connection:
        rows = [common | {"run_id": number, "attempt": number, "run_key": key} for number, key in keys.items()]
        connection.execute(insert(runs), rows)
    database.migrate(settings)
    with database.reading(settings) as connection:
        found = connection.execute(text("SELECT run_key, beginning, opening FROM routing_runs ORDER BY run_id")).all()
    assert found == [
        ("dag/a", 1, 1), ("dag/a", 2, 1), ("dag/a", 3, 2), ("dag/b", 1, 4), ("dag/manual#7", 1, 1), ("dag/c#1.2", 1, 1)
    ]  # fmt: skip
    with pytest.raises(IntegrityError), database.writing(settings) as connection:
        connection.execute(text("UPDATE routing_runs SET status = 'whatever'"))
    with pytest.raises(IntegrityError), database.writing(settings) as connection:
        connection.execute(text("UPDATE routing_runs SET status = 'current'"))
    command.downgrade(database._alembic(engine), "0007")
    with database.reading(settings) as connection:
        assert dict(connection.execute(text("SELECT run_id, run_key FROM routing_runs")).all()) == keys


def test_a_database_without_schema_is_refused_with_the_command_that_makes_it(home):
    with pytest.raises(SchemaError, match="routing init-db"):
        database.check_schema(load_settings(home=home / "elsewhere"))


def test_moments_are_told_in_utc_whatever_the_server_prefers(postgres_settings: Settings):
    name = make_url(postgres_settings.database_url).database
    with database.writing(postgres_settings) as connection:
        connection.execute(text(f"ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'"))
    database.engine(postgres_settings).dispose()
    with database.reading(postgres_settings) as connection:
        moment = connection.execute(text("SELECT timestamptz '2026-11-22 05:00:00+00'")).scalar_one()
    assert str(moment) == "2026-11-22 05:00:00+00:00"


def test_an_error_undoes_the_whole_transaction(settings: Settings):
    with pytest.raises(ZeroDivisionError), database.writing(settings) as connection:
        connection.execute(
            text("INSERT INTO mix_forecasts VALUES (1,'*','2026-01-02','2026-01-01','m',1,1,1,NULL,NULL,NULL)")
        )
        raise ZeroDivisionError
    with database.reading(settings) as connection:
        assert connection.execute(text("SELECT count(*) FROM mix_forecasts")).scalar_one() == 0
