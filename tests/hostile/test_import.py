"""Mutated comparison tables: every row is used or told why not, or the file is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest
from nasty import Rng, mutate_bytes, mutate_table, parquet

from routing_core.errors import NightshiftError
from routing_core.workload.routerbench import import_routerbench
from routing_core.workload.wide import read_wide

pytestmark = pytest.mark.hostile

BLOCKS, CASES = 3, 50


@pytest.mark.parametrize("block", range(BLOCKS))
def test_no_prompt_of_a_hostile_table_is_lost(block: int, tmp_path: Path) -> None:
    """Rows in are prompts used and prompts left out by id and reason; or a named error tells the file."""
    for seed in range(block * CASES, (block + 1) * CASES):
        file = _write(tmp_path, seed, np.random.default_rng([7, seed]))
        try:
            wide, cleaning = read_wide(file)
        except NightshiftError as error:
            assert str(file) in str(error)
            continue
        left_out = (cleaning.without_any_score, cleaning.duplicate_prompts, cleaning.unusable_prompts)
        assert len(wide) + sum(map(len, left_out)) == cleaning.rows
        assert len(set(wide.query_id.tolist())) == len(wide)
        assert all(prompt is not None and "\0" not in prompt for prompt in wide.prompt)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_imported_from_a_hostile_table_can_be_planned(seed: int, tmp_path: Path) -> None:
    """The import ends whole, or by name without leaving a home behind."""
    rng = np.random.default_rng([8, seed])
    table = _table(60, rng)
    for _ in range(4):
        table = mutate_table(table, rng)
    file, home = tmp_path / "table.parquet", tmp_path / "home"
    try:
        pq.write_table(table, file)
    except pa.ArrowException:
        pq.write_table(table.select(table.schema.names[:3]), file)
    try:
        import_routerbench(file, home)
    except NightshiftError as error:
        assert str(file) in str(error)
        assert not home.exists()
    else:
        assert (home / "config" / "catalog.yaml").exists()


def _table(n: int, rng: Rng) -> pa.Table:
    columns = {
        "sample_id": [f"s{k}" for k in range(n)],
        "prompt": [f"prompt {k}" for k in range(n)],
        "eval_name": ["task"] * n,
        "a": rng.random(n),
        "b": rng.random(n),
    }
    return pa.table(columns | {f"{model}|total_cost": rng.random(n) * 1e-3 for model in "ab"})


def _write(root: Path, seed: int, rng: Rng) -> Path:
    table, as_csv = _table(int(rng.integers(1, 9)), rng), rng.random() < 0.4
    if rng.random() < 0.8:
        table = mutate_table(table, rng)
    file = root / f"{seed}.{'csv' if as_csv else 'parquet'}"
    try:
        if as_csv:
            pacsv.write_csv(table, file)
        else:
            file.write_bytes(parquet(table, rng))
    except pa.ArrowException:
        file.write_bytes(parquet(_table(3, rng), rng))
    if rng.random() < 0.35:
        file.write_bytes(mutate_bytes(file.read_bytes(), rng))
    return file
