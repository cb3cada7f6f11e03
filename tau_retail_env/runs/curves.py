"""One picture of a run: success with its intervals, reward, KL, entropy and lengths over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tau_retail_env.runs.files import partial_of

Intervals = Mapping[int, Sequence[float]]
"""By the step of a validation, the 95 % interval of its success: low and high, 0 to 1."""
Point = tuple[int, float]

HELD_OUT = "val/score/mean"
FEW = 30
"""Points of a line up to which each is marked."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One of the small pictures."""

    title: str
    """What stands above."""
    unit: str
    """What stands beside the axis."""
    lines: Mapping[str, str]
    """What each line is called, by its metric."""
    is_share: bool = False
    """Whether the axis goes from 0 to 1."""


PANELS: Sequence[Panel] = (
    Panel(
        "success",
        "mean reward, 0 to 1",
        {"rollout/score/mean": "training tasks, sampled", HELD_OUT: "held-out tasks"},
        is_share=True,
    ),
    Panel("KL to the reference", "nats a token", {"critic/kl": "KL"}),
    Panel("entropy of the agent's tokens", "nats a token", {"critic/entropy/mean": "entropy"}),
    Panel(
        "length of an episode",
        "tokens",
        {"tokens/response_length/mean": "the agent's own", "tokens/non_prompt_length/mean": "all after the prompt"},
    ),
    Panel("loss", "loss", {"actor/total_loss": "actor", "sft/loss": "fine-tuning"}),
    Panel(
        "gradient norm",
        "norm before clipping",
        {"actor/grad_norm": "actor", "actor_train/grad_norm": "actor", "critic/grad_norm": "critic"},
    ),
    Panel(
        "critic",
        "reward, and squared error",
        {"critic/values/mean": "value", "critic/returns/mean": "return", "critic/loss": "loss"},
    ),
)
"""In the order in which they are drawn; a panel without data is left out."""


def draw(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    title: str,
    intervals: Intervals = MappingProxyType({}),
) -> None:
    """Draw a run's metrics into a PNG file.

    Args:
        rows: what metrics.jsonl holds.
        path: the file to write.
        title: what stands above.
        intervals: of the validations whose episodes are known.
    """
    from matplotlib.figure import Figure

    panels = [panel for panel in PANELS if any(_points(rows, key) for key in panel.lines)]
    if not panels:
        return
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    figure = Figure(figsize=(4.6 * columns, 3.2 * lines), layout="constrained")
    figure.suptitle(title)
    for place, panel in enumerate(panels):
        _draw_panel(figure.add_subplot(lines, columns, place + 1), panel, rows, intervals)
    partial = partial_of(path)
    figure.savefig(partial, format="png", dpi=110)
    partial.replace(path)


def headline(name: str, summary: Mapping[str, Any]) -> str:
    """What stands above: the run, its model, and success before and after.

    Args:
        name: of the run.
        summary: what its summary.json holds.
    """
    parts = [name]
    if model := summary.get("model"):
        parts.append(f"{model['architecture']}, {model['parameters'] / 1e6:.1f} M parameters")
    shares = [summary[when]["success"] for when in ("before", "after") if "success" in summary.get(when, {})]
    if shares:
        parts.append(f"held-out success {' to '.join(f'{share:.1%}' for share in shares)}")
    return ": ".join([parts[0], "; ".join(parts[1:])]) if parts[1:] else name


def _draw_panel(axes: Any, panel: Panel, rows: Sequence[Mapping[str, Any]], intervals: Intervals) -> None:
    from matplotlib.ticker import MaxNLocator

    for key, label in panel.lines.items():
        points = _points(rows, key)
        if key == HELD_OUT and points:
            _draw_held_out(axes, points, intervals, label)
        elif points:
            axes.plot(*zip(*points, strict=True), marker="o" if len(points) < FEW else None, markersize=3, label=label)
    if panel.is_share:
        axes.set_ylim(-0.02, 1.02)
    axes.set_title(panel.title, fontsize=10)
    axes.set_xlabel("step", fontsize=8)
    axes.set_ylabel(panel.unit, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7)


def _draw_held_out(axes: Any, points: Sequence[Point], intervals: Intervals, label: str) -> None:
    """Validations as points, with their intervals if any is known; two are no trend, and get no line and no band."""
    colour = "tab:orange"
    steps, values = zip(*points, strict=True)
    low, high = zip(*(intervals.get(step, (value, value)) for step, value in points), strict=True)
    reach = [
        [max(value - bound, 0.0) for value, bound in zip(values, low, strict=True)],
        [max(bound - value, 0.0) for value, bound in zip(values, high, strict=True)],
    ]
    line = "-" if len(points) > 2 else "none"
    known = any(step in intervals for step in steps)
    axes.errorbar(
        steps,
        values,
        yerr=reach if known else None,
        fmt="s",
        markersize=4,
        capsize=3,
        linestyle=line,
        color=colour,
        label=f"{label}, with 95 % interval" if known else label,
    )
    if known and len(points) > 2:
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)


def _points(rows: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    return [(row["step"], row[key]) for row in rows if row.get(key) is not None]
