"""Proposals and calls that are wrong on purpose, so that a model sees how to go on after an objection or an error."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Mapping

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

    words: str
    """What is said."""
    look_up: ToolCall | None = None
    """What shows what would have been right; None where that needs no look-up."""


def slip(agent: OracleAgent, *, share: float, seed: str) -> Slip | None:
    """The wrong words that a model might have used in place of an agent's proposal or answer.

    The oracle proposes nothing but what is right, so its conversations never show a customer who says no to a
    proposal; a model that errs once then repeats itself or acts without a yes. The slip itself is not to be learnt.

    Args:
        agent: the agent, which has just proposed a write or answered a question.
        share: how many of the proposals and answers become wrong, from 0 to 1.
        seed: decides which ones, and what is wrong.

    Returns:
        A proposal of another variant, other items, another address, order, payment method or reason, or one in place
        of an answer; None where there is to be no slip or where nothing else could be proposed.
    """
    write = agent.proposed
    rng = random.Random(seed)
    if rng.random() >= share:
        return None
    if write is None:
        return _unasked(agent, rng) if agent.answers else None
    kinds: list[Callable[[OracleAgent, Action, random.Random], Slip | None]] = [
        _other_variant,
        _other_items,
        _other_address,
        _other_order,
        _other_payment,
        _other_reason,
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
    return Slip(agent.proposal(Action("cancel_pending_order", given)))


def _changed(agent: OracleAgent, write: Action, look_up: ToolCall | None, **arguments: object) -> Slip:
    return Slip(agent.proposal(dataclasses.replace(write, arguments={**write.arguments, **arguments})), look_up)


def _order(write: Action) -> ToolCall:
    return ToolCall("get_order_details", {"order_id": write.arguments["order_id"]})


def _profile(agent: OracleAgent) -> ToolCall:
    return ToolCall("get_user_details", {"user_id": agent.user_id})


def _other_variant(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """Another variant for one of the items."""
    choices = agent.variants(write)
    new = list(write.arguments.get("new_item_ids", ()))
    places = [place for place, variants in enumerate(choices) if len(variants) > 1]
    if not places or len(choices) != len(new):
        return None
    place = rng.choice(places)
    new[place] = rng.choice([one["item_id"] for one in choices[place] if one["item_id"] != new[place]])
    return _changed(
        agent, write, ToolCall("get_product_details", {"product_id": agent.products(write)[place]}), new_item_ids=new
    )


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
        return _changed(agent, write, _order(write), item_ids=[*items, rng.choice(others)])
    place = rng.randrange(len(items))
    instead = [rng.choice(others)] if change == "other" else []
    return _changed(agent, write, _order(write), item_ids=[*items[:place], *instead, *items[place + 1 :]])


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
    return _changed(agent, write, _profile(agent), **{part: address[part] for part in kept})


def _other_order(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """The same for another of the customer's orders."""
    order_id = write.arguments.get("order_id")
    others = [known for known in agent.profile().get("orders", ()) if known != order_id]
    if not order_id or not others:
        return None
    return Slip(agent.proposal(write).replace(order_id, rng.choice(others)), _order(write))


def _other_payment(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """Another payment method of the customer's."""
    paid = write.arguments.get("payment_method_id")
    others = [known for known in agent.profile().get("payment_methods", ()) if known != paid]
    if not paid or not others:
        return None
    return _changed(agent, write, _profile(agent), payment_method_id=rng.choice(others))


def _other_reason(agent: OracleAgent, write: Action, rng: random.Random) -> Slip | None:
    """The other reason for a cancellation."""
    others = [reason for reason in REASONS if reason != write.arguments.get("reason")]
    return _changed(agent, write, None, reason=rng.choice(others)) if "reason" in write.arguments else None


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
    slips = [wrong for wrong in (_other_tool(call), _unknown_argument(call), _wrong_digit(call, rng)) if wrong]
    return AgentMessage(None, (rng.choice(slips),))


def _other_tool(call: ToolCall) -> ToolCall | None:
    other = TAKEN_FOR.get(call.name)
    given = dict(call.arguments)
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
