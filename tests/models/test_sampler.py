"""Drawing turns on a kept cache: the same as computing every sequence anew."""

import random

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from transformers import MistralConfig, MistralForCausalLM, Qwen2Config, Qwen2ForCausalLM  # noqa: E402

from tau_retail_env.errors import InvalidValueError  # noqa: E402
from tau_retail_env.models.sampler import Sampler, SamplingSettings  # noqa: E402

VOCABULARY = 40
STOPS = (0, 1, 2)
PREFIX = [5, 6, 7, 8]
SIZE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.5,
}


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    return Qwen2ForCausalLM(Qwen2Config(**SIZE)).eval()


def play(model, settings, rows, turns=4, seeds=None, only=None, room=99):
    """Play conversations that hear words of their own, of different lengths, and end at different turns."""
    conversations = Sampler(model, settings, STOPS).begin(PREFIX, seeds or [f"seed {row}" for row in rows])
    words = {row: random.Random(row) for row in rows}
    ends = {row: 1 + row % turns for row in rows}
    tokens = {row: list(PREFIX) for row in rows}
    replies = {row: [] for row in rows}
    for turn in range(turns):
        heard = {}
        for place, row in enumerate(rows):
            if turn < ends[row]:
                heard[place] = [words[row].randrange(3, VOCABULARY) for _ in range(words[row].choice([1, 2, 5, 17]))]
                tokens[row] += heard[place]
        for place, reply in conversations.reply(heard, dict.fromkeys(heard, room)).items():
            replies[rows[place]].append((len(tokens[rows[place]]), reply))
            tokens[rows[place]] += reply.token_ids
    return tokens, replies


@torch.inference_mode()
def logprobs_anew(model, tokens, temperature=1.0):
    logits = model(torch.tensor([tokens])).logits[0]
    return torch.log_softmax(logits.float() / temperature, dim=-1)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_greedy_turns_equal_those_computed_anew(model, attention):
    model.set_attn_implementation(attention)
    tokens, replies = play(model, SamplingSettings(max_new_tokens=9, temperature=0), range(12))
    model.set_attn_implementation("sdpa")
    endings = set()
    for row, turns in replies.items():
        anew = logprobs_anew(model, tokens[row])
        for start, reply in turns:
            for place, (token, logprob) in enumerate(zip(reply.token_ids, reply.logprobs, strict=True), start=start):
                assert token == int(anew[place - 1].argmax())
                assert logprob == pytest.approx(float(anew[place - 1, token]), abs=1e-4)
            endings.add((reply.stopped, len(reply.token_ids)))
    assert (False, 9) in endings, "some turn was cut"
    assert len({length for stopped, length in endings if stopped}) > 1, "turns stopped at different lengths"


def test_sampled_logprobs_are_those_of_the_whole_distribution_at_the_temperature(model):
    settings = SamplingSettings(max_new_tokens=9, temperature=0.7, top_p=0.9, top_k=5)
    tokens, replies = play(model, settings, range(8))
    for row, turns in replies.items():
        anew = logprobs_anew(model, tokens[row], temperature=0.7)
        for start, reply in turns:
            for place, (token, logprob) in enumerate(zip(reply.token_ids, reply.logprobs, strict=True), start=start):
                assert logprob == pytest.approx(float(anew[place - 1, token]), abs=1e-4)
                assert int((anew[place - 1] > anew[place - 1, token]).sum()) < 5


def test_a_turn_ends_with_its_stop_token_or_is_cut_at_its_room(model):
    _, replies = play(model, SamplingSettings(max_new_tokens=50, temperature=2.0), range(12), room=6)
    for turns in replies.values():
        for _, reply in turns:
            assert reply.stopped == (reply.token_ids[-1] in STOPS)
            assert not set(reply.token_ids[:-1]) & set(STOPS)
            assert len(reply.token_ids) == 6 or reply.stopped


def test_the_same_seeds_draw_the_same_and_others_do_not(model):
    settings = SamplingSettings(max_new_tokens=8, temperature=1.5)
    assert play(model, settings, range(6)) == play(model, settings, range(6))
    other = [f"other seed {row}" for row in range(6)]
    assert play(model, settings, range(6))[0] != play(model, settings, range(6), seeds=other)[0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_what_a_conversation_draws_does_not_depend_on_the_others(model, temperature):
    settings = SamplingSettings(max_new_tokens=8, temperature=temperature)
    together, _ = play(model, settings, range(8))
    for row in (0, 3, 6, 7):
        alone, _ = play(model, settings, [row])
        assert alone[row] == together[row]


def test_drawn_tokens_follow_the_distribution(model):
    rows = 4000
    sampler = Sampler(model, SamplingSettings(max_new_tokens=1, temperature=1.3), STOPS)
    replies = sampler.begin(PREFIX, [str(row) for row in range(rows)]).reply(
        {row: [9] for row in range(rows)}, dict.fromkeys(range(rows), 1)
    )
    drawn = torch.zeros(VOCABULARY)
    for reply in replies.values():
        drawn[reply.token_ids[0]] += 1 / rows
    expected = logprobs_anew(model, [*PREFIX, 9], temperature=1.3)[-1].exp()
    assert float((drawn - expected).abs().sum()) < 0.12
    assert float((drawn - 1 / VOCABULARY).abs().sum()) > 0.3, "the distribution is not flat"


def test_top_p_keeps_the_fewest_tokens_that_reach_it(model):
    rows = 500
    expected = logprobs_anew(model, [*PREFIX, 9])[-1].exp().sort(descending=True)
    kept = expected.indices[: int((expected.values.cumsum(0) < 0.6).sum()) + 1].tolist()
    sampler = Sampler(model, SamplingSettings(max_new_tokens=1, top_p=0.6), STOPS)
    replies = sampler.begin(PREFIX, [str(row) for row in range(rows)]).reply(
        {row: [9] for row in range(rows)}, dict.fromkeys(range(rows), 1)
    )
    assert {reply.token_ids[0] for reply in replies.values()} == set(kept)
    assert 1 < len(kept) < VOCABULARY


def test_the_model_is_left_in_the_mode_it_was_in(model):
    model.train()
    play(model, SamplingSettings(max_new_tokens=2), [0])
    assert model.training
    model.eval()


def test_a_model_with_a_sliding_window_is_refused():
    model = MistralForCausalLM(MistralConfig(**SIZE, sliding_window=8))
    with pytest.raises(InvalidValueError, match="DynamicSlidingWindowLayer"):
        Sampler(model, SamplingSettings(max_new_tokens=2), STOPS).begin(PREFIX, ["a"])


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"max_new_tokens": 1, "temperature": -1}, "temperature"),
        ({"max_new_tokens": 1, "temperature": 1e-38}, "temperature"),
        ({"max_new_tokens": 1, "top_p": 0}, "top_p"),
        ({"max_new_tokens": 1, "top_k": -1}, "top_k"),
    ],
)
def test_impossible_settings_are_named(settings, name):
    with pytest.raises(InvalidValueError, match=f"{name} must be"):
        SamplingSettings(**settings)


def test_misuse_is_named(model):
    sampler = Sampler(model, SamplingSettings(max_new_tokens=2), STOPS)
    with pytest.raises(InvalidValueError, match="prefix is empty"):
        sampler.begin([], ["a"])
    with pytest.raises(InvalidValueError, match="stop_ids is empty"):
        Sampler(model, SamplingSettings(max_new_tokens=2), [])
    conversations = sampler.begin(PREFIX, ["a", "b"])
    with pytest.raises(InvalidValueError, match="heard nothing"):
        conversations.reply({0: []}, {0: 5})
    with pytest.raises(InvalidValueError, match="room for 0"):
        conversations.reply({0: [4]}, {0: 0})
    conversations.reply({0: [4]}, {0: 5})
    with pytest.raises(InvalidValueError, match="Conversation 1 is over"):
        conversations.reply({0: [4], 1: [4]}, {0: 5, 1: 5})
