"""Blocks of keys: declared as pydantic models, read so that all problems are reported at once."""

from tau_retail_env.blocks.block import Block, Filled, Instead, Items, Name, Off
from tau_retail_env.blocks.kinds import check_fields, check_kind, shown
from tau_retail_env.blocks.reading import attempt, raise_if, read

__all__ = [
    "Block",
    "Filled",
    "Instead",
    "Items",
    "Name",
    "Off",
    "attempt",
    "check_fields",
    "check_kind",
    "raise_if",
    "read",
    "shown",
]
