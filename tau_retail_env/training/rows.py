"""From played episodes and a trainer's numbers to one row of metrics, under ROLL's names where ROLL has one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from statistics import fmean

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.tasks import SUBSETS, Task

GRPO_NAMES: Mapping[str, str] = {
    "loss": "actor/total_loss",
    "grad_norm": "actor/grad_norm",
    "learning_rate": "actor/lr",
    "clip_ratio/region_mean": "actor/ppo_ratio_clipfrac",
    "clip_ratio/low_mean": "actor/ppo_ratio_low_clipfrac",
    "clip_ratio/high_mean": "actor/ppo_ratio_high_clipfrac",
    "kl": "critic/kl",
    "entropy": "critic/entropy/mean",
    "frac_reward_zero_std": "rollout/groups_without_signal",
}
"""Our name by TRL's; the last one has no name in ROLL: the share of groups whose episodes all earned the same."""

SFT_NAMES: Mapping[str, str] = {"loss": "sft/loss", "grad_norm": "actor/grad_norm", "learning_rate": "actor/lr"}


def renamed(numbers: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """The numbers that have a name, under that name."""
    return {names[name]: value for name, value in numbers.items() if name in names}


def training_row(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """What a step's episodes say: scores, lengths, and each tag's own metrics."""
    rewards = [trajectory.reward for trajectory in trajectories if trajectory.scorable]
    return {
        **spread("rollout/score", rewards),
        **env_metrics(trajectories),
        **spread("tokens/response_length", [sum(trajectory.response_mask) for trajectory in trajectories]),
        **spread("tokens/prompt_length", [trajectory.prompt_length for trajectory in trajectories]),
        **spread(
            "tokens/non_prompt_length",
            [len(trajectory.token_ids) - trajectory.prompt_length for trajectory in trajectories],
        ),
        "rollout/unscorable": float(len(trajectories) - len(rewards)),
    }


def validation_row(trajectories: Sequence[Trajectory], tasks: Mapping[str, Task]) -> dict[str, float]:
    """What a validation's episodes say, every name under val/; the share of successes also by subset.

    Args:
        trajectories: the episodes.
        tasks: tasks by id.
    """
    rewards = [trajectory.reward for trajectory in trajectories if trajectory.scorable]
    by_tag: dict[str, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        if trajectory.scorable:
            by_tag[trajectory.tag].append(trajectory.reward)
    row = spread("score", rewards) | {"unscorable": float(len(trajectories) - len(rewards))}
    for tag, scores in by_tag.items():
        row |= spread(f"{tag}/score", scores)
    row |= env_metrics(trajectories)
    for name, belongs in SUBSETS.items():
        chosen = [belongs(tasks[trajectory.task_id]) for trajectory in trajectories if trajectory.scorable]
        if name != "all" and any(chosen):
            row[f"subset/{name}/success"] = fmean(float(reward == 1.0) for reward in compress(rewards, chosen))
            row[f"subset/{name}/episodes"] = float(sum(chosen))
    row |= spread("response_length", [sum(trajectory.response_mask) for trajectory in trajectories])
    return {f"val/{name}": value for name, value in row.items()}


def env_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Means of the environments' metrics over the scorable episodes of each tag."""
    values: dict[str, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        if trajectory.scorable:
            for name, value in trajectory.metrics.items():
                values[f"env/{trajectory.tag}/{name}"].append(value)
    return {name: fmean(numbers) for name, numbers in values.items()}


def spread(name: str, values: Iterable[float]) -> dict[str, float]:
    """Mean, largest and smallest value; nothing where there are none."""
    numbers = [float(value) for value in values]
    if not numbers:
        return {}
    return {f"{name}/mean": fmean(numbers), f"{name}/max": max(numbers), f"{name}/min": min(numbers)}
