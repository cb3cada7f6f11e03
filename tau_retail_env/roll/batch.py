"""A finished episode as the tensors that ROLL trains on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import DTypeLike
from roll.distributed.scheduler.protocol import DataProto
from roll.utils.functionals import pad_to_length

from tau_retail_env.episodes.token_episode import TokenEpisode
from tau_retail_env.roll import transport  # noqa: F401 — batches are sent by it


def learns(episode: TokenEpisode) -> bool:
    """Whether an episode may move the actor: it can be scored, and the actor said something in it."""
    return episode.scorable and 1 in episode.response_mask


def row(values: Sequence[float], dtype: DTypeLike) -> torch.Tensor:
    """A list as a tensor [1, length]; NumPy reads it in a third of the time that PyTorch takes.

    Args:
        values: of a conversation's tokens.
        dtype: NumPy's name of the tensor's type.
    """
    return torch.from_numpy(np.array([values], dtype=dtype))


def to_batch(
    episode: TokenEpisode, *, env_id: int, group_id: int, tag: str, sequence_length: int, pad_token_id: int
) -> DataProto:
    """One episode in the form of ROLL's own `formulate_rollouts`.

    The last attended token is the actor's own: on it stands the episode's score, which ROLL multiplies with the
    response mask. An episode that must not be learnt from has no response token at all and the score 0.

    Args:
        episode: a finished one.
        env_id: ROLL's number of the environment.
        group_id: ROLL's number of its group.
        tag: the block under custom_envs.
        sequence_length: L, to which everything is padded on the right.
        pad_token_id: what `input_ids` are padded with.

    Returns:
        A batch of one: `input_ids`, `attention_mask`, `position_ids` (from 0) [1, L] int64; `response_mask`,
        `prompt_mask` [1, L] bool (int64 in ROLL v0.2.1, whose padding makes them so); `scores` [1, L] float32;
        `infer_logprobs` [1, L-1] float32, of which number i belongs to token i + 1 (absent if there are none);
        ROLL's ids and scores beside them.
    """
    token_ids, mask, logprobs = _attended(episode)
    length = len(token_ids)
    masked = not learns(episode)
    score = 0.0 if masked else episode.reward
    ids = row(token_ids, np.int64)
    positions = torch.arange(length).unsqueeze(0)
    own = row(mask, np.bool_)
    prompt = positions < (episode.prompt_length or length)
    scores = torch.zeros(1, length)
    scores[0, -1] = score
    columns = {
        "input_ids": (ids, pad_token_id),
        "attention_mask": (torch.ones_like(ids), 0),
        "position_ids": (positions, 0),
        "response_mask": (torch.zeros_like(own) if masked else own, 0),
        "prompt_mask": (prompt, 0),
        "scores": (scores, 0.0),
    }
    tensors = {name: pad_to_length(tensor, sequence_length, value) for name, (tensor, value) in columns.items()}
    mask_type = pad_to_length(torch.zeros(1, 1, dtype=torch.bool), 2, 0).dtype
    for name in ("response_mask", "prompt_mask"):
        tensors[name] = tensors[name].to(mask_type)
    if episode.with_logprobs:
        tensors["infer_logprobs"] = pad_to_length(row(logprobs, np.float32), sequence_length, 0.0)[:, 1:]
    beside = {
        "env_ids": env_id,
        "group_ids": group_id,
        "tags": tag,
        "step_scores": episode.rewards or [0.0],
        "episode_scores": score,
    }
    arrays = {name: np.array([value], dtype=object) for name, value in beside.items()}
    batch = DataProto.from_dict(tensors)
    batch.non_tensor_batch = arrays
    return batch


def _attended(episode: TokenEpisode) -> tuple[list[int], list[int], list[float]]:
    """Tokens, mask and log-probabilities up to the actor's last token, or all where it said nothing.

    ROLL must have a token to attend to: where the customer failed before the first word, it is given the system prompt.
    """
    mask = episode.response_mask
    if not mask:
        prefix = list(episode.encoder.prefix)
        return prefix, [0] * len(prefix), [0.0] * len(prefix)
    length = len(mask) - mask[::-1].index(1) if 1 in mask else len(mask)
    return episode.token_ids[:length], mask[:length], episode.logprobs[:length]
