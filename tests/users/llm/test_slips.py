"""A customer's model that falls out of its part: noticed, asked again, then counted, and unscored if wanted."""

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.users.llm.slips import Exchange, slip_of
from tests.users.llm.server import ChatServer

STOPS = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")


@pytest.mark.parametrize(
    "reply",
    [
        "Of course, I can help you with that! Could you please provide your email address?",
        "How can I assist you today?",
        "I have processed the exchange for you. Is there anything else I can help you with today?",
        "Your order has been cancelled.",
        "Is there anything else I can do for you?",
        "Please provide your name and zip code.",
        "I have submitted your request.",
        "Could you confirm your zip code so I can verify your identity?",
        "Hello! I'm here to help you with your order.",
        "Is there anything specific you would like to know about the status of your order?",
        "What would you like to know about the helmet?",
        "I'm sorry to hear that. Can you tell me more about the issue you're facing?",
        "I apologize for the problem you are having.",
        "Please let me know what you would like to do next.",
        "Can you please provide me with the order id so I can initiate the return process?",
        "Thank you.\nI can process the refund now.",
        '<tool_call>{"name": "cancel_pending_order", "arguments": {}}</tool_call>',
        '{"name": "get_order_details", "arguments": {"order_id": "#W1"}}',
    ],
)
def test_words_of_an_agent_and_calls_are_no_customers(reply):
    assert slip_of(reply, "Hi! How can I help you today?", [], STOPS).count == "role_flips"


@pytest.mark.parametrize("reply", ["###stop###", "### STOP ###", "STOP", "#STOP#", "Bye. ###STOP", "## TRANSFER ##"])
def test_a_misspelt_stop_is_noticed(reply):
    assert slip_of(reply, "Done.", [], STOPS).count == "loops"


@pytest.mark.parametrize(
    "reply",
    [
        "Hi, I would like to return the water bottle of my order, please.",
        "Could you help me with my order? My email is a@b.com.",
        "Can you tell me how many shirts you have?",
        "Please stop the shipment of my order if you can.",
        "No, that is all. ###STOP###",
        "I have processed that in my head. Yes, go ahead.",
        "My order has been late for weeks.",
        "Can you confirm the refund goes to my PayPal?",
        "I can give you my zip: 28236.",
        "I'd like to know what I would have to do to return it, and here is the issue: it is broken.",
        "I was told that I can process the return by mail. Is that right?",
        'Your colleague said "I can process the refund today".',
        "If I can initiate the exchange in a shop, that would be better.",
        "The problem you are having with my card is no concern of mine.",
        "What is the issue you're having with my account?",
        'You told me "the issue you are facing will be fixed in two days", and it was not.',
        "Is there anything else I can do to speed up the refund?",
        "I have submitted the refund request twice, and I've completed the return form.",
        "The email says 'your order has been shipped', but nothing came.",
        "Could you confirm your name and employee number?",
        "I'm not sure what you would like to know, but my zip code is 78705.",
        "What would you like to know about me?",
        "Do you need anything else before you process the return? I can send the box back today.",
    ],
)
def test_a_customers_own_words_pass(reply):
    assert slip_of(reply, "Hi! How can I help you today?", [], STOPS) is None


def test_only_farewells_and_long_messages_are_loops_when_they_are_said_again():
    before = [
        Exchange("Hi!", "Hello, I want to return the water bottle of my order."),
        Exchange("Shall I?", "Yes, please go ahead."),
        Exchange("Done.", "Thank you so much!"),
    ]
    for reply in ("Hello, I want to return the water bottle of my order.", "Thank you so much!"):
        assert slip_of(reply, "Anything else?", before, STOPS).count == "loops"
    assert slip_of("Yes, please go ahead.", "And the other one?", before, STOPS) is None
    assert slip_of("Thank you so much!", "Done.", before, STOPS) is None


def played(server, **user):
    env = TauRetailEnv(
        tasks=load_tasks("tau2", "test")[:1],
        user_strategy="llm",
        user_model="tiny",
        user_config={"base_url": server.base_url, **user},
    )
    env.reset(seed=0)
    return env.step("Done. Anything else?")


def test_a_slip_is_asked_for_again_with_the_reason():
    said = ["Hello.", "How can I help you today?", "No, that is all. ###STOP###"]
    with ChatServer(reply=lambda request: said[min(request.order, 2)]) as server:
        observation, *_, info = played(server)
    assert observation == said[2]
    assert (info["metrics"]["customer_asked_again"], info["metrics"]["customer_role_flips"]) == (1.0, 0.0)
    assert "it spoke as the agent" in server.requests[2].messages[-1]["content"]


@pytest.mark.parametrize(
    ("again", "count"), [("How can I help you today?", "role_flips"), ("Thanks, bye! #STOP#", "loops")]
)
def test_a_model_that_stays_so_is_heard_and_counted(again, count):
    with ChatServer(reply=lambda request: again if request.order else "Hello.") as server:
        observation, _, terminated, truncated, info = played(server)
    assert (observation, terminated, truncated, len(server.requests)) == (again, False, False, 4)
    assert (info["metrics"][f"customer_{count}"], info["metrics"]["customer_asked_again"]) == (1.0, 2.0)


def test_with_unscorable_loops_such_an_episode_is_not_scored():
    with ChatServer(reply=lambda request: "#STOP#" if request.order else "Hello.") as server:
        _, _, terminated, truncated, info = played(server, unscorable_loops=True)
    assert (terminated, truncated, info["scorable"], info["stop_reason"]) == (False, True, False, "user_error")
    assert info["metrics"]["customer_loops"] == 1.0 and "misspelt" in info["customer_error"]


def test_a_server_that_repeats_the_key_gets_it_into_no_observation(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-fake-5f1d0c")
    key = lambda request: f"Hello, {request.headers['authorization']}" if request.order else "Hello."  # noqa: E731
    with ChatServer(reply=key) as server:
        observation, *_, info = played(server, max_retries=1)
    assert info["scorable"] is False and "an answer that holds the key" in info["customer_error"]
    assert "5f1d0c" not in f"{observation}{info}"
