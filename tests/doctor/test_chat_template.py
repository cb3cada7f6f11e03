"""How the fallback chat template comes into a model's folder."""

import pytest

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.cli import main
from tau_retail_env.doctor.chat_template import FILE_NAME, REPLACED_NAME, give_template
from tau_retail_env.errors import InvalidValueError
from tests.byte_tokenizer import CHATML, byte_tokenizer

TOOL = {"type": "function", "function": {"name": "look", "description": "Sees é.", "parameters": {"type": "object"}}}


def folder_of(tmp_path, template):
    byte_tokenizer(template).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def loaded(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("template", [None, CHATML])
def test_the_command_gives_a_folder_a_template_that_shows_tools(tmp_path, capsys, template):
    pytest.importorskip("torch")
    folder = folder_of(tmp_path, template)
    with pytest.raises(InvalidValueError, match="chat-template FOLDER"):
        ChatEncoder(loaded(folder), system_prompt="Rules.", tools=[TOOL])
    assert main(["doctor", "--chat-template", str(folder)]) == 0
    assert f"{folder / FILE_NAME}: written" in capsys.readouterr().out
    assert ChatEncoder(loaded(folder), system_prompt="Rules.", tools=[TOOL]).rewritten_history() == ()
    assert (folder / REPLACED_NAME).exists() == (template is not None)
    if template is not None:
        assert (folder / REPLACED_NAME).read_text() == template
    before = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    assert main(["doctor", "--chat-template", str(folder)]) == 0
    assert "nothing was changed" in capsys.readouterr().out
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == before


def test_an_earlier_template_is_not_lost(tmp_path):
    folder = folder_of(tmp_path, CHATML)
    (folder / REPLACED_NAME).write_text("the first")
    with pytest.raises(InvalidValueError, match=f"{REPLACED_NAME} is there already"):
        give_template(folder, loaded(folder))
    assert (folder / REPLACED_NAME).read_text() == "the first" and (folder / FILE_NAME).read_text() == CHATML


def test_the_command_wants_a_folder_with_a_tokenizer(tmp_path, capsys):
    pytest.importorskip("torch")
    assert main(["doctor", "--chat-template", "Qwen/Qwen2.5-0.5B"]) == 2
    assert "hf download Qwen/Qwen2.5-0.5B --local-dir FOLDER" in capsys.readouterr().err
    assert main(["doctor", "--chat-template", str(tmp_path)]) == 2
    assert "no tokenizer could be loaded" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
