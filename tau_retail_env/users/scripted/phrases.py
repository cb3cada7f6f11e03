"""How the scripted customer words what it says: the phrasings of its files, and which splits may use which."""

from __future__ import annotations

import random
import tomllib
from collections import Counter
from collections.abc import Mapping
from importlib import resources

from tau_retail_env.errors import unknown

PORTIONS: Mapping[str, tuple[int, ...]] = {
    "train_fit": (0, 1, 2, 3),
    "train_dev": (5, 6, 7, 8),
    "train": (0, 1, 2, 3, 5, 6, 7, 8),
    "wide": (0, 1, 2, 3, 5, 6, 7, 8),
    "held_out": (4, 9),
    "all": tuple(range(10)),
}
"""Which of an act's ten phrasings may be used, by their places; "wide" adds those of `MORE_PHRASES`."""


def _read(name: str) -> Mapping[str, tuple[str, ...]]:
    text = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    return {act: tuple(lines) for act, lines in tomllib.loads(text).items()}


PHRASES = _read("phrases.toml")
"""Act to its phrasings, ten each."""
MORE_PHRASES = _read("phrases_wide.toml")
"""Act to further phrasings, heard in training alone; not every act has some."""


class Phrasebook:
    """Chooses phrasings for one episode, by the episode's name and nothing else."""

    def __init__(self, *, portion: str, name: str) -> None:
        """Open the book for an episode.

        Args:
            portion: which phrasings may be used, a name of `PORTIONS`.
            name: names the episode; same name, same choices.

        Raises:
            InvalidValueError: unknown portion.
        """
        if portion not in PORTIONS:
            raise unknown("phrasings", portion, PORTIONS)
        self._portion = portion
        self._name = name
        self._uses: Counter[str] = Counter()

    def say(self, act: str, /, **slots: str) -> str:
        """Word an act, filling in its slots."""
        known = phrasings(act, self._portion)
        chosen = known[self.random(act).randrange(len(known))]
        text = chosen.format(**slots)
        begins = chosen.startswith(("{order}", "{items}", "{changes}", "{payment}")) and "_" not in text.split()[0]
        return text[:1].upper() + text[1:] if begins else text  # but an id, "gift_card_7588375", is spelt as it is

    def random(self, purpose: str) -> random.Random:
        """A random source for the next choice of this purpose."""
        self._uses[purpose] += 1
        return random.Random(f"{self._name}/{purpose}/{self._uses[purpose]}")


def phrasings(act: str, portion: str) -> tuple[str, ...]:
    """The phrasings of an act.

    Args:
        act: what is said.
        portion: a name of `PORTIONS`.
    """
    more = MORE_PHRASES.get(act, ()) if portion == "wide" else ()
    return (*(PHRASES[act][place] for place in PORTIONS[portion]), *more)
