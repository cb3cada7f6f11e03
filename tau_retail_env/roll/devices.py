"""The GPUs of CUDA_VISIBLE_DEVICES: ROLL numbers GPUs from 0 and sets the variable for its workers itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll.config.rules import ROLES, parse_devices

VARIABLE = "CUDA_VISIBLE_DEVICES"


def onto_visible_gpus(values: Mapping[str, Any]) -> dict[str, Any]:
    """Have ROLL use the GPUs that CUDA_VISIBLE_DEVICES names, by their own numbers.

    The variable then leaves this process's environment: ROLL counts the machine's GPUs, and its workers get theirs.

    Args:
        values: a configuration for a Ray of the run's own, as composed and checked.

    Returns:
        It, with each device_mapping in the machine's numbers; unchanged where these are the same.

    Raises:
        InvalidValueError: GPUs that are not named by number, or whose numbers have a gap.
    """
    moved = _moved(values)
    if moved != values:
        del os.environ[VARIABLE]
    return moved


def environment_when_moved(values: Mapping[str, Any]) -> dict[str, str]:
    """This process's environment as `onto_visible_gpus` will leave it, for a Ray that is begun before.

    Args:
        values: as composed and checked.

    Raises:
        InvalidValueError: as `onto_visible_gpus`.
    """
    is_left_out = _moved(values) != values
    return {name: value for name, value in os.environ.items() if not (is_left_out and name == VARIABLE)}


def renumbered(values: Mapping[str, Any], named: str) -> dict[str, Any]:
    """Each device_mapping in the machine's numbers.

    Args:
        values: as composed and checked.
        named: such as "2,3"; where it names too few the run is refused when they are counted, and nothing is moved.

    Raises:
        InvalidValueError: as `onto_visible_gpus`.
    """
    roles = {role: parse_devices((values.get(role) or {}).get("device_mapping")) for role in ROLES}
    used = sorted({device for devices in roles.values() for device in devices})
    words = [word.strip() for word in named.split(",")]
    if not all(word.isascii() and word.isdigit() for word in words):
        if used == [0]:
            return dict(values)
        raise InvalidValueError(
            f"{VARIABLE}: found {named!r}, expected numbers such as 2,3: ROLL hands GPUs to its workers by number"
        )
    numbers = [int(word) for word in words]
    if any(device >= len(numbers) for device in used):
        return dict(values)
    if all(numbers[device] == device for device in used):
        return dict(values)
    moved = {role: [numbers[device] for device in devices] for role, devices in roles.items() if devices}
    for role, devices in moved.items():
        if sorted(devices) != list(range(min(devices), max(devices) + 1)):
            raise InvalidValueError(
                f"{VARIABLE}: found {named!r}, by which {role} has the GPUs {devices}: ROLL wants numbers without a "
                "gap; name GPUs that follow one another, such as 2,3"
            )
    return {**values, **{role: {**values[role], "device_mapping": devices} for role, devices in moved.items()}}


def _moved(values: Mapping[str, Any]) -> dict[str, Any]:
    named = os.environ.get(VARIABLE, "").strip()
    return renumbered(values, named) if named else dict(values)
