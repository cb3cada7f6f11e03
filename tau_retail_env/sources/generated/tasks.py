"""Training tasks of our own, without end, over τ²'s shop: the source `generated`."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tau_retail_env.errors import InvalidValueError, TauRetailError, unknown
from tau_retail_env.sources.generated.customers import TRAITS, split_of
from tau_retail_env.sources.generated.requests import KINDS, Balances, Request, RequestContext, order_choices
from tau_retail_env.sources.generated.wording import listed
from tau_retail_env.sources.tau2 import tasks as upstream_tau2
from tau_retail_env.sources.tau2.editions import INSTALL_COMMAND
from tau_retail_env.tasks.seeding import Draws
from tau_retail_env.tasks.task import Action, Scenario, Task
from tau_retail_env.tasks.writes import canonical_writes

DEFAULT_COUNTS: Mapping[str, int] = MappingProxyType({"train": 10_000, "test": 4_000})
"""How many tasks a split has unless asked otherwise."""

REQUEST_COUNT_WEIGHTS = (67, 23, 10)
"""How often, in percent, a task holds one, two and three requests."""

_ATTEMPTS = 1_000


def generate_tasks(split: str = "train", count: int | None = None) -> list[Task]:
    """Generate the first tasks of a split.

    Tasks of the two splits concern disjoint customers. Every task is another customer's request in words, with the gold
    actions that upstream's tools accept and that are the only change granting it. No task asks for the same changes as
    a task of τ²-bench. Two tasks of a split may ask for the same change in other words.

    Args:
        split: "train" or "test".
        count: how many; None means `DEFAULT_COUNTS`.

    Returns:
        The tasks "generated/<split>/0" to "generated/<split>/<count - 1>", for ever the same.

    Raises:
        InvalidValueError: unknown split, or a count below one.
        MissingDependencyError: the wheel that carries the shop is not installed.
    """
    _check_split(split)
    wanted = DEFAULT_COUNTS[split] if count is None else count
    if wanted < 1:
        raise InvalidValueError(f"count of generated tasks is {count!r}; expected a whole number from 1 on.")
    return [generate_task(split, number) for number in range(wanted)]


def examples(split: str) -> tuple[Task, ...]:
    """A task for each combination of requests that the tasks of a split have, with nothing but its writes.

    Which subsets have tasks can be told from these at once; to generate a whole split takes seconds.

    Raises:
        InvalidValueError: unknown split.
    """
    _check_split(split)
    return tuple(
        Task(id="", source="generated", domain="retail", split=split, instruction="", actions=actions)
        for number in range(1, len(REQUEST_COUNT_WEIGHTS) + 1)
        for kinds in itertools.combinations_with_replacement(KINDS, number)
        if kinds.count("profile") <= 1
        for actions in [tuple(Action(KINDS[kind].tool, {}) for kind in kinds)]
    )


def generate_task(split: str, number: int) -> Task:
    """Generate one task by itself; it depends on nothing but the split and the number.

    Args:
        split: "train" or "test".
        number: from 0 on, without an upper limit.

    Returns:
        The task "generated/<split>/<number>".

    Raises:
        InvalidValueError: unknown split, or a negative number.
        MissingDependencyError: the wheel that carries the shop is not installed.
    """
    _check_split(split)
    if number < 0:
        raise InvalidValueError(f"number of a generated task is {number!r}; expected a whole number from 0 on.")
    draws = Draws(f"generated/{split}/{number}")
    for _ in range(_ATTEMPTS):
        task = _draw_task(draws, split, number)
        if task is not None and canonical_writes(task) not in _writes_of_tau2():
            return task
    raise TauRetailError(
        f"No task could be generated for split {split!r}, number {number}, in {_ATTEMPTS} attempts: the shop's data is "
        f"not that of the pinned wheel. Install it with: {INSTALL_COMMAND}"
    )


def _check_split(split: str) -> None:
    if split not in DEFAULT_COUNTS:
        raise unknown("split of source 'generated'", split, DEFAULT_COUNTS)


@functools.cache
def _writes_of_tau2() -> frozenset[frozenset[str]]:
    """What the tasks of τ²-bench change, its train tasks included."""
    return frozenset(canonical_writes(task) for task in upstream_tau2.load("base"))


@functools.cache
def _customers(split: str, kinds: tuple[str, ...]) -> tuple[str, ...]:
    """The split's customers who can make requests of all these kinds at once."""
    users = upstream_tau2.shop_database()["users"]
    return tuple(
        user_id
        for user_id in sorted(users)
        if split_of(user_id) == split and next(order_choices(user_id, kinds), None) is not None
    )


def _draw_task(draws: Draws, split: str, number: int) -> Task | None:
    """Draw kinds, a customer, orders and details; None where they do not go together."""
    kinds = _draw_kinds(draws)
    customers = _customers(split, tuple(sorted(kinds)))
    if not customers:
        return None
    user_id = draws.choice(customers)
    shop = upstream_tau2.shop_database()
    user = shop["users"][user_id]
    order_ids = draws.choice(list(order_choices(user_id, kinds)))
    balances = Balances(user["payment_methods"])
    requests = []
    for kind, order_id in zip(kinds, order_ids, strict=True):
        request = KINDS[kind].build(draws, RequestContext(user, shop["orders"].get(order_id, {}), balances))
        if request is None:
            return None
        requests.append(request)
    return _write_task(draws, split, number, user, requests)


def _draw_kinds(draws: Draws) -> list[str]:
    """The kinds of a task's requests; a profile is changed at most once."""
    names = list(KINDS)
    kinds: list[str] = []
    for _ in range(draws.weighted((1, 2, 3), REQUEST_COUNT_WEIGHTS)):
        free = [name for name in names if KINDS[name].needs_order or name not in kinds]
        kinds.append(draws.weighted(free, [KINDS[name].weight for name in free]))
    return kinds


def _write_task(draws: Draws, split: str, number: int, user: Mapping[str, Any], requests: Sequence[Request]) -> Task:
    by_email = draws.below(2) == 0
    find_user = _find_by_email(user) if by_email else _find_by_name_and_zip(user)
    scenario = Scenario(
        persona=f"You are {listed([draws.choice(group) for group in draws.sample(TRAITS, 2 + draws.below(3))])}.",
        reason_for_call=" ".join(request.words for request in requests),
        known_info=_known_info(user, by_email, requests),
        unknown_info=f"You do not remember {'the zip code' if by_email else 'the email address'} of your account.",
        task_instructions="You want exactly this and nothing else.",
    )
    parts = (_identity(user, by_email), scenario.persona, scenario.reason_for_call, scenario.unknown_info)
    return Task(
        id=f"generated/{split}/{number}",
        source="generated",
        domain="retail",
        split=split,
        instruction=" ".join(part for part in (*parts, scenario.task_instructions) if part),
        actions=(find_user, *(action for request in requests for action in request.actions)),
        user_id=user["user_id"],
        scenario=scenario,
    )


def _find_by_email(user: Mapping[str, Any]) -> Action:
    return Action("find_user_id_by_email", {"email": user["email"]})


def _find_by_name_and_zip(user: Mapping[str, Any]) -> Action:
    return Action("find_user_id_by_name_zip", {**user["name"], "zip": user["address"]["zip"]})


def _identity(user: Mapping[str, Any], by_email: bool) -> str:
    name = "{first_name} {last_name}".format_map(user["name"])
    proof = f"email address is {user['email']}" if by_email else f"zip code is {user['address']['zip']}"
    return f"Your name is {name} and your {proof}."


def _known_info(user: Mapping[str, Any], by_email: bool, requests: Sequence[Request]) -> str:
    payments = dict.fromkeys(request.payment_method_id for request in requests if request.payment_method_id)
    at_hand = f" You have {listed(list(payments))} at hand." if payments else ""
    return _identity(user, by_email) + at_hand
