"""What bad agents earn: nothing wherever the gold actions change the shop, and elsewhere what upstream's rule gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.agents.bad import (
    BAD_AGENTS,
    EagerAgent,
    MuteAgent,
    ParrotAgent,
    QuitterAgent,
    ReciterAgent,
    SilentAgent,
)
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import load_tasks, open_shop
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import WRITE_TOOLS, gold_writes

USER = {"role": "user"}
TOOL = {"role": "tool"}


def check(source: str, tasks: Sequence[Task], name: str) -> None:
    env = TauRetailEnv(source, tasks=tasks)
    for task in tasks:
        played = play_episode(env, BAD_AGENTS[name](task), EpisodeRequest(task.id, seed=0))
        if open_shop(source).gold_changes(task):
            assert played.reward == 0.0, task.id
        elif name != "eager" and not task.outputs:
            assert played.reward == 1.0, task.id


@pytest.mark.parametrize("name", BAD_AGENTS)
def test_bad_agents_earn_nothing_where_a_tau2_task_changes_the_shop(name: str) -> None:
    check("tau2", load_tasks("tau2", "base"), name)


@pytest.mark.parametrize("name", BAD_AGENTS)
def test_bad_agents_earn_nothing_on_generated_tasks(name: str) -> None:
    check("generated", load_tasks("generated", "test")[:150], name)


@pytest.mark.parametrize("name", BAD_AGENTS)
def test_bad_agents_earn_nothing_where_a_task_of_v1_changes_the_shop(name: str, tau_bench: Path) -> None:
    tasks = [*load_tasks("tau_bench", "test"), *load_tasks("tau_bench", "dev"), *load_tasks("tau_bench", "train")[::5]]
    check("tau_bench", tasks, name)


def test_no_task_wants_an_address_in_capitals() -> None:
    """Why no guess of the eager agent is right."""
    tasks = [*load_tasks("tau2", "base"), *load_tasks("generated", "train"), *load_tasks("generated", "test")]
    streets = [
        action.arguments["address1"] for task in tasks for action in task.actions if "address1" in action.arguments
    ]
    assert len(streets) > 1000
    assert not any(street.isupper() for street in streets)


def calls(message: AgentMessage) -> list[tuple[str, dict[str, Any]]]:
    return [(call.name, dict(call.arguments)) for call in message.tool_calls]


def test_the_silent_agent_only_talks() -> None:
    agent = SilentAgent()
    said = [agent.act("Cancel my order!", USER) for _ in range(5)]
    assert all(message.content and not message.tool_calls for message in said)


def test_the_parrot_says_what_it_hears() -> None:
    assert ParrotAgent().act("Cancel #W1, please.", USER) == AgentMessage("Cancel #W1, please.")


def test_the_mute_agent_writes_gold_and_says_nothing_before() -> None:
    task = next(task for task in load_tasks("tau2", "base") if gold_writes(task))
    agent = MuteAgent(task)
    said = [agent.act("Hi", USER) for _ in range(len(gold_writes(task)) + 1)]
    wanted = [[(write.name, write.arguments)] for write in gold_writes(task)]
    assert [calls(message) for message in said] == [*wanted, []]
    assert [bool(message.content) for message in said] == [*(False for _ in wanted), True]


def test_the_reciter_tells_what_it_has_read_and_writes_nothing() -> None:
    task = next(task for task in load_tasks("tau2", "base") if gold_writes(task))
    played = play_episode(TauRetailEnv(tasks=[task]), ReciterAgent(), EpisodeRequest(task.id, seed=0))
    names = [call["function"]["name"] for message in played.messages for call in message.get("tool_calls", ())]
    told = "".join(message["content"] or "" for message in played.messages if message["role"] == "assistant")
    results = [message["content"] for message in played.messages if message["role"] == "tool"]
    assert {"get_user_details", "get_order_details", "get_product_details"} <= set(names)
    assert not WRITE_TOOLS & set(names)
    assert all(result in told for result in results if not result.startswith("Error"))


def test_the_quitter_hands_over_first_and_talks_then() -> None:
    agent = QuitterAgent()
    assert calls(agent.act("Hi", USER))[0][0] == "transfer_to_human_agents"
    assert agent.act("Transfer successful", TOOL).content
    assert agent.act("Hello?", USER).content


def test_the_eager_agent_asks_for_nothing_but_the_identity_and_writes_unasked() -> None:
    agent = EagerAgent()
    assert "email" in (agent.act("Where is my order?", USER).content or "")
    lookup = {"first_name": "Ann", "last_name": "Lee", "zip": "12345"}
    assert calls(agent.act("I am Ann Lee, 12345", USER)) == [("find_user_id_by_name_zip", lookup)]
    assert calls(agent.act("ann_lee_1", TOOL)) == [("get_user_details", {"user_id": "ann_lee_1"})]
    profile = '{"address": {"city": "Paris"}, "orders": ["#W1", "#W2"]}'
    assert calls(agent.act(profile, TOOL)) == [("modify_user_address", {"user_id": "ann_lee_1", "city": "PARIS"})]
    assert calls(agent.act("{}", TOOL)) == [("get_order_details", {"order_id": "#W1"})]
    assert calls(agent.act('{"order_id": "#W1", "status": "pending"}', TOOL))[0][0] == "get_order_details"
    assert calls(agent.act('{"order_id": "#W2", "status": "processed"}', TOOL))[0][0] == "cancel_pending_order"
    assert agent.act("{}", TOOL) == AgentMessage("All done. Anything else?")


def test_the_eager_agent_writes_and_the_others_do_not() -> None:
    task = load_tasks("tau2", "test")[0]
    env = TauRetailEnv("tau2", tasks=[task])
    for name, make in BAD_AGENTS.items():
        played = play_episode(env, make(task), EpisodeRequest(task.id, seed=0))
        called = {call["function"]["name"] for message in played.messages for call in message.get("tool_calls", ())}
        assert bool(called & WRITE_TOOLS) is (name == "eager"), name
