"""Small evaluations for tests: settings, and playing them in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.choice import AgentChoice, made_here
from tau_retail_env.evaluation import settings as module
from tau_retail_env.evaluation.playing import AgentPlayer
from tau_retail_env.evaluation.runner import Standing, open_folder, play
from tau_retail_env.evaluation.settings import EvalSettings
from tau_retail_env.evaluation.worker_pool import WorkerPool
from tau_retail_env.tasks import Task

TASKS = load_tasks("tau2", "test", "exchanges")[:4]
"""Tasks that an agent which does nothing fails."""


def settings_of(tasks: list[Task] = TASKS, **changes: Any) -> EvalSettings:
    """An evaluation of the silent agent, but for the changes."""
    who = module.user_of("scripted", None, {})
    plain: dict[str, Any] = {
        "agent": "silent",
        "source": "tau2",
        "task_version": "0.2",
        "split": "test",
        "tasks": module.task_digests(tasks),
        "trials": 2,
        "customer": who,
        "customer_digest": module.digest_of_user(who),
    }
    return EvalSettings(**(plain | changes))


def evaluate(
    folder: Path,
    tasks: list[Task] = TASKS,
    *,
    user: Any = None,
    make_agent: Any = None,
    workers: int = 1,
    progress: Any = lambda episodes, asked: None,
    **changes: Any,
) -> Standing:
    """Play what is missing of an evaluation."""
    folder.mkdir(exist_ok=True)
    settings = settings_of(tasks, **changes)
    standing = open_folder(folder, settings, tasks)
    make_agent = make_agent or made_here(AgentChoice.read(settings.agent))
    players = [
        AgentPlayer(lambda: TauRetailEnv(tasks=tasks, user=user), make_agent, tasks, settings.seed)
        for _ in range(workers)
    ]
    play(standing, folder, WorkerPool(players), progress)
    return standing
