"""The script that fine-tunes on some customers and phrasings, lets a model meet new ones, and judges it on others."""

import itertools
import os
import re
import subprocess
import sys

import pytest
import yaml

from tau_retail_env.env import TauRetailEnv
from tau_retail_env.local.config import check_local, check_sft

STAGES = ("tune", "longer", "meet")


def script(repository, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [str(repository / "benchmarks" / "new_words.sh"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHON": sys.executable, "DTYPE": "fp32", "SEEDS": "7"},
    )


@pytest.fixture(scope="module")
def printed(repository) -> dict[str, dict]:
    result = script(repository, "--print", "there", *STAGES)
    assert result.returncode == 0, result.stderr
    return dict(zip(STAGES, yaml.safe_load_all(result.stdout), strict=True))


def environment(values: dict, tag: str) -> TauRetailEnv:
    """One of the environments that a stage plays in."""
    checked = check_sft(values) if "conversations" in values else check_local(values)
    return TauRetailEnv(**vars(checked.custom_envs[tag].env_config))


def hellos(env: TauRetailEnv) -> set[str]:
    """With which words its customers begin."""
    first = (env.reset(task_id=task.id, seed=0)[0] for task in env.tasks[:100])
    return {re.split(r"(?<=[.!])\s", text)[0] for text in first}


def test_every_stage_checks_and_the_later_ones_begin_with_the_first_ones_weights(printed):
    assert [values["exp_name"] for values in printed.values()] == ["tune", "longer", "meet_7"]
    assert printed["tune"]["pretrain"] == "scratch"
    assert printed["meet"]["seed"] == 7


def test_what_is_told_what_is_met_and_what_is_judged_share_no_customer_and_no_phrasing(printed):
    told = environment(printed["tune"], "retail_train")
    more = environment(printed["longer"], "retail_train")
    met, judged = (environment(printed["meet"], tag) for tag in ("retail_train", "retail_test"))
    assert [task.id for task in told.tasks] == [task.id for task in more.tasks]
    for first, second in itertools.combinations((told, met, judged), 2):
        assert not {task.user_id for task in first.tasks} & {task.user_id for task in second.tasks}
        assert hellos(first) and not hellos(first) & hellos(second)


def test_an_unknown_stage_is_refused(repository):
    result = script(repository, "there", "learn")
    assert result.returncode == 2
    assert "'learn' is none of tune, longer, meet and judge" in result.stderr
