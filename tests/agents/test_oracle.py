"""The oracle against the scripted customer, through the public interface."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.agents.bad import BoastingAgent
from tau_retail_env.agents.oracle import IDENTITY_QUESTION, NOT_FOUND, OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import SERIES3, SERIES4, SERIES5
from tau_retail_env.tasks import WRITE_TOOLS, Task
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.story import story_of


def play(env: TauRetailEnv, task: Task, seed: int) -> tuple[float, list[tuple[AgentMessage, str]]]:
    """Reward, and the agent's messages each with what the agent had last read."""
    observation, info = env.reset(task_id=task.id, seed=seed)
    agent, turns, reward, over = OracleAgent(task), [], 0.0, False
    while not over:
        message = agent.act(observation, info)
        turns.append((message, observation))
        observation, reward, terminated, truncated, info = env.step(message)
        over = terminated or truncated
    return reward, turns


def failures(source: str, tasks: Sequence[Task], seed: int, phrasings: str) -> list[str]:
    env = TauRetailEnv(source=source, tasks=tasks, user_config={"phrasings": phrasings})
    return [task.id for task in tasks if play(env, task, seed)[0] != 1.0]


@pytest.mark.parametrize("phrasings", ["train", "held_out"])
@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_earns_everything_on_every_tau2_task(seed: int, phrasings: str) -> None:
    tasks = load_tasks("tau2", "base")
    assert len(tasks) == 114
    assert failures("tau2", tasks, seed=seed, phrasings=phrasings) == []


@pytest.mark.parametrize(
    ("split", "seeds"), [("test", range(3)), ("dev", range(3)), ("train", range(1))], ids=["test", "dev", "train"]
)
def test_the_oracle_earns_everything_on_tau_bench(tau_bench: Path, split: str, seeds: range) -> None:
    tasks = load_tasks("tau_bench", split)
    assert [failures("tau_bench", tasks, seed=seed, phrasings="auto") for seed in seeds] == [[] for _ in seeds]


@pytest.mark.parametrize("seed", range(2))
def test_the_oracle_does_all_that_a_story_brings_up(seed: int) -> None:
    tasks = load_tasks("tau2", "base")
    env = TauRetailEnv(source="tau2", tasks=tasks)
    for task in tasks:
        story = story_of(task)
        assert story
        turns = play(env, task, seed)[1]
        said = " ".join(message.content or "" for message, _ in turns)
        heard = " ".join(read for _, read in turns)
        called = [call.name for message, _ in turns for call in message.tool_calls]
        assert all(beat.refusal in said for beat in story.beats if not beat.turn), task.id
        assert all(beat.turn in heard for beat in story.beats), task.id
        assert all(beat.prose in heard and beat.say in heard for beat in story.beats), task.id
        assert ("transfer_to_human_agents" in called) == any(beat.transfer for beat in story.beats), task.id


class WordyAgent(OracleAgent):
    """The oracle in the many words of a large model."""

    def act(self, observation: str, info: Mapping[str, Any]) -> AgentMessage:
        message = super().act(observation, info)
        return AgentMessage(wordy(message.content)) if message.content else message


def wordy(text: str) -> str:
    """What the oracle says, as a large model might put it."""
    if text == IDENTITY_QUESTION:
        return (
            "Hello! I'd be happy to help. Could you please verify your identity by providing your **email address**, "
            "or your **full name and zip code**?"
        )
    if text == NOT_FOUND:
        return "I wasn't able to find an account with those details. Could you double-check your email, or zip code?"
    if refused := re.match(r"I'm sorry, .* because (.*)\. Anything else\?", text):
        return f"Thank you for your patience. Unfortunately, {refused[1]}. I'm unable to do this. How shall we proceed?"
    if told := re.match(r"Here you are: (.*)", text):
        return f"I've looked into this for you:\n\n- {told[1]}\n\nIs there anything else I can help you with?"
    if asked := re.match(r"Please give me (.*)\.", text):
        facts = re.split(r", | and ", asked[1])
        return "To proceed, could you please provide:\n\n" + "\n".join(
            f"{n}. **{fact}**" for n, fact in enumerate(facts, 1)
        )
    if text.endswith("Confirm (yes/no)?"):
        summary = text.removesuffix(" Confirm (yes/no)?")
        return f'Here are the details:\n\n**{summary}**\n\nWould you like me to proceed? Please reply with "yes".'
    if text == "Done. Anything else?":
        return "Your request has been processed successfully! ✅ Is there anything else I can assist you with today?"
    return text


def test_a_wordy_agent_gets_through_every_story() -> None:
    tasks = load_tasks("tau2", "base")
    env = TauRetailEnv(source="tau2", tasks=tasks)
    agents = {task.id: WordyAgent(task) for task in tasks}
    played = [play_episode(env, agents[task.id], EpisodeRequest(task.id, 0)) for task in tasks]
    assert [episode.task_id for episode in played if episode.reward != 1.0] == []


def test_the_words_on_generated_tasks_stay_those_that_the_shipped_model_learned() -> None:
    digest = hashlib.sha256()
    for split in ("train", "test"):
        tasks = load_tasks("generated", split)[:75]
        env = TauRetailEnv(source="generated", tasks=tasks)
        for task in tasks:
            for message, read in play(env, task, seed=0)[1]:
                calls = [[call.name, dict(call.arguments)] for call in message.tool_calls]
                digest.update(json.dumps([read, message.content, calls], sort_keys=True).encode())
    assert digest.hexdigest() == "d9185ccade06aa6de5e8924e1cc8e18546acca379eb00c872489cd6659d69100"


@pytest.mark.parametrize("phrasings", ["train", "held_out"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_earns_everything_on_generated_tasks(split: str, phrasings: str) -> None:
    assert failures("generated", load_tasks("generated", split)[:300], seed=2, phrasings=phrasings) == []


def test_the_oracle_uses_no_id_that_nobody_mentioned_and_writes_only_after_a_yes() -> None:
    tasks = load_tasks("generated", "train")[:100]
    env = TauRetailEnv(source="generated", tasks=tasks)
    for task in tasks:
        seen = ""
        for message, read in play(env, task, seed=0)[1]:
            seen += read
            for call in message.tool_calls:
                ids = [call.arguments.get("order_id"), call.arguments.get("product_id"), call.arguments.get("user_id")]
                ids += [*call.arguments.get("item_ids", ()), *call.arguments.get("new_item_ids", ())]
                assert all(name in seen for name in ids if name), (task.id, call)
                if call.name in WRITE_TOOLS:
                    assert "yes" in read.lower()


def test_the_oracle_says_every_output_before_the_end() -> None:
    task = next(task for task in load_tasks("tau2", "base") if len(task.outputs) > 1 and task.id != "tau2/24")
    env = TauRetailEnv(source="tau2", tasks=[task])
    said = " ".join(message.content or "" for message, _ in play(env, task, seed=0)[1])
    assert all(output in said for output in task.outputs)


def test_the_oracle_does_not_write_after_a_no() -> None:
    task = next(task for task in load_tasks("generated", "train", "cancellations") if len(task.actions) == 3)
    order_id, user_id = task.actions[-1].arguments["order_id"], task.user_id or ""
    agent = OracleAgent(task)
    first, last = user_id.split("_")[:2]
    opening = f"I'm {first} {last}, 12345. Cancel {order_id}, I no longer need it, ordered by mistake."
    assert agent.act(opening, {"role": "user"}).tool_calls[0].name == "find_user_id_by_name_zip"
    assert agent.act(user_id, {"role": "tool"}).tool_calls[0].name == "get_order_details"
    summary = agent.act("{}", {"role": "tool"}).content
    assert summary and summary.endswith("Confirm (yes/no)?")
    assert agent.act("No, wait.", {"role": "user"}).content == summary
    assert agent.act("Yes.", {"role": "user"}).tool_calls[0].name == "cancel_pending_order"


def test_a_boasting_agent_says_done_where_it_should_act() -> None:
    tasks = load_tasks("generated", "train", "single*cancellations")[:3]
    env = TauRetailEnv(source="generated", tasks=tasks)
    for task in tasks:
        trajectory = play_episode(env, BoastingAgent(task), EpisodeRequest(task.id, 5))
        called = [call["function"]["name"] for message in trajectory.messages for call in message.get("tool_calls", ())]
        assert called
        assert not set(called) & WRITE_TOOLS
        assert (trajectory.reward, trajectory.stop_reason) == (0.0, "user_stop")


def test_nothing_is_looked_up_for_what_the_customer_is_asked_for_next():
    drawn = [*SERIES4.generate("train4", 300), *SERIES5.generate("train5", 300)]
    asked = {"order": 0, "payment": 0, "address": 0}
    for number, task in enumerate(drawn):
        env = TauRetailEnv(source="generated", tasks=[task])
        agent = OracleAgent(task, whole_proposals=True, reads_every_order=number % 2 == 0)
        observation, info = env.reset(task_id=task.id, seed=1)
        over, calls = False, []
        while not over:
            message = agent.act(observation, info)
            calls += [call.name for call in message.tool_calls]
            if agent.proposed or agent.attends:
                calls = []
            elif agent.asks:
                names = [name for name in calls if name.startswith("get_")]
                if "order" in agent.asks:
                    assert not names
                if "payment" in agent.asks and names == ["get_order_details", "get_user_details"]:
                    raise AssertionError("the profile was read before anybody knew that it would be needed")
                if agent.asks == ("address",) and "order_id" not in agent.step.write.arguments:
                    assert not names
                asked |= {fact: asked[fact] + 1 for fact in agent.asks if fact in asked}
                calls = []
            observation, _, terminated, truncated, info = env.step(message)
            over = terminated or truncated
    assert all(number > 10 for number in asked.values())


def test_who_names_an_order_when_asked_has_no_other_orders_read():
    named = 0
    for task in (task for task in SERIES3.generate("train3", 400) if "impossible" not in task.labels):
        plans = [beat for beat in story_of(task).beats if "order" in beat.asks and beat.write is not None]
        if not any(re.search(r"#W\d+", words) for beat in plans for words in beat.words.get(Fact.ORDER, ())):
            continue
        env = TauRetailEnv(source="generated", tasks=[task])
        agent = OracleAgent(task, whole_proposals=True, reads_every_order=True)
        observation, info = env.reset(task_id=task.id, seed=1)
        over, read, answered = False, [], False
        while not over:
            message = agent.act(observation, info)
            if "order" in agent.asks:
                answered, read = True, []
            read += [call.arguments.get("order_id") for call in message.tool_calls if call.name == "get_order_details"]
            if answered and agent.proposed:
                order_id = agent.proposed.arguments["order_id"]
                if order_id in agent.matter:
                    assert set(read) <= {order_id}
                    named += 1
                answered = False
            observation, reward, terminated, truncated, info = env.step(message)
            over = terminated or truncated
        assert reward == 1.0
    assert named > 3
