"""Mutated backlog and outcome files: every row is routable or set aside, or the file is refused by name."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from nasty import Rng, mutate_bytes, mutate_table, parquet

from routing_core.errors import NightshiftError
from routing_core.records.queries import Queries
from routing_core.store.parquet import RejectedRow, list_partition, read_outcomes, read_queries

pytestmark = pytest.mark.hostile

DAY = date(2026, 11, 22)
BLOCKS, CASES = 8, 60
"""Of each reader: so many tests of so many files each. ``test_enough.py`` holds their sum to the bar."""
OUTCOME_BLOCKS = 5


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_row_of_a_hostile_backlog_is_lost(block: int, tmp_path: Path) -> None:
    """Rows in are rows routable and rows rejected, each once; or a named error tells the file."""
    for seed in range(block * CASES, (block + 1) * CASES):
        root = tmp_path / str(seed)
        _write(root, backlog_table, np.random.default_rng([1, seed]))
        try:
            files = list_partition(root, DAY)
            read = read_queries(root, DAY, files)
        except NightshiftError as error:
            _names_the_file(error, root)
            continue
        _all_rows_once({f.name: f.rows or 0 for f in files}, read.partition, read.row, read.rejected)
        _are_sound(read.queries)


@pytest.mark.parametrize("block", range(OUTCOME_BLOCKS))
def test_no_row_of_hostile_outcomes_is_lost(block: int, tmp_path: Path) -> None:
    """Rows in are rows learnt from and rows rejected; or a named error tells the file."""
    for seed in range(block * CASES, (block + 1) * CASES):
        root = tmp_path / str(seed)
        _write(root, outcome_table, np.random.default_rng([2, seed]))
        try:
            rows = sum(file.rows or 0 for file in list_partition(root, DAY))
            outcomes, rejected = read_outcomes(root, [DAY])
        except NightshiftError as error:
            _names_the_file(error, root)
            continue
        assert len(outcomes) + len(rejected) == rows
        _speak_plainly(rejected)
        assert np.isfinite(outcomes.quality).all() and np.isfinite(outcomes.cost_usd).all()
        assert (outcomes.logged_at <= np.datetime64("2026-11-24")).all()


def test_ten_megabytes_of_prompt_are_a_query_like_any_other(tmp_path: Path) -> None:
    """A prompt has no limit of its own, whatever characters it is made of."""
    prompts = ["a" * 10_000_000, "\U0001f4a3" * 2_500_000, "b"]
    _file(tmp_path, "part-0.parquet", parquet(backlog_table(3).set_column(2, "prompt", pa.array(prompts)), _rng()))
    read = read_queries(tmp_path, DAY, list_partition(tmp_path, DAY))
    assert [len(prompt) for prompt in read.queries.prompt] == [10_000_000, 2_500_000, 1]


def test_a_file_of_more_rows_than_its_bytes_can_hold_is_refused_unread(tmp_path: Path) -> None:
    """Repeated values pack to nothing: a few kilobytes that unfold to gigabytes never reach memory."""
    n = 20_000_000
    ids = pa.DictionaryArray.from_arrays(pa.array(np.zeros(n, np.int8)), pa.array(["a"]))
    table = pa.table({"query_id": ids, "task": ids, "prompt": ids, "input_tokens": pa.array(np.zeros(n, np.int8))})
    path = tmp_path / f"dt={DAY}" / "bomb.parquet"
    path.parent.mkdir()
    pq.write_table(table, path, compression="zstd", row_group_size=n)
    assert path.stat().st_size < 500_000
    with pytest.raises(NightshiftError, match=r"bomb\.parquet.*20000000 rows"):
        read_queries(tmp_path, DAY, list_partition(tmp_path, DAY))


def backlog_table(n: int, first: int = 0) -> pa.Table:
    """``n`` good rows with every column of the contract."""
    return pa.table(
        {
            "query_id": [f"q{first + k}" for k in range(n)],
            "task": ["code"] * n,
            "prompt": [f"prompt {k}" for k in range(n)],
            "input_tokens": pa.array(range(n), pa.int64()),
            "priority": [1.0] * n,
            "max_cost_usd": [0.5] * n,
            "min_quality": [0.1] * n,
            "team": ["search"] * n,
            "deadline": pa.array([1_763_900_000_000_000] * n, pa.timestamp("us", "UTC")),
            "submitted_at": pa.array([1_763_800_000_000_000] * n, pa.timestamp("us", "UTC")),
            "allowed_models": pa.array([["a"]] * n, pa.list_(pa.string())),
            "required_tags": pa.array([[]] * n, pa.list_(pa.string())),
            "embedding": pa.array([[0.5, 0.5]] * n, pa.list_(pa.float64())),
        }
    )


def outcome_table(n: int, first: int = 0) -> pa.Table:
    """``n`` good outcomes with every column of the contract."""
    return pa.table(
        {
            "query_id": [f"q{first + k}" for k in range(n)],
            "task": ["code"] * n,
            "prompt": [f"prompt {k}" for k in range(n)],
            "model": ["a"] * n,
            "quality": [0.5] * n,
            "input_tokens": pa.array(range(n), pa.int64()),
            "output_tokens": pa.array(range(n), pa.int64()),
            "cost_usd": [0.001] * n,
            "propensity": [0.5] * n,
            "logged_at": pa.array([1_763_800_000_000_000] * n, pa.timestamp("us", "UTC")),
        }
    )


def _rng() -> Rng:
    return np.random.default_rng(0)


def _write(root: Path, make: Any, rng: Rng) -> None:
    """One to three files, one of them or more with something wrong; ids now and then repeated across files."""
    count = int(rng.integers(1, 4))
    for k in range(count):
        table = make(int(rng.integers(1, 9)), first=0 if rng.random() < 0.2 else 100 * k)
        if rng.random() < 0.7:
            table = mutate_table(table, rng)
        raw = _parquet_if_it_can_be(table, make(3, first=100 * k), rng)
        _file(root, f"part-{k}.parquet", mutate_bytes(raw, rng) if rng.random() < 0.3 else raw)


def _parquet_if_it_can_be(table: pa.Table, instead: pa.Table, rng: Rng) -> bytes:
    try:
        return parquet(table, rng)
    except pa.ArrowException:  # no writer makes such a file
        return parquet(instead, rng)


def _file(root: Path, name: str, raw: bytes) -> None:
    directory = root / f"dt={DAY}"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(raw)


def _names_the_file(error: NightshiftError, root: Path) -> None:
    assert f"{root}/dt={DAY}/part-" in str(error)
    assert len(str(error)) < 2000


def _all_rows_once(rows: dict[str, int], partition: Any, row: Any, rejected: tuple[RejectedRow, ...]) -> None:
    seen = [*zip(partition.tolist(), row.tolist(), strict=True), *((r.partition, r.row) for r in rejected)]
    assert sorted(seen) == [(name, k) for name in sorted(rows) for k in range(rows[name])]
    _speak_plainly(rejected)


def _speak_plainly(rejected: tuple[RejectedRow, ...]) -> None:
    """Every reason can be stored anywhere and says something."""
    for one in rejected:
        assert one.detail and "\0" not in one.detail and len(one.detail) < 400
        one.detail.encode()
        (one.query_id or "").encode()


def _are_sound(queries: Queries) -> None:
    ids = queries.query_id.tolist()
    assert len(set(ids)) == len(ids)
    assert all(name and "\0" not in name and len(name.encode()) <= 512 for name in ids)
    assert all("\0" not in prompt for prompt in queries.prompt)
    assert (queries.input_tokens >= 0).all() and np.isfinite(queries.priority).all()
    assert not np.isnan(queries.max_cost_usd).any()
