"""One customer's call in the making: which orders are left, what is looked up, how orders and payments are named."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tau_retail_env.sources.generated.choosing import Choice, choose
from tau_retail_env.sources.generated.requests import Balances, new_address
from tau_retail_env.sources.generated.wording import Wording
from tau_retail_env.sources.tau2.tasks import shop_database
from tau_retail_env.tasks.seeding import Draws
from tau_retail_env.tasks.task import Action

Row = Mapping[str, Any]
Call = dict[str, Any]
Beat = dict[str, Any]

WRONG_ORDER_PERCENT = 5
"""How often a customer reads an order id wrongly, in percent."""
STATUSES = ("pending", "processed", "delivered", "cancelled")
"""What an order of the shop can be."""
TRANSFER = "transfer_to_human_agents"
"""The tool that hands the customer over."""
SOURCES_IN_WORDS = {"paypal": "PayPal account", "gift_card": "gift card", "credit_card": "credit card"}


def call(name: str, **arguments: Any) -> Call:
    """A tool call as a story has it."""
    return {"name": name, "arguments": arguments}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that a customer calls about: it becomes one or several beats of the story."""

    beats: tuple[Beat, ...]
    """As in stories.toml; writes and outputs are counted within the part."""
    writes: tuple[Action, ...] = ()
    """The gold writes."""
    outputs: tuple[str, ...] = ()
    """What the agent must tell."""
    cost: int = 1
    """Points of difficulty."""
    last: bool = False
    """Whether the call ends with it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """How the customer says which order it means, and how an agent finds that order."""

    name: str
    """To stand for the order: "order #W2378156", "the order with the grill"."""
    tail: str
    """To follow an item: " from order #W2378156"; may be empty."""
    words: dict[str, str]
    """What the customer answers when it is asked for the order, as the `words` of a beat."""
    calls: tuple[Call, ...]
    """Up to the order's own row."""
    cost: int
    """Points of difficulty."""


@dataclass(frozen=True, slots=True)
class Payment:
    """The payment method of a request, and how the customer names it."""

    id: str
    """As the shop has it."""
    said: str = ""
    """A sentence that tells it with the request; empty where an agent has to ask."""
    words: dict[str, str] = field(default_factory=dict)
    """What the customer answers when it is asked, as the `words` of a beat."""
    asks: tuple[str, ...] = ()
    """The fact "payment" where an agent has to ask."""
    calls: tuple[Call, ...] = ()
    """What tells an agent the method's id."""


class Visit:
    """What the parts of one task share: the customer, its money, and the orders that no part concerns yet."""

    spelled = re.compile(r"\b\d{5}\b")
    """What holds a zip code keeps its letters in every style: names of places are read from it."""

    def __init__(self, user: Row, draws: Draws, wording: Wording) -> None:
        """Begin a call.

        Args:
            user: the customer, as the shop has it.
            draws: decides.
            wording: words it.
        """
        orders = shop_database()["orders"]
        self.user = user
        self.draws = draws
        self.wording = wording
        self.balances = Balances(user["payment_methods"])
        self.orders: dict[str, Row] = {order_id: orders[order_id] for order_id in user["orders"]}
        self.moved = False
        """Whether a part reads or changes the profile's address, which only one may."""
        self.told: set[str] = set()
        """Answers to questions; in the fourth series no two of a call have the same one."""
        self._free = list(self.orders)
        self._held = Counter(item["product_id"] for order in self.orders.values() for item in order["items"])

    def attempt(self, build: Callable[[Visit], Part | None]) -> Part | None:
        """Make a part; where that fails, the orders and the money are as they were before."""
        free, balances, moved = list(self._free), self.balances, self.moved
        self.balances = balances.copy()
        part = build(self)
        if part is None:
            self._free, self.balances, self.moved = free, balances, moved
        return part

    def left(self, *statuses: str) -> list[Row]:
        """The orders of some statuses that no part concerns yet."""
        chosen = [self.orders[order_id] for order_id in self._free]
        return [order for order in chosen if order["status"] in statuses]

    def free(self, *statuses: str) -> list[Row]:
        """Those of them in which no product comes twice."""
        return [order for order in self.left(*statuses) if not _has_twins(order)]

    def count_of(self, item: Row) -> int:
        """How many items of its product the customer has in all orders, itself included."""
        return self._held[item["product_id"]]

    def draw_order(self, *statuses: str) -> Row | None:
        """One such order, which is taken from now on; None where there is none."""
        orders = self.free(*statuses)
        return self.take(self.draws.choice(orders)) if orders else None

    def take(self, order: Row) -> Row:
        """Let a part concern an order."""
        self._free.remove(order["order_id"])
        return order

    def is_unique(self, item: Row) -> bool:
        """Whether none of the customer's other items is of the same product."""
        return self._held[item["product_id"]] == 1

    def profile(self) -> Call:
        """The look-up of the customer's profile."""
        return call("get_user_details", user_id=self.user["user_id"])

    def new_address(self, present: Row) -> dict[str, str]:
        """An address that is not the present one, in the order of the tools' arguments."""
        return new_address(self.draws, present)

    def choose(self, item: Row) -> Choice | None:
        """What the customer wants instead of an item; None where its product has nothing for it."""
        return choose(self.draws, self.wording, item)

    def refer(self, order: Row, items: Sequence[Row] = (), *, untold: Collection[str] = ()) -> Reference:
        """Name an order by its id, by what is in it, or by an id that is read wrongly.

        Args:
            order: one of the customer's.
            items: what the part names of it anyhow; the whole order where it names nothing.
            untold: what is asked of the order, and so cannot name it; no such thing names one here.
        """
        telling = [item for item in items or order["items"] if self.is_unique(item)]
        draw = self.draws.below(100)
        if not telling or WRONG_ORDER_PERCENT <= draw < 45:
            name = self.wording.say("order_by_id", order_id=order["order_id"])
            tail = self.wording.say("from_order", order_id=order["order_id"])
            words = {"order": self.wording.sentence("answer_order", order_id=order["order_id"])}
            return Reference(name, tail, words, (call("get_order_details", order_id=order["order_id"]),), 0)
        item = self.wording.item(self.draws.choice(telling)["name"])
        words = {"order": self.wording.sentence("forgot_order", item=item)}
        if draw < WRONG_ORDER_PERCENT:
            wrong = misread(order["order_id"])
            tail = self.wording.say("from_order", order_id=wrong)
            calls = (call("get_order_details", order_id=wrong), *self.search(order))
            return Reference(self.wording.say("order_by_id", order_id=wrong), tail, words, calls, 2)
        tail = self.wording.say("from_pending" if order["status"] == "pending" else "from_past")
        return Reference(f"the order with the {item}", tail, words, tuple(self.search(order)), 1)

    def every_order(self) -> list[Call]:
        """The look-up of the profile and of all its orders, for an agent that was not told which one is meant."""
        return [self.profile(), *(call("get_order_details", order_id=order_id) for order_id in self.orders)]

    def search(self, order: Row) -> Iterable[Call]:
        """Read the profile, then one order after another up to the one that is meant."""
        yield self.profile()
        for order_id in self.orders:
            yield call("get_order_details", order_id=order_id)
            if order_id == order["order_id"]:
                return

    def pay(self, able: Sequence[str], original: str | None, act: str) -> Payment:
        """Choose one of some payment methods and name it at once, or only when asked.

        Args:
            able: the methods that can be used.
            original: the one the order was paid with, None where that does not come into it.
            act: the rule that words it: "pay_said" or "refund_said".
        """
        chosen = self.draws.choice(able)
        named, calls = self._named(chosen, original)
        if self.draws.below(100) < 55:
            sentence = self.wording.say(act, method=named)
            return Payment(chosen, sentence, {"payment": self.wording.sentence("method", method=named)}, (), calls)
        return Payment(chosen, "", {"payment": self.wording.sentence("method", method=named)}, ("payment",), calls)

    def _named(self, chosen: str, original: str | None) -> tuple[str, tuple[Call, ...]]:
        draw = self.draws.below(100)
        if draw < 25:
            return chosen, ()
        if chosen == original and draw < 60:
            return self.wording.say("original"), ()
        return self.describe(chosen), (self.profile(),)

    def describe(self, method_id: str) -> str:
        """A payment method in words: "my PayPal account"; its id where words do not tell it from another one."""
        methods = self.user["payment_methods"]
        method = methods[method_id]
        if sum(other["source"] == method["source"] for other in methods.values()) == 1:
            return f"my {SOURCES_IN_WORDS[method['source']]}"
        endings = [other.get("last_four") for other in methods.values()]
        if method["source"] == "credit_card" and endings.count(method["last_four"]) == 1:
            return f"my credit card ending in {method['last_four']}"
        return method_id


def dollars(amount: float) -> str:
    """An amount as an agent says it: "$47.80"."""
    return f"${amount:.2f}"


def plain(amount: float) -> str:
    """An amount as an output, which stands in every way to write it: "47.8"."""
    return f"{amount:.2f}".rstrip("0").rstrip(".")


def _has_twins(order: Row) -> bool:
    products = [item["product_id"] for item in order["items"]]
    return len(set(products)) < len(products)


def misread(order_id: str) -> str:
    """An order id with two neighbouring digits swapped, or one changed, that the shop does not have."""
    known = shop_database()["orders"]
    digits = order_id[2:]
    swapped = [digits[:place] + digits[place + 1] + digits[place] + digits[place + 2 :] for place in range(6)]
    shifted = [digits[:-1] + str((int(digits[-1]) + step) % 10) for step in range(1, 10)]
    return next(f"#W{each}" for each in (*swapped, *shifted) if f"#W{each}" not in known)
