"""Parts of a call of the fifth series that ask: several facts at once, sums and differences, what is in stock."""

from __future__ import annotations

from collections.abc import Sequence

from tau_retail_env.sources.generated import changes, facts, shapes
from tau_retail_env.sources.generated.choosing import Choice, sold, values_of
from tau_retail_env.sources.generated.facts import CLAUSES, Fact, can_be_told, is_news, question
from tau_retail_env.sources.generated.picking import NOT_NAMED, price_of
from tau_retail_env.sources.generated.requests import CANCEL_REASONS
from tau_retail_env.sources.generated.shapes import plain_beat
from tau_retail_env.sources.generated.visit import (
    STATUSES,
    Beat,
    Call,
    Part,
    Reference,
    Row,
    Visit,
    call,
    dollars,
    plain,
)
from tau_retail_env.sources.generated.wording import casual, listed, sentences
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks.task import Action

MOST_LISTED = 4
"""Versions that one answer lists, at most."""
LIMIT_STEP = 10
"""Dollars to which a limit is rounded."""
POSSIBLE = (
    ("ask_may_cancel", "pending", "cancelled"),
    ("ask_may_return", "delivered", "returned"),
    ("ask_may_exchange", "delivered", "exchanged"),
    ("ask_may_redirect", "pending", "sent elsewhere"),
)
"""What a customer wonders about: the rule, the status that an order must have for it, and the deed in words."""
CONDITION_PRICES = (50, 100, 150, 200, 250, 300, 400, 500, 600, 800, 1_000, 1_500, 2_000, 2_500)
"""Limits in dollars that a customer may name."""


def several_facts(visit: Visit) -> Part | None:
    """Two or three facts of one order in a single message, of which one at least is about an item."""
    order = visit.draw_order(*STATUSES)
    if order is None:
        return None
    of_order = (*CLAUSES.values(), _city)
    makers = [facts.price, option_by_name, *visit.draws.sample([facts.price, option_by_name, *of_order], 3)]
    chosen: list[Fact] = []
    for make in makers[visit.draws.below(2) :]:
        fact = make(visit, order)
        if fact is not None and len(chosen) < 2 + visit.draws.below(2) and is_news(visit, fact, chosen):
            chosen.append(fact)
    if len(chosen) < 2 or not chosen[0].item:
        return None
    outputs = tuple(output for fact in chosen for output in fact.outputs)
    if len(set(outputs)) < len(outputs):
        return None
    reference = visit.refer(order, untold=[way for fact in chosen for way in (*fact.untold, "things")])
    said = visit.draws.sample(chosen, len(chosen))
    clauses = [visit.wording.say(f"clause_{fact.rule.removeprefix('ask_')}", **fact.slots) for fact in said]
    asked = visit.wording.say("ask_several", things=listed(clauses), order=reference.name)
    beat = _asking(visit, asked, outputs, " ".join(fact.answer for fact in chosen), reference.calls)
    beat["words"] = reference.words
    beat["calls"] += [each for fact in chosen for each in fact.calls if each not in beat["calls"]]
    return Part((beat,), outputs=outputs, cost=3 + reference.cost + len(chosen))


def one_and_the_other(visit: Visit) -> Part | None:
    """The same fact of both orders of a customer who has two, one after the other."""
    if len(visit.orders) != 2 or len(visit.free(*STATUSES)) != 2:
        return None
    one, other = visit.draws.sample(list(visit.orders.values()), 2)
    make = visit.draws.choice((facts.status, facts.total, facts.tracking, facts.street, facts.item_count))
    pair = [make(visit, visit.take(order)) for order in (one, other)]
    if pair[0] is None or pair[1] is None or set(pair[0].outputs) & set(pair[1].outputs):
        return None
    reference = visit.refer(one, untold=pair[0].untold)
    before = f"{visit.wording.say('context')} {visit.wording.say('question_lead')}"
    first = question(visit, pair[0], reference, before)
    then: Beat = {
        "ask": visit.wording.sentence("and_my_other_order"),
        "outputs": list(range(len(pair[0].outputs), len(pair[0].outputs) + len(pair[1].outputs))),
        "answer": pair[1].answer,
        "calls": visit.every_order(),
    }
    return Part((first, then), outputs=(*pair[0].outputs, *pair[1].outputs), cost=4 + reference.cost)


def orders_together(visit: Visit) -> Part | None:
    """What all orders of one status, or two that are named, cost together."""
    if any(len(order["payment_history"]) != 1 for order in visit.orders.values()):
        return None
    status = visit.draws.choice(("pending", "delivered", ""))
    orders = visit.left(*([status] if status else STATUSES))
    if status and len(orders) < sum(order["status"] == status for order in visit.orders.values()):
        return None
    chosen = orders if status else visit.draws.sample(orders, min(2, len(orders)))
    if not 1 < len(chosen) < 5:
        return None
    references = [] if status else [visit.refer(visit.take(order), untold=("money",)) for order in chosen]
    if any(reference.cost > 1 for reference in references):
        return None
    amounts = [order["payment_history"][0]["amount"] for order in chosen]
    total = round(sum(amounts), 2)
    if status:
        asked, named = visit.wording.say(f"ask_all_{status}"), f"all {status} orders"
    else:
        both = " and ".join(reference.name for reference in references)
        asked = visit.wording.say("ask_two_orders", both=both)
        named = f"orders {' and '.join(order['order_id'] for order in chosen)}"
    answer = f"Together, {named} come to {dollars(total)}."
    calls = [*visit.every_order(), _sum(amounts)]
    beat = _asking(visit, asked, (plain(total),), answer, calls, "small_talk" if status else "context")
    return Part((beat,), outputs=(plain(total),), cost=4 + len(chosen))


def all_of_a_kind(visit: Visit) -> Part | None:
    """What all things of one product cost together, over all orders."""
    rows = [item for order in visit.left(*STATUSES) for item in order["items"]]
    products = sorted({item["product_id"] for item in rows if visit.count_of(item) > 1})
    if not products or any(order["status"] == "cancelled" for order in visit.orders.values()):
        return None
    product = visit.draws.choice(products)
    prices = [item["price"] for item in rows if item["product_id"] == product]
    name = shop_database()["products"][product]["name"]
    total = round(sum(prices), 2)
    if len(prices) < visit.count_of({"product_id": product}) or plain(total) in map(plain, prices):
        return None
    held = [
        row["order_id"] for row in visit.left(*STATUSES) if product in {item["product_id"] for item in row["items"]}
    ]
    answer = f"You bought the {casual(name)} {len(prices)} times, for {dollars(total)} altogether: in {listed(held)}."
    asked = visit.wording.say("ask_all_of_a_kind", item=visit.wording.item(name))
    beat = _asking(visit, asked, (plain(total),), answer, [*visit.every_order(), _sum(prices)], "small_talk")
    return Part((beat,), outputs=(plain(total),), cost=4)


def gap_between(visit: Visit) -> Part | None:
    """How much more one of two items of an order cost than the other."""
    order = visit.draw_order(*STATUSES)
    if order is None or len(order["items"]) < 2:
        return None
    dearer, cheaper = sorted(visit.draws.sample(order["items"], 2), key=price_of, reverse=True)
    gap = round(dearer["price"] - cheaper["price"], 2)
    if gap <= 0:
        return None
    names = [casual(item["name"]) for item in (dearer, cheaper)]
    answer = f"In order {order['order_id']}, the {names[0]} cost {dollars(gap)} more than the {names[1]}."
    reference = visit.refer(order, untold=("things",))
    one, other = (f"the {visit.wording.item(item['name'])}" for item in (dearer, cheaper))
    rule, *pair = visit.draws.choice((("ask_gap_more", one, other), ("ask_gap_less", other, one)))
    asked = visit.wording.say(rule, one=pair[0], other=pair[1], order=reference.name)
    minus = call("calculate", expression=f"{dearer['price']} - {cheaper['price']}")
    beat = _asking(visit, asked, (plain(gap),), answer, [*reference.calls, minus])
    beat["words"] = reference.words
    return Part((beat,), outputs=(plain(gap),), cost=3 + reference.cost)


def what_if(visit: Visit) -> Part | None:
    """What another version of an item would cost, and how much more or less that is; nothing is changed."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    choice = visit.choose(item)
    if choice is None or not changes.difference_of([item], [choice]):
        return None
    gap = changes.difference_of([item], [choice])
    price = choice.variant["price"]
    reference = visit.refer(order, [item])
    asked = visit.wording.say(
        "ask_what_if", item=visit.wording.item(item["name"]), tail=reference.tail, target=choice.words
    )
    options = ", ".join(f"{name} {value}" for name, value in choice.variant["options"].items())
    side = "more" if gap > 0 else "less"
    version = f"That {casual(item['name'])} version ({options})"
    answer = f"{version} costs {dollars(price)}, {dollars(abs(gap))} {side} than yours."
    outputs = (plain(price), plain(abs(gap)))
    if outputs[1] in outputs[0]:
        return None
    minus = call("calculate", expression=f"{price} - {item['price']}")
    product = call("get_product_details", product_id=item["product_id"])
    beat = _asking(visit, asked, outputs, answer, [*reference.calls, product, minus])
    beat["words"] = {**reference.words, "options": sentences(f"{choice.words}.")}
    return Part((beat,), outputs=outputs, cost=4 + choice.cost + reference.cost)


def which_and_how_much(visit: Visit) -> Part | None:
    """All versions of a product that meet a condition, with their prices; or how many these are."""
    product_id = visit.draws.choice(sorted(shop_database()["products"]))
    found = condition(visit, product_id)
    if found is None:
        return None
    words, fitting = found
    name = shop_database()["products"][product_id]["name"]
    item, calls = visit.wording.item(name), [call("list_all_product_types"), _product(product_id)]
    if visit.draws.below(3) == 0:
        asked = visit.wording.say("ask_how_many_such", item=item, such=words)
        count = len(fitting)
        answer = f"Of the {casual(name)}, {count} such version{'s are' if count > 1 else ' is'} available."
        return Part((_asking(visit, asked, (str(count),), answer, calls, "small_talk"),), outputs=(str(count),), cost=3)
    if len(fitting) > MOST_LISTED:
        return None
    asked = visit.wording.say("ask_which_such", item=item, such=words)
    outputs, answer = listing(name, fitting)
    return Part((_asking(visit, asked, outputs, answer, calls, "small_talk"),), outputs=outputs, cost=2 + len(fitting))


def best_offer(visit: Visit) -> Part | None:
    """The cheapest or the dearest version of a product that has an option: its price and what else it has."""
    product_id = visit.draws.choice(sorted(shop_database()["products"]))
    found = condition(visit, product_id, priced=False)
    if found is None or len(found[1]) < 2:
        return None
    words, fitting = found
    cheap = bool(visit.draws.below(2))
    first, second = sorted(fitting, key=price_of, reverse=not cheap)[:2]
    told = [value for value in first["options"].values() if can_be_told(value)][:2]
    if first["price"] == second["price"] or not told:
        return None
    name = shop_database()["products"][product_id]["name"]
    rule = "ask_cheapest_such" if cheap else "ask_dearest_such"
    asked = visit.wording.say(rule, item=visit.wording.item(name), such=words)
    options = ", ".join(f"{each} {value}" for each, value in first["options"].items())
    which = "cheapest" if cheap else "most expensive"
    answer = f"The {which} such {casual(name)} in stock costs {dollars(first['price'])} and has {options}."
    outputs = (plain(first["price"]), *dict.fromkeys(told))
    calls = [call("list_all_product_types"), _product(product_id)]
    return Part((_asking(visit, asked, outputs, answer, calls, "small_talk"),), outputs=outputs, cost=3 + len(outputs))


def heard_then_chosen(visit: Visit) -> Part | None:
    """What there is instead of an item, and for how much; then the cheapest or the dearest of these, or none."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    found = condition(visit, item["product_id"])
    if found is None:
        return None
    words, fitting = found
    others = [each for each in fitting if each["options"] != item["options"]]
    if len(others) != len(fitting) or not 1 < len(fitting) <= MOST_LISTED:
        return None
    outputs, answer = listing(item["name"], fitting)
    reference = visit.refer(order, [item])
    named = visit.wording.item(item["name"])
    asked = visit.wording.say("ask_instead", item=named, tail=reference.tail, such=words)
    first = _asking(visit, asked, outputs, answer, [*reference.calls, _product(item["product_id"])])
    first["words"] = reference.words
    here = Reference(visit.wording.say("this_order"), "", reference.words, (), 0)
    then = _consequence(visit, order, item, fitting, here)
    if then is None:
        return None
    beat, write, cost = then
    return Part((first, beat), (write,), outputs, 3 + cost + reference.cost)


def if_cheap_enough(visit: Visit) -> Part | None:
    """The cheapest version that has an option if it costs less than so much, else a return or a cancellation."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    found = condition(visit, item["product_id"], priced=False)
    fitting = sorted(found[1], key=price_of) if found else []
    if found is None or len(fitting) < 2 or fitting[0]["price"] == fitting[1]["price"]:
        return None
    best, price = fitting[0], price_of(fitting[0])
    limit = LIMIT_STEP * round(price * (0.75 + visit.draws.below(50) / 100) / LIMIT_STEP)
    if best["options"] == item["options"] or limit == price or not limit:
        return None
    enough, delivered = price < limit, order["status"] == "delivered"
    reference, named = visit.refer(order, [item]), visit.wording.item(item["name"])
    rule = "exchange_if_cheap" if delivered else "change_if_cheap"
    core = visit.wording.say(rule, item=f"{named}{reference.tail}", such=found[0], limit=f"${limit}")
    choice = Choice(best, f"the cheapest one {found[0]}", 2)
    payment = changes.settle_difference(visit, [item], [choice], order) if enough else changes.refund_of(visit, order)
    if payment is None:
        return None
    beat = changes.swap_beat(visit, order, [item], [choice], reference, payment)
    if enough:
        tool = changes.EXCHANGE if delivered else changes.MODIFY
        write = changes.swap_action(tool, order, [item], [choice], payment)
    elif delivered:
        write = changes.return_action(order, [item], payment)
    else:
        write = changes.cancel_action(order, CANCEL_REASONS[0])
        beat["words"] |= {"reason": visit.wording.sentence("needless")}
    beat["say"] = sentences(f"{visit.wording.say('context')} {core}")
    beat["asks"] = ["payment"] if enough or delivered else ["reason"]
    side = "less" if enough else "not less"
    beat["answer"] = f"The cheapest such {casual(item['name'])} costs {dollars(price)}, {side} than ${limit}."
    return Part((beat,), (write,), cost=6 + reference.cost)


def only_wondering(visit: Visit) -> Part | None:
    """Whether something could be done; it is not to be done."""
    order = visit.draw_order(*STATUSES)
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    rule, able, done = visit.draws.choice(POSSIBLE)
    reference = visit.refer(order, untold=("status", "count", "place"))
    asked = visit.wording.say(rule, order=reference.name, item=visit.wording.item(item["name"]))
    is_so = f"order {order['order_id']} is {order['status']}"
    if order["status"] == able:
        answer = f"Yes, {is_so}, so that is possible."
    else:
        answer = sentences(f"{is_so}, and only {able} orders can be {done}.")
    beat = _asking(visit, asked, (), answer, reference.calls)
    return Part((beat | {"words": reference.words},), cost=2 + reference.cost)


def back_for_everything(visit: Visit) -> Part | None:
    """Two returns or cancellations, and then what comes back for both together."""
    beats: list[Beat] = []
    writes: list[Action] = []
    wishes: list[str] = []
    amounts: list[float] = []
    for _ in range(2):
        order = visit.draw_order("delivered", "pending")
        if order is None or len(order["payment_history"]) != 1:
            return None
        wish, beat, write = shapes.errand(visit, order)
        amounts += _amounts(order, write)
        wishes.append(wish)
        beats.append({**beat, "write": len(beats)})
        writes.append(write)
    together = visit.wording.say("errands", wishes=visit.wording.say("errand_join").join(wishes))
    beats[0]["say"] = sentences(f"{visit.wording.say('context')} {together}")
    total = round(sum(amounts), 2)
    asked: Beat = {
        "ask": visit.wording.sentence("back_for_all"),
        "outputs": [0],
        "answer": f"For all of it together you get {dollars(total)} back.",
        "calls": [_sum(amounts)],
    }
    return Part((*beats, asked), tuple(writes), (plain(total),), 7)


def _asking(
    visit: Visit, asked: str, outputs: Sequence[str], answer: str, calls: Sequence[Call], before: str = "context"
) -> Beat:
    """The beat of a question; where few words tell it, more is said before it, for no two tasks open alike."""
    before = f"{visit.wording.say(before)} {visit.wording.say('question_lead')}"
    return {
        "ask": sentences(f"{before} {asked}"),
        "outputs": list(range(len(outputs))),
        "answer": answer,
        "calls": list(calls),
    }


def _city(visit: Visit, order: Row) -> Fact | None:
    """The city that an order goes to."""
    city = order["address"]["city"]
    return Fact("ask_city", (city,), f"Order {order['order_id']} goes to {city}.", untold=("place",))


def option_by_name(visit: Visit, order: Row) -> Fact | None:
    """One option of an item, asked for by the option's name."""
    item = visit.draws.choice(order["items"])
    names = [name for name, value in item["options"].items() if can_be_told(value)]
    if not names:
        return None
    name = visit.draws.choice(names)
    value = item["options"][name]
    answer = f"The {name} of the {casual(item['name'])} in order {order['order_id']} is {value}."
    slots = {"item": visit.wording.item(item["name"]), "option": name}
    return Fact("ask_option", (value,), answer, item=item, slots=slots)


def condition(visit: Visit, product_id: str, *, priced: bool = True) -> tuple[str, list[Row]] | None:
    """A condition on a product's versions, to follow "one", and those in stock that meet it; None without any."""
    offered = [each for each in sold(product_id) if each["available"]]
    if priced and visit.draws.below(100) < 35:
        below = {limit: [each for each in offered if each["price"] < limit] for limit in CONDITION_PRICES}
        limits = [limit for limit, fitting in below.items() if 0 < len(fitting) < len(offered)]
        if not limits:
            return None
        limit = visit.draws.choice(limits)
        return visit.wording.say("under_so_much", limit=f"${limit}"), below[limit]
    name = visit.draws.choice(sorted(offered[0]["options"])) if offered else ""
    values = [value for value in values_of(product_id, name) if value not in NOT_NAMED] if name else []
    if not values:
        return None
    value = visit.draws.choice(values)
    fitting = [each for each in offered if each["options"][name] == value]
    return (visit.wording.option(name, value), fitting) if fitting else None


def listing(name: str, fitting: Sequence[Row]) -> tuple[tuple[str, ...], str]:
    """The prices of some versions, and the sentence that lists them."""
    rows = [f"{_worded(each)} at {dollars(each['price'])}" for each in fitting]
    outputs = tuple(dict.fromkeys(plain(each["price"]) for each in fitting))
    return outputs, f"Of the {casual(name)}, these versions are in stock: {'; '.join(rows)}."


def _worded(variant: Row) -> str:
    """A version's options: their values, with their names where a value says nothing by itself."""
    options = variant["options"].items()
    return ", ".join(f"{name}: {value}" if value in NOT_NAMED else value for name, value in options)


def _consequence(
    visit: Visit, order: Row, item: Row, fitting: Sequence[Row], here: Reference
) -> tuple[Beat, Action, int] | None:
    """What a customer wants who has heard of some versions: one of them, or none, and then no item or no order."""
    named = visit.wording.item(item["name"])
    if visit.draws.below(100) < 60:
        cheap = bool(visit.draws.below(3))
        first, second = sorted(fitting, key=price_of, reverse=not cheap)[:2]
        if first["price"] == second["price"]:
            return None
        words = visit.wording.say("cheapest_of_these" if cheap else "dearest_of_these")
        choice = Choice(first, words, 1)
        payment = changes.settle_difference(visit, [item], [choice], order)
        if payment is None:
            return None
        beat = changes.swap_beat(visit, order, [item], [choice], here, payment)
        beat["say"] = sentences(f"{visit.wording.say('having_heard')} {beat['say']} {payment.said}")
        tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
        return beat, changes.swap_action(tool, order, [item], [choice], payment), 2
    before = visit.wording.say("none_of_these")
    if order["status"] == "pending":
        beat, reason = changes.cancellation(visit, here, before)
        return beat, changes.cancel_action(order, reason), 1
    payment = changes.refund_of(visit, order)
    say = f"{before} {visit.wording.say('send_back', items=f'the {named}')} {payment.said}"
    return plain_beat(say, here, payment), changes.return_action(order, [item], payment), 1


def _amounts(order: Row, write: Action) -> list[float]:
    """What comes back for a return, item by item, or for a cancellation."""
    if write.name == changes.CANCEL:
        return [order["payment_history"][0]["amount"]]
    prices = {item["item_id"]: item["price"] for item in order["items"]}
    return [prices[item_id] for item_id in write.arguments["item_ids"]]


def _sum(amounts: Sequence[float]) -> Call:
    return call("calculate", expression=" + ".join(map(str, amounts)))


def _product(product_id: str) -> Call:
    return call("get_product_details", product_id=product_id)
