"""From encoded conversations to what one update of the weights learns from: rows of like length in a few passes."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from tau_retail_env.local.conversations import EncodedConversations
from tau_retail_env.tasks.seeding import seed_of

PAD_TO = 64
"""Passes are padded to a multiple of this, so that few shapes occur."""

SORTED_UPDATES = 50
"""Updates among which rows are sorted by length."""

Update = list[list[int]]
"""Row numbers of one update: those of each pass."""


def updates_of(
    conversations: EncodedConversations, *, rows: int, passes: int, num_updates: int, seed: int
) -> list[Update]:
    """The rows of each update: every row once an epoch; a pass has rows of like length, an update passes of any.

    Args:
        conversations: what is learnt from.
        rows: of a pass.
        passes: of an update.
        num_updates: of the run.
        seed: decides the order.
    """
    updates: list[Update] = []
    epoch = 0
    while len(updates) < num_updates:
        updates += _epoch(conversations, rows, passes, random.Random(seed_of(seed, "batches", epoch)))
        epoch += 1
    return updates[:num_updates]


def _epoch(conversations: EncodedConversations, rows: int, passes: int, draws: random.Random) -> list[Update]:
    shuffled = list(range(len(conversations)))
    draws.shuffle(shuffled)
    block, lengths = rows * passes * SORTED_UPDATES, conversations.lengths
    updates: list[Update] = []
    for start in range(0, len(shuffled), block):
        alike = sorted(shuffled[start : start + block], key=lambda row: lengths[row])
        divided = [alike[place : place + rows] for place in range(0, len(alike), rows)]
        draws.shuffle(divided)
        updates += [divided[place : place + passes] for place in range(0, len(divided), passes)]
    whole = [update for update in updates if sum(map(len, update)) == rows * passes]
    draws.shuffle(whole)
    # The last update of an epoch is short as a rule: it is left out, unless it is the only one.
    return whole or updates[:1]


class Collator:
    """Makes row numbers into the tensors of an update's passes.

    Each pass has `input_ids` ``[rows, tokens]``, padded on the right, and of each token that counts its `labels`,
    `weights` and `places`: where the token before it stands in the rows, one after another. The weights of an update
    come to 1.

    Args:
        conversations: the encoded conversations.
        pad_token_id: fills the rows up.
        observation_loss_weight: weight of the tokens that are neither the agent's own nor its prompt's.
    """

    def __init__(
        self, conversations: EncodedConversations, *, pad_token_id: int, observation_loss_weight: float
    ) -> None:
        self._conversations = conversations
        self._pad_token_id = pad_token_id
        self._weights = np.asarray([observation_loss_weight, 1.0], dtype=np.float32)

    def __call__(self, updates: Sequence[Mapping[str, Update]]) -> dict[str, list[dict[str, torch.Tensor]]]:
        """Build the `passes` of the one update that a batch holds."""
        [update] = updates
        passes = [self._pass(rows) for rows in update["rows"]]
        total = sum(float(one["weights"].sum(dtype=torch.float64)) for one in passes)
        for one in passes:
            one["weights"] /= total
        return {"passes": passes}

    def _pass(self, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        data = self._conversations
        spans = [slice(data.starts[row], data.starts[row + 1]) for row in rows]
        texts = [data.token_ids[span] for span in spans]
        width = -(-max(map(len, texts)) // PAD_TO) * PAD_TO
        token_ids: np.ndarray = np.full((len(rows), width), self._pad_token_id, dtype=np.int64)
        labels: list[np.ndarray] = []
        weights: list[np.ndarray] = []
        places: list[np.ndarray] = []
        for number, (row, span, text) in enumerate(zip(rows, spans, texts, strict=True)):
            token_ids[number, : len(text)] = text
            weight = self._weights[data.response_mask[span]]
            weight[: max(data.prompts[row], 1)] = 0.0  # nothing precedes the first token
            counted = np.flatnonzero(weight)
            labels.append(text[counted])
            weights.append(weight[counted])
            places.append(counted - 1 + number * width)
        return {
            "input_ids": torch.from_numpy(token_ids),
            "labels": torch.from_numpy(np.concatenate(labels).astype(np.int64)),
            "weights": torch.from_numpy(np.concatenate(weights)),
            "places": torch.from_numpy(np.concatenate(places)),
        }
