"""Gymnasium's own checker, wrappers and vectors take the environment; without gymnasium it works as well."""

import subprocess
import sys
import warnings

import pytest

from tau_retail_env import TauRetailEnv
from tau_retail_env.messages import AgentMessage


@pytest.fixture
def gymnasium():
    return pytest.importorskip("gymnasium", reason="needs gymnasium: pip install gymnasium")


def test_the_checker_of_gymnasium_finds_nothing(gymnasium):
    from gymnasium.utils.env_checker import check_env

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(TauRetailEnv(), skip_render_check=True)


def test_it_can_be_registered_and_made(gymnasium):
    gymnasium.register("tau_retail/Check-v0", entry_point="tau_retail_env.env:TauRetailEnv")
    try:
        env = gymnasium.make("tau_retail/Check-v0", source="generated", split="test")
        with env:
            _, info = env.reset(seed=1, options={"task_id": "generated/test/3"})
            assert info["task_id"] == "generated/test/3"
            assert env.step(AgentMessage("Hello"))[2:4] == (False, False)
            assert env.unwrapped.tools == info["tools"]
    finally:
        gymnasium.registry.pop("tau_retail/Check-v0")


def test_wrappers_and_vectors_take_it(gymnasium):
    from gymnasium.wrappers import RecordEpisodeStatistics, TimeLimit, TransformReward

    env = TransformReward(RecordEpisodeStatistics(TimeLimit(TauRetailEnv(), 2)), lambda reward: reward - 1.0)
    env.reset(seed=1)
    assert env.step("Hello")[1] == -1.0
    assert env.step("Hello")[3]
    vector = gymnasium.vector.SyncVectorEnv([TauRetailEnv, TauRetailEnv])
    observations, _ = vector.reset(seed=4)
    assert observations == tuple(TauRetailEnv().reset(seed=seed)[0] for seed in (4, 5))
    assert len(vector.step(("Hello", "Hello"))[0]) == 2


def test_without_gymnasium_all_but_the_spaces_is_there(tmp_path, repository):
    program = """
import sys
sys.modules["gymnasium"] = None
from tau_retail_env import TauRetailEnv
from tau_retail_env.errors import MissingDependencyError
with TauRetailEnv() as env:
    env.reset(seed=1)
    env.step("Hello")
    print(env.metadata, env.render_mode, env.spec, env.unwrapped is env)
    try:
        env.action_space
    except MissingDependencyError as error:
        print(error)
"""
    read = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=True,
    )
    told, error = read.stdout.splitlines()
    assert told == "{'render_modes': []} None None True"
    assert error.endswith("Install it with: pip install gymnasium")
