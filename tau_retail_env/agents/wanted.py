"""What kind of thing a customer wants, as an agent that writes its reasons down calls it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

from tau_retail_env.agents.asked_facts import asked_for, money_asked_for
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.oracle_steps import RETURN
from tau_retail_env.agents.proposals import CHANGING_ITEMS
from tau_retail_env.tasks.task import Action
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.story import Beat

LIST = "get_product_details"
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
    "and only delivered ones": "cancelling or returning",
    "where the payment of its order": "refunds elsewhere",
    "exchanged for another": "another product",
    "kind of product": "another product",
    "available": VERSION,
    "out of stock": VERSION,
    "no cheaper": VERSION,
    "changed only once": VERSION,
    "the difference is": VERSION,
    "as a whole": "cancelling single items",
    "own account": "something of another customer's",
    "brought back": "a cancelled order back",
    "cannot be restored": "a cancelled order back",
    "prices or give discounts": "a lower price",
    "date of delivery": "a date of delivery",
    "added to an order": "another item in the order",
    "cancelled": "cancelling",
    "returned": "returning",
    "refund can only go": "returning",
    "lost or stolen": "returning",
    "paid with one": "changing the payment",
    "gift card holds": "changing the payment",
    "can be changed": "changing the order's address",
}
"""How what is refused is called, by words of the rule against it, the first that fit; else it is something else.

It is called as it is where it is granted: whether it is possible nobody knows when this is written down.
"""
HANDED_OVER: Mapping[str, str] = {
    "payment method to the account": "a new payment method",
    "new order": "a new order",
    "account to be closed": "closing the account",
    "email address": "another email address",
    "courier": "a complaint",
    "insists": "a human agent",
    "refund to another": "a human agent",
}
"""How what a human agent is called for is called, by words of the summary, else it is something else."""
ONE_OF_BOTH = "either returned or exchanged"
"""In the rule against a return and an exchange of the same order, at once or one after the other."""
SWAP = re.compile(r"exchang|swap|version", re.IGNORECASE)
FIRST_KINDS: Mapping[str, str] = {"return": "returning", "exchange": VERSION, "modify_items": VERSION}
"""How what a story's part asks for first is called, by the name that the part has for it."""
SOMETHING = "something else"
TAKEN_BACK: Mapping[str, str] = {"ancel": "cancelling", "eturn": "returning"}
"""How what is proposed and then not wanted at all is called, by words of the proposal."""
ANSWERED: Mapping[str, str] = {"so nothing is returned": "returning", "let us leave that aside": SOMETHING}
"""How what is asked for is called, by words of the answer; all else is a question, and called by its facts."""

NAMED = re.compile(r";\s+(?=[^;:]+:\s)")
"""Between what is wanted for one item and for the next, each after the item's name."""
TWIN = re.compile(r";\s+(?:and|&)\s+(?=the one\b)", re.IGNORECASE)
"""The same of two of a kind, which are told apart by what they are."""
KEPT = re.compile(
    r"^(?:everything|all|any(?:thing)?|whatever|the (?:whole )?lot|the (?:things|items)|what|every|each)\b.*"
    r"\b(?:but|except|with the exception|apart from|other than|just not|so not|not meant|only|besides|isn't|aren't"
    r"|is not|don't|wouldn't|no|nothing to do|save|unrelated|keeping what|sparing|leaving out"
    r"|without(?! exc)|minus|bar)\b",
    re.IGNORECASE,
)
"""How a customer tells the items of a return by those that it keeps."""
KEPT_AFTER_ALL = re.compile(r"\b(?:everything|all|whole order)\b.*\b(?:but|except|without|apart from)\b", re.IGNORECASE)
"""How it does so in a second thought, where "without the lamp" alone means the last proposal."""


def kind(agent: OracleAgent, write: Action | None, summary: str = "") -> str:
    """How what the customer wants is called; empty where nothing is left to do.

    Args:
        agent: who serves the customer.
        write: what it is going to propose; None where that is nothing, or not known.
        summary: what a human agent is going to be told; empty where none is called.
    """
    if summary:
        return next((kind for words, kind in HANDED_OVER.items() if words in summary), SOMETHING)
    if write is not None:
        return VERSION if is_second_best(agent, write) else WANTED[write.name]
    beat = agent.attends or agent.step.beat
    if beat is None:
        return ""
    if beat.ask:
        told = (kind for words, kind in ANSWERED.items() if words in beat.answer)
        return next(told, "") or asked_for(beat, [row["name"] for order in agent.orders() for row in order["items"]])
    if beat.kind in FIRST_KINDS:
        return FIRST_KINDS[beat.kind]
    if not beat.refusal and (write := agent.wanted(beat)):
        return WANTED[write.name]
    if beat.turn:
        return next((kind for words, kind in TAKEN_BACK.items() if words in beat.answer), SOMETHING)
    if ONE_OF_BOTH in beat.refusal:
        return _of_both(agent, beat)
    return next((kind for words, kind in REFUSED.items() if words in beat.refusal), SOMETHING)


def money(agent: OracleAgent, write: Action | None) -> str:
    """The amount that the customer wants to be told with a change, the refund or the difference; empty where none.

    Args:
        agent: who serves the customer.
        write: the change; None where none is going to be proposed, or it is not known.
    """
    plan, wanted = agent.step.plan, agent.step.write
    is_wanted = write is not None and wanted is not None and write.name == wanted.name
    return money_asked_for(plan) if plan is not None and is_wanted else ""


def is_second_best(agent: OracleAgent, write: Action) -> bool:
    """Whether a write is what the customer wants where there is no version as it wishes, or none cheap enough."""
    plan = agent.step.plan
    reads_list = plan is not None and any(call.name == LIST for call in plan.calls)
    return reads_list and write == agent.step.write and write.name not in CHANGING_ITEMS


def products_of(plan: Beat) -> set[str]:
    """The products whose lists a plan reads.

    Args:
        plan: what the oracle does for the customer.
    """
    return {call.arguments["product_id"] for call in plan.calls if call.name == LIST}


def version_rows(agent: OracleAgent, orders: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The items of some orders of which a version is wanted that is not proposed, or not now.

    Args:
        agent: who serves the customer.
        orders: as look-ups have shown them.

    Returns:
        Those whose list is to be read for it; nothing where that is not clear.
    """
    beat = agent.attends or agent.step.beat or agent.step.plan
    lists = [call.arguments["product_id"] for call in beat.calls if call.name == LIST] if beat else []
    rows = [row for order in orders for row in order["items"] if row["product_id"] in lists[-1:]]
    gold = agent.wanted(beat) if beat else None
    meant = [row for row in rows if gold and row["item_id"] in gold.arguments.get("item_ids", ())]
    return meant or (rows if len(rows) == 1 else [])


def first_version(agent: OracleAgent) -> Action | None:
    """The change of an item that a story's part asks for before it wants another thing; None where it is not in stock.

    Args:
        agent: with what its look-ups have shown.
    """
    beat = agent.step.beat
    gold = agent.wanted(beat) if beat and beat.first is not None else None
    if beat is None or gold is None or gold.name not in CHANGING_ITEMS:
        return None
    rows = version_rows(agent, [agent.order(gold)] if agent.order(gold) else [])
    variants = [one for product in agent.lists() for one in product["variants"].values() if one["available"]]
    new = [one["item_id"] for one in variants if one["options"] in [dict(wanted) for wanted in beat.options]]
    if len(rows) != 1 or len(new) != 1:
        return None
    given = {**gold.arguments, "item_ids": [rows[0]["item_id"]], "new_item_ids": new}
    return dataclasses.replace(gold, arguments=given)


def own_words(agent: OracleAgent, write: Action) -> dict[str, str]:
    """What the customer wants for each item that is to be changed, by the item's id.

    That is without what else its message names: the order, perhaps as its cheapest one, the item and its own options.

    Args:
        agent: who serves the customer.
        write: the change.

    Returns:
        The words for each; nothing where its words cannot be told apart.
    """
    plan, ids = agent.step.plan, write.arguments.get("item_ids", ())
    for words in (plan.words or {}).get(Fact.OPTIONS, ()) if plan else ():
        if len(ids) == 1:
            return {ids[0]: words}
        for between, name_end in ((NAMED, ": "), (TWIN, " for ")):
            parts = [part.partition(name_end)[2] for part in between.split(words)]
            if len(parts) == len(ids) and all(parts):
                return dict(zip(ids, parts, strict=True))
    return {}


def kept(agent: OracleAgent, write: Action | None, second_thought: str = "") -> list[str]:
    """The names of the items that stay, where the customer tells by them what is to go back.

    Args:
        agent: with what its look-ups have shown.
        write: what is going to be proposed.
        second_thought: the customer's words about the last proposal; empty for its first wish.
    """
    plan = agent.step.plan
    first = (plan.words or {}).get(Fact.ITEMS, ()) if plan else ()
    tells = KEPT_AFTER_ALL.search(second_thought) if second_thought else any(map(KEPT.search, first))
    if write is None or write.name != RETURN or not tells:
        return []
    stays = [item_id for item_id in agent.order_items(write) if item_id not in write.arguments["item_ids"]]
    return agent.item_names(dataclasses.replace(write, arguments={**write.arguments, "item_ids": stays}))


def _of_both(agent: OracleAgent, beat: Beat) -> str:
    """A return and an exchange at once, or one of them after the other was done."""
    looked_up = [call.arguments["order_id"] for call in beat.calls if call.name == "get_order_details"]
    status = {order["order_id"]: order["status"] for order in agent.orders()}
    if not any(status.get(order_id, "").endswith(" requested") for order_id in looked_up[-1:]):
        return f"{KINDS[RETURN]} and {VERSION}"
    return VERSION if SWAP.search(beat.vain) else KINDS[RETURN]
