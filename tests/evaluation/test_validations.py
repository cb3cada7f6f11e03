"""A run's validations as evaluations: one folder for each step and tag, read like those of `tau-retail eval`."""

import json
from dataclasses import replace

import pytest

from tau_retail_env import TauRetailEnv, load_tasks
from tau_retail_env.agents.bad import SilentAgent
from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.cli import main
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import play_episode
from tau_retail_env.evaluation.record import EPISODES, read_episodes
from tau_retail_env.evaluation.settings import read_settings
from tau_retail_env.evaluation.sides import read_side
from tau_retail_env.evaluation.validations import write_validation

TASKS = {
    "exchanges": load_tasks("tau2", "test", "exchanges")[:3],
    "more": load_tasks("tau2", "train", "returns")[:2],
}
VALUES = {
    "exp_name": "toy",
    "pretrain": "small",
    "sequence_length": 2048,
    "actor_infer": {"generating_args": None},
    "val_env_manager": {"generating_args": {"temperature": 0.5, "top_p": 1.0, "num_return_sequences": 1}},
    "custom_envs": {
        "exchanges": {"env_config": {"source": "tau2", "split": "test", "task_subset": "exchanges"}},
        "more": {"env_config": {"source": "tau2", "split": "train", "prompt_style": "compressed"}},
    },
}


def played(agent_of):
    """Two trials of every task of every tag."""
    env = {tag: TauRetailEnv(tasks=tasks) for tag, tasks in TASKS.items()}
    requests = [
        EpisodeRequest(task.id, seed, tag=tag, sampling_seed=seed)
        for tag, tasks in TASKS.items()
        for task in tasks
        for seed in (7, 5)
    ]
    tasks = {task.id: task for tasks in TASKS.values() for task in tasks}
    return [play_episode(env[one.tag], agent_of(tasks[one.task_id]), one) for one in requests]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    write_validation(folder, 0, played(lambda _: SilentAgent()), VALUES)
    write_validation(folder, 20, played(OracleAgent), VALUES)
    return folder


def test_each_tag_has_a_folder_with_settings_episodes_and_results(run):
    folder = run / "validations" / "step-000020" / "exchanges"
    settings, results = read_settings(folder), json.loads((folder / "results.json").read_text())
    assert (settings.agent, settings.model, settings.sampling) == (
        *("toy after step 20", "small"),
        {"temperature": 0.5, "top_p": 1.0, "sequence_length": 2048},
    )
    assert (results["source"], results["split"], results["task_version"]) == ("tau2", "test", "0.2")
    assert (results["tasks"], results["trials"], results["pass^2"]["value"]) == (3, 2, 1.0)
    episodes = list(read_episodes(folder / EPISODES))
    assert [(one.trial, one.trajectory.sampling_seed) for one in episodes[:2]] == [(0, 5), (1, 7)]
    assert read_settings(run / "validations" / "step-000000" / "more").prompt_style == "compressed"


def test_two_validations_are_compared_like_evaluations(run, capsys):
    sides = [str(run / "validations" / f"step-{step:06d}" / "exchanges") for step in (0, 20)]
    assert read_side(sides[0]).task_version == "0.2"
    assert main(["compare", *sides]) == 0
    assert "100.0" in capsys.readouterr().out
    assert main(["review", sides[0]]) == 0


def test_a_validation_that_is_played_again_takes_the_place_of_the_first(run, tmp_path):
    write_validation(tmp_path, 3, played(lambda _: SilentAgent()), VALUES)
    again = [replace(one, scorable=False) for one in played(OracleAgent)]
    write_validation(tmp_path, 3, again, VALUES)
    results = json.loads((tmp_path / "validations" / "step-000003" / "more" / "results.json").read_text())
    assert results["episodes"] | {"not_played": 0} == results["episodes"]
    assert (results["episodes"]["scored"], results["episodes"]["unscorable"]) == (0, 4)
