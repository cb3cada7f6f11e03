"""Parts of a call of the fifth series about addresses that are not said: an order or the profile has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tau_retail_env.sources.generated import changes
from tau_retail_env.sources.generated.requests import one_line
from tau_retail_env.sources.generated.visit import STATUSES, Beat, Call, Part, Payment, Reference, Row, Visit
from tau_retail_env.sources.generated.wording import sentences
from tau_retail_env.tasks.task import Action

WORDED = 1
"""What a reference costs that names an order in words; by a wrong id it costs more."""


@dataclass(frozen=True, slots=True)
class Place:
    """An address, and how the customer points at it."""

    address: dict[str, str]
    """In the order of the tools' arguments."""
    hint: str
    """A whole sentence."""
    calls: tuple[Call, ...]
    """What shows it to an agent."""


def order_elsewhere(visit: Visit) -> Part | None:
    """Send a pending order to an address that another order or the profile has."""
    order = visit.draw_order("pending")
    place = _place(visit, order["address"], home=True) if order else None
    if order is None or place is None:
        return None
    reference = visit.refer(order, untold=("place",))
    core = visit.wording.say("redirect_late", order=reference.name)
    beat = _beat(visit, f"{visit.wording.say('context')} {core}", place, reference)
    return Part((beat,), (changes.address_action(order, place.address),), cost=3 + reference.cost)


def home_elsewhere(visit: Visit) -> Part | None:
    """Give the profile the address that an order has."""
    if visit.moved:
        return None
    place = _place(visit, visit.user["address"], home=False)
    if place is None:
        return None
    visit.moved = True
    say = f"{visit.wording.say('small_talk')} {visit.wording.say('settle_late')}"
    beat = _beat(visit, say, place, Reference("", "", {}, (), 0))
    return Part((beat,), (changes.profile_action(visit, place.address),), cost=4)


def both_elsewhere(visit: Visit) -> Part | None:
    """Give the profile and every pending order of a customer who has one or two the address of another order."""
    pending = [order for order in visit.orders.values() if order["status"] == "pending"]
    if visit.moved or not 0 < len(pending) < 3 or len(visit.free("pending")) < len(pending):
        return None
    for order in pending:
        visit.take(order)
    place = _place(visit, visit.user["address"], home=False)
    if place is None or any(changes.parts_of(order["address"]) == place.address for order in pending):
        return None
    visit.moved = True
    say = f"{visit.wording.say('small_talk')} {visit.wording.say('everything_moves')}"
    beats = [_beat(visit, say, place, Reference("", "", {}, (), 0)) | {"asks": []}]
    beats[0]["say"] = sentences(f"{say} {place.hint}")
    writes: list[Action] = [changes.profile_action(visit, place.address)]
    for order in pending:
        words = {"address": place.hint, "order": visit.wording.sentence("all_pending")}
        say = visit.wording.sentence("and_the_order")
        beats.append({"write": len(writes), "say": say, "words": words, "calls": visit.every_order()})
        writes.append(changes.address_action(order, place.address))
    return Part(tuple(beats), tuple(writes), cost=3 + 2 * len(pending))


def address_then(visit: Visit) -> Part | None:
    """Two wishes for a pending order, the address first: for a change of its items is the last one that it takes."""
    order = visit.draw_order("pending")
    if order is None:
        return None
    item = visit.draws.choice(order["items"])
    choice = visit.choose(item)
    payment = changes.settle_difference(visit, [item], [choice], order) if choice else None
    place = _place(visit, order["address"], home=True) if visit.draws.below(2) else _typed(visit, order["address"])
    if choice is None or payment is None or place is None:
        return None
    reference = visit.refer(order, untold=("place",))
    named = visit.wording.item(item["name"])
    both = visit.wording.say("address_first", order=reference.name, item=named)
    opening = _beat(visit, f"{visit.wording.say('context')} {both}", place, reference)
    again = Reference(reference.name, "", reference.words, reference.calls, 0)
    then = changes.swap_beat(visit, order, [item], [choice], again, payment)
    say = f"{visit.wording.say('now_the_items')} {then['say']} {payment.said}"
    then |= {"write": 1, "say": sentences(say)}
    writes = (
        changes.address_action(order, place.address),
        changes.swap_action(changes.MODIFY, order, [item], [choice], payment),
    )
    return Part((opening, then), writes, cost=5 + choice.cost + reference.cost)


def address_then_payment(visit: Visit) -> Part | None:
    """Another address for a pending order, and then another payment method for it."""
    order = visit.draw_order("pending")
    if order is None or len(order["payment_history"]) != 1:
        return None
    paid = order["payment_history"][0]
    able = [name for name in visit.balances.able_to_pay(paid["amount"]) if name != paid["payment_method_id"]]
    place = _place(visit, order["address"], home=True)
    if not able or place is None:
        return None
    chosen = visit.draws.choice(able)
    visit.balances.pay(chosen, paid["amount"])
    method = visit.describe(chosen)
    reference = visit.refer(order, untold=("place", "payment"))
    core = visit.wording.say("redirect_late", order=reference.name)
    opening = _beat(visit, f"{visit.wording.say('context')} {core}", place, reference)
    payment = Payment(chosen, words={"payment": visit.wording.sentence("method", method=method)})
    then = changes.beat_about(reference, payment, calls=[*reference.calls, visit.profile()])
    then |= {"write": 1, "say": visit.wording.sentence("also_pays", method=method)}
    write = Action("modify_pending_order_payment", {"order_id": order["order_id"], "payment_method_id": chosen})
    return Part((opening, then), (changes.address_action(order, place.address), write), cost=5 + reference.cost)


def _beat(visit: Visit, say: str, place: Place, reference: Reference) -> Beat:
    """The beat of the first write; the address is told with it, or when asked for."""
    late = visit.draws.below(100) < 40
    return {
        "write": 0,
        "say": sentences(say if late else f"{say} {place.hint}"),
        "words": {**reference.words, "address": place.hint},
        "asks": ["address"] if late else [],
        "calls": [*reference.calls, *(each for each in place.calls if each not in reference.calls)],
    }


def _typed(visit: Visit, present: Row) -> Place:
    """A new address, typed out."""
    address = visit.new_address(present)
    return Place(address, f"{one_line(address)}.", ())


def _place(visit: Visit, present: Row, *, home: bool) -> Place | None:
    """Another address that the shop has of the customer; None where there is none.

    Args:
        visit: the call.
        present: the address that is to be replaced.
        home: whether it may be the profile's.
    """
    profile, here = changes.parts_of(visit.user["address"]), changes.parts_of(present)
    if home and profile != here and not visit.moved and visit.draws.below(100) < 35:
        visit.moved = True
        hint = visit.wording.sentence("as_my_profile")
        return Place(profile, hint, (visit.profile(),))
    others = [order for order in visit.left(*STATUSES) if changes.parts_of(order["address"]) not in (here, profile)]
    if not others:
        return None
    order = visit.take(visit.draws.choice(others))
    address = changes.parts_of(order["address"])
    if _tells(visit, order["address"], "city") and visit.draws.below(100) < 60:
        hint = visit.wording.sentence("not_said", city=address["city"])
        return Place(address, hint, tuple(visit.every_order()))
    target = visit.refer(order)
    if target.cost > WORDED:
        return None
    return Place(address, visit.wording.sentence("where_it_went", order=target.name), target.calls)


def _tells(visit: Visit, address: Mapping[str, str], part: str) -> bool:
    """Whether no other address of the customer has the same city, say."""
    every = [visit.user["address"], *(order["address"] for order in visit.orders.values())]
    return all(other[part] != address[part] or other == address for other in every)
