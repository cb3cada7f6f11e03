"""The stage that plays, with the small model: an evaluation's folder for each set, and what is kept of it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")

from tau_retail_env.chain import play
from tau_retail_env.chain.kept import kept_episodes, read_about
from tau_retail_env.chain.play_settings import check_play
from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import best_episodes
from tau_retail_env.models.shipped import small_checkpoint
from tau_retail_env.runs import bar

SMALL = (
    "pretrain=small",
    "prompt_style=minimal",
    "max_turns=20",
    "sequence_length=1024",
    "task_subset=single*profile",
    "play.sets.series2_train=null",
    "play.sets.series1_train={limit: 2, trials: 2}",
    "play.generating_args.temperature=0.5",
    "play.generating_args.max_new_tokens=120",
)
Play = Callable[..., list[str]]


@pytest.fixture
def played(tmp_path: Path) -> Play:
    """Plays into a folder; returns what was said."""

    def run(*overrides: str) -> list[str]:
        lines: list[str] = []
        words = [*SMALL, f"output_dir={tmp_path / 'samples'}", *overrides]
        play.run(check_play(compose("tau_retail_samples", overrides=words)), say=lines.append)
        return lines

    return run


def test_what_changes_nothing_without_vllm_is_said(played: Play, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("tau_retail_env.evaluation.checkpoint.runs_on_vllm", lambda *_: False)
    said = played("play.engines=2", "play.gpu_memory=0.3", "play.sets.series1_train={limit: 1, trials: 1}", "keep=null")
    assert said[0] == (
        "play.engines: only vLLM runs several side by side; play.gpu_memory: only vLLM takes a share of a GPU, and "
        "transformers plays here: it changes nothing"
    )


def test_messages_that_are_cut_shorter_than_they_were_taught_are_said(
    played: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = shutil.copytree(small_checkpoint(), tmp_path / "model")
    values = json.loads((model / "config.json").read_text())
    values["tau_retail"]["max_new_tokens"] = 160
    (model / "config.json").write_text(json.dumps(values))
    monkeypatch.setattr(play._Set, "evaluate", lambda self, players: {})
    monkeypatch.setattr(play, "_in_words", lambda results: "")
    said = [
        played(f"pretrain={model}", f"play.generating_args.max_new_tokens={tokens}", "keep=null")[0]
        for tokens in (120, 160)
    ]
    assert "gave a message 160 tokens" in said[0] and "play.generating_args.max_new_tokens=120" in said[0]
    assert "160 tokens" not in said[1]


def test_what_was_won_is_kept_with_the_tokens_of_the_model(played: Play, tmp_path: Path):
    lines = played()
    folder = tmp_path / "samples"
    every = [one.trajectory for one in best_episodes(folder / "series1_train" / "episodes.jsonl")]
    kept = [one.trajectory for one in kept_episodes(folder / "kept")]
    assert len(every) == 4 and kept
    assert all(one in every and one.reward == 1.0 and sum(one.response_mask) > 0 for one in kept)
    about = read_about(folder / "kept")
    assert (about.episodes, about.tasks, about.prompt_style) == (len(kept), 2, "minimal")
    assert lines[-1].startswith(f"kept {len(kept)} episodes: successes of {about.tasks_won} of 2 tasks")
    assert played()[-1] == lines[-1], "the same call plays nothing again"


def test_without_a_terminal_plain_lines_say_how_far_each_set_is(
    played: Play, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(bar, "LINE_EVERY_S", 0.0)
    played("play.sets.series1_train={limit: 1, trials: 1}", "play.generating_args.temperature=0.0")
    told = capsys.readouterr().err
    assert "series1_train: 1 of 1 episodes after" in told
    assert "\r" not in told


def test_a_model_that_wins_nothing_is_told_what_helps(played: Play, tmp_path: Path):
    with pytest.raises(InvalidValueError, match=r"No success in rejection sampling: small was given 2 tasks.* easier"):
        played("max_turns=2")
    assert not (tmp_path / "samples" / "kept").exists()


def test_a_folder_that_was_played_with_other_settings_is_refused(played: Play):
    with pytest.raises(InvalidValueError, match="No success"):
        played("max_turns=2")
    words = r"is another evaluation: it differs in max_turns \(2 there, 3 here\)\. .* another folder: output_dir=FOLDER"
    with pytest.raises(InvalidValueError, match=words):
        played("max_turns=3")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("play.sets.series1_train=null", "play.sets: empty; name at least one of custom_envs"),
        ("play.sets.retail={trials: 1}", r"play\.sets: 'retail' is not under custom_envs"),
        ("task_subset=single*lookup", r"task_subset 'single\*lookup' of source 'generated', split 'train' is empty"),
        ("play.generating_args.max_new_tokens=2000", "sequence_length: 1024 is too small for one message of 2000"),
        ("play.engine=sglang", "play.engine: sglang cannot be honoured. Expected auto or vllm or transformers."),
        (
            "play={engine: transformers, gpu_memory: 0.3}",
            "play.gpu_memory: vLLM's alone, and play.engine is transformers",
        ),
        ("play={engine: transformers, engines: 2}", "play.engines: vLLM's alone, and play.engine is transformers"),
        (
            "play.generating_args={temperature: 0.0, top_p: 0.9}",
            "play.generating_args.top_p: at temperature 0 the likeliest token is taken always",
        ),
        (
            "+custom_envs.series1_train.max_tokens_per_episode=500",
            "custom_envs.series1_train.max_tokens_per_episode: a limit of training, which nothing reads here",
        ),
        (
            "+custom_envs.series1_train.max_tokens_per_step=500",
            "custom_envs.series1_train.max_tokens_per_step: a limit of training, which nothing reads here",
        ),
        ("play.gpu_memory=1", "play.gpu_memory: found 1, expected less than 1"),
        ("keep.per_task=0", "keep.per_task: found 0, expected 1 or more"),
        ("max_steps=3", "max_steps: unknown key"),
    ],
)
def test_what_cannot_be_played_is_refused_by_key(override: str, words: str):
    with pytest.raises(InvalidValueError, match=words):
        check_play(compose("tau_retail_samples", overrides=[*SMALL, override]))
