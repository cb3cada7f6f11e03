"""`tau-retail generate`: generated tasks as JSON lines, of the kinds that a model fails at if a run is named."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from tau_retail_env.cli.options import add_seed, examples, positive
from tau_retail_env.cli.output import say
from tau_retail_env.errors import InvalidValueError

if TYPE_CHECKING:
    from tau_retail_env.sources.generated.series import Series
    from tau_retail_env.tasks import Task

HELP = "print generated tasks, one JSON object a line"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--split", choices=("train", "test"), default="train", help="whose customers (default train)")
    parser.add_argument(
        "--series",
        type=int,
        choices=(1, 2, 3, 4),
        default=2,
        help="1: plain requests; 2: like the benchmark's (default); 3: in many more words; 4: more to sort out",
    )
    parser.add_argument("--num", type=positive, default=100, metavar="N", help="how many tasks (default 100)")
    add_seed(parser, "which tasks of a series from the second on; 0: those of the source")
    parser.add_argument(
        "--like", metavar="RUN", help="more of the kinds that failed in a run's folder, or in a file of trajectories"
    )
    parser.add_argument("--output", type=Path, metavar="FILE", help="write a file for --task-file instead of printing")
    examples(
        parser,
        "tau-retail generate --num 1000 --seed 7 --output more.jsonl",
        "tau-retail generate --like outputs/my_run --num 2000 --output harder.jsonl",
        "tau-retail eval --task-file harder.jsonl",
    )


def run(options: argparse.Namespace) -> int:
    """Print the tasks, or write them into a file, whole or not at all."""
    from tau_retail_env.runs.files import write_atomically
    from tau_retail_env.tasks.files import task_line

    if options.output is not None and options.output.exists():
        raise InvalidValueError(f"--output: {options.output} is there already; name another, or remove it")
    lines = map(task_line, _generated(options))
    if options.output is None:
        for line in lines:
            print(line)
        return 0
    write_atomically(options.output, "".join(f"{line}\n" for line in lines))
    say(f"{options.num} tasks: {options.output}")
    return 0


def _generated(options: argparse.Namespace) -> Iterator[Task]:
    from tau_retail_env.sources.generated import SERIES2, SERIES3, SERIES4, generate_task

    if options.series == 1:
        if options.seed or options.like:
            raise InvalidValueError(
                "--seed and --like belong to --series 2, 3 and 4: the first series has one order of tasks"
            )
        yield from (generate_task(options.split, number) for number in range(options.num))
        return
    series = {2: SERIES2, 3: SERIES3, 4: SERIES4}[options.series]
    weights = _weights_like(Path(options.like), series) if options.like else None
    for number in range(options.num):
        yield series.generate_one(f"{options.split}{series.number}", number, seed=options.seed, weights=weights)


def _weights_like(run: Path, series: Series) -> dict[str, int]:
    """How often each kind of a series is drawn after a run's episodes."""
    from tau_retail_env.cli.catalogue import task_by_id
    from tau_retail_env.runs.trajectories import read_trajectories
    from tau_retail_env.sources.generated import SERIES2, SERIES3, SERIES4
    from tau_retail_env.sources.generated.failures import weights_after

    files = sorted(run.rglob("trajectories/*.jsonl")) if run.is_dir() else [run]
    if not files or not files[0].is_file():
        raise InvalidValueError(f"--like {run}: no trajectories there; give the folder of a run, or a file of them")
    episodes = [each for file in files for each in read_trajectories(file) if each.scorable]
    numbered = (SERIES2, SERIES3, SERIES4)
    tasks = {
        name: next(filter(None, (each.task_of_id(name) for each in numbered)), None) or task_by_id(name)
        for name in {each.task_id for each in episodes}
    }
    return weights_after(((tasks[each.task_id], each.reward == 1.0) for each in episodes), series.kinds)
