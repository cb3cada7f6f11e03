"""How many environments the local engine plays side by side, of which tags, and how their messages are sampled."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from tau_retail_env.blocks import Block, Items
from tau_retail_env.config.environments import CustomEnv
from tau_retail_env.local.config.workers import GeneratingArgs


class EnvManager(Block):
    """How many environments play side by side, of which tags."""

    num_env_groups: int = Field(ge=1)
    """Groups of environments; each group plays one task at a time."""
    group_size: int = Field(1, ge=1)
    """Environments in a group: episodes of the same task, in the same words."""
    tags: Items[str]
    """Names under custom_envs."""
    num_groups_partition: Items[int] | None = None
    """Groups by tag, in the order of tags; null divides them equally."""
    generating_args: GeneratingArgs | None = None
    """How the agent's messages are sampled."""

    def partition(self) -> tuple[int, ...]:
        """Groups by tag, in the order of `tags`."""
        if self.num_groups_partition is not None:
            return self.num_groups_partition
        share, rest = divmod(self.num_env_groups, len(self.tags))
        return tuple(share + (place < rest) for place in range(len(self.tags)))

    def num_envs(self) -> int:
        """Environments that play side by side."""
        return self.num_env_groups * self.group_size


def check_manager(path: str, manager: EnvManager, envs: Mapping[str, CustomEnv]) -> list[str]:
    """What is wrong with one env manager, each problem by its full path."""
    problems = []
    if not manager.tags:
        problems.append(f"{path}.tags: empty; name at least one of custom_envs: {', '.join(envs)}")
    for tag in manager.tags:
        if tag not in envs:
            problems.append(f"{path}.tags: {tag!r} is not under custom_envs ({', '.join(envs)})")
    given = manager.num_groups_partition
    if given is not None and (len(given) != len(manager.tags) or sum(given) != manager.num_env_groups):
        problems.append(
            f"{path}.num_groups_partition: found {list(given)}, expected one number for each of the "
            f"{len(manager.tags)} tags, together {manager.num_env_groups} (num_env_groups)"
        )
    return problems


def check_generating(path: str, shared: GeneratingArgs | None, manager: EnvManager, sequence_length: int) -> list[str]:
    """What is wrong with how one env manager samples, each problem by its full path."""
    own = manager.generating_args
    if shared is not None and own is not None and own != shared:
        return [
            f"{path}.generating_args: actor_infer.generating_args would override it; "
            "keep only one (that of each env manager, where training and evaluation differ)"
        ]
    used = shared or own
    if used is None:
        return [f"{path}.generating_args: missing. Expected at least max_new_tokens"]
    if used.max_new_tokens >= sequence_length:
        return [
            f"sequence_length: {sequence_length} is too small for one message of "
            f"{used.max_new_tokens} tokens (generating_args.max_new_tokens)"
        ]
    return []


def check_val_batch_size(found: int, manager: EnvManager) -> list[str]:
    """The number of a validation's episodes must be that of its environments."""
    if found == manager.num_envs():
        return []
    return [
        f"val_batch_size: found {found}, expected {manager.num_envs()} "
        f"(val_env_manager.num_env_groups {manager.num_env_groups} x group_size {manager.group_size})"
    ]
