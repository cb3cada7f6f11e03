"""Which facts a customer asks for, as an agent that writes its reasons down calls them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from tau_retail_env.users.scripted.story import Beat

KNOWLEDGE = "to know"
"""What is wanted with a question whose answer tells no fact that has a name."""
BUT_FOR = "a sum but for"
FACTS: Mapping[str, str] = {
    r"Order \S+ cost \$\S+ in total": "the total",
    r".* is \w[^,]*, (?:so that is possible|and only .* orders can be .*)": "whether it is possible",
    r"Order \S+ is [^,]*": "the status",
    r"Order \S+ goes to [^,]*, zip code .*": "a zip code",
    r"Order \S+ goes to [^,]*": "a city",
    r"Order \S+ goes to .*": "an address",
    r"The tracking number of .*": "a tracking number",
    r"Order \S+ was paid with .*": "how it was paid",
    r"Order \S+ holds \d+ items?": "the number of things",
    r"Order \S+ holds the .* twice: .*": "an option of both",
    r"The most expensive item of .*": "the dearest item",
    r"The cheapest item of .*": "the cheapest item",
    r"Without the (?P<item>.+), the items of order .*": BUT_FOR,
    r"The .* of order \S+ come to .*": "a sum",
    r"Together, orders .* come to .*": "a sum of two orders",
    r"Together, all pending orders come to .*": "a sum of all pending orders",
    r"Together, all delivered orders come to .*": "a sum of all delivered orders",
    r"You bought the .* times, for .*": "a sum of one product",
    r"In order \S+, the .* cost \$\S+ more than the .*": "a difference of two items",
    r"The .* of order \S+ cost \$\S+": "a price",
    r"The .* of the .* in order \S+ is .*": "an option",
    r"There is \$\S+ on your gift card": "the balance",
    r"You have \d+ .*": "the number of orders",
    r"The .* comes in \d+ available versions": "the number of versions",
    r"Of the .*, \d+ such versions? .* available": "the number of versions",
    r"Of the .*, these versions are in stock: .*": "versions",
    r"The cheapest .* in stock costs .*": "the cheapest version",
    r"The most expensive .* in stock costs .*": "the dearest version",
    r"The cheapest .* costs \$\S+ less": "the difference to the cheapest version",
    r"The most expensive .* costs \$\S+ more": "the difference to the dearest version",
    r"That .* version \(.*\) costs .* than yours": "what another version would cost",
    r"For all of it together you get .* back": "the refund for all of it",
    r"You get \$\S+ back in all|For order \S+ you get .* back|The refund .*is \$\S+": "the refund",
    r"You (?:pay \$\S+ more|get \$\S+ back)": "the difference",
}
"""How each fact is called, by the sentence that tells it, the first that fits.

A sentence tells what the customer's words ask for and its value; the name is of the former alone.
"""
MONEY: Mapping[str, str] = {
    "The refund is $": "the refund",
    "You pay $": "the difference",
    "You get $": "the difference",
}
"""What a customer wants to be told with a change, by how the answer begins; other answers it has not asked for."""
SENTENCES = re.compile(r"(?<=\.)\s+(?=[A-Z])")


def asked_for(beat: Beat, things: Sequence[str]) -> str:
    """The names of the facts that a question asks for, in the order in which they are answered.

    Args:
        beat: the question.
        things: the names of all items in the orders that were read; what a sum leaves out is called by one of these.

    Returns:
        The names; `KNOWLEDGE` where a sentence of the answer tells none that has a name, or where there is no answer.
    """
    names = [_name(sentence.removesuffix("."), things) for sentence in SENTENCES.split(beat.answer)]
    return "; ".join(names) if all(names) else KNOWLEDGE


def money_asked_for(plan: Beat) -> str:
    """The amount that a customer wants to be told before it agrees to a change; empty where it asks for none.

    Args:
        plan: what it asks for.
    """
    return next((name for begin, name in MONEY.items() if plan.answer.startswith(begin)), "")


def _name(sentence: str, things: Sequence[str]) -> str:
    for pattern, name in FACTS.items():
        if told := re.fullmatch(pattern, sentence):
            left_out = told.groupdict().get("item")
            return f"{name} {_called(left_out, things)}" if left_out else name
    return ""


def _called(item: str, things: Sequence[str]) -> str:
    """An item as the orders have it; nobody knows its name before they are read."""
    return next((thing for thing in things if thing.casefold() == item.casefold()), "one thing")
