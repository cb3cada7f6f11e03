"""Parts of a call in the shapes of the benchmark's stories: facts bit by bit, last resorts, several orders at once."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from tau_retail_env.sources.generated import changes, questions, refusals
from tau_retail_env.sources.generated.choosing import Choice, unavailable, variants_of
from tau_retail_env.sources.generated.visit import (
    STATUSES,
    Beat,
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
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks.task import Action

PURPOSES_FILE = "purposes.toml"
WORDED = 1
"""What a reference costs that names an order in words; by its id it costs less, by a wrong id more."""
SUITE = re.compile(r"(Suite|Apt|Unit) \d+")


def bit_by_bit(visit: Visit) -> Part | None:
    """A return, an exchange, a change or a cancellation whose details come only when asked for."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    if order["status"] == "delivered" and visit.draws.below(2):
        return _bare_return(visit, order)
    if order["status"] == "pending" and visit.draws.below(3) == 0:
        reference = visit.refer(order)
        beat, reason = changes.cancellation(visit, reference, "")
        beat |= {"say": _bare(visit, "bare_cancel"), "asks": ["order", "reason"], "calls": visit.every_order()}
        return Part((beat,), (changes.cancel_action(order, reason),), cost=2 + reference.cost)
    return _bare_swap(visit, order)


def draw_in_stock(visit: Visit) -> tuple[Row, Row, Row] | None:
    """A delivered order, an item of it, and its variant, which is still in stock; None where it is not."""
    order = visit.draw_order("delivered")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    variant = shop_database()["products"][item["product_id"]]["variants"][item["item_id"]]
    return (order, item, variant) if variant["available"] else None


def same_again(visit: Visit) -> Part | None:
    """Return an item, and when asked to confirm rather exchange it for the very same."""
    drawn = draw_in_stock(visit)
    if drawn is None:
        return None
    order, item, variant = drawn
    payment, reference = changes.refund_of(visit, order), visit.refer(order, [item])
    named = visit.wording.item(item["name"])
    say = visit.wording.say("damaged", items=f"the {named}{reference.tail}")
    first: Beat = {
        "first": 0,
        "kind": "return",
        "items": [item["name"]],
        "say": sentences(f"{visit.wording.say('context')} {say} {payment.said}"),
        "words": {**reference.words, **payment.words},
        "calls": [*reference.calls, *payment.calls],
        "turn": visit.wording.sentence("wait"),
        "answer": f"Return {item['name']} of {order['order_id']}, refund to {payment.id}.",
    }
    words = visit.wording.say("the_same")
    then = refusals.beat_otherwise(visit, visit.wording.say("rather_exchange", target=words), reference, payment)
    then["words"]["options"] = sentences(f"{words}.")
    then["calls"].append(call("get_product_details", product_id=item["product_id"]))
    then["asks"] = list(payment.asks)
    write = changes.swap_action(changes.EXCHANGE, order, [item], [Choice(variant, words, 0)], payment)
    return Part((first, then), (write,), cost=4 + reference.cost)


def number_first(visit: Visit) -> Part | None:
    """A question whose answer is a number, and then a request about the same order."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    asked = _question(visit, order, item)
    if asked is None:
        return None
    reference = Reference(visit.wording.say("this_order"), "", asked.beats[0].get("words", {}), (), 0)
    if order["status"] == "pending" and visit.draws.below(2):
        beat, reason = changes.cancellation(visit, reference, visit.wording.say("having_heard"))
        return Part((*asked.beats, beat), (changes.cancel_action(order, reason),), asked.outputs, 1 + asked.cost)
    if order["status"] == "pending":
        then = choose_instead(visit, order, item, reference, "having_heard")
    else:
        payment = changes.refund_of(visit, order)
        items = f"the {visit.wording.item(item['name'])}"
        say = f"{visit.wording.say('having_heard')} {visit.wording.say('send_back', items=items)} {payment.said}"
        then = (plain_beat(say, reference, payment), changes.return_action(order, [item], payment), 1)
    if then is None:
        return None
    beat, write, cost = then
    return Part((*asked.beats, beat), (write,), asked.outputs, cost + asked.cost)


def last_resort(visit: Visit) -> Part | None:
    """One or two wishes that are refused, each told only after the one before, and then one that is not."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    reference = visit.refer(order, [item])
    found = [_forbidden(visit, order, item, reference), _out_of_stock(visit, order, item, reference)]
    wishes = [wish for wish in found if wish is not None]
    wishes = visit.draws.sample(wishes, min(len(wishes), 1 + visit.draws.below(3)))
    for wish in wishes[1:]:
        wish["otherwise"] = True
        key = "vain" if "vain" in wish else "say"
        wish[key] = sentences(f"{visit.wording.say('fallback')} {wish[key]}")
    wishes[0] |= {
        key: sentences(f"{visit.wording.say('context')} {wishes[0][key]}")
        for key in ("vain", "say")
        if key in wishes[0]
    }
    then = _resort(visit, order, item, reference)
    if then is None:
        return None
    beat, write, cost = then
    kind = {"pending": "modify_items", "delivered": "exchange"}[order["status"]]
    for wish in wishes:
        if "first" in wish:
            wish |= {"kind": kind, "items": [item["name"]]}
    return Part((*wishes, beat | {"otherwise": True}), (write,), cost=1 + 2 * len(wishes) + cost + reference.cost)


def purpose(visit: Visit) -> Part | None:
    """Return all of an order that is for something, or all that is not."""
    order = visit.draw_order("delivered")
    if order is None or len(order["items"]) < 2:
        return None
    names = {item["name"] for item in order["items"]}
    fitting = [
        (name, each)
        for name, each in _purposes().items()
        if names & set(each["things"]) and names - set(each["things"]) - set(each["unclear"])
    ]
    fitting = [(name, each) for name, each in fitting if not names & set(each["unclear"])]
    if not fitting:
        return None
    (name, chosen), own = visit.draws.choice(fitting), bool(visit.draws.below(2))
    items = [item for item in order["items"] if (item["name"] in chosen["things"]) == own]
    rule = f"purpose {name}"
    words = visit.wording.say(rule) if visit.wording.knows(rule) else visit.draws.choice(chosen["words"])
    what = visit.wording.say("all_for" if own else "all_but_for", purpose=words)
    payment, reference = changes.refund_of(visit, order), visit.refer(order)
    say = visit.wording.say("send_back", items=f"{what} {visit.wording.say('out_of')} {reference.name}")
    beat = plain_beat(f"{visit.wording.say('context')} {say} {payment.said}", reference, payment)
    beat["words"]["items"] = sentences(f"{what}.")
    return Part((beat,), (changes.return_action(order, items, payment),), cost=3 + reference.cost)


def part_of_an_address(visit: Visit) -> Part | None:
    """Change one part of the address of a pending order, or of the profile."""
    if visit.draws.below(5) == 0:
        return _part_of_home(visit)
    order = visit.draw_order("pending")
    if order is None:
        return None
    changed = _with_one_change(visit, changes.parts_of(order["address"]))
    if changed is None:
        return None
    address, words = changed
    reference = visit.refer(order)
    beat = _address_beat(visit, f"{visit.wording.say('wrong_part', order=reference.name)}", words, reference)
    return Part((beat,), (changes.address_action(order, address),), cost=2 + reference.cost)


def other_orders_address(visit: Visit) -> Part | None:
    """Send a pending order to where another order goes."""
    order = visit.draw_order("pending")
    if order is None:
        return None
    here = changes.parts_of(order["address"])
    others = [other for other in visit.left(*STATUSES) if changes.parts_of(other["address"]) != here]
    if not others:
        return None
    other = visit.take(visit.draws.choice(others))
    reference, target = visit.refer(order), visit.refer(other)
    if target.cost > WORDED:
        return None
    wish = visit.wording.say("address_of_order", order=target.name)
    late = target.cost == WORDED and visit.draws.below(100) < 40  # an agent can find it before it asks
    core = visit.wording.say("redirect_late" if late else "redirect", order=reference.name, place=wish)
    beat: Beat = {
        "write": 0,
        "say": sentences(f"{visit.wording.say('context')} {core}"),
        "words": {**reference.words, "address": sentences(f"{wish}.")},
        "asks": ["address"] if late else [],
        "calls": [*reference.calls, *(each for each in target.calls if each not in reference.calls)],
    }
    address = changes.parts_of(other["address"])
    return Part((beat,), (changes.address_action(order, address),), cost=3 + reference.cost + target.cost)


def twins(visit: Visit) -> Part | None:
    """Return one of two things of the same kind in one order: the dearer, the cheaper, or the one that is so and so."""
    orders = [order for order in visit.left("delivered") if twins_of(order)]
    if not orders:
        return None
    order = visit.take(visit.draws.choice(orders))
    pair = twins_of(order)
    wanted, other = visit.draws.sample(pair, 2)
    telling = {name: value for name, value in wanted["options"].items() if other["options"].get(name) != value}
    if not telling:
        return None
    named, name = visit.wording.item(wanted["name"]), visit.draws.choice(sorted(telling))
    if wanted["price"] != other["price"] and visit.draws.below(2):
        which = visit.wording.say("dearer_twin" if wanted["price"] > other["price"] else "cheaper_twin")
    else:
        which = f"the one {visit.wording.option(name, telling[name])}"
    payment, reference = changes.refund_of(visit, order), visit.refer(order)
    core = visit.wording.say("two_alike", item=named, order=reference.name, which=which)
    beat = plain_beat(f"{visit.wording.say('context')} {core} {payment.said}", reference, payment)
    beat["words"]["items"] = sentences(f"{which}.")
    return Part((beat,), (changes.return_action(order, [wanted], payment),), cost=3 + reference.cost)


def errands(visit: Visit) -> Part | None:
    """Two or three returns and cancellations of several orders, all told in the first message."""
    beats: list[Beat] = []
    writes: list[Action] = []
    wishes: list[str] = []
    wanted = 2 + visit.draws.below(2)
    for _ in range(wanted):
        order = visit.draw_order("delivered", "pending")
        if order is None:
            break
        wish, beat, write = errand(visit, order)
        wishes.append(wish)
        beats.append({**beat, "write": len(beats)})
        writes.append(write)
    if len(beats) < 2:
        return None
    together = visit.wording.say("errands", wishes=visit.wording.say("errand_join").join(wishes))
    beats[0]["say"] = sentences(f"{visit.wording.say('context')} {together}")
    return Part(tuple(beats), tuple(writes), cost=3 * len(beats))


def other_types(visit: Visit, order: Row) -> list[tuple[Row, Row, Row]]:
    """Items of an order, each with another order and the item of its product but another type in that."""
    return [
        (item, other, twin)
        for item in order["items"]
        for other in visit.left(*STATUSES)
        for twin in other["items"]
        if twin["product_id"] == item["product_id"] and twin["options"] != item["options"]
    ]


def like_another(visit: Visit) -> Part | None:
    """Exchange or change an item for the type that the customer has in another order."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    pairs = other_types(visit, order)
    if not pairs:
        return None
    item, other, twin = visit.draws.choice(pairs)
    visit.take(other)
    same = [variant for variant in variants_of(item) if variant["item_id"] == twin["item_id"]]
    if not same or visit.count_of(item) != 2:
        return None
    choice = Choice(same[0], visit.wording.say(f"like_that_{'coming' if other['status'] == 'pending' else 'had'}"), 2)
    payment = changes.settle_difference(visit, [item], [choice], order)
    if payment is None:
        return None
    reference, target = visit.refer(order, [item]), visit.refer(other)
    if target.cost > WORDED:
        return None
    beat = changes.swap_beat(visit, order, [item], [choice], reference, payment)
    beat["calls"] = [*reference.calls, *visit.search(other), *beat["calls"][len(reference.calls) :]]
    beat["say"] = sentences(f"{visit.wording.say('context')} {beat['say']} {payment.said}")
    beat["words"]["options"] = sentences(f"{choice.words}. {visit.wording.say('in_that_order', order=target.name)}")
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    write = changes.swap_action(tool, order, [item], [choice], payment)
    return Part((beat,), (write,), cost=4 + reference.cost)


def chatter(visit: Visit) -> Part | None:
    """Something that has nothing to do with the shop: a joke, a riddle, the weather."""
    question = f"{visit.wording.say('small_talk')} {visit.wording.say('off_topic')}"
    answer = "I am only here for your orders, so let us leave that aside."
    return Part(({"ask": sentences(question), "answer": answer},), cost=1)


def _bare(visit: Visit, rule: str, **slots: str) -> str:
    """Words that tell little of a wish, with small talk, so that no two tasks open alike."""
    return sentences(f"{visit.wording.say('small_talk')} {visit.wording.say(rule, **slots)}")


def _bare_return(visit: Visit, order: Row) -> Part:
    item = visit.draws.choice(order["items"])
    payment, reference = changes.refund_of(visit, order), visit.refer(order, [item])
    named = visit.wording.item(item["name"])
    beat = plain_beat(_bare(visit, "bare_return", item=named), reference, payment)
    beat["words"] |= {"items": visit.wording.sentence("just_that", item=named)}
    beat["words"].setdefault("payment", visit.wording.sentence("method", method=visit.describe(payment.id)))
    beat["asks"] = ["order", "items", "payment"]
    beat["calls"] = visit.every_order()
    return Part((beat,), (changes.return_action(order, [item], payment),), cost=2 + reference.cost)


def _bare_swap(visit: Visit, order: Row) -> Part | None:
    item = visit.draws.choice(order["items"])
    choice = visit.choose(item)
    payment = changes.settle_difference(visit, [item], [choice], order) if choice else None
    if choice is None or payment is None:
        return None
    reference = visit.refer(order, [item])
    beat = changes.swap_beat(visit, order, [item], [choice], reference, payment)
    bare = "bare_exchange" if order["status"] == "delivered" else "bare_change"
    beat["say"] = _bare(visit, bare, item=visit.wording.item(item["name"]))
    beat["asks"] = ["order", "options", "payment"]
    beat["calls"] = [*visit.every_order(), call("get_product_details", product_id=item["product_id"])]
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    write = changes.swap_action(tool, order, [item], [choice], payment)
    return Part((beat,), (write,), cost=2 + choice.cost + reference.cost)


def _question(visit: Visit, order: Row, item: Row) -> Part | None:
    """A question about an order that is taken: the price of an item, its total, its tracking number."""
    way = visit.draws.below(3)
    if way == 0:
        answer = f"The {casual(item['name'])} of order {order['order_id']} cost {dollars(item['price'])}."
        named = visit.wording.item(item["name"])
        return questions.about_order(visit, order, [item], "ask_price", plain(item["price"]), answer, item=named)
    sent = order["fulfillments"]
    if way == 1 and len(sent) == 1 and len(sent[0]["tracking_id"]) == 1:
        number = sent[0]["tracking_id"][0]
        answer = f"The tracking number of order {order['order_id']} is {number}."
        return questions.about_order(visit, order, (), "ask_tracking", number, answer)
    if len(order["payment_history"]) != 1:
        return None
    amount = order["payment_history"][0]["amount"]
    answer = f"Order {order['order_id']} cost {dollars(amount)} in total."
    return questions.about_order(visit, order, (), "ask_total", plain(amount), answer)


def choose_instead(
    visit: Visit, order: Row, item: Row, reference: Reference, lead: str
) -> tuple[Beat, Action, int] | None:
    """Another version of an item: the beat, the write, and points of difficulty."""
    choice = visit.choose(item)
    payment = changes.settle_difference(visit, [item], [choice], order) if choice else None
    if choice is None or payment is None:
        return None
    beat = changes.swap_beat(visit, order, [item], [choice], reference, payment)
    beat["say"] = sentences(f"{visit.wording.say(lead)} {beat['say']} {payment.said}")
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    return beat, changes.swap_action(tool, order, [item], [choice], payment), 1 + choice.cost


def _forbidden(visit: Visit, order: Row, item: Row, reference: Reference) -> Beat:
    """A wish about an item that the domain policy forbids."""
    named = f"the {visit.wording.item(item['name'])}"
    if order["status"] == "pending" and len(order["items"]) > 1 and visit.draws.below(2):
        say = visit.wording.say("cancel_item", item=f"{named}{reference.tail}")
        return refusals.beat_in_vain(visit, say, reference, refusals.ONLY_WHOLE)
    if order["status"] == "pending" and visit.draws.below(2):
        say = visit.wording.say("split", order=reference.name)
        return refusals.beat_in_vain(visit, say, reference, refusals.ONLY_ONE_METHOD)
    other = visit.draws.choice(sorted(_products() - {each["name"] for each in order["items"]}))
    pairs = f"{named}{reference.tail} for the {visit.wording.item(other)} you sell"
    say = visit.wording.say("swap" if order["status"] == "delivered" else "change", pairs=pairs)
    return refusals.beat_in_vain(visit, say, reference, refusals.ONLY_SAME_PRODUCT)


def _out_of_stock(visit: Visit, order: Row, item: Row, reference: Reference) -> Beat | None:
    """A wish for a version that is not to be had; it has no small talk before it."""
    wish = unavailable(visit.draws, item)
    if wish is None:
        return None
    beat = refusals.first_wish(visit, order, item, wish, reference)
    words = beat["words"]["options"].rstrip(".")
    pairs = f"my {visit.wording.item(item['name'])}{reference.tail} for {words[0].lower()}{words[1:]}"
    beat["say"] = visit.wording.say("swap" if order["status"] == "delivered" else "change", pairs=pairs)
    return beat


def _resort(visit: Visit, order: Row, item: Row, reference: Reference) -> tuple[Beat, Action, int] | None:
    """What can be done about an item: another version, a return, a cancellation of its order."""
    if visit.draws.below(2):
        return choose_instead(visit, order, item, reference, "fallback")
    if order["status"] == "pending":
        whole = Reference(visit.wording.say("whole_order"), "", reference.words, reference.calls, reference.cost)
        beat, reason = changes.cancellation(visit, whole, visit.wording.say("fallback"))
        return beat, changes.cancel_action(order, reason), 1
    payment = changes.refund_of(visit, order)
    core = visit.wording.say("send_back", items=f"the {visit.wording.item(item['name'])}")
    beat = plain_beat(f"{visit.wording.say('fallback')} {core} {payment.said}", reference, payment)
    return beat, changes.return_action(order, [item], payment), 1


def errand(visit: Visit, order: Row) -> tuple[str, Beat, Action]:
    """One of several wishes: how it is told with the others, its beat, its write."""
    reference = visit.refer(order)
    if order["status"] == "pending":
        beat, reason = changes.cancellation(visit, reference, visit.wording.say("next_errand"))
        return visit.wording.say("errand_cancel", order=reference.name), beat, changes.cancel_action(order, reason)
    items = visit.draws.sample(order["items"], 1 + visit.draws.below(min(2, len(order["items"]))))
    what = listed([f"the {visit.wording.item(item['name'])}" for item in items])
    payment = changes.refund_of(visit, order)
    tail = f" {visit.wording.say('out_of')} {reference.name}"
    core = visit.wording.say("send_back", items=f"{what}{tail}")
    beat = plain_beat(f"{visit.wording.say('next_errand')} {core} {payment.said}", reference, payment)
    wish = visit.wording.say("errand_return", items=f"{what}{tail}")
    return wish, beat, changes.return_action(order, items, payment)


def _part_of_home(visit: Visit) -> Part | None:
    if visit.moved:
        return None
    changed = _with_one_change(visit, changes.parts_of(visit.user["address"]))
    if changed is None:
        return None
    visit.moved = True
    address, words = changed
    reference = Reference("", "", {}, (visit.profile(),), 0)
    beat = _address_beat(visit, visit.wording.say("wrong_part_of_home"), words, reference)
    return Part((beat,), (changes.profile_action(visit, address),), cost=2)


def _with_one_change(visit: Visit, address: Mapping[str, str]) -> tuple[dict[str, str], str] | None:
    """An address of which the suite or the house number is another, and how the customer says that."""
    number, _, street = address["address1"].partition(" ")
    if SUITE.fullmatch(address["address2"]) and visit.draws.below(3):
        kind = address["address2"].split()[0]
        suite = f"{kind} {100 + visit.draws.below(900)}"
        if suite != address["address2"]:
            return {**address, "address2": suite}, visit.wording.say("only_suite", kind=kind.lower(), suite=suite)
    if not number.isdigit():
        return None
    other = str(100 + visit.draws.below(900))
    words = visit.wording.say("only_number", number=other, street=street)
    return ({**address, "address1": f"{other} {street}"}, words) if other != number else None


def _address_beat(visit: Visit, say: str, words: str, reference: Reference) -> Beat:
    before = visit.wording.say("context" if reference.name else "small_talk")
    late = visit.draws.below(100) < 40
    return {
        "write": 0,
        "say": sentences(f"{before} {say} {'' if late else words}"),
        "words": {**reference.words, "address": sentences(words)},
        "asks": ["address"] if late else [],
        "calls": list(reference.calls),
    }


def plain_beat(say: str, reference: Reference, payment: Payment) -> Beat:
    """The beat of a write, with the words that open it."""
    return {"say": sentences(say), **changes.beat_about(reference, payment, calls=[*reference.calls, *payment.calls])}


def twins_of(order: Row) -> list[Row]:
    """The two items of an order that are of the same product; none where it has no such pair."""
    for item in order["items"]:
        alike = [other for other in order["items"] if other["product_id"] == item["product_id"]]
        if len(alike) == 2:
            return alike
    return []


@functools.cache
def _products() -> frozenset[str]:
    return frozenset(product["name"] for product in shop_database()["products"].values())


@functools.cache
def _purposes() -> Mapping[str, Mapping[str, Any]]:
    """What things are for: each with the products that are, those of which one may doubt it, and its words.

    A grammar that has a rule "purpose NAME" has words of its own.
    """
    text = resources.files(__package__).joinpath(PURPOSES_FILE).read_text(encoding="utf-8")
    return tomllib.loads(text)
