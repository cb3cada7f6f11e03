"""What a run says while it lasts: a line for each step and each validation, on the screen and in train.log."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tau_retail_env.runs.files import writing

SHOWN: Mapping[str, str] = {
    "rollout/score/mean": "reward {:.3f}",
    "sft/loss": "loss {:.3f}",
    "critic/kl": "KL {:.4f} nats",
    "critic/entropy/mean": "entropy {:.3f} nats",
}
"""What a step's line shows of its row."""
UNSCORED = re.compile(r"env/[^/]+/unscorable")
"""Metrics of ROLL's runs, by tag: the share of training episodes that could not be scored."""
MINUTE_S, HOUR_S = 60, 3600


class Journal:
    """Says lines on the screen, and writes them with the time into the run's folder once that is there.

    Args:
        say: takes each line for the screen.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._path: Path | None = None
        self._waiting: list[str] = []

    def open(self, path: Path) -> None:
        """Write from now on, and first what was said so far.

        Args:
            path: the file, which may be there from before.

        Raises:
            WriteError: the disk does not allow it.
        """
        self._path = path
        self._write()

    def __call__(self, text: str) -> None:
        """Say a line, or several."""
        from tqdm import tqdm

        with tqdm.external_write_mode():  # takes the bars off the screen meanwhile
            self._say(text)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        self._waiting += [f"{now} {line}\n" for line in text.splitlines()]
        if self._path is not None:
            self._write()

    def _write(self) -> None:
        assert self._path is not None
        with writing(self._path), self._path.open("a", encoding="utf-8") as file:
            file.writelines(self._waiting)
        self._waiting = []


def step_line(name: str, row: Mapping[str, Any], *, left_s: float | None = None) -> str:
    """What a step came to, on one line.

    Args:
        name: which step of how many.
        row: its metrics.
        left_s: seconds that the rest of the run will take, None where nothing is known of it.
    """
    found = {key: row[key] for key in SHOWN if row.get(key) is not None and not math.isnan(row[key])}
    shown = [*_unscored(row), *(SHOWN[key].format(value) for key, value in found.items())]
    seconds = {part: row.get(f"time/step_{part}") or 0.0 for part in ("rollout", "train", "val")}
    if total := row.get("time/step_total"):
        verbs = {"rollout": "playing", "train": "learning", "val": "validation"}
        parts = ", ".join(f"{verbs[part]} {value:.0f}" for part, value in seconds.items() if value >= 1.0)
        shown.append(f"{total:.0f} s" + (f" ({parts})" if parts else ""))
    return f"{name}: {', '.join(shown)}{_left(left_s)}"


def _unscored(row: Mapping[str, Any]) -> Iterator[str]:
    """Which share of the episodes taught nothing because their customer failed."""
    shares = [share for key, share in row.items() if UNSCORED.fullmatch(key)]
    if shares and max(shares) > 0:
        whose = "of the episodes" if len(shares) == 1 else "of a tag's episodes at most"
        yield f"{max(shares):.0%} {whose} not scored"


def validation_line(step: int, success: Mapping[str, Any], seconds: float, *, left_s: float | None = None) -> str:
    """What a validation came to, on one line.

    Args:
        step: after how many steps.
        success: as `tau_retail_env.statistics.comparison.success_of` returns it.
        seconds: that it took.
        left_s: seconds that the rest of the run will take, None where nothing is to be told of it.
    """
    if "success" not in success:
        return f"validation after step {step}: no episode of {success['asked']} could be scored"
    low, high = success["interval"]
    unscored = f", {success['unscorable']} more not scored" if success["unscorable"] else ""
    return (
        f"validation after step {step}: success {success['success']:.1%} of {success['episodes']} episodes "
        f"(95 %: {low:.1%} to {high:.1%}){unscored}, {seconds:.0f} s{_left(left_s)}"
    )


def busy() -> str:
    """That other work keeps the machine busy, in brackets; nothing where at least one core is free.

    On taken cores torch's threads wait for one another, so that a pass of 60 ms was seen to take 3 to 12 s.
    """
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    if load <= max(cores - 1, 0.5):
        return ""
    remedy = "" if "OMP_NUM_THREADS" in os.environ else "; OMP_NUM_THREADS=1 helps"
    return f" (this one is busy: load {load:.0f} on {cores} cores{remedy})"


def _left(seconds: float | None) -> str:
    return f"; about {in_words(seconds)} left" if seconds else ""


def in_words(seconds: float) -> str:
    """A rough time in words, such as "10 min"."""
    if seconds < MINUTE_S:
        return f"{max(seconds, 1.0):.0f} s"
    return f"{seconds / MINUTE_S:.0f} min" if seconds < 2 * HOUR_S else f"{seconds / HOUR_S:.0f} h"
