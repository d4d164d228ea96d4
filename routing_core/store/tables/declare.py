"""How tables are declared: one metadata, and columns that say what they mean."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Integer,
    MetaData,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

# SQLite numbers rows by itself only in a column declared INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")
Time = DateTime(timezone=True)


def column(name: str, kind: Any, meaning: str, *rules: Any, null: bool = False, **options: Any) -> Column[Any]:
    """A column that cannot be declared without saying what it means; not null unless said."""
    return Column(name, kind, *rules, comment=meaning, nullable=null, **options)


def run_id(**options: Any) -> Column[Any]:
    return column("run_id", Id, "Run the row belongs to.", ForeignKey("routing_runs.run_id"), **options)


def is_one_of(name: str, *values: str) -> CheckConstraint:
    return CheckConstraint(f"{name} IN ({', '.join(repr(value) for value in values)})", name=name)
