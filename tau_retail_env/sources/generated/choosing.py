"""How a customer says which variant of a product it wants, and which variant that is."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

from tau_retail_env.sources.generated.wording import Wording
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks.seeding import Draws

Variant = Mapping[str, Any]

WORDED_LADDERS = (("XS", "S", "M", "L", "XL", "XXL"), ("small", "medium", "large"), ("low", "medium", "high"))
"""Values in words, the smallest first."""
MEASURE = re.compile(r"(\d+(?:\.\d+)?)\s?-?(?:\d+\s)?(TB|GB)?(.*)")
"""A number and its unit: "1.5 liters", "13-inch", "512GB SSD", "5-25 lbs"."""
GIGABYTES_OF_A_TERABYTE = 1024

FILE = "comparatives.toml"


@dataclass(frozen=True, slots=True)
class Choice:
    """The variant that a customer wants instead of an item."""

    variant: Variant
    """What it is, as the shop has it."""
    words: str
    """How the customer says it, to follow "exchange it for"."""
    cost: int
    """How hard it is to find, in points of difficulty."""


@functools.cache
def comparatives() -> Mapping[str, tuple[str, str, str, str]]:
    """For an option in words: the next step up and down its ladder, and the ends of the ladder, up and down."""
    text = resources.files(__package__).joinpath(FILE).read_text(encoding="utf-8")
    return {name: tuple(words) for name, words in tomllib.loads(text).items()}


def variants_of(item: Variant) -> list[Variant]:
    """Available variants of an item's product with other options than its own."""
    return [each for each in sold(item["product_id"]) if each["available"] and each["options"] != item["options"]]


def choose(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """Draw one of the ways to choose; None where the item's product has nothing for it.

    Args:
        draws: decides.
        wording: words it.
        item: the item that is to be replaced, as its order has it.
    """
    way = draws.weighted((_exact, _step, _by_price, _second_best, _ranked), (30, 25, 20, 13, 12))
    return way(draws, wording, item)


def unavailable(draws: Draws, item: Variant) -> dict[str, str] | None:
    """One option's value with which, all else equal, the item cannot be had; None where there is none such."""
    held = {tuple(sorted(each["options"].items())) for each in sold(item["product_id"]) if each["available"]}
    wishes = [
        {name: value}
        for name in item["options"]
        for value in values_of(item["product_id"], name)
        if value != item["options"][name]
        and tuple(sorted({**item["options"], name: value}.items())) not in held
        and value not in ("yes", "no", "none")
    ]
    return draws.choice(wishes) if wishes else None


def _exact(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """By naming what is to become different."""
    others = variants_of(item)
    near = [each for each in others if len(changed(item, each)) <= 2]  # who names more wants another thing
    if not near:
        return None
    variant = draws.choice(near)
    changes = changed(item, variant)
    words = wording.say("target_exact", options=wording.options(changes), rest=rest_of(wording, item, len(changes)))
    return Choice(variant, words, cost=0)


def _step(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """The same, but bigger, or the biggest."""
    candidates = []
    for name, words in comparatives().items():
        own = rank_of(item["product_id"], name, item["options"].get(name, ""))
        if own is None:
            continue
        for up in (True, False):
            reached = along(item, name, own, up)
            if len(reached) == 1:
                candidates.append((reached[0], words[0 if up else 1]))
            elif reached:
                candidates.append((reached[-1], words[2 if up else 3]))
    if not candidates:
        return None
    variant, words_chosen = draws.choice(candidates)
    return Choice(variant, f"{words_chosen}{rest_of(wording, item, 1)}", cost=1)


def along(item: Variant, name: str, own: float, up: bool) -> list[Variant]:
    """Variants further on the ladder of one option, all else equal; the nearest first."""
    further = []
    for each in variants_of(item):
        rank = rank_of(item["product_id"], name, each["options"].get(name, ""))
        if set(changed(item, each)) == {name} and rank is not None and (rank > own) == up and rank != own:
            further.append((abs(rank - own), each))
    return [each for _, each in sorted(further, key=lambda pair: pair[0])]


def _by_price(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """The cheapest or the dearest, perhaps of those that share an option."""
    cheap = bool(draws.below(3))
    kept = draws.choice(list(item["options"])) if draws.below(2) else None
    fitting = [each for each in variants_of(item) if kept is None or each["options"][kept] == item["options"][kept]]
    ordered = sorted(fitting, key=lambda each: each["price"], reverse=not cheap)
    if not ordered or (len(ordered) > 1 and ordered[0]["price"] == ordered[1]["price"]):
        return None
    best = ordered[0]
    if (best["price"] < item["price"]) != cheap or best["price"] == item["price"]:
        return None
    words = wording.say("target_cheapest" if cheap else "target_dearest")
    if kept is not None:
        words += wording.say("as_long_as", option=wording.option(kept, item["options"][kept]))
    return Choice(best, words, cost=2 if kept is None else 3)


def _second_best(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """One value of an option, and another one where that is not to be had."""
    stocked = [each for each in variants_of(item) if len(changed(item, each)) == 1]
    by_name: dict[str, list[str]] = {}
    for each in stocked:
        ((name, value),) = changed(item, each).items()
        by_name.setdefault(name, []).append(value)
    names = [name for name in by_name if len(values_of(item["product_id"], name)) > 2]
    if not names:
        return None
    name = draws.choice(names)
    second = draws.choice(by_name[name])
    first = draws.choice(
        [value for value in values_of(item["product_id"], name) if value not in (second, item["options"][name])]
    )
    wanted = first if first in by_name[name] else second
    variant = next(each for each in stocked if changed(item, each) == {name: wanted})
    words = wording.say(
        "target_second_best",
        first=wording.option(name, first),
        second=wording.option(name, second),
        rest=rest_of(wording, item, 1),
    )
    return Choice(variant, words, cost=2)


def _ranked(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """One option named, the values of another one ranked, the rest as it is."""
    if len(item["options"]) < 2:
        return None
    names = draws.sample(list(item["options"]), 2)
    fixed, free = names
    values = [value for value in values_of(item["product_id"], fixed) if value != item["options"][fixed]]
    if not values or not 2 < len(values_of(item["product_id"], free)) < 5:
        return None
    wanted = draws.choice(values)
    fitting = {
        each["options"][free]: each
        for each in variants_of(item)
        if each["options"][fixed] == wanted and set(changed(item, each)) <= {fixed, free}
    }
    ranking = draws.sample(values_of(item["product_id"], free), len(values_of(item["product_id"], free)))
    best = next((value for value in ranking if value in fitting), None)
    if best is None:
        return None
    words = wording.say(
        "target_ranked",
        must=wording.option(fixed, wanted),
        free=free,
        ranking=wording.say("over").join(ranking),
        rest=rest_of(wording, item, 2),
    )
    return Choice(fitting[best], words, cost=3)


def rest_of(wording: Wording, item: Variant, named: int) -> str:
    """That nothing else changes; empty where nothing else is left."""
    return wording.say("rest") if len(item["options"]) > named else ""


def changed(item: Variant, variant: Variant) -> dict[str, str]:
    """The options of a variant that an item has not, with their values."""
    return {name: value for name, value in variant["options"].items() if item["options"].get(name) != value}


@functools.cache
def sold(product_id: str) -> tuple[Variant, ...]:
    """Every variant of a product, available or not."""
    return tuple(shop_database()["products"][product_id]["variants"].values())


@functools.cache
def values_of(product_id: str, name: str) -> Sequence[str]:
    """Every value of an option that the product is made with, in the shop's order."""
    return tuple(dict.fromkeys(each["options"][name] for each in sold(product_id)))


@functools.cache
def rank_of(product_id: str, name: str, value: str) -> float | None:
    """Where a value stands on its option's ladder; None where the option has none."""
    if not value:
        return None
    every = values_of(product_id, name)
    for ladder in WORDED_LADDERS:
        if set(every) <= set(ladder):
            return float(ladder.index(value))
    measures = [MEASURE.fullmatch(each) for each in every]
    units = {measure[3].rstrip("s") if measure else None for measure in measures}
    if None in units or len(units) > 1:
        return None
    measure = MEASURE.fullmatch(value)
    assert measure is not None
    return float(measure[1]) * (GIGABYTES_OF_A_TERABYTE if measure[2] == "TB" else 1)
