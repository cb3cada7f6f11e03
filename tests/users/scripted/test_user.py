"""How the scripted customer behaves in a conversation."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from tau_retail_env.errors import EpisodeStateError
from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import Action, Scenario, Task
from tau_retail_env.users import STOP, ScriptedUser
from tau_retail_env.users.scripted.phrases import PHRASES, phrasings

ORDER = "#W2378156"
RETURN = Action(
    "return_delivered_order_items",
    {"order_id": ORDER, "item_ids": ["4602305039", "4202497723"], "payment_method_id": "credit_card_9513926"},
)
EXCHANGE = Action(
    "exchange_delivered_order_items",
    {
        "order_id": ORDER,
        "item_ids": ["4983901480"],
        "new_item_ids": ["7747408585"],
        "payment_method_id": "credit_card_9513926",
    },
)
CANCEL = Action("cancel_pending_order", {"order_id": "#W4776164", "reason": "no longer needed"})
OTHER_CANCEL = Action("cancel_pending_order", {"order_id": "#W6247578", "reason": "ordered by mistake"})
ADDRESS = Action(
    "modify_pending_order_address",
    {
        "order_id": "#W4776164",
        "address1": "5 Oak Street",
        "address2": "Suite 7",
        "city": "Austin",
        "state": "TX",
        "country": "USA",
        "zip": "78701",
    },
)
PAYMENT = Action("modify_pending_order_payment", {"order_id": "#W4776164", "payment_method_id": "credit_card_9513926"})


POLITE_AGENT = [
    "Hello! I'd be glad to help you with your return today. 😊 For security purposes, could you please verify your "
    "identity by providing either the **email address** on your account, or your **full name and zip code**?",
    "Thank you, Yusuf! I've successfully verified your account. Could you please tell me:\n\n1. Which order is it? "
    "(the order ID starts with #W)\n2. Which items would you like to return?\n3. How would you like to receive your "
    "refund?",
    f"Thank you for providing those details! Here's what I have:\n\n**Order:** {ORDER}\n\n**Items to return:**\n"
    "- Vacuum Cleaner (robotic, bagged, pet hair removal) - $561.05\n- Headphones (in-ear, wireless, blue) - "
    "$285.94\n\n**Refund:** your credit card (credit_card_9513926)\n\nPlease note that I can't change the return "
    'once it is submitted. Would you like me to proceed? Please reply with "yes" to confirm.',
    "Your return request has been submitted successfully! You'll receive an email shortly with instructions on how "
    "to return the items. Is there anything else I can help you with today?",
]


def task_of(*actions: Action, split: str = "train", name: str = "1", unknown: str | None = None) -> Task:
    scenario = Scenario(known_info="You are Yusuf Rossi in zip code 19122.", unknown_info=unknown)
    instruction = f"You know {ids_of(*actions)}."
    return Task(
        f"generated/{split}/{name}",
        "generated",
        "retail",
        split,
        instruction,
        actions,
        (),
        "yusuf_rossi_9620",
        scenario,
    )


def ids_of(*actions: Action) -> str:
    """The ids of orders and payment methods in some actions."""
    given = [action.arguments.get(name) for action in actions for name in ("order_id", "payment_method_id")]
    return ", ".join(each for each in given if each)


def talk(task: Task, texts: Sequence[str], *, seed: int = 0, phrasings: str = "auto") -> list[str]:
    """What the customer says, from its first words on, to an agent that says these texts."""
    customer = ScriptedUser(shop_database(), phrasings=phrasings)
    said = [customer.reset(task, seed=seed).content]
    for text in texts:
        message = customer.respond(AgentMessage(text))
        assert (message.stop == STOP) == (STOP in message.content)
        said.append(message.content)
    return said


def agrees(text: str) -> bool:
    return bool(re.search(r"\byes\b", text, re.IGNORECASE)) and STOP not in text


def test_the_first_words_greet_ask_and_never_stop() -> None:
    openings = [talk(task_of(RETURN, CANCEL), [], seed=seed)[0] for seed in range(60)]
    assert all(STOP not in opening for opening in openings)
    assert all(re.search(r"return|send back", opening, re.IGNORECASE) for opening in openings)
    assert {"19122" in opening for opening in openings} == {True, False}
    assert {ORDER in opening for opening in openings} == {True, False}
    assert {"credit_card_9513926" in opening for opening in openings} == {True, False}


def test_same_task_and_seed_same_words_and_other_seeds_others() -> None:
    texts = ["Your email?", "Which order and which items?", "Return Headphones. Confirm?", "Done."]
    assert talk(task_of(RETURN), texts, seed=3) == talk(task_of(RETURN), texts, seed=3)
    assert len({tuple(talk(task_of(RETURN), texts, seed=seed)) for seed in range(10)}) == 10


@pytest.mark.parametrize(
    ("action", "question", "fact"),
    [
        (RETURN, "What is your zip code and your name?", "19122"),
        (RETURN, "What is your zip code and your name?", "Yusuf Rossi"),
        (RETURN, "Which order is it?", ORDER),
        (RETURN, "Which items would you like to return?", "Headphones"),
        (RETURN, "Where should the refund go?", "credit_card_9513926"),
        (CANCEL, "Why do you want to cancel?", "need"),
        (OTHER_CANCEL, "What is the reason (no longer needed or ordered by mistake)?", "mistake"),
        (EXCHANGE, "What options would you like instead?", "Google Assistant"),
        (ADDRESS, "What is the new address?", "5 Oak Street, Suite 7, Austin, TX, USA, 78701"),
        (PAYMENT, "Which payment method would you like to use?", "credit_card_9513926"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_fact_that_is_asked_for_is_given(action: Action, question: str, fact: str, seed: int) -> None:
    assert fact in talk(task_of(action), [question], seed=seed)[1]


def test_several_facts_asked_at_once_are_answered_at_once() -> None:
    answer = talk(
        task_of(RETURN), ["Please provide your name and zip, the order id, the items and the refund method."]
    )[1]
    for fact in ("Yusuf Rossi", "19122", ORDER, "Vacuum Cleaner", "Headphones", "credit_card_9513926"):
        assert fact in answer


@pytest.mark.parametrize("seed", range(10))
def test_what_it_does_not_remember_it_says_so_and_invents_nothing(seed: int) -> None:
    answer = talk(task_of(CANCEL, unknown="You do not remember your email address."), ["Your email?"], seed=seed)[1]
    assert "email" in answer
    assert "@" not in answer
    assert "19122" in answer


def test_it_tells_no_user_id_that_it_was_not_told() -> None:
    answer = talk(task_of(CANCEL), ["What is your user id?"])[1]
    assert "yusuf_rossi_9620" not in answer
    assert "user id" in answer


@pytest.mark.parametrize(
    ("action", "summary"),
    [
        (RETURN, f"Return Vacuum Cleaner, Headphones of {ORDER}, refund to credit_card_9513926. Confirm (yes/no)?"),
        (EXCHANGE, f"Exchange the thermostat of {ORDER} for Google Assistant, paid by credit_card_9513926. Correct?"),
        (CANCEL, "Cancel #W4776164 because it is no longer needed: shall I proceed?"),
        (ADDRESS, "Ship #W4776164 to 5 Oak Street, Suite 7, Austin, TX 78701? Do you confirm?"),
        (PAYMENT, "Pay #W4776164 with credit_card_9513926 from now on. Is this right?"),
    ],
)
def test_a_right_summary_gets_a_yes(action: Action, summary: str) -> None:
    assert agrees(talk(task_of(action), [summary])[1])


@pytest.mark.parametrize(
    ("action", "summary", "right"),
    [
        (CANCEL, "Cancel #W6247578, no longer needed. Confirm (yes/no)?", "#W4776164"),
        (CANCEL, "Cancel #W4776164, ordered by mistake. Confirm (yes/no)?", "need"),
        (CANCEL, "Return the items of #W4776164. Confirm (yes/no)?", "cancel"),
        (RETURN, f"Return Headphones of {ORDER} to credit_card_9513926. Confirm (yes/no)?", "Vacuum Cleaner"),
        (RETURN, f"Return Vacuum Cleaner, Headphones, Smart Watch of {ORDER}. Confirm (yes/no)?", "Headphones"),
        (RETURN, f"Return Vacuum Cleaner, Headphones of {ORDER} to gift_card_1. Confirm?", "credit_card_9513926"),
        (EXCHANGE, f"Exchange Smart Thermostat of {ORDER} for Amazon Alexa. Confirm (yes/no)?", "Google Assistant"),
        (ADDRESS, "Change address of #W4776164 to 6 Elm Street, Austin, TX 78702. Confirm (yes/no)?", "5 Oak Street"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_summary_is_corrected_by_what_is_right(action: Action, summary: str, right: str, seed: int) -> None:
    answer = talk(task_of(action), [summary], seed=seed)[1]
    assert not agrees(answer)
    assert right in answer


def test_a_yes_to_a_summary_that_leaves_out_what_was_never_told_tells_it() -> None:
    customer = ScriptedUser(shop_database())
    seed = next(s for s in range(50) if "credit_card" not in customer.reset(task_of(RETURN), seed=s).content)
    answer = talk(task_of(RETURN), [f"Return Vacuum Cleaner and Headphones of {ORDER}. Confirm?"], seed=seed)[1]
    assert agrees(answer)
    assert "credit_card_9513926" in answer


def test_a_bare_request_for_a_yes_gets_none() -> None:
    assert not agrees(talk(task_of(CANCEL), ["Confirm?"])[1])


def test_requests_come_one_after_another_and_then_goodbye() -> None:
    said = talk(
        task_of(CANCEL, RETURN),
        [
            "Cancel #W4776164, no longer needed. Confirm (yes/no)?",
            "Done. Anything else?",
            f"Return Vacuum Cleaner and Headphones of {ORDER} to credit_card_9513926. Confirm (yes/no)?",
            "Done. Anything else?",
        ],
    )
    assert "return" not in said[0].lower()
    assert agrees(said[1])
    assert re.search(r"return|send back", said[2], re.IGNORECASE)
    assert agrees(said[3])
    assert STOP in said[4]


def test_one_yes_covers_several_right_summaries() -> None:
    said = talk(
        task_of(CANCEL, OTHER_CANCEL),
        [
            "1. Cancel #W4776164 (no longer needed)\n2. Cancel #W6247578 (ordered by mistake)\nConfirm (yes/no)?",
            "Both orders have been cancelled.",
        ],
    )
    assert agrees(said[1])
    assert STOP in said[2]


def test_what_is_not_done_yet_of_two_confirmed_requests_stays_wanted() -> None:
    said = talk(
        task_of(CANCEL, OTHER_CANCEL),
        [
            "1. Cancel #W4776164 (no longer needed)\n2. Cancel #W6247578 (ordered by mistake)\nConfirm (yes/no)?",
            "#W4776164 has been cancelled. Do you confirm the other cancellation, too (ordered by mistake, yes/no)?",
            "#W6247578 has been cancelled.",
        ],
    )
    assert agrees(said[1])
    assert "#W6247578" in said[2] and STOP not in said[2]
    assert STOP in said[3]


@pytest.mark.parametrize(
    "report",
    [
        "#W4776164 has been cancelled. Now I will cancel #W6247578 (ordered by mistake). Confirm (yes/no)?",
        "#W4776164 has been cancelled, and I will now cancel #W6247578 (ordered by mistake). Confirm (yes/no)?",
        "Done. Next is #W6247578: cancel it (ordered by mistake). Confirm (yes/no)?",
    ],
)
def test_of_two_confirmed_requests_the_one_that_is_proposed_again_is_not_done(report: str) -> None:
    both = "1. Cancel #W4776164 (no longer needed)\n2. Cancel #W6247578 (ordered by mistake)\nConfirm (yes/no)?"
    said = talk(task_of(CANCEL, OTHER_CANCEL), [both, report, "#W6247578 has been cancelled."])
    assert agrees(said[1])
    assert STOP not in said[2] and agrees(said[2])
    assert STOP in said[3]


def test_a_promise_is_waited_for_after_the_yes() -> None:
    summary = "Cancel #W4776164, no longer needed. Confirm (yes/no)?"
    said = talk(task_of(CANCEL), [summary, "Thank you, I will cancel it now, one moment please.", "It is cancelled."])
    assert STOP not in said[2]
    assert STOP in said[3]


def test_what_is_done_without_asking_is_accepted_if_it_matches_and_corrected_otherwise() -> None:
    assert STOP in talk(task_of(CANCEL), ["Order #W4776164 has been cancelled."])[1]
    answer = talk(task_of(CANCEL), ["Order #W6247578 has been cancelled."])[1]
    assert STOP not in answer
    assert "#W4776164" in answer


def test_a_refused_request_is_let_go() -> None:
    said = talk(
        task_of(CANCEL, RETURN), ["I'm sorry, I cannot cancel this order. Anything else?", "That is impossible."]
    )
    assert re.search(r"return|send back", said[1], re.IGNORECASE)
    assert STOP in said[2]


def test_a_transfer_counts_as_a_refusal() -> None:
    assert STOP in talk(task_of(CANCEL), ["YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON."])[1]


def test_three_useless_messages_in_a_row_end_it_and_a_useful_one_starts_the_count_again() -> None:
    said = talk(task_of(CANCEL), ["hm", "la la la", "Which order?", "hm", "What a day.", "hm"])
    assert [STOP in text for text in said] == [False, False, False, False, False, False, True]


def test_a_question_repeated_forever_ends_it_too() -> None:
    said = talk(task_of(CANCEL), ["What is your name and zip code?"] * 8)
    assert STOP in said[-1]


def test_a_summary_that_stays_wrong_ends_it_too() -> None:
    said = talk(task_of(CANCEL), ["Cancel #W6247578. Confirm (yes/no)?"] * 4)
    assert [STOP in text for text in said] == [False, False, False, False, True]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n",
        "a" * 100_000,
        "which " * 20_000,
        "#W" * 50_000,
        "Confirm? " * 12_000,
        "\u202eنعم؟ 🤖 \x00 ﷽" * 5_000,
        "{" * 99_999,
    ],
)
def test_any_text_is_answered(text: str) -> None:
    answer = talk(task_of(RETURN, CANCEL), [text, text, text, text])
    assert all(answer)


def test_a_polite_agent_of_many_words_gets_the_same_customer() -> None:
    said = talk(task_of(RETURN), POLITE_AGENT)
    assert "19122" in said[1]
    assert all(fact in said[2] for fact in (ORDER, "Vacuum Cleaner", "Headphones", "credit_card_9513926"))
    assert agrees(said[3])
    assert STOP in said[4]


def test_speaking_before_an_episode_is_refused() -> None:
    with pytest.raises(EpisodeStateError, match="reset"):
        ScriptedUser(shop_database()).respond(AgentMessage("Hello?"))


def spoken(portion: str, split: str) -> str:
    """Many words of many customers, one sentence a line."""
    tasks = [task_of(action, split=split, name=str(n)) for n, action in enumerate((RETURN, CANCEL, ADDRESS, EXCHANGE))]
    script = [
        "hm",
        "Your name and zip, order id, items, options, payment method, reason and address?",
        "No way, I cannot.",
    ]
    said = [talk(task, script, seed=seed, phrasings=portion) for task in tasks for seed in range(30)]
    return "\n".join(text for texts in said for text in texts)


def telltale(act: str, portion: str) -> set[str]:
    """Phrasings of an act that can be recognised in running text and are in no other portion."""
    foreign = "\n".join(
        line for lines in PHRASES for line in phrasings(lines, "all") if line not in phrasings(lines, portion)
    )
    return {line for line in phrasings(act, portion) if "{" not in line and line.rstrip(".!") not in foreign}


@pytest.mark.parametrize(
    ("portion", "split", "expected"),
    [
        ("train", "test", "train"),
        ("held_out", "train", "held_out"),
        ("auto", "test", "held_out"),
        ("auto", "train", "train"),
        ("auto", "train2_fit", "train_fit"),
        ("auto", "train_dev", "train_dev"),
    ],
)
def test_no_two_of_fit_dev_and_test_share_a_phrasing(portion: str, split: str, expected: str) -> None:
    text = spoken(portion, split)
    acts = ("hello", "impatience", "resignation", "goodbye")
    heard = {
        part
        for part in ("train_fit", "train_dev", "held_out")
        for act in acts
        if any(line in text for line in telltale(act, part))
    }
    assert heard == ({"train_fit", "train_dev"} if expected == "train" else {expected})


def test_held_out_wording_differs_in_sentences_with_slots_too() -> None:
    assert not set(spoken("train", "train").split("\n")) & set(spoken("held_out", "train").split("\n"))


def test_no_internal_id_leaves_the_customers_mouth() -> None:
    script = [
        "What is your user id, the item ids and the product ids?",
        "Which items, new options, order id, payment method, address?",
        "Return 1234567890 of #W1. Confirm (yes/no)?",
        "Cancel it, shall I?",
        "I cannot do that.",
        "Done.",
    ]
    shop = shop_database()
    users = set(shop["users"])
    for task in [*load_tasks("generated", "train")[:150], *load_tasks("tau2", "base")]:
        text = " ".join(talk(task, script, seed=1))
        told = set(re.findall(r"\d{10}", task.instruction))
        assert set(re.findall(r"(?<![\d_])\d{10}(?!\d)", text)) <= told, text
        named = users & set(re.findall(r"\b[a-z]+_[a-z]+_\d+\b", text))
        assert all(user_id in (task.scenario.known_info or "") for user_id in named), text
