"""Which episodes of a step are learnt from where groups that all earned the same are left out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll.config.check import check_roll
from tau_retail_env.roll.config.rules import parse_devices


def batch(groups: dict[str, str]) -> Any:
    """A row an episode, its number as its only token: 1 won, 0 lost, x not to be learnt from."""
    torch = pytest.importorskip("torch")
    from roll.distributed.scheduler.protocol import DataProto

    ids = np.array([name for name, ends in groups.items() for _ in ends], dtype=object)
    ends = "".join(groups.values())
    made = DataProto.from_dict(
        {
            "input_ids": torch.arange(len(ends)).unsqueeze(1),
            "response_mask": torch.tensor([[end != "x"] for end in ends]),
        }
    )
    made.non_tensor_batch = {
        "traj_group_id": ids,
        "episode_scores": np.array([float(end == "1") for end in ends], dtype=object),
    }
    made.meta_info = {"global_step": 3, "metrics": {"said": 1.0}}
    return made


def learnt(groups: dict[str, str], multiple: int) -> tuple[list[int], float]:
    from tau_retail_env.roll.group_signal import LEFT_OUT, with_signal

    chosen = with_signal(batch(groups), multiple)
    assert chosen.meta_info["global_step"] == 3 and chosen.meta_info["metrics"]["said"] == 1.0
    rows = chosen.batch["input_ids"][:, 0].tolist()
    assert len(chosen.non_tensor_batch["traj_group_id"]) == len(rows)
    return rows, chosen.meta_info["metrics"][LEFT_OUT]


@pytest.mark.usefixtures("roll")
def test_only_groups_that_end_unalike_are_learnt_from():
    assert learnt({"a": "1111", "b": "0100", "c": "0000", "d": "1110"}, 4) == ([4, 5, 6, 7, 12, 13, 14, 15], 8.0)


@pytest.mark.usefixtures("roll")
def test_the_last_update_is_filled_up_with_others():
    rows, left_out = learnt({"a": "11", "b": "01", "c": "00"}, 4)
    assert rows == [0, 1, 2, 3] and left_out == 2.0
    assert learnt({"a": "11", "b": "01", "c": "00", "d": "10"}, 4) == ([2, 3, 6, 7], 4.0)


@pytest.mark.usefixtures("roll")
def test_without_any_signal_one_update_is_made():
    assert learnt({"a": "11", "b": "00", "c": "00"}, 2) == ([0, 1], 4.0)


@pytest.mark.usefixtures("roll")
def test_an_episode_that_cannot_be_scored_makes_no_group_unalike():
    """Its score is 0 and it has no token to learn from."""
    assert learnt({"a": "1x", "b": "01", "c": "10"}, 2) == ([2, 3, 4, 5], 2.0)
    assert learnt({"a": "10x", "b": "11x"}, 2) == ([0, 1], 4.0)


@pytest.mark.usefixtures("roll")
def test_an_update_is_filled_up_with_episodes_that_have_a_token_to_learn_from():
    """ROLL divides a loss by the tokens of its update: of none the gradient is not a number."""
    assert learnt({"a": "x", "b": "x", "c": "11", "d": "00"}, 2) == ([2, 3], 4.0)
    assert learnt({"a": "x", "b": "10", "c": "00"}, 3) == ([1, 2, 3], 2.0)
    assert learnt({"a": "xx", "b": "1", "c": "xx"}, 2) == ([0, 2], 3.0)
    assert learnt({"a": "xx", "b": "xx"}, 2) == ([0, 1], 2.0)


@pytest.mark.usefixtures("roll")
def test_rolls_loop_gets_as_many_as_its_updates_divide():
    from tau_retail_env.roll.pipeline import TauRetailPipeline

    def role(dp_size: int, accumulated: int, at_once: int) -> Any:
        training = SimpleNamespace(per_device_train_batch_size=1, gradient_accumulation_steps=accumulated)
        config = SimpleNamespace(training_args=training, infer_batch_size=at_once)
        return SimpleNamespace(dp_size=dp_size, worker_config=config)

    pipeline: Any = object.__new__(TauRetailPipeline)
    pipeline.actor_train, pipeline.critic, pipeline.reference = role(2, 2, 1), role(2, 1, 1), role(2, 9, 1)
    pipeline.references = {"reference": pipeline.reference}
    pipeline.pipeline_config = SimpleNamespace(
        adv_estimator="gae",
        actor_train=pipeline.actor_train.worker_config,
        critic=pipeline.critic.worker_config,
        reference=pipeline.reference.worker_config,
        reference_configs={"reference": pipeline.reference.worker_config},
    )
    given = batch({"a": "10", "b": "01", "c": "11", "d": "01", "e": "00", "f": "11"})
    assert len(pipeline.adjust_batch(given)) == 12  # off
    pipeline.filter_groups = True
    chosen = pipeline.adjust_batch(given)
    assert chosen.batch["input_ids"][:, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert set(chosen.meta_info["metrics"]) == {"said", "rollout/episodes_left_out"}  # ROLL has added and removed none


@pytest.mark.parametrize("name", ["tau_retail_1gpu", "tau_retail_config"])
def test_groups_are_left_out_only_where_their_episodes_are_compared(name):
    with pytest.raises(
        InvalidValueError, match=r"filter_groups: .*expected reward_normalization.grouping: traj_group_id"
    ):
        check_roll(compose(name, overrides=["filter_groups=true"]))
    normalized = "reward_normalization={grouping: traj_group_id, method: mean}"
    assert check_roll(compose(name, overrides=["filter_groups=true", normalized])).filter_groups
    assert check_roll(compose("tau_retail_grpo", overrides=["filter_groups=true"])).filter_groups
    by_parts = "reward_normalization={grouping: traj_group_id, method: identity, norm_mean_type: group}"
    assert check_roll(compose(name, overrides=["filter_groups=true", by_parts])).filter_groups
    with_all = "reward_normalization={grouping: traj_group_id, method: mean, norm_mean_type: batch}"
    with pytest.raises(InvalidValueError, match=r"filter_groups: .*norm_mean_type batch .*without norm_mean_type"):
        check_roll(compose(name, overrides=["filter_groups=true", with_all]))


@pytest.mark.parametrize("name", ["tau_retail_grpo", "tau_retail_smol_ppo"])
def test_an_update_that_takes_all_episodes_of_a_step_leaves_none_out_and_is_refused(name):
    episodes = 512
    values = compose(name, overrides=["filter_groups=true", f"rollout_batch_size={episodes}"])
    check_roll(values)
    values["actor_train"]["training_args"]["gradient_accumulation_steps"] = episodes // len(
        parse_devices(values["actor_train"]["device_mapping"])
    )
    with pytest.raises(
        InvalidValueError, match=rf"leaves out nothing where an update takes all {episodes} .*: lower gradient_acc"
    ):
        check_roll(values)
    check_roll({**values, "filter_groups": False})


@pytest.mark.parametrize("role", ["actor_train", "reference"])
def test_what_reads_all_episodes_of_a_step_at_once_leaves_none_out_and_is_refused(role):
    """ROLL's loop wants as many episodes as these sizes divide, too."""
    values = compose("tau_retail_grpo", overrides=["filter_groups=true", "rollout_batch_size=256"])
    values[role]["infer_batch_size"] = 256 // len(parse_devices(values[role]["device_mapping"]))
    with pytest.raises(InvalidValueError, match=rf"nothing where only all 256 .*{role}.infer_batch_size: 256"):
        check_roll(values)
    check_roll({**values, "filter_groups": False})
