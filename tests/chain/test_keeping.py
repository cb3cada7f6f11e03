"""Which episodes are kept: successes, the least alike first; else the best that was partly right."""

from dataclasses import replace

from tau_retail_env.chain.keeping import candidate_of, chosen
from tau_retail_env.chain.play_settings import Keep
from tau_retail_env.episodes.trajectory import Trajectory
from tests.plain_trajectory import plain_trajectory


def episode(reward: float, said: str, *, task: str = "tau2/1", length: int = 3, **told: float) -> Trajectory:
    words = tuple({"role": "assistant", "content": word} for word in said.split())
    return replace(
        plain_trajectory(reward=reward),
        task_id=task,
        messages=({"role": "system", "content": ""}, *words),
        token_ids=tuple(range(length)),
        response_mask=(1,) * length,
        logprobs=(),
        reward_breakdown=told,
    )


def kept(episodes: list[Trajectory], **keep: object) -> list[int]:
    found = [candidate_of(place, one) for place, one in enumerate(episodes)]
    return [one.place for one in chosen([one for one in found if one], Keep(**keep))]


def test_of_many_successes_the_shortest_and_those_least_like_it_are_kept():
    played = [episode(1.0, "a b c d", length=4), episode(1.0, "a b c x", length=5), episode(1.0, "x y z", length=6)]
    assert kept(played, per_task=1) == [0]
    assert kept(played, per_task=2) == [0, 2]
    assert kept(played, per_task=5) == [0, 1, 2]


def test_an_episode_that_says_just_the_same_is_kept_once():
    assert kept([episode(1.0, "a b"), episode(1.0, "a b"), episode(0.0, "c")], per_task=3) == [0]


def test_a_task_that_was_won_keeps_no_failure():
    assert kept([episode(1.0, "a"), episode(0.0, "b", partial=0.9)]) == [0]


def test_of_a_task_without_a_success_the_best_is_kept_where_it_was_right_enough():
    played = [episode(0.0, "a", partial=0.5), episode(0.0, "b", partial=0.75), episode(0.0, "c")]
    assert kept(played, min_partial=0.6) == [1]
    assert kept(played, min_partial=0.8) == []
    assert kept(played, min_partial=None) == []
    assert kept([episode(0.0, "a")], min_partial=0.0) == [], "where nothing was right there is nothing to learn"


def test_each_task_is_looked_at_by_itself():
    played = [episode(1.0, "a"), episode(0.0, "b", task="tau2/2", partial=0.7), episode(0.0, "c", task="tau2/3")]
    assert kept(played) == [0, 1]


def test_an_episode_in_which_a_process_check_failed_is_dropped_where_that_is_asked():
    played = [episode(1.0, "a", process=0.0), episode(1.0, "b", process=1.0)]
    assert kept(played) == [0, 1]
    assert kept(played, require_process=True) == [1]


def test_what_cannot_be_scored_or_holds_no_tokens_of_a_model_is_no_candidate():
    spoilt = replace(episode(0.0, "a"), scorable=False, stop_reason="user_error")
    wordless = replace(episode(1.0, "a"), token_ids=(), response_mask=())
    assert [candidate_of(0, one) for one in (spoilt, wordless)] == [None, None]
