"""How customers of the fourth series speak: they name orders also by number of items and payment, and live anywhere."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from typing import Any

from tau_retail_env.sources.generated import everyday
from tau_retail_env.sources.generated.everyday import EverydayVisit, EverydayWording
from tau_retail_env.sources.generated.visit import Part, Row, Visit
from tau_retail_env.tasks.seeding import Draws

GRAMMAR = (*everyday.GRAMMAR, "facts.toml", "dealings.toml")
"""The files of the fourth series' grammar."""
ADDRESSES_FILE = "addresses.toml"
NUMBERS = ("no", "one", "two", "three", "four", "five")
"""How many items an order of the shop holds, in words."""
INVENTED_PERCENT = 75
"""How often a new address stands in a street that nobody else of the shop lives in."""


class Caller(EverydayVisit):
    """A call whose customer moves to places that the shop has never heard of."""

    spelled = re.compile(r"\b\d{5}\b|\b\d{1,4} [A-Z]|\b(?:Suite|Apt|Apartment|Unit) \d")
    """What holds a zip code, a street or a suite keeps its letters."""

    def attempt(self, build: Callable[[Visit], Part | None]) -> Part | None:
        """Make a part whose questions have other answers than those before: what was told already is not asked."""

        def fresh(visit: Visit) -> Part | None:
            part = build(visit)
            return None if part is None or visit.told & set(part.outputs) else part

        part = super().attempt(fresh)
        self.told.update(part.outputs if part else ())
        return part

    def ways(self) -> Mapping[str, Callable[[Row], str]]:
        """Those of the third series, and by how many items it holds and by what it was paid with."""
        return {**super().ways(), "count": self._by_count, "payment": self._by_payment}

    def new_address(self, present: Row) -> dict[str, str]:
        """An address in a street, with a suite or without one, and in a city that are mostly not in the shop's data."""
        if self.draws.below(100) >= INVENTED_PERCENT:
            return super().new_address(present)
        known = _addresses()
        place = self.draws.choice(known["places"])
        street = self.draws.choice(known["streets"])
        rooms = self.draws.choice(known["rooms"]) if self.draws.below(2) else ""
        return {
            "address1": f"{1 + self.draws.below(10 ** (1 + self.draws.below(4)))} {street}",
            "address2": rooms and f"{rooms} {1 + self.draws.below(400)}",
            "city": place["city"],
            "state": place["state"],
            "country": "USA",
            "zip": f"{place['zip']}{self.draws.below(100):02}",
        }

    def _by_count(self, order: Row) -> str:
        """By how many items it holds, where no other order, or none of its status, holds as many."""
        count = len(order["items"])
        alike = [other for other in self.orders.values() if len(other["items"]) == count]
        things = self.wording.say("one_thing" if count == 1 else "so_many_things", count=NUMBERS[count])
        if len(alike) == 1:
            return self.wording.say("order_of_so_many", things=things)
        if sum(other["status"] == order["status"] for other in alike) > 1:
            return ""
        return self.wording.say(f"{order['status']}_of_so_many", things=things)

    def _by_payment(self, order: Row) -> str:
        """By the payment method that no other order was paid with."""
        method = order["payment_history"][0]["payment_method_id"]
        if sum(other["payment_history"][0]["payment_method_id"] == method for other in self.orders.values()) > 1:
            return ""
        return self.wording.say("order_paid_with", method=self.describe(method))


@functools.cache
def _addresses() -> Mapping[str, Sequence[Any]]:
    """Streets, cities with their states and beginnings of zip codes, and kinds of rooms."""
    return tomllib.loads(resources.files(__package__).joinpath(ADDRESSES_FILE).read_text(encoding="utf-8"))


def begin(user: Row, draws: Draws, held_out: bool) -> Visit:
    """Begin a call.

    Args:
        user: the customer, as the shop has it.
        draws: decides.
        held_out: whether its words are those kept for judging.
    """
    return Caller(user, draws, EverydayWording(draws, held_out=held_out, grammar=GRAMMAR))
