"""Every page: the pages, headings and files that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TO_BE_WRITTEN = {"tests/cli/test_longest.py", "tau_retail_env/users/terse.py"}
"""Files that a reader of the pages on adding something writes."""


@pytest.fixture
def pages(repository):
    return [*repository.glob("*.md"), *(repository / "docs").rglob("*.md")]


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).lower() for title in re.findall(r"^#+ (.+)$", text, re.M)]
    return {re.sub(r"[^\w\- ]", "", title.strip()).replace(" ", "-") for title in plain}


def test_every_link_leads_to_a_page_and_a_heading_that_are_there(pages):
    for page in pages:
        for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text(encoding="utf-8")):
            path, _, heading = target.partition("#")
            named = page.parent / path if path else page
            assert named.exists(), f"{page}: {target}"
            assert not heading or heading in headings(named), f"{page}: {target}"


def test_every_file_that_is_named_with_its_folder_is_there(pages, repository):
    roots = [repository, repository / "tau_retail_env", repository / "tests"]
    for page in pages:
        for name in re.findall(r"`((?:[\w.-]+/)+[\w-]+\.(?:py|toml|sh|js|jinja))`", page.read_text(encoding="utf-8")):
            there = any((root / name).exists() for root in [*roots, page.parent])
            assert there or name in TO_BE_WRITTEN, f"{page}: {name}"


def test_every_file_of_tests_that_is_named_alone_is_there(pages, repository):
    tests = {path.name for path in (repository / "tests").rglob("test_*.py")}
    for page in pages:
        named = set(re.findall(r"`(test_\w+\.py)", page.read_text(encoding="utf-8")))
        assert named <= tests, f"{page}: {named - tests}"


def test_the_conversation_with_reasons_is_what_the_python_above_it_prints(repository, capsys):
    page = (repository / "docs" / "reasons.md").read_text(encoding="utf-8")
    [(program, conversation)] = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", page, re.DOTALL)
    exec(compile(program, "reasons.md", "exec", dont_inherit=True), {})
    assert capsys.readouterr().out == conversation
