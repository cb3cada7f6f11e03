"""Mistyped words: the same letters, the same word each time, and nothing that the agent must copy exactly."""

from __future__ import annotations

import re

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.mistyping import mistyped
from tau_retail_env.local.practice import Practice, converse
from tau_retail_env.sources.generated import SERIES4

ASKED = re.compile(r"Asked: (.*?) Wants: ")


def test_letters_change_places_within_words_and_the_rest_stays():
    words = "could somebody exchange whatever arrived without another question before evening"
    typed = mistyped(words, seed="1")
    assert typed != words
    for word, as_typed in zip(words.split(), typed.split(), strict=True):
        assert sorted(word) == sorted(as_typed)
        assert (word[0], word[-1]) == (as_typed[0], as_typed[-1])
    changed = sum(
        word not in mistyped(f"{words}. {words}", seed=str(seed)) for seed in range(20) for word in words.split()
    )
    assert 20 < changed < 100  # of 200


def test_a_word_is_mistyped_the_same_way_wherever_it_stands():
    for seed in range(20):
        alone = mistyped("whatever", seed=str(seed))
        assert mistyped("Send whatever. Again, whatever.", seed=str(seed)).count(alone) == 2


@pytest.mark.parametrize(
    "exact",
    [
        "paypal_1234567",
        "harper.johansson4006@example.com",
        "harper_johansson_2663",
        "Alessandra Montgomery",
        "#W1234567",
        "ship it to 12 chestnut street, springfield",
        "springfield, 62704",
    ],
)
def test_what_must_be_copied_exactly_keeps_its_letters(exact: str):
    assert {mistyped(f"Look for it: {exact}.", seed=str(seed)) for seed in range(40)} == {f"Look for it: {exact}."}


def test_a_sentence_may_begin_with_a_mistyped_word():
    firsts = {mistyped("Whatever it is.", seed=str(seed)).split()[0] for seed in range(40)}
    assert len(firsts) > 2 and all(first.startswith("W") for first in firsts)


def test_what_was_asked_for_is_said_again_as_it_was_typed():
    env = TauRetailEnv(source="generated", tasks=SERIES4.generate("train4", 40))
    unlike = said_again = 0
    for task in env.tasks:
        plain, typed = (
            converse(
                env,
                *env.reset(task_id=task.id, seed=1),
                OracleAgent(task),
                Practice(reasons=True, mistypes=mistypes, seed="a", second_thoughts=2),
            )
            for mistypes in (False, True)
        )
        assert typed.reward == plain.reward == 1.0
        assert [part[0]["role"] for part in typed.parts] == [part[0]["role"] for part in plain.parts]
        heard = ""
        for part, correct in zip(typed.parts, plain.parts, strict=True):
            for message, before in zip(part, correct, strict=True):
                if message["role"] == "user":
                    heard += f" {message['content']}"
                    unlike += message != before
                elif message["role"] == "tool":
                    assert message == before
                elif asked := ASKED.search(message["content"]):
                    assert all(word in heard for word in re.findall(r"[a-z]{5,}", asked[1]))
                    said_again += 1
    assert unlike > 30 and said_again > 10
