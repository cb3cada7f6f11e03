"""The README's commands that name a model, a server or a run, each with a small one; test_readme.py runs the rest."""

from __future__ import annotations

import io
import shutil

import pytest

from tau_retail_env.cli import main
from tests.local.conftest import TINY_GRPO, TINY_SFT
from tests.models.serving.stand_in import environment
from tests.test_readme import listed_commands, needs_more
from tests.users.llm.server import ChatServer

pytestmark = pytest.mark.slow
ENGINES_STATUS = 5
"""What the stand-in for vLLM ends with; `serve-user` hands it on."""


def test_every_command_of_the_list_that_names_a_model_a_server_or_a_run_works(
    repository, tiny_checkpoint, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    small = f"pretrain={tiny_checkpoint}"
    run = ["train", "--config-name", "tau_retail_local", *TINY_GRPO, small, "max_steps=1", "output_dir=outputs/RUN"]
    assert main(run) == 0
    shutil.copytree(repository / "checkpoints" / "small", "FOLDER")
    with ChatServer() as server:
        more = {
            "eval": ["--limit", "1"],
            "review": ["--episodes", "1", "--user", f"base_url={server.base_url}"],
            "serve-user": ["--python", str(environment(tmp_path / "venv", "vllm")), "--", "--die-once-ready", "1"],
            "train --config-name": [*TINY_SFT, f"tokenizer={tiny_checkpoint}", "vocab_size=null"],
            "train resume=outputs/RUN": ["max_steps=2"],
        }
        places = {"http://127.0.0.1:8000/v1": server.base_url, "NAME": "tiny"}
        listed = [words for words in listed_commands(repository) if needs_more(words)]
        for words in listed:
            given = [places.get(word, word) for word in words]
            given += more.get(words[0]) or more.get(" ".join(words[:2]), [])
            assert main(given) == (ENGINES_STATUS if words[0] == "serve-user" else 0), words
    assert {words[0] for words in listed} == {"play", "eval", "review", "audit", "train", "serve-user", "doctor"}
