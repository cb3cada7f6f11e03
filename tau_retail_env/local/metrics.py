"""From played episodes and a trainer's numbers to one row of metrics, under ROLL's names where ROLL has one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from statistics import fmean

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.audit import nothing_earns
from tau_retail_env.messages import StopReason
from tau_retail_env.sources.registry import source_of
from tau_retail_env.tasks import SUBSETS, Task
from tau_retail_env.users.usage import latencies, user_metrics

GRPO_NAMES: Mapping[str, str] = {
    "loss": "actor/total_loss",
    "grad_norm": "actor/grad_norm",
    "learning_rate": "actor/lr",
    "clip_ratio/region_mean": "actor/ppo_ratio_clipfrac",
    "clip_ratio/low_mean": "actor/ppo_ratio_low_clipfrac",
    "clip_ratio/high_mean": "actor/ppo_ratio_high_clipfrac",
    "kl": "critic/kl",
    "entropy": "critic/entropy/mean",
}
"""Our name by TRL's."""

COUNTED = ("calls", "retries", "prompt_tokens", "completion_tokens", "cost_usd")
"""What is added up over a strategy's episodes."""

SFT_NAMES: Mapping[str, str] = {"loss": "sft/loss", "grad_norm": "actor/grad_norm", "learning_rate": "actor/lr"}


def renamed(numbers: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """The numbers that have a name, under that name."""
    return {names[name]: value for name, value in numbers.items() if name in names}


def training_row(
    trajectories: Sequence[Trajectory],
    tasks: Mapping[str, Task],
    tries: Sequence[Trajectory] = (),
    *,
    mixed: bool = False,
) -> dict[str, float]:
    """What a step's episodes say: scores, lengths, each tag's own metrics, and the customers' numbers.

    Args:
        trajectories: the episodes that are learnt from.
        tasks: tasks by id.
        tries: every episode that was played for them; empty if there are no others.
        mixed: whether the run has customers of several strategies.
    """
    rewards = [trajectory.reward for trajectory in trajectories if trajectory.scorable]
    return {
        **customer_row(tries or trajectories, mixed=mixed),
        **spread("rollout/score", rewards),
        **env_metrics(trajectories),
        **spread("tokens/response_length", [sum(trajectory.response_mask) for trajectory in trajectories]),
        **spread("tokens/prompt_length", [trajectory.prompt_length for trajectory in trajectories]),
        **spread(
            "tokens/non_prompt_length",
            [len(trajectory.token_ids) - trajectory.prompt_length for trajectory in trajectories],
        ),
        "rollout/unscorable": float(len(trajectories) - len(rewards)),
        "rollout/groups_without_signal": _groups_without_signal(trajectories),
        **_earned_success(trajectories, tasks),
    }


def validation_row(
    trajectories: Sequence[Trajectory],
    tasks: Mapping[str, Task],
    tries: Sequence[Trajectory] = (),
    *,
    mixed: bool = False,
) -> dict[str, float]:
    """What a validation's episodes say, every name under val/; the share of successes also by subset.

    Args:
        trajectories: the episodes.
        tasks: tasks by id.
        tries: every episode that was played for them, failed attempts included; empty if there are no others.
        mixed: whether the run has customers of several strategies.
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
    customers = customer_row(tries or trajectories, clock="time/val_customer", mixed=mixed)
    clock = {name: customers.pop(name) for name in list(customers) if name.startswith("time/")}
    return {f"val/{name}": value for name, value in (row | customers).items()} | clock


def env_metrics(trajectories: Sequence[Trajectory]) -> dict[str, float]:
    """Means of the environments' metrics over the scorable episodes of each tag, what the clock says aside."""
    values: dict[str, list[float]] = defaultdict(list)
    for trajectory in trajectories:
        if trajectory.scorable:
            for name, value in trajectory.metrics.items():
                if not name.endswith("_s"):
                    values[f"env/{trajectory.tag}/{name}"].append(value)
    return {name: fmean(numbers) for name, numbers in values.items()}


def customer_row(tries: Sequence[Trajectory], *, clock: str = "time/customer", mixed: bool = False) -> dict[str, float]:
    """What the customers of some episodes took, and what the agent earned with them, by strategy.

    Args:
        tries: every episode that was begun.
        clock: what stands before the names of latencies.
        mixed: whether the run has customers of several strategies: then those who tell nothing are counted as well.

    Returns:
        `customer/<strategy>/` `success` (over the episodes that could be scored), `episodes` (how many those are),
        `failures` (episodes whose customer failed), `calls`, `retries`, `prompt_tokens`, `completion_tokens`,
        `cost_usd`; and the latency of a message in seconds, median and 95th percentile. Nothing where the
        run has only one strategy and no usage is reported; an unknown cost is left out.
    """
    if not mixed and not any(trajectory.customer_usage for trajectory in tries):
        return {}
    row: dict[str, float] = {}
    for strategy in sorted({trajectory.user_strategy for trajectory in tries}):
        own = [trajectory for trajectory in tries if trajectory.user_strategy == strategy]
        rewards = [trajectory.reward == 1.0 for trajectory in own if trajectory.scorable]
        name = f"customer/{strategy}"
        if rewards:
            row[f"{name}/success"] = fmean(rewards)
        row[f"{name}/episodes"] = float(len(rewards))
        row[f"{name}/failures"] = float(sum(trajectory.stop_reason is StopReason.USER_ERROR for trajectory in own))
        usages = [usage for trajectory in own for usage in trajectory.customer_usage]
        sums = user_metrics(usages)
        row |= {f"{name}/{what}": sums[f"customer_{what}"] for what in COUNTED if f"customer_{what}" in sums}
        if waits := [usage["latency_s"] for usage in usages if "latency_s" in usage]:
            row |= {f"{clock}/{strategy}/{what}": seconds for what, seconds in latencies(waits).items()}
    return row


def _groups_without_signal(trajectories: Sequence[Trajectory]) -> float:
    """Share of groups whose scorable episodes all earned the same."""
    rewards: dict[int, set[float]] = {trajectory.group: set() for trajectory in trajectories}
    for trajectory in trajectories:
        if trajectory.scorable:
            rewards[trajectory.group].add(trajectory.reward)
    return fmean(len(found) < 2 for found in rewards.values())


def _earned_success(trajectories: Sequence[Trajectory], tasks: Mapping[str, Task]) -> dict[str, float]:
    """Success on the tasks that doing nothing does not win; nothing where none of these was scored."""
    scored = [(one, tasks[one.task_id]) for one in trajectories if one.scorable]
    earned = [one.reward == 1.0 for one, task in scored if nothing_earns(source_of(task).shop(), task) < 1.0]
    return {"rollout/earned_success": fmean(earned)} if earned else {}


def spread(name: str, values: Iterable[float]) -> dict[str, float]:
    """Mean, largest and smallest value; nothing where there are none."""
    numbers = [float(value) for value in values]
    if not numbers:
        return {}
    return {f"{name}/mean": fmean(numbers), f"{name}/max": max(numbers), f"{name}/min": min(numbers)}
