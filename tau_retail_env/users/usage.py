"""What the messages of a customer take: time, tokens, dollars, and how often something went wrong."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

USAGE = (
    "latency_s",
    "prompt_tokens",
    "completion_tokens",
    "cost_usd",
    "calls",
    "retries",
    "asked_again",
    "unapproved",
    "held_stops",
    "role_flips",
    "loops",
)
"""Numbers of `UserMessage.usage` that become metrics, each under its name with `customer_` before it."""
USER_METRICS = dict.fromkeys([*(f"customer_{name}" for name in USAGE), "customer_failures"], "sum")
"""Added where the user simulator reports usage; `customer_failures` is 1 where it failed."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The numbers of one call or of many; `+` adds them up."""

    latency_s: float = 0.0
    """Seconds from asking to having the answer: retries and waiting for a slot included."""
    prompt_tokens: int = 0
    """Tokens that the model read, as its server counts them; of every reply, accepted or not."""
    completion_tokens: int = 0
    """Tokens that the model wrote."""
    cost_usd: float | None = None
    """Dollars paid; None where it is not known. `total_cost_usd` says when a sum is known."""
    calls: int = 0
    """Replies that a server gave, accepted or not."""
    replayed: int = 0
    """Answers that came from the cassette, or from the same request made meanwhile: nothing was paid."""
    retries: int = 0
    """Attempts after the first."""
    failures: int = 0
    """Calls that ended without an answer."""

    def __add__(self, other: Usage) -> Usage:
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(
            self.latency_s + other.latency_s,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            total_cost_usd((self, other)),
            self.calls + other.calls,
            self.replayed + other.replayed,
            self.retries + other.retries,
            self.failures + other.failures,
        )

    @classmethod
    def read(cls, numbers: Mapping[str, Any]) -> Usage:
        """The usage whose numbers by name these are; others are passed over, missing ones keep their default."""
        return cls(**{field.name: numbers[field.name] for field in fields(cls) if field.name in numbers})

    def as_mapping(self) -> dict[str, float]:
        """The numbers by name, for `UserMessage.usage`; an unknown cost is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: float(value) for name, value in values.items() if value is not None}


def total_cost_usd(parts: Iterable[Usage]) -> float | None:
    """What some calls cost together: the one rule for whether a cost is known.

    Replies are what is paid for. An attempt that got none counts as nothing where no price is known for it: a server
    that charges for what it never delivered makes the total a lower bound.

    Args:
        parts: the usage of each call, or sums of such.

    Returns:
        Dollars; None where a reply has no price, or where none is known.
    """
    found = list(parts)
    costs = [part.cost_usd for part in found if part.cost_usd is not None]
    is_known = costs and not any(part.calls and part.cost_usd is None for part in found)
    return math.fsum(costs) if is_known else None


def user_metrics(usages: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Add up what a customer's messages took, by the names of `USER_METRICS`.

    Args:
        usages: `UserMessage.usage` of some messages.

    Returns:
        One number for each name that some message has, the cost only where it is known, and `customer_failures` 0;
        nothing where there is no message.
    """
    if not (found := list(usages)):
        return {}
    sums = {
        f"customer_{name}": float(sum(numbers))
        for name in USAGE
        if (numbers := [usage[name] for usage in found if usage.get(name) is not None])
    }
    sums.pop("customer_cost_usd", None)
    if (cost_usd := total_cost_usd(map(Usage.read, found))) is not None:
        sums["customer_cost_usd"] = cost_usd
    return sums | {"customer_failures": 0.0}


def latencies(values: Sequence[float]) -> Mapping[str, float]:
    """Median and 95th percentile of latencies in seconds, by the names that reports use; nan where there are none.

    Both are interpolated linearly between neighbours, as numpy's are.
    """
    if not values:
        return {"latency_p50_s": math.nan, "latency_p95_s": math.nan}
    twentieths = statistics.quantiles([*values, *values] if len(values) == 1 else values, n=20, method="inclusive")
    return {"latency_p50_s": twentieths[9], "latency_p95_s": twentieths[18]}
