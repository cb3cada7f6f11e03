"""`tau-retail audit`: what is wrong with a version's tasks, and what bad agents earn on them."""

from __future__ import annotations

import argparse
import json

from tau_retail_env.cli.options import DEFAULT_SOURCE, examples, positive
from tau_retail_env.cli.output import say

HELP = "what is wrong with a version's tasks, and what bad agents earn"
DEFAULT_SPLITS = ("base", "test")
"""What is audited where no split is named: the first of these that the source has."""
TITLE = """# Audit of the tasks

`tau-retail audit --task-version 0.2 1.0 verified --markdown > docs/audit.md` makes this page. Gold actions are
replayed, and every agent plays every task once with the scripted customer (seed 0). [rewards.md](rewards.md) says what
the three numbers are, [agents.md](agents.md) who the agents are. Two more play here: the `reciter` looks everything up
and recites it, and the `mute` one makes the gold writes before it says a word. `process` is over the episodes that were
judged. The last table judges the same episodes as another version's: what a run on 0.2 scores under 1.0.
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--source", default=DEFAULT_SOURCE, help="tau2 (default), tau_bench or generated")
    parser.add_argument(
        "--task-version",
        nargs="+",
        default=[None],
        metavar="NAME",
        help="of tau2: 0.2 (default), 1.0, verified or custom; the episodes of several are judged as each",
    )
    parser.add_argument("--split", help="a split of the source (default base; test of a source that has none)")
    parser.add_argument("--limit", type=positive, metavar="N", help="look at the first N tasks only")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="a JSON object for each version")
    form.add_argument("--markdown", action="store_true", help="a page for the docs")
    examples(
        parser,
        "tau-retail audit --task-version 1.0",
        "tau-retail audit --source generated --split test --limit 100",
        "tau-retail audit --task-version 0.2 1.0 verified --markdown",
    )


def run(options: argparse.Namespace) -> int:
    """Audit each version, and print the tables."""
    from tau_retail_env.evaluation import regrade
    from tau_retail_env.evaluation.audit import as_json, as_markdown, as_text, audit
    from tau_retail_env.runs.bar import Bar
    from tau_retail_env.sources import load_tasks
    from tau_retail_env.sources.registry import get_source

    split = options.split or next((name for name in DEFAULT_SPLITS if name in get_source(options.source).splits()), "")
    versions = [load_tasks(options.source, split, task_version=version) for version in options.task_version]
    loaded = [tasks[: options.limit] for tasks in versions]
    if options.markdown:
        say(TITLE)
    audits = []
    for place, tasks in enumerate(loaded):
        with Bar(total=len(tasks), unit="task") as bar:
            found = audit(tasks, bar.update)
        audits.append(found)
        if options.json:
            print(json.dumps(as_json(found)))
            continue
        say("\n" * bool(place) + (as_markdown(found) if options.markdown else as_text(found)))
    if len(audits) > 1 and not options.json:
        judged = {str(found.task_version): tasks for found, tasks in zip(audits, loaded, strict=True)}
        say("\n" + regrade.as_markdown(audits, judged))
    return 0
