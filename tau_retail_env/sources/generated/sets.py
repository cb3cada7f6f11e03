"""Parts of a call of the fifth series about sets of items: each its own wish, all the cheapest, one of twins."""

from __future__ import annotations

from collections.abc import Sequence

from tau_retail_env.sources.generated import changes
from tau_retail_env.sources.generated.choosing import Choice, variants_of
from tau_retail_env.sources.generated.facts import NOT_VALUES
from tau_retail_env.sources.generated.picking import price_of
from tau_retail_env.sources.generated.requests import CANCEL_REASONS
from tau_retail_env.sources.generated.shapes import draw_in_stock, plain_beat, twins_of
from tau_retail_env.sources.generated.visit import Beat, Part, Reference, Row, Visit
from tau_retail_env.sources.generated.wording import listed, sentences
from tau_retail_env.tasks.task import Action

TWO = 2
"""How many of a kind a customer has that speaks of the one and the other."""
WORDED = 1
"""What a reference costs that names an order in words; by a wrong id it costs more."""


def each_its_own(visit: Visit) -> Part | None:
    """Exchange or change two to four items of an order, each for something else."""
    order = visit.draw_order("delivered", "pending")
    if order is None or len(order["items"]) < 2:
        return None
    count = visit.draws.weighted((2, 3, 4), (55, 30, 15))
    items = visit.draws.sample(order["items"], min(count, len(order["items"])))
    choices = [choice for item in items if (choice := visit.choose(item))]
    if len(choices) < len(items):
        return None
    names = [visit.wording.item(item["name"]) for item in items]
    act = "exchange" if order["status"] == "delivered" else "change"
    if visit.draws.below(100) < 25:
        things = listed([f"the {name}" for name in names])
        core, asks = (visit.wording.say(f"several_to_{act}", things=things, order="{order}"), ["options"])
    else:
        pairs = [f"the {name} for {choice.words}" for name, choice in zip(names, choices, strict=True)]
        told = visit.wording.say("pair_join").join(pairs)
        core, asks = visit.wording.say(f"{act}_each", pairs=told, order="{order}"), []
    return _swap(visit, order, items, choices, core, asks)


def all_by_price(visit: Visit) -> Part | None:
    """Everything in an order in its cheapest, or in its dearest version."""
    order = visit.draw_order("delivered", "pending")
    if order is None or not 1 < len(order["items"]) < 5:
        return None
    cheap = bool(visit.draws.below(3))
    choices = [choice for item in order["items"] if (choice := _extreme(item, cheap))]
    if len(choices) < len(order["items"]):
        return None
    act = "exchange" if order["status"] == "delivered" else "change"
    core = visit.wording.say(f"all_{'cheapest' if cheap else 'dearest'}_{act}", order="{order}")
    return _swap(visit, order, order["items"], choices, core)


def same_once_more(visit: Visit) -> Part | None:
    """Exchange an item for the very same one."""
    drawn = draw_in_stock(visit)
    if drawn is None:
        return None
    order, item, variant = drawn
    choice = Choice(variant, visit.wording.say("the_same"), 1)
    core = visit.wording.say("replace_it", item=visit.wording.item(item["name"]), order="{order}", target=choice.words)
    return _swap(visit, order, [item], [choice], core)


def one_of_twins(visit: Visit) -> Part | None:
    """Return, exchange or change one of two of a kind; which one may come only when asked for."""
    orders = [order for order in visit.left("delivered", "pending") if twins_of(order)]
    if not orders:
        return None
    order = visit.take(visit.draws.choice(orders))
    wanted, other = visit.draws.sample(twins_of(order), 2)
    which = which_of_two(visit, wanted, other)
    if not which:
        return None
    named, late = visit.wording.item(wanted["name"]), visit.draws.below(100) < 40
    if order["status"] == "delivered" and visit.draws.below(2):
        reference, payment = visit.refer(order), changes.refund_of(visit, order)
        core = visit.wording.say("one_twin_back", item=named, order=reference.name)
        told = "" if late else visit.wording.say("i_mean", which=which)
        beat = plain_beat(f"{visit.wording.say('context')} {core} {told} {payment.said}", reference, payment)
        beat["words"]["items"] = sentences(f"{which}.")
        beat["asks"] += ["items"] if late else []
        return Part((beat,), (changes.return_action(order, [wanted], payment),), cost=4 + reference.cost)
    choice = visit.choose(wanted)
    if choice is None or _meets(choice, wanted, other):
        return None
    core = visit.wording.say("one_twin_swapped", item=named, order="{order}", which=which, target=choice.words)
    part = _swap(visit, order, [wanted], [choice], core)
    if part is not None:
        part.beats[0]["words"]["items"] = sentences(f"{which}.")
    return part


def one_of_two_orders(visit: Visit) -> Part | None:
    """Return, exchange or change one of two of a kind that are in two orders, told by its order, option or price."""
    rows = [(order, item) for order in visit.free("delivered", "pending") for item in order["items"]]
    pairs = [
        (order, item, other, twin)
        for order, item in rows
        for other, twin in rows
        if order is not other and item["product_id"] == twin["product_id"] and visit.count_of(item) == TWO
    ]
    if not pairs:
        return None
    order, wanted, other, twin = visit.draws.choice(pairs)
    visit.take(order)
    visit.take(other)
    named, which = visit.wording.item(wanted["name"]), which_of_two(visit, wanted, twin)
    if not which or visit.draws.below(100) < 40:
        which = f"the one {visit.wording.say('out_of')} {visit.wording.say('order_by_id', order_id=order['order_id'])}"
    words = {"order": sentences(f"{which}."), "items": sentences(f"{which}.")}
    reference = Reference("", "", words, tuple(visit.every_order()), 2)
    if order["status"] == "delivered" and visit.draws.below(2):
        payment = changes.refund_of(visit, order)
        core = visit.wording.say("one_of_two_back", item=named, which=which)
        beat = plain_beat(f"{visit.wording.say('context')} {core} {payment.said}", reference, payment)
        return Part((beat,), (changes.return_action(order, [wanted], payment),), cost=5)
    choice = visit.choose(wanted)
    if choice is None:
        return None
    rule = "one_of_two_exchanged" if order["status"] == "delivered" else "one_of_two_changed"
    core = visit.wording.say(rule, item=named, which=which, target=choice.words)
    return _swap(visit, order, [wanted], [choice], core, [], reference)


def beyond_a_price(visit: Visit) -> Part | None:
    """Return everything in an order that cost more, or less, than so much."""
    order = visit.draw_order("delivered")
    if order is None or len(order["items"]) < 2:
        return None
    by_price = sorted(order["items"], key=price_of)
    place = 1 + visit.draws.below(len(by_price) - 1)
    limit = _round_between(price_of(by_price[place - 1]), price_of(by_price[place]))
    if not limit:
        return None
    above = bool(visit.draws.below(2))
    rule = "all_above" if above else "all_below"
    return _return_set(visit, order, by_price[place:] if above else by_price[:place], rule, limit=f"${limit}")


def two_by_price(visit: Visit) -> Part | None:
    """Return the two dearest, or the two cheapest, of three things or more."""
    order = visit.draw_order("delivered")
    if order is None or len(order["items"]) < 3:
        return None
    dearest = bool(visit.draws.below(2))
    by_price = sorted(order["items"], key=price_of, reverse=dearest)
    if by_price[1]["price"] == by_price[2]["price"]:
        return None
    return _return_set(visit, order, by_price[:2], "two_dearest" if dearest else "two_cheapest")


def return_everything(visit: Visit) -> Part | None:
    """Return all that was delivered to a customer who has two or three such orders, the money on one method."""
    orders = [order for order in visit.orders.values() if order["status"] == "delivered"]
    if not 1 < len(orders) < 4 or len(visit.free("delivered")) < len(orders):
        return None
    paid = {order["payment_history"][0]["payment_method_id"] for order in orders}
    methods = visit.user["payment_methods"]
    able = [name for name in methods if paid == {name} or methods[name]["source"] == "gift_card"]
    if not able:
        return None
    payment, beats = visit.pay(able, None, "both_said"), []
    for number, order in enumerate(orders):
        visit.take(order)
        opening = f"{visit.wording.say('small_talk')} {visit.wording.say('return_everything')} {payment.said}"
        beat: Beat = {"write": number, "calls": visit.every_order()}
        beat["say"] = visit.wording.sentence("and_the_next") if number else sentences(opening)
        words = {"order": visit.wording.sentence("all_delivered"), "items": visit.wording.sentence("all_in_it")}
        beats.append(beat | {"words": {**words, **payment.words}, "asks": [] if number else list(payment.asks)})
    writes = tuple(changes.return_action(order, order["items"], payment) for order in orders)
    return Part(tuple(beats), writes, cost=3 + len(orders))


def cancel_all_but(visit: Visit) -> Part | None:
    """Cancel every pending order but one, of a customer who has two to four."""
    pending = [order for order in visit.orders.values() if order["status"] == "pending"]
    if not 1 < len(pending) < 5 or len(visit.free("pending")) < len(pending):
        return None
    kept = visit.draws.choice(pending)
    reference = visit.refer(kept)
    if reference.cost > WORDED:
        return None
    reason = visit.draws.choice(CANCEL_REASONS)
    why = sentences(visit.wording.say("needless" if reason == CANCEL_REASONS[0] else "mistaken"))
    beats: list[Beat] = []
    writes: list[Action] = []
    for order in pending:
        visit.take(order)
        if order is kept:
            continue
        opening = f"{visit.wording.say('context')} {visit.wording.say('cancel_all_but', order=reference.name)} {why}"
        words = {"order": visit.wording.sentence("every_other_pending", order=reference.name), "reason": why}
        say = visit.wording.sentence("and_the_next") if beats else sentences(opening)
        beats.append({"write": len(beats), "say": say, "words": words, "calls": visit.every_order()})
        writes.append(changes.cancel_action(order, reason))
    return Part(tuple(beats), tuple(writes), cost=3 + len(beats))


def _swap(
    visit: Visit,
    order: Row,
    items: Sequence[Row],
    choices: Sequence[Choice],
    core: str,
    asks: Sequence[str] = (),
    reference: Reference | None = None,
) -> Part | None:
    """The part of an exchange or a change.

    Args:
        visit: the call.
        order: taken already.
        items: of the order.
        choices: what comes instead of each.
        core: how the customer says it, with {order} where it names the order.
        asks: what it does not say.
        reference: how the order is told; None for any way.
    """
    payment = changes.settle_difference(visit, items, choices, order)
    if payment is None:
        return None
    reference = reference or visit.refer(order)
    beat = changes.swap_beat(visit, order, items, choices, reference, payment)
    core = core.replace("{order}", reference.name)
    beat["say"] = sentences(f"{visit.wording.say('context')} {core} {payment.said}")
    beat["asks"] = [*asks, *beat["asks"]]
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    write = changes.swap_action(tool, order, items, choices, payment)
    return Part((beat,), (write,), cost=1 + len(items) + sum(choice.cost for choice in choices) + reference.cost)


def _return_set(visit: Visit, order: Row, items: Sequence[Row], rule: str, **slots: str) -> Part:
    """The return of items that are told together, and now and then what comes back for them."""
    payment, reference = changes.refund_of(visit, order), visit.refer(order)
    what = visit.wording.say(rule, **slots)
    core = visit.wording.say("send_back", items=f"{what} {visit.wording.say('out_of')} {reference.name}")
    said = [visit.wording.say("context"), core, payment.said]
    beat = plain_beat("", reference, payment)
    beat["words"]["items"] = sentences(f"{what}.")
    outputs = (changes.tell_refund(visit, beat, items, said),) if visit.draws.below(100) < 30 else ()
    beat["say"] = sentences(" ".join(said))
    return Part((beat,), (changes.return_action(order, items, payment),), outputs, 3 + len(outputs) + reference.cost)


def _extreme(item: Row, cheap: bool) -> Choice | None:
    """An item's cheapest or dearest version, where that is another one and no second one costs as much."""
    ordered = sorted(variants_of(item), key=price_of, reverse=not cheap)
    if not ordered or (len(ordered) > 1 and ordered[0]["price"] == ordered[1]["price"]):
        return None
    best = ordered[0]
    beaten = price_of(best) < price_of(item) if cheap else price_of(best) > price_of(item)
    return Choice(best, "the cheapest one" if cheap else "the most expensive one", 1) if beaten else None


def which_of_two(visit: Visit, wanted: Row, other: Row) -> str:
    """Which of two of a kind is meant, by an option or by its price; empty where nothing tells them apart."""
    telling = [
        name
        for name, value in wanted["options"].items()
        if other["options"].get(name) != value and value not in NOT_VALUES
    ]
    if wanted["price"] != other["price"] and (not telling or visit.draws.below(2)):
        return visit.wording.say("dearer_twin" if price_of(wanted) > price_of(other) else "cheaper_twin")
    if not telling:
        return ""
    name = visit.draws.choice(telling)
    return f"the one {visit.wording.option(name, wanted['options'][name])}"


def _meets(choice: Choice, wanted: Row, other: Row) -> bool:
    """Whether what comes instead of one of two is like the other one, so that a short summary may be misunderstood."""
    new = {value for name, value in choice.variant["options"].items() if wanted["options"].get(name) != value}
    return bool(new & set(other["options"].values()) or new & set(NOT_VALUES))


def _round_between(lower: float, upper: float) -> int:
    """A round number of dollars between two prices; zero where there is none."""
    for step in (100, 50, 10, 5, 1):
        limit = step * (int(lower) // step + 1)
        if lower < limit < upper:
            return limit
    return 0
