"""The page "adding a customer", followed step by step with its own example."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.checkout import copy_package, replace_once, tau_retail


@pytest.fixture(scope="module")
def blocks(repository):
    """What the page has one write: the customer's file, a program, a strategy's name, its maker."""
    page = (repository / "docs" / "adding_a_customer.md").read_text(encoding="utf-8")
    return re.findall(r"```python\n(.*?)```", page, re.DOTALL)


@pytest.fixture(scope="module")
def checkout(repository, blocks, tmp_path_factory):
    """A copy of the package in which the page was followed."""
    folder = tmp_path_factory.mktemp("checkout")
    users = copy_package(repository, folder) / "users"
    customer, _, name, maker = blocks
    (users / "terse.py").write_text(customer, encoding="utf-8")
    last = '    """A person at the terminal."""\n'
    replace_once(users / "base.py", last, last + name)
    head = "def _make(name: str, spec: UserSpec, shop: Mapping[str, Any], source: Source) -> UserSimulator:\n"
    replace_once(users / "__init__.py", head, head + maker)
    return folder


def test_the_customer_plays_in_python_without_being_registered(blocks, capsys):
    exec(compile(blocks[0] + blocks[1], "adding_a_customer.md", "exec", dont_inherit=True), {"__name__": "example"})
    assert capsys.readouterr().out == "1.0 user_stop terse\n"


def test_a_perfect_agent_serves_it_by_its_name(checkout):
    chosen = ["--source", "generated", "--subset", "single*cancellations", "--user-strategy"]
    told = tau_retail(checkout, "review", "--customer", *chosen, "terse", "--episodes", "4", "--workers", "1")
    assert "customer terse: a perfect agent fails in 0 of 4 scored episodes" in told


def test_a_run_takes_it_alone_and_in_a_mixture(checkout, repository):
    shown = ["train", "--config-path", str(repository / "configs"), "--print-config"]
    small = f"pretrain={repository / 'checkpoints' / 'small'}"
    assert "user_strategy: terse" in tau_retail(checkout, *shown, small, "user_strategy=terse")
    tau_retail(checkout, *shown, small, "user_strategy={scripted:0.7,terse:0.3}")


def test_the_example_passes_the_checks_of_the_project(repository, blocks):
    for check in (["check"], ["format", "--check"]):
        checked = subprocess.run(
            [sys.executable, "-m", "ruff", *check, "--stdin-filename", "tau_retail_env/users/terse.py", "-"],
            input=blocks[0],
            capture_output=True,
            text=True,
            check=False,
            cwd=repository,
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
