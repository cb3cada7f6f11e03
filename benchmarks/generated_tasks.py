"""The generated tasks beside the benchmarks' training tasks, and what it shares with their tests.

python benchmarks/generated_tasks.py [--episodes 300] [--tasks 1.0=tau2-bench/data/tau2/domains/retail ...]

Prints the tables of docs/tasks.md. τ-bench v1 takes part where it is installed; --tasks adds other editions of τ²'s
tasks, each from a folder with tasks.json and split_tasks.json. Takes about two minutes on one core.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.sources.registry import source_class
from tau_retail_env.sources.tau_bench.source import MISSING_IN_TAU2
from tau_retail_env.tasks import SUBSETS, Action, Task, gold_writes
from tau_retail_env.tasks.subsets import DIFFICULTIES
from tau_retail_env.tasks.writes import canonical_writes

TRAINING = (
    ("generated", "train6"),
    ("generated", "train5"),
    ("generated", "train4"),
    ("generated", "train3"),
    ("generated", "train2"),
    ("generated", "train"),
    ("tau2", "train"),
    ("tau_bench", "train"),
)
GENERATED_TESTS = ("test6", "test5", "test4", "test3", "test2", "test")
SHINGLE_WORDS = 5
NEAR_DUPLICATE = 0.5
"""Share of the shorter text's five-word sequences that stand in the other text as well, from which on two texts are
counted as near-duplicates."""
SEED = 0


@dataclass(frozen=True)
class Text:
    """One task as it is compared with others."""

    id: str
    shingles: frozenset[str]
    writes: frozenset[str]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=300, metavar="N", help="play N tasks of each split at most")
    parser.add_argument("--tasks", nargs="*", default=[], metavar="NAME=FOLDER", help="another edition of τ²'s tasks")
    options = parser.parse_args()
    training = {f"{source} {split}": tasks for source, split in TRAINING if (tasks := loaded(source, split))}
    for row in distribution(training, options.episodes):
        print(row)
    print()
    tests = {"τ² 0.2 test": texts(load_tasks("tau2", "test"))}
    for name, folder in (given.split("=", 1) for given in options.tasks):
        tests[f"τ² {name} test"] = edition(Path(folder), "test")
    if v1 := loaded("tau_bench", "test"):
        tests["v1 test"] = texts(v1)
    learnt = {name: texts(tasks) for name, tasks in training.items()}
    for row in contamination(learnt, tests):
        print(row)
    print()
    judged = {f"generated {split}": texts(load_tasks("generated", split)) for split in GENERATED_TESTS}
    judged["τ² 0.2 train"] = texts(load_tasks("tau2", "train"))
    for name, folder in (given.split("=", 1) for given in options.tasks):
        judged[f"τ² {name} train"] = edition(Path(folder), "train")
    for row in shared_writes(learnt, judged):
        print(row)
    if v1:
        print(f"\nTasks of v1's test that are tasks of τ²'s train: {numbers(shared_with_tau2_train(v1))}.")


def loaded(source: str, split: str) -> list[Task]:
    """A split's tasks; none where its source is not installed."""
    try:
        return load_tasks(source, split)
    except MissingDependencyError as error:
        print(f"{source} {split} is left out: {error}", file=sys.stderr)
        return []


def distribution(training: Mapping[str, Sequence[Task]], episodes: int) -> Iterator[str]:
    """What tasks ask for and what the oracle does on them, as rows of a Markdown table."""
    played = {name: played_by_oracle(tasks[:episodes]) for name, tasks in training.items()}
    yield table_row("", *training)
    yield table_row("---", *("---:" for _ in training))
    yield table_row("tasks", *(f"{len(tasks):,}" for tasks in training.values()))
    for subset, holds in SUBSETS.items():
        if subset != "all" and subset not in DIFFICULTIES:
            yield table_row(f"`{subset}`, %", *(f"{percent(map(holds, tasks)):.0f}" for tasks in training.values()))
    means: dict[str, Callable[[Task], float]] = {
        "gold writes a task": lambda task: len(gold_writes(task)),
        "outputs to tell a task": lambda task: len(task.outputs),
    }
    for what, measure in means.items():
        yield table_row(what, *(f"{mean(map(measure, tasks)):.2f}" for tasks in training.values()))
    yield from conversations(played)
    tools = Counter(name for trajectories in played.values() for each in trajectories for name in called(each))
    for tool in sorted(tools):
        calls = (mean(called(each).count(tool) for each in trajectories) for trajectories in played.values())
        yield table_row(f"`{tool}` an episode", *(f"{count:.2f}" for count in calls))


def conversations(played: Mapping[str, Sequence[Trajectory]]) -> Iterator[str]:
    """How the oracle's episodes went."""
    measures: dict[str, Callable[[Trajectory], float]] = {
        "reward, mean": lambda each: each.reward,
        "agent messages an episode": lambda each: each.metrics["turns"],
        "customer's messages an episode": lambda each: len(said(each, "user")),
        "customer's words an episode": lambda each: sum(len(text.split()) for text in said(each, "user")),
        "words of the customer's opening": lambda each: len(said(each, "user")[0].split()),
    }
    for what, measure in measures.items():
        yield table_row(what, *(f"{mean(map(measure, trajectories)):.1f}" for trajectories in played.values()))


def played_by_oracle(tasks: Sequence[Task]) -> list[Trajectory]:
    """The oracle's episode of each task."""
    env = TauRetailEnv(tasks[0].source, tasks=tasks)
    shown = tqdm(tasks, desc=f"{tasks[0].source}/{tasks[0].split}", file=sys.stderr, disable=None)
    return [play_episode(env, OracleAgent(task), EpisodeRequest(task.id, SEED)) for task in shown]


def said(episode: Trajectory, role: str) -> list[str]:
    """The texts of one speaker; the agent's greeting stands in another role."""
    return [message["content"] for message in episode.messages if message["role"] == role and message.get("content")]


def called(episode: Trajectory) -> list[str]:
    """The names of the tools that were called, in order."""
    return [call["function"]["name"] for message in episode.messages for call in message.get("tool_calls", ())]


def contamination(training: Mapping[str, Sequence[Text]], tests: Mapping[str, Sequence[Text]]) -> Iterator[str]:
    """How many training tasks share writes or text with a test, as rows of a Markdown table."""
    yield table_row("training tasks", "test", "all writes the same", "one write the same", "near-duplicates", "nearest")
    yield table_row("---", "---", "---:", "---:", "---:", "---:")
    for name, own in training.items():
        for test, others in tests.items():
            sets = {each.writes for each in others if each.writes}
            single = frozenset().union(*sets)
            nearest = nearest_texts(own, others)
            yield table_row(
                name,
                test,
                f"{sum(each.writes in sets for each in own)}",
                f"{sum(bool(each.writes & single) for each in own)}",
                f"{sum(share >= NEAR_DUPLICATE for share in nearest)}",
                f"{max(nearest):.2f}",
            )


def shared_writes(training: Mapping[str, Sequence[Text]], others: Mapping[str, Sequence[Text]]) -> Iterator[str]:
    """Which splits share writes, and how many tasks of each do, as rows of a Markdown table."""
    yield table_row("training tasks", "others", "all writes the same", "one write the same", "of the others", "of")
    yield table_row("---", "---", "---:", "---:", "---:", "---:")
    for name, own in training.items():
        learnt = frozenset().union(*(each.writes for each in own))
        for other, tasks in others.items():
            sets = {each.writes for each in tasks if each.writes}
            single = frozenset().union(*sets)
            shared = sum(bool(each.writes & single) for each in own)
            if shared and not name.startswith("tau2"):
                whole = sum(each.writes in sets for each in own)
                yield table_row(
                    name,
                    other,
                    f"{whole}",
                    f"{shared}",
                    f"{sum(bool(each.writes & learnt) for each in tasks)}",
                    f"{len(tasks):,}",
                )


def nearest_texts(own: Sequence[Text], others: Sequence[Text]) -> list[float]:
    """For each text, the largest share of five-word sequences that it has in common with one of the others."""
    where: dict[str, list[int]] = defaultdict(list)
    for place, other in enumerate(others):
        for shingle in other.shingles:
            where[shingle].append(place)
    nearest = []
    for each in own:
        common = Counter(place for shingle in each.shingles for place in where.get(shingle, ()))
        shares = [n / max(1, min(len(each.shingles), len(others[place].shingles))) for place, n in common.items()]
        nearest.append(max(shares, default=0.0))
    return nearest


def texts(tasks: Iterable[Task]) -> list[Text]:
    """Tasks as they are compared."""
    return [Text(task.id, shingles_of(task.instruction), canonical_writes(task)) for task in tasks]


def edition(folder: Path, split: str) -> list[Text]:
    """The tasks of one split of another edition of τ², from its files."""
    chosen = set(json.loads((folder / "split_tasks.json").read_text(encoding="utf-8"))[split])
    rows = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    return [edition_text(row) for row in rows if row["id"] in chosen]


def edition_text(row: Mapping[str, object]) -> Text:
    """A task of τ²'s file as it is compared."""
    scenario, criteria = row["user_scenario"], row["evaluation_criteria"]
    assert isinstance(scenario, dict) and isinstance(criteria, dict)
    told = scenario["instructions"]
    parts = (told["reason_for_call"], told["known_info"], told["unknown_info"], told["task_instructions"])
    instruction = "\n".join(part for part in parts if part)
    actions = tuple(Action(action["name"], action["arguments"]) for action in criteria["actions"])
    task = Task(
        id=f"tau2/{row['id']}", source="tau2", domain="retail", split="", instruction=instruction, actions=actions
    )
    return texts([task])[0]


def shingles_of(text: str) -> frozenset[str]:
    """Every sequence of five words, in small letters and without punctuation."""
    words = re.findall(r"\w+", text.lower())
    return frozenset(" ".join(words[place : place + SHINGLE_WORDS]) for place in range(len(words) - SHINGLE_WORDS + 1))


def shared_with_tau2_train(tests: Iterable[Task]) -> list[Task]:
    """The tasks of v1's test that τ²-bench took over into its train split."""
    train = {task.id for task in load_tasks("tau2", "train")}
    dropped = f"tau_bench/test/{MISSING_IN_TAU2}"
    return [task for task in tests if task.id != dropped and train & set(source_class(task).story_names(task))]


def numbers(tasks: Iterable[Task]) -> str:
    """The numbers of some tasks of one split."""
    return ", ".join(task.id.rsplit("/", 1)[1] for task in tasks)


def table_row(*cells: str) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def mean(values: Iterable[float]) -> float:
    """The arithmetic mean."""
    every = list(values)
    return sum(every) / len(every)


def percent(holds: Iterable[bool]) -> float:
    """The share of what holds, in percent."""
    return 100 * mean(map(float, holds))


if __name__ == "__main__":
    main()
