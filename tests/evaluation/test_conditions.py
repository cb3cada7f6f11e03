"""What of two evaluations was not played alike: customer, judge, limits, prompt and sampling."""

import json

import pytest

from tau_retail_env.agents.oracle import OracleAgent
from tau_retail_env.cli.main import main
from tau_retail_env.evaluation.conditions import USER_CODE, differences_of
from tau_retail_env.evaluation.settings import user_of
from tau_retail_env.evaluation.sides import read_side
from tau_retail_env.evaluation.validations import write_validation
from tau_retail_env.runs.trajectories import write_trajectories
from tests.evaluation.evaluations import TASKS, evaluate, settings_of
from tests.plain_trajectory import plain_trajectory

CHECKPOINT = {"agent": "/weights", "model_digest": "0123"}
WIDE = user_of("scripted", None, {"phrasings": "wide"})
ASKED = user_of("openai", "NAME", {})


def checkpoint(**sampling):
    return {**CHECKPOINT, "sampling": {"temperature": 0.0, **sampling}}


def oracle(folder, **said):
    evaluate(folder, TASKS[:1], make_agent=lambda task, seed: OracleAgent(task), **said)


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        (checkpoint(), checkpoint(max_new_tokens=768), {}),
        (checkpoint(), checkpoint(max_new_tokens=1024), {"max_new_tokens": (768, 1024)}),
        (checkpoint(), checkpoint(temperature=0.7), {"temperature": (0.0, 0.7)}),
        (checkpoint(), checkpoint(top_p=0.9, top_k=50), {}),
        (checkpoint(temperature=1.0), checkpoint(temperature=1.0, top_p=1.0, top_k=0), {}),
        (checkpoint(temperature=1.0), checkpoint(temperature=1.0, top_p=0.9), {"top_p": (None, 0.9)}),
        (checkpoint(temperature=1.0, top_k=50), checkpoint(temperature=1.0), {"top_k": (50, None)}),
        (checkpoint(), checkpoint(sequence_length=4096), {"sequence_length": (None, 4096)}),
        (CHECKPOINT, CHECKPOINT | {"prompt_style": "minimal"}, {"prompt_style": ("full", "minimal")}),
        ({}, checkpoint() | {"prompt_style": "minimal"}, {}),
        ({}, {"agent": "http://host/v1", "model": "NAME", "max_turns": 9}, {"max_turns": (None, 9)}),
        ({}, {"customer": WIDE, "customer_digest": "x"}, {"user.phrasings": (None, "wide")}),
        ({}, {"customer": ASKED}, {"user_strategy": ("scripted", "openai"), "user_model": (None, "NAME")}),
        ({"customer_digest": "x"}, {"customer_digest": "y"}, {USER_CODE: ("x", "y")}),
        ({}, {"judge": ASKED}, {"nl_judge": ("rules", "openai"), "nl_judge_model": (None, "NAME")}),
        ({}, {"judge": {"strategy": None, "model": None, "settings": None}}, {}),
        ({}, {"trials": 8, "seed": 7, "package_version": "0"}, {}),
    ],
)
def test_what_changes_the_figures_is_told_and_nothing_else(first, second, told):
    assert differences_of([settings_of(**first)], [settings_of(**second)]) == told


def test_what_nothing_tells_is_no_difference():
    assert differences_of([], [settings_of(**checkpoint())]) == {}


def test_tags_of_one_validation_tell_what_they_share():
    tags = [settings_of(max_turns=turns, **checkpoint(temperature=1.0)) for turns in (5, 9)]
    assert differences_of(tags, [settings_of(**checkpoint())]) == {"temperature": (1.0, 0.0)}


def test_compare_says_what_was_not_played_alike(tmp_path, capsys):
    for name, tokens in (("a", 768), ("b", 1024)):
        evaluate(
            tmp_path / name,
            TASKS[:1],
            **checkpoint(max_new_tokens=tokens),
            make_agent=lambda task, seed: OracleAgent(task),
        )
    sides = [str(tmp_path / name) for name in "ab"]
    assert main(["compare", *sides]) == 0
    assert "not played alike: max_new_tokens (768 in A, 1024 in B)\n" in capsys.readouterr().out
    assert main(["compare", "--json", *sides]) == 0
    assert json.loads(capsys.readouterr().out)["played_otherwise"] == {"max_new_tokens": [768, 1024]}
    assert main(["compare", sides[0], sides[0]]) == 0
    assert "not played alike" not in capsys.readouterr().out


def test_a_runs_validation_is_compared_with_how_it_was_played(tmp_path, capsys):
    env = {"source": "tau2", "split": "test", "max_turns": 7}
    values = {
        "exp_name": "toy",
        "pretrain": "small",
        "val_env_manager": {"generating_args": {"temperature": 1.0}},
        "custom_envs": {"retail": {"env_config": env}},
    }
    one = plain_trajectory(task_id=TASKS[0].id, tag="retail", policy_version=3, task_version="0.2")
    run = tmp_path / "run"
    (run / "trajectories").mkdir(parents=True)
    write_trajectories(run / "trajectories" / "val-000003.jsonl", [one])
    write_validation(run, 3, [one], values)
    assert [one.max_turns for one in read_side(f"{run}@3").settings] == [7]
    oracle(tmp_path / "e", **checkpoint(max_new_tokens=512))
    assert main(["compare", f"{run}@3", str(tmp_path / "e")]) == 0
    told = "max_turns (7 in A, not set in B), temperature (1.0 in A, 0.0 in B), max_new_tokens (not set in A, 512 in B)"
    assert told in capsys.readouterr().out
