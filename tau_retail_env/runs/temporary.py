"""A temporary folder that goes when its process ends; after a SIGKILL when the next process makes one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import glob
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

TRIES = 100
"""How often a folder is made that another process takes away before it is locked."""
OPENING = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened to be locked: no link to one."""


@contextlib.contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder of this process alone, and the end of those whose processes were killed.

    The folder is locked as long as its process lives: the kernel lets go of the lock, however that ends. So who gets
    the lock of another's folder may remove it.

    Raises:
        OSError: no folder can be made.
    """
    _remove_abandoned()
    folder, descriptor = _made()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)  # last, so that nobody else removes it meanwhile


def _prefix() -> str:
    """How the folders' names begin; with the machine, for a lock may not reach another that has the same TMPDIR."""
    return f"tau-retail-run.{socket.gethostname()}."


def _made() -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock.

    Raises:
        OSError: none can be made.
    """
    for _ in range(TRIES):
        folder = Path(tempfile.mkdtemp(prefix=_prefix()))
        # Before it is locked, it seems abandoned to another process, which may remove it.
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(folder, OPENING)
            if _is_locked(descriptor, where_there_are_no_locks=True) and _is_at(folder, descriptor):
                return folder, descriptor
            os.close(descriptor)
    raise FileNotFoundError(errno.ENOENT, f"another process removes folders again and again in {folder.parent}")


def _remove_abandoned() -> None:
    """Remove this user's folders whose processes have ended."""
    with contextlib.suppress(OSError):
        for folder in Path(tempfile.gettempdir()).glob(f"{glob.escape(_prefix())}*"):
            _remove_if_abandoned(folder)


def _remove_if_abandoned(folder: Path) -> None:
    try:
        descriptor = os.open(folder, OPENING)
    except OSError:  # gone meanwhile, no folder but a link, or another user's
        return
    try:
        if os.fstat(descriptor).st_uid == os.getuid() and _is_locked(descriptor, where_there_are_no_locks=False):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _is_at(folder: Path, descriptor: int) -> bool:
    """Whether the folder that was opened is there still."""
    return folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat())


def _is_locked(descriptor: int, *, where_there_are_no_locks: bool) -> bool:
    """Lock a folder; False where another process holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return where_there_are_no_locks
    return True
