"""What rollouts that run ahead would save: an engine's passes over episodes of many lengths, in a model.

    python benchmarks/rollout_tail.py

Nothing is measured here. A pass of the engine, which gives each episode under way a token, takes PASS_S and TOKEN_S for
each of them; customers and prompts take no time. Both figures, and the lengths, are those of two recorded runs with two
engines on an H200: docs/runs/roll_shorter (episodes of at most 3,500 tokens of the model's own) and roll_partial
(without that limit). Of the 256 episodes of a step one engine plays half, in groups of four.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

PASS_S = 0.005
"""Seconds: roll_partial's rollouts took 4.3 and 5.2 s more for each 1,000 tokens of the longest episode."""
TOKEN_S = 0.000105
"""Seconds: with it a pass of 152 episodes takes 21 ms, as in roll_groups (20)."""
GROUPS, SIZE, STEPS = 32, 4, 40
EDGE = 5
"""First and last steps that are not counted."""
KINDS = {"up to 3,500 tokens (roll_shorter)": (1700, 0.7, 3500), "no limit (roll_partial)": (1650, 0.75, 6500)}
"""Median, deviation of the logarithm, and longest of an episode's own tokens: averages of 1,900 and 2,110."""


@dataclass
class Rollouts:
    """Rollouts of many steps by one engine.

    Args:
        draw: the tokens of an episode.
        ahead: how many steps the queue may be ahead.
    """

    draw: Callable[[], int]
    ahead: int
    seconds: list[float] = field(default_factory=list)
    """Of each step."""
    carried: list[int] = field(default_factory=list)
    """Episodes under way when it ended."""

    def play(self) -> None:
        """Play all steps."""
        places = [(group, step) for group in range(GROUPS) for step in range(STEPS)]
        waiting = {place: [self.draw() for _ in range(SIZE)] for place in places}
        unfinished = dict.fromkeys(places, SIZE)
        free = [group for group in range(GROUPS) for _ in range(SIZE)]
        under_way: list[tuple[int, tuple[int, int]]] = []
        for step in range(STEPS):
            seconds = 0.0
            while True:
                still = []
                for group in free:
                    turns = ((group, turn) for turn in range(step, min(step + self.ahead + 1, STEPS)))
                    place = next((place for place in turns if waiting[place]), None)
                    if place is None:
                        still.append(group)
                    else:
                        under_way.append((waiting[place].pop(), place))
                if not any(unfinished[group, step] for group in range(GROUPS)):
                    break
                passes = min(tokens for tokens, _ in under_way)
                seconds += passes * (PASS_S + TOKEN_S * len(under_way))
                over = [place for tokens, place in under_way if tokens == passes]
                under_way = [(tokens - passes, place) for tokens, place in under_way if tokens > passes]
                for place in over:
                    unfinished[place] -= 1
                free = still + [group for group, _ in over]
            free = still
            self.seconds.append(seconds)
            self.carried.append(len(under_way))


def drawn(chance: random.Random, median: float, deviation: float, longest: int) -> int:
    """Tokens of an episode: one of `KINDS`."""
    return min(int(median * math.exp(chance.gauss(0, deviation))) + 1, longest)


def main() -> None:
    """Print both kinds."""
    for name, (median, deviation, longest) in KINDS.items():
        print(f"{name}: seconds of a rollout, and episodes that go on in the next step")
        for ahead in (0, 1, 2):
            draw = partial(drawn, random.Random(0), median, deviation, longest)
            rollouts = Rollouts(draw, ahead)
            rollouts.play()
            seconds, carried = (statistics.mean(row[EDGE:-EDGE]) for row in (rollouts.seconds, rollouts.carried))
            print(f"  async_generation_ratio={ahead}  {seconds:5.1f} s  {carried:4.0f} of {GROUPS * SIZE}")


if __name__ == "__main__":
    main()
