"""A plain trajectory, for tests that care for a few of its fields."""

from __future__ import annotations

from typing import Any

from tau_retail_env.episodes.trajectory import Trajectory


def plain_trajectory(**changes: Any) -> Trajectory:
    """An episode that the customer ended and that failed, but for the given fields."""
    plain: dict[str, Any] = {
        "task_id": "tau2/1",
        "source": "tau2",
        "split": "train",
        "seed": 0,
        "sampling_seed": 0,
        "group": 0,
        "tag": "retail",
        "messages": (),
        "reward": 0.0,
        "terminated": True,
        "truncated": False,
        "stop_reason": "user_stop",
        "scorable": True,
    }
    return Trajectory(**(plain | changes))
