"""What the machines of a cluster must all see and have: what is asked for, and which cards are too small."""

import pytest

from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.shipped import PACKAGE_FOLDER, small_checkpoint
from tau_retail_env.roll import machines, preflight
from tau_retail_env.roll.config.check import check_roll
from tau_retail_env.roll.machines import Machine, check_cards, needed


@pytest.fixture(autouse=True)
def shell(monkeypatch):
    for name in (*machines.CHECKOUTS, *machines.CACHES):
        monkeypatch.delenv(name, raising=False)


def asked(*overrides, name="tau_retail_1gpu"):
    values = compose(name, overrides=["task_source=tau2", *overrides])
    return needed(check_roll(values), values)


def test_the_package_and_a_models_folder_are_needed():
    package = {str(PACKAGE_FOLDER): "this package"}
    assert asked() == package
    assert asked("pretrain=small") == package | {str(small_checkpoint()): "reward_pretrain"}


def test_a_critic_of_another_model_is_needed_too(tmp_path):
    found = asked("pretrain=small", f"reward_pretrain={tmp_path}")
    assert (found[str(small_checkpoint())], found[str(tmp_path)]) == ("pretrain", "reward_pretrain")


@pytest.mark.parametrize("variable", ["TAU_BENCH_PATH", "TAU2_BENCH_PATH", "TAU2_BENCH_VERIFIED_PATH"])
def test_folders_of_tasks_that_variables_name_are_needed_where_they_are_here(monkeypatch, tmp_path, variable):
    monkeypatch.setenv(variable, str(tmp_path))
    assert asked()[str(tmp_path)] == variable
    monkeypatch.setenv(variable, str(tmp_path / "nowhere"))
    assert str(tmp_path / "nowhere") not in asked()


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE"])
def test_the_cache_is_needed_where_a_model_is_read_from_it(monkeypatch, tmp_path, variable):
    monkeypatch.setenv(variable, str(tmp_path))
    assert asked()[str(tmp_path)] == variable
    assert asked("pretrain=small", "reward_pretrain=Qwen/Qwen2.5-0.5B-Instruct")[str(tmp_path)] == variable
    assert str(tmp_path) not in asked("pretrain=small")


def test_files_of_tasks_that_are_played_are_needed(tmp_path):
    path = tmp_path / "tasks.jsonl"
    path.touch()
    values = compose("tau_retail_1gpu", overrides=["task_source=tau2"])
    config = check_roll(values)
    tag, other = config.train_tags[0], next(tag for tag in config.custom_envs if tag not in config.train_tags)

    def with_file(tag):
        env = config.custom_envs[tag]
        changed = env.model_copy(update={"env_config": env.env_config.model_copy(update={"task_file": str(path)})})
        return config.model_copy(update={"custom_envs": {**config.custom_envs, tag: changed}, "val_tags": ()})

    assert needed(with_file(tag), values)[str(path)] == f"custom_envs.{tag}.env_config.task_file"
    assert str(path) not in needed(with_file(other), values)


def test_a_run_that_cannot_fit_on_the_smallest_card_of_the_cluster_is_refused():
    values = compose("tau_retail_1gpu", overrides=[])
    check_cards(values, [Machine("a", (), 80.0), Machine("b", (), None)])
    check_cards(values, [Machine("b", (), None)])
    with pytest.raises(InvalidValueError, match="memory of machine b, whose card is the smallest: learning takes"):
        check_cards(values, [Machine("a", (), 80.0), Machine("b", (), 24.0)])


def test_several_engines_on_a_gpu_want_the_run_to_start_where_the_cards_are_smallest(monkeypatch):
    """Their caches were given a size for the cards of the machine that starts it."""
    monkeypatch.setattr(machines, "smallest_card_gib", lambda: 140.0)
    cluster = [Machine("a", (), 140.0), Machine("b", (), 80.0)]
    check_cards(compose("tau_retail_1gpu", overrides=[]), cluster)
    values = compose("tau_retail_1gpu", overrides=["engines_per_gpu=2"])
    with pytest.raises(InvalidValueError, match=r"140 GiB .* machine b has one of 80 GiB: start the run there"):
        check_cards(values, cluster)
    monkeypatch.setattr(machines, "smallest_card_gib", lambda: 80.0)
    check_cards(values, cluster)


def test_what_nvidia_smi_says_is_read():
    assert preflight.smallest_of("81559\n24564\n") == 24564 / 1024
    assert preflight.smallest_of("") is None
    assert preflight.smallest_of("No devices were found\n") is None
