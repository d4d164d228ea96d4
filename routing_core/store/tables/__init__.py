"""The results schema: every table with its grain, every column with its meaning and unit, a room for each kind.

Migrations under ``sql/migrations`` build it; a test holds the two together. Money is in USD,
quality in [0, 1], times are UTC. ``dt`` is the day whose backlog a night plans.
"""

from routing_core.store.tables import decisions, fleet, handing_out, learning, proof, runs
from routing_core.store.tables.declare import metadata

__all__ = ["decisions", "fleet", "handing_out", "learning", "metadata", "proof", "runs"]
