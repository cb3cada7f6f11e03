"""Copies and pickles of an environment: a copy goes on as the original does, and neither disturbs the other."""

import copy
import pickle
import subprocess
import sys

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.users.human import HumanUser


def by_pickle(env):
    return pickle.loads(pickle.dumps(env))


WAYS = [copy.copy, copy.deepcopy, by_pickle]


def gold_messages(env, task):
    """What the oracle says in an episode, and all that it heard."""
    agent, (observation, info) = OracleAgent(task), env.reset(task.id, seed=3)
    messages, heard, over = [], [], False
    while not over:
        messages.append(agent.act(observation, info))
        observation, reward, terminated, truncated, info = env.step(messages[-1])
        heard.append((observation, reward, info))
        over = terminated or truncated
    return messages, heard


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("source", "chosen"), [("tau2", slice(None, None, 9)), ("generated", slice(0, 8)), ("tau_bench", slice(0, 12))]
)
def test_a_copy_in_the_middle_of_an_episode_goes_on_byte_for_byte(request, way, source, chosen):
    if source == "tau_bench":
        request.getfixturevalue("tau_bench")
    env = TauRetailEnv(source, "test")
    for task in env.tasks[chosen]:
        messages, heard = gold_messages(env, task)
        assert heard[-1][1] == 1.0
        env.reset(task.id, seed=3)
        for played, message in enumerate(messages):
            branch = way(env)
            rest = [branch.step(one) for one in messages[played:]]
            assert [(turn[0], turn[1], turn[4]) for turn in rest] == heard[played:]
            assert env.step(message)[0] == heard[played][0]


def test_branches_share_the_shop_and_nothing_that_changes():
    env = TauRetailEnv("tau2", "test")
    task = next(task for task in env.tasks if len(task.actions) > 2)
    messages, heard = gold_messages(env, task)
    env.reset(task.id, seed=3)
    branch = copy.deepcopy(env)
    assert branch._shop is env._shop and branch.tasks is env.tasks and branch.task is env.task
    for _ in messages:
        branch.step("No.")
        if branch._episode.over:
            break
    assert [env.step(message)[0] for message in messages] == [one[0] for one in heard]


@pytest.mark.parametrize("way", WAYS)
def test_before_the_first_episode_and_after_the_last_there_are_copies_too(way):
    env = TauRetailEnv("tau2", "test", user_strategy={"scripted": 0.5, "llm": 0.5}, user_model="m")
    assert way(env).task is None
    env = TauRetailEnv(tasks=load_tasks("tau2", "base", "returns")[:3])
    env.reset(seed=5)
    env.close()
    assert way(env).reset()[1] == env.reset()[1]


def test_tasks_of_ones_own_travel_in_the_pickle():
    env = TauRetailEnv(tasks=load_tasks("tau2", "base", "returns")[:3])
    env.reset(seed=5)
    other = by_pickle(env)
    assert other.tasks == env.tasks and other.task == env.task
    assert other.step("Hello")[0] == env.step("Hello")[0]


def test_another_process_goes_on_with_a_pickle(tmp_path, repository):
    env = TauRetailEnv("tau2", "test")
    env.reset(seed=5)
    (tmp_path / "env").write_bytes(pickle.dumps(env))
    program = (
        "import pickle, pathlib\n"
        "env = pickle.loads(pathlib.Path('env').read_bytes())\n"
        "print(env.step('What is your email?')[0], end='')"
    )
    read = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout == env.step("What is your email?")[0]


def test_a_person_cannot_be_copied():
    env = TauRetailEnv("tau2", "test", user=HumanUser(source="tau2"))
    for way in WAYS:
        with pytest.raises(TypeError, match="a person plays the customer"):
            way(env)
