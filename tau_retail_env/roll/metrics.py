"""One episode's numbers under the names that ROLL averages over a batch and hands to the tracker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tau_retail_env.env import METRICS
from tau_retail_env.episodes.token_episode import TokenEpisode
from tau_retail_env.evaluation.audit import nothing_earns
from tau_retail_env.messages import StopReason
from tau_retail_env.roll.batch import learns
from tau_retail_env.roll.rollout import Clock
from tau_retail_env.sources.registry import source_of
from tau_retail_env.tasks import Task
from tau_retail_env.users.usage import user_metrics

EARNED = "rollout/earned_success"
"""Success on the tasks that doing nothing does not win."""
ASKED_AT = "rollout/asked_at_step"
"""In which of ROLL's steps the engine was asked for the actor's tokens, on average."""
TRUNCATIONS = {
    "truncated_max_length": StopReason.LENGTH,
    **{
        f"truncated_{reason}": reason
        for reason in (StopReason.MAX_TURNS, StopReason.MAX_STEPS, StopReason.TOO_MANY_ERRORS)
    },
}
"""How an episode ends without the customer, each counted by itself: the metric and the stop reason."""


def episode_metrics(
    tries: Sequence[TokenEpisode], clock: Clock, episode_s: float, episode_cpu_s: float
) -> dict[str, float]:
    """The numbers of one episode.

    `success` and `reward` are there only where the episode can be scored, so that the batch's averages leave the others
    out. What the customer took is that of all tries.

    Args:
        tries: how often the episode was played, the last one that which counts.
        clock: its times.
        episode_s: wall-clock seconds of all tries.
        episode_cpu_s: processor seconds of its thread.

    Returns:
        Metrics by name; times end in `_s` and are seconds. No name ends as one of ROLL's ways to reduce (`_max` …).
    """
    last = tries[-1]
    usages = [usage for one in tries for usage in one.customer_usage]
    steps = last.step_metrics()
    metrics = {name: steps.get(name, 0.0) for name in METRICS if name != "success"} | user_metrics(usages)
    metrics["customer_failures"] = float(sum(not one.scorable for one in tries))
    if last.scorable:
        metrics |= {"success": float(last.reward == 1.0), "reward": last.reward}
    return metrics | {
        "turns": float(last.turns),
        "cut_turns": float(last.cut_turns),
        "unscorable": float(not last.scorable),
        "masked": float(not learns(last)),
        "tries": float(len(tries)),
        "prefix_tokens": float(len(last.encoder.prefix)),
        "num_actions": float(last.turns),
        **{name: float(last.stop_reason == reason) for name, reason in TRUNCATIONS.items()},
        **_times(clock, episode_s, episode_cpu_s),
    }


def named(metrics: Mapping[str, float], tag: str, response_length: int) -> dict[str, float]:
    """The numbers under ROLL's names: `env/<tag>/…`, and `env/response_length` of all tags."""
    return {f"env/{tag}/{name}": value for name, value in metrics.items()} | {
        "env/response_length": float(response_length)
    }


def earned(metrics: Mapping[str, float], task: Task) -> dict[str, float]:
    """The success of an episode whose task an agent does not win that does nothing; of others there is none.

    Args:
        metrics: the episode's.
        task: its task.
    """
    if "success" not in metrics or nothing_earns(source_of(task).shop(), task) == 1.0:
        return {}
    return {EARNED: metrics["success"]}


def asked(messages: Sequence[tuple[int, int]]) -> dict[str, float]:
    """In which step an episode's tokens were asked for; of an episode without tokens nothing is told.

    Args:
        messages: of each ROLL's step when the engine was asked, and its tokens.
    """
    tokens = sum(number for _, number in messages)
    return {ASKED_AT: sum(step * number for step, number in messages) / tokens} if tokens else {}


def _times(clock: Clock, episode_s: float, episode_cpu_s: float) -> dict[str, float]:
    return {
        "environment_s": clock.environment_s,
        "customer_s": clock.customer_s,
        "environment_step_s": clock.environment_s / max(clock.steps, 1),
        "environment_cpu_s": clock.environment_cpu_s,
        "chat_cpu_s": clock.chat_cpu_s,
        "generation_s": clock.generation_s,
        "proxy_cpu_s": clock.proxy_cpu_s,
        "episode_s": episode_s,
        "episode_cpu_s": episode_cpu_s,
    }
