"""Plays tool calls on the environment of a checkout of τ², in a process of its own: scripts in, what happened out."""

import json
import sys
import types
import warnings

import loguru


def main() -> None:
    """Read the package's folder, the database and the policy from the arguments, scripts from standard input."""
    package, database, policy = sys.argv[1:]
    loguru.logger.disable("tau2")
    warnings.simplefilter("ignore")
    root = types.ModuleType("tau2")  # its own __init__ imports every model client
    root.__path__ = [package]
    sys.modules["tau2"] = root
    from tau2.data_model.message import ToolCall
    from tau2.domains.retail.data_model import RetailDB
    from tau2.domains.retail.environment import get_environment

    with open(database, encoding="utf-8") as file:
        text = file.read()
    before = forms(RetailDB.model_validate_json(text))
    played = []
    for script in json.load(sys.stdin):
        environment = get_environment(RetailDB.model_validate_json(text))
        answers = [environment.get_response(ToolCall(id="1", name=name, arguments=given)) for name, given in script]
        after = forms(environment.tools.db)
        changes = {place: form for place, form in after.items() if form != before[place]}
        played.append({"answers": [[one.content, bool(one.error)] for one in answers], "changes": changes})
    with open(policy, encoding="utf-8") as file:
        rules = file.read()
    tools = [tool.openai_schema for tool in environment.get_tools()]
    json.dump({"played": played, "tools": tools, "policy": environment.policy == rules}, sys.stdout)


def forms(database) -> dict[str, str]:
    """Every entry as upstream's hash sees it."""
    dump = database.model_dump(warnings=False)
    return {
        f"{table}/{key}": json.dumps(entry, sort_keys=True, default=str)
        for table in ("orders", "users")
        for key, entry in dump[table].items()
    }


if __name__ == "__main__":
    main()
