"""Figures of whole groups, computed in ROLL's group filter: pass^k in a validation, in training its signal. Nothing is
left out here: `filter_groups` is in `group_signal.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from tau_retail_env.statistics.intervals import pass_hat_k

REWARD = re.compile(r"env/[^/]+/reward")
"""What an episode earned, among its metrics; absent where it cannot be scored."""
WITHOUT_SIGNAL = "rollout/groups_without_signal"


class PassHatKFilter:
    """Keeps every group, and writes its pass^1 … pass^group_size into the metrics of its first episode.

    Named as `group_filter_cls` of `val_env_manager`. ROLL averages a metric over the episodes that have it; as one
    episode a task does, the average over the batch is the average over tasks: `val/env/<tag>/pass^k`. Episodes that
    cannot be scored are no trials. A task with fewer than k trials left has no pass^k; how many tasks have one stands
    in `val/env/<tag>/pass^k_tasks_sum`.

    Args:
        config: ROLL's AgenticConfig, unused.
        env_manager_config: ROLL's EnvManagerConfig, of which `group_size` counts.
        mode: ROLL's "train" or "val", unused.
    """

    def __init__(self, config: Any, env_manager_config: Any, mode: str) -> None:
        self._group_size = int(env_manager_config.group_size)

    def filter(self, group_id: int, episode_id: int, group: Sequence[Any]) -> bool:
        """Take note of a complete group.

        Args:
            group_id: ROLL's number of the group.
            episode_id: ROLL's number of the episode.
            group: its episodes as DataProto, None for an environment that has ended.

        Returns:
            False: no group is dropped.
        """
        episodes = [episode for episode in group if episode is not None]
        if episodes:
            tag = str(episodes[0].non_tensor_batch["tags"][0])
            success = f"env/{tag}/success"
            metrics = [episode.meta_info["metrics"] for episode in episodes]
            trials = [found[success] == 1.0 for found in metrics if success in found]
            for k in range(1, self._group_size + 1):
                enough = len(trials) >= k
                metrics[0][f"env/{tag}/pass^{k}_tasks_sum"] = float(enough)
                if enough:
                    metrics[0][f"env/{tag}/pass^{k}"] = pass_hat_k([trials], k)
        return False


class SignalFilter:
    """Keeps every group, and writes into the metrics of its first episode whether anything can be learnt from it.

    Set for `train_env_manager`. The average over the episodes that tell it is the share of groups whose scorable
    episodes all earned the same: `rollout/groups_without_signal`, as on the local engine.

    Args:
        config: ROLL's AgenticConfig, unused.
        env_manager_config: ROLL's EnvManagerConfig, unused.
        mode: ROLL's "train" or "val", unused.
    """

    def __init__(self, config: Any, env_manager_config: Any, mode: str) -> None:
        """Nothing is kept of these."""

    def filter(self, group_id: int, episode_id: int, group: Sequence[Any]) -> bool:
        """Take note of a complete group.

        Args:
            group_id: ROLL's number of the group.
            episode_id: ROLL's number of the episode.
            group: its episodes as DataProto, None for an environment that has ended.

        Returns:
            False: no group is dropped.
        """
        metrics = [episode.meta_info["metrics"] for episode in group if episode is not None]
        if metrics:
            rewards = {value for row in metrics for name, value in row.items() if REWARD.fullmatch(name)}
            metrics[0][WITHOUT_SIGNAL] = float(len(rewards) < 2)
        return False
