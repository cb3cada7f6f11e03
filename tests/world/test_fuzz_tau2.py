"""Random episodes go as on τ²'s own environment: texts, errors, the shop at the end, reward.

TAU_RETAIL_FUZZ_EPISODES=10000 plays more of them; with -s the counts are shown.
"""

from __future__ import annotations

import copy
import functools
import json
import warnings
from collections.abc import Mapping
from typing import Any

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.chat.messages import AgentMessage, ToolCall
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.upstream_tau2 import data_folder
from tau_retail_env.users import OUT_OF_SCOPE, STOP, TRANSFER
from tau_retail_env.world import open_shop
from tests.world.fuzzing import READING, Ours, Outcome, Script, compare, scripts_of

FULL_EVALUATION_EVERY = 100
"""How often upstream's own environment evaluator judges the episode as well."""


class Upstream:
    """Plays scripts on upstream's environment, each on a database of its own, and judges by upstream's hash."""

    def __init__(self) -> None:
        from tau2.domains.retail.environment import get_environment, get_tasks

        self._get_environment = get_environment
        self._tasks = {f"tau2/{task.id}": task for task in get_tasks("base")}
        self._database = (data_folder() / "db.json").read_bytes()
        self._forms = _forms(self.environment().tools.db.model_dump())
        self._played = 0

    def environment(self) -> Any:
        """A fresh environment over a fresh database."""
        from tau2.domains.retail.data_model import RetailDB

        return self._get_environment(RetailDB.model_validate_json(self._database))

    def play(self, script: Script) -> Outcome:
        """Play a script to its end."""
        environment = self.environment()
        heard: list[list[str]] = []
        failed: list[list[bool]] = []
        trajectory = _opening()
        for message in script.messages:
            answers = [environment.get_response(call) for call in _calls(message)]
            heard.append([answer.content for answer in answers] or [script.reply])
            failed.append([answer.error for answer in answers])
            trajectory += _turn(message, answers, script.reply)
        heard[-1] = [script.last_words]
        dump = environment.tools.db.model_dump()
        reward = self._reward(script.task, dump, trajectory)
        self._played += 1
        if self._played % FULL_EVALUATION_EVERY == 0:
            assert self._evaluators_reward(script.task, trajectory) == reward
        return Outcome(heard, failed, self._changed(environment, dump), reward)

    def _changed(self, environment: Any, dump: Mapping[str, Any]) -> dict[tuple[str, str], str]:
        forms = _forms(dump)
        assert forms.keys() == self._forms.keys()
        changed = {}
        for table, key in (place for place, form in forms.items() if form != self._forms[place]):
            tool, argument = READING[table]
            changed[table, key] = environment.get_response(_call(ToolCall(tool, {argument: key}))).content
        return changed

    def _reward(self, task: Task, dump: Mapping[str, Any], trajectory: list[Any]) -> float:
        from tau2.evaluator.evaluator_communicate import CommunicateEvaluator
        from tau2.utils import get_dict_hash

        said = CommunicateEvaluator.calculate_reward(self._tasks[task.id], trajectory).reward
        return float(get_dict_hash(dump) == self._gold_hash(task.id)) * said

    @functools.cache  # noqa: B019
    def _gold_hash(self, task_id: str) -> str:
        environment = self.environment()
        for action in self._tasks[task_id].evaluation_criteria.actions or ():
            environment.get_response(_call(ToolCall(action.name, action.arguments)))
        return environment.get_db_hash()

    def _evaluators_reward(self, task: Task, trajectory: list[Any]) -> float:
        from tau2.evaluator.evaluator_communicate import CommunicateEvaluator
        from tau2.evaluator.evaluator_env import EnvironmentEvaluator

        told = self._tasks[task.id]
        judged = EnvironmentEvaluator.calculate_reward(self._get_environment, told, trajectory)
        return judged.reward * CommunicateEvaluator.calculate_reward(told, trajectory).reward


def _forms(dump: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """Every entry as upstream's hash sees it."""
    return {
        (table, key): json.dumps(entry, sort_keys=True, default=str)
        for table, entries in dump.items()
        for key, entry in entries.items()
    }


def _call(call: ToolCall) -> Any:
    from tau2.data_model.message import ToolCall as UpstreamCall

    return UpstreamCall(id="1", name=call.name, arguments=copy.deepcopy(dict(call.arguments)))


def _calls(message: AgentMessage) -> list[Any]:
    return [_call(call) for call in message.tool_calls]


def _opening() -> list[Any]:
    from tau2.data_model.message import AssistantMessage, UserMessage

    greeting = AssistantMessage(role="assistant", content="Hi! How can I help you today?")
    return [greeting, UserMessage(role="user", content="Hello")]


def _turn(message: AgentMessage, answers: list[Any], reply: str) -> list[Any]:
    from tau2.data_model.message import AssistantMessage, UserMessage

    said = AssistantMessage(role="assistant", content=message.content, tool_calls=_calls(message) or None)
    return [said, *(answers or [UserMessage(role="user", content=reply)])]


@pytest.mark.filterwarnings("ignore")
def test_random_episodes_go_as_upstream() -> None:
    shop = open_shop("tau2")
    tasks = load_tasks("tau2", "base")
    tools = [tool["function"]["name"] for tool in shop.tools]
    warnings.simplefilter("ignore")
    tally = compare(scripts_of(tasks, "tau2", (STOP, TRANSFER, OUT_OF_SCOPE)), Upstream(), Ours("tau2"), tools)
    print(f"\n{tally}")
    assert tally.successful_writes > tally.episodes / 2
    assert tally.rewards[1.0] > 0
