"""The command line: tau-retail tasks, subsets, play, oracle, doctor, sft."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import tau_retail_env
from tau_retail_env.errors import InvalidValueError, MissingDependencyError, TauRetailError

if TYPE_CHECKING:
    from tau_retail_env.env import TauRetailEnv
    from tau_retail_env.tasks import Task

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
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        status = command(options)
        sys.stdout.flush()
        return status
    except TauRetailError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_ERROR
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("tau_retail_env"):
            raise
        print(f"error: {error}; `tau-retail doctor` says what is missing and what brings it", file=sys.stderr)
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

    tasks = commands.add_parser("tasks", help="list tasks, or show one whole with what its gold actions change")
    _add_selection(tasks)
    tasks.add_argument("--text", metavar="WORDS", help="only tasks in which all these words occur")
    tasks.add_argument("--limit", type=_positive, metavar="N", help="list at most N")
    tasks.add_argument("--json", action="store_true", help="one JSON object a line, whole tasks")
    tasks.add_argument(
        "task_id",
        nargs="?",
        metavar="TASK_ID",
        help="show this task, e.g. tau2/12, tau_bench/test/3, generated/train/7",
    )
    tasks.set_defaults(command=_tasks)

    subsets = commands.add_parser("subsets", help="count the tasks of every subset, by source and split")
    subsets.add_argument("--source", help="tau2, tau_bench or generated (default: all that are installed)")
    subsets.set_defaults(command=_subsets)

    play = commands.add_parser("play", help="be the agent or the customer in the terminal, or watch the oracle agent")
    _add_selection(play)
    play.add_argument(
        "--as",
        dest="role",
        choices=("agent", "customer", "nobody"),
        default="agent",
        help="whom you play: the agent (default) of the scripted customer, the customer of the oracle agent, or nobody",
    )
    play.add_argument("--task", metavar="ID", help="play this task, e.g. tau2/12")
    play.add_argument(
        "--seed",
        type=_natural,
        default=0,
        metavar="N",
        help="the scripted customer's wording; without --task also the task (default 0)",
    )
    play.add_argument("--prompt-style", metavar="STYLE", help="what /policy shows (default full)")
    play.set_defaults(command=_play)

    oracle = commands.add_parser("oracle", help="play the gold actions and count rewards of 1.0; exit 1 if any fails")
    _add_selection(oracle)
    oracle.add_argument("--limit", type=_positive, metavar="N", help="play at most N tasks")
    oracle.add_argument("--seed", type=_natural, default=0, metavar="N", help="the customer's wording (default 0)")
    oracle.set_defaults(command=_oracle)

    doctor = commands.add_parser(
        "doctor", help="what is here, what is missing, and what mends it; exit 1 if a run cannot work"
    )
    doctor.add_argument("--json", action="store_true", help="one JSON object, for programs")
    doctor.set_defaults(command=_doctor)

    sft = commands.add_parser("sft", help="supervised fine-tuning on conversations of the oracle")
    sft.add_argument("--config-name", default="tau_retail_sft", metavar="NAME", help="default tau_retail_sft")
    sft.add_argument("--config-path", metavar="DIR", help="another folder of configurations")
    sft.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of the configuration")
    sft.set_defaults(command=_sft)
    return parser


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--source", default="tau2", help="tau2 (default), tau_bench or generated")
    parser.add_argument("--split", help="a split of the source (default test)")
    parser.add_argument("--subset", metavar="EXPR", help="e.g. returns, lookup+transfer, single*address (default all)")


def _selected(options: argparse.Namespace) -> list[Task]:
    from tau_retail_env.tasks import load_tasks

    return load_tasks(options.source, options.split or "test", options.subset or "all")


def _only_task(task_id: str, options: argparse.Namespace, *without: str) -> Task:
    """The one task that an id names; options that would choose among several have nothing to choose from."""
    from tau_retail_env.catalogue import task_by_id

    given = [f"--{name}" for name in without if getattr(options, name) is not None]
    if given:
        raise InvalidValueError(f"{task_id!r} is one task: leave out {', '.join(given)}, or the id")
    return task_by_id(task_id, options.source)


def _natural(text: str) -> int:
    return _whole(text, at_least=0)


def _positive(text: str) -> int:
    return _whole(text, at_least=1)


def _whole(text: str, at_least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = at_least - 1
    if number < at_least:
        raise argparse.ArgumentTypeError(f"must be a whole number from {at_least} on, found {text[:40]!r}")
    return number


def _tasks(options: argparse.Namespace) -> int:
    from tau_retail_env.catalogue import counts, description, summary, with_words

    if options.task_id is not None:
        task = _only_task(options.task_id, options, "split", "subset", "text", "limit")
        print(json.dumps(dataclasses.asdict(task), ensure_ascii=False) if options.json else description(task))
        return 0
    tasks = _selected(options)
    found = with_words(tasks, options.text)[: options.limit] if options.text else tasks[: options.limit]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 160
    for task in found:
        print(json.dumps(dataclasses.asdict(task), ensure_ascii=False) if options.json else summary(task, width))
    if not options.json:
        print(counts(found, len(tasks)))
    return 0


def _subsets(options: argparse.Namespace) -> int:
    from tau_retail_env.catalogue import as_markdown, subset_counts
    from tau_retail_env.tasks.load import SOURCES

    table: dict[tuple[str, str], dict[str, int]] = {}
    for source in SOURCES if options.source is None else [options.source]:
        try:
            table |= subset_counts([source])
        except MissingDependencyError as error:
            if options.source is not None:
                raise
            print(f"without source {source!r}: {error}", file=sys.stderr)
    print(as_markdown(table))
    return 0


def _play(options: argparse.Namespace) -> int:
    from tau_retail_env.env import TauRetailEnv
    from tau_retail_env.terminal import play, play_customer, watch

    tasks = [_only_task(options.task, options, "split", "subset")] if options.task is not None else _selected(options)
    if options.prompt_style is not None and options.role != "agent":
        raise InvalidValueError(f"--prompt-style is for you as the agent: leave it out with --as {options.role}")
    if options.role == "customer":
        play_customer(tasks, seed=options.seed)
        return 0
    env = TauRetailEnv(source=tasks[0].source, tasks=tasks, prompt_style=options.prompt_style or "full")
    if options.role == "agent":
        play(env, seed=options.seed)
    else:
        watch(env, seed=options.seed)
    return 0


def _oracle(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from tau_retail_env.catalogue import success_by_subset
    from tau_retail_env.env import TauRetailEnv

    tasks = _selected(options)[: options.limit]
    env = TauRetailEnv(source=options.source, tasks=tasks)
    successes: dict[str, bool] = {}
    for task in tqdm(tasks, unit="episode", disable=None):
        reward, info = _oracle_episode(env, task, options.seed)
        successes[task.id] = reward == 1.0
        if reward < 1.0:
            print(f"{task.id}: reward {reward:g}, {info['stop_reason']}, {json.dumps(info['reward_breakdown'])}")
    print(success_by_subset(tasks, successes))
    failed = [task_id for task_id, success in successes.items() if not success]
    if failed:
        print(
            f"To see the first: tau-retail play --as nobody --task {failed[0]} --seed {options.seed}", file=sys.stderr
        )
    return EXIT_FAILED if failed else 0


def _oracle_episode(env: TauRetailEnv, task: Task, seed: int) -> tuple[float, dict[str, Any]]:
    """One episode of the oracle: its reward and the last info."""
    from tau_retail_env.episodes.agents import OracleAgent

    agent = OracleAgent(task)
    observation, info = env.reset(task_id=task.id, seed=seed)
    while True:
        observation, reward, terminated, truncated, info = env.step(agent.act(observation, info))
        if terminated or truncated:
            return reward, info


def _doctor(options: argparse.Namespace) -> int:
    from tau_retail_env.doctor import as_json, as_text, can_run, examine, survey

    findings = examine(survey())
    print(as_json(findings) if options.json else as_text(findings))
    return 0 if can_run(findings) else EXIT_FAILED


def _sft(options: argparse.Namespace) -> int:
    from tau_retail_env.config import check_sft, compose

    values = compose(options.config_name, folder=options.config_path, overrides=options.overrides)
    config = check_sft(values)
    from tau_retail_env.training.sft import run

    run(config, values)
    return 0


if __name__ == "__main__":
    sys.exit(main())
