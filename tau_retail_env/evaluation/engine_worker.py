"""One process of an evaluation with a checkpoint: a vLLM engine and the environments that play with it.

Started by `evaluation.engines` as `python -m tau_retail_env.evaluation.engine_worker DESCRIPTOR`, perhaps in another
environment's Python, with its `WorkerSettings` on standard input; it ends with its parent.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.continuous import ContinuousPlayer
from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.errors import TauRetailError
from tau_retail_env.evaluation.playing import played, request
from tau_retail_env.evaluation.worker_pool import Job
from tau_retail_env.tasks import Task

if TYPE_CHECKING:
    from tau_retail_env.chat.encoder import ChatEncoder
    from tau_retail_env.models.sampler import SamplingSettings
    from tau_retail_env.models.vllm_engine import EngineSettings, VllmEngine

PARENT_S = 1.0
"""Seconds between two looks whether the parent lives, and between two words to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The settings of the process, pickled."""

    folder: str
    """The checkpoint."""
    make_env: Callable[[], TauRetailEnv]
    """Makes an environment."""
    tasks: Mapping[str, Task]
    """The tasks by id, of one source."""
    task_version: str | None
    """Their edition."""
    seed: int
    """Of the first trial; each further one adds 1."""
    prompt_style: str
    """How the domain policy and the tools are shown."""
    sampling: SamplingSettings
    """How tokens are drawn."""
    engine: EngineSettings
    """What the engine may take."""
    threads: int
    """Most environments that step at the same time; 0 where the customer waits for nobody."""


class Worker:
    """Plays the jobs that come over a line and sends each episode back as it ends.

    Messages to the parent are pairs: ("ready", None), ("played", `Played`), ("counts", `EngineCounts`), and at the
    end at most one ("lost", words) where the engine failed or ("error", exception) where an episode did. Messages from
    it are jobs, and between the last job of some tasks and the first of others the settings for these.

    Args:
        line: the line.
        settings: of this process.
    """

    def __init__(self, line: Connection, settings: WorkerSettings) -> None:
        from tau_retail_env.models.vllm_engine import VllmEngine

        self._line = line
        encoder = _prepare(settings)
        self._engine: VllmEngine = VllmEngine(settings.folder, settings.sampling, encoder.stop_ids, settings.engine)
        self._jobs: dict[int, Job] = {}
        self._taken = 0
        self._turn_to(settings, encoder)

    def _turn_to(self, settings: WorkerSettings, encoder: ChatEncoder) -> None:
        """Play these tasks from now on."""
        self._settings = settings
        self._player = ContinuousPlayer(
            settings.make_env,
            self._engine,
            encoder,
            sequence_length=settings.engine.sequence_length,
            at_once=settings.engine.at_once,
            threads=settings.threads,
        )

    def work(self) -> None:
        """Play until the line ends."""
        self._line.send(("ready", None))
        told_at = time.monotonic()
        while True:
            while self._line.poll(0 if self._player.unfinished else PARENT_S):
                what = self._line.recv()
                if isinstance(what, Job):
                    self._take(what)
                else:
                    self._turn_to(what, _prepare(what))
                    self._line.send(("ready", None))
            ended = self._player.tick()
            if ended or time.monotonic() - told_at >= PARENT_S:
                told_at = time.monotonic()
                self._line.send(("counts", self._engine.counts))
            for place, trajectory in ended:
                job = self._jobs.pop(place)
                self._line.send(("played", played(job, trajectory, self._settings.tasks[job.task_id])))

    def _take(self, job: Job) -> None:
        self._jobs[self._taken] = job
        self._player.begin(self._taken, request(job, self._settings.seed))
        self._taken += 1


def _prepare(settings: WorkerSettings) -> ChatEncoder:
    """Load what all environments share before the first episode, and make the encoder of their conversations."""
    from tau_retail_env.models.checks import eos_token_ids
    from tau_retail_env.models.loading import load_tokenizer

    settings.make_env()
    source = next(iter(settings.tasks.values())).source
    tokenizer = load_tokenizer(settings.folder)
    return make_encoder(
        tokenizer,
        source,
        settings.prompt_style,
        task_version=settings.task_version,
        eos_token_ids=eos_token_ids(settings.folder),
    )


def main() -> None:
    """Work until the parent hangs up."""
    line = Connection(int(sys.argv[1]))
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    from tau_retail_env.models.vllm_engine import EngineFailedError

    worker = None
    try:
        worker = Worker(line, pickle.load(sys.stdin.buffer))
        worker.work()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)
    except BaseException as error:
        traceback.print_exc()
        sys.stderr.flush()
        is_lost = worker is None or isinstance(error, EngineFailedError)
        line.send(("lost", f"{type(error).__name__}: {error}") if is_lost else ("error", _portable(error)))
        os._exit(1)


def _end_with(parent: int) -> None:
    """End this process once its parent has, also while the engine starts."""
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os._exit(0)


def _portable(error: BaseException) -> Any:
    """An error that the parent can read: our own as they are, the others in words."""
    return error if isinstance(error, TauRetailError) else RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
