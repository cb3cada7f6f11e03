"""`tau-retail generate`: generated tasks as JSON lines, of the kinds that a model fails at if a run is named."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tau_retail_env.cli.options import add_seed, examples, positive
from tau_retail_env.cli.output import complain, say
from tau_retail_env.errors import InvalidValueError

if TYPE_CHECKING:
    from tau_retail_env.episodes.trajectory import Trajectory
    from tau_retail_env.sources.generated.series import Series
    from tau_retail_env.tasks import Task

HELP = "print generated tasks, one JSON object a line"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument(
        "--split", type=_split, choices=("train", "test"), default="train", help="whose customers (default train)"
    )
    parser.add_argument(
        "--series",
        type=int,
        choices=(1, 2, 3, 4, 5, 6),
        default=2,
        help="1: plain requests; 2: like the benchmark's (default); 3: in many more words; 4: more to sort out; "
        "5: more to find out; 6: both in other voices",
    )
    parser.add_argument("--num", type=positive, default=100, metavar="N", help="how many tasks (default 100)")
    add_seed(parser, "which tasks of a series from the second on; 0: those of the source")
    parser.add_argument(
        "--like", metavar="RUN", help="more of the kinds that failed: in an evaluation, a run, or a file of either"
    )
    parser.add_argument("--task-file", metavar="FILE", help="of --like: the file of tasks that it played")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write a file for --task-file instead of printing")
    examples(
        parser,
        "tau-retail generate --num 1000 --seed 7 --output more.jsonl",
        "tau-retail generate --like outputs/eval/A --num 2000 --output harder.jsonl",
        "tau-retail eval --task-file harder.jsonl",
    )


def _split(text: str) -> str:
    """A split without the number of a series, which has an option of its own."""
    if text[:-1] in ("train", "test") and text[-1] in "123456":
        raise argparse.ArgumentTypeError(f"{text} is --split {text[:-1]} --series {text[-1]}")
    return text


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
    from tau_retail_env.sources.generated import SERIES, generate_task

    if options.task_file is not None and not options.like:
        raise InvalidValueError("--task-file: only --like RUN reads it; leave it out, or name the run")
    if options.series == 1:
        if options.seed or options.like:
            raise InvalidValueError(
                "--seed and --like belong to --series 2 to 6: the first series has one order of tasks"
            )
        yield from (generate_task(options.split, number) for number in range(options.num))
        return
    series = next(each for each in SERIES if each.number == options.series)
    weights = _weights_like(options.like, series, _in_file(options.task_file)) if options.like else None
    for number in range(options.num):
        yield series.generate_one(f"{options.split}{series.number}", number, seed=options.seed, weights=weights)


def _in_file(task_file: str | None) -> dict[str, Task]:
    """The tasks of a file by id; none where there is no file."""
    from tau_retail_env.sources.load import load_tasks, source_and_split

    if task_file is None:
        return {}
    return {task.id: task for task in load_tasks(*source_and_split(task_file), task_file=task_file)}


def _weights_like(name: str, series: Series, known: Mapping[str, Task]) -> dict[str, int]:
    """How often each kind of a series is drawn after the episodes of what a word names; some of their tasks by id."""
    from tau_retail_env.sources.generated.failures import weights_after

    try:
        episodes = [each for each in _played(name) if each.scorable]
        played = {each.task_id: each for each in episodes}
        tasks = {task_id: known.get(task_id) or _task_of(one) for task_id, one in played.items()}
    except InvalidValueError as error:
        raise InvalidValueError(f"--like {name}: {error}") from None
    if not episodes:
        raise InvalidValueError(f"--like {name}: there is no scored episode; name a run that played some")
    if all(each.reward == 1.0 for each in episodes):
        complain(f"--like {name}: none of its {len(episodes)} episodes was lost, so every kind is drawn as usual")
    return weights_after(((tasks[each.task_id], each.reward == 1.0) for each in episodes), series.kinds)


def _played(name: str) -> Iterator[Trajectory]:
    """The episodes of a run, training and validations; or of whatever else `compare` takes."""
    from tau_retail_env.evaluation.sides import episodes_of
    from tau_retail_env.runs.trajectories import read_trajectories

    run = Path(name).expanduser()
    if of_run := sorted(run.rglob("trajectories/*.jsonl")):
        for file in of_run:
            yield from read_trajectories(file)
    else:
        yield from (episode.trajectory for episode in episodes_of(name))


def _task_of(played: Trajectory) -> Task:
    from tau_retail_env.cli.catalogue import task_by_id
    from tau_retail_env.sources.generated import SERIES

    generated = filter(None, (series.task_of_id(played.task_id) for series in SERIES))
    try:
        return next(generated, None) or task_by_id(played.task_id, played.source, played.task_version)
    except InvalidValueError:
        raise InvalidValueError(
            f"{played.task_id} is in no split of a source, as tasks of a file are: name that file by --task-file"
        ) from None
