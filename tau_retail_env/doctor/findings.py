"""What a survey means: what is wrong, what is optional and not there, and the command that fixes it."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tau_retail_env.config.roll_schema import PINNED, RollSchema
from tau_retail_env.doctor.environment_survey import (
    PYTHON_WANTED,
    UNREAD_BASE_URL,
    Environment,
    EnvironmentSurvey,
    Pin,
    Requirement,
)
from tau_retail_env.models.interpreters import typed_path
from tau_retail_env.roll.config.package import RollPackage, install_arguments
from tau_retail_env.sources.tau2 import editions as upstream_tau2
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench

TEXT_WIDTH = 80
"""Columns of what is not a command."""
SET_UP_COMMAND = "./run_tau_retail_pipeline.sh --setup-only"
FREE_MB = 200
"""Disk space that the default run's outputs need: 174 MB were measured."""
ROLL_PACKAGES = ("torch", "ray", "vllm")
"""Packages of the engine roll that have a line of their own."""
ROLL_AREA = "engine roll"
SERVING_PACKAGES = ("vllm", "sglang")
DEFAULT_KEY = "OPENAI_API_KEY"
"""The variable whose key a customer behind an API sends unless user.api_key_env names another."""
API_CUSTOMERS = "customers behind an API (user_strategy llm, react, verify, reflection)"
PURPOSES: Mapping[str, str] = MappingProxyType(
    {
        DEFAULT_KEY: f"{API_CUSTOMERS} send it unless user.api_key_env names another variable",
        "HF_TOKEN": "the Hugging Face hub asks for it where a model is gated",
        "WANDB_API_KEY": "only the tracker wandb asks for it",
    }
)
"""Who reads a key; customers send any other where user.api_key_env names it."""

Status = Literal["wrong", "optional", "ok"]
STATUSES: tuple[Status, ...] = ("wrong", "optional", "ok")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at."""

    area: str
    """python, packages, sources, engine local, engine roll, customers, devices, keys or disk."""
    name: str
    """The thing."""
    status: Status
    """wrong: the default run cannot work (with a GPU that is ROLL's); optional: something else cannot; ok."""
    found: str
    """What was found, and what was expected where that differs."""
    remedy: str | None = None
    """The command that fixes it; None where nothing needs fixing."""
    installs: str | None = None
    """Where that is pip installing one package: how pip is asked for it, quoted, the end of `remedy`."""


def examine(found: EnvironmentSurvey) -> list[Finding]:
    """Judge what a survey found: what is wrong first, then what is optional and not there, then the rest."""
    looked_at = (_python, _packages, _sources, _local_engine, _roll_engine, _customers, _devices, _keys, _disk)
    findings = [finding for look in looked_at for finding in look(found)]
    return sorted(findings, key=lambda finding: STATUSES.index(finding.status))


def can_run(findings: Sequence[Finding]) -> bool:
    """Whether the default run can work in the Python that was looked at, and where there is a GPU in .venv-roll."""
    return all(finding.status != "wrong" for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """The findings as one JSON object: {"can_run", "findings"}."""
    rows = [dataclasses.asdict(finding) for finding in findings]
    return json.dumps({"can_run": can_run(findings), "findings": rows}, indent=2, ensure_ascii=False)


def as_text(findings: Sequence[Finding]) -> str:
    """The findings for a person: the verdict, then a line each, with the command that fixes it below."""
    lines = [_verdict(findings)]
    is_here = any(finding.status == "wrong" and finding.area != ROLL_AREA for finding in findings)
    lines += [f"{one.found}: {one.remedy}" for one in findings if is_here and one.name == ".venv"]
    for status in STATUSES:
        group = [finding for finding in findings if finding.status == status]
        lines += [""] if group else []
        for finding in group:
            mark = status.upper() if status == "wrong" else status
            lines += _wrapped(f"{mark:<9} {finding.area:<13} {finding.name:<19} {finding.found}")
            lines += [f"{'':<10}fix: {finding.remedy}"] if finding.remedy and not finding.installs else []
        lines += [f"{'':<10}fix these: {command}" for command in _pip_lines(group)]
    return "\n".join(lines)


def _pip_lines(findings: Sequence[Finding]) -> list[str]:
    """One command for all packages that pip is to install into the same Python."""
    wanted: dict[str, list[str]] = {}
    for finding in findings:
        if finding.remedy and finding.installs:
            wanted.setdefault(finding.remedy.removesuffix(finding.installs), []).append(finding.installs)
    return [command + " ".join(packages) for command, packages in wanted.items()]


def _wrapped(line: str) -> list[str]:
    """A finding in lines that fit; a command to type is never broken, and so never wrapped."""
    return textwrap.wrap(
        line, TEXT_WIDTH, subsequent_indent=f"{'':<10}", break_long_words=False, break_on_hyphens=False
    )


def _verdict(findings: Sequence[Finding]) -> str:
    wrong = [finding.area for finding in findings if finding.status == "wrong"]
    if not wrong:
        return "The default run can work."
    where = "on a GPU (engine: roll)" if set(wrong) == {ROLL_AREA} else "in this Python"
    return f"The default run cannot work {where}: {len(wrong)} wrong."


def satisfies(version: str, wanted: str) -> bool:
    """Whether a version will do; read here, for doctor also runs in a Python without a single package.

    Args:
        version: such as "2.13.0+cpu"; what follows the numbers does not count.
        wanted: conditions of the kinds >=, <, ==, with commas between them; empty for any version.
    """
    number = _release(version)
    for condition in filter(None, wanted.replace(" ", "").split(",")):
        match = re.match(r"(>=|<|==)(.+)", condition)
        if match is None:
            raise ValueError(f"Cannot read the condition {condition!r} of {wanted!r}: expected >=, < or ==")
        bound = _release(match[2])
        if not {">=": number >= bound, "<": number < bound, "==": number == bound}[match[1]]:
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    """The numbers of a version, without trailing zeros: 1.0 and 1 are the same."""
    numbers = [int(part) for part in re.match(r"[\d.]*", version)[0].split(".") if part]  # type: ignore[index]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _python(found: EnvironmentSurvey) -> Iterator[Finding]:
    text = f"{found.here.version}, {found.here.python}"
    if satisfies(found.here.version, PYTHON_WANTED):
        yield Finding("python", "python", "ok", text)
    else:
        remedy = "apt install python3.11 python3.11-venv"
        remedy += f" && {SET_UP_COMMAND}" if found.checkout else ""
        yield Finding("python", "python", "wrong", f"{text}; wanted {PYTHON_WANTED}", remedy)
    if found.checkout and not found.is_script_set_up:
        yield Finding(
            "python", ".venv", "optional", "run_tau_retail_pipeline.sh has not made its own yet", SET_UP_COMMAND
        )
    elif found.checkout and not found.is_script_environment:
        text = "run_tau_retail_pipeline.sh uses .venv, which is another Python"
        yield Finding("python", ".venv", "optional", text, ".venv/bin/tau-retail doctor")


def _packages(found: EnvironmentSurvey) -> Iterator[Finding]:
    for requirement in found.requirements:
        if requirement.extra is None:
            yield _package("packages", requirement, found.here, "wrong")


def _package(area: str, requirement: Requirement, here: Environment, if_missing: Status) -> Finding:
    version = here.packages.get(requirement.name)
    installs = shlex.quote(requirement.install)
    remedy = here.command(f"pip install {installs}")
    if version is None:
        text = f"not installed; wanted {requirement.wanted or 'any version'}"
        return Finding(area, requirement.name, if_missing, text, remedy, installs)
    if not satisfies(version, requirement.wanted):
        return Finding(area, requirement.name, if_missing, f"{version}; wanted {requirement.wanted}", remedy, installs)
    if requirement.pinned and not satisfies(version, f"=={requirement.pinned}"):
        text = f"{version} will do; the recorded runs used {requirement.pinned}"
        return Finding(area, requirement.name, "optional", text, remedy, installs)
    return Finding(area, requirement.name, "ok", version)


def _sources(found: EnvironmentSurvey) -> Iterator[Finding]:
    install = found.here.command(upstream_tau2.INSTALL_COMMAND)
    if found.tau2.folder is None:
        yield Finding("sources", "tau2", "wrong", found.tau2.problem, install)
        yield Finding(
            "sources", "generated", "wrong", "its tasks live in the shop of tau2, which is not there", install
        )
    else:
        name, _, recorded = upstream_tau2.INSTALL_COMMAND.split()[-1].partition("==")
        version = found.here.packages.get(name, "of an unknown version")
        text, is_recorded = f"{name} {version}", version == recorded
        yield Finding(
            "sources",
            "tau2",
            "ok" if is_recorded else "optional",
            text if is_recorded else f"{text}; everything recorded used {recorded}",
            None if is_recorded else install,
        )
        yield Finding("sources", "generated", "ok", "its tasks live in the shop of tau2")
    yield from _tau2_versions(found)
    yield from _tau_bench(found)


def _tau2_versions(found: EnvironmentSurvey) -> Iterator[Finding]:
    for version, place in found.tau2_versions.items():
        name = f"tau2 {version}"
        if place.folder is not None:
            yield Finding("sources", name, "ok", f"task_version {version} in {typed_path(place.folder)}")
        else:
            repository = upstream_tau2.REPOSITORIES[version]
            by_git = f"git clone https://github.com/{repository.name} && export {repository.variable}=<the clone>"
            remedy = f"git submodule update --init {repository.folder}" if found.has_submodules else by_git
            if version in found.tau2_set:
                remedy = (
                    f"unset {repository.variable}, or export {repository.variable}=<a checkout of {repository.name}>"
                )
            yield Finding("sources", name, "optional", place.problem, remedy)


def _tau_bench(found: EnvironmentSurvey) -> Iterator[Finding]:
    if found.tau_bench.folder is not None:
        yield Finding("sources", "tau_bench", "ok", f"τ-bench v1 in {typed_path(found.tau_bench.folder)}")
    elif found.tau_bench_path:
        remedy = f"unset {upstream_tau_bench.PATH_VARIABLE}"
        yield Finding("sources", "tau_bench", "optional", found.tau_bench.problem, remedy)
    else:
        by_pip = f"pip install git+https://github.com/sierra-research/tau-bench@{upstream_tau_bench.COMMIT}"
        remedy = "git submodule update --init tau-bench" if found.has_submodules else found.here.command(by_pip)
        yield Finding("sources", "tau_bench", "optional", "τ-bench v1 is not here", remedy)
    for requirement in found.requirements:
        if requirement.extra == "tau-bench":
            yield _package("sources", requirement, found.here, "optional")


def _local_engine(found: EnvironmentSurvey) -> Iterator[Finding]:
    for requirement in found.requirements:
        if requirement.extra == "train":
            yield _package("engine local", requirement, found.here, "wrong")
    for name in found.missing_files:
        by_pip = "pip install --force-reinstall <the project's folder>"
        remedy = f"git checkout -- {name}" if found.checkout else found.here.command(by_pip)
        yield Finding("engine local", name, "wrong", "a file of this package is not there", remedy)


def _roll_engine(found: EnvironmentSurvey) -> Iterator[Finding]:
    """The environment of the engine roll: .venv-roll, or where there is none this Python if it has a package roll."""
    if isinstance(found.roll, str):
        yield Finding(ROLL_AREA, ".venv-roll", "optional", found.roll, "rm -r .venv-roll")
    elif found.roll is not None:
        if _has_gpu(found) and not found.is_roll_set_up:
            text = f"Python {found.roll.version}; run_tau_retail_pipeline.sh has not finished it and would make it anew"
            yield Finding(ROLL_AREA, ".venv-roll", "optional", text, SET_UP_COMMAND)
        else:
            yield Finding(ROLL_AREA, ".venv-roll", "ok", f"Python {found.roll.version}")
        is_default = _has_gpu(found) and found.is_roll_set_up
        yield from _roll_environment(found, found.roll, "wrong" if is_default else "optional")
    else:
        needs_it = "not set up; engine: roll needs it"
        if _has_gpu(found):
            yield Finding(ROLL_AREA, ".venv-roll", "optional", needs_it, SET_UP_COMMAND)
        else:
            yield Finding(ROLL_AREA, ".venv-roll", "ok", f"{needs_it}, and a CUDA GPU")
        package = found.here.roll_package
        if package is not None and package.is_alibabas:
            yield from _roll_environment(found, found.here, "optional")
        elif package is not None:
            remedy = found.here.command("pip uninstall roll")
            yield Finding(ROLL_AREA, "roll", "optional", _not_alibabas(found.here, package), remedy)


def _has_gpu(found: EnvironmentSurvey) -> bool:
    return bool(found.gpus) and not isinstance(found.gpus, str)


def _roll_environment(found: EnvironmentSurvey, environment: Environment, if_broken: Status) -> Iterator[Finding]:
    """Compare an environment with what requirements-roll.txt pins.

    Args:
        found: the survey.
        environment: the environment of the engine roll.
        if_broken: what it is where ROLL cannot run with it.
    """
    yield _roll_itself(environment, if_broken)
    pins = found.roll_pins or [Pin(name, "", name) for name in ROLL_PACKAGES]
    for pin in pins:
        if pin.name in ROLL_PACKAGES:
            yield _pinned(found, environment, pin, if_broken)
    others = [pin for pin in pins if pin.name not in ROLL_PACKAGES]
    missing = [pin for pin in others if pin.name not in environment.packages]
    present = [pin for pin in others if pin.name in environment.packages]
    differing = [pin for pin in present if not satisfies(environment.packages[pin.name], f"=={pin.version}")]
    if missing:
        text = f"not installed: {', '.join(pin.name for pin in missing)}"
        yield Finding(ROLL_AREA, "other packages", if_broken, text, _install(environment, missing))
    if differing:
        listed = ", ".join(f"{pin.name} {environment.packages[pin.name]} ({pin.version})" for pin in differing)
        text = f"not of the version in parentheses, with which ROLL ran: {listed}"
        yield Finding(ROLL_AREA, "other packages", "optional", text, _install(environment, differing))
    if others and len(present) > len(differing):
        text = f"{len(present) - len(differing)} of {len(others)} as requirements-roll.txt pins them"
        yield Finding(ROLL_AREA, "other packages", "ok", text)
    version = environment.packages.get("sglang", "not installed; only infer=sglang needs it (docs/roll.md)")
    yield Finding(ROLL_AREA, "sglang", "ok", version)


def _roll_itself(environment: Environment, if_broken: Status) -> Finding:
    """Whether what would be imported as `roll` is Alibaba's, whole, and of the pinned commit."""
    package, commit = environment.roll_package, RollSchema.load(PINNED).commit
    install = environment.command(f"pip {install_arguments(commit)}")
    anew = f"{environment.command('pip uninstall --yes roll')} && {install}"
    if package is None:
        return Finding(ROLL_AREA, "roll", if_broken, "not installed", install)
    if not package.is_alibabas:
        return Finding(ROLL_AREA, "roll", if_broken, _not_alibabas(environment, package), anew)
    where = typed_path(package.folder)
    if package.missing:
        text = f"{where} is not whole: its environment workers import {' and '.join(package.missing)}"
        return Finding(ROLL_AREA, "roll", if_broken, text, anew)
    if package.commit is None:
        return Finding(ROLL_AREA, "roll", "ok", f"{where}, of an unknown commit; this project is for {commit[:8]}")
    if package.commit != commit:
        text = f"{where}, commit {package.commit[:8]}; this project is for {commit[:8]}"
        return Finding(ROLL_AREA, "roll", "optional", text, anew)
    return Finding(ROLL_AREA, "roll", "ok", f"{where}, commit {commit[:8]}")


def _not_alibabas(environment: Environment, package: RollPackage) -> str:
    version = environment.packages.get("roll", "of an unknown version")
    return f"{version} in {typed_path(package.folder)} is not Alibaba's ROLL: PyPI has another package of that name"


def _pinned(found: EnvironmentSurvey, environment: Environment, pin: Pin, if_broken: Status) -> Finding:
    """One of the large packages, beside its pin; the CUDA that its torch was built for."""
    version, remedy = environment.packages.get(pin.name), _install(environment, [pin])
    if version is None:
        wanted = pin.version or "any version"
        return Finding(ROLL_AREA, pin.name, if_broken, f"not installed; wanted {wanted}", remedy)
    if pin.name == "torch" and environment.torch_cuda:
        version = f"{version}, built for CUDA {environment.torch_cuda}"
    elif pin.name == "torch" and _has_gpu(found):
        text = f"{version} is built without CUDA and cannot use the GPUs"
        again = environment.command(f"pip install --force-reinstall {pin.install}")
        return Finding(ROLL_AREA, pin.name, if_broken, text, again)
    if pin.version and not satisfies(version, f"=={pin.version}"):
        return Finding(ROLL_AREA, pin.name, "optional", f"{version}; ROLL ran with {pin.version}", remedy)
    return Finding(ROLL_AREA, pin.name, "ok", version)


def _install(environment: Environment, pins: Sequence[Pin]) -> str:
    """One command that brings what is pinned, in two steps where some is installed without its dependencies."""
    steps = []
    for is_alone, options in ((False, ""), (True, "--no-deps --ignore-requires-python ")):
        if texts := [shlex.quote(pin.install) for pin in pins if pin.is_alone == is_alone]:
            steps.append(environment.command(f"pip install {options}{' '.join(texts)}"))
    return " && ".join(steps)


def _devices(found: EnvironmentSurvey) -> Iterator[Finding]:
    yield Finding("devices", "CPU cores", "ok", f"{found.cores}")
    yield Finding("devices", "memory", "ok", "unknown" if found.memory_gb is None else f"{found.memory_gb:.1f} GB")
    hidden = "" if found.visible_gpus is None else f"; CUDA_VISIBLE_DEVICES={found.visible_gpus!r}"
    if isinstance(found.gpus, str):
        yield Finding("devices", "CUDA GPUs", "optional", found.gpus, "nvidia-smi")
        return
    if not found.gpus:
        yield Finding("devices", "CUDA GPUs", "ok", f"none: the local engine runs on the CPU{hidden}")
        return
    kinds = ", ".join(f"{found.gpus.count(name)} x {name}" for name in dict.fromkeys(found.gpus))
    torch = found.here.packages.get("torch")
    if torch is None or found.here.torch_cuda:
        built = f"; torch {torch} is built for CUDA {found.here.torch_cuda}" if torch else ""
        yield Finding("devices", "CUDA GPUs", "ok", f"{kinds}{built}{hidden}")
    else:
        text = f"{kinds}{hidden}; torch {torch} is built without CUDA and cannot use them"
        release = torch.partition("+")[0]
        remedy = found.here.command(f"pip install --force-reinstall torch=={release}")
        yield Finding("devices", "CUDA GPUs", "optional", text, remedy)


def _keys(found: EnvironmentSurvey) -> Iterator[Finding]:
    for name, is_set in found.keys.items():
        purpose = PURPOSES.get(name, "customers send it where user.api_key_env names it")
        state = "set" if is_set else "not set; nothing of the default run needs it"
        yield Finding("keys", name, "ok", f"{state}; {purpose}")


def _customers(found: EnvironmentSurvey) -> Iterator[Finding]:
    for requirement in found.requirements:
        if requirement.extra == "api":
            yield _package("customers", requirement, found.here, "optional")
    if found.has_unread_base_url:
        text = f"{UNREAD_BASE_URL} is set, and customers do not read it: their server is user.base_url"
        yield Finding("customers", UNREAD_BASE_URL, "ok", text)
    yield _serving(found)


def _serving(found: EnvironmentSurvey) -> Finding:
    """The engines that `tau-retail serve-user` finds by itself, in the order in which it looks."""
    environments = [found.here, *([found.roll] if isinstance(found.roll, Environment) else [])]
    engines = [
        f"{name} {one.packages[name]} ({one.python})"
        for one in environments
        for name in SERVING_PACKAGES
        if name in one.packages
    ]
    if engines:
        return Finding("customers", "serve-user", "ok", f"can start {', '.join(engines)}")
    text = "neither vllm nor sglang is here to serve a customer's model"
    if _has_gpu(found):
        remedy = "python3 -m venv .venv-vllm && .venv-vllm/bin/python -m pip install vllm"
        return Finding("customers", "serve-user", "optional", f"{text}; then: serve-user --python .venv-vllm", remedy)
    return Finding("customers", "serve-user", "ok", f"{text}, and no CUDA GPU for them")


def _disk(found: EnvironmentSurvey) -> Iterator[Finding]:
    where = f"{found.free_mb / 1000:.1f} GB free in {typed_path(found.outputs)}"
    elsewhere = "./run_tau_retail_pipeline.sh output_dir=FOLDER"
    if not found.outputs_writable:
        yield Finding("disk", "outputs", "wrong", f"no right to write in {typed_path(found.outputs)}", elsewhere)
    elif found.free_mb < FREE_MB:
        yield Finding("disk", "outputs", "wrong", f"{where}; the default run needs {FREE_MB} MB", elsewhere)
    else:
        yield Finding("disk", "outputs", "ok", where)
