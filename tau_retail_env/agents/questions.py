"""What the oracle asks a customer for, and what of it the customer has said already."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from tau_retail_env.tasks.task import Action
from tau_retail_env.users.scripted.agenda import EMAIL
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.story import Beat

QUESTIONS: Mapping[str, str] = {
    "order": "the order id",
    "items": "the items",
    "options": "the new options",
    "payment": "the payment method",
    "reason": "the reason (no longer needed or ordered by mistake)",
    "address": "the full new address",
}
ORDER_OR_CONTENT = "the order id or what is in the order"
VAGUE = re.compile(r"\b(?:something|an order)\b", re.IGNORECASE)
"""What a customer says that names neither an order nor anything in one."""
REASON_WORDS: Mapping[str, str] = {"no longer needed": r"\bneed", "ordered by mistake": r"\bmistake"}
PAYMENT_WORDS = re.compile(r"pa[iy]|card|gift|method|original|charge|came from", re.IGNORECASE)
"""What a customer says that names a payment method, or how an order was paid."""
SAME_METHOD = 3
"""So many words in a row tell that two sentences name the same payment method."""


def question(facts: Sequence[str], *, by_content: bool) -> str:
    """The words in which facts are asked for.

    Args:
        facts: keys of `QUESTIONS`, one at least.
        by_content: whether an order may also be named by what is in it.
    """
    questions = {**QUESTIONS, "order": ORDER_OR_CONTENT} if by_content else QUESTIONS
    wanted = [questions[fact] for fact in facts]
    listed = " and ".join(part for part in (", ".join(wanted[:-1]), wanted[-1]) if part)
    return f"Please give me {listed}."


def identities(said: str, customer_id: str) -> Iterator[tuple[str, dict[str, str]]]:
    """The look-ups of a customer that its words make possible, each a tool's name and its arguments.

    Args:
        said: all that the customer has said so far.
        customer_id: whose name is looked for; empty looks for anyone's.
    """
    for email in EMAIL.findall(said):
        yield "find_user_id_by_email", {"email": email}
    first, last = customer_id.split("_")[:2] if customer_id else (r"[A-Z]\w+", r"[A-Z]\w+")
    named = re.search(rf"\b({first}) ({last})\b[^\d#]*(\d{{5}}\b)?", said, re.IGNORECASE if customer_id else 0)
    if named is None:
        return
    zips = re.findall(r"(?<![\w#])\d{5}\b", said)
    for zip_code in dict.fromkeys([*([named[3]] if named[3] else []), *zips]):
        yield "find_user_id_by_name_zip", {"first_name": named[1], "last_name": named[2], "zip": zip_code}


def unsaid(write: Action | None, plan: Beat, said: str, lately: str) -> list[str]:
    """The reason and the payment method of a write where the customer has words for them and has not said them.

    Several wishes that are told in one breath leave them out, though nothing in the plan says so.

    Args:
        write: what is going to be proposed.
        plan: whose words the customer answers with.
        said: all that the customer has said so far.
        lately: what of it came after the last thing was done.

    Returns:
        Keys of `QUESTIONS`.
    """
    given = write.arguments if write else {}
    why, paid = ((plan.words or {}).get(fact, ()) for fact in (Fact.REASON, Fact.PAYMENT))
    facts = []
    if "reason" in given and why and not any(_shares(each, said) for each in why):
        facts.append("reason")
    if method := given.get("payment_method_id"):
        source = "paypal" if method.startswith("paypal") else method
        is_named = source in said.casefold() or PAYMENT_WORDS.search(lately)
        if paid and not is_named and not any(_shares(each, said, SAME_METHOD) for each in paid):
            facts.append("payment")
    return facts


def told_calls(plan: Beat, write: Action | None, missing: Collection[str], said: str, *, read: str) -> list[Action]:
    """The look-ups of a plan for which the customer has said enough.

    Args:
        plan: whose words the customer answers with.
        write: what is going to be proposed.
        missing: keys of `QUESTIONS` that it is going to be asked for.
        said: all that the customer has said so far.
        read: the ids of all orders that were read.

    Returns:
        All but those of what it names only when it is asked, and those on the way to an order that it has named then.
    """
    calls = [call for call in plan.calls if not _is_told_later(call, plan, write, missing, said + read)]
    order_id = write.arguments.get("order_id") if write else None
    if "order" not in plan.asks or order_id is None or order_id not in said:
        return calls
    search = ("get_user_details", "get_order_details")
    return [call for call in calls if call.name not in search or call.arguments.get("order_id") == order_id]


def _is_told_later(action: Action, plan: Beat, write: Action | None, missing: Collection[str], known: str) -> bool:
    """Whether a look-up is of what may have the address which is missing, any order but that of the write; or of the
    profile that has the payment method which is missing, where no order is looked for in it.
    """
    own = write.arguments.get("order_id") if write else None
    if action.name == "get_order_details":
        return "address" in missing and action.arguments["order_id"] != own
    if action.name != "get_user_details":
        return False
    orders = [one.arguments["order_id"] for one in plan.calls if one.name == "get_order_details"]
    is_found = all(order_id in known for order_id in orders)
    return ("address" in missing and own is None) or ("payment" in missing and is_found)


def _shares(words: str, said: str, enough: int | None = None) -> bool:
    """Whether a sentence stands in a text, or so many words of it in a row; letters that have changed places, as those
    of mistyped words, count as the same.
    """
    wanted, heard = _letters(words), f" {' '.join(_letters(said))} "
    width = min(enough or len(wanted), len(wanted))
    rows = (wanted[start : start + width] for start in range(len(wanted) - width + 1))
    return any(f" {' '.join(row)} " in heard for row in rows)


def _letters(text: str) -> list[str]:
    """The words of a text, the letters of each in alphabetical order."""
    return ["".join(sorted(word)) for word in re.findall(r"\w+", text.casefold())]
