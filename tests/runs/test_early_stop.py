"""When validations end a run: by the best weights that are kept and the scores since."""

from pathlib import Path

import pytest

from tau_retail_env.runs.checkpoints import keep_best
from tau_retail_env.runs.early_stop import planned, reason_to_stop, stop_problems


def reason(folder: Path, scores: dict[int, float | None], limit: int | None) -> str | None:
    for step, score in scores.items():
        keep_best(folder, step, score, lambda path: None)
    return reason_to_stop(folder, scores, limit)


def test_it_names_how_many_were_not_above_the_best_and_where_its_weights_are(tmp_path: Path):
    said = reason(tmp_path, {2: 0.25, 4: 0.5, 6: 0.5}, 1)
    assert said == (
        f"1 validation was not above the best, 0.500 after step 4, whose weights are {tmp_path / 'best'} "
        "(stop_after_worse: 1)"
    )


@pytest.mark.parametrize(
    ("scores", "limit", "ends"),
    [
        ([0.5, 0.4, 0.5], 2, True),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.4, 0.6, 0.5], 2, False),
        ([0.5, 0.4], 2, False),
        ([0.5, 0.4, 0.3], None, False),
        ([], 1, False),
        ([None, None], 1, False),
        ([0.5, None, 0.4], 2, False),
        ([0.5, None, 0.4, 0.3], 2, True),
        ([0.5, 0.4, None], 1, False),
    ],
)
def test_validations_that_could_not_be_scored_do_not_count_and_end_nothing(
    tmp_path: Path, scores: list[float | None], limit: int | None, ends: bool
):
    assert (reason(tmp_path, dict(enumerate(scores)), limit) is not None) == ends


def test_what_is_kept_from_before_a_resume_stays_the_best(tmp_path: Path):
    """A run that was killed after its best validation plays it again; here it comes out lower."""
    keep_best(tmp_path, 6, 0.75, lambda path: None)
    assert reason(tmp_path, {2: 0.25, 4: 0.5, 6: 0.5}, 1) is None
    assert reason(tmp_path, {2: 0.25, 4: 0.5, 6: 0.5, 8: 0.7}, 1) is not None


def test_a_higher_score_whose_weights_were_not_kept_is_no_worse_one(tmp_path: Path):
    """As in a run with ROLL that had other intervals when it began."""
    keep_best(tmp_path, 2, 0.5, lambda path: None)
    assert reason_to_stop(tmp_path, {2: 0.5, 4: 0.75, 6: 0.4}, 2) is None
    assert reason_to_stop(tmp_path, {2: 0.5, 4: 0.75, 6: 0.4}, 1) is not None


@pytest.mark.parametrize(
    ("limit", "last_step", "idle_steps", "earliest"),
    [(2, 31, 0, None), (2, 30, 0, 30), (2, 51, 25, 40), (2, 40, 25, 40), (3, 40, 5, 40), (None, 1, 0, None)],
)
def test_a_run_that_ends_before_it_could_be_ended_is_refused(
    limit: int | None, last_step: int, idle_steps: int, earliest: int | None
):
    problems = stop_problems(limit, eval_steps=10, last_step=last_step, idle_steps=idle_steps)
    if earliest is None or earliest < last_step:
        assert problems == []
    else:
        assert f"could end the run after step {earliest} at the earliest" in problems[0]


@pytest.mark.parametrize(
    ("limit", "words"), [(None, ""), (1, "a validation that is not"), (3, "3 validations in a row that are not")]
)
def test_a_plan_says_that_a_run_may_end_early(limit: int | None, words: str):
    assert words in planned(limit)
