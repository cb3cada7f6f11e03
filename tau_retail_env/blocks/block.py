"""How a block of keys is declared: a pydantic model that converts no type and takes no unknown key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, Strict

Item = TypeVar("Item")


class Block(BaseModel):
    """A block of keys. The docstring below a field is its description; `read` builds one from YAML's values."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # a key may hold a secret by mistake
    )


@dataclass(frozen=True, slots=True)
class Instead:
    """What to do where a key's value cannot be used; stands beside the type: `Annotated[int, Instead("…")]`."""

    words: str
    """A sentence for the end of the message."""


def _filled(text: str) -> str:
    if not text.strip():
        raise ValueError("empty, expected a name")
    return text


Name = Annotated[str, AfterValidator(_filled)]
"""A text that is not empty."""

Filled = Annotated[str, Field(min_length=1)]
"""The same where null or a switch may stand in its place: '' is what a variable leaves that was not set."""

Items = Annotated[tuple[Item, ...], Strict(False)]
"""A list in YAML, a tuple here; what is in it is converted as little as anything else."""


def _true_or_false(value: Any) -> Any:
    if not isinstance(value, bool):
        raise ValueError(f"found {value!r}, expected true or false")
    return value


Off = Annotated[Literal[False], BeforeValidator(_true_or_false)]
"""A switch that can only be off; `Literal[False]` alone would take 0, too."""
