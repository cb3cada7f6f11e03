"""The kinds of request a generated customer can make: in words, and as the gold actions that grant it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from tau_retail_env.sources.generated.wording import listed
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks.seeding import Draws
from tau_retail_env.tasks.task import Action

CANCEL_REASONS = ("no longer needed", "ordered by mistake")
MAX_ITEMS = 3
CENT = 0.01


@dataclass(frozen=True, slots=True)
class Request:
    """One thing the customer asks for."""

    words: str
    """The request in the second person, naming everything that decides the change."""
    actions: tuple[Action, ...]
    """What the agent looks up for it, then the one write that grants it."""
    payment_method_id: str | None = None
    """The payment method it names, if any."""


class Balances:
    """What each of a customer's payment methods can still pay in this task."""

    def __init__(self, payment_methods: Mapping[str, Mapping[str, Any]]) -> None:
        """Start with the shop's balances; only gift cards have one."""
        self._left = {name: float(method.get("balance", "inf")) for name, method in payment_methods.items()}

    def copy(self) -> Balances:
        """A copy with the same amounts."""
        other = Balances({})
        other._left = dict(self._left)
        return other

    def able_to_pay(self, amount: float) -> list[str]:
        """The methods that cover an amount in dollars; a refund (zero or less) is covered by all.

        One cent more is asked for than the amount, because upstream compares balances with unrounded sums.
        """
        return [name for name, left in self._left.items() if amount <= 0 or left - amount >= CENT]

    def pay(self, payment_method_id: str, amount: float) -> None:
        """Set an amount aside; refunds are not counted on."""
        self._left[payment_method_id] -= max(0.0, amount)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Who asks, about which order, and what can still be paid."""

    user: Mapping[str, Any]
    """The customer, as the shop has it."""
    order: Mapping[str, Any]
    """The order concerned; empty for a change of the customer's profile."""
    balances: Balances
    """Shared by all requests of a task."""


@dataclass(frozen=True, slots=True)
class RequestKind:
    """A kind of request: which orders allow it and how it is made."""

    tool: str
    """The tool whose call grants it."""
    weight: int
    """How often it is drawn, relative to the other kinds."""
    fits: Callable[[Mapping[str, Any], Mapping[str, Any]], bool]
    """Whether the kind can concern this (user, order)."""
    build: Callable[[Draws, RequestContext], Request | None]
    """Make one; None where the draw cannot be paid for."""
    needs_order: bool = True
    """False for the customer's profile."""


def _distinct_products(order: Mapping[str, Any]) -> bool:
    products = [item["product_id"] for item in order["items"]]
    return len(set(products)) == len(products)


def _alternatives(item: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Available variants of the item's product with other options."""
    variants = shop_database()["products"][item["product_id"]]["variants"].values()
    return [variant for variant in variants if variant["available"] and variant["options"] != item["options"]]


def _changeable_items(order: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [item for item in order["items"] if _alternatives(item)] if _distinct_products(order) else []


def _other_methods(user: Mapping[str, Any], order: Mapping[str, Any], balances: Balances) -> list[str]:
    """The methods that could pay for the whole order instead of the present one."""
    payment = order["payment_history"][0]
    return [name for name in balances.able_to_pay(payment["amount"]) if name != payment["payment_method_id"]]


def _can_return(user: Mapping[str, Any], order: Mapping[str, Any]) -> bool:
    return order["status"] == "delivered" and _distinct_products(order)


def _can_exchange(user: Mapping[str, Any], order: Mapping[str, Any]) -> bool:
    return order["status"] == "delivered" and bool(_changeable_items(order))


def _is_pending(user: Mapping[str, Any], order: Mapping[str, Any]) -> bool:
    return order["status"] == "pending"


def _can_modify(user: Mapping[str, Any], order: Mapping[str, Any]) -> bool:
    return order["status"] == "pending" and bool(_changeable_items(order))


def _can_change_payment(user: Mapping[str, Any], order: Mapping[str, Any]) -> bool:
    if order["status"] != "pending" or len(order["payment_history"]) != 1:
        return False
    return bool(_other_methods(user, order, Balances(user["payment_methods"])))


def _always(user: Mapping[str, Any], order: Mapping[str, Any]) -> bool:
    return True


def _build_return(draws: Draws, context: RequestContext) -> Request:
    order, methods = context.order, context.user["payment_methods"]
    items = draws.sample(order["items"], 1 + draws.below(min(MAX_ITEMS, len(order["items"]))))
    original = order["payment_history"][0]["payment_method_id"]
    allowed = [original, *(name for name in methods if name != original and methods[name]["source"] == "gift_card")]
    payment = draws.choice(allowed)
    template = draws.choice(
        (
            "Return {items} from order {order_id}, with the refund going to {payment}.",
            "You want to send back {items} of your delivered order {order_id} and get the money on {payment}.",
            "Ask for a return of {items} (order {order_id}); the refund should be made to {payment}.",
            "From {order_id} you are returning {items}. Have {payment} refunded.",
        )
    )
    words = template.format(
        items=listed([f"the {item['name']}" for item in items]), order_id=order["order_id"], payment=payment
    )
    return _order_request(
        words,
        order,
        "return_delivered_order_items",
        {"item_ids": [item["item_id"] for item in items], "payment_method_id": payment},
    )


def _build_exchange(draws: Draws, context: RequestContext) -> Request | None:
    changeable = _changeable_items(context.order)
    items = draws.sample(changeable, 1 + draws.below(min(MAX_ITEMS, len(changeable))))
    templates = (
        "Exchange {items}. This is about order {order_id}; settle the price difference with {payment}.",
        "In your delivered order {order_id}, swap {items}; {payment} is for any difference in price.",
        "You would like to exchange something from {order_id}: {items}. Use {payment} for the difference.",
        "For order {order_id}, get {items} as an exchange, paying or being refunded via {payment}.",
    )
    return _build_change_of_items(draws, context, items, "exchange_delivered_order_items", templates)


def _build_modify(draws: Draws, context: RequestContext) -> Request | None:
    items = [draws.choice(_changeable_items(context.order))]
    templates = (
        "Your order {order_id} has not shipped yet: trade {items}. Use {payment} for the price difference.",
        "In the pending order {order_id}, replace {items}, with {payment} covering any difference.",
        "You picked the wrong options in {order_id}. Switch {items}; the difference goes through {payment}.",
        "Ask to change pending order {order_id}: {items}. Settle the price difference with {payment}.",
    )
    return _build_change_of_items(draws, context, items, "modify_pending_order_items", templates)


def _build_change_of_items(
    draws: Draws, context: RequestContext, items: Sequence[Mapping[str, Any]], tool: str, templates: Sequence[str]
) -> Request | None:
    targets = [draws.choice(_alternatives(item)) for item in items]
    difference = round(sum(target["price"] - item["price"] for item, target in zip(items, targets, strict=True)), 2)
    methods = context.balances.able_to_pay(difference)
    if not methods:
        return None
    payment = draws.choice(methods)
    context.balances.pay(payment, difference)
    changes = [_change_of_item(draws, item, target) for item, target in zip(items, targets, strict=True)]
    words = draws.choice(templates).format(
        items="; ".join(changes), order_id=context.order["order_id"], payment=payment
    )
    arguments = {
        "item_ids": [item["item_id"] for item in items],
        "new_item_ids": [target["item_id"] for target in targets],
        "payment_method_id": payment,
    }
    return _order_request(words, context.order, tool, arguments, [item["product_id"] for item in items])


def _change_of_item(draws: Draws, item: Mapping[str, Any], target: Mapping[str, Any]) -> str:
    """The present options and the wanted ones, either all of them or those that differ."""
    name, present, wanted = item["name"], item["options"], target["options"]
    changed = {option: value for option, value in wanted.items() if present.get(option) != value}
    if draws.below(2) or len(changed) == len(wanted):
        return f"the {name} ({_options(present)}) for one with {_options(wanted)}"
    return f"the {name} ({_options(present)}) for one with {_options(changed)} and otherwise the same options"


def _build_cancel(draws: Draws, context: RequestContext) -> Request:
    reason = draws.choice(CANCEL_REASONS)
    template = draws.choice(
        (
            "Cancel order {order_id}, your reason being '{reason}'.",
            "You want your pending order {order_id} cancelled. Your reason is '{reason}'.",
            "Have {order_id} called off completely, giving '{reason}' as the reason.",
            "Order {order_id} should not be sent at all; cancel it as '{reason}'.",
        )
    )
    words = template.format(order_id=context.order["order_id"], reason=reason)
    return _order_request(words, context.order, "cancel_pending_order", {"reason": reason})


def _build_payment(draws: Draws, context: RequestContext) -> Request | None:
    methods = _other_methods(context.user, context.order, context.balances)
    if not methods:
        return None
    payment = draws.choice(methods)
    context.balances.pay(payment, context.order["payment_history"][0]["amount"])
    template = draws.choice(
        (
            "Pay for order {order_id} with {payment} instead.",
            "Move the payment of your pending order {order_id} to {payment}.",
            "You would rather have {order_id} charged to {payment} than to what you used.",
            "Ask that {payment} be the payment method of order {order_id} from now on.",
        )
    )
    words = template.format(order_id=context.order["order_id"], payment=payment)
    return _order_request(words, context.order, "modify_pending_order_payment", {"payment_method_id": payment})


def _build_address(draws: Draws, context: RequestContext) -> Request:
    address = new_address(draws, context.order["address"])
    template = draws.choice(
        (
            "Have order {order_id} delivered to {address} instead.",
            "Your pending order {order_id} is headed for the wrong place; it should go to {address}.",
            "Change the shipping address of {order_id} to {address}.",
            "Redirect the pending order {order_id}: the address is now {address}.",
        )
    )
    words = template.format(order_id=context.order["order_id"], address=one_line(address))
    return _order_request(words, context.order, "modify_pending_order_address", address)


def _build_profile(draws: Draws, context: RequestContext) -> Request:
    address = new_address(draws, context.user["address"])
    template = draws.choice(
        (
            "You have moved: the default address of your account should be {address}.",
            "Update the address in your profile to {address}.",
            "Let your account's default address be {address} from now on.",
            "Your new home is {address}. Put it in your profile as the default address.",
        )
    )
    words = template.format(address=one_line(address))
    return Request(words, (Action("modify_user_address", {"user_id": context.user["user_id"], **address}),))


def _order_request(
    words: str, order: Mapping[str, Any], tool: str, arguments: Mapping[str, Any], product_ids: Sequence[str] = ()
) -> Request:
    """A request about an order: see the order, see the products, write."""
    lookups = [Action("get_order_details", {"order_id": order["order_id"]})]
    lookups += [Action("get_product_details", {"product_id": product_id}) for product_id in product_ids]
    write = Action(tool, {"order_id": order["order_id"], **arguments})
    return Request(words, (*lookups, write), arguments.get("payment_method_id"))


@functools.cache
def _places() -> tuple[tuple[str, str, str], ...]:
    """City, state and zip code of every customer, sorted."""
    addresses = (user["address"] for user in shop_database()["users"].values())
    return tuple(sorted({(address["city"], address["state"], address["zip"]) for address in addresses}))


@functools.cache
def _streets() -> tuple[str, ...]:
    """The names of the streets customers live in, sorted."""
    users = shop_database()["users"].values()
    return tuple(sorted({user["address"]["address1"].split(" ", 1)[1] for user in users}))


def new_address(draws: Draws, present: Mapping[str, Any]) -> dict[str, str]:
    """An address in another place than the present one, in the order of the tools' arguments."""
    city, state, zip_code = draws.choice([place for place in _places() if place[2] != present["zip"]])
    return {
        "address1": f"{100 + draws.below(900)} {draws.choice(_streets())}",
        "address2": f"{draws.choice(('Suite', 'Apt', 'Unit'))} {100 + draws.below(900)}",
        "city": city,
        "state": state,
        "country": "USA",
        "zip": zip_code,
    }


def one_line(address: Mapping[str, str]) -> str:
    """An address in one line."""
    parts = (address["address1"], address["address2"], address["city"], "{state} {zip}".format_map(address))
    return ", ".join(part for part in (*parts, address["country"]) if part)


def _options(options: Mapping[str, str]) -> str:
    return ", ".join(f"{option} {value}" for option, value in options.items())


KINDS: Mapping[str, RequestKind] = MappingProxyType(
    {
        "return": RequestKind("return_delivered_order_items", 18, _can_return, _build_return),
        "exchange": RequestKind("exchange_delivered_order_items", 18, _can_exchange, _build_exchange),
        "cancel": RequestKind("cancel_pending_order", 16, _is_pending, _build_cancel),
        "modify": RequestKind("modify_pending_order_items", 16, _can_modify, _build_modify),
        "payment": RequestKind("modify_pending_order_payment", 10, _can_change_payment, _build_payment),
        "address": RequestKind("modify_pending_order_address", 12, _is_pending, _build_address),
        "profile": RequestKind("modify_user_address", 10, _always, _build_profile, needs_order=False),
    }
)
"""The kinds of request by name."""


def order_choices(user_id: str, kinds: Sequence[str]) -> Iterator[tuple[str | None, ...]]:
    """Every way to let each kind of request concern another order of a customer.

    Args:
        user_id: the customer.
        kinds: names in `KINDS`, one per request.

    Returns:
        One order id per kind, None where the kind needs no order.
    """
    if not kinds:
        yield ()
        return
    for order_id in _orders_for(user_id, kinds[0]):
        for rest in order_choices(user_id, kinds[1:]):
            if order_id is None or order_id not in rest:
                yield (order_id, *rest)


@functools.cache
def _orders_for(user_id: str, kind: str) -> tuple[str | None, ...]:
    """The orders of a customer that a kind of request can concern; None alone where it needs none."""
    if not KINDS[kind].needs_order:
        return (None,)
    shop = shop_database()
    user = shop["users"][user_id]
    return tuple(name for name in user["orders"] if KINDS[kind].fits(user, shop["orders"][name]))
