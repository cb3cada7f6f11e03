"""Processor time of an oracle episode here and in upstream's own environment: python benchmarks/env_speed.py."""

from __future__ import annotations

import argparse
import gc
import statistics
from collections.abc import Sequence

from sides import (
    SPLITS,
    Episode,
    StoppingCustomer,
    available,
    our_episode,
    print_machine,
    processor_seconds,
    upstream_episode,
)

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.tasks import Task


def main() -> None:
    """Measure each source that is here, and print medians and ratios."""
    options = _options()
    print_machine()
    for source in available(options.source):
        measure(source, options.upstream_episodes, options.rounds)


def measure(source: str, upstream_episodes: int, rounds: int) -> None:
    """Play the same tasks on both sides, in turns, and print the medians.

    Args:
        source: "tau2" or "tau_bench".
        upstream_episodes: how many tasks, spread evenly over the split.
        rounds: how often ours play all of them.
    """
    tasks = load_tasks(source, SPLITS[source])
    count = min(upstream_episodes, len(tasks))
    indices = [place * len(tasks) // count for place in range(count)]
    print(f"\n{source}, split {SPLITS[source]}: {count} of {len(tasks)} tasks, spread evenly")
    ours = our_episode(TauRetailEnv(source=source, user=StoppingCustomer(), tasks=tasks), tasks)
    first = _times(ours, indices)
    try:
        theirs = upstream_episode(source)
    except MissingDependencyError as error:
        print(f"upstream is not measured: {error}")
        theirs = None
    upstream, again = [], []
    for index in indices:
        if theirs is not None:
            upstream += _times(theirs, [index])
            gc.collect()
        again += _times(ours, [index] * rounds)
    median = statistics.median(upstream) if upstream else None
    if median is not None:
        _print("upstream's environment", upstream, None)
    _print("ours", again, median)
    _print("ours, first time a process plays the task", first, median)
    env = TauRetailEnv(source=source, tasks=tasks)
    times, rewards = zip(
        *(processor_seconds(conversation, env, tasks[index]) for index in indices * rounds), strict=True
    )
    _print("ours, scripted customer and OracleAgent", times, median)
    print(f"    {sum(reward == 1.0 for reward in rewards)} of these {len(rewards)} conversations earned 1.0")


def conversation(env: TauRetailEnv, task: Task) -> float:
    """One whole conversation between the package's own customer and its own oracle: an episode that costs no model."""
    agent = OracleAgent(task)
    observation, info = env.reset(task.id, seed=0)
    over = False
    while not over:
        observation, reward, terminated, truncated, info = env.step(agent.act(observation, info))
        over = terminated or truncated
    return reward


def _times(play: Episode, indices: Sequence[int]) -> list[float]:
    """Processor seconds of every episode; an oracle that does not earn 1.0 is no oracle."""
    found = []
    for index in indices:
        time_s, reward = processor_seconds(play, index)
        if reward != 1.0:
            raise SystemExit(f"the oracle earned {reward} on task {index}: nothing to compare")
        found.append(time_s)
    return found


def _print(name: str, times: Sequence[float], upstream: float | None) -> None:
    median = statistics.median(times)
    ratio = "" if upstream is None else f"  {upstream / median:.1f}x"
    print(f"{name:42s}{median * 1e3:9.3f} ms  (median of {len(times)} episodes){ratio}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", nargs="+", choices=sorted(SPLITS), default=["tau2", "tau_bench"])
    parser.add_argument("--upstream-episodes", type=int, default=40, help="tasks played, spread over the split")
    parser.add_argument("--rounds", type=int, default=10, help="how often ours play each")
    return parser.parse_args()


if __name__ == "__main__":
    main()
