"""What is here: the Pythons, their packages, the sources, the machine; imports nothing that it reports on."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path

from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.models import shipped
from tau_retail_env.models.interpreters import PROBE_LIMIT_S, Interpreter, ask, roll_python, typed_path
from tau_retail_env.roll.config.package import RollPackage, look_at
from tau_retail_env.sources.tau2 import tasks as upstream_tau2
from tau_retail_env.sources.tau2.editions import REPOSITORIES, edition_of
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench

DISTRIBUTION = "tau-retail"
PYTHON_WANTED = ">=3.11,<3.13"
"""Versions of Python that will do."""
KEYS = (
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "MISTRAL_API_KEY",
    "DEEPSEEK_API_KEY",
    "OPENROUTER_API_KEY",
    "HF_TOKEN",
    "WANDB_API_KEY",
)
UNREAD_BASE_URL = "OPENAI_BASE_URL"
"""The openai client's own variable; a customer's server is named by user.base_url alone."""


@dataclass(frozen=True, slots=True)
class Environment(Interpreter):
    """One Python, what is installed for it, and what its package `roll` is."""

    roll_package: RollPackage | None = None
    """The package that it would import as `roll`, None where there is none."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """A package that this one needs."""

    name: str
    """In lower case with hyphens."""
    wanted: str
    """Versions that will do, such as ">=1.3,<1.4"; empty for any."""
    extra: str | None = None
    """The extra that asks for it, None where everything does."""
    pinned: str | None = None
    """The exact version of requirements.txt, with which the recorded runs were made."""

    @property
    def install(self) -> str:
        """What to give pip."""
        return f"{self.name}=={self.pinned}" if self.pinned else f"{self.name}{self.wanted}"


@dataclass(frozen=True, slots=True)
class Pin:
    """A line of requirements-roll.txt."""

    name: str
    """In lower case with hyphens."""
    version: str
    """The version with which ROLL ran."""
    install: str
    """What to give pip, extras included."""
    is_alone: bool = False
    """Whether it is installed without what it says it requires."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is, or why it is nowhere."""

    folder: Path | None = None
    """None where it was not found."""
    problem: str = ""
    """Why it was not found."""


@dataclass(frozen=True, slots=True)
class EnvironmentSurvey:
    """Everything that `examine` judges, gathered by `survey`."""

    here: Environment
    """The Python that runs this."""
    requirements: Sequence[Requirement]
    """What this package needs, with and without extras."""
    tau2: Place
    """The data of the source tau2."""
    tau2_versions: Mapping[str, Place]
    """Where its newer versions are."""
    tau2_set: Collection[str]
    """Those of them whose variable is set, such as TAU2_BENCH_PATH."""
    tau_bench: Place
    """The checkout or installation of τ-bench v1."""
    tau_bench_path: str | None
    """TAU_BENCH_PATH, None where it is not set."""
    checkout: Path | None
    """The project's folder, None for an installed package."""
    has_submodules: bool
    """Whether that folder is a git checkout with submodules."""
    is_script_environment: bool
    """Whether this Python is .venv, the one of run_tau_retail_pipeline.sh."""
    is_script_set_up: bool
    """Whether .venv was set up to the end."""
    missing_files: Sequence[str]
    """Shipped files that the default run reads and that are not there."""
    roll: Environment | str | None
    """The environment .venv-roll, why it could not be asked, or None where there is none."""
    is_roll_set_up: bool
    """Whether .venv-roll was set up to the end."""
    roll_pins: Sequence[Pin]
    """What requirements-roll.txt pins, without ROLL itself; empty for an installed package, which has no such list."""
    cores: int
    """CPU cores that this process may use."""
    memory_gb: float | None
    """The machine's memory, or this container's share; None where it is unknown."""
    gpus: Sequence[str] | str
    """Names of the CUDA devices, or why the driver's tool does not list them."""
    visible_gpus: str | None
    """CUDA_VISIBLE_DEVICES, None where it is not set."""
    keys: Mapping[str, bool]
    """Whether a key is set; its value is read by nobody here."""
    has_unread_base_url: bool
    """Whether OPENAI_BASE_URL is set, which no customer reads."""
    outputs: Path
    """Where runs write."""
    outputs_writable: bool
    """Whether this user may write there."""
    free_mb: int
    """Free disk space there."""


def survey() -> EnvironmentSurvey:
    """Look around: installed metadata, files, the machine. Imports no package that it reports on."""
    checkout = shipped.checkout()
    base = checkout or Path.cwd()
    with ThreadPoolExecutor() as pool:
        here = pool.submit(environment_of, Path(sys.executable))
        roll = pool.submit(environment_of, roll_python()) if roll_python().parent.parent.exists() else None
        gpus = pool.submit(_gpus)
    this = here.result()
    if isinstance(this, str):
        this = Environment(typed_path(Path(sys.executable)), ".".join(map(str, sys.version_info[:3])), {})
    outputs = next(path for path in (base / "outputs", base, *base.parents) if path.is_dir())
    return EnvironmentSurvey(
        here=this,
        requirements=_requirements(checkout),
        tau2=_place(upstream_tau2.data_folder),
        tau2_versions={version: _place(functools.partial(_retail_data, version)) for version in REPOSITORIES},
        tau2_set=[version for version, one in REPOSITORIES.items() if os.environ.get(one.variable)],
        tau_bench=_place(upstream_tau_bench.package_folder),
        tau_bench_path=os.environ.get(upstream_tau_bench.PATH_VARIABLE) or None,
        checkout=checkout,
        has_submodules=bool(checkout and (checkout / ".git").exists() and (checkout / ".gitmodules").is_file()),
        is_script_environment=Path(sys.prefix).resolve() == (base / ".venv").resolve(),
        is_script_set_up=(base / ".venv" / ".setup-complete").is_file(),
        missing_files=_missing_files(checkout),
        roll=roll.result() if roll else None,
        is_roll_set_up=(base / ".venv-roll" / ".setup-complete").is_file(),
        roll_pins=_roll_pins(checkout),
        cores=len(os.sched_getaffinity(0)),
        memory_gb=_memory_gb(),
        gpus=gpus.result(),
        visible_gpus=os.environ.get("CUDA_VISIBLE_DEVICES"),
        keys={name: bool(os.environ.get(name)) for name in KEYS},
        has_unread_base_url=bool(os.environ.get(UNREAD_BASE_URL)),
        outputs=outputs,
        outputs_writable=os.access(outputs, os.W_OK),
        free_mb=shutil.disk_usage(outputs).free // 10**6,
    )


def environment_of(python: Path) -> Environment | str:
    """Ask an environment's own Python what is installed for it; a text says why it does not answer."""
    answer = ask(python)
    if isinstance(answer, str):
        return answer
    answered = {field.name: getattr(answer, field.name) for field in fields(answer)}
    return Environment(**answered, roll_package=look_at(Path(folder) for folder in answer.roll_folders))


def _gpus() -> list[str] | str:
    """Names of the CUDA devices, as the driver's own tool lists them, or why it does not."""
    try:
        listing = subprocess.run(
            ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=PROBE_LIMIT_S,
        ).stdout
    except FileNotFoundError:
        return []
    except subprocess.CalledProcessError as error:
        return f"nvidia-smi failed: {' '.join((error.stdout + error.stderr).split())}"
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi failed: {type(error).__name__}"
    return [line.strip() for line in listing.splitlines() if line.strip()]


def _memory_gb() -> float | None:
    """The machine's memory, or less where a control group grants less."""
    sizes = []
    try:
        kilobytes = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="utf-8"))
        sizes += [int(kilobytes[1]) * 1024] if kilobytes else []
        granted = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
        sizes += [int(granted)] if granted.isdigit() else []
    except OSError:
        pass
    return min(sizes) / 1e9 if sizes else None


def _retail_data(version: str) -> Path:
    return edition_of(version).retail


def _place(locate: Callable[[], Path]) -> Place:
    try:
        return Place(locate())
    except (MissingDependencyError, InvalidValueError) as error:
        return Place(problem=str(error))


def _missing_files(checkout: Path | None) -> list[str]:
    """Shipped files that the default run reads and that are not there, by their path in the project."""
    names = {"configs/tau_retail_local.yaml": "configs", "checkpoints/small/model.safetensors": "small"}
    missing = []
    for name, data in names.items():
        installed = shipped.PACKAGE_FOLDER / "_data" / data / Path(name).name
        if not (installed.is_file() or (checkout and (checkout / name).is_file())):
            missing.append(name)
    return missing


def _requirements(checkout: Path | None) -> list[Requirement]:
    """The packages needed, with and without extras: of the checkout's files, else of the installation."""
    if checkout and sys.version_info >= (3, 11):
        import tomllib

        project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = {None: project["dependencies"], **project["optional-dependencies"]}
        pins = _pins((checkout / "requirements.txt").read_text(encoding="utf-8"))
        return [_requirement(text, extra, pins) for extra, texts in extras.items() for text in texts]
    requirements = []
    try:
        rows = importlib.metadata.requires(DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        rows = []
    for row in rows:
        text, _, marker = row.partition(";")
        extra = re.search(r"extra == ['\"]([^'\"]+)", marker)
        requirements.append(_requirement(text, extra[1] if extra else None, {}))
    return requirements


def _roll_pins(checkout: Path | None) -> list[Pin]:
    """The exact versions of requirements-roll.txt; what stands below "# Alone" is installed without dependencies."""
    listing = checkout and checkout / "requirements-roll.txt"
    if listing is None or not listing.is_file():
        return []
    pins, is_alone = [], False
    for line in listing.read_text(encoding="utf-8").splitlines():
        is_alone = is_alone or line.startswith("# Alone")
        if pinned := re.match(r"([\w.-]+)(?:\[[^]]*\])?==([^\s;#]+)", line):
            pins.append(Pin(_normal(pinned[1]), pinned[2], pinned[0], is_alone))
    return pins


def _pins(text: str) -> dict[str, str]:
    """Exact versions by name, of a requirements file."""
    lines = (line.split("==") for line in text.splitlines() if re.match(r"\w[^=]*==", line))
    return {_normal(name): version.strip() for name, version in lines}


def _requirement(text: str, extra: str | None, pins: Mapping[str, str]) -> Requirement:
    name = _normal(re.split(r"[^\w.-]", text.strip())[0])
    wanted = re.sub(r"[()\s]", "", text.strip()[len(name) :])
    return Requirement(name, wanted, extra, pins.get(name))


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
