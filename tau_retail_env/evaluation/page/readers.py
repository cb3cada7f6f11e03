"""What a RUN of the command line is, and its episodes: all at first, then those written since."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import EPISODES, SETTINGS, Episode, episode_of, evaluation_at, of_one_evaluation
from tau_retail_env.evaluation.settings import EvalSettings, evaluations_in, nothing_at, read_settings
from tau_retail_env.evaluation.sides import TRAJECTORIES, read_upstream
from tau_retail_env.models.shipped import checkpoint
from tau_retail_env.runs.files import read_rows
from tau_retail_env.runs.resume import CONFIG

EVALUATION = "eval"
"""What an episode of an evaluation was played for."""
METRICS = "metrics.jsonl"
"""The file of a training run that holds its curves."""
EPISODE_FILE = re.compile(r"(train|val|stopped)-(?:(\d+)|.+-\d+)\.jsonl")
"""The files of a training run that hold its episodes: the local engine's are named by their step, ROLL's by who wrote
them."""
CONFIG_BYTES = 200_000
"""More of a configuration is not shown."""


@dataclass(frozen=True, slots=True)
class Found:
    """An episode, and what it was played for."""

    episode: Episode
    part: str
    """"eval", "train", "val" or "stopped"."""
    step: int | None = None
    """The training step; None where there is none."""

    @property
    def key(self) -> tuple[Any, ...]:
        """What another try of the same episode shares with it."""
        one = self.episode.trajectory
        if self.part == EVALUATION:
            return self.part, one.task_id, self.episode.trial
        group = one.group if self.part == "train" else 0
        return self.part, self.step, one.tag, one.task_id, one.sampling_seed, group


class Reader(Protocol):
    """The episodes of one run."""

    kind: str
    """"evaluation", "training" or "file"."""

    def new(self) -> Iterator[Found]:
        """The episodes that were not handed out yet.

        Raises:
            InvalidValueError: a record that is damaged; the message names it.
            Changed: what was handed out is not there any more.
        """
        ...

    def about(self) -> dict[str, Any]:
        """What the page says of the run besides: `what`, and settings or curves."""
        ...

    def stamp(self) -> object:
        """What differs when `about` may."""
        ...

    def tokenizers(self) -> Sequence[Path]:
        """Folders where the model's tokenizer may lie."""
        ...


class Changed(Exception):
    """What was read of a run has been replaced: it is to be read anew."""


def reader_of(name: str) -> Reader:
    """The reader for what a word on the command line names.

    Args:
        name: an evaluation's folder, a training run's folder, a file of trajectories, or one of upstream's files.

    Raises:
        InvalidValueError: nothing of these.
    """
    path = evaluation_at(Path(name).expanduser())
    run, at, step = name.rpartition("@")
    if at and step.isdecimal() and not path.exists() and Path(run).expanduser().is_dir():
        raise InvalidValueError(f"{name}: the report shows every step of a run; leave out @{step}")
    if (path / SETTINGS).is_file():
        return EvaluationReader(path)
    if (path / TRAJECTORIES).is_dir() or (path / METRICS).is_file():
        return TrainingReader(path)
    if path.suffix == ".jsonl" and path.is_file():
        return FileReader(path)
    return UpstreamReader(path)


@dataclass
class _Lines:
    """The whole lines of a file that grows."""

    path: Path
    _offset: int = 0
    _number: int = 0
    _seen: dict[str, int] = field(default_factory=dict)

    def new(self) -> Iterator[Episode]:
        try:
            size = self.path.stat().st_size
        except OSError:
            size = 0
        if size < self._offset:
            raise Changed
        if size == self._offset:
            return
        with self.path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                episode = episode_of(line, f"{self.path}, line {self._number + 1}", self._seen)
                self._offset += len(line)
                self._number += 1
                yield episode


class EvaluationReader:
    """An evaluation's folder."""

    kind = "evaluation"

    def __init__(self, path: Path) -> None:
        self.settings: EvalSettings = read_settings(path)
        self._lines = _Lines(path / EPISODES)

    def new(self) -> Iterator[Found]:
        """The episodes since; see `Reader`."""
        for episode in of_one_evaluation(self._lines.new(), self._lines.path, self.settings):
            yield Found(episode, EVALUATION)

    def about(self) -> dict[str, Any]:
        """Agent, tasks and customer."""
        one = self.settings
        agent = f"{one.agent} ({one.model})" if one.model else one.agent
        customer = one.customer.get("strategy")
        return {
            "what": f"evaluation of {agent}",
            "settings": {
                "agent": agent,
                "tasks": f"{len(one.tasks)} of {one.source} {one.task_version}, {one.split}, {one.subset}",
                "trials": str(one.trials),
                "customer": " ".join(filter(None, (str(customer), one.customer.get("model")))),
                "prompt": one.prompt_style,
                "sampling": ", ".join(f"{name} {value}" for name, value in one.sampling.items()),
                "seed": str(one.seed),
                "package": one.package_version,
            },
        }

    def stamp(self) -> object:
        """Nothing: it stays the same."""

    def tokenizers(self) -> Sequence[Path]:
        """The checkpoint that played."""
        return [Path(self.settings.agent)]


class TrainingReader:
    """A training run's folder, of either engine."""

    kind = "training"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done: dict[Path, object] = {}

    def new(self) -> Iterator[Found]:
        """The episodes since; see `Reader`. Files of trajectories are written whole."""
        folder = self._path / TRAJECTORIES
        files = sorted(folder.glob("*.jsonl"), key=lambda path: (_stamp(path) or (0, 0), path.name))
        named = {path: name for path in files if (name := EPISODE_FILE.fullmatch(path.name))}
        if self._done.keys() - named.keys():
            raise Changed
        for path, name in named.items():
            stamp = _stamp(path)
            if path in self._done:
                if self._done[path] != stamp:
                    raise Changed
                continue
            for episode in _Lines(path).new():
                yield Found(episode, name[1], int(name[2]) if name[2] else _step_of(episode.trajectory))
            self._done[path] = stamp

    def about(self) -> dict[str, Any]:
        """Its curves and its configuration."""
        rows = [row for row in read_rows(self._path / METRICS) if isinstance(row.get("step"), int)]
        return {"what": "training run", "curves": _columns(rows), "config": _text(self._path / CONFIG)}

    def stamp(self) -> object:
        """When its metrics were written, and how many there are."""
        return _stamp(self._path / METRICS)

    def tokenizers(self) -> Sequence[Path]:
        """Its checkpoints, and the model that it started from."""
        saved = [path.parent for path in sorted((self._path / "checkpoints").glob("**/tokenizer.json"))]
        start = re.search(r"^pretrain: *(\S+)", _text(self._path / CONFIG), re.MULTILINE)
        return [*saved, *([Path(checkpoint(start[1]))] if start else [])]


class FileReader:
    """A file of trajectories."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        self._lines = _Lines(path)

    def new(self) -> Iterator[Found]:
        """The episodes since; see `Reader`."""
        for episode in self._lines.new():
            yield Found(episode, EVALUATION, episode.trajectory.policy_version)

    def about(self) -> dict[str, Any]:
        """That it is one."""
        return {"what": "file of trajectories"}

    def stamp(self) -> object:
        """Nothing: it stays the same."""

    def tokenizers(self) -> Sequence[Path]:
        """None is known."""
        return []


class UpstreamReader:
    """A result file of τ²'s or of τ-bench v1's, or τ²'s folder."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: object = None
        if not path.exists():
            raise nothing_at(path)
        if path.is_dir() and not (path / "results.json").is_file():
            raise InvalidValueError(
                f"{path} is no evaluation ({SETTINGS}), no training run ({TRAJECTORIES} or {METRICS}) and no folder of "
                f"τ²'s (results.json){evaluations_in(path)}"
            )

    def new(self) -> Iterator[Found]:
        """The episodes, once; see `Reader`."""
        stamp = _stamp(self._path)
        if self._stamp is not None:
            if stamp != self._stamp:
                raise Changed
            return
        for episode in read_upstream(self._path):
            yield Found(episode, EVALUATION)
        self._stamp = stamp

    def about(self) -> dict[str, Any]:
        """That it is one."""
        return {"what": "upstream's result file"}

    def stamp(self) -> object:
        """Nothing: it stays the same."""

    def tokenizers(self) -> Sequence[Path]:
        """None is known."""
        return []


def _stamp(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one at its place; None where there is none."""
    try:
        about = path.stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size


def _step_of(trajectory: Trajectory) -> int:
    """The step of the model that played; -1 where it is not known."""
    return -1 if trajectory.policy_version is None else trajectory.policy_version


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[list[float]]]:
    """By metric, its steps and its values."""
    columns: dict[str, list[list[float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != "step" and isinstance(value, (int, float)):
                steps, values = columns.setdefault(name, [[], []])
                steps.append(row["step"])
                values.append(value)
    return dict(sorted(columns.items()))


def _text(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.read(CONFIG_BYTES)
    except OSError:
        return ""
