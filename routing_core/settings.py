"""One settings object: environment first, then ``$NIGHTSHIFT_HOME/config/settings.yaml``, then defaults.

Every field can be set by an environment variable ``NIGHTSHIFT_<FIELD>``; nested ones take JSON
(``NIGHTSHIFT_GPU_BUDGET='{"h100": 16}'``). Nothing here touches a file but the settings file itself.
"""

from __future__ import annotations

import os
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableSettings

from routing_core import plain_yaml
from routing_core.errors import SettingsError, masked

_MOST_BATCHES = 100_000
_LONGEST_SHOWN = 200

PROJECT_ROOT = Path(__file__).resolve().parents[1]
"""The checkout: where ``sql/`` and the shipped ``config/`` are."""


def home_directory() -> Path:
    """Where everything local lives: ``NIGHTSHIFT_HOME``, by default ``./.nightshift``."""
    return Path(os.environ.get("NIGHTSHIFT_HOME", ".nightshift")).expanduser().resolve()


class _SettingsFile(YamlConfigSettingsSource):
    """The settings file, read as plain data."""

    def _read_file(self, file_path: Any) -> dict[str, Any]:
        return plain_yaml.read(Path(file_path)) or {}


class Settings(BaseSettings):
    """What a deployment decides. Money is in USD, times are in minutes unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="NIGHTSHIFT_", extra="forbid", frozen=True, allow_inf_nan=False)

    home: Path = Field(default_factory=home_directory, description="Where everything local lives.")
    dsn: SecretStr = Field(
        default=SecretStr(""), description="SQLAlchemy URL of the results database; empty is SQLite under home."
    )
    catalog: Path | None = Field(
        default=None, description="Catalog file; by default config/catalog.yaml under home, else the shipped one."
    )
    outcomes: str = Field(default="", description="Root of the outcome partitions, path or URL; by default under home.")
    backlog: str = Field(default="", description="Root of the backlog partitions, path or URL; by default under home.")
    backlog_marker: str = Field(
        default="", description="File that says a backlog partition is complete, such as _SUCCESS; empty asks for none."
    )

    budget_usd: float = Field(default=10.0, ge=0, description="Budget of a night, USD.")
    team_budgets_usd: dict[str, float] = Field(default_factory=dict, description="Budget of each team's queries, USD.")
    monthly_budget_usd: float | None = Field(
        default=None, ge=0, description="Budget of the nights executed in a month, USD; a night gets at most its share."
    )
    monthly_team_budgets_usd: dict[str, float] = Field(
        default_factory=dict, description="Budget of each team's queries in a month, USD."
    )
    gpu_budget: dict[str, int] = Field(default_factory=lambda: {"h100": 16}, description="GPUs of each type.")
    service_window_minutes: float = Field(default=480.0, gt=0, description="How long the night's work may run.")
    batch_minutes: float = Field(default=2.0, gt=0, description="How long a batch runs.")
    batching: Literal["planned", "arrival"] = Field(default="planned", description="Who forms the batches.")
    robust_level: float | None = Field(
        default=None, gt=0, lt=1, description="Quantile planned with; by default the one learnt with the predictor."
    )
    unfamiliar_limit: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Share of queries unlike those learnt from, by task or distance, above which a night plans on the "
        "conservative level; by default never.",
    )
    exploration_share: float = Field(
        default=0.0,
        ge=0,
        le=0.5,
        description="Share of the queries that goes to a model drawn by chance, to learn from.",
    )
    probe_quota: int = Field(
        default=0,
        ge=0,
        description="Queries a night for each model with too few outcomes, to learn of it; 0 plans with the prior.",
    )
    probation_outcomes: int = Field(
        default=60, ge=1, description="Outcomes, as recency weighs them, from which on a model is planned with."
    )
    overspend_probability: float = Field(
        default=0.05, gt=0, lt=1, description="Accepted probability that the night costs more than its budget."
    )

    deferral_quality: float = Field(
        default=0.05, ge=0, le=1, description="Deferral penalty of an ordinary query, quality units."
    )
    deferral_growth: float = Field(
        default=0.5, ge=0, description="Share by which the deferral penalty grows with each night a query has waited."
    )
    deadline_urgency: float = Field(
        default=2.0, ge=1, description="Factor on the deferral penalty of a query that cannot wait another night."
    )
    carry_over: Literal["chained", "none"] = Field(
        default="chained", description="Whether a scheduled night takes up what the night before deferred."
    )
    carry_over_days: int = Field(default=7, ge=1, description="Nights after which a deferred query expires.")

    settle_days: int = Field(
        default=7, ge=1, description="Nights before the last that are settled again, for late outcomes and corrections."
    )
    history_days: int = Field(default=56, ge=1, description="Days of outcomes and backlog history learnt from.")
    recipe: Literal["default", "paper"] = Field(default="default", description="Recipe of the challenger.")
    judge_days: int = Field(default=3, ge=1, description="Held-out days on which recipes are compared.")
    allocation_sample: int = Field(default=2000, ge=1, description="Queries that stand for the forecast mix.")
    demand_scenarios: int = Field(default=3, ge=1, description="Scenarios of demand the instances are chosen for.")
    prompt_clusters: int = Field(default=8, ge=0, description="Clusters of prompts that are forecast; 0 is none.")
    worst_case_share: float = Field(
        default=0.0, ge=0, le=1, description="Weight of the worst scenario against the expectation in an allocation."
    )
    max_instance_changes: int | None = Field(default=None, ge=0, description="Most instances started or stopped a day.")
    instance_indifference: float = Field(
        default=1e-3, ge=0, lt=1, description="Share of the value served given up for fewer instance changes."
    )
    change_cost: float = Field(
        default=0.0, ge=0, description="Cost of each instance started or stopped, quality units."
    )
    startup_cost: float = Field(default=0.0, ge=0, description="Cost of starting one on top of that, quality units.")
    min_instances: dict[str, int] = Field(default_factory=dict, description="Least instances of a self-hosted model.")
    max_instances: dict[str, int] = Field(default_factory=dict, description="Most instances of a self-hosted model.")
    gpu_hour_usd: float = Field(
        default=0.0, ge=0, description="Price of a GPU-hour, USD; an allocation pays it out of the night's budget."
    )
    slots_by_length: dict[int, float] = Field(
        default_factory=dict,
        description="Slots that an allocation counts for a query from so many input tokens on; one below.",
    )
    accept_last_allocation: bool = Field(
        default=False, description="Whether a night without an allocation takes the last one there is."
    )

    keep_prompts: bool = Field(
        default=True,
        description="Whether texts that many prompts share are kept with a predictor, and prompts with an export.",
    )
    retention_days: int = Field(
        default=30, ge=1, description="Days after which `routing prune` takes out what nothing refers to any more."
    )

    chunks: int = Field(default=4, ge=1, description="Chunks that a backlog is estimated and written in.")
    gap: float = Field(default=1e-6, gt=0, description="Gap to prove before the solver stops.")
    seed: int = Field(default=20260101, ge=0, description="Seed of everything that draws.")
    late_after_hours: float | None = Field(
        default=None,
        gt=0,
        description="Hours after which a DAG run is told to be late, by Airflow's deadlines; by default never. "
        "Airflow 3.3 cannot run `airflow dags test` on a DAG with a deadline.",
    )
    alert_deferred_share: float = Field(
        default=0.2, ge=0, le=1, description="Share of a night's queries that may be deferred before somebody is told."
    )
    alert_webhook: SecretStr = Field(
        default=SecretStr(""), description="URL that alerts are posted to as JSON; empty posts none."
    )
    wait_limit_minutes: float = Field(default=120.0, ge=0, description="Longest wait for data that is not there yet.")
    wait_poll_seconds: float = Field(default=10.0, gt=0, description="How often a wait looks.")

    @field_validator("gpu_budget", "min_instances", "max_instances")
    @classmethod
    def _counts_not_negative(cls, counts: dict[str, int]) -> dict[str, int]:
        if any(count < 0 for count in counts.values()):
            raise ValueError(f"counts must be at least 0, got {counts}")
        return counts

    @field_validator("slots_by_length")
    @classmethod
    def _slots_above_nothing(cls, slots: dict[int, float]) -> dict[int, float]:
        if any(tokens < 0 or not taken > 0 for tokens, taken in slots.items()):
            raise ValueError(f"tokens must be at least 0 and slots above 0, got {slots}")
        return slots

    @field_validator("team_budgets_usd", "monthly_team_budgets_usd")
    @classmethod
    def _budgets_not_negative(cls, budgets: dict[str, float]) -> dict[str, float]:
        if any(not usd >= 0 for usd in budgets.values()):
            raise ValueError(f"budgets must be at least 0, got {budgets}")
        return budgets

    @model_validator(mode="after")
    def _a_batch_fits(self) -> Settings:
        if self.batch_minutes > self.service_window_minutes:
            raise ValueError(
                f"batch_minutes must not exceed service_window_minutes, got {self.batch_minutes} over "
                f"{self.service_window_minutes}"
            )
        if self.service_window_minutes / self.batch_minutes > _MOST_BATCHES:
            raise ValueError(
                f"a night must have at most {_MOST_BATCHES} batches, batch_minutes is {self.batch_minutes}"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = home_directory() / "config" / "settings.yaml"
        return init_settings, env_settings, _SettingsFile(settings_cls, yaml_file=file)

    @property
    def batches(self) -> int:
        """Batches in a night: ⌊service window / batch duration⌋."""
        return int(self.service_window_minutes // self.batch_minutes)

    @property
    def database_url(self) -> str:
        """URL of the results database, secrets included: never log it."""
        return self.dsn.get_secret_value() or f"sqlite:///{self.home / 'results.db'}"

    @property
    def outcomes_root(self) -> str:
        """Root of the outcome partitions."""
        return self.outcomes or str(self.home / "outcomes")

    @property
    def backlog_root(self) -> str:
        """Root of the backlog partitions."""
        return self.backlog or str(self.home / "backlog")

    @property
    def catalog_file(self) -> Path:
        """The catalog in force."""
        if self.catalog is not None:
            return self.catalog
        local = self.home / "config" / "catalog.yaml"
        return local if local.exists() else PROJECT_ROOT / "config" / "catalog.yaml"

    @property
    def predictors_root(self) -> Path:
        """Where predictors' artifacts are kept, by content hash."""
        return self.home / "predictors"

    @property
    def catalogs_root(self) -> Path:
        """Where the catalogs of past runs are kept, by content hash."""
        return self.home / "catalogs"

    @property
    def exports_root(self) -> Path:
        """Where plans are written for the dispatcher, unless it is said elsewhere."""
        return self.home / "exports"

    def run_directory(self, run_id: int) -> Path:
        """Where a run keeps its estimate shards and its solution."""
        return self.home / "runs" / f"{run_id:08d}"

    def public(self) -> dict[str, object]:
        """The settings as plain data, secrets masked: what is stored with a run."""
        return {name: _masked(value) for name, value in self.model_dump(mode="json").items()}


def load_settings(**overrides: object) -> Settings:
    """Read the settings.

    Parameters
    ----------
    **overrides
        Fields to set over the environment and the file.

    Raises
    ------
    SettingsError
        Naming each field that breaks its rule, and the value seen.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [f"{_whose(e)}: {e['msg']}{_seen(e)}" for e in error.errors(include_url=False)]
        raise SettingsError("settings: " + "; ".join(lines)) from None
    except (UnreadableSettings, ValueError, TypeError, LookupError, AttributeError, OSError) as error:
        # The file or a variable does not even parse; what it says may hold a secret, so only the place is shown.
        line = getattr(error, "line", None)
        place = f"line {line}" if line else "or a variable of the environment"
        raise SettingsError(
            f"settings cannot be read: {type(error).__name__} in {home_directory()}/config/settings.yaml, {place}",
            remedy="settings.yaml must be a mapping of field to value, without anchors, tags and repeated keys; "
            "variables of nested fields must be JSON",
        ) from None


def _whose(error: ErrorDetails) -> str:
    return ".".join(map(str, error["loc"])) or "together"


def _seen(error: ErrorDetails) -> str:
    """The refused value, but never a DSN, alone or among all settings, nor one under a name nobody knows."""
    if not error["loc"] or {"dsn", "alert_webhook"} & set(error["loc"]) or error["type"] == "extra_forbidden":
        return ""
    try:
        shown = masked(repr(error.get("input")))
    except ValueError:  # a whole number of more digits than Python prints
        return ""
    return f", got {shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + '…'}"


def _masked(value: object) -> object:
    """A value without the secrets that a URL may carry."""
    return masked(value) if isinstance(value, str) else value


def execution_date(dt: date) -> date:
    """The day on which the night of ``dt`` is executed, at whose prices it is planned."""
    return dt + timedelta(days=1)
