"""How the fallback chat template comes into a model's folder."""

import pytest

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.cli import main
from tau_retail_env.doctor.chat_template import BESIDE_NAME, FILE_NAME, REPLACED_NAME, give_template
from tau_retail_env.errors import InvalidValueError
from tests.byte_tokenizer import CHATML, byte_tokenizer

TOOL = {"type": "function", "function": {"name": "look", "description": "Sees é.", "parameters": {"type": "object"}}}


def folder_of(tmp_path, template):
    byte_tokenizer(template).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def loaded(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def test_the_command_gives_a_folder_without_a_template_one_that_shows_tools(tmp_path, capsys):
    pytest.importorskip("torch")
    folder = folder_of(tmp_path, None)
    with pytest.raises(InvalidValueError, match="chat-template FOLDER"):
        ChatEncoder(loaded(folder), system_prompt="Rules.", tools=[TOOL])
    assert main(["doctor", "--chat-template", str(folder)]) == 0
    assert f"{folder / FILE_NAME}: written" in capsys.readouterr().out
    assert ChatEncoder(loaded(folder), system_prompt="Rules.", tools=[TOOL]).rewritten_history() == ()
    before = contents(folder)
    assert main(["doctor", "--chat-template", str(folder)]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert contents(folder) == before


def test_a_template_that_is_there_is_only_replaced_where_that_is_said(tmp_path, capsys):
    pytest.importorskip("torch")
    folder = folder_of(tmp_path, CHATML)
    before = contents(folder)
    assert main(["doctor", "--chat-template", str(folder)]) == 0
    said = capsys.readouterr().out
    assert f"{folder / BESIDE_NAME}: written beside" in said and f"{folder} --overwrite" in said
    shown = (folder / BESIDE_NAME).read_text()
    assert [one for one in contents(folder) if one[0] != BESIDE_NAME] == before
    assert main(["doctor", "--chat-template", str(folder), "--overwrite"]) == 0
    assert (folder / FILE_NAME).read_text() == shown and (folder / REPLACED_NAME).read_text() == CHATML
    assert ChatEncoder(loaded(folder), system_prompt="Rules.", tools=[TOOL]).rewritten_history() == ()


def contents(folder):
    return sorted((path.name, path.read_bytes()) for path in folder.iterdir())


def test_an_earlier_template_is_not_lost(tmp_path):
    folder = folder_of(tmp_path, CHATML)
    (folder / REPLACED_NAME).write_text("the first")
    with pytest.raises(InvalidValueError, match=f"{REPLACED_NAME} is there already"):
        give_template(folder, loaded(folder), overwrite=True)
    assert (folder / REPLACED_NAME).read_text() == "the first" and (folder / FILE_NAME).read_text() == CHATML


def test_overwrite_alone_means_nothing(capsys):
    assert main(["doctor", "--overwrite"]) == 2
    assert "--overwrite goes with --chat-template" in capsys.readouterr().err


def test_the_command_wants_a_folder_with_a_tokenizer(tmp_path, capsys):
    pytest.importorskip("torch")
    assert main(["doctor", "--chat-template", "Qwen/Qwen2.5-0.5B"]) == 2
    assert "hf download Qwen/Qwen2.5-0.5B --local-dir FOLDER" in capsys.readouterr().err
    assert main(["doctor", "--chat-template", str(tmp_path)]) == 2
    assert "no tokenizer could be loaded" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
