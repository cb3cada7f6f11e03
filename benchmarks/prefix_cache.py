"""What vLLM's prefix cache must have found in a ROLL run, from its trajectories: python benchmarks/prefix_cache.py RUN

vLLM keeps whole blocks of tokens, of prompts and of what it generated, and looks a prompt up block by block from its
start, never the block of its last token. Played again that way, the recorded tokens give how many of a step's prompt
tokens were looked up and found; vLLM's own counters of the step stand beside. Where they are equal, the engine saw the
very tokens that the trajectories hold. The order of the requests is not recorded: first turns are taken to come before
second turns, and so on. Steps with a validation beside them are left out, as their counters hold both.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.engine_replay import training_episodes, turns_of
from benchmarks.run_files import metrics, refuse
from tau_retail_env.episodes.trajectory import Trajectory

BLOCK = 16
"""Tokens of a block: vLLM's own default."""


def main() -> None:
    """Print a line a step, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the run: metrics.jsonl, trajectories/")
    options = parser.parse_args()
    rows = {row["step"]: row for row in metrics(options.run / "metrics.jsonl")}
    total = [0, 0, 0, 0]
    equal = compared = 0
    for step, episodes in sorted(training_episodes(options.run / "trajectories").items()):
        row = rows.get(step, {})
        if "vllm/prefix_cache_queries" not in row or "time/step_val" in row:
            continue
        (first, first_found), (later, later_found) = looked_up(episodes)
        told = int(row["vllm/prefix_cache_queries"]), int(row["vllm/prefix_cache_hits"])
        ours = first + later, first_found + later_found
        compared, equal = compared + 1, equal + (ours == told)
        total = [a + b for a, b in zip(total, (first, first_found, later, later_found), strict=True)]
        print(
            f"step {step}: {ours[1]} of {ours[0]} tokens found, {ours[1] / ours[0]:.2%}; "
            f"vLLM counted {told[1]} of {told[0]}{', the same' if ours == told else ''}; "
            f"first turns {first_found / first:.2%}, later {later_found / later:.2%}"
        )
    if not compared:
        refuse(f"{options.run} has no step with trajectories, vLLM's counters and no validation beside it")
    first, first_found, later, later_found = total
    print(f"{equal} of {compared} steps as vLLM counted them")
    print(f"all steps: first turns {first_found / first:.2%}, later turns {later_found / later:.2%}")


def looked_up(episodes: Sequence[Trajectory]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Play a step's requests into an empty cache.

    Args:
        episodes: of one step.

    Returns:
        Prompt tokens looked up and found, of the episodes' first turns and of the later ones.
    """
    kept: set[tuple[int, ...]] = set()
    found = [[0, 0], [0, 0]]
    waiting = [(list(turns_of(episode)), episode.token_ids) for episode in episodes]
    for number in range(max(len(turns) for turns, _ in waiting)):
        for turns, tokens in waiting:
            if number >= len(turns):
                continue
            prompt, length = turns[number].prompt, turns[number].length
            counted = found[number > 0]
            counted[0] += len(prompt)
            counted[1] += BLOCK * sum(1 for _ in _found_from_the_start(prompt, kept))
            kept.update(_blocks(tokens[: len(prompt) + length - 1]))  # the last token is generated, not yet read
    return (found[0][0], found[0][1]), (found[1][0], found[1][1])


def _found_from_the_start(prompt: Sequence[int], kept: set[tuple[int, ...]]) -> Iterator[tuple[int, ...]]:
    for block in _blocks(prompt[:-1]):
        if block not in kept:
            return
        yield block


def _blocks(tokens: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every whole block, known by all tokens up to its end."""
    for end in range(BLOCK, len(tokens) + 1, BLOCK):
        yield tuple(tokens[:end])


if __name__ == "__main__":
    main()
