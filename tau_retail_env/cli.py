"""The command line: tau-retail tasks, play, oracle, sft."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence

import tau_retail_env
from tau_retail_env.errors import TauRetailError

EXIT_FAILED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the words after the program's name; None for those of this process.

    Returns:
        The exit status: 0, or 1 where the command ran and found a failure, 2 for an error that is the caller's to
        mend, 130 after Ctrl-C, 141 where the reader of the output went away.
    """
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except TauRetailError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # What is still buffered would fail once more when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tau-retail", description=tau_retail_env.__doc__)
    parser.add_argument("--version", action="version", version=f"tau-retail {tau_retail_env.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    tasks = commands.add_parser("tasks", help="list tasks, or show one whole")
    _add_selection(tasks, split="test")
    tasks.add_argument("--text", metavar="WORDS", help="only tasks in which all these words occur")
    tasks.add_argument("--limit", type=_positive, metavar="N", help="list at most N")
    tasks.add_argument("--json", action="store_true", help="one JSON object a line, whole tasks")
    tasks.add_argument(
        "task_id", nargs="?", metavar="TASK_ID", help="show this task, e.g. tau2/12 or generated/train/7"
    )
    tasks.set_defaults(command=_tasks)

    play = commands.add_parser("play", help="be the agent in the terminal, against the scripted customer")
    _add_selection(play, split="test")
    play.add_argument("--task", metavar="ID", help="play this task, e.g. tau2/12")
    play.add_argument(
        "--seed",
        type=_natural,
        default=0,
        metavar="N",
        help="the customer's wording; without --task also the task (default 0)",
    )
    play.add_argument("--prompt-style", default="full", metavar="STYLE", help="what /policy shows (default full)")
    play.set_defaults(command=_play)
    return parser


def _add_selection(parser: argparse.ArgumentParser, split: str) -> None:
    parser.add_argument("--source", default="tau2", help="tau2 (default) or generated")
    parser.add_argument("--split", default=split, help=f"a split of the source (default {split})")
    parser.add_argument("--subset", default="all", metavar="EXPR", help="e.g. returns, lookup+transfer, single&address")


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be 0 or more, found {text}")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, found {text}")
    return number


def _tasks(options: argparse.Namespace) -> int:
    from tau_retail_env.catalogue import counts, description, summary, task_by_id, with_words
    from tau_retail_env.tasks import load_tasks

    if options.task_id:
        task = task_by_id(options.task_id, options.source)
        print(json.dumps(dataclasses.asdict(task), ensure_ascii=False) if options.json else description(task))
        return 0
    tasks = load_tasks(options.source, options.split, options.subset)
    found = with_words(tasks, options.text)[: options.limit] if options.text else tasks[: options.limit]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 160
    for task in found:
        print(json.dumps(dataclasses.asdict(task), ensure_ascii=False) if options.json else summary(task, width))
    if not options.json:
        print(counts(found, len(tasks)))
    return 0


def _play(options: argparse.Namespace) -> int:
    from tau_retail_env.catalogue import task_by_id
    from tau_retail_env.env import TauRetailEnv
    from tau_retail_env.tasks import load_tasks
    from tau_retail_env.terminal import play

    if options.task:
        tasks = [task_by_id(options.task, options.source)]
    else:
        tasks = load_tasks(options.source, options.split, options.subset)
    env = TauRetailEnv(source=tasks[0].source, tasks=tasks, prompt_style=options.prompt_style)
    play(env, seed=options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
