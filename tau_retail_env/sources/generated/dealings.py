"""Parts of a call of the fourth series about several items or orders: some of them, all but some, both of two."""

from __future__ import annotations

from collections.abc import Sequence

from tau_retail_env.sources.generated import changes, refusals
from tau_retail_env.sources.generated.choosing import Choice, variants_of
from tau_retail_env.sources.generated.facts import NOT_VALUES
from tau_retail_env.sources.generated.picking import dearest_below
from tau_retail_env.sources.generated.shapes import choose_instead, plain_beat, twins_of
from tau_retail_env.sources.generated.visit import Beat, Part, Payment, Reference, Row, Visit, call
from tau_retail_env.sources.generated.wording import listed, sentences


def cancel_some(visit: Visit) -> Part | None:
    """Cancel single items of a pending order, or, where the named ones are all that is in it, the order.

    Of a larger order that is refused: then nothing is done, the whole is cancelled, or one of the items is changed.
    """
    order = visit.draw_order("pending")
    if order is None or len(order["items"]) < 2:
        return None
    every = visit.draws.below(100) < 15
    count = len(order["items"]) if every else 1 + visit.draws.below(len(order["items"]) - 1)
    items = visit.draws.sample(order["items"], count)
    reference = visit.refer(order, items)
    named = f"{_the(visit, items)}{reference.tail}"
    if every:
        contents = Reference(named, "", reference.words, reference.calls, reference.cost)
        beat, reason = changes.cancellation(visit, contents, visit.wording.say("context"))
        return Part((beat,), (changes.cancel_action(order, reason),), cost=2 + reference.cost)
    why, say = visit.wording.say("needless"), visit.wording.say("cancel_these", items=named)
    before = f"{visit.wording.say('context')} {say} {why if visit.draws.below(2) else ''}"
    vain = refusals.beat_in_vain(visit, before, reference, refusals.ONLY_WHOLE, reason=sentences(why))
    way = visit.draws.below(100)
    if way < 35:
        return Part((vain,), cost=2 + reference.cost)
    if way < 70:
        return refusals.or_cancel(visit, order, vain, reference)
    then = choose_instead(visit, order, visit.draws.choice(items), _again(reference), "fallback")
    if then is None:
        return None
    beat, write, cost = then
    return Part((vain, beat | {"otherwise": True}), (write,), cost=3 + cost + reference.cost)


def dearer_of_two(visit: Visit) -> Part | None:
    """Return, exchange or change the dearer or the cheaper of two items."""
    order = visit.draw_order("delivered", "pending")
    if order is None or len(order["items"]) < 2:
        return None
    pair = visit.draws.sample(order["items"], 2)
    if pair[0]["price"] == pair[1]["price"]:
        return None
    dearer, cheaper = sorted(pair, key=lambda item: float(item["price"]), reverse=True)
    wanted = visit.draws.choice((dearer, cheaper))
    which = visit.wording.say("dearer_twin" if wanted is dearer else "cheaper_twin")
    reference, two = visit.refer(order), _the(visit, pair)
    if order["status"] == "delivered" and visit.draws.below(3):
        payment = changes.refund_of(visit, order)
        core = visit.wording.say("one_of_two", two=two, which=which, order=reference.name)
        beat = plain_beat(f"{visit.wording.say('context')} {core} {payment.said}", reference, payment)
        beat["words"]["items"] = sentences(f"{which}, of {two}.")
        return Part((beat,), (changes.return_action(order, [wanted], payment),), cost=3 + reference.cost)
    choice = visit.choose(wanted)
    paid = changes.settle_difference(visit, [wanted], [choice], order) if choice else None
    if choice is None or paid is None:
        return None
    beat = changes.swap_beat(visit, order, [wanted], [choice], reference, paid)
    core = visit.wording.say(
        "swap" if order["status"] == "delivered" else "change", pairs=f"{which} for {choice.words}"
    )
    about = visit.wording.say("about_two", two=two, order=reference.name)
    beat["say"] = sentences(f"{visit.wording.say('context')} {about} {core} {paid.said}")
    beat["words"]["items"] = sentences(f"{which}, of {two}.")
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    write = changes.swap_action(tool, order, [wanted], [choice], paid)
    return Part((beat,), (write,), cost=4 + choice.cost + reference.cost)


def all_but(visit: Visit) -> Part | None:
    """Return all of an order but for one or two things, which are named."""
    order = visit.draw_order("delivered")
    if order is None or len(order["items"]) < 2:
        return None
    count = 1 + visit.draws.below(min(2, len(order["items"]) - 1))
    kept = visit.draws.sample(order["items"], count)
    sent = [item for item in order["items"] if item not in kept]
    payment, reference = changes.refund_of(visit, order), visit.refer(order)
    staying = _the(visit, kept)
    core = visit.wording.say("return_all_but", order=reference.name, kept=staying)
    said = [visit.wording.say("context"), core, payment.said]
    beat = plain_beat("", reference, payment)
    beat["words"]["items"] = visit.wording.sentence("everything_but", item=staying)
    outputs = (changes.tell_refund(visit, beat, sent, said),) if visit.draws.below(100) < 25 else ()
    beat["say"] = sentences(" ".join(said))
    return Part((beat,), (changes.return_action(order, sent, payment),), outputs, 2 + len(kept) + reference.cost)


def two_deliveries(visit: Visit) -> Part | None:
    """Items of two delivered orders in one go, all money to one method: two returns, or a return and an exchange."""
    first, second = visit.draw_order("delivered"), visit.draw_order("delivered")
    if first is None or second is None:
        return None
    swap = _swap_of_one(visit, second) if visit.draws.below(100) < 40 else None
    able = [name for name in _refundable(visit, first) if swap or name in _refundable(visit, second)]
    if swap:
        able = [name for name in able if name in visit.balances.able_to_pay(changes.difference_of(*swap))]
    if not able:
        return None
    payment = visit.pay(able, None, "both_said")
    references = [visit.refer(first), visit.refer(second)]
    items = visit.draws.sample(first["items"], 1 + visit.draws.below(min(2, len(first["items"]))))
    wishes = [_return_wish(visit, items, references[0])]
    writes = [changes.return_action(first, items, payment)]
    calls = list(references[1].calls)
    if swap:
        visit.balances.pay(payment.id, changes.difference_of(*swap))
        (item,), (choice,) = swap
        pair = f"the {visit.wording.item(item['name'])} in {references[1].name} for {choice.words}"
        wishes.append(visit.wording.say("errand_swap", pair=pair))
        writes.append(changes.swap_action(changes.EXCHANGE, second, [item], [choice], payment))
        calls.append(call("get_product_details", product_id=item["product_id"]))
    else:
        others = visit.draws.sample(second["items"], 1 + visit.draws.below(min(2, len(second["items"]))))
        wishes.append(_return_wish(visit, others, references[1]))
        writes.append(changes.return_action(second, others, payment))
    together = visit.wording.say("errands", wishes=visit.wording.say("errand_join").join(wishes))
    opening = plain_beat(f"{visit.wording.say('context')} {together} {payment.said}", references[0], payment)
    say = f"{visit.wording.say('next_errand')} {wishes[1]}."
    then = plain_beat(say, references[1], Payment(payment.id, words=payment.words))
    then |= {"write": 1, "calls": calls}
    return Part((opening, then), tuple(writes), cost=5 + sum(each.cost for each in references))


def both_twins(visit: Visit) -> Part | None:
    """Return or exchange both of two things of one kind in an order, told apart by an option."""
    orders = [order for order in visit.left("delivered") if twins_of(order)]
    if not orders:
        return None
    order = visit.take(visit.draws.choice(orders))
    pair = twins_of(order)
    names = [name for name, value in pair[0]["options"].items() if pair[1]["options"].get(name) != value]
    if not names:
        return None
    name = visit.draws.choice(names)
    apart = [f"the one {visit.wording.option(name, item['options'][name])}" for item in pair]
    return _return_twins(visit, order, pair, apart) if visit.draws.below(2) else _swap_twins(visit, order, pair, apart)


def _return_twins(visit: Visit, order: Row, pair: Sequence[Row], apart: Sequence[str]) -> Part:
    """Return both, and now and then something else of the order with them."""
    one, other = apart
    others = [item for item in order["items"] if item not in pair]
    more = [visit.draws.choice(others)] if others and visit.draws.below(2) else []
    payment, reference, item = changes.refund_of(visit, order), visit.refer(order), visit.wording.item(pair[0]["name"])
    core = visit.wording.say("return_both_twins", order=reference.name, item=item, one=one, other=other)
    with_it = visit.wording.say("and_this_goes_too", item=_the(visit, more)) if more else ""
    besides = f" and {_the(visit, more)}" if more else ""
    beat = plain_beat(f"{visit.wording.say('context')} {core} {with_it} {payment.said}", reference, payment)
    beat["words"]["items"] = sentences(f"{one} and {other}, both{besides}.")
    write = changes.return_action(order, [*pair, *more], payment)
    return Part((beat,), (write,), cost=4 + len(more) + reference.cost)


def _swap_twins(visit: Visit, order: Row, pair: Sequence[Row], apart: Sequence[str]) -> Part | None:
    choices = [choice for each in pair if (choice := visit.choose(each))]
    if len(choices) < 2 or _cross(pair, choices):
        return None
    payment = changes.settle_difference(visit, pair, choices, order)
    if payment is None:
        return None
    reference, item = visit.refer(order), visit.wording.item(pair[0]["name"])
    pairs = "; and ".join(f"{one} for {choice.words}" for one, choice in zip(apart, choices, strict=True))
    core = visit.wording.say("swap_both_twins", order=reference.name, item=item, pairs=pairs)
    beat = plain_beat(f"{visit.wording.say('context')} {core} {payment.said}", reference, payment)
    product = call("get_product_details", product_id=pair[0]["product_id"])
    beat["calls"] = [*reference.calls, product, *payment.calls]
    beat["words"] |= {"items": sentences(f"{apart[0]} and {apart[1]}."), "options": sentences(f"{pairs}.")}
    write = changes.swap_action(changes.EXCHANGE, order, pair, choices, payment)
    return Part((beat,), (write,), cost=5 + sum(choice.cost for choice in choices) + reference.cost)


def _cross(pair: Sequence[Row], choices: Sequence[Choice]) -> bool:
    """Whether a summary in few words could be taken wrongly.

    So it is where one of two things is to get what the other has or gets, or has a value of which nothing is said.
    """
    own = [item["options"] for item in pair]
    new = [
        {value for name, value in choice.variant["options"].items() if options.get(name) != value}
        for options, choice in zip(own, choices, strict=True)
    ]
    held = [set(options.values()) for options in own]
    unsaid = (held[0] | held[1] | new[0] | new[1]) & set(NOT_VALUES)
    return bool(new[0] & (held[1] | new[1]) or new[1] & held[0] or unsaid)


def more_items(visit: Visit) -> Part | None:
    """Return or exchange an item, and when asked to confirm another one of the order with it."""
    order = visit.draw_order("delivered")
    if order is None or len(order["items"]) < 2:
        return None
    items = visit.draws.sample(order["items"], 2)
    reference = visit.refer(order, items[:1])
    if visit.draws.below(3) == 0:
        return _swap_of_more(visit, order, items, reference)
    payment = changes.refund_of(visit, order)
    names = [visit.wording.item(item["name"]) for item in items]
    say = visit.wording.say("send_back", items=f"the {names[0]}{reference.tail}")
    what = f"return {items[0]['name']} (item {items[0]['item_id']}), refund to {payment.id}."
    first: Beat = {
        "first": 0,
        "items": [items[0]["name"]],
        "say": sentences(f"{visit.wording.say('context')} {say} {payment.said}"),
        "words": {**reference.words, **payment.words},
        "asks": list(payment.asks),
        "calls": [*reference.calls, *payment.calls],
        "turn": visit.wording.sentence("not_all_yet"),
        "answer": f"Delivered order {order['order_id']}: {what}",
    }
    both = visit.wording.say("both_go_back", one=names[0], other=names[1])
    then = plain_beat(both, reference, Payment(payment.id, words=payment.words)) | {"otherwise": True}
    return Part((first, then), (changes.return_action(order, items, payment),), cost=3 + reference.cost)


def _swap_of_more(visit: Visit, order: Row, items: Sequence[Row], reference: Reference) -> Part | None:
    choices = [choice for item in items if (choice := visit.choose(item))]
    payment = changes.settle_difference(visit, items, choices, order) if len(choices) == 2 else None
    if payment is None:
        return None
    first = changes.swap_beat(visit, order, items[:1], choices[:1], reference, payment)
    variant = choices[0].variant
    new = ", ".join(f"{name} {value}" for name, value in variant["options"].items())
    price = f"(${variant['price']}, item {variant['item_id']})"
    what = f"exchange {items[0]['name']} (item {items[0]['item_id']}) to {new} {price}. Payment: {payment.id}."
    first |= {
        "first": first.pop("write"),
        "items": [items[0]["name"]],
        "options": [dict(variant["options"])],
        "say": sentences(f"{visit.wording.say('context')} {first['say']} {payment.said}"),
        "turn": visit.wording.sentence("not_all_yet"),
        "answer": f"Delivered order {order['order_id']}: {what}",
    }
    again = _again(reference)
    then = changes.swap_beat(visit, order, items, choices, again, Payment(payment.id, words=payment.words))
    one = visit.wording.item(items[0]["name"])
    pair = f"the {visit.wording.item(items[1]['name'])} for {choices[1].words}"
    then["say"] = visit.wording.sentence("both_swapped", one=one, pair=pair)
    then["otherwise"] = True
    write = changes.swap_action(changes.EXCHANGE, order, items, choices, payment)
    return Part((first, then), (write,), cost=4 + sum(choice.cost for choice in choices) + reference.cost)


def under_a_price(visit: Visit) -> Part | None:
    """Exchange or change an item for the dearest version below a price that the item itself is not below."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    choice = dearest_below(visit.draws, visit.wording, item)
    if choice is None:
        return None
    payment = changes.settle_difference(visit, [item], [choice], order)
    if payment is None:
        return None
    reference = visit.refer(order, [item])
    beat = changes.swap_beat(visit, order, [item], [choice], reference, payment)
    beat["say"] = sentences(f"{visit.wording.say('context')} {beat['say']} {payment.said}")
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    write = changes.swap_action(tool, order, [item], [choice], payment)
    return Part((beat,), (write,), cost=4 + reference.cost)


def bought_twice(visit: Visit) -> Part | None:
    """Return both of two things of one kind that came with two orders, or exchange both for the same version."""
    found = [
        ((one, item), (other, twin))
        for one in visit.free("delivered")
        for other in visit.free("delivered")
        for item in one["items"]
        for twin in other["items"]
        if one is not other and item["product_id"] == twin["product_id"]
    ]
    if not found:
        return None
    pair = visit.draws.choice(found)
    for order, _ in pair:
        visit.take(order)
    return _swap_twice(visit, pair) if visit.draws.below(2) else _return_twice(visit, pair)


def _return_twice(visit: Visit, pair: Sequence[tuple[Row, Row]]) -> Part | None:
    (one, item), (other, _) = pair
    able = [name for name in _refundable(visit, one) if name in _refundable(visit, other)]
    if not able:
        return None
    payment, references = visit.pay(able, None, "both_said"), [_by_number(visit, order) for order, _ in pair]
    core = visit.wording.say("return_twice", item=visit.wording.item(item["name"]), **_both(references))
    beats = _one_and_other(visit, core, references, payment)
    return Part(beats, tuple(changes.return_action(order, [each], payment) for order, each in pair), cost=5)


def _swap_twice(visit: Visit, pair: Sequence[tuple[Row, Row]]) -> Part | None:
    items = [item for _, item in pair]
    variants = [each for each in variants_of(items[0]) if each["options"] != items[1]["options"]]
    if not variants:
        return None
    choice = Choice(visit.draws.choice(variants), "", 0)
    able = visit.balances.able_to_pay(sum(max(0.0, choice.variant["price"] - item["price"]) for item in items))
    if not able:
        return None
    payment, references = visit.pay(able, None, "both_said"), [_by_number(visit, order) for order, _ in pair]
    target = visit.wording.say("target_exact", options=visit.wording.options(choice.variant["options"]), rest="")
    named = visit.wording.item(items[0]["name"])
    core = visit.wording.say("swap_twice", item=named, target=target, **_both(references))
    beats = _one_and_other(visit, core, references, payment)
    writes = []
    for beat, (order, item) in zip(beats, pair, strict=True):
        beat["words"]["options"] = sentences(f"{target}.")
        beat["calls"].append(call("get_product_details", product_id=item["product_id"]))
        visit.balances.pay(payment.id, changes.difference_of([item], [choice]))
        writes.append(changes.swap_action(changes.EXCHANGE, order, [item], [choice], payment))
    return Part(beats, tuple(writes), cost=6)


def _one_and_other(visit: Visit, core: str, references: Sequence[Reference], payment: Payment) -> tuple[Beat, Beat]:
    """The beats of the same wish for two orders, of which the first one tells both."""
    first = plain_beat(f"{visit.wording.say('context')} {core} {payment.said}", references[0], payment)
    again = Payment(payment.id, words=payment.words)
    return first, plain_beat(visit.wording.say("other_one"), references[1], again) | {"write": 1}


def _swap_of_one(visit: Visit, order: Row) -> tuple[list[Row], list[Choice]] | None:
    item = visit.draws.choice(order["items"])
    choice = visit.choose(item)
    return ([item], [choice]) if choice else None


def _return_wish(visit: Visit, items: Sequence[Row], reference: Reference) -> str:
    what = f"{_the(visit, items)} {visit.wording.say('out_of')} {reference.name}"
    return visit.wording.say("errand_return", items=what)


def _refundable(visit: Visit, order: Row) -> list[str]:
    """The methods that the money of a return can go to."""
    methods, original = visit.user["payment_methods"], order["payment_history"][0]["payment_method_id"]
    return [name for name in methods if name == original or methods[name]["source"] == "gift_card"]


def _the(visit: Visit, items: Sequence[Row]) -> str:
    return listed([f"the {visit.wording.item(item['name'])}" for item in items])


def _by_number(visit: Visit, order: Row) -> Reference:
    """An order by its id, where its items do not tell it."""
    order_id = order["order_id"]
    words = {"order": visit.wording.sentence("answer_order", order_id=order_id)}
    name = visit.wording.say("order_by_id", order_id=order_id)
    return Reference(name, "", words, (call("get_order_details", order_id=order_id),), 0)


def _both(references: Sequence[Reference]) -> dict[str, str]:
    return {"one": references[0].name, "other": references[1].name}


def _again(reference: Reference) -> Reference:
    """An order that was spoken of: its items need no more words."""
    return Reference(reference.name, "", reference.words, reference.calls, reference.cost)
