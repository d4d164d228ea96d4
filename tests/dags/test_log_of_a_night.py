"""The log of a night by DAG: our lines carry the run and the chunk, whatever Airflow prints around them."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest

from routing_core.settings import Settings

ASK = {"dt": "2026-11-22", "predictor_policy": "latest"}


def test_every_line_of_ours_in_the_tasks_has_its_run_and_chunk(
    tonight_home: Settings, run_dag: Callable[..., Any], caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "nightshift"):
        assert str(run_dag("route_backlog", ASK).state) == "success"
    told = [record.getMessage() for record in caplog.records if record.name == "nightshift"]
    ended = [re.match(r"\w+", line)[0] for line in told if " done " in line]
    once = ["open_run", "list_chunks", "solve_night", "compare_run", "check_run", "publish_run"]
    assert sorted(ended) == sorted([*once, *["estimate_chunk", "write_chunk"] * 2])
    for line in told:
        assert " run_id=1" in line or line.startswith("open_run begins"), line
        if line.startswith(("estimate_chunk", "write_chunk")):
            assert re.search(r" chunk=[01] attempt=1\b", line), line
        if " done " in line:
            assert 'dt="2026-11-22"' in line, line
            assert re.search(r" seconds=\d", line), line
