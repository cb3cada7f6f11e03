"""How many passes of the model its own text would take if each could guess tokens from the text before.

    python benchmarks/draft_tokens.py RUN [--episodes 60]

RUN is a folder with trajectories (its token ids are read, no model is). A guess looks up the last words of the text in
what stands before them, the longest of `longest` to `shortest` tokens that is found there, and takes what followed the
last time; a pass keeps the guessed tokens up to the first that the model did not write, and one of its own. This is
what vLLM does with speculative_config={method: ngram_gpu, num_speculative_tokens: …, prompt_lookup_max: …,
prompt_lookup_min: …}; the model's distribution stays what it is.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.run_files import refuse, trajectories

SETTINGS = ((3, 4, 2), (5, 4, 2), (8, 4, 2), (5, 3, 1), (8, 6, 3))
"""Guessed tokens, longest and shortest text that is looked up."""


@dataclass
class Counts:
    """Of the passes over some text."""

    tokens: int = 0
    passes: int = 0
    guessed: int = 0
    kept: int = 0


def count(token_ids: Sequence[int], own: Sequence[int], guess: int, longest: int, shortest: int) -> Counts:
    """Write an episode's own tokens again, with guesses.

    Args:
        token_ids: of the whole conversation.
        own: 1 where a token is the model's.
        guess: how many tokens a pass guesses.
        longest: text that is looked up, in tokens.
        shortest: the same.
    """
    counts = Counts()
    after: list[dict[tuple[int, ...], int]] = [{} for _ in range(longest + 1)]
    seen = place = 0
    while place < len(token_ids):
        if not own[place]:
            place += 1
            continue
        for end in range(seen + 1, place):  # what ends here itself is not known yet
            for length in range(shortest, min(longest, end) + 1):
                after[length][tuple(token_ids[end - length : end])] = end
        seen = max(seen, place - 1)
        lengths = range(longest, shortest - 1, -1)
        found = (after[length].get(tuple(token_ids[place - length : place])) for length in lengths)
        start = next((one for one in found if one is not None), None)
        guessed = [] if start is None else token_ids[start : min(start + guess, place)]
        kept = sum(
            1
            for _ in itertools.takewhile(
                lambda pair: pair[0] < len(token_ids) and own[pair[0]] and token_ids[pair[0]] == pair[1],
                enumerate(guessed, place),
            )
        )
        counts.passes += 1
        counts.guessed += len(guessed)
        counts.kept += kept
        last = place + kept + 1
        while place < min(last, len(token_ids)) and own[place]:
            place += 1
            counts.tokens += 1
    return counts


def main() -> None:
    """Print a line for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN", type=Path)
    parser.add_argument("--episodes", type=int, default=60)
    options = parser.parse_args()
    episodes = list(trajectories(sorted(options.run.rglob("train-*.jsonl"))))
    if not any(1 in one.response_mask for one in episodes):
        refuse(f"{options.run} has no train-*.jsonl with an episode that holds a model's tokens")
    drawn = random.Random(0).sample(episodes, min(options.episodes, len(episodes)))
    print(f"{len(drawn)} episodes, {sum(sum(one.response_mask) for one in drawn)} tokens of the model's own")
    print("guessed  looked up  tokens a pass  guesses kept, %")
    for guess, longest, shortest in SETTINGS:
        parts = [count(one.token_ids, one.response_mask, guess, longest, shortest) for one in drawn]
        tokens, passes = sum(one.tokens for one in parts), sum(one.passes for one in parts)
        kept = 100 * sum(one.kept for one in parts) / max(1, sum(one.guessed for one in parts))
        print(f"{guess:7d}  {longest} to {shortest:<4d}  {tokens / passes:13.2f}  {kept:15.1f}")


if __name__ == "__main__":
    main()
