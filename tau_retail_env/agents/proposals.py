"""In which words an agent asks for a yes to a write: short, or with all that the call will need."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.tasks.task import Action

CHANGING_ITEMS = ("exchange_delivered_order_items", "modify_pending_order_items")
VERBS: Mapping[str, str] = {"exchange_delivered_order_items": "exchange", "modify_pending_order_items": "modify"}


def short(write: Action, names: Sequence[str], changes: Sequence[Mapping[str, str]]) -> str:
    """The order, the items' names, and the options that become different.

    Args:
        write: what is proposed.
        names: of its items, as the customer knows them.
        changes: of each item that is to be changed, the options that become different.
    """
    given = write.arguments
    order_id, payment = given.get("order_id"), given.get("payment_method_id")
    match write.name:
        case "cancel_pending_order":
            return f"Cancel {order_id}, reason: {given['reason']}."
        case "return_delivered_order_items":
            return f"Return {', '.join(names)} of {order_id}, refund to {payment}."
        case "modify_pending_order_payment":
            return f"Change payment of {order_id} to {payment}."
        case _ if write.name in VERBS:
            changed = [f"{name} to {_worded(new)}" for name, new in zip(names, changes, strict=True)]
            return f"{VERBS[write.name].capitalize()} in {order_id}: {'; '.join(changed)}. Payment: {payment}."
    what = f"address of {order_id}" if order_id else "default address"
    return f"Change {what} to {_address(given)}."


def whole(write: Action, order: Mapping[str, Any], names: Sequence[str], variants: Sequence[Mapping[str, Any]]) -> str:
    """The order with its status, which decides on the tool; each item with its id; each new variant whole.

    Args:
        write: what is proposed, for an order.
        order: as the look-up has shown it.
        names: of its items, as the customer knows them.
        variants: of each item that is to be changed, the new variant as the product's list has it; its price is in
            dollars.
    """
    given = write.arguments
    payment = given.get("payment_method_id")
    of = f"{order['status'].split()[0].capitalize()} order {given['order_id']}"
    items = [f"{name} (item {item_id})" for name, item_id in zip(names, given.get("item_ids", ()), strict=True)]
    match write.name:
        case "cancel_pending_order":
            return f"{of}: cancel it, reason: {given['reason']}."
        case "return_delivered_order_items":
            return f"{of}: return {', '.join(items)}, refund to {payment}."
        case "modify_pending_order_payment":
            return f"{of}: change its payment to {payment}."
        case _ if write.name in VERBS:
            changed = [f"{name} to {_variant(new)}" for name, new in zip(items, variants, strict=True)]
            return f"{of}: {VERBS[write.name]} {'; '.join(changed)}. Payment: {payment}."
    return f"{of}: change its address to {_address(given)}."


def _variant(variant: Mapping[str, Any]) -> str:
    return f"{_worded(variant['options'])} (${json.dumps(variant['price'])}, item {variant['item_id']})"


def _worded(options: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in options.items()) or "the same"


def _address(given: Mapping[str, str]) -> str:
    parts = (given[part] for part in ("address1", "address2", "city", "state", "country", "zip"))
    return ", ".join(part for part in parts if part)
