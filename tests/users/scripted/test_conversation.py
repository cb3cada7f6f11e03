"""What the customer of a story does: first wishes, impossible requests, changes of mind, questions and transfers."""

from __future__ import annotations

import re

import pytest

from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import Task
from tau_retail_env.users import STOP, ScriptedUser

TRANSFERRED = "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {task.id.removeprefix("tau2/"): task for task in load_tasks("tau2", "base")}


def talk(task: Task, *texts: str, seed: int = 0) -> list[str]:
    """What the customer says, from its first words on, to an agent that says these texts."""
    customer = ScriptedUser(shop_database())
    said = [customer.reset(task, seed=seed).content]
    said += [customer.respond(AgentMessage(text)).content for text in texts]
    return said


def agrees(text: str) -> bool:
    return bool(re.search(r"\byes\b", text, re.IGNORECASE)) and STOP not in text


KEYBOARD_GOLD = (
    "Exchange in #W2378156: Mechanical Keyboard to switch type clicky, backlight none; Smart Thermostat to "
    "compatibility Google Assistant. Payment: credit_card_9513926. Confirm (yes/no)?"
)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "refusal",
    [
        "Sorry, that is not possible. Anything else?",
        "Unfortunately there is no clicky keyboard with RGB backlight available. What would you like instead?",
        "The clicky keyboards with RGB are out of stock. Which other option would you prefer?",
        "We don't have a clicky keyboard with RGB backlight, I'm afraid.",
    ],
)
def test_a_fallback_is_named_only_after_the_first_wish_was_refused(
    tasks: dict[str, Task], refusal: str, seed: int
) -> None:
    opening, details, fallback = talk(
        tasks["0"], "Which items, and which options do you want instead?", refusal, seed=seed
    )
    assert "without a backlight" not in opening + details
    assert "backlight none" not in opening + details
    assert "without a backlight" in fallback


def test_an_account_that_is_not_found_is_no_refusal(tasks: dict[str, Task]) -> None:
    said = talk(tasks["0"], "I could not find your account.", "I am unable to locate an account with that name.")
    assert all("19122" in text for text in said[1:])


def test_what_the_customer_would_settle_for_is_accepted_when_offered_right_away(tasks: dict[str, Task]) -> None:
    assert agrees(talk(tasks["0"], KEYBOARD_GOLD)[1])
    both = f"The RGB version is sold out, but I can offer another one. {KEYBOARD_GOLD}"
    said = talk(tasks["0"], both, "Done. Anything else?")
    assert agrees(said[1])
    assert STOP in said[2]


def test_a_first_wish_is_confirmed_and_its_failure_brings_the_fallback(tasks: dict[str, Task]) -> None:
    wish = KEYBOARD_GOLD.replace("backlight none", "backlight RGB")
    said = talk(tasks["0"], wish, "I'm sorry, that keyboard is not available.")
    assert agrees(said[1])
    assert "without a backlight" in said[2]


def test_a_first_wish_that_is_granted_needs_no_fallback(tasks: dict[str, Task]) -> None:
    wish = KEYBOARD_GOLD.replace("backlight none", "backlight RGB")
    assert STOP in talk(tasks["0"], wish, "The exchange is done.")[2]


def test_an_impossible_request_is_refused_and_the_next_one_comes_up(tasks: dict[str, Task]) -> None:
    said = talk(
        tasks["36"],
        "I'm sorry, an order can only be paid with one payment method.",
        "The most expensive item is the Action Camera, a camera for $481.5.",
        "Unfortunately I cannot cancel a single item.",
    )
    assert "split" in said[0]
    assert "most expensive" in said[1]
    assert "cancel just that one" in said[2]
    assert "cheapest" in said[3]


def test_an_impossible_request_that_an_agent_grants_ends_the_story_there(tasks: dict[str, Task]) -> None:
    said = talk(tasks["36"], "I can split the payment over another card. Shall I go ahead?", "Done, it is split.")
    assert agrees(said[1])
    assert STOP in said[2]


def test_an_impossible_request_is_not_confirmed_by_a_bare_question(tasks: dict[str, Task]) -> None:
    assert not agrees(talk(tasks["36"], "Confirm (yes/no)?")[1])


def test_the_customer_changes_its_mind_when_asked_to_confirm(tasks: dict[str, Task]) -> None:
    both = (
        "Exchange the Water Bottle for 1000ml and the Desk Lamp for a less bright one in #W6390527. Confirm (yes/no)?"
    )
    said = talk(tasks["5"], both, "Exchange only the Desk Lamp for a less bright one. Do you confirm?")
    assert "lamp only" in said[1]
    assert "no exchange at all" in said[2]
    assert "return the water bottle" in said[2]
    assert not agrees(said[1])


def test_an_agent_that_never_asks_to_confirm_sees_no_change_of_mind(tasks: dict[str, Task]) -> None:
    assert STOP in talk(tasks["6"], "I have exchanged the water bottle and the desk lamp. Done.")[1]


def test_a_question_is_asked_again_until_it_is_answered_or_refused(tasks: dict[str, Task]) -> None:
    opening, waiting, answered = talk(tasks["2"], "One moment, please.", "There are 10 of them.")
    assert "T-shirt" in opening
    assert "return" not in opening + waiting
    assert re.search(r"return|send back", answered)
    assert re.search(r"return|send back", talk(tasks["2"], "I'm sorry, I can't tell you that.")[1])


def test_an_action_that_nobody_asked_for_is_not_confirmed_while_a_question_is_open(tasks: dict[str, Task]) -> None:
    answer = talk(tasks["2"], "Shall I cancel order #W4776164?")[1]
    assert not agrees(answer)
    assert "T-shirt" in answer


def test_a_question_does_not_keep_the_next_request_from_being_confirmed(tasks: dict[str, Task]) -> None:
    summary = (
        "Return Vacuum Cleaner, Headphones, Smart Watch of #W2378156, refund to credit_card_9513926. Confirm (yes/no)?"
    )
    said = talk(tasks["2"], summary, "Done. And there are 10 T-shirts.", "Anything else?")
    assert agrees(said[1])
    assert STOP in said[2]


def test_an_answer_given_early_need_not_be_asked_for(tasks: dict[str, Task]) -> None:
    summary = "Cancel #W5199551, no longer needed. Confirm (yes/no)?"
    said = talk(tasks["16"], f"You will get back $8,276.23 in total. {summary}", "Done.")
    assert agrees(said[1])
    assert not re.search("how much", " ".join(said), re.IGNORECASE)


def test_what_the_customer_words_vaguely_is_named_once_it_was_offered(tasks: dict[str, Task]) -> None:
    vague = talk(tasks["6"], "Confirm (yes/no)?", "Which options would you like?", "Which one do you prefer?")
    assert "silver" not in " ".join(vague)
    offer = "There is a silver lamp with low brightness and battery, and a black one with USB. Which one?"
    assert "battery" in talk(tasks["6"], "Confirm (yes/no)?", offer)[2]
    assert "silver" in talk(tasks["6"], "Confirm (yes/no)?", offer)[2]


def test_a_wrong_offer_is_corrected_without_naming_the_right_one(tasks: dict[str, Task]) -> None:
    wrong = "Exchange Desk Lamp of #W6390527 to color black, brightness low, power source AC adapter. Confirm (yes/no)?"
    answer = talk(tasks["6"], "Confirm (yes/no)?", wrong)[2]
    assert not agrees(answer)
    assert "battery" in answer.lower()
    assert "silver" not in answer


def test_an_address_that_is_not_to_be_said_is_never_said(tasks: dict[str, Task]) -> None:
    said = talk(tasks["33"], "It is $1093.34.", "I cannot cancel items.", *["What is the new address?"] * 3)
    assert "517 Lakeview" not in " ".join(said)
    right = "Change the default address to 517 Lakeview Drive, Suite 183, Seattle, WA, USA, 98195. Confirm (yes/no)?"
    assert agrees(talk(tasks["33"], "It is $1093.34.", "I cannot cancel items.", right)[3])


def test_what_is_remembered_wrongly_is_put_right_one_by_one(tasks: dict[str, Task]) -> None:
    ask = "What is the order id?"
    said = talk(tasks["46"], ask, f"I could not find that order. {ask}", f"That is not an order. {ask}")
    assert "9502126" in said[1]
    assert "9502127" in said[2]
    assert "W" in said[3]
    zips = talk(tasks["67"], *["I can't find you. Please give me your name and zip code."] * 3)
    assert [re.findall(r"\d{5}", text)[0] for text in zips[-3:]] != ["98187"] * 3
    assert "98187" in zips[-1]


@pytest.mark.parametrize("seed", range(3))
def test_a_customer_that_wants_a_human_agent_says_so_and_takes_one(tasks: dict[str, Task], seed: int) -> None:
    refused = "Refunds must go to the original payment method or a gift card, so I can't do that."
    said = talk(tasks["10"], refused, "Would you like me to transfer you to a human agent?", TRANSFERRED, seed=seed)
    assert "human" in said[1]
    assert agrees(said[2])
    assert STOP in said[3]


@pytest.mark.parametrize("name", ["0", "2", "10", "36", "55"])
def test_who_is_transferred_ends_the_conversation(tasks: dict[str, Task], name: str) -> None:
    assert STOP in talk(tasks[name], TRANSFERRED)[1]


def test_an_agent_that_reports_and_goes_on_in_one_breath_is_followed(tasks: dict[str, Task]) -> None:
    said = talk(
        tasks["113"],
        "Cancel #W5056519, ordered by mistake. Confirm (yes/no)?",
        "Done. Now I would cancel #W5995614, ordered by mistake. Shall I proceed?",
        "Both are cancelled.",
    )
    assert agrees(said[1])
    assert agrees(said[2])
    assert STOP in said[3]


@pytest.mark.parametrize("text", ["Hm.", "I will look into it.", "What a day."])
def test_three_useless_messages_end_every_story(tasks: dict[str, Task], text: str) -> None:
    open_questions = []
    for task in tasks.values():
        said = talk(task, *[text] * 12)
        assert any(STOP in words for words in said), task.id
        open_questions.append(STOP in said[3])
    assert any(open_questions)


def test_no_story_goes_on_for_ever_with_an_agent_that_only_asks(tasks: dict[str, Task]) -> None:
    ask = "Please give me your email, name, zip code, order id, items, options, payment method, reason and address."
    for task in tasks.values():
        assert any(STOP in words for words in talk(task, *[ask] * 60)), task.id


def test_no_story_goes_on_for_ever_with_an_agent_that_repeats_the_customer(tasks: dict[str, Task]) -> None:
    for task in tasks.values():
        customer = ScriptedUser(shop_database())
        words, count = customer.reset(task, seed=1).content, 0
        while STOP not in words:
            words, count = customer.respond(AgentMessage(words)).content, count + 1
            assert count < 60, task.id
