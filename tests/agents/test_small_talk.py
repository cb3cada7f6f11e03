"""What a customer asks for is told from its greeting, its name and its moods, in the words of training and of tests."""

from __future__ import annotations

import pytest

from tau_retail_env.agents.small_talk import request_in
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.sources.generated import SERIES3, SERIES5
from tau_retail_env.users.scripted.story import story_of


@pytest.mark.parametrize(
    ("said", "request_"),
    [
        (
            "Greetings. You can find me under lei.patel@example.com. Right. I'm usually more cheerful. Cancel #W1.",
            "Cancel #W1.",
        ),
        (
            "Hi! I'm Lei Patel, zip 10101. My uncle sends me. The lamp goes back. Use gift_card_1.",
            "The lamp goes back. Use gift_card_1.",
        ),
        ("What a shame. the dog has had a go at the hall, need i say more? swap it.", "swap it."),  # in small letters
        ("Typign from the office here. My email has changed.", "My email has changed."),  # mistyped
        ("I've no need of it. Hello.", "I've no need of it."),
        ("hi\nOf course. Lei Patel, zip code 10101.\nCancel it", "Cancel it"),  # messages without an end
        ("hey that's Lei Patel, zip 10101 Let's see. Cancel it.", "Cancel it."),
        ("Hello. the mail is lei.patel@example.com cancel it", "cancel it"),
        ("Cancel it.\nI go by Lei Patel. Zip? 10101.", "Cancel it."),
        ("Cancel it.\nLei Patel. My zip code would be 10101.\nWireless Earbuds.", "Cancel it. Wireless Earbuds."),
        ("the mail is lei.patel@example.com\nWith PayPal, please.", "With PayPal, please."),
        ("What's the zip code on the order with the lamp?", "What's the zip code on the order with the lamp?"),
        ("Hello. Which zip code is #W1234567 shipped to?", "Which zip code is #W1234567 shipped to?"),
        ("Hello. My zip code is 10101. No more.", "My zip code is 10101. No more."),  # no name
        ("You're my last hope on an evening. It's my aunt's fault, really. Swap it.", "Swap it."),
        ("my sister moved in on monday, & now we have most things twice. bear w/ me, it's late. swap it.", "swap it."),
        ("Hello.\nthx", "Hello. thx"),  # nothing else
    ],
)
def test_what_is_asked_for_is_left(said: str, request_: str):
    assert request_in(said) == request_


@pytest.mark.parametrize("series", [SERIES3, SERIES5])
@pytest.mark.parametrize("part", ["train", "test"])
def test_nothing_that_tells_the_request_is_left_out(series, part: str):
    tasks = series.generate(f"{part}{series.number}", 60)
    shortened = 0
    for task in tasks:
        story = story_of(task)
        assert story is not None
        for beat in story.beats:
            said = beat.say or beat.prose
            left = request_in(said)
            shortened += left != said
            for word in said.split():
                telling = "#W" in word or "$" in word or "_" in word or "exchang" in word or "cancel" in word
                assert word in left or not telling
    assert shortened > 20


def test_a_customer_is_asked_for_the_same_in_other_greetings():
    env = TauRetailEnv(source="generated", tasks=SERIES5.generate("train5", 20))
    for task in env.tasks:
        openings = {request_in(env.reset(task_id=task.id, seed=seed)[0]) for seed in range(4)}
        assert len(openings) == 1
