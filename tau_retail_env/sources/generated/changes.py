"""Parts of a call that change the shop: what is wanted in words, and the one write that grants it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from tau_retail_env.sources.generated.choosing import Choice
from tau_retail_env.sources.generated.requests import CANCEL_REASONS, one_line
from tau_retail_env.sources.generated.visit import (
    STATUSES,
    Beat,
    Call,
    Part,
    Payment,
    Reference,
    Row,
    Visit,
    call,
    dollars,
    plain,
)
from tau_retail_env.sources.generated.wording import listed, sentences
from tau_retail_env.tasks.task import Action

EXCHANGE = "exchange_delivered_order_items"
MODIFY = "modify_pending_order_items"
RETURN = "return_delivered_order_items"
CANCEL = "cancel_pending_order"


def exchange(visit: Visit) -> Part | None:
    """Exchange one to three items of a delivered order."""
    order = visit.draw_order("delivered")
    if order is None:
        return None
    count = visit.draws.weighted((1, 2, 3), (65, 27, 8))
    return _swap(visit, order, visit.draws.sample(order["items"], min(count, len(order["items"]))), EXCHANGE)


def modify(visit: Visit) -> Part | None:
    """Change one item of a pending order; upstream's tool mixes several up."""
    order = visit.draw_order("pending")
    return None if order is None else _swap(visit, order, [visit.draws.choice(order["items"])], MODIFY)


def send_back(visit: Visit) -> Part | None:
    """Return items of a delivered order: named ones, all, all but one, or the dearest or cheapest."""
    order = visit.draw_order("delivered")
    if order is None:
        return None
    items, words, cost = _selection(visit, order)
    named = cost == 0
    reference = visit.refer(order, items if named else ())
    payment = refund_of(visit, order)
    words_in_order = f"{words}{reference.tail}" if named else f"{words} in {reference.name}"
    said = [visit.wording.say("context"), visit.wording.say("send_back", items=words_in_order), payment.said]
    beat = beat_about(reference, payment, calls=[*reference.calls, *payment.calls])
    if not named:
        beat["words"]["items"] = sentences(f"{words}.")
    outputs: tuple[str, ...] = ()
    if visit.draws.below(100) < 30:
        outputs = (tell_refund(visit, beat, items, said),)
    beat["say"] = sentences(" ".join(said))
    return Part((beat,), (return_action(order, items, payment),), outputs, 1 + cost + reference.cost + len(outputs))


def cancel(visit: Visit) -> Part | None:
    """Cancel a pending order."""
    order = visit.draw_order("pending")
    if order is None:
        return None
    reference = visit.refer(order)
    beat, reason = cancellation(visit, reference, visit.wording.say("context"))
    return Part((beat,), (cancel_action(order, reason),), cost=1 + reference.cost)


def cancellation(visit: Visit, reference: Reference, before: str) -> tuple[Beat, str]:
    """The beat of a cancellation, and its reason in the domain policy's words.

    Args:
        visit: the call.
        reference: how the customer names the order.
        before: what it says first; may be empty.
    """
    reason = visit.draws.choice(CANCEL_REASONS)
    why = visit.wording.say("needless" if reason == CANCEL_REASONS[0] else "mistaken")
    late = visit.draws.below(100) < 35
    say = f"{before} {visit.wording.say('cancel', order=reference.name)} {'' if late else why}"
    beat: Beat = {
        "write": 0,
        "say": sentences(say),
        "words": {**reference.words, "reason": sentences(why)},
        "asks": ["reason"] if late else [],
        "calls": list(reference.calls),
    }
    return beat, reason


def cancel_action(order: Row, reason: str) -> Action:
    """The gold write of a cancellation."""
    return Action(CANCEL, {"order_id": order["order_id"], "reason": reason})


def cancel_all(visit: Visit) -> Part | None:
    """Cancel every pending order of a customer who has two or three, in one breath."""
    pending = [order for order in visit.orders.values() if order["status"] == "pending"]
    if not 1 < len(pending) < 4 or len(visit.free("pending")) < len(pending):
        return None
    reason = visit.draws.choice(CANCEL_REASONS)
    why = sentences(visit.wording.say("needless_all" if reason == CANCEL_REASONS[0] else "mistaken_all"))
    beats = []
    for number, order in enumerate(pending):
        visit.take(order)
        say = visit.wording.say("cancel_all", context=visit.wording.say("small_talk")) if number == 0 else ""
        beats.append(
            {
                "write": number,
                "say": sentences(f"{say} {why}") if say else visit.wording.sentence("and_the_next"),
                "words": {"order": visit.wording.sentence("all_pending"), "reason": why},
                "calls": [visit.profile(), *(call("get_order_details", order_id=each) for each in visit.orders)],
            }
        )
    return Part(tuple(beats), tuple(cancel_action(order, reason) for order in pending), cost=2 + len(pending))


def pay_otherwise(visit: Visit) -> Part | None:
    """Change the payment method of a pending order."""
    order = visit.draw_order("pending")
    if order is None or len(order["payment_history"]) != 1:
        return None
    paid = order["payment_history"][0]
    able = [name for name in visit.balances.able_to_pay(paid["amount"]) if name != paid["payment_method_id"]]
    if not able:
        return None
    payment = visit.pay(able, None, "pay_order_said")
    visit.balances.pay(payment.id, paid["amount"])
    reference = visit.refer(order)
    core = visit.wording.say("pay_otherwise", order=reference.name)
    beat = beat_about(reference, payment, calls=[*reference.calls, *(payment.calls or [visit.profile()])])
    beat["say"] = sentences(f"{visit.wording.say('context')} {core} {payment.said}")
    write = Action("modify_pending_order_payment", {"order_id": order["order_id"], "payment_method_id": payment.id})
    return Part((beat,), (write,), cost=1 + reference.cost)


def redirect(visit: Visit) -> Part | None:
    """Send a pending order to another address: a new one, or that of the profile."""
    order = visit.draw_order("pending")
    if order is None:
        return None
    reference = visit.refer(order)
    home = parts_of(visit.user["address"])
    if home != parts_of(order["address"]) and not visit.moved and visit.draws.below(100) < 50:
        visit.moved = True
        address, calls = home, [*reference.calls, visit.profile()]
        wish, words, asks = visit.wording.say("home_address"), visit.wording.sentence("home_answer"), []
    else:
        address, calls = visit.new_address(order["address"]), list(reference.calls)
        asks = ["address"] if visit.draws.below(100) < 35 else []
        words = f"{one_line(address)}."
        wish = one_line(address)
    core = visit.wording.say("redirect_late" if asks else "redirect", order=reference.name, place=wish)
    beat: Beat = {
        "write": 0,
        "say": sentences(f"{visit.wording.say('context')} {core}"),
        "words": {**reference.words, "address": words},
        "asks": asks,
        "calls": calls,
    }
    return Part((beat,), (address_action(order, address),), cost=1 + reference.cost + (address == home))


def settle(visit: Visit) -> Part | None:
    """Give the profile a new default address: a new one, or that of one of the orders."""
    if visit.moved:
        return None
    home = parts_of(visit.user["address"])
    elsewhere = [order for order in visit.free(*STATUSES) if parts_of(order["address"]) != home]
    visit.moved = True
    if elsewhere and visit.draws.below(2):
        order = visit.take(visit.draws.choice(elsewhere))
        reference = visit.refer(order)
        address, wish = parts_of(order["address"]), visit.wording.say("address_of_order", order=reference.name)
        words, asks, calls, cost = sentences(f"{wish}."), [], list(reference.calls), 2 + reference.cost
    else:
        address = visit.new_address(visit.user["address"])
        asks = ["address"] if visit.draws.below(100) < 35 else []
        wish = one_line(address)
        words, calls, cost = f"{one_line(address)}.", [], 1
    core = visit.wording.say("settle_late" if asks else "settle", place=wish)
    beat: Beat = {
        "write": 0,
        "say": sentences(f"{visit.wording.say('context')} {core}"),
        "words": {"address": words},
        "asks": asks,
        "calls": calls,
    }
    return Part((beat,), (profile_action(visit, address),), cost=cost)


def move(visit: Visit) -> Part | None:
    """A new address for the profile and for every pending order of a customer who has one or two."""
    pending = [order for order in visit.orders.values() if order["status"] == "pending"]
    if visit.moved or not 0 < len(pending) < 3 or len(visit.free("pending")) < len(pending):
        return None
    visit.moved = True
    address = visit.new_address(visit.user["address"])
    where = one_line(address)
    search = [visit.profile(), *(call("get_order_details", order_id=each) for each in visit.orders)]
    first = sentences(f"{visit.wording.say('move', place=where)} {visit.wording.say('profile_first')}")
    beats: list[Beat] = [{"write": 0, "say": first, "words": {"address": f"{where}."}}]
    writes = [profile_action(visit, address)]
    for number, order in enumerate(pending, start=1):
        visit.take(order)
        words = {"address": f"{where}.", "order": visit.wording.sentence("all_pending")}
        beats.append({"write": number, "say": visit.wording.sentence("and_the_order"), "words": words, "calls": search})
        writes.append(address_action(order, address))
    return Part(tuple(beats), tuple(writes), cost=1 + 2 * len(pending))


def refund_of(visit: Visit, order: Row) -> Payment:
    """Where the money of a return goes: to the original method, or to a gift card."""
    methods = visit.user["payment_methods"]
    original = order["payment_history"][0]["payment_method_id"]
    cards = [name for name in methods if name != original and methods[name]["source"] == "gift_card"]
    return visit.pay([original, *cards], original, "refund_said")


def return_action(order: Row, items: Iterable[Row], payment: Payment) -> Action:
    """The gold write of a return."""
    item_ids = [item["item_id"] for item in items]
    return Action(RETURN, {"order_id": order["order_id"], "item_ids": item_ids, "payment_method_id": payment.id})


def swap_action(tool: str, order: Row, items: Iterable[Row], choices: Iterable[Choice], payment: Payment) -> Action:
    """The gold write of an exchange or of a change of items."""
    arguments: dict[str, Any] = {
        "order_id": order["order_id"],
        "item_ids": [item["item_id"] for item in items],
        "new_item_ids": [choice.variant["item_id"] for choice in choices],
        "payment_method_id": payment.id,
    }
    return Action(tool, arguments)


def settle_difference(visit: Visit, items: Sequence[Row], choices: Sequence[Choice], order: Row) -> Payment | None:
    """The payment method for a difference in price; None where none can pay it."""
    difference = difference_of(items, choices)
    able = visit.balances.able_to_pay(difference)
    if not able:
        return None
    payment = visit.pay(able, order["payment_history"][0]["payment_method_id"], "pay_said")
    visit.balances.pay(payment.id, difference)
    return payment


def difference_of(items: Iterable[Row], choices: Iterable[Choice]) -> float:
    """What an exchange costs in dollars; below zero what comes back."""
    return round(sum(choice.variant["price"] - item["price"] for item, choice in zip(items, choices, strict=True)), 2)


def _swap(visit: Visit, order: Row, items: Sequence[Row], tool: str) -> Part | None:
    choices = [visit.choose(item) for item in items]
    found = [choice for choice in choices if choice is not None]
    payment = settle_difference(visit, items, found, order) if len(found) == len(items) else None
    if payment is None:
        return None
    reference = visit.refer(order, items)
    beat = swap_beat(visit, order, items, found, reference, payment)
    outputs: tuple[str, ...] = ()
    said = [visit.wording.say("context"), beat["say"], payment.said]
    if difference_of(items, found) and visit.draws.below(100) < 30:
        outputs = (_tell_difference(visit, beat, items, found, said),)
    beat["say"] = sentences(" ".join(said))
    cost = len(items) + sum(choice.cost for choice in found) + reference.cost + len(outputs)
    return Part((beat,), (swap_action(tool, order, items, found, payment),), outputs, cost)


def swap_beat(
    visit: Visit, order: Row, items: Sequence[Row], choices: Sequence[Choice], reference: Reference, payment: Payment
) -> Beat:
    """The beat of an exchange or of a change of items, without how it is paid for."""
    pairs = [
        f"my {visit.wording.item(item['name'])}{reference.tail if number == 0 else ''} for {choice.words}"
        for number, (item, choice) in enumerate(zip(items, choices, strict=True))
    ]
    products = [call("get_product_details", product_id=item["product_id"]) for item in items]
    beat = beat_about(reference, payment, calls=[*reference.calls, *products, *payment.calls])
    beat["say"] = visit.wording.say("swap" if order["status"] == "delivered" else "change", pairs="; and ".join(pairs))
    named = [f"{visit.wording.item(item['name'])}: {choice.words}" for item, choice in zip(items, choices, strict=True)]
    beat["words"]["options"] = sentences(f"{choices[0].words if len(items) == 1 else '; '.join(named)}.")
    return beat


def beat_about(reference: Reference, payment: Payment, *, calls: Sequence[Call]) -> Beat:
    """The beat of a write about an order, without what opens it."""
    return {
        "write": 0,
        "words": {**reference.words, **payment.words},
        "asks": list(payment.asks),
        "calls": list(calls),
    }


def _selection(visit: Visit, order: Row) -> tuple[list[Row], str, int]:
    """Some items of an order, how the customer names them, and how hard that is."""
    items = list(order["items"])
    way = visit.draws.below(100)
    if len(items) > 1 and way < 15:
        return items, visit.wording.say("everything"), 1
    if len(items) > 2 and way < 30:
        kept = visit.draws.choice(items)
        words = visit.wording.say("everything_but", item=f"the {visit.wording.item(kept['name'])}")
        return [item for item in items if item is not kept], words, 2
    if len(items) > 1 and way < 45:
        by_price = sorted(items, key=lambda item: item["price"])
        if by_price[0]["price"] != by_price[1]["price"] and by_price[-1]["price"] != by_price[-2]["price"]:
            dearest = visit.draws.below(2)
            words = visit.wording.say("dearest_thing" if dearest else "cheapest_thing")
            return [by_price[-1 if dearest else 0]], words, 2
    chosen = visit.draws.sample(items, 1 + visit.draws.below(min(3, len(items))))
    return chosen, listed([f"the {visit.wording.item(item['name'])}" for item in chosen]), 0


def tell_refund(visit: Visit, beat: Beat, items: Sequence[Row], said: list[str]) -> str:
    """Let the customer ask for the amount of a refund; gives the output."""
    total = round(sum(item["price"] for item in items), 2)
    if len(items) > 1:
        beat["calls"].append(call("calculate", expression=" + ".join(str(item["price"]) for item in items)))
    beat["answer"] = f"The refund is {dollars(total)}."
    beat["outputs"] = [0]
    said.append(visit.wording.say("tell_refund"))
    return plain(total)


def _tell_difference(visit: Visit, beat: Beat, items: Sequence[Row], choices: Sequence[Choice], said: list[str]) -> str:
    """Let the customer ask for the difference in price; gives the output."""
    pairs = zip(items, choices, strict=True)
    expression = " + ".join(f"{choice.variant['price']} - {item['price']}" for item, choice in pairs)
    beat["calls"].append(call("calculate", expression=expression))
    difference = difference_of(items, choices)
    amount = dollars(abs(difference))
    beat["answer"] = f"You pay {amount} more." if difference > 0 else f"You get {amount} back."
    beat["outputs"] = [0]
    said.append(visit.wording.say("tell_difference"))
    return plain(abs(difference))


def profile_action(visit: Visit, address: dict[str, str]) -> Action:
    """The gold write of a new default address."""
    return Action("modify_user_address", {"user_id": visit.user["user_id"], **address})


def address_action(order: Row, address: dict[str, str]) -> Action:
    """The gold write of another shipping address."""
    return Action("modify_pending_order_address", {"order_id": order["order_id"], **address})


def parts_of(address: Row) -> dict[str, str]:
    """An address in the order of the tools' arguments."""
    return {name: address[name] for name in ("address1", "address2", "city", "state", "country", "zip")}
