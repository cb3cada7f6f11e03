"""Summaries held against requests: what is right in them, and what is not."""

from __future__ import annotations

import pytest

from tau_retail_env.sources import load_tasks
from tau_retail_env.sources.generated import generate_task
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.users.scripted.agenda import Agenda, build_agenda
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.request import PROSE, Request
from tau_retail_env.users.scripted.review import Review, offers, relates, review


@pytest.fixture(scope="module")
def agendas() -> dict[str, Agenda]:
    return {task.id: build_agenda(task, shop_database()) for task in load_tasks("tau2", "base")}


def first(agendas: dict[str, Agenda], task_id: str) -> tuple[Request, Agenda]:
    """The first request of a task that a gold write grants."""
    agenda = agendas[task_id]
    return next(
        request for request in agenda.requests if not request.is_impossible and request.kind not in PROSE
    ), agenda


@pytest.mark.parametrize(
    ("task_id", "text"),
    [
        ("tau2/16", "Cancel #W5199551, reason: no longer needed."),
        ("tau2/2", "Return Vacuum Cleaner, Headphones, Smart Watch of #W2378156, refund to credit_card_9513926."),
        ("tau2/2", "I will return the vacuum cleaner, headphones and watch (order W2378156) to your credit card."),
        ("tau2/2", "Return 1. **Vacuum Cleaner** 2. **Headphones** 3. **Smart Watch**; refund to the original method."),
        (
            "tau2/0",
            "Exchange in #W2378156: Mechanical Keyboard (linear, RGB, full size) -> clicky, no backlight, full size; "
            "Smart Thermostat (Apple HomeKit, black) -> Google Assistant, black. Difference on credit_card_9513926.",
        ),
        ("tau2/17", "Change the address of #W8665881 to 123 Elm Street, Suite 641, Austin, TX 78712."),
        ("tau2/33", "Your default address becomes 517 Lakeview Drive, Suite 183, Seattle, WA, USA, 98195."),
        ("tau2/40", "Change payment of #W4923227 to credit_card_8897086."),
    ],
)
def test_a_right_summary_matches(agendas: dict[str, Agenda], task_id: str, text: str) -> None:
    request, agenda = first(agendas, task_id)
    verdict = review(text, request, agenda)
    assert verdict.matches, verdict
    assert verdict.right_kind


@pytest.mark.parametrize(
    ("task_id", "text", "wrong"),
    [
        ("tau2/16", "Cancel #W8665881, reason: no longer needed.", Fact.ORDER),
        ("tau2/16", "Cancel #W5199551 and #W9389413, reason: no longer needed.", Fact.ORDER),
        ("tau2/16", "Cancel #W5199551, reason: ordered by mistake.", Fact.REASON),
        ("tau2/2", "Return Vacuum Cleaner, Headphones of #W2378156, refund to credit_card_9513926.", Fact.ITEMS),
        (
            "tau2/2",
            "Return Vacuum Cleaner, Headphones, Smart Watch, Mechanical Keyboard of #W2378156 to credit_card_9513926.",
            Fact.ITEMS,
        ),
        ("tau2/2", "Return all items of #W2378156, refund to credit_card_9513926.", Fact.ITEMS),
        (
            "tau2/2",
            "Return Vacuum Cleaner, Headphones, Smart Watch, Perfume of #W2378156, refund to credit_card_9513926.",
            Fact.ITEMS,
        ),
        ("tau2/2", "Return Vacuum Cleaner, Headphones, Smart Watch of #W2378156 to gift_card_1234567.", Fact.PAYMENT),
        ("tau2/2", "Return Vacuum Cleaner, Headphones, Smart Watch of #W2378156 to your gift card.", Fact.PAYMENT),
        ("tau2/0", "Exchange in #W2378156: Mechanical Keyboard to tactile; Smart Thermostat to Google.", Fact.OPTIONS),
        ("tau2/17", "Change the address of #W8665881 to 123 Elm Street, Suite 640, Austin, TX 78712.", Fact.ADDRESS),
        ("tau2/17", "Change the address of #W8665881 to 12 Oak Street, Suite 641, Austin, TX 78701.", Fact.ADDRESS),
    ],
)
def test_a_wrong_fact_is_noticed(agendas: dict[str, Agenda], task_id: str, text: str, wrong: Fact) -> None:
    request, agenda = first(agendas, task_id)
    assert review(text, request, agenda).wrong == {wrong}


@pytest.mark.parametrize(
    ("task_id", "text"),
    [
        ("tau2/2", "Exchange Vacuum Cleaner, Headphones, Smart Watch of #W2378156."),
        ("tau2/16", "Return everything in #W5199551."),
        ("tau2/17", "Cancel #W8665881."),
        ("tau2/33", "Change the address of #W1845024 to 517 Lakeview Drive, Suite 183, Seattle, WA, USA, 98195."),
    ],
)
def test_another_kind_of_action_is_noticed(agendas: dict[str, Agenda], task_id: str, text: str) -> None:
    request, agenda = first(agendas, task_id)
    assert review(text, request, agenda).wrong_kind


def test_a_namesake_in_the_same_order_is_noticed(agendas: dict[str, Agenda]) -> None:
    request, agenda = first(agendas, "tau2/45")
    wanted, other = request.items[0], next(item for item in request.other_items if item.product == "Vacuum Cleaner")
    ours, theirs = ", ".join(wanted.options.values()), ", ".join(other.options.values())
    new = ", ".join(wanted.changes.values())
    assert review(f"Exchange Vacuum Cleaner ({ours}) of #W9502127 to {new}.", request, agenda).matches
    assert Fact.ITEMS in review(f"Exchange Vacuum Cleaner ({theirs}) of #W9502127.", request, agenda).wrong


@pytest.mark.parametrize(
    ("besides", "unasked"),
    [
        ("There is a $500 service fee.", ("a fee",)),
        ("You will be charged a fee of $5.", ("a fee",)),
        ("The refund goes to my own account.", ("money for yourself",)),
        ("There is no fee.", ()),
        ("You won't be charged any restocking fee.", ()),
        ("The refund goes to your original payment method.", ()),
    ],
)
def test_a_cost_besides_is_noticed(agendas: dict[str, Agenda], besides: str, unasked: tuple[str, ...]) -> None:
    request, agenda = first(agendas, "tau2/16")
    assert review(f"Cancel #W5199551, reason: no longer needed. {besides}", request, agenda).unasked == unasked


def test_small_talk_says_nothing_of_a_request(agendas: dict[str, Agenda]) -> None:
    request, agenda = first(agendas, "tau2/16")
    assert not review("Thanks for your patience, shall I?", request, agenda).says_something


def test_the_profiles_address_is_not_an_orders(agendas: dict[str, Agenda]) -> None:
    request, agenda = first(agendas, "tau2/17")
    verdict = review("Change default address to 123 Elm Street, Suite 641, Austin, TX 78712.", request, agenda)
    assert not verdict.right_kind
    assert verdict.wrong_kind


def test_an_option_value_is_not_another_item_of_the_order() -> None:
    agenda = build_agenda(generate_task("test", 2277), shop_database())
    text = "Modify in #W4720269: Backpack to material polyester, compartment laptop. Payment: paypal_4820484."
    assert "Laptop" in {item.product for item in agenda.requests[0].other_items}
    assert review(text, agenda.requests[0], agenda).matches


def test_namesakes_that_both_change_do_not_contradict_each_other(agendas: dict[str, Agenda]) -> None:
    agenda = agendas["tau2/105"]
    wanted = agenda.requests[0]
    assert len({item.product for item in wanted.items}) == 1
    text = "Exchange the Tea Kettle for ceramic, gas, and the other Tea Kettle for 1.5 liters, gas (order #W4316152)."
    assert review(text, wanted, agenda).matches


def test_an_offer_names_every_option_that_changes(agendas: dict[str, Agenda]) -> None:
    request, _ = first(agendas, "tau2/6")
    assert offers("There is a silver one with low brightness and a battery.", request)
    assert not offers("There are ones with low brightness.", request)


def test_a_text_relates_to_a_wish_when_it_names_two_things_of_it() -> None:
    wish = "Can I split the payment with another card?"
    assert relates("I will split the payment over both cards. Confirm?", wish)
    assert not relates("Shall I proceed?", wish)


@pytest.mark.parametrize(
    ("right", "wrong", "right_kind", "covers"),
    [
        ({Fact.ORDER}, set(), True, True),
        (set(), set(), True, False),
        ({Fact.ORDER}, set(), False, False),
        ({Fact.ORDER}, {Fact.ITEMS}, True, False),
    ],
)
def test_a_text_covers_facts_that_it_states_with_their_kind_and_nothing_wrong(
    right: set[Fact], wrong: set[Fact], right_kind: bool, covers: bool
) -> None:
    verdict = Review(right=frozenset(right), wrong=frozenset(wrong), right_kind=right_kind, wrong_kind=False)
    assert verdict.covers([Fact.ORDER]) is covers


@pytest.mark.parametrize(
    ("payment", "is_right"),
    [
        ("your card ending in 8484", True),
        ("your Mastercard", True),
        ("your Mastercard ending in 8484", True),
        ("the card ending in 6791", False),
        ("your Visa", False),
        ("your PayPal account", False),
    ],
)
def test_a_payment_method_may_be_described(agendas: dict[str, Agenda], payment: str, is_right: bool) -> None:
    request, agenda = first(agendas, "tau2/51")
    verdict = review(f"I will return the items of {request.order_id} and refund {payment}.", request, agenda)
    assert (Fact.PAYMENT in verdict.right, Fact.PAYMENT in verdict.wrong) == (is_right, not is_right)


@pytest.mark.parametrize(
    ("words", "is_right"),
    [("waterproof ones", True), ("ones that are not waterproof", False), ("ones without waterproofing", False)],
)
def test_an_option_that_is_wanted_must_not_be_denied(agendas: dict[str, Agenda], words: str, is_right: bool) -> None:
    request, agenda = first(agendas, "tau2/27")
    verdict = review(f"Exchange the Hiking Boots of #W7181492 for {words}.", request, agenda)
    assert (Fact.OPTIONS in verdict.right) is is_right


def test_the_value_so_far_may_stand_behind_an_options_name(agendas: dict[str, Agenda]) -> None:
    request, agenda = first(agendas, "tau2/0")
    keyboard = (
        "Exchange in #W2378156: the Mechanical Keyboard with switch type linear becomes a clicky one, no backlight; "
    )
    thermostat = "the Smart Thermostat becomes compatible with Google Assistant. Difference on credit_card_9513926."
    assert review(keyboard + thermostat, request, agenda).matches
    assert not review(keyboard.replace("linear", "tactile") + thermostat, request, agenda).matches
