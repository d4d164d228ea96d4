"""What is kept of prompts, and the switch that keeps none."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from routing_core.errors import SettingsError
from routing_core.settings import Settings
from routing_core.steps import hand_out, route
from routing_core.steps.retrain import retrain
from routing_core.store import files

TONIGHT = date(2026, 11, 22)


def _prompts(settings: Settings) -> list[bytes]:
    """Tonight's prompts, long enough not to occur by chance."""
    paths = [Path(file.path) for file in files.list_partition(settings.backlog_root, TONIGHT)]
    texts = [text for path in paths for text in pq.read_table(path, partitioning=None)["prompt"].to_pylist() if text]
    return [text.encode() for text in texts if len(text) > 40]


def _found(settings: Settings, prompts: list[bytes]) -> set[str]:
    """Files below the home, inputs aside, that hold a prompt."""
    inputs = {"backlog", "outcomes", "truth"}
    kept = [path for path in settings.home.rglob("*") if path.is_file()]
    own = [path for path in kept if path.relative_to(settings.home).parts[0] not in inputs]
    return {
        str(path) for path in own for content in [path.read_bytes()] if any(prompt in content for prompt in prompts)
    }


def test_a_night_keeps_no_prompt_outside_its_exports(world: Settings) -> None:
    """Database, shards, solution and predictors hold identifiers and figures alone."""
    route.route(TONIGHT, world, run_key="night")
    prompts = _prompts(world)
    assert len(prompts) > 50
    assert _found(world, prompts) == set()
    hand_out.export(TONIGHT, world, form="jsonl")
    assert _found(world, prompts), "an export holds the prompts, or this test would find nothing anywhere"


def test_with_the_switch_off_not_even_exports_and_predictors_hold_text(world: Settings) -> None:
    """An export tells where each prompt is, batch requests are refused, and no shared beginnings are learnt."""
    world = world.model_copy(update={"keep_prompts": False})
    route.route(TONIGHT, world, run_key="night")
    out = Path(hand_out.export(TONIGHT, world)["directory"]) / "plan.parquet"
    assert {"partition", "row"} <= set(pq.read_schema(out).names)
    assert "prompt" not in pq.read_schema(out).names
    assert _found(world, _prompts(world)) == set()
    with pytest.raises(SettingsError, match="keep_prompts"):
        hand_out.export(TONIGHT, world, form="jsonl")
    before = set(world.predictors_root.iterdir())
    retrain(TONIGHT, world, run_key="without")
    for made in set(world.predictors_root.iterdir()) - before:
        meta = json.loads((made / "predictor.json").read_text())["meta"]
        assert meta["features"]["preambles"] == {"before": [], "after": []}
