"""Where the time of a ROLL run goes, step by step, from what it logged: python benchmarks/roll_time.py RUN."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

PARTS = {
    "rollout": "time/step_rollout",
    "reference's log-probs": "time/step_ref_log_probs_values_reward",
    "actor's log-probs, values": "time/step_old_log_probs_values",
    "training, actor and critic": "time/step_train",
    "weight sync": "time/step_model_update",
}
"""Parts of a step that follow one another, by ROLL's name."""
TOTAL = "time/step_total"
EPISODE = {
    "generation (waiting for the engine)": "generation_s",
    "environment, customer included": "environment_s",
    "customer alone": "customer_s",
}
"""Wall-clock seconds within an episode."""
PROCESSOR = {
    "environment, customer included": "environment_cpu_s",
    "chat: rendering, tokenising, decoding": "chat_cpu_s",
    "all of the episode's thread": "episode_cpu_s",
}
"""Processor seconds of an episode's thread; the last holds the others, the env manager's, ROLL's proxy's and Ray's."""
PROXY = "proxy_cpu_s"
"""Processor seconds of ROLL's proxy and Ray; what remains of the thread is environment, chat and env manager."""


def main() -> None:
    """Print the mean over the steps whose rollout had no validation beside it."""
    options = _options()
    rows = [json.loads(line) for line in options.metrics.read_text(encoding="utf-8").splitlines()]
    timed = [row for row in rows[options.skip :] if "time/step_val" not in row and TOTAL in row]
    if not timed:
        raise SystemExit(f"{options.metrics} has no step without a validation after the first {options.skip}")
    tags = sorted(
        {found[1] for row in timed for name in row if (found := re.fullmatch(r"env/([^/]+)/episode_s", name))}
    )
    print(f"mean of {len(timed)} steps without a validation, {timed[0]['step']} to {timed[-1]['step']}; seconds")
    print_parts(timed)
    print_roles(timed)
    for tag in tags:
        print_episode(timed, tag, options.episodes / len(tags), options.cores)


def print_parts(rows: Sequence[Mapping[str, Any]]) -> None:
    """A step's parts, and what lies between them (moving weights on and off the GPU, checkpoints, logging)."""
    total = _mean(rows, TOTAL)
    parts = {label: _mean(rows, name) for label, name in PARTS.items()}
    for label, seconds in [*parts.items(), ("rest", total - sum(parts.values())), ("step", total)]:
        print(f"  {label:40s}{seconds:9.3f}{seconds / total:8.1%}")


def print_roles(rows: Sequence[Mapping[str, Any]]) -> None:
    """What a role's own process took for its call; of a part of a step the rest is ROLL's, Ray's and the batch's way.

    Actor and critic train side by side.
    """
    print("within a role's process, moving its states included")
    for name in sorted({name for row in rows for name in row if re.fullmatch(r"time/\w+/\w+/total", name)}):
        told = [row[name] for row in rows if name in row]
        print(f"  {name.removeprefix('time/').removesuffix('/total'):40s}{fmean(told):9.3f}")


def print_episode(rows: Sequence[Mapping[str, Any]], tag: str, episodes: float, cores: int) -> None:
    """What an episode's time is made of, and what all of them take of the rollout's.

    Args:
        rows: of the metrics.
        tag: of the episodes.
        episodes: of a step; with several tags each is taken to have as many.
        cores: of the machine.
    """
    episode_s, rollout_s = _mean(rows, f"env/{tag}/episode_s"), _mean(rows, PARTS["rollout"])
    print(f"an episode of {tag}: {episode_s:.3f} s wall clock, of which")
    for label, name in EPISODE.items():
        seconds = _mean(rows, f"env/{tag}/{name}")
        print(f"  {label:40s}{seconds:9.3f}{seconds / episode_s:8.1%}")
    print("processor seconds of an episode; of the rollout's wall clock; of all episodes, of the cores' time")
    processor = {label: _mean(rows, f"env/{tag}/{name}") for label, name in PROCESSOR.items()}
    if all(f"env/{tag}/{PROXY}" in row for row in rows):
        proxy = _mean(rows, f"env/{tag}/{PROXY}")
        processor["environment, chat and env manager"] = _mean(rows, f"env/{tag}/episode_cpu_s") - proxy
    for label, seconds in processor.items():
        share = seconds * episodes / (rollout_s * cores)
        print(f"  {label:40s}{seconds:9.4f}{seconds / rollout_s:8.2%}{share:8.2%}")
    for label, name in (("prefix-cache hits", "vllm/prefix_cache_hit_rate"), ("success", f"env/{tag}/success")):
        if all(name in row for row in rows):
            print(f"{label}: {_mean(rows, name):.2%}")


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return fmean(row[name] for row in rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run, or its metrics.jsonl")
    parser.add_argument("--skip", type=int, default=2, help="first steps to leave out (default 2: things are compiled)")
    parser.add_argument("--episodes", type=int, help="a step (default: rollout_batch_size of config.yaml beside it)")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="processor cores (default: this machine's)")
    options = parser.parse_args()
    options.metrics = options.run / "metrics.jsonl" if options.run.is_dir() else options.run
    composed = options.metrics.with_name("config.yaml")
    if options.episodes is None:
        known = composed.is_file()
        options.episodes = yaml.safe_load(composed.read_text(encoding="utf-8"))["rollout_batch_size"] if known else 128
    return options


if __name__ == "__main__":
    main()
