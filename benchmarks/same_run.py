"""One run's figures three times: this package's, τ²-bench's own and inspect_ai's, of the same episodes.

An agent that serves as the oracle does in some trials and lies in the others plays with the scripted customer. Then
τ²-bench's own orchestrator is given what agent and customer said, runs the tools on its own shop and judges with its
own evaluator; its metrics and inspect_ai's are taken of the rewards.

UPSTREAM_PYTHON=<python with tau2's packages and inspect_ai> TAU2_BENCH_PATH=<checkout> python benchmarks/same_run.py
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.bad import BoastingAgent
from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.evaluation import settings as module
from tau_retail_env.evaluation.outcome import figures
from tau_retail_env.evaluation.playing import AgentPlayer
from tau_retail_env.evaluation.record import EPISODES, best_episodes
from tau_retail_env.evaluation.runner import open_folder, play
from tau_retail_env.evaluation.settings import EvalSettings
from tau_retail_env.evaluation.upstream import tau2
from tau_retail_env.evaluation.worker_pool import WorkerPool
from tau_retail_env.tasks import Task

NORMAL_QUANTILE = 1.959963984540054
"""Half a 95 % normal interval in standard errors."""
UPSTREAM = Path(__file__).with_name("same_run_upstream.py")


def main() -> None:
    """Play, have it played again, and print the table."""
    options = _options()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours = played(folder, options.split, options.trials, options.limit)
        theirs = played_again(folder / "results.json", options.python, options.checkout)
    print(as_table(ours, theirs))


def played(folder: Path, split: str, trials: int, limit: int | None = None) -> dict[str, Any]:
    """This package's figures; the run is left in the folder as τ²'s results.json.

    Args:
        folder: an empty one.
        split: of τ².
        trials: of each task.
        limit: tasks at most; None for all.
    """
    tasks = load_tasks("tau2", split)[:limit]
    customer = module.user_of("scripted", None, {})
    settings = EvalSettings(
        agent="sometimes",
        source="tau2",
        task_version=module.task_version(tasks),
        split=split,
        tasks=module.task_digests(tasks),
        trials=trials,
        customer=customer,
        customer_digest=module.digest_of_user(customer),
    )
    standing = open_folder(folder, settings, tasks)
    play(standing, folder, WorkerPool([AgentPlayer(lambda: TauRetailEnv(tasks=tasks), _sometimes, tasks, 0)]), _quietly)
    tau2.write(folder / "results.json", settings, best_episodes(folder / EPISODES), tau2.task_rows())
    found = figures(settings, standing.episodes, standing.spent, tasks)
    rewards = {f"{one.task_id}/{one.trial}": float(one.success) for one in standing.episodes}
    low, high = found["pass^1"]["miller"]
    return {
        "rewards": rewards,
        "mean": found["pass^1"]["value"],
        "stderr": (high - low) / 2 / NORMAL_QUANTILE,
        **{f"pass^{k}": found[f"pass^{k}"]["value"] for k in range(1, trials + 1)},
    }


def played_again(file: Path, python: str, checkout: Path) -> dict[str, Any]:
    """τ²-bench's and inspect_ai's figures of the same conversations.

    Args:
        file: the run as τ²'s results.json.
        python: an interpreter with τ²-bench's packages and inspect_ai.
        checkout: of τ²-bench 1.0.
    """
    environment = os.environ | {"PYTHONPATH": str(checkout / "src"), "TAU2_DATA_DIR": str(checkout / "data")}
    done = subprocess.run(
        [python, str(UPSTREAM), str(file)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"upstream's code failed: {done.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def as_table(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """The figures side by side, as Markdown.

    Args:
        ours: as `played` tells them.
        theirs: as `played_again` does.
    """
    alike = sum(theirs["rewards"].get(key) == reward for key, reward in ours["rewards"].items())
    lines = [
        f"{len(ours['rewards'])} episodes; the reward of {alike} is the same when τ²-bench plays and judges them",
        "",
        "| figure | tau-retail | τ²-bench | inspect_ai |",
        "|---|---|---|---|",
    ]
    for name in [name for name in ours if name != "rewards"]:
        cells = [ours[name], theirs["tau2"].get(name), theirs["inspect_ai"].get(name)]
        lines.append(f"| {name} | {' | '.join('–' if cell is None else f'{cell:.6f}' for cell in cells)} |")
    return "\n".join(lines)


def _sometimes(task: Task, seed: int) -> Agent:
    """The oracle in some trials of a task, in more of one task than of another; else one that lies."""
    share = random.Random(f"share of {task.id}").random()
    serves = random.Random(f"{task.id}/{seed}").random() < share
    return OracleAgent(task) if serves else BoastingAgent(task)


def _quietly(episodes: object, asked: object) -> None:
    """No progress is shown."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--split", default="base", help="of τ² (default base)")
    parser.add_argument("--trials", type=int, default=4)
    parser.add_argument("--limit", type=int, help="tasks at most (default all)")
    parser.add_argument("--python", default=os.environ.get("UPSTREAM_PYTHON"), help="with τ²'s packages and inspect_ai")
    parser.add_argument("--checkout", type=Path, default=os.environ.get("TAU2_BENCH_PATH"), help="of τ²-bench 1.0")
    options = parser.parse_args()
    if not options.python or not options.checkout:
        parser.error("give --python and --checkout, or UPSTREAM_PYTHON and TAU2_BENCH_PATH")
    options.checkout = Path(options.checkout).resolve()
    return options


if __name__ == "__main__":
    main()
