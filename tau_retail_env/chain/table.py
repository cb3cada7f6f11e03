"""What a chain's weights earned, stage by stage: the figures of all that was played, beside one another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.chain.plan import PLAY, PlannedStage
from tau_retail_env.chain.record import StageRecord
from tau_retail_env.evaluation.outcome import interval_of
from tau_retail_env.evaluation.record import RESULTS
from tau_retail_env.runs.files import write_atomically

TABLE = "stages.md"
"""The table in words."""
FIGURES = "stages.json"
"""The same with everything that the evaluations tell."""
NOTHING = "–"


def write_table(folder: Path, planned: Sequence[PlannedStage], records: Mapping[str, StageRecord]) -> str:
    """Write the figures of what was played so far.

    Args:
        folder: the chain's.
        planned: its stages.
        records: those that have begun.

    Returns:
        The table: a row for each weights that were judged, a column for each set of tasks.

    Raises:
        WriteError: the disk does not allow it.
    """
    figures: dict[str, dict[str, Any]] = {}
    for stage in planned:
        if stage.kind == PLAY and not stage.keeps and stage.name in records:
            figures.setdefault(stage.weights_of, {}).update(_results(folder / stage.name / "run"))
    stages = {name: {"seconds": record.seconds, "is_whole": record.is_whole} for name, record in records.items()}
    write_atomically(folder / FIGURES, json.dumps({"stages": stages, "weights": figures}, indent=1) + "\n")
    text = _as_text(figures)
    write_atomically(folder / TABLE, text + "\n")
    return text


def _results(run: Path) -> dict[str, Any]:
    """By set, what an evaluation has found."""
    return {path.parent.name: json.loads(path.read_text("utf-8")) for path in sorted(run.glob(f"*/{RESULTS}"))}


def _as_text(figures: Mapping[str, Mapping[str, Any]]) -> str:
    sets = list(dict.fromkeys(name for by_set in figures.values() for name in by_set))
    rows = [["weights after", *(f"{name}: pass^1 [95 %], pass^k" for name in sets)]]
    rows += [[stage, *(_cell(by_set.get(name)) for name in sets)] for stage, by_set in figures.items()]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def _cell(results: Mapping[str, Any] | None) -> str:
    if results is None or "pass^1" not in results:
        return NOTHING
    first, most = results["pass^1"], results["trials"]
    interval = interval_of(first)
    last = results.get(f"pass^{most}") if most > 1 else None
    more = f", pass^{most} {100 * last['value']:.1f}" if last else ""
    partial = " (partial)" if results["episodes"]["not_played"] else ""
    return f"{100 * first['value']:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]{more}{partial}"
