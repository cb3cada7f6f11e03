"""The teacher as the shipped fine-tuning has it: what is learnt of its calls stands in what was read or said before."""

from __future__ import annotations

import random

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.chat.parsing import parse_message
from tau_retail_env.config import compose
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.config import SftConfig, check_sft
from tau_retail_env.local.practice import Conversation, Practice, converse
from tau_retail_env.sources.generated.source import SERIES_OF_SPLIT
from tau_retail_env.users.scripted.listening import Fact
from tests.agents.test_teaching import is_told, unfounded

TAGS = (*(f"series{number}_train" for number in range(1, 7)), "v1_train", "tau2_train")
COUNT = 60
"""Conversations in each environment."""


@pytest.fixture(scope="module")
def config() -> SftConfig:
    return check_sft(compose("tau_retail_smol_sft"))


def environment(config: SftConfig, tag: str) -> TauRetailEnv:
    """An environment as configured, of a numbered series with the first tasks alone."""
    settings = config.custom_envs[tag].env_config
    if series := SERIES_OF_SPLIT.get(settings.split):
        tasks = series.generate(settings.split, COUNT)
        return TauRetailEnv(
            "generated", tasks=tasks, user_config=settings.user_config, prompt_style=settings.prompt_style
        )
    return TauRetailEnv(**vars(settings))


def taught(config: SftConfig, env: TauRetailEnv, number: int) -> tuple[Conversation, bool]:
    """A conversation as the configuration has it, and whether its customer mistypes."""
    wanted, task = config.conversations, env.tasks[number]
    mistypes, reads = (random.Random(f"{what}/{number}").random() for what in ("mistyped", "orders"))
    practice = Practice(
        second_thoughts=wanted.second_thoughts,
        slips=wanted.slips,
        reasons=wanted.reasons,
        mistypes=mistypes < wanted.mistyped,
        seed=f"{number}",
    )
    agent = OracleAgent(task, whole_proposals=wanted.whole_proposals, reads_every_order=reads < wanted.read_every_order)
    return converse(env, *env.reset(task_id=task.id, seed=number), agent, practice), practice.mistypes


@pytest.mark.parametrize("tag", TAGS)
def test_every_argument_of_a_call_that_is_learnt_was_said_or_read_before(
    tag: str, config: SftConfig, request: pytest.FixtureRequest
) -> None:
    if tag == "v1_train":
        request.getfixturevalue("tau_bench")
    env, learnt = environment(config, tag), 0
    for number, task in enumerate(env.tasks[:COUNT]):
        said, mistypes = taught(config, env, number)
        opening, *parts = said.parts
        unlearnt = said.slips | said.unlearnt
        seen = heard = "".join(f"\n{message['content']}" for message in opening)
        for place, part in enumerate(parts, start=1):
            calls = parse_message(part[0]["content"]).tool_calls if place % 2 and place not in unlearnt else ()
            for call in calls:
                learnt += 1
                assert unfounded(call.arguments, seen) == [], (task.id, call)
                # one who hurries says a reason that nobody has told: in a proposal, which is then not learnt either
                if "reason" in call.arguments and not mistypes and place - 2 not in unlearnt:
                    assert is_told(task, call.arguments, Fact.REASON, heard), (task.id, call, heard)
            seen += "".join(f"\n{message['content']}" for message in part)
            heard += "".join(f"\n{message['content']}" for message in part if message["role"] == "user")
    assert learnt > 200
