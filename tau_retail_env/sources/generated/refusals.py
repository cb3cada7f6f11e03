"""Parts of a call that cannot be granted as asked: refusals, fall-backs, changes of mind, transfers, conditions."""

from __future__ import annotations

from collections.abc import Mapping

from tau_retail_env.sources.generated import changes
from tau_retail_env.sources.generated.choosing import unavailable
from tau_retail_env.sources.generated.visit import TRANSFER, Beat, Part, Payment, Reference, Row, Visit, call, dollars
from tau_retail_env.sources.generated.wording import casual, sentences
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks.task import Action

ONLY_ONE_METHOD = "an order can only be paid with one payment method"
ONLY_WHOLE = "an order can only be cancelled as a whole, not single items of it"
ONLY_REASONS = "an order can only be cancelled because it is no longer needed or was ordered by mistake"
ONLY_ORIGINAL = "a refund can only go to the original payment method or to a gift card"
ONLY_SAME_PRODUCT = "an item can only be exchanged for another version of the same product"
ONLY_OWN = "I can only help with your own account"

CANNOT: Mapping[str, tuple[tuple[str, ...], str]] = {
    "lost_item": (("delivered",), "a lost or stolen item can be neither refunded nor replaced"),
    "undo_cancellation": (("cancelled",), "a cancelled order cannot be brought back"),
    "delivery_date": (("pending", "processed"), "our records hold no date of delivery, so I cannot promise one"),
    "discount": (("pending", "delivered"), "I cannot change prices or give discounts"),
    "add_item": (("pending",), "nothing can be added to an order"),
}
"""What no rule allows, by the rule of the grammar that asks for it: the orders it is about, and why not."""


def late_cancellation(visit: Visit) -> Part | None:
    """Cancel what is delivered or on its way; of a delivered order an item is returned instead, or nothing is."""
    order = visit.draw_order("delivered", "processed")
    if order is None:
        return None
    reference = visit.refer(order)
    refusal = f"order {order['order_id']} is {order['status']}, and only pending orders can be cancelled"
    say = f"{visit.wording.say('context')} {visit.wording.say('cancel', order=reference.name)}"
    vain = beat_in_vain(visit, say, reference, refusal, reason=visit.wording.sentence("needless"))
    if order["status"] == "processed" or visit.draws.below(2):
        return Part((vain,), cost=2 + reference.cost)
    return or_return(visit, order, vain, reference)


def early_return(visit: Visit) -> Part | None:
    """Return an item of an order that has not come; a pending one is cancelled instead, or nothing is."""
    order = visit.draw_order("pending", "processed")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    reference = visit.refer(order, [item])
    refusal = f"order {order['order_id']} is {order['status']}, and only delivered orders can be returned"
    items = f"the {visit.wording.item(item['name'])}{reference.tail}"
    say = f"{visit.wording.say('context')} {visit.wording.say('send_back', items=items)}"
    vain = beat_in_vain(visit, say, reference, refusal)
    if order["status"] == "processed" or visit.draws.below(2):
        return Part((vain,), cost=2 + reference.cost)
    return or_cancel(visit, order, vain, reference)


def part_of_an_order(visit: Visit) -> Part | None:
    """Cancel a single item of a pending order; else the whole order, or nothing."""
    order = visit.draw_order("pending")
    if order is None or len(order["items"]) < 2:
        return None
    item = visit.draws.choice(order["items"])
    reference = visit.refer(order, [item])
    say = visit.wording.say("cancel_item", item=f"the {visit.wording.item(item['name'])}{reference.tail}")
    vain = beat_in_vain(visit, f"{visit.wording.say('context')} {say}", reference, ONLY_WHOLE)
    if visit.draws.below(2):
        return Part((vain,), cost=2 + reference.cost)
    return or_cancel(visit, order, vain, reference)


def other_reason(visit: Visit) -> Part | None:
    """Cancel a pending order for a reason that is not accepted."""
    order = visit.draw_order("pending")
    if order is None:
        return None
    reference, why = visit.refer(order), visit.wording.say("bad_reason")
    say = f"{visit.wording.say('context')} {visit.wording.say('cancel', order=reference.name)} {why}"
    return Part((beat_in_vain(visit, say, reference, ONLY_REASONS, reason=sentences(why)),), cost=2 + reference.cost)


def other_refund(visit: Visit) -> Part | None:
    """Return items with the money going to a method that cannot be had; else to the original one, or a human."""
    order = visit.draw_order("delivered")
    if order is None:
        return None
    methods, original = visit.user["payment_methods"], order["payment_history"][0]["payment_method_id"]
    others = [name for name in methods if name != original and methods[name]["source"] != "gift_card"]
    item = visit.draws.choice(order["items"])
    reference = visit.refer(order, [item])
    items = f"the {visit.wording.item(item['name'])}{reference.tail}"
    method = visit.describe(visit.draws.choice(others)) if others else visit.wording.say("new_method")
    core = f"{visit.wording.say('send_back', items=items)} {visit.wording.say('refund_said', method=method)}"
    said = f"{visit.wording.say('context')} {core}"
    vain = beat_in_vain(visit, said, reference, ONLY_ORIGINAL, payment=sentences(f"{method}."))
    vain["calls"].append(visit.profile())
    if visit.draws.below(100) < 30:
        return or_human(visit, vain, "The customer wants a refund to another payment method.", reference.cost)
    payment = Payment(
        original, words={"payment": visit.wording.sentence("method", method=visit.wording.say("original"))}
    )
    otherwise = beat_otherwise(visit, visit.wording.sentence("then_original"), reference, payment)
    return Part((vain, otherwise), (changes.return_action(order, [item], payment),), cost=3 + reference.cost)


def other_product(visit: Visit) -> Part | None:
    """Exchange an item for another product; else return it, or keep it."""
    order = visit.draw_order("delivered")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    products = shop_database()["products"].values()
    other = visit.draws.choice(sorted(each["name"] for each in products if each["name"] != item["name"]))
    reference = visit.refer(order, [item])
    pairs = f"my {visit.wording.item(item['name'])}{reference.tail} for the {visit.wording.item(other)} you sell"
    say = f"{visit.wording.say('context')} {visit.wording.say('swap', pairs=pairs)}"
    vain = beat_in_vain(visit, say, reference, ONLY_SAME_PRODUCT)
    if visit.draws.below(2):
        return Part((vain,), cost=2 + reference.cost)
    return or_return(visit, order, vain, reference, item)


def late_redirection(visit: Visit) -> Part | None:
    """Change the address of an order that is on its way or there."""
    order = visit.draw_order("processed", "delivered")
    if order is None:
        return None
    reference = visit.refer(order)
    refusal = f"order {order['order_id']} is {order['status']}, and only pending orders can be changed"
    say = f"{visit.wording.say('context')} {visit.wording.say('redirect_late', order=reference.name)}"
    return Part((beat_in_vain(visit, say, reference, refusal),), cost=2 + reference.cost)


def split_payment(visit: Visit) -> Part | None:
    """Pay a pending order with two methods; else with another single one, or as before."""
    order = visit.draw_order("pending")
    if order is None or len(order["payment_history"]) != 1:
        return None
    reference = visit.refer(order)
    say = f"{visit.wording.say('context')} {visit.wording.say('split', order=reference.name)}"
    vain = beat_in_vain(visit, say, reference, ONLY_ONE_METHOD)
    paid = order["payment_history"][0]
    able = [name for name in visit.balances.able_to_pay(paid["amount"]) if name != paid["payment_method_id"]]
    if not able:
        return Part((vain,), cost=2 + reference.cost)
    payment = visit.pay(able, None, "pay_order_said")
    visit.balances.pay(payment.id, paid["amount"])
    say = f"{visit.wording.say('fallback')} {visit.wording.say('just_one', method=visit.describe(payment.id))}"
    otherwise = beat_otherwise(visit, say, reference, Payment(payment.id, words=payment.words))
    otherwise["calls"] = [*reference.calls, visit.profile()]
    write = Action("modify_pending_order_payment", {"order_id": order["order_id"], "payment_method_id": payment.id})
    return Part((vain, otherwise), (write,), cost=3 + reference.cost)


def impossible(visit: Visit) -> Part | None:
    """Something that no rule allows; a customer who insists gets a human."""
    rule = visit.draws.choice(sorted(CANNOT))
    statuses, refusal = CANNOT[rule]
    order = visit.draw_order(*statuses)
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    reference = visit.refer(order, [item])
    say = visit.wording.say(rule, item=f"{visit.wording.item(item['name'])}{reference.tail}", order=reference.name)
    vain = beat_in_vain(visit, f"{visit.wording.say('context')} {say}", reference, refusal)
    if visit.draws.below(100) < 25:
        return or_human(visit, vain, "The customer insists on what is not possible.", reference.cost)
    if order["status"] == "pending" and visit.draws.below(2):
        return or_cancel(visit, order, vain, reference)
    return Part((vain,), cost=2 + reference.cost)


def other_person(visit: Visit) -> Part | None:
    """Ask for something in the account of somebody else."""
    beat: Beat = {"vain": _with_small_talk(visit, "other_person"), "refusal": ONLY_OWN}
    return Part((beat,), cost=1)


def out_of_scope(visit: Visit) -> Part | None:
    """Ask for what no tool can do: the agent transfers, and the call ends."""
    rule = visit.draws.choice(("new_email", "new_method_wish", "new_order", "close_account", "lost_parcel"))
    summary = visit.wording.say(f"{rule}_summary")
    beat: Beat = {"transfer": _with_small_talk(visit, rule), "calls": [call(TRANSFER, summary=summary)]}
    return Part((beat,), cost=2, last=True)


def fallback(visit: Visit) -> Part | None:
    """Wish for a version that is not to be had; else another version, a return, a cancellation, or nothing."""
    found = unavailable_wish(visit)
    if found is None:
        return None
    order, item, wish, reference = found
    delivered = order["status"] == "delivered"
    first = first_wish(visit, order, item, wish, reference)
    way = visit.draws.below(100)
    if way < 50:
        return or_choice(visit, order, item, first, reference)
    if way < 80:
        then = (
            or_return(visit, order, first, reference, item) if delivered else or_cancel(visit, order, first, reference)
        )
        first["kind"], first["items"] = "exchange" if delivered else "modify_items", [item["name"]]
        return then
    vain = {key: first[key] for key in ("words", "refusal", "calls")} | {"vain": first["say"]}
    return Part((vain,), cost=2 + reference.cost)


def condition(visit: Visit) -> Part | None:
    """Wish for a version that is not to be had, and say at once to return the item else."""
    found = unavailable_wish(visit, "delivered")
    if found is None:
        return None
    order, item, wish, reference = found
    payment = changes.refund_of(visit, order)
    wanted = visit.wording.options(wish)
    missing = f"{casual(item['name'])} is not available {visit.wording.with_options}{wanted}"
    core = visit.wording.say(
        "return_unless", item=f"my {visit.wording.item(item['name'])}{reference.tail}", option=wanted
    )
    product = call("get_product_details", product_id=item["product_id"])
    beat: Beat = {
        "write": 0,
        "say": sentences(f"{visit.wording.say('context')} {core} {payment.said}"),
        "words": {**reference.words, **payment.words},
        "asks": list(payment.asks),
        "calls": [*reference.calls, product, *payment.calls],
        "answer": f"The {missing} and otherwise the same.",
    }
    return Part((beat,), (changes.return_action(order, [item], payment),), cost=3 + reference.cost)


def price_limit(visit: Visit) -> Part | None:
    """Return an item only if it cost more than so much; below that, keep it."""
    order = visit.draw_order("delivered")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    reference, name = visit.refer(order, [item]), casual(item["name"])
    limit = 10 * round(item["price"] * (0.6 + visit.draws.below(80) / 100) / 10)
    core = visit.wording.say(
        "return_if_dear", item=f"my {visit.wording.item(item['name'])}{reference.tail}", limit=f"${limit}"
    )
    say = f"{visit.wording.say('context')} {core}"
    if item["price"] <= limit:
        answer = f"The {name} cost {dollars(item['price'])}, which is not more than ${limit}, so nothing is returned."
        kept: Beat = {"ask": sentences(say), "words": reference.words, "calls": list(reference.calls), "answer": answer}
        return Part((kept,), cost=2 + reference.cost)
    payment = changes.refund_of(visit, order)
    beat: Beat = {
        "write": 0,
        "say": sentences(f"{say} {payment.said}"),
        "words": {**reference.words, **payment.words},
        "asks": list(payment.asks),
        "calls": [*reference.calls, *payment.calls],
        "answer": f"The {name} cost {dollars(item['price'])}.",
    }
    return Part((beat,), (changes.return_action(order, [item], payment),), cost=2 + reference.cost)


def other_choice(visit: Visit) -> Part | None:
    """Change one's mind about the version when asked to confirm."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    regretted, wanted = (visit.choose(item) for _ in range(2))
    if regretted is None or wanted is None or regretted.variant is wanted.variant:
        return None
    payment = changes.settle_difference(visit, [item], [wanted], order)
    if payment is None:
        return None
    reference = visit.refer(order, [item])
    first = changes.swap_beat(visit, order, [item], [regretted], reference, payment)
    first |= {"first": first.pop("write"), "options": [dict(regretted.variant["options"])], "asks": []}
    first["say"] = sentences(f"{visit.wording.say('context')} {first['say']} {payment.said}")
    first["turn"] = visit.wording.sentence("wait")
    changed = {name: value for name, value in regretted.variant["options"].items() if item["options"][name] != value}
    new = ", ".join(f"{name} {value}" for name, value in changed.items())
    verb = "Exchange" if order["status"] == "delivered" else "Modify"
    first["answer"] = f"{verb} in {order['order_id']}: {item['name']} to {new}."
    then = changes.swap_beat(visit, order, [item], [wanted], reference, payment)
    then["say"] = visit.wording.sentence("rather", target=wanted.words)
    then["otherwise"] = True
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    write = changes.swap_action(tool, order, [item], [wanted], payment)
    return Part((first, then), (write,), cost=3 + wanted.cost + reference.cost)


def kept_after_all(visit: Visit) -> Part | None:
    """Regret a cancellation when asked to confirm it."""
    order = visit.draw_order("pending")
    if order is None:
        return None
    reference, why = visit.refer(order), visit.wording.say("needless")
    say = f"{visit.wording.say('context')} {visit.wording.say('cancel', order=reference.name)} {why}"
    beat = beat_in_vain(visit, say, reference, "")
    beat |= {"turn": visit.wording.sentence("keep"), "answer": f"Cancel {order['order_id']}, reason: no longer needed."}
    beat["words"]["reason"] = sentences(why)
    del beat["refusal"]
    return Part((beat,), cost=2 + reference.cost)


def fewer_items(visit: Visit) -> Part | None:
    """Return two items, and keep one of them when asked to confirm."""
    order = visit.draw_order("delivered")
    if order is None or len(order["items"]) < 2:
        return None
    kept, sent = visit.draws.sample(order["items"], 2)
    payment, reference = changes.refund_of(visit, order), visit.refer(order, [kept, sent])
    names = [visit.wording.item(item["name"]) for item in (kept, sent)]
    say = visit.wording.say("send_back", items=f"the {names[0]} and the {names[1]}{reference.tail}")
    first: Beat = {
        "first": 0,
        "items": [kept["name"], sent["name"]],
        "say": sentences(f"{visit.wording.say('context')} {say} {payment.said}"),
        "words": {**reference.words, **payment.words},
        "calls": [*reference.calls, *payment.calls],
        "turn": visit.wording.sentence("wait"),
        "answer": f"Return {kept['name']}, {sent['name']} of {order['order_id']}.",
    }
    then = beat_otherwise(visit, visit.wording.sentence("only_one", item=names[1], kept=names[0]), reference, payment)
    then["asks"] = list(payment.asks)
    return Part((first, then), (changes.return_action(order, [sent], payment),), cost=3 + reference.cost)


def _with_small_talk(visit: Visit, rule: str) -> str:
    return sentences(f"{visit.wording.say('small_talk')} {visit.wording.say(rule)}")


def unavailable_wish(visit: Visit, *statuses: str) -> tuple[Row, Row, dict[str, str], Reference] | None:
    """An order, an item of it, and an option's value with which that is not to be had."""
    order = visit.draw_order(*(statuses or ("delivered", "pending")))
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    wish = unavailable(visit.draws, item)
    return None if wish is None else (order, item, wish, visit.refer(order, [item]))


def first_wish(visit: Visit, order: Row, item: Row, wish: dict[str, str], reference: Reference) -> Beat:
    """The beat of a wish for a version that is not to be had."""
    wanted = visit.wording.options(wish)
    missing = f"{casual(item['name'])} is not available {visit.wording.with_options}{wanted}"
    words = visit.wording.say("target_exact", options=wanted, rest=visit.wording.say("rest"))
    pairs = f"my {visit.wording.item(item['name'])}{reference.tail} for {words}"
    core = visit.wording.say("swap" if order["status"] == "delivered" else "change", pairs=pairs)
    return {
        "first": 0,
        "options": [wish],
        "say": sentences(f"{visit.wording.say('context')} {core}"),
        "words": {**reference.words, "options": sentences(f"{words}.")},
        "refusal": f"the {missing} and otherwise the same",
        "calls": [*reference.calls, call("get_product_details", product_id=item["product_id"])],
    }


def or_choice(visit: Visit, order: Row, item: Row, first: Beat, reference: Reference) -> Part | None:
    """What is refused, and then another version of the item."""
    choice = visit.choose(item)
    payment = changes.settle_difference(visit, [item], [choice], order) if choice else None
    if choice is None or payment is None:
        return None
    then = changes.swap_beat(visit, order, [item], [choice], reference, payment)
    then["say"] = sentences(
        f"{visit.wording.say('fallback')} {visit.wording.say('rather', target=choice.words)} {payment.said}"
    )
    then["otherwise"] = True
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    write = changes.swap_action(tool, order, [item], [choice], payment)
    return Part((first, then), (write,), cost=3 + choice.cost + reference.cost)


def or_return(visit: Visit, order: Row, before: Beat, reference: Reference, item: Row | None = None) -> Part:
    """What is refused, and then a return of an item; of any one where none is given."""
    payment = changes.refund_of(visit, order)
    item = item or visit.draws.choice(order["items"])
    say = visit.wording.say("send_back", items=f"the {visit.wording.item(item['name'])}")
    otherwise = beat_otherwise(visit, f"{visit.wording.say('fallback')} {say} {payment.said}", reference, payment)
    otherwise["asks"] = list(payment.asks)
    return Part((before, otherwise), (changes.return_action(order, [item], payment),), cost=3 + reference.cost)


def or_cancel(visit: Visit, order: Row, before: Beat, reference: Reference) -> Part:
    """What is refused, and then a cancellation of the whole order."""
    whole = Reference("the whole order", "", reference.words, reference.calls, reference.cost)
    otherwise, reason = changes.cancellation(visit, whole, visit.wording.say("fallback"))
    otherwise["otherwise"] = True
    return Part((before, otherwise), (changes.cancel_action(order, reason),), cost=3 + reference.cost)


def or_human(visit: Visit, before: Beat, summary: str, cost: int) -> Part:
    """What is refused, and then a human agent."""
    transfer = [call(TRANSFER, summary=summary)]
    human: Beat = {"transfer": visit.wording.sentence("human"), "otherwise": True, "calls": transfer}
    return Part((before, human), cost=3 + cost, last=True)


def beat_in_vain(visit: Visit, say: str, reference: Reference, refusal: str, **words: str) -> Beat:
    """The beat of a wish that is refused."""
    return {
        "vain": sentences(say),
        "words": {**reference.words, **words},
        "refusal": refusal,
        "calls": list(reference.calls),
    }


def beat_otherwise(visit: Visit, say: str, reference: Reference, payment: Payment) -> Beat:
    """The beat of the write that is asked for after a refusal."""
    return {
        "write": 0,
        "otherwise": True,
        "say": sentences(say),
        "words": {**reference.words, **payment.words},
        "calls": [*reference.calls, *payment.calls],
    }
