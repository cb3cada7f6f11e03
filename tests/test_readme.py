"""The README: its Python runs as it stands, the program takes its commands, its layout is that of the package."""

from __future__ import annotations

import argparse
import io
import re
import shlex
from pathlib import Path

import pytest

from tau_retail_env.cli import main
from tau_retail_env.cli.main import COMMANDS
from tests.test_structure import ROOMS


@pytest.fixture
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def test_every_python_example_runs_as_it_stands(readme, capsys):
    programs = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert programs
    for program in programs:
        exec(compile(program, "README.md", "exec", dont_inherit=True), {})
    assert capsys.readouterr().out.startswith("1.0 user_stop ")


def commands(text: str) -> list[list[str]]:
    """The words of every line that begins with tau-retail, its comment and what the shell reads of it left out."""
    lines = re.findall(r"^ +(?:[A-Z0-9_]+=\S+ )*tau-retail (.+)$", text, re.MULTILINE)
    return [shlex.split(line.split(" > ")[0], comments=True) for line in lines]


def test_every_command_shown_is_read_by_the_program(readme):
    shown = commands(readme)
    assert {words[0] for words in shown} == set(COMMANDS)
    for name, *words in shown:
        parser = argparse.ArgumentParser(exit_on_error=False)
        COMMANDS[name].add_options(parser)
        parser.parse_intermixed_args(words)


NEEDS_MORE = re.compile(r"[A-Z]{2}|http:|outputs/RUN|serve-user|train|audit|--task-version|--source tau_bench|small")
"""In a command: a placeholder, a model, a server, another source; `audit` takes minutes."""


def needs_more(words: list[str]) -> bool:
    """Whether a command waits for the slow test in tests/local/test_readme_commands.py."""
    return NEEDS_MORE.search(shlex.join(words)) is not None


def listed_commands(repository: Path) -> list[list[str]]:
    """The words of every command of the list."""
    text = (repository / "README.md").read_text(encoding="utf-8")
    return commands(text.split("## Command line")[1].split("\n## ")[0])


def test_every_command_of_the_list_that_needs_no_model_and_no_server_works(repository, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    for name, agent in (("A", "silent"), ("B", "oracle")):
        assert main(["eval", "--agent", agent, "--limit", "4", "--output", f"outputs/eval/{name}"]) == 0
    elsewhere = ["tasks", "--subsets"]  # makes every task there is: tests/cli/test_main.py reads what it prints
    shown = [words for words in listed_commands(repository) if not needs_more(words)]
    shown.remove(elsewhere)
    assert {words[0] for words in shown} == set(COMMANDS) - {"eval", "train", "serve-user", "audit"}
    assert [words for words in shown if main(words) != 0] == []


def test_the_layout_names_every_room_and_nothing_that_is_not_there(readme, repository):
    layout = readme.split("## Layout")[1]
    named = set(re.findall(r"`([a-z0-9_/.-]+?)/?`", layout.replace("tau_retail_env/", "")))
    package = repository / "tau_retail_env"
    rooms = {path.name for path in package.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= named
    for name in re.findall(r"^\| `(.+?)/?`", layout, re.MULTILINE):
        assert (repository / name).exists(), name


def test_the_index_of_the_docs_lists_every_page_and_recorded_run(repository):
    docs = repository / "docs"
    index = (docs / "README.md").read_text(encoding="utf-8")
    pages = [path.name for path in docs.glob("*.md") if path.name != "README.md"]
    folders = [f"runs/{path.name}/README.md" for path in (docs / "runs").iterdir() if path.is_dir()]
    assert [page for page in pages + folders if f"({page})" not in index] == []


def test_the_picture_of_the_rooms_has_every_room_in_the_order_of_imports(repository):
    picture = (repository / "docs" / "architecture.md").read_text(encoding="utf-8").split("```")[1]
    names = " ".join(line[:33] for line in picture.splitlines())
    assert re.findall(r"[a-z]+", names) == [room for room in ROOMS if room != "__main__"]
