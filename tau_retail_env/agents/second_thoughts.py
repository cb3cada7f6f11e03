"""Customers who change their mind about what is proposed, again and again, before they say yes."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.told_choices import told_choice
from tau_retail_env.tasks.task import Action

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
PRICED = 0.3
"""Share of the customers that first want the variant with the lowest or the highest price."""
BY_PRICE = 0.7
"""Share of the wishes for these that say so."""
CHEAPEST = ("the cheapest one you have", "the least expensive one", "whichever costs the least", "the cheapest of all")
DEAREST = ("the most expensive one you have", "the dearest one", "whichever costs the most", "the priciest of all")
TOLD = 0.7
"""Share of the wishes that tell a variant by a price, a step, a ranking, or another order, where one is found."""
TRIES = 3
"""How often such a wish is drawn until it is for a variant that was not proposed yet."""
ITEM_OPENINGS = (
    "Actually, {wish}.",
    "On second thought, {wish}.",
    "Wait, I've changed my mind. {wish}, please.",
    "Hold on, {wish}.",
    "No. {wish}.",
    "No, that's not right. {wish}.",
    "Sorry, {wish}.",
)
LEAVE_OUT = ("leave out the {name}", "not the {name}", "I'll keep the {name}", "the {name} stays", "without the {name}")
ADD = ("the {name} as well", "also the {name}", "add the {name}", "the {name}, too")
ONLY = ("only the {names}", "just the {names}, nothing else", "the {names} only", "I mean the {names}")
ALL_BUT = (
    "everything but the {names}",
    "all of it except the {names}",
    "the whole order without the {names}",
    "all but the {names}",
    "everything in the order apart from the {names}",
)
ALL_BUT_SHARE = 0.4
"""Share of the wishes for other items to be returned that tell what is kept, of orders with three or more."""
PAYMENT_OPENINGS = (
    "Please use {method} instead.",
    "Put it on {method}, please.",
    "No, {method}.",
    "Not that one. I'd rather take {method}.",
    "Wait, better {method}.",
    "Actually, {method} would be better.",
)
SOURCES = {"paypal": "my PayPal", "credit_card": "my credit card", "gift_card": "my gift card"}
PAYMENT_SHARE = 0.15
"""Share of the proposals with a payment method whose customer thinks again about that."""
ITEMS_SHARE = 0.4
"""Share of the changes of several items whose customer thinks again about which ones."""


class Round(NamedTuple):
    """One change of mind."""

    words: str
    """What the customer wants instead."""
    write: Action
    """What the agent then proposes."""
    from_last: bool = False
    """Whether the words say how a variant is to be unlike the one proposed last, and not unlike the item itself."""


Rounds = list[Round]


def second_thoughts(agent: OracleAgent, *, most: int, seed: str) -> Rounds:
    """What is said between an agent's proposal and the customer's yes to it.

    Each time the customer wants something else: another available variant of one of the items, other items of the
    order, or another payment method; and the agent proposes that. In the end the customer wants the first proposal
    after all. An ordinary conversation has one such choice beside thousands of tokens, and a small model hardly learns
    to choose from it: it says its last words again.

    A wish for a variant says how it differs from the one proposed last, or tells it as customers of generated tasks do:
    by its price, by the next step up, by a ranking, or as the one of another order. No variant comes twice, since its
    id could then be copied from the words before.

    Args:
        agent: the agent, which has just proposed a write.
        most: the changes of mind are drawn evenly from none to so many, as far as there is something else to want; the
            return to the first proposal is not counted.
        seed: decides their number, what is wanted and the words.

    Returns:
        The rounds in turn; nothing where nothing else can be wanted.
    """
    write = agent.proposed
    rng = random.Random(seed)
    number = rng.randint(0, most)
    if write is None or number == 0:
        return []
    if "payment_method_id" in write.arguments and rng.random() < PAYMENT_SHARE:
        return _about_payment(agent, write, rng, number)
    if write.name == "return_delivered_order_items":
        return _about_items(agent, write, rng, number, agent.order_items(write))
    if len(write.arguments.get("item_ids", ())) > 1 and rng.random() < ITEMS_SHARE:
        return _about_items(agent, write, rng, number, write.arguments["item_ids"])
    return _about_variants(agent, write, rng, number)


def _about_payment(agent: OracleAgent, write: Action, rng: random.Random, number: int) -> Rounds:
    """Other payment methods of the profile, and the first one again; refunds go to no other account or card."""
    methods = agent.profile().get("payment_methods", {})
    first = write.arguments["payment_method_id"]
    is_refund = write.name == "return_delivered_order_items"
    others = [
        method for method, one in methods.items() if method != first and (one["source"] == "gift_card") == is_refund
    ]
    if not others or first not in methods:
        return []
    rounds = []
    for method in [*rng.sample(others, min(number, len(others))), first]:
        sources = [one["source"] for one in methods.values()]
        source = methods[method]["source"]
        in_words = sources.count(source) == 1 and rng.random() < 0.5
        text = rng.choice(PAYMENT_OPENINGS).format(method=SOURCES[source] if in_words else method)
        rounds.append(Round(text[0].upper() + text[1:], _with(write, payment_method_id=method)))
    return rounds


def _about_items(agent: OracleAgent, write: Action, rng: random.Random, number: int, possible: Sequence[str]) -> Rounds:
    """Other items of the order, or fewer, and the first ones again."""
    first = list(write.arguments["item_ids"])
    names = {item_id: agent.item_names(_with(write, item_ids=[item_id]))[0] for item_id in possible}
    if len(set(names.values())) < 2 or len(set(names.values())) < len(possible) or not set(first) <= set(names):
        return []
    new = dict(zip(first, write.arguments.get("new_item_ids", ()), strict=False))
    rounds, wanted = [], first
    for turn in range(number + 1):
        before = wanted
        keeps = not new and len(possible) > 2 and rng.random() < ALL_BUT_SHARE
        wanted = first if turn == number else _all_but(rng, possible) if keeps else _others(rng, before, possible)
        if set(wanted) == set(before):
            continue
        keeps = keeps and 0 < len(possible) - len(wanted) <= min(2, len(possible) // 2)
        wish = _kept_wish(rng, names, wanted) if keeps else _item_wish(rng, names, before, wanted)
        text = rng.choice(ITEM_OPENINGS).format(wish=wish)
        text = ". ".join(part[0].upper() + part[1:] for part in text.split(". "))
        variants = {"new_item_ids": [new[item_id] for item_id in wanted]} if new else {}
        rounds.append(Round(text, _with(write, item_ids=list(wanted), **variants)))
    return rounds


def _all_but(rng: random.Random, possible: Sequence[str]) -> list[str]:
    """All items of the order but one or two, and at least as many as are kept."""
    kept = rng.sample(possible, rng.randint(1, min(2, len(possible) // 2)))
    return [item_id for item_id in possible if item_id not in kept]


def _kept_wish(rng: random.Random, names: Mapping[str, str], wanted: Sequence[str]) -> str:
    """What a customer says who names what is not to go back."""
    return rng.choice(ALL_BUT).format(names=_listed([name for key, name in names.items() if key not in wanted]))


def _others(rng: random.Random, before: Sequence[str], possible: Sequence[str]) -> list[str]:
    """Other items than before, in the order of the order: one less, one more, or one or two alone."""
    if rng.random() < 0.4:
        chosen = set(rng.sample(possible, min(len(possible), rng.randint(1, 2))))
    else:
        chosen = set(before) ^ {rng.choice(possible)}
    return [item_id for item_id in possible if item_id in (chosen or set(before))]


def _item_wish(rng: random.Random, names: Mapping[str, str], before: Sequence[str], wanted: Sequence[str]) -> str:
    """What a customer says who wants other items."""
    more = [item_id for item_id in wanted if item_id not in before]
    less = [item_id for item_id in before if item_id not in wanted]
    if len(more) + len(less) == 1 and rng.random() < 0.8:
        return rng.choice(ADD if more else LEAVE_OUT).format(name=names[(more or less)[0]])
    return rng.choice(ONLY).format(names=_listed([names[item_id] for item_id in wanted]))


def _listed(names: Sequence[str]) -> str:
    return " and the ".join(part for part in (", the ".join(names[:-1]), names[-1]) if part)


def _about_variants(agent: OracleAgent, write: Action, rng: random.Random, number: int) -> Rounds:
    """Other available variants, and the first ones again."""
    choices = agent.variants(write)
    if any(len(variants) < 2 for variants in choices) or not choices:
        return []
    listed = [{variant["item_id"]: variant for variant in variants} for variants in choices]
    first = list(write.arguments["new_item_ids"])
    if any(item_id not in variants for item_id, variants in zip(first, listed, strict=True)):
        return []
    rounds, wanted = [], list(first)
    names = agent.item_names(write)
    new = [(place, item_id) for place, variants in enumerate(listed) for item_id in variants if item_id not in first]
    drawn = rng.sample(new, min(number, len(new)))
    extremes = [pair for pair in new if _is_extreme(listed[pair[0]], pair[1])]
    if extremes and rng.random() < PRICED:
        extreme = rng.choice(extremes)
        drawn = [extreme, *(pair for pair in drawn if pair != extreme)][: len(drawn)]
    proposed = set(first)
    for place, item_id in drawn:
        told = _told(agent, rng, listed, names, wanted, proposed) if rng.random() < TOLD else None
        if told or item_id not in proposed:
            rounds.append(told or _round(agent, rng, listed, names, wanted, {place: item_id}))
            proposed.update(wanted)
    back = {place: item_id for place, item_id in enumerate(first) if item_id != wanted[place]}
    return [*rounds, _round(agent, rng, listed, names, wanted, back)] if back else rounds


def _told(
    agent: OracleAgent,
    rng: random.Random,
    listed: Sequence[Mapping[str, Mapping[str, Any]]],
    names: Sequence[str],
    wanted: list[str],
    proposed: Collection[str],
) -> Round | None:
    """A wish for a variant that is told by its price, a step, a ranking or another order, and what is then proposed.

    `wanted` becomes what is wished for. None where no such wish for a variant that was not proposed yet is found.
    """
    write = agent.proposed
    assert write is not None
    place = rng.randrange(len(listed))
    row = agent.rows(write)[place]
    others = [order for order in agent.orders() if order["order_id"] != write.arguments["order_id"]]
    for _ in range(TRIES):
        told = told_choice(str(rng.random()), row, listed[place], others)
        if told and told[1] in listed[place] and told[1] not in proposed:
            wanted[place] = told[1]
            words = f"For the {names[place]}: {told[0]}" if len(names) > 1 else told[0]
            return Round(words, _with(write, new_item_ids=list(wanted)))
    return None


def _is_extreme(listed: Mapping[str, Mapping[str, Any]], item_id: str) -> bool:
    """Whether a variant is the cheapest or the dearest of them."""
    ranked = sorted(listed, key=lambda key: listed[key]["price"])
    return item_id in (ranked[0], ranked[-1])


def _with(write: Action, **arguments: object) -> Action:
    return dataclasses.replace(write, arguments={**write.arguments, **arguments})


def _round(
    agent: OracleAgent,
    rng: random.Random,
    listed: list[dict[str, Mapping[str, Any]]],
    names: list[str],
    wanted: list[str],
    changed: Mapping[int, str],
) -> Round:
    """A wish for other variants and what the agent then proposes; `wanted` becomes what is wished for."""
    write = agent.proposed
    assert write is not None
    wishes = []
    rows = [row for row, _ in agent.chosen(write)]
    for place, item_id in changed.items():
        before, after = listed[place][wanted[place]]["options"], listed[place][item_id]["options"]
        name = names[place] if len(names) > 1 else None
        priced = _price_wish(rng, listed[place], item_id, rows[place], name)
        wishes.append(priced or _wish(rng, before, after, name))
        wanted[place] = item_id
    text = rng.choice(OPENINGS).format(wish=" and ".join(wishes))
    return Round(text[0].upper() + text[1:], _with(write, new_item_ids=list(wanted)), from_last=True)


def _price_wish(
    rng: random.Random, listed: Mapping[str, Mapping[str, Any]], item_id: str, row: Mapping[str, Any], name: str | None
) -> str:
    """The variant with the lowest or the highest price in a customer's words; empty for others, and now and then.

    Args:
        rng: decides.
        listed: the available variants, but for the item itself.
        item_id: the one that is wanted.
        row: the item itself, which may be cheaper or dearer than all.
        name: of the product, where several are changed.
    """
    prices = [variant["price"] for key, variant in listed.items() if key != item_id] + [row["price"]]
    price = listed[item_id]["price"]
    words = CHEAPEST if price < min(prices) else DEAREST if price > max(prices) else ()
    if not words or rng.random() >= BY_PRICE:
        return ""
    return f"for the {name} {rng.choice(words)}" if name else rng.choice(words)


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
