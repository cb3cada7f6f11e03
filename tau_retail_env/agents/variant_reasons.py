"""How an agent that writes its reasons down gets from a customer's wish to the variant of a product that is meant."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]
"""An item of an order, or a variant, as the tools show it."""
BY_PRICE = re.compile(
    r"cheap|affordable|dearest|dear as|least dear|next dearer|dearer than mine|costliest|most costly|priciest|pricey"
    r"|(?:most|least|nearest more) e\w+ve|costs? (?:me )?(?:the )?(?:least|most)|pay (?:least|most) for|little money"
    r"|easiest on|on the wallet|top[- ]pric|price (?:list|tag|comes|range|scale)|by price|price-wise"
    r"|(?:lowest|highest)(?! one\b|[^.;,]*\b(?:above|below) mine\b)"
    r"|(?:small|bigg|tini|heft)i?est (?:price|sum|number on the tag)"
    r"|(?:closest|below|above|two|nearest|up|down)\b[^.]{0,20} in price|price (?:up|down)|dearer(?: one|, but)"
    r"|a bit (?:more|less) than mine|(?:below|under|than|reach|reaching|before|closest to) \$",
    re.IGNORECASE,
)
"""Wishes for a variant that is found by its price, and has its options from that."""
BOUND = re.compile(r"\$(\d+(?:\.\d+)?)")
NEXT = re.compile(
    r"\b(?:mine|my own|my price|next|near\w*|clos\w+|step|notch|adds the least|saves me the least)\b"
    r"|of all the (?:dearer|cheaper) ones",
    re.IGNORECASE,
)
"""What a wish for the next cheaper or dearer variant has."""
FURTHER = re.compile(r"with a (?:higher|lower) (.+) that is otherwise the same")
"""How a refusal names the option of which there is no further value."""
ANY_MORE = re.compile(r"the (.+) of order (#W\d+) is not available any more")
"""How a refusal names an item and the order that has the version of it which is wished for."""
SUCH = re.compile(r"The (cheapest|most expensive) such |(\d+) such versions? (?:is|are) |these versions are in stock")
"""How an answer tells the versions that meet a condition: their best, how many they are, or all of them."""
VERY_SAME = "the very same"
"""What is wished for where nothing is to become different, as in an exchange for a whole one."""
NO_OTHER = "No other."
"""What ends a search in which nothing was found; without it nothing says that there is no further version to try."""
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
    return ", ".join(f"{name} {value}" for name, value in _changed(row["options"], wanted).items()) or "none"


def tells(wish: str, row: Row, new: Row) -> bool:
    """Whether a wish has the words that tell a variant: all values that become different, or a price.

    A variant that is otherwise the same may be told without them: "a bigger one".

    Args:
        wish: the customer's words.
        row: the item, as its order has it.
        new: the variant.
    """
    changes = _changed(row["options"], new["options"])
    return _said(changes, wish) or (len(changes) > 1 and BY_PRICE.search(wish) is not None)


def steps(
    row: Row,
    new: Row,
    wish: str,
    product: Row,
    orders: Iterable[Row],
    *,
    alone: bool,
    before: Row | None = None,
    limit: str = "",
    found: str = "",
    heard: str = "",
) -> str:
    """An item as it is, and step by step the variant that a wish for it means.

    Args:
        row: the item, as its order has it.
        new: the variant.
        wish: the customer's words.
        product: the list of its variants, as the tool shows it.
        orders: other orders that were read.
        alone: whether the wish is about this item only; another one's options say nothing of this one.
        before: the variant that was proposed last, where the wish says only what is to be unlike that one.
        limit: whether it is cheap enough for the wish, which comes before the variant.
        found: how the wish tells the variant, where that is known already; it stands in place of the search.
        heard: the question about versions that was answered last: "the cheapest of these" is one of them.

    Returns:
        Where the wish is about the price: those among which it is the cheapest or the dearest, each with a verdict,
        then the variant, then what becomes different. Else the variant that was proposed last, and how this one is to
        be unlike it; or where the same thing stands in another order, or those that
        are otherwise the same where the wish does not name the value, or else all versions that are wished for, in the
        order in which they are looked for. Then those of them that are not in stock, what becomes different, and the
        variant.
    """
    if found:
        return f"{item(row)}. {found} New: {priced(new)}. Change: {unlike(row, new['options'])}."
    stock = sorted((one for one in product["variants"].values() if one["available"]), key=lambda one: one["price"])
    base = before or row
    changes = _changed(base["options"], new["options"])
    said = _said(changes, wish)
    if BY_PRICE.search(wish) and (alone or not said):
        among = _among(row, new, wish, product, stock) if alone else ""
        if alone and not among and heard and not _is_end(row, new, stock):
            among = _among(row, new, heard, product, stock)
        change = f"Change: {unlike(row, new['options'])}."
        return " ".join(filter(None, [f"{item(row)}.", among, limit, f"New: {priced(new)}.", change]))
    if before:
        search = [f"Last: {options(before)}.", _wished(before, new["options"])]
    elif said:
        name, ranked = _ranked(new, row, wish, product) if alone and new in stock else ("", [])
        missed = itertools.takewhile(lambda value: value != new["options"][name], ranked)
        versions = ({**new["options"], name: value} for value in missed)
        tried = [_none(row, version, place, len(ranked)) for place, version in enumerate(versions, start=1)]
        search = [_wished(row, new["options"], name, ranked), *tried]
    else:
        alike = next(_elsewhere(new, row, orders), "") or _alike(row, [*changes], stock)
        search = [alike or _wished(row, new["options"])]
    change = f"Change: {unlike(base, new['options'])}."
    found = f"New: {options(new)}: {new['item_id']} at ${json.dumps(new['price'])}."
    return " ".join(filter(None, [f"{item(row)}.", *search, change, found]))


def none_such(row: Row, wanted: Mapping[str, str], words: str, product: Row, orders: Iterable[Row] = ()) -> str:
    """An item as it is, and what the list shows of a version of it that is refused.

    Args:
        row: the item.
        wanted: the options that are to become different; none where the words alone tell them.
        words: in which the version is said not to be there.
        product: the list of its variants, as the tool shows it.
        orders: those that were read, of which the words may name one that has the version.

    Returns:
        The version that is wished for, and that it is not in stock; or, where there is none with a higher or lower
        value, those that are otherwise the same. Then that there is no other. Nothing where neither can be told.
    """
    every = list(product["variants"].values())
    held = sorted((one for one in every if one["available"]), key=lambda one: one["price"])
    if further := FURTHER.search(words):
        return f"{item(row)}. {_alike(row, [further[1]], held)} {NO_OTHER}"
    before = ""
    if other := ANY_MORE.search(words):
        items = [each for order in orders if order["order_id"] == other[2] for each in order["items"]]
        alike = [each for each in items if each["product_id"] == row["product_id"]]
        wanted = alike[0]["options"] if len(alike) == 1 else {}
        before = f"As in {other[2]}: {item(alike[0])}." if wanted else ""
    if not wanted:
        places = _places(product, words)
        named = [(name, value) for name in places for value in places[name] if row["options"].get(name) != value]
        is_clear = len(named) == len({name for name, _ in named}) == len({value for _, value in named})
        wanted = dict(named) if is_clear else {}
    version = {**row["options"], **wanted}
    if not wanted or any(one["options"] == version for one in held):
        return ""
    return " ".join([f"{item(row)}.", before or _wished(row, version), _none(row, version), NO_OTHER])


def such(answer: str, question: str, product: Row) -> str:
    """Which versions in stock meet the condition of a question, the cheapest first, each with a verdict.

    Args:
        answer: to the question, which tells the cheapest or the dearest of them, how many they are, or all.
        question: the customer's words, which name an option or a price that it is to stay under.
        product: the list of its variants, as the tool shows it.

    Returns:
        The list; nothing for another kind of answer, and where no condition is found that has this answer.
    """
    told = SUCH.search(answer)
    stock = sorted((one for one in product["variants"].values() if one["available"]), key=lambda one: one["price"])
    if not told or len(stock) > LONGEST:
        return ""
    bound = BOUND.search(question)
    below = [one for one in stock if bound and one["price"] < float(bound[1])]
    if bound and below and _is_told(below, answer, told):
        return f"Under {bound[0]}: {_verdicts(stock, below, ends=False)}."
    for name, places in _places(product, question).items():
        for value in places:
            alike = [one for one in stock if one["options"].get(name) == value]
            if alike and _is_told(alike, answer, told):
                best = {"cheapest": ", cheapest", "most expensive": ", dearest"}.get(told[1] or "", "")
                ends = True if told[1] == "cheapest" else None
                return f"With {name} {value}{best}: {_verdicts(stock, alike, ends=ends, option=name)}."
    return ""


def _is_told(fitting: Sequence[Row], answer: str, told: re.Match[str]) -> bool:
    """Whether an answer is that about some variants, which are sorted by their prices."""
    prices = [float(price) for price in BOUND.findall(answer)]
    if told[2]:
        return int(told[2]) == len(fitting)
    if told[1]:
        return prices[:1] == [fitting[0 if told[1] == "cheapest" else -1]["price"]]
    return sorted(prices) == [one["price"] for one in fitting]


def _alike(row: Row, names: Sequence[str], stock: Iterable[Row]) -> str:
    """Those of a stock that have another value of one option alone; empty where it is about several options."""
    if len(names) != 1:
        return ""
    alike = [priced(one) for one in stock if [*_changed(row["options"], one["options"])] == list(names)]
    return f"Else the same: {'; '.join(alike) or 'none'}."


def _none(row: Row, version: Mapping[str, str], place: int = 1, wishes: int = 1) -> str:
    """That a version is not in stock, and how many of those that are wished for were looked for: whether one is left.

    Without the count a small model looks for the same again and again.
    """
    return f"Change: {unlike(row, version)}. New: {', '.join(version.values())}: none, {place} of {wishes}."


def _changed(own: Mapping[str, str], wanted: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in wanted.items() if own.get(name) != value}


def _said(changes: Mapping[str, str], wish: str) -> bool:
    return all(_place(value, wish) >= 0 for value in changes.values())


def _place(value: str, wish: str) -> int:
    """Where a value stands in a wish as a word of its own; -1 where it does not."""
    found = re.search(_words(value), wish, re.IGNORECASE)
    return found.start() if found else -1


def _words(*values: str) -> str:
    longest = "|".join(map(re.escape, sorted(values, key=len, reverse=True)))  # "Wi-Fi + Cellular" names no "Wi-Fi"
    return rf"(?<![\w.'/-])(?:{longest})(?![\w/-])"  # not in "bagged/bagless"


def _places(product: Row, wish: str) -> dict[str, dict[str, int]]:
    """Of each option the values that a wish names, in the order in which it does, and where each stands first."""
    every = [one["options"] for one in product["variants"].values()]
    found: dict[str, dict[str, int]] = {}
    for name in dict.fromkeys(name for one in every for name in one):
        values = {one[name].casefold(): one[name] for one in every if one.get(name, "none") not in NOT_TELLING}
        found[name] = {}
        for match in re.finditer(_words(*values), wish, re.IGNORECASE) if values else ():
            found[name].setdefault(values[match[0].casefold()], match.start())
    return found


def _among(row: Row, new: Row, wish: str, product: Row, stock: Sequence[Row]) -> str:
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
    is_end = _is_end(row, new, stock)
    for name, places in _places(product, wish).items():
        if new["options"].get(name) in places and (alike := _with_option(row, new, wish, name, stock, is_end)):
            return alike
    if is_end or not NEXT.search(wish):
        return ""
    own, mine = row["price"], f"${json.dumps(row['price'])}"
    if below := _below(new, stock, own):
        return f"Mine: {mine}. Under {mine}: {below}."
    above = [one for one in stock if one["price"] > own]
    return f"Mine: {mine}. Above {mine}: {_verdicts(stock, above, ends=True)}." if new in above[:1] else ""


def _is_end(row: Row, new: Row, stock: Iterable[Row]) -> bool:
    """Whether a variant is the cheapest or the dearest of all."""
    prices = [row["price"], *(one["price"] for one in stock)]
    return new["price"] in (min(prices), max(prices))


def _below(new: Row, stock: Sequence[Row], limit: float) -> str:
    """The prices up to the first that is not below a limit; nothing where a variant is not the dearest below it."""
    below = [one for one in stock if one["price"] < limit]
    return _verdicts(stock, below, ends=False) if new in below[-1:] else ""


def _with_option(row: Row, new: Row, wish: str, name: str, stock: Sequence[Row], is_end: bool) -> str:
    """Which have the option that a wish names beside the price; nothing where that is no condition.

    Of the cheapest or the dearest of all (`is_end`) the item's own value counts only where it comes after the price:
    in "my red mug for the cheapest one" it tells the item.
    """
    value, words = new["options"][name], BY_PRICE.search(wish)
    tells_item = row["options"].get(name) == value and words and _place(value, wish) < words.start()
    alike = [one for one in stock if one["options"].get(name) == value]
    if (is_end and tells_item) or new not in (alike[0], alike[-1]):
        return ""
    is_cheap = new == alike[0] if len(alike) > 1 else new["price"] < row["price"]
    listed = _verdicts(stock, alike, ends=True if is_cheap else None, option=name)
    return f"With {name} {value}, {'cheapest' if is_cheap else 'dearest'}: {listed}."


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


def _ranked(new: Row, row: Row, wish: str, product: Row) -> tuple[str, list[str]]:
    """An option and its values that a wish names one after another, such as "black, or else silver", the best first.

    One of them is that of the variant which the customer gets; with those before it the variant is not in stock.
    """
    held = [one["options"] for one in product["variants"].values() if one["available"]]
    count = {name: len({one["options"].get(name) for one in product["variants"].values()}) for name in new["options"]}
    for name, places in _places(product, wish).items():
        value = new["options"].get(name, "")
        told = [other for key, other in new["options"].items() if key != name]  # "black, silver" may be lens and frame
        if len(places) < count.get(name, 0):
            told.append(row["options"].get(name, ""))  # "a blue one for my red one"; a ranking has every value
        ranked = [other for other in places if other == value or other not in told]
        missed = ranked[: ranked.index(value)] if value in ranked else []
        is_choice = value in ranked and len(ranked) > 1
        if is_choice and not any({**new["options"], name: other} in held for other in missed):
            return name, ranked
    return "", []


def _wished(row: Row, wanted: Mapping[str, str], name: str = "", ranked: Sequence[str] = ()) -> str:
    """All that is wished for, and how many versions that are, before any of them is looked for.

    Args:
        row: the item.
        wanted: the options of the version that is found, or of the only one.
        name: the option of which several values would do.
        ranked: these values, the best first.
    """
    fixed = [f"{key} {value}" for key, value in _changed(row["options"], wanted).items() if key != name]
    first = [f"{name} {ranked[0]}"] if ranked else []
    wishes = [", ".join([*fixed, *first]), *ranked[1:]]
    return f"Wished, {len(wishes)}: {'; else '.join(wishes) or VERY_SAME}."
