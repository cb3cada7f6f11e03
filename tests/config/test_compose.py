"""Composing a configuration from YAML files and overrides."""

import os
from pathlib import Path

import pytest

from tau_retail_env.config import compose, config_names, to_yaml
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config import check_local, check_sft
from tau_retail_env.models.shipped import default_config_folder


def test_every_shipped_configuration_composes_and_checks():
    assert {"tau_retail_local", "tau_retail_sft"} <= set(config_names(default_config_folder()))
    assert check_local(compose("tau_retail_local")).exp_name == "tau_retail_local"
    assert check_sft(compose("tau_retail_sft")).exp_name == "tau_retail_sft"


def test_a_key_at_the_top_reaches_every_environment():
    overrides = ["max_turns=7", "task_subset=returns", "user_strategy=scripted", "prompt_style=full"]
    config = check_local(compose("tau_retail_local", overrides=overrides))
    for env in config.custom_envs.values():
        assert (env.max_steps, env.env_config.max_turns) == (7, 7)
        assert env.env_config.task_subset == "returns"
        assert env.env_config.prompt_style == "full"


def test_the_user_block_reaches_the_customer():
    config = check_local(compose("tau_retail_local", overrides=["user.phrasings=all"]))
    assert config.custom_envs["retail_test"].env_config.user_config == {"phrasings": "all"}


def test_an_override_may_bring_a_key_that_the_yaml_leaves_out():
    config = check_local(compose("tau_retail_local", overrides=["use_pg_clip_range=true", "pg_clip_high=0.28"]))
    assert config.pg_clip_high == 0.28


def test_the_name_may_carry_its_ending():
    assert compose("tau_retail_local.yaml")["exp_name"] == "tau_retail_local"


@pytest.mark.parametrize(("source", "count"), [("tau_bench", 12), ("tau2", 0), ("generated", 0)])
def test_the_tasks_that_training_leaves_out_are_those_of_its_source(source: str, count: int):
    envs = compose("tau_retail_1gpu", overrides=[f"task_source={source}"])["custom_envs"]
    left_out = {tag: len(env["env_config"]["exclude_tasks"]) for tag, env in envs.items()}
    assert left_out == {tag: count if tag.startswith("retail_train") else 0 for tag in envs}


def test_one_environment_may_have_another_source_than_the_others():
    override = "custom_envs.retail_train.env_config.source=tau2"
    envs = compose("tau_retail_1gpu", overrides=["task_source=tau_bench", override])["custom_envs"]
    left_out = {tag: len(envs[tag]["env_config"]["exclude_tasks"]) for tag in ("retail_train", "retail_train_returns")}
    assert left_out == {"retail_train": 0, "retail_train_returns": 12}


IDS = "a source and a list of ids of tasks, as in ${of_source:${.source},[tau_bench/train/418]}"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("${of_source:tua2,[a]}", "Unknown source 'tua2'; known: tau2, tau_bench, generated. Did you mean 'tau2'?"),
        ("${of_source:null,[a]}", "Unknown source None; known: tau2, tau_bench, generated."),
        ("${times:true,3}", "found True, 3, expected two numbers"),
        ("${of_source:[a],[a]}", "Unknown source ['a']; known: tau2, tau_bench, generated."),
        ("${of_source:tau_bench,tau_bench/1}", f"found 'tau_bench', 'tau_bench/1', expected {IDS}"),
        ("${of_source:tau_bench,[1,2]}", f"found 'tau_bench', [1, 2], expected {IDS}"),
        ("${of_source:tau_bench}", f"found 'tau_bench', expected {IDS}"),
        ("${of_source:}", f"found nothing, expected {IDS}"),
        ("${of_source:a,[b],c}", f"found 'a', ['b'], 'c', expected {IDS}"),
        ("${times:2}", "found 2, expected two numbers"),
        ("${times:2,a}", "found 2, 'a', expected two numbers"),
        ("${divide:2,3,4}", "found 2, 3, 4, expected two numbers"),
        ("${divide:null,4}", "found None, 4, expected two numbers"),
    ],
)
def test_wrong_arguments_of_a_resolver_are_told_with_the_key_what_was_found_and_what_was_expected(
    tmp_path: Path, given: str, told: str
):
    (tmp_path / "own.yaml").write_text(f"block: {{source: tau_bench, left_out: '{given}'}}\n")
    with pytest.raises(InvalidValueError) as error:
        compose("own", folder=tmp_path)
    assert str(error.value) == f"own.yaml with [] cannot be composed: block.left_out: {given}: {told}"


def test_the_key_that_is_computed_is_named_and_not_the_one_that_wants_it():
    with pytest.raises(InvalidValueError) as error:
        compose("tau_retail_1gpu", overrides=["num_gpus_per_node=null"])
    told = "num_gpus: ${times:${num_gpus_per_node},${num_nodes}}: found None, 1, expected two numbers"
    assert str(error.value).endswith(f"cannot be composed: {told}")


def test_wrong_arguments_of_hydras_own_resolver_are_told_with_the_key(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("output_dir: outputs/${now:}\n")
    with pytest.raises(
        InvalidValueError, match=r"output_dir: found outputs/\$\{now:\}, which is given other arguments"
    ):
        compose("own", folder=tmp_path)


def test_a_source_that_the_block_itself_names_is_left_to_the_checks_of_the_block():
    envs = compose("tau_retail_1gpu", overrides=["task_source=tua2"])["custom_envs"]
    assert envs["retail_train"]["env_config"]["exclude_tasks"] == []


def test_the_ids_of_a_source_may_be_another_key(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("ids: [tau2/1, tau_bench/1]\nkept: '${of_source:tau2,${ids}}'\n")
    assert compose("own", folder=tmp_path)["kept"] == ["tau2/1"]


def test_what_is_printed_composes_to_the_same_configuration(tmp_path: Path):
    values = compose("tau_retail_local")
    (tmp_path / "again.yaml").write_text(to_yaml(values))
    assert compose("again", folder=tmp_path) == values


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InvalidValueError, match="Did you mean 'tau_retail_local'"):
        compose("tau_retail_locl")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(InvalidValueError, match="nowhere"):
        compose("x", folder=tmp_path / "nowhere")


@pytest.mark.parametrize("text", ["a: [1", "a: ${b}", "defaults: [missing]"])
def test_a_yaml_that_cannot_be_composed_is_a_clear_error(tmp_path: Path, text: str):
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(InvalidValueError, match=r"broken\.yaml"):
        compose("broken", folder=tmp_path)


def test_a_config_group_is_chosen_and_not_overwritten(tmp_path: Path):
    (tmp_path / "train").mkdir()
    for name, rate in (("slow", 1), ("fast", 2)):
        (tmp_path / "train" / f"{name}.yaml").write_text(f"rate: {rate}\n")
    (tmp_path / "run.yaml").write_text("defaults: [train: slow, _self_]\n")
    assert compose("run", folder=tmp_path, overrides=["train=fast"]) == {"train": {"rate": 2}}


@pytest.mark.parametrize("override", ["train=5", "=5", "train=", "env@=5", "~", "max_steps=5,6", "pretrain=${nope}"])
def test_an_override_that_hydra_cannot_read_is_told_in_one_line(override):
    with pytest.raises(InvalidValueError, match=r"tau_retail_local.yaml with .* cannot be composed: ") as told:
        compose("tau_retail_local", overrides=[override])
    assert "\n" not in str(told.value)


def test_a_key_in_an_address_is_in_no_composed_configuration_and_in_no_error(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", os.environ.copy())
    key = "gk7Hq2mZx9RtLw4Vb8Nc"
    url = f"https://gateway.example/{key}/v1"
    values = compose("tau_retail_local", overrides=["user_strategy=llm", "user_model=m", f"user.base_url={url}"])
    hidden = "https://gateway.example/$TAU_RETAIL_URL_KEY_GATEWAY_EXAMPLE/v1"
    assert values["custom_envs"]["retail_test"]["env_config"]["user_config"]["base_url"] == hidden
    (tmp_path / "again.yaml").write_text(to_yaml(values))
    assert key not in to_yaml(values) and compose("again", folder=tmp_path) == values
    for override in (f"user.base_url={url} {{", f"user.base_url={url}?x=${{nothing}}", f"user=[{url}", f"{url}=1"):
        with pytest.raises(InvalidValueError, match=r"gateway\.example") as error:
            compose("tau_retail_local", overrides=[override])
        assert key not in str(error.value)


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("tau_retail_eval", "play"),
        ("tau_retail_samples", "play"),
        ("tau_retail_smol_sft", "val_env_manager"),
        ("tau_retail_smol_ppo", "val_env_manager"),
        ("tau_retail_smol_ppo", "train_env_manager"),
        ("tau_retail_config", "train_env_manager"),
        ("tau_retail_config", "val_env_manager"),
        ("tau_retail_1gpu", "train_env_manager"),
        ("tau_retail_1gpu", "val_env_manager"),
    ],
)
def test_a_model_that_reasons_has_the_same_room_for_a_message_wherever_it_plays(name, block):
    assert compose(name)[block]["generating_args"]["max_new_tokens"] == 1024


@pytest.mark.parametrize(("name", "tokens"), [("tau_retail_smol_pipeline", None), ("tau_retail_local_pipeline", 160)])
def test_stages_that_play_have_the_room_for_a_message_that_stages_which_train_have(name, tokens):
    played = [stage["set"]["play"] for stage in compose(name)["stages"].values() if "play" in stage.get("set", {})]
    assert {one.get("generating_args", {}).get("max_new_tokens") for one in played} == {tokens}
