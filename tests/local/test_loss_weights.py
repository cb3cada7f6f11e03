"""What each token of a conversation weighs in the loss: the agent's own, what others said, and what is not learnt."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from transformers import Qwen2Tokenizer

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.batches import Collator
from tau_retail_env.local.conversations import Encoded, Whose, encode, end_to_end
from tau_retail_env.local.practice import Practice, converse
from tau_retail_env.sources.generated import SERIES2, SERIES4

OTHERS = 0.1
"""The weight of what the agent has not said."""


def weights_of(row: Encoded) -> np.ndarray:
    """The weight of each token in an update with this row alone, where one of the agent's own weighs 1."""
    data = end_to_end(
        [np.asarray(row.token_ids, dtype=np.int32)],
        [np.asarray(row.response_mask, dtype=np.uint8)],
        [0],
        num_failed=0,
        num_unscorable=0,
        num_long=0,
    )
    [one] = Collator(data, pad_token_id=0, observation_loss_weight=OTHERS)([{"rows": [[0]]}])["passes"]
    weights = np.zeros(len(row.token_ids), dtype=np.float32)
    weights[one["places"].numpy() + 1] = one["weights"].numpy()
    assert weights.sum() == pytest.approx(1.0, rel=1e-4)
    return (weights / weights.max()).round(3)


@pytest.mark.parametrize(
    ("env", "practice"),
    [
        (TauRetailEnv(source="generated", tasks=SERIES2.generate("train2", 12)), {"slips": 1.0, "second_thoughts": 4}),
        (TauRetailEnv(source="generated", tasks=SERIES4.generate("train4", 40)), {"slips": 0.35}),
    ],
    ids=["slips", "a story's own words"],
)
def test_what_is_not_learnt_weighs_nothing(env: TauRetailEnv, practice: dict[str, float], tokenizer: Qwen2Tokenizer):
    slips = others = 0
    for task in env.tasks:
        practised = Practice(**practice, reasons=True, seed=task.id)
        opened = env.reset(task_id=task.id, seed=1)
        said = converse(env, *opened, OracleAgent(task, whole_proposals=True), practised)
        row = encode(
            env, tokenizer, task_id=task.id, seed=1, show_tools=False, whole_proposals=True, practice=practised
        )
        runs = [
            (weight, tokenizer.decode([token for token, _ in run]))
            for weight, run in itertools.groupby(zip(row.token_ids, weights_of(row), strict=True), lambda one: one[1])
        ]
        silent = [text for weight, text in runs[1:] if weight == 0.0]  # the first run is the prompt
        unlearnt = sorted(said.slips | said.unlearnt)
        assert silent == [f"{said.parts[place][0]['content']}<|im_end|>" for place in unlearnt]
        assert {weight for weight, _ in runs} == {0.0, np.float32(OTHERS), 1.0}
        slips += len(said.slips)
        others += len(said.unlearnt - said.slips)
    assert slips > 20 and (others > 2 or practice["slips"] == 1.0)


def test_without_slips_the_weights_are_those_of_own_and_others_to_the_last_bit(tokenizer: Qwen2Tokenizer):
    env = TauRetailEnv(source="generated", tasks=SERIES2.generate("train2", 6))
    rows = [encode(env, tokenizer, task_id=task.id, seed=1, show_tools=False) for task in env.tasks]
    assert {whose for row in rows for whose in row.response_mask} == {Whose.OTHERS, Whose.OWN}
    masks = [np.asarray(row.response_mask, dtype=np.uint8) for row in rows]
    texts = [np.asarray(row.token_ids, dtype=np.int32) for row in rows]
    data = end_to_end(texts, masks, [0] * len(rows), num_failed=0, num_unscorable=0, num_long=0)
    [one] = Collator(data, pad_token_id=0, observation_loss_weight=OTHERS)([{"rows": [[*range(len(rows))]]}])["passes"]
    own_and_others = np.asarray([OTHERS, 1.0], dtype=np.float32)
    weights = np.concatenate([own_and_others[mask[data.prompts[0] :]] for mask in masks])
    labels = np.concatenate([text[data.prompts[0] :] for text in texts])
    np.testing.assert_array_equal(one["weights"].numpy(), weights / np.float32(weights.sum(dtype=np.float64)))
    np.testing.assert_array_equal(one["labels"].numpy(), labels)
