"""How the customer names an order or a payment method: by its id where its text has it, else by what the text knows."""

from __future__ import annotations

from collections.abc import Iterable

from tau_retail_env.users.scripted.agenda import Agenda
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.request import ITEM_KINDS, Item, Kind, PaymentMethod, Request
from tau_retail_env.users.scripted.review import names_product

WISHES = {
    Kind.CANCEL: "I want to cancel",
    Kind.RETURN: "I want to return something from",
    Kind.EXCHANGE: "I want to exchange something from",
    Kind.MODIFY_ITEMS: "I want to change something in",
    Kind.PAYMENT: "I want to pay in another way",
    Kind.ORDER_ADDRESS: "should go to another address",
}
"""How a customer tells an order of which it knows nothing: by what is to become of it."""


def order_name(request: Request, agenda: Agenda) -> str:
    """An order as the customer names it, empty where it can only say what is to become of it.

    Args:
        request: what it wants with the order.
        agenda: what it knows.
    """
    if agenda.may_say(request.order_id):
        return f"order {request.order_id}"
    products = dict.fromkeys(item.product for item in _told_items(request, agenda))
    return f"the order with {listed(products)}" if products else ""


def described_order(request: Request, agenda: Agenda) -> str:
    """The words that answer for an order whose id the customer has not."""
    if request.kind not in WISHES:
        return request.question
    return f"It's {order_name(request, agenda) or f'the one that {WISHES[request.kind]}'}."


def payment_name(request: Request, agenda: Agenda) -> str:
    """A payment method as the customer names it.

    Args:
        request: what it is to be used for; it has one.
        agenda: what the customer knows.
    """
    method = request.payment
    assert method is not None
    if agenda.may_say(method.id):
        return method.id
    if method.source != "credit_card":
        return {"paypal": "my PayPal account", "gift_card": "my gift card"}[method.source]
    alike = [other for other in agenda.payment_methods if other.source == method.source]
    return _card_name(method, agenda, paid=len(alike) > 1 and method.id == request.original_payment_id)


def _card_name(card: PaymentMethod, agenda: Agenda, *, paid: bool) -> str:
    """A credit card, by its brand and last digits as far as the text has them, or as the one of several that paid."""
    brand = card.brand if agenda.knows(card.brand) else ""
    digits = card.last_four if agenda.knows(card.last_four) else ""
    if paid and not (brand or digits):
        return "the credit card that I paid with"
    name = f"my {brand.capitalize()} card" if brand else "my credit card"
    return f"{name} ending in {digits}" if digits else name


def _told_items(request: Request, agenda: Agenda) -> list[Item]:
    """The items by which the customer can tell an order: those that it has in its text, else those that it names."""
    wanted = request.items if request.kind in ITEM_KINDS else (*request.items, *request.other_items)
    told = [item for item in wanted if names_product(agenda.text, item.product)]
    names_all = request.kind in ITEM_KINDS and Fact.ITEMS not in request.words
    return told or (list(wanted) if names_all else [])


def listed(names: Iterable[str]) -> str:
    """Names as one says them: "the Desk Lamp, the Grill and the T-Shirt"."""
    articled = [f"the {name}" for name in names]
    return " and ".join([", ".join(articled[:-1]), articled[-1]]) if len(articled) > 1 else articled[0]
