"""What the oracle and the bad agents earn on every task: python benchmarks/agents_report.py > docs/agents.md"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

from tqdm import tqdm

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.bad import BAD_AGENTS
from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.cli.catalogue import play_gold
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.sources import open_shop
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import WRITE_TOOLS

SPLITS = ("tau2/base", "tau_bench/train", "tau_bench/test", "tau_bench/dev", "generated/test")
AGENTS: Mapping[str, Callable[[Task], Agent]] = {"oracle": OracleAgent, **BAD_AGENTS}
SEED = 0
INTRODUCTION = """\
# What agents earn

`python benchmarks/agents_report.py > docs/agents.md` plays every task with every agent below, seed 0, and writes this
page. Version 1's tasks need `tau_bench` (see [environment.md](environment.md)). An agent sees what any agent sees; the
oracle and the liar know the gold actions besides.

| agent | what it does |
|---|---|
| `oracle` | serves as the domain policy wants it (`tau_retail_env/agents/oracle.py`) |
| `silent` | never acts: says that it is busy, until the customer leaves |
| `eager` | asks only who the customer is, then writes unasked: cancels every pending order, returns every delivered \
one, puts the default address in capitals |
| `parrot` | repeats the customer's words |
| `quitter` | transfers to a human at once |
| `liar` | serves like the oracle up to the customer's yes, then says that it is done and has done nothing |

The bad ones are in `tau_retail_env/agents/bad.py`, as `BAD_AGENTS`.
"""
NOTE_ON_EAGER = """\
Upstream's reward sees the shop at the end, not whether anybody was asked: an agent that guesses a whole wish right is
paid like one that asked. That is why the eager agent is one whose guess cannot be right: its cancellations and returns
are now and then just what a customer wants, but no gold action writes an address in capitals.
"""
NOTE_ON_UNCHANGED = """\
Upstream's rule pays whoever leaves the shop as it was, ends the conversation and has said the outputs. So the silent
agent, the parrot and the quitter earn 1.0 where there are no outputs, and the liar, who looks them up, everywhere.
"""


def main() -> None:
    """Print the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("splits", nargs="*", default=SPLITS, metavar="SOURCE/SPLIT", help=f"default {' '.join(SPLITS)}")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N tasks of each split")
    options = parser.parse_args()
    splits = {name: load_tasks(*name.split("/"))[: options.limit] for name in options.splits}
    rewards = {task.id: rewards for name, tasks in splits.items() for task, rewards in _played(name, tasks)}
    print(f"{INTRODUCTION}\n## Where the gold actions change the shop\nEpisodes of reward 1.0:\n")
    print("\n".join(_totals(splits, rewards)))
    print(f"\n{NOTE_ON_EAGER}\n## Where they change nothing\n{NOTE_ON_UNCHANGED}")
    print("\n".join(_unchanged(splits, rewards)))


def _played(name: str, tasks: Sequence[Task]) -> Iterator[tuple[Task, dict[str, float]]]:
    env = TauRetailEnv(tasks[0].source, tasks=tasks)
    for task in tqdm(tasks, desc=name, file=sys.stderr, disable=None):
        request = EpisodeRequest(task.id, SEED)
        yield task, {name: play_episode(env, make(task), request).reward for name, make in AGENTS.items()}


def _changes_the_shop(task: Task) -> bool:
    return bool(open_shop(task.source).gold_changes(task))


def _totals(splits: Mapping[str, Sequence[Task]], rewards: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    yield f"| agent | {' | '.join(splits)} |"
    yield f"|---{'|---:' * len(splits)}|"
    for name in AGENTS:
        cells = []
        for tasks in splits.values():
            earned = [rewards[task.id][name] for task in tasks if _changes_the_shop(task)]
            cells.append(f"{earned.count(1.0):,} of {len(earned):,}")
        yield f"| `{name}` | {' | '.join(cells)} |"


def _unchanged(splits: Mapping[str, Sequence[Task]], rewards: Mapping[str, Mapping[str, float]]) -> Iterator[str]:
    yield f"| task | why the shop stays as it was | outputs | {' | '.join(AGENTS)} |"
    yield f"|---|---|---:{'|---:' * len(AGENTS)}|"
    for tasks in splits.values():
        for task in tasks:
            if not _changes_the_shop(task):
                earned = " | ".join(f"{rewards[task.id][name]:g}" for name in AGENTS)
                yield f"| {task.id} | {_why_unchanged(task)} | {len(task.outputs)} | {earned} |"


def _why_unchanged(task: Task) -> str:
    refused = [
        f"`{action.name}`"
        for action, failure in zip(task.actions, play_gold(task).failures, strict=True)
        if failure and action.name in WRITE_TOOLS
    ]
    if refused:
        return f"the shop refuses the gold {', '.join(refused)}"
    if any(action.name == "transfer_to_human_agents" for action in task.actions):
        return "the gold actions transfer to a human"
    return "the gold actions only look up" if task.actions else "there are no gold actions"


if __name__ == "__main__":
    main()
