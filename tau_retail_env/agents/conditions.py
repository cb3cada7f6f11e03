"""Whether a condition of a wish holds: that something cost more, or costs less, than so much."""

from __future__ import annotations

import json
import re

from tau_retail_env.agents.variant_reasons import BOUND
from tau_retail_env.users.scripted.story import Beat

COST = re.compile(r"The [^#]* cost \$(\d+\.\d+)(?:\.|, which is not more than )")
"""How an answer tells what an item cost that goes back if it was more than so much."""
ENOUGH = re.compile(r"^The cheapest such .* costs \$(\d+\.\d+), (not )?less than \$(\d+)\.")
"""How an answer tells whether the cheapest version is cheap enough."""


def enough(answer: str) -> str:
    """Whether the cheapest version is cheap enough, where an answer tells that; empty where none does.

    Args:
        answer: as the story has it.
    """
    told = ENOUGH.search(answer)
    if not told:
        return ""
    return f"Under ${told[3]}: ${json.dumps(float(told[1]))}, {'no' if told[2] else 'yes'}."


def limit_of(beat: Beat, wish: str) -> str:
    """Whether an item cost more than a customer says that it must have, so that it goes back; empty where none does.

    Args:
        beat: the part of the story.
        wish: the customer's words.
    """
    cost, bound = COST.match(beat.answer), BOUND.search(wish)
    if not cost or not bound:
        return ""
    verdict = "yes" if float(cost[1]) > float(bound[1]) else "no"
    return f"Above {bound[0]}: ${json.dumps(float(cost[1]))}, {verdict}."
