"""What each DAG file promises, read from the DAG and not from its text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

DAGS = Path(__file__).resolve().parents[2] / "dags"
NAMES = ["allocate_instances", "retrain_predictors", "route_backlog", "settle_outcomes"]
HEAVY = {
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "ortools",
    "pyarrow",
    "skops",
    "routing_core.steps",
    "routing_core.store",
}

_PARSE = """
import airflow, json, runpy, sys
sys.path[:0] = [{dags!r}, {plugins!r}]
before = set(sys.modules)
runpy.run_path({file!r}, run_name="dag_file")
print(json.dumps(sorted(set(sys.modules) - before)))
"""


@pytest.fixture(params=NAMES)
def dag(request: pytest.FixtureRequest, load_dag: Callable[[str], Any]) -> Any:
    return load_dag(request.param)


@pytest.fixture
def route(load_dag: Callable[[str], Any]) -> Any:
    return load_dag("route_backlog")


def upstream(dag: Any, task_id: str) -> set[str]:
    """Everything a task sits behind, however far."""
    return {task.task_id for task in dag.get_task(task_id).get_flat_relatives(upstream=True)}


def test_each_dag_file_holds_one_dag_of_its_name_and_nothing_else_is_read_as_one(load_dag: Callable[[str], Any]):
    listed = {file.stem for file in DAGS.glob("*.py")} - {"nightshift_wiring"}
    assert sorted(listed) == NAMES
    assert (DAGS / ".airflowignore").read_text().split() == ["nightshift_wiring.py"]
    assert [load_dag(name).dag_id for name in NAMES] == NAMES


def test_a_dag_runs_every_midnight_and_never_catches_up_by_itself(dag: Any):
    assert dag.timetable.expression == "0 0 * * *"
    assert str(dag.timetable.timezone) == "UTC" or dag.timetable.timezone.name == "UTC"
    assert type(dag.timetable).__name__ == "CronDataIntervalTimetable"
    assert dag.catchup is False
    assert 1 <= dag.max_active_runs <= 3


def test_a_dag_documents_itself_and_takes_a_date_and_a_dry_run(dag: Any):
    assert dag.doc_md.startswith("### ")
    assert dag.dag_id in dag.doc_md
    assert dag.params["dt"] is None
    assert dag.params["dry_run"] is False
    assert all(dag.params.get_param(name).description for name in dag.params)


def test_every_task_is_retried_with_backoff_but_not_after_a_named_refusal(dag: Any):
    from routing_core.errors import ContractError

    for task in dag.tasks:
        assert task.retries >= 2, task.task_id
        assert task.retry_exponential_backoff, task.task_id
        assert task.retry_policy.evaluate(ContractError("x"), 1, 3).action.value == "fail", task.task_id
        assert task.retry_policy.evaluate(OSError("disk"), 1, 3).action.value == "default", task.task_id


def test_the_date_is_decided_first(dag: Any):
    assert [task.task_id for task in dag.roots] == ["night"]


@pytest.mark.parametrize("name", NAMES)
def test_parsing_a_dag_file_in_a_fresh_process_imports_nothing_heavy(name: str, airflow_db: None):
    script = _PARSE.format(dags=str(DAGS), plugins=str(DAGS.parent / "plugins"), file=str(DAGS / f"{name}.py"))
    environment = os.environ | {"PYTHONPATH": str(DAGS.parent)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    imported = set(json.loads(done.stdout.splitlines()[-1]))
    assert "nightshift_wiring" in imported
    assert not {module for module in imported if any(module == h or module.startswith(f"{h}.") for h in HEAVY)}


def test_publishing_sits_behind_the_check_and_every_stage_before_it(route: Any):
    stages = ["night", "verdict", "allocation", "backlog", "night_before", "open_run"]
    stages += ["list_chunks", "estimate", "solve", "write", "compare", "check"]
    assert upstream(route, "publish") == set(stages)
    assert route.get_task("publish").trigger_rule == "all_success"
    assert upstream(route, "check") == set(stages) - {"check"}
    assert upstream(route, "write") >= {"solve", "estimate"}
    assert upstream(route, "compare") == upstream(route, "write")
    assert upstream(route, "open_run") == {"night", "verdict", "allocation", "backlog", "night_before"}


def test_only_tasks_that_may_follow_skipped_chunks_run_behind_a_skip(route: Any):
    rules = {task.task_id: str(task.trigger_rule.value) for task in route.tasks}
    assert {name for name, rule in rules.items() if rule == "none_failed"} == {"solve", "compare", "check"}
    assert set(rules.values()) == {"all_success", "none_failed", "all_done_setup_success"}


def test_whatever_fails_behind_an_opened_run_is_closed_behind_all_of_it(route: Any):
    close, opened = route.get_task("close_run"), route.get_task("open_run")
    assert opened.is_setup
    assert close.is_teardown
    assert not close.on_failure_fail_dagrun
    after = {task.task_id for task in opened.get_flat_relatives(upstream=False)} - {"close_run"}
    assert after | {"open_run"} == close.upstream_task_ids


def test_only_publishing_announces_a_night(route: Any):
    assert [task.task_id for task in route.tasks if task.outlets] == ["publish"]


@pytest.mark.parametrize("name", ["retrain_predictors", "allocate_instances", "route_backlog", "settle_outcomes"])
def test_who_announces_through_an_alias_does_so_one_at_a_time(load_dag: Callable[[str], Any], name: str):
    """Airflow fails the second of two tasks whose events make the alias's asset at once."""
    announcing = [task for task in load_dag(name).tasks if task.outlets]
    assert [task.max_active_tis_per_dag for task in announcing] == [1]


def test_instances_are_allocated_behind_the_verdict_and_the_day_before(load_dag: Callable[[str], Any]):
    assert upstream(load_dag("allocate_instances"), "allocate") == {"night", "verdict", "day_before"}


def test_a_verdict_is_given_behind_that_of_the_day_before(load_dag: Callable[[str], Any]):
    assert upstream(load_dag("retrain_predictors"), "retrain") == {"night", "day_before"}


@pytest.mark.parametrize(
    ("dag_id", "task_id"),
    [("retrain_predictors", "day_before"), ("allocate_instances", "day_before"), ("route_backlog", "night_before")],
)
def test_what_builds_on_the_day_before_waits_for_its_own_dags_run(
    dag_id: str, task_id: str, load_dag: Callable[[str], Any]
):
    assert load_dag(dag_id).get_task(task_id).behind == dag_id


def test_only_chunks_are_mapped_over(route: Any):
    assert {task.task_id for task in route.tasks if task.is_mapped} == {"estimate", "write"}
