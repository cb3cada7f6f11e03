"""Fit what a step costs to the recorded runs, and print its error on each: python benchmarks/step_costs.py

Reads docs/runs/ (config.yaml and metrics.jsonl of a run with ROLL, ppo_config.yaml and ppo_metrics.jsonl of a chain's
last stage), and what docs/runs/roll_learning measured of learning alone, of two shapes. For each run the error is that
of a fit without it, so that it says how far a run is foreseen which is not among the recorded; --write puts the fit to
all of them into tau_retail_env/roll/config/step_costs.toml. All runs had the same card, and one GPU to learn: that work
divides by the number of GPUs is assumed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

import numpy as np
import yaml
from scipy.optimize import nnls

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.models.shapes import KNOWN, Shape
from tau_retail_env.roll.config.rules import RollValues
from tau_retail_env.roll.config.step_costs import PARTS, TABLE, Episode, Step, seconds, step_of

ROOT = Path(__file__).resolve().parent.parent
SMOL = "HuggingFaceTB/SmolLM2-135M-Instruct"
SHAPES = {"roll_smol": SMOL, "smol_chain": SMOL, "roll_four_gpus": SMOL, "roll_groups": SMOL}
"""Runs whose `pretrain` was a folder of the machine they ran on."""
SECONDS: Mapping[str, tuple[str, ...]] = {
    "rollout": ("time/step_rollout",),
    "log-probabilities and values": ("time/step_ref_log_probs_values_reward", "time/step_old_log_probs_values"),
    "training": ("time/step_train",),
}
TOTAL = "time/step_total"
BENCHMARKED = {"Qwen2.5-0.5B": "Qwen/Qwen2.5-0.5B-Instruct", "SmolLM2-135M": "HuggingFaceTB/SmolLM2-135M-Instruct"}
COPIES = 20
"""How often a shape measured alone counts, about as often as a run has steps."""
SKIP = 2
"""First steps left out: things are compiled."""

Row = tuple[Step, dict[str, float]]
"""A step as the costs see it, and what it took."""


def main() -> None:
    """Fit, print the errors, and write the fit where it is wanted."""
    options = _options()
    runs = {folder.name: rows_of(folder) for folder in sorted((ROOT / "docs" / "runs").iterdir())}
    runs = {name: rows for name, rows in runs.items() if rows}
    alone = measured_alone()
    print(f"{'run':22}{'steps':>6}{'recorded s':>12}{'foreseen s':>12}{'error':>8}   error by part")
    errors = []
    for name, rows in runs.items():
        others = alone + [row for other, found in runs.items() if other != name for row in found]
        costs = fit(others)
        foreseen = [seconds(step, costs) for step, _ in rows]
        took = {part: median(row[1][part] for row in rows) for part in PARTS}
        guess = {part: median(one[part] for one in foreseen) for part in PARTS}
        error = sum(guess.values()) / sum(took.values()) - 1
        errors.append(abs(error))
        parts = ", ".join(f"{part} {guess[part]:.1f} of {took[part]:.1f}" for part in PARTS)
        print(f"{name:22}{len(rows):6d}{sum(took.values()):12.1f}{sum(guess.values()):12.1f}{error:8.0%}   {parts}")
    print(f"mean error of a run that the fit has not seen: {fmean(errors):.0%}")
    costs = fit(alone + [row for rows in runs.values() for row in rows])
    within = [
        sum(seconds(step, costs).values()) / sum(took.values()) - 1 for rows in runs.values() for step, took in rows
    ]
    print(f"median error of a step that it has seen: {median(map(abs, within)):.0%}")
    if options.write:
        write(costs, fmean(errors), len(errors))


def rows_of(folder: Path) -> list[Row]:
    """A run's steps without a validation beside them; none where no run with ROLL is recorded."""
    before = "ppo_" if (folder / "ppo_metrics.jsonl").is_file() else ""
    composed = folder / f"{before}config.yaml"
    if not composed.is_file():
        return []
    values = yaml.safe_load(composed.read_text(encoding="utf-8"))
    if values.get("engine") != "roll":
        return []
    if folder.name in SHAPES:
        values["pretrain"] = SHAPES[folder.name]
    config = RollValues(values, RollSchema.load("main"))
    found = []
    for line in (folder / f"{before}metrics.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["step"] < SKIP or "time/step_val" in row or TOTAL not in row:
            continue
        tokens = row["rollout/prompt_length/mean"] + row["rollout/non_prompt_length/mean"]
        episode = Episode(turns_of(config, row), row["rollout/response_length/mean"], tokens)
        step = step_of(config, episode)
        if row["step"] < config("critic_warmup"):
            step = replace(step, trained=1.0, updates=step.updates / 2)
        took = {part: sum(row[name] for name in names) for part, names in SECONDS.items()}
        found.append((step, took | {"the rest": row[TOTAL] - sum(took.values())}))
    return found


def turns_of(config: RollValues, row: Mapping[str, float]) -> float:
    """The actor's messages in an episode, over all tags that are trained on."""
    tags, groups = config("train_env_manager.tags"), config("train_env_manager.num_groups_partition")
    return sum(row[f"env/{tag}/turns"] * number for tag, number in zip(tags, groups, strict=True)) / sum(groups)


def measured_alone() -> list[Row]:
    """Learning without a run around it, weighted as much as a run: benchmarks/roll_learning.py, the side `ours`."""
    found: list[Row] = []
    for path in sorted((ROOT / "docs" / "runs" / "roll_learning").glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        if "ours" not in told["sides"]:
            continue
        options, ours = told["options"], told["sides"]["ours"]
        step = Step(
            episodes=options["rows"],
            episode=Episode(0, options["own"], options["tokens"]),
            sequence_length=options["sequence_length"],
            shape=Shape(*KNOWN[BENCHMARKED[options["shape"]]]),
            learning=1,
            playing=1,
            passes=2,
            trained=2.0,
            updates=2.0 * options["updates"],
        )

        def of(part: str, ours: Any = ours, options: Any = options) -> float:
            return float(ours[part]["seconds"])  # scaled to all rows

        took = {
            "log-probabilities and values": of("log-probabilities") + of("values"),
            "training": of("actor") + of("critic"),
        }
        found += [(step, took)] * COPIES
    return found


def fit(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Coefficients of each part, none negative, by least squares of the relative error."""
    costs = {}
    for part in PARTS:
        having = [(step, row[part]) for step, row in rows if part in row and not _is_ahead(step, part)]
        features = np.array([step.features(part) for step, _ in having])
        took = np.array([one for _, one in having])
        weights = 1 / np.maximum(took, 0.1)
        costs[part] = [float(one) for one in nnls(features * weights[:, None], took * weights)[0]]
    return costs


def _is_ahead(step: Step, part: str) -> bool:
    """Whether a run that plays ahead shows only the rest of its rollout: it has no critic, and GPUs of their own."""
    return part == "rollout" and step.passes == 2 and step.trained == 1


def write(costs: Mapping[str, Sequence[float]], error: float, runs: int) -> None:
    """Put the coefficients and the error into the table, whose other numbers stay."""
    head, _, _ = TABLE.read_text(encoding="utf-8").partition("[unseen]\n")
    head += f"[unseen]\nerror = {error:.3f}\nruns = {runs}\n\n"
    lines = [f'"{part}" = [{", ".join(f"{one:.6g}" for one in costs[part])}]' for part in PARTS]
    TABLE.write_text(head + "[costs]\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the fit into the package")
    return parser.parse_args()


if __name__ == "__main__":
    main()
