"""The script that records runs on a GPU: both of its parts are configurations that check, without GPU and ROLL."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tau_retail_env.roll.config.check import check_roll


def printed(repository, algorithm: str, *overrides: str, **variables: str) -> list[dict]:
    result = subprocess.run(
        [str(repository / "benchmarks" / "roll_run.sh"), "--print", algorithm, "there", *overrides],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHON": sys.executable, **variables},
    )
    assert result.returncode == 0, result.stderr
    return list(yaml.safe_load_all(result.stdout))


@pytest.fixture(scope="module")
def ppo(repository) -> list[dict]:
    return printed(repository, "ppo", "rollout_batch_size=256", STEPS="20", MORE_STEPS="10")


@pytest.fixture(scope="module")
def grpo(repository) -> list[dict]:
    return printed(repository, "grpo", "rollout_batch_size=256", STEPS="20", MORE_STEPS="10")


@pytest.fixture(params=["ppo", "grpo"])
def parts(request) -> list[dict]:
    return request.getfixturevalue(request.param)


def test_both_parts_check_and_the_second_goes_on_with_the_first(parts):
    first, second = parts
    assert (first["max_steps"], second["max_steps"]) == (21, 31)
    assert 20 % first["save_steps"] == 0 and 20 % first["eval_steps"] == 0
    assert first["output_dir"] == second["output_dir"] and second["resume"] is True
    for values in (first, second):
        assert check_roll(values).val_places == {"retail_test": 192}


def test_ppo_has_a_critic_and_kl_in_the_reward(ppo):
    for values in ppo:
        assert values["add_token_level_kl"] and values["init_kl_coef"] > 0 and values["adv_estimator"] == "gae"


def test_grpo_plays_ahead_on_a_gpu_of_its_own_with_kl_in_the_loss(grpo):
    for values in grpo:
        assert values["use_kl_loss"] and values["adv_estimator"] == "grpo" and values["async_generation_ratio"] == 1
        assert check_roll(values).num_gpus == 2


def test_another_algorithm_is_refused(repository):
    script = str(repository / "benchmarks" / "roll_run.sh")
    result = subprocess.run([script, "dpo", "there"], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "'dpo' is none of ppo, grpo and arms" in result.stderr


@pytest.mark.parametrize(
    ("engine", "arms", "said"),
    [
        ("local", ["base", "typo"], "there is no arm 'typo' with ENGINE=local; the arms are base kl"),
        ("local", ["base", "whiten"], "there is no arm 'whiten' with ENGINE=local"),
        ("roll", ["base", "curriculum"], "there is no arm 'curriculum' with ENGINE=roll; the arms are base kl whiten"),
        ("roll", [""], "there is no arm '' with ENGINE=roll"),
        ("lokal", ["base"], "ENGINE is 'lokal', expected roll or local"),
    ],
)
def test_an_arm_that_an_engine_does_not_have_is_refused_before_the_first(repository, tmp_path, engine, arms, said):
    result = subprocess.run(
        [str(repository / "benchmarks" / "arms.sh"), str(tmp_path / "out"), "no", *arms],
        cwd=repository,
        env={**os.environ, "ENGINE": engine, "PYTHON": "false"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout) == (2, "")
    assert said in result.stderr


def test_it_plays_what_the_small_model_was_trained_for(parts):
    from tau_retail_env.config import compose

    local = compose("tau_retail_local")
    for name in ("task_source", "task_subset", "prompt_style", "max_turns", "user_strategy", "sequence_length"):
        assert parts[0][name] == local[name]


def test_further_overrides_reach_both_parts(parts):
    assert [values["rollout_batch_size"] for values in parts] == [256, 256]


@pytest.mark.parametrize(("made", "used"), [([".venv"], ".venv"), ([".venv", ".venv-roll"], ".venv-roll")])
@pytest.mark.parametrize("algorithm", ["ppo", "arms"])
def test_it_prints_on_a_machine_without_rolls_environment(repository, tmp_path, algorithm, made, used):
    shutil.copytree(repository / "benchmarks", tmp_path / "benchmarks", ignore=shutil.ignore_patterns("*.py"))
    for environment in made:
        python = tmp_path / environment / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text('#!/bin/sh\necho "$0"\n')
        python.chmod(0o755)
    variables = {name: value for name, value in os.environ.items() if name not in ("PYTHON", "ENGINE")}
    command = [str(tmp_path / "benchmarks" / "roll_run.sh"), "--print", algorithm, "there"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    started = {line for line in result.stdout.splitlines() if not line.startswith("---")}
    assert started == {str(tmp_path / used / "bin" / "python")}


def test_an_interpreter_that_is_not_there_is_named_with_the_remedy(repository):
    script = str(repository / "benchmarks" / "roll_run.sh")
    env = {**os.environ, "PYTHON": "/nowhere/python"}
    result = subprocess.run([script, "ppo", "there"], capture_output=True, text=True, check=False, env=env)
    assert result.returncode == 2
    assert "no interpreter /nowhere/python; ./run_tau_retail_pipeline.sh makes one, PYTHON names" in result.stderr
