"""Upstream's result files, read and written: τ-bench v1's array of runs, and τ²'s results.json in both of its forms."""
