"""What a model's text says as the customer."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tau_retail_env.users.llm.replies import (
    MAX_CHARACTERS,
    Written,
    fault_of,
    is_accepted,
    read,
    recites,
    stops_too_soon,
)

TAU2 = ("###STOP###", "###TRANSFER###", "###OUT-OF-SCOPE###")
V1 = ("###STOP###",)
PROMPT = (
    "You are Mei Kovacs and your zip code is 28236. You want to exchange the water bottle to a bigger one, and the "
    "desk lamp to a less bright one. Ship it to 578 Sunset Drive, Suite 871, Columbus, OH 43223, USA, by ground. "
    "The agent may say: tell me your name and your zip code and your email and your order id."
)


def reply_of(text: str) -> str | None:
    """The reply in a ReAct message."""
    written = read(text, with_thought=True)
    return None if written is None else written.reply


@pytest.mark.parametrize(
    "text",
    [
        "Thought:\nI should greet.\n\nUser Response:\nHello, I need help.",
        "Thought: I should greet.\nUser Response: Hello, I need help.",
        "**Thought:** I should greet.\n\n**User Response:** Hello, I need help.",
        "## Thought\nI should greet.\n## User Response:\nHello, I need help.",
        "I should greet.\n\nuser response:\nHello, I need help.",
        "User Response: Hello, I need help.",
        "Thought: I should greet. User Response: Hello, I need help.",
        "Thought: my User Response: must be short.\nUser Response:\nHello, I need help.",
        "User Response:\nHello, I need help.\n\nThought:\nNow I wait.",
        "User Response: Hello, I need help. Thought: now I wait.",
        "Thought:\nhm\nUser Response:\nHello, I need help.\nThought:\nhm\nUser Response:\nMy id is 1.",
        "<think>User Response: no</think>Thought:\nhm\nUser Response:\nHello, I need help.",
    ],
)
def test_of_a_react_message_only_the_reply_is_said(text: str) -> None:
    assert reply_of(text) == "Hello, I need help."


def test_a_react_message_is_kept_with_its_thought_but_not_beyond_its_reply() -> None:
    text = "Thought:\nI should greet.\n\nUser Response:\nHello.\n\nThought:\nThe agent will say …"
    written = read(text, with_thought=True)
    assert written is not None
    assert written.kept == "Thought:\nI should greet.\n\nUser Response:\nHello."


@pytest.mark.parametrize("text", ["Hello, I need help.", "Thought:\nI will say hello.", "I had a thought: hello"])
def test_a_react_message_without_the_title_of_a_reply_has_none(text: str) -> None:
    assert read(text, with_thought=True) is None


def test_a_customer_may_say_that_it_had_a_thought() -> None:
    text = "Thought:\nhm\nUser Response:\nI had a thought: could I get blue instead?"
    assert reply_of(text) == "I had a thought: could I get blue instead?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<think>what now</think>\n\nHello", "Hello"),
        ("what now</think>\n\nHello", "Hello"),
        ("<think>what</think> now</think>Hello", "Hello"),
        ("Hello<think>what now", "Hello"),
        ("<think>what now", ""),
        ("  Hello \n", "Hello"),
        (" \n", ""),
    ],
)
def test_reasoning_in_tags_is_never_said(text: str, said: str) -> None:
    assert read(text, with_thought=False) == Written(said, said)


def test_a_stop_in_the_thought_is_no_stop() -> None:
    text = "Thought:\nOnce it is done I write ###STOP###.\nUser Response:\nYes, please."
    assert reply_of(text) == "Yes, please."


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("", "empty"),
        ("a" * (MAX_CHARACTERS + 1), f"longer than {MAX_CHARACTERS}"),
        ("bad \ud800", "Unicode"),
        ("###STOP###", "ended the conversation before"),
        ("Yes.\n\nAgent: It is done.\n\nCustomer: Thanks!", "the agent's part"),
        ("Yes.\n**Assistant:** It is done.", "the agent's part"),
        ("You want to exchange the water bottle to a bigger one, and the desk lamp …", "word for word"),
    ],
)
def test_what_cannot_be_sent_is_said_why(reply: str, fault: str) -> None:
    found = fault_of(reply, prompt=PROMPT, is_opening=True, stop_tokens=V1)
    assert found is not None
    assert fault in found


@pytest.mark.parametrize(
    "reply",
    ["Hello!", "Are you the agent: yes or no?", "a" * MAX_CHARACTERS, "###TRANSFER### is what I was told", "ok 👍"],
)
def test_anything_else_can_be_sent(reply: str) -> None:
    assert fault_of(reply, prompt=PROMPT, is_opening=True, stop_tokens=V1) is None


def test_a_stop_can_be_sent_once_the_conversation_is_open() -> None:
    assert fault_of("###STOP###", prompt=PROMPT, is_opening=False, stop_tokens=V1) is None


@pytest.mark.parametrize(
    ("reply", "is_recital"),
    [
        ("You are Mei Kovacs and your zip code is 28236. You want to exchange the water bottle", True),
        ("you are mei kovacs, and YOUR zip code is 28236 - you want", True),
        ("Mei Kovacs. Your zip code is 28236. I want …", False),
        ("tell me your name and your zip code and your email and your order id please", True),
        ("I am Mei Kovacs and my zip code is 28236. I want to exchange the water bottle to a bigger one.", False),
        ("It should go to 578 Sunset Drive, Suite 871, Columbus, OH 43223, USA, by ground.", False),
        ("You want to exchange the water bottle?", False),
        ("your email and your order id.", False),
    ],
)
def test_a_recital_speaks_of_the_customer_as_you(reply: str, is_recital: bool) -> None:
    assert recites(reply, PROMPT) is is_recital


@pytest.mark.parametrize(
    ("agent", "reply"),
    [
        ("I will exchange it for the blue one. Do you confirm (yes/no)?", "Yes, please go ahead. ###STOP###"),
        ("Shall I cancel order #W1?", "###STOP### Yes"),
        ("Please reply yes to proceed.", "yes ###STOP###"),
        ("Which payment method should I use?", "My gift card, thanks! ###STOP###"),
        ("It costs $5 more. Shall I go on? Is there anything else?", "Sure, that is all. ###STOP###"),
        ("Please provide your order id.", "It is #W123. ###STOP###"),
        ("Please give me your name and zip code.", "Mei Kovacs, 28236 ###STOP###"),
        ("I need your email to go on.", "Of course, mei at example ###STOP###"),
        ("It is cancelled. Anything else?", "Yes, I also want to return a lamp. ###STOP###"),
        ("It is cancelled. Anything else?", "Could you tell me the total? ###STOP###"),
        ("It is cancelled. Anything else?", "Then cancel the other one as well. ###STOP###"),
        ("It is cancelled. Anything else?", "Thanks! Now please cancel #W2. ###STOP###"),
        ("It is cancelled. Anything else?", "No, but I'd like to return a lamp. ###STOP###"),
        ("It is not possible. Anything else?", "No? Then I'd exchange it. ###STOP###"),
        ("Shall I exchange it?", "No, I'll return it instead. ###STOP###"),
        ("It is cancelled.", "Order #W2 as well. ###STOP###"),
        ("Please let me know if you would like to go on.", "I do. ###STOP###"),
        ("Let me know which one you want. Is there anything else?", "The red one ###STOP###"),
    ],
)
def test_an_answer_that_the_agent_must_act_upon_cannot_end_the_conversation(agent: str, reply: str) -> None:
    assert stops_too_soon(reply, agent, TAU2)


@pytest.mark.parametrize(
    ("agent", "reply"),
    [
        ("Your order is cancelled. Is there anything else I can help you with?", "No, thank you! ###STOP###"),
        ("Your order is cancelled. Is there anything else I can help you with?", "Great, thanks! ###STOP###"),
        ("Your order is cancelled. Do you have any other questions or concerns?", "Perfect. ###STOP###"),
        ("Your order is cancelled. What else can I do for you?", "That is all. ###STOP###"),
        ("Your order is cancelled. Please let me know if you have any questions.", "Thanks. ###STOP###"),
        ("Your order is cancelled. Let me know if you need further assistance!", "Thanks. ###STOP###"),
        ("Your order is cancelled. Have a good day.", "Thanks. ###STOP###"),
        ("It is cancelled. Anything else?", "No, that's all I need. Thanks for cancelling it! ###STOP###"),
        ("It is done. Anything else?", "No, that's everything I need. Thank you! ###STOP###"),
        ("It is done. Anything else?", "Thanks for the refund of $1,234.00. Have a good day, please! ###STOP###"),
        ("It is done. Anything else?", "No, thanks, I'll use the gift card next time. ###STOP###"),
        ("It is done. Anything else?", "Great! Thank you for order #W2378156! ###STOP###"),
        ("It is done. Anything else?", "Perfect, that is exactly what I need. Bye! ###STOP###"),
        ("It is cancelled. Please note that refunds take a week.", "Thanks, I'll wait for it. Bye! ###STOP###"),
        ("It is cancelled. Please feel free to reach out again.", "Will do. ###STOP###"),
        ("Shall I cancel order #W1?", "No, leave it. ###STOP###"),
        ("Shall I cancel order #W1?", "Never mind. ###STOP###"),
        ("Shall I cancel order #W1?", "###STOP###"),
        ("Shall I cancel order #W1?", "Yes."),
        ("Shall I transfer you?", "Yes, please. ###TRANSFER###"),
        ("Shall I transfer you?", "Yes, please. ###STOP### ###TRANSFER###"),
        ("What color is it?", "I was not told. ###OUT-OF-SCOPE###"),
    ],
)
def test_any_other_end_stands(agent: str, reply: str) -> None:
    assert not stops_too_soon(reply, agent, TAU2)


@pytest.mark.parametrize(
    ("held_at", "agent", "reply", "is_too_soon"),
    [
        ("Done. Anything else?", "Can I help with something else?", "Order #W2 arrived in 2024. ###STOP###", False),
        ("Done. Anything else?", "Shall I cancel #W2 then?", "Yes. ###STOP###", True),
        ("Your name?", "And your zip code?", "28236 ###STOP###", True),
        ("Your name?", "Found you. Anything else?", "I need to cancel #W1. ###STOP###", True),
        ("Shall I go on?", "Shall I go on?", "Yes. ###STOP###", False),
        ("Please check your inbox.", "You are welcome. Please take care!", "Thanks for the $5. ###STOP###", False),
    ],
)
def test_after_a_held_stop_only_what_is_new_holds_the_next(
    held_at: str, agent: str, reply: str, is_too_soon: bool
) -> None:
    assert stops_too_soon(reply, agent, TAU2, held_at=held_at) is is_too_soon


@pytest.mark.parametrize("verdict", ["true", "True.", "**true**", "Classification: true", "<think>false?</think>true"])
def test_only_a_plain_true_accepts(verdict: str) -> None:
    assert is_accepted(verdict)


@pytest.mark.parametrize(
    "verdict", ["false", "Not true", "untrue", "It is false that this is true", "", "yes", "<think>true"]
)
def test_every_other_verdict_rejects(verdict: str) -> None:
    assert not is_accepted(verdict)


def test_long_noise_is_read_in_time_linear_in_its_length() -> None:
    """What takes a second here took minutes with patterns that try every start; a stopped process is a failure."""
    program = """
from tau_retail_env.users.llm.replies import fault_of, is_accepted, read, stops_too_soon
for noise in ("\\n", " ", "*", "#", "_", "<think>", "</think>", "User Response:", "Thought: ", "you ", "?", "any "):
    for start in ("", "User Response: "):
        text = start + noise * 50_000
        read(text, with_thought=True)
        fault_of(text[:2000], prompt=text, is_opening=False, stop_tokens=("###STOP###",))
        stops_too_soon("Yes ###STOP###", text, ("###STOP###",))
        is_accepted(text)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
