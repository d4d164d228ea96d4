"""Forecasts by cluster of prompts."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "cluster_forecasts",
        sa.Column("forecast_id", _ID, autoincrement=False, nullable=False, comment="Forecast the row belongs to."),
        sa.Column(
            "cluster",
            sa.Integer(),
            autoincrement=False,
            nullable=False,
            comment="Cluster of prompts, from 1, largest first.",
        ),
        sa.Column(
            "about", sa.Text(), nullable=False, comment="Task that most of its training queries have, and their share."
        ),
        sa.Column("predictor_id", _ID, nullable=False, comment="Predictor whose clusters they are."),
        sa.Column("seed", sa.BigInteger(), nullable=False, comment="Seed that the clusters were learnt with."),
        sa.Column("for_date", sa.Date(), nullable=False, comment="Day that is forecast."),
        sa.Column("dt", sa.Date(), nullable=False, comment="Last day of history it knew: for_date − 1."),
        sa.Column("method", sa.Text(), nullable=False, comment="Method that won the rolling backtest."),
        sa.Column("expected", sa.Double(), nullable=False, comment="Expected queries."),
        sa.Column("lower", sa.Double(), nullable=False, comment="Lower end of the 80 % interval, queries."),
        sa.Column("upper", sa.Double(), nullable=False, comment="Upper end of the 80 % interval, queries."),
        sa.Column(
            "wape",
            sa.Double(),
            nullable=True,
            comment="Weighted absolute percentage error of the method in the backtest; null without one.",
        ),
        sa.Column(
            "actual",
            sa.Double(),
            nullable=True,
            comment="Queries that came, by a sample of them; null until the backlog arrives.",
        ),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=True, comment="When actual was filled in."),
        sa.ForeignKeyConstraint(
            ["predictor_id"],
            ["predictor_versions.predictor_id"],
            name=op.f("fk_cluster_forecasts_predictor_id"),
        ),
        sa.PrimaryKeyConstraint("forecast_id", "cluster", name=op.f("pk_cluster_forecasts")),
        comment="One row per forecast and cluster of prompts.",
    )


def downgrade() -> None:
    op.drop_table("cluster_forecasts")
