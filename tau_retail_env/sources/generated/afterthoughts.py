"""Parts of a call of the fourth series about money and second thoughts: a question before the yes, what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tau_retail_env.sources.generated import changes, refusals
from tau_retail_env.sources.generated.choosing import Choice
from tau_retail_env.sources.generated.facts import Fact, Maker, all_but_one, extreme, question, street, tracking
from tau_retail_env.sources.generated.requests import CANCEL_REASONS, one_line
from tau_retail_env.sources.generated.shapes import plain_beat
from tau_retail_env.sources.generated.visit import (
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
from tau_retail_env.sources.generated.wording import casual, listed, sentences
from tau_retail_env.tasks.task import Action

ACCIDENTAL_CHARACTERS = 3
"""A longer answer that stands in the proposal is taken for given there, and its question is not asked."""
OTHER_FACTS: tuple[Maker, ...] = (street, tracking, extreme, all_but_one)
"""What is asked in the middle of a proposal besides the money; no proposal tells it."""


@dataclass(frozen=True, slots=True)
class Interrupted:
    """A wish that the customer leaves when asked to confirm it, and comes back to."""

    first: Beat
    """Up to the proposal, without its `turn`."""
    then: Beat
    """The wish again."""
    write: Action
    """The gold write."""
    money: Fact
    """What it costs, or what comes back."""
    reference: Reference
    """How the order is named."""
    item: Row | None
    """What it is about, None for the whole order."""
    cost: int
    """Points of difficulty."""


def asked_midway(visit: Visit) -> Part | None:
    """A return, an exchange, a change or a cancellation; asked to confirm, the customer first asks something."""
    order = visit.draw_order("delivered", "pending")
    wish = interrupted(visit, order) if order else None
    return _midway(visit, order, wish) if order and wish else None


def interrupted(visit: Visit, order: Row) -> Interrupted | None:
    """A return, an exchange, a change or a cancellation that the customer leaves when asked to confirm it.

    Args:
        visit: the call.
        order: delivered or pending, and taken already.

    Returns:
        The wish, without what the customer says instead of a yes; None where the order or the money does not allow it.
    """
    item = visit.draws.choice(order["items"])
    if order["status"] == "delivered" and visit.draws.below(2):
        return _return_midway(visit, order, item)
    if order["status"] == "pending" and visit.draws.below(2):
        return _cancellation_midway(visit, order)
    return _swap_midway(visit, order, item)


def money_after(visit: Visit) -> Part | None:
    """An exchange, a change, a return or a cancellation, and then what is to be paid or comes back."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    if visit.draws.below(3) == 0:
        found = _swap(visit, order, visit.draws.choice(order["items"]))
    elif order["status"] == "pending":
        found = _cancellation(visit, order)
    else:
        items = visit.draws.sample(order["items"], min(len(order["items"]), 1 + visit.draws.below(3)))
        found = _return(visit, order, items)
    if found is None:
        return None
    beat, write, money = found
    beat["say"] = sentences(f"{visit.wording.say('context')} {beat['say']}")
    here = Reference(visit.wording.say("this_order"), "", beat["words"], (), 0)
    asked = question(visit, money, here, visit.wording.say("question_after"))
    return Part((beat, asked), (write,), money.outputs, 3)


def gift_card_short(visit: Visit) -> Part | None:
    """A gift card that does not hold enough for a difference, or for an order, and then another method."""
    methods = visit.user["payment_methods"]
    cards = [name for name, method in methods.items() if method["source"] == "gift_card"]
    order = visit.draw_order("delivered", "pending")
    if order is None or len(cards) != 1:
        return None
    balance = methods[cards[0]]["balance"]
    if order["status"] == "pending" and visit.draws.below(2):
        return _order_beyond(visit, order, cards[0], balance)
    item = visit.draws.choice(order["items"])
    choice = visit.choose(item)
    difference = changes.difference_of([item], [choice]) if choice else 0.0
    able = [name for name in visit.balances.able_to_pay(difference) if name != cards[0]]
    if choice is None or difference <= balance or not able:
        return None
    other = visit.draws.choice(able)
    reference = visit.refer(order, [item])
    first = changes.swap_beat(visit, order, [item], [choice], reference, Payment(cards[0]))
    say = f"{first['say']} {visit.wording.say('pay_said', method=visit.describe(cards[0]))}"
    first |= {"first": first.pop("write"), "options": [dict(choice.variant["options"])], "payment": "gift_card"}
    first["say"] = sentences(f"{visit.wording.say('context')} {say}")
    first["calls"] += [visit.profile(), _subtraction(item, choice)]
    first["refusal"] = f"the gift card holds {dollars(balance)}, and the difference is {dollars(difference)}"
    words = {"payment": visit.wording.sentence("method", method=visit.describe(other))}
    payment = Payment(other, words=words)
    say = f"{visit.wording.say('fallback')} {visit.wording.say('other_method', method=visit.describe(other))}"
    then = refusals.beat_otherwise(visit, say, reference, payment)
    then["words"]["options"] = first["words"]["options"]
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    write = changes.swap_action(tool, order, [item], [choice], payment)
    return Part((first, then), (write,), cost=4 + choice.cost + reference.cost)


def refund_elsewhere(visit: Visit) -> Part | None:
    """A refund to a method that did not pay; then to a gift card, to the original method, or no return at all."""
    order = visit.draw_order("delivered")
    if order is None:
        return None
    methods, original = visit.user["payment_methods"], order["payment_history"][0]["payment_method_id"]
    others = [name for name in methods if name != original and methods[name]["source"] != "gift_card"]
    if not others:
        return None
    items, core, reference = _returned(visit, order)
    wrong = visit.describe(visit.draws.choice(others))
    said = f"{visit.wording.say('context')} {core} {visit.wording.say('refund_only', method=wrong)}"
    vain = refusals.beat_in_vain(visit, said, reference, refusals.ONLY_ORIGINAL, payment=sentences(f"{wrong}."))
    vain["calls"].append(visit.profile())
    way = visit.draws.below(100)
    if way < 30:
        return Part((vain,), cost=3 + reference.cost)
    cards = [name for name in methods if name != original and methods[name]["source"] == "gift_card"]
    chosen = visit.draws.choice(cards) if cards and way < 65 else original
    means = visit.describe(chosen)
    say = f"{visit.wording.say('fallback')} {visit.wording.say('refund_instead', method=means)}"
    payment = Payment(chosen, words={"payment": visit.wording.sentence("method", method=means)})
    then = refusals.beat_otherwise(visit, say, reference, payment)
    return Part((vain, then), (changes.return_action(order, items, payment),), cost=4 + reference.cost)


def put_back(visit: Visit) -> Part | None:
    """Move the profile and the pending orders, and then put the profile's address back as it was."""
    home = changes.parts_of(visit.user["address"])
    moved = changes.move(visit)
    if moved is None:
        return None
    profile, *orders = moved.beats
    back: Beat = {
        "write": len(moved.writes),
        "say": visit.wording.sentence("put_back"),
        "words": {"address": visit.wording.sentence("as_it_was")},
    }
    beats = (profile | {"calls": [visit.profile()]}, *orders, back)
    return Part(beats, (*moved.writes, changes.profile_action(visit, home)), cost=moved.cost + 3)


def one_order_and_home(visit: Visit) -> Part | None:
    """The same new address for one pending order, and then for the profile."""
    order = visit.draw_order("pending")
    if order is None or visit.moved:
        return None
    visit.moved = True
    address = visit.new_address(visit.user["address"])
    reference, where = visit.refer(order), one_line(address)
    core = visit.wording.say("redirect", order=reference.name, place=where)
    first: Beat = {
        "write": 0,
        "say": sentences(f"{visit.wording.say('context')} {core}"),
        "words": {**reference.words, "address": f"{where}."},
        "calls": list(reference.calls),
    }
    then: Beat = {"write": 1, "say": visit.wording.sentence("home_too"), "words": {"address": f"{where}."}}
    return Part((first, then), (changes.address_action(order, address), changes.profile_action(visit, address)), cost=4)


def _returned(visit: Visit, order: Row) -> tuple[list[Row], str, Reference]:
    """What of an order goes back, and the sentence that says so: one or two things, or all but one."""
    items = list(order["items"])
    if len(items) > 2 and visit.draws.below(3) == 0:
        kept, reference = visit.draws.choice(items), visit.refer(order)
        named = f"the {visit.wording.item(kept['name'])}"
        core = visit.wording.say("return_all_but", order=reference.name, kept=named)
        return [item for item in items if item is not kept], core, reference
    chosen = visit.draws.sample(items, 1 + visit.draws.below(min(2, len(items))))
    reference = visit.refer(order, chosen)
    named = listed([f"the {visit.wording.item(item['name'])}" for item in chosen])
    return chosen, visit.wording.say("send_back", items=f"{named}{reference.tail}"), reference


def _return_midway(visit: Visit, order: Row, item: Row) -> Interrupted:
    payment, reference = changes.refund_of(visit, order), visit.refer(order, [item])
    named = visit.wording.item(item["name"])
    say = visit.wording.say("send_back", items=f"the {named}{reference.tail}")
    what = f"return {item['name']} (item {item['item_id']}), refund to {payment.id}."
    first: Beat = {
        "first": 0,
        "say": sentences(f"{visit.wording.say('context')} {say} {payment.said}"),
        "words": {**reference.words, **payment.words},
        "asks": list(payment.asks),
        "calls": [*reference.calls, *payment.calls],
        "answer": f"Delivered order {order['order_id']}: {what}",
    }
    answer = f"The refund for the {casual(item['name'])} is {dollars(item['price'])}."
    money = Fact("tell_refund", (plain(item["price"]),), answer)
    then = plain_beat(visit.wording.say("go_on_return", item=named), reference, _heard(payment))
    write = changes.return_action(order, [item], payment)
    return Interrupted(first, then, write, money, reference, item, 3 + reference.cost)


def _cancellation_midway(visit: Visit, order: Row) -> Interrupted | None:
    if len(order["payment_history"]) != 1:
        return None
    reason, reference = visit.draws.choice(CANCEL_REASONS), visit.refer(order)
    why = visit.wording.say("needless" if reason == CANCEL_REASONS[0] else "mistaken")
    say = f"{visit.wording.say('context')} {visit.wording.say('cancel', order=reference.name)} {why}"
    first = refusals.beat_in_vain(visit, say, reference, "", reason=sentences(why))
    del first["refusal"]
    first["answer"] = f"Pending order {order['order_id']}: cancel it, reason: {reason}."
    then: Beat = {
        "write": 0,
        "say": visit.wording.sentence("go_on_cancel"),
        "words": {**reference.words, "reason": sentences(why)},
        "calls": list(reference.calls),
    }
    money = _money_of_an_order(order, "tell_refund")
    write = changes.cancel_action(order, reason)
    return Interrupted(first, then, write, money, reference, None, 3 + reference.cost)


def _swap_midway(visit: Visit, order: Row, item: Row) -> Interrupted | None:
    choice = visit.choose(item)
    payment = changes.settle_difference(visit, [item], [choice], order) if choice else None
    if choice is None or payment is None or not changes.difference_of([item], [choice]):
        return None
    reference = visit.refer(order, [item])
    first = changes.swap_beat(visit, order, [item], [choice], reference, payment)
    first |= {"first": first.pop("write"), "options": [dict(choice.variant["options"])]}
    first["say"] = sentences(f"{visit.wording.say('context')} {first['say']} {payment.said}")
    delivered = order["status"] == "delivered"
    new = ", ".join(f"{name} {value}" for name, value in choice.variant["options"].items())
    price = f"(${choice.variant['price']}, item {choice.variant['item_id']})"
    what = f"{'exchange' if delivered else 'modify'} {item['name']} (item {item['item_id']}) to {new} {price}."
    first["answer"] = f"{order['status'].capitalize()} order {order['order_id']}: {what} Payment: {payment.id}."
    rule = "go_on_swap" if delivered else "go_on_change"
    then = plain_beat(visit.wording.say(rule, item=visit.wording.item(item["name"])), reference, _heard(payment))
    then["words"]["options"] = first["words"]["options"]
    tool = changes.EXCHANGE if delivered else changes.MODIFY
    write = changes.swap_action(tool, order, [item], [choice], payment)
    return Interrupted(first, then, write, _gap("tell_difference", item, choice), reference, item, 4 + choice.cost)


def _midway(visit: Visit, order: Row, wish: Interrupted) -> Part | None:
    """A wish, a question where a yes is expected, and the wish again.

    Two in three ask for the money, the others for another fact of the order.
    """
    first, then = wish.first, wish.then
    other = visit.draws.choice(OTHER_FACTS)(visit, order) if visit.draws.below(3) == 0 else None
    fact = other if other and not visit.told & set(other.outputs) else wish.money
    if is_given(first["answer"], fact.outputs):
        return None
    first["turn"] = visit.wording.sentence("before_i_say_yes")
    here = Reference(visit.wording.say("this_order"), "", then["words"], (), 0)
    return Part((first, question(visit, fact, here, ""), then), (wish.write,), fact.outputs, wish.cost)


def is_given(proposal: str, outputs: Sequence[str]) -> bool:
    """Whether a proposal says one of some answers already, so that nobody would ask for it."""
    return any(len(output) > ACCIDENTAL_CHARACTERS and output.lower() in proposal.lower() for output in outputs)


def _money_of_an_order(order: Row, rule: str) -> Fact:
    amount = order["payment_history"][0]["amount"]
    return Fact(rule, (plain(amount),), f"For order {order['order_id']} you get {dollars(amount)} back.")


def _gap(rule: str, item: Row, choice: Choice) -> Fact:
    """The difference in price between an item and what comes instead."""
    difference = changes.difference_of([item], [choice])
    amount = dollars(abs(difference))
    answer = f"You pay {amount} more." if difference > 0 else f"You get {amount} back."
    return Fact(rule, (plain(abs(difference)),), answer, (_subtraction(item, choice),))


def _subtraction(item: Row, choice: Choice) -> Call:
    return call("calculate", expression=f"{choice.variant['price']} - {item['price']}")


def _swap(visit: Visit, order: Row, item: Row) -> tuple[Beat, Action, Fact] | None:
    choice = visit.choose(item)
    difference = changes.difference_of([item], [choice]) if choice else 0.0
    payment = changes.settle_difference(visit, [item], [choice], order) if choice else None
    if choice is None or payment is None or not difference:
        return None
    if plain(abs(difference)) in str(choice.variant["price"]):
        return None
    beat = changes.swap_beat(visit, order, [item], [choice], visit.refer(order, [item]), payment)
    beat["say"] = f"{beat['say']} {payment.said}"
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    write = changes.swap_action(tool, order, [item], [choice], payment)
    return beat, write, _gap("paid_after" if difference > 0 else "back_after", item, choice)


def _cancellation(visit: Visit, order: Row) -> tuple[Beat, Action, Fact] | None:
    if len(order["payment_history"]) != 1:
        return None
    beat, reason = changes.cancellation(visit, visit.refer(order), "")
    return beat, changes.cancel_action(order, reason), _money_of_an_order(order, "back_after")


def _return(visit: Visit, order: Row, items: Sequence[Row]) -> tuple[Beat, Action, Fact]:
    payment, reference = changes.refund_of(visit, order), visit.refer(order, items)
    named = listed([f"the {visit.wording.item(item['name'])}" for item in items])
    say = visit.wording.say("send_back", items=f"{named}{reference.tail}")
    beat = plain_beat(f"{say} {payment.said}", reference, payment)
    amount = round(sum(item["price"] for item in items), 2)
    sum_up = (call("calculate", expression=" + ".join(str(item["price"]) for item in items)),)
    answer = f"You get {dollars(amount)} back in all."
    money = Fact("back_after", (plain(amount),), answer, sum_up if len(items) > 1 else ())
    return beat, changes.return_action(order, items, payment), money


def _order_beyond(visit: Visit, order: Row, card: str, balance: float) -> Part | None:
    """Pay a pending order with a gift card that does not hold enough; else with another method."""
    if len(order["payment_history"]) != 1:
        return None
    paid = order["payment_history"][0]
    able = [name for name in visit.balances.able_to_pay(paid["amount"]) if name != paid["payment_method_id"]]
    if paid["amount"] <= balance or card in able or not able:
        return None
    other, reference = visit.draws.choice(able), visit.refer(order)
    core = visit.wording.say("pay_otherwise", order=reference.name)
    said = f"{core} {visit.wording.say('pay_order_said', method=visit.describe(card))}"
    first: Beat = {
        "first": 0,
        "payment": "gift_card",
        "say": sentences(f"{visit.wording.say('context')} {said}"),
        "words": dict(reference.words),
        "refusal": f"the gift card holds {dollars(balance)}, and the order cost {dollars(paid['amount'])}",
        "calls": [*reference.calls, visit.profile()],
    }
    words = {"payment": visit.wording.sentence("method", method=visit.describe(other))}
    say = f"{visit.wording.say('fallback')} {visit.wording.say('other_method', method=visit.describe(other))}"
    then = refusals.beat_otherwise(visit, say, reference, Payment(other, words=words))
    write = Action("modify_pending_order_payment", {"order_id": order["order_id"], "payment_method_id": other})
    return Part((first, then), (write,), cost=4 + reference.cost)


def _heard(payment: Payment) -> Payment:
    """A payment method that an agent has heard by now."""
    return replace(payment, asks=(), calls=())
