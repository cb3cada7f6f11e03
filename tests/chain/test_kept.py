"""The folder of kept episodes: whole or not at all, and refused where it was made with something else."""

from pathlib import Path

import pytest

from tau_retail_env.chain.kept import ABOUT, check_fits, kept_episodes, read_about, write_kept
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import EPISODES, Episode
from tests.chain.stand_in import ABOUT_KEPT
from tests.plain_trajectory import plain_trajectory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_kept(tmp_path / "kept", ABOUT_KEPT, [Episode(2, plain_trajectory(reward=1.0))])
    return tmp_path / "kept"


def test_what_was_written_is_read(folder: Path):
    assert read_about(folder) == ABOUT_KEPT
    assert [(one.trial, one.trajectory.reward) for one in kept_episodes(folder)] == [(2, 1.0)]


def test_a_folder_of_something_else_is_refused_with_the_command_that_makes_one(tmp_path: Path):
    with pytest.raises(
        InvalidValueError, match=r"holds no kept episodes \(kept\.json is missing\).*tau_retail_samples"
    ):
        read_about(tmp_path)


def test_a_folder_that_lost_a_line_is_not_whole(folder: Path):
    (folder / EPISODES).write_text("", encoding="utf-8")
    with pytest.raises(InvalidValueError, match=r"is not whole: episodes\.jsonl has 0 bytes"):
        read_about(folder)


@pytest.mark.parametrize(("text", "words"), [("{", "cannot be read"), ('{"format": 2}', "not of format 1")])
def test_a_damaged_or_later_file_is_named(folder: Path, text: str, words: str):
    (folder / ABOUT).write_text(text, encoding="utf-8")
    with pytest.raises(InvalidValueError, match=words):
        read_about(folder)


@pytest.mark.parametrize(
    ("here", "words"),
    [
        ({"tokenizer": "xyz"}, r"another tokenizer \(abc there, xyz here\)"),
        ({"prompt_style": "full"}, r"prompt_style \(compressed there, full here\)"),
        ({"task_versions": {"tau2": "1.0"}}, r"task_version of tau2 \(0\.2 there, 1\.0 here\)"),
    ],
)
def test_episodes_made_with_something_else_are_refused(here: dict, words: str):
    same = {"tokenizer": "abc", "prompt_style": "compressed", "task_versions": {"tau2": "0.2", "generated": "1"}}
    check_fits(Path("kept"), ABOUT_KEPT, **same)
    with pytest.raises(InvalidValueError, match=words):
        check_fits(Path("kept"), ABOUT_KEPT, **same | here)
