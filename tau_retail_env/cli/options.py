"""Options that several commands have: which configuration, which tasks, which customer; numbers that are checked."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from tau_retail_env.errors import InvalidValueError

if TYPE_CHECKING:
    from tau_retail_env.cli.user_options import UserChoice
    from tau_retail_env.tasks import Task

DEFAULT_SOURCE = "tau2"
DEFAULT_SPLIT = "test"
KEY_VARIABLE = "OPENAI_API_KEY"
"""The environment variable that holds the key of an agent's server, where no other is named."""
OPTION_OF_KEY: Mapping[str, str] = MappingProxyType(
    {
        "task_source": "--source",
        "task_version": "--task-version",
        "task_subset": "--subset",
        "exclude_tasks": "--exclude-tasks",
        "task_file": "--task-file",
        "user_strategy": "--user-strategy",
        "user_model": "--user-model",
        "nl_judge": "--nl-judge",
        "nl_judge_model": "--nl-judge-model",
        "nl_judge_config": "--nl-judge-config",
        "prompt_style": "--prompt-style",
        "output_dir": "--output",
        "sequence_length": "--sequence-length",
        "play.engine": "--engine",
        "play.engines": "--engines",
        "play.gpu_memory": "--gpu-memory",
    }
)
"""The option that stands for a key of a configuration in commands that take none."""
IMPLIED: Mapping[str, Any] = MappingProxyType({"user_strategy": "scripted", "seed": 0})
"""What options are where they are left out, of those that always have a value."""
NAMED = "|".join(map(re.escape, OPTION_OF_KEY))
KEY = re.compile(rf"(?<![\w./-])(?:({NAMED})(=(?=\w)|(?![\w.]))|(user|nl_judge_config)\.(?=[a-z]))")


def in_options(message: str, options: argparse.Namespace) -> str:
    """An error message in the words of a command: its options in place of a configuration's keys.

    Args:
        message: speaks of keys, such as user_model=gpt-4o or user.base_url.
        options: those of the command; keys for which it has no option stay.
    """

    def replaced(found: re.Match[str]) -> str:
        option = OPTION_OF_KEY.get(found[1] or found[3], "--user")
        if not hasattr(options, option.removeprefix("--").replace("-", "_")):
            return found[0]
        return f"{option} " if found[2] or not found[1] else option

    return KEY.sub(replaced, message)


def refuse_unread(options: argparse.Namespace, doing: str, reads: Mapping[str, Collection[str]], chosen: str) -> None:
    """Refuse options that would change nothing.

    Args:
        options: as given.
        doing: the command, with what it does.
        reads: by what it can do, the options that are then read.
        chosen: what it does.
    """
    unread = {name for names in reads.values() for name in names} - {*reads[chosen]}
    is_given = {name: getattr(options, name) not in (IMPLIED.get(name), None, False, "", []) for name in unread}
    if given := [f"--{name.replace('_', '-')}" for name in sorted(unread) if is_given[name]]:
        raise InvalidValueError(f"{doing} does not read {', '.join(given)}: leave it out")


def examples(parser: argparse.ArgumentParser, *lines: str) -> None:
    """Show examples at the end of a command's --help.

    Args:
        parser: of the command.
        lines: whole command lines.
    """
    parser.epilog = "\n  ".join(["examples:", *lines])


def add_configuration(parser: argparse.ArgumentParser, default: str) -> None:
    """The options of a command that takes a configuration; `composed` reads them.

    Args:
        parser: of the command.
        default: the name of the configuration that is taken where none is given.
    """
    parser.add_argument("--config-name", "--config_name", metavar="NAME", help=f"a configuration (default {default})")
    parser.set_defaults(default_config=default)
    parser.add_argument(
        "--config-path", "--config_path", metavar="DIR", help="the folder that it is in (default: the shipped ones)"
    )
    parser.add_argument("--print-config", action="store_true", help="compose, check, print and stop")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="overrides of the configuration")


def composed(options: argparse.Namespace) -> dict[str, Any]:
    """The configuration that a command's options mean, composed but not checked.

    It is the one that is named, else that of the run which `resume=FOLDER` resumes, else the command's default.

    Raises:
        InvalidValueError: no such configuration, or an override that is no key=value.
    """
    from tau_retail_env.config import compose
    from tau_retail_env.runs.resume import CONFIG, read_config, run_to_resume, with_users_reached_anew

    for word in options.overrides:
        if "=" not in word and not word.startswith("~"):
            raise InvalidValueError(
                f"{word[:60]!r} is neither an option nor key=value; a configuration is named by --config-name NAME"
            )
    is_named = options.config_name is not None or options.config_path is not None
    run = None if is_named else run_to_resume(options.overrides)
    if run is None:
        name = options.config_name or options.default_config
        return compose(name, folder=options.config_path, overrides=options.overrides)
    stored = read_config(run)
    return with_users_reached_anew(stored, compose(CONFIG, folder=run, overrides=options.overrides))


def add_selection(parser: argparse.ArgumentParser) -> None:
    """The options that select tasks: source, split, subset; `selected` reads them."""
    parser.add_argument("--source", help="tau2 (default), tau_bench or generated")
    parser.add_argument("--task-version", metavar="NAME", help="of tau2: 0.2 (default), 1.0, verified or custom")
    parser.add_argument("--split", help="a split of the source (default test)")
    parser.add_argument("--subset", metavar="EXPR", help="e.g. returns, lookup+transfer, single*address (default all)")
    parser.add_argument("--exclude-tasks", nargs="+", metavar="ID", help="tasks of the split that are left out")
    parser.add_argument("--task-file", metavar="FILE", help="tasks from a file that `tau-retail generate` wrote")


def selected(options: argparse.Namespace) -> list[Task]:
    """The tasks that a command's options select; a file's own source and split where neither is given.

    Raises:
        InvalidValueError: no such source, split, subset or task, or no task in it; a file that cannot be taken.
        MissingDependencyError: the source is not installed.
    """
    from tau_retail_env.sources import load_tasks
    from tau_retail_env.sources.load import source_and_split

    file = options.task_file
    source, split = (DEFAULT_SOURCE, DEFAULT_SPLIT) if file is None else source_and_split(file)
    return load_tasks(
        source if options.source is None else options.source,
        split if options.split is None else options.split,
        "all" if options.subset is None else options.subset,
        options.task_version,
        exclude_tasks=options.exclude_tasks or (),
        task_file=file,
    )


def only_task(task_id: str, options: argparse.Namespace, *without: str) -> Task:
    """The one task that an id names.

    Args:
        task_id: the id, with or without its source.
        options: those of the command.
        without: options that must not be given besides: there is nothing to choose from.

    Raises:
        InvalidValueError: no such task, or one of those options was given.
    """
    from tau_retail_env.cli.catalogue import task_by_id

    choosing = (*without, "exclude_tasks", "task_file")
    given = [f"--{name.replace('_', '-')}" for name in choosing if getattr(options, name) is not None]
    if given:
        raise InvalidValueError(f"{task_id!r} is one task: leave out {', '.join(given)}, or the id")
    return task_by_id(task_id, options.source or DEFAULT_SOURCE, options.task_version)


def add_user(parser: argparse.ArgumentParser) -> None:
    """The options that name a customer; `customer` reads them."""
    parser.add_argument(
        "--user-strategy",
        default=IMPLIED["user_strategy"],
        metavar="NAME",
        help="scripted (default), llm, react, verify, reflection, human; or weights: '{scripted: 0.7, llm: 0.3}'",
    )
    parser.add_argument("--user-model", metavar="NAME", help="the model behind an API customer")
    parser.add_argument(
        "--user",
        nargs="+",
        action="extend",
        default=[],
        metavar="key=value",
        help="settings of the customer as in a run's block user, e.g. base_url=http://127.0.0.1:8000/v1",
    )


def chosen_user(options: argparse.Namespace) -> UserChoice:
    """The customer that a command names; what it spends is counted from here on."""
    from tau_retail_env.cli.user_options import UserChoice
    from tau_retail_env.users.llm.budget import begin_run

    begin_run()
    return UserChoice.read(options.user_strategy, options.user_model, options.user)


def add_seed(parser: argparse.ArgumentParser, what: str = "the customer's wording") -> None:
    """The option `--seed`.

    Args:
        parser: of the command.
        what: what the seed decides.
    """
    parser.add_argument("--seed", type=natural, default=IMPLIED["seed"], metavar="N", help=f"{what} (default 0)")


def natural(text: str) -> int:
    """An option's value that is a whole number from 0 on."""
    return _whole(text, at_least=0)


MOST = 1_000_000
"""Of anything that a command counts: more would fill the memory before anything is played or written."""


def positive(text: str) -> int:
    """An option's value that is a whole number from 1 on, up to a million."""
    if (number := _whole(text, at_least=1)) > MOST:
        raise argparse.ArgumentTypeError(f"must be {MOST:,} or less, found {text[:40]!r}")
    return number


def not_negative(text: str) -> float:
    """An option's value that is a finite number from 0 on."""
    return _number(text, lambda number: 0 <= number < math.inf, "a number from 0 on")


def probability(text: str) -> float:
    """An option's value that is a number above 0, up to 1."""
    return _number(text, lambda number: 0 < number <= 1, "a number above 0, up to 1")


def share(text: str) -> float:
    """An option's value that is a number above 0 and below 1."""
    return _number(text, lambda number: 0 < number < 1, "a number above 0 and below 1")


def _number(text: str, holds: Callable[[float], bool], expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not holds(number):
        raise argparse.ArgumentTypeError(f"must be {expected}, found {text[:40]!r}")
    return number


def _whole(text: str, at_least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = at_least - 1
    if number < at_least:
        raise argparse.ArgumentTypeError(f"must be a whole number from {at_least} on, found {text[:40]!r}")
    return number
