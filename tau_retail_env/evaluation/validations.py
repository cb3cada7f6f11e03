"""A training run's validations as evaluations: the folder that `tau-retail eval` writes, for each step and tag."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.evaluation import settings as module
from tau_retail_env.evaluation.conditions import SAMPLING
from tau_retail_env.evaluation.facts import facts_of
from tau_retail_env.evaluation.outcome import figures
from tau_retail_env.evaluation.record import EPISODES, RESULTS, SETTINGS, Episode
from tau_retail_env.evaluation.settings import EvalSettings, read_settings
from tau_retail_env.runs.files import write_atomically
from tau_retail_env.sources import load_tasks
from tau_retail_env.tasks import Task

FOLDER = "validations"
"""The folder of a run that holds them."""
Values = Mapping[str, Any]


def write_validation(run: Path, step: int, trajectories: Iterable[Trajectory], values: Values) -> list[Path]:
    """Write what a run played in the validation after a step.

    Args:
        run: the run's folder.
        step: the step, as its engine counts.
        trajectories: its episodes, of each the try that counts.
        values: the run's configuration as composed.

    Returns:
        The folders, one a tag: `validations/step-000020/TAG`.

    Raises:
        WriteError: the disk does not allow it.
    """
    by_tag: dict[str, list[Trajectory]] = {}
    for one in sorted(trajectories, key=lambda one: (one.tag, one.task_id, one.sampling_seed)):
        by_tag.setdefault(one.tag, []).append(one)
    folders = []
    for tag, played in by_tag.items():
        folder = _folder(run, step) / tag
        _write(folder, numbered(played), step, tag, values)
        folders.append(folder)
    return folders


def settings_after(run: Path, step: int) -> list[EvalSettings]:
    """The settings with which a run was validated after a step, one a tag; none where the run has not written them.

    Raises:
        InvalidValueError: what it has written is damaged.
    """
    return [read_settings(path.parent) for path in sorted(_folder(run, step).glob(f"*/{SETTINGS}"))]


def numbered(trajectories: Sequence[Trajectory]) -> list[Episode]:
    """Trials counted task by task in the order given."""
    seen: dict[str, int] = {}
    episodes = []
    for one in trajectories:
        episodes.append(Episode(seen.get(one.task_id, 0), one))
        seen[one.task_id] = seen.get(one.task_id, 0) + 1
    return episodes


def _folder(run: Path, step: int) -> Path:
    return run / FOLDER / f"step-{step:06d}"


def _write(folder: Path, episodes: Sequence[Episode], step: int, tag: str, values: Values) -> None:
    """Write the three files; eval.json, by which a folder is known as an evaluation, comes last."""
    env = values["custom_envs"][tag]["env_config"]
    wanted = {episode.trajectory.task_id for episode in episodes}
    tasks = [task for task in _tasks(env) if task.id in wanted]
    settings = _settings(tasks, env, max(episode.trial for episode in episodes) + 1, step, values)
    by_id = {task.id: task for task in tasks}
    results = figures(settings, [facts_of(one, by_id[one.trajectory.task_id]) for one in episodes], [], tasks)
    write_atomically(folder / EPISODES, "".join(f"{episode.as_line()}\n" for episode in episodes))
    write_atomically(folder / RESULTS, json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    write_atomically(folder / SETTINGS, settings.as_json())


def _tasks(env: Values) -> list[Task]:
    return load_tasks(
        env["source"],
        env["split"],
        env.get("task_subset", "all"),
        env.get("task_version"),
        exclude_tasks=env.get("exclude_tasks", ()),
        task_file=env.get("task_file"),
    )


def _settings(tasks: Sequence[Task], env: Values, trials: int, step: int, values: Values) -> EvalSettings:
    who = module.user_of(env.get("user_strategy", "scripted"), env.get("user_model"), env.get("user_config") or {})
    manager = values["val_env_manager"].get("generating_args") or {}
    drawn = (values.get("actor_infer") or {}).get("generating_args") or manager
    found = {**drawn, "sequence_length": values.get("sequence_length")}
    return EvalSettings(
        agent=f"{values['exp_name']} after step {step}",
        model=str(values["pretrain"]),
        source=tasks[0].source,
        task_version=module.task_version(tasks),
        split=tasks[0].split,
        subset=env.get("task_subset", "all"),
        tasks=module.task_digests(tasks),
        trials=trials,
        customer=who,
        customer_digest=module.digest_of_user(who),
        prompt_style=str(env.get("prompt_style", "full")),
        max_turns=env.get("max_turns"),
        sampling={name: found[name] for name in SAMPLING if found.get(name) is not None},
    )
