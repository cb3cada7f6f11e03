"""What an evaluation plays, kept in eval.json: the same command resumes it, another one is refused."""

from __future__ import annotations

import dataclasses
import glob
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tau_retail_env
from tau_retail_env.blocks import check_fields, check_kind
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import EPISODES, MOST_TRIALS, SETTINGS
from tau_retail_env.runs.resume import MAY_DIFFER_OF_USER
from tau_retail_env.sources.registry import source_class
from tau_retail_env.tasks import Task
from tau_retail_env.tasks.files import fields_of
from tau_retail_env.users.llm.address import with_variables

FORMAT = 1
"""Version of the folder's files."""
ONLY_VERSION = "1"
"""The edition of a source's tasks where the source has no versions."""
DIGEST_LENGTH = 12
"""Characters of a digest: 48 bits."""
ENDS = 64 * 1024
"""Bytes at either end of a large file that its digest is made of."""
NAMED = 5
"""Tasks that an error names at most."""
CUSTOMER: Mapping[str, Any] = {
    "strategy": str | Mapping[str, float] | None,
    "model": str | None,
    "settings": Mapping[str, Any] | None,
}
"""The kinds of what `EvalSettings.customer` holds."""
ADDED = frozenset({"judge"})
"""Settings that format 1 did not always have: a folder without them was played with their defaults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalSettings:
    """Everything that decides what is played; what only decides how fast is not here."""

    agent: str
    """The agent as it was named."""
    model: str | None = None
    """The model behind it; None where there is none."""
    model_digest: str | None = None
    """A digest of a checkpoint's files; None where there are none."""
    source: str
    """Where the tasks come from."""
    task_version: str
    """Which edition of the source's tasks."""
    split: str
    """Their split."""
    subset: str = "all"
    """The expression that chose among them."""
    tasks: Mapping[str, str]
    """The tasks by id, each with a digest of what it asks."""
    trials: int
    """How often each is played."""
    seed: int = 0
    """The customer's wording in the first trial; each further one adds 1. Of a run's validation 0: each episode says
    its own."""
    customer: Mapping[str, Any] = field(default_factory=dict)
    """Who plays the customer: `strategy`, `model`, `settings` (but for how it is reached and paid)."""
    customer_digest: str = ""
    """A digest of that and, of the scripted customer, of its code."""
    prompt_style: str = "full"
    """How the domain policy and the tools are shown."""
    max_turns: int | None = None
    """Agent messages after which an episode ends; None for upstream's own limits."""
    sampling: Mapping[str, Any] = field(default_factory=dict)
    """How a model's tokens are drawn, by the names of the options."""
    judge: Mapping[str, Any] = field(default_factory=dict)
    """The model that judges sentences, as `customer` says who plays; empty where the rules do."""
    package_version: str = tau_retail_env.__version__
    """The version of this package that began it."""
    format: int = FORMAT
    """Version of the folder's files."""

    def as_json(self) -> str:
        """The text of eval.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, ensure_ascii=False) + "\n"

    @property
    def folder_name(self) -> str:
        """A name for the evaluation's folder, the same for the same command."""
        what = dataclasses.asdict(self) | {"trials": None, "package_version": None}
        agent = Path(self.agent).name if self.model_digest else self.agent
        plain = "".join(letter if letter.isalnum() or letter in "-." else "_" for letter in agent)
        return f"{plain[:40]}-{self.source}-{self.split}-{_digest(what)[:8]}"


def nothing_at(path: Path) -> InvalidValueError:
    """The error for a path that leads nowhere; it names what begins with it, for evaluations have long names."""
    beside = sorted(path.parent.glob(f"{glob.escape(path.name)}*"))
    return InvalidValueError(
        f"There is no file or folder {path}"
        + (f"; did you mean {' or '.join(map(str, beside[:3]))}?" if beside else "")
    )


def evaluations_in(path: Path) -> str:
    """The evaluations that a folder holds, as the end of a message that refuses the folder itself."""
    found = sorted(str(file.parent) for file in path.glob(f"*/{SETTINGS}"))
    return f"; it holds {', '.join(found[:3])}{', …' if len(found) > 3 else ''}: name one" if found else ""


def read_settings(folder: Path) -> EvalSettings:
    """The settings of an evaluation.

    Raises:
        InvalidValueError: the folder holds none, or none that this version of the package reads.
    """
    path = folder / SETTINGS
    if not folder.exists():
        raise nothing_at(folder)
    if not folder.is_dir():
        raise InvalidValueError(
            f"{folder} is a file; an evaluation is a folder with {SETTINGS}, play one with: "
            "tau-retail eval --output FOLDER"
        )
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InvalidValueError(f"{folder} holds no evaluation ({SETTINGS} is missing)") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidValueError(f"{path} cannot be read: {error}") from None
    known = {entry.name for entry in dataclasses.fields(EvalSettings)}
    if not isinstance(values, dict) or values.get("format") != FORMAT or not known - ADDED <= set(values) <= known:
        raise InvalidValueError(
            f"{path} is not of format {FORMAT}, which this version of the package reads; "
            "read it with the version that wrote it"
        )
    settings = EvalSettings(**values)
    check_fields(settings, str(path))
    settings = dataclasses.replace(settings, agent=with_variables(settings.agent))  # of before addresses hid keys
    for name, kind in CUSTOMER.items():
        check_kind(settings.customer.get(name), kind, f"{path}: customer.{name}")
    if not 1 <= settings.trials <= MOST_TRIALS:
        raise InvalidValueError(f"{path}: trials must be 1 to {MOST_TRIALS:,}, found {str(settings.trials)[:40]}")
    return settings


SAME_OR_ELSEWHERE = "Give the same options to resume it, or another folder: output_dir=FOLDER"


def check_same(folder: Path, stored: EvalSettings, given: EvalSettings) -> None:
    """Refuse to resume another evaluation; more trials of the same one are welcome.

    Raises:
        InvalidValueError: names every setting that differs, with both values; tasks by their ids.
    """
    before, now = (dataclasses.asdict(one) for one in (stored, given))
    left_out = {"trials", "tasks", "package_version"}
    found = [
        f"{name} ({before[name]!r} there, {now[name]!r} here)"
        for name in now
        if name not in left_out and now[name] != before[name]
    ]
    if given.trials < stored.trials:
        found.append(f"trials ({stored.trials} there, {given.trials} here)")
    parts = [f"it differs in {', '.join(found)}"] if found else []
    if given.tasks != stored.tasks:
        parts.append(different_tasks(stored.tasks, given.tasks, ("that folder", "this command")))
    if parts:
        raise InvalidValueError(f"{folder} is another evaluation: {'; '.join(parts)}. {SAME_OR_ELSEWHERE}")


def different_tasks(
    first: Mapping[str, str], second: Mapping[str, str], names: tuple[str, str] = ("the first", "the second")
) -> str:
    """In words, how two sets of tasks differ.

    Args:
        first: digests by task id.
        second: the same of the others.
        names: what the two are called.
    """
    parts = [
        (f"only {names[0]} has", sorted(first.keys() - second.keys())),
        (f"only {names[1]} has", sorted(second.keys() - first.keys())),
        (
            "of another version are",
            sorted(task for task in first.keys() & second.keys() if first[task] != second[task]),
        ),
    ]
    return "; ".join(f"{words} {_some(tasks)}" for words, tasks in parts if tasks)


def task_version(tasks: Sequence[Task]) -> str:
    """Which edition of its source's tasks these are."""
    return tasks[0].version or source_class(tasks[0]).check_version(None) or ONLY_VERSION


def task_digests(tasks: Sequence[Task]) -> dict[str, str]:
    """By task id, a digest of everything that a task asks and is judged by; its split does not count."""
    return {task.id: _digest(fields_of(task) | {"split": None})[:DIGEST_LENGTH] for task in tasks}


def user_of(strategy: str | Mapping[str, float], model: str | None, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What `EvalSettings.customer` holds."""
    kept = {name: value for name, value in settings.items() if name not in MAY_DIFFER_OF_USER}
    return {"strategy": strategy, "model": model, "settings": kept}


def digest_of_user(customer: Mapping[str, Any]) -> str:
    """A digest by which two evaluations tell whether they had the same customer."""
    files = sorted(path for path in _scripted_folder().iterdir() if path.is_file())
    code = [path.read_text(encoding="utf-8") for path in files]
    return _digest([dict(customer), code if "scripted" in str(customer["strategy"]) else []])[:DIGEST_LENGTH]


def digest_of_checkpoint(folder: Path) -> str:
    """A digest of a checkpoint's files: small ones whole, of large ones the length and both ends."""
    found = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        size = path.stat().st_size
        found.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            found.update(file.read(ENDS))
            file.seek(max(size - ENDS, 0))
            found.update(file.read(ENDS))
    return found.hexdigest()[:DIGEST_LENGTH]


def holds_episodes(folder: Path) -> bool:
    """Whether an evaluation was begun in a folder."""
    return (folder / SETTINGS).is_file() or (folder / EPISODES).is_file()


def _scripted_folder() -> Path:
    return Path(tau_retail_env.__file__).parent / "users" / "scripted"


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """What JSON cannot hold, for a digest: of a dataclass its fields, of everything else its text."""
    return fields_of(value) if dataclasses.is_dataclass(value) else str(value)


def _some(tasks: Sequence[str]) -> str:
    more = f" and {len(tasks) - NAMED} more" if len(tasks) > NAMED else ""
    return f"{len(tasks)} tasks ({', '.join(tasks[:NAMED])}{more})" if len(tasks) > 1 else tasks[0]
