"""Allocations: how many instances of each model serve a day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from routing_core.records.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Allocation:
    """Instances of each self-hosted model on one day.

    Attributes
    ----------
    for_date : date
        The day it serves.
    instances : mapping of str to int
        Model to number of instances, every self-hosted model of the catalog included.
    """

    for_date: date
    instances: Mapping[str, int]

    def gpus(self, catalog: Catalog) -> dict[str, int]:
        """GPUs in use, by GPU type."""
        used: dict[str, int] = {}
        for model in catalog.self_hosted:
            gpus = model.gpus_per_instance * self.instances.get(model.name, 0)
            used[model.gpu_type] = used.get(model.gpu_type, 0) + gpus
        return used
