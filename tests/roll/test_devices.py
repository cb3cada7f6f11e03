"""Which GPUs a run takes: those of CUDA_VISIBLE_DEVICES, by the machine's numbers."""

import os

import pytest

from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll.devices import environment_when_moved, onto_visible_gpus, renumbered

PPO = ("actor_train", "actor_infer", "critic", "reference")


def test_a_run_on_the_second_gpu_is_one_on_the_second_gpu(monkeypatch):
    """ROLL's own workers would all take the first."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    moved = onto_visible_gpus(compose("tau_retail_1gpu"))
    assert [moved[role]["device_mapping"] for role in PPO] == [[1]] * 4
    assert "CUDA_VISIBLE_DEVICES" not in os.environ  # ROLL counts the machine's GPUs, of which this is the second


def test_the_first_gpus_stay_as_they_are(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    values = compose("tau_retail_grpo", overrides=["num_gpus_per_node=2"])
    assert onto_visible_gpus(values) == values
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8c1f")  # ROLL's number 0, whatever its name
    values = compose("tau_retail_1gpu")
    assert onto_visible_gpus(values) == values


@pytest.mark.parametrize(("named", "is_kept"), [("1", False), ("0,1", True), (None, None)])
def test_a_ray_that_is_begun_before_has_the_environment_that_the_run_will_have(monkeypatch, named, is_kept):
    """With the variable left in it, Ray counts one GPU, and ROLL finds no machine with the second."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if named is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
    values = compose("tau_retail_1gpu")
    before = environment_when_moved(values)
    onto_visible_gpus(values)
    assert before == dict(os.environ)
    assert named is None or ("CUDA_VISIBLE_DEVICES" in before) == is_kept


def test_gpus_that_are_too_few_are_left_to_be_counted(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    environment_when_moved(compose("tau_retail_1gpu", overrides=["num_gpus_per_node=2"]))


def test_learning_and_playing_keep_their_own_gpus():
    moved = renumbered(compose("tau_retail_grpo", overrides=["num_gpus_per_node=4"]), "4,5,6,7")
    assert moved["actor_train"]["device_mapping"] == moved["reference"]["device_mapping"] == [4, 5]
    assert moved["actor_infer"]["device_mapping"] == [6, 7]


@pytest.mark.parametrize(
    ("named", "words"),
    [("0,2", "without a gap"), ("GPU-8c1f,GPU-77aa", "expected numbers"), ("²,³", "expected numbers")],
)
def test_gpus_that_roll_cannot_be_given_are_refused(named, words):
    with pytest.raises(InvalidValueError, match=words):
        renumbered(compose("tau_retail_1gpu", overrides=["num_gpus_per_node=2"]), named)
