"""One update of fine-tuning: whose gradient it is, and which rows are in it."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from tau_retail_env.local import learner
from tau_retail_env.local.batches import Collator, updates_of
from tau_retail_env.local.conversations import EncodedConversations
from tau_retail_env.local.learner import Learner
from tests.local.toy import TWO_PASSES, make_data, toy


@pytest.fixture(scope="module")
def data() -> EncodedConversations:
    return make_data()


def plain_loss(
    model: LlamaForCausalLM,
    data: EncodedConversations,
    weight: float,
    changed: Callable[[torch.Tensor], torch.Tensor] = lambda logits: logits,
) -> torch.Tensor:
    """A row at a time, with its mask and all of its logits."""
    total, weights = torch.zeros(()), 0.0
    for start, end, prompt in zip(data.starts, data.starts[1:], data.prompts, strict=False):
        ids = torch.from_numpy(data.token_ids[start:end].astype(np.int64))[None]
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[0, :-1]
        own = torch.where(torch.from_numpy(data.response_mask[start + 1 : end]) == 1, 1.0, weight)
        own[: prompt - 1] = 0.0
        total = total - (changed(logits).log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0] * own).sum()
        weights += float(own.sum())
    return total / weights


def passes_of(data: EncodedConversations, weight: float) -> list[dict[str, torch.Tensor]]:
    return Collator(data, pad_token_id=0, observation_loss_weight=weight)([{"rows": TWO_PASSES}])["passes"]


@pytest.mark.parametrize("weight", [0.0, 0.3])
@pytest.mark.parametrize("changes", [{}, {"tie_word_embeddings": False}], ids=["tied", "own head"])
def test_loss_and_gradient_are_those_of_single_rows_with_masks_and_all_logits(
    data: EncodedConversations, weight: float, changes: dict[str, Any]
):
    plain, model = toy(**changes), toy(**changes)
    expected = plain_loss(plain, data, weight)
    expected.backward()
    loss = Learner(model, bf16=False).gradients(passes_of(data, weight))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for found, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-6)


def test_a_vocabulary_that_is_taken_in_parts_gives_the_same_gradient(
    data: EncodedConversations, monkeypatch: pytest.MonkeyPatch
):
    whole, model = toy(), toy()
    expected = Learner(whole, bf16=False).gradients(passes_of(data, 0.3))
    monkeypatch.setattr(learner, "COLUMNS", 15)  # five parts, as 32,768 makes of Qwen2.5's 151,936 words; the last of 4
    found = Learner(model, bf16=False).gradients(passes_of(data, 0.3))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, other in zip(model.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_in_bf16_the_gradient_is_the_same_to_two_digits_and_the_weights_stay_fp32(
    data: EncodedConversations, checkpointing: bool
):
    plain, model = toy(), toy()
    plain_loss(plain, data, 0.3).backward()
    learner = Learner(model, bf16=True, checkpointing=checkpointing)
    for _ in range(2):
        model.zero_grad()
        learner.gradients(passes_of(data, 0.3))
    for found, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        assert found.dtype == found.grad.dtype == torch.float32
        assert (found.grad - wanted.grad).norm() < 0.03 * wanted.grad.norm()


def test_compiled_layers_give_the_same_gradient(data: EncodedConversations):
    plain, model = toy(), toy()
    Learner(plain, bf16=False).gradients(passes_of(data, 0.3))
    Learner(model, bf16=False, compiled=True).gradients(passes_of(data, 0.3))
    for found, wanted in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-6)


def test_passes_are_padded_to_the_multiple_that_is_asked_for(data: EncodedConversations):
    def widths(multiple: int) -> list[int]:
        collate = Collator(data, pad_token_id=0, observation_loss_weight=0.3, multiple=multiple)
        return [one["input_ids"].shape[1] for one in collate([{"rows": TWO_PASSES}])["passes"]]

    assert all(width % 256 == 0 for width in widths(256))
    assert all(width % 64 == 0 for width in widths(64))
    assert sum(widths(256)) > sum(widths(64))


def test_an_update_of_the_weights_is_seen_by_the_next_gradient(data: EncodedConversations):
    model = toy()
    learner = Learner(model, bf16=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        losses.append(learner.gradients(passes_of(data, 0.3)).item())
        optimizer.step()
    assert losses[2] < losses[1] < losses[0]


def test_a_learner_leaves_how_the_model_plays_alone(data: EncodedConversations):
    model = toy()
    before = model(input_ids=torch.arange(1, 9)[None], attention_mask=torch.ones(1, 8)).logits
    Learner(model, bf16=True).gradients(passes_of(data, 0.3))
    assert model.config._attn_implementation == "sdpa"
    after = model(input_ids=torch.arange(1, 9)[None], attention_mask=torch.ones(1, 8)).logits
    torch.testing.assert_close(before, after, rtol=0, atol=0)


def test_a_family_that_scales_and_caps_its_logits_learns_from_these(data: EncodedConversations):
    model = toy()
    model.config.final_logit_softcapping, model.config.logits_scaling = 0.5, 4.0
    found = Learner(model, bf16=False).gradients(passes_of(data, 0.3)).item()
    expected = plain_loss(toy(), data, 0.3, lambda logits: 0.5 * torch.tanh(logits / 4.0 / 0.5))
    assert found == pytest.approx(expected.item(), rel=1e-5)


def test_every_row_is_learnt_from_once_an_epoch(data: EncodedConversations):
    updates = updates_of(data, rows=1, passes=2, num_updates=6, seed=1)
    for epoch in (updates[:3], updates[3:]):
        assert sorted(row for update in epoch for rows in update for row in rows) == list(range(6))
    assert updates == updates_of(data, rows=1, passes=2, num_updates=6, seed=1)
    assert updates[:3] != updates[3:]


def test_the_rows_of_a_pass_are_of_like_length(data: EncodedConversations):
    passes = [rows for update in updates_of(data, rows=3, passes=1, num_updates=2, seed=1) for rows in update]
    assert sorted(map(sorted, passes)) == [[0, 2, 4], [1, 3, 5]]
    pairs = [rows for update in updates_of(data, rows=2, passes=1, num_updates=3, seed=1) for rows in update]
    assert sorted(pairs) == [[0, 5], [1, 3], [2, 4]]
