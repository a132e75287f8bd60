"""Ratios, measured side by side in one run on one machine. ``make bench`` writes docs/benchmarks.md."""
