"""What the scripted customer hears in an agent's words, terse or polite."""

from __future__ import annotations

import pytest

from tau_retail_env.users.scripted.listening import HEARD_CHARACTERS, Fact, listen

ASKING = [
    ("Email?", {Fact.EMAIL}),
    ("Please give me your email, or your name and zip code.", {Fact.EMAIL, Fact.NAME, Fact.ZIP}),
    ("order id and reason please?", {Fact.ORDER, Fact.REASON}),
    ("Please give me the items, the new options and the payment method.", {Fact.ITEMS, Fact.OPTIONS, Fact.PAYMENT}),
    ("Please give me the full new address.", {Fact.ADDRESS}),
    ("I need the order number.", {Fact.ORDER}),
    (
        "I'd be happy to help you with that exchange! To get started, I need to verify your identity. Could you please "
        "provide either:\n\n1. Your email address on file, or\n2. Your first and last name along with your zip code?",
        {Fact.EMAIL, Fact.NAME, Fact.ZIP},
    ),
    (
        "Thank you, Yusuf! I've found your account. To proceed with the return, could you please provide the following "
        "information:\n\n- **Order ID** for the items you wish to return\n- **Item(s)** you would like to return\n"
        "- **Refund method** (original payment method or a gift card)",
        {Fact.ORDER, Fact.ITEMS, Fact.PAYMENT},
    ),
    (
        "I've located your order #W2378156. Before I cancel it, could you let me know the reason for the cancellation? "
        'It must be either "no longer needed" or "ordered by mistake".',
        {Fact.REASON},
    ),
    (
        "Thanks! Which payment method would you like to use for the price difference? You have:\n"
        "- PayPal (paypal_4751854)\n- Visa ending in 1234 (credit_card_9513926)",
        {Fact.PAYMENT},
    ),
    ("Sure! Please tell me the new shipping address (street, city, state, zip code, and country).", {Fact.ADDRESS}),
    ("What options would you like for the new T-Shirt? Available: blue/M/cotton, red/L/polyester.", {Fact.OPTIONS}),
    ("I found #W2378156 and #W4776164. Which one would you like to return?", {Fact.ORDER, Fact.ITEMS}),
    ("Hello! Could you confirm your full name and zip code?", {Fact.NAME, Fact.ZIP}),
    ("Would you like to return all of the items or only some of them?", {Fact.ITEMS}),
    (
        "I'm sorry, but I was unable to find an account with that email. Could you double-check it, or give me your "
        "name and zip code instead?",
        {Fact.NAME, Fact.ZIP},
    ),
    (
        "Which items do you want to return from order #W1234567, and to which payment method should the refund go?",
        {Fact.ITEMS, Fact.PAYMENT},
    ),
]
CONFIRMING = [
    "Cancel #W2378156, no longer needed. Confirm (yes/no)?",
    "Return Tea Kettle of #W2378156? yes/no",
    "Here is a summary of the cancellation:\n\n- **Order:** #W2378156\n- **Reason:** No longer needed\n- **Refund:** "
    "$123.45 to your original payment method (PayPal) within 5-7 business days\n\nDo you confirm that you'd like to "
    "proceed? (yes/no)",
    "I found the order. You want to return:\n1. Tea Kettle\n2. Headphones\n\nThe refund of $300.20 will go to your "
    "PayPal account (paypal_4751854). You'll receive an email with instructions. Would you like me to proceed with "
    "this return?",
    "Just to confirm, you would like to change the shipping address of order #W5270061 to 159 Hickory Lane, Suite 995, "
    "Charlotte, NC, 28243, USA. Is that correct?",
    "Please confirm the following details:\nOrder: #W2378156\nItems: Tea Kettle\nPayment method: paypal_4751854",
    "Great choice! The new item (black, 10 inch) costs $40.10, so you'll be refunded $5.20 to gift_card_1234567. Items "
    "can only be modified once, so make sure all items are included. Shall I go ahead with the modification? Please "
    "reply 'yes' to confirm.",
    "The order #W2378156 is pending and can be cancelled. Would you like me to cancel it with the reason 'no longer "
    "needed'?",
    "Are you sure you want to cancel order #W2378156?",
]
DONE = [
    "Done. Anything else?",
    "Cancelled.",
    "Your order #W2378156 has been successfully cancelled. The refund will be processed to your PayPal account within "
    "5-7 business days. Is there anything else I can help you with today?",
    "Order #W2378156 has been cancelled. Please note that this cannot be undone.",
    "I've updated your default address to 101 Highway. Let me know if you need anything else!",
    "All set! The return request was submitted and you will receive an email on how to return the items.",
]
REFUSING = [
    "Sorry, that is not possible. Anything else?",
    "I'm sorry, but I cannot cancel this order because it is delivered. Is there anything else I can help you with?",
    "YOU ARE BEING TRANSFERRED TO A HUMAN AGENT. PLEASE HOLD ON.",
    "I apologize, but our policy doesn't allow refunds to a different credit card, so I'm unable to do that.",
]
IDLE = [
    "Thank you for waiting. I'll look that up for you now, one moment please.",
    "Your order #W2378156 was delivered and contains a Tea Kettle, Headphones and a T-Shirt.",
    "I will cancel order #W2378156 now.",
    "Thank you for confirming. I'm processing your cancellation.",
    "asdf qwe",
]


@pytest.mark.parametrize(("text", "facts"), ASKING)
def test_what_is_asked_is_heard(text: str, facts: set[Fact]) -> None:
    heard = listen(text)
    assert heard.asks == facts
    assert not heard.confirmation


@pytest.mark.parametrize("text", CONFIRMING)
def test_a_request_for_confirmation_is_heard_and_asks_for_no_fact(text: str) -> None:
    heard = listen(text)
    assert heard.confirmation
    assert not heard.asks


@pytest.mark.parametrize("text", DONE)
def test_a_report_of_something_done_is_heard(text: str) -> None:
    heard = listen(text)
    assert heard.done
    assert not heard.confirmation
    assert not heard.asks


@pytest.mark.parametrize("text", REFUSING)
def test_a_refusal_is_heard(text: str) -> None:
    heard = listen(text)
    assert heard.refused
    assert not heard.confirmation
    assert not heard.asks
    assert not heard.done


@pytest.mark.parametrize("text", IDLE)
def test_words_that_neither_ask_nor_report_are_heard_as_such(text: str) -> None:
    heard = listen(text)
    assert not (heard.asks or heard.confirmation or heard.done or heard.refused)


@pytest.mark.parametrize(
    "text",
    [
        "How can I help you today?",
        "Anything else?",
        "Could you give me some more details?",
        "What would you like to do?",
    ],
)
def test_an_open_question_is_heard(text: str) -> None:
    heard = listen(text)
    assert heard.what_next
    assert not (heard.asks or heard.confirmation)


def test_what_cannot_be_done_is_no_part_of_the_plan() -> None:
    heard = listen("I can't refund to PayPal, shall I use the gift card instead?")
    assert "PayPal" not in heard.plan
    assert "gift card" in heard.plan


def test_of_a_very_long_message_the_beginning_and_the_end_are_heard() -> None:
    heard = listen("What is your email? " + "blah " * 20_000 + " Also, which order id?")
    assert heard.asks == {Fact.EMAIL, Fact.ORDER}
    assert len(heard.text) <= HEARD_CHARACTERS + 1
