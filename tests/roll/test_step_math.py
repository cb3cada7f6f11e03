"""What the loop computes by our functions beside ROLL's own: the same numbers to the last bit."""

from __future__ import annotations

from types import SimpleNamespace

import pytest


@pytest.fixture
def step_math(roll):
    from tau_retail_env.roll import step_math

    return step_math


def masks(rows=6, tokens=40):
    """Runs of marked tokens: none, all, at both ends, of one token, side by side in the next row."""
    import torch

    torch.manual_seed(3)
    mask = (torch.rand(rows, tokens) < 0.5).long()
    mask[0], mask[1] = 0, 1
    mask[2, -3:], mask[3, :2] = 1, 1
    mask[4, ::2], mask[4, 1::2] = 1, 0
    return mask


@pytest.mark.parametrize(("gamma", "lambd"), [(1.0, 1.0), (0.99, 0.95), (1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("tokens", [1, 2, 300])
def test_advantages_and_returns_are_rolls(step_math, gamma, lambd, tokens):
    import torch
    from roll.utils.functionals import compute_gae_advantage_return

    torch.manual_seed(tokens)
    given = torch.randn(5, tokens), torch.randn(5, tokens)
    theirs = compute_gae_advantage_return(*given, gamma=gamma, lambd=lambd)
    ours = step_math.gae(*given, gamma=gamma, lambd=lambd)
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert all(one.is_contiguous() for one in ours)


@pytest.mark.parametrize(("rows", "tokens", "marked"), [(6, 40, 1), (6, 40, 0), (9, 4099, 1), (6, 1, 1)])
def test_the_means_of_runs_are_rolls(step_math, rows, tokens, marked):
    import torch
    from roll.pipeline.agentic.utils import compute_segment_masked_mean

    marks = masks(rows, tokens) * marked
    values = torch.randn(marks.shape)
    theirs = compute_segment_masked_mean(values, marks)
    assert torch.equal(step_math.segment_means(values, marks), theirs)
    assert torch.equal(step_math.segment_means(values.T.contiguous().T, marks), theirs)


def a_batch(rows=8, tokens=60):
    """A batch as the loop has it once log-probabilities and values are there."""
    import numpy as np
    import torch
    from roll.distributed.scheduler.protocol import DataProto

    torch.manual_seed(1)
    mask = torch.zeros(rows, tokens, dtype=torch.bool)
    mask[:, 1:] = masks(rows, tokens - 1).bool()
    attention = torch.ones(rows, tokens, dtype=torch.long)
    columns = {name: torch.randn(rows, tokens - 1) for name in ("old_log_probs", "infer_logprobs", "values")}
    batch = DataProto.from_dict(
        columns
        | {
            "response_mask": mask,
            "attention_mask": attention,
            "prompt_mask": (attention.cumsum(-1) < 5),
            "token_level_rewards": torch.rand(rows, tokens - 1),
        }
    )
    names = np.array([f"episode {row % 5}" for row in range(rows)], dtype=object)
    scores = np.array([float(row % 3) for row in range(rows)], dtype=object)
    batch.non_tensor_batch = {"traj_id": names, "episode_scores": scores}
    batch.meta_info = {"loss_mask_keys": ["response_mask"]}
    return batch


def through_the_loop():
    """What ROLL's loop makes of a batch between values and training, and all numbers that it tells."""
    from roll.configs.base_config import TrainInferCorrectionConfig
    from roll.pipeline.agentic import agentic_pipeline
    from roll.utils.functionals import reduce_metrics

    batch = a_batch()
    config = SimpleNamespace(train_infer_correction=TrainInferCorrectionConfig())
    settings = {"gamma": 1.0, "lambd": 0.97, "adv_estimator": "gae", "advantage_clip": 1.5}
    batch = agentic_pipeline.agentic_compute_advantage(data=batch, whiten_advantages=True, **settings)
    metrics = reduce_metrics(batch.meta_info.pop("metrics"))
    batch, told = agentic_pipeline.apply_train_infer_correction_to_batch(
        config, batch, update_mask_keys=batch.meta_info["loss_mask_keys"]
    )
    metrics |= told | agentic_pipeline.compute_rollout_traj_metrics(batch)
    return batch, metrics | agentic_pipeline.compute_train_data_metrics(batch)


def test_rolls_loop_makes_and_tells_the_same(step_math):
    import torch

    theirs, told = through_the_loop()
    with step_math.in_place_of_rolls():
        ours, said = through_the_loop()
    assert said == told and len(said) > 30
    assert list(ours._batch.keys()) == list(theirs._batch.keys())
    for name, tensor in ours._batch.items():
        assert torch.equal(tensor, theirs._batch[name]), name


def test_scores_are_those_of_episodes_in_their_order(step_math):
    from roll.pipeline.agentic.agentic_pipeline import get_episode_scores

    found = step_math.episode_scores(a_batch())
    assert found.tolist() == get_episode_scores(a_batch()).tolist() == [0.0, 1.0, 2.0, 0.0, 1.0]


def test_rolls_functions_are_back_when_the_loop_has_ended(step_math):
    def standing():
        return [getattr(module, name) for module, name, _ in step_math.IN_PLACE]

    theirs, ours = standing(), [function for *_, function in step_math.IN_PLACE]
    assert not set(theirs) & set(ours)
    with pytest.raises(KeyboardInterrupt), step_math.in_place_of_rolls():
        assert standing() == ours
        raise KeyboardInterrupt
    assert standing() == theirs


def test_our_pipelines_loop_computes_so(step_math, monkeypatch):
    from roll.pipeline.agentic.agentic_pipeline import AgenticPipeline

    from tau_retail_env.roll.pipeline import TauRetailPipeline

    seen = []
    monkeypatch.setattr(
        AgenticPipeline, "run", lambda self: seen.extend(getattr(where, name) for where, name, _ in step_math.IN_PLACE)
    )
    TauRetailPipeline.run(TauRetailPipeline.__new__(TauRetailPipeline))
    assert seen == [function for *_, function in step_math.IN_PLACE]
