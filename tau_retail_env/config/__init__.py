"""Compose and check the configuration: shared by both engines, below training and importing none of it."""

from tau_retail_env.config.compose import compose, config_names, to_yaml
from tau_retail_env.config.local import LocalConfig, check_local
from tau_retail_env.config.sft import SftConfig, check_sft

__all__ = [
    "LocalConfig",
    "SftConfig",
    "check_local",
    "check_sft",
    "compose",
    "config_names",
    "to_yaml",
]
