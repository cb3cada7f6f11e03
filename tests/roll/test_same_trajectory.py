"""An episode is written down alike, whichever engine plays it."""

from dataclasses import replace

import pytest

from tau_retail_env import TauRetailEnv
from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import BatchPlayer
from tau_retail_env.runs.trajectories import read_trajectories
from tau_retail_env.users import UserError, UserMessage

SETTINGS = {"source": "generated", "split": "train", "task_subset": "single", "prompt_style": "minimal"}


class Repeating:
    """A sampler that says once more what the model said in a recorded episode."""

    def __init__(self, recorded, stop_ids):
        self.turns = list(turns_of(recorded))
        self.stop_ids = stop_ids
        self.shown = []

    def begin(self, prefix, seeds):
        self.shown.append(list(prefix))
        return self

    def reply(self, heard, room):
        from tau_retail_env.models.sampler import Reply

        (row,) = heard
        self.shown[-1] += heard[row]
        ids, logprobs = self.turns.pop(0)
        assert len(ids) <= room[row]
        return {row: Reply(ids, logprobs, ids[-1] in self.stop_ids)}


def turns_of(recorded):
    """The model's turns: tokens and log-probabilities of each stretch of the mask."""
    ids, logprobs = [], []
    for token, own, logprob in zip(recorded.token_ids, recorded.response_mask, recorded.logprobs, strict=True):
        if own:
            ids.append(token)
            logprobs.append(logprob)
        elif ids:
            yield tuple(ids), tuple(logprobs)
            ids, logprobs = [], []
    if ids:
        yield tuple(ids), tuple(logprobs)


class Priced:
    """A customer whose words have a price; it fails at a certain answer, or at once."""

    strategy = "llm"

    def __init__(self, fails_at=None):
        self.fails_at = fails_at

    def reset(self, task, *, seed):
        self.answers = 0
        if self.fails_at == 0:
            raise UserError("no answer", usage={"latency_s": 2.0, "calls": 3})
        return UserMessage("Hello, I need help.", usage={"latency_s": 0.25, "calls": 1, "cost_usd": 0.5})

    def respond(self, message):
        self.answers += 1
        if self.answers == self.fails_at:
            raise UserError("timed out", usage={"latency_s": 4.0, "calls": 3, "retries": 2})
        text = "Yes, please." if self.answers < 2 else "###STOP###"
        return UserMessage(text, usage={"latency_s": 0.5, "calls": 2, "cost_usd": 0.125})


@pytest.mark.parametrize(
    ("customer", "limits", "stop_reason"),
    [
        (None, {}, "user_stop"),
        (None, {"env": {"max_tokens_per_step": 3}, "max_turns": 2}, "max_turns"),
        (None, {"sequence_length": 150}, "length"),
        (None, {"env": {"max_tokens_per_episode": 20}}, "length"),
        (None, {"sequence_length": 30}, "length"),
        (lambda: Priced(), {}, "user_stop"),
        (lambda: Priced(fails_at=1), {}, "user_error"),
        (lambda: Priced(fails_at=0), {}, "user_error"),
    ],
    ids=["oracle", "cut turns", "out of tokens", "out of own tokens", "no room at all", "priced", "failing", "absent"],
)
def test_both_engines_write_the_same_trajectory(rollout_loop, small_tokenizer, tmp_path, customer, limits, stop_reason):
    settings = SETTINGS | {"max_turns": limits.get("max_turns")}
    sequence_length = limits.get("sequence_length", 4096)
    played = rollout_loop(settings=settings, env=limits.get("env"), pipeline={"sequence_length": sequence_length})
    if customer:
        played.managers[0].env._customer = customer()
    played.play(step=4)
    played.close()
    files = sorted((tmp_path / "run" / "trajectories").glob("train-*.jsonl"))
    recorded = next(one for file in files for one in read_trajectories(file) if one.group == 0)
    assert recorded.stop_reason == stop_reason

    encoder = make_encoder(small_tokenizer, "generated", "minimal")
    sampler = Repeating(recorded, encoder.stop_ids)
    player = BatchPlayer(
        lambda: TauRetailEnv(**settings, user=customer() if customer else None),
        sampler,
        encoder,
        sequence_length=sequence_length,
        max_own_tokens=(limits.get("env") or {}).get("max_tokens_per_episode"),
    )
    request = EpisodeRequest(recorded.task_id, recorded.seed, 0, recorded.tag, recorded.sampling_seed)
    (again,) = player.play([request], policy_version=4)
    assert replace(again, timings=recorded.timings) == recorded
    assert sampler.turns == []
