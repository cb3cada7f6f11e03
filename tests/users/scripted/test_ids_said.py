"""Which ids the scripted customer says: those that its task's text has, whatever it is asked and told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env import TauRetailEnv
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.errors import MissingDependencyError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import Task
from tau_retail_env.users import ScriptedUser
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.story import story_of

ID = re.compile(r"#?W\d{5,}\b|\b(?:credit_card|gift_card|paypal)_\d+\b|\b\d{10}\b|\b[a-z]+_[a-z]+_\d{4}\b")
"""Of an order, a payment method, an item or a product, a user."""
SETS = {
    "tau2 0.2": ("tau2", "base", "0.2"),
    "tau2 1.0": ("tau2", "base", "1.0"),
    "tau2 verified": ("tau2", "base", "verified"),
    **{f"tau_bench {split}": ("tau_bench", split, None) for split in ("train", "dev", "test")},
    **{
        f"generated {split}{number}": ("generated", f"{split}{number}", None)
        for split in ("train", "test")
        for number in ("", 2, 3, 4, 5, 6)
    },
}
GENERATED = 40
"""Of each split of generated tasks the first ones are asked."""
REQUESTS = 8
"""After so many requests the agent refuses no further."""
REFUSAL = "I'm sorry, that is not possible. Is there anything else I can help you with?"
QUESTIONS: Sequence[Sequence[str]] = (
    ("Which order is it?", "Please give me the order id.", "I need the order number, it starts with #W."),
    ("Which payment method shall I use?", "Please give me the payment method's id.", "Where should the refund go?"),
    ("Please give me the order id, the items, the new options, the payment method, the reason and the address.",) * 3,
    ("What can I do for you?", "Hm.", "What would you like me to do?"),
    ("Could you confirm your email, your name and zip code, and your user id?", "Please tell me the item ids."),
)


def tasks_of(name: str) -> list[Task]:
    source, split, version = SETS[name]
    try:
        return load_tasks(source, split, task_version=version)[: GENERATED if source == "generated" else None]
    except MissingDependencyError as error:
        pytest.skip(str(error))


def proposals(user: Mapping[str, Any], shop: Mapping[str, Any]) -> Iterator[str]:
    """Something for each of the customer's orders, in which little is right; then all of it at once."""
    orders, methods = list(user["orders"]), list(user["payment_methods"])
    for number, order_id in enumerate(orders):
        yield f"I will cancel order {order_id}, as it was ordered by mistake. Confirm (yes/no)?"
        names = ", ".join(item["name"] for item in shop["orders"][order_id]["items"])
        method = methods[number % len(methods)]
        yield f"I will return {names} of order {order_id}, with the refund to {method}. Confirm (yes/no)?"
    yield f"I will cancel {', '.join(orders)} and charge {', '.join(methods)}. Confirm (yes/no)?"


def talks(task: Task) -> Iterator[Sequence[str]]:
    """What an agent may say to a customer, asking each of its requests the same again."""
    shop = shop_database()
    yield from ([*questions, REFUSAL] * REQUESTS for questions in QUESTIONS)
    if task.user_id in shop["users"]:
        wrong = list(proposals(shop["users"][task.user_id], shop))
        yield from ([*wrong[place:], "Done. Anything else?", REFUSAL, *wrong] for place in (0, len(wrong) // 2))
        yield [each for text in wrong for each in (text, REFUSAL)]


def heard(task: Task, texts: Sequence[str]) -> Iterator[str]:
    """What the customer says to some texts, until it leaves."""
    customer = ScriptedUser(shop_database())
    yield customer.reset(task, seed=0).content
    for text in texts:
        message = customer.respond(AgentMessage(text))
        yield message.content
        if message.stop:
            return


def strange(task: Task, said: str) -> set[str]:
    """The ids in some words that the task's text does not have."""
    text = task.instruction.casefold()
    return {name for name in ID.findall(said) if name.lstrip("#").casefold() not in text}


@pytest.mark.parametrize("name", SETS)
def test_no_id_that_the_text_does_not_have_is_said_whatever_the_agent_asks_and_proposes(
    name: str, request: pytest.FixtureRequest
) -> None:
    if SETS[name][0] == "tau_bench":
        request.getfixturevalue("tau_bench")
    tasks = tasks_of(name)
    assert len(tasks) >= 20
    said = {task.id: " ".join(words for texts in talks(task) for words in heard(task, texts)) for task in tasks}
    found = {task.id: strange(task, said[task.id]) for task in tasks}
    assert {task_id: ids for task_id, ids in found.items() if ids} == {}


def test_the_oracle_hears_no_id_that_upstreams_text_does_not_have() -> None:
    tasks = load_tasks("tau2", "base")
    assert len(tasks) == 114
    env = TauRetailEnv("tau2", tasks=tasks)
    for task in tasks:
        played = play_episode(env, OracleAgent(task), EpisodeRequest(task.id, 0))
        said = "\n".join(message["content"] for message in played.messages if message["role"] == "user")
        assert strange(task, said) == set(), task.id


@pytest.mark.parametrize("name", SETS)
def test_no_story_holds_an_id_that_the_text_does_not_have(name: str, request: pytest.FixtureRequest) -> None:
    if SETS[name][0] == "tau_bench":
        request.getfixturevalue("tau_bench")
    for task in tasks_of(name):
        if story := story_of(task):
            words = [text for each in (story, *story.beats) for texts in (each.words or {}).values() for text in texts]
            words += [text for beat in story.beats for text in (beat.prose, beat.say, beat.turn)]
            assert strange(task, "\n".join(words)) == set(), task.id


@pytest.fixture(scope="module")
def tau2() -> dict[str, Task]:
    return {task.id.removeprefix("tau2/"): task for task in load_tasks("tau2", "base")}


def agrees(text: str) -> bool:
    return re.search(r"\byes\b", text, re.IGNORECASE) is not None


def talk(task: Task, *texts: str) -> list[str]:
    """What the customer answers to some texts."""
    return list(heard(task, texts))[1:]


VACUUM = "Return Vacuum Cleaner, Headphones and Smart Watch"


def to_the_return(*texts: str) -> tuple[str, ...]:
    """Texts for the customer of task 2, behind the answer to what it asks before its return."""
    return "There are 10 versions. Anything else?", *texts


def test_an_order_that_the_text_only_describes_is_described(tau2: dict[str, Task]) -> None:
    answer = talk(tau2["2"], *to_the_return("Which order is it? Please give me the order id."))[-1]
    assert "order id" in answer
    assert "It's the order with the Vacuum Cleaner, the Headphones and the Smart Watch." in answer
    wish = talk(tau2["24"], "Please give me the order id.")[-1]
    assert "order id" in wish
    assert "cancel the grill" in wish


def test_an_agent_that_only_asks_for_the_order_is_left_after_six_answers(tau2: dict[str, Task]) -> None:
    for task in tau2.values():
        assert len(talk(task, *["Which order is it? Please give me the order id."] * 20)) == 6, task.id


@pytest.mark.parametrize(
    ("task", "texts", "named"),
    [
        ("2", to_the_return(), "my credit card"),
        ("5", (REFUSAL, REFUSAL), "my PayPal account"),
        ("98", (REFUSAL,), "the credit card that I paid with"),
        ("40", ("$60.", "Amex.", REFUSAL), "my Visa card"),
        ("21", (REFUSAL,), "my gift card"),
    ],
)
def test_a_payment_method_is_named_by_its_kind(
    tau2: dict[str, Task], task: str, texts: Sequence[str], named: str
) -> None:
    answer = talk(tau2[task], *texts, "Which payment method shall I use?")[-1]
    assert named.casefold() in answer.casefold()


def test_ids_of_the_text_are_said_as_before() -> None:
    task = next(task for task in load_tasks("generated", "train", "single*returns"))
    given = next(action.arguments for action in task.actions if "payment_method_id" in action.arguments)
    answer = talk(task, "Please give me the order id and the payment method.")[-1]
    assert given["order_id"] in answer
    assert given["payment_method_id"] in answer


@pytest.mark.parametrize(
    ("summary", "right"),
    [
        (f"{VACUUM} of #W2378156 to credit_card_9513926.", True),
        (f"{VACUUM} of W2378156, with the refund to your credit card.", True),
        (f"{VACUUM}, with the refund to your mastercard ending in 2478.", True),
        (f"{VACUUM} of #W6247578 to credit_card_9513926.", False),
        (f"{VACUUM} of #W2378156 and of #W6247578 to credit_card_9513926.", False),
        (f"{VACUUM} of #W2378156 to gift_card_9513926.", False),
        (f"{VACUUM} of #W2378156, with the refund to your PayPal account.", False),
        ("Return the Grill of #W2378156 to credit_card_9513926.", False),
    ],
)
def test_who_knows_no_id_still_tells_the_right_order_and_payment_method(
    tau2: dict[str, Task], summary: str, right: bool
) -> None:
    answer = talk(tau2["2"], *to_the_return(f"{summary} Confirm (yes/no)?"))[-1]
    assert agrees(answer) is right, answer
    assert strange(tau2["2"], answer) == set()


@pytest.mark.parametrize(
    ("summary", "right"),
    [
        ("Cancel the order with the fleece jacket, ordered by mistake.", True),
        ("Cancel order #W8367380, ordered by mistake.", True),
        ("Cancel the order with the tea kettle, ordered by mistake.", False),
        ("Cancel order #W1242543, ordered by mistake.", False),
    ],
)
def test_an_order_to_be_cancelled_may_be_described_by_the_agent(
    tau2: dict[str, Task], summary: str, right: bool
) -> None:
    assert agrees(talk(tau2["76"], REFUSAL, f"{summary} Confirm (yes/no)?")[-1]) is right


def test_a_wrong_order_and_method_beside_the_right_ones_are_refused_without_their_ids(tau2: dict[str, Task]) -> None:
    task = tau2["2"]
    both = f"{VACUUM} of #W2378156 and cancel #W6247578; credit_card_9513926, paypal_1234567. Confirm (yes/no)?"
    answer = talk(task, *to_the_return(both))[-1]
    assert "another order" in answer
    assert "another payment method" in answer


def test_the_page_says_how_many_stories_word_an_order(tau2: dict[str, Task], repository: Path) -> None:
    def words_an_order(task: Task) -> bool:
        story = story_of(task)
        assert story
        wordings = [(each.words or {}).get(Fact.ORDER, ()) for each in (story, *story.beats)]
        return any(texts and not ID.search(" ".join(texts)) for texts in wordings)

    counted = sum(words_an_order(task) for task in tau2.values())
    page = (repository / "docs" / "customer.md").read_text(encoding="utf-8")
    assert f"| order worded vaguely | {counted} |" in page
