"""The environment: one conversation at a time between an agent, a customer and the shop."""

from tau_retail_env.env.environment import TauRetailEnv
from tau_retail_env.env.episode import METRICS
from tau_retail_env.env.reading import MultipleCalls

__all__ = ["METRICS", "MultipleCalls", "TauRetailEnv"]
