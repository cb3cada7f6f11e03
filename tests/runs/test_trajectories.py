"""The record of an episode on disk."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from tau_retail_env.episodes.trajectory import SCHEMA_VERSION, Trajectory
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import StopReason
from tau_retail_env.runs import trajectories as module
from tau_retail_env.runs.trajectories import read_trajectories, write_trajectories


def record(**changes):
    values = {
        "task_id": "tau2/12",
        "source": "tau2",
        "split": "test",
        "seed": 3,
        "sampling_seed": 9,
        "group": 1,
        "tag": "val",
        "messages": ({"role": "system", "content": "é\u2028\n"}, {"role": "user", "content": "x"}),
        "token_ids": (1, 2, 3),
        "response_mask": (0, 1, 1),
        "logprobs": (0.0, -0.1, -1.2345678901234567e-7),
        "prompt_length": 1,
        "reward": 1.0,
        "terminated": True,
        "truncated": False,
        "stop_reason": "user_stop",
        "scorable": True,
        "reward_breakdown": {"database": 1.0},
        "metrics": {"turns": 1.0, "third": 1 / 3},
        "timings": {"environment_s": 0.1},
        "policy_version": 7,
        "user_strategy": "llm",
        "customer_usage": ({"latency_s": 0.5, "prompt_tokens": 700, "cost_usd": 1e-4}, {"latency_s": 0.25}),
        "customer_error": "",
    }
    return Trajectory(**(values | changes))


def test_what_is_written_is_read_back_exactly(tmp_path):
    path = tmp_path / "trajectories.jsonl"
    trajectories = [record(), record(task_id="tau2/13", logprobs=(), policy_version=None)]
    write_trajectories(path, trajectories)
    assert read_trajectories(path) == trajectories
    lines = path.read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[0]).keys() == {field.name for field in dataclasses.fields(Trajectory)}
    assert json.loads(lines[0])["schema_version"] == SCHEMA_VERSION


def test_records_of_the_first_version_are_read_and_written_again_as_of_this_one(tmp_path):
    old = Path(__file__).parent / "first_version.jsonl"
    assert json.loads(old.read_text().splitlines()[0])["schema_version"] == 1
    trajectories = read_trajectories(old)
    assert trajectories
    assert {(t.schema_version, t.user_strategy, t.customer_usage) for t in trajectories} == {(SCHEMA_VERSION, "", ())}
    write_trajectories(tmp_path / "new.jsonl", trajectories)
    assert read_trajectories(tmp_path / "new.jsonl") == trajectories


def test_an_empty_file_holds_no_trajectories(tmp_path):
    write_trajectories(tmp_path / "none.jsonl", [])
    assert read_trajectories(tmp_path / "none.jsonl") == []


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "trajectories.jsonl"
    write_trajectories(path, [record()])

    def interrupted():
        yield record(task_id="new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_trajectories(path, interrupted())
    assert [t.task_id for t in read_trajectories(path)] == ["tau2/12"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_number_that_json_has_not_is_refused_by_task(tmp_path):
    with pytest.raises(InvalidValueError, match="tau2/12 cannot be written"):
        write_trajectories(tmp_path / "a.jsonl", [record(reward=float("nan"))])
    assert list(tmp_path.iterdir()) == []


def line_of(**changes):
    line = json.loads(module.as_line(record()))
    line.update(changes)
    return {name: value for name, value in line.items() if value is not ...}


def test_records_of_the_second_version_say_nothing_of_the_tasks_version(tmp_path):
    file = tmp_path / "second.jsonl"
    file.write_text(json.dumps(line_of(schema_version=2, task_version=...)) + "\n")
    (read,) = read_trajectories(file)
    assert (read.schema_version, read.task_version) == (SCHEMA_VERSION, None)


def test_the_version_of_the_tasks_is_part_of_the_record(tmp_path):
    file = tmp_path / "new.jsonl"
    write_trajectories(file, [record(task_version="1.0")])
    (read,) = read_trajectories(file)
    assert read.task_version == "1.0"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("\udcff\udcfe\n", "line 2: not one whole JSON object: 'utf-8' codec"),
        (json.dumps(line_of())[:-5], r"line 2: not one whole JSON object \(the line has no end"),
        ("{}{}\n", "line 2: not one whole JSON object: "),
        ("[]\n", "line 2: expected a JSON object, found list"),
        (json.dumps(line_of(schema_version=99)) + "\n", "line 2: schema_version is 99, this package reads 1 to 3"),
        (
            json.dumps(line_of(schema_version=...)) + "\n",
            "line 2: no episode of this package, for schema_version is missing",
        ),
        (json.dumps(line_of(schema_version=True)) + "\n", "line 2: schema_version is True"),
        (json.dumps(line_of(customer_usage={})) + "\n", "line 2: customer_usage must be a list, found dict"),
        (json.dumps(line_of(user_strategy=...)) + "\n", r"line 2: fields missing: \['user_strategy'\]"),
        (json.dumps(line_of(schema_version=1)) + "\n", r"unknown: \['customer_error', .*'user_strategy'\]"),
        (json.dumps(line_of(reward=...)) + "\n", r"line 2: fields missing: \['reward'\]"),
        (json.dumps(line_of(rewards=1)) + "\n", r"unknown: \['rewards'\]"),
        (json.dumps(line_of(token_ids=3)) + "\n", "line 2: token_ids must be a list, found int"),
        (json.dumps(line_of(token_ids=[1])) + "\n", "has 1 token_ids"),
    ],
)
def test_a_bad_line_is_named_with_its_fault(tmp_path, bad, reason):
    path = tmp_path / "trajectories.jsonl"
    path.write_text(json.dumps(line_of()) + "\n" + bad, errors="surrogateescape")  # "\udcff" is the byte ff
    with pytest.raises(InvalidValueError, match=reason):
        read_trajectories(path)


@pytest.mark.parametrize("changes", [{"response_mask": (1,)}, {"logprobs": (0.0,)}, {"token_ids": ()}])
def test_parts_that_do_not_fit_together_are_refused(changes):
    with pytest.raises(InvalidValueError, match="equally many"):
        record(**changes)


def test_an_end_that_there_is_not_is_refused_by_task():
    with pytest.raises(InvalidValueError, match=r"stop_reason of a trajectory of tau2/12 'user_stopp'.*'user_stop'"):
        record(stop_reason="user_stopp")


def test_the_end_of_an_episode_is_a_plain_word_in_the_file(tmp_path):
    write_trajectories(tmp_path / "a.jsonl", [record(stop_reason=StopReason.MAX_TURNS)])
    assert '"stop_reason": "max_turns"' in (tmp_path / "a.jsonl").read_text()
    assert read_trajectories(tmp_path / "a.jsonl")[0].stop_reason is StopReason.MAX_TURNS


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("task_id", {}, "task_id: found {}, expected a text"),
        ("reward", "1.0", "reward: found '1.0', expected a finite number"),
        ("reward", float("nan"), "reward: found nan, expected a finite number"),
        ("scorable", 1, "scorable: found 1, expected true or false"),
        ("stop_reason", {}, "stop_reason: found {}, expected a text"),
        ("metrics", {"turns": "many"}, "metrics: found {'turns': 'many'}, expected an object whose values"),
        ("reward_breakdown", [], "reward_breakdown: found .*, expected an object"),
        ("reward_breakdown", {"official": None}, "reward_breakdown.official: found None, expected a finite number"),
        ("messages", ["hello"], "messages: found .*, expected a list of which each is an object"),
        ("messages", [{"role": "judge", "content": "x"}], r"messages\[0\].role: found 'judge', expected system, user"),
        ("messages", [{"role": "user", "content": None}], r"messages\[0\].content: found None, expected a text"),
        ("messages", [{"role": "assistant", "content": 3}], r"messages\[0\].content: found 3, expected a text or null"),
        ("messages", [{"role": "assistant", "tool_calls": {}}], r"messages\[0\].tool_calls: found {}, expected a list"),
        (
            "messages",
            [{"role": "assistant", "tool_calls": [{"id": "x", "function": {"name": "f", "arguments": {}}}]}],
            r".*tool_calls: arguments: found {}, expected a text",
        ),
        (
            "messages",
            [{"role": "assistant", "tool_calls": [{"id": "x"}]}],
            ".*function: found None, expected an object",
        ),
    ],
)
def test_a_field_of_another_kind_is_named_with_file_and_line(tmp_path, field, value, words):
    path = tmp_path / "trajectories.jsonl"
    write_trajectories(path, [record()])
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}) + "\n")
    with pytest.raises(InvalidValueError, match=rf"trajectories\.jsonl, line 1: {words}"):
        read_trajectories(path)


def test_half_a_surrogate_pair_that_a_model_said_is_read_back(tmp_path):
    path = tmp_path / "trajectories.jsonl"
    said = record(messages=({"role": "assistant", "content": "\ud800"},))
    write_trajectories(path, [said])
    assert read_trajectories(path) == [said]


def test_all_of_a_file_has_reached_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    path, sizes = tmp_path / "episodes.jsonl", []
    monkeypatch.setattr(module.os, "fsync", lambda descriptor: sizes.append(os.fstat(descriptor).st_size))
    write_trajectories(path, [record()])
    assert sizes[0] == path.stat().st_size > 0
