"""`tau-retail compare`: agents on the same tasks, with intervals, and the tasks that flipped."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tau_retail_env.cli.options import examples
from tau_retail_env.cli.output import say
from tau_retail_env.errors import InvalidValueError

HELP = "compare agents task by task, with intervals"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "sides",
        nargs="+",
        metavar="A B …",
        help="an evaluation's folder, τ²'s results.json or its folder, τ-bench v1's file, a training run's folder (its "
        "last validation; FOLDER@STEP for another), or a file of trajectories; a run alone: its first and last",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a comparison")
    examples(
        parser,
        "tau-retail compare outputs/eval/A outputs/eval/B",
        "tau-retail compare outputs/eval/A results.json",
        "tau-retail compare outputs/RUN",
        "tau-retail compare outputs/RUN@0 outputs/RUN@100",
    )


def run(options: argparse.Namespace) -> int:
    """Compare every side with the first."""
    from tau_retail_env.evaluation.compare import as_json, as_text, compare
    from tau_retail_env.evaluation.sides import read_side

    first, *others = (read_side(name) for name in _names(options.sides))
    for number, other in enumerate(others):
        found = compare(first, other)
        if options.json:
            print(json.dumps(as_json(found), ensure_ascii=False))
        else:
            say(("\n" if number else "") + as_text(found))
    return 0


def _names(sides: list[str]) -> list[str]:
    """The sides to read; a training run alone stands for its first and its last validation.

    Raises:
        InvalidValueError: one side that is no run with two validations.
    """
    if len(sides) > 1:
        return sides
    from tau_retail_env.evaluation.sides import steps_of

    steps = steps_of(Path(sides[0]).expanduser())
    if len(steps) < 2:
        raise InvalidValueError(f"{sides[0]}: give two sides, or a training run with two validations")
    return [f"{sides[0]}@{steps[0]}", f"{sides[0]}@{steps[-1]}"]
