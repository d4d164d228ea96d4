"""Kept tables of nights take a row up without touching the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from routing_core.bench.night_table import exponent, keep_mapped

HEAD = """# Title

<!-- mapped -->

| queries | models | family | gather | solve | gap | inputs MiB | peak MiB | anonymous | file-backed |
|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|

The end.
"""


def mapped(queries: int, seconds: float) -> dict[str, object]:
    sizes = dict.fromkeys(("inputs_mib", "peak_rss_mib", "peak_anonymous_mib", "peak_file_mib"), 1234.5)
    return {
        "queries": queries,
        "models": 11,
        "family": "binding",
        "gather_seconds": 1.0,
        "seconds": seconds,
        "gap": 2e-7,
        **sizes,
    }


def test_a_measurement_replaces_the_row_of_its_own_configuration_and_rows_stay_in_order(tmp_path: Path) -> None:
    file = tmp_path / "night.md"
    file.write_text(HEAD)
    for queries, seconds in ((10_000_000, 30.0), (1_000_000, 3.0), (10_000_000, 20.0)):
        keep_mapped(file, mapped(queries, seconds))
    lines = file.read_text().splitlines()
    assert lines[6] == "| 1,000,000 | 11 | binding | 1.0 | 3.0 | 2.0e-07 | 1,234 | 1,234 | 1,234 | 1,234 |"
    assert lines[7].startswith("| 10,000,000 | 11 | binding | 1.0 | 20.0 |")
    assert lines[8:] == ["", "The end."]


def test_the_exponent_of_what_doubles_while_queries_quadruple_is_a_half() -> None:
    small, large = {"queries": 100, "seconds": 3.0}, {"queries": 400, "seconds": 6.0}
    assert exponent(small, large, "seconds") == pytest.approx(0.5)
