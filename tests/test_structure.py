"""The lines that hold the package together: who may import whom, what an import costs, what no file may contain."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = "tau_retail_env"
RANKS = {
    "errors": 0,
    "files": 0,
    "shipped": 0,
    "folder_lock": 0,
    "trackers": 0,
    "warm_up": 0,
    "tasks": 1,
    "world": 2,
    "users": 2,
    "chat": 2,
    "env": 3,
    "episodes": 4,
    "metrics": 4,
    "curves": 4,
    "config": 4,
    "evaluation": 5,
    "training": 5,
    "roll": 5,
    "cli": 6,
    "catalogue": 6,
    "customer_check": 6,
    "customer_choice": 6,
    "doctor": 6,
    "serving": 6,
    "start": 6,
    "terminal": 6,
}
"""A room may import rooms of its own rank or below; rooms of rank 5 not even one another."""
ENGINES = {room for room, rank in RANKS.items() if rank == 5}
PUBLIC_NAMES = {"TauRetailEnv": "env", "load_tasks": "tasks"}
"""What the package's own __init__ offers, and the room it comes from."""
ONLY_IN = {
    "roll": {"roll"},
    "ray": {"roll"},
    "trl": {"training"},
    "torch": {"episodes", "training", "roll"},
    "transformers": {"episodes", "training", "roll"},
}


def source_files(repository: Path) -> list[Path]:
    return sorted((repository / PACKAGE).rglob("*.py"))


def room_of(path: Path, repository: Path) -> str:
    return path.relative_to(repository / PACKAGE).parts[0].removesuffix(".py")


def imported_modules(tree: ast.AST, package: str) -> Iterator[str]:
    """Every module that a file imports, at its top or inside a function; `from a import b` counts as a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*parents, module] if module else parents)
            yield from (f"{module}.{alias.name}" for alias in node.names)


def imports_of(path: Path, repository: Path) -> list[str]:
    package = ".".join(path.relative_to(repository).parent.parts)
    return list(imported_modules(ast.parse(path.read_text(encoding="utf-8")), package))


def rooms_imported(modules: list[str]) -> set[str]:
    parts = [module.split(".") for module in modules if module.split(".")[0] == PACKAGE and "." in module]
    return {PUBLIC_NAMES.get(part[1], part[1]) for part in parts if part[1] not in ("__version__", "*")}


def wrong_imports(room: str, modules: list[str]) -> list[str]:
    """What a file of a room must not import, in words."""
    if room == "__init__":
        return []
    found = []
    for other in rooms_imported(modules) - {room}:
        if RANKS[other] > RANKS[room] or {room, other} <= ENGINES:
            found.append(f"{room} imports {PACKAGE}.{other}")
    for module in modules:
        top = module.split(".")[0]
        if room not in ONLY_IN.get(top, {room}):
            found.append(f"{room} imports {top}")
    return found


def test_every_room_has_its_place(repository):
    assert {room_of(path, repository) for path in source_files(repository)} - {"__init__"} <= set(RANKS)


def test_imports_go_one_way(repository):
    found = [
        f"{path.relative_to(repository)}: {words}"
        for path in source_files(repository)
        for words in wrong_imports(room_of(path, repository), imports_of(path, repository))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("tasks", "from tau_retail_env.world import open_shop"),
        ("chat", "def late():\n    from tau_retail_env.env import TauRetailEnv"),
        ("users", "from tau_retail_env import TauRetailEnv"),
        ("config", "import tau_retail_env.training.sft"),
        ("training", "from tau_retail_env.evaluation import report"),
        ("evaluation", "from ..roll import manager"),
        ("env", "import torch.nn"),
        ("episodes", "def late():\n    import trl"),
        ("cli", "import ray"),
    ],
)
def test_a_wrong_import_is_noticed(room, source):
    assert wrong_imports(room, list(imported_modules(ast.parse(source), f"{PACKAGE}.{room}")))


def test_importing_the_package_costs_nothing(tmp_path):
    """No heavy module, no network, no output, in a Python of its own."""
    program = textwrap.dedent(
        """
        import sys

        def watch(event, arguments):
            if event.startswith("socket."):
                raise SystemExit(f"network used: {event} {arguments}")

        sys.addaudithook(watch)
        import tau_retail_env
        heavy = "torch transformers trl litellm pandas pydantic numpy tau2 hydra rich".split()
        raise SystemExit(" ".join(name for name in heavy if name in sys.modules) or None)
        """
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).resolve().parent.parent), "PATH": ""},
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def tracked_files(repository: Path) -> list[Path]:
    if shutil.which("git") is None or not (repository / ".git").exists():
        pytest.skip("needs a git checkout")
    listing = subprocess.run(
        ["git", "-C", str(repository), "ls-files", "-z"], capture_output=True, text=True, check=True
    ).stdout
    return [path for name in listing.split("\0") if name and (path := repository / name).is_file()]


def test_every_python_file_says_first_what_it_is_for(repository):
    files = [path for path in tracked_files(repository) if path.suffix == ".py" and path.stat().st_size]
    silent = [path for path in files if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]
    assert files
    assert silent == []


def test_every_script_and_configuration_says_first_what_it_is_for(repository):
    files = [path for path in tracked_files(repository) if path.suffix in (".sh", ".yaml", ".toml")]
    silent = []
    for path in files:
        text = path.read_text(encoding="utf-8")
        lines = [line for line in text.splitlines() if not line.startswith(("#!", "# @package "))]
        if not lines or not re.match(r"# \w", lines[0]):
            silent.append(path)
    assert files
    assert silent == []


def test_no_file_names_a_place_of_one_machine(repository):
    folders = "|".join(("work", "root", "tmp", "home", "opt", "Users"))
    hosts = "|".join(("files.pythonhosted", "download.pytorch", "pypi", "test.pypi"))
    pattern = re.compile(rf"(?<![\w.~}}\"'/-])/(?:{folders})/\w|(?:{hosts})\.org|--(?:extra-)?index-url")
    found = []
    for path in tracked_files(repository):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(repository)}: {match.group()}" for match in pattern.finditer(text)]
    assert found == []
