"""The shop: its tools over a shared read-only snapshot, and the reward for what an episode changed."""

from tau_retail_env.world.reward import Reward, judge
from tau_retail_env.world.shop import EpisodeRules, Shop, ToolResult, World
from tau_retail_env.world.verdict import verdict

__all__ = ["EpisodeRules", "Reward", "Shop", "ToolResult", "World", "judge", "verdict"]
