"""What an agent writes down for itself: what a product's list has in stock, and what a proposal rests on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tau_retail_env.agents.lookups import parsed
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.tasks.task import Action


def stock(observation: str) -> str:
    """The available variants of a product that has just been looked up, in few words; empty after anything else.

    In the tool's answer the parts of a variant stand dozens of tokens apart. Side by side a small model finds the one
    that has all of the wanted options, the cheapest, or how many there are.

    Args:
        observation: what was heard last.
    """
    product = parsed(observation)
    listed = [_variant(one) for one in product.get("variants", {}).values() if one.get("available")]
    return f"{product['name']} in stock: {'; '.join(listed)}." if listed else ""


def reasoning(agent: OracleAgent, write: Action) -> str:
    """The steps from what was read to a proposal, in the words that a model writes between `<think>` and `</think>`.

    A small model that proposes at once takes the first order for the one that holds the item, and keeps options of the
    item that are to become different. Step by step each part is one look back.

    Args:
        agent: the agent, with what its look-ups have shown.
        write: what is to be proposed.

    Returns:
        For changes of items: of each item its namesakes in all orders that were read, with their options and orders,
        which one is meant, and for a new variant the options that become different and then the variant. For changes of
        an order: what is in each order that was read, and which one is meant. Then the order's status and how it was
        paid. Empty for other changes, and where the order was not looked up.
    """
    order = agent.order(write)
    if not order:
        return ""
    if "item_ids" in write.arguments:
        new = {row["item_id"]: variant for row, variant in agent.chosen(write) if variant is not row}
        parts = [_item(agent, order, row, new.get(row["item_id"])) for row in agent.rows(write)]
    else:
        parts = [f"{'; '.join(_contents(one) for one in agent.orders())}. Meant: {order['order_id']}."]
    return " ".join([*parts, _state(order)])


def _item(agent: OracleAgent, order: Mapping[str, Any], row: Mapping[str, Any], new: Mapping[str, Any] | None) -> str:
    namesakes = [
        f"{one['item_id']} in {other['order_id']} ({', '.join(one['options'].values())})"
        for other in agent.orders()
        for one in other["items"]
        if one["name"] == row["name"]
    ]
    words = [
        f"{row['name']}: {'; '.join(dict.fromkeys(namesakes))}.",
        f"Meant: {row['item_id']} in {order['order_id']}.",
    ]
    if new is not None:
        changes = [f"{name} {value}" for name, value in new["options"].items() if row["options"].get(name) != value]
        words += [f"Change: {', '.join(changes) or 'none'}.", f"New: {_variant(new)}."]
    return " ".join(words)


def _variant(variant: Mapping[str, Any]) -> str:
    return f"{variant['item_id']} ({', '.join(variant['options'].values())}, ${json.dumps(variant['price'])})"


def _contents(order: Mapping[str, Any]) -> str:
    return f"{order['order_id']} ({order['status']}): {', '.join(row['name'] for row in order['items'])}"


def _state(order: Mapping[str, Any]) -> str:
    paid = ", ".join(dict.fromkeys(payment["payment_method_id"] for payment in order.get("payment_history", ())))
    return f"{order['order_id']} is {order['status']}" + (f", paid with {paid}." if paid else ".")
