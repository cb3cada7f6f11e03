"""Playing one episode of an evaluation with an agent, into a line of the record and the numbers of it."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.choice import MakeAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.facts import facts_of
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.evaluation.worker_pool import Job, Played, StoppedError
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.tasks import Task

NAMES_OF_USAGE = {
    "calls": "agent_calls",
    "prompt_tokens": "agent_prompt_tokens",
    "completion_tokens": "agent_completion_tokens",
    "cost_usd": "agent_cost_usd",
    "too_long": "agent_too_long",
}
"""By its name in an agent's `usage`, the metric of the record."""


class AgentPlayer:
    """Plays episodes with an agent that is made anew for each.

    Args:
        make_env: makes the environment.
        make_agent: makes an agent from a task and the trial's seed.
        tasks: the tasks.
        seed: of the first trial; each further one adds 1.
    """

    def __init__(
        self, make_env: Callable[[], TauRetailEnv], make_agent: MakeAgent, tasks: Sequence[Task], seed: int
    ) -> None:
        self._env = make_env()
        self._make_agent = make_agent
        self._tasks = {task.id: task for task in tasks}
        self._seed = seed
        self._stopped = threading.Event()

    def play(self, job: Job) -> Played:
        """Play one episode.

        Raises:
            StoppedError: it was stopped.
            TauRetailError: no customer, or no agent, is available.
        """
        task, seed = self._tasks[job.task_id], self._seed + job.trial
        began = time.perf_counter()
        agent = _Stoppable(self._make_agent(task, seed), self._stopped)
        trajectory = play_episode(self._env, agent, request(job, self._seed))
        usage = getattr(agent.agent, "usage", None) or {}
        return played(job, _with_usage(trajectory, usage, time.perf_counter() - began), task)

    def stop(self) -> None:
        """End the episode under way at the agent's next message."""
        self._stopped.set()


def request(job: Job, seed: int) -> EpisodeRequest:
    """What the players of `episodes` are asked for.

    Args:
        job: task and trial.
        seed: of the first trial; each further one adds 1.
    """
    return EpisodeRequest(job.task_id, seed + job.trial, sampling_seed=seed + job.trial)


def played(job: Job, trajectory: Trajectory, task: Task) -> Played:
    """An episode as the record keeps it, and in numbers."""
    episode = Episode(job.trial, trajectory)
    return Played(job, episode.as_line(), facts_of(episode, task))


class _Stoppable:
    """An agent, until somebody says stop."""

    def __init__(self, agent: Agent, stopped: threading.Event) -> None:
        self.agent = agent
        self._stopped = stopped

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage | str:
        if self._stopped.is_set():
            raise StoppedError
        answer = self.agent.act(observation, info)
        check_answer(answer)
        return answer


def check_answer(answer: object) -> None:
    """Refuse what an agent of the caller's own may return by mistake.

    Args:
        answer: what its `act` has returned.

    Raises:
        InvalidValueError: neither a text nor a message, or tool calls that are none, or that no file could keep.
    """
    content = answer.content if isinstance(answer, AgentMessage) else answer
    if not isinstance(content, str) and not (isinstance(answer, AgentMessage) and content is None):
        raise InvalidValueError(
            f"The agent answered {type(content).__name__}, expected a text or an AgentMessage; fix its act()"
        )
    calls = answer.tool_calls if isinstance(answer, AgentMessage) else ()
    if not isinstance(calls, (tuple, list)) or not all(isinstance(call, ToolCall) for call in calls):
        raise InvalidValueError(
            f"The agent answered with tool_calls {str(calls)[:60]!r}, expected a tuple of ToolCall; fix its act()"
        )
    for call in calls:
        try:
            json.dumps(call.arguments)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidValueError(
                f"The agent called {call.name!r} with arguments that JSON cannot hold ({error}); fix its act()"
            ) from None


def _with_usage(trajectory: Trajectory, usage: Mapping[str, float], episode_s: float) -> Trajectory:
    """The episode with what the agent says that it took, and how long all lasted."""
    metrics = {NAMES_OF_USAGE[name]: value for name, value in usage.items() if name in NAMES_OF_USAGE}
    timings = {"episode_s": episode_s} | ({"agent_s": usage["seconds"]} if "seconds" in usage else {})
    return dataclasses.replace(
        trajectory, metrics={**trajectory.metrics, **metrics}, timings={**trajectory.timings, **timings}
    )
