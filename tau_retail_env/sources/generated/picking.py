"""More ways to say which variant is wanted instead: by price and an option, by a limit, by a step, by a ranking."""

from __future__ import annotations

import itertools

from tau_retail_env.sources.generated.choosing import (
    Choice,
    Variant,
    along,
    changed,
    comparatives,
    rank_of,
    rest_of,
    values_of,
    variants_of,
)
from tau_retail_env.sources.generated.wording import Wording
from tau_retail_env.tasks.seeding import Draws

NOT_NAMED = ("yes", "no", "none")
"""Values that are told by the option's name; a proposal of few words may lack it."""


def pick(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """Draw one of the ways to choose; None where the item's product has nothing for it.

    Args:
        draws: decides.
        wording: words it.
        item: the item that is to be replaced, as its order has it.
    """
    ways = (_by_price_with, dearest_below, _next_step, _all_named, _next_by_price, _best_of_three)
    return draws.weighted(ways, (28, 18, 16, 12, 10, 16))(draws, wording, item)


def dearest_below(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """The dearest version below a price that the item itself is not below."""
    cheaper = sorted((each for each in variants_of(item) if each["price"] < item["price"]), key=price_of)
    steps = [(each, after) for each, after in itertools.pairwise([*cheaper, item]) if limit_between(each, after)]
    if not steps:
        return None
    variant, after = draws.choice(steps)
    words = wording.say("target_under", limit=f"${limit_between(variant, after)}")
    return Choice(variant, words, 3)


def price_of(variant: Variant) -> float:
    """What a variant or an item costs, in dollars."""
    return float(variant["price"])


def limit_between(lower: Variant, upper: Variant) -> int:
    """A round number of dollars above one price and not above the other; zero where there is none."""
    for step in (50, 10, 5, 1):
        limit = step * (int(price_of(lower)) // step + 1)
        if price_of(lower) < limit <= price_of(upper):
            return limit
    return 0


def _by_price_with(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """The cheapest or the dearest of several that have one option's value, which the item has not."""
    offered = variants_of(item)
    wishes = [
        (name, value)
        for name in item["options"]
        for value in values_of(item["product_id"], name)
        if value not in (item["options"][name], *NOT_NAMED)
        and sum(each["options"][name] == value for each in offered) > 1
    ]
    if not wishes:
        return None
    name, value = draws.choice(wishes)
    cheap = bool(draws.below(3))
    fitting = [each for each in offered if each["options"][name] == value]
    first, second = sorted(fitting, key=price_of, reverse=not cheap)[:2]
    if first["price"] == second["price"]:
        return None
    rule = "target_cheapest_with" if cheap else "target_dearest_with"
    return Choice(first, wording.say(rule, option=wording.option(name, value)), cost=3)


def _next_step(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """The next step up or down an option's ladder that is in stock, all else equal."""
    steps = []
    for name in comparatives():
        own = rank_of(item["product_id"], name, item["options"].get(name, ""))
        for up in (True, False):
            if own is not None and (reached := along(item, name, own, up)):
                steps.append((name, up, reached[0]))
    if not steps:
        return None
    name, up, variant = draws.choice(steps)
    words = wording.say("target_step_up" if up else "target_step_down", option=name)
    return Choice(variant, f"{words}{rest_of(wording, item, 1)}", cost=2)


def _all_named(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """By naming every option, of which two or more become different."""
    far = [
        each
        for each in variants_of(item)
        if len(changed(item, each)) > 1 and not set(each["options"].values()) & set(NOT_NAMED)
    ]
    if not far:
        return None
    variant = draws.choice(far)
    return Choice(variant, wording.say("target_named", options=wording.options(variant["options"])), cost=1)


def _next_by_price(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """The next cheaper or the next dearer one."""
    dearer = bool(draws.below(2))
    beyond = [each for each in variants_of(item) if each["price"] != item["price"]]
    beyond = sorted((each for each in beyond if (each["price"] > item["price"]) == dearer), key=price_of)
    if len(beyond) < 2:
        return None
    nearest, second = beyond[:2] if dearer else beyond[:-3:-1]
    if nearest["price"] == second["price"]:
        return None
    return Choice(nearest, wording.say("target_next_dearer" if dearer else "target_next_cheaper"), cost=3)


def _best_of_three(draws: Draws, wording: Wording, item: Variant) -> Choice | None:
    """Three values of one option, the best first, all else equal: the first that is in stock."""
    near = [each for each in variants_of(item) if len(changed(item, each)) == 1]
    stocked = {name: each for each in near for name in changed(item, each)}
    names = [name for name in stocked if len(values_of(item["product_id"], name)) > 3]
    if not names:
        return None
    name = draws.choice(names)
    others = [value for value in values_of(item["product_id"], name) if value != item["options"][name]]
    ranking = draws.sample(others, 3)
    had = {each["options"][name]: each for each in near if name in changed(item, each)}
    best = next((value for value in ranking if value in had), None)
    if best is None or set(ranking) & set(NOT_NAMED):
        return None
    first, second, third = (wording.option(name, value) for value in ranking)
    words = wording.say("target_third_best", first=first, second=second, third=third)
    return Choice(had[best], f"{words}{rest_of(wording, item, 1)}", cost=3)
