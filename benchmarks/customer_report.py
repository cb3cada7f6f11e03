"""What the scripted customer does on every task, for a reader to judge: python -m benchmarks.customer_report

Writes a page for each split to outputs/customers; --task tau2/12 prints one conversation instead.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.cli.catalogue import task_by_id
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import WRITE_TOOLS, gold_writes
from tau_retail_env.users.scripted.story import story_of

FOLDER = Path("outputs") / "customers"
WHOLE = {"tau2/base": "tau2.md", "tau_bench/test": "tau_bench_test.md", "tau_bench/dev": "tau_bench_dev.md"}
"""Splits of which every conversation is printed whole, and the page of each."""
BRIEF = {"tau_bench/train": "tau_bench_train.md"}
"""The split with template-made texts: a line for each task, and some conversations whole."""
SAMPLE_EVERY = 25
SEED = 0
HOW_TO_READ = """\
The oracle agent and the scripted customer, seed 0. A line in italics names the tools that the agent called, writing
ones in bold; what they answered is left out. `tau-retail tasks ID` shows the request in upstream's words and the gold
actions, `tau-retail play --as nobody --task ID` the conversation with the tools' answers.
"""
OVERVIEW = f"""\
# What the customer does
`python -m benchmarks.customer_report` writes these pages; docs/customer.md says how the customer works.

{HOW_TO_READ}
| | tasks | reward 1.0 | agent messages, mean | customer's words, mean |
|---|---:|---:|---:|---:|
"""


def main() -> None:
    """Write the pages, or print one conversation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", metavar="ID", help="print this task's conversation only")
    task_id = parser.parse_args().task
    if task_id:
        task = task_by_id(task_id)
        print("\n".join(_conversation(task, _played([task])[task.id])))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = []
    for split, page in (WHOLE | BRIEF).items():
        tasks = load_tasks(*split.split("/"))
        episodes = _played(tasks)
        body = _brief(tasks, episodes) if split in BRIEF else _whole(tasks, episodes)
        text = "\n".join([f"# The customer on {split}", HOW_TO_READ, *body])
        (FOLDER / page).write_text(f"{text.rstrip()}\n", encoding="utf-8")
        lines.append(f"| [{split}]({page}) | {' | '.join(_figures(tasks, episodes.values()))} |")
    (FOLDER / "README.md").write_text(OVERVIEW + "".join(f"{line}\n" for line in lines), encoding="utf-8")


def _played(tasks: Sequence[Task]) -> dict[str, Trajectory]:
    """The oracle's episode of each task."""
    env = TauRetailEnv(tasks[0].source, tasks=tasks)
    shown = tqdm(tasks, desc=f"{tasks[0].source}/{tasks[0].split}", file=sys.stderr, disable=None)
    return {task.id: play_episode(env, OracleAgent(task), EpisodeRequest(task.id, SEED)) for task in shown}


def _figures(tasks: Sequence[Task], episodes: Iterable[Trajectory]) -> Iterator[str]:
    played = list(episodes)
    words = [len(words.split()) for episode in played for words in _said(episode, "user")]
    yield f"{len(tasks)}"
    yield f"{sum(episode.reward == 1.0 for episode in played)}"
    yield f"{sum(episode.metrics['turns'] for episode in played) / len(tasks):.1f}"
    yield f"{sum(words) / len(tasks):.0f}"


def _whole(tasks: Sequence[Task], episodes: Mapping[str, Trajectory]) -> Iterator[str]:
    for task in tasks:
        yield from _conversation(task, episodes[task.id])
        yield ""


def _brief(tasks: Sequence[Task], episodes: Mapping[str, Trajectory]) -> Iterator[str]:
    sample = tasks[::SAMPLE_EVERY]
    yield f"Every {SAMPLE_EVERY}th conversation whole, then a line for each task.\n"
    yield from _whole(sample, episodes)
    yield "| task | gold writes | agent messages | reward | the customer's first words |"
    yield "|---|---|---:|---:|---|"
    for task in tasks:
        episode = episodes[task.id]
        writes = ", ".join(action.name for action in gold_writes(task)) or "none"
        opening = next(_said(episode, "user"))
        yield f"| {task.id} | {writes} | {episode.metrics['turns']:.0f} | {episode.reward:g} | {opening} |"


def _said(episode: Trajectory, role: str) -> Iterator[str]:
    return (message["content"] for message in episode.messages if message["role"] == role)


def _conversation(task: Task, episode: Trajectory) -> Iterator[str]:
    """One conversation as Markdown; the opening greeting, upstream's, is left out."""
    yield f"## {task.id}"
    yield f"Reward {episode.reward:g}, {episode.stop_reason}, {episode.metrics['turns']:.0f} agent messages."
    story = story_of(task)
    for beat in story.beats if story else ():
        if beat.unmet:
            yield f"Not honoured: {beat.unmet}."
    yield ""
    first = next(place for place, message in enumerate(episode.messages) if message["role"] == "user")
    messages = episode.messages[first:]
    calls: list[str] = []
    for message, following in zip(messages, [*messages[1:], {}], strict=True):
        for call in message.get("tool_calls", ()):
            calls.append(_called(call["function"]["name"], following))
        if message["role"] != "tool" and message.get("content"):
            yield from _calls_line(calls)
            calls = []
            speaker = "Agent" if message["role"] == "assistant" else "Customer"
            yield f"- **{speaker}:** {' '.join(message['content'].split())}"
    yield from _calls_line(calls)


def _called(name: str, answer: Mapping[str, Any]) -> str:
    shown = f"**{name}**" if name in WRITE_TOOLS else name
    return f"{shown} (error)" if str(answer.get("content", "")).startswith("Error") else shown


def _calls_line(calls: Sequence[str]) -> Iterator[str]:
    if calls:
        yield f"- *{', '.join(calls)}*"


if __name__ == "__main__":
    main()
