"""The summary of a run of the local engine: what both engines write, with model, files and customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.runs import curves
from tau_retail_env.runs.checkpoints import BEST, best_in
from tau_retail_env.runs.files import writing
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.summary import (
    Outcome,
    customer_lines,
    customers_of,
    seconds_by_phase,
    seconds_in_words,
    success_before_and_after,
    write_summary,
)
from tau_retail_env.runs.trajectories import read_trajectories
from tau_retail_env.statistics.comparison import in_words, success_of


def summarise(
    folder: RunFolder,
    rows: Sequence[Mapping[str, Any]],
    *,
    last_step: int,
    model: Mapping[str, Any],
    loading_s: Mapping[str, float],
    title: str,
) -> Outcome:
    """Compare the first validation with the last, and write summary.json and curves.png.

    Args:
        folder: a run whose last validation is written, where it has one.
        rows: its metrics.
        last_step: the step of the last validation.
        model: what to say about the model.
        loading_s: seconds of what came before playing and training.
        title: the run's name.
    """
    first, last = folder.trajectories("val", 0), folder.trajectories("val", last_step)
    before = read_trajectories(first) if first.is_file() and last_step else None
    success = success_before_and_after(before, read_trajectories(last)) if last.is_file() else {}
    headline = {"model": model} | success
    with writing(folder.curves):
        curves.draw(rows, folder.curves, title=curves.headline(title, headline), intervals=_intervals(folder, rows))
    summary: dict[str, Any] = {
        "steps": last_step,
        "model": dict(model),
        **({"after": success.pop("after") | {"by subset": _by_subset(rows[-1] if rows else {})}} if success else {}),
        "seconds": {**loading_s, **seconds_by_part(rows)},
        "files": {
            name: str(path.relative_to(folder.path))
            for name, path in _files(folder).items()
            if path is not None and path.exists()
        },
    }
    if best := best_in(folder.checkpoints):
        summary["best"] = best
    if customers := customers_of(rows):
        summary["customers"] = customers
    summary |= success
    write_summary(folder.summary, summary)
    return Outcome(folder.path, summary, _text(folder, summary))


def _intervals(folder: RunFolder, rows: Sequence[Mapping[str, Any]]) -> dict[int, list[float]]:
    """The interval of every validation's success."""
    files = {row["step"]: folder.trajectories("val", row["step"]) for row in rows}
    found = {step: success_of(read_trajectories(path)) for step, path in files.items() if path.is_file()}
    return {step: success["interval"] for step, success in found.items() if "interval" in success}


def _files(folder: RunFolder) -> dict[str, Path | None]:
    return {
        "checkpoint": folder.last_checkpoint(),
        "best": folder.checkpoints / BEST,
        "curves": folder.curves,
        "metrics": folder.metrics,
        "log": folder.log,
        "trajectories": folder.trajectories("val", 0).parent,
        "tensorboard": folder.tensorboard,
    }


def seconds_by_part(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Where the time went, with the validations before, between and after apart."""
    phases = seconds_by_phase(rows)
    validations = [(row["step"], row["time/step_val"]) for row in rows if row.get("time/step_val") is not None]
    before = sum(value for step, value in validations if step == 0)
    after = validations[-1][1] if validations and rows[-1]["step"] else 0.0
    seconds = {
        "evaluation before": before,
        "rollout": phases.get("rollout", 0.0),
        "training": phases.get("train", 0.0),
        "evaluation after": after,
        "evaluations between": sum(value for _, value in validations) - before - after,
    }
    return {name: round(value, 1) for name, value in seconds.items()}


def _by_subset(row: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Success and number of episodes by subset, from the row of a validation."""
    names = [name.split("/")[2] for name in row if name.startswith("val/subset/") and name.endswith("/success")]
    return {name: {key: row[f"val/subset/{name}/{key}"] for key in ("success", "episodes")} for name in names}


def _text(folder: RunFolder, summary: Mapping[str, Any]) -> str:
    lines = [
        seconds_in_words(summary["seconds"]),
        *_judged(summary),
        *customer_lines(summary.get("customers", {})),
        f"everything lies in {folder.path}:",
    ]
    lines += [f"  {name:<12} {path}" for name, path in summary["files"].items()]
    return "\n".join(lines)


def _judged(summary: Mapping[str, Any]) -> list[str]:
    """What the last validation says; nothing where there is none."""
    if "after" not in summary:
        return []
    subsets = summary["after"]["by subset"].items()
    by_subset = ", ".join(f"{name} {found['success']:.0%} of {found['episodes']:.0f}" for name, found in subsets)
    return [f"success after, by subset: {by_subset}", *in_words(summary)]
