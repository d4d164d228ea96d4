"""The demonstration: a whole night planned through a real Airflow, on an embedded default."""

from routing_core.demo.night import run_demo

__all__ = ["run_demo"]
