"""Weights: what is shipped, what may be loaded, and how it is sampled."""
