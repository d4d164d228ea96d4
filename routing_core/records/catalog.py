"""The catalog: which models there are, what they cost and when, and what they run on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from routing_core.errors import CatalogError


class Serving(StrEnum):
    """Where a model runs."""

    API = "api"
    """Somebody else's GPUs, paid by the token."""
    SELF_HOSTED = "self_hosted"
    """Instances on our own GPUs."""


@dataclass(frozen=True, slots=True)
class Price:
    """What a model charges from a day on.

    Attributes
    ----------
    valid_from : date
        First day the price holds.
    input_usd, output_usd : float
        USD per million tokens, at least 0.
    """

    valid_from: date
    input_usd: float
    output_usd: float


@dataclass(frozen=True, slots=True)
class Model:
    """One LLM.

    Attributes
    ----------
    name : str
    serving : Serving
    prices : tuple of Price
        Oldest first, at least one.
    context_window : int
        Most tokens of prompt and answer together.
    gpu_type : str
        Type of GPU an instance occupies; empty for an API model.
    gpus_per_instance : int
        0 for an API model.
    concurrency_per_instance : int
        Queries an instance holds in flight; 0 for an API model.
    stock : int or None
        Most instances there can be; None leaves it to the GPU budget.
    rate_limit_per_minute : float or None
        Queries an API model takes in a minute; None is no limit.
    tags : frozenset of str
        Region and other properties that a query may require.
    """

    name: str
    serving: Serving
    prices: tuple[Price, ...]
    context_window: int
    gpu_type: str = ""
    gpus_per_instance: int = 0
    concurrency_per_instance: int = 0
    stock: int | None = None
    rate_limit_per_minute: float | None = None
    tags: frozenset[str] = frozenset()

    def price_on(self, day: date) -> Price:
        """The price valid on ``day``.

        Raises
        ------
        CatalogError
            If the first price begins later.
        """
        valid = [price for price in self.prices if price.valid_from <= day]
        if not valid:
            raise CatalogError(
                f"model {self.name!r} has no price valid on {day}; its first begins {self.prices[0].valid_from}",
                remedy="add a price with an earlier valid_from to the catalog",
            )
        return valid[-1]


@dataclass(frozen=True, slots=True)
class Catalog:
    """All models, in the order that ties are broken by.

    Raises
    ------
    CatalogError
        If the catalog is empty or contradicts itself.
    """

    models: tuple[Model, ...]

    def __post_init__(self) -> None:
        if not self.models:
            raise CatalogError("the catalog has no models; at least one is needed")
        seen: set[str] = set()
        for model in self.models:
            if model.name in seen:
                raise CatalogError(f"model {model.name!r} is in the catalog twice; names must be unique")
            seen.add(model.name)
            _check_model(model)

    def __len__(self) -> int:
        return len(self.models)

    def __iter__(self) -> Iterator[Model]:
        return iter(self.models)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models, in order."""
        return tuple(model.name for model in self.models)

    @property
    def self_hosted(self) -> tuple[Model, ...]:
        """The models that run on our GPUs, in order."""
        return tuple(model for model in self.models if model.serving is Serving.SELF_HOSTED)

    @property
    def content_hash(self) -> str:
        """SHA-256 of everything the catalog says: equal catalogs, equal hash."""
        facts = [replace(model, tags=tuple(sorted(model.tags))) for model in self.models]  # type: ignore[arg-type]
        return hashlib.sha256(repr(facts).encode()).hexdigest()

    def index(self, name: str) -> int:
        """Position of the model called ``name``.

        Raises
        ------
        CatalogError
            If there is none.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise CatalogError(f"model {name!r} is not in the catalog; it has {', '.join(self.names)}") from None

    def prices_on(self, day: date) -> NDArray[np.float64]:
        """Prices valid on ``day``: ndarray of shape (n_models, 2), USD per token of (input, output)."""
        prices = (model.price_on(day) for model in self.models)
        return np.array([(price.input_usd, price.output_usd) for price in prices]) / 1e6


def _check_model(model: Model) -> None:
    """Refuse what contradicts itself, naming the model, the rule and the value."""

    def refuse(rule: str, value: object) -> None:
        raise CatalogError(f"model {model.name!r}: {rule}, got {value!r}")

    if not model.name or model.name != model.name.strip():
        refuse("name must be non-empty, without blanks around it", model.name)
    if model.context_window <= 0:
        refuse("context_window must be above 0", model.context_window)
    if model.stock is not None and model.stock < 0:
        refuse("stock must be at least 0", model.stock)
    if model.rate_limit_per_minute is not None and not model.rate_limit_per_minute >= 0:
        refuse("rate_limit_per_minute must be at least 0", model.rate_limit_per_minute)
    _check_prices(model, refuse)
    _check_serving(model, refuse)


def _check_prices(model: Model, refuse: Callable[[str, object], None]) -> None:
    if not model.prices:
        refuse("prices must have at least one entry", model.prices)
    days = [price.valid_from for price in model.prices]
    if days != sorted(set(days)):
        refuse("prices must have distinct valid_from, oldest first", [str(day) for day in days])
    for price in model.prices:
        for side, usd in (("input_usd", price.input_usd), ("output_usd", price.output_usd)):
            if not np.isfinite(usd) or usd < 0:
                refuse(f"{side} must be finite and at least 0", usd)


def _check_serving(model: Model, refuse: Callable[[str, object], None]) -> None:
    on_gpus: Mapping[str, int] = {
        "gpus_per_instance": model.gpus_per_instance,
        "concurrency_per_instance": model.concurrency_per_instance,
    }
    for field, value in on_gpus.items():
        if model.serving is Serving.SELF_HOSTED and value <= 0:
            refuse(f"a self_hosted model needs {field} above 0", value)
        if model.serving is Serving.API and value != 0:
            refuse(f"an api model has no {field}", value)
    if (model.serving is Serving.SELF_HOSTED) != bool(model.gpu_type):
        refuse("gpu_type is for self_hosted models, and needed there", model.gpu_type)
