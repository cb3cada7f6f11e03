"""The env manager in ROLL's own loop and queue, with a scripted actor in place of the engine."""

import threading

import pytest

from tau_retail_env.users import UserError

GROUPS = {"groups": 2, "group_size": 2}


def test_a_step_of_the_oracle_earns_its_rewards(stage):
    batch = stage(**GROUPS).play()
    assert len(batch) == 4
    for episode in batch:
        metrics = episode.meta_info["metrics"]
        assert metrics["env/retail/success"] == metrics["env/retail/reward"] == 1.0
        assert episode.batch["scores"].sum() == 1.0
        assert metrics["env/retail/turns"] == len(episode.non_tensor_batch["step_scores"][0])
