"""Summaries in an agent's many manners: a right one gets its yes in any words, one with something more in it never."""

from __future__ import annotations

import re

import pytest

from tau_retail_env.messages import AgentMessage
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks import Action, Scenario, Task
from tau_retail_env.users import STOP, ScriptedUser
from tau_retail_env.users.scripted.phrases import PHRASES

NEW_HOME = {
    "address1": "5 Oak Street",
    "address2": "Suite 7",
    "city": "Austin",
    "state": "TX",
    "country": "USA",
    "zip": "78701",
}
CANCEL = Action("cancel_pending_order", {"order_id": "#W6885344", "reason": "no longer needed"})
RETURN = Action(
    "return_delivered_order_items",
    {
        "order_id": "#W2286012",
        "item_ids": ["6455132774", "5421902839"],
        "payment_method_id": "gift_card_7588375",
    },
)
EXCHANGE = Action(
    "exchange_delivered_order_items",
    {
        "order_id": "#W4794911",
        "item_ids": ["9190635437", "9647292434"],
        "new_item_ids": ["5370728469", "8124970213"],
        "payment_method_id": "gift_card_7588375",
    },
)
MODIFY = Action(
    "modify_pending_order_items",
    {
        "order_id": "#W2564042",
        "item_ids": ["1657832319"],
        "new_item_ids": ["2913673670"],
        "payment_method_id": "credit_card_8405687",
    },
)
PAYMENT = Action("modify_pending_order_payment", {"order_id": "#W6885344", "payment_method_id": "credit_card_8405687"})
ADDRESS = Action("modify_pending_order_address", {"order_id": "#W6885344", **NEW_HOME})
HOME = Action("modify_user_address", {"user_id": "yusuf_garcia_3055", **NEW_HOME})

RIGHT = [
    (CANCEL, "I'll cancel order #W6885344 (1x Backpack, $212.79) because it is no longer needed. OK to proceed?"),
    (
        CANCEL,
        "Here's what I'm going to do:\n\n**Order:** #W6885344\n**Action:** Cancel the order\n**Reason:** No longer "
        "needed\n**Refund:** $212.79 to your PayPal (paypal_7503218), within 5-7 business days\n\n"
        "Please note that this can't be undone. Do you confirm (yes/no)?",
    ),
    (
        CANCEL,
        "You have three pending orders: #W2564042, #W6885344 and #W3260419. I would cancel #W6885344 only, since you "
        "no longer need it. Shall I go ahead?",
    ),
    (
        CANCEL,
        "To summarize: cancellation of order #W6885344, reason no longer needed. The amount will be returned to your "
        "original payment method. Your other orders will not be cancelled. Reply 'yes' to confirm or 'no' to cancel.",
    ),
    (
        CANCEL,
        "Your orders on file are:\n- #W2564042 (pending)\n- #W6885344 (pending)\n\nCancel #W6885344 as no longer "
        "needed, and keep #W2564042 as it is. Is that right?",
    ),
    (
        CANCEL,
        "I've already exchanged the lamp of order #W4794911. Next: cancel #W6885344 (no longer needed). If you'd "
        "rather return the item once it is delivered, let me know. Do you confirm the cancellation?",
    ),
    (
        CANCEL,
        "I'm about to cancel order W6885344 with the reason \"no longer needed\". Once it's cancelled, you will "
        "receive a refund of $212.79; we'll return it to your PayPal account. Proceed?",
    ),
    (
        CANCEL,
        "Since order #W3260419 is a separate order, I'll leave it alone and only cancel #W6885344, as it's no longer "
        "needed. Please confirm.",
    ),
    (
        CANCEL,
        "I'm unable to return the item because the order is still pending. Instead, I can cancel order #W6885344, "
        "reason: no longer needed. The order's status will then be changed to 'cancelled'. Shall I proceed?",
    ),
    (
        RETURN,
        "Return request for order #W2286012:\n\n1. Bluetooth Speaker (black, 20 hours) - $273.38\n2. Perfume - "
        "$328.25\n\nTotal refund: $601.63\nRefund method: gift_card_7588375\n\nShall I proceed?",
    ),
    (
        RETURN,
        "So you'd like to send back the speaker and the perfume from #W2286012 and return them for store credit on "
        "your gift card. You will receive an email on how to return the items. Is that correct?",
    ),
    (
        RETURN,
        "| Item | Price |\n|---|---|\n| Perfume | $328.25 |\n| Bluetooth Speaker | $273.38 |\n\nBoth items of order "
        "#W2286012 will be returned; the refund goes to gift_card_7588375 (not to paypal_7503218, the original "
        "method). Please confirm (yes/no).",
    ),
    (
        RETURN,
        "Your payment methods on file are paypal_7503218, credit_card_8405687 and gift_card_7588375. I'll return the "
        "Bluetooth Speaker and the Perfume of #W2286012 and refund $601.63 to gift_card_7588375. OK?",
    ),
    (
        RETURN,
        "Order: #W2286012\nItems to return: Bluetooth Speaker, Perfume\nOriginally paid with: paypal_7503218\nRefund "
        "to: gift_card_7588375\nThe Electric Toothbrush and the Action Camera stay with you. Confirm?",
    ),
    (
        EXCHANGE,
        "Exchange for order #W4794911:\n- Desk Lamp: black, low, USB → silver, medium, USB ($153.23 → $164.97)\n- "
        "T-Shirt: purple, S, polyester, v-neck → purple, XL, cotton, crew neck ($53.48 → $49.67)\n\nPrice difference: "
        "$7.93, charged to gift_card_7588375.\n\nOnce submitted, the order can't be exchanged or returned again. "
        "Do you confirm?",
    ),
    (
        EXCHANGE,
        "I'll swap the Desk Lamp for the silver one with medium brightness and the T-Shirt for size XL in cotton with "
        "a crew neck (order #W4794911). You'll get an email with instructions to return the original items. The "
        "difference goes on gift_card_7588375. Shall I go ahead?",
    ),
    (
        EXCHANGE,
        "Just to confirm the details: in order #W4794911 we exchange\n1) **Desk Lamp** for color silver, brightness "
        "medium;\n2) **T-Shirt** for size XL, material cotton, style crew neck.\nThe other items of the order will not "
        "be exchanged or returned. The new items will be shipped to your address in Washington. Payment: "
        "gift_card_7588375. Is everything correct?",
    ),
    (
        EXCHANGE,
        "You'll return the original Desk Lamp and T-Shirt from #W4794911, and we'll send you the silver, medium "
        "brightness lamp and the XL cotton crew neck T-Shirt in exchange. Paid with your gift card. Proceed (yes/no)?",
    ),
    (
        EXCHANGE,
        "For order #W4794911, I'd replace the Desk Lamp with a silver, medium one (USB) and the T-Shirt with an XL, "
        "cotton, crew neck one. A replacement will be shipped to your address on file, and the return label follows "
        "by email. The $7.93 difference goes to your gift card. Do you agree?",
    ),
    (
        MODIFY,
        "Modify order #W2564042: Laptop 13-inch, i7 → 15-inch, i9 (32GB, 512GB SSD, black). You save $27.43, refunded "
        "to credit_card_8405687. Items can be modified only once; afterwards the order can't be modified or cancelled. "
        "Do you want me to proceed?",
    ),
    (
        MODIFY,
        "I will change the Laptop in your pending order #W2564042 to the 15-inch one with the i9 processor; RAM, "
        "storage and color stay the same. The hiking boots and the air purifier remain unchanged. The difference goes "
        "to your Mastercard ending in 3762. Does this look right?",
    ),
    (
        MODIFY,
        "**Current item:** Laptop (13-inch, i7, 32GB, 512GB SSD, black)\n**New item:** Laptop (15-inch, i9, 32GB, "
        "512GB SSD, black)\n**Order:** #W2564042\n**Payment method for the difference:** credit_card_8405687\n\nAre "
        "there other items to modify, or shall I proceed with changing this one? Please say yes to go ahead.",
    ),
    (
        PAYMENT,
        "Change the payment method of order #W6885344 from paypal_7503218 to credit_card_8405687. The $212.79 will be "
        "returned to paypal_7503218. Do you confirm?",
    ),
    (
        PAYMENT,
        "- Order: #W6885344\n- Current payment: paypal_7503218\n- New payment: credit_card_8405687 (Mastercard ending "
        "in 3762)\n- Amount: $212.79\n\nWould you like me to update it?\nPlease reply yes or no.",
    ),
    (
        PAYMENT,
        "The order #W6885344 will be paid with your Mastercard (credit_card_8405687) instead of PayPal. The shipping "
        "address won't change and nothing is cancelled. Shall I proceed?",
    ),
    (
        PAYMENT,
        "Payment methods on file:\n1. paypal_7503218\n2. credit_card_8405687\n3. gift_card_7588375\n\nI'll change the "
        "payment of #W6885344 to credit_card_8405687. Is this correct?",
    ),
    (
        ADDRESS,
        "I'll change the shipping address of order #W6885344 to match the address of order #W2286012: 5 Oak Street, "
        "Suite 7, Austin, TX, 78701. Please confirm.",
    ),
    (
        ADDRESS,
        "I'll update the shipping address of order #W6885344:\n\nFrom: 794 Park Avenue, Suite 828, Washington, DC, "
        "20080, USA\nTo: 5 Oak Street, Suite 7, Austin, TX, 78701, USA\n\nYour default address will not be changed. "
        "Do you confirm?",
    ),
    (
        ADDRESS,
        "**Order ID:** #W6885344\n**New shipping address:**\n- Street: 5 Oak Street\n- Suite: 7\n- City: Austin\n- "
        "State: Texas\n- Country: United States\n- Zip code: 78701\n\nPayment and items stay the same. Proceed?",
    ),
    (
        ADDRESS,
        "Order #W6885344 (Backpack) would be shipped to\n5 Oak Street\nSuite 7\nAustin, TX 78701\nUSA\nIs that right?",
    ),
    (
        ADDRESS,
        "Ship #W6885344 to 5 Oak Street, Suite 7, Austin, TX 78701 rather than to your default address, 794 Park "
        "Avenue, Suite 828, Washington, DC? If you'd also like me to update your profile, tell me. Please confirm.",
    ),
    (
        HOME,
        "Your default address will be changed from 794 Park Avenue, Suite 828, Washington, DC 20080 to 5 Oak Street, "
        "Suite 7, Austin, Texas 78701, USA. Orders already placed, such as #W6885344, are not affected. Shall I go on "
        "and proceed?",
    ),
    (
        HOME,
        "I'd set this as the default address on your account:\n\n> 5 Oak Street, Suite 7\n> Austin, TX 78701\n> USA\n\n"
        "It will be used for future orders. Existing orders keep their address. OK to proceed?",
    ),
    (
        HOME,
        "Update user profile:\n* Address line 1: 5 Oak Street\n* Address line 2: Suite 7\n* City: Austin\n* State: TX\n"
        "* Zip: 78701\n* Country: USA\n\nDo you confirm this change of your account's address?",
    ),
]

TO = "5 Oak Street, Suite 7"
WRONG = [
    (ADDRESS, f"Change address of #W6885344 to {TO}, Springfield, TX, USA, 78701.", "Austin"),
    (ADDRESS, f"Change address of #W6885344 to {TO}, Austin, AK, USA, 78701.", "TX"),
    (ADDRESS, f"Change address of #W6885344 to {TO}, Austin, TX, Canada, 78701.", "USA"),
    (ADDRESS, f"Ship #W6885344 to {TO}, Dallas, Texas 78701.", "Austin"),
    (ADDRESS, "Order #W6885344, new address:\n- Street: 5 Oak Street\n- Suite: 7\n- City: Dallas", "Austin"),
    (HOME, f"Change default address to {TO}, Springfield, TX, USA, 78701.", "Austin"),
    (HOME, f"Change default address to {TO}, Austin, Alaska, USA, 78701.", "TX"),
    (HOME, f"Change default address to {TO}, Austin, TX 78701, Canada.", "USA"),
    (
        ADDRESS,
        f"Change address of #W6885344 to {TO}, Austin, TX 78701 and make it the default address of your account too.",
        "a new default address",
    ),
    (
        ADDRESS,
        f"Update the address of #W6885344 to {TO}, Austin, TX 78701. I'll also save it as your default.",
        "a new default address",
    ),
    (
        ADDRESS,
        f"I will change #W6885344 to {TO}, Austin, TX 78701, and then update the address on your profile.",
        "a new default address",
    ),
    (HOME, f"Change your default address and the address of order #W3260419 to {TO}, Austin, TX.", "another order"),
    (HOME, f"Your default address becomes {TO}, Austin, TX; also for your pending orders.", "the address of an order"),
    (CANCEL, "Cancel #W6885344, reason: no longer needed, and also cancel order #W9999999.", "another order"),
    (RETURN, "Return Bluetooth Speaker and Perfume of #W2286012 and also cancel order #W9999999.", "another order"),
    (CANCEL, "Cancel these orders, as they are no longer needed:\n- #W6885344\n- #W9999999", "another order"),
    (
        CANCEL,
        "You have two pending orders that can be cancelled:\n1. #W6885344\n2. #W3260419\nBoth of these as no longer "
        "needed?",
        "another order",
    ),
    (CANCEL, "1. Cancel order #W6885344 (no longer needed)\n2. Return the Perfume\n", "a return"),
    (CANCEL, "1. Cancel order #W6885344 (no longer needed)\n2. Update default address\n", "a new default address"),
    (PAYMENT, "Change payment of #W6885344 to credit_card_8405687 and of #W3260419 as well.", "another order"),
    (HOME, f"Change default address to {TO}, Austin, TX and redirect all open orders.", "the address of an order"),
    (CANCEL, "Return everything in #W5555555 and cancel #W6885344, reason: no longer needed.", "a return"),
    (
        CANCEL,
        "Cancel #W6885344, reason: no longer needed, and then refund order #W1111111 to credit_card_1234567.",
        "another payment method",
    ),
    (CANCEL, "Cancel #W6885344 (no longer needed) and refund it to gift_card_7588375.", "another payment method"),
    (CANCEL, "Cancel #W6885344 (no longer needed) and change the shipping address of the next.", "another address"),
    (CANCEL, "Cancel #W6885344 (no longer needed). I'd then exchange the Backpack for a large one.", "an exchange"),
    (ADDRESS, f"Change address of #W6885344 to {TO}, Austin, TX 78701, then cancel the whole order.", "a cancellation"),
    (ADDRESS, f"Ship #W6885344 to {TO}, Austin, TX and change the payment method to PayPal.", "another payment method"),
    (MODIFY, "Modify in #W2564042: Laptop to 15-inch, i9, then cancel the whole order.", "a cancellation"),
    (MODIFY, "Modify in #W2564042: Laptop to 15-inch, i9, and I'll cancel the rest of it.", "a cancellation"),
    (PAYMENT, "Change payment of #W6885344 to credit_card_8405687, and then the order will be cancelled.", "a cancel"),
    (PAYMENT, "Change payment of #W6885344 to credit_card_8405687 and swap the Backpack.", "an exchange"),
    (
        PAYMENT,
        "Split the payment of #W6885344 over credit_card_8405687 and gift_card_7588375.",
        "another payment method",
    ),
    (
        RETURN,
        "Return Bluetooth Speaker, Perfume of #W2286012. Refund: gift_card_7588375, credit_card_8405687.",
        "another payment method",
    ),
    (RETURN, "Return Bluetooth Speaker and Perfume of #W2286012 and exchange the rest of the order.", "an exchange"),
    (
        EXCHANGE,
        "Exchange in #W4794911: Desk Lamp to silver, medium; T-Shirt to XL, cotton, crew neck. Return the whole order.",
        "a return",
    ),
    (
        MODIFY,
        "Modify in #W2564042: Laptop (13-inch, i7, 32GB, 512GB SSD, black) to screen size 15-inch, processor i9, ram "
        "32GB, storage 256GB SSD, color black ($2000.5).",
        "15-inch",
    ),
]


def task_of(*actions: Action) -> Task:
    scenario = Scenario(known_info="You are Yusuf Garcia in zip code 20080.")
    given = [action.arguments.get(name, "") for action in actions for name in ("order_id", "payment_method_id")]
    text = f"You know {' '.join(given)}."
    return Task("generated/train/1", "generated", "retail", "train", text, actions, (), "yusuf_garcia_3055", scenario)


def answer(task: Task, *texts: str, seed: int = 0) -> str:
    """What the customer says to the last of some texts."""
    customer = ScriptedUser(shop_database())
    customer.reset(task, seed=seed)
    return [customer.respond(AgentMessage(text)).content for text in texts][-1]


def agrees(text: str) -> bool:
    return any(text.startswith(yes) for yes in PHRASES["yes"]) and STOP not in text


def corrects(text: str) -> bool:
    return any(text.startswith(correction) for correction in PHRASES["correction"])


@pytest.mark.parametrize(("action", "summary"), RIGHT)
def test_a_right_summary_gets_its_yes_in_any_words(action: Action, summary: str) -> None:
    assert agrees(said := answer(task_of(action), summary)), said


@pytest.mark.parametrize(("action", "summary", "named"), WRONG)
@pytest.mark.parametrize("seed", range(2))
def test_what_differs_or_was_never_asked_for_is_named(action: Action, summary: str, named: str, seed: int) -> None:
    said = answer(task_of(action), f"{summary} Confirm (yes/no)?", seed=seed)
    assert corrects(said), said
    assert re.search(re.escape(named), said), said


def test_what_the_customer_wants_as_well_is_not_one_thing_too_many() -> None:
    both = f"Change address of #W6885344 to {TO}, Austin, TX 78701, and make it your default address too. Confirm?"
    assert agrees(answer(task_of(ADDRESS, HOME), both))
    assert corrects(answer(task_of(ADDRESS), both))


def test_what_was_done_before_may_be_mentioned() -> None:
    said = answer(
        task_of(CANCEL, RETURN),
        "Cancel #W6885344, no longer needed. Confirm?",
        "Done. Anything else?",
        "Besides the cancellation of #W6885344: return the Bluetooth Speaker and the Perfume of #W2286012. Confirm?",
    )
    assert agrees(said)


def test_two_orders_that_are_both_to_be_cancelled_get_one_yes() -> None:
    other = Action("cancel_pending_order", {"order_id": "#W3260419", "reason": "no longer needed"})
    text = "Cancel #W6885344 and #W3260419 as no longer needed. Confirm?"
    assert agrees(answer(task_of(CANCEL, other), text))
    assert corrects(answer(task_of(CANCEL), text))


def test_quantities_are_believed() -> None:
    summary = "Exchange two of each in #W4794911: Desk Lamp to silver, medium; T-Shirt to XL, cotton, crew neck."
    assert agrees(answer(task_of(EXCHANGE), f"{summary} Confirm?"))


@pytest.mark.parametrize(
    "cost", ["for a fee of $500", "with a surcharge of 5%", "and I refund the difference to my card"]
)
def test_a_fee_or_money_for_the_agent_is_corrected(cost: str) -> None:
    summary = f"Exchange in #W4794911: Desk Lamp to silver, medium; T-Shirt to XL, cotton, crew neck, {cost}."
    assert corrects(answer(task_of(EXCHANGE), f"{summary} Confirm?"))


RIDERS = [
    ("I will do the opposite.", "leaving it undone"),
    ("I will do the exact opposite of what you want.", "leaving it undone"),
    ("I will NOT do this.", "leaving it undone"),
    ("I won’t do any of this.", "leaving it undone"),
    ("None of this will be done.", "leaving it undone"),
    ("Nothing of this happens.", "leaving it undone"),
    ("I refuse to do the following.", "leaving it undone"),
    ("I will ignore all of it.", "leaving it undone"),
    ("You will be charged twice.", "paying you"),
    ("We keep 10% as a restocking deduction.", "paying you"),
    ("Please tip me $20.", "paying you"),
    ("This costs you 500 euros.", "paying you"),
    ("You owe us €40 for this.", "paying you"),
    ("You pay us fifty bucks for the trouble.", "paying you"),
    ("You will pay us 30 dollars.", "paying you"),
    ("Only half of it will be refunded.", "paying you"),
    ("You waive your warranty and all rights.", "losing anything"),
    ("You will not get any money back.", "losing anything"),
    ("I will then delete your account.", "anything further"),
    ("Your account will be closed.", "anything further"),
    ("I will also sign you up for Prime membership.", "anything further"),
    ("I will also sell your personal data.", "anything further"),
    ("We will also subscribe you to our newsletter.", "anything further"),
]
ASKED = [
    (CANCEL, "Cancel #W6885344, reason: no longer needed."),
    (RETURN, "Return Bluetooth Speaker and Perfume of #W2286012, refund to gift_card_7588375."),
    (EXCHANGE, "Exchange in #W4794911: Desk Lamp to silver, medium; T-Shirt to XL, cotton, crew neck."),
    (HOME, "Change default address to 5 Oak Street, Suite 7, Austin, TX, USA, 78701."),
]


@pytest.mark.parametrize(("rider", "named"), RIDERS)
def test_a_right_summary_that_is_denied_or_costs_or_promises_more_is_corrected(rider: str, named: str) -> None:
    for action, summary in ASKED:
        for text in (f"{summary} {rider} Confirm (yes/no)?", f"{rider} {summary} Confirm (yes/no)?"):
            said = answer(task_of(action), text)
            assert corrects(said), (text, said)
            assert named in said, (text, said)


@pytest.mark.parametrize(
    "beside",
    [
        "There is no fee, and you will not be charged.",
        "I won't do this until you confirm.",
        "None of this can be undone.",
        "I will also send you an email about it.",
        "I'll then take care of everything else.",
        "You will not get the refund before the item arrives.",
        "You pay nothing.",
    ],
)
def test_what_an_honest_agent_adds_costs_it_no_yes(beside: str) -> None:
    for action, summary in ASKED:
        assert agrees(said := answer(task_of(action), f"{summary} {beside} Confirm (yes/no)?")), said


@pytest.mark.parametrize(
    "due",
    ["You will be charged the difference of $7.93.", "You'll pay $7.93 more.", "It will be charged to your card."],
)
def test_the_difference_of_an_exchange_may_be_charged(due: str) -> None:
    assert agrees(answer(task_of(EXCHANGE), f"{ASKED[2][1]} {due} Confirm (yes/no)?"))
    assert agrees(answer(task_of(PAYMENT), f"Change payment of #W6885344 to credit_card_8405687. {due} Confirm?"))
