"""The catalog file: what is read, what is refused by name, and what the shipped catalogs promise."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from routing_core.errors import CatalogError
from routing_core.records.catalog import Catalog, Model, Price, Serving
from routing_core.store.catalog import read_catalog, write_catalog

CONFIG = Path(__file__).parents[2] / "config"
GOOD = """
models:
  - name: small
    serving: api
    prices: [{valid_from: 2025-01-01, input_usd: 0.1, output_usd: 1}]
    context_window: 1000
  - name: own
    serving: self_hosted
    prices: [{valid_from: 2025-01-01, input_usd: 0.1, output_usd: 0.2}]
    context_window: 1000
    gpu_type: h100
    gpus_per_instance: 2
    concurrency_per_instance: 8
"""


def read(tmp_path: Path, text: str | bytes) -> Catalog:
    path = tmp_path / "catalog.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_catalog(path)


def test_a_plain_catalog_is_read(tmp_path: Path) -> None:
    """Fields that are left out have the defaults of the record."""
    catalog = read(tmp_path, GOOD)
    assert catalog.names == ("small", "own")
    assert catalog.models[0].prices == (Price(date(2025, 1, 1), 0.1, 1.0),)
    assert catalog.models[0].rate_limit_per_minute is None
    assert catalog.models[1].gpus_per_instance == 2


REFUSED = [
    ("serving: api", "serving: cloud", "model 'small': serving must be one of api, self_hosted, got 'cloud'"),
    ("context_window: 1000", "context_window: '1000'", "model 'small': context_window must be a whole number"),
    ("context_window: 1000", "context_window: true", "model 'small': context_window must be a whole number"),
    ("context_window: 1000", "context_window: 0", "context_window must be above 0, got 0"),
    (
        "context_window: 1000",
        "context_window: 1000\n    colour: red",
        "model 'small': field 'colour' is not known, got 'red'",
    ),
    ("    context_window: 1000\n  -", "  -", "model 'small': field 'context_window' is needed and missing"),
    ("name: small", "name: [a]", "model number 1: name must be a printable text"),
    ("name: small", "name: no", "model number 1: name must be a printable text"),
    ("name: small", "name: own", "model 'own' is in the catalog twice"),
    ("name: small", "name: small\n    name: big", "key 'name' is given twice"),
    (
        "input_usd: 0.1, output_usd: 1}",
        "input_usd: -1, output_usd: 1}",
        "input_usd must be finite and at least 0, got -1.0",
    ),
    ("input_usd: 0.1, output_usd: 1}", "input_usd: .nan, output_usd: 1}", "input_usd must be a finite number"),
    ("input_usd: 0.1, output_usd: 1}", "input_usd: 1e-5, output_usd: 1}", "YAML wants 1.0e-5"),
    ("2025-01-01", "'2025-01-01'", "valid_from must be a day written"),
    ("2025-01-01", "2025-01-01 10:00:00", "valid_from must be a day written"),
    ("2025-01-01", "2025-02-31", "must be plain YAML"),
    ("prices: [", "prices: [7, ", "prices, entry 0 must be a mapping"),
    ("serving: api", "serving: self_hosted", "a self_hosted model needs gpus_per_instance above 0"),
    ("serving: api", "serving: api\n    gpus_per_instance: 3", "an api model has no gpus_per_instance"),
    ("serving: api", "serving: api\n    rate_limit_per_minute: .inf", "rate_limit_per_minute must be a finite number"),
    ("serving: api", "serving: api\n    tags: eu", "tags must be a list"),
    ("serving: api", "serving: api\n    tags: [eu, eu]", "tags must be free of repetitions"),
    ("serving: api", "serving: &x api", "anchors and aliases are not allowed"),
    ("serving: api", "<<: {serving: api}", "a key must be a plain word"),
    ("serving: api", "serving: !!python/object/apply:os.system [true]", "must be plain YAML"),
    ("models:", "models: []\nmore:", "field 'more' is not known"),
]


@pytest.mark.parametrize(("old", "new", "message"), REFUSED)
def test_what_breaks_the_contract_is_refused_by_name(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The message names the file, the model, the field and the value."""
    assert old in GOOD
    with pytest.raises(CatalogError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert message in str(caught.value)
    assert "catalog.yaml" in str(caught.value)


BOMB = "a: &a [x, x]\nb: &b [*a, *a, *a, *a]\nc: &c [*b, *b, *b, *b]\nmodels: [*c, *c]\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "models",
        "models: 3",
        "models: []",
        BOMB,
        "[" * 100_000,
        "{a: " * 5000,
        b"\xff\xfe\x00",
        b"\0",
        ": :",
        "a" * 2_000_000,
    ],
    ids=range(12),
)
def test_hostile_files_end_in_a_catalog_error(tmp_path: Path, text: str | bytes) -> None:
    """Bombs, depth, size and rubbish are refused without harm."""
    with pytest.raises(CatalogError, match=r"catalog\.yaml"):
        read(tmp_path, text)


def test_an_absent_file_says_where_it_was_sought(tmp_path: Path) -> None:
    """With a remedy."""
    with pytest.raises(CatalogError, match=r"nowhere\.yaml cannot be opened(.|\n)*remedy"):
        read_catalog(tmp_path / "nowhere.yaml")


NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=1, max_size=20)
USD = st.floats(0, 1000, allow_subnormal=False)
MODELS = st.builds(
    Model,
    name=NAMES,
    serving=st.just(Serving.SELF_HOSTED),
    prices=st.builds(lambda a, b: (Price(date(2025, 1, 1), a, b), Price(date(2026, 1, 1), b, a)), USD, USD),
    context_window=st.integers(1, 10**6),
    gpu_type=NAMES,
    gpus_per_instance=st.integers(1, 16),
    concurrency_per_instance=st.integers(1, 512),
    stock=st.none() | st.integers(0, 9),
    tags=st.frozensets(NAMES, max_size=3),
)


@given(models=st.lists(MODELS, min_size=1, max_size=4, unique_by=lambda model: model.name))
@settings(derandomize=True, deadline=None, max_examples=60)
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, models: list[Model]) -> None:
    """Any catalog survives a round trip, whatever its names look like to YAML."""
    path = tmp_path_factory.mktemp("catalog") / "config" / "catalog.yaml"
    write_catalog(Catalog(tuple(models)), path)
    assert read_catalog(path) == Catalog(tuple(models))
    assert [p.name for p in path.parent.iterdir()] == ["catalog.yaml"]


def test_the_shipped_catalog_covers_what_the_design_asks() -> None:
    """API and self-hosted models, a rate limit, regions, a price change, and prices for every backfill from 2025 on."""
    catalog = read_catalog(CONFIG / "catalog.yaml")
    assert 8 <= len(catalog) <= 11
    assert sum(m.serving is Serving.API for m in catalog) >= 3
    assert len(catalog.self_hosted) >= 3
    assert any(m.rate_limit_per_minute for m in catalog)
    assert any(len(m.prices) > 1 for m in catalog)
    assert {"eu", "us"} <= set().union(*(m.tags for m in catalog))
    assert catalog.prices_on(date(2025, 1, 1)).shape == (len(catalog), 2)
    assert (catalog.prices_on(date(2025, 1, 1)) != catalog.prices_on(date(2026, 11, 1))).any()


def test_the_paper_profile_has_the_papers_tiers() -> None:
    """GPUs per instance 8, 4, 2 and 1; concurrency from 1 to 16."""
    catalog = read_catalog(CONFIG / "paper.yaml")
    assert {m.gpus_per_instance for m in catalog.self_hosted} == {8, 4, 2, 1}
    concurrency = [m.concurrency_per_instance for m in catalog.self_hosted]
    assert (min(concurrency), max(concurrency)) == (1, 16)


def test_yaml_is_readable_by_others(tmp_path: Path) -> None:
    """What is written is plain YAML with the documented shape."""
    path = tmp_path / "c.yaml"
    write_catalog(read_catalog(CONFIG / "catalog.yaml"), path)
    first = yaml.safe_load(path.read_text())["models"][0]
    assert list(first) == ["name", "serving", "prices", "context_window", "tags"]
    assert first["prices"][0]["valid_from"] == date(2025, 1, 1)


def test_shared_objects_are_written_out(tmp_path: Path) -> None:
    """Models that share a price object do not make the writer use the aliases that the reader refuses."""
    prices = (Price(date(2025, 1, 1), 1.0, 2.0),)
    catalog = Catalog(tuple(Model(name, Serving.API, prices, 1000) for name in ("a", "b")))
    write_catalog(catalog, tmp_path / "c.yaml")
    assert read_catalog(tmp_path / "c.yaml") == catalog
