"""What an agent writes down for itself: what was asked for, what is meant, and what a look-up shows of it in short."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from tau_retail_env.agents.addresses import address_in, whereabouts
from tau_retail_env.agents.checks import Checks
from tau_retail_env.agents.conditions import enough, limit_of
from tau_retail_env.agents.earlier import Earlier, to_be_rid_of
from tau_retail_env.agents.lookups import parsed
from tau_retail_env.agents.oracle import NUMBER, OracleAgent
from tau_retail_env.agents.oracle_steps import RETURN, TRANSFER
from tau_retail_env.agents.order_words import paid
from tau_retail_env.agents.small_talk import request_in
from tau_retail_env.agents.variant_reasons import ANY_MORE, BY_PRICE, item, none_such, priced, steps, such, tells
from tau_retail_env.agents.wanted import (
    KINDS,
    VERSION,
    WANTED,
    first_version,
    is_second_best,
    kept,
    kind,
    money,
    own_words,
    products_of,
    version_rows,
)
from tau_retail_env.agents.which_order import at_price, contents, dearest, which, without_order
from tau_retail_env.messages import ToolCall
from tau_retail_env.tasks.task import Action
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.story import Beat

Row = Mapping[str, Any]
"""An order, an item of one, or a variant, as the tools show it."""
DECIDING = ("get_product_details", "calculate")
"""Calls for which the agent has to know what is meant."""
ANOTHER = re.compile(r"^That .* version \((.*)\) costs ")
"""How an answer tells what another version of an item would cost."""
WITHOUT = re.compile(r"Without the (.+), the items of order ")
"""How an answer names the item that its sum leaves out."""
HUMAN = "For a human agent."
"""What is written down before the customer is transferred."""
PARTS: Mapping[str, str] = {
    "order_id": "the order",
    "item_ids": "the items",
    "new_item_ids": "the new items",
    "payment_method_id": "the payment",
    "reason": "the reason",
}
"""How its arguments are called; all others are parts of an address."""


class Reasoner:
    """What an agent writes between `<think>` and `</think>` before it speaks, in one conversation.

    A small model that speaks at once takes the first order for the one that is meant, keeps options of an item that are
    to become different, and answers an objection with what it has proposed. Step by step each part is one look back.
    What the customer wants stands thousands of tokens of look-ups before it is done, so it is said again.
    """

    def __init__(self, agent: OracleAgent, typed: Callable[[str], str] = str) -> None:
        """Begin a conversation.

        Args:
            agent: with what its look-ups have shown.
            typed: a customer's words as they stand in the conversation, where the agent has heard others.
        """
        self._agent = agent
        self._typed = typed
        self._checks = Checks(agent)
        self._earlier = Earlier()
        self._asked = self._wanted = self._meant = False
        self._listed: set[str] = set()
        self._about: list[str] = []
        self._last: list[str] = []
        self._before: list[str] = []
        self._heard = ""
        self._chosen: Action | None = None

    def done(self, *, slipped: bool = False) -> None:
        """What the customer wanted is done, answered or refused; the next thing begins.

        Args:
            slipped: whether that was a slip in place of an answer, whose order the customer has not meant.
        """
        if slipped:
            self._about = []
        self._asked = self._wanted = self._meant = False
        self._checks.done()
        self._last, self._about = self._about or self._last, []
        self._before.append(self._heard)
        self._chosen = None

    def before_call(self, call: ToolCall, heard: str) -> str:
        """Before a look-up: what a list has in stock, or which order is read for its address; then what is asked for
        and meant, and what a sum is made of.

        Args:
            call: the look-up.
            heard: what was heard last.
        """
        parts = [stock(heard), address_in(self._agent, call)]
        if call.name in (*DECIDING, TRANSFER):
            parts += self._decide(heard, summary=call.arguments.get("summary", ""))
        if call.name == TRANSFER:
            parts.append(HUMAN)
        parts += self._choose(heard)
        if call.name == "calculate":
            parts += [_missing([sum_of])] if (sum_of := money(self._agent, self._agent.step.write)) else []
            parts += _what_if(self._agent, str(call.arguments.get("expression", "")))
            parts += _all_but(_left_out(self._agent))
            parts.append(operands(self._agent, str(call.arguments.get("expression", ""))))
        return _joined(parts)

    def before_words(self, heard: str) -> str:
        """Before an answer, a refusal or a question: what is asked for, which order and items that is about, and that
        it is not possible, or what the agent does not know yet.

        Args:
            heard: what was heard last.
        """
        parts = [stock(heard)]
        self._earlier.note(self._agent)
        if beat := self._agent.attends:
            parts += self._decide(heard)
            parts.append(such_versions := _such(self._agent, beat))
            if such_versions:
                self._earlier.questions = dict.fromkeys(products_of(beat), self._agent.matter)
            if beat.refusal:
                orders = _orders_of(self._agent)
                parts.append(_none_such(self._agent, beat, orders))
                parts += [state for state in map(_state, orders) if state not in parts]
                parts += [*self._checks.failed(orders, beat), "Not possible."]
            return _joined(parts)
        if not self._agent.asks:
            return _joined([*parts, *self._choose(heard)])
        return _joined([*parts, *self._decide(heard), *self._choose(heard), _missing(self._agent.asks)])

    def before_proposal(
        self, write: Action, heard: str, unlike: Action | None = None, *, from_last: bool = False
    ) -> str:
        """Before a proposal: the steps from what was asked for and read to it.

        Args:
            write: what is to be proposed.
            heard: what was heard last.
            unlike: what was proposed last and is not to be; None for the first proposal of a matter.
            from_last: whether what was heard says how a new variant is to be unlike the one proposed last.

        Returns:
            What is asked for, or what of the last proposal is wrong; the orders that were read where none was named,
            and the one that is meant; its status and how it was paid; which of its items are; the steps to a new
            variant, where they were not written down as its list was read; where an address stands that the customer
            has not said; and that nothing is missing.
        """
        agent = self._agent
        parts = [stock(heard)]
        if unlike is not None:
            parts.append(unwanted(unlike, write))
            moved = [unlike.arguments.get(name) != write.arguments.get(name) for name in ("order_id", "item_ids")]
            self._meant = self._meant and not any(moved)
            if WANTED[unlike.name] != WANTED[write.name]:
                parts.append(f"Wants: {WANTED[write.name]}.")
        answers = bool(parsed(heard)) or heard.startswith("Error")  # of a tool that has refused the last proposal
        again = heard if unlike and not answers and heard not in agent.matter else ""
        parts += self._decide(heard, write, again)
        if unlike is not None or write != self._chosen:
            wish = again or agent.matter
            parts += _steps(agent, write, wish, self._earlier, unlike, from_last=from_last)
        self._chosen = agent.step.write
        parts.append(whereabouts(agent, write))
        if (order := agent.order(write)) and (state := _state(order)) not in parts:
            parts += [state, *self._checks.passed([order], write)]
        if order and is_second_best(agent, write):
            parts += self._checks.terms([order], write)
        return _joined([*parts, "" if unlike else _missing(())])

    def _choose(self, heard: str) -> list[str]:
        """The steps to the new variants as soon as the lists that they need were read, and once.

        Whether there is such a variant decides whether to refuse, to compute or to go on asking, so it is looked for
        before any of that; where a list was read for another matter, as soon as it is known which item is meant.
        """
        agent = self._agent
        plan = agent.step.plan
        if plan is None or "options" in plan.asks or agent.attends or not (stock(heard) or self._meant):
            return []
        write = agent.step.write or first_version(agent)
        lists = {product["product_id"] for product in agent.lists()}
        if write is None or write == self._chosen or not products_of(plan) <= lists:
            return []
        if not all(row is not new for row, new in agent.chosen(write)):
            return []
        self._chosen = write
        return _steps(agent, write, agent.matter, self._earlier)

    def _decide(self, heard: str, write: Action | None = None, again: str = "", summary: str = "") -> list[str]:
        """What is asked for, what kind of thing that is, and what is meant, each once; `again` is a second thought, and
        `summary` what a human agent is told."""
        agent, parts = self._agent, []
        if not self._asked and agent.matter and heard.strip() != agent.matter:
            typed = "\n".join(map(self._typed, agent.matter.split("\n")))
            parts.append(f"Asked: {request_in(typed)}")
        self._asked = True
        write = write or (None if agent.attends else agent.step.write)
        orders = [order for order in ([agent.order(write)] if write else _orders_of(agent)) if order]
        found: list[str] = []
        if not self._wanted and (wanted := kind(agent, write, summary)):
            if state := to_be_rid_of(agent, orders):  # what is wanted follows from the order, and comes after it
                found = [*self._order(orders), state]
                parts += found
            parts.append(f"Wants: {', and '.join(filter(None, [wanted, money(agent, write)]))}.")
            self._wanted = True
        if self._meant or not orders or "order" in agent.lacks:
            return parts
        if "items" in agent.lacks:
            return [*parts, *self._order(orders), *map(_state, orders)]
        self._meant = True
        return [*parts, *([] if found else self._order(orders)), *self._which(orders, write, again)]

    def _which(self, orders: list[Row], write: Action | None, again: str) -> list[str]:
        """Of the orders that are meant their status and payment, which decide whether to refuse; and which of their
        items."""
        agent, parts = self._agent, []
        items = set(write.arguments.get("item_ids", ())) if write else set()
        if not items and kind(agent, write) == VERSION:
            items = {row["item_id"] for row in version_rows(agent, orders)}
        if not items and not write and kind(agent, write) == WANTED[RETURN] and agent.step.beat:
            items = {row["item_id"] for order in orders for row in _proposed(agent.step.beat, order)}
        parts += [*map(_state, orders), *self._checks.passed(orders, write)]
        beat = agent.attends or agent.step.beat or agent.step.plan
        about = f"{beat.answer} {beat.refusal}".casefold() if beat and not write else ""
        parts += filter(None, [limit := limit_of(beat, agent.matter) if beat else ""])
        parts += [*_all_but(kept(agent, write, again)), dearest(agent, write, orders, beat.answer if beat else "")]
        for order in orders:
            if items:
                rows_that_go = (write and agent.rows(write)) or order["items"]  # of a change as the customer tells them
                goes = [item(row) for row in rows_that_go if row["item_id"] in items]
                rows = [f"{at_price(row)}, {'goes' if row['item_id'] in items else 'stays'}" for row in order["items"]]
                parts.append(f"{order['order_id']}: {'; '.join(rows)}. Goes: {'; '.join(goes)}.")
            elif any(row["name"].casefold() in about for row in order["items"]):
                verdict = ", stays" if limit else ""
                parts.append(
                    f"{order['order_id']}: {'; '.join(f'{at_price(row)}{verdict}' for row in order['items'])}."
                )
        return parts

    def _order(self, orders: list[Row]) -> list[str]:
        """The orders that are meant where they are not named: all that were read, and a verdict for each, once."""
        agent = self._agent
        ids = [order["order_id"] for order in orders]
        is_told, self._about, self._heard = ids == self._about, ids, agent.matter
        read = {order["order_id"] for order in agent.orders()}
        if all(order_id in agent.matter for order_id in ids) or len(read) < 2:
            return []
        if is_told:
            return [f"Meant: {', '.join(ids)}."]
        listed = []
        if read != self._listed:
            count = Counter(row["name"] for order in agent.orders() for row in order["items"])
            names = {name for name, number in count.items() if number > 1}
            listed = [f"{'; '.join(contents(order, names) for order in agent.orders())}."]
            self._listed = read
        meant = which(agent, orders, self._last, self._before)
        back = "" if "Which: " in meant else self._earlier.order(agent.matter, ids)
        return [*listed, f"{back} {meant}".strip()]


def stock(observation: str) -> str:
    """The available variants of a product that has just been looked up, the cheapest first; empty after anything else.

    In the tool's answer the parts of a variant stand dozens of tokens apart. Side by side a small model finds the one
    that has all of the wanted options, the cheapest, or how many there are. What is looked for, price or options, comes
    before what is to be found, the id: it is copied from there.

    Args:
        observation: what was heard last.
    """
    product = parsed(observation)
    available = [one for one in product.get("variants", {}).values() if one.get("available")]
    listed = [priced(one) for one in sorted(available, key=lambda one: one["price"])]
    return f"{product['name']} in stock: {'; '.join(listed)}." if listed else ""


def unwanted(before: Action, write: Action) -> str:
    """What of a proposal is not to be, said before another is made: the kind of change, and each id or word that goes.

    Args:
        before: the proposal that the customer or the tools did not take.
        write: the one that is made in its place.
    """
    words = [] if before.name == write.name else [f"No to {KINDS[before.name]}."]
    parts: dict[str, list[str]] = {}
    for name, old in before.arguments.items():
        if name in write.arguments and write.arguments[name] != old:
            olds, news = (old, write.arguments[name]) if isinstance(old, list) else ([old], [])
            dropped = [each for each in olds if each not in news]
            no = "Not only" if not dropped and len(news) > len(olds) else "No to"
            part = parts.setdefault(f"{no} {PARTS.get(name, 'the address')}", [])
            part += filter(None, dropped or olds)
    return " ".join([*words, *(f"{' '.join([no, ', '.join(part)]).strip()}." for no, part in parts.items())])


def _missing(asks: Sequence[str]) -> str:
    """What is still to be asked for: it decides between a question and a proposal, where both are possible."""
    return f"Missing: {', '.join(asks) or 'nothing'}."


def operands(agent: OracleAgent, expression: str) -> str:
    """What the numbers of a sum are the prices of; nothing for those that stand nowhere as a price.

    Args:
        agent: with what its look-ups have shown.
        expression: as `calculate` takes it, in dollars.
    """
    numbers = NUMBER.findall(expression)
    things = {json.dumps(price): name for name, price in reversed(list(_prices(agent)))}
    sums = {
        json.dumps(paid["amount"]): f"{order['order_id']} in all"
        for order in (*agent.orders(), *_orders_of(agent))
        for paid in order.get("payment_history", ())
    }
    of_orders = any(number in sums and number not in things for number in numbers)  # one thing may be a whole order
    named = things | sums if of_orders else sums | things
    return " ".join(f"{named[number]}: {number}." for number in numbers if number in named)


def _prices(agent: OracleAgent) -> Iterator[tuple[str, float]]:
    """Whatever has a price: new variants, items of the orders that are meant, other items, and variants."""
    meant = _orders_of(agent)
    write = agent.step.write
    yield from ((f"New {row['name']} {new['item_id']}", new["price"]) for row, new in _chosen(agent, write))
    for order in (*meant, *(order for order in agent.orders() if order not in meant)):
        yield from ((f"{row['name']} {row['item_id']}", row["price"]) for row in order["items"])
    for product in agent.lists():
        yield from ((f"{product['name']} {key}", variant["price"]) for key, variant in product["variants"].items())


def _chosen(agent: OracleAgent, write: Action | None) -> list[tuple[Row, Row]]:
    """Each item that a write changes with its new variant, where its product was looked up."""
    return [(row, new) for row, new in agent.chosen(write) if new is not row] if write else []


def _orders_of(agent: OracleAgent) -> list[Row]:
    """The orders that what the agent does now is about, of those that it has read."""
    read = {order["order_id"]: order for order in agent.orders()}
    beat = agent.attends or agent.step.beat
    if beat is None:
        write = agent.step.write
        return [order for order in [agent.order(write) if write else {}] if order]
    if named := [order for order_id, order in read.items() if order_id in beat.answer]:
        return named
    if other := ANY_MORE.search(beat.refusal):  # of two orders that have such an item
        return [order for order in read.values() if order["order_id"] != other[2] and _has(order, other[1])]
    looked_up = [action.arguments["order_id"] for action in beat.calls if action.name == "get_order_details"]
    last, answer = [read[order_id] for order_id in looked_up[-1:] if order_id in read], beat.answer.casefold()
    return [order for order in last if beat.refusal or any(row["name"].casefold() in answer for row in order["items"])]


def _proposed(beat: Beat, order: Row) -> list[Row]:
    """The items of an order that a story's own words propose, which name all of them that have a name."""
    return [row for row in order["items"] if beat.turn and row["name"] in beat.answer]


def _has(order: Row, name: str) -> bool:
    return any(row["name"].casefold() == name.casefold() for row in order["items"])


def _steps(
    agent: OracleAgent,
    write: Action,
    wish: str,
    earlier: Earlier,
    unlike: Action | None = None,
    *,
    from_last: bool = False,
) -> list[str]:
    """The steps to each new variant of a change whose list was read, or to there being none where another thing is
    done instead; of a change that is made in place of another only to those that the other has not. A wish may be for
    one of the versions that an answered question was about, the last one about the product."""
    products = {product["product_id"]: product for product in agent.lists()}
    pairs = _chosen(agent, write)
    plan = agent.step.plan
    if unlike is None and plan and is_second_best(agent, write):
        order = agent.order(write)
        rows = [row for row in version_rows(agent, [order] if order else []) if row["product_id"] in products]
        unfit = [_unfit(row, plan.answer, wish, products[row["product_id"]]) for row in rows[:1]]
        return [*unfit, *filter(None, [enough(plan.answer)]), f"Else: {WANTED[write.name]}."]
    proposed = unlike.arguments if unlike else {}
    stays = set(zip(proposed.get("item_ids", ()), proposed.get("new_item_ids", ()), strict=False))
    others = [order for order in agent.orders() if order["order_id"] != write.arguments.get("order_id")]
    if wish != agent.matter:  # a second thought names the order whose version it wants
        others = [order for order in others if order["order_id"] in wish]
    wanted = [(row, new) for row, new in pairs if (row["item_id"], new["item_id"]) not in stays]
    alone = len(wanted) == 1 and (len(pairs) == 1 or wish != agent.matter)
    own = own_words(agent, agent.step.write or write)
    last = {row["item_id"]: new for row, new in _chosen(agent, unlike)} if from_last else {}
    limit = enough(plan.answer) if plan and unlike is None else ""
    written = []
    for row, new in wanted:
        item_id = row["item_id"]
        first = wish == agent.matter or item_id not in proposed.get(
            "item_ids", (item_id,)
        )  # not a second thought of it
        words = without_order(own.get(item_id, agent.matter) if first else wish)
        whole = without_order(agent.matter)
        if first and alone and BY_PRICE.search(words) is None and not tells(words, row, new) and tells(whole, row, new):
            words = whole  # its own words are mistyped
        single = alone or (first and item_id in own)
        product, before = products[row["product_id"]], last.get(item_id)
        found = earlier.found(row, new, agent.matter, product) if first and alone else ""
        heard = earlier.questions.get(row["product_id"], "")
        written.append(
            steps(row, new, words, product, others, alone=single, before=before, limit=limit, found=found, heard=heard)
        )
    return written


def _unfit(row: Row, answer: str, wish: str, product: Row) -> str:
    """Why another thing is done with an item than an exchange: the version is not there, or the cheapest too dear."""
    if " is not available " in answer:
        return none_such(row, {}, answer, product)
    listed = such(answer, wish, product)
    return listed and f"{item(row)}. {listed}"


def _all_but(names: Sequence[str]) -> list[str]:
    return [f"All but: {', '.join(names)}."] if names else []


def _left_out(agent: OracleAgent) -> list[str]:
    """The name of the item that a question leaves out of a sum."""
    told = WITHOUT.match(agent.step.beat.answer) if agent.step.beat else None
    rows = [row for order in _orders_of(agent) for row in order["items"]]
    return [row["name"] for row in rows if told and row["name"].casefold() == told[1].casefold()][:1]


def _none_such(agent: OracleAgent, beat: Beat, orders: list[Row]) -> str:
    """What the list that was looked up for it shows of an item's version that is refused."""
    looked_up = [call.arguments["product_id"] for call in beat.calls if call.name == "get_product_details"]
    listed = {product["product_id"]: product for product in agent.lists()}
    rows = [row for order in orders for row in order["items"] if row["product_id"] in listed.keys() & looked_up[-1:]]
    if len(rows) != 1 or len(beat.options) > 1:  # of two alike nobody knows which it is
        return ""
    wanted = beat.options[0] if beat.options else {}
    return none_such(rows[0], wanted, beat.refusal, listed[rows[0]["product_id"]], agent.orders())


def _such(agent: OracleAgent, beat: Beat) -> str:
    """Which versions meet the condition of a question about a product that was looked up for it."""
    looked_up = [call.arguments["product_id"] for call in beat.calls if call.name == "get_product_details"]
    listed = [product for product in agent.lists() if product["product_id"] in looked_up[-1:]]
    return such(beat.answer, agent.matter, listed[0]) if listed else ""


def _what_if(agent: OracleAgent, expression: str) -> list[str]:
    """The steps to the variant of which a question asks what it would cost in place of an item."""
    beat = agent.step.beat
    told = ANOTHER.search(beat.answer) if beat else None
    if not beat or not told:
        return []
    words = without_order(next(iter((beat.words or {}).get(Fact.OPTIONS, ())), agent.matter))
    return [
        steps(row, new, words, product, [], alone=True)
        for product in agent.lists()
        for new in product["variants"].values()
        for order in _orders_of(agent)
        for row in order["items"]
        if row["product_id"] == product["product_id"]
        and told[1] == ", ".join(f"{name} {value}" for name, value in new["options"].items())
        and expression == f"{new['price']} - {row['price']}"
    ][:1]


def _state(order: Row) -> str:
    return f"{order['order_id']} is {order['status']}" + (f", paid with {paid(order)}." if paid(order) else ".")


def _joined(parts: Iterable[str]) -> str:
    return " ".join(part for part in parts if part)
