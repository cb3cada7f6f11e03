"""The page "adding a source", its part about the commands followed step by step; test_contract.py runs its example."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.checkout import copy_package, replace_once, tau_retail


@pytest.fixture(scope="module")
def checkout(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package that has the shop of lamps."""
    page = (repository / "docs" / "adding_a_source.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    folder = tmp_path_factory.mktemp("checkout")
    sources = copy_package(repository, folder) / "sources"
    (sources / "lamps").mkdir()
    (sources / "lamps" / "__init__.py").touch()
    source = sources / "lamps" / "source.py"
    source.write_text("".join(example.splitlines(keepends=True)[:-7]), encoding="utf-8")
    replace_once(source, "from tau_retail_env import TauRetailEnv\n", "")
    replace_once(source, "from tau_retail_env.agents.oracle import OracleAgent\n", "")
    replace_once(
        source,
        "from tau_retail_env.sources import Source, register_source",
        "from tau_retail_env.sources.base import Source",
    )
    replace_once(source, "@register_source\n", "")
    registry = sources / "registry.py"
    first = "from tau_retail_env.sources.base import Source\n"
    replace_once(registry, first, f"{first}from tau_retail_env.sources.lamps.source import LampShop\n")
    replace_once(registry, "GeneratedSource)}", "GeneratedSource, LampShop)}")
    return folder


def test_the_commands_list_show_and_play_its_task(checkout):
    assert "1 tasks: cancellations 1, single 1" in tau_retail(checkout, "tasks", "--source", "lamps")
    assert 'orders #W2 status: "pending" -> "cancelled"' in tau_retail(checkout, "tasks", "lamps/0")
    assert "Reward: 1.0" in tau_retail(checkout, "play", "--as", "nobody", "--task", "lamps/0")
    assert "1 of 1" in tau_retail(checkout, "oracle", "--source", "lamps")


def test_agents_are_evaluated_and_compared_on_it(checkout):
    for agent in ("oracle", "silent"):
        tau_retail(checkout, "eval", "--source", "lamps", "--agent", agent, "--output", agent)
    assert "pass^1 on the same 1 task: A 100.0, B 0.0" in tau_retail(checkout, "compare", "oracle", "silent")
