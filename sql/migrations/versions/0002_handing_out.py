"""Handing out: exports, holds, shadows, and plans of what was left of another."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
IS_HELD = sa.text("released_at IS NULL")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    for column in (
        sa.Column(
            "rolled_back_at", TIME, nullable=True, comment="When it gave its place back to the run it superseded."
        ),
        sa.Column(
            "shadow",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="Whether it is made for comparison alone and never becomes current.",
        ),
        sa.Column(
            "sent_through_batch",
            sa.Integer(),
            nullable=True,
            comment="Last batch taken over from base_run_id as sent; those after it were planned anew. "
            "Null for a whole plan.",
        ),
    ):
        op.add_column("routing_runs", column)
    # Written out, for SQLite takes a foreign key with a new column and in no other way.
    op.execute(
        "ALTER TABLE routing_runs ADD COLUMN base_run_id BIGINT "
        "CONSTRAINT fk_routing_runs_base_run_id REFERENCES routing_runs (run_id)"
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "COMMENT ON COLUMN routing_runs.base_run_id IS 'Run whose input it plans again: what was left of it, "
            "or as a shadow; null for a plan of its own.'"
        )
    op.add_column(
        "run_models",
        sa.Column(
            "capacity_left_per_batch",
            sa.BigInteger(),
            nullable=True,
            comment="The same after routing_runs.sent_through_batch, where that is set; null is no limit.",
        ),
    )
    op.add_column(
        "assignments",
        sa.Column(
            "row",
            sa.BigInteger(),
            nullable=True,
            comment="Row of it in that file, from 0; null in rows of schema 0001.",
        ),
    )
    op.create_table(
        "run_sources",
        sa.Column("run_id", ID, nullable=False, comment="Run the row belongs to."),
        sa.Column(
            "source_run_id",
            ID,
            nullable=False,
            comment="Run whose deferred queries it takes up, or whose decisions say that they are taken.",
        ),
        sa.Column("queries", sa.BigInteger(), nullable=False, comment="Queries it took up from it."),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_run_sources_run_id")),
        sa.ForeignKeyConstraint(["source_run_id"], ["routing_runs.run_id"], name=op.f("fk_run_sources_source_run_id")),
        sa.PrimaryKeyConstraint("run_id", "source_run_id", name=op.f("pk_run_sources")),
        comment="One row per run that is chained and current run it was opened beside, of nights around.",
    )
    op.create_index(op.f("ix_run_sources_source_run_id"), "run_sources", ["source_run_id"], unique=False)
    op.execute(
        "INSERT INTO run_sources (run_id, source_run_id, queries) SELECT run_id, carried_from_run_id, "
        "coalesce(carried_rows, 0) FROM routing_runs WHERE carried_from_run_id IS NOT NULL"
    )
    op.create_table(
        "exports",
        sa.Column("export_id", ID, nullable=False, comment="Identifier, increasing."),
        sa.Column("run_id", ID, nullable=False, comment="Run the row belongs to."),
        sa.Column("dt", sa.Date(), nullable=False, comment="Day whose backlog is planned."),
        sa.Column("format", sa.Text(), nullable=False, comment="parquet or jsonl."),
        sa.Column("directory", sa.Text(), nullable=False, comment="Directory the files were written to."),
        sa.Column("files", sa.Integer(), nullable=False, comment="Files of the plan, without manifest and checksums."),
        sa.Column("rows", sa.BigInteger(), nullable=False, comment="Queries in them."),
        sa.Column(
            "checksum", sa.Text(), nullable=False, comment="SHA-256 of the manifest, which holds that of every file."
        ),
        sa.Column("exported_at", TIME, nullable=False, comment="When it was handed out."),
        sa.CheckConstraint("format IN ('parquet', 'jsonl')", name=op.f("ck_exports_format")),
        sa.ForeignKeyConstraint(["run_id"], ["routing_runs.run_id"], name=op.f("fk_exports_run_id")),
        sa.PrimaryKeyConstraint("export_id", name=op.f("pk_exports")),
        comment="One row per time a plan was written out for the dispatcher.",
    )
    op.create_table(
        "holds",
        sa.Column("hold_id", ID, nullable=False, comment="Identifier, increasing."),
        sa.Column("dt", sa.Date(), nullable=False, comment="Day whose night is held."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Why, in the words of whoever held it."),
        sa.Column("held_at", TIME, nullable=False, comment="When it was held."),
        sa.Column("released_at", TIME, nullable=True, comment="When it was released; null while it is held."),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_holds")),
        comment="One row per time a night was held back from being handed out.",
    )
    op.create_index("uq_holds_open_dt", "holds", ["dt"], unique=True, sqlite_where=IS_HELD, postgresql_where=IS_HELD)


def downgrade() -> None:
    op.drop_index("uq_holds_open_dt", table_name="holds", sqlite_where=IS_HELD, postgresql_where=IS_HELD)
    op.drop_table("holds")
    op.drop_table("exports")
    op.drop_index(op.f("ix_run_sources_source_run_id"), table_name="run_sources")
    op.drop_table("run_sources")
    op.drop_column("assignments", "row")
    op.drop_column("run_models", "capacity_left_per_batch")
    with op.batch_alter_table("routing_runs") as routing_runs:
        for column in ("base_run_id", "sent_through_batch", "shadow", "rolled_back_at"):
            routing_runs.drop_column(column)
