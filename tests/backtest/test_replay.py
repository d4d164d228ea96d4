"""Nights are estimated from what was known before them, whatever the history looks like."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_histories import MODELS, QUICK, trade_off_world, write_long, write_wide

from routing_core.backtest.history import read_history
from routing_core.backtest.replay import plan_nights, replay
from routing_core.errors import ContractError


def test_nothing_of_the_night_or_after_it_is_known(tmp_path: Path) -> None:
    """Other scores, lengths and costs from the first replayed night on leave its estimates as they were, to the bit."""
    nights = []
    for name, spoil_from in (("as it was", None), ("spoilt", 3)):
        history = read_history(write_long(tmp_path / name, 500, days=5, spoil_from=spoil_from))
        plans = plan_nights(history, [0], 2)
        assert [plan.name for plan in plans] == ["2026-05-04", "2026-05-05"]
        nights.append(replay(history, plans, recipe=QUICK))
    first, spoilt = nights[0][0], nights[1][0]
    for field in ("mean", "lower", "robust", "cost", "sample_quality", "sample_cost"):
        assert np.array_equal(getattr(first, field), getattr(spoilt, field)), field
    assert not np.array_equal(nights[0][1].mean, nights[1][1].mean), "the night after must notice"


def test_drawn_nights_share_no_query_with_their_past(wide_file: Path) -> None:
    history = read_history(wide_file)
    plans = plan_nights(history, [0, 1], 3)
    assert len(plans) == 6
    for plan in plans:
        assert not set(plan.known) & set(plan.asked)
    for seed in (0, 1):
        asked = np.concatenate([plan.asked for plan in plans if plan.seed == seed])
        assert len(asked) == len(set(asked)) == 350


def test_one_file_outside_any_partition_reads_like_the_partitions(tmp_path: Path) -> None:
    root = write_long(tmp_path / "outcomes", 60, days=3)
    whole = pa.concat_tables([pq.read_table(file, partitioning=None) for file in sorted(root.rglob("*.parquet"))])
    pq.write_table(whole, tmp_path / "log.parquet")
    one, many = read_history(tmp_path / "log.parquet"), read_history(root)
    assert one.labels.models == many.labels.models == tuple(sorted(MODELS))
    assert np.array_equal(one.labels.quality, many.labels.quality)
    assert np.array_equal(one.paid, many.paid)
    day = read_history(root / "dt=2026-05-02")
    assert len(day.labels) == 20
    assert np.array_equal(day.labels.quality, read_history(root / "dt=2026-05-02" / "part-0.parquet").labels.quality)


def test_csv_reads_like_parquet(tmp_path: Path) -> None:
    world = trade_off_world(50)
    one, other = (read_history(write_wide(tmp_path / f"x.{kind}", 50, *world)) for kind in ("csv", "parquet"))
    assert np.array_equal(one.labels.quality, other.labels.quality)
    assert np.array_equal(one.paid, other.paid)


def test_what_was_paid_is_what_the_log_says(tmp_path: Path) -> None:
    """Not tokens times some price: a discount shows."""
    root = write_long(tmp_path / "outcomes", 40, days=2)
    for file in root.rglob("*.parquet"):
        table = pq.read_table(file, partitioning=None)
        at = table.schema.get_field_index("cost_usd")
        pq.write_table(table.set_column(at, "cost_usd", pa.array(np.full(len(table), 0.00125))), file)
    assert np.allclose(read_history(root).paid, 0.00125)


@pytest.mark.parametrize("n", [1, 30])
def test_too_short_a_history_is_refused_by_name(tmp_path: Path, n: int) -> None:
    history = read_history(write_wide(tmp_path / "short.parquet", n, *trade_off_world(n)))
    with pytest.raises(ContractError, match="200 queries known"):
        plan_nights(history, [0], 2)


def test_an_empty_history_is_refused_by_name(tmp_path: Path) -> None:
    root = write_long(tmp_path / "outcomes", 10, days=1)
    shutil.rmtree(root / "dt=2026-05-01")
    with pytest.raises(ContractError, match="no usable outcome"):
        read_history(root)
