"""Resuming a run: its stored configuration, what may differ from it, and the error that names what must not."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.runs.checkpoints import step_of

CONFIG = "config.yaml"
"""The file of a run's folder with the configuration that it was begun with."""
RESUME = re.compile(r"\+{0,2}resume(?:_from_checkpoint)?=(.+)")
NO_FOLDER = ("true", "false", "null")

MAY_DIFFER_OF_USER = frozenset(
    "base_url api_key_env timeout_s max_retries max_response_mb max_concurrency budget_usd cassette "
    "usd_per_million_input_tokens usd_per_million_output_tokens".split()
)
"""Keys within `user` that always may: how a customer is reached and paid, not what it says."""


def run_to_resume(overrides: Sequence[str]) -> Path | None:
    """The folder of the run that an override like resume=FOLDER names.

    Args:
        overrides: of the command line; FOLDER is a run's, or that of one of its checkpoints.

    Returns:
        The run's folder; None where no override names a run.
    """
    given = [found[1].strip("'\"") for override in overrides if (found := RESUME.fullmatch(override))]
    if not given or given[-1].lower() in NO_FOLDER:
        return None
    path = Path(given[-1]).expanduser().resolve()
    run = path.parents[1] if step_of(path) is not None else path
    return run if (run / CONFIG).is_file() else None


def read_config(run: Path) -> dict[str, Any]:
    """The configuration that a run was begun and resumed with.

    Args:
        run: the run's folder.

    Raises:
        InvalidValueError: there is none, or it cannot be read.
    """
    file = run / CONFIG
    try:
        stored = yaml.safe_load(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        plays = [*run.glob("eval.json"), *run.glob("*/eval.json")]
        hint = "; an evaluation goes on by its own command, with the same options and folder" if plays else ""
        raise InvalidValueError(
            f"resume: {run} holds no run ({CONFIG} is missing); give the folder of a run{hint}"
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InvalidValueError(_unreadable(file, reason)) from error
    if not isinstance(stored, dict):
        raise InvalidValueError(_unreadable(file, f"it holds {type(stored).__name__}, expected keys and values"))
    return stored


def with_users_reached_anew(stored: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration whose environments follow its block `user` as they did in the YAML files.

    A stored configuration has no `${user}` any more: each environment holds a copy of the block.

    Args:
        stored: the configuration as it was stored.
        values: the same with overrides.
    """
    if not isinstance(values.get("custom_envs"), Mapping):
        return dict(values)  # the check of the configuration says what is wrong
    environments = {
        tag: _with_user(block, stored.get("user"), values.get("user")) for tag, block in values["custom_envs"].items()
    }
    return {**values, "custom_envs": environments}


def check_same_run(
    run: Path, stored: Mapping[str, Any], values: Mapping[str, Any], may_differ: Collection[str]
) -> None:
    """Refuse to resume a run under another configuration.

    Args:
        run: the run's folder.
        stored: the configuration it was begun with.
        values: the configuration given now.
        may_differ: keys at the top that may differ.

    Raises:
        InvalidValueError: lists every key that differs, with both values.
    """
    different = sorted(differences(_compared(stored, may_differ), _compared(values, may_differ)))
    if different:
        raise InvalidValueError(
            f"{run} is another run: its configuration differs in {', '.join(different)}. "
            f"resume={run} without --config-name goes on with its own; or give the same keys, or leave out resume to "
            "start a new run"
        )


def _unreadable(file: Path, reason: str) -> str:
    return (
        f"resume: {file} cannot be read ({reason}). Restore it, or begin a new run; "
        "pretrain=CHECKPOINT takes the weights of one of its checkpoints along"
    )


def _with_user(environment: Any, before: Any, now: Any) -> Any:
    settings = environment.get("env_config") if isinstance(environment, Mapping) else None
    if not isinstance(settings, Mapping) or settings.get("user_config") != before:
        return environment
    return {**environment, "env_config": {**settings, "user_config": now}}


def _compared(values: Mapping[str, Any], may_differ: Collection[str]) -> dict[str, Any]:
    return {name: _without_reaching(name, value) for name, value in values.items() if name not in may_differ}


def _without_reaching(name: str, value: Any) -> Any:
    """A value without what says how customers are reached, wherever a block about them stands."""
    if not isinstance(value, Mapping):
        return value
    left_out = MAY_DIFFER_OF_USER if name in ("user", "user_config") else ()
    return {key: _without_reaching(key, inner) for key, inner in value.items() if key not in left_out}


def differences(first: Any, second: Any) -> Iterator[str]:
    """Every key in which two configurations differ, with both values, in words.

    Args:
        first: the one that is there already.
        second: the one that is given now.
    """
    for path, there, here in differing(first, second):
        yield f"{path} ({there!r} there, {here!r} here)"


def differing(first: Any, second: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Every key in which two configurations differ, with its path and both values; None where one has no such key.

    Args:
        first: a configuration, or a value within.
        second: the other's.
        path: the keys above them.
    """
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in {**first, **second}:
            yield from differing(first.get(name), second.get(name), f"{path}.{name}" if path else str(name))
    elif first != second:
        yield path, first, second
