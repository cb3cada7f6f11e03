"""An episode while it is played: its tokens, its numbers, its end."""

import pytest

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.token_episode import TokenEpisode
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.messages import StopReason
from tests.byte_tokenizer import byte_tokenizer

OPENING = {
    "system_prompt": "Shop.",
    "messages": [{"role": "user", "content": "Hi"}],
    "source": "fake",
    "split": "train",
    "user_strategy": "fake",
}


@pytest.fixture(scope="module")
def encoder():
    return ChatEncoder(byte_tokenizer(), system_prompt="Shop.", tools=None)


def opened(encoder, sequence_length=400):
    episode = TokenEpisode(request=EpisodeRequest("fake/1", 0), encoder=encoder, sequence_length=sequence_length)
    episode.open(OPENING)
    return episode


def answer(metrics=(), modes=()):
    return {
        "role": "user",
        "messages": [{"role": "user", "content": "Go on."}],
        "metrics": dict(metrics),
        "metrics_agg_mode": dict(modes),
    }


def test_the_record_says_who_plays_the_customer(encoder):
    assert opened(encoder).user_strategy == "fake"


def test_a_cut_turn_after_which_one_token_fits_ends_nothing(encoder):
    length = len(opened(encoder).listen())
    for room, ends in ((0, True), (1, False)):
        episode = opened(encoder, length + 4 + room)
        episode.listen()
        episode.speak([65, 66, 67, 68], None, stopped=False)
        assert (episode.room, episode.over) == (room, ends)


@pytest.mark.parametrize(("limit", "over"), [(4, True), (5, False)])
def test_tokens_of_its_own_are_counted_apart_from_what_it_reads(encoder, limit, over):
    episode = opened(encoder)
    episode.max_own_tokens = limit
    episode.listen()
    assert episode.room == limit
    episode.speak([65, 66, 67, 68], None, stopped=True)
    assert not episode.over
    episode.hear(0.0, False, False, answer())
    episode.listen()
    assert (episode.room, episode.over) == (limit - 4, over)
    assert len(episode.token_ids) < 400
    if over:
        assert episode.stop_reason == "length" and episode.pending == []


def test_asked_again_before_the_model_has_spoken_the_prompt_is_the_same(encoder):
    episode = opened(encoder)
    first, room = list(episode.listen()), episode.room
    assert episode.listen() == first == episode.prompt_ids
    assert episode.room == room == 400 - len(first)
    episode.speak(encoder.reply("Well."), None, stopped=True)
    episode.hear(0.0, False, False, answer())
    assert episode.listen() == episode.listen() and episode.prompt_ids[: len(first)] == first


def test_what_no_turn_follows_is_left_out_unless_the_model_was_answering_it(encoder):
    episode = opened(encoder)
    episode.listen()
    episode.speak(encoder.reply("Well."), None, stopped=True)
    said = len(episode.token_ids)
    episode.hear(0.0, False, False, answer())
    heard = episode.listen()
    assert len(episode.token_ids) == said
    episode.stop()
    assert episode.token_ids[said:] == heard
    assert episode.trajectory({}).stop_reason is StopReason.STOPPED
    assert not episode.scorable


def test_what_is_not_open_leaves_nothing_when_all_is_stopped(encoder):
    episode = TokenEpisode(request=EpisodeRequest("fake/1", 0), encoder=encoder, sequence_length=400)
    episode.stop()
    assert not episode.over


def test_a_turn_without_log_probabilities_leaves_the_record_without(encoder):
    episode = opened(encoder)
    for number, known in enumerate((True, False)):
        episode.listen()
        ids = encoder.reply("Well.")
        episode.speak(ids, [-0.5] * len(ids) if known else None, stopped=True)
        episode.hear(0.0, False, False, answer())
        assert episode.with_logprobs is (number == 0)
    episode.stop()
    assert episode.trajectory({}).logprobs == ()


def test_each_metric_adds_up_in_its_own_way(encoder):
    modes = {"added": "sum", "highest": "max", "lowest": "min", "final": "last", "average": "mean"}
    episode = opened(encoder)
    for value in (1.0, 4.0, 2.5):
        episode.say("Well.")
        episode.hear(0.0, False, False, answer(dict.fromkeys([*modes, "unnamed"], value), modes))
    assert episode.step_metrics() == {
        "added": 7.5,
        "highest": 4.0,
        "lowest": 1.0,
        "final": 2.5,
        "average": 2.5,
        "unnamed": 2.5,
    }
    assert episode.metrics()["turns"] == 3.0


def test_a_way_to_add_up_that_there_is_not_is_named(encoder):
    episode = opened(encoder)
    episode.hear(0.0, False, False, answer({"odd": 1.0}, {"odd": "median"}))
    with pytest.raises(InvalidValueError, match="'median'; known: sum"):
        episode.metrics()
