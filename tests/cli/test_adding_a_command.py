"""The page "adding a command", followed step by step with its own example."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tau_retail_env.cli import main
from tau_retail_env.sources import load_tasks


def example(repository: Path) -> str:
    page = (repository / "docs" / "adding_a_command.md").read_text(encoding="utf-8")
    return re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]


@pytest.fixture
def longest(repository, monkeypatch):
    """The example's file, and its line in the table."""
    module = ModuleType("longest")
    exec(compile(example(repository), "longest.py", "exec"), vars(module))
    program = importlib.import_module("tau_retail_env.cli.main")
    monkeypatch.setattr(program, "COMMANDS", {**program.COMMANDS, "longest": module})


def test_the_command_works_with_the_options_that_it_shares(longest, capsys):
    assert main(["longest", "--split", "train", "--limit", "2"]) == 0
    shown = capsys.readouterr().out.splitlines()
    most = max(len(task.actions) for task in load_tasks("tau2", "train"))
    assert len(shown) == 2
    assert shown[0].endswith(f" {most} gold actions")


def test_its_help_and_its_errors_come_by_themselves(longest, capsys):
    with pytest.raises(SystemExit):
        main(["longest", "--help"])
    shown = capsys.readouterr().out
    assert "Name the tasks with the most gold actions." in shown
    assert "examples:\n  tau-retail longest --split train --limit 5" in shown
    assert main(["longest", "--subset", "refunds"]) == 2
    assert capsys.readouterr().err.startswith("error: Unknown --subset 'refunds'")


def test_the_example_passes_the_checks_of_the_project(repository):
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--stdin-filename", "tau_retail_env/cli/longest.py", "-"],
        input=example(repository),
        capture_output=True,
        text=True,
        check=False,
        cwd=repository,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
