"""The benchmark of a night reports what its readers rely on."""

from __future__ import annotations

import pytest

from routing_core.bench import baseline, night

STAGES = ["open", "list", "estimate", "solve", "write", "compare", "check", "publish"]


@pytest.mark.big
@pytest.mark.parametrize("postgres", [False, True], ids=["sqlite", "postgresql"])
def test_a_night_is_timed_stage_by_stage_down_to_published_rows(
    home: object, monkeypatch: pytest.MonkeyPatch, postgres: bool
) -> None:
    monkeypatch.setattr(night, "_HISTORY_PER_DAY", 60)
    monkeypatch.setattr(baseline, "KINDS", {"point": (0, 100), "robust": (2, 50)})
    figures = night.bench_night(600, 4, 3, postgres=postgres, embedding=postgres, baseline=not postgres)
    assert figures["assigned"] + figures["deferred"] + figures["rejected"] == 600
    assert figures["database"] == ("postgresql" if postgres else "sqlite")
    assert [stage["name"] for stage in figures["stages"]] == STAGES
    seconds = {stage["name"]: stage["seconds"] for stage in figures["stages"]}
    apart = sum(seconds.values()) - seconds["write"] - seconds["compare"]
    assert apart + max(seconds["write"], seconds["compare"]) <= figures["seconds"] + 1e-2
    assert figures["seconds"] <= sum(seconds.values()) + 1e-1
    assert all(
        stage["share"] == pytest.approx(stage["seconds"] / figures["seconds"], abs=1e-3) for stage in figures["stages"]
    )
    assert figures["rows_per_second"] == pytest.approx(600 / figures["seconds"], rel=1e-2)
    assert figures["peak_rss_mib"] == max(stage["peak_rss_mib"] for stage in figures["stages"]) > 50
    assert 0 < figures["solver_share"] < 1
    for kind in figures.get("baseline", {}).values():
        assert kind["queries"] >= 49
        assert kind["times"] > 0
