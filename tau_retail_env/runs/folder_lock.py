"""A run's folder belongs to one process at a time: made and locked before anything is loaded, let go at the end."""

from __future__ import annotations

import fcntl
import os
import warnings
import weakref
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.files import is_partial

LOCK = ".lock"
"""The file of a run's folder that is locked while a process writes there."""
TRIES = 100
"""How often a folder is looked for that another process takes away at the same moment."""


class FolderLock:
    """A run's folder, made where it is missing and kept from other processes as long as this one lives.

    The kernel lets go of the lock when the process ends, however it ends. Used as a context: at its end the lock is
    given back, and folders that were made for it go again if nothing was written to them.

    Args:
        path: the folder.

    Raises:
        InvalidValueError: another process holds it, or it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made = [folder for folder in (path, *path.parents) if not folder.exists()]
        self._descriptor = self._take()
        close = weakref.WeakMethod(self._close)

        def forget() -> None:
            """A forked child would keep the lock as long as it lives, which may be longer than its parent."""
            if (method := close()) is not None:
                method()

        os.register_at_fork(after_in_child=forget)

    def __enter__(self) -> Self:
        """The folder is locked already."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the folder."""
        self.release()

    def release(self) -> None:
        """Let go of the folder; nothing happens the second time."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            # Removed while it is still locked: nobody else can hold what goes.
            (self.path / LOCK).unlink(missing_ok=True)
        self._close()
        for folder in self._made:
            with suppress(OSError):  # it holds something
                folder.rmdir()

    def _take(self) -> int | None:
        for _ in range(TRIES):
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:  # whoever had it has just taken it away
                continue
            except OSError as error:
                raise InvalidValueError(
                    f"output_dir {self.path} cannot be written to: {error.strerror}; give another: output_dir=FOLDER"
                ) from error
            if self._is_locked(descriptor):
                return descriptor
            os.close(descriptor)
        raise InvalidValueError(
            f"output_dir {self.path} cannot be made: no folder can be made there, or another process removes it again "
            "and again; give another: output_dir=FOLDER"
        )

    def _is_locked(self, descriptor: int) -> bool:
        """Lock the file; False where it is not the folder's any more.

        Raises:
            InvalidValueError: another process holds it.
        """
        try:
            # The package filelock, which the base install lacks, would save this call and the hook for forks alone.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise InvalidValueError(
                f"output_dir {self.path}: another process is writing to it. Wait until it ends, "
                "or give another: output_dir=FOLDER"
            ) from None
        except OSError as error:
            warnings.warn(
                f"output_dir {self.path} cannot be locked ({error.strerror}): see to it that no other run writes there",
                stacklevel=2,
            )
        try:
            # Between opening and locking, the process before may have removed the file.
            return os.path.samestat(os.fstat(descriptor), os.stat(self.path / LOCK))
        except FileNotFoundError:
            return False

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_unused(folder: Path) -> bool:
    """Whether a folder is missing, or holds nothing but what a process left that was killed before it wrote."""
    return not folder.exists() or (
        folder.is_dir() and all(path.name == LOCK or is_partial(path) for path in folder.iterdir())
    )
