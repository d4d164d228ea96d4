"""Whose a run is, and which attempt opened it, in columns of their own instead of within its key."""

import re

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COUNTED = re.compile(r"(?P<whose>.*)#(?P<beginning>\d+)\.(?P<opening>\d+)", re.DOTALL)
_runs = sa.table(
    "routing_runs",
    sa.column("run_id", sa.BigInteger),
    sa.column("run_key", sa.Text),
    sa.column("beginning", sa.Integer),
    sa.column("opening", sa.Integer),
)
_MEANINGS = {
    "beginning": "Which of the runs that the same key has begun for dt it is, from 1: a cleared DAG run begins again.",
    "opening": "Newest attempt at opening it, from 1.",
}


def upgrade() -> None:
    views = _take_views()
    with op.batch_alter_table("routing_runs", table_args=_checks()) as runs:
        for name, meaning in _MEANINGS.items():
            runs.add_column(sa.Column(name, sa.Integer(), nullable=False, server_default="1", comment=meaning))
        runs.drop_constraint("uq_routing_runs_dt_run_key", type_="unique")
        runs.create_unique_constraint(op.f("uq_routing_runs_dt_run_key_beginning"), ["dt", "run_key", "beginning"])
    for run in op.get_bind().execute(sa.select(_runs.c.run_id, _runs.c.run_key)).all():
        if found := _COUNTED.fullmatch(run.run_key):
            counted = {"beginning": int(found["beginning"]), "opening": int(found["opening"])}
            _set(run.run_id, run_key=found["whose"], **counted)
    _give_back(views)


def downgrade() -> None:
    for run in op.get_bind().execute(sa.select(_runs)).all():
        if (run.beginning, run.opening) != (1, 1) or _COUNTED.fullmatch(run.run_key):
            _set(run.run_id, run_key=f"{run.run_key}#{run.beginning}.{run.opening}")
    with op.batch_alter_table("routing_runs", table_args=_checks()) as runs:
        runs.drop_constraint("uq_routing_runs_dt_run_key_beginning", type_="unique")
        runs.create_unique_constraint(op.f("uq_routing_runs_dt_run_key"), ["dt", "run_key"])
        for name in _MEANINGS:
            runs.drop_column(name)


def _checks() -> tuple[sa.CheckConstraint, ...]:
    """What SQLite forgets of a table that is made anew, unless it is written out again."""
    statuses = "'staged', 'checked', 'current', 'superseded', 'failed', 'shadow'"
    return (
        sa.CheckConstraint("batching IN ('planned', 'arrival')", name=op.f("ck_routing_runs_batching")),
        sa.CheckConstraint(f"status IN ({statuses})", name=op.f("ck_routing_runs_status")),
    )


def _set(run_id: int, **values: object) -> None:
    op.execute(sa.update(_runs).where(_runs.c.run_id == run_id).values(**values))


def _take_views() -> list[str]:
    """SQLite makes a table anew to change a constraint of it, and not while a view reads it."""
    if op.get_bind().dialect.name != "sqlite":
        return []
    views = op.get_bind().execute(sa.text("SELECT name, sql FROM sqlite_master WHERE type = 'view'")).all()
    for view in views:
        op.execute(f'DROP VIEW "{view.name}"')
    return [view.sql for view in views]


def _give_back(views: list[str]) -> None:
    for view in views:
        op.execute(sa.text(view.replace(":", "\\:")))
