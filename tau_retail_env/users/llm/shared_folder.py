"""The folder through which the processes of one user on one machine agree: slots and spending."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from tau_retail_env.errors import UserSetupError


def shared_file(kind: str, name: str) -> Path:
    """The path of a small file that all processes of this user on this machine share.

    Args:
        kind: what it is for, the beginning of its name.
        name: whose it is; only a digest of it becomes part of the path.

    Raises:
        UserSetupError: the folder cannot be made, or belongs to somebody else.
    """
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return _folder() / f"{kind}-{digest}"


def _folder() -> Path:
    folder = Path(tempfile.gettempdir()) / f"tau-retail-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        # Not `stat`: a link that somebody else put here must not count as this user's folder.
        found = folder.lstat()
    except OSError as error:
        raise UserSetupError(
            f"{folder} cannot be made ({error.strerror}): processes agree there on how many ask a customer at once; "
            "set TMPDIR to a folder that can be written"
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise UserSetupError(f"{folder} is not a folder of this user: remove it, or set TMPDIR to another place")
    return folder
