"""What a YAML may compute of its other values, such as `${divide:128,${num_gpus}}`."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from tau_retail_env.errors import InvalidValueError, unknown

MOST_LETTERS = 100
"""Letters of an expression, or of what it was given, that an error shows."""
SOME_IDS = "a source and a list of ids of tasks, as in ${of_source:${.source},[tau_bench/train/418]}"


def times(*given: Any, _node_: Any) -> Any:
    """`${times:${num_gpus_per_node},${num_nodes}}`: the product of two numbers.

    Raises:
        InvalidValueError: other arguments, told with the key.
    """
    first, second = _numbers(given, _node_)
    return first * second


def divide(*given: Any, _node_: Any) -> Any:
    """`${divide:128,${num_gpus}}`: how often the second number goes into the first, 1 at least.

    Raises:
        InvalidValueError: other arguments, told with the key. No GPU at all is told by the checks.
    """
    number, by = _numbers(given, _node_)
    return max(number // max(by, 1), 1)


def of_source(*given: Any, _node_: Any, _parent_: Any) -> list[str]:
    """`${of_source:${.source},[tau_bench/train/418]}`: the ids that are of a source.

    Raises:
        InvalidValueError: other arguments, told with the key. An unknown source that the block itself names is told
            by the checks, under the block's own `source`.
    """
    from tau_retail_env.sources import SOURCES  # late: `doctor` reads configurations without what upstream imports

    if len(given) != 2 or not _are_texts(given[1]):
        _refuse(given, _node_, expected=SOME_IDS)
    source, task_ids = given
    is_own = isinstance(_parent_, Mapping) and "source" in _parent_ and source == _parent_.get("source")
    if source not in list(SOURCES) and not is_own:
        raise InvalidValueError(f"{_place(_node_)}: {unknown('source', source, SOURCES)}")
    return [task_id for task_id in task_ids if task_id.startswith(f"{source}/")]


RESOLVERS: Mapping[str, Callable[..., Any]] = {"times": times, "divide": divide, "of_source": of_source}
"""By the name that a YAML calls them; sizes follow from the number of GPUs, tasks to leave out from the source."""


def _numbers(given: tuple[Any, ...], node: Any) -> tuple[Any, Any]:
    if len(given) != 2 or not all(type(number) in (int, float) for number in given):
        _refuse(given, node, expected="two numbers")
    return given[0], given[1]


def _are_texts(values: Any) -> bool:
    return isinstance(values, Sequence) and not isinstance(values, str) and all(isinstance(one, str) for one in values)


def _refuse(given: tuple[Any, ...], node: Any, *, expected: str) -> NoReturn:
    found = _short(", ".join(map(repr, given))) or "nothing"
    raise InvalidValueError(f"{_place(node)}: found {found}, expected {expected}")


def _place(node: Any) -> str:
    """The key that is computed, and its expression as the YAML has it."""
    return f"{node._get_full_key(None)}: {_short(str(node._value()))}"


def _short(text: str) -> str:
    return textwrap.shorten(text, MOST_LETTERS, placeholder=" …")
