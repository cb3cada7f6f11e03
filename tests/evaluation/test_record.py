"""The record of episodes: whole lines only, whatever kills the writer."""

import os

import pytest

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.evaluation.record import Episode, EpisodeLog, best_episodes, read_episodes
from tau_retail_env.runs.trajectories import write_trajectories
from tests.plain_trajectory import plain_trajectory


def episodes(count):
    return [Episode(number, plain_trajectory(task_id=f"tau2/{number}")) for number in range(count)]


def write(path, found):
    with EpisodeLog(path) as log:
        for episode in found:
            log.append(episode.as_line())


def test_what_was_written_is_read_back(tmp_path):
    write(tmp_path / "episodes.jsonl", episodes(3))
    write(tmp_path / "episodes.jsonl", episodes(1))
    assert list(read_episodes(tmp_path / "episodes.jsonl")) == [*episodes(3), *episodes(1)]


def test_a_file_cut_off_at_any_byte_keeps_its_whole_lines_and_goes_on(tmp_path):
    path = tmp_path / "episodes.jsonl"
    write(path, episodes(2))
    whole = path.read_bytes()
    first_line = whole.index(b"\n") + 1
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = episodes(1) if cut >= first_line else []
        assert list(read_episodes(path)) == kept
        if cut % 40 == 0 or cut in (first_line - 1, first_line, first_line + 1):
            write(path, episodes(1))
            assert list(read_episodes(path)) == [*kept, *episodes(1)]


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path):
    path = tmp_path / "episodes.jsonl"
    write(path, episodes(1))
    with path.open("ab") as file:
        file.write(b"x" * 200_000)
    write(path, [])
    assert list(read_episodes(path)) == episodes(1)


def test_a_damaged_line_in_the_middle_is_an_error_with_its_number(tmp_path):
    path = tmp_path / "episodes.jsonl"
    write(path, episodes(1))
    path.write_text("{broken\n" + path.read_text())
    with pytest.raises(InvalidValueError, match="line 1: not one whole JSON object"):
        list(read_episodes(path))


@pytest.mark.parametrize("trial", ['"first"', "-1", "1000000", "1" + "0" * 30])
def test_a_trial_that_is_no_number_is_an_error(tmp_path, trial):
    path = tmp_path / "episodes.jsonl"
    path.write_text(Episode(0, plain_trajectory()).as_line().replace('"trial": 0', f'"trial": {trial}') + "\n")
    with pytest.raises(InvalidValueError, match="trial must be a whole number"):
        list(read_episodes(path))


def test_a_file_of_trajectories_is_read_with_its_trials_counted(tmp_path):
    write_trajectories(
        tmp_path / "val.jsonl", [plain_trajectory(), plain_trajectory(task_id="tau2/2"), plain_trajectory()]
    )
    assert [episode.trial for episode in read_episodes(tmp_path / "val.jsonl")] == [0, 0, 1]


def test_a_full_disk_leaves_the_episodes_before(tmp_path, monkeypatch):
    path = tmp_path / "episodes.jsonl"
    write_all = os.write
    monkeypatch.setattr("os.write", lambda descriptor, data: write_all(descriptor, data[:9]))
    with pytest.raises(OSError, match="no space left"):
        write(path, episodes(1))
    assert path.read_bytes() == b""


def test_a_file_that_is_missing_or_a_folder_is_an_error_that_names_it(tmp_path):
    with pytest.raises(InvalidValueError, match=r"gone\.jsonl is missing: no episode has been played there"):
        list(best_episodes(tmp_path / "gone.jsonl"))
    with pytest.raises(InvalidValueError, match="cannot be read: Is a directory"):
        list(read_episodes(tmp_path))
