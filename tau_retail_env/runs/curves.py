"""One picture of a run: scores, KL, entropy and lengths over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

PANELS: Sequence[tuple[str, Sequence[str]]] = (
    ("score", ("rollout/score/mean", "val/score/mean")),
    ("KL to the reference", ("critic/kl",)),
    ("entropy of the agent's tokens", ("critic/entropy/mean",)),
    ("tokens per episode", ("tokens/response_length/mean", "tokens/non_prompt_length/mean")),
    ("loss", ("actor/total_loss", "sft/loss")),
    ("length of the gradient", ("actor/grad_norm", "actor_train/grad_norm", "critic/grad_norm")),
    ("critic", ("critic/values/mean", "critic/returns/mean", "critic/loss")),
)
"""Titles, and the metrics drawn under each; a panel without data is left out."""


def draw(rows: Sequence[Mapping[str, Any]], path: Path, *, title: str) -> None:
    """Draw a run's metrics into a PNG file.

    Args:
        rows: what metrics.jsonl holds.
        path: the file to write.
        title: what stands above.
    """
    from matplotlib.figure import Figure

    panels = [(name, [key for key in keys if _points(rows, key)]) for name, keys in PANELS]
    panels = [(name, keys) for name, keys in panels if keys]
    if not panels:
        return
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.2 * lines), layout="constrained")
    figure.suptitle(title)
    for place, (name, keys) in enumerate(panels):
        axes = figure.add_subplot(lines, columns, place + 1)
        for key in keys:
            steps, values = zip(*_points(rows, key), strict=True)
            axes.plot(steps, values, marker="o" if len(steps) < 30 else None, markersize=3, label=key)
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("step", fontsize=8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    partial = path.with_name(f".{path.name}.partial")
    figure.savefig(partial, format="png", dpi=110)
    partial.replace(path)


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> list[tuple[int, float]]:
    return [(row["step"], row[key]) for row in rows if row.get(key) is not None]
