"""What the public table's open models take of a GPU, where nobody's catalog says otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

from routing_core.records.catalog import Catalog, Model, Price, Serving

TIERS: Mapping[str, tuple[int, int]] = {
    "meta/llama-2-70b-chat": (8, 16),
    "mistralai/mixtral-8x7b-chat": (4, 8),
    "zero-one-ai/Yi-34B-Chat": (4, 8),
    "meta/code-llama-instruct-34b-chat": (4, 8),
    "WizardLM/WizardLM-13B-V1.2": (2, 4),
    "mistralai/mistral-7b-chat": (1, 1),
}
"""GPUs and concurrency of an instance of each open model: the paper's tiers 8/4/2/1 and 1–16, by size of the model."""
GPU_TYPE = "gpu"
_FREE = (Price(date(2024, 1, 1), 0.0, 0.0),)


def tiered_catalog(models: Sequence[str]) -> Catalog:
    """The models: those with a tier on our GPUs, all others behind an API."""
    return Catalog(tuple(_model(name) for name in models))


def _model(name: str) -> Model:
    if name not in TIERS:
        return Model(name, Serving.API, _FREE, context_window=8192)
    gpus, concurrency = TIERS[name]
    return Model(
        name,
        Serving.SELF_HOSTED,
        _FREE,
        context_window=8192,
        gpu_type=GPU_TYPE,
        gpus_per_instance=gpus,
        concurrency_per_instance=concurrency,
    )
