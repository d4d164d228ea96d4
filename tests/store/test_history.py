"""The backlog of days gone by: counted by task, and sampled so that files do not matter."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa

from routing_core.store import history
from routing_core.store.parquet import write_partition

DAYS = [date(2026, 11, 20), date(2026, 11, 21)]


def write(root: Path, day: date, n: int, parts: int) -> None:
    table = pa.table(
        {
            "query_id": [f"{day}-{i}" for i in range(n)],
            "task": ["a" if i % 3 else "b" for i in range(n)],
            "prompt": [f"prompt {i}" for i in range(n)],
            "input_tokens": list(range(n)),
        }
    )
    write_partition(root, day, table, parts=parts)


def test_days_are_those_that_are_there_within_the_window(tmp_path: Path):
    for day in DAYS:
        write(tmp_path, day, 3, 1)
    assert history.days_before(tmp_path, DAYS[1], 30) == tuple(DAYS)
    assert history.days_before(tmp_path, DAYS[1], 1) == (DAYS[1],)
    assert history.days_before(tmp_path, DAYS[0], 30) == (DAYS[0],)
    assert history.days_before(tmp_path / "nowhere", DAYS[0], 30) == ()


def test_tasks_are_counted_over_all_files_of_a_day(tmp_path: Path):
    write(tmp_path, DAYS[0], 10, 3)
    assert history.count_tasks(tmp_path, DAYS[:1]) == ({DAYS[0]: {"a": 6, "b": 4}}, ())


def test_a_day_that_cannot_be_read_is_a_gap_in_the_history_and_named(tmp_path: Path):
    for day in DAYS:
        write(tmp_path, day, 3, 1)
    (tmp_path / f"dt={DAYS[0]}" / "broken.parquet").write_bytes(b"nothing of the kind")
    counts, unreadable = history.count_tasks(tmp_path, DAYS)
    assert list(counts) == [DAYS[1]]
    assert "broken.parquet" in unreadable[0]
    assert len(history.sample_queries(tmp_path, DAYS, 10, 1)) == 3


def test_broken_rows_are_no_demand(tmp_path: Path):
    table = pa.table({"query_id": ["a", "b"], "task": ["t", "nul\0"], "prompt": ["p", "p"], "input_tokens": [1, 1]})
    write_partition(tmp_path, DAYS[0], table)
    assert history.count_tasks(tmp_path, DAYS[:1])[0] == {DAYS[0]: {"t": 1}}


def test_the_sample_does_not_depend_on_files_and_depends_on_the_seed(tmp_path: Path):
    drawn = []
    for parts, seed in ((1, 7), (5, 7), (1, 8)):
        for day in DAYS:
            write(tmp_path, day, 40, parts)
        sample = history.sample_queries(tmp_path, DAYS, 10, seed)
        assert sample is not None
        assert len(sample) == 10
        drawn.append(sample.query_id.tolist())
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_a_sample_larger_than_the_history_is_all_of_it_and_of_nothing_none(tmp_path: Path):
    write(tmp_path, DAYS[0], 4, 1)
    sample = history.sample_queries(tmp_path, DAYS[:1], 100, 1)
    assert sample is not None
    assert len(sample) == 4
    assert history.sample_queries(tmp_path, [], 100, 1) is None
