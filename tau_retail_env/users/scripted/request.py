"""One thing that the scripted customer wants, and how a gold action becomes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks.task import Action, Task
from tau_retail_env.users.scripted.story import Beat, Story, Words, check_fit


class Kind(StrEnum):
    """What a request asks for."""

    CANCEL = "cancel"
    RETURN = "return"
    EXCHANGE = "exchange"
    MODIFY_ITEMS = "modify_items"
    PAYMENT = "payment"
    ORDER_ADDRESS = "order_address"
    DEFAULT_ADDRESS = "default_address"
    INQUIRY = "inquiry"
    IMPOSSIBLE = "impossible"
    TRANSFER = "transfer"


PROSE = frozenset({Kind.INQUIRY, Kind.IMPOSSIBLE, Kind.TRANSFER})
"""Kinds that are told in words only: no tool call could be held against them."""
ITEM_KINDS = (Kind.RETURN, Kind.EXCHANGE, Kind.MODIFY_ITEMS)
"""Kinds that are about some items of an order."""


KIND_OF_TOOL: Mapping[str, Kind] = {
    "cancel_pending_order": Kind.CANCEL,
    "return_delivered_order_items": Kind.RETURN,
    "exchange_delivered_order_items": Kind.EXCHANGE,
    "modify_pending_order_items": Kind.MODIFY_ITEMS,
    "modify_pending_order_payment": Kind.PAYMENT,
    "modify_pending_order_address": Kind.ORDER_ADDRESS,
    "modify_user_address": Kind.DEFAULT_ADDRESS,
}


@dataclass(frozen=True, slots=True)
class Item:
    """An item of an order and, for an exchange or a modification, what is wanted instead."""

    product: str
    """The product's name."""
    label: str
    """How the customer names it: the product, with its options where the order holds another of that name."""
    options: Mapping[str, str]
    """The options it has."""
    new_options: Mapping[str, str] | None = None
    """The options wanted instead, None for a return."""
    choices: Mapping[str, tuple[str, ...]] | None = None
    """Every value the shop sells, by option."""

    @property
    def changes(self) -> dict[str, str]:
        """The options that become different, with the wanted values."""
        wanted = self.new_options or {}
        return {name: value for name, value in wanted.items() if self.options.get(name) != value}


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """One payment method of the customer's profile."""

    id: str
    """Such as "credit_card_9513926"."""
    source: str
    """"credit_card", "gift_card" or "paypal"."""
    brand: str = ""
    """The card's brand, empty where there is none."""
    last_four: str = ""
    """The card's last four digits, empty where there are none."""


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address."""

    address1: str
    """Street and number."""
    address2: str
    """Suite or apartment, may be empty."""
    city: str
    """City."""
    state: str
    """State, two letters."""
    country: str
    """Country."""
    zip: str
    """Zip code."""

    @property
    def text(self) -> str:
        """The address in one line."""
        parts = (self.address1, self.address2, self.city, self.state, self.country, self.zip)
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """One thing the customer wants; equal only to itself."""

    kind: Kind
    """What it asks for."""
    order_id: str | None = None
    """The order it is about."""
    items: tuple[Item, ...] = ()
    """The items it is about; for a cancellation, everything in the order."""
    other_items: tuple[Item, ...] = ()
    """The rest of the order."""
    payment: PaymentMethod | None = None
    """The payment method to use."""
    original_payment_id: str | None = None
    """The payment method the order was paid with."""
    reason: str | None = None
    """Why the order is to be cancelled, in the domain policy's words."""
    address: Address | None = None
    """The new address."""
    question: str = ""
    """What an inquiry wants to know, or what is asked for though it will be refused, in the customer's words."""
    answers: tuple[str, ...] = ()
    """The strings that answer an inquiry."""
    say: str = ""
    """The words it is opened with, empty for those of the phrasebook."""
    words: Words = field(default_factory=dict)
    """How the customer words some of its facts."""
    turn: str = ""
    """How the customer gives it up when asked to confirm, empty where it does not."""
    is_impossible: bool = False
    """Whether an agent is expected to refuse it, or the customer to give it up."""
    otherwise: bool = False
    """Whether it comes up only after the last impossible request was refused or given up."""
    of_story: bool = False
    """Whether it comes from a story."""


def requests_of(story: Story, task: Task, user_id: str, shop: Mapping[str, Any]) -> tuple[Request, ...]:
    """What the customer of a story wants, in the story's order.

    Args:
        story: what the customer brings up.
        task: its gold writes and outputs.
        user_id: the customer.
        shop: the shop's database, read only.
    """
    check_fit(story, task)
    writes = [action for action in task.actions if action.name in KIND_OF_TOOL]
    gold = [request_of(action, user_id, shop) for action in writes]
    orders = _orders_at_hand(story, gold)
    return tuple(
        replace(
            _subject(beat, order_id, gold, task, user_id, shop),
            say=beat.say,
            words={**(story.words or {}), **(beat.words or {})},
            turn=beat.turn,
            is_impossible=beat.is_impossible,
            otherwise=beat.otherwise,
            of_story=True,
        )
        for beat, order_id in zip(story.beats, orders, strict=True)
    )


def _subject(
    beat: Beat, order_id: str | None, gold: Sequence[Request], task: Task, user_id: str, shop: Mapping[str, Any]
) -> Request:
    """What a beat is about, before how it is worded."""
    if beat.write is not None:
        return gold[beat.write]
    if beat.first is not None:
        return _first_wish(beat, gold[beat.first], user_id, shop)
    if beat.ask:
        answers = tuple(task.outputs[number] for number in beat.outputs)
        return Request(Kind.INQUIRY, order_id=order_id, question=beat.ask, answers=answers)
    return Request(Kind.IMPOSSIBLE if beat.vain else Kind.TRANSFER, order_id=order_id, question=beat.prose)


def _orders_at_hand(story: Story, gold: Sequence[Request]) -> list[str | None]:
    """For each beat the order it is about: that of its own write, else of the next one, else of the last one."""
    own = [
        gold[number].order_id if (number := beat.first if beat.write is None else beat.write) is not None else None
        for beat in story.beats
    ]
    known = [order_id for order_id in own if order_id]
    return [
        next((order_id for order_id in own[place:] if order_id), known[-1] if known else None)
        for place in range(len(own))
    ]


def _first_wish(beat: Beat, gold: Request, user_id: str, shop: Mapping[str, Any]) -> Request:
    """A gold request as the customer would have it first."""
    rows = shop["orders"][gold.order_id]["items"]
    kind = Kind(beat.kind) if beat.kind else gold.kind
    names = beat.items or [item.product for item in gold.items]
    chosen = [next(row for row in rows if row["name"] == name) for name in names]
    overrides: Sequence[Mapping[str, str]] = beat.options or [{} for _ in chosen]
    items = tuple(_wished(row, rows, wish, kind, shop) for row, wish in zip(chosen, overrides, strict=True))
    others = tuple(_item(row, None, rows, shop) for row in rows if row not in chosen)
    methods = payment_methods_of(shop["users"][user_id])
    payment = next((method for method in methods if method.source == beat.payment), gold.payment)
    return replace(gold, kind=kind, items=items, other_items=others, payment=payment)


def _wished(
    row: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    wish: Mapping[str, str],
    kind: Kind,
    shop: Mapping[str, Any],
) -> Item:
    if kind is Kind.RETURN:
        return _item(row, None, rows, shop)
    same = _item(row, row["item_id"], rows, shop)
    return replace(same, new_options={**row["options"], **wish})


def request_of(action: Action, user_id: str, shop: Mapping[str, Any]) -> Request:
    """What a customer wants whose gold action this is.

    Args:
        action: a gold action whose tool is in `KIND_OF_TOOL`.
        user_id: the customer.
        shop: the shop's database, read only.

    Raises:
        InvalidValueError: an item that the shop does not sell.
    """
    kind = KIND_OF_TOOL[action.name]
    given = action.arguments
    order = shop["orders"].get(given.get("order_id"), {"items": [], "payment_history": []})
    user = shop["users"][order.get("user_id", user_id)]
    items, others = _items(kind, given, order, shop)
    payment = next((method for method in payment_methods_of(user) if method.id == given.get("payment_method_id")), None)
    history = order["payment_history"]
    return Request(
        kind=kind,
        order_id=given.get("order_id"),
        items=items,
        other_items=others,
        payment=payment,
        original_payment_id=history[0]["payment_method_id"] if history else None,
        reason=given.get("reason"),
        address=address_of(given) if "address1" in given else None,
    )


def _items(
    kind: Kind, given: Mapping[str, Any], order: Mapping[str, Any], shop: Mapping[str, Any]
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    rows = list(order["items"])
    if kind is Kind.CANCEL:
        return tuple(_item(row, None, rows, shop) for row in rows), ()
    wanted = []
    for position, item_id in enumerate(given.get("item_ids", ())):
        row = next((row for row in rows if row["item_id"] == item_id), None) or _sold(item_id, shop)
        new_ids: Sequence[str] = given.get("new_item_ids", ())
        wanted.append(_item(row, new_ids[position] if position < len(new_ids) else None, order["items"], shop))
        if row in rows:
            rows.remove(row)
    return tuple(wanted), tuple(_item(row, None, order["items"], shop) for row in rows)


def _sold(item_id: str, shop: Mapping[str, Any]) -> Mapping[str, Any]:
    """An item that the order does not hold, as the shop sells it."""
    for product in shop["products"].values():
        if item_id in product["variants"]:
            variant = product["variants"][item_id]
            return {"name": product["name"], "product_id": product["product_id"], **variant}
    raise InvalidValueError(f"The shop sells no item {item_id!r}, so no customer can ask for it")


def _item(
    row: Mapping[str, Any], new_item_id: str | None, rows: Iterable[Mapping[str, Any]], shop: Mapping[str, Any]
) -> Item:
    product = shop["products"][row["product_id"]]
    namesakes = [other for other in rows if other["name"] == row["name"] and other["options"] != row["options"]]
    label = f"{row['name']} ({', '.join(row['options'].values())})" if namesakes else row["name"]
    if new_item_id is None:
        return Item(row["name"], label, row["options"])
    new = product["variants"].get(new_item_id, {"options": row["options"]})
    choices = {
        name: tuple(sorted({variant["options"][name] for variant in product["variants"].values()}))
        for name in row["options"]
    }
    return Item(row["name"], label, row["options"], new["options"], choices)


def payment_methods_of(user: Mapping[str, Any]) -> tuple[PaymentMethod, ...]:
    """The payment methods of a user, as the shop's database has them."""
    return tuple(
        PaymentMethod(method["id"], method["source"], method.get("brand", ""), method.get("last_four", ""))
        for method in user["payment_methods"].values()
    )


def address_of(parts: Mapping[str, str]) -> Address:
    """An address, from a user, an order or the arguments of an action."""
    return Address(parts["address1"], parts["address2"], parts["city"], parts["state"], parts["country"], parts["zip"])
