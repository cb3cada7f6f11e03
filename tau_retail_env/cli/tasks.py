"""`tau-retail tasks`: list tasks, or show one whole."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys

from tau_retail_env.cli.options import add_selection, only_task, positive, selected

HELP = "list tasks, or show one whole with what its gold actions change"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    add_selection(parser)
    parser.add_argument("--text", metavar="WORDS", help="only tasks in which all these words occur")
    parser.add_argument("--limit", type=positive, metavar="N", help="list at most N")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, whole tasks")
    parser.add_argument(
        "task_id",
        nargs="?",
        metavar="TASK_ID",
        help="show this task, e.g. tau2/12, tau_bench/test/3, generated/train/7",
    )


def run(options: argparse.Namespace) -> int:
    """Print tasks, one a line, or one whole."""
    from tau_retail_env.cli.catalogue import counts, description, summary, with_words

    if options.task_id is not None:
        task = only_task(options.task_id, options, "split", "subset", "text", "limit")
        print(json.dumps(dataclasses.asdict(task), ensure_ascii=False) if options.json else description(task))
        return 0
    tasks = selected(options)
    found = with_words(tasks, options.text)[: options.limit] if options.text else tasks[: options.limit]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 160
    for task in found:
        print(json.dumps(dataclasses.asdict(task), ensure_ascii=False) if options.json else summary(task, width))
    if not options.json:
        print(counts(found, len(tasks)))
    return 0
