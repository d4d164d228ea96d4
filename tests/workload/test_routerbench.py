"""Importing the public wide format: nothing swallowed, outcomes and backlog disjoint, costs as published."""

from __future__ import annotations

import pickle
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from routing_core.errors import ContractError, SettingsError
from routing_core.records.catalog import Serving
from routing_core.store.catalog import read_catalog
from routing_core.store.parquet import list_partition, partition_dates, read_outcomes, read_queries
from routing_core.workload.routerbench import import_routerbench
from routing_core.workload.wide import read_wide

LAST = date(2026, 11, 22)
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "routerbench_0shot_part.parquet"
MISTRAL, GPT = "mistralai/mistral-7b-chat", "gpt-4-1106-preview"


def wide(n: int = 60, **columns: Any) -> pa.Table:
    """A small file in the wide format, some columns replaced."""
    rng = np.random.default_rng(1)
    good: dict[str, Any] = {
        "sample_id": [f"s.{k}" for k in range(n)],
        "prompt": [f"['Question {k}?\n\"yes\", or no'] " + "x" * k for k in range(n)],
        "eval_name": [("mbpp", "arc")[k % 2] for k in range(n)],
        MISTRAL: rng.integers(0, 2, n).astype(float),
        GPT: rng.random(n),
        "oracle_model_to_route_to": ["x"] * n,
        MISTRAL + "|total_cost": rng.random(n) * 1e-4,
        GPT + "|total_cost": rng.random(n) * 1e-2,
    }
    return pa.table(good | columns)


def write(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".csv":
        pacsv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


def backlog(home: Path, day: date) -> Any:
    return read_queries(home / "backlog", day, list_partition(home / "backlog", day))


@pytest.mark.parametrize("name", ["wide.parquet", "wide.csv"])
def test_a_file_becomes_a_home(tmp_path: Path, name: str) -> None:
    """Catalog, 14 days of outcomes and backlog; each prompt in one of the two; costs and scores as published."""
    table = wide()
    report = import_routerbench(write(tmp_path / name, table), tmp_path / "home", last_day=LAST, seed=3)
    home = tmp_path / "home"
    days = partition_dates(home / "outcomes")
    assert (len(days), days[-1]) == (14, LAST)
    outcomes, rejected = read_outcomes(home / "outcomes", days)
    waiting = [backlog(home, day) for day in partition_dates(home / "backlog")]
    assert rejected == ()
    assert all(got.rejected == () for got in waiting)
    ids = [name for got in waiting for name in got.queries.query_id]
    assert not set(ids) & set(outcomes.query_id)
    assert set(ids) | set(outcomes.query_id) == {f"s.{k}" for k in range(60)}
    assert (len(ids), len(outcomes)) == (report.tonight + report.backlog_history, report.outcomes)
    for k in range(len(outcomes)):
        row = int(outcomes.query_id[k][2:])
        assert outcomes.cost_usd[k] == table[outcomes.model[k] + "|total_cost"][row].as_py()
        assert outcomes.quality[k] == np.float32(table[outcomes.model[k]][row].as_py())
        assert outcomes.prompt[k] == table["prompt"][row].as_py()
    assert read_catalog(home / "config" / "catalog.yaml").names == (MISTRAL, GPT)


def test_parquet_and_csv_give_the_same_home(tmp_path: Path) -> None:
    """And the order of rows in the file makes no difference."""
    homes = []
    for name, table in (("a.parquet", wide()), ("b.csv", wide()), ("c.parquet", wide().take(np.arange(60)[::-1]))):
        home = tmp_path / name.partition(".")[0]
        import_routerbench(write(tmp_path / name, table), home, last_day=LAST, seed=3)
        files = {p.relative_to(home): p.read_bytes() for p in sorted(home.rglob("*")) if p.is_file()}
        homes.append(files)
    assert homes[0] == homes[1] == homes[2]


def test_seed_and_day_decide(tmp_path: Path) -> None:
    """Another seed deals otherwise; the days end on the day given."""
    path = write(tmp_path / "w.parquet", wide())
    tonight = []
    for seed in (1, 1, 2):
        import_routerbench(path, tmp_path / "h", last_day=LAST, seed=seed)
        tonight.append(backlog(tmp_path / "h", LAST).queries.query_id.tolist())
    assert tonight[0] == tonight[1] != tonight[2]


def test_missing_scores_and_duplicate_prompts_are_reported(tmp_path: Path) -> None:
    """With ids and counts; a row keeps the scores it has."""
    table = wide()
    columns: dict[str, Any] = {name: table[name].to_pylist() for name in table.schema.names}
    columns[GPT][3] = None
    columns[GPT][4] = columns[MISTRAL][4] = None
    columns[GPT][5] = float("nan")
    columns[GPT][6] = 1.7
    columns[GPT + "|total_cost"][7] = None
    columns["prompt"][9] = columns["prompt"][8]
    columns["prompt"][10] = None
    path = write(tmp_path / "w.parquet", pa.table(columns))
    report = import_routerbench(path, tmp_path / "h", last_day=LAST)
    cleaning = report.cleaning
    assert cleaning.missing_scores == ("s.3", "s.4", "s.5", "s.6", "s.7")
    assert cleaning.without_any_score == ("s.4",)
    assert cleaning.duplicate_prompts == ("s.9",)
    assert cleaning.unusable_prompts == ("s.10",)
    assert report.as_dict()["n_missing_scores"] == 5
    outcomes, _ = read_outcomes(tmp_path / "h" / "outcomes", partition_dates(tmp_path / "h" / "outcomes"))
    truth, _ = read_outcomes(tmp_path / "h" / "truth", partition_dates(tmp_path / "h" / "truth"))
    logged = [*zip(outcomes.query_id, outcomes.model, strict=True), *zip(truth.query_id, truth.model, strict=True)]
    assert len(logged) == len(set(logged)) == 2 * (60 - 3) - 4
    assert {model for name, model in logged if name in {"s.3", "s.5", "s.6", "s.7"}} == {MISTRAL}


def test_repeated_and_odd_sample_ids_become_unique_names(tmp_path: Path) -> None:
    """The second of a name gets a number, an unusable one its row; all of it is reported."""
    odd = ["a", "a", "a#2", "", None, "b\0c", " x ", "y" * 600, "'; DROP TABLE x", "ünï/..ço"]
    table = wide(sample_id=odd + [f"s{k}" for k in range(50)])
    got, cleaning = read_wide(write(tmp_path / "w.parquet", table))
    assert len(set(got.query_id)) == len(got) == 60
    assert {"a", "a#2", "a#3", "row-000003", "row-000007", "'; DROP TABLE x", "ünï/..ço"} <= set(got.query_id)
    assert cleaning.renamed == ("a#3", "row-000003", "row-000004", "row-000005", "row-000006", "row-000007")


def test_tokens_explain_the_published_cost(tmp_path: Path) -> None:
    """Input tokens by the text, output tokens by what the cost leaves at list price, never below 0."""
    cost = [0.0] * 30 + [0.5] * 30
    path = write(tmp_path / "w.parquet", wide(**{GPT + "|total_cost": cost}))
    import_routerbench(path, tmp_path / "h", last_day=LAST)
    outcomes, _ = read_outcomes(tmp_path / "h" / "outcomes", partition_dates(tmp_path / "h" / "outcomes"))
    rows = np.flatnonzero(outcomes.model == GPT)
    assert (outcomes.output_tokens >= 0).all()
    for k in rows:
        if outcomes.cost_usd[k] == 0:
            assert outcomes.output_tokens[k] == 0
        else:
            implied = outcomes.input_tokens[k] * 10e-6 + outcomes.output_tokens[k] * 30e-6
            assert abs(implied - outcomes.cost_usd[k]) <= 15.001e-6


@pytest.mark.parametrize("name", ["w.pkl", "w.parquet", "w.csv", "w.pickle"])
def test_a_pickle_is_refused_unopened(tmp_path: Path, name: str) -> None:
    """Whatever it is called; nothing in it runs."""

    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",))

    path = tmp_path / name
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ContractError, match="is a pickle"):
        import_routerbench(path, tmp_path / "h")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (b"", "w.parquet", "must be Parquet, or CSV"),
        (b"PAR1 and then nothing", "w.parquet", "must be readable, and is not"),
        (b"", "w.csv", "must be readable, and is not"),
        (b"a,b\n1,2\n", "w.csv", "must have column 'sample_id'"),
        (b"sample_id,prompt,eval_name\nx,y,z\n", "w.csv", "must have a score column"),
        (b"sample_id,prompt,eval_name,m,m|total_cost\nx,y,z,good,1\n", "w.csv", "must be readable, and is not"),
        (b"\x1f\x8b rest", "w.csv.gz", "must be Parquet, or CSV"),
    ],
)
def test_other_files_fail_by_name(tmp_path: Path, content: bytes, name: str, message: str) -> None:
    """The message names the file and the rule."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ContractError, match=message) as caught:
        import_routerbench(path, tmp_path / "h")
    assert name in str(caught.value)


def test_an_unknown_model_is_priced_by_its_costs(tmp_path: Path) -> None:
    """As an API model, and the report says so."""
    table = wide(**{"new/model": [1.0] * 60, "new/model|total_cost": [0.001] * 60})
    report = import_routerbench(write(tmp_path / "w.parquet", table), tmp_path / "h", last_day=LAST)
    assert report.unknown_models == ("new/model",)
    model = read_catalog(tmp_path / "h" / "config" / "catalog.yaml").models[-1]
    assert model.serving is Serving.API
    assert model.prices[0].input_usd > 0


@pytest.mark.parametrize(
    "wrong", [{"days": 13}, {"backlog_share": 0.0}, {"backlog_share": 1.0}, {"parts": 0}, {"seed": -1}]
)
def test_arguments_out_of_range_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    """By name and value."""
    path = write(tmp_path / "w.parquet", wide())
    with pytest.raises(SettingsError, match=f"{next(iter(wrong))} must be"):
        import_routerbench(path, tmp_path / "h", **wrong)


def test_too_few_prompts_are_refused(tmp_path: Path) -> None:
    """A day without outcomes would be no history."""
    with pytest.raises(ContractError, match="at least 28 usable prompts for 14 days, has 20"):
        import_routerbench(write(tmp_path / "w.parquet", wide(20)), tmp_path / "h")


@pytest.mark.skipif(not REAL.exists(), reason="the public file is not beside the repository (../shared/data)")
def test_the_real_file_becomes_a_home(tmp_path: Path) -> None:
    """Every row of the public file is in the outcomes, in the backlog, or in the report."""
    report = import_routerbench(REAL, tmp_path, last_day=LAST)
    cleaning = report.cleaning
    left_out = {*cleaning.without_any_score, *cleaning.duplicate_prompts, *cleaning.unusable_prompts}
    assert report.outcome_queries + report.tonight + report.backlog_history + len(left_out) == cleaning.rows
    assert len(cleaning.missing_scores) > 0
    catalog = read_catalog(tmp_path / "config" / "catalog.yaml")
    assert (len(catalog), len(catalog.self_hosted)) == (11, 6)
    assert {m.gpus_per_instance for m in catalog.self_hosted} == {8, 4, 2, 1}
    outcomes, rejected = read_outcomes(tmp_path / "outcomes", partition_dates(tmp_path / "outcomes"))
    assert rejected == ()
    assert len(outcomes) == report.outcomes
    assert set(outcomes.propensity) == {1.0}
    got = backlog(tmp_path, LAST)
    assert (len(got.queries), got.rejected) == (report.tonight, ())
