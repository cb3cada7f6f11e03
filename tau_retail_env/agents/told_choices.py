"""Other variants in the words of generated tasks' customers: by a price, a step, a ranking, or another order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tau_retail_env.agents.variant_reasons import BY_PRICE
from tau_retail_env.sources.generated import choosing, patrons, picking
from tau_retail_env.sources.generated.choosing import Choice
from tau_retail_env.sources.generated.patrons import PatronWording
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks.seeding import Draws

Row = Mapping[str, Any]
LIKE_ANOTHER_PERCENT = 50
"""How often the version of another order is wanted where one has another version of the item."""
PICKED_PERCENT = 65
"""How often one of the ways of the fifth series is drawn, which are the harder ones; else one of the older series'."""
DRAWN = 3
"""How many are drawn, of which a step or a ranking is taken first."""
BY_OPTIONS_ALONE = 0
"""The cost of a choice that only names what is to become different."""


def told_choice(seed: str, row: Row, listed: Mapping[str, Row], orders: Iterable[Row]) -> tuple[str, str] | None:
    """Draw a variant that is told by something else than by what becomes different alone.

    The ways and the words are those of the fifth series' training tasks, and "mine" and "otherwise the same" mean the
    item as its order has it there, too: not what was proposed last.

    Args:
        seed: decides.
        row: the item, as its order has it.
        listed: the available variants, but for the item itself, as the tool lists them.
        orders: other orders of the customer that were read.

    Returns:
        What the customer says, in whole sentences, and the variant's id; None where nothing was found, and where the
        list is not that of the shop from which generated tasks are made.
    """
    if row["product_id"] not in shop_database()["products"]:
        return None
    if {(one["item_id"], one["price"]) for one in choosing.variants_of(row)} != {
        (key, one["price"]) for key, one in listed.items()
    }:
        return None
    draws = Draws(seed)
    wording = PatronWording(draws, held_out=False, grammar=patrons.GRAMMAR)
    elsewhere = [(order, item) for order in orders for item in order["items"] if item["item_id"] in listed]
    elsewhere = [(order, item) for order, item in elsewhere if item["product_id"] == row["product_id"]]
    if elsewhere and draws.below(100) < LIKE_ANOTHER_PERCENT:
        order, item = draws.choice(elsewhere)
        words = wording.say(f"like_that_{'coming' if order['status'] == 'pending' else 'had'}")
        which = wording.say("in_that_order", order=order["order_id"])
        return wording.sentence("rather", target=words) + f" {which[0].upper()}{which[1:]}", item["item_id"]
    choices = [choice for _ in range(DRAWN) if (choice := _choice(draws, wording, row))]
    if not choices:
        return None
    choice = next((one for one in choices if _is_rare(one, row)), choices[0])
    return wording.sentence("rather", target=choice.words), choice.variant["item_id"]


def _choice(draws: Draws, wording: PatronWording, row: Row) -> Choice | None:
    way = picking.pick if draws.below(100) < PICKED_PERCENT else choosing.choose
    choice = way(draws, wording, row)
    return None if choice is None or choice.cost == BY_OPTIONS_ALONE else choice


def _is_rare(choice: Choice, row: Row) -> bool:
    """Whether it is a step or a ranking, which few items have something for; a price may tell a variant of all."""
    is_named = choice.cost == 1 and len(choosing.changed(row, choice.variant)) > 1  # by all of its options
    return not is_named and not BY_PRICE.search(choice.words)
