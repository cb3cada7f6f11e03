"""Trajectories on disk, written beside the playing: one writer a process, whole files only."""

from __future__ import annotations

import atexit
import logging
import os
import queue
import socket
import threading
import time
import zlib
from pathlib import Path
from typing import Any

from tau_retail_env.episodes.trajectory import Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.trajectories import write_trajectories

FILE_EPISODES = 64
"""Episodes of a full file."""
FILE_AGE_S = 30.0
"""Seconds after which a file is written though it is not full."""
WAITING_EPISODES = 1024
"""Most episodes that wait for the disk; more are left out and counted."""
FLUSH_S = 10.0
"""Seconds that a run waits at its end for the disk."""

logger = logging.getLogger(__name__)


def is_chosen(group: str, share: float) -> bool:
    """Whether a group's episodes are written: groups are written whole, the same ones whenever asked.

    Args:
        group: the group's name.
        share: which share of all groups, 0 to 1.
    """
    return zlib.crc32(group.encode("utf-8")) < share * 2**32


def trajectories_folder(pipeline_config: Any) -> Path:
    """Where a run's trajectories go: ROLL's own key for it, or a folder of the run's.

    Args:
        pipeline_config: ROLL's AgenticConfig.
    """
    given = pipeline_config.rollout_dump_dir
    return Path(given).absolute() if given else Path(pipeline_config.output_dir).absolute() / "trajectories"


class TrajectoryWriter:
    """Takes episodes from any thread and writes them from one of its own, `FILE_EPISODES` to a file.

    Nothing that goes wrong with the disk reaches the training: episodes are left out, counted and logged.

    Args:
        folder: where the files go; made when the first is written.
        prefix: how their names begin, such as "train".
    """

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = f"{prefix}-{socket.gethostname()}-{os.getpid()}-{time.time_ns() // 1_000_000}"
        self._waiting: queue.Queue[Trajectory | threading.Event] = queue.Queue(WAITING_EPISODES)
        self._files = 0
        self._started = threading.Lock()
        self._thread: threading.Thread | None = None
        self.lost = 0
        """Episodes that could not be written."""

    def add(self, trajectory: Trajectory) -> None:
        """Have an episode written soon; never waits."""
        self._start()
        try:
            self._waiting.put_nowait(trajectory)
        except queue.Full:
            self._lose(1, "the disk is too slow")

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Write what has been added so far.

        Args:
            timeout_s: most seconds to wait.

        Returns:
            Whether it was done in time.
        """
        if self._thread is None:
            return True
        done = threading.Event()
        try:
            self._waiting.put(done, timeout=timeout_s)
        except queue.Full:
            return False
        return done.wait(timeout_s)

    def _start(self) -> None:
        if self._thread is None:
            with self._started:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="trajectory-writer", daemon=True)
                    thread.start()
                    self._thread = thread
                    atexit.register(self.flush)

    def _run(self) -> None:
        held: list[Trajectory] = []
        due = 0.0
        while True:
            wait_s = max(due - time.monotonic(), 0.0) if held else None
            try:
                item = self._waiting.get(timeout=wait_s)
            except queue.Empty:
                self._write(held)
                held = []
                continue
            if isinstance(item, threading.Event):
                self._write(held)
                held = []
                item.set()
                continue
            due = due if held else time.monotonic() + FILE_AGE_S
            held.append(item)
            if len(held) >= FILE_EPISODES:
                self._write(held)
                held = []

    def _write(self, held: list[Trajectory]) -> None:
        if not held:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_trajectories(self._folder / f"{self._prefix}-{self._files:06d}.jsonl", held)
            self._files += 1
        except InvalidValueError as error:
            if len(held) == 1:
                self._lose(1, str(error))
                return
            for part in (held[: len(held) // 2], held[len(held) // 2 :]):
                self._write(part)
        except Exception as error:
            self._lose(len(held), f"{type(error).__name__}: {error}")

    def _lose(self, count: int, why: str) -> None:
        self.lost += count
        logger.warning(
            "%d trajectories could not be written to %s (%d so far): %s", count, self._folder, self.lost, why
        )


_lock = threading.Lock()
_writers: dict[tuple[Path, str, int], TrajectoryWriter] = {}


def writer_for(folder: Path, prefix: str) -> TrajectoryWriter:
    """The process's writer for a folder and a prefix."""
    key = (folder, prefix, os.getpid())
    with _lock:
        if key not in _writers:
            _writers[key] = TrajectoryWriter(folder, prefix)
        return _writers[key]
