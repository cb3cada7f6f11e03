"""τ²'s leaderboard: submission.json beside the trajectories, as its maintainers' tools validate it."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.evaluation.settings import EvalSettings
from tau_retail_env.evaluation.upstream import tau2
from tau_retail_env.runs.files import write_atomically

FILE = "submission.json"
FOLDER = "trajectories"
LEADERBOARD_SPLIT = "base"
LEADERBOARD_VERSION = "1.0"
"""The edition whose tasks `tau2 submit validate` compares a submission's with."""
MOST_TRIALS = 4
"""The leaderboard shows pass^1 to pass^4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """Who submits what; the leaderboard asks for all of it."""

    model_name: str
    """The model's name on the leaderboard: that of the trajectories."""
    model_organization: str
    """Who made the model."""
    organization: str
    """Who ran the evaluation."""
    email: str
    """Where the maintainers can ask."""
    type: Literal["standard", "custom"] = "custom"
    """custom for a model that was trained on τ's tasks, or with another customer, prompt or tools than upstream's."""
    notes: str = ""
    """How it was trained and evaluated; custom needs it."""
    references: Sequence[str] = ()
    """Addresses of the implementation, a paper or a report; custom needs one."""

    def check(self) -> None:
        """Refuse a custom submission without what the leaderboard's rules ask of one.

        Raises:
            InvalidValueError: no notes, or no reference.
        """
        if self.type == "custom" and not (self.notes and self.references):
            raise InvalidValueError(
                "A custom submission (a model trained on τ's tasks, another customer, prompt or tool) needs --notes "
                "that say how, and --reference with an address of the implementation"
            )


def write(
    folder: Path,
    settings: EvalSettings,
    episodes: Iterable[Episode],
    results: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    submitter: Submitter,
) -> None:
    """Write a submission: submission.json and the trajectories.

    Args:
        folder: where to.
        settings: the evaluation's.
        episodes: its episodes.
        results: what its results.json holds.
        rows: upstream's tasks, as `tau2.task_rows` reads them.
        submitter: who submits what.

    Raises:
        InvalidValueError: not upstream's whole split of its present tasks, an unfinished evaluation, unscorable
            episodes, or a custom submission without its reasons.
        WriteError: the disk does not allow it.
    """
    submitter.check()
    _check(settings, results, rows)
    name = f"{_plain(submitter.model_name)}_retail_{settings.trials}trials.json"
    tau2.write(folder / FOLDER / name, settings, episodes, rows)
    write_atomically(folder / FILE, json.dumps(_submission(settings, results, submitter, name), indent=2) + "\n")


def _check(settings: EvalSettings, results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> None:
    wanted, found = {f"tau2/{row['id']}" for row in rows}, set(settings.tasks)
    if found != wanted:
        raise InvalidValueError(
            f"The leaderboard takes all {len(wanted)} tasks of split {LEADERBOARD_SPLIT} without a filter; this "
            f"evaluation has {len(found)}: tau-retail eval --split {LEADERBOARD_SPLIT}"
        )
    if settings.task_version != LEADERBOARD_VERSION:
        raise InvalidValueError(
            f"The leaderboard takes the tasks of version {LEADERBOARD_VERSION}, this evaluation has "
            f"{settings.task_version}: tau-retail eval --task-version {LEADERBOARD_VERSION} "
            f"--split {LEADERBOARD_SPLIT}"
        )
    episodes = results["episodes"]
    if episodes["scored"] != episodes["asked"]:
        raise InvalidValueError(
            f"Only {episodes['scored']} of {episodes['asked']} episodes are scored: the leaderboard wants as many "
            "trials of every task; the evaluation's own command plays what is missing"
        )


def _submission(
    settings: EvalSettings, results: Mapping[str, Any], submitter: Submitter, file_name: str
) -> dict[str, Any]:
    passes = {f"pass_{k}": 100 * results[f"pass^{k}"]["value"] for k in range(1, min(settings.trials, MOST_TRIALS) + 1)}
    costs = (
        {"cost": results["cost_usd"]["agent"] / results["episodes"]["scored"]} if "agent" in results["cost_usd"] else {}
    )
    customer = settings.customer
    today = datetime.date.today().isoformat()
    return {
        "model_name": submitter.model_name,
        "model_organization": submitter.model_organization,
        "submitting_organization": submitter.organization,
        "submission_date": today,
        "submission_type": submitter.type,
        "modality": "text",
        "contact_info": {"email": submitter.email},
        "is_new": False,
        "trajectories_available": True,
        "trajectory_files": {tau2.RETAIL: file_name},
        "results": {tau2.RETAIL: passes | costs},
        "references": [{"title": address, "url": address} for address in submitter.references],
        "methodology": {
            "evaluation_date": today,
            "tau2_bench_version": settings.task_version,
            "user_simulator": customer.get("model") or str(customer.get("strategy")),
            "notes": submitter.notes or None,
            "verification": {
                "modified_prompts": settings.prompt_style != "full",
                "omitted_questions": False,
                "details": f"tau-retail {settings.package_version}, prompt style {settings.prompt_style}",
            },
        },
    }


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-." else "-" for letter in name)
