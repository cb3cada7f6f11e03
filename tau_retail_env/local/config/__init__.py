"""The local engine's configuration: the keys of GRPO and of supervised fine-tuning, checked without torch."""

from tau_retail_env.local.config.grpo import LocalConfig, check_local
from tau_retail_env.local.config.machine import machine_problems
from tau_retail_env.local.config.sft import SftConfig, check_sft

__all__ = ["LocalConfig", "SftConfig", "check_local", "check_sft", "machine_problems"]
