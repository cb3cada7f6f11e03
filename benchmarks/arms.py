"""What became of GRPO's arms (benchmarks/roll_run.sh arms), from their metrics: python benchmarks/arms.py OUT."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.run_files import metrics, refuse

LAST = 5
"""Steps at the end over which training is averaged."""
COLUMNS = {
    "training": ("env/retail_train/success",),
    "malformed": ("env/retail_train/malformed",),
    "advantage": ("critic/advantages/mean",),
    "KL": ("actor/kl_loss", "critic/kl"),
    "entropy": ("critic/entropy/mean",),
    "without signal": ("rollout/groups_without_signal",),
}
"""A column's metrics, the first that a run has: ROLL's, then the local engine's."""
HELD_OUT = ("val/env/retail_test/success",)


def main() -> None:
    """Print a line for each arm: held-out success at each validation, and the last steps' means."""
    folders = sorted(path.parent for path in _options().out.glob("*/metrics.jsonl"))
    if not folders:
        refuse("no arm has metrics yet: expected OUT/ARM/metrics.jsonl")
    lines = [f"{folder.name:12s} {summary(metrics(folder / 'metrics.jsonl'))}" for folder in folders]
    print(f"held-out success by step, best and last; then means of the last {LAST} steps")
    print("\n".join(lines))


def summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """One arm's line.

    Args:
        rows: its metrics, a step each.
    """
    judged = [(row["step"], value) for row in rows if (value := _first(row, HELD_OUT)) is not None]
    steps = "  ".join(f"{step}: {value:.1%}" for step, value in judged)
    lost = max(value for _, value in judged) - judged[-1][1] if judged else 0.0
    told = []
    for name, of in COLUMNS.items():
        seen = [value for row in rows[-LAST:] if (value := _first(row, of)) is not None]
        if seen:
            told.append(f"{name} {fmean(seen):.3f}")
    return f"{steps}  (last {lost:.1%} under the best)  {', '.join(told)}"


def _first(row: Mapping[str, Any], names: Sequence[str]) -> float | None:
    return next((row[name] for name in names if row.get(name) is not None), None)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the folder OUT of benchmarks/roll_run.sh arms")
    return parser.parse_args()


if __name__ == "__main__":
    main()
