"""Hosted trackers of metrics: which arguments a configuration may give, whether one is installed, and its start."""

from __future__ import annotations

import importlib
import importlib.util
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.runs.episode_table import COLUMNS, NAME, Row
from tau_retail_env.runs.files import write_atomically
from tau_retail_env.urls import has_credentials

HOSTED = {"wandb": "name", "trackio": "name", "swanlab": "experiment_name"}
"""Those that are packages of their own, with their argument for a run's name."""
PROJECT = "tau-retail"
WANDB_BESIDE_ROLL = "wandb<=0.28.0"
"""Later ones want a newer opentelemetry than the one with which vLLM and Ray are pinned."""
SECRET = re.compile(r"api[_-]?key|secret|passw|passphrase|credential|bearer|authorization", re.IGNORECASE)
"""What a secret's name holds, wherever in it."""
SECRET_WORDS = frozenset("auth pwd pw pass token tokens".split())
"""Words of which one at the end of a name says so, but for `COUNTS` of tokens."""
COUNTS = frozenset("max min num new prompt completion total".split())
SECRET_KEYS = frozenset("access private login auth signing encryption ssh account service".split())
"""Words before "key" that make it a secret one."""
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""A word of a name such as access_key, accessToken or TOKEN2."""
TRACKER_RUN = "tracker_run"
"""File of a run's folder: the run's id with W&B, or its name with trackio."""
ROLLS_WANDB = ("project", "name", "tags", "notes", "log_dir", "mode", "settings")
"""The arguments that ROLL hands on to W&B."""


def check_tracker(name: str, *, beside_roll: bool = False) -> None:
    """Refuse a tracker that is not installed, before anything is written.

    Args:
        name: as track_with has it.
        beside_roll: whether it would be installed into the environment of the engine roll.

    Raises:
        MissingDependencyError: with the command that brings it.
    """
    if name in HOSTED and importlib.util.find_spec(name) is None:
        wanted = WANDB_BESIDE_ROLL if beside_roll and name == "wandb" else name
        raise MissingDependencyError(
            f"track_with: {name} is not installed. Install it with: pip install '{wanted}', "
            "or use track_with=tensorboard"
        )


def run_arguments(name: str, run: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a hosted tracker is started with.

    Args:
        name: as track_with has it.
        run: what the run is called there, unless tracker_kwargs say otherwise.
        given: tracker_kwargs.
    """
    return {"project": PROJECT, HOSTED[name]: run, **given}


def check_tracker_kwargs(name: str, given: Mapping[str, Any], *, beside_roll: bool = False) -> Iterator[str]:
    """What is wrong with a tracker's arguments: those that reach nobody, and secrets.

    Args:
        name: as track_with has it.
        given: tracker_kwargs.
        beside_roll: whether ROLL starts the tracker.

    Returns:
        A problem for each; a secret without its value, for it would stand in config.yaml and in ROLL's log.
    """
    if given and name not in HOSTED:
        yield f"tracker_kwargs: track_with {name} takes none; remove the key"
    if beside_roll and name == "wandb":
        for key in given:
            if key not in (*ROLLS_WANDB, "api_key"):
                yield (
                    f"tracker_kwargs.{key}: ROLL hands W&B only {', '.join(ROLLS_WANDB)}; "
                    "W&B reads others from the environment (WANDB_ENTITY, WANDB_RESUME …)"
                )
    for path in secrets_in(given, "tracker_kwargs"):
        yield (
            f"{path}: secrets come from the environment only (WANDB_API_KEY, HF_TOKEN, SWANLAB_API_KEY), "
            "or from the tracker's own login; remove the key"
        )


def secrets_in(value: Any, path: str) -> Iterator[str]:
    """Paths of the keys, at any depth, that hold a secret: their names say so, or a URL with a password or a key."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if is_secret(str(name)):
                yield f"{path}.{name}"
            else:
                yield from secrets_in(inner, f"{path}.{name}")
    elif isinstance(value, (list, tuple)):
        for number, inner in enumerate(value):
            yield from secrets_in(inner, f"{path}[{number}]")
    elif isinstance(value, str) and has_credentials(value):
        yield path


def is_secret(name: str) -> bool:
    """Whether a key's name says that it holds a secret."""
    if SECRET.search(name):
        return True
    words = [word.lower() for word in WORD.findall(name)]
    if words and words[-1] in ("file", "path", "env"):
        words.pop()
    before, last = words[-2:-1], words[-1:]
    if last == ["key"] or last == ["keys"]:
        return bool(SECRET_KEYS.intersection(before))
    return bool(SECRET_WORDS.intersection(last)) and not COUNTS.intersection(before)


class Hosted:
    """W&B or trackio. A resumed run continues there, too: its id there is kept in its folder.

    Args:
        name: as track_with has it.
        folder: the run's folder.
        given: tracker_kwargs.

    Raises:
        InvalidValueError: it cannot be started.
    """

    def __init__(self, name: str, folder: Path, given: Mapping[str, Any]) -> None:
        self._name = name
        self._library = importlib.import_module(name)
        kept = folder / TRACKER_RUN
        known = kept.read_text(encoding="utf-8") if kept.is_file() else None
        settings = run_arguments(name, folder.name, given)
        if name == "wandb":  # knows a run by its id, trackio by its name
            settings = {"id": known or uuid.uuid4().hex, "resume": "allow"} | settings
        elif known:
            settings |= {"name": known, "resume": "allow"}
        try:
            run = self._library.init(**settings)
        except Exception as error:  # whatever it raises, it cannot log the run
            raise InvalidValueError(
                f"track_with: {name} cannot be started: {error}. Fix it and resume with resume={folder}, "
                "or use track_with=tensorboard"
            ) from error
        write_atomically(kept, settings["id"] if name == "wandb" else run.name)
        if name == "wandb":  # its own count of steps never goes back, as a resumed run's does
            self._library.define_metric("step")
            self._library.define_metric("*", step_metric="step")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Keep the numbers of a step."""
        if self._name == "wandb":
            self._library.log({**values, "step": step})
        else:
            self._library.log(dict(values), step=step)

    def show(self, episodes: Sequence[Row], step: int) -> None:
        """Keep a table of episodes; trackio has no place for one."""
        if self._name == "wandb":
            table = self._library.Table(columns=list(COLUMNS), data=[list(row.cells) for row in episodes])
            self._library.log({NAME: table, "step": step})

    def close(self) -> None:
        """Finish the run there."""
        self._library.finish()
