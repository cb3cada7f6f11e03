"""Whether the Hugging Face hub can be reached, before libraries try it again and again for minutes."""

from __future__ import annotations

import functools
import threading
from pathlib import Path

from tau_retail_env.errors import InvalidValueError

PATIENCE_S = 8.0
"""Seconds that the hub has for its first answer."""


@functools.cache
def on_disk_or_hub(source: str) -> str:
    """A model's folder or name as it can be loaded: of a hub that does not answer, what was downloaded before.

    Args:
        source: a folder, or a name on the hub.

    Returns:
        The same; the folder of the download where the hub does not answer.

    Raises:
        InvalidValueError: the hub does not answer, and nothing was downloaded.
        ModuleNotFoundError: it is asked, and its library is not installed.
    """
    if Path(source).expanduser().exists() or (reason := _why_unreachable(source)) is None:
        return source
    from huggingface_hub import snapshot_download

    try:
        return str(snapshot_download(source, local_files_only=True))
    except Exception:  # whatever it is: nothing is here
        raise InvalidValueError(
            f"pretrain: {source!r} is no folder, and the Hugging Face hub does not answer ({reason}). Give a folder "
            f"(pretrain=FOLDER), or where there is a network: hf download {source}"
        ) from None


def _why_unreachable(source: str) -> str | None:
    """Why the hub does not answer, None where it does, whatever it says of this name."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    found: list[str | None] = []

    def ask() -> None:
        try:
            HfApi().model_info(source, timeout=PATIENCE_S)
        except (HfHubHTTPError, HFValidationError):
            found.append(None)
        except Exception as error:  # of a network each library makes an error of its own
            found.append(f"{type(error).__name__}: {str(error).splitlines()[0][:100] if str(error) else 'no reason'}")
        else:
            found.append(None)

    thread = threading.Thread(target=ask, daemon=True)  # looking up a name has no time limit of its own
    thread.start()
    thread.join(PATIENCE_S + 1.0)
    return found[0] if found else f"no answer within {PATIENCE_S:g} s"
