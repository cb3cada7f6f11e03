"""Where the time of a ROLL run goes, step by step, from what it logged: python benchmarks/roll_time.py RUN.

Of runs that are recorded in one file, by `seed` or `run` of their rows, each is told by itself.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.run_files import keys_of, metrics, refuse

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
"""Processor seconds of ROLL's proxy and Ray."""
OURS = "environment, chat and env manager"
"""What remains of the thread without these."""


CORES = re.compile(r"(\d+) (?:processor )?cores")
"""How machine.txt says it."""
RUNS = ("seed", "run")
"""What tells the rows of one run from another's in the same file."""


def main() -> None:
    """Print the mean over the steps of each run whose rollout had no validation beside it."""
    options = _options()
    rows = metrics(options.metrics)
    runs: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        runs.setdefault(" ".join(f"{name} {row[name]}" for name in RUNS if name in row), []).append(row)
    timed = {name: fitting for name, told in runs.items() if (fitting := timed_steps(told, options.skip))}
    if not timed:
        refuse(f"{options.metrics} has no step without a validation after the first {options.skip}")
    counted = [row for fitting in timed.values() for row in fitting]
    if missing := [part for part in PARTS.values() if not all(part in row for row in counted)]:
        refuse(f"{options.metrics} has steps without {missing[0]}; expected a run with ROLL")
    for name, steps in timed.items():
        which = f"{name}: " if name else ""
        print(f"{which}mean of {len(steps)} steps without a validation, {_from_to(steps)}; seconds")
        print_parts(steps)
        print_roles(steps)
        tags = tags_of(steps)
        for tag in tags:
            print_episode(steps, tag)
        ahead = options.composed.get("async_generation_ratio", 0) > 0
        print_processors(steps, episodes_of(options, tags), options.cores, ahead=ahead)


def timed_steps(rows: Sequence[dict[str, Any]], skip: int) -> list[dict[str, Any]]:
    """The steps of a run that are counted.

    Args:
        rows: of its metrics.
        skip: how many of the first are left out.
    """
    return [row for row in rows[skip:] if "time/step_val" not in row and TOTAL in row]


def tags_of(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The tags that were trained on."""
    return sorted({found[1] for row in rows for name in row if (found := re.fullmatch(r"env/([^/]+)/episode_s", name))})


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


def print_episode(rows: Sequence[Mapping[str, Any]], tag: str) -> None:
    """What the time of an episode is made of.

    Args:
        rows: of the metrics.
        tag: of the episodes.
    """
    episode_s, rollout_s = _mean(rows, f"env/{tag}/episode_s"), _mean(rows, PARTS["rollout"])
    print(f"an episode of {tag}: {episode_s:.3f} s wall clock, of which")
    for label, name in EPISODE.items():
        seconds = _mean(rows, f"env/{tag}/{name}")
        print(f"  {label:40s}{seconds:9.3f}{seconds / episode_s:8.1%}")
    if processor := processor_seconds(rows, tag):
        print("processor seconds of an episode; of the rollout's wall clock")
        for label, seconds in processor.items():
            print(f"  {label:40s}{seconds:9.4f}{seconds / rollout_s:8.2%}")
    for label, name in (("prefix-cache hits", "vllm/prefix_cache_hit_rate"), ("success", f"env/{tag}/success")):
        if all(name in row for row in rows):
            print(f"{label}: {_mean(rows, name):.2%}")


def print_processors(
    rows: Sequence[Mapping[str, Any]], episodes: Mapping[str, float], cores: int | None, *, ahead: bool
) -> None:
    """What all episodes of a step together take of the machine's processors while they are played.

    Args:
        rows: of the metrics.
        episodes: of a step, by tag.
        cores: of the machine; without them there are no shares.
        ahead: whether they are played while the step before learns, so during a whole step.
    """
    each = {tag: processor_seconds(rows, tag) for tag in episodes}
    if not all(each.values()):
        return
    played_s, while_played = _mean(rows, TOTAL if ahead else PARTS["rollout"]), "step" if ahead else "rollout"
    of = f"of the time of {cores} cores in the {while_played}" if cores else "no share: give the machine's --cores"
    print(f"processor seconds of all {sum(episodes.values()):.0f} episodes of a step; {of}")
    for label in next(iter(each.values())):
        seconds = sum(each[tag][label] * number for tag, number in episodes.items())
        share = f"{seconds / (played_s * cores):8.2%}" if cores else ""
        print(f"  {label:40s}{seconds:9.2f}{share}")


def processor_seconds(rows: Sequence[Mapping[str, Any]], tag: str) -> dict[str, float]:
    """Processor seconds of an episode by part; nothing of a run that is older than these figures.

    Args:
        rows: of the metrics.
        tag: of the episodes.
    """
    if not all(f"env/{tag}/{name}" in row for row in rows for name in PROCESSOR.values()):
        return {}
    found = {label: _mean(rows, f"env/{tag}/{name}") for label, name in PROCESSOR.items()}
    if all(f"env/{tag}/{PROXY}" in row for row in rows):
        found[OURS] = _mean(rows, f"env/{tag}/episode_cpu_s") - _mean(rows, f"env/{tag}/{PROXY}")
    return found


def episodes_of(options: argparse.Namespace, tags: Sequence[str]) -> dict[str, float]:
    """How many episodes of each tag a step has: by the groups of the configuration, else equally many.

    Args:
        options: of the command line.
        tags: that were trained on.
    """
    if options.episodes is None:
        refuse("--episodes: no config.yaml beside the metrics says how many a step had; give it")
    manager = options.composed.get("train_env_manager") or {}
    groups = dict(zip(manager.get("tags", ()), manager.get("num_groups_partition", ()), strict=True))
    if set(groups) != set(tags):
        groups = dict.fromkeys(tags, 1)
    return {tag: options.episodes * groups[tag] / sum(groups.values()) for tag in tags}


def _from_to(rows: Sequence[Mapping[str, Any]]) -> str:
    return f"{rows[0]['step']} to {rows[-1]['step']}"


def _mean(rows: Sequence[Mapping[str, Any]], name: str) -> float:
    return fmean(row[name] for row in rows)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of the run, or its metrics.jsonl")
    parser.add_argument("--skip", type=int, default=2, help="first steps to leave out (default 2: things are compiled)")
    parser.add_argument("--episodes", type=int, help="a step (default: rollout_batch_size of config.yaml beside it)")
    parser.add_argument("--cores", type=int, help="of the run's machine (default: what machine.txt beside it says)")
    options = parser.parse_args()
    options.metrics = options.run / "metrics.jsonl" if options.run.is_dir() else options.run
    composed, machine = options.metrics.with_name("config.yaml"), options.metrics.with_name("machine.txt")
    options.composed = keys_of(composed) if composed.is_file() else {}
    if options.episodes is None:
        options.episodes = options.composed.get("rollout_batch_size")
    if options.cores is None and machine.is_file():
        found = CORES.search(machine.read_text(encoding="utf-8"))
        options.cores = int(found[1]) if found else None
    return options


if __name__ == "__main__":
    main()
