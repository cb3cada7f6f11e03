"""Who a generated customer says that it is: emails and zip codes, of which the first may not be its account's."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from tau_retail_env.sources.generated.visit import Visit
from tau_retail_env.sources.tau2 import tasks as upstream_tau2

MISTAKEN_PERCENT = 10
"""How often the customer first gives an email or a zip code that is not its account's."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a customer gives, one after another, until its account is found."""

    emails: tuple[str, ...]
    """Emails, before any zip code."""
    zips: tuple[str, ...]
    """Zip codes, each with its name."""
    cost: int = 0
    """Points of difficulty."""

    @property
    def forgotten(self) -> str:
        """What the customer does not know of itself."""
        if self.emails and self.zips:
            return "how exactly the email address of your account is written"
        return f"the {'zip code' if self.emails else 'email address'} of your account"

    def told(self, name: str) -> Iterable[str]:
        """What a customer that is played from text knows of itself.

        Args:
            name: its first and its last name.
        """
        known = [("email address", email) for email in self.emails] + [("zip code", each) for each in self.zips]
        (first, value), *more = known
        yield f"Your name is {name} and your {first} is {value}."
        for what, value in more:
            yield f"If your account is not found, say that {'it' if what == first else f'your {what}'} is {value}."


def usual(visit: Visit) -> Identity:
    """An email, or a name with a zip code; one in ten gives another one first."""
    by_email = visit.draws.below(2) == 0
    mistaken = visit.draws.below(100) < MISTAKEN_PERCENT
    own = visit.user["email"] if by_email else visit.user["address"]["zip"]
    given = (_wrong_email if by_email else wrong_zip)(visit) if mistaken else ""
    values = (given, own) if given else (own,)
    return Identity(values, (), int(mistaken)) if by_email else Identity((), values, int(mistaken))


def wrong_zip(visit: Visit) -> str:
    """A zip code where nobody lives; empty where somebody does."""
    wrong = f"{10_000 + visit.draws.below(90_000)}"
    return "" if wrong in _zip_codes() else wrong


def is_taken(email: str) -> bool:
    """Whether an account has an email."""
    return email in _emails()


@functools.cache
def _emails() -> frozenset[str]:
    return frozenset(user["email"] for user in upstream_tau2.shop_database()["users"].values())


@functools.cache
def _zip_codes() -> frozenset[str]:
    return frozenset(user["address"]["zip"] for user in upstream_tau2.shop_database()["users"].values())


def _wrong_email(visit: Visit) -> str:
    wrong: str = visit.user["email"].replace("@", f"{visit.draws.below(10)}@")
    return "" if is_taken(wrong) else wrong
