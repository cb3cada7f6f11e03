"""Parts of a call of the sixth series in which the matter changes, or the act follows from what the orders show."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from tau_retail_env.sources.generated import afterthoughts, asking, changes, facts, refusals
from tau_retail_env.sources.generated.requests import CANCEL_REASONS
from tau_retail_env.sources.generated.sets import TWO, which_of_two
from tau_retail_env.sources.generated.shapes import plain_beat, twins_of
from tau_retail_env.sources.generated.visit import Beat, Part, Payment, Reference, Row, Visit
from tau_retail_env.sources.generated.wording import sentences
from tau_retail_env.tasks.task import Action

CROSSED = "a refund goes to where the payment of its order came from, and that of a return there or to a gift card"
"""Why two refunds cannot change places."""
NEITHER = "only pending orders can be cancelled, and only delivered ones returned"
"""Why an order that is neither is kept."""
BETWEEN: Sequence[Callable[[Visit], Part | None]] = (
    facts.single(facts.price),
    facts.single(facts.total),
    facts.single(facts.tracking),
    facts.single(facts.street),
    facts.single(facts.option_in_words),
    facts.single(facts.paid_with),
    facts.single(facts.extreme),
    asking.several_facts,
    asking.what_if,
    asking.best_offer,
)
"""What is asked in between, of another order or of a product."""
DONE_BETWEEN: Sequence[Callable[[Visit], Part | None]] = (
    changes.cancel,
    changes.send_back,
    changes.exchange,
    changes.modify,
    changes.redirect,
    changes.pay_otherwise,
)
"""What is done in between, with another order."""


def something_else_first(visit: Visit) -> Part | None:
    """A wish that is left when the agent wants a yes: another matter comes first, and then the wish again."""
    order = visit.draw_order("delivered", "pending")
    wish = afterthoughts.interrupted(visit, order) if order else None
    if order is None or wish is None:
        return None
    between = visit.draws.choice(DONE_BETWEEN if visit.draws.below(100) < 55 else BETWEEN)(visit)
    if between is None or visit.told & set(between.outputs):
        return None
    if afterthoughts.is_given(wish.first["answer"], between.outputs):
        return None
    number = len(between.writes)
    first = wish.first | {"turn": visit.wording.sentence("something_else")}
    first |= {"first": number} if "first" in first else {}
    if wish.item is None:
        name = wish.reference.name if wish.reference.cost < 2 else f"order {order['order_id']}"
        again = visit.wording.sentence("back_to_cancel", order=name)
    else:
        rules = {changes.RETURN: "back_to_return", changes.EXCHANGE: "back_to_swap", changes.MODIFY: "back_to_change"}
        again = visit.wording.sentence(rules[wish.write.name], item=visit.wording.item(wish.item["name"]))
    then = wish.then | {"write": number, "say": again}
    cost = wish.cost + between.cost
    return Part((first, *between.beats, then), (*between.writes, wish.write), between.outputs, cost)


def all_but_one_twin(visit: Visit) -> Part | None:
    """Return all of an order but one of two of a kind."""
    orders = [order for order in visit.left("delivered") if twins_of(order) and len(order["items"]) > TWO]
    if not orders:
        return None
    order = visit.take(visit.draws.choice(orders))
    kept, other = visit.draws.sample(twins_of(order), 2)
    which = which_of_two(visit, kept, other)
    if not which:
        return None
    named, payment, reference = visit.wording.item(kept["name"]), changes.refund_of(visit, order), visit.refer(order)
    core = visit.wording.say("all_but_a_twin", item=named, order=reference.name, which=which)
    beat = plain_beat(f"{visit.wording.say('context')} {core} {payment.said}", reference, payment)
    beat["words"]["items"] = visit.wording.sentence("all_but_which", which=which, item=named)
    sent = [item for item in order["items"] if item is not kept]
    return Part((beat,), (changes.return_action(order, sent, payment),), cost=5 + reference.cost)


def every_one_of_a_kind(visit: Visit) -> Part | None:
    """Return all that an order holds of a product, of which there are two and which are not told apart."""
    orders = [order for order in visit.left("delivered") if twins_of(order)]
    if not orders:
        return None
    order = visit.take(visit.draws.choice(orders))
    pair = twins_of(order)
    named, payment, reference = visit.wording.item(pair[0]["name"]), changes.refund_of(visit, order), visit.refer(order)
    core = visit.wording.say("every_one_back", item=named, order=reference.name)
    beat = plain_beat(f"{visit.wording.say('context')} {core} {payment.said}", reference, payment)
    beat["words"]["items"] = visit.wording.sentence("every_one", item=named)
    return Part((beat,), (changes.return_action(order, pair, payment),), cost=4 + reference.cost)


def the_other_one(visit: Visit) -> Part | None:
    """One of two of a kind, named by its order, and then the other one, whose order is named by its state alone."""
    rows = [(order, item) for order in visit.free("delivered", "pending") for item in order["items"]]
    pairs = [
        (order, item, other, twin)
        for order, item in rows
        for other, twin in rows
        if item["product_id"] == twin["product_id"]
        and order["status"] != other["status"]
        and visit.count_of(item) == TWO
    ]
    if not pairs:
        return None
    order, item, other, twin = visit.draws.choice(pairs)
    visit.take(order)
    visit.take(other)
    reference = visit.refer(order)
    tail = f" {visit.wording.say('out_of')} {reference.name}"
    first = _dealt_with(visit, order, item, replace(reference, tail=tail))
    state = "other_came" if other["status"] == "delivered" else "other_waits"
    words = {"order": visit.wording.sentence(f"{state}_order")}
    then = first and _dealt_with(visit, other, twin, Reference("", "", words, tuple(visit.every_order()), 2), state)
    if not first or not then:
        return None
    first[0]["say"] = sentences(f"{visit.wording.say('context')} {first[0]['say']}")
    return Part((first[0], then[0] | {"write": 1}), (first[1], then[1]), cost=6 + reference.cost)


def refunds_crossed(visit: Visit) -> Part | None:
    """Two returns or cancellations, each refund to what paid for the other: refused; then perhaps each to its own."""
    orders = [order for order in visit.free("delivered", "pending") if len(order["payment_history"]) == 1]
    pairs = [
        (one, other)
        for one in orders
        for other in orders
        if _crosses(visit, one, other) and _crosses(visit, other, one)
    ]
    if not pairs:
        return None
    pair = visit.draws.choice(pairs)
    references = [visit.refer(visit.take(order)) for order in pair]
    items = [[] if order["status"] == "pending" else [visit.draws.choice(order["items"])] for order in pair]
    rows = list(zip(pair, items, references, strict=True))
    wishes = [_wish(visit, *row) for row in rows]
    together = visit.wording.say("errands", wishes=visit.wording.say("errand_join").join(wishes))
    say = f"{visit.wording.say('context')} {together} {visit.wording.say('refunds_crossed')}"
    vain = refusals.beat_in_vain(visit, say, references[0], CROSSED)
    vain["answer"] = f"Orders {' and '.join(order['order_id'] for order in pair)}."
    vain["calls"] = [*references[0].calls, *references[1].calls, visit.profile()]
    named = " and ".join(reference.name for reference in references)
    vain["words"] = {"order": sentences(f"{named}."), "payment": visit.wording.sentence("refunds_crossed")}
    if visit.draws.below(100) < 40:
        return Part((vain,), cost=5)
    beats: list[Beat] = [vain]
    writes: list[Action] = []
    lead = f"{visit.wording.say('fallback')} {visit.wording.say('each_where_it_came_from')}"
    for order, sent, reference in rows:
        beat, write = _as_paid(visit, order, sent, reference, lead)
        beats.append(beat | {"write": len(writes), "otherwise": True})
        writes.append(write)
        lead = visit.wording.say("next_errand")
    return Part(tuple(beats), tuple(writes), cost=7)


def be_rid_of(visit: Visit) -> Part | None:
    """Words that leave open what is to be done: a delivered order is returned, a pending one cancelled."""
    order = visit.draw_order("delivered", "pending", "processed")
    if order is None:
        return None
    reference = visit.refer(order, untold=("status", "count", "place"))
    item = visit.draws.choice(order["items"]) if len(order["items"]) > 1 and visit.draws.below(100) < 40 else None
    named = f"the {visit.wording.item(item['name'])}" if item else ""
    core = (
        visit.wording.say("rid_of_item", item=f"{named} {visit.wording.say('out_of')} {reference.name}")
        if item
        else visit.wording.say("rid_of_order", order=reference.name)
    )
    reason = visit.draws.choice(CANCEL_REASONS)
    why = visit.wording.say("needless" if reason == CANCEL_REASONS[0] else "mistaken")
    late = visit.draws.below(2)
    said = f"{visit.wording.say('context')} {core} {'' if late else why}"
    if order["status"] == "delivered":
        payment = changes.refund_of(visit, order)
        beat = plain_beat(said, reference, replace(payment, asks=("payment",)))
        beat["words"]["items"] = visit.wording.sentence(*(("just_that_item",) if item else ("all_in_it",)), item=named)
        items = [item] if item else order["items"]
        return Part((beat,), (changes.return_action(order, items, payment),), cost=4 + reference.cost)
    if order["status"] == "processed":
        refusal = f"order {order['order_id']} is processed: {NEITHER}"
        vain = refusals.beat_in_vain(visit, said, reference, refusal, reason=sentences(why))
        return Part((vain,), cost=3 + reference.cost)
    if item:
        vain = refusals.beat_in_vain(visit, said, reference, refusals.ONLY_WHOLE, reason=sentences(why))
        if visit.draws.below(2):
            return Part((vain,), cost=3 + reference.cost)
        return refusals.or_cancel(visit, order, vain, reference)
    beat = {
        "write": 0,
        "say": sentences(said),
        "words": {**reference.words, "reason": sentences(why)},
        "asks": ["reason"] if late else [],
        "calls": list(reference.calls),
    }
    return Part((beat,), (changes.cancel_action(order, reason),), cost=4 + reference.cost)


def _dealt_with(
    visit: Visit, order: Row, item: Row, reference: Reference, state: str = ""
) -> tuple[Beat, Action] | None:
    """A return or an exchange of a delivered item; a change of a pending one, or of the other one the end of its order.

    Args:
        visit: the call.
        order: taken already.
        item: of the order.
        reference: how the order is told.
        state: the beginning of the rules that tell the order by its state, and the item as the other one; empty where
            both are named.
    """
    named = f"the {visit.wording.item(item['name'])}{reference.tail}"
    delivered = order["status"] == "delivered"
    ends = visit.draws.below(100) < 45
    if ends and state and not delivered:
        reason = visit.draws.choice(CANCEL_REASONS)
        why = visit.wording.sentence("needless" if reason == CANCEL_REASONS[0] else "mistaken")
        beat: Beat = {"write": 0, "say": visit.wording.sentence(f"{state}_cancel"), "asks": ["reason"]}
        beat |= {"words": {**reference.words, "reason": why}, "calls": list(reference.calls)}
        return beat, changes.cancel_action(order, reason)
    if ends and delivered:
        payment = changes.refund_of(visit, order)
        core = visit.wording.say(f"{state}_return") if state else visit.wording.say("send_back", items=named)
        beat = plain_beat(f"{core} {payment.said}", reference, payment)
        return beat, changes.return_action(order, [item], payment)
    choice = visit.choose(item)
    payment_due = changes.settle_difference(visit, [item], [choice], order) if choice else None
    if choice is None or payment_due is None:
        return None
    beat = changes.swap_beat(visit, order, [item], [choice], reference, payment_due)
    if state:
        beat["say"] = visit.wording.say(f"{state}_{'swap' if delivered else 'change'}", target=choice.words)
    beat["say"] = sentences(f"{beat['say']} {payment_due.said}")
    tool = changes.EXCHANGE if delivered else changes.MODIFY
    return beat, changes.swap_action(tool, order, [item], [choice], payment_due)


def _crosses(visit: Visit, order: Row, other: Row) -> bool:
    """Whether an order's refund may not go to what paid for another one."""
    own, wanted = (each["payment_history"][0]["payment_method_id"] for each in (order, other))
    is_card = visit.user["payment_methods"][wanted]["source"] == "gift_card"
    return bool(own != wanted and not (order["status"] == "delivered" and is_card))


def _wish(visit: Visit, order: Row, items: Sequence[Row], reference: Reference) -> str:
    """The return of an item, or the cancellation of an order, as it is told with another one."""
    if not items:
        return visit.wording.say("errand_cancel", order=reference.name)
    named = f"the {visit.wording.item(items[0]['name'])}"
    return visit.wording.say("errand_return", items=f"{named} {visit.wording.say('out_of')} {reference.name}")


def _as_paid(visit: Visit, order: Row, items: Sequence[Row], reference: Reference, lead: str) -> tuple[Beat, Action]:
    """The same with the refund where it came from."""
    if not items:
        beat, reason = changes.cancellation(visit, reference, lead)
        return beat, changes.cancel_action(order, reason)
    original = order["payment_history"][0]["payment_method_id"]
    named = f"the {visit.wording.item(items[0]['name'])} {visit.wording.say('out_of')} {reference.name}"
    words = {"payment": visit.wording.sentence("method", method=visit.wording.say("original"))}
    payment = Payment(original, words=words)
    beat = plain_beat(f"{lead} {visit.wording.say('send_back', items=named)}", reference, payment)
    return beat, changes.return_action(order, items, payment)
