"""τ²-bench's tasks: read as plain JSON, without importing upstream's code."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.errors import unknown
from tau_retail_env.sources.task_checks import check_tasks
from tau_retail_env.sources.tau2.editions import VERSIONS, Edition, edition_of, installed
from tau_retail_env.tasks.task import Action, Scenario, Task


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
    edition = edition_of(version)
    rows = edition.read("tasks.json")
    _check_ids(edition, split, known[split], [row.get("id") for row in rows])
    database = shop_database(edition)
    return [task_of(row, split, version, database) for row in rows if row["id"] in known[split]]


def _check_ids(edition: Edition, split: str, wanted: Sequence[object], ids: Sequence[object]) -> None:
    """Refuse a task that is there twice or has no id, and a split that names one that is not there.

    Raises:
        InvalidValueError: names the file and the id.
    """
    if nameless := [task_id for task_id in ids if not isinstance(task_id, str)]:
        raise edition.broken("tasks.json", f"holds a task whose id is {nameless[0]!r}, expected a text")
    for task_id, count in Counter(map(repr, ids)).items():
        if count > 1:
            raise edition.broken("tasks.json", f"holds task {task_id} {count} times")
    if missing := [task_id for task_id in wanted if task_id not in ids]:
        raise edition.broken(
            "split_tasks.json", f"names task {missing[0]!r} in split {split!r}, which tasks.json does not hold"
        )


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
    from tau_retail_env.sources.tau2.rows import Criteria, read_row  # doctor reads this file without pydantic

    read = read_row(row)
    briefing, persona = read.user_scenario.instructions, read.user_scenario.persona
    criteria = read.evaluation_criteria or Criteria(reward_basis=[])
    parts = (briefing.reason_for_call, briefing.known_info, briefing.unknown_info, briefing.task_instructions)
    actions = tuple(
        Action(action.name, action.arguments, action.requestor or "assistant") for action in criteria.actions or ()
    )
    task = Task(
        id=f"tau2/{read.id}",
        source="tau2",
        domain="retail",
        split=split,
        instruction="\n".join(part for part in parts if part),
        actions=actions,
        outputs=tuple(criteria.communicate_info or ()),
        user_id=_customer_id(actions, database),
        scenario=Scenario(
            persona=persona,
            reason_for_call=briefing.reason_for_call,
            known_info=briefing.known_info,
            unknown_info=briefing.unknown_info,
            task_instructions=briefing.task_instructions,
        ),
        initial_state=read.initial_state,
        reward_basis=tuple(criteria.judged),
        version=version,
        assertions=tuple(criteria.nl_assertions or ()),
    )
    check_tasks([task])
    return task


def _customer_id(actions: tuple[Action, ...], shop: Mapping[str, Any]) -> str | None:
    """Whose task it is: the user whom the gold actions look up, or whose order they touch."""
    for action in actions:
        user_id, order_id = (str(action.arguments.get(name)) for name in ("user_id", "order_id"))
        if user_id in shop["users"]:
            return user_id
        if order_id in shop["orders"]:
            return shop["orders"][order_id]["user_id"]
    for action in actions:
        for user_id, user in shop["users"].items():
            if _looked_up(action, user):
                return user_id
    return None


def _looked_up(action: Action, user: Mapping[str, Any]) -> bool:
    given = action.arguments
    if action.name == "find_user_id_by_email":
        return str(given.get("email")).lower() == user["email"].lower()
    if action.name == "find_user_id_by_name_zip":
        name = user["name"]
        asked = [str(given.get(part)).lower() for part in ("first_name", "last_name", "zip")]
        return asked == [name["first_name"].lower(), name["last_name"].lower(), user["address"]["zip"]]
    return False
