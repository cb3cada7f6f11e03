"""The environment of a checkout of τ² in a process of its own: a script a line in, what happened a line out."""

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
    before = forms(environment.tools.db)
    tell({"tools": [tool.openai_schema for tool in environment.get_tools()], "policy": environment.policy == rules})
    gc.freeze()
    gc.disable()  # else every fresh database is searched for cycles several times
    for count, line in enumerate(sys.stdin, 1):
        environment = get_environment(RetailDB.model_validate_json(text))
        calls = [ToolCall(id="1", name=name, arguments=given) for name, given in json.loads(line)]
        answers = [environment.get_response(call) for call in calls]
        changes = {place: form for place, form in forms(environment.tools.db).items() if form != before[place]}
        shown = {}
        for place in changes:
            table, _, key = place.partition("/")
            tool, argument = READING[table]
            shown[place] = environment.get_response(ToolCall(id="1", name=tool, arguments={argument: key})).content
        if count % 100 == 0:
            gc.collect()
        tell({"answers": [[one.content, bool(one.error)] for one in answers], "changes": changes, "shown": shown})


def forms(database) -> dict[str, str]:
    """Every entry as upstream's hash sees it."""
    dump = database.model_dump(warnings=False)
    return {
        f"{table}/{key}": json.dumps(entry, sort_keys=True, default=str)
        for table in ("orders", "users", "products")
        for key, entry in dump[table].items()
    }


def tell(found: dict) -> None:
    """Write one line."""
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
