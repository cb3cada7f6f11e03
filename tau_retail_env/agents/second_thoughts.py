"""Customers who change their mind about a new variant, again and again, before they say yes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from typing import Any

from tau_retail_env.agents.oracle import OracleAgent

OPENINGS = (
    "Actually, {wish}.",
    "On second thought, {wish}.",
    "Hmm, {wish} instead.",
    "No, wait: {wish}, please.",
    "Sorry, I'd rather have {wish}.",
    "Could you make that {wish}?",
    "Let me think. {wish} after all.",
    "No. I want {wish}.",
    "That's not quite it, {wish} would be better.",
)
WHOLE = 0.25
"""Share of the wishes that name every option, not only those that become different."""
NAKED = 0.4
"""Share of the wishes that give the values without the options' names."""


def second_thoughts(agent: OracleAgent, *, most: int, seed: str) -> list[tuple[str, str]]:
    """What is said between an agent's proposal to change items and the customer's yes to it.

    Each time the customer wants another available variant of one of the items, described by how it differs from the
    one proposed last, and the agent proposes that one; no variant comes twice, since its id could then be copied from
    the words before. In the end the customer wants the first proposal after all. An ordinary conversation has one such
    choice beside thousands of tokens, and a small model hardly learns to choose from it.

    Args:
        agent: the agent, which has just proposed a write.
        most: the changes of mind are drawn evenly from none to so many, as far as there are variants; the return to the
            first proposal is not counted.
        seed: decides their number, the variants and the words.

    Returns:
        The customer's words and the agent's answer, in turn; nothing where no change of items is proposed, or where
        there is no other variant.
    """
    write = agent.proposed
    choices = agent.variants(write) if write else []
    rng = random.Random(seed)
    number = rng.randint(0, most)
    if write is None or number == 0 or any(len(variants) < 2 for variants in choices) or not choices:
        return []
    listed = [{variant["item_id"]: variant for variant in variants} for variants in choices]
    first = list(write.arguments["new_item_ids"])
    if any(item_id not in variants for item_id, variants in zip(first, listed, strict=True)):
        return []
    rounds, wanted = [], list(first)
    names = agent.item_names(write)
    new = [(place, item_id) for place, variants in enumerate(listed) for item_id in variants if item_id not in first]
    for place, item_id in rng.sample(new, min(number, len(new))):
        rounds.append(_round(agent, rng, listed, names, wanted, {place: item_id}))
    back = {place: item_id for place, item_id in enumerate(first) if item_id != wanted[place]}
    return [*rounds, _round(agent, rng, listed, names, wanted, back)] if back else rounds


def _round(
    agent: OracleAgent,
    rng: random.Random,
    listed: list[dict[str, Mapping[str, Any]]],
    names: list[str],
    wanted: list[str],
    changed: Mapping[int, str],
) -> tuple[str, str]:
    """A wish for other variants and the agent's new proposal; `wanted` becomes what is wished for."""
    wishes = []
    for place, item_id in changed.items():
        before, after = listed[place][wanted[place]]["options"], listed[place][item_id]["options"]
        wishes.append(_wish(rng, before, after, names[place] if len(names) > 1 else None))
        wanted[place] = item_id
    text = rng.choice(OPENINGS).format(wish=" and ".join(wishes))
    write = agent.proposed
    assert write is not None
    new = dataclasses.replace(write, arguments={**write.arguments, "new_item_ids": list(wanted)})
    return text[0].upper() + text[1:], agent.proposal(new)


def _wish(rng: random.Random, before: Mapping[str, str], after: Mapping[str, str], name: str | None) -> str:
    """Another variant in a customer's words: what becomes different, or all of it."""
    whole = rng.random() < WHOLE
    naked = rng.random() < NAKED
    parts = [
        value if naked and not value.isdigit() and value not in ("yes", "no", "none") else f"{option} {value}"
        for option, value in after.items()
        if whole or before.get(option) != value
    ]
    rng.shuffle(parts)
    wish = ", ".join(parts)
    return f"the {name} with {wish}" if name else wish
