"""Parts of a call that ask for facts of an order, one by one, several in one message, or one after another."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from tau_retail_env.sources.generated import changes, refusals
from tau_retail_env.sources.generated.shapes import choose_instead, plain_beat, twins_of
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
from tau_retail_env.tasks.task import Action

SHORTEST_VALUE = 4
"""Characters of an option's value that is asked for; a shorter one must hold a digit and a letter, as "8GB"."""
NOT_VALUES = ("none", "yes", "no")
AMBIGUOUS = frozenset({"gift card"})
"""What the answer to another question, of the balance, holds as well."""


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that an order tells, or the profile beside it."""

    rule: str
    """The rule of the grammar that asks for it."""
    outputs: tuple[str, ...]
    """What an answer holds."""
    answer: str
    """A whole sentence."""
    calls: tuple[Call, ...] = ()
    """What is looked up or computed besides the order."""
    item: Row | None = None
    """The item that it is about, None for the whole order."""
    slots: Mapping[str, str] = field(default_factory=dict)
    """Texts for the rule."""
    untold: Collection[str] = ()
    """Ways to name the order that would tell it."""


Maker = Callable[[Visit, Row], Fact | None]
"""Finds a fact of an order; None where the order has none such."""


def tracking(visit: Visit, order: Row) -> Fact | None:
    """Its tracking number."""
    sent = order["fulfillments"]
    if len(sent) != 1 or len(sent[0]["tracking_id"]) != 1:
        return None
    number = sent[0]["tracking_id"][0]
    return Fact("ask_tracking", (number,), f"The tracking number of order {order['order_id']} is {number}.")


def status(visit: Visit, order: Row) -> Fact | None:
    """What has become of it."""
    answer = f"Order {order['order_id']} is {order['status']}."
    return Fact("ask_status", (order["status"],), answer, untold=("status", "count", "place"))


def street(visit: Visit, order: Row) -> Fact | None:
    """The street and the city that it goes to."""
    address = order["address"]
    where = ", ".join((address["address1"], address["address2"], address["city"]))
    answer = f"Order {order['order_id']} goes to {where}."
    return Fact("ask_street", (address["address1"], address["city"]), answer, untold=("place",))


def zip_code(visit: Visit, order: Row) -> Fact | None:
    """The zip code that it goes to."""
    address = order["address"]
    answer = f"Order {order['order_id']} goes to {address['city']}, zip code {address['zip']}."
    return Fact("ask_zip", (address["zip"],), answer, untold=("place",))


def total(visit: Visit, order: Row) -> Fact | None:
    """What it cost altogether."""
    if len(order["payment_history"]) != 1:
        return None
    amount = order["payment_history"][0]["amount"]
    return Fact("ask_total", (plain(amount),), f"Order {order['order_id']} cost {dollars(amount)} in total.")


def paid_with(visit: Visit, order: Row) -> Fact | None:
    """What it was paid with: of a credit card the brand, the last four digits, or both."""
    method = visit.user["payment_methods"][order["payment_history"][0]["payment_method_id"]]
    paid = f"Order {order['order_id']} was paid with your"
    calls, untold = (visit.profile(),), ("payment",)
    if method["source"] != "credit_card":
        name = {"paypal": "PayPal", "gift_card": "gift card"}[method["source"]]
        return Fact("ask_paid", (name.lower(),), f"{paid} {name}.", calls, untold=untold)
    rule, *names = visit.draws.choice(
        (("ask_brand", "brand"), ("ask_digits", "last_four"), ("ask_card", "brand", "last_four"))
    )
    answer = f"{paid} {method['brand']} credit card ending in {method['last_four']}."
    return Fact(rule, tuple(method[name] for name in names), answer, calls, untold=untold)


def item_count(visit: Visit, order: Row) -> Fact | None:
    """How many items it holds; a digit of its id would stand in any answer, and is not asked for."""
    count = len(order["items"])
    if str(count) in order["order_id"]:
        return None
    answer = f"Order {order['order_id']} holds {count} item{'s' if count > 1 else ''}."
    return Fact("ask_count", (str(count),), answer, untold=("count", "things"))


def price(visit: Visit, order: Row) -> Fact | None:
    """What one of its items cost."""
    item = visit.draws.choice(order["items"])
    answer = f"The {casual(item['name'])} of order {order['order_id']} cost {dollars(item['price'])}."
    slots = {"item": visit.wording.item(item["name"])}
    return Fact("ask_price", (plain(item["price"]),), answer, item=item, slots=slots)


def option_in_words(visit: Visit, order: Row) -> Fact | None:
    """One option of an item, asked for in words of its own: how much storage it has, how long its battery lasts."""
    item = visit.draws.choice(order["items"])
    names = [name for name, value in item["options"].items() if can_be_told(value)]
    if not names:
        return None
    name = visit.draws.choice(names)
    exact, value = f"ask option {name} of {item['name']}", item["options"][name]
    answer = f"The {name} of the {casual(item['name'])} in order {order['order_id']} is {value}."
    rule = exact if visit.wording.knows(exact) else f"ask option {name}"
    slots = {"item": visit.wording.item(item["name"])}
    return Fact(rule, (value,), answer, item=item, slots=slots)


def extreme(visit: Visit, order: Row) -> Fact | None:
    """Its most expensive or cheapest item, and what that cost."""
    if len(order["items"]) < 2:
        return None
    by_price = sorted(order["items"], key=lambda item: item["price"])
    dearest = bool(visit.draws.below(2))
    one, next_one = by_price[:2] if not dearest else by_price[:-3:-1]
    if one["price"] == next_one["price"]:
        return None
    which, name = "most expensive" if dearest else "cheapest", casual(one["name"])
    answer = f"The {which} item of order {order['order_id']} is the {name} at {dollars(one['price'])}."
    rule = "ask_dearest_item" if dearest else "ask_cheapest_item"
    return Fact(rule, (name, plain(one["price"])), answer, untold=("things",))


def all_but_one(visit: Visit, order: Row) -> Fact | None:
    """What its items cost together, but for one."""
    left_out = visit.draws.choice(order["items"])
    prices = [item["price"] for item in order["items"] if item is not left_out]
    if len(prices) < 2:
        return None
    amount, name = round(sum(prices), 2), casual(left_out["name"])
    answer = f"Without the {name}, the items of order {order['order_id']} come to {dollars(amount)}."
    sum_up = call("calculate", expression=" + ".join(map(str, prices)))
    slots = {"item": visit.wording.item(left_out["name"])}
    return Fact("ask_all_but_one", (plain(amount),), answer, (sum_up,), slots=slots, untold=("things",))


CLAUSES: Mapping[str, Maker] = {
    "tracking": tracking,
    "status": status,
    "street": street,
    "total": total,
    "paid_with": paid_with,
    "item_count": item_count,
}
"""What is asked for at once, by the rule "clause_…" that names it."""
IN_A_ROW: tuple[Maker, ...] = (
    price,
    price,
    option_in_words,
    option_in_words,
    total,
    status,
    tracking,
    street,
    extreme,
    paid_with,
    all_but_one,
)
"""What is asked one after another."""


def question(visit: Visit, fact: Fact, reference: Reference, before: str) -> Beat:
    """The beat that asks for a fact.

    Args:
        visit: the call.
        fact: what is asked for.
        reference: how the customer names the order.
        before: what it says first; may be empty.
    """
    slots = {**fact.slots, "order": reference.name, "tail": reference.tail if fact.item else ""}
    return {
        "ask": sentences(f"{before} {visit.wording.say(fact.rule, **slots)}"),
        "outputs": list(range(len(fact.outputs))),
        "answer": fact.answer,
        "words": reference.words,
        "calls": [*reference.calls, *(each for each in fact.calls if each not in reference.calls)],
    }


def single(make: Maker) -> Callable[[Visit], Part | None]:
    """A part that asks for one fact of an order.

    Args:
        make: finds the fact.
    """

    def build(visit: Visit) -> Part | None:
        order = visit.draw_order(*STATUSES)
        fact = make(visit, order) if order else None
        if order is None or fact is None:
            return None
        reference = visit.refer(order, [fact.item] if fact.item else (), untold=fact.untold)
        beat = question(visit, fact, reference, lead(visit, fact))
        return Part((beat,), outputs=fact.outputs, cost=1 + reference.cost + len(fact.calls))

    return build


def at_once(visit: Visit) -> Part | None:
    """Two or three facts of one order in a single message."""
    order = visit.draw_order(*STATUSES)
    if order is None:
        return None
    found = {name: make(visit, order) for name, make in CLAUSES.items()}
    facts = {name: fact for name, fact in found.items() if fact and not visit.told & set(fact.outputs)}
    names = visit.draws.sample(sorted(facts), min(len(facts), 2 + visit.draws.below(2)))
    if len(names) < 2:
        return None
    chosen = [facts[name] for name in names]
    outputs = tuple(output for fact in chosen for output in fact.outputs)
    reference = visit.refer(order, untold=[way for fact in chosen for way in fact.untold])
    things = listed([visit.wording.say(f"clause_{fact.rule.removeprefix('ask_')}") for fact in chosen])
    asked = visit.wording.say("ask_at_once", things=things, order=reference.name)
    beat: Beat = {
        "ask": sentences(f"{visit.wording.say('context')} {asked}"),
        "outputs": list(range(len(outputs))),
        "answer": " ".join(fact.answer for fact in chosen),
        "words": reference.words,
        "calls": [*reference.calls, *(each for fact in chosen for each in fact.calls if each not in reference.calls)],
    }
    return Part((beat,), outputs=outputs, cost=2 + reference.cost + len(chosen))


def in_a_row(visit: Visit) -> Part | None:
    """Two or three facts of one order, one after another; then perhaps a request about it."""
    order = visit.draw_order(*STATUSES)
    if order is None:
        return None
    facts: list[Fact] = []
    for make in visit.draws.sample(IN_A_ROW, 5):
        fact = make(visit, order)
        if fact is not None and len(facts) < 2 + visit.draws.below(2) and is_news(visit, fact, facts):
            facts.append(fact)
    if len(facts) < 2:
        return None
    untold = [way for fact in facts for way in fact.untold]
    reference = visit.refer(order, [facts[0].item] if facts[0].item else (), untold=untold)
    beats = [question(visit, facts[0], reference, lead(visit, facts[0]))]
    here = Reference(visit.wording.say("this_order"), "", reference.words, (), 0)
    for fact in facts[1:]:
        beats.append(question(visit, fact, here, visit.wording.say("next_question")))
    then, writes = _request(visit, order, here) if visit.draws.below(100) < 60 else ([], ())
    beats += then
    outputs = tuple(output for fact in facts for output in fact.outputs)
    place = 0
    for beat, fact in zip(beats, facts, strict=False):
        beat["outputs"] = list(range(place, place + len(fact.outputs)))
        place += len(fact.outputs)
    return Part(tuple(beats), writes, outputs, len(facts) + 2 * len(writes) + reference.cost)


def twins_told(visit: Visit) -> Part | None:
    """One option of each of two things of one kind in an order."""
    orders = [order for order in visit.left(*STATUSES) if twins_of(order)]
    if not orders:
        return None
    order = visit.take(visit.draws.choice(orders))
    one, other = twins_of(order)
    names = [name for name in one["options"] if _differ(one["options"][name], other["options"][name])]
    if not names:
        return None
    name, reference = visit.draws.choice(names), visit.refer(order)
    values = (one["options"][name], other["options"][name])
    twice = f"{casual(one['name'])} twice: once with {name} {values[0]}, once with {name} {values[1]}"
    fact = Fact("ask_twins", values, f"Order {order['order_id']} holds the {twice}.")
    slots = {"item": visit.wording.item(one["name"]), "option": name}
    asked = question(visit, replace(fact, slots=slots), reference, visit.wording.say("context"))
    return Part((asked,), outputs=values, cost=2 + reference.cost)


def order_count(visit: Visit) -> Part | None:
    """How many orders the customer has, in all or of one status."""
    kind = visit.draws.choice(("", "pending", "delivered"))
    count = sum(order["status"] == kind or not kind for order in visit.orders.values())
    word = kind or "any order"
    if not count or word in visit.told:
        return None
    visit.told.add(word)
    answer = f"You have {count} {f'{kind} ' if kind else ''}order{'s' if count > 1 else ''}."
    asked = visit.wording.say(f"ask_how_many_{kind or 'orders'}")
    say = f"{visit.wording.say('small_talk')} {visit.wording.say('question_lead')} {asked}"
    calls = visit.every_order() if kind else [visit.profile()]
    beat: Beat = {"ask": sentences(say), "outputs": [0], "answer": answer, "calls": calls}
    return Part((beat,), outputs=(str(count),), cost=2 + bool(kind))


def lead(visit: Visit, fact: Fact) -> str:
    """What is said before a question; more where a product alone may name the order, for no two tasks open alike."""
    return f"{visit.wording.say('small_talk' if fact.item else 'context')} {visit.wording.say('question_lead')}"


def can_be_told(value: str) -> bool:
    """Whether an option's value stands in no text by accident."""
    if value in NOT_VALUES:
        return False
    return len(value) >= SHORTEST_VALUE or (any(map(str.isdigit, value)) and any(map(str.isalpha, value)))


def _differ(one: str, other: str) -> bool:
    """Whether two values can be asked for together: neither stands in the other."""
    return can_be_told(one) and can_be_told(other) and one not in other and other not in one


def is_news(visit: Visit, fact: Fact, before: list[Fact]) -> bool:
    """Whether no earlier answer holds it already: the customer would not ask then."""
    said = " ".join(other.answer for other in before).lower()
    told = visit.told | {output for other in before for output in other.outputs}
    return not any(output in told or output in AMBIGUOUS or output.lower() in said for output in fact.outputs)


def _request(visit: Visit, order: Row, reference: Reference) -> tuple[list[Beat], tuple[Action, ...]]:
    """What the customer wants done with an order that it has asked about: beats and writes, if any."""
    before = visit.wording.say("having_heard")
    item = visit.draws.choice(order["items"])
    way = visit.draws.below(3)
    if order["status"] == "pending" and way == 0 and len(order["items"]) > 1:
        return _partial_cancellation(visit, order, item, reference, before)
    if order["status"] == "pending" and way == 1:
        beat, reason = changes.cancellation(visit, reference, before)
        return [beat], (changes.cancel_action(order, reason),)
    if order["status"] == "delivered" and way:
        payment = changes.refund_of(visit, order)
        say = visit.wording.say("send_back", items=f"the {visit.wording.item(item['name'])}")
        beat = plain_beat(f"{before} {say} {payment.said}", reference, payment)
        return [beat], (changes.return_action(order, [item], payment),)
    if order["status"] not in ("pending", "delivered"):
        return [], ()
    then = choose_instead(visit, order, item, reference, "having_heard")
    return ([then[0]], (then[1],)) if then else ([], ())


def _partial_cancellation(
    visit: Visit, order: Row, item: Row, reference: Reference, before: str
) -> tuple[list[Beat], tuple[Action, ...]]:
    """The wish to cancel one item, which is refused; then another version of it, the whole order, or nothing."""
    say = visit.wording.say("cancel_these", items=f"the {visit.wording.item(item['name'])}")
    vain = refusals.beat_in_vain(visit, f"{before} {say}", reference, refusals.ONLY_WHOLE)
    way = visit.draws.below(3)
    if way == 0:
        return [vain], ()
    if way == 1:
        part = refusals.or_cancel(visit, order, vain, reference)
        return list(part.beats), part.writes
    then = choose_instead(visit, order, item, reference, "fallback")
    return ([vain, then[0] | {"otherwise": True}], (then[1],)) if then else ([vain], ())
