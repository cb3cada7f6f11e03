"""Parts of a call of the sixth series that leave an option free, name what stays, or pick one of what was told."""

from __future__ import annotations

from collections.abc import Sequence

from tau_retail_env.sources.generated import changes
from tau_retail_env.sources.generated.asking import MOST_LISTED, condition, listing
from tau_retail_env.sources.generated.choosing import Choice, changed, values_of, variants_of
from tau_retail_env.sources.generated.picking import NOT_NAMED, price_of
from tau_retail_env.sources.generated.visit import Beat, Part, Payment, Reference, Row, Visit, call, dollars
from tau_retail_env.sources.generated.wording import sentences
from tau_retail_env.tasks.task import Action

ORDINALS = ("first", "second", "third", "fourth")
"""How a customer counts the versions that it was told."""
YES_OR_NO = {"yes", "no"}
"""The values of an option that a version has or has not."""


def any_will_do(visit: Visit) -> Part | None:
    """Another version of which one option is free: of those that fit the cheapest or the dearest, or the only one."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    found = []
    for free in item["options"]:
        for name in (name for name in item["options"] if name != free):
            for value in values_of(item["product_id"], name):
                fitting = _fitting(item, name, value, free)
                if fitting and value not in (item["options"][name], *NOT_NAMED):
                    found.append((free, {name: value}, fitting))
    if not found:
        return None
    free, wanted, fitting = visit.draws.choice(found)
    ordered = sorted(fitting, key=price_of, reverse=len(fitting) > 1 and visit.draws.below(3) == 0)
    if len(ordered) > 1 and ordered[0]["price"] == ordered[1]["price"]:
        return None
    rule = (
        "free_any"
        if len(ordered) == 1
        else "free_cheapest"
        if ordered[0] is min(ordered, key=price_of)
        else "free_dearest"
    )
    is_feature = set(values_of(item["product_id"], free)) == YES_OR_NO
    words = visit.wording.say(
        "target_free",
        wanted=visit.wording.options(wanted),
        free=visit.wording.say("free_feature" if is_feature else "free_option", name=free),
        choice=visit.wording.say(rule),
        rest=visit.wording.say("free_rest") if len(item["options"]) > 2 else "",
    )
    return _swapped(visit, order, item, Choice(ordered[0], words, 3))


def kept_by_name(visit: Visit) -> Part | None:
    """Another version of which two options are named as they are, before the one that becomes different."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    near = [
        each
        for each in variants_of(item)
        if len(change := changed(item, each)) == 1 and not set(change.values()) & set(NOT_NAMED)
    ]
    if not near or len(item["options"]) < 3:
        return None
    variant = visit.draws.choice(near)
    stays = [name for name in item["options"] if variant["options"][name] == item["options"][name]]
    kept = {name: item["options"][name] for name in visit.draws.sample(stays, 2)}
    words = visit.wording.say(
        "target_kept",
        kept=visit.wording.options(kept),
        wanted=visit.wording.options(changed(item, variant)),
        rest=visit.wording.say("free_rest") if len(stays) > len(kept) else "",
    )
    return _swapped(visit, order, item, Choice(variant, words, 1))


def heard_then_picked(visit: Visit) -> Part | None:
    """What there is instead of an item, and for how much; then one of these by its place, its price or an option."""
    order = visit.draw_order("delivered", "pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    found = condition(visit, item["product_id"])
    if found is None:
        return None
    such, fitting = found
    if not 1 < len(fitting) <= MOST_LISTED or any(each["options"] == item["options"] for each in fitting):
        return None
    choice = _picked(visit, fitting)
    payment = changes.settle_difference(visit, [item], [choice], order)
    if payment is None:
        return None
    outputs, answer = listing(item["name"], fitting)
    reference = visit.refer(order, [item])
    asked = visit.wording.say("ask_what_else", item=visit.wording.item(item["name"]), tail=reference.tail, such=such)
    first: Beat = {
        "ask": sentences(f"{visit.wording.say('context')} {asked}"),
        "outputs": list(range(len(outputs))),
        "answer": answer,
        "words": reference.words,
        "calls": [*reference.calls, call("get_product_details", product_id=item["product_id"])],
    }
    here = Reference("", "", reference.words, (), 0)
    then = changes.swap_beat(visit, order, [item], [choice], here, payment)
    then["say"] = sentences(f"{visit.wording.say('having_heard')} {then['say']} {payment.said}")
    return Part((first, then), (_write(order, item, choice, payment),), outputs, 5 + reference.cost)


def _fitting(item: Row, name: str, value: str, free: str) -> list[Row]:
    """What is in stock with one option's value, whatever a free option is, and as the item in all others."""
    return [
        each
        for each in variants_of(item)
        if each["options"][name] == value and set(changed(item, each)) <= {name, free}
    ]


def _picked(visit: Visit, told: Sequence[Row]) -> Choice:
    """One of several versions in the words of a customer that has just been told them."""
    place = visit.draws.below(len(told))
    variant = told[place]
    alone = [
        name
        for name, value in variant["options"].items()
        if value not in NOT_NAMED and sum(each["options"][name] == value for each in told) == 1
    ]
    way = visit.draws.below(100)
    if way < 20 and alone:
        name = visit.draws.choice(alone)
        words = visit.wording.say("pick_option", option=visit.wording.option(name, variant["options"][name]))
    elif way < 40 and sum(each["price"] == variant["price"] for each in told) == 1:
        words = visit.wording.say("pick_priced", price=dollars(variant["price"]))
    else:
        is_last = place == len(told) - 1 and visit.draws.below(2)
        words = visit.wording.say("pick_nth", nth="last" if is_last else ORDINALS[place])
    return Choice(variant, words, 2)


def _swapped(visit: Visit, order: Row, item: Row, choice: Choice) -> Part | None:
    """The part of an exchange or a change of one item."""
    payment = changes.settle_difference(visit, [item], [choice], order)
    if payment is None:
        return None
    reference = visit.refer(order, [item])
    beat = changes.swap_beat(visit, order, [item], [choice], reference, payment)
    beat["say"] = sentences(f"{visit.wording.say('context')} {beat['say']} {payment.said}")
    cost = 1 + choice.cost + reference.cost
    return Part((beat,), (_write(order, item, choice, payment),), cost=cost)


def _write(order: Row, item: Row, choice: Choice, payment: Payment) -> Action:
    """The gold write of an exchange or a change of one item."""
    tool = changes.EXCHANGE if order["status"] == "delivered" else changes.MODIFY
    return changes.swap_action(tool, order, [item], [choice], payment)
