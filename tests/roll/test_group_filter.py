"""pass^k of a validation, in the filter and through ROLL's own queue and reduction."""

from types import SimpleNamespace

import numpy as np
import pytest

from tau_retail_env.roll.group_filter import WITHOUT_SIGNAL, PassHatKFilter, SignalFilter
from tau_retail_env.statistics.intervals import pass_hat_k


def episode(success):
    metrics = {} if success is None else {"env/retail/success": float(success)}
    return SimpleNamespace(
        meta_info={"metrics": metrics}, non_tensor_batch={"tags": np.array(["retail"], dtype=object)}
    )


def filtered(*groups):
    judge = PassHatKFilter(None, SimpleNamespace(group_size=max(map(len, groups))), "val")
    made = [[episode(success) for success in group] for group in groups]
    assert not any(judge.filter(0, number, group) for number, group in enumerate(made))
    return [one.meta_info["metrics"] for group in made for one in group]


def test_the_average_over_episodes_that_tell_it_is_the_average_over_tasks():
    groups = [[True, True, False, True], [False] * 4, [True] * 4]
    metrics = filtered(*groups)
    for k in range(1, 5):
        told = [one[f"env/retail/pass^{k}"] for one in metrics if f"env/retail/pass^{k}" in one]
        assert np.mean(told) == pytest.approx(pass_hat_k(groups, k))


def test_an_episode_that_cannot_be_scored_is_no_trial():
    metrics = filtered([True, None, False], [None, None, None])
    assert metrics[0]["env/retail/pass^1"] == 0.5 and metrics[0]["env/retail/pass^2"] == 0.0
    assert "env/retail/pass^3" not in metrics[0] and "env/retail/pass^1" not in metrics[3]
    assert [metrics[0][f"env/retail/pass^{k}_tasks_sum"] for k in (1, 2, 3)] == [1.0, 1.0, 0.0]


def test_an_environment_that_has_ended_is_passed_over():
    judge = PassHatKFilter(None, SimpleNamespace(group_size=2), "val")
    assert judge.filter(0, 0, [None, None]) is False


def test_rolls_queue_and_reduction_give_pass_hat_k_of_the_validation(rollout_loop):
    from roll.utils.functionals import append_to_dict, reduce_metrics

    from tests.roll.rollout_loop import Actor

    class Moody(Actor):
        """The oracle; in every second environment it has no help for some of the tasks."""

        made = 0

        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.odd, Moody.made = Moody.made % 2, Moody.made + 1

        def _watch_reset(self, *arguments, **named):
            answer = super()._watch_reset(*arguments, **named)
            if self.odd and sum(self.info["task_id"].encode()) % 2:
                self.agent = Silent()
            return answer

    class Silent:
        def act(self, observation, info):
            return "One moment."

    played = rollout_loop(
        mode="val",
        groups=6,
        group_size=2,
        settings={"source": "tau2", "split": "train", "task_subset": "profile", "max_turns": 30},
        manager={"group_filter_cls": "tau_retail_env.roll.group_filter.PassHatKFilter"},
        make_actor=Moody,
    )
    metrics = {}
    outcomes = {}
    for one in played.play():
        append_to_dict(metrics, one.meta_info["metrics"])
        name = one.non_tensor_batch["traj_group_id"][0]
        outcomes.setdefault(name, []).append(one.meta_info["metrics"]["env/retail/success"] == 1.0)
    reduced = reduce_metrics(metrics)
    assert 0 < reduced["env/retail/success"] < 1
    for k in (1, 2):
        assert reduced[f"env/retail/pass^{k}"] == pytest.approx(pass_hat_k(list(outcomes.values()), k))
        assert reduced[f"env/retail/pass^{k}_tasks_sum"] == 6


def test_the_share_of_groups_that_teach_nothing_is_told_by_the_first_episode_of_each():
    def earning(reward):
        metrics = {} if reward is None else {"env/retail/reward": reward}
        return SimpleNamespace(meta_info={"metrics": metrics})

    groups = [[1.0, 0.0], [0.0, 0.0], [1.0, None], [0.25, 0.5]]
    judge = SignalFilter(None, None, "train")
    made = [[earning(reward) for reward in group] for group in groups]
    assert not any(judge.filter(0, number, group) for number, group in enumerate([*made, [None, None]]))
    told = [one.meta_info["metrics"].get(WITHOUT_SIGNAL) for group in made for one in group]
    assert told == [0.0, None, 1.0, None, 1.0, None, 0.0, None]
