"""Learning only from groups whose episodes did not all earn the same (`filter_groups`)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import torch

LEFT_OUT = "rollout/episodes_left_out"
"""Episodes of a step that nothing was learnt from, since all of their group earned the same."""


def with_signal(batch: Any, multiple: int) -> Any:
    """The episodes of a step that say what to do better.

    Rewards are compared within a group. Where all of it earned the same nothing is left, and reading its episodes
    costs as much as reading the others. So that an update keeps its size, the last one is filled up with such episodes;
    where there is no signal at all one update is made of them. Those without a token to learn from come last: ROLL
    would divide by the 0 tokens of an update that holds no others. DAPO (https://arxiv.org/abs/2503.14476) leaves these
    groups out, too, and plays others until a batch is full, which here would wait for the slowest.

    Args:
        batch: ROLL's, one row an episode, with `traj_group_id`, `episode_scores` and `response_mask`.
        multiple: of which the number of episodes has to be one.

    Returns:
        The episodes in their order, with `rollout/episodes_left_out` among the metrics.
    """
    rows = batch.non_tensor_batch
    learnable = batch.batch["response_mask"].bool().any(dim=1).numpy()
    earned = defaultdict(set)
    for group, score, counts in zip(rows["traj_group_id"], rows["episode_scores"], learnable, strict=True):
        if counts:
            earned[group].add(float(score))
    signal = learnable & np.array([len(earned[group]) > 1 for group in rows["traj_group_id"]])
    wanted = max(-(-int(signal.sum()) // multiple), 1) * multiple
    others = np.concatenate([np.flatnonzero(~signal & learnable), np.flatnonzero(~learnable)])
    kept = np.sort(np.concatenate([np.flatnonzero(signal), others[: wanted - int(signal.sum())]]))
    metrics = batch.meta_info.get("metrics", {})
    chosen = batch.select_idxs(torch.from_numpy(kept))
    chosen.meta_info["metrics"] = {**metrics, LEFT_OUT: float(len(signal) - len(kept))}
    return chosen
