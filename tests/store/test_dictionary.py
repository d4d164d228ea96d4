"""docs/data-dictionary.md is what the schema says."""

from __future__ import annotations

from routing_core.settings import PROJECT_ROOT
from routing_core.store.dictionary import markdown


def test_the_data_dictionary_is_current():
    kept = (PROJECT_ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
    assert kept == markdown(), "type: routing dictionary > docs/data-dictionary.md"
