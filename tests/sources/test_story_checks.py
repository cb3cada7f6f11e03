"""A task of a file brings a story that can be played, or is refused before anybody plays it."""

import json

import pytest

from tau_retail_env import load_tasks
from tau_retail_env.cli import main
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.sources import get_source
from tau_retail_env.sources.story_checks import check_stories
from tau_retail_env.tasks.files import task_line

CALL = {"name": "get_order_details", "arguments": {"order_id": "#W1"}}


@pytest.mark.parametrize("split", ["train", "test2", "test3", "test4", "test5"])
def test_every_generated_story_can_be_played(split):
    tasks = load_tasks("generated", split)
    check_stories(tasks, get_source("generated").shop().tools)
    assert split == "train" or sum(task.story is not None for task in tasks) > 100


@pytest.mark.parametrize(
    ("story", "words"),
    [
        ({}, "story.beats: found None, expected at least one"),
        ({"beats": []}, "story.beats: found [], expected at least one"),
        ({"beats": {}}, "story.beats: found {}, expected a list of which each is an object"),
        ({"beats": [True]}, "story.beats: found [True], expected a list"),
        ({"beats": [{"write": 0}], "emails": 1}, "story.emails: found 1, expected a list of which each is a text"),
        ({"beats": [{"write": 0.5}]}, "story.beats[0].write: found 0.5, expected a whole number"),
        ({"beats": [{"write": -1}]}, "story.beats[0].write: found -1, expected a number counted from 0"),
        ({"beats": [{"ask": "How much?", "outputs": [-1]}]}, "outputs: found [-1], expected numbers counted from 0"),
        ({"beats": [{"write": 0, "words": ""}]}, "story.beats[0].words: found '', expected an object"),
        ({"beats": [{"write": 0, "words": {"payment": 1}}]}, "story.beats[0].words: found {'payment': 1}, expected"),
        ({"beats": [{"write": 0, "calls": [None]}]}, "story.beats[0].calls: found [None], expected a list"),
        ({"beats": [{"write": 0, "calls": [{"name": "think"}]}]}, "calls: arguments: found None, expected an object"),
        (
            {"beats": [{"write": 0, "calls": [CALL | {"name": "get_ordr"}]}]},
            "Unknown tool in Task 'generated/train2/0': story.beats[0].calls 'get_ordr'",
        ),
        (
            {"beats": [{"write": 0, "calls": [CALL | {"arguments": {}}]}]},
            "Argument 'order_id' of get_order_details in Task 'generated/train2/0': story.beats[0].calls is missing",
        ),
        (
            {"beats": [{"write": 0, "calls": [CALL | {"arguments": {"order_id": 1}}]}]},
            "Argument 'order_id' of get_order_details in Task 'generated/train2/0': story.beats[0].calls is 1",
        ),
    ],
)
def test_a_story_that_cannot_be_played_is_refused_before_anybody_plays_it(story, words, tmp_path, capsys):
    row = json.loads(task_line(load_tasks("generated", "train2")[0])) | {"story": story}
    (tmp_path / "tasks.jsonl").write_text(json.dumps(row) + "\n")
    command = ["eval", "--agent", "oracle", "--task-file", str(tmp_path / "tasks.jsonl"), "--output"]
    assert main([*command, str(tmp_path / "e")]) == 2
    told = capsys.readouterr().err
    assert words in told and "Traceback" not in told
    assert not (tmp_path / "e").exists()
    with pytest.raises(InvalidValueError):
        load_tasks("generated", "train2", task_file=str(tmp_path / "tasks.jsonl"))
