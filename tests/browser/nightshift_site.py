"""The site that the browser tests look at."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import date

from routing_core.demo.airflow import LocalAirflow
from routing_core.settings import Settings

NIGHTS = [date(2026, 11, day) for day in (21, 22)]
TONIGHT = NIGHTS[-1]
RUN = "night-of-{dt}"


@dataclass(frozen=True, slots=True)
class Site:
    """A running Airflow, and who may log in."""

    airflow: LocalAirflow
    settings: Settings

    def password(self, user: str) -> str:
        return str(json.loads((self.airflow.home / "passwords.json").read_text())[user])

    @property
    def page(self) -> str:
        return f"{self.airflow.url}/nightshift/"
