"""How many mutated inputs the tests of this folder go through."""

from __future__ import annotations

import pytest
import test_artifacts
import test_documents
import test_import
import test_paths
import test_rows

pytestmark = pytest.mark.hostile


def test_a_thousand_mutated_inputs_are_read() -> None:
    """The bar is 1,000 over all readers."""
    rows = (test_rows.BLOCKS + test_rows.OUTCOME_BLOCKS) * test_rows.CASES
    documents = 2 * test_documents.BLOCKS * test_documents.CASES + len(test_documents.CONTRADICTIONS)
    artifacts = 2 * test_artifacts.BLOCKS * test_artifacts.CASES
    tables = test_import.BLOCKS * test_import.CASES
    paths = len(test_paths.DIRECTORIES) + len(test_paths.NAMES)
    assert rows + documents + artifacts + tables + paths >= 1000
