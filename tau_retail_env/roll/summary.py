"""The summary of a run with ROLL: its curves, and success before and after on the same held-out episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation.validations import write_validation
from tau_retail_env.runs import curves
from tau_retail_env.runs.checkpoints import best_in
from tau_retail_env.runs.files import read_rows
from tau_retail_env.runs.folder import RunFolder
from tau_retail_env.runs.summary import seconds_by_phase, seconds_in_words, success_before_and_after, write_summary
from tau_retail_env.runs.trajectories import read_trajectories
from tau_retail_env.statistics.comparison import in_words, success_of

Validation = Mapping[tuple[str, str, int], Trajectory]
"""Its episodes by tag, task and number of the trial."""


def summarise(folder: RunFolder, trajectories: Path, *, title: str) -> list[str]:
    """Draw curves.png and write summary.json into a run's folder.

    Args:
        folder: of a run that has ended.
        trajectories: where its workers wrote the episodes.
        title: what stands above the curves.

    Returns:
        The same for the screen; nothing where no step has ended.
    """
    rows = read_rows(folder.metrics)
    if not rows:
        return []
    validations = read_validations(trajectories)
    summary: dict[str, Any] = {"steps": rows[-1]["step"], "seconds": seconds_by_phase(rows)}
    if validations:
        summary |= _success(validations)
    if best := best_in(folder.checkpoints):
        summary["best"] = best
    found = {step: success_of(list(validation.values())) for step, validation in validations.items()}
    intervals = {step: success["interval"] for step, success in found.items() if "interval" in success}
    curves.draw(rows, folder.curves, title=curves.headline(title, summary), intervals=intervals)
    write_summary(folder.summary, summary)
    return [seconds_in_words(summary["seconds"], least=1.0), *(in_words(summary) if "after" in summary else [])]


def record_validations(run: Path, trajectories: Path, values: Mapping[str, Any]) -> None:
    """Write each validation as an evaluation into a run's folder.

    Args:
        run: the folder of a run that has ended.
        trajectories: where its workers wrote the episodes.
        values: the run's configuration as composed.

    Raises:
        WriteError: the disk does not allow it.
    """
    for step, validation in read_validations(trajectories).items():
        write_validation(run, step, validation.values(), values)


def read_validations(folder: Path) -> dict[int, Validation]:
    """The episodes of every validation, of files in which workers wrote them as they ended.

    A step that was validated twice, because the run went on from a checkpoint before it, counts as played last. Of an
    episode that was played again because its customer failed, the last try counts.

    Args:
        folder: where trajectories are; it may be missing.

    Returns:
        Validations by ROLL's step.
    """
    found: dict[int, dict[tuple[str, str, int], Trajectory]] = {}
    for path in sorted(folder.glob("val-*.jsonl"), key=_time_of):
        for episode in read_trajectories(path):
            step = -1 if episode.policy_version is None else episode.policy_version
            found.setdefault(step, {})[episode.tag, episode.task_id, episode.sampling_seed] = episode
    return dict(sorted(found.items()))


def _success(validations: Mapping[int, Validation]) -> dict[str, Any]:
    """The last validation; beside the first where both played the same tasks."""
    first, last = min(validations), max(validations)
    before = _in_order(validations[first]) if first != last else None
    return {"validated": [first, last]} | success_before_and_after(before, _in_order(validations[last]))


def _in_order(validation: Validation) -> list[Trajectory]:
    return [validation[key] for key in sorted(validation)]


def _time_of(path: Path) -> tuple[Sequence[int], str]:
    """When a worker began to write, and which of its files it is: the two numbers at the end of the name."""
    return [int(number) for number in path.stem.split("-")[-2:]], path.name
