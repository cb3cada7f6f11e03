"""`tau-retail review`: whose fault failures were; what a customer spoils; whether gold actions solve their tasks."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from tau_retail_env.cli.exits import FAILED
from tau_retail_env.cli.options import (
    add_seed,
    add_selection,
    add_user,
    chosen_user,
    examples,
    positive,
    refuse_unread,
    selected,
)
from tau_retail_env.cli.output import say
from tau_retail_env.errors import BudgetError, InvalidValueError
from tau_retail_env.messages import StopReason

if TYPE_CHECKING:
    from tau_retail_env.cli.user_options import UserChoice
    from tau_retail_env.evaluation.review import Ask
    from tau_retail_env.evaluation.user_check import Played

HELP = "whose fault failures were; what a customer, or a task, spoils"
EPISODES = 40
WORKERS = 8
TASKS = ("source", "task_version", "split", "subset", "exclude_tasks", "task_file")
PLAYED = ("user_strategy", "user_model", "user", "seed")
READ_WITH = {
    "--customer": (*TASKS, *PLAYED, "episodes", "workers", "out"),
    "--oracle": (*TASKS, *PLAYED, "limit"),
    "RUN": ("judge_model", "judge"),
}
"""The options that are read, by what is reviewed."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "played",
        nargs="?",
        metavar="RUN",
        help="an evaluation's folder, a file of upstream's, a training run or a file of trajectories: whose fault each "
        "failed episode was",
    )
    play = parser.add_mutually_exclusive_group()
    play.add_argument(
        "--customer", action="store_true", help="play: let the oracle, a perfect agent, serve the customer"
    )
    play.add_argument(
        "--oracle", action="store_true", help="play every task's gold actions; exit 1 if any reward is not 1.0"
    )
    add_selection(parser)
    add_user(parser)
    parser.add_argument("--episodes", type=positive, metavar="N", help=f"with --customer: so many (default {EPISODES})")
    parser.add_argument("--limit", type=positive, metavar="N", help="with --oracle: at most N tasks")
    add_seed(parser)
    parser.add_argument(
        "--workers", type=positive, metavar="N", help=f"with --customer: episodes at once (default {WORKERS})"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="with --customer: write the conversations there, an object of JSON a line",
    )
    parser.add_argument(
        "--judge-model", metavar="NAME", help="RUN: also ask this model whose fault each failed episode was"
    )
    parser.add_argument(
        "--judge",
        nargs="+",
        action="extend",
        default=[],
        metavar="key=value",
        help="settings of that model, as --user has them, e.g. base_url=http://127.0.0.1:8000/v1 cassette=FILE",
    )
    examples(
        parser,
        "tau-retail review outputs/eval/A",
        "tau-retail review --customer --source generated",
        "tau-retail review --customer --user-strategy llm --user-model gpt-4o",
        "tau-retail review --oracle --source generated --limit 100",
    )


def run(options: argparse.Namespace) -> int:
    """Judge what was played, or let the oracle serve the customer; report."""
    if (options.played is not None) == (options.customer or options.oracle):
        raise InvalidValueError(
            "Give either what was played, such as outputs/eval/A, or --customer or --oracle to play"
        )
    reviewed = "--oracle" if options.oracle else "--customer" if options.customer else "RUN"
    refuse_unread(options, f"review {reviewed}", READ_WITH, reviewed)
    if options.oracle:
        from tau_retail_env.cli.oracle import check_tasks

        return check_tasks(options)
    return _check_customer(options) if options.customer else _review(options)


def _review(options: argparse.Namespace) -> int:
    """Say whose fault the failures were."""
    from tau_retail_env.evaluation.review import as_text, look
    from tau_retail_env.evaluation.sides import episodes_of

    say(as_text(look(episodes_of(options.played), _asked(options))))
    return 0


def _asked(options: argparse.Namespace) -> Ask | None:
    """Who asks the model that --judge-model names, once it is known to work; None where none is named."""
    from tau_retail_env.cli.user_options import settings_of

    if options.judge_model is None:
        if options.judge:
            raise InvalidValueError(
                "--judge: settings of the model that --judge-model names; name it, or leave them out"
            )
        return None
    from tau_retail_env.evaluation.opinion import Reviewer
    from tau_retail_env.users.llm.budget import begin_run

    begin_run()
    reviewer = Reviewer(options.judge_model, settings_of("--judge", options.judge))
    reviewer.check()
    return reviewer.ask


def _check_customer(options: argparse.Namespace) -> int:
    """Let the oracle serve the customer, and report."""
    from tau_retail_env.evaluation.user_check import as_text, play, spread
    from tau_retail_env.runs.bar import Bar

    chosen = chosen_user(options)
    tasks = selected(options)
    chosen.environment(tasks[:1])
    _check_writable(options.out)
    chosen.check_server()
    requests = spread(tasks, options.episodes or EPISODES, options.seed)
    workers = chosen.at_once("--workers", options.workers, WORKERS)
    with Bar(total=len(requests), unit="episode") as bar:
        played = play(requests, tasks, lambda: chosen.environment(tasks), workers=workers, progress=bar.update)
    if options.out is not None:
        from tau_retail_env.runs.trajectories import write_trajectories

        write_trajectories(options.out, played.trajectories)
    say(as_text(played, tasks))
    if seen := _how_to_see(played, chosen, options.out):
        say(seen)
    if played.ended_by is not None and not isinstance(played.ended_by, BudgetError):
        raise played.ended_by
    return 0 if any(one.scorable for one in played.trajectories) else FAILED


def _check_writable(path: Path | None) -> None:
    """Refuse a file that could not be written when all is played."""
    if path is None:
        return
    if path.exists():
        raise InvalidValueError(f"--out: {path} is there already; name another file, or remove it")
    if not os.access(path.absolute().parent, os.W_OK):
        raise InvalidValueError(f"--out: no folder {path.absolute().parent} in which this user may write")


def _how_to_see(played: Played, chosen: UserChoice, out: Path | None) -> str | None:
    """The command that shows the first episode to look at; None where there is none."""
    over = (one for one in played.trajectories if one.stop_reason != StopReason.STOPPED)
    first = next((one for one in over if one.reward < 1.0 or not one.scorable), None)
    if first is None:
        return None
    which = f"--task {first.task_id} --seed {first.seed}"
    if out is not None:
        return f"To see the first: tau-retail play --recorded {shlex.quote(str(out))} {which}"
    if chosen.is_repeatable:
        return f"To see the first: tau-retail play --as nobody {which}{chosen.as_typed()}"
    return "To see them: run this again with --out FILE, which keeps the conversations"
