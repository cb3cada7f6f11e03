"""A verdict at each condition of the domain policy for what a customer wants, the last one before "Not possible."."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.agents.oracle_steps import RETURN
from tau_retail_env.agents.order_words import named, noun_at_end
from tau_retail_env.agents.questions import REASON_WORDS
from tau_retail_env.agents.small_talk import plain
from tau_retail_env.agents.wanted import KINDS, ONE_OF_BOTH, VERSION, kind
from tau_retail_env.tasks.task import Action
from tau_retail_env.users.scripted.listening import Fact
from tau_retail_env.users.scripted.story import Beat

CANCEL = KINDS["cancel_pending_order"]
DELIVERED, PENDING = "Delivered", "Pending"
STATUS: Mapping[str, str] = {
    KINDS[RETURN]: DELIVERED,
    f"{KINDS[RETURN]} and {VERSION}": DELIVERED,
    CANCEL: PENDING,
    f"{CANCEL} single items": PENDING,
    KINDS["modify_pending_order_payment"]: PENDING,
    KINDS["modify_pending_order_address"]: PENDING,
}
"""The status that an order must have, by the kind of wish."""
OF_EITHER = (VERSION, "another product")
"""The wishes for which it must have one of the two."""
BY_STATUS = "Status"
SAME_PRODUCT, WHOLE, REFUND, IN_STOCK = "Same product", "Whole", "Refund to", "In stock"
UNCHANGED, UNLIKE, GIFT_CARD, ALLOWED = "Items unchanged", "Another version", "Gift card enough", "Allowed"
NEXT: Mapping[str, str] = {VERSION: SAME_PRODUCT, CANCEL: WHOLE}
"""The condition after the status, by the kind of wish."""
BEFORE_NEXT = (UNCHANGED, UNLIKE)
"""The conditions that only a refused wish is held against, between these two."""
AGAINST: Sequence[tuple[str, str]] = (
    (r"own account", "Own account"),
    (r"only (?:pending|delivered)", BY_STATUS),
    (ONE_OF_BOTH, "Only one of both"),
    (r"only once|has changed items", UNCHANGED),
    (r"not for the same one", UNLIKE),
    (r"exchanged for another|kind of product", SAME_PRODUCT),
    (r"as a whole|single items", WHOLE),
    (r"only be cancelled because", "Reason: another"),
    (r"\blost\b", "At hand"),
    (r"refund|original payment method", REFUND),
    (r"one payment method", "One method"),
    (r"gift card", GIFT_CARD),
    (r"available|out of stock|no cheaper", IN_STOCK),
)
"""Words of a rule against a wish, the first that fit, and the condition that it fails; else it is not allowed."""
ONLY = re.compile(r"only (pending|delivered)")
SOLD = re.compile(r"((?: [\w,'-]+){1,12}) (?:you|u) sell\b", re.IGNORECASE)
"""What stands before the words with which a customer names another product."""
NOT_IN_PROFILE = re.compile(r"\bnew\b|\w's\b|\bbank\b", re.IGNORECASE)
"""What tells a method that the customer's account does not have."""
ORIGINAL = re.compile(r"original|same|paid|came from|charge|used|back then")
"""What names the method that an order was paid with, whichever it is."""
AMOUNT = re.compile(r"\$\d+\.\d+")
REASONS: Mapping[str, str] = {"no longer needed": "no need", "ordered by mistake": "mistake"}

Row = Mapping[str, Any]


class Checks:
    """The conditions for what the customer wants, in a fixed order, each once for each thing that it wants.

    What is decided from the whole wish in one token is a guess: a model refused what it had no familiar words for.
    """

    def __init__(self, agent: OracleAgent) -> None:
        """Begin a conversation.

        Args:
            agent: with what its look-ups have shown.
        """
        self._agent = agent
        self._written: set[tuple[str, ...]] = set()

    def done(self) -> None:
        """What the customer wanted is done, answered or refused; the next thing begins."""
        self._written.clear()

    def passed(self, orders: Sequence[Row], write: Action | None) -> list[str]:
        """The conditions that are met, of those that can be told by now and stand nowhere yet.

        Args:
            orders: which the wish is about, as look-ups have shown them.
            write: what is going to be proposed; None where nothing is.
        """
        return self._new(orders, _passed(self._agent, orders, write))

    def terms(self, orders: Sequence[Row], write: Action) -> list[str]:
        """The conditions for what is done in place of an exchange, once it is known that this is done.

        Args:
            orders: which the wish is about, as look-ups have shown them.
            write: what is going to be proposed.
        """
        return self._new(orders, _terms(self._agent, orders, write))

    def failed(self, orders: Sequence[Row], beat: Beat) -> list[str]:
        """The conditions that are met and stand nowhere yet, and the one that is not, right before a refusal.

        Args:
            orders: which the wish is about, as look-ups have shown them.
            beat: what of the story is refused.
        """
        return [*self.passed(orders, None), f"{_fails(self._agent, orders, beat)}: no."]

    def _new(self, orders: Sequence[Row], checks: Iterable[str]) -> list[str]:
        ids = [order["order_id"] for order in orders]
        new = [check for check in checks if (check, *ids) not in self._written]
        self._written |= {(check, *ids) for check in new}
        return new


def _passed(agent: OracleAgent, orders: Sequence[Row], write: Action | None) -> Iterator[str]:
    """The conditions that a wish meets, up to the first that it fails."""
    wanted = kind(agent, write)
    beat = None if write else agent.attends or agent.step.beat
    fails = _condition(beat.refusal) if beat and beat.refusal else ""
    status = _status(wanted, orders)
    if fails == BY_STATUS or not status or not _are(status, orders):
        return
    yield f"{status}: yes."
    if wanted in NEXT and fails not in (*BEFORE_NEXT, NEXT[wanted]):
        yield f"{NEXT[wanted]}: yes."
    if write and wanted == KINDS[write.name]:
        yield from _terms(agent, orders, write)


def _terms(agent: OracleAgent, orders: Sequence[Row], write: Action) -> Iterator[str]:
    """Why an order is cancelled, and where the money goes, as far as the customer has said it."""
    yield from filter(None, [_reason(agent, write), _refund(agent, orders, write)])


def _fails(agent: OracleAgent, orders: Sequence[Row], beat: Beat) -> str:
    """The condition that a refused wish does not meet, with what of the wish tells it.

    Stories of other sources refuse some things without a look-up; nobody knows then which condition it is.
    """
    fails = _condition(beat.refusal)
    needed = {BY_STATUS: orders, REFUND: orders, IN_STOCK: agent.lists(), GIFT_CARD: agent.profile()}
    if not needed.get(fails, True):
        return ALLOWED
    if fails == BY_STATUS:
        return ONLY.findall(beat.refusal)[0].capitalize()
    if ONE_OF_BOTH in beat.refusal and orders and not _are(DELIVERED, orders):
        return DELIVERED
    if fails == SAME_PRODUCT and (other := _other_product(agent.matter)):
        names = _named(agent, orders, beat)
        return f"{fails}: {' for '.join([*(names if len(names) == 1 else ()), other])}"
    if fails == WHOLE and (names := _named(agent, orders, beat)):
        return f"{fails}: {', '.join(names)} alone"
    if fails == REFUND:
        return f"{fails}: {_elsewhere(agent, orders, beat)}, not as paid"
    if fails == GIFT_CARD and (amounts := AMOUNT.findall(beat.refusal)):
        return f"{fails}: {' for '.join(amounts)}"
    return fails


def _condition(refusal: str) -> str:
    """What a rule says that a wish does not meet."""
    return next((condition for words, condition in AGAINST if re.search(words, refusal)), ALLOWED)


def _status(wanted: str, orders: Sequence[Row]) -> str:
    """Which status a kind of wish needs; empty where it needs none, or no order was read."""
    if wanted in OF_EITHER and orders:
        return DELIVERED if _are(DELIVERED, orders) else PENDING
    return STATUS.get(wanted, "") if orders else ""


def _are(status: str, orders: Sequence[Row]) -> bool:
    """Whether all orders have a status; one whose items or payment were changed is pending still."""
    return all(order["status"].startswith(status.casefold()) for order in orders)


def _reason(agent: OracleAgent, write: Action) -> str:
    """The reason of a cancellation, where the customer has said it."""
    given = write.arguments.get("reason", "")
    if given not in REASONS or "reason" in agent.lacks:
        return ""
    is_gold = agent.step.plan is not None and agent.step.write == write
    is_said = is_gold or re.search(REASON_WORDS[given], agent.matter, re.IGNORECASE)
    return f"Reason: {REASONS[given]}: yes." if is_said else ""


def _refund(agent: OracleAgent, orders: Sequence[Row], write: Action) -> str:
    """Where the money of a return goes, once the customer has said it: also of an earlier return in the same breath."""
    method = write.arguments.get("payment_method_id", "")
    is_told = agent.step.plan is not None or _tells(agent, method)
    if write.name != RETURN or not method or "payment" in agent.lacks or not is_told:
        return ""
    if method in _paid(orders):
        return f"{REFUND}: {method}, as paid: yes."
    return f"{REFUND}: gift card: yes." if method.startswith("gift_card") else ""


def _tells(agent: OracleAgent, method: str) -> bool:
    """Whether the customer's words alone name a method, one that was read."""
    said = agent.matter.casefold()
    is_named = method.partition("_")[0] in said or "original" in said
    return is_named and bool(method in said or ORIGINAL.search(said) or agent.profile())


def _elsewhere(agent: OracleAgent, orders: Sequence[Row], beat: Beat) -> str:
    """The method to which the money may not go; "another" where the customer's words name none of its own.

    Of two orders each refund is to go to what paid for the other one.
    """
    if len(orders) > 1:
        methods = [", ".join(sorted(_paid([order]))) for order in orders]
        crossed = zip(orders, reversed(methods), strict=True)
        return ", ".join(f"{method} for {order['order_id']}" for order, method in crossed)
    told = " ".join((beat.words or {}).get(Fact.PAYMENT, ())) or agent.matter
    others = {
        name: row for name, row in agent.profile().get("payment_methods", {}).items() if name not in _paid(orders)
    }
    named = [name for name, row in others.items() if name in told or str(row.get("last_four", name)) in told]
    if not named and not NOT_IN_PROFILE.search(told):
        named = [name for name, row in others.items() if row["source"].replace("_", " ") in told.casefold()]
    return named[0] if len(named) == 1 else "another"


def _paid(orders: Sequence[Row]) -> set[str]:
    return {payment["payment_method_id"] for order in orders for payment in order.get("payment_history", ())}


def _named(agent: OracleAgent, orders: Sequence[Row], beat: Beat) -> list[str]:
    """The items of some orders that a wish names, without those by which it tells the order, if there are others."""
    names = tuple(dict.fromkeys(row["name"] for order in orders for row in order["items"]))
    told = named(names, plain(" ".join((beat.words or {}).get(Fact.ORDER, ()))))
    found = named(names, plain(agent.matter))
    is_told = set(told) <= set(found)  # else it tells the order otherwise now
    return [name for name in found if not is_told or name not in told] or found


def _other_product(said: str) -> str:
    """What a customer calls the product that it wants in place of its own; empty where it names none."""
    sold = SOLD.search(said)
    return (noun_at_end(sold[1]) or sold[1].rpartition(" the ")[2]) if sold else ""
