"""Compose a configuration, and check what both engines share; an engine's own keys lie in the engine's folder."""

from tau_retail_env.config.compose import compose, config_names, to_yaml

__all__ = ["compose", "config_names", "to_yaml"]
