"""The part of same_run.py that runs where τ²-bench and inspect_ai are installed; it prints their figures as JSON."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from inspect_ai.scorer import Score, mean, pass_k, stderr
from inspect_ai.scorer._metric import SampleScore
from loguru import logger
from tau2.agent.base_agent import HalfDuplexAgent
from tau2.data_model.message import AssistantMessage, UserMessage
from tau2.data_model.simulation import Results, SimulationRun
from tau2.metrics.agent_metrics import compute_metrics
from tau2.orchestrator.orchestrator import Orchestrator
from tau2.registry import registry
from tau2.runner.simulation import run_simulation
from tau2.user.user_simulator_base import STOP, HalfDuplexUser
from tau2.utils.utils import get_now


class SaysAgain(HalfDuplexAgent):
    """An agent that says and calls what was said and called before.

    Args:
        said: its messages, the greeting aside: the orchestrator has its own.
    """

    def __init__(self, said: list[AssistantMessage]) -> None:
        super().__init__(tools=[], domain_policy="")
        self._said = iter(said)

    def get_init_state(self, message_history: Any = None) -> None:
        """Nothing is kept."""

    def generate_next_message(self, message: Any, state: None) -> tuple[AssistantMessage, None]:
        """The next message of the recording."""
        return now(next(self._said)), None

    def set_seed(self, seed: int) -> None:
        """Nothing is drawn."""


class AsksAgain(HalfDuplexUser):
    """A customer that says what was said before.

    Args:
        said: its messages.
    """

    def __init__(self, said: list[UserMessage]) -> None:
        super().__init__()
        self._said = iter(said)

    def get_init_state(self, message_history: Any = None) -> None:
        """Nothing is kept."""

    def generate_next_message(self, message: Any, state: None) -> tuple[UserMessage, None]:
        """The next message of the recording."""
        return now(next(self._said)), None

    @classmethod
    def is_stop(cls, message: UserMessage) -> bool:
        """Whether it ends the conversation."""
        return bool(message.content) and STOP in message.content

    def set_seed(self, seed: int) -> None:
        """Nothing is drawn."""


def main() -> None:
    """Play every simulation of a results.json again and print what came of them."""
    logger.remove()
    stored = Results.load(sys.argv[1])
    tasks = {task.id: task for task in stored.tasks}
    again = [played(one, tasks[one.task_id], stored.info) for one in stored.simulations]
    metrics = compute_metrics(stored.model_copy(update={"simulations": again}))
    answer = {
        "rewards": {f"tau2/{one.task_id}/{one.trial}": one.reward_info.reward for one in again},
        "tau2": {"mean": metrics.avg_reward, **{f"pass^{k}": value for k, value in metrics.pass_hat_ks.items()}},
        "inspect_ai": dict(of_inspect_ai(again, stored.info.num_trials)),
    }
    print(json.dumps(answer))


def now(message: Any) -> Any:
    """A recorded message as a new one: the orchestrator orders what was said by its time."""
    return message.model_copy(update={"timestamp": get_now(), "turn_idx": None})


def played(one: SimulationRun, task: Any, info: Any) -> SimulationRun:
    """A simulation by τ²-bench's own orchestrator and evaluator, with the words of a recorded one."""
    said = [message for message in one.messages if isinstance(message, AssistantMessage)][1:]
    heard = [message for message in one.messages if isinstance(message, UserMessage)]
    orchestrator = Orchestrator(
        domain="retail",
        agent=SaysAgain(said),
        user=AsksAgain(heard),
        environment=registry.get_env_constructor("retail")(),
        task=task,
        max_steps=info.max_steps,
        max_errors=info.max_errors,
        seed=one.seed,
    )
    again = run_simulation(orchestrator)
    again.trial = one.trial
    return again


def of_inspect_ai(simulations: list[SimulationRun], trials: int) -> Iterator[tuple[str, float]]:
    """Its metrics of the same rewards, every task a cluster, every trial an epoch."""
    scores = [
        SampleScore(score=Score(value=one.reward_info.reward), sample_metadata={"task": one.task_id})
        for one in simulations
    ]
    yield "mean", float(mean()(scores))
    yield "stderr", float(stderr(cluster="task")(scores))
    epochs: dict[str, list[Score]] = defaultdict(list)
    for one in scores:
        epochs[one.sample_metadata["task"]].append(one.score)
    for k in range(1, trials + 1):
        reduced = [SampleScore(score=pass_k(k)(of_task)) for of_task in epochs.values()]
        yield f"pass^{k}", float(mean()(reduced))


if __name__ == "__main__":
    main()
