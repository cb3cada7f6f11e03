"""What README.md shows can be pasted: its Python runs, and its list of commands leaves none out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tau_retail_env.cli.main import COMMANDS


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def test_the_python_example_plays_an_episode_to_its_end(readme, capsys):
    (program,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    names = {"__name__": "example"}
    exec(compile(program, "README.md", "exec", dont_inherit=True), names)
    assert capsys.readouterr().out.startswith("0.0 user_stop {'database': 0.0")
    assert [message["role"] for message in names["history"][:3]] == ["system", "assistant", "user"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_stands_in_the_list_and_on_the_page_of_commands(readme, repository, command):
    page = (repository / "docs" / "tools.md").read_text(encoding="utf-8")
    assert f"    tau-retail {command} " in readme or f"    tau-retail {command}\n" in readme
    assert f"\n| [`{command}`](" in page
