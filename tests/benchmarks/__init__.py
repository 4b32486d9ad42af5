"""Benchmarks: `python -m tests.benchmarks [names …] [--quick] [--peers]`. Ratios and counts."""
