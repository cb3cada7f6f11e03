"""What a run came to: success before and after on the same held-out episodes, and where everything lies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.local.run_folder import RunFolder
from tau_retail_env.runs.files import write_atomically
from tau_retail_env.runs.trajectories import read_trajectories
from tau_retail_env.statistics.comparison import compare, in_words, success_of
from tau_retail_env.users.usage import Usage, total_cost_usd


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    folder: Path
    """Where everything lies."""
    summary: Mapping[str, Any]
    """What summary.json holds."""
    text: str
    """The same for the screen."""


def summarise(
    folder: RunFolder,
    rows: Sequence[Mapping[str, Any]],
    *,
    last_step: int,
    model: Mapping[str, Any],
    loading_s: Mapping[str, float],
) -> Outcome:
    """Compare the first validation with the last and write summary.json.

    Args:
        folder: a run whose last validation is written.
        rows: its metrics.
        last_step: the step of the last validation.
        model: what to say about the model.
        loading_s: seconds of what came before playing and training.
    """
    first, last = folder.trajectories("val", 0), folder.trajectories("val", last_step)
    after = read_trajectories(last)
    summary: dict[str, Any] = {
        "steps": last_step,
        "model": dict(model),
        "after": success_of(after) | {"by subset": _by_subset(rows[-1])},
        "seconds": {**loading_s, **seconds_by_stage(rows)},
        "files": {
            name: str(path.relative_to(folder.path))
            for name, path in _files(folder).items()
            if path is not None and path.exists()
        },
    }
    if customers := customers_of(rows):
        summary["customers"] = customers
    if first.is_file() and last_step:
        summary |= compare(read_trajectories(first), after)
    write_atomically(folder.summary, json.dumps(summary, indent=2) + "\n")
    return Outcome(folder.path, summary, _text(folder, summary))


def _files(folder: RunFolder) -> dict[str, Path | None]:
    return {
        "checkpoint": folder.last_checkpoint(),
        "curves": folder.curves,
        "metrics": folder.metrics,
        "trajectories": folder.trajectories("val", 0).parent,
        "tensorboard": folder.tensorboard,
    }


def seconds_by_stage(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Where the time went, from the clock's columns of the metrics."""
    evaluations = [row["time/step_val"] for row in rows if row.get("time/step_val") is not None]
    seconds = {
        "evaluation before": sum(row.get("time/step_val") or 0.0 for row in rows if row["step"] == 0),
        "rollout": sum(row.get("time/step_rollout") or 0.0 for row in rows),
        "training": sum(row.get("time/step_train") or 0.0 for row in rows),
        "evaluation after": evaluations[-1] if evaluations and rows[-1]["step"] else 0.0,
    }
    seconds["evaluations between"] = sum(evaluations) - seconds["evaluation before"] - seconds["evaluation after"]
    return {name: round(value, 1) for name, value in seconds.items()}


def customers_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """The customers' numbers by strategy: `run` adds up all rows, `after` is the last evaluation.

    Args:
        rows: metrics, in order.

    Returns:
        Nothing where no customer tells what it took; the cost of `run` only where it is known of every row.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        for name, value in row.items():
            kind, (strategy, what) = name.split("/")[:-2], ["", *name.split("/")][-2:]
            if value is None or kind not in CUSTOMER_PLACES:
                continue
            numbers = found.setdefault(strategy, {"run": {}, "after": {}})
            if kind[0] != "time" and what != "success":
                numbers["run"][what] = numbers["run"].get(what, 0.0) + value
            if "val" in kind or "val_customer" in kind:
                numbers["after"][what] = value
    for strategy, numbers in found.items():
        if total_cost_usd(_usages(rows, strategy)) is None:
            numbers["run"].pop("cost_usd", None)
    return found


CUSTOMER_PLACES = (["customer"], ["val", "customer"], ["time", "val_customer"])
"""Where the customers' numbers stand in a row, up to the strategy."""


def bill(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the customers of some rows took, in words: "cost $0.12 (1,200 prompt and 300 completion tokens)"."""
    totals: dict[str, float] = {}
    runs = [numbers["run"] for numbers in customers_of(rows).values()]
    for numbers in runs:
        for what, value in numbers.items():
            totals[what] = totals.get(what, 0.0) + value
    tokens = f"{totals.get('prompt_tokens', 0):,.0f} prompt and {totals.get('completion_tokens', 0):,.0f} completion"
    cost_usd = total_cost_usd(map(Usage.read, runs))
    cost = f"cost ${cost_usd:.4f}" if cost_usd is not None else "cost an unknown amount"
    return f"{cost} ({tokens} tokens, {totals.get('calls', 0):,.0f} calls, {totals.get('retries', 0):,.0f} retries)"


def _usages(rows: Sequence[Mapping[str, Any]], strategy: str) -> list[Usage]:
    """What the customers of a strategy took in the episodes of each row."""
    places = [(row, f"{place}/{strategy}") for row in rows for place in ("customer", "val/customer")]
    return [Usage(calls=row.get(f"{place}/calls") or 0, cost_usd=row.get(f"{place}/cost_usd")) for row, place in places]


def _customer_lines(customers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    lines = []
    for strategy, numbers in customers.items():
        after, run = numbers["after"], numbers["run"]
        line = f"customer {strategy}:"
        if "success" in after:
            line += f" success after {after['success']:.1%} of {after['episodes']:.0f} episodes,"
        if "latency_p50_s" in after:
            line += f" latency p50 {after['latency_p50_s']:.2f} s, p95 {after['latency_p95_s']:.2f} s;"
        line += f" in the whole run {run.get('episodes', 0):,.0f} episodes scored, {run.get('failures', 0):,.0f} failed"
        if "prompt_tokens" in run:
            line += f", {bill([{f'customer/{strategy}/{what}': value for what, value in run.items()}])}"
        lines.append(line)
    return lines


def _by_subset(row: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Success and number of episodes by subset, from the row of a validation."""
    names = [name.split("/")[2] for name in row if name.startswith("val/subset/") and name.endswith("/success")]
    return {name: {key: row[f"val/subset/{name}/{key}"] for key in ("success", "episodes")} for name in names}


def _text(folder: RunFolder, summary: Mapping[str, Any]) -> str:
    seconds = ", ".join(f"{name} {value:.0f}" for name, value in summary["seconds"].items() if value)
    subsets = summary["after"]["by subset"].items()
    by_subset = ", ".join(f"{name} {found['success']:.0%} of {found['episodes']:.0f}" for name, found in subsets)
    lines = [
        f"seconds: {seconds}",
        f"success after, by subset: {by_subset}",
        *in_words(summary),
        *_customer_lines(summary.get("customers", {})),
        f"everything lies in {folder.path}:",
    ]
    lines += [f"  {name:<12} {path}" for name, path in summary["files"].items()]
    return "\n".join(lines)
