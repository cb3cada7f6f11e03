"""What is refused of a model before its weights are loaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.checks import check_files, check_pretrained, cut_messages, eos_token_ids, prompt_style_of
from tau_retail_env.models.shipped import small_checkpoint

POINTER = (
    "version https://git-lfs.github.com/spec/v1\noid sha256:4665a5ea423c2713d436b5ee50593a9640e0018c1550b5a0\nsize 9\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(small_checkpoint(), tmp_path / "model")


def changed(folder: Path, **changes: Any) -> str:
    path = folder / "config.json"
    kept = {name: value for name, value in (json.loads(path.read_text()) | changes).items() if value is not ...}
    path.write_text(json.dumps(kept))
    return str(folder)


def checked(source: str, style: str = "minimal", sequence_length: int = 1024) -> Any:
    return check_pretrained(source, prompt_styles={style}, sequence_length=sequence_length)


def test_a_run_that_gives_a_message_fewer_tokens_than_the_fine_tuning_did_is_told(folder: Path):
    source = changed(folder, tau_retail={"prompt_style": "minimal", "max_new_tokens": 1024})
    limits = {"train.max_new_tokens": 512, "val.max_new_tokens": 1024}
    [line] = cut_messages(source, limits)
    assert "gave a message 1024 tokens" in line and "cuts them off at train.max_new_tokens=512, which" in line
    assert cut_messages(source, {"val.max_new_tokens": 1024, "train.max_new_tokens": 2048}) == []
    assert cut_messages(str(small_checkpoint()), limits) == []  # says nothing of them


def test_the_small_model_says_what_it_was_trained_on():
    assert prompt_style_of(checked(str(small_checkpoint()))) == "minimal"


@pytest.mark.parametrize(("said", "expected"), [([1786, 7], (1786, 7)), (7, (7,)), (None, ())])
def test_a_model_stops_after_every_token_that_its_generation_config_names(folder: Path, said: Any, expected: Any):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": said}))
    assert eos_token_ids(str(folder)) == expected


@pytest.mark.parametrize("said", ["1786", ["1786"], 1786.0, [[1786]], True, {"a": 1}])
def test_an_eos_token_id_that_is_no_tokens_number_is_refused(folder: Path, said: Any):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": said}))
    with pytest.raises(InvalidValueError, match=r"eos_token_id: found .* expected a token's number, a list of them"):
        eos_token_ids(str(folder))


@pytest.mark.parametrize("said", ["[1]", '{"eos_token_id": 1786, "max_new_tokens": -1}'])
def test_a_generation_config_that_transformers_refuses_is_told_in_a_line(folder: Path, said: str):
    (folder / "generation_config.json").write_text(said)
    with pytest.raises(InvalidValueError, match=r"model: its generation_config.json is refused by transformers: "):
        eos_token_ids(str(folder))


def test_without_a_generation_config_the_models_own_configuration_says_it(folder: Path):
    (folder / "generation_config.json").unlink()
    assert eos_token_ids(changed(folder, eos_token_id=[1786, 9])) == (1786, 9)
    (folder / "config.json").unlink()
    assert eos_token_ids(str(folder)) == ()


@pytest.mark.parametrize("said", [..., {"prompt_style": "compressed"}, "minimal"])
def test_a_model_that_was_not_trained_on_the_short_line_is_not_left_blind(folder: Path, said: Any):
    source = changed(folder, tau_retail=said)
    with pytest.raises(
        InvalidValueError,
        match=r"prompt_style: minimal tells .*prompt_style=compressed .*tau-retail train .*tau_retail_sft pretrain=",
    ):
        checked(source)
    checked(source, "compressed")


def test_episodes_longer_than_the_model_reads_are_refused_with_both_numbers(folder: Path):
    checked(str(folder), sequence_length=2048)
    with pytest.raises(InvalidValueError, match=r"sequence_length: found 2049, but .* reads 2048 tokens at most"):
        checked(str(folder), sequence_length=2049)


def test_stretched_positions_count(folder: Path):
    rope = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 2048, "rope_theta": 10000.0}
    source = changed(folder, rope_parameters=rope)
    checked(source, sequence_length=8192)
    with pytest.raises(InvalidValueError, match="reads 8192 tokens at most"):
        checked(source, sequence_length=8193)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_in_the_place_of_a_file_says_how_to_get_it(folder: Path, name: str):
    (folder / name).write_text(POINTER)
    with pytest.raises(InvalidValueError, match=rf"{name} is a git-LFS pointer.*git lfs pull"):
        checked(str(folder))


@pytest.mark.parametrize("size", [0, 5, 4000, 100_000, -1])
def test_half_a_download_is_told_by_its_size(folder: Path, size: int):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(
        InvalidValueError, match=r"model\.safetensors is damaged or only half downloaded \([\d,]+ bytes"
    ):
        checked(str(folder))


def test_a_name_that_is_no_folder_is_left_to_the_hub(tmp_path: Path):
    check_files(tmp_path / "Qwen" / "none")


def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path):
    with pytest.raises(InvalidValueError, match="pretrain: no model could be loaded from"):
        checked(str(tmp_path))
