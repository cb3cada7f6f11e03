"""Parts of a call that end in something to tell: prices, sums, balances, counts, tracking numbers, options."""

from __future__ import annotations

from collections.abc import Sequence

from tau_retail_env.sources.generated.choosing import variants_of
from tau_retail_env.sources.generated.visit import STATUSES, Beat, Call, Part, Row, Visit, call, dollars, plain
from tau_retail_env.sources.generated.wording import casual, sentences
from tau_retail_env.sources.tau2.tasks import shop_database

SHORTEST_VALUE = 4
"""Characters of an option's value that is asked for: a shorter one, such as "M", stands in many a word."""


def price(visit: Visit) -> Part | None:
    """What one item cost."""
    order, item = _item(visit)
    if order is None or item is None:
        return None
    name = casual(item["name"])
    answer = f"The {name} of order {order['order_id']} cost {dollars(item['price'])}."
    return about_order(
        visit, order, [item], "ask_price", plain(item["price"]), answer, item=visit.wording.item(item["name"])
    )


def total(visit: Visit) -> Part | None:
    """What a whole order cost."""
    order = _order(visit)
    if order is None or len(order["payment_history"]) != 1:
        return None
    amount = order["payment_history"][0]["amount"]
    answer = f"Order {order['order_id']} cost {dollars(amount)} in total."
    return about_order(visit, order, (), "ask_total", plain(amount), answer)


def tracking(visit: Visit) -> Part | None:
    """The tracking number of an order that was sent."""
    order = _order(visit, "processed", "delivered")
    if order is None or len(order["fulfillments"]) != 1 or len(order["fulfillments"][0]["tracking_id"]) != 1:
        return None
    number = order["fulfillments"][0]["tracking_id"][0]
    answer = f"The tracking number of order {order['order_id']} is {number}."
    return about_order(visit, order, (), "ask_tracking", number, answer)


def option(visit: Visit) -> Part | None:
    """The value that one option of an item has."""
    order, item = _item(visit)
    if order is None or item is None:
        return None
    names = [name for name, value in item["options"].items() if len(value) >= SHORTEST_VALUE and value != "none"]
    if not names:
        return None
    option_name, name = visit.draws.choice(names), casual(item["name"])
    value = item["options"][option_name]
    answer = f"The {option_name} of the {name} in order {order['order_id']} is {value}."
    return about_order(
        visit, order, [item], "ask_option", value, answer, item=visit.wording.item(item["name"]), option=option_name
    )


def destination(visit: Visit) -> Part | None:
    """The zip code that an order goes to."""
    order = _order(visit)
    if order is None:
        return None
    zip_code = order["address"]["zip"]
    answer = f"Order {order['order_id']} goes to {order['address']['city']}, zip code {zip_code}."
    return about_order(visit, order, (), "ask_zip", zip_code, answer)


def balance(visit: Visit) -> Part | None:
    """What is left on the customer's gift card."""
    cards = [method for method in visit.user["payment_methods"].values() if method["source"] == "gift_card"]
    if len(cards) != 1:
        return None
    answer = f"There is {dollars(cards[0]['balance'])} on your gift card."
    return _ask(visit, "ask_balance", [visit.profile()], plain(cards[0]["balance"]), answer, cost=1)


def versions(visit: Visit) -> Part | None:
    """In how many versions a product can be had."""
    product, calls = _product(visit)
    count = sum(variant["available"] for variant in product["variants"].values())
    name = casual(product["name"])
    return _ask(
        visit,
        "ask_versions",
        calls,
        str(count),
        f"The {name} comes in {count} available versions.",
        item=visit.wording.item(product["name"]),
    )


def cheapest(visit: Visit) -> Part | None:
    """The price of a product's cheapest or dearest available version."""
    product, calls = _product(visit)
    prices = [variant["price"] for variant in product["variants"].values() if variant["available"]]
    low, name = bool(visit.draws.below(2)), casual(product["name"])
    amount = min(prices) if low else max(prices)
    answer = f"The {'cheapest' if low else 'most expensive'} {name} in stock costs {dollars(amount)}."
    return _ask(
        visit,
        "ask_cheapest" if low else "ask_dearest",
        calls,
        plain(amount),
        answer,
        item=visit.wording.item(product["name"]),
    )


def spent(visit: Visit) -> Part | None:
    """What several items of an order cost together."""
    order = _order(visit)
    if order is None or len(order["items"]) < 2:
        return None
    items = visit.draws.sample(order["items"], 2 + visit.draws.below(len(order["items"]) - 1))
    amount = round(sum(item["price"] for item in items), 2)
    names = " and the ".join(casual(item["name"]) for item in items)
    answer = f"The {names} of order {order['order_id']} come to {dollars(amount)}."
    things = "the " + " and the ".join(visit.wording.item(item["name"]) for item in items)
    sum_up = call("calculate", expression=" + ".join(str(item["price"]) for item in items))
    return about_order(visit, order, items, "ask_sum", plain(amount), answer, more=[sum_up], things=things)


def difference(visit: Visit) -> Part | None:
    """What an item in an order would cost more or less in its cheapest or dearest version, without changing it."""
    order, item = _item(visit, "pending", "delivered")
    if order is None or item is None or not variants_of(item):
        return None
    low, name = bool(visit.draws.below(2)), casual(item["name"])
    prices = [variant["price"] for variant in variants_of(item)]
    amount = min(prices) if low else max(prices)
    if (amount < item["price"]) != low or amount == item["price"]:
        return None
    gap = round(abs(amount - item["price"]), 2)
    expression = f"{item['price']} - {amount}" if low else f"{amount} - {item['price']}"
    more = [call("get_product_details", product_id=item["product_id"]), call("calculate", expression=expression)]
    answer = f"The {'cheapest' if low else 'most expensive'} {name} costs {dollars(gap)} {'less' if low else 'more'}."
    rule = "ask_saving" if low else "ask_surcharge"
    return about_order(visit, order, [item], rule, plain(gap), answer, more=more, item=visit.wording.item(item["name"]))


def about_order(
    visit: Visit,
    order: Row,
    items: Sequence[Row],
    rule: str,
    output: str,
    answer: str,
    *,
    more: Sequence[Call] = (),
    **slots: str,
) -> Part:
    """A question about one order: its look-up, and more calls behind it."""
    reference = visit.refer(order, items)
    tail = reference.tail if items else ""
    slots |= {"order": reference.name, "tail": tail}
    part = _ask(visit, rule, [*reference.calls, *more], output, answer, cost=1 + reference.cost + len(more), **slots)
    part.beats[0]["words"] = reference.words
    return part


def _ask(
    visit: Visit, rule: str, calls: Sequence[Call], output: str, answer: str, *, cost: int = 2, **slots: str
) -> Part:
    before = visit.wording.say("context" if "order" in slots else "small_talk")
    question = f"{before} {visit.wording.say('question_lead')} {visit.wording.say(rule, **slots)}"
    beat: Beat = {"ask": sentences(question), "outputs": [0], "answer": answer, "calls": list(calls)}
    return Part((beat,), outputs=(output,), cost=cost)


def _order(visit: Visit, *statuses: str) -> Row | None:
    """An order to ask about, which is taken: what is told of it holds whatever else the call changes."""
    orders = visit.free(*(statuses or STATUSES))
    return visit.take(visit.draws.choice(orders)) if orders else None


def _item(visit: Visit, *statuses: str) -> tuple[Row | None, Row | None]:
    order = _order(visit, *statuses)
    return (None, None) if order is None else (order, visit.draws.choice(order["items"]))


def _product(visit: Visit) -> tuple[Row, list[Call]]:
    """Any product, and how an agent finds it."""
    products = shop_database()["products"]
    product = products[visit.draws.choice(sorted(products))]
    calls = [call("list_all_product_types"), call("get_product_details", product_id=product["product_id"])]
    return product, calls
