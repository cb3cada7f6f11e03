"""Evaluations that go on: after a kill, after Ctrl-C, with more trials, and never with another one's episodes."""

import collections
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tau_retail_env.agents.bad import SilentAgent
from tau_retail_env.errors import InvalidValueError, TauRetailError
from tau_retail_env.evaluation import settings
from tau_retail_env.evaluation.record import EPISODES, SETTINGS, read_episodes
from tau_retail_env.evaluation.runner import TRIES, open_folder
from tau_retail_env.evaluation.settings import read_settings
from tau_retail_env.evaluation.worker_pool import ChildPlayer, Job, WorkerPool
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.runs.files import partial_of
from tau_retail_env.users.base import UserError, UserMessage
from tests.evaluation.evaluations import TASKS, evaluate, settings_of


def keys(folder):
    return [(episode.trajectory.task_id, episode.trial) for episode in read_episodes(folder / EPISODES)]


def every_key(trials):
    return sorted((task.id, trial) for task in TASKS for trial in range(trials))


class Forgetful:
    """A customer who fails in some episodes, then speaks."""

    def __init__(self, failures):
        self.left = collections.Counter(failures)

    def reset(self, task, *, seed):
        if self.left[task.id]:
            self.left[task.id] -= 1
            raise UserError("no answer")
        return UserMessage("Hello.")

    def respond(self, message):
        return UserMessage("Goodbye. ###STOP###")


def test_every_task_is_played_as_often_as_asked_with_a_seed_for_each_trial(tmp_path):
    standing = evaluate(tmp_path / "e", trials=2, seed=5)
    assert standing.ended_by is None
    assert sorted(keys(tmp_path / "e")) == every_key(2)
    assert {(episode.trial, episode.trajectory.seed) for episode in read_episodes(tmp_path / "e" / EPISODES)} == {
        (0, 5),
        (1, 6),
    }


def test_what_is_there_is_not_played_again(tmp_path):
    evaluate(tmp_path / "e")
    before = (tmp_path / "e" / EPISODES).read_bytes()
    assert evaluate(tmp_path / "e").played_now == 0
    assert (tmp_path / "e" / EPISODES).read_bytes() == before


def test_more_trials_go_on_with_the_same_folder(tmp_path):
    evaluate(tmp_path / "e", trials=1)
    assert evaluate(tmp_path / "e", trials=3).played_now == 2 * len(TASKS)
    assert sorted(keys(tmp_path / "e")) == every_key(3)
    assert read_settings(tmp_path / "e").trials == 3
    with pytest.raises(InvalidValueError, match=r"trials \(3 there, 1 here\)"):
        evaluate(tmp_path / "e", trials=1)


def test_another_evaluation_is_refused_by_the_names_of_what_differs(tmp_path):
    evaluate(tmp_path / "e")
    with pytest.raises(InvalidValueError, match=r"agent \('silent' there, 'parrot' here\), seed \(0 there, 7 here\)"):
        evaluate(tmp_path / "e", agent="parrot", seed=7)


def test_a_folder_in_which_nothing_was_played_takes_another_evaluation(tmp_path):
    open_folder(tmp_path, settings_of(), TASKS)
    another = dataclasses.replace(settings_of(), seed=7)
    open_folder(tmp_path, another, TASKS)
    assert read_settings(tmp_path) == another


def test_another_versions_tasks_are_named_by_difference(tmp_path):
    evaluate(tmp_path / "e")
    corrected = [dataclasses.replace(TASKS[0], outputs=("42",)), *TASKS[1:]]
    with pytest.raises(InvalidValueError, match=f"of another version are {TASKS[0].id}\\. Give the same options"):
        evaluate(tmp_path / "e", corrected)
    with pytest.raises(InvalidValueError, match=f"only that folder has {TASKS[0].id}\\. Give the same options"):
        evaluate(tmp_path / "e", TASKS[1:])
    with pytest.raises(InvalidValueError, match=f"seed \\(0 there, 7 here\\); only that folder has {TASKS[0].id}\\."):
        evaluate(tmp_path / "e", TASKS[1:], seed=7)


@pytest.mark.parametrize("name", ["stories.toml", "user.py"])
def test_a_scripted_customer_with_another_script_is_another_customer(tmp_path, monkeypatch, name):
    folder = tmp_path / "scripted"
    shutil.copytree(settings._scripted_folder(), folder)
    before = settings_of()
    monkeypatch.setattr(settings, "_scripted_folder", lambda: folder)
    assert settings_of() == before
    (folder / name).write_text((folder / name).read_text(encoding="utf-8") + "# another word\n", encoding="utf-8")
    evaluate(tmp_path / "played")
    monkeypatch.undo()
    with pytest.raises(InvalidValueError, match="customer"):
        open_folder(tmp_path / "played", before, TASKS)


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidValueError, match="something else"):
        open_folder(tmp_path, settings_of(), TASKS)
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}'])
def test_damaged_settings_are_an_error(tmp_path, text):
    (tmp_path / SETTINGS).write_text(text)
    with pytest.raises(InvalidValueError, match=SETTINGS):
        open_folder(tmp_path, settings_of(), TASKS)


def test_a_folder_from_before_a_setting_was_added_goes_on(tmp_path):
    evaluate(tmp_path / "e", trials=1)
    path = tmp_path / "e" / SETTINGS
    older = json.loads(path.read_text())
    del older["judge"]
    path.write_text(json.dumps(older))
    assert read_settings(tmp_path / "e") == settings_of(trials=1)
    assert evaluate(tmp_path / "e", trials=1).played_now == 0


def test_an_episode_of_a_foreign_task_is_an_error(tmp_path):
    evaluate(tmp_path / "e")
    path = tmp_path / "e" / EPISODES
    path.write_text(path.read_text().replace(f'"{TASKS[0].id}"', '"tau2/999"', 1))
    with pytest.raises(InvalidValueError, match="tau2/999, which is no task of this evaluation"):
        evaluate(tmp_path / "e")


def test_an_episode_whose_customer_failed_is_played_again(tmp_path):
    task = TASKS[0].id
    standing = evaluate(tmp_path / "e", user=Forgetful({task: TRIES - 1}), trials=1)
    assert [facts.scorable for facts in standing.episodes] == [True] * len(TASKS)
    assert keys(tmp_path / "e").count((task, 0)) == TRIES


def test_what_stays_unscorable_is_counted_and_tried_again_by_the_next_call(tmp_path):
    task = TASKS[0].id
    standing = evaluate(tmp_path / "e", user=Forgetful({task: TRIES}), trials=1)
    assert [facts.task_id for facts in standing.episodes if not facts.scorable] == [task]
    standing = evaluate(tmp_path / "e", user=Forgetful({}), trials=1)
    assert (standing.played_now, len(standing.spent)) == (1, TRIES)
    assert all(facts.scorable for facts in standing.episodes)


def test_ctrl_c_keeps_what_was_played_and_the_next_call_goes_on(tmp_path):
    def interrupt(episodes, asked):
        if len(episodes) == 3:
            raise KeyboardInterrupt

    standing = evaluate(tmp_path / "e", progress=interrupt)
    assert isinstance(standing.ended_by, KeyboardInterrupt)
    assert len(keys(tmp_path / "e")) == 3
    assert evaluate(tmp_path / "e").played_now == 2 * len(TASKS) - 3
    assert sorted(keys(tmp_path / "e")) == every_key(2)


def test_an_agent_that_breaks_ends_the_evaluation_with_what_was_played(tmp_path):
    class Breaking(SilentAgent):
        made = 0

        def __init__(self):
            super().__init__()
            Breaking.made += 1

        def act(self, observation, info):
            if Breaking.made == 3:
                raise TauRetailError("the server is gone")
            return super().act(observation, info)

    standing = evaluate(tmp_path / "e", make_agent=lambda task, seed: Breaking())
    assert str(standing.ended_by) == "the server is gone"
    assert len(keys(tmp_path / "e")) == 2


def test_several_threads_play_each_episode_once(tmp_path):
    evaluate(tmp_path / "e", workers=4, trials=3)
    assert sorted(keys(tmp_path / "e")) == every_key(3)


KILLED = """
import sys
from pathlib import Path
from tests.evaluation.evaluations import evaluate
evaluate(Path(sys.argv[1]), trials=40)
"""


def test_kill_9_at_any_moment_loses_no_finished_episode_and_plays_none_twice(tmp_path, repository):
    folder = tmp_path / "e"
    for delay_s in (0.0, 0.013, 0.05, 0.11):
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], cwd=repository)
        end = time.monotonic() + 60
        before = keys(folder) if (folder / EPISODES).is_file() else []
        while (len(keys(folder)) if (folder / EPISODES).is_file() else 0) <= len(before) and child.poll() is None:
            assert time.monotonic() < end
            time.sleep(0.002)
        time.sleep(delay_s)
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert keys(folder)[: len(before)] == before
    evaluate(folder, trials=40)
    assert sorted(keys(folder)) == every_key(40)


class Counting:
    """A player that tells in which process it plays."""

    def play(self, job):
        if job.task_id == "die":
            os._exit(7)
        if job.task_id == "fail":
            raise TauRetailError("no such task")
        return os.getpid()

    def stop(self):
        pass


def test_processes_play_beside_one_another_and_end_with_the_work():
    children = [ChildPlayer(Counting) for _ in range(2)]
    found = [end for end in WorkerPool(children).play([Job(str(n), 0) for n in range(50)], lambda one: False) if end]
    assert len(found) == 50
    assert os.getpid() not in found
    assert {child._process.is_alive() for child in children} <= {False}


INTERRUPTED = """
import os, signal
from tau_retail_env.evaluation.worker_pool import ChildPlayer, Job, WorkerPool
from tests.evaluation.test_runner import Counting
os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGINT))
print(len([end for end in WorkerPool([ChildPlayer(Counting)]).play([Job("any", 0)], lambda one: False) if end]))
"""


def test_ctrl_c_that_meets_a_process_as_it_is_forked_is_left_to_its_parent(repository):
    told = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=repository, capture_output=True, text=True, check=False
    )
    assert (told.stdout, told.stderr, told.returncode) == ("1\n", "", 0)


def test_an_error_in_a_process_is_the_callers():
    with pytest.raises(TauRetailError, match="no such task"):
        list(WorkerPool([ChildPlayer(Counting)]).play([Job("fail", 0)], lambda one: False))


def test_a_process_that_dies_is_told_with_its_episode():
    with pytest.raises(TauRetailError, match="played die"):
        list(WorkerPool([ChildPlayer(Counting)]).play([Job("die", 3)], lambda one: False))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("trials", "2", "eval.json: trials: found '2', expected a whole number"),
        ("tasks", [], "eval.json: tasks: found .*, expected an object"),
        ("customer", None, "eval.json: customer: found None, expected an object"),
        ("customer", {"model": 1}, "eval.json: customer.model: found 1, expected a text or null"),
        ("trials", 0, "eval.json: trials must be 1 to 1,000,000, found 0"),
        ("trials", 10**30, "eval.json: trials must be 1 to 1,000,000, found 1000"),
    ],
)
def test_settings_of_another_kind_are_named(tmp_path, name, value, words):
    (tmp_path / SETTINGS).write_text(json.dumps(dataclasses.asdict(settings_of()) | {name: value}))
    with pytest.raises(InvalidValueError, match=words):
        read_settings(tmp_path)


class Answering:
    """Answers what it was made with."""

    def __init__(self, answer):
        self._answer = answer

    def act(self, observation, info):
        return self._answer


def calculating(expression):
    return AgentMessage(None, (ToolCall("calculate", {"expression": expression}),))


def deep(levels):
    found = {}
    for _ in range(levels):
        found = {"a": found}
    return found


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "The agent answered NoneType, expected a text or an AgentMessage; fix its act()"),
        (AgentMessage(b"hello", ()), "The agent answered bytes"),
        (AgentMessage("hello", None), "The agent answered with tool_calls 'None', expected a tuple of ToolCall"),
        (AgentMessage("hello", ("think",)), "expected a tuple of ToolCall; fix its act()"),
        (calculating({1}), "'calculate' with arguments that JSON cannot hold"),
        (calculating(10**5000), "'calculate' with arguments that JSON cannot hold"),
        (calculating(deep(3000)), "'calculate' with arguments that JSON cannot hold"),
    ],
)
def test_an_answer_that_is_no_message_is_told_as_the_agents_fault(tmp_path, answer, words):
    standing = evaluate(tmp_path / "e", trials=1, make_agent=lambda task, seed: Answering(answer))
    assert isinstance(standing.ended_by, InvalidValueError)
    assert words in str(standing.ended_by)
    assert keys(tmp_path / "e") == []


def test_a_kill_while_a_file_is_written_keeps_no_folder_from_the_same_command(tmp_path):
    (tmp_path / "e").mkdir()
    half = partial_of(tmp_path / "e" / SETTINGS)
    half.write_text('{"agent": ')
    assert evaluate(tmp_path / "e").ended_by is None
    assert not half.exists()
