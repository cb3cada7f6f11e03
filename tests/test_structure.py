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
ROOMS = (
    "errors urls blocks messages tasks world chat sources users env agents models episodes statistics runs "
    "config evaluation chain local roll doctor cli __main__"
).split()
"""Every room, lowest first: a room may import those before it; the two engines not even one another."""
ENGINES = {"local", "roll"}
LOOSE = {"__init__.py", "__main__.py", "messages.py", "errors.py", "urls.py"}
"""The only modules at the top of the package; everything else lies in a room."""
MOST_LINES_OF_A_FILE = 500
MOST_LINES_OF_A_FUNCTION = 50
"""Its docstring aside: what can be read without scrolling."""
PUBLIC_NAMES = {"TauRetailEnv": "env", "load_tasks": "sources"}
"""What the package's own __init__ offers, and the room it comes from."""
ONLY_IN = {
    "roll": {"roll"},
    "ray": {"roll"},
    "trl": {"local"},
    "torch": {"models", "local", "roll"},
    "transformers": {"models", "local", "roll"},
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
        if ROOMS.index(other) > ROOMS.index(room) or {room, other} <= ENGINES:
            found.append(f"{room} imports {PACKAGE}.{other}")
    for module in modules:
        top = module.split(".")[0]
        if room not in ONLY_IN.get(top, {room}):
            found.append(f"{room} imports {top}")
    return found


def test_every_room_has_its_place(repository):
    assert {room_of(path, repository) for path in source_files(repository)} - {"__init__"} <= set(ROOMS)


def test_no_module_stands_loose(repository):
    assert {path.name for path in (repository / PACKAGE).glob("*.py")} == LOOSE


def test_every_file_and_every_function_can_be_read_in_one_piece(repository):
    too_long = []
    for path in source_files(repository):
        text = path.read_text(encoding="utf-8")
        if len(text.splitlines()) > MOST_LINES_OF_A_FILE:
            too_long.append(f"{path.relative_to(repository)}: {len(text.splitlines())} lines")
        too_long += [
            f"{path.relative_to(repository)}: {function.name} has {lines_of(function)} lines"
            for function in ast.walk(ast.parse(text))
            if isinstance(function, ast.FunctionDef) and lines_of(function) > MOST_LINES_OF_A_FUNCTION
        ]
    assert too_long == []


def lines_of(function: ast.FunctionDef) -> int:
    """The lines of a function without its docstring."""
    words = function.body[0] if ast.get_docstring(function, clean=False) is not None else None
    return function.end_lineno - function.lineno + 1 - (words.end_lineno - words.lineno + 1 if words else 0)


@pytest.mark.parametrize(("body", "lines"), [("    pass\n", 2), ('    """Say.\n\n    More.\n    """\n    pass\n', 2)])
def test_a_docstring_does_not_make_a_function_long(body, lines):
    assert lines_of(ast.parse(f"def one():\n{body}").body[0]) == lines


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
        ("tasks", "from tau_retail_env.sources import open_shop"),
        ("chat", "def late():\n    from tau_retail_env.env import TauRetailEnv"),
        ("users", "from tau_retail_env import TauRetailEnv"),
        ("config", "import tau_retail_env.local.sft"),
        ("users", "from tau_retail_env.agents import oracle"),
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


def test_the_package_tells_type_checkers_that_it_is_typed(repository):
    assert (repository / PACKAGE / "py.typed").is_file()


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
