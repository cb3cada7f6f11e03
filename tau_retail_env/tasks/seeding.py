"""Seeded choices and orders that come out the same on every machine."""

from __future__ import annotations

import bisect
import functools
import hashlib
import itertools
import random
from collections.abc import Sequence
from typing import TypeVar

Item = TypeVar("Item")

SEED_BITS = 48


def seed_of(*parts: object) -> int:
    """A seed below 2^48 that depends on all parts and on nothing else."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") >> (64 - SEED_BITS)


def order_of(count: int, *parts: object) -> tuple[int, ...]:
    """In which order `count` things come: 0 … count - 1, shuffled by a seed that depends on the parts alone."""
    return shuffled(count, seed_of("order", *parts))


@functools.lru_cache(maxsize=32)
def shuffled(count: int, seed: int | str) -> tuple[int, ...]:
    """0 … count - 1 in the order of a seed.

    Cached, because an environment asks for the same order at every reset.
    """
    order = list(range(count))
    # Python promises `random`'s sequence, not this one; recorded runs were played in this order, so it stays.
    random.Random(seed).shuffle(order)
    return tuple(order)


class Draws:
    """A stream of choices decided by a seed, the same on every Python.

    Only `random.Random.random` is used: it is the one method whose sequence Python promises to keep for a given seed.
    """

    def __init__(self, seed: str) -> None:
        """Start the stream that belongs to a seed."""
        self._random = random.Random(seed)

    def below(self, bound: int) -> int:
        """A whole number from 0 to bound - 1."""
        return int(self._random.random() * bound)

    def choice(self, items: Sequence[Item]) -> Item:
        """One of the items, each as likely as the others."""
        return items[self.below(len(items))]

    def sample(self, items: Sequence[Item], count: int) -> list[Item]:
        """That many different places of the sequence, in the order drawn."""
        left = list(items)
        return [left.pop(self.below(len(left))) for _ in range(count)]

    def weighted(self, items: Sequence[Item], weights: Sequence[int]) -> Item:
        """One of the items, as likely as its whole-number weight says."""
        ends = list(itertools.accumulate(weights))
        place = bisect.bisect_right(ends, self.below(ends[-1]))
        if place == len(ends):
            raise ValueError("weights must be positive whole numbers")
        return items[place]
