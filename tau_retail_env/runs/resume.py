"""Whether a configuration goes on with a run: what may differ, and the error that names what must not."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tau_retail_env.errors import InvalidValueError

MAY_DIFFER_OF_USER = frozenset(
    "base_url api_key_env timeout_s max_retries max_concurrency budget_usd cassette "
    "usd_per_million_input_tokens usd_per_million_output_tokens".split()
)
"""Keys within `user` that always may: how a customer is reached and paid, not what it says."""


def check_same_run(
    run: Path, stored: Mapping[str, Any], values: Mapping[str, Any], may_differ: Collection[str]
) -> None:
    """Refuse to go on with a run under another configuration.

    Args:
        run: the run's folder.
        stored: the configuration it was begun with.
        values: the configuration given now.
        may_differ: keys at the top that may differ.

    Raises:
        InvalidValueError: lists every key that differs, with both values.
    """
    different = sorted(_differences(_compared(stored, may_differ), _compared(values, may_differ)))
    if different:
        raise InvalidValueError(
            f"{run} is another run: its configuration differs in {', '.join(different)}. "
            "Give the same keys to go on with it, or leave out resume to start a new run"
        )


def _compared(values: Mapping[str, Any], may_differ: Collection[str]) -> dict[str, Any]:
    return {name: _without_reaching(name, value) for name, value in values.items() if name not in may_differ}


def _without_reaching(name: str, value: Any) -> Any:
    """A value without what says how customers are reached, wherever a block about them stands."""
    if not isinstance(value, Mapping):
        return value
    left_out = MAY_DIFFER_OF_USER if name in ("user", "user_config") else ()
    return {key: _without_reaching(key, inner) for key, inner in value.items() if key not in left_out}


def _differences(first: Any, second: Any, path: str = "") -> Iterator[str]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in {**first, **second}:
            yield from _differences(first.get(name), second.get(name), f"{path}.{name}" if path else str(name))
    elif first != second:
        yield f"{path} ({first!r} there, {second!r} here)"
