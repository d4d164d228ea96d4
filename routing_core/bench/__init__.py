"""Benchmarks: ratios taken in one run, memory by the operating system's accounting."""
