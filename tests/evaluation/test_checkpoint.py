"""A checkpoint as the agent, in this process: the shipped small model with few and short messages."""

import itertools
import json
import shutil

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tau_retail_env.cli import main
from tau_retail_env.evaluation.generation import MESSAGE_TOKENS, message_tokens
from tau_retail_env.evaluation.record import EPISODES, EpisodeLog, read_episodes
from tau_retail_env.evaluation.settings import read_settings
from tau_retail_env.models.loading import load_tokenizer
from tau_retail_env.models.shipped import small_checkpoint

SHORT = ["--source", "generated", "--limit", "3", "--max-turns", "2", "--max-new-tokens", "12", "--concurrency", "2"]


def run(folder, *arguments):
    return main(["eval", *SHORT, "--output", str(folder), *arguments])


def test_the_small_model_plays_with_its_own_prompt_and_keeps_its_tokens(tmp_path):
    assert run(tmp_path / "e", "--agent", "small") == 0
    settings = read_settings(tmp_path / "e")
    assert (settings.prompt_style, settings.sampling["temperature"]) == ("minimal", 0.0)
    episodes = list(read_episodes(tmp_path / "e" / EPISODES))
    assert len(episodes) == 3
    assert all(episode.trajectory.token_ids for episode in episodes)
    assert {episode.trajectory.metrics["turns"] for episode in episodes} <= {1.0, 2.0}


def taught(folder, **said):
    """The small model, whose config.json says more of what it was trained on."""
    model = shutil.copytree(small_checkpoint(), folder)
    path = model / "config.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"tau_retail": values["tau_retail"] | said}))
    return str(model)


ROOM = ["--source", "generated", "--limit", "1", "--max-turns", "1"]


@pytest.mark.parametrize(
    ("said", "words", "tokens"),
    [
        ({"max_new_tokens": 1024}, [], 1024),
        ({"max_new_tokens": 1024}, ["--max-new-tokens", "9"], 9),
        ({"max_new_tokens": 160}, [], None),  # 768, as before it was said
        ({"max_new_tokens": "many"}, [], None),
        ({"max_new_tokens": 10**9}, [], None),  # more than the model reads
        ({}, [], None),
    ],
)
def test_a_message_has_the_tokens_that_its_training_gave_it_where_these_are_more(tmp_path, said, words, tokens):
    agent = ["--agent", taught(tmp_path / "model", **said), *words]
    assert main(["eval", *ROOM, *agent, "--output", str(tmp_path / "e")]) == 0
    assert read_settings(tmp_path / "e").sampling.get("max_new_tokens") == tokens
    assert message_tokens(agent[1]) == (1024 if said.get("max_new_tokens") == 1024 else MESSAGE_TOKENS)


def test_a_message_that_is_cut_off_is_told(tmp_path, capsys):
    assert run(tmp_path / "e", "--agent", "small", "--max-new-tokens", "1") == 0
    assert "in 3 of 3 scored episodes a limit cut off a message of the agent" in capsys.readouterr().out


def test_a_changed_checkpoint_is_another_evaluation(tmp_path, capsys):
    shutil.copytree(small_checkpoint(), tmp_path / "model")
    assert run(tmp_path / "e", "--agent", str(tmp_path / "model")) == 0
    (tmp_path / "model" / "generation_config.json").write_text("{}")
    assert run(tmp_path / "e", "--agent", str(tmp_path / "model")) == 2
    assert "model_digest" in capsys.readouterr().err


def test_a_turn_ends_at_any_eos_of_the_models_generation_config(tmp_path):
    """Here at a word that begins with a space."""
    model = shutil.copytree(small_checkpoint(), tmp_path / "model")
    path, tokenizer = model / "generation_config.json", load_tokenizer(str(model))
    words = [token for token in range(len(tokenizer)) if tokenizer.decode([token]).startswith(" ")]
    ends = [tokenizer.eos_token_id, *words]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": ends}))
    assert run(tmp_path / "e", "--agent", str(model)) == 0
    after = set()
    for episode in read_episodes(tmp_path / "e" / EPISODES):
        played = episode.trajectory
        tokens = list(zip(played.token_ids, played.response_mask, strict=True))
        after |= {then for (token, own), then in itertools.pairwise(tokens) if own and token in words}
    assert after == {(tokenizer.eos_token_id, 0)}


def test_a_checkpoint_without_a_chat_template_is_refused_by_name(tmp_path, capsys):
    shutil.copytree(small_checkpoint(), tmp_path / "model", ignore=shutil.ignore_patterns("chat_template.jinja"))
    assert run(tmp_path / "e", "--agent", str(tmp_path / "model")) == 2
    assert "chat template" in capsys.readouterr().err


def test_half_downloaded_weights_are_refused(tmp_path, capsys):
    shutil.copytree(small_checkpoint(), tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])
    assert run(tmp_path / "e", "--agent", str(tmp_path / "model")) == 2
    assert "half downloaded" in capsys.readouterr().err


def test_every_episode_is_kept_as_it_ends_and_an_interruption_ends_the_playing(tmp_path, monkeypatch):
    def interrupt(self, line, append=EpisodeLog.append):
        append(self, line)
        raise KeyboardInterrupt

    monkeypatch.setattr(EpisodeLog, "append", interrupt)
    assert run(tmp_path / "e", "--agent", "small", "--concurrency", "3") == 130
    assert len(list(read_episodes(tmp_path / "e" / EPISODES))) == 1
