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
from tau_retail_env.world.consent import is_yes, takes_back

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
    assert is_yes(answer)


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
    assert not is_yes(answer)


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


@pytest.mark.parametrize(
    "answer",
    [
        "I can't confirm that.",
        "Don't go ahead.",
        "I don't think that's right.",
        "I never said yes.",
        "I won't say yes to that.",
        "That isn’t right.",
        "Can you confirm the price?",
        "Could you confirm what the total would be",
        "Okay, how much would it be?",
        "okay how much would it be",
        "Yes? What do you mean?",
        "Ok, hold on.",
        "Nope, that is right where I live.",
        "Yes, but refund it to PayPal.",
        "Yes. But refund it to PayPal.",
        "Go ahead and tell me the price first.",
        "Let me confirm with my wife.",
        "Correct the address first.",
        "Yes, cancel my other order instead.",
        "Sure, once you have told me the price.",
        "Yes, if it is free.",
        "I am sure you can do better.",
        "Yes. No, wait!",
        "Okay. I changed my mind.",
        "Absolutely not.",
    ],
)
def test_a_refusal_a_question_or_a_condition_is_no_yes_whatever_words_it_holds(answer):
    assert not is_yes(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "No problem, go ahead.",
        "Yes, please proceed. Can you also tell me the tracking number?",
        "Yes, cancel it, I don't need it anymore.",
        "Yes, return it because it doesn't fit.",
        "Yes please, and let me know once it's done.",
        "Sure, please go ahead. Thank you! ###STOP###",
        "Yes. I don't know my order id. How about size L?",
        "That sounds good. Yes, please go ahead.",
    ],
)
def test_a_yes_stays_one_with_a_reason_a_detail_or_a_new_question_behind_it(answer):
    assert is_yes(answer)


@pytest.mark.parametrize("said", ["No, wait! I changed my mind.", "Please don't cancel it.", "Hold on.", "No wait"])
def test_a_withdrawal_takes_a_yes_back(said):
    assert takes_back(said)


@pytest.mark.parametrize("said", ["No.", "Okay, I'll wait.", "No, that's all.", "Actually, there is more.", "Thanks!"])
def test_what_says_nothing_against_it_takes_no_yes_back(said):
    assert not takes_back(said)
