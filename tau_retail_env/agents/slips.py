"""Proposals and calls that are wrong on purpose, so that a model sees how to go on after an objection or an error."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.tasks import WRITE_TOOLS
from tau_retail_env.tasks.task import Action

TAKEN_FOR: Mapping[str, str] = {
    "exchange_delivered_order_items": "modify_pending_order_items",
    "modify_pending_order_items": "exchange_delivered_order_items",
    "return_delivered_order_items": "cancel_pending_order",
}
"""Tools that a model confuses: what one does to a delivered order, the other does to a pending one."""

REASONS = ("no longer needed", "ordered by mistake")
"""Why an order may be cancelled."""


@dataclasses.dataclass(frozen=True)
class Slip:
    """A proposal that is wrong on purpose."""

    write: Action
    """What is proposed."""
    instead: tuple[str, str] | None = None
    """An id of it, and another that is said and called in its place, which does not go with the rest."""

    def said(self, words: str) -> str:
        """The words in which `write` is proposed, as they are said."""
        return words.replace(*self.instead) if self.instead else words

    @property
    def call(self) -> ToolCall:
        """The call that follows if the customer says yes."""
        given = json.dumps(dict(self.write.arguments))
        return ToolCall(self.write.name, json.loads(self.said(given)))


def slip(agent: OracleAgent, *, share: float, seed: str) -> Slip | None:
    """What a model might have proposed wrongly in place of an agent's proposal or answer.

    The oracle proposes nothing but what is right, so its conversations never show a customer who says no to a
    proposal; a model that errs once then repeats itself or acts without a yes. The slip itself is not to be learnt.

    Args:
        agent: the agent, which has just proposed a write or answered a question.
        share: how many of the proposals and answers become wrong, from 0 to 1.
        seed: decides which ones, and what is wrong.

    Returns:
        A proposal of another variant, other items, another address, order, payment method, reason or tool, of an item
        of another order, or one in place of an answer; None where there is to be no slip or where nothing else could
        be proposed.
    """
    write = agent.proposed
    rng = random.Random(seed)
    if rng.random() >= share:
        return None
    if write is None:
        return _unasked(agent, rng) if agent.attends and agent.attends.ask else None
    kinds: list[Callable[[OracleAgent, Action, random.Random], Slip | None]] = [
        _other_variant,
        _other_items,
        _other_address,
        _other_order,
        _other_payment,
        _other_reason,
        _other_tool,
        _foreign_item,
    ]
    rng.shuffle(kinds)
    return next((wrong for kind in kinds if (wrong := kind(agent, write, rng)) is not None), None)


def _unasked(agent: OracleAgent, rng: random.Random) -> Slip | None:
    """A cancellation that nobody has asked for; not always, for some customers take it for the answer they wait for."""
    if rng.random() < 0.5:
        return None
    pending = [order["order_id"] for order in agent.orders() if order.get("status") == "pending"]
    if not pending:
        return None
    given = {"order_id": rng.choice(pending), "reason": "no longer needed"}
    return Slip(Action("cancel_pending_order", given))


def _changed(write: Action, **arguments: object) -> Slip:
    return Slip(dataclasses.replace(write, arguments={**write.arguments, **arguments}))


def _other_variant(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """Another variant for one of the items."""
    choices = agent.variants(write)
    new = list(write.arguments.get("new_item_ids", ()))
    places = [place for place, variants in enumerate(choices) if len(variants) > 1]
    if not places or len(choices) != len(new):
        return None
    place = rng.choice(places)
    new[place] = rng.choice([one["item_id"] for one in choices[place] if one["item_id"] != new[place]])
    return _changed(write, new_item_ids=new)


def _other_items(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """Another item of the order in the place of one that is to be returned, or one more, or one less."""
    if write.name != "return_delivered_order_items":
        return None
    items = list(write.arguments["item_ids"])
    others = [item_id for item_id in agent.order_items(write) if item_id not in items]
    changes = ["less"] * (len(items) > 1) + ["more", "other"] * bool(others)
    if not changes:
        return None
    change = rng.choice(changes)
    if change == "more":
        return _changed(write, item_ids=[*items, rng.choice(others)])
    place = rng.randrange(len(items))
    instead = [rng.choice(others)] if change == "other" else []
    return _changed(write, item_ids=[*items[:place], *instead, *items[place + 1 :]])


def _other_address(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """The address that the order or the profile has now, or a part of it."""
    if "address1" not in write.arguments:
        return None
    known = [address for address in agent.addresses() if any(write.arguments.get(k) != v for k, v in address.items())]
    if not known:
        return None
    address = rng.choice(known)
    unlike = [part for part, value in address.items() if write.arguments.get(part) != value]
    kept = unlike if rng.random() < 0.5 else [rng.choice(unlike)]
    return _changed(write, **{part: address[part] for part in kept})


def _other_order(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """Another of the customer's orders, with items of its own where it has such; one that was not read by its id alone.

    Who hears only slips in which the items stay those of the right order learns to keep them when it is told the order.
    """
    order_id = write.arguments.get("order_id")
    if not order_id:
        return None
    read = [order for order in agent.orders() if order["order_id"] != order_id]
    rng.shuffle(read)
    for other in read:
        if "item_ids" not in write.arguments:
            return _changed(write, order_id=other["order_id"])
        alike = [_alike(row, other, write) for row in agent.rows(write)]
        wrong = _changed(write, order_id=other["order_id"], item_ids=alike)
        if alike and len(agent.rows(wrong.write)) == len(
            alike
        ):  # an order may be known by the answer to a change alone
            return wrong
    others = [known for known in agent.profile().get("orders", ()) if known != order_id]
    return Slip(write, instead=(order_id, rng.choice(others))) if others else None


def _alike(row: Mapping[str, Any], other: Mapping[str, Any], write: Action) -> str | None:
    """The item of another order that may be taken for one: the same product, though not the variant that is wanted."""
    new = write.arguments.get("new_item_ids", ())
    return next(
        (
            one["item_id"]
            for one in other["items"]
            if one["product_id"] == row["product_id"] and one["item_id"] not in new
        ),
        None,
    )


def _foreign_item(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """The id of another order's item in the place of one of the items, which only the tools notice."""
    own = agent.order_items(write)
    foreign = [row["item_id"] for order in agent.orders() for row in order["items"] if row["item_id"] not in own]
    items = write.arguments.get("item_ids", ())
    return Slip(write, instead=(rng.choice(items), rng.choice(foreign))) if items and foreign else None


def _other_payment(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """Another payment method of the customer's."""
    paid = write.arguments.get("payment_method_id")
    others = [known for known in agent.profile().get("payment_methods", ()) if known != paid]
    if not paid or not others:
        return None
    return _changed(write, payment_method_id=rng.choice(others))


def _other_reason(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """The other reason for a cancellation."""
    others = [reason for reason in REASONS if reason != write.arguments.get("reason")]
    return _changed(write, reason=rng.choice(others)) if "reason" in write.arguments else None


def _other_tool(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """An exchange where the order is pending, a modification where it is delivered, a return that cancels."""
    other = _taken_for(write.name, write.arguments)
    return Slip(Action(other.name, other.arguments)) if other else None


def slipped_call(message: AgentMessage, *, share: float, seed: str) -> AgentMessage | None:
    """A call that a model might have made in place of a right one, and that the tools refuse.

    A refused call changes nothing, so the right one can follow at once. Without such calls a model has never seen that
    an error is answered with another call, and makes the same one until the episode ends.

    Args:
        message: what the agent is about to do.
        share: how many of the calls that change the shop are wrong at first, from 0 to 1.
        seed: decides which ones, and what is wrong.

    Returns:
        The same change with another tool, with an argument that no tool knows, or with an id in which a digit is
        wrong; None where there is to be no slip, or where the message changes nothing.
    """
    rng = random.Random(seed)
    call = message.tool_calls[0] if message.tool_calls else None
    if call is None or call.name not in WRITE_TOOLS or rng.random() >= share:
        return None
    slips = [_taken_for(call.name, call.arguments), _unknown_argument(call), _wrong_digit(call, rng)]
    return AgentMessage(None, (rng.choice([wrong for wrong in slips if wrong]),))


def _taken_for(name: str, arguments: Mapping[str, Any]) -> ToolCall | None:
    other = TAKEN_FOR.get(name)
    given = dict(arguments)
    if other == "cancel_pending_order":
        given = {"order_id": given["order_id"], "reason": "no longer needed"}
    return ToolCall(other, given) if other else None


def _unknown_argument(call: ToolCall) -> ToolCall:
    return ToolCall(call.name, {**call.arguments, "user": "customer"})


def _wrong_digit(call: ToolCall, rng: random.Random) -> ToolCall | None:
    """One digit of one item's id is another, so that no such item is found."""
    names = [name for name in ("item_ids", "new_item_ids") if call.arguments.get(name)]
    if not names:
        return None
    name = rng.choice(names)
    ids = list(call.arguments[name])
    place = rng.randrange(len(ids))
    at = rng.randrange(len(ids[place]))
    digit = str((int(ids[place][at]) + rng.randint(1, 9)) % 10)
    ids[place] = ids[place][:at] + digit + ids[place][at + 1 :]
    return ToolCall(call.name, {**call.arguments, name: ids})
