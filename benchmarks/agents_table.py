"""README's table of agents, a row an agent and a column a set of tasks, from the folders of evaluations.

python benchmarks/agents_table.py outputs/table/*    # a folder AGENT.SET is of the row AGENT, another of its agent's
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.run_files import keys_of
from tau_retail_env.evaluation.outcome import interval_of
from tau_retail_env.evaluation.report import percent

Results = Mapping[str, Any]
"""What an evaluation's results.json holds."""
MISSING = "not measured"
SOURCES = {"tau2": "τ²", "tau_bench": "v1", "generated": "generated"}
"""How the table writes sources, in the order of its columns."""
SHARED = ", of which 74 are τ²'s train tasks in v1's wording"
"""What stands beside all of v1's test (docs/tasks.md)."""


def main() -> None:
    """Read the folders and print the table, and what is not whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of evaluations")
    folders = parser.parse_args().folders
    evaluations = [(_row(folder.name, found), found) for folder, found in ((one, read(one)) for one in folders)]
    print(as_table(evaluations))
    if len(customers := sorted({results["customer_digest"] for _, results in evaluations})) > 1:
        print(f"played with {len(customers)} different customers: {', '.join(customers)}", file=sys.stderr)


def read(folder: Path) -> Results:
    """An evaluation's figures.

    Raises:
        SystemExit: it has none, or not every episode of it was played and scored.
    """
    found = keys_of(folder / "results.json", "episodes", "source", "split", "pass^1")
    episodes = found["episodes"]
    if episodes["scored"] != episodes["asked"]:
        raise SystemExit(f"{folder}: {episodes['scored']} of {episodes['asked']} episodes are scored; play the others")
    return found


def as_table(evaluations: Sequence[tuple[str, Results]]) -> str:
    """The table in Markdown.

    Args:
        evaluations: agents' names, in the order of the rows, each with the figures of one set of tasks.
    """
    by_source = sorted((results for _, results in evaluations), key=lambda one: list(SOURCES).index(one["source"]))
    columns = list(dict.fromkeys(map(_column, by_source)))
    cells = {(agent, _column(results)): cell(results) for agent, results in evaluations}
    rows = [
        ["agent", *columns],
        ["---"] * (1 + len(columns)),
        *([agent, *(cells.get((agent, column), MISSING) for column in columns)] for agent in dict(evaluations)),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def cell(results: Results) -> str:
    """pass^1 to pass^k in percent with their intervals over tasks; one number where all k are alike."""
    estimates = {name: results[name] for name in results if name.startswith("pass^")}
    if len({round(one["value"], 9) for one in estimates.values()}) == 1:
        return _in_words(results["pass^1"])
    return "<br>".join(f"^{name.removeprefix('pass^')}: {_in_words(one)}" for name, one in estimates.items())


def _row(name: str, results: Results) -> str:
    """The agent as the table names it: by a folder AGENT.SET, else by its server's model or the word of --agent."""
    agent, *rest = name.split(".")
    return agent if len(rest) == 1 else str(results["model"] or results["agent"])


def _column(results: Results) -> str:
    """What was played."""
    source, version = results["source"], results["task_version"]
    edition = f" {version}" if source == "tau2" else ""
    mixed = SHARED if (source, results["split"], results["tasks"]) == ("tau_bench", "test", 115) else ""
    floor = percent(results["floor"])
    return f"{SOURCES[source]}{edition} `{results['split']}`, {results['tasks']} tasks{mixed}, floor {floor}"


def _in_words(one: Mapping[str, Any]) -> str:
    """An estimate with its interval."""
    interval = interval_of(one)
    return f"{percent(one['value'])} ({percent(interval.low)} to {percent(interval.high)})"


if __name__ == "__main__":
    main()
