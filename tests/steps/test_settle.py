"""Settlement: what a night came to, whatever the order and number of times its outcomes arrive in."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from alembic import command
from sqlalchemy import insert, select, text

from routing_core.errors import ContractError, NotFoundError, SchemaError
from routing_core.settings import Settings
from routing_core.steps import route, settle
from routing_core.store import database
from routing_core.store.catalog import read_catalog
from routing_core.store.database import reading, writing
from routing_core.store.tables.decisions import assignments
from routing_core.store.tables.runs import routing_runs
from routing_core.workload.synthetic import log_outcomes
from routing_core.workload.truth import World

TONIGHT, MORROW, LATER = date(2026, 11, 22), date(2026, 11, 23), date(2026, 11, 25)
COUNTS = ("assigned", "settled", "late", "missing", "by_other", "corrected")


def fetch(settings: Settings, query: str, **values: Any) -> list:
    with reading(settings) as connection:
        return list(connection.execute(text(query), values).mappings().all())


@pytest.fixture(params=["sqlite", "postgresql"])
def routed(request: pytest.FixtureRequest) -> Settings:
    """A night that is planned."""
    settings: Settings = request.getfixturevalue({"sqlite": "world", "postgresql": "postgres_world"}[request.param])
    route.route(TONIGHT, settings, run_key="a")
    return settings


def assigned(settings: Settings) -> list[Any]:
    return fetch(
        settings,
        "SELECT a.* FROM assignments a JOIN nights n ON n.run_id = a.run_id ORDER BY a.query_id",
    )


def log(settings: Settings, name: str, day: date, rows: list[tuple], at: datetime | None = None) -> None:
    """Outcomes as (query_id, model, quality, cost) in a file of their own."""
    directory = Path(settings.outcomes_root) / f"dt={day}"
    directory.mkdir(parents=True, exist_ok=True)
    ids, models, quality, cost = zip(*rows, strict=True)
    n = len(rows)
    moment = at or datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    table = {
        "query_id": ids,
        "task": ["?"] * n,
        "prompt": ["?"] * n,
        "model": models,
        "quality": quality,
        "input_tokens": [1] * n,
        "output_tokens": [1] * n,
        "cost_usd": cost,
        "logged_at": pa.array([moment] * n, pa.timestamp("us", "UTC")),
    }
    pq.write_table(pa.table(table), directory / f"{name}.parquet")


def test_late_missing_corrected_and_foreign_answers_are_counted_and_settling_again_changes_nothing(routed: Settings):
    plan = assigned(routed)
    first, late, other = plan[:100], plan[100:110], plan[110:113]
    wrong = "another-model"
    log(routed, "a", MORROW, [(r.query_id, r.model, 1.0, 2 * r.cost_usd) for r in first])
    log(routed, "b", MORROW, [(r.query_id, wrong, 0.0, 9.0) for r in other])
    corrected = [(r.query_id, r.model, 0.5, r.cost_usd) for r in first[:7]]
    log(routed, "c", LATER, [*corrected, *corrected])
    log(routed, "d", LATER, [(r.query_id, r.model, 0.0, r.cost_usd) for r in late])
    night = settle.settle(TONIGHT, routed)
    wanted = dict(zip(COUNTS, (len(plan), 110, 10, len(plan) - 110, 3, 7), strict=True))
    assert {name: night[name] for name in COUNTS} == wanted
    planned = sum(r.cost_usd for r in (*first, *late, *other))
    actual = sum(r.cost_usd for r in (*first, *late)) + sum(r.cost_usd for r in first[7:]) + 3 * 9.0
    assert night["settled_planned_usd"] == pytest.approx(planned)
    assert night["actual_spend_usd"] == pytest.approx(actual)
    assert night["projected_spend_usd"] == pytest.approx(actual / planned * sum(r.cost_usd for r in plan))
    assert night["realised_quality"] == pytest.approx((93 + 3.5) / 110)
    predicted = np.array([r.mean_quality for r in (*first, *late)])
    assert night["optimism"] == pytest.approx(predicted.mean() - 96.5 / 110)
    rows = fetch(routed, "SELECT * FROM settlements ORDER BY model, task")
    bins = fetch(routed, "SELECT * FROM calibration ORDER BY model, task, bin")
    log(routed, "e", LATER + timedelta(1), corrected, at=datetime(2026, 11, 25, 12, tzinfo=UTC))
    again = settle.settle(TONIGHT, routed)
    changed = {"settled_at", "settled_through"}
    assert {k: v for k, v in again.items() if k not in changed} == {k: v for k, v in night.items() if k not in changed}
    strip = [{k: v for k, v in row.items() if k not in changed} for row in rows]
    after = fetch(routed, "SELECT * FROM settlements ORDER BY model, task")
    assert [{k: v for k, v in row.items() if k not in changed} for row in after] == strip
    assert fetch(routed, "SELECT * FROM calibration ORDER BY model, task, bin") == bins
    assert len(fetch(routed, "SELECT * FROM settled")) == 1


def test_the_latest_correction_wins_in_whatever_order_the_files_come(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    one = assigned(world)[0]
    log(world, "a", MORROW, [(one.query_id, one.model, 0.9, 1.0)], at=datetime(2026, 11, 23, 20, tzinfo=UTC))
    log(world, "b", LATER, [(one.query_id, one.model, 0.1, 1.0)], at=datetime(2026, 11, 23, 8, tzinfo=UTC))
    assert settle.settle(TONIGHT, world)["realised_quality"] == pytest.approx(0.9)
    assert settle.settle(TONIGHT, world, through=MORROW)["corrected"] == 0


def test_a_whole_night_settles_to_what_sql_recomputes_by_model_and_task(routed: Settings):
    plan = assigned(routed)
    truth = World(routed.seed, read_catalog(routed.catalog_file))
    ids, models = [r.query_id for r in plan], [r.model for r in plan]
    log_outcomes(routed.home, truth, logged_on=MORROW, query_ids=ids, models=models)
    night = settle.settle(TONIGHT, routed)
    assert (night["settled"], night["missing"], night["late"]) == (len(plan), 0, 0)
    cells = fetch(routed, "SELECT * FROM settlements WHERE model <> '*' AND task <> '*'")
    assert sum(row.settled for row in cells) == len(plan)
    whole = fetch(routed, "SELECT * FROM settlements WHERE model = '*' AND task = '*'")[0]
    for name in ("planned_spend_usd", "actual_spend_usd"):
        assert sum(row[name] for row in cells) == pytest.approx(whole[name])
    error = sum(row.optimism * row.settled for row in cells) / len(plan)
    assert whole.optimism == pytest.approx(error) == pytest.approx(whole.predicted_quality - whole.realised_quality)
    quality = fetch(routed, "SELECT sum(settled) AS n, sum(assigned) AS m FROM quality")[0]
    assert quality.n == quality.m == len(plan)
    over = fetch(routed, "SELECT * FROM overspends")[0]
    assert (over.accepted, over.nights) == (0.05, 1)
    assert over.overspent == int(night["projected_spend_usd"] > 0.05)
    tenths = fetch(routed, "SELECT * FROM calibration WHERE model = '*' AND task = '*'")
    assert sum(row.settled for row in tenths) == len(plan)
    ece = sum(row.settled * abs(row.predicted_quality - row.realised_quality) for row in tenths) / len(plan)
    assert night["calibration_error"] == pytest.approx(ece)


def test_the_sealed_run_is_settled_even_when_a_replan_is_current(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    plan = assigned(world)
    settle.seal(TONIGHT, world)
    route.route(TONIGHT, world, run_key="b", options=route.RouteOptions(replan=True, budget_usd=0.01))
    log(world, "a", MORROW, [(r.query_id, r.model, 1.0, r.cost_usd) for r in plan])
    night = settle.settle(TONIGHT, world)
    assert (night["run_id"], night["settled"]) == (1, len(plan))
    assert [row.run_id for row in fetch(world, "SELECT run_id FROM settled")] == [1]


def test_settling_each_night_takes_those_with_outcomes_by_now_and_keeps_nothing_when_dry(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    assert settle.settle_nights(TONIGHT, world) == []
    log(world, "a", MORROW, [(r.query_id, r.model, 1.0, r.cost_usd) for r in assigned(world)])
    assert [one["settled"] for one in settle.settle_nights(MORROW, world, dry_run=True)] == [len(assigned(world))]
    assert fetch(world, "SELECT * FROM settled") == []
    assert len(settle.settle_nights(LATER, world)) == 1
    assert settle.settle_nights(TONIGHT + timedelta(days=world.settle_days + 1), world) == []


def test_a_night_without_outcomes_is_all_missing_and_claims_no_overspend(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    night = settle.settle(TONIGHT, world)
    assert (night["settled"], night["overspent"], night["realised_quality"]) == (0, None, None)
    assert fetch(world, "SELECT * FROM overspends") == []


def test_what_other_models_answered_is_paid_for_once_each_and_counts_with_gpu_hours_as_overspend(world: Settings):
    route.route(TONIGHT, world, run_key="a")
    plan = assigned(world)
    log(world, "a", MORROW, [(r.query_id, r.model, 1.0, r.cost_usd) for r in plan[2:]])
    assert not settle.settle(TONIGHT, world)["overspent"]
    with writing(world) as connection:
        connection.execute(text("UPDATE routing_runs SET gpu_usd = budget_usd"))
    assert settle.settle(TONIGHT, world)["overspent"]
    with writing(world) as connection:
        connection.execute(text("UPDATE routing_runs SET gpu_usd = 0"))
    one, two = plan[:2]
    log(
        world,
        "b",
        MORROW,
        [(one.query_id, "x", 0.1, 3.0), (one.query_id, "y", 0.1, 4.0), (two.query_id, "x", 0.1, 5.0)],
    )
    log(world, "c", LATER, [(one.query_id, "x", 0.1, 2.0), (plan[2].query_id, "x", 0.1, 100.0)])
    night = settle.settle(TONIGHT, world)
    spent = 2.0 + 4.0 + 5.0 + sum(r.cost_usd for r in plan[2:])
    assert (night["by_other"], night["missing"], night["overspent"]) == (2, 2, True)
    assert night["actual_spend_usd"] == pytest.approx(spent)
    assert night["projected_spend_usd"] == pytest.approx(spent)


@pytest.mark.parametrize("days_apart", [1, 3])
def test_an_id_that_a_later_night_gave_to_another_query_settles_each_night_by_its_own_outcomes(
    routed: Settings, days_apart: int
):
    later, executed = TONIGHT + timedelta(days_apart), MORROW + timedelta(days_apart)
    with writing(routed) as connection:
        run = dict(connection.execute(select(routing_runs)).mappings().one())
        run |= {"run_id": 2, "dt": later, "execution_date": executed, "run_key": "b"}
        rows = connection.execute(select(assignments)).mappings().all()
        connection.execute(insert(routing_runs), [run])
        connection.execute(insert(assignments), [dict(r) | {"run_id": 2, "dt": later, "first_dt": later} for r in rows])
    plan = [row for row in assigned(routed) if row.run_id == 1]
    log(routed, "a", MORROW, [(r.query_id, r.model, 1.0, r.cost_usd) for r in plan])
    log(routed, "b", executed, [(r.query_id, r.model, 0.0, 3 * r.cost_usd) for r in plan])
    for dt, quality, factor in ((TONIGHT, 1.0, 1.0), (later, 0.0, 3.0)):
        night = settle.settle(dt, routed)
        assert (night["settled"], night["corrected"]) == (len(plan), 0)
        assert night["realised_quality"] == quality
        assert night["actual_spend_usd"] == pytest.approx(factor * sum(r.cost_usd for r in plan))


@pytest.mark.parametrize("revision", ["0001", "-1", "base"])
def test_a_database_with_a_settled_night_goes_back_to_an_older_schema_and_on_again(routed: Settings, revision: str):
    settle.settle(TONIGHT, routed)
    before = fetch(routed, "SELECT count(*) AS n FROM assignments")[0]["n"]
    command.downgrade(database._alembic(database.engine(routed)), revision)
    with pytest.raises(SchemaError):
        database.check_schema(routed)
    database.migrate(routed)
    database.check_schema(routed)
    kept = 0 if revision == "base" else before
    assert fetch(routed, "SELECT count(*) AS n FROM assignments")[0]["n"] == kept
    assert len(fetch(routed, "SELECT * FROM nights")) == (1 if kept else 0)
    if database.engine(routed).dialect.name == "sqlite":
        assert fetch(routed, "PRAGMA foreign_key_check") == []
        assert fetch(routed, "PRAGMA foreign_keys")[0]["foreign_keys"] == 1


def test_what_cannot_be_settled_is_named(world: Settings):
    with pytest.raises(NotFoundError, match="2026-11-22 is published"):
        settle.settle(TONIGHT, world)
    with writing(world) as connection:
        connection.execute(text("DELETE FROM settlements"))
    route.route(TONIGHT, world, run_key="a", options=route.RouteOptions(budget_usd=0.0))
    assert settle.settle(TONIGHT, world)["missing"] == len(assigned(world))
    broken = Path(world.outcomes_root) / f"dt={MORROW}"
    broken.mkdir()
    (broken / "zz.parquet").write_bytes(b"no")
    with pytest.raises(ContractError, match=r"zz\.parquet"):
        settle.settle(TONIGHT, world)
