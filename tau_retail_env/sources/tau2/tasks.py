"""τ²-bench's tasks: read as plain JSON, without importing upstream's code."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tau_retail_env.errors import unknown
from tau_retail_env.sources.tau2.editions import VERSIONS, Edition, edition_of, installed
from tau_retail_env.tasks.task import Action, Scenario, Task

KNOWN_BASES = ("DB", "COMMUNICATE", "NL_ASSERTION")
"""The parts of upstream's reward that this package judges."""


def data_folder() -> Path:
    """Folder of the installed package's retail data.

    Raises:
        MissingDependencyError: where the wheel is not installed.
    """
    return installed().retail


@functools.cache
def shop_database(edition: Edition | None = None) -> Mapping[str, Any]:
    """The shop's database as plain JSON: {"products": {id: …}, "users": {id: …}, "orders": {id: …}}. Read only.

    Args:
        edition: whose; None for the installed package's.
    """
    if edition is None:
        return shop_database(installed())
    database: Mapping[str, Any] = edition.read("db.json")
    return database


def splits(version: str = VERSIONS[0]) -> dict[str, list[str]]:
    """Task numbers by split name, as upstream's split file has them.

    Args:
        version: which edition.

    Raises:
        MissingDependencyError: it is not here.
        InvalidValueError: where it should be there are other contents.
    """
    found: dict[str, list[str]] = edition_of(version).read("split_tasks.json")
    return found


def load(split: str, version: str = VERSIONS[0]) -> list[Task]:
    """Load one split in upstream's order.

    Args:
        split: a name in upstream's split file (train, test, base).
        version: which edition.

    Raises:
        InvalidValueError: unknown split, other contents than the version's, or a task that cannot be judged.
        MissingDependencyError: the edition is not here.
    """
    known = splits(version)
    if split not in known:
        raise unknown("split of source 'tau2'", split, sorted(known))
    wanted = set(known[split])
    edition = edition_of(version)
    database = shop_database(edition)
    return [task_of(row, split, version, database) for row in edition.read("tasks.json") if row["id"] in wanted]


def task_of(row: Mapping[str, Any], split: str, version: str, database: Mapping[str, Any]) -> Task:
    """The task that an element of a tasks.json is.

    Args:
        row: the element.
        split: which split it was asked for from.
        version: the edition.
        database: the shop's, as `shop_database` reads it.

    Raises:
        InvalidValueError: it cannot be judged.
    """
    scenario = row["user_scenario"]
    briefing = scenario["instructions"]
    criteria = row["evaluation_criteria"]
    parts = (
        briefing["reason_for_call"],
        briefing["known_info"],
        briefing["unknown_info"],
        briefing["task_instructions"],
    )
    actions = tuple(
        Action(action["name"], action["arguments"], action.get("requestor") or "assistant")
        for action in criteria["actions"]
    )
    return Task(
        id=f"tau2/{row['id']}",
        source="tau2",
        domain="retail",
        split=split,
        instruction="\n".join(part for part in parts if part),
        actions=actions,
        outputs=tuple(criteria.get("communicate_info") or ()),
        user_id=_customer_id(actions, database),
        scenario=Scenario(
            persona=scenario["persona"],
            reason_for_call=briefing["reason_for_call"],
            known_info=briefing["known_info"],
            unknown_info=briefing["unknown_info"],
            task_instructions=briefing["task_instructions"],
        ),
        initial_state=row.get("initial_state"),
        reward_basis=_reward_basis(row),
        version=version,
        assertions=tuple(criteria.get("nl_assertions") or ()),
    )


def _reward_basis(row: Mapping[str, Any]) -> tuple[str, ...]:
    """What upstream multiplies into the reward of a task.

    Raises:
        InvalidValueError: it names something that this package does not judge.
    """
    basis = tuple(row["evaluation_criteria"].get("reward_basis") or ("DB", "COMMUNICATE"))
    for entry in basis:
        if entry not in KNOWN_BASES:
            raise unknown(f"entry in reward_basis of task {row['id']!r} of source 'tau2'", entry, KNOWN_BASES)
    return basis


def _customer_id(actions: tuple[Action, ...], shop: Mapping[str, Any]) -> str | None:
    """Whose task it is: the user whom the gold actions look up, or whose order they touch."""
    for action in actions:
        given = action.arguments
        if given.get("user_id") in shop["users"]:
            return given["user_id"]
        if given.get("order_id") in shop["orders"]:
            return shop["orders"][given["order_id"]]["user_id"]
    for action in actions:
        for user_id, user in shop["users"].items():
            if _looked_up(action, user):
                return user_id
    return None


def _looked_up(action: Action, user: Mapping[str, Any]) -> bool:
    given = action.arguments
    if action.name == "find_user_id_by_email":
        return given["email"].lower() == user["email"].lower()
    if action.name == "find_user_id_by_name_zip":
        name = user["name"]
        return (given["first_name"].lower(), given["last_name"].lower(), given["zip"]) == (
            name["first_name"].lower(),
            name["last_name"].lower(),
            user["address"]["zip"],
        )
    return False
