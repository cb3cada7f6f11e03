"""Trackers that keep metrics elsewhere: what a configuration may tell them, and whether one is here."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tau_retail_env.errors import MissingDependencyError

HOSTED = {"wandb": "name", "trackio": "name", "swanlab": "experiment_name"}
"""Those that are packages of their own, with their argument for a run's name."""
PROJECT = "tau-retail"
WANDB_BESIDE_ROLL = "wandb<=0.28.0"
"""Later ones want a newer opentelemetry than the one with which vLLM and Ray are pinned."""
SECRET = re.compile(r"api_?key|token|secret|password", re.IGNORECASE)


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


def check_tracker_kwargs(given: Mapping[str, Any], path: str = "tracker_kwargs") -> Iterator[str]:
    """Secrets among a tracker's arguments: they would stand in config.yaml and in ROLL's log.

    Args:
        given: the arguments, of any depth.
        path: where they stand.

    Returns:
        A problem for each, without its value.
    """
    for name, value in given.items():
        if SECRET.search(str(name)):
            yield (
                f"{path}.{name}: secrets come from the environment only (WANDB_API_KEY, HF_TOKEN, SWANLAB_API_KEY), "
                "or from the tracker's own login; remove the key"
            )
        elif isinstance(value, Mapping):
            yield from check_tracker_kwargs(value, f"{path}.{name}")
