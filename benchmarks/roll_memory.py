"""The memory that --plan foresees, beside what learners allocated: python benchmarks/roll_memory.py

Prints the table of docs/roll.md. Of learning alone it is the peak that docs/runs/roll_learning measured, of a recorded
run the largest `system/max_memory_allocated`: PyTorch's peak in one learner's process, the critic's where there is one,
whose figure ROLL logs after the actor's under the same name. What else lies on the card is in neither.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.step_costs import BENCHMARKED, ROOT, composed_of
from tau_retail_env.config import compose
from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.models.shapes import shape_of
from tau_retail_env.roll.config.memory import memory
from tau_retail_env.roll.config.rules import RollValues
from tau_retail_env.roll.config.step_costs import step_of

PEAK = "system/max_memory_allocated"
RUNS = ROOT / "docs" / "runs"


class Row(NamedTuple):
    """A learner of a run."""

    where: str
    """In Markdown."""
    learner: str
    """Actor or critic."""
    foreseen: float
    """GiB by the arithmetic."""
    peak: float
    """GiB that its process allocated."""


def main() -> None:
    """Print the table."""
    print("\n".join(table()))


def table() -> list[str]:
    """Lines of Markdown."""
    lines = ["| | learner | by the arithmetic, GiB | allocated at the peak, GiB | error |", "|---|---|---|---|---|"]
    for row in (*alone(), *recorded()):
        error = f"{row.foreseen / row.peak - 1:+.0%}".replace("%", " %")
        lines.append(f"| {row.where} | {row.learner} | {row.foreseen:.1f} | {row.peak:.1f} | {error} |")
    return lines


def alone() -> Iterator[Row]:
    """Learning without a run around it."""
    for name in ("qwen", "smol"):
        told = json.loads((RUNS / "roll_learning" / f"{name}.json").read_text(encoding="utf-8"))
        shape = told["options"]["shape"]
        pretrain = BENCHMARKED[shape]
        tokens = told["options"]["train_tokens"]
        sizes = [f"{role}.max_tokens_per_microbatch_in_train={tokens}" for role in ("actor_train", "critic")]
        values = compose("tau_retail_1gpu", overrides=[f"pretrain={pretrain}", *sizes])
        foreseen = memory(RollValues(values, RollSchema.load("main")), shape_of(pretrain)).learner
        for learner in ("actor", "critic"):
            where = f"{shape}, [alone](runs/roll_learning/README.md)"
            yield Row(where, learner, foreseen, told["sides"]["ours"][learner]["peak, GiB"])


def recorded() -> Iterator[Row]:
    """Runs on FSDP2 that packed rows by tokens."""
    for folder in sorted(RUNS.iterdir()):
        config, metrics = composed_of(folder)
        if config is None or not config("actor_train.max_tokens_per_microbatch_in_train"):
            continue
        peak = max(json.loads(line).get(PEAK, 0.0) for line in metrics.read_text(encoding="utf-8").splitlines())
        if not peak:
            continue
        gpus = len(config.devices("actor_train"))
        where = f"[{folder.name}](runs/{folder.name}/README.md), {gpus} GPU{'s' if gpus > 1 else ''}"
        learner = "critic" if config.has_critic else "actor"
        yield Row(where, learner, memory(config, step_of(config).shape).learner, peak)


if __name__ == "__main__":
    main()
