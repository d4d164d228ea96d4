"""What one run is asked to do otherwise than the settings say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from routing_core.errors import SettingsError
from routing_core.settings import Settings


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """What one run is asked to do otherwise than the settings say; None leaves it to them.

    Attributes
    ----------
    budget_usd : float or None
    robust_level : float or None
        In (0, 1).
    batching : {"planned", "arrival"} or None
    predictor_policy, allocation_policy : {"as_of", "latest"}
    carry_over : {"chained", "none", "as_before"}
        Whether to take up what nights before deferred; ``as_before`` does as the current plan of the date did.
    replan : bool
        Replace a sealed run.
    beside : {"as_it_was", "todays_policy"} or None
        Plan the input of the current run again as a shadow: with what it was planned with, or with what is in force
        today. Policies and carry-over are then not asked.
    dry_run : bool
        Stop before publishing.
    degraded : tuple of str
        What the night has to go on without, such as ("verdict", "allocation").
    """

    budget_usd: float | None = None
    robust_level: float | None = None
    batching: Literal["planned", "arrival"] | None = None
    predictor_policy: Literal["as_of", "latest"] = "as_of"
    allocation_policy: Literal["as_of", "latest"] = "as_of"
    carry_over: Literal["chained", "none", "as_before"] = "none"
    replan: bool = False
    beside: Literal["as_it_was", "todays_policy"] | None = None
    dry_run: bool = False
    degraded: tuple[str, ...] = ()

    def apply(self, settings: Settings) -> Settings:
        """The settings with what is asked for put over them.

        Raises
        ------
        SettingsError
            If a value is out of its range.
        """
        if self.budget_usd is not None and not 0 <= self.budget_usd < float("inf"):
            raise SettingsError(f"budget_usd must be finite and at least 0, got {self.budget_usd}")
        if self.robust_level is not None and not 0 < self.robust_level < 1:
            raise SettingsError(f"robust_level must be above 0 and below 1, got {self.robust_level}")
        asked = {"budget_usd": self.budget_usd, "robust_level": self.robust_level, "batching": self.batching}
        chosen = settings.model_copy(update={name: value for name, value in asked.items() if value is not None})
        if chosen.exploration_share and chosen.batching == "arrival":
            raise SettingsError(
                f"exploration_share must be 0 with batching: arrival, got {chosen.exploration_share}: a batch that has "
                "come cannot make room for what is drawn"
            )
        return chosen
