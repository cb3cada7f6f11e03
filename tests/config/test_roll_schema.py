"""The snapshot of ROLL's configuration: what it says, and whether it is still what the pinned commit has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tau_retail_env.config.roll_schema import FOLDER, RollSchema, versions
from tau_retail_env.errors import InvalidValueError

CHECKOUTS = {"main": "ROLL_PATH", "v0.2.1": "ROLL_PATH_V021"}
EXAMPLE = {"actor_train": {"training_args": {"learning_rate": 1}}, "own": 3}


def test_there_is_a_snapshot_of_each_version_that_configurations_want():
    assert versions() == ["main", "v0.2.1"]
    assert RollSchema.load("main").commit.startswith("8eb27cc2")
    assert "deepspeed_train" in RollSchema.load("v0.2.1").strategies()
    assert "deepspeed_train" not in RollSchema.load("main").strategies()


def test_an_unknown_version_is_answered_with_the_known_ones():
    with pytest.raises(InvalidValueError, match=r"known: main, v0\.2\.1"):
        RollSchema.load("v0.2")


def test_a_key_that_is_left_out_has_rolls_default():
    schema = RollSchema.load("main")
    assert schema.value({}, "init_kl_coef") == 0.2
    assert schema.value(EXAMPLE, "actor_train.training_args.learning_rate") == 1
    assert schema.value(EXAMPLE, "critic.training_args.per_device_train_batch_size") == 8


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"actor_train": {"training_args": {"learning_rat": 1}}},
            "actor_train.training_args.learning_rat: unknown key",
        ),
        ({"actor_train": 3}, "actor_train: found 3, expected a block of keys"),
        ({"seed": True}, "seed: found True, expected a whole number"),
        ({"seed": None}, "seed: found None, expected a whole number"),
        ({"train_env_manager": {"tags": "retail"}}, "train_env_manager.tags: found 'retail', expected a list"),
        (
            {"train_env_manager": {"num_groups_partition": ["a"]}},
            "num_groups_partition[0]: found 'a', expected a whole",
        ),
        ({"adv_estimator": "ppo"}, "adv_estimator: found 'ppo', expected gae or"),
        ({"reward": {"llm_proxy": {"x": 1}}}, "reward.llm_proxy.x: unknown key"),
    ],
)
def test_names_and_types_are_checked_by_path(values, words):
    (problem,) = RollSchema.load("main").problems(values, own=("own",))
    assert words in problem


@pytest.mark.parametrize("values", [EXAMPLE, {"target_kl": None}, {"lambd": 1}, {"teacher": {"a": {"name": "x"}}}])
def test_what_roll_takes_is_taken(values):
    assert RollSchema.load("main").problems(values, own=("own",)) == []


@pytest.mark.parametrize(("version", "variable"), list(CHECKOUTS.items()))
def test_the_snapshot_is_what_the_checkout_has(repository: Path, tmp_path: Path, version: str, variable: str):
    checkout = os.environ.get(variable)
    if not checkout:
        pytest.skip(f"needs ROLL {version}: export {variable}=<a checkout of ROLL> in an environment with its packages")
    script = repository / "benchmarks" / "roll_schema.py"
    result = subprocess.run(
        [sys.executable, str(script), "--out", str(tmp_path / "now.json"), "--version", version],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": checkout, "CUDA_VISIBLE_DEVICES": "", "ROLL_LOG_DIR": str(tmp_path)},
    )
    if "ModuleNotFoundError" in result.stderr:
        pytest.skip(f"needs ROLL's packages: {result.stderr.splitlines()[-1]}; see requirements-roll.txt")
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "now.json").read_text()) == json.loads((FOLDER / f"{version}.json").read_text())
