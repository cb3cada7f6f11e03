"""How an agent that writes its reasons down finds the order that is meant where none is named: a verdict for each."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.order_words import alternatives as _lines
from tau_retail_env.agents.order_words import phrases as _phrases
from tau_retail_env.agents.order_words import says as _says
from tau_retail_env.agents.small_talk import plain
from tau_retail_env.agents.variant_reasons import NOT_TELLING, item
from tau_retail_env.sources.generated.callers import NUMBERS
from tau_retail_env.sources.generated.everyday import STATES
from tau_retail_env.sources.generated.visit import SOURCES_IN_WORDS
from tau_retail_env.sources.generated.wording import SLOT, casual
from tau_retail_env.tasks.task import Action

Row = Mapping[str, Any]
"""An order or an item of one, as the tools show it."""
STATUS: Mapping[str, re.Pattern[str]] = {
    "pending": re.compile(
        r"pending|\bopen\b|un(?:sent|shipped)|outstanding|waiting for|on order|to (?:come|ship)\b"
        r"|still (?:sitting|waiting)"
        r"|(?:not|n't|yet|have) (?:yet |been |to be |to )*(?:sen[dt]|ship(?:ped)?|out|dispatched|gone out|packed|left)",
        re.IGNORECASE,
    ),
    "processed": re.compile(r"process(?:ed|ing)|in transit|under way|on its way|has left|working on", re.IGNORECASE),
    "delivered": re.compile(
        r"deliver|arrived|received|\bc[ao]me\b|reached|already (?:here|got|have)|got (?:here|so far)|parcel|courier"
        r"|dropped off|at home|showed up|in the mail",
        re.IGNORECASE,
    ),
    "cancelled": re.compile(r"cancell?ed|call(?:ed)? off|scrapped|that's off|dead order|fell through", re.IGNORECASE),
}
"""Words for each status, beside the rules that name an order by it."""
ORDER_ID = re.compile(r"#W\d+")
SAME = re.compile(r"\b(?:same|very) (?:order|purchase)\b", re.IGNORECASE)
"""How a customer names the order that the last matter was about, beside what is in it."""
OTHER = re.compile(
    r"\b(?:the|my|that) (?:other|next|second|following|left)\b|\b(?:twin|one more|keep going|carry on|one to go)\b"
    r"|\bnext\b[^\w]*$|there's another|one (?:that's left|after that|we haven't)|different order",
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


@dataclass(frozen=True)
class Test:
    """What a customer may tell an order by."""

    label: str
    values: Mapping[str, str]
    """What each order that was read has of it, by the order's id."""
    fitting: Container[str]
    """The values that it tells."""
    among: str = ""
    """Where it is the largest or the smallest of some numbers: which, of all of them."""


def which(agent: OracleAgent, meant: Sequence[Row], last: Sequence[str], before: str) -> str:
    """Which order a customer means that does not name it by its number.

    Args:
        agent: with what its look-ups have shown, and what the customer has said in this matter.
        meant: the orders that are meant.
        last: the ids of those that the last matter was about; none in the first.
        before: what the customer had said before this matter.

    Returns:
        What it tells the order by, and each order that was read with its value and a verdict; or the order of the last
        matter; then the one that is meant. Only the latter where the customer's words do not tell it, or not from
        all others.
    """
    ids = [order["order_id"] for order in meant]
    names, said = f"Meant: {', '.join(ids)}.", agent.matter
    told = "" if list(last) == ids and SAME.search(said) else _told(agent, ids, _tests(agent, meant, said))
    if told:
        return f"{told} {names}"
    if list(last) == ids:
        return f"Last: {', '.join(last)}. {names}"
    if len(last) == len(ids) == 1 and OTHER.search(said):
        read = [order["order_id"] for order in agent.orders()]
        others = [one for one in read if one in before] if ids[0] in before else read
        if [one for one in others if one not in last] == ids:
            return f"Last: {last[0]}, other: {ids[0]}. {names}"
        tests = chain(_tests(agent, meant, before), _by_status(agent.orders(), meant, before))
        if told := _told(agent, ids, tests):
            return f"Last: {last[0]}. {told} {names}"
    told = _told(agent, ids, _by_status(agent.orders(), meant, said))
    return f"{told} {names}".strip()


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
        if not gone or not any(_says(name, words) for name in names):
            continue
        for among in (
            (_of_two(agent.orders(), rows, gone[0]["name"], words), rows)
            if any(_says(name, words) for name in OF_TWO)
            else (rows,)
        ):
            prices = sorted((row["price"] for row in among), reverse=best == "dearest")
            if len(prices) > len(gone) <= 2 and sorted(row["price"] for row in gone) == sorted(prices[: len(gone)]):
                found = ", ".join(map(_dollars, prices[: len(gone)]))
                return f"{best.capitalize()}: {found} of {', '.join(_dollars(row['price']) for row in among)}."
    return ""


def contents(order: Row, names: set[str]) -> str:
    """An order in a line; items of some names with their options, since there are others of that name.

    It begins as no customer writes: in a model that copies "#W1 (that one)" a line that begins with "#W1 (" runs on.

    Args:
        order: as a look-up has shown it.
        names: of which there are several items.
    """
    things = [at_price(row) if row["name"] in names else row["name"] for row in order["items"]]
    money = f"{_dollars(order['payment_history'][0]['amount'])} with {paid(order)}, " if paid(order) else ""
    count = f"{len(things)} thing{'s' if len(things) != 1 else ''}"
    city, state = order["address"]["city"], order["address"]["state"]
    return f"[{order['order_id']}] {order['status']}, {count}, {money}to {city}, {state}: {', '.join(things)}"


def paid(order: Row) -> str:
    """The ids of the payment methods that an order was paid with."""
    return ", ".join(dict.fromkeys(payment["payment_method_id"] for payment in order.get("payment_history", ())))


def at_price(row: Row) -> str:
    """An item with its options, its id and its price."""
    return f"{item(row)} at {_dollars(row['price'])}"


def _told(agent: OracleAgent, ids: Sequence[str], tests: Iterable[Test]) -> str:
    """The first of some tests that tells just the orders that are meant, with a verdict for each that was read."""
    for test in tests:
        verdicts = {order_id: "yes" if value in test.fitting else "no" for order_id, value in test.values.items()}
        if {order_id for order_id, verdict in verdicts.items() if verdict == "yes"} == set(ids):
            rows = [f"[{one}] {', '.join(filter(None, [test.values[one], verdicts[one]]))}" for one in verdicts]
            return " ".join(filter(None, [f"Which: {test.label}.", test.among, f"{'; '.join(rows)}."]))
    return ""


def _tests(agent: OracleAgent, meant: Sequence[Row], said: str) -> Iterator[Test]:
    """What some words may tell an order by, what tells it plainly first."""
    words, orders = plain(said), agent.orders()
    yield from _by_count(orders, meant, words)
    yield from _by_sum(orders, words)
    yield from _by_position(agent, words)
    yield from _by_place(orders, meant, words)
    yield from _by_payment(agent, meant, words)
    yield from (test for test in _by_status(orders, meant, "") if _says(f"order_{test.label}", words))
    yield from _by_contents(orders, meant, words)
    yield from _by_number(orders, said)


def _by_status(orders: Sequence[Row], meant: Sequence[Row], said: str) -> Iterator[Test]:
    """By what has become of it; where words are given, only by what they say."""
    statuses = {order["order_id"]: order["status"] for order in orders}
    for status in dict.fromkeys(order["status"] for order in meant):
        if not said or (status in STATUS and (STATUS[status].search(said) or _holds(plain(said), status))):
            yield Test(status, statuses, [status])


def _by_number(orders: Sequence[Row], said: str) -> Iterator[Test]:
    """By a number that is none of the customer's, but nearly one of them: the same digits, or all but the last."""
    read = [order["order_id"] for order in orders]
    for wrong in dict.fromkeys(ORDER_ID.findall(said)):
        like = [one for one in read if one != wrong and (sorted(one) == sorted(wrong) or one[:-1] == wrong[:-1])]
        if wrong not in read:
            yield Test(f"like {wrong}", {one: "like it" if one in like else "" for one in read}, ["like it"])


def _by_count(orders: Sequence[Row], meant: Sequence[Row], words: str) -> Iterator[Test]:
    """By how many items it holds, with or without its status."""
    for count, status in dict.fromkeys((len(order["items"]), order["status"]) for order in meant):
        number = NUMBERS[count] if count < len(NUMBERS) else str(count)
        things = (
            (
                "things",
                _phrases("one_thing" if count == 1 else "so_many_things", (("count", re.escape(plain(number))),)),
            ),
        )
        label = f"{count} thing{'s' if count != 1 else ''}"
        is_of_status = _says(f"{status}_of_so_many", words, things)
        if is_of_status or _says("order_of_so_many", words, things):
            yield Test(label, {order["order_id"]: str(len(order["items"])) for order in orders}, [str(count)])
        if is_of_status:
            both = {order["order_id"]: f"{len(order['items'])}, {order['status']}" for order in orders}
            yield Test(f"{label}, {status}", both, [f"{count}, {status}"])


def _by_sum(orders: Sequence[Row], words: str) -> Iterator[Test]:
    """As the dearest or the cheapest of those that were read."""
    sums = {each["order_id"]: each["payment_history"][0]["amount"] for each in orders if each.get("payment_history")}
    values = {order_id: _dollars(amount) for order_id, amount in sums.items()}
    for rule, label, best in (("order_dearest", "largest sum", max), ("order_cheapest", "smallest sum", min)):
        if sums and _says(rule, words):
            found = _dollars(best(sums.values()))
            yield Test(label, values, [found], f"{found} of {', '.join(values.values())}.")


def _by_position(agent: OracleAgent, words: str) -> Iterator[Test]:
    """As the first or the last in the account."""
    placed = list(agent.profile().get("orders", ()))
    read = [order["order_id"] for order in agent.orders()]
    values = {one: f"{placed.index(one) + 1} of {len(placed)}" for one in read if one in placed}
    for rule, label, place in (
        ("order_placed_first", "first placed", 1),
        ("order_placed_last", "last placed", len(placed)),
    ):
        if _says(rule, words):
            yield Test(label, values, [f"{place} of {len(placed)}"])


def _by_place(orders: Sequence[Row], meant: Sequence[Row], words: str) -> Iterator[Test]:
    """By the state or the city that it goes to."""
    for part in ("state", "city"):
        for value in dict.fromkeys(order["address"][part] for order in meant):
            place = STATES.get(value, value) if part == "state" else value
            slots = (("place", re.escape(plain(place))),)
            if _says("order_to_come", words, slots) or _says("order_gone", words, slots):
                yield Test(f"to {place}", {order["order_id"]: order["address"][part] for order in orders}, [value])


def _by_payment(agent: OracleAgent, meant: Sequence[Row], words: str) -> Iterator[Test]:
    """By the method that it was paid with."""
    methods = agent.profile().get("payment_methods", {})
    for method_id in dict.fromkeys(map(paid, meant)):
        source = methods.get(method_id, {}).get("source", "")
        named = [re.escape(plain(method_id))]
        if source and sum(method["source"] == source for method in methods.values()) == 1:
            named += [_phrases(f"my_{source}", ()), re.escape(plain(f"my {SOURCES_IN_WORDS[source]}"))]
        if method_id and _says("order_paid_with", words, (("method", "|".join(named)),)):
            yield Test(f"paid with {method_id}", {one["order_id"]: paid(one) for one in agent.orders()}, [method_id])


def _by_contents(orders: Sequence[Row], meant: Sequence[Row], words: str) -> Iterator[Test]:
    """By what is in it; of several with the same thing by its price, its options, or the order's status beside it."""
    said = _named(tuple(sorted({row["name"] for order in orders for row in order["items"]})), words)
    named = [name for name in said if any(_rows(order, name) for order in meant)]
    if not named:
        return
    held = {order["order_id"]: ", ".join(name for name in named if _rows(order, name)) for order in orders}
    enough = [", ".join(named)] if len(meant) == 1 else [*filter(None, held.values())]
    yield Test(", ".join(named), held, enough)
    for name in named:
        if len([order for order in orders if _rows(order, name)]) > 1:
            yield from _by_price(orders, name, words)
            yield from _by_options(orders, meant, name, words)
    state = {order["order_id"]: order["status"] for order in orders}
    both = {order_id: f"{names}, {state[order_id]}" if names else "" for order_id, names in held.items()}
    for status in dict.fromkeys(order["status"] for order in meant):
        yield Test(f"{', '.join(named)}, {status}", both, [f"{names}, {status}" for names in enough])


def _by_price(orders: Sequence[Row], name: str, words: str) -> Iterator[Test]:
    """As the one with the dearer or the cheaper of two of a kind."""
    prices = [row["price"] for order in orders for row in _rows(order, name)]
    for rule, best, found in (("dearer_twin", "dearest", max(prices)), ("cheaper_twin", "cheapest", min(prices))):
        if _says(rule, words):
            each = {one["order_id"]: [row["price"] for row in _rows(one, name)] for one in orders}
            values = {key: _dollars(found if found in all_ else all_[0]) if all_ else "" for key, all_ in each.items()}
            yield Test(
                f"{best} {name}", values, [_dollars(found)], f"{_dollars(found)} of {', '.join(map(_dollars, prices))}."
            )


def _by_options(orders: Sequence[Row], meant: Sequence[Row], name: str, words: str) -> Iterator[Test]:
    """By options of the thing that the words name."""
    for row in (row for order in meant for row in _rows(order, name)):
        told = [key for key, value in row["options"].items() if value not in NOT_TELLING and _holds(words, value)]
        values = {}
        for order in orders:
            rows = [[name, *(other["options"].get(key, "none") for key in told)] for other in _rows(order, name)]
            wanted = [name, *(row["options"][key] for key in told)]
            values[order["order_id"]] = ", ".join(wanted if wanted in rows else rows[0] if rows else [])
            label = ", ".join(wanted)
        if told:
            yield Test(label, values, [label])


def _rows(order: Row, name: str) -> list[Row]:
    """An order's items of a name."""
    return [row for row in order["items"] if row["name"] == name]


def _of_two(orders: Iterable[Row], rows: Sequence[Row], name: str, words: str) -> list[Row]:
    """The two of which one is told: of a kind in one order or in two, or those of an order's that are named."""
    alike = [row for row in rows if row["name"] == name]
    if len(alike) < 2:
        alike = [row for order in orders for row in _rows(order, name)]
    named = _named(tuple(sorted({row["name"] for row in rows})), words)
    return alike if len(alike) > 1 else [row for row in rows if row["name"] in named]


@functools.lru_cache(maxsize=4096)
def _named(names: tuple[str, ...], words: str) -> list[str]:
    """The products of some that words name, by their names or by everyday nouns, in the order in which they do."""
    nouns: dict[str, list[str]] = {}
    for name in names:
        for noun in _nouns(name):
            nouns.setdefault(noun, []).append(name)
    longest = "|".join(map(re.escape, sorted(nouns, key=len, reverse=True)))
    found = re.findall(rf"(?<!\S)(?:{longest})(?!\S)", words) if nouns else []
    return list(dict.fromkeys(name for noun in found for name in nouns[noun]))


@functools.cache
def _nouns(name: str) -> frozenset[str]:
    """How customers call a product, as `plain` has it."""
    lines = [casual(name), *_lines(f"item {name}")]
    return frozenset(plain(line) for line in lines if not SLOT.search(line))


def _holds(words: str, value: str) -> bool:
    """Whether words, as `plain` has them, hold an option's value."""
    return f" {plain(value)} " in f" {words} "


def _dollars(amount: float) -> str:
    return f"${json.dumps(amount)}"
