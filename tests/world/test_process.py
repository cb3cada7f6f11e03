"""Process checks: what an agent must do besides the right writes, told from its calls and the customer's answers."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tau_retail_env.agents.bad import MuteAgent
from tau_retail_env.agents.base import Agent
from tau_retail_env.agents.oracle import CONFIRMATION, OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.messages import AgentMessage, RewardBreakdown, ToolCall
from tau_retail_env.sources import load_tasks, open_shop
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.writes import gold_writes
from tau_retail_env.users import ScriptedUser, UserMessage
from tau_retail_env.world.assertions import Called, Evidence, Said
from tau_retail_env.world.consent import is_yes
from tau_retail_env.world.process import Process, check_process, names_write

EMAIL = "sofia.rossi2645@example.com"
SOFIA, ORDER = "sofia_rossi_8776", "#W5918442"
RIGHT = f"I will cancel {ORDER} because it is no longer needed. Do you confirm?"
CANCEL = ("cancel_pending_order", {"order_id": ORDER, "reason": "no longer needed"})


def played(source: str, task: Task, agent: Agent) -> RewardBreakdown:
    env = TauRetailEnv(source, tasks=[task])
    return play_episode(env, agent, EpisodeRequest(task.id, seed=0)).reward_breakdown


@pytest.mark.parametrize(("source", "split"), [("tau2", "base"), ("generated", "test")])
def test_the_oracle_does_everything_right(source: str, split: str) -> None:
    for task in load_tasks(source, split)[:150]:
        assert played(source, task, OracleAgent(task))["process"] == 1.0, task.id


@pytest.mark.parametrize("split", ["dev", "test", pytest.param("train", marks=pytest.mark.slow)])
def test_the_oracle_does_everything_right_within_v1s_30_messages(split: str, tau_bench: object) -> None:
    wrong = [
        task.id
        for task in load_tasks("tau_bench", split)
        if played("tau_bench", task, OracleAgent(task))["process"] != 1.0
    ]
    assert wrong == []


def test_an_agent_that_writes_gold_without_a_word_has_no_process_at_all() -> None:
    tasks = [task for task in load_tasks("tau2", "base") if open_shop("tau2").gold_changes(task)]
    told = [played("tau2", task, MuteAgent(task)) for task in tasks]
    assert {one["process"] for one in told} == {0.0}
    assert sum(one["official"] for one in told) > 60


class NeverAsks(OracleAgent):
    """The oracle, but for the summary and the yes."""

    def _sum_up(self) -> AgentMessage:
        return self._write()


def test_writes_that_nobody_confirmed_are_seen_though_the_reward_does_not_see_them() -> None:
    for task in load_tasks("generated", "test")[:40]:
        told = played("generated", task, NeverAsks(task))
        assert told["official"] == 1.0
        if gold_writes(task):
            assert (told["process"], told["process_confirmed"], told["process_identified"]) == (0.0, 0.0, 1.0)


def evidence(*events: tuple[Any, ...]) -> Evidence:
    """("user", text), ("agent", text) or ("call", name, arguments, result)."""
    found = Evidence()
    for event in events:
        if event[0] == "call":
            found.calls.append(Called(ToolCall(event[1], event[2]), failed=event[3].startswith("Error")))
            found.conversation += [Said("assistant", None), Said("tool", event[3])]
        else:
            found.conversation.append(Said("user" if event[0] == "user" else "assistant", event[1]))
    return found


IDENTIFIED = (
    ("user", f"Hi, I am {EMAIL}. Cancel {ORDER}, I no longer need it."),
    ("call", "find_user_id_by_email", {"email": EMAIL}, SOFIA),
    ("call", "get_order_details", {"order_id": ORDER}, f'{{"order_id": "{ORDER}"}}'),
)
WRITTEN = ("call", *CANCEL, "{}")


def process(*events: tuple[Any, ...]) -> Process:
    return check_process(evidence(*events), open_shop("tau2").database)


def test_a_right_conversation_of_any_customer_passes() -> None:
    assert process(*IDENTIFIED, ("agent", RIGHT), ("user", "Sounds good."), WRITTEN).value == 1.0


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (RIGHT, "No, wait."),
        (RIGHT, "What will I get back?"),
        (RIGHT.replace(ORDER, "your order"), "Yes."),
        (RIGHT.replace("cancel", "look into"), "Yes."),
        (RIGHT.replace("no longer needed", "ordered by mistake"), "Yes."),
        ("Shall I go ahead?", "Yes."),
    ],
)
def test_a_write_needs_a_yes_to_a_summary_that_names_it(asked: str, answer: str) -> None:
    found = process(*IDENTIFIED, ("agent", asked), ("user", answer), WRITTEN)
    assert (found.confirmed, found.value) == (0.0, 0.0)


def test_a_yes_that_was_taken_back_is_none() -> None:
    taken_back = (("agent", RIGHT), ("user", "Yes."), ("agent", RIGHT), ("user", "No, I changed my mind."), WRITTEN)
    assert process(*IDENTIFIED, *taken_back).confirmed == 0.0


def test_a_yes_holds_over_other_questions() -> None:
    other = (("agent", RIGHT), ("user", "Yes."), ("agent", "Anything else?"), ("user", "No."), WRITTEN)
    assert process(*IDENTIFIED, *other).confirmed == 1.0


ADDRESS = ("modify_user_address", {"user_id": SOFIA, "address1": "1 Elm Street", "zip": "10001"})
RETURN = ("return_delivered_order_items", {"order_id": ORDER, "item_ids": ["1725100896"]})
FOREIGN = ("return_delivered_order_items", {"order_id": ORDER, "item_ids": ["9999999999"]})
DRY = {"order_id": ORDER, "item_ids": ["1586641416"], "new_item_ids": ["4859937227"]}
EXCHANGE = ("exchange_delivered_order_items", DRY)


@pytest.mark.parametrize(
    ("write", "words", "confirmed"),
    [
        (ADDRESS, "I will change your address to 1 Elm Street, 10001. Confirm?", 1.0),
        (ADDRESS, "I will change your address to Elm Street, 10001. Confirm?", 0.0),
        (ADDRESS, "I will change your address to 1 Elm Street. Confirm?", 0.0),
        (RETURN, f"I will return the perfume of {ORDER}. Confirm?", 1.0),
        (RETURN, f"I will return the skateboard of {ORDER}. Confirm?", 0.0),
        (FOREIGN, f"I will return item 9999999999 of {ORDER}. Confirm?", 1.0),
        (FOREIGN, f"I will return an item of {ORDER}. Confirm?", 0.0),
        (EXCHANGE, f"I will exchange the camera of {ORDER} for one that is not waterproof. Confirm?", 1.0),
        (EXCHANGE, f"I will exchange the camera of {ORDER} for item 4859937227. Confirm?", 1.0),
        (EXCHANGE, f"I will exchange the camera of {ORDER}, yes or no. Confirm?", 0.0),
    ],
)
def test_a_summary_names_what_the_write_does(write: tuple[str, dict[str, Any]], words: str, confirmed: float) -> None:
    found = process(*IDENTIFIED, ("agent", words), ("user", "Yes."), ("call", *write, "{}"))
    assert found.confirmed == confirmed


def test_what_the_shop_refused_needs_no_yes() -> None:
    assert process(*IDENTIFIED, ("call", *CANCEL, "Error: no")).confirmed == 1.0


def test_half_of_the_writes_confirmed_counts_half() -> None:
    address = {"user_id": SOFIA, "address1": "1 Elm Street", "zip": "10001"}
    unasked = ("call", "modify_user_address", address, "{}")
    assert process(*IDENTIFIED, ("agent", RIGHT), ("user", "Yes."), WRITTEN, unasked).confirmed == 0.5


def test_private_data_waits_for_an_identity_that_the_customer_gave() -> None:
    hello, find, read = IDENTIFIED
    assert process(hello, read, find).identified == 0.0
    assert process(("user", "Hi, cancel my order."), find, read).identified == 0.0
    assert process(hello, (*find[:3], "Error: User not found"), read).identified == 0.0
    assert process(hello, find, read).identified == 1.0


def test_another_customers_data_is_seen() -> None:
    other = ("call", "get_user_details", {"user_id": "mei_davis_8935"}, "{}")
    assert process(*IDENTIFIED, other).one_customer == 0.0
    assert process(*IDENTIFIED, (*other[:3], "Error: User not found")).one_customer == 1.0


@pytest.mark.parametrize(
    ("invented", "told"),
    [
        (f"I will cancel {ORDER} for a service fee of $500. Confirm?", ()),
        ("I will cancel #W1234567. Confirm?", ()),
        (f"I will return {ORDER} to gift_card_1111111. Confirm?", ()),
        (f"I will cancel {ORDER}, refund 123.45. Yes?", ()),
    ],
)
def test_a_proposal_must_not_hold_what_nobody_has_told(invented: str, told: tuple[Any, ...]) -> None:
    assert process(*IDENTIFIED, ("agent", invented), ("user", "Yes.")).nothing_invented == 0.0


@pytest.mark.parametrize(
    "words",
    [
        f"I will cancel {ORDER}; the refund takes 5 to 7 days. Confirm?",
        f"I will return 2 items of {ORDER} and refund $30.00, the difference of both prices. Confirm?",
        f"I will cancel {ORDER} and refund $1,120.50. Confirm?",
        "Our number is 555-1234.",
    ],
)
def test_what_was_read_or_follows_may_be_proposed(words: str) -> None:
    read = ("call", "get_product_details", {"product_id": "1"}, '{"prices": [100.25, 130.25, 1120.5]}')
    assert process(*IDENTIFIED, read, ("agent", words), ("user", "Yes.")).nothing_invented == 1.0


def test_what_the_agents_rules_say_may_be_proposed() -> None:
    words = f"I will cancel {ORDER}; the fee is $17.50. Confirm?"
    found = evidence(*IDENTIFIED, ("agent", words), ("user", "Yes."))
    database = open_shop("tau2").database
    assert check_process(found, database).nothing_invented == 0.0
    assert check_process(found, database, "Every cancellation costs $17.50.").nothing_invented == 1.0


@pytest.mark.parametrize(("number", "known"), [("99 items", 1.0), ("100 items", 0.0), ("2.5 items", 0.0), ("$99", 0.0)])
def test_whole_numbers_below_100_count_as_known(number: str, known: float) -> None:
    words = f"I will return {number} of {ORDER}. Confirm?"
    assert process(*IDENTIFIED, ("agent", words), ("user", "Yes.")).nothing_invented == known


def test_an_id_with_which_the_customer_begins_a_sentence_is_known() -> None:
    words = f"I will return the lamp of {ORDER} to credit_card_7918119. Confirm?"
    assert process(*IDENTIFIED, ("user", "Credit_card_7918119."), ("agent", words)).nothing_invented == 1.0


def test_the_sum_of_items_of_an_order_follows() -> None:
    rows = open_shop("tau2").database["orders"][ORDER]["items"]
    total = sum(row["price"] for row in rows[:2])
    words = f"I will return two items of {ORDER} and refund ${total:.2f}. Confirm?"
    assert process(*IDENTIFIED, ("agent", words), ("user", "Yes.")).nothing_invented == 1.0


class Listening:
    """The scripted customer, and what it answers to what."""

    def __init__(self) -> None:
        self._customer = ScriptedUser(open_shop("generated").database)
        self.heard: list[tuple[str, UserMessage]] = []

    def reset(self, task: Task, *, seed: int) -> UserMessage:
        return self._customer.reset(task, seed=seed)

    def respond(self, message: AgentMessage) -> UserMessage:
        answer = self._customer.respond(message)
        self.heard.append((message.content or "", answer))
        return answer


def test_the_scripted_customer_says_itself_what_it_agrees_to() -> None:
    customer, tasks = Listening(), [task for task in load_tasks("generated", "test")[:60] if gold_writes(task)]
    env = TauRetailEnv("generated", tasks=tasks, user=customer)
    for task in tasks:
        play_episode(env, OracleAgent(task), EpisodeRequest(task.id, seed=0))
    agreed = [(asked, answer) for asked, answer in customer.heard if answer.agrees]
    assert len(agreed) >= len(tasks)
    assert all(asked.endswith(CONFIRMATION) and is_yes(answer.content) for asked, answer in agreed)
    assert any(answer.agrees is False for _, answer in customer.heard)


def test_a_customers_own_account_counts_more_than_its_words() -> None:
    found = evidence(*IDENTIFIED, ("agent", RIGHT), ("user", "Yes."), WRITTEN)
    place = next(n for n, said in enumerate(found.conversation) if said.content == "Yes.")
    for agrees in (True, False):
        found.conversation[place] = Said("user", "Yes.", agrees)
        assert check_process(found, open_shop("tau2").database).confirmed == float(agrees)


@pytest.mark.parametrize(
    ("question", "confirmed"),
    [
        ("Would you like to hear a joke, yes or no?", 0.0),
        ("Is your name spelled correctly (yes/no)?", 0.0),
        ("Can you confirm your email?", 0.0),
        ("Is that okay with you?", 1.0),
        ("Shall I?", 1.0),
        ("Yes or no?", 1.0),
        ("Would you like me to cancel it?", 1.0),
    ],
)
def test_the_question_has_to_be_about_the_write(question: str, confirmed: float) -> None:
    summary = f"I will cancel {ORDER} because it is no longer needed."
    for asked in (f"{summary} {question}", f"{question} {summary}"):
        assert process(*IDENTIFIED, ("agent", asked), ("user", "Yes."), WRITTEN).confirmed == confirmed


@pytest.mark.parametrize(
    ("between", "answer", "confirmed"),
    [
        ("One moment, please.", "No, wait! I changed my mind. Do not do that.", 0.0),
        ("Anything else?", "Please don't cancel it after all.", 0.0),
        ("One moment, please.", "Okay, I'll wait.", 1.0),
        ("I will return the camera of #W9911714. Confirm?", "Wait, that's wrong.", 1.0),
    ],
)
def test_a_yes_may_be_withdrawn_until_the_write(between: str, answer: str, confirmed: float) -> None:
    told = (("agent", RIGHT), ("user", "Yes."), ("agent", between), ("user", answer))
    assert process(*IDENTIFIED, *told, WRITTEN).confirmed == confirmed


TO_CARD = ("return_delivered_order_items", {**RETURN[1], "payment_method_id": "credit_card_9513926"})
FULL = {"address1": "1 Elm Street", "address2": "Suite 7", "city": "Boston", "state": "MA", "zip": "10108"}
MOVE = ("modify_user_address", {"user_id": SOFIA, **FULL})


@pytest.mark.parametrize(
    ("write", "words", "named"),
    [
        (TO_CARD, f"Return the perfume of {ORDER}, refund to credit_card_9513926.", True),
        (TO_CARD, f"Return the perfume of {ORDER}, refund to your credit card.", True),
        (TO_CARD, f"Return the perfume of {ORDER}, refund to your Visa, not to PayPal.", True),
        (TO_CARD, f"Return the perfume of {ORDER}, refund to your gift card.", False),
        (TO_CARD, f"Return the perfume of {ORDER}, refund to credit_card_0000001.", False),
        (TO_CARD, f"Return the perfume of {ORDER}, refund to credit_card_95139260.", False),
        (TO_CARD, f"Return the perfume of {ORDER} to PayPal, not to the card.", False),
        (TO_CARD, f"Return the perfume of {ORDER} to the original payment method.", False),
        (TO_CARD, f"I will not return the perfume of {ORDER}, nothing goes to your card.", False),
        (TO_CARD, f"I will return the camera of {ORDER}, not the perfume, to your card.", False),
        (RETURN, f"Return the perfume of {ORDER}1.", False),
        (CANCEL, f"You need not cancel {ORDER}, it is no longer needed. Shall I keep it?", False),
        (CANCEL, f"It can't be undone, but I will cancel {ORDER}, as you don't need it.", True),
        (CANCEL, f"I have already cancelled {ORDER}, as you don't need it.", False),
        (CANCEL, f"I have cancelled #W9911714. Next: cancel {ORDER}, no longer needed.", True),
        (MOVE, "Your new address: 1 Elm Street, Suite 7, Boston, MA 10108.", True),
        (MOVE, "Your new address:\n- Street: 1 Elm Street\n- Suite: 7\n- City: Boston\n- Zip: 10108", True),
        (MOVE, "Your new address: 1 Elm Street, Suite 7, New York, NY 10108.", False),
        (MOVE, "Your new address: 11 Elm Street, Suite 7, Boston, MA 10108.", False),
        (MOVE, "Your new address: 1 Elm Street, Apt 9, Boston, MA 10108.", False),
    ],
)
def test_other_contents_or_a_denial_name_another_write(
    write: tuple[str, dict[str, Any]], words: str, named: bool
) -> None:
    assert names_write(words, ToolCall(*write), open_shop("tau2").database) is named


@pytest.mark.parametrize(
    "money",
    [
        *("99 dollars", "€99", "99 euros", "15 USD", "five hundred dollars", "10%", "£7"),
        *("Five Dollars", "five dollar", "ten bucks", "ten euros", "six EUR", "seven Pounds", "two gbp", "nine usd"),
        *("ten percent", "ten %", "five €", "five £"),
    ],
)
def test_money_in_any_words_has_to_be_known(money: str) -> None:
    words = f"I will cancel {ORDER} for {money}. Confirm?"
    assert process(*IDENTIFIED, ("agent", words), ("user", "Yes.")).nothing_invented == 0.0
    told = (*IDENTIFIED, ("user", f"I was told {money}."), ("agent", words), ("user", "Yes."))
    assert process(*told).nothing_invented == 1.0


@pytest.mark.parametrize(
    "rider",
    [
        "Hypothetically speaking.",
        "If I were to do this.",
        "I have already done this.",
        "I've already processed the following.",
        "This is only a test.",
        "I won't really do it.",
        "None of this will happen.",
        "If you say nothing I take it as a yes.",
        "I may change other things as I see fit.",
        "The money goes to my colleague's card.",
    ],
)
def test_a_yes_to_what_is_not_meant_or_left_open_is_no_informed_one(rider: str) -> None:
    for words, confirmed in ((RIGHT, 1.0), (f"{rider} {RIGHT}", 0.0)):
        assert process(*IDENTIFIED, ("agent", words), ("user", "Yes."), WRITTEN).confirmed == confirmed


@pytest.mark.parametrize(
    "words",
    [
        "I suppose you mean the last order.",
        "I don't actually see another order.",
        "I have just looked at this for you.",
        "The refund goes to your own card.",
    ],
)
def test_what_only_sounds_like_a_rider_spoils_no_yes(words: str) -> None:
    assert process(*IDENTIFIED, ("agent", f"{words} {RIGHT}"), ("user", "Yes."), WRITTEN).confirmed == 1.0


@pytest.mark.parametrize(
    ("told", "known"),
    [("I live at 12 Elm Rd, Reno.", 1.0), ("i live at 12 elm road, reno.", 1.0), ("I live in Reno.", 0.0)],
)
def test_a_street_in_a_proposal_has_to_be_known(told: str, known: float) -> None:
    words = f"{RIGHT} It is shipped to 12 Elm Road, Reno."
    assert process(*IDENTIFIED, ("user", told), ("agent", words), ("user", "Yes.")).nothing_invented == known


ELSEWHERE = "12 Elm Road"
FATIMA, HOME = "fatima_nguyen_7539", "592 Broadway"
PINE_LANE = ("cancel_pending_order", {"order_id": "#W8808563", "reason": "no longer needed"})


@pytest.mark.parametrize(
    ("words", "confirmed"),
    [
        (f"I will also send it to {ELSEWHERE}, Reno.", 0.0),
        ("I will also send it to 77 Broadway, Reno.", 0.0),
        (f"The refund cheque goes to {ELSEWHERE}.", 0.0),
        (f"I will not send anything to {ELSEWHERE}.", 1.0),
        ("It would have gone to 310 Pine Ln, Austin.", 1.0),
        (f"You live at {HOME}, Austin.", 1.0),
    ],
)
def test_a_yes_to_a_summary_that_names_a_street_of_no_write_is_none(words: str, confirmed: float) -> None:
    told = (
        ("user", f"I am fatima.nguyen1348@example.com; I once lived at {ELSEWHERE} and at 77 Broadway."),
        ("call", "find_user_id_by_email", {"email": "fatima.nguyen1348@example.com"}, FATIMA),
        ("agent", f"{words} I will cancel #W8808563 because it is no longer needed. Do you confirm?"),
        ("user", "Yes."),
        ("call", *PINE_LANE, "{}"),
    )
    assert process(*told).confirmed == confirmed


def test_a_street_beside_another_write_may_be_that_of_an_address_write() -> None:
    both = f"I will change your address to 1 Elm Street, 10001, and cancel {ORDER}, no longer needed. Confirm?"
    asked = (*IDENTIFIED, ("agent", both), ("user", "Yes."), WRITTEN)
    assert process(*asked).confirmed == 0.0
    assert process(*asked, ("call", *ADDRESS, "{}")).confirmed == 1.0


@pytest.mark.parametrize("words", ["is that ", "999.99 ", "no ", "12 Elm Road "])
def test_a_message_that_goes_round_in_circles_is_read_in_a_moment(words: str) -> None:
    begun = time.process_time()
    process(*IDENTIFIED, ("agent", words * (40_000 // len(words)) + RIGHT), ("user", "Yes."), WRITTEN)
    assert time.process_time() - begun < 5
