"""What customers tell an order by, in the words of those of generated tasks: tests of the orders that were read."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.small_talk import ANY, plain
from tau_retail_env.agents.variant_reasons import NOT_TELLING
from tau_retail_env.sources.generated import patrons, series6, wording
from tau_retail_env.sources.generated.callers import NUMBERS
from tau_retail_env.sources.generated.everyday import STATES
from tau_retail_env.sources.generated.visit import SOURCES_IN_WORDS
from tau_retail_env.sources.generated.wording import SLOT, casual, rules

Row = Mapping[str, Any]
"""An order or an item of one, as the tools show it."""
GRAMMARS = (wording.GRAMMAR, patrons.GRAMMAR, series6.GRAMMAR)
"""The grammars in which customers of the generated tasks name orders and things."""
ITEM = "item "
"""What the rule with the everyday nouns of a product begins with."""
STATUS: Mapping[str, re.Pattern[str]] = {
    "pending": re.compile(
        r"pending|\bopen\b|un(?:sent|shipped)|outstanding|waiting for|on order|got coming|to (?:come|ship)\b"
        r"|still (?:sitting|waiting|have here)|(?:not|n't|yet|have) (?:yet |been |to be |to )*"
        r"(?:sen[dt]|ship(?:ped)?|out|dispatched|go(?:ne)? out|packed|left)",
        re.IGNORECASE,
    ),
    "processed": re.compile(r"process(?:ed|ing)|in transit|under way|on its way|has left|working on", re.IGNORECASE),
    "delivered": re.compile(
        r"deliver|arrived|received|\bc[ao]me\b|reached|already (?:here|got|have)|got (?:here|so far)|parcel|courier"
        r"|dropped off|at home|showed up|in the mail|got from you",
        re.IGNORECASE,
    ),
    "cancelled": re.compile(r"cancell?ed|call(?:ed)? off|scrapped|that's off|dead order|fell through", re.IGNORECASE),
}
"""Words for each status, beside the rules that name an order by it."""
ORDER_ID = re.compile(r"#W\d+")
BY_SUM = {"order_dearest": "largest sum", "order_cheapest": "smallest sum"}
"""The rules that tell an order by what it cost among others, and how that is called."""


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


def paid(order: Row) -> str:
    """The ids of the payment methods that an order was paid with."""
    return ", ".join(dict.fromkeys(payment["payment_method_id"] for payment in order.get("payment_history", ())))


def all_tests(agent: OracleAgent, meant: Sequence[Row], said: str) -> Iterator[Test]:
    """What some words may tell an order by, what tells it plainly first.

    Args:
        agent: with what its look-ups have shown.
        meant: the orders that are meant.
        said: the customer's words.
    """
    words, orders = plain(said), agent.orders()
    yield from _by_count(orders, meant, words)
    yield from _by_sum(orders, words)
    yield from _by_position(agent, words)
    yield from _by_place(orders, meant, words)
    yield from _by_payment(agent, meant, words)
    yield from (test for test in by_status(orders, meant, "") if says(f"order_{test.label}", words))
    yield from _by_contents(orders, meant, words)
    yield from _by_number(orders, said)


def by_status(orders: Sequence[Row], meant: Sequence[Row], said: str) -> Iterator[Test]:
    """By what has become of it; where words are given, only by what they say.

    Args:
        orders: those that were read.
        meant: those of them that are meant.
        said: the customer's words.
    """
    statuses = {order["order_id"]: order["status"] for order in orders}
    for status in dict.fromkeys(order["status"] for order in meant):
        words = plain(said)
        is_said = status in STATUS and (STATUS[status].search(said) or holds(words, status))
        if not said or is_said or says(f"order_{status}", words):
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
        is_of_status = says(f"{status}_of_so_many", words, things)
        if is_of_status or says("order_of_so_many", words, things):
            yield Test(label, {order["order_id"]: str(len(order["items"])) for order in orders}, [str(count)])
        if is_of_status:
            both = {order["order_id"]: f"{len(order['items'])}, {order['status']}" for order in orders}
            yield Test(f"{label}, {status}", both, [f"{count}, {status}"])


def _by_sum(orders: Sequence[Row], words: str) -> Iterator[Test]:
    """As the dearest or the cheapest of those that were read."""
    sums = {each["order_id"]: each["payment_history"][0]["amount"] for each in orders if each.get("payment_history")}
    values = {order_id: dollars(amount) for order_id, amount in sums.items()}
    for (rule, label), best in zip(BY_SUM.items(), (max, min), strict=True):
        if sums and says(rule, words):
            found = dollars(best(sums.values()))
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
        if says(rule, words):
            yield Test(label, values, [f"{place} of {len(placed)}"])


def _by_place(orders: Sequence[Row], meant: Sequence[Row], words: str) -> Iterator[Test]:
    """By the state or the city that it goes to."""
    for part in ("state", "city"):
        for value in dict.fromkeys(order["address"][part] for order in meant):
            place = STATES.get(value, value) if part == "state" else value
            slots = (("place", re.escape(plain(place))),)
            if says("order_to_come", words, slots) or says("order_gone", words, slots):
                yield Test(f"to {place}", {order["order_id"]: order["address"][part] for order in orders}, [value])


def _by_payment(agent: OracleAgent, meant: Sequence[Row], words: str) -> Iterator[Test]:
    """By the method that it was paid with."""
    methods = agent.profile().get("payment_methods", {})
    for method_id in dict.fromkeys(map(paid, meant)):
        source = methods.get(method_id, {}).get("source", "")
        named = [re.escape(plain(method_id))]
        if "last_four" in methods.get(method_id, {}):
            named.append(re.escape(plain(f"my {SOURCES_IN_WORDS[source]} ending in {methods[method_id]['last_four']}")))
        if source and sum(method["source"] == source for method in methods.values()) == 1:
            named += [_phrases(f"my_{source}", ()), re.escape(plain(f"my {SOURCES_IN_WORDS[source]}"))]
        if method_id and says("order_paid_with", words, (("method", "|".join(named)),)):
            yield Test(f"paid with {method_id}", {one["order_id"]: paid(one) for one in agent.orders()}, [method_id])


def _by_contents(orders: Sequence[Row], meant: Sequence[Row], words: str) -> Iterator[Test]:
    """By what is in it; of several with the same thing by its price, its options, or the order's status beside it."""
    said = named(tuple(sorted({row["name"] for order in orders for row in order["items"]})), words)
    things = [name for name in said if any(rows_named(order, name) for order in meant)]
    if not things:
        return
    held = {order["order_id"]: ", ".join(name for name in things if rows_named(order, name)) for order in orders}
    enough = [", ".join(things)] if len(meant) == 1 else [*filter(None, held.values())]
    yield Test(", ".join(things), held, enough)
    for name in things:
        if len([order for order in orders if rows_named(order, name)]) > 1:
            yield from _by_price(orders, name, words)
            yield from _by_options(orders, meant, name, words)
    state = {order["order_id"]: order["status"] for order in orders}
    both = {order_id: f"{names}, {state[order_id]}" if names else "" for order_id, names in held.items()}
    for status in dict.fromkeys(order["status"] for order in meant):
        yield Test(f"{', '.join(things)}, {status}", both, [f"{names}, {status}" for names in enough])


def _by_price(orders: Sequence[Row], name: str, words: str) -> Iterator[Test]:
    """As the one with the dearer or the cheaper of two of a kind."""
    prices = [row["price"] for order in orders for row in rows_named(order, name)]
    for rule, best, found in (("dearer_twin", "dearest", max(prices)), ("cheaper_twin", "cheapest", min(prices))):
        if says(rule, words):
            each = {one["order_id"]: [row["price"] for row in rows_named(one, name)] for one in orders}
            values = {key: dollars(found if found in all_ else all_[0]) if all_ else "" for key, all_ in each.items()}
            yield Test(
                f"{best} {name}", values, [dollars(found)], f"{dollars(found)} of {', '.join(map(dollars, prices))}."
            )


def _by_options(orders: Sequence[Row], meant: Sequence[Row], name: str, words: str) -> Iterator[Test]:
    """By options of the thing that the words name."""
    for row in (row for order in meant for row in rows_named(order, name)):
        told = [key for key, value in row["options"].items() if value not in NOT_TELLING and holds(words, value)]
        values = {}
        for order in orders:
            rows = [[name, *(other["options"].get(key, "none") for key in told)] for other in rows_named(order, name)]
            wanted = [name, *(row["options"][key] for key in told)]
            values[order["order_id"]] = ", ".join(wanted if wanted in rows else rows[0] if rows else [])
            label = ", ".join(wanted)
        if told:
            yield Test(label, values, [label])


def rows_named(order: Row, name: str) -> list[Row]:
    """An order's items of a name.

    Args:
        order: as a look-up has shown it.
        name: of a product.
    """
    return [row for row in order["items"] if row["name"] == name]


@functools.lru_cache(maxsize=4096)
def named(names: tuple[str, ...], words: str) -> list[str]:
    """The products of some that words name, by their names or by everyday nouns, in the order in which they do.

    Args:
        names: of products.
        words: as `plain` has them.
    """
    nouns: dict[str, list[str]] = {}
    for name in names:
        for noun in _nouns(name):
            nouns.setdefault(noun, []).append(name)
    longest = "|".join(map(re.escape, sorted(nouns, key=len, reverse=True)))
    found = re.findall(rf"(?<!\S)(?:{longest})(?!\S)", words) if nouns else []
    return list(dict.fromkeys(name for noun in found for name in nouns[noun]))


def noun_at_end(words: str) -> str:
    """What of a text's last words customers call a product, as it stands there; empty where it ends with no such noun.

    Args:
        words: as they were said.
    """
    parts = words.split()
    ends = (" ".join(parts[start:]) for start in range(len(parts)))
    return next((end for end in ends if plain(end) in _all_nouns()), "")


@functools.cache
def _all_nouns() -> frozenset[str]:
    names = (rule.removeprefix(ITEM) for grammar in GRAMMARS for rule in rules(grammar, False) if rule.startswith(ITEM))
    return frozenset(chain.from_iterable(map(_nouns, names)))


@functools.cache
def _nouns(name: str) -> frozenset[str]:
    """How customers call a product, as `plain` has it."""
    lines = [casual(name), *alternatives(f"{ITEM}{name}")]
    return frozenset(plain(line) for line in lines if not SLOT.search(line))


def alternatives(rule: str) -> Iterator[str]:
    """The alternatives of a rule in all grammars.

    Args:
        rule: its name.
    """
    for grammar in GRAMMARS:
        for held_out in (False, True):
            yield from rules(grammar, held_out).get(rule, ())


def holds(words: str, value: str) -> bool:
    """Whether words hold an option's value or another name.

    Args:
        words: as `plain` has them.
        value: as the shop writes it.
    """
    return f" {plain(value)} " in f" {words} "


def says(rule: str, words: str, slots: tuple[tuple[str, str], ...] = ()) -> bool:
    """Whether words hold an alternative of a rule, with patterns for its slots.

    Args:
        rule: its name.
        words: as `plain` has them.
        slots: names of slots, each with a pattern in place of any words.
    """
    return bool(_compiled(rule, slots).search(words))


@functools.cache
def _compiled(rule: str, slots: tuple[tuple[str, str], ...]) -> re.Pattern[str]:
    return re.compile(rf"(?<!\S)(?:{_phrases(rule, slots) or '(?!)'})(?!\S)")


@functools.cache
def _phrases(rule: str, slots: tuple[tuple[str, str], ...]) -> str:
    """A pattern for the alternatives of a rule, as `plain` has them."""
    filled = dict(slots)
    phrases = []
    for line in dict.fromkeys(alternatives(rule)):
        between = [re.escape(plain(part)) for part in SLOT.split(line)[::2]]
        inner = [f"(?:{filled.get(name, ANY)})" for name in SLOT.findall(line)]
        phrases.append(r"\ ".join(filter(None, chain.from_iterable(zip_longest(between, inner)))))
    return "|".join(phrases)


def dollars(amount: float) -> str:
    """An amount as the tools write it."""
    return f"${json.dumps(amount)}"
