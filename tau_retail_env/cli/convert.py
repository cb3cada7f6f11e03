"""`tau-retail convert`: evaluations into upstream's files and back, a submission, and what other trainers read."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tau_retail_env.cli.options import examples, refuse_unread
from tau_retail_env.cli.output import say
from tau_retail_env.errors import InvalidValueError

if TYPE_CHECKING:
    from tau_retail_env.episodes.trajectory import Trajectory
    from tau_retail_env.evaluation.settings import EvalSettings
    from tau_retail_env.tasks import Task

HELP = "evaluations as upstream's files and back; data for other trainers"
TRAINERS = ("verl", "slime", "trl", "llama-factory")
FORMATS = ("tau2", "tau-bench", "submission", "trajectories", *TRAINERS)
READ_WITH: Mapping[str, Collection[str]] = {
    "tau2": ("tasks", "folder"),
    "tau-bench": (),
    "submission": ("tasks", "model_name", "model_organization", "organization", "email", "type", "notes", "reference"),
    "trajectories": ("judge",),
    "trajectories --judge": ("judge", "task_version"),
    "a trainer, of tasks": ("subset", "task_version", "prompt_style"),
    "a trainer, of episodes": ("prompt_style",),
}
"""The options that are read, by what is written."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "path",
        type=Path,
        metavar="FROM",
        help="an evaluation's folder, or a file of upstream's; for a trainer also a source of tasks, such as tau2",
    )
    parser.add_argument(
        "--to",
        choices=FORMATS,
        required=True,
        metavar="FORMAT",
        help=f"{', '.join(FORMATS)}; trajectories is for a file of upstream's",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="PATH", help="the file or folder to write")
    parser.add_argument("--folder", action="store_true", help="tau2: one file a simulation, as upstream's folders")
    parser.add_argument(
        "--tasks", type=Path, metavar="FILE", help="upstream's tasks.json (default: of the edition played)"
    )
    parser.add_argument("--judge", action="store_true", help="trajectories: judge them again on this package's shop")
    parser.add_argument("--model-name", metavar="NAME", help="submission: default the evaluation's agent or model")
    parser.add_argument("--model-organization", metavar="NAME", help="submission: who made the model")
    parser.add_argument("--organization", metavar="NAME", help="submission: who ran the evaluation")
    parser.add_argument("--email", metavar="ADDRESS", help="submission: where the maintainers can ask")
    parser.add_argument("--type", choices=("standard", "custom"), help="submission: default custom")
    parser.add_argument("--notes", default="", metavar="TEXT", help="submission: how it was trained and evaluated")
    parser.add_argument("--reference", action="append", default=[], metavar="URL", help="submission: e.g. the code")
    parser.add_argument("--subset", metavar="EXPR", help="tasks for a trainer: e.g. returns+exchanges")
    parser.add_argument(
        "--task-version",
        metavar="NAME",
        help="which of τ²'s tasks, 0.2, 1.0, verified or custom: for a trainer (default 0.2); or those that --judge "
        "goes by (default: the file's own) and that the episodes written then name as theirs",
    )
    parser.add_argument(
        "--prompt-style", metavar="STYLE", help="trainers: full, compressed or minimal (default: FROM's)"
    )
    examples(
        parser,
        "tau-retail convert outputs/eval/A --to tau2 --output results.json",
        "tau-retail convert results.json --to trajectories --output t.jsonl",
        "tau-retail convert tau2 --to verl --output data",
        "tau-retail convert outputs/eval/A --to llama-factory --output data",
    )


def run(options: argparse.Namespace) -> int:
    """Convert."""
    from tau_retail_env.evaluation.record import evaluation_at

    if options.output.exists() and (not options.output.is_dir() or any(options.output.iterdir())):
        raise InvalidValueError(f"--output: {options.output} is there already; name another, or remove it")
    options.path = evaluation_at(options.path)
    refuse_unread(options, f"convert {options.path} --to {options.to}", READ_WITH, _written(options))
    if options.to in TRAINERS:
        return _to_trainer(options)
    return _from_upstream(options) if options.to == "trajectories" else _to_upstream(options)


def _written(options: argparse.Namespace) -> str:
    """What is written: a key of `READ_WITH`."""
    if options.to in TRAINERS:
        return f"a trainer, of {'tasks' if _is_source(options) else 'episodes'}"
    return f"{options.to}{' --judge' * (options.to == 'trajectories' and options.judge)}"


def _is_source(options: argparse.Namespace) -> bool:
    from tau_retail_env.sources import SOURCES

    return str(options.path) in SOURCES


def _to_trainer(options: argparse.Namespace) -> int:
    from tau_retail_env.sources import SOURCES

    is_source = _is_source(options)
    if is_source and options.to == "llama-factory":
        raise InvalidValueError(
            f"LLaMA-Factory learns from conversations, not from tasks. Play some, and convert these: tau-retail eval "
            f"--agent oracle --source {options.path} --split train --output FOLDER"
        )
    if not is_source and options.to in ("verl", "slime"):
        raise InvalidValueError(
            f"{options.to} plays tasks: FROM must be a source ({', '.join(SOURCES)}), found {options.path}"
        )
    return _tasks_to_trainer(options) if is_source else _conversations_to_trainer(options)


def _tasks_to_trainer(options: argparse.Namespace) -> int:
    """One file a split, with a row a task; the lengths are given in verl's own terms."""
    from tau_retail_env.evaluation.trainers import files, tasks

    selection = tasks.Selection(
        source=str(options.path),
        subset=options.subset or "all",
        task_version=options.task_version,
        prompt_style=options.prompt_style or "full",
    )
    selection.check()
    as_row = {"verl": tasks.verl_row, "slime": tasks.slime_row, "trl": tasks.trl_row}[options.to]
    for split in tasks.SPLITS:
        rows = map(as_row, tasks.prompts_of(selection, split))
        if options.to == "slime":
            count = files.write_lines(options.output / f"{split}.jsonl", rows)
        else:
            count = files.write_parquet(options.output / f"{split}.parquet", rows)
        say(f"{split} dataset len : {count}")
    return 0


def _conversations_to_trainer(options: argparse.Namespace) -> int:
    """The successful episodes of a run; splits that are for judging are named."""
    from tau_retail_env.evaluation.sides import episodes_of
    from tau_retail_env.evaluation.trainers import conversations, files

    style = options.prompt_style or _prompt_style(options.path)
    found = list(conversations.conversations_of(episodes_of(str(options.path)), style))
    kept = [one for one in found if one is not None]
    as_row = conversations.trl_row if options.to == "trl" else conversations.llama_factory_row
    rows = [row for one in kept if (row := as_row(one)) is not None]
    if not rows:
        raise InvalidValueError(
            f"None of the {len(found)} episodes of {options.path} earned its reward: no row to write"
        )
    if options.to == "trl":
        files.write_parquet(options.output / "train.parquet", rows)
    else:
        files.write_lines(options.output / "train.jsonl", rows)
        _write_json(options.output / "dataset_info.json", conversations.dataset_info("train.jsonl"))
    say(f"{options.output}: {len(rows)} conversations of {len(found)} episodes; {len(found) - len(kept)} failed")
    if unfit := len(kept) - len(rows):
        say(f"{unfit} left out, in which customer and agent do not take turns")
    if judged := sorted({one.split for one in kept} - {"train", "train2", "train3", "train4", "train5", "train6", ""}):
        say(f"some are of the split {', '.join(judged)}: a model trained on them cannot be judged on it")
    return 0


def _prompt_style(path: Path) -> str:
    """How the agent of a run was shown the domain policy and the tools, as far as it is known."""
    from tau_retail_env.evaluation.record import SETTINGS
    from tau_retail_env.evaluation.settings import read_settings

    return read_settings(path).prompt_style if (path / SETTINGS).is_file() else "full"


def _write_json(path: Path, value: Any) -> None:
    import json

    from tau_retail_env.runs.files import write_atomically

    write_atomically(path, json.dumps(value, indent=2) + "\n")


def _to_upstream(options: argparse.Namespace) -> int:
    from tau_retail_env.evaluation.record import EPISODES, best_episodes
    from tau_retail_env.evaluation.settings import read_settings
    from tau_retail_env.evaluation.upstream import tau2, tau_bench

    settings = read_settings(options.path)
    episodes = best_episodes(options.path / EPISODES, settings)
    if (first := next(episodes, None)) is None:
        raise InvalidValueError(f"{options.path} holds no episode; play some with the command that began it")
    episodes = itertools.chain((first,), episodes)
    if options.to == "submission":
        return _submit(options, settings)
    if options.to == "tau2":
        rows = _rows(options, settings)
        written, left_out = tau2.write(options.output, settings, episodes, rows, as_folder=options.folder)
    else:
        written, left_out = tau_bench.write(options.output, settings, episodes, _tasks(settings))
    say(f"{options.output}: {written} episodes")
    if left_out:
        say(f"{left_out} unscorable episodes left out: upstream has no word for them in every version")
    return 0


def _submit(options: argparse.Namespace, settings: EvalSettings) -> int:
    import json

    from tau_retail_env.evaluation.record import EPISODES, RESULTS, best_episodes
    from tau_retail_env.evaluation.upstream import submission

    if missing := [
        name for name in ("model-organization", "organization", "email") if not vars(options)[name.replace("-", "_")]
    ]:
        raise InvalidValueError(f"--to submission needs --{', --'.join(missing)}")
    submitter = submission.Submitter(
        model_name=options.model_name or settings.model or settings.agent,
        model_organization=options.model_organization,
        organization=options.organization,
        email=options.email,
        type=options.type or "custom",
        notes=options.notes,
        references=options.reference,
    )
    results = json.loads((options.path / RESULTS).read_text(encoding="utf-8"))
    rows = _rows(options, settings)
    episodes = best_episodes(options.path / EPISODES, settings)
    submission.write(options.output, settings, episodes, results, rows, submitter)
    say(f"{options.output}: check it with upstream's own: tau2 submit validate {options.output}")
    return 0


def _rows(options: argparse.Namespace, settings: EvalSettings) -> list[dict[str, Any]]:
    """Upstream's tasks for a file: those of --tasks, else of the edition that was played.

    Raises:
        InvalidValueError: the file holds none.
        MissingDependencyError: none are given, and that edition is not here.
    """
    from tau_retail_env.evaluation.upstream import tau2

    if options.tasks is not None or settings.source != "tau2":
        return tau2.task_rows(options.tasks)
    return tau2.task_rows(version=settings.task_version)


def _from_upstream(options: argparse.Namespace) -> int:
    """Episode by episode: upstream's files may be larger than memory."""
    from tau_retail_env.evaluation.sides import read_upstream
    from tau_retail_env.evaluation.upstream.conversation import judged_again
    from tau_retail_env.runs.trajectories import write_trajectories

    written, changed = 0, 0
    renamed: dict[str | None, int] = {}

    def converted() -> Iterator[Trajectory]:
        nonlocal written, changed
        for episode in read_upstream(options.path):
            found = episode.trajectory
            (kept,) = judged_again([found], options.task_version) if options.judge else (found,)
            written, changed = written + 1, changed + (kept.reward != found.reward)
            if kept.task_version != found.task_version:
                renamed[found.task_version] = renamed.get(found.task_version, 0) + 1
            yield kept

    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_trajectories(options.output, converted())
    if options.judge:
        say(f"{changed} of {written} rewards differ from the file's")
    for version, count in renamed.items():
        was = f"of {version}" if version else "of a version that is not told"
        say(f"{count} episodes {was} are judged as {options.task_version}, and say so in place of their own version")
    say(f"{options.output}: {written} episodes")
    return 0


def _tasks(settings: EvalSettings) -> list[Task]:
    """The evaluation's tasks.

    Raises:
        InvalidValueError: they are another version of those that are here.
    """
    from tau_retail_env.evaluation.settings import different_tasks, task_digests
    from tau_retail_env.sources import load_tasks

    tasks = [task for task in load_tasks(settings.source, settings.split) if task.id in settings.tasks]
    if (digests := task_digests(tasks)) != settings.tasks:
        raise InvalidValueError(f"The tasks here are others: {different_tasks(settings.tasks, digests)}")
    return tasks
