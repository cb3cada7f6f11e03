"""From encoded conversations to what one update of the weights learns from: rows of like length in a few passes."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from tau_retail_env.local.conversations import EncodedConversations, Whose
from tau_retail_env.models.rows import rounded
from tau_retail_env.tasks.seeding import seed_of

SORTED_UPDATES = 50
"""Updates among which rows are sorted by length."""

Update = list[list[int]]
"""Row numbers of one update: those of each pass."""

Arrays = dict[str, np.ndarray]
"""A pass as it travels to another process."""


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


def shares_of(update: Update, processes: int) -> list[Update]:
    """The rows of an update dealt out to processes: of each pass every one gets about as many, of like length.

    Args:
        update: the rows of each pass.
        processes: that learn from it together.

    Returns:
        The passes of each process, those without rows left out.
    """
    places = itertools.count()
    dealt = [[(next(places) % processes, row) for row in rows] for rows in update]
    shares = [[[row for owner, row in rows if owner == process] for rows in dealt] for process in range(processes)]
    return [[rows for rows in share if rows] for share in shares]


def as_tensors(one: Arrays, device: torch.device | str = "cpu") -> dict[str, torch.Tensor]:
    """A pass as tensors on a device.

    Args:
        one: the pass.
        device: that learns from it.
    """
    return {name: torch.from_numpy(array).to(device) for name, array in one.items()}


class Collator:
    """Makes row numbers into the tensors of an update's passes.

    Each pass has `input_ids` ``[rows, tokens]``, padded on the right, and of each token that counts its `labels`,
    `weights` and `places`: where the token before it stands in the rows, one after another. The weights of an update
    come to 1, over all processes that learn from it together.

    Args:
        conversations: the encoded conversations.
        pad_token_id: fills the rows up.
        observation_loss_weight: weight of the tokens that are neither the agent's own nor its prompt's. Those of the
            agent's that are not to be learnt weigh nothing.
        multiple: of tokens that a pass is padded to, so that few lengths occur.
        processes: that an update's rows are dealt out to.
    """

    def __init__(
        self,
        conversations: EncodedConversations,
        *,
        pad_token_id: int,
        observation_loss_weight: float,
        multiple: int = 64,
        processes: int = 1,
    ) -> None:
        self._conversations = conversations
        self._pad_token_id = pad_token_id
        weights = {Whose.OTHERS: observation_loss_weight, Whose.OWN: 1.0, Whose.UNLEARNT: 0.0}
        self._weights = np.asarray([weights[whose] for whose in Whose], dtype=np.float32)
        self._multiple = multiple
        self._processes = processes

    def __call__(self, updates: Sequence[Mapping[str, Update]]) -> dict[str, Any]:
        """Build the `passes` of the one update that a batch holds, and of the `others`, a list for each.

        The others are the further processes; theirs are arrays, which no trainer moves to this process's device.
        """
        [update] = updates
        own, *others = [[self._pass(rows) for rows in share] for share in shares_of(update["rows"], self._processes)]
        passes = [one for share in (own, *others) for one in share]
        total = sum(float(one["weights"].sum(dtype=np.float64)) for one in passes)
        for one in passes:
            one["weights"] /= np.float32(total)
        return {"passes": [as_tensors(one) for one in own], "others": others}

    def _pass(self, rows: Sequence[int]) -> Arrays:
        data = self._conversations
        spans = [slice(data.starts[row], data.starts[row + 1]) for row in rows]
        texts = [data.token_ids[span] for span in spans]
        width = rounded(max(map(len, texts)), self._multiple)
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
            "input_ids": token_ids,
            "labels": np.concatenate(labels).astype(np.int64),
            "weights": np.concatenate(weights),
            "places": np.concatenate(places),
        }
