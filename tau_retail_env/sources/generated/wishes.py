"""Parts of a call of the fifth series that must be refused, and what the customer falls back on, if on anything."""

from __future__ import annotations

from tau_retail_env.sources.generated import changes, refusals
from tau_retail_env.sources.generated.choosing import along, changed, comparatives, rank_of, rest_of, sold, values_of
from tau_retail_env.sources.generated.picking import NOT_NAMED
from tau_retail_env.sources.generated.requests import CANCEL_REASONS
from tau_retail_env.sources.generated.shapes import choose_instead, other_types, plain_beat
from tau_retail_env.sources.generated.visit import Beat, Part, Reference, Row, Visit, call
from tau_retail_env.sources.generated.wording import casual, sentences
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks.task import Action

EITHER = "a delivered order can be either returned or exchanged, and only once"
ONCE = "the items of a pending order can be changed only once"
TWO_ORDERS = 2
"""How many of a kind a customer has that speaks of "the other one"."""
WHO_PAID = "the refund of a cancelled order goes to the payment method that paid for it"


def return_and_exchange(visit: Visit) -> Part | None:
    """Return an item of an order and exchange another one: only one of both is granted, which the customer chooses."""
    order = visit.draw_order("delivered")
    if order is None or len(order["items"]) < 2:
        return None
    sent, swapped = visit.draws.sample(order["items"], 2)
    reference = visit.refer(order, [sent])
    choice = visit.choose(swapped)
    if choice is None:
        return None
    pair = f"the {visit.wording.item(swapped['name'])} for {choice.words}"
    named = f"the {visit.wording.item(sent['name'])}"
    say = visit.wording.say("one_back_one_swapped", order=reference.name, item=named, pair=pair)
    vain = refusals.beat_in_vain(visit, f"{visit.wording.say('context')} {say}", reference, EITHER)
    way = visit.draws.below(100)
    if way < 25:
        return Part((vain,), cost=3 + reference.cost)
    again = Reference(reference.name, "", reference.words, reference.calls, 0)
    if way < 60:
        payment = changes.settle_difference(visit, [swapped], [choice], order)
        if payment is None:
            return None
        then = changes.swap_beat(visit, order, [swapped], [choice], again, payment)
        only = visit.wording.say("only_the_exchange", pair=pair)
        then |= {"say": sentences(f"{visit.wording.say('fallback')} {only} {payment.said}"), "otherwise": True}
        write = changes.swap_action(changes.EXCHANGE, order, [swapped], [choice], payment)
        return Part((vain, then), (write,), cost=4 + choice.cost + reference.cost)
    items = [sent] if way < 85 else [sent, swapped]
    rule = "only_the_return" if way < 85 else "both_returned"
    payment = changes.refund_of(visit, order)
    only = visit.wording.say(rule, item=named, other=f"the {visit.wording.item(swapped['name'])}")
    then = plain_beat(f"{visit.wording.say('fallback')} {only} {payment.said}", again, payment) | {"otherwise": True}
    return Part((vain, then), (changes.return_action(order, items, payment),), cost=4 + reference.cost)


def returned_then_more(visit: Visit) -> Part | None:
    """Return or exchange an item, and then want something done with another one of the order: too late."""
    order = visit.draw_order("delivered")
    if order is None or len(order["items"]) < 2:
        return None
    item, other = visit.draws.sample(order["items"], 2)
    reference = visit.refer(order, [item])
    done = _first_of_two(visit, order, item, reference)
    if done is None:
        return None
    beat, write = done
    named = f"the {visit.wording.item(other['name'])}"
    say = visit.wording.say("also_return" if visit.draws.below(2) else "also_exchange", item=named)
    here = Reference(visit.wording.say("this_order"), "", reference.words, reference.calls, 0)
    return Part((beat, refusals.beat_in_vain(visit, say, here, EITHER)), (write,), cost=4 + reference.cost)


def changed_twice(visit: Visit) -> Part | None:
    """Change an item of a pending order, and then another one of it: too late; so is a cancellation."""
    order = visit.draw_order("pending")
    if order is None or len(order["items"]) < 2:
        return None
    item, other = visit.draws.sample(order["items"], 2)
    reference = visit.refer(order, [item])
    then = choose_instead(visit, order, item, reference, "context")
    if then is None:
        return None
    beat, write, cost = then
    here = Reference(visit.wording.say("this_order"), "", reference.words, reference.calls, 0)
    say = visit.wording.say("also_change", item=f"the {visit.wording.item(other['name'])}")
    beats = [beat, refusals.beat_in_vain(visit, say, here, ONCE)]
    if visit.draws.below(3) == 0:
        say = f"{visit.wording.say('fallback')} {visit.wording.say('cancel', order=here.name)}"
        refusal = f"order {order['order_id']} has changed items, and such an order can no longer be cancelled"
        late = refusals.beat_in_vain(visit, say, here, refusal, reason=visit.wording.sentence("needless"))
        beats.append(late | {"otherwise": True})
    return Part(tuple(beats), (write,), cost=3 + cost + reference.cost)


def not_in_stock(visit: Visit) -> Part | None:
    """A version that the shop has, but not in stock: refused, without another one being proposed."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    stocked = [each["options"] for each in sold(item["product_id"]) if each["available"]]
    wishes = [
        wish
        for each in sold(item["product_id"])
        if not each["available"]
        and each["options"] not in stocked
        and each["options"] != item["options"]
        and len(wish := changed(item, each)) < 4
        and not set(wish.values()) & set(NOT_NAMED)
    ]
    if not wishes:
        return None
    reference = visit.refer(order, [item])
    first = refusals.first_wish(visit, order, item, visit.draws.choice(wishes), reference)
    return _or_else(visit, order, item, first, reference)


def not_like_another(visit: Visit) -> Part | None:
    """The type that the customer has in another order, where that is not in stock."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    pairs = [pair for pair in other_types(visit, order) if visit.count_of(pair[0]) == TWO_ORDERS]
    stocked = {each["item_id"] for item, _, _ in pairs for each in sold(item["product_id"]) if each["available"]}
    pairs = [pair for pair in pairs if pair[2]["item_id"] not in stocked]
    if not pairs:
        return None
    item, other, _ = visit.draws.choice(pairs)
    visit.take(other)
    reference, target = visit.refer(order, [item]), visit.refer(other)
    words = visit.wording.say(f"like_that_{'coming' if other['status'] == 'pending' else 'had'}")
    pairs_told = f"my {visit.wording.item(item['name'])}{reference.tail} for {words}"
    say = visit.wording.say("swap" if order["status"] == "delivered" else "change", pairs=pairs_told)
    which = visit.wording.sentence("in_that_order", order=target.name)
    refusal = f"the {casual(item['name'])} of order {other['order_id']} is not available any more"
    said = f"{visit.wording.say('context')} {say}"
    vain = refusals.beat_in_vain(visit, said, reference, refusal, options=sentences(f"{words}. {which}"))
    product = call("get_product_details", product_id=item["product_id"])
    vain["calls"] = [*reference.calls, *visit.search(other), product]
    return _after_refusal(visit, order, item, vain, reference)


def no_further_step(visit: Visit) -> Part | None:
    """A bigger one, say, where none in stock is bigger and otherwise the same."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    missing = []
    for name, steps in comparatives().items():
        own = rank_of(item["product_id"], name, item["options"].get(name, ""))
        if own is None or len(values_of(item["product_id"], name)) < 2:
            continue
        missing += [(name, up, steps[0 if up else 1]) for up in (True, False) if not along(item, name, own, up)]
    if not missing:
        return None
    name, up, words = visit.draws.choice(missing)
    reference = visit.refer(order, [item])
    target = f"{words}{rest_of(visit.wording, item, 1)}"
    pairs = f"my {visit.wording.item(item['name'])}{reference.tail} for {target}"
    say = visit.wording.say("swap" if order["status"] == "delivered" else "change", pairs=pairs)
    step = f"{'higher' if up else 'lower'} {name}"
    vain = refusals.beat_in_vain(
        visit,
        f"{visit.wording.say('context')} {say}",
        reference,
        f"no {casual(item['name'])} with a {step} that is otherwise the same is available",
        options=sentences(f"{target}."),
    )
    vain["calls"].append(call("get_product_details", product_id=item["product_id"]))
    return _after_refusal(visit, order, item, vain, reference)


def cancelled_onto_another(visit: Visit) -> Part | None:
    """A cancellation with the refund on a method that did not pay; then with the one that did, or none at all."""
    order = visit.draw_order("pending")
    if order is None:
        return None
    original = order["payment_history"][0]["payment_method_id"]
    others = [name for name in visit.user["payment_methods"] if name != original]
    if not others:
        return None
    reference, method = visit.refer(order), visit.describe(visit.draws.choice(others))
    core = visit.wording.say("cancel", order=reference.name)
    onto = visit.wording.say("refund_only", method=method)
    say = f"{visit.wording.say('context')} {core} {onto}"
    vain = refusals.beat_in_vain(visit, say, reference, WHO_PAID, reason=visit.wording.sentence("needless"))
    vain["words"]["payment"] = sentences(f"{method}.")
    vain["calls"].append(visit.profile())
    if visit.draws.below(100) < 45:
        return Part((vain,), cost=3 + reference.cost)
    reason = visit.draws.choice(CANCEL_REASONS)
    why = visit.wording.say("needless" if reason == CANCEL_REASONS[0] else "mistaken")
    vain["words"]["reason"] = sentences(why)
    say = visit.wording.sentence("cancel_all_the_same")
    then: Beat = {"write": 0, "otherwise": True, "say": sentences(f"{say} {why}")}
    then |= {"words": {**reference.words, "reason": sentences(why)}, "calls": list(reference.calls)}
    return Part((vain, then), (changes.cancel_action(order, reason),), cost=4 + reference.cost)


def other_kind_of_thing(visit: Visit) -> Part | None:
    """Another kind of product instead of an item; then another version of it, the end of the order, or nothing."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    held = {each["name"] for each in order["items"]}
    names = sorted(each["name"] for each in shop_database()["products"].values() if each["name"] not in held)
    reference = visit.refer(order, [item])
    other = f"the {visit.wording.item(visit.draws.choice(names))} you sell"
    named = f"the {visit.wording.item(item['name'])}{reference.tail}"
    say = visit.wording.say("another_kind", item=named, other=other)
    vain = refusals.beat_in_vain(visit, f"{visit.wording.say('context')} {say}", reference, refusals.ONLY_SAME_PRODUCT)
    return _after_refusal(visit, order, item, vain, reference)


def _or_else(visit: Visit, order: Row, item: Row, first: Beat, reference: Reference) -> Part | None:
    """A wish for a version that is not to be had, and what comes after it."""
    if visit.draws.below(100) < 35:
        return refusals.or_choice(visit, order, item, first, reference)
    vain = {key: first[key] for key in ("words", "refusal", "calls")} | {"vain": first["say"]}
    return _after_refusal(visit, order, item, vain, reference)


def _after_refusal(visit: Visit, order: Row, item: Row, vain: Beat, reference: Reference) -> Part | None:
    """Nothing more, another version, or a return or a cancellation of the whole order."""
    way = visit.draws.below(100)
    if way < 50:
        return Part((vain,), cost=2 + reference.cost)
    if way < 75:
        again = Reference(reference.name, "", reference.words, reference.calls, 0)
        then = choose_instead(visit, order, item, again, "fallback")
        if then is None:
            return None
        beat, write, cost = then
        return Part((vain, beat | {"otherwise": True}), (write,), cost=2 + cost + reference.cost)
    if order["status"] == "pending":
        return refusals.or_cancel(visit, order, vain, reference)
    return refusals.or_return(visit, order, vain, reference, item)


def _first_of_two(visit: Visit, order: Row, item: Row, reference: Reference) -> tuple[Beat, Action] | None:
    if visit.draws.below(2):
        then = choose_instead(visit, order, item, reference, "context")
        return then and then[:2]
    payment = changes.refund_of(visit, order)
    core = visit.wording.say("send_back", items=f"the {visit.wording.item(item['name'])}{reference.tail}")
    beat = plain_beat(f"{visit.wording.say('context')} {core} {payment.said}", reference, payment)
    return beat, changes.return_action(order, [item], payment)
