"""`tau-retail train` and its doors: which training a configuration is for, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tau_retail_env.cli import main
from tau_retail_env.cli.train import chosen_training
from tau_retail_env.config import compose, config_names
from tau_retail_env.models.shipped import default_config_folder


def test_a_configuration_with_the_block_of_fine_tuning_is_for_fine_tuning():
    assert chosen_training(compose("tau_retail_sft")) == "sft"
    assert chosen_training(compose("tau_retail_sft", overrides=["engine=auto"])) == "sft"
    assert chosen_training(compose("tau_retail_local")) == "local"
    assert chosen_training(compose("tau_retail_1gpu")) == "roll"


@pytest.mark.parametrize(
    ("name", "override", "words"),
    [
        (
            "tau_retail_local",
            "play.gpu_memory=0.3",
            "play and actor_train: found in one configuration, expected one of",
        ),
        (
            "tau_retail_sft",
            "actor_train.training_args.learning_rate=1e-5",
            "actor_train for GRPO or PPO (as in --config",
        ),
        (
            "tau_retail_local_pipeline",
            "sft_train.model_args.dtype=fp32",
            "leave the others out; a stage's keys are stages.NAME.set.KEY",
        ),
    ],
)
def test_a_key_of_another_kind_of_run_is_told_which_configurations_have_it(name, override, words, capsys):
    assert main(["train", "--config-name", name, override, "--print-config"]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "key", "place"),
    [
        ("tau_retail_local", "learning_rate", "actor_train.training_args.learning_rate"),
        ("tau_retail_local", "group_size", "train_env_manager.group_size or val_env_manager.group_size"),
        ("tau_retail_sft", "learning_rate", "sft_train.training_args.learning_rate"),
        ("tau_retail_eval", "temperature", "play.generating_args.temperature"),
        ("tau_retail_1gpu", "learning_rate", "actor_train.training_args.learning_rate or critic.training_args.lear"),
    ],
)
def test_a_key_that_stands_in_a_block_is_told_which(name, key, place, capsys):
    assert main(["train", "--config-name", name, f"{key}=1", "--print-config"]) == 2
    assert f" Did you mean {place}" in capsys.readouterr().err


def test_what_plays_and_trains_nothing_is_told_how_it_goes_on(capsys):
    for override in ("resume=true", "resume_from_checkpoint=true"):
        assert main(["train", "--config-name", "tau_retail_eval", override, "--print-config"]) == 2
        assert "goes on by the same command, with the folder that it has begun: output_dir=" in capsys.readouterr().err


def test_fine_tuning_on_the_other_engine_is_refused_in_one_line(capsys):
    assert main(["train", "--config-name", "tau_retail_sft", "engine=roll"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: engine: roll cannot be honoured")
    assert "--config-name tau_retail_1gpu" in told
    assert told.count("\n") == 1


@pytest.mark.parametrize("name", config_names(default_config_folder()))
def test_every_shipped_configuration_is_printed_by_the_one_command(name, capsys):
    without_v1 = ["conversations.mixture.v1_train=0"] if name == "tau_retail_smol_sft" else []
    assert main(["train", "--config-name", name, "--print-config", "seed=7", *without_v1]) == 0
    assert "\nseed: 7\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "stage", "keys"),
    [
        ("tau_retail_sft", "", "sft_train.model_args.dtype=fp32"),
        (
            "tau_retail_pipeline",
            "Stage sft (tau_retail_smol_sft): ",
            "in a chain the stage's keys are stages.sft.set.KEY",
        ),
    ],
)
def test_fine_tuning_for_a_gpu_is_printed_anywhere_and_started_where_one_is(
    name, stage, keys, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    command = ["train", "--config-name", name, f"output_dir={tmp_path / 'run'}"]
    assert main([*command, "--print-config"]) == 0
    capsys.readouterr()
    assert main(command) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"error: {stage}sft_train.model_args.dtype: bf16 needs a GPU")
    assert keys in told
    assert not (tmp_path / "run").exists()


def test_a_configuration_for_roll_is_named_as_such_on_the_local_engine(capsys):
    assert main(["train", "--config-name", "tau_retail_1gpu", "engine=local", "--print-config"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: engine: found local, but this configuration is for ROLL")
    assert "--config-name tau_retail_local" in told
    assert told.count("\n") == 1


def test_a_word_that_is_no_override_is_told_how_a_configuration_is_named(capsys):
    assert main(["train", "tau_retail_sft"]) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: 'tau_retail_sft' is neither an option nor key=value")
    assert "--config-name NAME" in told


def test_options_and_overrides_may_take_turns(capsys):
    assert main(["train", "max_steps=3", "--print-config", "seed=5", "--config_name", "tau_retail_local"]) == 0
    printed = capsys.readouterr().out
    assert "max_steps: 3" in printed and "seed: 5" in printed


def test_all_that_a_machine_lacks_for_fine_tuning_is_said_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setitem(sys.modules, "trl", None)
    changes = ["conversations.num=8", "tokenizer=/no/tokenizer", f"conversations.kept={tmp_path}", "resume=/no/run"]
    words = ["--config-name", "tau_retail_sft", *changes, f"output_dir={tmp_path / 'run'}"]
    assert main(["train", *words]) == 2
    heading, *problems = capsys.readouterr().err.splitlines()
    assert heading == f"error: {len(problems)} keys of the configuration cannot be used:"
    assert [line.split(": ")[0] for line in problems] == [
        "  - tokenizer, vocab_size",  # of which a model needs just one
        "  - resume",
        "  - sft_train.model_args.dtype",
        "  - tokenizer",
        "  - conversations.kept",
        "  - engine",
    ]
    assert problems[-1].startswith("  - engine: local needs torch, trl, which this Python does not have; ")
    assert not (tmp_path / "run").exists()


def test_a_configuration_is_printed_by_a_python_that_could_not_start_it(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["train", "--config-name", "tau_retail_local", "--print-config"]) == 0
    assert "\nengine: local\n" in capsys.readouterr().out


def test_the_script_that_roll_users_know_is_the_same_command(repository, tmp_path):
    """`python start_agentic_pipeline.py --config-name NAME --config-path DIR key=value`."""
    shipped = (repository / "configs" / "tau_retail_local.yaml").read_text(encoding="utf-8")
    (tmp_path / "mine.yaml").write_text(shipped, encoding="utf-8")
    (tmp_path / "envs").symlink_to(repository / "configs" / "envs")
    words = ["--config-name", "mine", "--config-path", str(tmp_path), "max_steps=2", "output_dir=mine"]
    printed = [
        subprocess.run(
            [sys.executable, *program, *words, "--print-config"],
            capture_output=True,
            text=True,
            check=True,
            cwd=repository,
        ).stdout
        for program in (["start_agentic_pipeline.py"], ["-m", "tau_retail_env", "train"])
    ]
    assert printed[0] == printed[1]
    assert "max_steps: 2" in printed[0]


@pytest.mark.parametrize(
    "configuration",
    ["tau_retail_local", "tau_retail_sft model=null vocab_size=null sft_train.model_args.dtype=fp32"],
)
def test_a_hub_that_does_not_answer_is_said_before_torch_is_imported(configuration, tmp_path):
    run = f"{configuration} pretrain=nobody/none prompt_style=compressed sequence_length=8192 output_dir={tmp_path}/run"
    program = "import sys; sys.modules['torch'] = None; from tau_retail_env.cli import main; sys.exit(main())"
    ended = subprocess.run(
        [sys.executable, "-c", program, "train", "--config-name", *run.split()],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)},
        check=False,
    )
    assert ended.returncode == 2
    assert "'nobody/none' is no folder, and the Hugging Face hub does not answer" in ended.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("override", "name"), [("train=deepspeed", "DeepSpeed"), ("infer=sglang", "SGLang")])
@pytest.mark.parametrize("option", ["--print-config", "--plan"])
def test_that_no_run_with_a_backend_is_recorded_is_said_beside_what_is_printed(option, override, name, capsys):
    command = ["train", option, "--config-name", "tau_retail_1gpu", "task_source=tau2"]
    assert main([*command, override]) == 0
    out, err = capsys.readouterr()
    assert err.startswith(f"note: no run with {name} is recorded on a GPU") and "recorded on a GPU" not in out
    assert main(command) == 0
    assert capsys.readouterr().err == ""
