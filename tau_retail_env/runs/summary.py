"""What a run came to, on both engines: success before and after on the same episodes, seconds, and where all lies."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.runs.files import write_atomically
from tau_retail_env.statistics.comparison import compare, success_of
from tau_retail_env.users.usage import Usage, total_cost_usd

PHASES = re.compile(r"time/step_(?!total)(\w+)")
"""The seconds of a step's parts in a row."""
CUSTOMER_PLACES = (["customer"], ["val", "customer"], ["time", "val_customer"])
"""Where the customers' numbers stand in a row, up to the strategy."""


@dataclass(frozen=True)
class Outcome:
    """A finished run."""

    folder: Path
    """Where everything lies."""
    summary: Mapping[str, Any]
    """What summary.json holds."""
    text: str
    """The same for the screen."""


def write_summary(path: Path, summary: Mapping[str, Any]) -> None:
    """Write summary.json.

    Args:
        path: the file.
        summary: what it holds.
    """
    write_atomically(path, json.dumps(summary, indent=2) + "\n")


def success_before_and_after(first: Sequence[Trajectory] | None, last: Sequence[Trajectory]) -> dict[str, Any]:
    """Success in the last validation, and beside the first where both played the same tasks.

    Args:
        first: the first validation's episodes; None where there was one alone.
        last: the last one's, in the same order.

    Returns:
        `after`, and `before` and `difference` where the two can be compared.
    """
    after = {"after": success_of(last)}
    return after | compare(first, last) if first is not None and _tasks(first) == _tasks(last) else after


def seconds_by_phase(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Wall-clock seconds of a run by part of a step, as its rows tell them.

    A validation of ROLL's runs beside the rollout of its step.
    """
    totals: dict[str, float] = {}
    for row in rows:
        for name, value in row.items():
            if value is not None and (phase := PHASES.fullmatch(name)):
                totals[phase[1]] = totals.get(phase[1], 0.0) + value
    return {name: round(value, 1) for name, value in totals.items()}


def seconds_in_words(seconds: Mapping[str, float], *, least: float = 0.0) -> str:
    """ "seconds: rollout 61, train 40"; parts that took less are left out.

    Args:
        seconds: by part.
        least: below it, or at 0, a part is left out.
    """
    parts = ", ".join(f"{name} {value:.0f}" for name, value in seconds.items() if value and value >= least)
    return f"seconds: {parts}"


def customers_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """The customers' numbers by strategy: `run` adds up all rows, `after` is the last evaluation.

    Args:
        rows: metrics, in order.

    Returns:
        Nothing where no usage is reported; the cost of `run` only where it is known of every row.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        for name, value in row.items():
            # "val/customer/llm/success": ["val", "customer"], "llm", "success"; "step" has neither place nor strategy.
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


def customer_lines(customers: Mapping[str, Mapping[str, Mapping[str, float]]]) -> list[str]:
    """The same in words, a line for each strategy.

    Args:
        customers: as `customers_of` returns them.
    """
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


def _usages(rows: Sequence[Mapping[str, Any]], strategy: str) -> list[Usage]:
    """What the customers of a strategy took in the episodes of each row."""
    places = [(row, f"{place}/{strategy}") for row in rows for place in ("customer", "val/customer")]
    return [Usage(calls=row.get(f"{place}/calls") or 0, cost_usd=row.get(f"{place}/cost_usd")) for row, place in places]


def _tasks(validation: Sequence[Trajectory]) -> list[tuple[str, str]]:
    return sorted({(episode.tag, episode.task_id) for episode in validation})
