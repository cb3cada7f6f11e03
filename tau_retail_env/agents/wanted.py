"""What kind of thing a customer wants, as an agent that writes its reasons down calls it."""

from __future__ import annotations

from collections.abc import Mapping

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.proposals import CHANGING_ITEMS
from tau_retail_env.tasks.task import Action

KINDS: dict[str, str] = {
    "cancel_pending_order": "cancelling",
    "return_delivered_order_items": "returning",
    "exchange_delivered_order_items": "exchanging",
    "modify_pending_order_items": "modifying items",
    "modify_pending_order_payment": "changing the payment",
    "modify_pending_order_address": "changing the order's address",
    "modify_user_address": "changing the default address",
}
"""How what each tool does is called."""
VERSION = "another version"
WANTED = KINDS | dict.fromkeys(CHANGING_ITEMS, VERSION)
"""How the customer's wish for it is called: which of the two tools changes items the order's status says."""
REFUSED: Mapping[str, str] = {
    "exchanged for another": "another product",
    "available": VERSION,
    "as a whole": "cancelling single items",
    "own account": "something of another customer's",
    "cancelled": "cancelling",
    "returned": "returning",
    "refund can only go": "returning",
    "lost or stolen": "returning",
    "paid with one": "changing the payment",
    "gift card holds": "changing the payment",
    "can be changed": "a change",
    "changed only once": "modifying items",
}
"""How what is refused is called, by words of the rule against it, the first that fit; else it is something else."""
KNOWLEDGE = "to know"
SOMETHING = "something else"


def kind(agent: OracleAgent, write: Action | None) -> str:
    """How what the customer wants is called; empty where nothing is left to do.

    Args:
        agent: who serves the customer.
        write: what it is going to propose; None where that is nothing, or not known.
    """
    if write is not None:
        return WANTED[write.name]
    beat = agent.attends or agent.step.beat
    if beat is None:
        return ""
    if beat.ask:
        return KNOWLEDGE
    if not beat.refusal and (write := agent.wanted(beat)):
        return WANTED[write.name]
    return next((kind for words, kind in REFUSED.items() if words in beat.refusal), SOMETHING)
