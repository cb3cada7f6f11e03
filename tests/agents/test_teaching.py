"""What the oracle shows a model on the numbered series of generated tasks: a good agent, call by call."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from tau_retail_env.agents.oracle import CONFIRMATION, OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import SERIES2, SERIES3, SERIES4, SERIES5, SERIES6
from tau_retail_env.tasks import WRITE_TOOLS, Action, Task, gold_writes
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.story import story_of
from tau_retail_env.world.consent import is_yes

OF_TWO_ORDERS = {
    "errands",
    "two_deliveries",
    "bought_twice",
    "other_orders_address",
    "back_for_everything",
    "order_elsewhere",
    "home_elsewhere",
    "both_elsewhere",
}
"""Kinds of part whose first message names two orders, each in its own way."""
NUMBER = re.compile(r"\d+(?:\.\d+)?")
Turn = tuple[AgentMessage, str, str]


def play(env: TauRetailEnv, task: Task, seed: int) -> tuple[float, str, list[Turn]]:
    """Reward, the system prompt, and the agent's messages, each with who spoke last and what was said."""
    observation, info = env.reset(task_id=task.id, seed=seed)
    prompt = str(info["system_prompt"])
    agent, turns, reward, over = OracleAgent(task), [], 0.0, False
    while not over:
        message = agent.act(observation, info)
        turns.append((message, str(info["role"]), observation))
        observation, reward, terminated, truncated, info = env.step(message)
        over = terminated or truncated
    return reward, prompt, turns


def played(tasks: Sequence[Task], seed: int = 0, source: str = "generated") -> dict[str, tuple[float, str, list[Turn]]]:
    env = TauRetailEnv(source=source, tasks=tasks)
    return {task.id: play(env, task, seed) for task in tasks}


@pytest.fixture(scope="module")
def tasks() -> list[Task]:
    return [
        *SERIES2.generate("train2", 300),
        *SERIES2.generate("test2", 200),
        *SERIES3.generate("train3", 300),
        *SERIES4.generate("train4", 300),
        *SERIES5.generate("train5", 300),
        *SERIES6.generate("train6", 300),
    ]


@pytest.fixture(scope="module")
def episodes(tasks: list[Task]) -> dict[str, tuple[float, str, list[Turn]]]:
    return played(tasks)


def unfounded(arguments: Mapping[str, Any], seen: str) -> list[str]:
    """The values of a call that nobody said and nothing showed; an expression's numbers are held one by one."""
    values: list[str] = []
    for name, value in arguments.items():
        if name == "summary":
            continue
        values += NUMBER.findall(value) if name == "expression" else value if isinstance(value, list) else [value]
    return [value for value in values if value.casefold() not in seen.casefold()]


def is_told(task: Task, given: Mapping[str, Any], fact: Fact, heard: str) -> bool:
    """Whether a customer has said the reason or the payment method of a write, in its own words or in common ones."""
    story, writes = story_of(task), gold_writes(task)
    beats = [beat for beat in story.beats if beat.write is not None] if story else []
    own = [beat.words or {} for beat in beats if writes[beat.write or 0].arguments == given]
    if any(f" {letters(each)} " in f" {letters(heard)} " for words in own for each in words.get(fact, ())):
        return True
    if fact is Fact.PAYMENT:
        return re.search(r"pa[iy]|card|gift|method|original|charge|came from|used", heard, re.IGNORECASE) is not None
    common = (
        r"mistake" if "mistake" in given["reason"] else r"(?:\bno\b|\bnot|n't|longer|\b[Nn]obody)\W+(?:\w+\W+)?need"
    )
    return not any(words.get(fact) for words in own) and re.search(common, heard) is not None


def letters(text: str) -> str:
    """A text's words without marks, each with its letters in alphabetical order: mistyped or not they are the same."""
    return " ".join("".join(sorted(word)) for word in re.findall(r"\w+", text.casefold()))


def test_the_oracle_earns_everything(episodes: dict[str, tuple[float, str, list[Turn]]]) -> None:
    assert [task_id for task_id, (reward, _, _) in episodes.items() if reward != 1.0] == []


@pytest.mark.parametrize("source", ["generated", "tau2", "tau_bench"])
def test_every_argument_of_a_call_was_said_or_read_before(
    source: str, tasks: list[Task], request: pytest.FixtureRequest
) -> None:
    if source == "tau_bench":
        request.getfixturevalue("tau_bench")
    chosen = {task.id: task for task in (tasks if source == "generated" else load_tasks(source, "train"))}
    count = reasons = untold = 0
    for task_id, (_, prompt, turns) in played(list(chosen.values()), seed=3, source=source).items():
        seen, heard = prompt, ""
        for message, role, read in turns:
            seen += f"\n{read}"
            heard += f"\n{read}" if role == "user" else ""
            for call in message.tool_calls:
                count += len(call.arguments)
                assert unfounded(call.arguments, seen) == [], (task_id, call)
                if "reason" in call.arguments:  # the prompt and the proposal have it, too
                    reasons += 1
                    told = is_told(chosen[task_id], call.arguments, Fact.REASON, heard)
                    untold += not told
                    assert told or OracleAgent(chosen[task_id]).hurries, (task_id, call, heard)
            seen += f"\n{message.content or ''}"
    assert count > 500 and reasons > 10
    # v1's longest tasks have no turn to ask in; fine-tuning does not learn such a proposal (test_founded_calls)
    assert untold == (14 if source == "tau_bench" else 0)


def test_who_tells_several_wishes_in_one_breath_is_asked_for_what_it_leaves_out() -> None:
    drawn = [*SERIES3.generate("train3", 500), *SERIES5.generate("train5", 500)]
    tasks = {task.id: task for task in drawn if {"errands", "back_for_everything"} & set(task.labels)}
    asked = Counter[str]()
    for task_id, (reward, _, turns) in played(list(tasks.values()), seed=3).items():
        assert reward == 1.0
        heard = ""
        for message, role, read in turns:
            heard += f"\n{read}" if role == "user" else ""
            asked.update(re.findall("the reason|the payment method", message.content or ""))
            for call in message.tool_calls:
                if call.name in WRITE_TOOLS and "payment_method_id" in call.arguments:
                    assert is_told(tasks[task_id], call.arguments, Fact.PAYMENT, heard), (task_id, call, heard)
    assert min(asked.values()) > 5


def test_it_asks_for_a_yes_and_writes_only_after_one(episodes: dict[str, tuple[float, str, list[Turn]]]) -> None:
    writes = 0
    for task_id, (_, _, turns) in episodes.items():
        for (before, *_), (message, role, read) in pairwise(turns):
            if any(call.name in WRITE_TOOLS for call in message.tool_calls):
                writes += 1
                assert role == "user" and is_yes(read), task_id
                assert (before.content or "").endswith(CONFIRMATION), task_id
    assert writes > 400


def test_it_never_asks_for_an_order_that_was_named_but_finds_it_through_the_profile(
    tasks: list[Task], episodes: dict[str, tuple[float, str, list[Turn]]]
) -> None:
    named = [task.id for task in tasks if "bit_by_bit" not in task.labels]
    said = [message.content or "" for task_id in named for message, _, _ in episodes[task_id][2]]
    assert not [text for text in said if "the order id" in text]
    called = Counter(
        call.name for _, _, turns in episodes.values() for message, _, _ in turns for call in message.tool_calls
    )
    assert called["get_user_details"] > 300
    assert called["get_order_details"] > called["get_user_details"]
    assert min(called[name] for name in ("calculate", "transfer_to_human_agents", "list_all_product_types")) > 25


def test_an_oracle_that_reads_every_order_goes_on_after_the_one_that_is_meant(tasks: list[Task]) -> None:
    env = TauRetailEnv(source="generated", tasks=tasks[::4])
    last = {False: [0, 0], True: [0, 0]}
    for task in env.tasks:
        for every in (False, True):
            observation, info = env.reset(task_id=task.id, seed=0)
            agent, read, over = OracleAgent(task, reads_every_order=every), [], False
            while not over:
                message = agent.act(observation, info)
                for call in message.tool_calls:
                    if call.name == "get_order_details":
                        read.append(call.arguments["order_id"])
                    elif call.name in WRITE_TOOLS and len(set(read)) > 1 and "order_id" in call.arguments:
                        last[every][call.arguments["order_id"] == read[-1]] += 1
                observation, reward, terminated, truncated, info = env.step(message)
                over = terminated or truncated
            assert reward == 1.0
    straight, every = last[False], last[True]
    assert straight[True] > 0.6 * sum(straight), straight
    assert every[True] < 0.5 * sum(every), every


def test_it_reads_a_product_before_it_swaps_an_item(episodes: dict[str, tuple[float, str, list[Turn]]]) -> None:
    for task_id, (_, _, turns) in episodes.items():
        names = [call.name for message, _, _ in turns for call in message.tool_calls]
        for tool in ("exchange_delivered_order_items", "modify_pending_order_items"):
            assert tool not in names or "get_product_details" in names[: names.index(tool)], task_id


def test_it_recovers_when_an_account_or_an_order_is_not_found(
    episodes: dict[str, tuple[float, str, list[Turn]]],
) -> None:
    errors = [
        read for _, _, turns in episodes.values() for _, role, read in turns if role == "tool" and "Error" in read
    ]
    assert {"Error: User not found", "Error: Order not found"} <= set(errors)


def test_it_tells_every_number_in_a_sentence(
    tasks: list[Task], episodes: dict[str, tuple[float, str, list[Turn]]]
) -> None:
    for task in tasks:
        said = " ".join(message.content or "" for message, _, _ in episodes[task.id][2]).lower()
        assert all(output.lower() in said for output in task.outputs), task.id
        assert "here you are" not in said


def test_it_refuses_what_the_policy_forbids(
    tasks: list[Task], episodes: dict[str, tuple[float, str, list[Turn]]]
) -> None:
    refused = 0
    for task in tasks:
        story = story_of(task)
        assert story is not None
        said = " ".join(message.content or "" for message, _, _ in episodes[task.id][2])
        for beat in story.beats:
            if beat.refusal:
                refused += 1
                assert beat.refusal in said, task.id
    assert refused > 150


def test_an_order_that_is_named_when_an_address_is_asked_for_is_not_read_before_that() -> None:
    tasks = SERIES5.generate("train5", 250, seed=1, weights={"home_elsewhere": 1})
    late = 0
    for task_id, (reward, _, turns) in played(tasks).items():
        assert reward == 1.0
        for place, (message, _, _) in enumerate(turns):
            if "the full new address" in (message.content or ""):
                heard = "".join(read for _, role, read in turns[: place + 1] if role == "user")
                named = set(re.findall(r"#W\d+", turns[place + 1][2])) - set(re.findall(r"#W\d+", heard))
                calls = [call for before, _, _ in turns[:place] for call in before.tool_calls]
                assert not named & {call.arguments.get("order_id") for call in calls}, task_id
                late += len(named)
    assert late > 3


class WrongVariantAgent(OracleAgent):
    """Proposes another value that the shop sells for an option that is to change."""

    def _changes(self, write: Action) -> list[dict[str, str]]:
        return [{name: self._other(name, value) for name, value in each.items()} for each in super()._changes(write)]

    def _other(self, name: str, wanted: str) -> str:
        shown = json.loads(next(text for key, text in self._results.items() if key.startswith("get_product_details")))
        sold = {variant["options"][name] for variant in shown["variants"].values()}
        return min(sold - {wanted})


def test_the_customer_says_no_to_a_variant_that_it_does_not_want() -> None:
    drawn = SERIES2.generate("train2", 150, seed=1, weights={"exchange": 1})
    tasks = [task for task in drawn if len(task.actions[-1].arguments["item_ids"]) == 1]
    env = TauRetailEnv(source="generated", tasks=tasks)
    for task in tasks:
        observation, info = env.reset(task_id=task.id, seed=0)
        agent, proposed = WrongVariantAgent(task), False
        while not proposed:
            message = agent.act(observation, info)
            observation, _, _, _, info = env.step(message)
            proposed = CONFIRMATION in (message.content or "")
        assert not is_yes(observation), (task.id, message.content, observation)
    assert len(tasks) > 80


def test_a_task_plays_the_story_that_it_brings(tasks: list[Task]) -> None:
    task = replace(tasks[0], story={"beats": [{"ask": "What's the time?", "answer": "It is noon in every zone."}]})
    story = story_of(task)
    assert story is not None
    assert [beat.prose for beat in story.beats] == ["What's the time?"]


def test_a_customer_that_knows_its_order_by_what_is_in_it_tells_no_order_id(tasks: list[Task]) -> None:
    env, asked = TauRetailEnv(source="generated", tasks=tasks), 0
    for task in tasks:
        story = story_of(task)
        known = (story.beats[0].words or {}).get(Fact.ORDER, ()) if story else ()
        if known and not any("#W" in words for words in known) and not OF_TWO_ORDERS & set(task.labels):
            asked += 1
            opening, _ = env.reset(task_id=task.id, seed=1)
            answer, *_ = env.step("Please give me the order id.")
            told = set(re.findall(r"#W\d+", opening + answer))
            assert not told & {action.arguments.get("order_id") for action in task.actions}, (task.id, opening, answer)
    assert asked > 100
