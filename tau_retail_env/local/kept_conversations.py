"""Kept episodes as conversations to learn from: the tokens that the model saw and produced, its own ones marked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tau_retail_env.chain.kept import check_fits, kept_episodes, read_about
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.settings import ONLY_VERSION
from tau_retail_env.local.config import SftConfig
from tau_retail_env.local.conversations import EncodedConversations, end_to_end
from tau_retail_env.models.loading import tokenizer_digest
from tau_retail_env.sources import get_source


def load_kept(config: SftConfig, folder: Path, tokenizer: Any) -> EncodedConversations:
    """Read the episodes of a folder that fit the model.

    Args:
        config: the run: what its environments play must be what was played.
        folder: the kept episodes.
        tokenizer: the model's.

    Raises:
        InvalidValueError: no such folder, one that is not whole, one made with another tokenizer, prompt style or task
            version, or none of whose episodes is as short as sequence_length asks.
    """
    envs = [config.custom_envs[tag].env_config for tag in config.conversations.by_tag()]
    about = read_about(folder)
    check_fits(
        folder,
        about,
        tokenizer=tokenizer_digest(tokenizer),
        prompt_style=envs[0].prompt_style,
        task_versions={env.source: _version(env.source, env.task_version) for env in envs},
    )
    episodes = [episode.trajectory for episode in kept_episodes(folder)]
    short = [one for one in episodes if len(one.token_ids) <= config.sequence_length]
    if not short:
        raise InvalidValueError(
            f"conversations.kept: none of the {len(episodes)} episodes in {folder} has at most sequence_length "
            f"{config.sequence_length} tokens; raise it"
        )
    sources = list(dict.fromkeys(one.source for one in short))  # each has a prompt of its own; episodes have no tag
    return end_to_end(
        [np.asarray(one.token_ids, dtype=np.int32) for one in short],
        [np.asarray(one.response_mask, dtype=np.uint8) for one in short],
        [sources.index(one.source) for one in short],
        num_failed=0,
        num_unscorable=0,
        num_long=len(episodes) - len(short),
    )


def joined(first: EncodedConversations, second: EncodedConversations) -> EncodedConversations:
    """The conversations of both, one after the other."""
    return EncodedConversations(
        token_ids=np.concatenate([first.token_ids, second.token_ids]),
        response_mask=np.concatenate([first.response_mask, second.response_mask]),
        starts=np.concatenate([first.starts, first.starts[-1] + second.starts[1:]]),
        prompts=np.concatenate([first.prompts, second.prompts]),
        num_failed=first.num_failed + second.num_failed,
        num_unscorable=first.num_unscorable + second.num_unscorable,
        num_long=first.num_long + second.num_long,
    )


def _version(source: str, wanted: str | float | None) -> str:
    return get_source(source, wanted).version or ONLY_VERSION
