"""Trajectories on their way to disk."""

import threading
import time
from dataclasses import replace

from tau_retail_env.roll import trajectory_writer
from tau_retail_env.roll.trajectory_writer import TrajectoryWriter, is_chosen, writer_for
from tau_retail_env.runs.trajectories import read_trajectories
from tests.plain_trajectory import plain_trajectory


def record(number):
    return plain_trajectory(
        task_id=f"tau2/{number}", group=number, terminated=False, truncated=True, stop_reason="max_turns"
    )


def test_episodes_of_many_threads_are_all_in_whole_files(tmp_path):
    writer = TrajectoryWriter(tmp_path / "new", "train")
    threads = [
        threading.Thread(target=lambda n=n: [writer.add(record(100 * n + i)) for i in range(40)]) for n in range(5)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush()
    files = sorted((tmp_path / "new").iterdir())
    sizes = [len(read_trajectories(file)) for file in files]
    assert sizes == [64, 64, 64, 8] and writer.lost == 0


def test_a_file_that_is_not_full_is_written_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(trajectory_writer, "FILE_AGE_S", 0.05)
    writer = TrajectoryWriter(tmp_path, "val")
    writer.add(record(1))
    deadline = time.monotonic() + 10
    while not list(tmp_path.glob("val-*.jsonl")) and time.monotonic() < deadline:
        time.sleep(0.01)
    (file,) = tmp_path.glob("val-*.jsonl")
    assert read_trajectories(file) == [record(1)]


def test_a_disk_that_fails_costs_episodes_and_nothing_else(tmp_path, caplog):
    (tmp_path / "file").write_text("in the way")
    writer = TrajectoryWriter(tmp_path / "file", "train")
    writer.add(record(1))
    assert writer.flush()
    assert writer.lost == 1
    assert "1 trajectories could not be written" in caplog.text


def test_an_episode_that_cannot_be_written_costs_itself_alone(tmp_path):
    writer = TrajectoryWriter(tmp_path, "train")
    for number in range(9):
        writer.add(replace(record(number), reward=float("nan") if number == 4 else 0.0))
    assert writer.flush()
    written = {one.task_id for file in tmp_path.iterdir() for one in read_trajectories(file)}
    assert written == {f"tau2/{number}" for number in range(9) if number != 4}
    assert writer.lost == 1


def test_a_disk_that_is_too_slow_never_holds_up_the_playing(tmp_path, monkeypatch):
    going_on = threading.Event()
    monkeypatch.setattr(trajectory_writer, "WAITING_EPISODES", 2)
    monkeypatch.setattr(trajectory_writer, "FILE_EPISODES", 1)
    monkeypatch.setattr(trajectory_writer, "write_trajectories", lambda *_: going_on.wait(10))
    writer = TrajectoryWriter(tmp_path, "train")
    for number in range(10):
        writer.add(record(number))
    assert writer.lost >= 7
    assert not writer.flush(timeout_s=0.01)
    going_on.set()
    assert writer.flush()


def test_one_writer_serves_all_environments_of_a_process(tmp_path):
    assert writer_for(tmp_path, "train") is writer_for(tmp_path, "train")
    assert writer_for(tmp_path, "train") is not writer_for(tmp_path, "val")


def test_groups_are_chosen_by_their_name():
    names = [f"retail/{number}" for number in range(1000)]
    assert all(is_chosen(name, 1.0) for name in names)
    assert not any(is_chosen(name, 0.0) for name in names)
    assert 150 < sum(is_chosen(name, 0.2) for name in names) < 250
    assert [is_chosen(name, 0.2) for name in names] == [is_chosen(name, 0.2) for name in names]
