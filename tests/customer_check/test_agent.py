"""What the oracle takes for a yes when a customer speaks freely."""

from __future__ import annotations

import pytest

from tau_retail_env.customer_check.agent import CONFIRMATION, AttentiveOracle, consents
from tau_retail_env.tasks import load_tasks


@pytest.mark.parametrize(
    "answer",
    [
        "Yes.",
        "Absolutely, please do.",
        "Sounds good!",
        "Perfect, go for it.",
        "Please proceed.",
        "That works for me.",
        "Yes please, no problem at all.",
        "Thanks for checking. Please go ahead, I no longer need it.",
    ],
)
def test_a_consent_in_free_words_is_one(answer):
    assert consents(answer)


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
    agent = AttentiveOracle(task)
    order = task.actions[-1].arguments["order_id"]
    agent.act(f"Cancel {order}, I no longer need it. I am {task.actions[0].arguments}", {"role": "user"})
    agent.act(task.user_id, {"role": "tool"})
    summary = agent.act("{}", {"role": "tool"})
    assert summary.content.endswith(CONFIRMATION)
    assert agent.act("Wonderful weather.", {"role": "user"}).content == summary.content
    assert agent.act("Absolutely!", {"role": "user"}).tool_calls[0].name == "cancel_pending_order"
