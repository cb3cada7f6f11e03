"""What comes before a run with ROLL: made once for the same inputs, with the run's model and prompt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.chain.warm_start import warm_started
from tau_retail_env.cli.train import _checked
from tau_retail_env.config import compose
from tau_retail_env.roll.config.check import check_roll
from tau_retail_env.runs.resume import read_config
from tests.chain.stand_in import Stages

SMALL = (
    "pretrain=small",
    "prompt_style=compressed",
    "sequence_length=2048",
    "train_env_manager.generating_args.max_new_tokens=512",
    "val_env_manager.generating_args.max_new_tokens=512",
)


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Warm-starts tau_retail_1gpu from the small model, in a folder of its own, as on a machine with a GPU."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tau_retail_env.local.config.machine.has_gpu", lambda: True)

    def start(*overrides: str) -> dict[str, Any]:
        values = compose("tau_retail_1gpu", overrides=[*SMALL, *overrides])
        return warm_started(values, _checked, min_success=check_roll(values).least_success, say=lambda line: None)

    return start


def test_a_run_begins_with_the_weights_that_its_warm_start_made(stages: Stages, warm):
    values = warm()
    assert stages.played == ["sft", "samples", "rft"]
    assert values["pretrain"] == values["reward_pretrain"]
    assert Path(values["pretrain"]).parts[-4:] == ("rft", "run", "checkpoints", "checkpoint-2")
    assert (values["warm_start"], values["min_success"]) == ("none", 0.03)
    assert {told["prompt_style"] for told in stages.words} == {"compressed"}
    assert check_roll(values).least_success == 0.03


def test_what_was_made_is_taken_again_and_other_inputs_have_a_folder_of_their_own(stages: Stages, warm):
    first = warm()["pretrain"]
    assert warm("max_steps=7", "actor_train.training_args.learning_rate=1.0e-5")["pretrain"] == first
    assert len(stages.words) == 3
    assert warm("seed=7")["pretrain"] != first
    assert len(stages.words) == 6


def test_a_warm_start_that_was_stopped_goes_on(stages: Stages, warm):
    stages.fails = "samples"
    with pytest.raises(Exception, match="Stage samples ended with status 1"):
        warm()
    stages.fails = None
    warm()
    assert stages.played == ["sft", "samples", "samples", "rft"]


def test_fine_tuning_alone(stages: Stages, warm):
    assert "/sft/run/" in warm("warm_start=sft")["pretrain"]
    assert stages.played == ["sft"]


def test_a_run_without_v1_is_warmed_without_it(stages: Stages, warm):
    folder = Path(warm("task_source=tau2")["pretrain"]).parents[3]
    assert [told.get("conversations.mixture.v1_train") for told in stages.words] == ["0", None, "0"]
    assert stages.words[1]["play.sets.v1_train"] == "null"
    assert read_config(folder)["pretrain"] == "small"


@pytest.mark.parametrize(
    ("overrides", "least"),
    [([], 0.03), (["warm_start=none"], 0.0), (["warm_start=none", "min_success=0.1"], 0.1), (["min_success=0"], 0.0)],
)
def test_the_least_success_follows_the_warm_start_unless_it_is_given(overrides: list[str], least: float):
    assert check_roll(compose("tau_retail_1gpu", overrides=overrides)).least_success == least
