"""How an agent that writes its reasons down gets from a customer's wish to the variant of a product that is meant."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
"""An item of an order, or a variant, as the tools show it."""
BY_PRICE = re.compile(
    r"cheap|affordable|dearest|dear as|least dear|next dearer|dearer than mine|costliest|most costly|priciest"
    r"|(?:most|least|nearest more) e\w+ve|costs? (?:the )?(?:least|most)|pay (?:least|most) for|little money|easiest on"
    r"|lowest|highest|top[- ]pric|price (?:list|tag|comes)|by price|(?:closest|below|above|two)\b[^.]{0,20} in price"
    r"|(?:below|under|than|reach|reaching|before) \$",
    re.IGNORECASE,
)
"""Wishes for a variant that is found by its price, and has its options from that."""
BOUND = re.compile(r"\$(\d+(?:\.\d+)?)")
NEXT = re.compile(r"\b(?:mine|my own|next|near\w*|clos\w+|step|notch)\b", re.IGNORECASE)
"""What a wish for the next cheaper or dearer variant has."""
FURTHER = re.compile(r"with a (?:higher|lower) (.+) that is otherwise the same")
"""How a refusal names the option of which there is no further value."""
LONGEST = 20
"""Most variants in stock that are listed with a verdict each; of the shop's products none has more than 18."""
NOT_TELLING = ("yes", "no", "none")
"""Values that a wish may hold without meaning the option."""


def options(thing: Row) -> str:
    """The options' values of an item or a variant."""
    return ", ".join(thing["options"].values())


def item(row: Row) -> str:
    """An item with its options and its id."""
    return f"{row['name']}, {options(row)}: {row['item_id']}"


def priced(variant: Row) -> str:
    """A variant: what is looked for, price or options, comes before what is to be found, the id."""
    return f"${json.dumps(variant['price'])}, {options(variant)}: {variant['item_id']}"


def unlike(row: Row, wanted: Mapping[str, str]) -> str:
    """The options that become different, with their new values."""
    return ", ".join(f"{name} {value}" for name, value in _changed(row, wanted).items()) or "none"


def steps(row: Row, new: Row, wish: str, product: Row, orders: Iterable[Row], *, alone: bool) -> str:
    """An item as it is, and step by step the variant that a wish for it means.

    Args:
        row: the item, as its order has it.
        new: the variant.
        wish: the customer's words.
        product: the list of its variants, as the tool shows it.
        orders: other orders that were read.
        alone: whether the wish is about this item only; another one's options say nothing of this one.

    Returns:
        Where the wish is about the price: those among which it is the cheapest or the dearest, each with a verdict,
        then the variant, then what becomes different. Else where the same thing stands in another order, those that are
        otherwise the same where the wish does not name the value, the versions that the customer would rather have and
        that are not in stock, what becomes different, and the variant.
    """
    stock = sorted((one for one in product["variants"].values() if one["available"]), key=lambda one: one["price"])
    change = f"Change: {unlike(row, new['options'])}."
    said = all(_place(value, wish) >= 0 for value in _changed(row, new["options"]).values())
    if BY_PRICE.search(wish) and (alone or not said):
        among = _among(row, new, wish, stock) if alone else ""
        return " ".join(filter(None, [f"{item(row)}.", among, f"New: {priced(new)}.", change]))
    missed = _missed(new, row, wish, product) if alone and new in stock else ()
    same = (
        "" if said else next(_elsewhere(new, row, orders), "") or _alike(row, [*_changed(row, new["options"])], stock)
    )
    found = f"New: {options(new)}: {new['item_id']} at ${json.dumps(new['price'])}."
    return " ".join(filter(None, [f"{item(row)}.", same, *missed, change, found]))


def none_such(row: Row, wanted: Mapping[str, str], words: str, product: Row) -> str:
    """An item as it is, and what the list shows of a version of it that is refused.

    Args:
        row: the item.
        wanted: the options that are to become different; none where the words alone tell them.
        words: in which the version is said not to be there.
        product: the list of its variants, as the tool shows it.

    Returns:
        The version that is not in stock; or, where there is none with a higher or lower value, those that are otherwise
        the same. Nothing where neither can be told.
    """
    every = list(product["variants"].values())
    held = sorted((one for one in every if one["available"]), key=lambda one: one["price"])
    if further := FURTHER.search(words):
        return f"{item(row)}. {_alike(row, [further[1]], held)}"
    named = {
        (name, value) for one in every for name, value in one["options"].items() if _is_named(row, name, value, words)
    }
    wanted = wanted or (dict(named) if len(named) == 1 else {})
    version = {**row["options"], **wanted}
    if not wanted or any(one["options"] == version for one in held):
        return ""
    return f"{item(row)}. {_none(row, version)}"


def _is_named(row: Row, name: str, value: str, words: str) -> bool:
    return value not in NOT_TELLING and row["options"].get(name) != value and _place(value, words) >= 0


def _alike(row: Row, names: Sequence[str], stock: Iterable[Row]) -> str:
    """Those of a stock that have another value of one option alone; empty where it is about several options."""
    if len(names) != 1:
        return ""
    alike = [priced(one) for one in stock if [*_changed(row, one["options"])] == list(names)]
    return f"Else the same: {'; '.join(alike) or 'none'}."


def _none(row: Row, version: Mapping[str, str]) -> str:
    return f"Change: {unlike(row, version)}. New: {', '.join(version.values())}: none."


def _changed(row: Row, wanted: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if row["options"].get(name) != value}


def _place(value: str, wish: str) -> int:
    """Where a value stands in a wish as a word of its own; -1 where it does not."""
    found = re.search(rf"(?<![\w.'/-]){re.escape(value)}(?![\w/-])", wish, re.IGNORECASE)  # not in "bagged/bagless"
    return found.start() if found else -1


def _among(row: Row, new: Row, wish: str, stock: Sequence[Row]) -> str:
    """Among which a variant has the lowest or the highest price, from the cheapest in stock on, each with a verdict.

    Those below a price end with the first that is not, those above the item's own with the first that is, and those
    with an option with the first that has it where the cheapest is meant: the variant is always the last with a yes.
    Nothing where it is the cheapest or the dearest of all, and where nobody knows why it is meant.
    """
    if new not in stock or len(stock) > LONGEST:
        return ""
    bound = BOUND.search(wish)
    if bound and (below := _below(new, stock, float(bound[1]))):
        return f"Under {bound[0]}: {below}."
    is_end = not min(_prices(row, stock)) < new["price"] < max(_prices(row, stock))
    if alike := _with_option(row, new, wish, stock, is_end):
        return alike
    if is_end or not NEXT.search(wish):
        return ""
    own, mine = row["price"], f"${json.dumps(row['price'])}"
    if below := _below(new, stock, own):
        return f"Mine: {mine}. Under {mine}: {below}."
    above = [one for one in stock if one["price"] > own]
    return f"Mine: {mine}. Above {mine}: {_verdicts(stock, above, ends=True)}." if new is above[0] else ""


def _prices(row: Row, stock: Iterable[Row]) -> list[float]:
    return [row["price"], *(one["price"] for one in stock)]


def _below(new: Row, stock: Sequence[Row], limit: float) -> str:
    """The prices up to the first that is not below a limit; nothing where a variant is not the dearest below it."""
    below = [one for one in stock if one["price"] < limit]
    return _verdicts(stock, below, ends=False) if new in below[-1:] else ""


def _with_option(row: Row, new: Row, wish: str, stock: Sequence[Row], is_end: bool) -> str:
    """Which have the option that a wish names beside the price; nothing where it names none.

    Of the cheapest or the dearest of all (`is_end`) the item's own value counts only where it comes after the price:
    in "my red mug for the cheapest one" it tells the item.
    """
    words = BY_PRICE.search(wish)
    for name, value in new["options"].items():
        alike = [one for one in stock if one["options"].get(name) == value]
        place = _place(value, wish)
        tells_item = is_end and words and row["options"].get(name) == value and place < words.start()
        if value in NOT_TELLING or place < 0 or tells_item or new not in (alike[0], alike[-1]):
            continue
        is_cheap = new == alike[0] if len(alike) > 1 else new["price"] < row["price"]
        listed = _verdicts(stock, alike, ends=True if is_cheap else None, option=name)
        return f"With {name} {value}, {'cheapest' if is_cheap else 'dearest'}: {listed}."
    return ""


def _verdicts(stock: Iterable[Row], fitting: Sequence[Row], *, ends: bool | None, option: str = "") -> str:
    """The prices of a stock with a yes or a no.

    Args:
        stock: the variants, the cheapest first.
        fitting: those that get a yes.
        ends: the verdict with which the list ends; None for the whole stock.
        option: whose value stands beside each price.
    """
    listed = []
    for one in stock:
        value = f"{one['options'].get(option, 'none')}, " if option else ""
        listed.append(f"${json.dumps(one['price'])}, {value}{'yes' if one in fitting else 'no'}")
        if (one in fitting) == ends:
            break
    return "; ".join(listed)


def _elsewhere(new: Row, row: Row, orders: Iterable[Row]) -> Iterator[str]:
    """Where the same thing stands in another order."""
    for order in orders:
        for other in order["items"]:
            if other["item_id"] == new["item_id"] != row["item_id"]:
                yield f"As in {order['order_id']}: {item(other)}."


def _missed(new: Row, row: Row, wish: str, product: Row) -> Iterator[str]:
    """The versions that a wish names before the one that it gets, none of which is in stock."""
    every = product["variants"].values()
    held = [one["options"] for one in every if one["available"]]
    for name, value in new["options"].items():
        named = {other: _place(other, wish) for other in dict.fromkeys(one["options"][name] for one in every)}
        if value in NOT_TELLING or named[value] < 0:
            continue
        rather = sorted((other for other in named if 0 <= named[other] < named[value]), key=named.__getitem__)
        told = [*NOT_TELLING, *new["options"].values()]  # "black, silver" may be lens and frame
        versions = [{**new["options"], name: other} for other in rather if other not in told]
        if versions and not any(version in held for version in versions):
            yield from (_none(row, version) for version in versions)
            return
