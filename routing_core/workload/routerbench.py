"""RouterBench, or any file in its wide format, laid out as a Nightshift home.

The prompts are dealt at random to outcomes and backlog, which share none. Every usable score of an outcome's prompt
is logged (full feedback), at exactly the published cost. The files have no token counts: input tokens are
estimated from the text, and output tokens are what the published cost leaves after the input at the list price,
divided by the list price of output, at least 0.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

from routing_core.errors import ContractError, SettingsError
from routing_core.records.catalog import Catalog, Model, Price, Serving
from routing_core.store.catalog import write_catalog
from routing_core.store.writing import write_partition
from routing_core.workload.wide import Cleaning, Wide, read_wide

PRICED_FROM = date(2023, 1, 1)
"""First day of the list prices, early enough for any backfill."""
_GPU_TYPE = "a100"
_GPUS = 16
_BUDGET_PER_QUERY = 6e-4
_BATCH_MINUTES = 20.0
FEWEST_DAYS = 14
TONIGHT_SHARE = 0.4
_HISTORY_DAYS = (1, 2, 7)
"""Share of the backlog's prompts that wait on the last day; the others are spread over the days before."""

_UTC_TIME = pa.timestamp("us", "UTC")
_API_PRICES = {
    "gpt-3.5-turbo-1106": (1.0, 2.0, 16_385),
    "claude-instant-v1": (0.8, 2.4, 100_000),
    "claude-v1": (8.0, 24.0, 100_000),
    "claude-v2": (8.0, 24.0, 100_000),
    "gpt-4-1106-preview": (10.0, 30.0, 128_000),
}
"""USD per million input and output tokens, and context window, of API models."""
_HOSTED = {
    "meta/llama-2-70b-chat": (0.9, 4_096, 8, 1),
    "mistralai/mixtral-8x7b-chat": (0.6, 32_768, 4, 8),
    "zero-one-ai/Yi-34B-Chat": (0.8, 4_096, 4, 4),
    "WizardLM/WizardLM-13B-V1.2": (0.3, 4_096, 2, 8),
    "meta/code-llama-instruct-34b-chat": (0.776, 16_384, 4, 4),
    "mistralai/mistral-7b-chat": (0.2, 8_192, 1, 16),
}
"""USD per million tokens, context window, GPUs and concurrency per instance (the paper's tiers), of open models."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was imported, and what was not.

    Attributes
    ----------
    home : str
        Directory to name in ``NIGHTSHIFT_HOME``.
    first_day, last_day : str
        Days covered, ISO.
    models : int
    outcome_queries, outcomes : int
        Prompts with outcomes, and outcomes over all models.
    tonight, backlog_history : int
        Backlog of the last day, and of the days before.
    unknown_models : tuple of str
        Models without a list price, entered as API models at the price per token that their costs suggest.
    cleaning : Cleaning
        Rows with missing scores, duplicate prompts and the like, by id.
    """

    home: str
    first_day: str
    last_day: str
    models: int
    outcome_queries: int
    outcomes: int
    tonight: int
    backlog_history: int
    unknown_models: tuple[str, ...]
    cleaning: Cleaning

    def as_dict(self) -> dict[str, Any]:
        """The report as plain data, with a count beside every list of ids."""
        flat = asdict(self)
        cleaning = flat.pop("cleaning")
        counts = {f"n_{name}": len(ids) for name, ids in cleaning.items() if name != "rows"}
        plain: dict[str, Any] = flat | cleaning | counts
        return plain


def import_routerbench(
    file: Path,
    to: Path,
    *,
    last_day: date | None = None,
    days: int = FEWEST_DAYS,
    backlog_share: float = 0.3,
    parts: int = 4,
    seed: int = 0,
) -> ImportReport:
    """Lay a file in the wide format out as a Nightshift home: outcomes, backlog, catalog and truth.

    Parameters
    ----------
    file : Path
        Parquet or CSV; a pickle is refused unopened.
    to : Path
        Becomes ``to/outcomes/dt=*``, ``to/backlog/dt=*``, and ``catalog.yaml`` and ``settings.yaml`` in ``to/config``.
        What the models answer to the backlog goes to ``to/truth/dt=*`` in the form of outcomes: for settling and
        backtests, no night reads it.
    last_day : date, optional
        Day of tonight's backlog and of the last outcomes; by default yesterday in UTC, the day whose night is next.
    days : int
        Days that the outcomes are spread over, at least 14.
    backlog_share : float
        Share of the prompts that go to the backlog, in (0, 1).
    parts : int
        Files of tonight's backlog.
    seed : int
        Same file, day and seed: same bytes, whatever the order of the file's rows.

    Raises
    ------
    ContractError
        If the file cannot be used; see :func:`read_wide`.
    SettingsError
        If an argument is out of range.
    """
    _check(days, backlog_share, parts, seed)
    wide, cleaning = read_wide(file)
    if len(wide) < 2 * days:
        raise ContractError(
            f"file {file} must have at least {2 * days} usable prompts for {days} days, has {len(wide)}"
        )
    last = last_day or datetime.now(UTC).date() - timedelta(days=1)
    catalog, unknown = _catalog(wide)
    dealt = _deal(len(wide), days, backlog_share, seed)
    written = _write_outcomes(to / "outcomes", wide, catalog, dealt.outcomes, last)
    _write_backlog(to, wide, catalog, dealt.backlog, last, parts)
    write_catalog(catalog, to / "config" / "catalog.yaml")
    _write_settings(to / "config" / "settings.yaml", len(dealt.backlog[0]))
    return ImportReport(
        home=str(to),
        first_day=(last - timedelta(days=days - 1)).isoformat(),
        last_day=last.isoformat(),
        models=len(catalog),
        outcome_queries=sum(map(len, dealt.outcomes)),
        outcomes=written,
        tonight=len(dealt.backlog[0]),
        backlog_history=sum(len(rows) for back, rows in dealt.backlog.items() if back),
        unknown_models=unknown,
        cleaning=cleaning,
    )


@dataclass(frozen=True, slots=True)
class _Dealt:
    """Rows of outcomes for each day, the last day first, and of backlog by days back; all of them disjoint."""

    outcomes: list[NDArray[np.int64]]
    backlog: dict[int, NDArray[np.int64]]


def _write_settings(file: Path, tonight: int) -> None:
    """Settings under which the budget and the paper's few slots per instance bind; one that is there already stays."""
    if file.exists():
        return
    chosen = {
        "budget_usd": round(_BUDGET_PER_QUERY * tonight, 4),
        "gpu_budget": {_GPU_TYPE: _GPUS},
        "batch_minutes": _BATCH_MINUTES,
    }
    file.write_text(f"# For {tonight} queries a night, on the hardware of the paper.\n{yaml.safe_dump(chosen)}")


def _check(days: int, backlog_share: float, parts: int, seed: int) -> None:
    rules = (
        ("days", days, f"at least {FEWEST_DAYS}", days >= FEWEST_DAYS),
        ("backlog_share", backlog_share, "above 0 and below 1", 0 < backlog_share < 1),
        ("parts", parts, "at least 1", parts >= 1),
        ("seed", seed, "at least 0", seed >= 0),
    )
    for name, value, rule, holds in rules:
        if not holds:
            raise SettingsError(f"{name} must be {rule}, got {value}")


def _deal(n: int, days: int, backlog_share: float, seed: int) -> _Dealt:
    """Deal ``n`` prompts at random; every day gets at least one outcome, tonight at least one query.

    The few days of backlog history are of a size with tonight, so that what is forecast is what comes.
    """
    shuffled = np.random.default_rng(seed).permutation(n)
    waiting = min(max(1, round(backlog_share * n)), n - days)
    tonight = max(1, round(TONIGHT_SHARE * waiting))
    history = np.array_split(shuffled[tonight:waiting], len(_HISTORY_DAYS))
    backlog = dict(zip((0, *_HISTORY_DAYS), [shuffled[:tonight], *history], strict=True))
    return _Dealt(np.array_split(shuffled[waiting:], days), backlog)


def _catalog(wide: Wide) -> tuple[Catalog, tuple[str, ...]]:
    """The file's models in its order, and the names of those without a list price."""
    unknown = tuple(name for name in wide.models if name not in _API_PRICES and name not in _HOSTED)
    return Catalog(tuple(_model(name, wide, j) for j, name in enumerate(wide.models))), unknown


def _model(name: str, wide: Wide, j: int) -> Model:
    if name in _HOSTED:
        usd, window, gpus, concurrency = _HOSTED[name]
        return Model(
            name=name,
            serving=Serving.SELF_HOSTED,
            prices=(Price(PRICED_FROM, usd, usd),),
            context_window=window,
            gpu_type=_GPU_TYPE,
            gpus_per_instance=gpus,
            concurrency_per_instance=concurrency,
            tags=frozenset({"on-premises"}),
        )
    suggested = _suggested_price(wide, j)
    input_usd, output_usd, window = _API_PRICES.get(name, (suggested, suggested, 16_385))
    prices = (Price(PRICED_FROM, input_usd, output_usd),)
    return Model(name=name, serving=Serving.API, prices=prices, context_window=window, tags=frozenset({"us"}))


def _suggested_price(wide: Wide, j: int) -> float:
    """USD per million tokens such that input alone explains the published costs of an unknown model."""
    known = np.isfinite(wide.cost_usd[:, j])
    tokens = wide.input_tokens[known].sum()
    return float(f"{1e6 * wide.cost_usd[known, j].sum() / max(tokens, 1):.3g}")


def _write_outcomes(root: Path, wide: Wide, catalog: Catalog, by_day: list[NDArray[np.int64]], last: date) -> int:
    written = 0
    for back, rows in enumerate(by_day):
        day = last - timedelta(days=back)
        table = _outcomes(wide.take(np.sort(rows)), catalog, day)
        write_partition(root, day, table)
        written += len(table)
    return written


def _write_backlog(
    to: Path, wide: Wide, catalog: Catalog, by_day: dict[int, NDArray[np.int64]], last: date, parts: int
) -> None:
    """Backlog of each of the days, and what the models would answer to it the day after."""
    for back, rows in by_day.items():
        day, waiting = last - timedelta(days=back), wide.take(np.sort(rows))
        write_partition(to / "backlog", day, _backlog(waiting, day), parts=1 if back else parts)
        execution = day + timedelta(days=1)
        write_partition(to / "truth", execution, _outcomes(waiting, catalog, execution))


def _outcomes(wide: Wide, catalog: Catalog, day: date) -> pa.Table:
    """One row per prompt and model with a usable score."""
    row, model = np.nonzero(np.isfinite(wide.score))
    tokens, cost = wide.input_tokens[row], wide.cost_usd[row, model]
    prices = catalog.prices_on(day)[model]
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.where(prices[:, 1] > 0, (cost - tokens * prices[:, 0]) / prices[:, 1], 0.0)
    return pa.table(
        {
            "query_id": _strings(wide.query_id[row]),
            "task": _strings(wide.task[row]),
            "prompt": _strings(wide.prompt[row]),
            "model": _strings(np.array(wide.models, dtype=object)[model]),
            "quality": wide.score[row, model],
            "input_tokens": tokens,
            "output_tokens": np.maximum(0, np.round(left)).astype(np.int64),
            "cost_usd": cost,
            "propensity": np.ones(len(row)),
            "logged_at": _spread(len(wide), day).take(pa.array(row)),
        }
    )


def _backlog(wide: Wide, day: date) -> pa.Table:
    return pa.table(
        {
            "query_id": _strings(wide.query_id),
            "task": _strings(wide.task),
            "prompt": _strings(wide.prompt),
            "input_tokens": wide.input_tokens,
            "submitted_at": _spread(len(wide), day),
        }
    )


def _strings(values: NDArray[np.object_]) -> pa.Array:
    return pa.array(values, pa.large_string())


def _spread(n: int, day: date) -> pa.Array:
    """``n`` times, evenly over the day."""
    microseconds = (np.arange(n) + 0.5) * (86_400e6 / max(n, 1))
    return pa.array(np.datetime64(day, "us") + microseconds.astype("m8[us]")).cast(_UTC_TIME)
