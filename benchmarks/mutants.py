"""Mutation score of a room: how many small faults in it its tests notice: python benchmarks/mutants.py ROOM

A seeded sample of the room's mutants (a comparison turned round, a condition negated, a number one higher, a statement
left out …) is put into a copy of the tree, one at a time. The tests that ran the mutant's line go first, quickest
first; what they let pass meets the whole room's tests. Words are not mutated: a message may be written otherwise.
Needs `pip install coverage` besides the tests' own requirements. A second call goes on where the first stopped.
"""

from __future__ import annotations

import argparse
import ast
import copy
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = "tau_retail_env"
HEAVY = (
    "torch",
    "transformers",
    "pandas",
    "pydantic",
    "openai",
    "httpx",
    "matplotlib.pyplot",
    "rich",
    "hydra",
    "deepdiff",
    "litellm",
)
"""Imported once, before a process is forked for each mutant."""

OTHER = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Div: ast.Mult,
    ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change of one place."""

    file: str
    line: int
    old: str
    new: str
    start: int
    """Offset in bytes of the first byte replaced."""
    end: int
    """Offset of the first byte after it."""

    def of(self, source: bytes) -> bytes:
        """The file's text with the change in it."""
        return source[: self.start] + self.new.encode() + source[self.end :]


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """Every mutant of a file, in the order of its lines."""
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = set()
    for replaced, new in (change for node in _code(ast.parse(source)) for change in _changes(node)):
        start = starts[replaced.lineno - 1] + replaced.col_offset
        end = starts[(replaced.end_lineno or 0) - 1] + (replaced.end_col_offset or 0)
        found.add(Mutant(file, replaced.lineno, source[start:end].decode(), new, start, end))
    return sorted(found, key=lambda mutant: (mutant.start, mutant.end, mutant.new))


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """Whatever runs: no annotations, and no f-strings, in which Python 3.11 does not know its places."""
    yield tree
    for field, value in ast.iter_fields(tree):
        if field not in ("annotation", "returns", "decorator_list"):
            for node in value if isinstance(value, list) else [value]:
                if isinstance(node, ast.AST) and not isinstance(node, ast.JoinedStr):
                    yield from _code(node)


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """What could stand in place of this node, or of a condition in it."""
    match node:
        case ast.Compare(ops=operators):
            for place, operator in enumerate(operators):
                changed = copy.deepcopy(node)
                changed.ops[place] = OTHER[type(operator)]()
                yield node, f"({ast.unparse(changed)})"
        case ast.BoolOp(op=operator) | ast.BinOp(op=operator) if type(operator) in OTHER:
            changed = copy.deepcopy(node)
            changed.op = OTHER[type(operator)]()
            yield node, f"({ast.unparse(changed)})"
        case ast.UnaryOp(op=ast.Not()):
            yield node, f"({ast.unparse(node.operand)})"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value)):
            yield node, str(value + 1)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            yield node, "return None"
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise():
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.Break():
            yield node, "continue"
        case ast.Continue():
            yield node, "break"
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield test, f"(not ({ast.unparse(test)}))"
        case ast.comprehension(ifs=conditions):
            yield from ((condition, f"(not ({ast.unparse(condition)}))") for condition in conditions)


class Tests:
    """The tests of a room in a copy of the tree, each run in a process forked from one that has the large libraries."""

    def __init__(self, tree: Path, paths: Sequence[str]) -> None:
        """Take in where they lie; nothing runs yet."""
        self.tree = tree
        self.paths = list(paths)
        self.seconds: dict[str, float] = {}
        self.of_line: dict[tuple[str, int], set[str]] = defaultdict(set)

    def measure(self, room: str) -> None:
        """Run all with the code as it is, and remember how long each takes and which lines it runs."""
        watch = _Watch(self.tree / PACKAGE / room)
        with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
            outcome, by = self._run(self.paths, [watch], 1800, after=lambda: watch.write(Path(file.name)))
            if outcome != "survived":
                raise SystemExit(f"the tests fail without a mutant, so they can judge none: {outcome}, {by}")
            kept = json.load(file)
        self.seconds = kept["seconds"]
        for name, number, tests in kept["lines"]:
            self.of_line[str(Path(name).relative_to(self.tree)), number] |= {test for test in tests if test}

    def judge(self, mutant: Mutant) -> tuple[str, str]:
        """What becomes of a mutant ("killed", "timeout", "survived") and which test saw to it."""
        file = self.tree / mutant.file
        source, times = file.read_bytes(), file.stat()
        file.write_bytes(mutant.of(source))
        try:
            near = self.of_line[mutant.file, mutant.line]
            if near:
                files = sorted({test.partition("::")[0] for test in near})
                took = sum(self.seconds.get(test, 0) for test in near)
                outcome, by = self._run(files, [_Only(near, self.seconds)], 60 + 10 * took)
                if outcome != "survived":
                    return outcome, by
            return self._run(self.paths, [], 60 + 10 * sum(self.seconds.values()))
        finally:
            file.write_bytes(source)
            os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _run(self, paths, plugins, limit_s, after=lambda: None) -> tuple[str, str]:  # type: ignore[no-untyped-def]
        """Run tests up to the first that fails, in a process of their own."""
        first = _First()
        with tempfile.NamedTemporaryFile("r") as told:
            child = os.fork()
            if not child:
                _in_child(self.tree, Path(told.name), [*paths], [*plugins, first], after)
            until = time.monotonic() + limit_s
            while time.monotonic() < until:
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    return "killed" if status else "survived", told.read()
                time.sleep(0.05)
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return "timeout", told.read()


def _in_child(tree: Path, told: Path, paths: list[str], plugins: list[_First], after) -> None:  # type: ignore[no-untyped-def]
    """Run pytest in a forked process and end it."""
    os.setsid()
    os.chdir(tree)
    sys.path[:] = [str(tree), *(entry for entry in sys.path if Path(entry).resolve() != REPOSITORY)]
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    code: int = 70
    try:
        code = int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--timeout=60", *paths], plugins=plugins))
        after()
    finally:
        told.write_text(plugins[-1].test)
        os._exit(code)


class _First:
    """Remembers the first test that fails."""

    test = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.test:
            self.test = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.test:
            self.test = report.nodeid


class _Only(_First):
    """Keeps the tests that are wanted, quickest first."""

    def __init__(self, wanted: set[str], seconds: dict[str, float]) -> None:
        self.wanted = wanted
        self.seconds = seconds

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self.wanted), key=lambda item: self.seconds.get(item.nodeid, 0)
        )


class _Watch(_First):
    """Notes the seconds of each test, and which lines of a room it runs."""

    def __init__(self, room: Path) -> None:
        from coverage import Coverage  # of no other benchmark

        self.coverage = Coverage(data_file=None, source=[str(room)], config_file=False, messages=False)
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_sessionstart(self) -> None:
        self.coverage.start()

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self.coverage.switch_context(nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        super().pytest_runtest_logreport(report)
        self.seconds[report.nodeid] += report.duration

    def write(self, file: Path) -> None:
        """Write down what was noted; also what a process started by a test would need to know stays out."""
        self.coverage.stop()
        data = self.coverage.get_data()
        lines = [
            (name, line, tests)
            for name in data.measured_files()
            for line, tests in data.contexts_by_lineno(name).items()
        ]
        file.write_text(json.dumps({"seconds": self.seconds, "lines": lines}))


@contextmanager
def _copied_tree() -> Iterator[Path]:
    """A copy of the tree's files, with the folder `shared` beside it where there is one."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        listed = subprocess.run(["git", "-C", str(REPOSITORY), "ls-files", "-z"], check=True, capture_output=True)
        for name in filter(None, listed.stdout.decode().split("\0")):
            if (REPOSITORY / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(REPOSITORY / name, tree / name)
        if (shared := REPOSITORY.parent / "shared").is_dir():
            (tree.parent / "shared").symlink_to(shared)
        yield tree


def main() -> None:
    """Judge the sample, and print what survived and the score."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("room", help=f"a folder of {PACKAGE}/")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="mutants (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="which of all (default: 0)")
    parser.add_argument("--tests", nargs="+", metavar="PATH", help="default: tests/ROOM")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="a line of JSON for each (default: mutants-ROOM.jsonl)"
    )
    options = parser.parse_args()
    report = options.report or Path(f"mutants-{options.room}.jsonl")
    judged = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    with _copied_tree() as tree:
        sources = {
            str(file.relative_to(tree)): file.read_bytes() for file in (tree / PACKAGE / options.room).rglob("*.py")
        }
        every = [mutant for name in sorted(sources) for mutant in mutants_of(name, sources[name])]
        sample = random.Random(options.seed).sample(every, min(options.count, len(every)))
        left = sample[len(judged) :]
        if left:
            for library in HEAVY:
                with suppress(ImportError):
                    import_module(library)
            tests = Tests(tree, options.tests or [f"tests/{options.room}"])
            tests.measure(options.room)
        for mutant in left:
            began = time.monotonic()
            outcome, by = tests.judge(mutant)
            row = {**asdict(mutant), "outcome": outcome, "by": by, "seconds": round(time.monotonic() - began, 1)}
            judged.append(row)
            with report.open("a") as file:
                file.write(json.dumps(row) + "\n")
            print(f"{outcome:9}{mutant.file}:{mutant.line} {mutant.old!r} -> {mutant.new!r}  {by}", flush=True)
    survived = [row for row in judged if row["outcome"] == "survived"]
    for row in survived:
        print(f"survived: {row['file']}:{row['line']} {row['old']!r} -> {row['new']!r}")
    print(f"{len(judged) - len(survived)} of {len(judged)} killed, of {len(every)} possible")


if __name__ == "__main__":
    main()
