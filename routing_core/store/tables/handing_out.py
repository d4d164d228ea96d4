"""What was done with a plan: handed out, or held back."""

from __future__ import annotations

from sqlalchemy import BigInteger, Date, Index, Integer, Table, Text, text

from routing_core.store.tables.declare import Id, Time, column, is_one_of, metadata, run_id

exports = Table(
    "exports",
    metadata,
    column("export_id", Id, "Identifier, increasing.", primary_key=True),
    run_id(),
    column("dt", Date, "Day whose backlog is planned."),
    column("format", Text, "parquet or jsonl."),
    column("directory", Text, "Directory the files were written to."),
    column("files", Integer, "Files of the plan, without manifest and checksums."),
    column("rows", BigInteger, "Queries in them."),
    column("checksum", Text, "SHA-256 of the manifest, which holds that of every file."),
    column("exported_at", Time, "When it was handed out."),
    is_one_of("format", "parquet", "jsonl"),
    comment="One row per time a plan was written out for the dispatcher.",
)

holds = Table(
    "holds",
    metadata,
    column("hold_id", Id, "Identifier, increasing.", primary_key=True),
    column("dt", Date, "Day whose night is held."),
    column("reason", Text, "Why, in the words of whoever held it."),
    column("held_at", Time, "When it was held."),
    column("released_at", Time, "When it was released; null while it is held.", null=True),
    Index(
        "uq_holds_open_dt",
        "dt",
        unique=True,
        sqlite_where=text("released_at IS NULL"),
        postgresql_where=text("released_at IS NULL"),
    ),
    comment="One row per time a night was held back from being handed out.",
)
