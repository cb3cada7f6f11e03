"""How an agent that writes its reasons down finds the order that is meant where none is named: a verdict for each."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.order_words import (
    BY_SUM,
    Row,
    Test,
    all_tests,
    alternatives,
    by_status,
    dollars,
    named,
    paid,
    rows_named,
    says,
)
from tau_retail_env.agents.small_talk import plain
from tau_retail_env.agents.variant_reasons import item
from tau_retail_env.sources.generated.wording import casual
from tau_retail_env.tasks.task import Action

SAME = re.compile(r"\b(?:same|very) (?:order|purchase)\b", re.IGNORECASE)
"""How a customer names the order that the last matter was about, beside what is in it."""
OTHER = re.compile(
    r"\b(?:the|my|that) (?:other|next|second|following|left)\b|\b(?:twin|one more|keep going|carry on|one to go)\b"
    r"|\bnext\b[^\w]*(?:$|please|in line)|there's another|one (?:that's left|after that|we haven't)|different order"
    r"|haven't talked about|another order|remaining one",
    re.IGNORECASE,
)
"""How a customer goes on to an order that it has not been about."""
EXTREMES: Mapping[str, tuple[str, ...]] = {
    "dearest": ("dearest_thing", "dearer_twin", "ask_dearest_item", "two_dearest"),
    "cheapest": ("cheapest_thing", "cheaper_twin", "ask_cheapest_item", "two_cheapest"),
}
"""The rules that tell an item by its price among others."""
OF_TWO = ("dearer_twin", "cheaper_twin")
"""Those of them that tell one of two."""


def which(agent: OracleAgent, meant: Sequence[Row], last: Sequence[str], before: Sequence[str]) -> str:
    """Which order a customer means that does not name it by its number.

    Args:
        agent: with what its look-ups have shown, and what the customer has said in this matter.
        meant: the orders that are meant.
        last: the ids of those that the last matter was about; none in the first.
        before: what the customer has said in each matter before this one.

    Returns:
        What it tells the order by, and each order that was read with its value and a verdict; or the order of the last
        matter; or of several that are all meant the next one; then the one that is meant. Only the latter where the
        customer's words do not tell it, or not from all others.
    """
    ids = [order["order_id"] for order in meant]
    names, said = f"Meant: {', '.join(ids)}.", agent.matter
    told = "" if list(last) == ids and SAME.search(said) else _told(ids, all_tests(agent, meant, said))
    if told:
        return f"{told} {names}"
    if list(last) == ids:
        return f"Last: {', '.join(last)}. {names}"
    goes_on = OTHER.search(said) or says("and_the_next", plain(said))
    said_before = "\n".join(before)
    if len(last) == len(ids) == 1 and goes_on:
        read = [order["order_id"] for order in agent.orders()]
        others = [one for one in read if one in said_before] if ids[0] in said_before else read
        if [one for one in others if one not in last] == ids:
            return f"Last: {last[0]}, other: {ids[0]}. {names}"
        before_too = chain(all_tests(agent, meant, said_before), by_status(agent.orders(), meant, said_before))
        if told := _told(ids, before_too):
            return f"Last: {last[0]}. {told} {names}"
    told = _told(ids, by_status(agent.orders(), meant, said))
    if not told and len(meant) > 1:
        told = _each(agent, meant)
    if not told and len(meant) == 1:
        earlier = (words for words in reversed(before) if goes_on)
        told = next(filter(None, (_next_of(agent, meant[0], last, words) for words in (said, *earlier))), "")
    return f"{told} {names}".strip()


def _each(agent: OracleAgent, meant: Sequence[Row]) -> str:
    """Several orders that are told by something else each, or named; nothing where one of them is not told."""
    own = {one["order_id"]: one["order_id"] in agent.matter or _test_of(agent, one) for one in meant}
    found = [test for test in own.values() if isinstance(test, Test)]
    if not found or not all(own.values()):
        return ""
    values = dict(found[0].values)
    for order_id, test in own.items():
        values[order_id] = test.values[order_id] if isinstance(test, Test) else order_id
    labels = (test.label if isinstance(test, Test) else order_id for order_id, test in own.items())
    rows = (f"[{one}] {', '.join(filter(None, [value, verdict(one in own)]))}" for one, value in values.items())
    return f"Which: {'; '.join(labels)}. {'; '.join(rows)}."


def told_alone(agent: OracleAgent, order: Row) -> str:
    """What of the customer's words tells an order, though they may tell others as well, with a verdict for each.

    Args:
        agent: with what its look-ups have shown, and what the customer has said in this matter.
        order: the one that is meant.
    """
    test = _test_of(agent, order)
    return _rows_of(test) if test else ""


def _test_of(agent: OracleAgent, order: Row) -> Test | None:
    said = agent.matter
    by_all = chain(all_tests(agent, [order], said), by_status(agent.orders(), [order], said))
    return next((test for test in by_all if _is_told(test, [order["order_id"]])), None)


def _next_of(agent: OracleAgent, order: Row, last: Sequence[str], said: str) -> str:
    """Of several orders that are told by what has become of them, such as all that are pending, the one that is next.

    They come as they stand in the account, after the one of the last matter if that is one of them, and without those
    that are told beside, which are to stay.
    """
    orders = sorted(agent.orders(), key=lambda one: _place(agent, one["order_id"]))
    for test in by_status(orders, [order], said):
        fitting = [one for one in orders if test.values[one["order_id"]] in test.fitting]
        others = [one for one in fitting if one["order_id"] != order["order_id"]]
        stay = [one["order_id"] for one in others if _stays(agent, one, said)]
        come = [one["order_id"] for one in fitting if one["order_id"] not in stay]
        start = come.index(last[0]) + 1 if len(last) == 1 and last[0] in come else 0
        start = 0 if come[:1] == [order["order_id"]] else start
        if come[start : start + 1] == [order["order_id"]]:
            when = dict.fromkeys(come[:start], "done, no") | dict.fromkeys(come[start + 1 :], "later, no")
            when |= dict.fromkeys(stay, "stays, no") | {order["order_id"]: "yes"}
            rows = (f"[{one}] {value}, {when.get(one, 'no')}" for one, value in test.values.items())
            return f"Which: next {test.label}. {'; '.join(rows)}."
    return ""


def _stays(agent: OracleAgent, order: Row, said: str) -> bool:
    """Whether words that tell orders by what has become of them tell this one beside."""
    return order["order_id"] in said or bool(_told([order["order_id"]], all_tests(agent, [order], said)))


def _place(agent: OracleAgent, order_id: str) -> int:
    """Where an order stands in the account."""
    placed = list(agent.profile().get("orders", ()))
    return placed.index(order_id) if order_id in placed else len(placed)


def verdict(is_so: bool) -> str:
    """Yes or no."""
    return "yes" if is_so else "no"


def dearest(agent: OracleAgent, write: Action | None, orders: Iterable[Row], answer: str) -> str:
    """Which price of some an item has that the customer tells as the dearest or the cheapest; empty where it does not.

    Args:
        agent: who has heard the customer's words.
        write: what is going to be proposed for the item; None for a question about it.
        orders: those that are meant.
        answer: to the question.
    """
    rows = [row for order in orders for row in order["items"]]
    goes = set(write.arguments.get("item_ids", ())) if write else set()
    gone = [row for row in rows if (row["item_id"] in goes if write else f"is the {casual(row['name'])} at " in answer)]
    words = plain(agent.matter)
    for best, names in EXTREMES.items():
        if not gone or not any(says(name, words) for name in names):
            continue
        for among in (
            (_of_two(agent.orders(), rows, gone[0]["name"], words), rows)
            if any(says(name, words) for name in OF_TWO)
            else (rows,)
        ):
            prices = sorted((row["price"] for row in among), reverse=best == "dearest")
            if len(prices) > len(gone) <= 2 and sorted(row["price"] for row in gone) == sorted(prices[: len(gone)]):
                found = ", ".join(map(dollars, prices[: len(gone)]))
                return f"{best.capitalize()}: {found} of {', '.join(dollars(row['price']) for row in among)}."
    return ""


def without_order(words: str) -> str:
    """A customer's words without those that tell an order by its sum: in these no price is that of a thing.

    Args:
        words: as they were said.
    """
    return _of_orders().sub("", words)


@functools.cache
def _of_orders() -> re.Pattern[str]:
    phrases = (re.escape(line) for rule in BY_SUM for line in alternatives(rule))
    shortened = (re.sub(r"\bwith\b", "w(?:ith|/)", phrase) for phrase in phrases)
    return re.compile("|".join(sorted(shortened, key=len, reverse=True)), re.IGNORECASE)


def contents(order: Row, names: set[str]) -> str:
    """An order in a line; items of some names with their options, since there are others of that name.

    It begins as no customer writes: in a model that copies "#W1 (that one)" a line that begins with "#W1 (" runs on.

    Args:
        order: as a look-up has shown it.
        names: of which there are several items.
    """
    things = [at_price(row) if row["name"] in names else row["name"] for row in order["items"]]
    money = f"{dollars(order['payment_history'][0]['amount'])} with {paid(order)}, " if paid(order) else ""
    count = f"{len(things)} thing{'s' if len(things) != 1 else ''}"
    city, state = order["address"]["city"], order["address"]["state"]
    return f"[{order['order_id']}] {order['status']}, {count}, {money}to {city}, {state}: {', '.join(things)}"


def at_price(row: Row) -> str:
    """An item with its options, its id and its price."""
    return f"{item(row)} at {dollars(row['price'])}"


def _told(ids: Sequence[str], tests: Iterable[Test]) -> str:
    """The first of some tests that tells just the orders that are meant, with a verdict for each that was read."""
    return next((_rows_of(test) for test in tests if _is_told(test, ids)), "")


def _is_told(test: Test, ids: Sequence[str]) -> bool:
    return {one for one, value in test.values.items() if value in test.fitting} == set(ids)


def _rows_of(test: Test) -> str:
    """What a test tells orders by, and each order that was read with its value and a verdict."""
    rows = (
        f"[{one}] {', '.join(filter(None, [value, verdict(value in test.fitting)]))}"
        for one, value in test.values.items()
    )
    return " ".join(filter(None, [f"Which: {test.label}.", test.among, f"{'; '.join(rows)}."]))


def _of_two(orders: Iterable[Row], rows: Sequence[Row], name: str, words: str) -> list[Row]:
    """The two of which one is told: of a kind in one order or in two, or those of an order's that are named."""
    alike = [row for row in rows if row["name"] == name]
    if len(alike) < 2:
        alike = [row for order in orders for row in rows_named(order, name)]
    told = named(tuple(sorted({row["name"] for row in rows})), words)
    return alike if len(alike) > 1 else [row for row in rows if row["name"] in told]
