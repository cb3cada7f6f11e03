"""An empty text, which a variable that is not set leaves, is no path and no name of a configuration."""

import pytest

from tau_retail_env.cli import main

FILE = "+custom_envs.more={env_type: tau_retail, env_config: {source: generated, split: train, task_file: ''}}"


@pytest.mark.parametrize(
    ("name", "override", "key"),
    [
        ("tau_retail_local", "pretrain=''", "pretrain"),
        ("tau_retail_local", "resume_from_checkpoint=''", "resume_from_checkpoint"),
        ("tau_retail_local", "output_dir=", "output_dir"),
        ("tau_retail_local", "resume=", "resume"),
        ("tau_retail_local", FILE, "custom_envs.more.env_config.task_file"),
        ("tau_retail_sft", "pretrain=''", "pretrain"),
        ("tau_retail_sft", "conversations.kept=''", "conversations.kept"),
        ("tau_retail_sft", "tokenizer=''", "tokenizer"),
        ("tau_retail_samples", "pretrain=''", "pretrain"),
        ("tau_retail_eval", "output_dir=''", "output_dir"),
        ("tau_retail_local_pipeline", "output_dir=''", "output_dir"),
        ("tau_retail_local_pipeline", "pretrain=''", "pretrain"),
        ("tau_retail_local_pipeline", "resume=''", "resume"),
        ("tau_retail_local_pipeline", "config_folder=''", "config_folder"),
        ("tau_retail_local_pipeline", "pythons.local=''", "pythons.local"),
        ("tau_retail_config", "pretrain=''", "pretrain"),
        ("tau_retail_config", "resume=''", "resume"),
    ],
)
def test_an_empty_path_is_refused_by_its_key(name, override, key, capsys):
    assert main(["train", "--config-name", name, "--print-config", override]) == 2
    told = capsys.readouterr().err
    assert f"{key}: " in told
    assert "a text that is not empty" in told or "is empty, expected" in told
