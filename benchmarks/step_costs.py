"""Fit what a step costs to the recorded runs, and print its error on each: python benchmarks/step_costs.py

Reads docs/runs/ (config.yaml and metrics.jsonl of a run with ROLL, ppo_config.yaml and ppo_metrics.jsonl of a chain's
last stage), and what docs/runs/roll_learning measured of learning alone, of two shapes. For each run the error is that
of a fit without it, so that it says how far a run is foreseen which is not among the recorded: from the episodes that
it played, and, as --plan does it, from its configuration alone. Every run counts the same, however many steps it has.
All had the same card, and all but one a single GPU to learn: that work divides by the number of GPUs is assumed.

A new run is a folder with these two files; --write then puts the fit to all of them into
tau_retail_env/roll/config/step_costs.toml. Not read are roll_guess (two steps), roll_megatron (another backend),
roll_two_gpus (each step with a validation or a checkpoint) and the PPO of smol_wants (beside evaluations).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median

import numpy as np
import yaml
from scipy.optimize import nnls

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.models.shapes import KNOWN, Shape
from tau_retail_env.models.shipped import SMALL
from tau_retail_env.roll.config.rules import RollValues
from tau_retail_env.roll.config.step_costs import PARTS, TABLE, Episode, Step, seconds, step_of

ROOT = Path(__file__).resolve().parent.parent
FINE_TUNED = "HuggingFaceTB/SmolLM2-135M-Instruct"
"""What all recorded runs had fine-tuned whose `pretrain` was a folder of the machine they ran on."""
SECONDS: Mapping[str, tuple[str, ...]] = {
    "rollout": ("time/step_rollout",),
    "log-probabilities and values": ("time/step_ref_log_probs_values_reward", "time/step_old_log_probs_values"),
    "training": ("time/step_train",),
}
TOTAL = "time/step_total"
BESIDE = {"time/step_val", "time/actor_train/do_checkpoint/total"}
"""What --plan does not count, either."""
ALONE = {"log-probabilities and values": ("log-probabilities", "values"), "training": ("actor", "critic")}
"""The parts of benchmarks/roll_learning.py."""
LEFT_OUT = "rollout/episodes_left_out"
BENCHMARKED = {"Qwen2.5-0.5B": "Qwen/Qwen2.5-0.5B-Instruct", "SmolLM2-135M": FINE_TUNED}
SKIP = 2
"""First steps left out: things are compiled."""


@dataclass(frozen=True, slots=True)
class Row:
    """A step as the costs see it, and what it took."""

    step: Step
    """With the episodes that were played."""
    planned: Step
    """With those that --plan takes it to have."""
    took: Mapping[str, float]
    """Seconds by part."""


def main() -> None:
    """Fit, print the errors, and write the fit where it is wanted."""
    options = _options()
    runs, alone = recorded(), measured_alone()
    heads = f"{'recorded s':>12}{'foreseen s':>12}{'error':>7}{'planned s':>11}{'error':>7}"
    print(f"{'run':16}{'steps':>6}{heads}   foreseen by part")
    errors: list[tuple[float, float]] = []
    for name, rows in runs.items():
        costs = fit([*alone, *(others for other, others in runs.items() if other != name)])
        took = medians([row.took for row in rows])
        foreseen = medians([seconds(row.step, costs) for row in rows])
        planned = medians([seconds(row.planned, costs) for row in rows])
        whole, known, blind = (sum(one.values()) for one in (took, foreseen, planned))
        error, blind_error = known / whole - 1, blind / whole - 1
        errors.append((error, blind_error))
        parts = ", ".join(f"{part} {foreseen[part]:.1f} of {took[part]:.1f}" for part in PARTS)
        told = f"{whole:12.1f}{known:12.1f}{error:7.0%}{blind:11.1f}{blind_error:7.0%}"
        print(f"{name:16}{len(rows):6d}{told}   {parts}")
    unseen, unplayed = (fmean(map(abs, column)) for column in zip(*errors, strict=True))
    print(f"mean error of a run that the fit has not seen: {unseen:.0%}, from its configuration alone {unplayed:.0%}")
    costs = fit([*alone, *runs.values()])
    within = [
        sum(seconds(row.step, costs).values()) / sum(row.took.values()) - 1 for rows in runs.values() for row in rows
    ]
    print(f"median error of a step that it has seen: {median(map(abs, within)):.0%}")
    if options.write:
        write(costs, unseen, runs)


def medians(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The middle of each part's seconds."""
    return {part: median(row[part] for row in rows) for part in PARTS}


def recorded() -> dict[str, list[Row]]:
    """The recorded runs' steps, by their folder's name."""
    folders = sorted((ROOT / "docs" / "runs").iterdir())
    return {folder.name: rows for folder in folders if (rows := rows_of(folder))}


def rows_of(folder: Path) -> list[Row]:
    """A run's steps without a validation or a checkpoint beside them; none where no run with ROLL is recorded."""
    config, metrics = composed_of(folder)
    if config is None:
        return []
    lines = metrics.read_text(encoding="utf-8").splitlines()
    return [_row(config, row) for row in map(json.loads, lines) if _counts(row)]


def composed_of(folder: Path) -> tuple[RollValues | None, Path]:
    """A run's configuration, None where no run with ROLL is recorded, and the file of its metrics."""
    before = "ppo_" if (folder / "ppo_metrics.jsonl").is_file() else ""
    composed, metrics = folder / f"{before}config.yaml", folder / f"{before}metrics.jsonl"
    if not composed.is_file():
        return None, metrics
    values = yaml.safe_load(composed.read_text(encoding="utf-8"))
    if values.get("engine") != "roll":
        return None, metrics
    if values["pretrain"] not in {*KNOWN, SMALL}:
        values["pretrain"] = FINE_TUNED
    return RollValues(values, RollSchema.load("main")), metrics


def _counts(row: Mapping[str, float]) -> bool:
    return row["step"] >= SKIP and TOTAL in row and not BESIDE & row.keys()


def _row(config: RollValues, row: Mapping[str, float]) -> Row:
    lengths = {name: row[f"rollout/{name}_length/mean"] for name in ("prompt", "non_prompt", "response")}
    episode = Episode(
        turns=turns_of(config, row),
        own=lengths["response"],
        tokens=lengths["prompt"] + lengths["non_prompt"],
        longest=row["rollout/response_length/max"],
    )
    steps = [step_of(config, episode, config("rollout_batch_size") - row.get(LEFT_OUT, 0)), step_of(config)]
    if row["step"] < config("critic_warmup"):
        steps = [replace(step, trained=1.0, updates=step.updates / 2) for step in steps]
    took = {part: sum(row[name] for name in names) for part, names in SECONDS.items()}
    return Row(*steps, took | {"the rest": row[TOTAL] - sum(took.values())})


def turns_of(config: RollValues, row: Mapping[str, float]) -> float:
    """The actor's messages in an episode, over all tags that are trained on."""
    tags, groups = config("train_env_manager.tags"), config("train_env_manager.num_groups_partition")
    return sum(row[f"env/{tag}/turns"] * number for tag, number in zip(tags, groups, strict=True)) / sum(groups)


def measured_alone() -> list[list[Row]]:
    """Learning without a run around it, each shape as a run: benchmarks/roll_learning.py, the side `ours`."""
    found: list[list[Row]] = []
    for path in sorted((ROOT / "docs" / "runs" / "roll_learning").glob("*.json")):
        told = json.loads(path.read_text(encoding="utf-8"))
        if "ours" not in told["sides"]:
            continue
        options, ours = told["options"], told["sides"]["ours"]
        step = Step(
            episodes=options["rows"],
            learnt=options["rows"],
            episode=Episode(turns=0, own=options["own"], tokens=options["tokens"], longest=0),
            shape=Shape(*KNOWN[BENCHMARKED[options["shape"]]]),
            learning=1,
            playing=1,
            engines=1,
            passes=2,
            trained=2.0,
            updates=2.0 * options["updates"],
        )
        took = {
            part: sum(float(ours[name]["seconds"]) for name in names)  # scaled to all rows
            for part, names in ALONE.items()
        }
        found.append([Row(step, step, took)])
    return found


def fit(runs: Sequence[Sequence[Row]]) -> dict[str, list[float]]:
    """Coefficients of each part, none negative, by least squares of the relative error; each run counts the same.

    Args:
        runs: steps of each.
    """
    costs = {}
    for part in PARTS:
        having = [
            (row.step.features(part), row.took[part], len(rows))
            for rows in runs
            for row in rows
            if part in row.took and not _is_ahead(row.step, part)
        ]
        features, took = np.array([one for one, _, _ in having]), np.array([one for _, one, _ in having])
        weights = 1 / np.maximum(took, 0.1) / np.sqrt([steps for _, _, steps in having])
        costs[part] = [float(one) for one in nnls(features * weights[:, None], took * weights)[0]]
    return costs


def _is_ahead(step: Step, part: str) -> bool:
    """Whether a run that plays ahead shows only the rest of its rollout: it has no critic, and GPUs of their own."""
    return part == "rollout" and step.passes == 2 and step.trained == 1


def write(costs: Mapping[str, Sequence[float]], error: float, runs: Mapping[str, Sequence[Row]]) -> None:
    """Put the coefficients, and of how many runs they are, into the table, whose other numbers stay."""
    head, _, _ = TABLE.read_text(encoding="utf-8").partition("[unseen]\n")
    head += f"[unseen]\nerror = {error:.3f}\nruns = {len(runs)}\n\n"
    lines = [f'"{part}" = [{", ".join(f"{one:.6g}" for one in costs[part])}]' for part in PARTS]
    TABLE.write_text(head + "[costs]\n" + "\n".join(lines) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the fit into the package")
    return parser.parse_args()


if __name__ == "__main__":
    main()
