"""What the scripted customer wants and knows: an agenda built from a task and the shop."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.tasks.task import Action, Task

EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")


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
    """What an inquiry wants to know, in the customer's words."""
    answers: tuple[str, ...] = ()
    """The strings that answer an inquiry."""


@dataclass(frozen=True, slots=True)
class Agenda:
    """Everything the customer wants, and who it is."""

    requests: tuple[Request, ...]
    """One after another, in the order in which they are brought up."""
    first_name: str
    """First name."""
    last_name: str
    """Last name."""
    zip: str | None
    """Zip code of the profile, None where the customer does not remember it."""
    email: str | None
    """Email, None where the customer does not remember it."""
    user_id: str | None
    """The user id, None unless the task tells the customer."""
    address: Address
    """The default address of the profile."""
    payment_methods: tuple[PaymentMethod, ...]
    """All of the profile."""
    by_email: bool
    """Whether the customer identifies itself by email rather than by name and zip."""
    knows_order_ids: bool
    """Whether the customer has its order ids at hand."""
    openness: float
    """How likely a request comes with all its details, 0 to 1."""
    products: frozenset[str] = frozenset()
    """Names of everything the shop sells."""


def build_agenda(task: Task, shop: Mapping[str, Any]) -> Agenda:
    """Build what the scripted customer wants and knows.

    Args:
        task: the task; its gold writes become requests, its outputs an inquiry.
        shop: the shop's database: {"users", "orders", "products"}.

    Raises:
        InvalidValueError: a task whose customer is not in the shop.
    """
    user_id = _customer_id(task, shop)
    user = shop["users"][user_id]
    scenario = task.scenario
    known, unknown = scenario.known_info or "", scenario.unknown_info or ""
    email = _email(user["email"], known, unknown)
    return Agenda(
        requests=_requests(task, user_id, shop),
        first_name=user["name"]["first_name"],
        last_name=user["name"]["last_name"],
        zip=None if re.search(r"\bzip", unknown, re.IGNORECASE) else user["address"]["zip"],
        email=email,
        user_id=user_id if user_id in known else None,
        address=_address(user["address"]),
        payment_methods=_payment_methods(user),
        by_email=email is not None and _identified_by_email(task, known),
        knows_order_ids=not _forgets_order_ids(unknown, scenario.reason_for_call or ""),
        openness=_openness(f"{scenario.persona or ''} {scenario.task_instructions or ''}"),
        products=frozenset(product["name"] for product in shop["products"].values()),
    )


def _customer_id(task: Task, shop: Mapping[str, Any]) -> str:
    """The user whom the task names, or whose name and zip code its scenario tells."""
    if task.user_id in shop["users"]:
        return str(task.user_id)
    known = (task.scenario.known_info or "").casefold()
    for user_id, user in shop["users"].items():
        told = (user["name"]["first_name"], user["name"]["last_name"], user["address"]["zip"])
        if all(part.casefold() in known for part in told):
            return str(user_id)
    raise InvalidValueError(
        f"Task {task.id!r} names the customer {task.user_id!r}, who is not in the shop; "
        "the scripted customer needs a task with a user_id of the shop's users"
    )


def _email(email: str, known: str, unknown: str) -> str | None:
    told = EMAIL.search(known)
    if told:
        return told.group()
    return None if re.search(r"\be-?mail", unknown, re.IGNORECASE) else email


def _identified_by_email(task: Task, known: str) -> bool:
    lookups = [action.name for action in task.actions if action.name.startswith("find_user_id_by_")]
    return lookups[0] == "find_user_id_by_email" if lookups else bool(EMAIL.search(known))


def _forgets_order_ids(*texts: str) -> bool:
    forgets = re.compile(r"\border\s+(?:id|number)", re.IGNORECASE)
    denies = re.compile(r"\b(?:don't|do not)\s+(?:remember|know)\s+(?:the |your |any )?order", re.IGNORECASE)
    return bool(forgets.search(texts[0])) or any(denies.search(text) for text in texts)


def _openness(personality: str) -> float:
    if re.search(r"private|mysterious|reveal|piece|one thing|shy|insecure", personality, re.IGNORECASE):
        return 0.2
    if re.search(r"detail|together|upfront|organi[sz]ed|impatient|busy|outgoing", personality, re.IGNORECASE):
        return 0.8
    return 0.5


def _requests(task: Task, user_id: str, shop: Mapping[str, Any]) -> tuple[Request, ...]:
    wanted = [
        _request(KIND_OF_TOOL[action.name], action, user_id, shop)
        for action in task.actions
        if action.name in KIND_OF_TOOL
    ]
    if task.outputs or not wanted:
        wanted.append(Request(Kind.INQUIRY, question=_question(task, bool(wanted)), answers=task.outputs))
    return tuple(wanted)


def _request(kind: Kind, action: Action, user_id: str, shop: Mapping[str, Any]) -> Request:
    given = action.arguments
    order = shop["orders"].get(given.get("order_id"), {"items": [], "payment_history": []})
    user = shop["users"][order.get("user_id", user_id)]
    items, others = _items(kind, given, order, shop)
    payment = next((method for method in _payment_methods(user) if method.id == given.get("payment_method_id")), None)
    history = order["payment_history"]
    return Request(
        kind=kind,
        order_id=given.get("order_id"),
        items=items,
        other_items=others,
        payment=payment,
        original_payment_id=history[0]["payment_method_id"] if history else None,
        reason=given.get("reason"),
        address=_address(given) if "address1" in given else None,
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


def _payment_methods(user: Mapping[str, Any]) -> tuple[PaymentMethod, ...]:
    return tuple(
        PaymentMethod(method["id"], method["source"], method.get("brand", ""), method.get("last_four", ""))
        for method in user["payment_methods"].values()
    )


def _address(parts: Mapping[str, str]) -> Address:
    return Address(parts["address1"], parts["address2"], parts["city"], parts["state"], parts["country"], parts["zip"])


ASKING = re.compile(r"want to know|wonder|how (?:much|many)|tracking|price|total|balance|check|which|options", re.I)


def _question(task: Task, after_writes: bool) -> str:
    """What the customer asks for the task's outputs, or about everything where nothing is to be changed."""
    told = f"{task.scenario.reason_for_call or ''} {task.scenario.task_instructions or ''}"
    sentences = [part for part in re.split(r"(?<=[.!?])\s+", told.strip()) if re.search(r"\w", part)]
    sayable = [part for part in sentences if not re.search(r"\d{10}|\b[a-z]+_[a-z]+_\d+|agent|###", part, re.I)]
    if after_writes:
        sayable = [part for part in sayable if ASKING.search(part)]
    words = " ".join(first_person(part) for part in sayable[:2]).split()
    if not words:
        return "Could you also tell me the amounts and details of my orders?"
    return " ".join(words[:50])


def first_person(text: str) -> str:
    """Turn words told to a customer ("You want your money") into the customer's own ("I want my money")."""
    swaps = (
        (r"\byou(?:'re| are)\b", "I'm"),
        (r"\byou were\b", "I was"),
        (r"\byou've\b", "I've"),
        (r"\byou'd\b", "I'd"),
        (r"\byou'll\b", "I'll"),
        (r"\byourself\b", "myself"),
        (r"\byours\b", "mine"),
        (r"\byour\b", "my"),
        (r"\b(to|for|with|of|from|let|tell|give|help|offers?|gives?) you\b", r"\1 me"),
        (r"\byou\b", "I"),
    )
    for pattern, replacement in swaps:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return text[:1].upper() + text[1:]
