"""Nightshift's library: plan a whole night of LLM queries at once.

The way of the data is readable from :mod:`routing_core.steps` alone::

    outcomes + backlog (Parquet) → predict → allocate → route → results (SQL tables) → views
"""

__version__ = "0.1.0"
