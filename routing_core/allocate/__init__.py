"""Capacity: what tomorrow will bring, and how many instances of each model to run for it."""
