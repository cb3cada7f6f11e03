"""Episodes a second of an evaluation with agents that need no model: python benchmarks/eval_speed.py."""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sides import print_machine

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.choice import AgentChoice, made_here
from tau_retail_env.evaluation import settings as module
from tau_retail_env.evaluation.crew import ChildPlayer, Crew
from tau_retail_env.evaluation.outcome import figures
from tau_retail_env.evaluation.playing import AgentPlayer
from tau_retail_env.evaluation.runner import open_folder, play, write_results
from tau_retail_env.evaluation.settings import EvalSettings
from tau_retail_env.tasks import Task


def main() -> None:
    """Evaluate each agent, record and figures included, and print its rate."""
    options = _options()
    print_machine()
    tasks = load_tasks("tau2", options.split)
    episodes = len(tasks) * options.trials
    print(f"tau2 {options.split}: {len(tasks)} tasks, {options.trials} trials, {options.processes} processes")
    for name in options.agents:
        with tempfile.TemporaryDirectory() as folder:
            seconds, processor_s = measure(Path(folder), name, tasks, options.trials, options.processes)
        each_ms = 1000 * processor_s / episodes
        print(f"{name:<8} {episodes / seconds:7.1f} episodes a second, {each_ms:6.2f} ms of processor time each")


def measure(folder: Path, name: str, tasks: Sequence[Task], trials: int, processes: int) -> tuple[float, float]:
    """Evaluate an agent, from the making of the folder to its results.

    Args:
        folder: an empty folder.
        name: one of `tau_retail_env.agents.choice.NAMES`.
        tasks: what is played.
        trials: how often each.
        processes: at once.

    Returns:
        Wall-clock seconds, and processor seconds of all processes.
    """
    make_agent = made_here(AgentChoice.read(name))
    TauRetailEnv(tasks=tasks)  # what it loads is then there in every child
    began, used = time.perf_counter(), _processor_s()
    customer = module.customer_of("scripted", None, {})
    settings = EvalSettings(
        agent=name,
        source="tau2",
        task_version=module.task_version(tasks),
        split=tasks[0].split,
        tasks=module.task_digests(tasks),
        trials=trials,
        customer=customer,
        customer_digest=module.digest_of_customer(customer),
    )
    standing = open_folder(folder, settings, tasks)
    players = [
        ChildPlayer(lambda: AgentPlayer(lambda: TauRetailEnv(tasks=tasks), make_agent, tasks, 0))
        for _ in range(processes)
    ]
    play(standing, folder, Crew(players), lambda episodes, asked: None)
    if standing.ended_by is not None:
        raise standing.ended_by
    write_results(folder, figures(settings, standing.episodes, standing.spent, tasks))
    return time.perf_counter() - began, _processor_s() - used


def _processor_s() -> float:
    """Seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", nargs="+", default=["silent", "quitter", "eager", "oracle"])
    parser.add_argument("--split", default="base")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    return parser.parse_args()


if __name__ == "__main__":
    main()
