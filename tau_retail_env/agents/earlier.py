"""Which variant a wish means that goes back to what was said earlier, or leaves an option free: a verdict for each."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.order_words import says
from tau_retail_env.agents.small_talk import plain
from tau_retail_env.agents.variant_reasons import NOT_TELLING
from tau_retail_env.sources.generated.leeway import ORDINALS

Row = Mapping[str, Any]
"""An item of an order, or a variant, as the tools show it."""
LISTED = re.compile(r"^Of the .*, these versions are in stock: (.*)\.$")
"""How an answer lists versions with their prices."""
LONG = r"\S+(?: \S+){0,25}"
"""What stands for an order or for options in words."""
BACK = ("back_to_return", "back_to_swap", "back_to_change", "go_on_return", "go_on_swap", "go_on_change")
"""The rules with which a customer comes back to what was proposed."""
RID = ("rid_of_order", "rid_of_item")
"""The rules that leave open whether something is to be cancelled or returned."""


class Earlier:
    """What the agent has told or proposed in this conversation that a later wish may go back to."""

    def __init__(self) -> None:
        """Begin a conversation."""
        self._told: list[Row] = []
        self._left: dict[str, str] = {}
        self._order = ""
        self.questions: dict[str, str] = {}
        """The question about versions of a product that was answered last, by the product's id."""

    def note(self, agent: OracleAgent) -> None:
        """Remember the versions that an answer lists, and the new variant of a proposal that the customer will leave.

        Args:
            agent: which is about to say its answer or proposal.
        """
        beat = agent.attends
        if beat is None:
            return
        if listed := LISTED.match(beat.answer):
            found = [_variant(agent, words) for words in listed[1].split("; ")]
            self._told = [one for one in found if one is not None]
        gold = agent.wanted(beat) if beat.turn else None
        if gold:
            self._order = gold.arguments["order_id"]
            proposed = [dict(each) for each in beat.options]
            pairs = zip(gold.arguments["item_ids"], agent.chosen(gold), strict=False)
            self._left = {key: new["item_id"] for key, (_, new) in pairs if new["options"] in proposed}

    def order(self, wish: str, meant: Sequence[str]) -> str:
        """That an order is the one of the proposal to which a wish goes back; empty where it is not.

        Args:
            wish: the customer's words.
            meant: the ids of the orders that are meant.
        """
        goes_back = list(meant) == [self._order] and any(says(rule, plain(wish)) for rule in BACK)
        return f"Proposed: {self._order}." if goes_back else ""

    def found(self, row: Row, new: Row, wish: str, product: Row) -> str:
        """How a wish for one item tells the variant, where it is not by the list alone.

        Args:
            row: the item, as its order has it.
            new: the variant.
            wish: the customer's words.
            product: the list of its variants, as the tool shows it.

        Returns:
            That it was proposed before; which of those it is that were told, each with a verdict; which option is
            free, and which versions in stock fit; or which options are named as they stay. Nothing for other wishes.
        """
        words = plain(wish)
        if self._left.get(row["item_id"]) == new["item_id"] and any(says(rule, words) for rule in BACK):
            return "As proposed."
        if new in self._told and (told := _of_told(new, words, self._told)):
            return told
        return _free(row, new, words, product) or _stays(row, new, words)


def to_be_rid_of(agent: OracleAgent, orders: Sequence[Row]) -> str:
    """The status of an order or an item that is to go, in words that do not say how; empty for other words.

    Args:
        agent: who has heard them.
        orders: those that are meant, as look-ups have shown them.
    """
    slots = (("order", LONG), ("item", LONG))
    if not orders or not any(says(rule, plain(agent.matter), slots) for rule in RID):
        return ""
    states = [f"{order['order_id']}, {order['status']}" for order in orders]
    return f"To be rid of: {'; '.join(states)}."


def _variant(agent: OracleAgent, words: str) -> Row | None:
    """The variant that an answer names by its options and its price, of the lists that were read."""
    for product in agent.lists():
        for one in product["variants"].values():
            named = words.endswith(f" at ${one['price']:.2f}")
            if named and one["available"] and all(value in words for value in one["options"].values()):
                return one
    return None


def _of_told(new: Row, words: str, told: Sequence[Row]) -> str:
    """Which of the versions that were told is meant: by its place, by its price, or by an option that it alone has."""
    number, last = told.index(new), len(told) - 1
    prices = [_dollars(one) for one in told]
    for place, ordinal in [*enumerate(ORDINALS[: len(told)]), (last, "last")]:
        if place == number and says("pick_nth", words, (("nth", plain(ordinal)),)):
            names = [*ORDINALS[:last], "last" if ordinal == "last" else ORDINALS[last]]
            return _verdicts([f"{name}, {price}" for name, price in zip(names, prices, strict=True)], number)
    if says("pick_priced", words, (("price", re.escape(plain(f"${new['price']:.2f}"))),)):
        return _verdicts(prices, number)
    for name, value in new["options"].items():
        values = [one["options"].get(name, "none") for one in told]
        if (
            values.count(value) == 1
            and value not in NOT_TELLING
            and says("pick_option", words)
            and _holds(words, value)
        ):
            return _verdicts([f"{each}, {price}" for each, price in zip(values, prices, strict=True)], number)
    return ""


def _verdicts(shown: Sequence[str], number: int) -> str:
    """The versions that were told as they are shown, each with a verdict, of which one is meant."""
    listed = [f"{one}, {'yes' if place == number else 'no'}" for place, one in enumerate(shown)]
    return f"Told: {'; '.join(listed)}."


def _free(row: Row, new: Row, words: str, product: Row) -> str:
    """Which option may be any, and each version in stock with a verdict, the cheapest first: whether the others fit."""
    stock = sorted((one for one in product["variants"].values() if one["available"]), key=lambda one: one["price"])
    for name in row["options"]:
        slots = (("name", re.escape(plain(name))),)
        if not (says("free_option", words, slots) or says("free_feature", words, slots)):
            continue
        fixed = {key: value for key, value in new["options"].items() if key != name}
        fitting = [one for one in stock if {**one["options"], name: ""} == {**fixed, name: ""}]
        ends = {"cheapest": fitting[:1], "dearest": fitting[-1:]}
        best = next((end for end, ones in ends.items() if ones == [new] and says(f"free_{end}", words)), "")
        if new not in fitting or (len(fitting) > 1 and not best):
            continue
        listed = [
            f"{_dollars(one)}, {', '.join(one['options'].get(key, 'none') for key in fixed)}, "
            f"{'yes' if one in fitting else 'no'}"
            for one in stock
        ]
        wanted = ", ".join(filter(None, [*(f"{key} {value}" for key, value in fixed.items()), best]))
        return f"Free: {name}. With {wanted}: {'; '.join(listed)}."
    return ""


def _stays(row: Row, new: Row, words: str) -> str:
    """Which options are named though they stay, and which one becomes different."""
    if not says("target_kept", words, (("kept", LONG), ("wanted", LONG))):
        return ""
    both = [
        ", ".join(
            f"{key} {value}" for key, value in new["options"].items() if (row["options"].get(key) == value) == same
        )
        for same in (True, False)
    ]
    return f"Stays: {both[0]}. Wished, 1: {both[1]}."


def _holds(words: str, value: str) -> bool:
    """Whether words hold an option's value, or the first word of it."""
    return f" {plain(value)} " in f" {words} " or f" {plain(value).split()[0]} " in f" {words} "


def _dollars(one: Row) -> str:
    return f"${json.dumps(one['price'])}"
