"""The environment of a checkout of τ² in a process of its own: a script a line in, what happened a line out.

Every script finds the database as it was: what one has changed is told by comparing all entries, and put back.
"""

import gc
import json
import sys
import types
import warnings

import loguru

READING = {"orders": ("get_order_details", "order_id"), "users": ("get_user_details", "user_id")}
"""By table: the tool that shows a whole entry, and its argument."""


def main() -> None:
    """Read the package's folder and that of the retail data from the arguments, scripts from standard input."""
    package, retail = sys.argv[1:]
    loguru.logger.disable("tau2")
    warnings.simplefilter("ignore")
    root = types.ModuleType("tau2")  # its own __init__ imports every model client
    root.__path__ = [package]
    sys.modules["tau2"] = root
    from tau2.data_model.message import ToolCall
    from tau2.domains.retail.data_model import RetailDB
    from tau2.domains.retail.environment import get_environment

    with open(f"{retail}/db.json", encoding="utf-8") as file:
        text = file.read()
    with open(f"{retail}/policy.md", encoding="utf-8") as file:
        rules = file.read()
    environment = get_environment(RetailDB.model_validate_json(text))
    database = environment.tools.db
    before = {place: (entry.model_dump_json(), form(entry)) for place, entry in entries(database)}
    tell({"tools": [tool.openai_schema for tool in environment.get_tools()], "policy": environment.policy == rules})
    gc.freeze()
    gc.disable()  # else the database is searched for cycles all the time
    for line in sys.stdin:
        calls = [ToolCall(id="1", name=name, arguments=given) for name, given in json.loads(line)]
        answers = [environment.get_response(call) for call in calls]
        assert [place for place, _ in entries(database)] == list(before)
        changed = {place: entry for place, entry in entries(database) if entry.model_dump_json() != before[place][0]}
        shown = {}
        for table, key in changed:
            if table in READING:
                tool, argument = READING[table]
                shown[f"{table}/{key}"] = environment.get_response(
                    ToolCall(id="1", name=tool, arguments={argument: key})
                ).content
        changes = {"/".join(place): form(entry) for place, entry in changed.items()}
        tell({"answers": [[one.content, bool(one.error)] for one in answers], "changes": changes, "shown": shown})
        for (table, key), entry in changed.items():
            getattr(database, table)[key] = type(entry).model_validate_json(before[table, key][0])
            assert form(getattr(database, table)[key]) == before[table, key][1]


def entries(database):
    """Every entry of the database under its table and id."""
    return [
        ((table, key), entry)
        for table in ("orders", "users", "products")
        for key, entry in getattr(database, table).items()
    ]


def form(entry) -> str:
    """An entry as upstream's hash sees it."""
    return json.dumps(entry.model_dump(warnings=False), sort_keys=True, default=str)


def tell(found: dict) -> None:
    """Write one line."""
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
