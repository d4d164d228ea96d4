"""Routing: which model answers which query, under a budget and capacities, with a proven gap."""
