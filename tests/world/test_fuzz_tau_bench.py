"""Random episodes go as on τ-bench v1's own environment: texts, the end of the episode, the shop then, the reward.

TAU_RETAIL_FUZZ_EPISODES=10000 plays more of them; with -s the counts are shown.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from tau_retail_env import load_tasks
from tau_retail_env.chat.messages import AgentMessage
from tau_retail_env.tasks.upstream_tau_bench import import_upstream, splits
from tau_retail_env.users import STOP
from tau_retail_env.world import open_shop
from tests.world.fuzzing import READING, Customer, Ours, Outcome, Script, compare, scripts_of

MAX_ACTIONS = 30
"""Upstream's agents stop after so many actions (`max_num_steps`), with reward 0."""


class Upstream:
    """Plays scripts on upstream's `Env`, which loads a fresh database for each and judges at the end."""

    def __init__(self) -> None:
        make = import_upstream("envs.retail").MockRetailDomainEnv
        self._envs = {split: make(user_strategy="human", task_split=split, task_index=0) for split in splits()}
        self._action = import_upstream("types").Action
        self._hashable = import_upstream("envs.base").to_hashable
        self._before = import_upstream("envs.retail.data").load_data()
        self._texts = _texts(self._before)

    def play(self, script: Script) -> Outcome:
        """Play a script until upstream says that it is done."""
        _, split, index = script.task.id.split("/")
        env = self._envs[split]
        env.user = customer = UpstreamCustomer(script)
        env.reset(int(index))
        data = env.data
        heard: list[list[str]] = []
        failed: list[list[bool]] = []
        reward, ended = 0.0, "max_steps"
        for message in script.messages[:MAX_ACTIONS]:
            customer.hears_the_last = message is script.messages[-1]
            action = self._as_action(message)
            response = env.step(action)
            heard.append([response.observation])
            failed.append([is_error(response.observation)] if action.name != "respond" else [])
            if response.done:
                reward = response.reward
                ended = "user_stop" if action.name == "respond" else "agent_transfer"
                break
        return Outcome(heard, failed, self._changed(env, data), reward, ended)

    def _as_action(self, message: AgentMessage) -> Any:
        """The first call, or the text: as upstream's tool-calling agent reads a message."""
        if not message.tool_calls:
            return self._action(name="respond", kwargs={"content": message.content})
        call = message.tool_calls[0]
        return self._action(name=call.name, kwargs=copy.deepcopy(dict(call.arguments)))

    def _changed(self, env: Any, data: Any) -> dict[tuple[str, str], str]:
        """Found by text, confirmed by the form that upstream hashes, shown by upstream's tools."""
        texts = _texts(data)
        assert texts.keys() == self._texts.keys()
        changed = {}
        for table, key in (place for place, text in texts.items() if text != self._texts[place]):
            if str(self._hashable(data[table][key])) != str(self._hashable(self._before[table][key])):
                tool, argument = READING[table]
                changed[table, key] = env.tools_map[tool].invoke(data=data, **{argument: key})
        return changed


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


def _texts(data: Any) -> dict[tuple[str, str], str]:
    return {(table, key): repr(entry) for table, entries in data.items() for key, entry in entries.items()}


def test_random_episodes_go_as_upstream(tau_bench: Path) -> None:
    tasks = [task for split in splits() for task in load_tasks("tau_bench", split)]
    tools = [tool["function"]["name"] for tool in open_shop("tau_bench").tools]
    tally = compare(scripts_of(tasks, "tau_bench", (STOP,)), Upstream(), Ours("tau_bench"), tools)
    print(f"\n{tally}")
    assert tally.successful_writes > tally.episodes / 2
    assert tally.rewards[1.0] > 0
