"""`tau-retail tasks`: list tasks, show one whole, or count them."""

from __future__ import annotations

import argparse
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import TYPE_CHECKING

from tau_retail_env.cli.options import add_selection, examples, only_task, positive, selected
from tau_retail_env.cli.output import complain, say
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.tasks.files import task_line

if TYPE_CHECKING:
    from tau_retail_env.tasks import Task

HELP = "list tasks, show one with its gold actions, or count them"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_selection(parser)
    parser.add_argument("--text", metavar="WORDS", help="only tasks in which all these words occur")
    parser.add_argument("--limit", type=positive, metavar="N", help="list at most N")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, whole tasks")
    parser.add_argument(
        "--subsets",
        action="store_true",
        help="count the tasks of every subset, by source and split; of all sources that are installed, or of --source",
    )
    parser.add_argument(
        "task_id",
        nargs="?",
        metavar="TASK_ID",
        help="show this task, e.g. tau2/12, tau_bench/test/3, generated/train/7",
    )
    examples(
        parser,
        "tau-retail tasks --split train --subset returns+exchanges",
        "tau-retail tasks tau2/12",
        "tau-retail tasks --subsets",
    )


def run(options: argparse.Namespace) -> int:
    """Print tasks, one a line, one whole, or how many there are."""
    if options.subsets:
        return _count(options)
    from tau_retail_env.cli.catalogue import counts, description, summary, with_words

    if options.task_id is not None:
        task = only_task(options.task_id, options, "split", "subset", "text", "limit")
        _show(task, options, description)
        return 0
    tasks = selected(options)
    found = with_words(tasks, options.text)[: options.limit] if options.text else tasks[: options.limit]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 160
    for task in found:
        _show(task, options, lambda task: summary(task, width))
    if not options.json:
        say(counts(found, len(tasks)))
    return 0


def _show(task: Task, options: argparse.Namespace, as_text: Callable[[Task], str]) -> None:
    if options.json:
        print(task_line(task))
    else:
        say(as_text(task))


def _count(options: argparse.Namespace) -> int:
    """Print the table of subsets of the sources that are here."""
    from tau_retail_env.cli.catalogue import as_markdown, subset_counts
    from tau_retail_env.sources import SOURCES, get_source
    from tau_retail_env.sources.generated.source import GeneratedSource

    others = ("split", "subset", "exclude_tasks", "task_file", "text", "limit", "json", "task_id")
    if given := [f"--{name}" for name in others if getattr(options, name) not in (None, False)]:
        words = ", ".join(given).replace("_", "-").replace("--task-id", "TASK_ID")
        raise InvalidValueError(f"--subsets counts whole sources: leave out {words}")
    table: dict[tuple[str, str], dict[str, int]] = {}
    for source in SOURCES if options.source is None else [options.source]:
        if source == GeneratedSource.name:
            splits = len([*get_source(source).splits()])
            complain(f"{source}: the tasks of its {splits} splits are made first, which takes some seconds each")
        try:
            table |= subset_counts([source])
        except MissingDependencyError as error:
            if options.source is not None:
                raise
            complain(textwrap.fill(f"without source {source!r}: {error}", 80, break_on_hyphens=False))
    say(as_markdown(table))
    return 0
