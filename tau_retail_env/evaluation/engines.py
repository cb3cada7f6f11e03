"""Plays with a checkpoint through vLLM: one engine or several side by side, each a process with its own episodes."""

from __future__ import annotations

import dataclasses
import math
import os
import pickle
import signal
import socket
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from tau_retail_env.errors import TauRetailError
from tau_retail_env.evaluation.worker_pool import TICK_S, Job, Played
from tau_retail_env.models.shipped import checkout
from tau_retail_env.models.vllm_engine import GPU_MEMORY
from tau_retail_env.runs.files import writing

if TYPE_CHECKING:
    from tau_retail_env.evaluation.engine_worker import WorkerSettings
    from tau_retail_env.models.vllm_engine import EngineCounts

AT_ONCE = 128
"""Most episodes of one engine at a time, where nothing else is said."""
QUEUED_AHEAD = 4
"""Episodes that an engine is given beyond those it plays, so that it never waits for the next."""
START_S = 400.0
"""Seconds that an engine has to get ready."""
SILENCE_S = 120.0
"""Seconds without a word after which an engine counts as hanging."""
CORES_OF_ENGINE = 2
MOST_ENGINES = 8
"""Engines on one GPU at most: beyond, its own time is what they would wait for."""
SMALL_BYTES = 2 << 30
"""Bytes of weights up to which one engine's Python, not the GPU, is what one waits for."""
CACHE_BYTES = 4 << 30
"""Bytes of key-value cache that an engine should have at least."""
FEWEST_EPISODES = 8
"""Episodes for which one more engine is worth its start."""
DYING_S = 5.0
"""Seconds that an engine that has hung up has to end."""
LAST_LINES = 15
"""Lines of an engine's log that are shown when it died."""


class EngineError(TauRetailError, RuntimeError):
    """No engine is left that could play on."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What there is to run engines on."""

    python: Path
    """The interpreter that has vLLM."""
    cores: int
    """Processor cores."""
    gpus: Sequence[str] = ()
    """The GPUs as CUDA_VISIBLE_DEVICES names them; none for vLLM's build for the processor."""
    gpu_bytes: int = 0
    """Memory of the smallest of them."""
    gpu_memory: float = GPU_MEMORY
    """The share of it that all engines on a GPU may take together."""


def engines_for(machine: Machine, weights_bytes: int, episodes: int) -> int:
    """How many engines play side by side where nobody has said it.

    Args:
        machine: where.
        weights_bytes: of the checkpoint.
        episodes: how many are to be played.
    """
    if not machine.gpus or weights_bytes > SMALL_BYTES:
        return max(1, len(machine.gpus))
    by_memory = int(machine.gpu_bytes * machine.gpu_memory) // (weights_bytes + CACHE_BYTES + (3 << 30))
    on_gpus = max(1, min(MOST_ENGINES, by_memory)) * len(machine.gpus)
    return max(1, min(on_gpus, machine.cores // CORES_OF_ENGINE, math.ceil(episodes / FEWEST_EPISODES)))


@dataclass(slots=True)
class _Engine:
    """One process."""

    number: int
    process: subprocess.Popen[bytes]
    line: Connection
    log: Path
    started_at: float = field(default_factory=time.monotonic)
    heard_at: float = field(default_factory=time.monotonic)
    ready: bool = False
    jobs: set[Job] = field(default_factory=set)
    played: int = 0
    counts: EngineCounts | None = None


class EnginePool:
    """Plays jobs through engines and hands each episode back as it ends.

    An engine that dies or hangs is named, with the end of its log, and the others play its episodes. Where none is
    left, engines are started again without CUDA graphs, and then one alone with all the memory.

    Args:
        machine: where.
        settings: of each process; how many share a GPU is filled in here.
        engines: how many.
        log_folder: where what they print is kept.
        tell: prints a line for a person.
        stays: whether the engines stay after `play`, for other tasks (`turns_to`), until `close`.
        episodes: how many are played at a time; of use where other tasks follow that are more than the first.
    """

    def __init__(
        self,
        machine: Machine,
        settings: WorkerSettings,
        *,
        engines: int,
        log_folder: Path,
        tell: Callable[[str], None],
        stays: bool = False,
        episodes: int = 0,
    ) -> None:
        self._machine = machine
        self._settings = settings
        self._log_folder = log_folder
        self._tell = tell
        self._stays = stays
        self._episodes = episodes
        self._ways = deque(dict.fromkeys([(engines, settings.engine.eager), (engines, True), (1, True)]))
        """Numbers of engines, and whether they do without CUDA graphs: the next where the last has failed."""
        self._number = 0
        self._engines: list[_Engine] = []
        self._ended: list[_Engine] = []
        self._to_start = 0
        self._eager = settings.engine.eager
        self._side_by_side = engines
        self._waiting: deque[Job] = deque()
        self._limit = 1
        self._first_job_at: float | None = None
        self._counted_before: dict[str, int] = {}
        self.playing_s = 0.0
        """Seconds from the first job to the last episode: the start of the engines aside."""

    @property
    def counts(self) -> dict[str, int]:
        """What all engines have drawn since they turned to their tasks, by the names of `EngineCounts`."""
        return {name: count - self._counted_before.get(name, 0) for name, count in self._counted().items()}

    def _counted(self) -> dict[str, int]:
        known = [one.counts for one in (*self._engines, *self._ended) if one.counts is not None]
        fields = ("turns", "prompt_tokens", "cached_tokens", "new_tokens")
        return {name: sum(getattr(one, name) for one in known) for name in fields}

    def play(self, jobs: Iterable[Job], again: Callable[[Played], bool]) -> Generator[Played | None]:
        """Play jobs.

        Args:
            jobs: what to play.
            again: whether an episode is to be played once more.

        Yields:
            Every episode as it ends, and None now and then while none does.

        Raises:
            EngineError: every engine has died, also when started more carefully.
            Exception: what stopped an episode: no customer is available, say.
        """
        self._waiting = deque(jobs)
        total = max(len(self._waiting), self._episodes)
        try:
            while self._waiting or any(one.jobs for one in self._engines):
                self._start(total)
                self._hand_out()
                heard = wait([one.line for one in self._engines], timeout=TICK_S)
                if not heard:
                    yield None
                for one in [one for one in self._engines if one.line in heard]:
                    yield from self._listen(one, again)
                self._look_after()
        except BaseException:
            self.close()
            raise
        if not self._stays:
            self.close()

    def turns_to(self, settings: WorkerSettings, log_folder: Path) -> bool:
        """Play other tasks from now on, with the engines that are there; or end them where they cannot.

        Args:
            settings: those of the other tasks.
            log_folder: where what engines print is kept that are started from now on.

        Returns:
            Whether they can: the same model draws in the same way.
        """
        own = self._settings
        fixed = (own.folder, own.sampling, own.engine.sequence_length, own.engine.logprobs, own.threads > 0)
        engine = settings.engine
        wanted = (settings.folder, settings.sampling, engine.sequence_length, engine.logprobs, settings.threads > 0)
        if fixed != wanted:
            self.close()
            return False
        self._settings = dataclasses.replace(settings, engine=own.engine)
        self._log_folder = log_folder
        self._first_job_at, self.playing_s = None, 0.0
        self._counted_before = self._counted()
        for one in self._engines:
            one.ready, one.played, one.heard_at = False, 0, time.monotonic()
            one.started_at = time.monotonic()
            with suppress(OSError):  # it has died, which the end of the line will show
                one.line.send(self._worker_settings())
        return True

    def summary(self) -> str:
        """What was drawn and how fast, in one line."""
        counts, seconds = self.counts, self.playing_s or 1.0
        cached = counts["cached_tokens"] / counts["prompt_tokens"] if counts["prompt_tokens"] else 0.0
        return (
            f"{self._side_by_side} engines drew {counts['new_tokens']:,} tokens in {counts['turns']:,} messages in "
            f"{seconds:,.1f} s, their start aside: {counts['new_tokens'] / seconds:,.0f} tokens a second; "
            f"{cached:.0%} of the tokens before them came from the prefix cache"
        )

    def _start(self, total: int) -> None:
        """Start what is to be started: the first alone, for what it compiles is then there for the others.

        Raises:
            EngineError: none is left, and every way to start was tried.
        """
        if not self._engines:
            if not self._ways:
                logs = ", ".join(str(one.log) for one in self._ended[-3:])
                raise EngineError(
                    f"No vLLM engine is left to play {len(self._waiting)} episodes; read {logs}. What was played is "
                    "kept: the same command goes on, with play.engine=transformers if need be"
                )
            self._side_by_side, self._eager = self._ways.popleft()
            self._limit = max(1, min(self._settings.engine.at_once, math.ceil(total / self._side_by_side)))
            self._to_start = self._side_by_side - 1
            self._launch()
        elif any(one.ready for one in self._engines):
            while self._to_start and self._waiting:
                self._launch()
                self._to_start -= 1

    def _launch(self) -> None:
        """Start one engine."""
        here, there = socket.socketpair()
        log = self._log_folder / f"engine_{self._number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        module = "tau_retail_env.evaluation.engine_worker"
        with log.open("wb") as file, there, tempfile.TemporaryFile() as settings:
            with writing(Path(tempfile.gettempdir(), "settings")):
                pickle.dump(self._worker_settings(), settings)
                settings.seek(0)
            process = subprocess.Popen(
                [self._machine.python, "-m", module, str(there.fileno())],
                stdin=settings,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=[there.fileno()],
                start_new_session=True,  # Ctrl-C is for the parent, which hangs up
                env=_environment(self._machine.gpus, self._number),
            )
        how = ", without CUDA graphs" if self._eager else ""
        self._tell(f"engine {self._number} starts, {self._side_by_side} side by side{how}; log: {log}")
        self._engines.append(_Engine(self._number, process, Connection(here.detach()), log))
        self._number += 1

    def _worker_settings(self) -> WorkerSettings:
        """The settings of one engine's process."""
        on_gpu = math.ceil(self._side_by_side / max(1, len(self._machine.gpus)))
        engine = dataclasses.replace(
            self._settings.engine,
            eager=self._eager,
            engines_on_gpu=on_gpu,
            gpu_memory=self._machine.gpu_memory,
            at_once=self._limit,
        )
        return dataclasses.replace(self._settings, engine=engine)

    def _hand_out(self) -> None:
        for one in self._engines:
            while one.ready and self._waiting and len(one.jobs) < self._limit + QUEUED_AHEAD:
                job = self._waiting.popleft()
                try:
                    one.line.send(job)
                except OSError:  # it has died, which the end of the line will show
                    self._waiting.appendleft(job)
                    return
                one.jobs.add(job)
                self._first_job_at = self._first_job_at or time.monotonic()

    def _listen(self, one: _Engine, again: Callable[[Played], bool]) -> Iterator[Played]:
        """Take what an engine has sent.

        Raises:
            Exception: what stopped an episode.
        """
        try:
            while one.line.poll():
                kind, what = one.line.recv()
                one.heard_at = time.monotonic()
                if kind == "ready":
                    one.ready = True
                    self._tell(f"engine {one.number} is ready after {time.monotonic() - one.started_at:.0f} s")
                elif kind == "counts":
                    one.counts = what
                elif kind == "played":
                    self.playing_s = time.monotonic() - (self._first_job_at or time.monotonic())
                    one.played += 1
                    one.jobs.discard(what.job)
                    if again(what):
                        self._waiting.append(what.job)
                    yield what
                elif kind == "error":
                    raise what
                else:
                    self._lose(one, what)
                    return
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                one.process.wait(DYING_S)
            self._lose(one, f"it died, exit status {one.process.poll()}")

    def _look_after(self) -> None:
        """Give up engines that are not heard of."""
        for one in list(self._engines):
            silent_s = time.monotonic() - one.heard_at
            if silent_s > (SILENCE_S if one.ready else START_S):
                what = "did not answer" if one.ready else "was not ready"
                self._lose(one, f"it {what} for {silent_s:.0f} s")

    def _lose(self, one: _Engine, why: str) -> None:
        """Name an engine that is gone, and keep what it was playing for the others."""
        self._end(one)
        self._engines.remove(one)
        self._ended.append(one)
        self._waiting.extendleft(sorted(one.jobs, key=lambda job: (job.trial, job.task_id), reverse=True))
        self._tell(
            f"engine {one.number} is lost after {one.played} episodes: {why}; the {len(one.jobs)} that it was playing "
            f"are played by others.{_end_of(one.log)}"
        )
        one.jobs.clear()

    def close(self) -> None:
        """End all engines."""
        for one in self._engines:
            self._end(one)
        self._ended += self._engines
        self._engines = []

    def _end(self, one: _Engine) -> None:
        """End a process with all that it started."""
        one.line.close()
        with suppress(ProcessLookupError):
            os.killpg(one.process.pid, signal.SIGKILL)
        one.process.wait()


def _environment(gpus: Sequence[str], number: int) -> Mapping[str, str]:
    """The environment of an engine: one GPU, and this checkout's modules where it runs from one."""
    environment = dict(os.environ)
    if gpus:
        environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
    if (project := checkout()) is not None:
        before = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{project}{os.pathsep}{before}" if before else str(project)
    return environment


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-LAST_LINES:]
    return "".join(f"\n  {line}" for line in [f" The end of {log}:", *lines])
