"""A night out of its shards and back: in query_id order, each query once, whatever the chunks."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from routing_core.store.decisions import identity_table, rejected_table
from routing_core.store.gather import DUPLICATE, gather, read_part, scatter
from routing_core.store.shards import Shard, read_shard, write_shard

MODELS = 2


def shard_of(ids: list[str]) -> Shard:
    """A shard whose numbers follow from the ids, so that a mixed-up row shows."""
    n = len(ids)
    number = np.array([int(one[1:]) for one in ids], dtype=np.float32)
    matrix = np.stack([number, number + 0.5], axis=1).reshape(n, MODELS)
    no_time = np.full(n, np.datetime64("NaT", "us"))
    return Shard(
        mean_quality=matrix,
        lower_quality=matrix,
        cost_usd=matrix,
        careful_quality=matrix[:, :0],
        unfamiliar=number.astype(np.int8),
        eligible=matrix > 1,
        penalty=number,
        last_batch=number.astype(np.int32),
        queries=identity_table(
            query_id=np.array(ids, object),
            task=np.array(["t"] * n, object),
            team=np.array(["blue" if value % 2 else None for value in number], object),
            partition=np.array(["p"] * n, object),
            row=np.arange(n),
            first_dt=np.full(n, np.datetime64("2026-11-22", "D")),
            nights_waited=np.zeros(n, np.int64),
            deadline=no_time,
            submitted_at=no_time,
        ),
        rejected=rejected_table([("p", 9, date(2026, 11, 22), None, "malformed", "query_id is null")]),
    )


def written(root: Path, chunks: list[list[str]]) -> list[Path]:
    directories = [root / f"chunk-{k}" for k in range(len(chunks))]
    for directory, ids in zip(directories, chunks, strict=True):
        write_shard(directory, shard_of(ids))
    return directories


def test_a_shard_comes_back_as_it_was_and_can_be_written_again(tmp_path: Path):
    for ids in (["q3", "q1"], []):
        write_shard(tmp_path / "s", shard_of(ids))
        back = read_shard(tmp_path / "s")
        assert back.queries["query_id"].to_pylist() == ids
        assert back.mean_quality.shape == (len(ids), MODELS)
        assert back.rejected.num_rows == 1


def test_a_writer_that_fails_leaves_no_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(np, "save", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_shard(tmp_path / "s", shard_of(["q1"]))
    assert list(tmp_path.iterdir()) == []


def test_shards_of_a_version_without_careful_estimates_are_gathered_beside_new_ones(tmp_path: Path):
    directories = written(tmp_path, [["q1", "q3"], ["q2"]])
    for directory, ids in zip(directories, (["q1", "q3"], ["q2"]), strict=True):
        shard = shard_of(ids)
        write_shard(directory, replace(shard, careful_quality=shard.lower_quality))
    assert gather(directories, MODELS, []).careful_quality.shape == (3, MODELS)
    for name in ("careful_quality", "unfamiliar"):
        (directories[1] / f"{name}.npy").unlink()
    for order in (directories, directories[::-1], directories[1:]):
        night = gather(order, MODELS, [])
        assert night.careful_quality.shape == (len(night), 0)
        assert night.unfamiliar.tolist() == [number if number != 2 else 0 for number in night.penalty]


chunkings = st.lists(st.lists(st.integers(0, 12).map(lambda k: f"q{k:02d}"), max_size=6), max_size=4)


@given(chunks=chunkings, on_disk=st.booleans())
@hypothesis_settings(derandomize=True, deadline=None, max_examples=60)
def test_every_query_has_one_place_in_id_order_and_gets_its_own_decision_back(
    chunks: list[list[str]], on_disk: bool, tmp_path_factory: pytest.TempPathFactory
):
    root = tmp_path_factory.mktemp("night")
    night = gather(written(root, chunks), MODELS, ["blue"], scratch=root if on_disk else None)
    ids = sorted({one for chunk in chunks for one in chunk})
    numbers = [int(one[1:]) for one in ids]
    assert night.penalty.tolist() == numbers
    assert night.mean_quality[:, 1].tolist() == [number + 0.5 for number in numbers]
    assert night.team.tolist() == [0 if number % 2 else -1 for number in numbers]

    scatter(root, night.places, {"model": np.array(numbers, np.int16)})
    seen: set[str] = set()
    for k, chunk in enumerate(chunks):
        part = read_part(root, k, ("model",))
        for at, one in enumerate(chunk):
            assert bool(part["duplicate"][at]) == (one in seen)
            if one not in seen:
                assert part["model"][at] == int(one[1:])
            seen.add(one)


def test_the_first_of_two_rows_with_an_id_is_the_one_kept(tmp_path: Path):
    night = gather(written(tmp_path, [["q2", "q1"], ["q1"]]), MODELS, [])
    assert [place.tolist() for place in night.places] == [[1, 0], [DUPLICATE]]


def test_arrival_is_by_time_then_by_id_and_unknown_times_come_last(tmp_path: Path):
    from dataclasses import replace

    shard = shard_of(["q1", "q2", "q3"])
    times = np.array(["NaT", "2026-11-22T02:00", "2026-11-22T01:00"], "datetime64[us]")
    queries = shard.queries.set_column(shard.queries.column_names.index("submitted_at"), "submitted_at", [times])
    write_shard(tmp_path / "s", replace(shard, queries=queries))
    assert gather([tmp_path / "s"], MODELS, []).arrival.tolist() == [2, 1, 0]
