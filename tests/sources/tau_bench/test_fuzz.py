"""Random episodes go as on τ-bench v1's own environment: texts, the end of the episode, the shop then, the reward.

TAU_RETAIL_FUZZ_EPISODES=10000 plays more of them; with -s the counts are shown.
"""

from __future__ import annotations

import copy
import functools
import marshal
from pathlib import Path
from typing import Any

from tau_retail_env import load_tasks
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import open_shop
from tau_retail_env.sources.tau_bench.tasks import import_upstream, splits
from tau_retail_env.users import STOP
from tests.sources.fuzzing import READING, Customer, Ours, Outcome, Script, compare, scripts_of

FULL_REWARD_EVERY = 20
"""How often upstream's own `calculate_reward` judges, which hashes two whole databases (always where a task has
outputs). Else what the episode changed is held against what the gold actions change, in the form that is hashed."""
MAX_ACTIONS = 30
"""Upstream's agents stop after so many actions (`max_num_steps`), with reward 0."""


class Upstream:
    """Plays scripts on upstream's `Env`, which loads a fresh database for each and judges at the end."""

    def __init__(self) -> None:
        make = import_upstream("envs.retail").MockRetailDomainEnv
        self._envs = {split: make(user_strategy="human", task_split=split, task_index=0) for split in splits()}
        types = import_upstream("types")
        self._action = types.Action
        self._unjudged = types.RewardResult(reward=0, info={"r_actions": 0, "gt_data_hash": ""}, actions=[])
        self._hashable = import_upstream("envs.base").to_hashable
        self._before = import_upstream("envs.retail.data").load_data()
        self._bytes = _bytes(self._before)
        self._played = 0

    def play(self, script: Script) -> Outcome:
        """Play a script until upstream says that it is done."""
        env = self._env(script.task.id)
        self._played += 1
        judged = bool(script.task.outputs) or self._played % FULL_REWARD_EVERY == 0
        env.calculate_reward = functools.partial(type(env).calculate_reward, env) if judged else lambda: self._unjudged
        env.user = customer = UpstreamCustomer(script)
        data = env.data
        heard: list[list[str]] = []
        failed: list[list[bool]] = []
        ended = "max_steps"
        for message in script.messages[:MAX_ACTIONS]:
            customer.hears_the_last = message is script.messages[-1]
            action = self._as_action(message)
            response = env.step(action)
            heard.append([response.observation])
            failed.append([is_error(response.observation)] if action.name != "respond" else [])
            if response.done:
                ended = "user_stop" if action.name == "respond" else "agent_transfer"
                break
        forms = self._changed_forms(data)
        shown = {place: self._shown(env, data, *place) for place in forms}
        reward = 0.0
        if ended != "max_steps":
            reward = response.reward if judged else float(forms == self._gold_forms(script.task.id))
        return Outcome(heard, failed, shown, reward, ended)

    def _env(self, task_id: str) -> Any:
        """Upstream's environment of the task's split, with a fresh database."""
        _, split, index = task_id.split("/")
        env = self._envs[split]
        env.user = UpstreamCustomer(None)
        env.reset(int(index))
        return env

    @functools.cache  # noqa: B019
    def _gold_forms(self, task_id: str) -> dict[tuple[str, str], str]:
        env = self._env(task_id)
        for action in env.task.actions:
            if action.name not in env.terminate_tools:
                env.step(action)
        return self._changed_forms(env.data)

    def _changed_forms(self, data: Any) -> dict[tuple[str, str], str]:
        """What upstream hashes of every entry that is not as it was."""
        now = _bytes(data)
        assert now.keys() == self._bytes.keys()
        touched = [place for place, entry in now.items() if entry != self._bytes[place]]
        forms = {(table, key): str(self._hashable(data[table][key])) for table, key in touched}
        return {
            (table, key): form
            for (table, key), form in forms.items()
            if form != str(self._hashable(self._before[table][key]))
        }

    def _shown(self, env: Any, data: Any, table: str, key: str) -> str:
        tool, argument = READING[table]
        return env.tools_map[tool].invoke(data=data, **{argument: key})

    def _as_action(self, message: AgentMessage) -> Any:
        """The first call, or the text: as upstream's tool-calling agent reads a message."""
        if not message.tool_calls:
            return self._action(name="respond", kwargs={"content": message.content})
        call = message.tool_calls[0]
        return self._action(name=call.name, kwargs=copy.deepcopy(dict(call.arguments)))


class UpstreamCustomer(Customer):
    """The script's customer behind upstream's interface."""

    def reset(self, instruction: str) -> str:  # type: ignore[override]
        return "Hello"

    def step(self, content: str) -> str:
        return self.respond(AgentMessage(content))

    def get_total_cost(self) -> float:
        return 0.0


def is_error(text: str) -> bool:
    """v1 has no flag: an error is what says so."""
    return text.startswith(("Error", "Unknown action"))


def _bytes(data: Any) -> dict[tuple[str, str], bytes]:
    """Every entry, types included; version 2 of the format depends on values only."""
    return {(table, key): marshal.dumps(entry, 2) for table, entries in data.items() for key, entry in entries.items()}


def test_random_episodes_go_as_upstream(tau_bench: Path) -> None:
    tasks = [task for split in splits() for task in load_tasks("tau_bench", split)]
    tools = [tool["function"]["name"] for tool in open_shop("tau_bench").tools]
    tally = compare(scripts_of(tasks, open_shop("tau_bench"), (STOP,)), Upstream(), Ours("tau_bench"), tools)
    print(f"\n{tally}")
    assert tally.successful_writes > tally.episodes / 2
    assert tally.rewards[1.0] > 0
