"""Fine-tuning on kept episodes: the very tokens that were played, alone or beside conversations of the oracle."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import Qwen2Tokenizer

from tau_retail_env.chain.kept import AboutKept, write_kept
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import Episode
from tau_retail_env.local import sft
from tau_retail_env.local.config import check_sft
from tau_retail_env.local.conversations import encode
from tau_retail_env.local.kept_conversations import load_kept
from tau_retail_env.models.loading import tokenizer_digest
from tests.plain_trajectory import plain_trajectory

Values = Callable[..., dict[str, Any]]


@pytest.fixture
def about(tokenizer: Qwen2Tokenizer) -> AboutKept:
    return AboutKept(
        tokenizer=tokenizer_digest(tokenizer),
        prompt_style="minimal",
        task_versions={"generated": "1"},
        model="",
        tasks=2,
        tasks_won=2,
        tasks_partly=0,
        episodes=2,
    )


@pytest.fixture
def episodes(sft_values: Values, tokenizer: Qwen2Tokenizer) -> list[Episode]:
    """Two episodes as a model would have played them that says what the oracle says."""
    env = TauRetailEnv(**vars(check_sft(sft_values()).custom_envs["retail_train"].env_config))
    played = [encode(env, tokenizer, task_id=task.id, seed=1, show_tools=False) for task in env.tasks[:2]]
    return [
        Episode(
            0,
            plain_trajectory(
                token_ids=tuple(map(int, one.token_ids)), response_mask=tuple(map(int, one.response_mask)), reward=1.0
            ),
        )
        for one in played
    ]


@pytest.fixture
def kept(about: AboutKept, episodes: list[Episode], tmp_path: Path) -> Path:
    write_kept(tmp_path / "kept", about, episodes)
    return tmp_path / "kept"


def test_the_tokens_are_those_that_were_played_and_the_agents_own_are_marked(
    kept: Path, episodes: list[Episode], sft_values: Values, tokenizer: Qwen2Tokenizer
):
    data = load_kept(check_sft(sft_values(f"conversations.kept={kept}")), kept, tokenizer)
    one, other = (episode.trajectory for episode in episodes)
    assert data.token_ids.tolist() == [*one.token_ids, *other.token_ids]
    assert data.response_mask.tolist() == [*one.response_mask, *other.response_mask]
    assert data.lengths.tolist() == [len(one.token_ids), len(other.token_ids)]


def test_the_prompt_of_each_source_is_told_apart_though_episodes_have_no_tag(
    about: AboutKept, episodes: list[Episode], sft_values: Values, tokenizer: Qwen2Tokenizer, tmp_path: Path
):
    other = dataclasses.replace(
        episodes[0].trajectory, source="generated", token_ids=episodes[0].trajectory.token_ids[::-1]
    )
    write_kept(tmp_path / "mixed", about, [*episodes, Episode(1, other)])
    data = load_kept(check_sft(sft_values(f"conversations.kept={tmp_path / 'mixed'}")), tmp_path / "mixed", tokenizer)
    assert data.prompts[0] == data.prompts[1] > 5


def test_the_oracle_has_its_share_beside_them(kept: Path, sft_values: Values, tokenizer: Qwen2Tokenizer):
    shares = {0.0: 2, 0.5: 4, 0.75: 8}
    for share, count in shares.items():
        config = check_sft(sft_values(f"conversations.kept={kept}", f"conversations.oracle_share={share}"))
        data = sft._conversations(config, tokenizer)
        assert len(data) + data.num_failed + data.num_long == count
        assert data.starts[-1] == len(data.token_ids) == len(data.response_mask)
        assert (np.diff(data.starts) > 0).all()


def test_a_run_learns_from_them_and_judges_nothing_where_nothing_is_to_be_judged(kept: Path, sft_values: Values):
    values = sft_values(f"conversations.kept={kept}", "val_batch_size=0", "max_steps=2", "save_steps=2")
    lines: list[str] = []
    outcome = sft.run(check_sft(values), values, say=lines.append)
    assert any(line.startswith("2 conversations, ") for line in lines)
    assert (outcome.folder / "checkpoints" / "checkpoint-2" / "manifest.json").is_file()
    assert not (outcome.folder / "checkpoints" / "best").exists()
    assert "after" not in outcome.summary and not list((outcome.folder / "trajectories").iterdir())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tokenizer": "another"}, "another tokenizer"),
        ({"prompt_style": "full"}, r"prompt_style \(full there, minimal here\)"),
        ({"task_versions": {"generated": "0"}}, r"task_version of generated \(0 there, 1 here\)"),
    ],
)
def test_episodes_made_with_something_else_end_the_run_before_it_begins(
    about: AboutKept, episodes: list[Episode], sft_values: Values, tmp_path: Path, change: dict[str, Any], words: str
):
    write_kept(tmp_path / "other", dataclasses.replace(about, **change), episodes)
    values = sft_values(f"conversations.kept={tmp_path / 'other'}")
    with pytest.raises(InvalidValueError, match=words):
        sft.run(check_sft(values), values, say=lambda line: None)
    assert not (tmp_path / "run").exists()


def test_episodes_that_are_all_too_long_are_told(kept: Path, sft_values: Values, tokenizer: Qwen2Tokenizer):
    config = check_sft(sft_values(f"conversations.kept={kept}", "sequence_length=200"))
    with pytest.raises(InvalidValueError, match=r"none of the 2 episodes .* sequence_length 200 tokens; raise it"):
        load_kept(config, kept, tokenizer)


def test_a_share_of_the_oracle_needs_kept_episodes(sft_values: Values):
    with pytest.raises(InvalidValueError, match="oracle_share: only beside kept episodes"):
        check_sft(sft_values("conversations.oracle_share=0.5"))
