"""Tasks that are not there are told when the configuration is checked, on both engines, before anything starts."""

import pytest

from tau_retail_env.chain.play_settings import check_play
from tau_retail_env.cli import main
from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError, MissingDependencyError
from tau_retail_env.local.config import check_local, check_sft
from tau_retail_env.roll.config.check import check_roll
from tau_retail_env.sources.tau_bench import tasks as upstream_tau_bench

CHECKS = {"tau_retail_local": check_local, "tau_retail_sft": check_sft, "tau_retail_1gpu": check_roll}
WHOLE = "custom_envs.retail_train.env_config.split=train"
"""The local configurations play parts of the training split."""


def check(name: str, *overrides: str) -> None:
    CHECKS[name](compose(name, overrides=overrides))


@pytest.mark.parametrize("name", CHECKS)
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["task_source=foo"], "Unknown source 'foo'; known: tau2, tau_bench, generated"),
        (["task_subset=foo"], "Unknown task_subset 'foo'; known: all"),
        (["task_subset=''"], "Unknown task_subset ''"),
        (["custom_envs.retail_train.env_config.split=trian"], "Unknown split of source 'generated' 'trian'"),
        (
            ["task_source=tau2", "task_subset=payment", WHOLE],
            "source 'tau2', split 'train' is empty. It has tasks in split:",
        ),
    ],
)
def test_tasks_that_are_not_there_are_told_once(name: str, overrides: list[str], words: str):
    defaults = ["task_source=generated"]
    with pytest.raises(InvalidValueError) as caught:
        check(name, *defaults, *overrides)
    assert words in str(caught.value)
    assert str(caught.value).count(words) == 1
    assert "custom_envs.retail_train.env_config" in str(caught.value)


@pytest.mark.parametrize("name", CHECKS)
def test_two_task_versions_in_one_run_are_refused_by_name(name: str):
    with pytest.raises(InvalidValueError) as caught:
        check(name, "task_source=tau2", "task_subset=all", "+custom_envs.retail_train.env_config.task_version=verified")
    told = "custom_envs.retail_test.env_config.task_version: found 0.2 of tau2, but retail_train plays verified"
    assert told in str(caught.value)


def test_printing_a_configuration_tells_it_too(capsys: pytest.CaptureFixture[str]):
    assert main(["train", "--print-config", "task_source=foo"]) == 2
    assert capsys.readouterr().err.startswith("error: custom_envs.retail_train.env_config, custom_envs.retail_test.")


def test_a_tag_that_nobody_plays_may_have_no_tasks():
    check(
        "tau_retail_local", "custom_envs.retail_test.env_config.task_subset=foo", "val_env_manager.tags=[retail_train]"
    )


@pytest.mark.parametrize("name", CHECKS)
def test_where_the_source_is_not_installed_only_names_are_looked_at(name: str, monkeypatch: pytest.MonkeyPatch):
    def missing() -> None:
        raise MissingDependencyError("not here")

    monkeypatch.setattr(upstream_tau_bench, "import_upstream", lambda *_: missing())
    keys = ["task_source=tau_bench", "task_subset=lookup"]
    keys += [f"custom_envs.{tag}.env_config.split=dev" for tag in ("retail_train", "retail_test")]
    check(name, *keys)
    with pytest.raises(InvalidValueError, match="Unknown task_subset 'foo'"):
        check(name, *keys, "task_subset=foo")


@pytest.mark.parametrize("name", CHECKS)
def test_a_task_to_leave_out_must_be_there(name: str):
    keys = ["task_source=tau2", "task_subset=all", WHOLE]
    check(name, *keys, "custom_envs.retail_train.env_config.exclude_tasks=[tau2/3]")
    with pytest.raises(InvalidValueError, match=r"retail_train\.env_config: exclude_tasks: Unknown task_id"):
        check(name, *keys, "custom_envs.retail_train.env_config.exclude_tasks=[tau2/3000]")


@pytest.mark.parametrize("name", CHECKS)
def test_a_file_of_tasks_must_be_there(name: str):
    with pytest.raises(InvalidValueError, match=r"retail_train\.env_config: task_file: .* cannot be read"):
        check(name, "task_source=generated", "custom_envs.retail_train.env_config.task_file=nowhere.jsonl")


@pytest.mark.parametrize(
    ("name", "check", "others"),
    [
        ("tau_retail_smol_ppo", check_roll, "series6_train: generated"),
        ("tau_retail_smol_sft", check_sft, "v1_train: tau_bench"),
        ("tau_retail_samples", check_play, "series2_train: generated"),
    ],
)
def test_a_source_at_the_top_that_nothing_plays_is_refused(name, check, others):
    with pytest.raises(InvalidValueError, match=r"task_source: found tau2, which no tag that is played has") as caught:
        check(compose(name, overrides=["task_source=tau2"]))
    assert others in str(caught.value) and "task_source=generated" in str(caught.value)


def test_a_source_that_a_tag_plays_is_not():
    check_local(compose("tau_retail_local", overrides=["task_source=tau2"]))
    check_roll(compose("tau_retail_1gpu", overrides=["task_source=tau2"]))
