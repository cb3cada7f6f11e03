"""A run's folder: its lock, whole files, curves, and hosted trackers."""
