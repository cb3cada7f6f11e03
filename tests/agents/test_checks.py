"""The verdicts that an agent writes down before a refusal or a proposal: true, in order, each once."""

from __future__ import annotations

import functools
import itertools
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tau_retail_env.agents.checks import _other_product
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.order_words import alternatives
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.practice import Practice, converse
from tau_retail_env.sources.generated import SERIES2, SERIES3, SERIES4, SERIES5, SERIES6, series6
from tau_retail_env.sources.generated.wording import rules
from tau_retail_env.tasks.task import Task

CONDITION = (
    r"(?:Own account|Delivered|Pending|Only one of both|Items unchanged|Another version|Same product|Whole|Reason"
    r"|At hand|Refund to|One method|Gift card enough|In stock|Allowed)"
)
CHECK = re.compile(rf"\b({CONDITION}(?:: (?!yes\.|no\.)[^:]*)?: (?:yes|no)\.)")
REFUSAL = "Not possible."
STATE = re.compile(r"(#W\d+) is ([^.]*?)(?:, paid with ([^.]*))?\. (Delivered|Pending): (yes|no)\.")
RARE = ((5, 524), (6, 355))
"""Tasks, by series and number, in which a pending order is to be cancelled after its items were changed."""
SERIES = {2: SERIES2, 3: SERIES3, 4: SERIES4, 5: SERIES5, 6: SERIES6}


def thoughts(task: Task, practice: Practice | None = None) -> list[tuple[str, str]]:
    """What the agent writes down in a task, message by message, and the words that follow."""
    env = TauRetailEnv(source=task.source, tasks=[task], user_strategy="scripted")
    observation, opening = env.reset(task_id=task.id, seed=1)
    agent = OracleAgent(task, whole_proposals=True, reads_every_order=True)
    played = converse(env, observation, opening, agent, practice or Practice(reasons=True))
    texts = [message["content"] for part in played.parts[1:] for message in part if message["role"] == "assistant"]
    return [(text.rpartition("</think>")[0], text.rpartition("</think>")[2].strip()) for text in texts]


def refusing(task: Task) -> list[str]:
    return [thought for thought, _ in thoughts(task) if thought.endswith(REFUSAL)]


@functools.cache
def generated(number: int) -> list[Task]:
    rare = [SERIES[number].generate_one(f"train{number}", place) for series, place in RARE if series == number]
    return [*SERIES[number].generate(f"train{number}", 250), *rare]


def refused(*words: str) -> Iterator[Task]:
    """Training tasks of all series whose story refuses something in such words."""
    for number in SERIES:
        for task in generated(number):
            told = [beat.get("refusal", "") for beat in task.story["beats"]]
            if any(each in refusal for each in words for refusal in told):
                yield task


@pytest.fixture(scope="module")
def drawn() -> list[list[tuple[str, str]]]:
    """Conversations of all series, every second one with second thoughts and slips."""
    straight = Practice(reasons=True)
    winding = Practice(second_thoughts=4, slips=0.35, reasons=True, seed="1")
    return [
        thoughts(task, winding if place % 2 else straight)
        for number in SERIES
        for place, task in enumerate(generated(number)[:30])
    ]


@pytest.fixture(scope="module")
def upstream() -> list[list[tuple[str, str]]]:
    return [thoughts(task) for task in TauRetailEnv(source="tau2", split="train").tasks]


def test_a_no_stands_right_before_every_refusal_and_nowhere_else(drawn, upstream):
    refusals = 0
    for thought, words in itertools.chain(*drawn, *upstream):
        checks = CHECK.findall(thought)
        if thought.endswith(REFUSAL):
            refusals += 1
            assert checks and checks[-1].endswith(": no."), thought
            assert thought.endswith(f"{checks.pop()} {REFUSAL}"), thought
        assert REFUSAL not in thought.removesuffix(REFUSAL)
        assert not any(check.endswith(": no.") for check in checks), thought
        if words.startswith("I'm sorry, that is not possible"):
            assert thought.endswith(REFUSAL)
    assert refusals > 80


def test_the_verdict_on_the_status_is_the_one_that_the_state_says(drawn):
    verdicts = Counter()
    for thought, _ in itertools.chain(*drawn):
        for _, status, _, condition, verdict in STATE.findall(thought):
            assert status.startswith(condition.casefold()) == (verdict == "yes"), thought
            verdicts[condition, verdict] += 1
    assert min(verdicts.values()) > 2 and len(verdicts) == 4


def test_each_check_stands_once_for_a_wish_after_the_state():
    found = 0
    for task in generated(4)[:60]:
        for matter in "".join(thought for thought, _ in thoughts(task)).split("Wants: ")[1:]:
            checks = Counter(CHECK.findall(matter))
            found += len(checks)
            assert not checks or max(checks.values()) == 1, matter
            assert len(checks) <= 3, matter
    assert found > 100


def test_where_a_refund_goes_is_said_only_where_that_is_known_and_true():
    found = Counter()
    for task in itertools.chain.from_iterable(generated(number)[:40] for number in SERIES):
        for thought, words in thoughts(task):
            for method, verdict in re.findall(r"Refund to: (.*?)(, as paid: yes|, not as paid: no|: yes)\.", thought):
                if " for #W" in method:  # of two orders; tests/agents/test_earlier.py looks at each
                    continue
                paid = re.findall(r"is delivered, paid with ([^.]*)\.", thought)[-1:]
                found[verdict] += 1
                assert paid, thought
                assert (method in paid[0].split(", ")) == (verdict == ", as paid: yes"), thought
                if verdict == ": yes":
                    assert method == "gift card"
                if words.startswith("Delivered order"):
                    assert method.replace(" ", "_") in words
            if "Missing: payment" in thought or ("payment method" in words and words.startswith("Please give me")):
                assert "Refund to" not in thought
    assert found[", not as paid: no"] > 3
    assert found[", as paid: yes"] > 40 and found[": yes"] > 5


def test_a_method_that_is_asked_for_is_checked_as_soon_as_it_was_said():
    late = 0
    for task in generated(4)[:100]:
        said = thoughts(task)
        for place, (thought, words) in enumerate(said):
            asks = words.startswith("Please give me") and "payment method" in words
            if asks and "Wants: returning." in thought and "Delivered: yes." in thought:
                after = next(later for later, told in said[place + 1 :] if "Delivered order" in told)
                if not after:  # a story's own words for a proposal have nothing written down before them
                    continue
                assert re.search(r"paid with [^.]*\. Refund to: [^:]*: yes\.", after), after
                late += 1
    assert late > 2


@pytest.mark.parametrize(
    ("rule", "ends"),
    [
        ("only pending orders", r"is (?:processed|delivered)\b[^.]*\. Pending: no\."),
        ("only delivered orders", r"is (?:processed|pending)\b[^.]*\. Delivered: no\."),
        ("as a whole", r"Pending: yes\. Whole: (?:[^.:]* alone: )?no\."),
        ("original payment method", r"Delivered: yes\. Refund to: (?:\w+_\d+|another), not as paid: no\."),
        ("that paid for it", r"Pending: yes\. Whole: yes\. Refund to: (?:\w+_\d+|another), not as paid: no\."),
        ("where the payment", r"Refund to: \w+_\d+ for #W\d+, \w+_\d+ for #W\d+, not as paid: no\."),
        ("only delivered ones", r"is processed\b[^.]*\. Pending: no\."),
        ("because it is no longer", r"Pending: yes\. Whole: yes\. Reason: another: no\."),
        ("same product", r"(?:Delivered|Pending): yes\. Same product: (?:[^.:]*: )?no\."),
        ("one payment method", r"Pending: yes\. One method: no\."),
        ("and the order cost", r"Pending: yes\. Gift card enough: \$[\d.]+\d for \$[\d.]+\d: no\."),
        ("and the difference is", r"Gift card enough: \$[\d.]+\d for \$[\d.]+\d: no\."),
        ("otherwise the same", r"In stock: no\."),
        ("not available any more", r"In stock: no\."),
        (
            "only once",
            r"(?:Only one of both|Items unchanged): no\.|(?:return|exchange) requested[^.]*\. Delivered: no\.",
        ),
        ("can no longer be cancelled", r"Pending: yes\. Items unchanged: no\."),
        ("lost or stolen", r"Delivered: yes\. At hand: no\."),
        ("cannot be brought back", r"Allowed: no\."),
        ("own account", r"Own account: no\."),
    ],
)
def test_a_refusal_ends_in_the_condition_that_its_rule_names(rule, ends):
    found = 0
    for task in itertools.islice(refused(rule), 6):
        for thought, words in thoughts(task):
            if words.startswith("I'm sorry") and rule in words:
                found += 1
                assert re.search(rf"(?:{ends}) {REFUSAL}$", thought), thought
    assert found > 0


def test_the_things_of_a_refused_wish_are_named_as_the_order_and_the_customer_name_them():
    wholes = products = 0
    for task in refused("as a whole", "same product"):
        for thought in refusing(task):
            if told := re.search(r"Whole: ([^.:]*) alone: no\.", thought):
                wholes += 1
                assert all(name[0].isupper() for name in told[1].split(", "))
            if told := re.search(r"Same product: ([A-Z][^.:]*) for ([^.:]*): no\.", thought):
                products += 1
                assert told[1] != told[2]
    assert wholes > 3 and products > 10


def test_a_version_that_is_looked_for_is_of_the_same_product_before_its_list_is_read():
    found = 0
    for task in itertools.islice(refused("otherwise the same"), 20):
        joined = "".join(thought for thought, _ in thoughts(task))
        if re.search(r"(?:Delivered|Pending): yes\. Same product: yes\..* in stock: .*In stock: no\. Not", joined):
            found += 1
    assert found > 15


def test_nothing_is_claimed_that_nobody_has_looked_up(upstream):
    """Upstream's stories refuse some wishes at once: then no status, stock or payment method is known."""
    unread = [thought for said in upstream for thought, _ in said if thought.endswith(f"Allowed: no. {REFUSAL}")]
    assert len(unread) > 5
    for said in upstream:
        read = ""
        for thought, _ in said:
            read += thought
            if thought.endswith(f"In stock: no. {REFUSAL}"):
                assert "in stock: $" in read
            if re.search(r"(?:Delivered|Pending|as paid): no\. Not", thought):
                assert re.search(r"#W\d+ is ", thought)


def test_a_return_has_its_refund_and_a_cancellation_its_reason_whenever_the_customer_has_said_them():
    proposals: Counter[str] = Counter()
    for number in (4, 5, 6):
        kinds = {
            "return_everything",
            "two_deliveries",
            "errands",
            "condition",
            "if_cheap_enough",
            "asked_midway",
            "return",
        }
        for task in [task for task in generated(number) if kinds & set(task.labels)][:40]:
            matter = ""
            for thought, words in thoughts(task):
                matter += thought
                if (
                    re.match(r".*Delivered order #W\d+: return .*Confirm", words, re.DOTALL)
                    and "Missing: nothing." in thought
                ):
                    assert re.search(r"Refund to: (?:gift card|\w+, as paid): yes\.", matter), (task.id, matter)
                    proposals["return"] += 1
                    proposals["else"] += "Else: returning." in matter
                if (
                    re.match(r".*Pending order #W\d+: cancel it.*Confirm", words, re.DOTALL)
                    and "Missing: nothing." in thought
                ):
                    assert re.search(r"Reason: (?:no need|mistake): yes\.", matter), (task.id, matter)
                    proposals["cancel"] += 1
                if words.startswith(("Done.", "I'm sorry")) or not words.startswith(
                    ("{", "<", "Please give", "Delivered", "Pending")
                ):
                    matter = "" if "Confirm" not in words else matter
    assert min(proposals[name] for name in ("return", "else", "cancel")) > 2


def test_another_product_is_called_as_the_customer_calls_it():
    nouns = {line for rule in rules(series6.GRAMMAR, False) if rule.startswith("item ") for line in alternatives(rule)}
    for noun in (noun for noun in nouns if "{" not in noun):
        assert _other_product(f"Swap my lamp in the order with the hose on it for the {noun} you sell, please.") == noun
    assert len(nouns) > 1000


def test_a_product_is_called_by_its_name_however_the_customer_calls_it():
    told = Counter()
    for number in (5, 6):
        for task in refused("kind of product", "exchanged for another", "single items"):
            if task.id.startswith(f"generated/train{number}/"):
                for thought, words in thoughts(task):
                    if words.startswith("I'm sorry") and (
                        found := re.search(r"(Same product|Whole): (.*?): no\.", thought)
                    ):
                        told[
                            bool(re.match(r"[A-Z][\w-]+(?: [A-Z][\w-]+)*(?:, [A-Z][\w -]+)* (?:for|alone)", found[2]))
                        ] += 1
    assert told[True] > 10 * told[False]
