"""docs/configuration.md names every key of the shared blocks, of the local engine's and of the customer's."""

import re
import typing
from pathlib import Path

import pytest

from tau_retail_env.blocks import Block
from tau_retail_env.config.environments import EnvironmentConfig
from tau_retail_env.local.config import LocalConfig, SftConfig
from tau_retail_env.users.spec import API_KEYS, SCRIPTED_KEYS


def keys_of(block: type[Block]) -> set[str]:
    """The keys of a block and of those within."""
    found = set(block.model_fields)
    for field in block.model_fields.values():
        for inner in blocks_in(field.annotation):
            found |= keys_of(inner)
    return found


def blocks_in(annotation: object) -> list[type[Block]]:
    if isinstance(annotation, type) and issubclass(annotation, Block):
        return [annotation]
    return [block for inner in typing.get_args(annotation) for block in blocks_in(inner)]


@pytest.mark.parametrize(
    "keys",
    [keys_of(LocalConfig), keys_of(SftConfig), keys_of(EnvironmentConfig), {*API_KEYS, *SCRIPTED_KEYS}],
    ids=["GRPO", "fine-tuning", "environments", "customer"],
)
def test_every_key_is_on_the_page(repository: Path, keys: set[str]):
    page = (repository / "docs" / "configuration.md").read_text(encoding="utf-8")
    named = {word for code in re.findall(r"`([^`]+)`", page) for word in re.findall(r"\w+", code)}
    assert sorted(keys - named) == []
