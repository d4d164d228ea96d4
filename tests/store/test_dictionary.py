"""What is made from the code and kept in docs is what the code says."""

from __future__ import annotations

from routing_core.settings import PROJECT_ROOT
from routing_core.steps.ask import settings_reference
from routing_core.store.dictionary import markdown


def test_the_data_dictionary_is_current():
    kept = (PROJECT_ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
    assert kept == markdown(), "type: routing dictionary > docs/data-dictionary.md"


def test_the_reference_of_the_settings_is_current():
    kept = (PROJECT_ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert kept == settings_reference(), "type: routing settings --reference > docs/settings.md"
