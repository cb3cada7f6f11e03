"""`tau-retail convert`: evaluations into upstream's files and back, and a submission for τ²'s leaderboard."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tau_retail_env.cli.options import examples
from tau_retail_env.cli.output import say
from tau_retail_env.errors import InvalidValueError

if TYPE_CHECKING:
    from tau_retail_env.evaluation.settings import EvalSettings
    from tau_retail_env.tasks import Task

HELP = "evaluations as upstream's result files, and back"
FORMATS = ("tau2", "tau-bench", "submission", "trajectories")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("path", type=Path, metavar="FROM", help="an evaluation's folder, or a file of upstream's")
    parser.add_argument("--to", choices=FORMATS, required=True, help="trajectories is for a file of upstream's")
    parser.add_argument("--output", type=Path, required=True, metavar="PATH", help="the file or folder to write")
    parser.add_argument("--folder", action="store_true", help="tau2: one file a simulation, as upstream's folders")
    parser.add_argument("--tasks", type=Path, metavar="FILE", help="upstream's tasks.json (default: the wheel's)")
    parser.add_argument("--judge", action="store_true", help="trajectories: judge them again on this package's shop")
    parser.add_argument("--model-name", metavar="NAME", help="submission: default the evaluation's agent or model")
    parser.add_argument("--model-organization", metavar="NAME", help="submission: who made the model")
    parser.add_argument("--organization", metavar="NAME", help="submission: who ran the evaluation")
    parser.add_argument("--email", metavar="ADDRESS", help="submission: where the maintainers can ask")
    parser.add_argument("--type", choices=("standard", "custom"), default="custom", help="submission: default custom")
    parser.add_argument("--notes", default="", metavar="TEXT", help="submission: how it was trained and evaluated")
    parser.add_argument("--reference", action="append", default=[], metavar="URL", help="submission: e.g. the code")
    examples(
        parser,
        "tau-retail convert outputs/eval/A --to tau2 --output results.json",
        "tau-retail convert results.json --to trajectories --output t.jsonl",
    )


def run(options: argparse.Namespace) -> int:
    """Convert."""
    if options.output.exists() and (not options.output.is_dir() or any(options.output.iterdir())):
        raise InvalidValueError(f"--output: {options.output} is there already; name another, or remove it")
    return _from_upstream(options) if options.to == "trajectories" else _to_upstream(options)


def _to_upstream(options: argparse.Namespace) -> int:
    from tau_retail_env.evaluation.record import EPISODES, best_episodes
    from tau_retail_env.evaluation.settings import read_settings
    from tau_retail_env.evaluation.upstream import tau2, tau_bench

    settings = read_settings(options.path)
    episodes = best_episodes(options.path / EPISODES)
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

    if missing := [name for name in ("model_organization", "organization", "email") if not getattr(options, name)]:
        raise InvalidValueError(f"--to submission needs --{missing[0].replace('_', '-')}")
    submitter = submission.Submitter(
        model_name=options.model_name or settings.model or settings.agent,
        model_organization=options.model_organization,
        organization=options.organization,
        email=options.email,
        type=options.type,
        notes=options.notes,
        references=options.reference,
    )
    results = json.loads((options.path / RESULTS).read_text(encoding="utf-8"))
    rows = _rows(options, settings)
    episodes = best_episodes(options.path / EPISODES)
    submission.write(options.output, settings, episodes, results, rows, submitter)
    say(f"{options.output}: check it with upstream's own: tau2 submit validate {options.output}")
    return 0


def _rows(options: argparse.Namespace, settings: EvalSettings) -> list[dict[str, Any]]:
    """Upstream's tasks for a file: those of --tasks, else the wheel's.

    Raises:
        InvalidValueError: none are given, and the evaluation was played on another edition than the wheel's.
    """
    from tau_retail_env.evaluation.settings import TASK_VERSIONS
    from tau_retail_env.evaluation.upstream import tau2

    if options.tasks is None and settings.source == "tau2" and settings.task_version != TASK_VERSIONS["tau2"]:
        raise InvalidValueError(
            f"{options.path} was played on the tasks {settings.task_version}, and the wheel has "
            f"{TASK_VERSIONS['tau2']}; give the tasks.json of that edition: --tasks FILE"
        )
    return tau2.task_rows(options.tasks)


def _from_upstream(options: argparse.Namespace) -> int:
    from tau_retail_env.evaluation.sides import read_upstream
    from tau_retail_env.evaluation.upstream.conversation import judged_again
    from tau_retail_env.runs.trajectories import write_trajectories

    found = [episode.trajectory for episode in read_upstream(options.path)]
    if options.judge:
        judged = judged_again(found)
        changed = sum(one.reward != other.reward for one, other in zip(found, judged, strict=True))
        say(f"{changed} of {len(found)} rewards differ from the file's")
        found = judged
    options.output.parent.mkdir(parents=True, exist_ok=True)
    write_trajectories(options.output, found)
    say(f"{options.output}: {len(found)} episodes")
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
