"""Mutation score of a room: how many small faults in it its tests notice: python benchmarks/mutants.py ROOM

A seeded sample of the room's mutants (a comparison turned round, a condition negated, a number one higher, a statement
left out …) is put into a copy of the tree, one at a time. The tests that ran the mutant's line go first, then those
that ran anything of its file. A test that fails without the mutant, too, is left out. Words are not mutated: a message
may be written otherwise. Needs `pip install coverage` besides the tests' own requirements. A second call goes on where
the first stopped.
"""

from __future__ import annotations

import argparse
import ast
import copy
import gc
import inspect
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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from types import CodeType, FunctionType

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = "tau_retail_env"
ARGUMENTS = ("-p", "no:terminal", "-p", "no:cacheprovider", "--timeout=60")
"""Of pytest; a test that a mutant lets hang is ended."""

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
        lost = "\n" * (self.old.count("\n") - self.new.count("\n"))  # every line keeps its number
        new = f"{self.new[:-1]}{lost})" if self.new.endswith(")") else self.new + lost
        return source[: self.start] + new.encode() + source[self.end :]


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
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            yield test, f"(not ({ast.unparse(test)}))"
        case ast.comprehension(ifs=conditions):
            yield from ((condition, f"(not ({ast.unparse(condition)}))") for condition in conditions)


@dataclass
class Measured:
    """What the tests do without a mutant."""

    seconds: dict[str, float]
    """Of each test that passes."""
    of_line: dict[tuple[str, int], set[str]]
    """The tests that run a line of a file."""

    def near(self, mutant: Mutant) -> set[str]:
        """The tests that run the mutant's line; where that is run at import, all that run anything of its file."""
        return self.of_line.get((mutant.file, mutant.line)) or self.of_file(mutant.file)

    def of_file(self, file: str) -> set[str]:
        """The tests that run anything of a file."""
        return {test for (name, _), tests in self.of_line.items() if name == file for test in tests}

    def leave_out(self, test: str) -> None:
        """Forget a test that fails without a mutant, too."""
        self.seconds.pop(test, None)
        for tests in self.of_line.values():
            tests.discard(test)


class Judge:
    """A plugin of pytest: once the tests are collected, a forked process for each mutant runs those that are near it.

    Args:
        tree: the copy.
        room: folder of the package.
        mutants: what to judge.
        told: takes each mutant with what became of it, and the test that saw to that.
    """

    def __init__(
        self, tree: Path, room: str, mutants: Sequence[Mutant], told: Callable[[Mutant, str, str], None]
    ) -> None:
        self.tree, self.room, self.mutants, self.told = tree, room, mutants, told

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In the place of pytest's own loop."""
        self.session = session
        self.measured = self._measure()
        for mutant in self.mutants:
            outcome, by = self._judge(mutant)
            with session.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
                self.told(mutant, outcome, by)
        return True

    def _measure(self) -> Measured:
        """Run all tests with the code as it is; those that fail are left out."""
        with tempfile.NamedTemporaryFile("r") as file:
            _in_fork(lambda: _watch(self.session, self.tree / PACKAGE / self.room, Path(file.name)), 3600)
            told = json.load(file)
        of_line = {(str(Path(name).relative_to(self.tree)), line): set(tests) for name, line, tests in told["lines"]}
        measured = Measured(told["seconds"], of_line)
        for test in told["failed"]:
            measured.leave_out(test)
        return measured

    def _judge(self, mutant: Mutant) -> tuple[str, str]:
        """What becomes of a mutant ("killed", "timeout", "survived"), and the test that saw to it."""
        near = self.measured.near(mutant)
        rounds = (near, self.measured.of_file(mutant.file) - near)
        items = [item for tests in rounds for item in self._in_order(tests)]
        if not items:
            return "survived", ""
        outcome, by = self._run(items, mutant)
        if outcome == "killed" and by in self.measured.seconds:
            alone = [item for item in items if item.nodeid == by]
            if self._run(alone, None)[0] == "killed":
                self.measured.leave_out(by)
                return self._judge(mutant)
        return outcome, by

    def _run(self, items: Sequence[pytest.Item], mutant: Mutant | None) -> tuple[str, str]:
        """Run tests up to the first that fails, with a mutant or without."""
        limit_s = 60 + 20 * sum(self.measured.seconds[item.nodeid] for item in items)
        with tempfile.NamedTemporaryFile("r") as first:
            if mutant is None:
                return _in_fork(lambda: _write_failing(self.session, items, Path(first.name)), limit_s), first.read()
            file = self.tree / mutant.file
            source, times = file.read_bytes(), file.stat()
            changed = mutant.of(source)
            file.write_bytes(changed)
            try:
                outcome = _in_fork(
                    lambda: (
                        _write_failing(self.session, items, Path(first.name))
                        if _take_in(file, source, changed)
                        else _write_failing_anew(items, Path(first.name))
                    ),
                    limit_s,
                )
                return outcome, first.read()
            finally:
                file.write_bytes(source)
                os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))

    def _in_order(self, tests: set[str]) -> list[pytest.Item]:
        """The quickest file first, in it the quickest test."""
        files: dict[str, list[pytest.Item]] = defaultdict(list)
        for item in self.session.items:
            if item.nodeid in tests & self.measured.seconds.keys():
                files[str(item.path)].append(item)

        def cost(item: pytest.Item) -> float:
            return self.measured.seconds[item.nodeid]

        cheapest = sorted(files.values(), key=lambda found: sum(map(cost, found)))
        return [item for found in cheapest for item in sorted(found, key=cost)]


def _in_fork(work: Callable[[], bool], limit_s: float) -> str:
    """Do some work in a process of its own: "killed" where it returns True or fails, "survived", or "timeout"."""
    child = os.fork()
    if not child:
        os.setsid()
        silent = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silent, stream)
        code = 1
        try:
            code = int(work())
        finally:
            os._exit(code)
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return "killed" if status else "survived"
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "timeout"


class _Listener:
    """Remembers the first test that fails, and the seconds of each."""

    def __init__(self) -> None:
        self.failing = ""
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.failed:
            self.failing = report.nodeid

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.failing = report.nodeid


def _run_items(session: pytest.Session, items: Sequence[pytest.Item], listener: _Listener) -> Iterator[pytest.Item]:
    """Run tests that are collected, and give each when it has ended."""
    session.config.pluginmanager.register(listener)
    for item, following in zip_longest(items, items[1:]):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        yield item


def _write_failing(session: pytest.Session, items: Sequence[pytest.Item], told: Path) -> bool:
    """Run tests up to one that fails; its name is written down."""
    listener = _Listener()
    any(listener.failing for _ in _run_items(session, items, listener))
    told.write_text(listener.failing)
    return bool(listener.failing)


def _write_failing_anew(items: Sequence[pytest.Item], told: Path) -> bool:
    """The same with all of the project imported again, for a mutant of what runs at import."""
    for name in [name for name in sys.modules if name.partition(".")[0] in (PACKAGE, "tests", "benchmarks")]:
        del sys.modules[name]
    wanted = [item.nodeid for item in items]

    class Only(_Listener):
        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            items[:] = sorted(
                (item for item in items if item.nodeid in wanted), key=lambda item: wanted.index(item.nodeid)
            )

    only = Only()
    paths = list(dict.fromkeys(test.partition("::")[0] for test in wanted))
    code = pytest.main([*ARGUMENTS, "-x", *paths], plugins=[only])
    told.write_text(only.failing or str(code))
    return code != 0


def _watch(session: pytest.Session, room: Path, told: Path) -> bool:
    """Run all tests, and write down how long each takes, which fail, and which lines of the room each runs."""
    from coverage import Coverage  # no other benchmark needs it

    coverage = Coverage(data_file=None, source=[str(room)], config_file=False, messages=False)
    listener, failed = _Listener(), []
    coverage.start()
    coverage.switch_context(session.items[0].nodeid)
    for item, following in zip_longest(
        _run_items(session, session.items, listener), session.items[1:], fillvalue=session.items[0]
    ):
        coverage.switch_context(following.nodeid)
        if listener.failing:
            failed.append(item.nodeid)
            listener.failing = ""
    coverage.stop()
    data = coverage.get_data()
    lines = [
        (name, line, [test for test in tests if test])
        for name in data.measured_files()
        for line, tests in data.contexts_by_lineno(name).items()
    ]
    told.write_text(json.dumps({"seconds": listener.seconds, "failed": failed, "lines": lines}))
    return False


def _take_in(file: Path, old: bytes, new: bytes) -> bool:
    """Give the loaded functions of a file their new code; False where that cannot be, or more than functions differ."""
    before, after = (compile(source, str(file), "exec") for source in (old, new))
    if _skeleton(before) != _skeleton(after):
        return False
    changed = {was: now for was, now in zip(_functions(before), _functions(after), strict=True) if was != now}
    found = 0
    for one in gc.get_objects():
        if isinstance(one, FunctionType) and one.__code__.co_filename == str(file) and one.__code__ in changed:
            one.__code__ = changed[one.__code__]
            found += 1
    return found >= len(changed)


def _functions(code: CodeType) -> list[CodeType]:
    """The functions of a module and of its classes; those within functions belong to them."""
    found = []
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            found += [inner] if inner.co_flags & inspect.CO_OPTIMIZED else _functions(inner)
    return found


def _skeleton(code: CodeType) -> CodeType:
    """A module's or a class's own code, without that of its functions."""
    inner = (
        (each.co_name if each.co_flags & inspect.CO_OPTIMIZED else _skeleton(each))
        if isinstance(each, CodeType)
        else each
        for each in code.co_consts
    )
    return code.replace(co_consts=tuple(inner))


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
    report = options.report.resolve() if options.report else Path.cwd() / f"mutants-{options.room}.jsonl"
    judged = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    with _copied_tree() as tree:
        sources = {
            str(file.relative_to(tree)): file.read_bytes() for file in (tree / PACKAGE / options.room).rglob("*.py")
        }
        every = [mutant for name in sorted(sources) for mutant in mutants_of(name, sources[name])]
        sample = random.Random(options.seed).sample(every, min(options.count, len(every)))

        def tell(mutant: Mutant, outcome: str, by: str) -> None:
            judged.append({**asdict(mutant), "outcome": outcome, "by": by})
            with report.open("a") as file:
                file.write(json.dumps(judged[-1]) + "\n")
            print(f"{outcome:9}{mutant.file}:{mutant.line} {mutant.old!r} -> {mutant.new!r}  {by}", flush=True)

        if left := sample[len(judged) :]:
            os.chdir(tree)
            sys.path[:] = [str(tree), *(entry for entry in sys.path if Path(entry).resolve() != REPOSITORY)]
            paths = options.tests or [f"tests/{options.room}"]
            pytest.main([*ARGUMENTS, *paths], plugins=[Judge(tree, options.room, left, tell)])
    survived = [row for row in judged if row["outcome"] == "survived"]
    for row in survived:
        print(f"survived: {row['file']}:{row['line']} {row['old']!r} -> {row['new']!r}")
    print(f"{len(judged) - len(survived)} of {len(judged)} killed, of {len(every)} possible")


if __name__ == "__main__":
    main()
