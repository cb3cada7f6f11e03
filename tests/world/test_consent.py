"""What the oracle takes for a yes when a customer speaks freely."""

from __future__ import annotations

import dataclasses
import random

import pytest

from tau_retail_env.agents.oracle import CONFIRMATION, OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.evaluation.user_check import play, spread
from tau_retail_env.sources import load_tasks, open_shop
from tau_retail_env.users import ScriptedUser
from tau_retail_env.users.scripted.phrases import PHRASES
from tau_retail_env.world.consent import consents

ANSWERS = (
    "Absolutely, please do.",
    "Sounds good!",
    "Perfect, go for it.",
    "Please proceed.",
    "That works for me.",
    "Yes please, no problem at all.",
    "Thanks for checking. Please go ahead, I no longer need it.",
    "Of course, do it.",
    "Great, I agree.",
    "Definitely!",
    "All good, please do that.",
)
"""How people say yes."""


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_consent_in_free_words_is_one(answer):
    assert consents(answer)


class Freely(ScriptedUser):
    """The scripted customer, with a yes in free words."""

    def respond(self, message):
        said = super().respond(message)
        draws = random.Random(f"{message.content}{said.content}")
        for words in sorted(PHRASES["yes"], key=len, reverse=True):
            if said.content.startswith(words):
                return dataclasses.replace(said, content=draws.choice(ANSWERS) + said.content[len(words) :])
        return said


@pytest.mark.parametrize("source", ["generated", "tau2"])
def test_a_customer_who_consents_in_free_words_fails_no_perfect_agent(source):
    tasks = load_tasks(source, "test")
    customer = Freely(open_shop(source).database)
    played = play(spread(tasks, 40, 0), tasks, lambda: TauRetailEnv(source=source, tasks=tasks, user=customer))
    said = {message["content"] for one in played.trajectories for message in one.messages}
    assert [one.task_id for one in played.trajectories if one.reward < 1.0] == []
    assert len(played.trajectories) == 40
    assert all(any(words.startswith(answer) for words in said if words) for answer in ANSWERS)


@pytest.mark.parametrize(
    "answer",
    [
        "No.",
        "Sounds good, but wait.",
        "Great, but I don't want the blue one.",
        "Sure, could you first tell me the price?",
        "Actually, return the lamp as well.",
        "I would like it in red.",
        "",
    ],
)
def test_what_refuses_corrects_or_asks_is_none(answer):
    assert not consents(answer)


def test_the_oracle_asks_for_a_yes_in_the_words_it_listens_for():
    task = load_tasks("generated", "test", "single*cancellations")[0]
    agent = OracleAgent(task)
    order = task.actions[-1].arguments["order_id"]
    agent.act(f"Cancel {order}, I no longer need it. I am {task.actions[0].arguments}", {"role": "user"})
    agent.act(task.user_id, {"role": "tool"})
    summary = agent.act("{}", {"role": "tool"})
    assert summary.content.endswith(CONFIRMATION)
    assert agent.act("Wonderful weather.", {"role": "user"}).content == summary.content
    assert agent.act("Absolutely!", {"role": "user"}).tool_calls[0].name == "cancel_pending_order"
