"""What a run says while it goes on, and that all of it stands in train.log."""

import re

import pytest

from tau_retail_env.runs.progress import Journal, in_words, step_line, validation_line


def test_a_journal_has_every_line_with_its_time_also_those_from_before_there_was_a_folder(tmp_path):
    said = []
    journal = Journal(said.append)
    journal("first")
    (tmp_path / "train.log").write_text("of the run before\n")
    journal.open(tmp_path / "train.log")
    journal("second\nthird")
    assert said == ["first", "second\nthird"]
    before, *lines = (tmp_path / "train.log").read_text().splitlines()
    assert before == "of the run before"
    assert [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ", "", line) for line in lines] == ["first", "second", "third"]


def test_a_steps_line_tells_what_it_came_to_and_what_is_left():
    row = {"rollout/score/mean": 0.59375, "critic/kl": 0.00125, "time/step_rollout": 6.2, "time/step_train": 15.1}
    assert step_line("step 3 of 20", row | {"time/step_total": 21.3}, left_s=380.0) == (
        "step 3 of 20: reward 0.594, KL 0.0013 nats, 21 s (playing 6, learning 15); about 6 min left"
    )
    assert step_line("step 4 of 20", {"time/step_rollout": 1.0, "time/step_train": 0.9, "time/step_total": 1.9}) == (
        "step 4 of 20: 2 s (playing 1)"
    )
    assert step_line("step 20 of 20", {"sft/loss": 1.5, "time/step_total": 0.4}, left_s=0.0) == (
        "step 20 of 20: loss 1.500, 0 s"
    )


def test_a_steps_line_tells_how_much_could_not_be_scored_and_no_figure_of_nothing():
    row = {"critic/entropy/mean": float("nan"), "env/a/unscorable": 0.992, "env/a/turns": 1.0, "time/step_total": 2.0}
    assert step_line("step 1", row) == "step 1: 99% of the episodes not scored, 2 s"
    both = row | {"env/b/unscorable": 0.0}
    assert step_line("step 1", both) == "step 1: 99% of a tag's episodes at most not scored, 2 s"
    assert "scored" not in step_line("step 1", {"env/a/unscorable": 0.0, "time/step_total": 2.0})


def test_a_validations_line_tells_the_interval_and_what_could_not_be_scored():
    success = {"success": 0.349, "interval": [0.285, 0.419], "episodes": 190, "asked": 192, "unscorable": 2}
    assert validation_line(0, success, 29.7) == (
        "validation after step 0: success 34.9% of 190 episodes (95 %: 28.5% to 41.9%), 2 more not scored, 30 s"
    )
    assert "no episode of 8 could be scored" in validation_line(0, {"episodes": 0, "asked": 8, "unscorable": 8}, 1.0)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.2, "1 s"), (59, "59 s"), (60, "1 min"), (600, "10 min"), (7200, "2 h")]
)
def test_a_rough_time_is_in_words(seconds, words):
    assert in_words(seconds) == words
