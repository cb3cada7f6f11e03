"""Playing episodes with an engine in continuous batches: the same record as in batches, and nobody waits."""

import dataclasses
import itertools
import threading

import pytest

from tau_retail_env.episodes.continuous import ContinuousPlayer
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.errors import UserSetupError
from tests.episodes.test_player import FakeEnv, Speaker, encoder, player

__all__ = ["encoder"]

REQUESTS = [
    EpisodeRequest(name, seed=number)
    for number, name in enumerate(["talk/3", "talk/1", "absent/1", "fail/2", "talk/9", "talk/2"])
]


class StepEngine:
    """An engine that draws a token a step of the same words everywhere, and remembers what it was asked."""

    def __init__(self, encoder):
        self.ids = encoder.reply("Well, well.")
        self.under_way = {}
        self.asked = []
        self.most = 0

    def add(self, place, prompt_ids, *, room, seed):
        assert place not in self.under_way
        self.asked.append((place, tuple(prompt_ids), room, seed))
        self.under_way[place] = [min(room, len(self.ids)), 0]
        self.most = max(self.most, len(self.under_way))

    def step(self):
        from tau_retail_env.models.sampler import Reply

        ended = []
        for place, (limit, said) in list(self.under_way.items()):
            self.under_way[place][1] = said + 1
            if said + 1 == limit:
                ids = tuple(self.ids[:limit])
                ended.append((place, Reply(ids, (-0.5,) * limit, limit == len(self.ids))))
                del self.under_way[place]
        return ended


def play(engine, encoder, requests=REQUESTS, make_env=FakeEnv, **sizes):
    sizes = {"sequence_length": 400, "at_once": 4, **sizes}
    one = ContinuousPlayer(make_env, engine, encoder, **sizes)
    for place, request in enumerate(requests):
        one.begin(place, request)
    ended = {}
    while one.unfinished:
        for place, trajectory in one.tick():
            assert place not in ended
            ended[place] = trajectory
    return [ended[place] for place in range(len(requests))]


def untimed(trajectories):
    return [dataclasses.replace(each, timings={}) for each in trajectories]


@pytest.mark.parametrize("threads", [0, 3])
@pytest.mark.parametrize("sequence_length", [400, 130])
def test_the_record_is_that_of_playing_in_batches(encoder, threads, sequence_length):
    batches = player(encoder, Speaker(encoder), sequence_length=sequence_length).play(REQUESTS)
    one = play(StepEngine(encoder), encoder, threads=threads, sequence_length=sequence_length)
    assert untimed(one) == untimed(batches)


def test_every_prompt_goes_on_where_the_last_one_and_the_models_words_ended(encoder):
    engine = StepEngine(encoder)
    (trajectory,) = play(engine, encoder, [EpisodeRequest("talk/3", seed=0)])
    prompts = [prompt for _, prompt, _, _ in engine.asked]
    for before, after in itertools.pairwise(prompts):
        assert after[: len(before) + len(engine.ids)] == (*before, *engine.ids)
    assert trajectory.token_ids == (*prompts[-1], *engine.ids)
    assert [room for _, prompt, room, _ in engine.asked] == [400 - len(prompt) for prompt in prompts]


def test_draws_have_a_seed_of_their_own_by_task_trial_and_turn(encoder):
    engine = StepEngine(encoder)
    requests = [EpisodeRequest("talk/3", seed=1, sampling_seed=trial) for trial in (1, 2)]
    play(engine, encoder, requests)
    assert len({seed for *_, seed in engine.asked}) == 6


def test_a_place_that_is_free_is_taken_at_once_and_environments_are_used_again(encoder):
    engine, made = StepEngine(encoder), []

    def make_env():
        made.append(FakeEnv())
        return made[-1]

    requests = [EpisodeRequest("talk/9", seed=0)] + [EpisodeRequest("talk/1", seed=number) for number in range(12)]
    play(engine, encoder, requests, make_env, at_once=2)
    assert (engine.most, len(made)) == (2, 2)
    places = [place for place, *_ in engine.asked]
    assert places.index(6) < len(places) - 1 - places[::-1].index(0), "the short ones went on beside the long one"


def test_while_customers_are_waited_for_the_engine_draws_on(encoder):
    """Of two episodes one customer hangs until the other episode is over."""
    engine, over = StepEngine(encoder), threading.Event()

    class WaitingEnv(FakeEnv):
        def step(self, action):
            if self.kind == "slow":
                assert over.wait(20)
            answer = super().step(action)
            if self.kind == "quick" and answer[2]:
                over.set()
            return answer

    slow, quick = play(
        engine, encoder, [EpisodeRequest("slow/1", seed=0), EpisodeRequest("quick/4", seed=0)], WaitingEnv, threads=2
    )
    assert (slow.reward, quick.reward) == (1.0, 1.0)


@pytest.mark.parametrize("threads", [0, 2])
def test_errors_that_stop_all_come_out(encoder, threads):
    with pytest.raises(UserSetupError, match="no key"):
        play(StepEngine(encoder), encoder, [EpisodeRequest("locked/1", seed=0)], threads=threads)
    with pytest.raises(RuntimeError, match=r"failed at task crash/2 .* KeyError"):
        play(StepEngine(encoder), encoder, [EpisodeRequest("crash/2", seed=0)], threads=threads)
