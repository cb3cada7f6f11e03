"""What can be compared: an evaluation, a file of upstream's, a training run's validation, a file of trajectories."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.facts import Facts, facts_of
from tau_retail_env.evaluation.record import (
    EPISODES,
    SETTINGS,
    Episode,
    best_episodes,
    each_once,
    evaluation_at,
    of_one_version,
    read_episodes,
)
from tau_retail_env.evaluation.runner import stand
from tau_retail_env.evaluation.settings import EvalSettings, evaluations_in, nothing_at, read_settings, task_digests
from tau_retail_env.evaluation.upstream import tau2, tau_bench
from tau_retail_env.evaluation.upstream.conversation import TasksOfEpisodes, known_tasks
from tau_retail_env.evaluation.validations import numbered, settings_after
from tau_retail_env.runs.foreign import archive_looks_like

TRAJECTORIES = "trajectories"
"""The folder of a training run that holds its episodes."""
VALIDATIONS = "val-*.jsonl"
LINES = ".jsonl"
"""How the names of files of trajectories end."""
NOT_TOLD = "not told"
"""The task version of what does not name it."""
FIRST_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Side:
    """The episodes of one agent, whoever played them."""

    name: str
    """How it was named on the command line."""
    what: str
    """What it is, in words."""
    task_version: str
    """Which edition of the tasks, as far as it is known."""
    tasks: Mapping[str, str]
    """Digests of the tasks by id; empty where the file does not hold them."""
    episodes: Sequence[Facts]
    """Its episodes in numbers."""
    settings: Sequence[EvalSettings] = ()
    """How it was played: an evaluation's settings, of a training run's validation one for each tag; empty where nothing
    tells it."""

    @property
    def domains(self) -> set[str]:
        """Upstream's domains that it played, such as retail."""
        return {domain_of(one.task_id) for one in self.episodes}

    @property
    def sources(self) -> set[str]:
        """What its tasks' ids begin with."""
        return {one.task_id.split("/")[0] for one in self.episodes}


def domain_of(task_id: str) -> str:
    """Upstream's domain of a task: retail where its id names no other, as in "tau2/airline/3"."""
    match task_id.split("/"):
        case ["tau2", domain, _] | ["tau_bench", tau_bench.AIRLINE as domain, _]:
            return domain
        case _:
            return tau2.RETAIL


def read_side(name: str) -> Side:
    """Read what a word on the command line names.

    Args:
        name: an evaluation's folder, τ²'s results.json or its folder, v1's result file, a training run's folder (the
            last validation; `FOLDER@STEP` for another), or a file of trajectories.

    Raises:
        InvalidValueError: nothing of these, or one that is damaged.
    """
    path, step = _with_step(name)
    if path.is_dir():
        if (path / SETTINGS).is_file():
            return _evaluation(name, path)
        if (path / TRAJECTORIES).is_dir():
            return _validation(name, path, step)
    _check_there(path)
    if path.is_dir():
        return _tau2(name, path)
    if path.suffix == LINES:
        return Side(name, "trajectories", NOT_TOLD, {}, _facts(read_episodes(path)))
    return _upstream(name, path)


def episodes_of(name: str) -> Iterator[Episode]:
    """The episodes of what a word names, one after another; of one that was played again the try that counts.

    Args:
        name: as in `read_side`.

    Raises:
        InvalidValueError: nothing of these, or one that is damaged.
    """
    path, step = _with_step(name)
    if (path / SETTINGS).is_file():
        yield from best_episodes(path / EPISODES, read_settings(path))
    elif (path / TRAJECTORIES).is_dir():
        yield from _validated(path, step)[1]
    elif path.suffix == LINES and path.is_file():
        yield from of_one_version(read_episodes(path), path)
    else:
        yield from read_upstream(path)


def read_upstream(path: Path) -> Iterator[Episode]:
    """The episodes of a file of upstream's, τ²'s or v1's, one after another.

    Raises:
        InvalidValueError: it is neither, not there, damaged, or holds a trial twice.
    """
    _check_there(path)
    if path.suffix == LINES:
        next(read_episodes(path), None)  # says what the lines are, where they are no trajectories
        raise InvalidValueError(f"{path} holds trajectories already; a file of upstream's is one JSON value")
    is_v1 = not path.is_dir() and _is_v1(path)
    return each_once(tau_bench.read(path) if is_v1 else tau2.read(path, tau2.Tau2File()), path)


def steps_of(run: Path) -> list[int]:
    """The steps after which a training run was validated, in their order."""
    return sorted(_validations(run / TRAJECTORIES))


def _with_step(name: str) -> tuple[Path, int | None]:
    before, at, step = name.rpartition("@")
    if at and step.isdecimal() and not Path(name).exists():
        path = Path(before).expanduser()
        if path.exists() and not (path / TRAJECTORIES).is_dir():
            raise InvalidValueError(f"{path} is no training run: only one has steps; leave out @{step}")
        return path, int(step)
    return evaluation_at(Path(name).expanduser()), None


def _evaluation(name: str, path: Path) -> Side:
    settings = read_settings(path)
    found = list(known_tasks(settings.tasks, settings.task_version).values())
    digests = task_digests(found)
    of_its_version = [task for task in found if digests[task.id] == settings.tasks[task.id]]
    standing = stand(path, settings, of_its_version)
    what = f"evaluation of {settings.agent}"
    return Side(name, what, settings.task_version, settings.tasks, standing.episodes, (settings,))


def _validation(name: str, path: Path, step: int | None) -> Side:
    chosen, episodes = _validated(path, step)
    return Side(name, f"validation after step {chosen}", NOT_TOLD, {}, _facts(episodes), settings_after(path, chosen))


def _validated(path: Path, step: int | None) -> tuple[int, Iterator[Episode]]:
    """A step after which a run was validated, the last for None, and the episodes of that validation.

    Raises:
        InvalidValueError: there is none.
    """
    found = _validations(path / TRAJECTORIES)
    if not found:
        raise InvalidValueError(f"{path} holds no validation ({TRAJECTORIES}/{VALIDATIONS})")
    if step is not None and step not in found:
        raise InvalidValueError(f"{path} was not validated after step {step}; it was after {sorted(found)}")
    chosen = max(found) if step is None else step
    in_order = sorted(found[chosen].values(), key=lambda one: (one.tag, one.task_id, one.sampling_seed))
    return chosen, iter(numbered(in_order))


def _check_there(path: Path) -> None:
    """Refuse a folder of nothing that is known, and what is not there.

    Raises:
        InvalidValueError: names what was looked for.
    """
    if path.is_dir() and not (path / tau2.RESULTS).is_file():
        raise InvalidValueError(
            f"{path} is no evaluation ({SETTINGS}), no run ({TRAJECTORIES}) and no folder of τ²'s ({tau2.RESULTS})"
            + evaluations_in(path)
        )
    if not path.exists():
        raise nothing_at(path)


def _validations(folder: Path) -> dict[int, dict[tuple[str, str, int], Trajectory]]:
    """By step, the episodes of every validation; of one that was played again the last try counts."""
    found: dict[int, dict[tuple[str, str, int], Trajectory]] = {}
    for path in sorted(folder.glob(VALIDATIONS), key=lambda path: (path.stat().st_mtime, path.name)):
        for episode in read_episodes(path):
            one = episode.trajectory
            step = -1 if one.policy_version is None else one.policy_version
            found.setdefault(step, {})[one.tag, one.task_id, one.sampling_seed] = one
    return found


def _upstream(name: str, path: Path) -> Side:
    if _is_v1(path):
        return Side(name, "τ-bench v1's file", "1", {}, _facts(each_once(tau_bench.read(path), path)))
    return _tau2(name, path)


def _is_v1(path: Path) -> bool:
    """Whether a file is v1's, an array, or τ²'s, an object.

    Raises:
        InvalidValueError: neither.
    """
    try:
        with path.open("rb") as file:
            start = file.read(FIRST_BYTES).lstrip()[:1]
    except OSError as error:
        raise InvalidValueError(f"{path} cannot be read: {error.strerror}") from None
    if start not in (b"[", b"{"):
        raise InvalidValueError(
            f"{path} is neither τ²'s results.json (an object) nor τ-bench v1's file (an array)"
            + archive_looks_like(path)
        )
    return start == b"["


def _tau2(name: str, path: Path) -> Side:
    file = tau2.Tau2File()
    episodes = _facts(each_once(tau2.read(path, file), path))
    agent = file.info.get("agent_info", {})
    what = f"τ²'s file of {agent.get('llm') or agent.get('implementation')}"
    return Side(name, what, file.version(), {}, episodes)


def _facts(episodes: Iterable[Episode]) -> list[Facts]:
    tasks = TasksOfEpisodes()
    return [facts_of(episode, tasks.of(episode.trajectory)) for episode in episodes]
