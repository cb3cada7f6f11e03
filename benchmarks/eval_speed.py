"""Episodes a second of an evaluation.

python benchmarks/eval_speed.py                                     agents that need no model
python benchmarks/eval_speed.py --agent FOLDER --split test --trials 4   a checkpoint through vLLM: tokens a second, too
"""

from __future__ import annotations

import argparse
import functools
import resource
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from sides import print_machine

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.choice import AgentChoice, made_here
from tau_retail_env.evaluation import settings as module
from tau_retail_env.evaluation.checkpoint import engine_pool
from tau_retail_env.evaluation.generation import Generation
from tau_retail_env.evaluation.outcome import figures
from tau_retail_env.evaluation.playing import AgentPlayer
from tau_retail_env.evaluation.runner import open_folder, play, write_results
from tau_retail_env.evaluation.settings import EvalSettings
from tau_retail_env.evaluation.worker_pool import ChildPlayer, Job, WorkerPool
from tau_retail_env.models.checks import model_config, prompt_style_of
from tau_retail_env.tasks import Task


def main() -> None:
    """Evaluate each agent, record and figures included, or a checkpoint, and print its rate."""
    options = _options()
    print_machine()
    tasks = load_tasks(options.source, options.split)
    if options.agent is not None:
        measure_checkpoint(options, tasks)
        return
    episodes = len(tasks) * options.trials
    played = f"{options.source} {options.split}: {len(tasks)} tasks, {options.trials} trials"
    print(f"{played}, {options.processes} processes")
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
    source = tasks[0].source
    TauRetailEnv(source, tasks=tasks)  # what it loads is then there in every child
    began, used = time.perf_counter(), _processor_s()
    customer = module.user_of("scripted", None, {})
    settings = EvalSettings(
        agent=name,
        source=source,
        task_version=module.task_version(tasks),
        split=tasks[0].split,
        tasks=module.task_digests(tasks),
        trials=trials,
        customer=customer,
        customer_digest=module.digest_of_user(customer),
    )
    standing = open_folder(folder, settings, tasks)
    players = [
        ChildPlayer(lambda: AgentPlayer(lambda: TauRetailEnv(source, tasks=tasks), make_agent, tasks, 0))
        for _ in range(processes)
    ]
    play(standing, folder, WorkerPool(players), lambda episodes, asked: None)
    if standing.ended_by is not None:
        raise standing.ended_by
    write_results(folder, figures(settings, standing.episodes, standing.spent, tasks))
    return time.perf_counter() - began, _processor_s() - used


def measure_checkpoint(options: argparse.Namespace, tasks: Sequence[Task]) -> None:
    """Play a checkpoint through vLLM and print what it took, the engines' start apart."""
    began = time.perf_counter()
    jobs = [Job(task.id, trial) for trial in range(options.trials) for task in tasks]
    config = model_config(options.agent)
    prompt_style = options.prompt_style or prompt_style_of(config) or "full"
    with tempfile.TemporaryDirectory() as folder:
        pool = engine_pool(
            options.agent,
            functools.partial(TauRetailEnv, tasks[0].source, tasks=tasks, prompt_style=prompt_style),
            tasks,
            seed=0,
            prompt_style=prompt_style,
            generation=Generation(temperature=options.temperature, max_new_tokens=options.max_new_tokens),
            is_offline=True,
            episodes=len(jobs),
            engines=options.engines,
            at_once=options.at_once,
            logprobs=options.logprobs,
            log_folder=Path(folder),
            tell=print,
        )
        ends = [one for one in pool.play(jobs, lambda _: False) if one is not None]
    whole_s = time.perf_counter() - began
    turns = sum(one.facts.numbers["turns"] for one in ends)
    print(f"{len(ends)} episodes of {len(tasks)} tasks, {prompt_style} prompt, {turns / len(ends):.1f} messages each")
    print(f"{whole_s:.1f} s in all, {pool.playing_s:.1f} s from the first episode's start to the last one's end")
    print(f"{len(ends) / pool.playing_s:.1f} episodes a second; success {sum(one.facts.success for one in ends)}")
    print(pool.summary())


def _processor_s() -> float:
    """Seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", nargs="+", default=["silent", "quitter", "eager", "oracle"])
    parser.add_argument("--source", default="tau2")
    parser.add_argument("--split", default="base")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--processes", type=int, default=2)
    checkpoint = parser.add_argument_group("with a checkpoint")
    checkpoint.add_argument("--agent", metavar="FOLDER", help="the checkpoint")
    checkpoint.add_argument("--engines", type=int, help="vLLM engines side by side")
    checkpoint.add_argument("--at-once", type=int, help="episodes at a time, all engines together")
    checkpoint.add_argument("--prompt-style", help="default: what the checkpoint says")
    checkpoint.add_argument("--temperature", type=float, default=0.0)
    checkpoint.add_argument("--max-new-tokens", type=int, default=256)
    checkpoint.add_argument("--logprobs", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    main()
