"""The synthetic workload: seeded, independent of its partitions, realistic in level, and settled by its own truth."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

from routing_core.errors import CatalogError, ContractError, SettingsError
from routing_core.records.assignments import Reason
from routing_core.store.catalog import read_catalog
from routing_core.store.parquet import list_partition, partition_dates, read_outcomes, read_queries
from routing_core.workload.draws import make_keys, normal, uniform
from routing_core.workload.families import FAMILIES
from routing_core.workload.prompts import BACKLOG, DAYTIME, hidden_of, hidden_of_ids, prompts, query_ids
from routing_core.workload.synthetic import log_outcomes, make_workload, scaled_catalog
from routing_core.workload.truth import World

CATALOG = read_catalog(Path(__file__).parents[2] / "config" / "catalog.yaml")
LAST = date(2026, 11, 20)
SMALL: dict[str, Any] = {
    "last_day": LAST,
    "outcome_days": 3,
    "backlog_days": 2,
    "queries_per_day": 200,
    "tonight": 600,
    "parts": 8,
    "seed": 5,
    "broken": 10,
    "catalog": CATALOG,
}


def digests(root: Path) -> dict[tuple[date, str], str]:
    return {(day, f.name): f.sha256 for day in partition_dates(root) for f in list_partition(root, day)}


def test_the_layout_is_what_a_night_reads(tmp_path: Path) -> None:
    """Days, files and rows are those asked for, and the summary counts them."""
    summary = make_workload(tmp_path, **SMALL)
    assert partition_dates(tmp_path / "outcomes") == tuple(LAST - timedelta(days=k) for k in (2, 1, 0))
    assert partition_dates(tmp_path / "backlog") == tuple(LAST - timedelta(days=k) for k in (2, 1, 0))
    files = list_partition(tmp_path / "backlog", LAST)
    assert [f.rows for f in files] == [75] * 8
    outcomes, rejected = read_outcomes(tmp_path / "outcomes", partition_dates(tmp_path / "outcomes"))
    assert rejected == ()
    assert summary["outcomes"] == len(outcomes) > 500
    assert (summary["tonight"], summary["broken"]) == (600, 10)


def test_the_same_seed_makes_the_same_bytes(tmp_path: Path) -> None:
    """And another seed others."""
    made = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        make_workload(tmp_path / name, **SMALL | {"seed": seed})
        made.append((digests(tmp_path / name / "outcomes"), digests(tmp_path / name / "backlog")))
    assert made[0] == made[1]
    assert made[0][1] != made[2][1]


def test_queries_do_not_depend_on_partitions(tmp_path: Path) -> None:
    """Cut into 1 or 7 files, tonight has the same queries and the same rejections."""
    seen = []
    for parts in (1, 7):
        root = tmp_path / str(parts)
        make_workload(root, **SMALL | {"parts": parts})
        got = read_queries(root / "backlog", LAST, list_partition(root / "backlog", LAST))
        rejected = sorted((r.query_id or "", r.reason, r.detail.partition("which")[0]) for r in got.rejected)
        q = got.queries
        seen.append((q.query_id.tolist(), list(q.prompt), q.deadline.tolist(), list(q.required_tags), rejected))
    assert str(seen[0]) == str(seen[1])


def test_broken_rows_are_rejected_for_what_is_broken(tmp_path: Path) -> None:
    """The reader finds what breaks the contract, and no more; the other two ways reach the planner."""
    summary = make_workload(tmp_path, **SMALL | {"broken": 20})
    got = read_queries(tmp_path / "backlog", LAST, list_partition(tmp_path / "backlog", LAST))
    found = Counter(r.reason.value for r in got.rejected)
    planned = summary["broken_by_reason"]
    assert sum(planned.values()) == 20
    assert found == {reason: planned[reason] for reason in (Reason.MALFORMED.value, Reason.DUPLICATE.value)}
    unknown = [allowed for allowed in got.queries.allowed_models if allowed == ("a-model-nobody-has",)]
    expired = got.queries.deadline < np.datetime64(LAST + timedelta(days=1))
    assert (len(unknown), int(expired.sum())) == (planned["no_eligible_model"], planned["expired"])


def test_optional_wishes_are_on_a_share_of_rows(tmp_path: Path) -> None:
    """Every optional column is used by some rows and not by all, and names models and tags that exist."""
    make_workload(tmp_path, **SMALL | {"broken": 0, "tonight": 3000})
    q = read_queries(tmp_path / "backlog", LAST, list_partition(tmp_path / "backlog", LAST)).queries
    shares = [
        np.mean(q.priority != 1),
        np.mean(~np.isnat(q.deadline)),
        np.mean(np.isfinite(q.max_cost_usd)),
        np.mean(q.min_quality > 0),
        np.mean([team is not None for team in q.team]),
        np.mean([allowed is not None for allowed in q.allowed_models]),
        np.mean([tags is not None for tags in q.required_tags]),
    ]
    assert all(0.01 < share < 0.9 for share in shares)
    assert {name for allowed in q.allowed_models for name in allowed or ()} <= set(CATALOG.names)
    for tags in set(q.required_tags) - {None}:
        assert any(set(tags or ()) <= model.tags for model in CATALOG)


def test_levels_lie_where_public_figures_do() -> None:
    """Mean accuracies and costs are in the public range, and no model is best at everything."""
    world, numbers = World(3, CATALOG), np.arange(4000)
    ids, hidden = query_ids(DAYTIME, LAST, numbers), hidden_of(3, DAYTIME, LAST, numbers)
    expected = world.true_quality(ids.to_pylist())
    assert ((expected.mean(axis=0) > 0.45) & (expected.mean(axis=0) < 0.95)).all()
    assert expected.max(axis=1).mean() > expected.mean(axis=0).max() + 0.02
    for j in range(len(CATALOG)):
        table = world.outcomes(ids, hidden, np.full(4000, j), np.ones(4000), LAST)
        assert 5e-6 < pc.mean(table["cost_usd"]).as_py() < 1.2e-2
        assert abs(pc.mean(table["quality"]).as_py() - expected[:, j].mean()) < 0.03


def test_text_gives_difficulty_away_in_part() -> None:
    """Longer prompts are harder within every family, but not by rule."""
    numbers = np.arange(8000)
    hidden = hidden_of(1, BACKLOG, LAST, numbers)
    length = pc.binary_length(prompts(hidden)).to_numpy()
    assert len(FAMILIES) >= 6
    for k in range(len(FAMILIES)):
        rows = hidden.family == k
        assert 0.4 < np.corrcoef(length[rows], hidden.difficulty[rows])[0, 1] < 0.95


def test_mix_and_difficulty_vary_over_day_and_week() -> None:
    """Weekends and nights differ from office hours in what comes and how hard it is."""
    numbers = np.arange(20_000)
    friday, sunday = (hidden_of(1, BACKLOG, day, numbers) for day in (LAST, LAST + timedelta(days=2)))
    mixes = [np.bincount(h.family, minlength=len(FAMILIES)) / len(h) for h in (friday, sunday)]
    assert np.abs(mixes[0] - mixes[1]).max() > 0.03
    assert friday.difficulty.mean() > sunday.difficulty.mean() + 0.1
    hour = friday.submitted_at.astype("M8[h]").astype(int) % 24
    assert friday.difficulty[hour < 6].mean() > friday.difficulty[(hour > 12) & (hour < 18)].mean() + 0.1


def test_logged_propensities_are_the_frequencies() -> None:
    """The policy that logs chooses as often as it says."""
    world = World(3, CATALOG)
    hidden = hidden_of(3, DAYTIME, LAST, np.arange(40_000))
    chosen, propensity = world.choose(hidden)
    assert np.allclose(world.policy.sum(axis=1), 1)
    assert (propensity > 0.01).all()
    for j in range(len(CATALOG)):
        assert abs((chosen == j).mean() - world.policy[hidden.family, j].mean()) < 0.01


def test_all_labels_log_every_model(tmp_path: Path) -> None:
    """One row per query and model, chosen with certainty."""
    make_workload(tmp_path, **SMALL | {"labels": "all", "outcome_days": 1, "queries_per_day": 20})
    outcomes, _ = read_outcomes(tmp_path / "outcomes", [LAST])
    assert len(outcomes) == len(set(outcomes.query_id)) * len(CATALOG)
    assert set(outcomes.propensity) == {1.0}


def test_hidden_state_follows_from_the_id_alone() -> None:
    """Ids of several days and kinds, in any order, give what their days gave."""
    friday, sunday = (hidden_of(9, BACKLOG, day, np.arange(5)) for day in (LAST, LAST + timedelta(days=2)))
    ids = [
        *query_ids(BACKLOG, LAST, np.arange(5)).to_pylist(),
        *query_ids(BACKLOG, LAST + timedelta(days=2), np.arange(5)).to_pylist(),
    ]
    order = np.array([7, 0, 9, 3, 1, 8, 2])
    again = hidden_of_ids(9, [ids[k] for k in order])
    assert again.difficulty.tolist() == np.concatenate([friday.difficulty, sunday.difficulty])[order].tolist()
    assert again.submitted_at.tolist() == np.concatenate([friday.submitted_at, sunday.submitted_at])[order].tolist()


def test_a_night_is_settled_by_the_truth(tmp_path: Path) -> None:
    """Assigned queries keep their prompts, realise what was true in the mean, and leave the day's other outcomes."""
    make_workload(tmp_path, **SMALL | {"broken": 0})
    q = read_queries(tmp_path / "backlog", LAST, list_partition(tmp_path / "backlog", LAST)).queries
    world = World(5, CATALOG)
    models = [CATALOG.names[k % len(CATALOG)] for k in range(len(q))]
    before = len(read_outcomes(tmp_path / "outcomes", [LAST])[0])
    for _ in range(2):
        assert log_outcomes(tmp_path, world, logged_on=LAST, query_ids=q.query_id.tolist(), models=models) == 600
    outcomes, rejected = read_outcomes(tmp_path / "outcomes", [LAST])
    assert rejected == ()
    assert len(outcomes) == before + 600
    settled = outcomes.take(np.array([name.startswith(BACKLOG) for name in outcomes.query_id]))
    assert list(settled.prompt) == list(q.prompt)
    assert np.isnan(settled.propensity).all()
    expected = world.true_quality(settled.query_id.tolist())[np.arange(600), [CATALOG.index(m) for m in settled.model]]
    assert abs(settled.quality.mean() - expected.mean()) < 0.05


def test_foreign_ids_and_models_are_refused(tmp_path: Path) -> None:
    """By the value that is wrong."""
    world = World(5, CATALOG)
    with pytest.raises(ContractError, match="got 'mine-1'"):
        world.true_quality(["night-20261120-0000001", "mine-1"])
    with pytest.raises(CatalogError, match="'gpt-9' is not in the catalog"):
        log_outcomes(tmp_path, world, logged_on=LAST, query_ids=["night-20261120-0000001"], models=["gpt-9"])


@pytest.mark.parametrize(("name", "value"), [("parts", 0), ("tonight", -1), ("seed", -3), ("broken", -1)])
def test_numbers_out_of_range_are_refused(tmp_path: Path, name: str, value: int) -> None:
    """By name and value."""
    with pytest.raises(SettingsError, match=f"{name} must be at least . got {value}".replace(". ", "., ")):
        make_workload(tmp_path, **SMALL | {name: value})


def test_embeddings_tell_families_apart(tmp_path: Path) -> None:
    """Vectors of a family are nearer to each other than to others', and have the length asked for."""
    make_workload(tmp_path, **SMALL | {"embedding_size": 16, "broken": 0})
    q = read_queries(tmp_path / "backlog", LAST, list_partition(tmp_path / "backlog", LAST)).queries
    assert q.embedding is not None
    assert q.embedding.shape == (600, 16)
    near = q.embedding @ q.embedding.T
    same = q.task[:, None] == q.task[None, :]
    assert near[same].mean() > near[~same].mean() + 0.3


def test_a_scaled_catalog_has_as_many_models_as_asked() -> None:
    """Variants have names of their own."""
    assert scaled_catalog(CATALOG, 4).names == CATALOG.names[:4]
    assert len(set(scaled_catalog(CATALOG, 20).names)) == 20


def test_draws_are_uniform_normal_and_independent() -> None:
    """Moments of the counter-based generator, and no correlation between streams or neighbours."""
    keys = make_keys(1, BACKLOG, np.full(200_000, 20261120), np.arange(200_000))
    assert len(np.unique(keys)) == 200_000
    u, z = uniform(keys, "a"), normal(keys, "b")
    assert 0 < u.min() < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.003
    assert abs(u.var() - 1 / 12) < 0.001
    assert abs(z.mean()) < 0.01
    assert abs(z.std() - 1) < 0.01
    assert abs(np.corrcoef(u, z)[0, 1]) < 0.01
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.01


@pytest.mark.big
def test_a_million_rows_are_made_and_read(tmp_path: Path) -> None:
    """64 files of a million queries: nothing lost, nothing twice."""
    make_workload(tmp_path, **SMALL | {"tonight": 1_000_000, "parts": 64})
    got = read_queries(tmp_path / "backlog", LAST, list_partition(tmp_path / "backlog", LAST))
    assert len(got.queries) + len(got.rejected) == 1_000_000
    assert len(set(got.queries.query_id)) == len(got.queries)
