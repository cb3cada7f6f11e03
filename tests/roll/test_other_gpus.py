"""A run that is resumed with another number of GPUs: weights and moments of FSDP2's checkpoint, on CPUs with gloo."""

import os
import sys
from pathlib import Path

import pytest

from benchmarks import roll_ranks


@pytest.fixture(scope="module")
def distances(roll, tmp_path_factory):
    """Of what two processes make of four rows from what one makes of them."""
    options = roll_ranks.options(
        shape="toy", rows=4, tokens=60, own=25, sequence_length=128, microbatch=150, learning_rate=1e-3
    )
    root = Path(__file__).resolve().parents[2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(root), str(roll), *sys.path]))
        patch.setenv("OMP_NUM_THREADS", "1")
        return roll_ranks.compare(options, tmp_path_factory.mktemp("ranks"))


@pytest.mark.parametrize("learner", roll_ranks.LEARNERS)
def test_an_update_of_two_gpus_is_that_of_one(distances, learner):
    """Log-probabilities or values, the norm of the gradient, and where the weights are after it."""
    apart = distances[learner]["2 GPUs"]
    assert apart["numbers, at most"] < 1e-5
    assert apart["gradient"] < 1e-5
    assert apart["weights"] < 1e-3


@pytest.mark.parametrize("learner", roll_ranks.LEARNERS)
@pytest.mark.parametrize(
    "side", ["2 GPUs from a checkpoint of 1 GPU", "1 GPU from a checkpoint of 2 GPUs"], ids=["to two", "to one"]
)
def test_a_checkpoint_goes_on_with_another_number_of_gpus(distances, learner, side):
    """The update after it changes the weights as it would have with the GPUs that the run began with."""
    assert distances[learner][side]["moved on"] < 1e-4
