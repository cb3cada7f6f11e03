"""Second thoughts of customers and wrong proposals of agents, with which oracle conversations teach more per token."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from transformers import Qwen2Tokenizer

from tau_retail_env.agents.oracle import MANY_STEPS, OracleAgent
from tau_retail_env.agents.proposals import CHANGING_ITEMS
from tau_retail_env.agents.second_thoughts import second_thoughts
from tau_retail_env.agents.slips import Slip, slip, slipped_call
from tau_retail_env.agents.told_choices import told_choice
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.conversations import Whose, encode
from tau_retail_env.local.practice import Practice, converse
from tau_retail_env.messages import ResetInfo, StepInfo
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import SERIES2, SERIES3, SERIES4, SERIES5
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import WRITE_TOOLS, gold_writes
from tau_retail_env.tasks.task import Action
from tau_retail_env.world.consent import is_yes

PRICED = re.compile(
    "cheapest|least expensive|costs the least|most expensive|dearest|costs the most|priciest", re.IGNORECASE
)
NAMED = re.compile(r"to (?P<options>[^;$]+) \(\$(?P<price>[\d.]+), item (?P<item_id>\d{10})\)")
VARIANTS = {key: one for product in shop_database()["products"].values() for key, one in product["variants"].items()}


@pytest.fixture(scope="module")
def env() -> TauRetailEnv:
    return TauRetailEnv(source="generated", tasks=SERIES2.generate("train2", 80))


def proposals(env: TauRetailEnv) -> Iterator[tuple[OracleAgent, str]]:
    """The oracle at each moment at which it waits for a yes, and what it has just said."""
    for task in env.tasks:
        agent = OracleAgent(task, whole_proposals=True)
        observation, opening = env.reset(task_id=task.id, seed=1)
        info: ResetInfo | StepInfo = opening
        over = False
        while not over:
            message = agent.act(observation, info)
            if agent.proposed:
                yield agent, message.content or ""
            observation, _, terminated, truncated, info = env.step(message)
            over = terminated or truncated


def test_each_change_of_mind_is_answered_with_an_available_variant_as_the_list_has_it(env: TauRetailEnv):
    answers = 0
    for agent, said in proposals(env):
        for _, write, _ in second_thoughts(agent, most=8, seed=said):
            for named in NAMED.finditer(agent.proposal(write)):
                variant = VARIANTS[named["item_id"]]
                options = ", ".join(f"{name} {value}" for name, value in variant["options"].items())
                assert (named["options"], named["price"], True) == (
                    options,
                    str(variant["price"]),
                    variant["available"],
                )
            answers += 1
    assert answers > 100


def test_a_wish_that_is_not_told_otherwise_names_whatever_becomes_different(
    env: TauRetailEnv, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tau_retail_env.agents.second_thoughts.TOLD", 0.0)
    checked = 0
    for agent, said in proposals(env):
        before = NAMED.findall(said)
        for wish, write, _ in second_thoughts(agent, most=8, seed=said):
            after = NAMED.findall(agent.proposal(write))
            if len(after) != len(before):  # about which items
                break
            for (_, _, old), (_, _, new) in zip(before, after, strict=True):
                for option, value in VARIANTS[new]["options"].items():
                    if VARIANTS[old]["options"].get(option) != value and not re.search(PRICED, wish):
                        assert value.casefold() in wish.casefold()
                        checked += 1
            before = after
    assert checked > 100


def test_who_wants_the_cheapest_or_the_dearest_is_offered_it(env: TauRetailEnv, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tau_retail_env.agents.second_thoughts.TOLD", 0.0)  # the cheapest of all, not of the red ones
    prices = {"cheapest": 0, "dearest": 0}
    for agent, said in proposals(env):
        for wish, write, _ in second_thoughts(agent, most=4, seed=said):
            if not (priced := re.search(PRICED, wish)) or len(NAMED.findall(said)) > 1:
                continue
            row, variant = agent.chosen(write)[0]
            others = [one["price"] for one in agent.variants(write)[0] if one is not variant] + [row["price"]]
            cheap = bool(re.search("cheap|least", priced[0]))
            assert variant["price"] < min(others) if cheap else variant["price"] > max(others)
            prices["cheapest" if cheap else "dearest"] += 1
    assert min(prices.values()) > 3


def test_a_variant_that_is_told_by_more_than_its_options_is_found_by_what_is_written_down(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("tau_retail_env.agents.second_thoughts.TOLD", 1.0)
    env = TauRetailEnv(source="generated", tasks=SERIES5.generate("train5", 400))
    kinds: Counter[str] = Counter()
    for task in env.tasks:
        agent = OracleAgent(task, whole_proposals=True, reads_every_order=True)
        opened = env.reset(task_id=task.id, seed=1)
        said = converse(env, *opened, agent, Practice(reasons=True, second_thoughts=4, seed=task.id))
        for (heard, *_), (answer, *_) in zip(said.parts[::2], said.parts[1::2], strict=False):
            thought, _, words = answer["content"].partition("</think>")
            if not thought.startswith("<think>No to the new items ") or len(NAMED.findall(words)) != 1:
                continue
            ((_, price, item_id),) = NAMED.findall(words)
            if listed := re.search(r"(Under|Above|With|Mine)(?:(?!New: ).)*?: (\$.*?)\. New: ", thought):
                last = re.findall(r"\$([\d.]+)(?:, [^;]*)?, yes", listed[0])[-1]
                assert last == price, heard["content"]
                kinds[listed[1]] += 1
            if limit := re.search(r"Under (\$\d+): ", thought):
                assert limit[1] in heard["content"] or "Mine: " in thought
            if other := re.search(r"As in (#W\d+): [^:]*: (\d{10})\.", thought):
                assert other[1] in heard["content"] and other[2] == item_id
                kinds["As in"] += 1
            kinds["else"] += "; else " in thought
            kinds["step"] += "Else the same: " in thought
    assert {name: count for name, count in kinds.items() if count > 2}.keys() == kinds.keys()
    assert kinds.keys() >= {"Under", "With", "Mine", "As in", "else", "step"}


def test_customers_have_told_choices_of_the_lists_that_they_know_only(env: TauRetailEnv):
    told = 0
    for agent, said in proposals(env):
        write = agent.proposed or Action("none")
        for row, variants in zip(agent.rows(write), agent.variants(write), strict=False):
            listed = {one["item_id"]: one for one in variants}
            told += told_choice(said, row, listed, ()) is not None
            dearer = {key: {**one, "price": one["price"] + 1} for key, one in listed.items()}
            assert told_choice(said, row, dearer, ()) is None
            assert told_choice(said, {**row, "product_id": "0"}, listed, ()) is None
    assert told > 10


def test_no_variant_comes_twice(env: TauRetailEnv):
    for agent, said in proposals(env):
        answers = [agent.proposal(write) for _, write, _ in second_thoughts(agent, most=8, seed=said)]
        if all(len(NAMED.findall(answer)) == 1 for answer in answers):
            assert len(set(answers)) == len(answers)


def test_every_change_of_mind_changes_the_proposal_and_the_first_one_is_wanted_in_the_end(env: TauRetailEnv):
    kinds = set()
    for agent, said in proposals(env):
        answers = [said, *(agent.proposal(write) for _, write, _ in second_thoughts(agent, most=8, seed=said))]
        assert all(one != other for one, other in itertools.pairwise(answers))
        assert said.endswith(answers[-1])
        if agent.proposed and len(answers) > 1:
            kinds.add(agent.proposed.name)
    assert {*CHANGING_ITEMS, "return_delivered_order_items"} <= kinds


def test_who_wants_other_items_names_them_and_the_proposal_holds_what_is_wanted(env: TauRetailEnv):
    checked = kept = 0
    for agent, said in proposals(env):
        write = agent.proposed
        if write is None or write.name != "return_delivered_order_items":
            continue
        before = items_of(said)
        for wish, wanted, _ in second_thoughts(agent, most=8, seed=said):
            after = items_of(agent.proposal(wanted))
            changed = set(after) ^ set(before)
            if not changed:  # about the payment method
                break
            every = {agent.item_names(with_items(write, item))[0] for item in agent.order_items(write)}
            assert set(after) <= every
            if re.search(r"\b(?:all|everything|whole)\b.*? the ", wish, re.IGNORECASE):
                assert {name for name in every if f"the {name}" in wish} == every - set(after)
                kept += 1
            else:
                one_named = len(changed) == 1 and changed.pop() in wish
                assert one_named or all(name in wish for name in after)
            checked += 1
            before = after
    assert checked > 30 and kept > 5


def test_a_refund_is_never_wanted_on_an_account_that_did_not_pay(env: TauRetailEnv):
    for agent, said in proposals(env):
        write = agent.proposed
        if write is not None and write.name == "return_delivered_order_items":
            first = write.arguments["payment_method_id"]
            for seed in range(10):
                for _, wanted, _ in second_thoughts(agent, most=8, seed=f"{said}{seed}"):
                    method = wanted.arguments["payment_method_id"]
                    assert method == first or method.startswith("gift_card_")


def test_the_steps_to_a_variant_are_written_again_only_where_another_one_is_wanted(env: TauRetailEnv):
    same = other = 0
    for task in env.tasks:
        opened = env.reset(task_id=task.id, seed=1)
        practice = Practice(reasons=True, second_thoughts=4, seed=task.id)
        said = converse(env, *opened, OracleAgent(task, whole_proposals=True), practice)
        for (heard, *_), (answer, *_) in zip(said.parts[::2], said.parts[1::2], strict=False):
            thought, _, _ = answer["content"].partition("</think>")
            if thought.startswith(("<think>No to the payment", "<think>No to the items")):
                assert "Change: " not in thought
                same += 1
            elif thought.startswith("<think>No to the new items "):
                news = thought.split(".")[0].removeprefix("<think>No to the new items ").split(", ")
                tried = len(re.findall(r"New: [^:]*: none, ", thought))
                assert thought.count("Change: ") == len(news) + tried, heard["content"]
                assert ("As in #W" in thought) == ("#W" in heard["content"])  # else it was just named otherwise
                other += 1
    assert same > 5 and other > 20


def test_nobody_has_second_thoughts_unless_asked_for(env: TauRetailEnv):
    for agent, said in proposals(env):
        assert second_thoughts(agent, most=0, seed=said) == []


def items_of(proposal: str) -> list[str]:
    return re.findall(r"([A-Z][^,;]*?(?: \([^)]*\))?) \(item \d{10}\)", proposal.partition(": return ")[2])


def with_items(write: Action, item_id: str) -> Action:
    return dataclasses.replace(write, arguments={**write.arguments, "item_ids": [item_id]})


def words_of(wrong: Slip, agent: OracleAgent) -> str:
    return wrong.said(agent.proposal(wrong.write))


def test_a_slip_says_something_else_and_its_call_does_what_it_says(env: TauRetailEnv):
    kinds, tools, orders, foreign = set(), 0, 0, 0
    for agent, said in proposals(env):
        right = agent.proposed
        assert slip(agent, share=0.0, seed=said) is None
        wrong = slip(agent, share=1.0, seed=said)
        if wrong is None or right is None:
            continue
        words, call = words_of(wrong, agent), wrong.call
        assert words not in said
        assert (call.name, dict(call.arguments)) != (right.name, dict(right.arguments))
        assert all(item in words for item in call.arguments.get("item_ids", ()))
        kinds.add(right.name)
        tools += call.name != right.name
        orders += call.arguments.get("order_id") != right.arguments.get("order_id")
        foreign += not set(call.arguments.get("item_ids", ())) <= set(agent.order_items(wrong.write))
    assert {*CHANGING_ITEMS, "return_delivered_order_items", "modify_pending_order_address"} <= kinds
    assert min(tools, orders, foreign) > 3


def test_who_takes_another_order_takes_its_items_too_where_it_has_such(env: TauRetailEnv):
    alike = 0
    for agent, said in proposals(env):
        right = agent.proposed
        for seed in range(30):
            wrong = slip(agent, share=1.0, seed=f"{said}{seed}")
            if not (wrong and right and "item_ids" in right.arguments and wrong.instead is None):
                continue
            if wrong.write.arguments["order_id"] != right.arguments["order_id"]:
                rows = zip(agent.rows(right), agent.rows(wrong.write), strict=True)
                assert all(one["product_id"] == other["product_id"] for one, other in rows)
                alike += 1
    assert alike > 10


def test_a_call_that_is_wrong_on_purpose_is_refused_and_changes_nothing():
    env = TauRetailEnv(source="generated", tasks=SERIES2.generate("train2", 60))
    errors = set()
    for task in env.tasks:
        agent = OracleAgent(task, whole_proposals=True)
        observation, opening = env.reset(task_id=task.id, seed=1)
        info: ResetInfo | StepInfo = opening
        over = False
        while not over:
            message = agent.act(observation, info)
            if wrong := slipped_call(message, share=1.0, seed=task.id):
                refusal, *_ = env.step(wrong)
                assert refusal.startswith("Error")
                errors.add(re.sub(r"\d+|'\w+'", "", refusal))
            observation, reward, terminated, truncated, info = env.step(message)
            over = terminated or truncated
        assert reward == 1.0
    assert len(errors) >= 5


def test_after_a_refused_call_the_order_is_read_again_unless_only_an_argument_was_unknown():
    env = TauRetailEnv(source="generated", tasks=SERIES2.generate("train2", 60))
    read, straight = 0, 0
    for task in env.tasks:
        observation, opening = env.reset(task_id=task.id, seed=1)
        said = converse(env, observation, opening, OracleAgent(task), Practice(slips=1.0, seed=task.id))
        for place in said.slips - {len(said.parts) - 1, len(said.parts) - 2}:
            refusal, following = (said.parts[place + step][0]["content"] for step in (1, 2))
            if not refusal.startswith("Error"):
                continue
            if "unexpected keyword" in refusal or "modify_user_address" in said.parts[place][0]["content"]:
                straight += "get_order_details" not in following
            else:
                order = re.search(r"#W\d+", said.parts[place][0]["content"])
                assert order and following.count("get_order_details") == 1 and order[0] in following
                assert place + 2 not in said.slips
                read += 1
    assert read > 20 and straight > 5


def test_after_an_objection_the_next_proposal_is_another_one():
    env = TauRetailEnv(source="generated", tasks=SERIES2.generate("train2", 80))
    proposed, answered = 0, 0
    for task in env.tasks:
        observation, opening = env.reset(task_id=task.id, seed=1)
        agent = OracleAgent(task, whole_proposals=True)
        said = converse(env, observation, opening, agent, Practice(slips=1.0, seed=task.id))
        for place in said.slips - {len(said.parts) - 1, len(said.parts) - 2}:
            wrong, objection, following = (said.parts[place + step][0]["content"] for step in (0, 1, 2))
            if "<tool_call>" in wrong or is_yes(objection):
                continue
            if "Confirm (yes/no)?" in following:
                proposed += 1
                assert following != wrong or place + 2 in said.slips
            else:
                answered += 1
                assert "cancel it" in wrong
    assert proposed > 50 and answered > 5


def test_a_wrong_proposal_that_a_customer_accepts_is_refused_by_the_tool_and_made_right():
    env = TauRetailEnv(source="generated", tasks=SERIES3.generate("train3", 120))
    accepted = 0
    for task in env.tasks:
        observation, opening = env.reset(task_id=task.id, seed=1)
        agent = OracleAgent(task, whole_proposals=True)
        said = converse(env, observation, opening, agent, Practice(slips=1.0, seed=task.id))
        for place in sorted(said.slips):
            texts = [part[0]["content"] for part in said.parts[place : place + 7]]
            if len(texts) < 7 or "Confirm (yes/no)?" not in texts[0] or not is_yes(texts[1]):
                continue
            accepted += 1
            assert place + 2 in said.slips and "<tool_call>" in texts[2] and texts[3].startswith("Error")
            assert place + 4 not in said.slips and "get_order_details" in texts[4]
            assert "Confirm (yes/no)?" in texts[6]
            assert texts[6] != texts[0] or place + 6 in said.slips
    assert accepted > 20


@pytest.mark.parametrize(("source", "split"), [("tau2", "base"), ("generated", "train2"), ("generated", "train")])
def test_customers_object_to_slips_and_the_conversation_still_earns_the_reward(
    source: str, split: str, tokenizer: Qwen2Tokenizer
):
    env = TauRetailEnv(source=source, tasks=load_tasks(source, split)[:60])
    played = [
        encode(
            env,
            tokenizer,
            task_id=task.id,
            seed=1,
            show_tools=False,
            whole_proposals=True,
            practice=Practice(slips=0.35, reasons=True, seed=task.id),
        )
        for task in env.tasks
    ]
    assert sum(one.won for one in played) >= 57


def test_a_slip_may_be_the_last_message_that_an_agent_may_send(tokenizer: Qwen2Tokenizer):
    tasks = SERIES2.generate("train2", 3)
    won = []
    for limit in range(2, 24):
        env = TauRetailEnv(source="generated", tasks=tasks, max_turns=limit)
        for task in tasks:
            practice = Practice(slips=1.0, seed=task.id)
            won.append(encode(env, tokenizer, task_id=task.id, seed=1, show_tools=False, practice=practice).won)
    assert any(won) and not all(won)


def test_slips_are_not_learnt_and_what_follows_them_is(tokenizer: Qwen2Tokenizer):
    env = TauRetailEnv(source="generated", tasks=SERIES2.generate("train2", 30))
    slipped = 0
    for task in env.tasks:
        straight, practised = (
            encode(env, tokenizer, task_id=task.id, seed=1, show_tools=False, practice=practice)
            for practice in (None, Practice(slips=1.0, seed="1"))
        )
        own = [
            tokenizer.decode(
                [token for token, whose in zip(one.token_ids, one.response_mask, strict=True) if whose == Whose.OWN]
            )
            for one in (straight, practised)
        ]
        assert own[1].count("Confirm (yes/no)?") <= own[0].count("Confirm (yes/no)?") or not practised.won
        slipped += tokenizer.decode(practised.token_ids).count("Confirm (yes/no)?") > own[1].count("Confirm (yes/no)?")
    assert slipped > 10


def test_writes_are_those_of_the_straight_way(env: TauRetailEnv, tokenizer: Qwen2Tokenizer):
    def writes(practice: Practice | None, task_id: str) -> list[str]:
        encoded = encode(env, tokenizer, task_id=task_id, seed=1, show_tools=False, practice=practice)
        calls = re.findall(r"<tool_call>\n(.*)\n</tool_call>", tokenizer.decode(encoded.token_ids))
        return [call for call in calls if json.loads(call)["name"] in WRITE_TOOLS]

    straight = [writes(None, task.id) for task in env.tasks[:25]]
    assert [writes(Practice(second_thoughts=8, seed="1"), task.id) for task in env.tasks[:25]] == straight
    assert sum(map(bool, straight)) > 15


def test_reasoning_is_learnt_and_that_of_a_slip_is_not(env: TauRetailEnv, tokenizer: Qwen2Tokenizer):
    left_out = 0
    for task in env.tasks[:20]:
        row = encode(
            env,
            tokenizer,
            task_id=task.id,
            seed=1,
            show_tools=False,
            whole_proposals=True,
            practice=Practice(slips=1.0, reasons=True, seed=task.id),
        )
        own = tokenizer.decode(
            [token for token, whose in zip(row.token_ids, row.response_mask, strict=True) if whose == Whose.OWN]
        )
        every = tokenizer.decode(row.token_ids)
        assert own.count("<think>") == own.count("</think>") <= own.count("<|im_end|>")
        left_out += every.count("<think>") - own.count("<think>")
    assert left_out > 10


def test_a_proposal_in_a_storys_own_words_is_not_learnt_beside_those_with_reasons(tokenizer: Qwen2Tokenizer):
    env = TauRetailEnv(source="generated", tasks=SERIES4.generate("train4", 60))
    left_out = 0
    for task in env.tasks:
        row = encode(
            env,
            tokenizer,
            task_id=task.id,
            seed=1,
            show_tools=False,
            whole_proposals=True,
            practice=Practice(reasons=True),
        )
        own = [
            tokenizer.decode([token for token, _ in run])
            for whose, run in itertools.groupby(zip(row.token_ids, row.response_mask, strict=True), lambda one: one[1])
            if whose == Whose.OWN
        ]
        asked = [text for text in own if "Confirm (yes/no)?" in text]
        assert all(text.startswith("<think>") or "Change default address" in text for text in asked)
        left_out += tokenizer.decode(row.token_ids).count("Confirm (yes/no)?") - len(asked)
    assert left_out > 3


def test_an_answer_after_a_slip_in_its_place_says_what_was_asked_for():
    env = TauRetailEnv(source="generated", tasks=SERIES4.generate("train4", 120))
    answers = 0
    for task in env.tasks:
        observation, opening = env.reset(task_id=task.id, seed=1)
        agent = OracleAgent(task, whole_proposals=True)
        said = converse(env, observation, opening, agent, Practice(slips=1.0, reasons=True, seed=task.id))
        for place in sorted(said.slips):
            texts = [part[0]["content"] for part in said.parts[place : place + 3]]
            if "cancel it, reason" in texts[0] and not re.search(r"tool_call|Confirm", "".join(texts[2:])):
                assert re.match(r"<think>(?:.* )?Asked: ", texts[2])
                answers += 1
    assert answers > 5


def test_what_the_customer_has_not_brought_up_yet_is_not_learnt(tau_bench: Path):
    env = TauRetailEnv(source="tau_bench", split="train", max_turns=30)
    ahead = again = guessed = 0
    for task in env.tasks:
        if len(gold_writes(task)) < MANY_STEPS:
            continue
        observation, opening = env.reset(task_id=task.id, seed=1)
        practice = Practice(slips=0.35, reasons=True, seed=task.id)
        said = converse(env, observation, opening, OracleAgent(task, whole_proposals=True), practice)
        places = [place for place in range(1, len(said.parts), 2) if place not in said.slips]
        own = {place: said.parts[place][0]["content"] for place in places}
        for place, text in own.items():
            if text.startswith("<think>") and "</think>\nDone. " in text and "Confirm (yes/no)?" in text:
                assert place in said.unlearnt
                ahead += 1
            named = [item_id for item_id in re.findall(r"Payment: (\w+)\.", text) if "Missing: nothing" in text]
            said_so_far = " ".join(part[-1]["content"] for part in said.parts[:place] if part[-1]["role"] == "user")
            if named and not any(method in said_so_far for method in named):  # the customer has not told how it pays
                assert place in said.unlearnt
                guessed += 1
            words, before = (one.split("</think>\n")[-1] for one in (text, own.get(place - 2, "")))
            if words == before and "Confirm (yes/no)?" in words:
                assert place in said.unlearnt
                again += 1
    assert ahead > 20 and again > 0 and guessed > 0


def test_what_a_second_thought_says_of_the_last_proposal_is_looked_for_from_there():
    env = TauRetailEnv(source="generated", tasks=SERIES5.generate("train5", 60))
    from_last = from_item = 0
    for task in env.tasks:
        opened = env.reset(task_id=task.id, seed=1)
        practice = Practice(reasons=True, second_thoughts=4, seed=task.id)
        said = converse(env, *opened, OracleAgent(task, whole_proposals=True), practice)
        texts = [part[-1]["content"] for part in said.parts]
        for proposal, wish, text in zip(texts, texts[1:], texts[2:], strict=False):
            for last, wished in re.findall(r"Last: ([^:]*)\. Wished, 1: ([^:]*)\. Change: ", text):
                assert all(value in proposal for value in last.split(", "))
                assert all(value.split(" ")[-1] in wish for value in wished.split(", "))
                from_last += 1
            from_item += "No to the new items" in text and "Last: " not in text
    assert from_last > 20 and from_item > 20
