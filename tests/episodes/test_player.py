"""Playing episodes: with an agent, and many at once with a model."""

import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from tau_retail_env.chat.encoder import ChatEncoder
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.player import BatchPlayer, play_episode
from tau_retail_env.errors import InvalidValueError, UserSetupError
from tau_retail_env.messages import AgentMessage, ToolCall
from tau_retail_env.runs.trajectories import read_trajectories, write_trajectories
from tau_retail_env.users import UserError, UserMessage
from tests.byte_tokenizer import byte_tokenizer

SYSTEM = "Shop."
MODES = {"turns": "sum", "chars": "sum", "longest": "max", "average": "mean", "final": "last"}


class FakeEnv:
    """An environment of the same contract; the task "kind/n" says what happens in its n-th turn."""

    def __init__(self, delay_s=0.0):
        self.delay_s = delay_s
        self.threads = set()
        self.closed = 0

    def reset(self, task_id=None, seed=None):
        time.sleep(self.delay_s)
        self.kind, _, number = task_id.partition("/")
        self.last, self.turn = int(number), 0
        self.user_strategy = "fake"
        if self.kind == "absent":
            raise UserError("no words", usage={"latency_s": 2.0, "calls": 3})
        if self.kind == "locked":
            raise UserSetupError("no key")
        words = f"{task_id} {seed}"
        return words, {
            "task_id": task_id,
            "source": "fake",
            "split": "train",
            "user_strategy": self.user_strategy,
            "role": "user",
            "tools": [],
            "system_prompt": SYSTEM,
            "messages": [{"role": "assistant", "content": "Hi!"}, {"role": "user", "content": words}],
        }

    def step(self, action):
        time.sleep(self.delay_s)
        self.threads.add(threading.get_ident())
        self.turn += 1
        if self.kind == "crash" and self.turn == self.last:
            raise KeyError("broken")
        over, failed = self.turn == self.last, self.kind == "fail"
        role = "tool" if self.turn % 2 else "user"
        size = len(action) if isinstance(action, str) else 1
        info = {
            "role": role,
            "messages": [{"role": role, "content": "so " * self.turn}],
            "metrics": {"turns": 1.0, "chars": size, "longest": size, "average": self.turn, "final": self.turn},
            "metrics_agg_mode": MODES,
        }
        if over:
            reason = "user_error" if failed else "user_stop"
            info |= {"stop_reason": reason, "scorable": not failed, "reward_breakdown": {"database": 1.0}}
            info["user_strategy"] = self.user_strategy
        return "so", float(over and not failed), over and not failed, over and failed, info

    def close(self):
        self.closed += 1


@pytest.fixture(scope="module")
def encoder():
    return ChatEncoder(byte_tokenizer(), system_prompt=SYSTEM, tools=None)


class Speaker:
    """A sampler that says the same few words in every conversation, and whatever room allows of them."""

    def __init__(self, encoder, words="Well, well.", max_new_tokens=50):
        self.ids = encoder.reply(words)
        self.max_new_tokens = max_new_tokens
        self.keys = []
        self.heard = []

    def begin(self, prefix, seeds):
        self.keys += seeds
        return self

    def reply(self, heard, room):
        from tau_retail_env.models.sampler import Reply

        self.heard.append(heard)
        sizes = {row: min(room[row], self.max_new_tokens) for row in heard}
        cut = {row: tuple(self.ids[: sizes[row]]) for row in heard}
        return {row: Reply(ids, (-0.5,) * len(ids), ids[-1] == self.ids[-1]) for row, ids in cut.items()}


def player(encoder, speaker=None, make_env=FakeEnv, sequence_length=400, **sizes):
    return BatchPlayer(make_env, speaker or Speaker(encoder), encoder, sequence_length=sequence_length, **sizes)


def rendered(encoder, messages):
    return encoder.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True)["input_ids"]


def test_tokens_equal_the_templates_and_masks_the_models_own(encoder):
    speaker = Speaker(encoder)
    (trajectory,) = player(encoder, speaker).play([EpisodeRequest("talk/3", seed=5)])
    back = trajectory.messages[-1:]
    expected = rendered(encoder, trajectory.messages[:-1])
    after = len(encoder.following([]))
    assert list(trajectory.token_ids) == expected[: len(expected) - after], "up to the model's last token"
    own = [token for token, mask in zip(trajectory.token_ids, trajectory.response_mask, strict=True) if mask]
    assert own == speaker.ids * 3
    assert list(trajectory.token_ids[: trajectory.prompt_length]) == rendered(encoder, trajectory.messages[:3])
    assert [p for p, m in zip(trajectory.logprobs, trajectory.response_mask, strict=True) if m] == [-0.5] * len(own)
    assert not any(p for p, m in zip(trajectory.logprobs, trajectory.response_mask, strict=True) if not m)
    assert [m["role"] for m in trajectory.messages] == [
        *("system", "assistant", "user", "assistant", "tool", "assistant", "user", "assistant"),
        back[0]["role"],
    ]


def test_a_model_is_read_in_its_own_format_of_tool_calls():
    trl = pytest.importorskip("trl", reason="trl, which has the templates, is not installed")
    template = Path(trl.__file__).parent / "chat_templates" / "llama3_1.jinja"
    encoder = make_encoder(byte_tokenizer(template.read_text(), eos_token="<|eot_id|>", pad_token="-"), "tau2", "full")
    speaker = Speaker(encoder, '{"name": "calculate", "parameters": {"expression": "2**10"}}', max_new_tokens=100)
    request = EpisodeRequest("tau2/0", seed=1)
    make_env = partial(TauRetailEnv, max_turns=2)
    (trajectory,) = player(encoder, speaker, make_env, sequence_length=60_000).play([request])
    assert (trajectory.metrics["tool_calls"], trajectory.metrics["tool_errors"]) == (2.0, 0.0)
    assert [message["content"] for message in trajectory.messages if message["role"] == "tool"] == ["1024.0"] * 2
    function = trajectory.messages[3]["tool_calls"][0]["function"]
    assert (function["name"], function["arguments"]) == ("calculate", '{"expression": "2**10"}')


def test_the_record_says_how_it_went(encoder):
    request = EpisodeRequest("talk/3", seed=5, group=2, tag="val", sampling_seed=9)
    speaker, began = Speaker(encoder), time.perf_counter()
    (trajectory,) = player(encoder, speaker).play([request], policy_version=4)
    assert (trajectory.task_id, trajectory.source, trajectory.split) == ("talk/3", "fake", "train")
    assert (trajectory.seed, trajectory.group, trajectory.tag, trajectory.sampling_seed) == (5, 2, "val", 9)
    assert (trajectory.reward, trajectory.terminated, trajectory.truncated) == (1.0, True, False)
    assert (trajectory.stop_reason, trajectory.scorable, trajectory.policy_version) == ("user_stop", True, 4)
    assert trajectory.reward_breakdown == {"database": 1.0}
    assert trajectory.metrics == {
        "turns": 3,
        "chars": 33,
        "longest": 11,
        "average": 2,
        "final": 3,
        "response_tokens": 3 * len(speaker.ids),
        "cut_turns": 0,
    }
    assert trajectory.timings.keys() == {"environment_s", "generation_s"}
    assert 0 < trajectory.timings["generation_s"] < time.perf_counter() - began


def test_a_turn_that_is_cut_is_closed_and_the_episode_goes_on(encoder):
    speaker = Speaker(encoder, max_new_tokens=4)
    (trajectory,) = player(encoder, speaker).play([EpisodeRequest("talk/2", seed=0)])
    assert [m["content"] for m in trajectory.messages if m["role"] == "assistant"] == ["Hi!", "Well", "Well"]
    expected = rendered(encoder, trajectory.messages[:-1])
    assert list(trajectory.token_ids) == expected[: len(trajectory.token_ids)]
    first_end = trajectory.prompt_length + 4
    assert trajectory.token_ids[first_end] == encoder.end_of_turn_id and trajectory.response_mask[first_end] == 0
    assert trajectory.metrics["cut_turns"] == 2
    assert trajectory.reward == 1.0


def test_a_turn_that_another_eos_has_ended_is_whole_and_keeps_the_token_that_was_drawn():
    tokenizer = byte_tokenizer()
    other = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    encoder = ChatEncoder(tokenizer, system_prompt=SYSTEM, tools=None, eos_token_ids=[other])
    speaker = Speaker(encoder)
    speaker.ids = [*speaker.ids[:-1], other]
    (trajectory,) = player(encoder, speaker).play([EpisodeRequest("talk/3", seed=5)])
    assert [m["content"] for m in trajectory.messages if m["role"] == "assistant"] == ["Hi!", *["Well, well."] * 3]
    assert trajectory.metrics["cut_turns"] == 0
    tokens = list(zip(trajectory.token_ids, trajectory.response_mask, strict=True))
    assert [token for token, own in tokens if own] == speaker.ids * 3
    after = [tokens[place + 1] for place, token in enumerate(tokens[:-1]) if token == (other, 1)]
    assert after == [(encoder.end_of_turn_id, 0)] * 2
    assert tokens[-1] == (other, 1)
    seen = [dict(message) for message in trajectory.messages[:-1]]
    for message in seen[3:]:
        message["content"] += "<|endoftext|>" * (message["role"] == "assistant")
    assert list(trajectory.token_ids) == rendered(encoder, seen)[: len(tokens)]


@pytest.mark.parametrize("short", range(1, 40))
def test_an_episode_never_outgrows_its_sequence_length(encoder, short):
    whole = player(encoder).play([EpisodeRequest("talk/3", seed=5)])[0]
    length = len(whole.token_ids) - short
    envs = []

    def make_env():
        envs.append(FakeEnv())
        return envs[-1]

    (trajectory,) = player(encoder, make_env=make_env, sequence_length=length).play([EpisodeRequest("talk/3", seed=5)])
    assert trajectory.token_ids == whole.token_ids[: len(trajectory.token_ids)]
    assert trajectory.response_mask == whole.response_mask[: len(trajectory.token_ids)]
    assert len(trajectory.token_ids) <= length
    assert (trajectory.stop_reason, trajectory.terminated, trajectory.truncated) == ("length", False, True)
    assert (trajectory.reward, trajectory.scorable) == (0.0, True)
    assert envs[0].closed == 1 and envs[0].turn < 3
    assert trajectory.response_mask[-1] == 1, "tokens that nothing was said after are left out"


def test_a_turn_that_just_fits_counts(encoder):
    whole = player(encoder).play([EpisodeRequest("talk/3", seed=5)])[0]
    (again,) = player(encoder, sequence_length=len(whole.token_ids)).play([EpisodeRequest("talk/3", seed=5)])
    assert again.token_ids == whole.token_ids and again.reward == 1.0


def test_all_customers_of_a_batch_are_waited_for_at_the_same_time(encoder):
    """Each of 100 customers answers once all 100 were spoken to."""
    spoken_to = threading.Barrier(100)

    class WaitingEnv(FakeEnv):
        def step(self, action):
            spoken_to.wait(20)
            return super().step(action)

    requests = [EpisodeRequest("talk/1", seed=number) for number in range(100)]
    played = player(encoder, make_env=WaitingEnv, batch_size=100).play(requests)
    assert [one.reward for one in played] == [1.0] * 100


def test_an_opening_without_room_for_an_answer_ends_at_once(encoder):
    length = len(encoder.prefix) + 5
    speaker = Speaker(encoder)
    (trajectory,) = player(encoder, speaker, sequence_length=length).play([EpisodeRequest("talk/3", seed=5)])
    assert (trajectory.stop_reason, len(trajectory.token_ids), sum(trajectory.response_mask)) == ("length", length, 0)
    assert trajectory.prompt_length == length and not speaker.heard


def test_a_customer_who_fails_leaves_the_episode_unscored(encoder):
    failed, absent, fine = player(encoder).play(
        [EpisodeRequest("fail/2", seed=0), EpisodeRequest("absent/1", seed=0), EpisodeRequest("talk/3", seed=0)]
    )
    for trajectory in (failed, absent):
        assert (trajectory.scorable, trajectory.reward, trajectory.stop_reason) == (False, 0.0, "user_error")
        assert (trajectory.terminated, trajectory.truncated) == (False, True)
        assert trajectory.user_strategy == "fake"
    assert failed.metrics["turns"] == 2 and absent.metrics["turns"] == 0 and absent.token_ids == ()
    assert absent.customer_error == "no words"
    assert absent.metrics["customer_failures"] == 1 and absent.metrics["customer_calls"] == 3
    assert fine.reward == 1.0 and fine.customer_error == ""


def test_an_error_that_stops_all_leaves_what_was_finished(encoder):
    requests = [*(EpisodeRequest(f"talk/{turns}", seed=0) for turns in (1, 3)), EpisodeRequest("locked/1", seed=0)]
    record = []
    with pytest.raises(UserSetupError, match="no key"):
        player(encoder, batch_size=2).play(requests, record=record)
    assert [trajectory.task_id for trajectory in record] == ["talk/1", "talk/3"]


def test_an_error_that_stops_all_leaves_what_was_under_way_unscored(encoder):
    class Budget(FakeEnv):
        def step(self, action):
            if self.kind == "talk" and self.turn == 1 and self.last == 9:
                raise UserSetupError("budget used up")
            return super().step(action)

    requests = [EpisodeRequest(f"talk/{turns}", seed=0) for turns in (1, 3, 9)]
    record = []
    with pytest.raises(UserSetupError, match="budget used up"):
        player(encoder, make_env=Budget).play(requests, record=record)
    assert [(t.stop_reason, t.scorable, t.metrics["turns"]) for t in record] == [
        ("user_stop", True, 1),
        ("stopped", False, 2),
        ("stopped", False, 2),
    ]
    assert all(len(trajectory.token_ids) == len(trajectory.response_mask) for trajectory in record)


class Priced:
    """A customer with a price, who says "ok" or fails where it hears "fail"."""

    strategy = "llm"

    def reset(self, task, *, seed):
        return UserMessage("Hello", usage={"latency_s": 0.25, "calls": 1, "cost_usd": 0.5})

    def respond(self, message):
        if "fail" in message.content:
            raise UserError("timed out", usage={"latency_s": 4.0, "calls": 3, "retries": 2})
        return UserMessage("ok", usage={"latency_s": 0.5, "calls": 2, "retries": 1, "cost_usd": None})


class Failing:
    """An agent that speaks twice, the second time to a customer who fails."""

    def act(self, observation, info):
        return "Who are you?" if observation == "Hello" else "fail"


def test_what_a_customer_took_is_recorded_message_by_message_and_added_up(tmp_path):
    env = TauRetailEnv(user=Priced())
    trajectory = play_episode(env, Failing(), EpisodeRequest(env.tasks[0].id, seed=0))
    assert [usage["latency_s"] for usage in trajectory.customer_usage] == [0.25, 0.5, 4.0]
    assert trajectory.metrics["customer_latency_s"] == 4.75
    assert (trajectory.metrics["customer_calls"], trajectory.metrics["customer_retries"]) == (6, 3)
    assert trajectory.metrics["customer_failures"] == 1
    assert "customer_cost_usd" not in trajectory.metrics  # not known of every reply
    assert (trajectory.user_strategy, trajectory.customer_error) == ("llm", "timed out")
    write_trajectories(tmp_path / "t.jsonl", [trajectory])
    assert read_trajectories(tmp_path / "t.jsonl") == [trajectory]


class FirstUnpriced(Priced):
    """The price of its opening is not known, that of its only answer is."""

    def reset(self, task, *, seed):
        return UserMessage("Hello", usage={"calls": 1})

    def respond(self, message):
        return UserMessage("###STOP###", usage={"calls": 1, "cost_usd": 0.5})


class Looking:
    """An agent that looks something up before it speaks: the opening and the answer fall into two steps."""

    def act(self, observation, info):
        if observation == "Hello":
            return AgentMessage("", (ToolCall("get_order_details", {"order_id": "#W2378156"}),))
        return "Is there anything else?"


def test_a_cost_that_is_not_known_of_one_step_is_not_known_of_the_episode():
    env = TauRetailEnv(user=FirstUnpriced())
    trajectory = play_episode(env, Looking(), EpisodeRequest(env.tasks[0].id, seed=0))
    assert (trajectory.stop_reason, trajectory.metrics["customer_calls"]) == ("user_stop", 2)
    assert "customer_cost_usd" not in trajectory.metrics


def test_an_episode_too_long_for_a_word_of_the_agent_still_counts_its_opening(encoder):
    def make_env():
        return TauRetailEnv(user=Priced(), prompt_style="minimal")

    env = make_env()
    real = ChatEncoder(encoder.tokenizer, system_prompt=env.reset(seed=0)[1]["system_prompt"], tools=None)
    playing = BatchPlayer(make_env, Speaker(real), real, sequence_length=len(real.prefix) + 1)
    (trajectory,) = playing.play([EpisodeRequest(env.tasks[0].id, seed=0)])
    assert (trajectory.stop_reason, trajectory.metrics["customer_cost_usd"]) == ("length", 0.5)


def test_an_error_of_an_environment_names_its_task_after_the_others_have_stepped(encoder):
    envs = []

    def make_env():
        envs.append(FakeEnv(delay_s=0.05 * len(envs)))
        return envs[-1]

    requests = [EpisodeRequest("crash/2", seed=7), EpisodeRequest("talk/4", seed=0), EpisodeRequest("talk/4", seed=1)]
    with pytest.raises(RuntimeError, match=r"task crash/2 \(seed 7, turn 2\): KeyError: 'broken'") as caught:
        player(encoder, make_env=make_env).play(requests)
    assert isinstance(caught.value.__cause__, KeyError)
    assert [env.turn for env in envs] == [2, 2, 2]


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_trajectories_come_in_the_order_of_the_requests_whatever_the_batch(encoder, batch_size):
    requests = [EpisodeRequest(f"talk/{1 + number % 4}", seed=number) for number in range(10)]
    made, seen = [], []

    def make_env():
        made.append(FakeEnv())
        return made[-1]

    speaker = Speaker(encoder)
    trajectories = player(encoder, speaker, make_env=make_env, batch_size=batch_size).play(
        requests, progress=lambda now: seen.append((now.finished, now.asked, now.turns, now.tokens))
    )
    assert [(t.task_id, t.seed) for t in trajectories] == [(r.task_id, r.seed) for r in requests]
    assert [t.metrics["turns"] for t in trajectories] == [1 + number % 4 for number in range(10)]
    assert len(made) == min(batch_size, 10)
    assert len(set(speaker.keys)) == 10
    turns = sum(t.metrics["turns"] for t in trajectories)
    assert seen[0][:3] == (0, 10, 0) and seen[-1][:3] == (10, 10, turns) and seen == sorted(seen)
    assert len({now[2] for now in seen}) >= 4 and seen[-1][3] >= sum(len(t.token_ids) for t in trajectories)


def test_sixty_four_customers_of_a_second_each_take_under_three_seconds_a_turn(encoder):
    requests = [EpisodeRequest("talk/1", seed=number) for number in range(64)]
    playing = player(encoder, make_env=lambda: FakeEnv(delay_s=1.0))
    start = time.monotonic()
    trajectories = playing.play(requests)
    assert time.monotonic() - start < 2 * 3.0, "one reset and one step"
    assert all(trajectory.reward == 1.0 for trajectory in trajectories)


def test_a_model_plays_with_a_kept_cache_as_without(encoder, tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from tau_retail_env.models.sampler import Sampler, SamplingSettings

    torch.manual_seed(1)
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = Qwen2Config(vocab_size=len(encoder.tokenizer), num_key_value_heads=2, initializer_range=0.4, **size)
    model = Qwen2ForCausalLM(config).eval()
    with torch.no_grad():
        model.lm_head.weight[encoder.end_of_turn_id] *= 3
    sampler = Sampler(model, SamplingSettings(max_new_tokens=12), encoder.stop_ids)
    requests = [EpisodeRequest(f"talk/{1 + row % 3}", seed=0, sampling_seed=row) for row in range(9)]
    trajectories = player(encoder, sampler).play(requests)
    assert len({trajectory.token_ids for trajectory in trajectories}) == 9
    assert {trajectory.metrics["cut_turns"] > 0 for trajectory in trajectories} == {True, False}
    for trajectory in trajectories:
        with torch.inference_mode():
            anew = model(torch.tensor([trajectory.token_ids])).logits[0].log_softmax(dim=-1)
        rows = zip(trajectory.token_ids, trajectory.response_mask, trajectory.logprobs, strict=True)
        for place, (token, own, logprob) in enumerate(rows):
            assert not own or logprob == pytest.approx(float(anew[place - 1, token]), abs=1e-4)
    again = player(encoder, sampler).play(requests)
    assert [t.token_ids for t in again] == [t.token_ids for t in trajectories]
    write_trajectories(tmp_path / "t.jsonl", trajectories)
    assert read_trajectories(tmp_path / "t.jsonl") == trajectories


def test_sizes_that_cannot_be_meant_are_named(encoder):
    with pytest.raises(InvalidValueError, match=r"sequence_length .* leaves no room"):
        player(encoder, sequence_length=len(encoder.prefix))
    with pytest.raises(InvalidValueError, match="batch_size must be at least 1"):
        player(encoder, batch_size=0)
    with pytest.raises(InvalidValueError, match="max_own_tokens must be at least 1 or None, found 0"):
        player(encoder, max_own_tokens=0)
    assert player(encoder).play([]) == []


def test_another_system_prompt_than_the_encoders_is_named():
    other = ChatEncoder(byte_tokenizer(), system_prompt="Another shop.", tools=None)
    with pytest.raises(InvalidValueError, match=r"system prompt .*'Shop.'.*'Another shop.'"):
        player(other).play([EpisodeRequest("talk/1", seed=0)])


class Calling:
    """An agent that calls a tool, then talks."""

    def act(self, observation, info):
        if info["role"] == "user":
            return AgentMessage("One moment.", (ToolCall("f", {"a": "é"}, id="c1"),))
        return "Done."


def test_an_agent_plays_an_episode_without_tokens(tmp_path):
    trajectory = play_episode(FakeEnv(), Calling(), EpisodeRequest("talk/2", seed=3, tag="oracle"))
    assert (trajectory.reward, trajectory.stop_reason, trajectory.tag) == (1.0, "user_stop", "oracle")
    assert (trajectory.token_ids, trajectory.logprobs, trajectory.prompt_length) == ((), (), 0)
    assert trajectory.messages[3] == {
        "role": "assistant",
        "content": "One moment.",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a": "é"}'}}],
    }
    assert trajectory.messages[5] == {"role": "assistant", "content": "Done."}
    assert trajectory.metrics["turns"] == 2
    write_trajectories(tmp_path / "t.jsonl", [trajectory])
    assert read_trajectories(tmp_path / "t.jsonl") == [trajectory]


def test_an_agent_who_is_stopped_leaves_what_was_said_unscored():
    class Leaving(Calling):
        def act(self, observation, info):
            if info["role"] == "tool":
                raise KeyboardInterrupt
            return super().act(observation, info)

    record = []
    with pytest.raises(KeyboardInterrupt):
        play_episode(FakeEnv(), Leaving(), EpisodeRequest("talk/2", seed=3), record=record)
    (stopped,) = record
    assert (stopped.stop_reason, stopped.scorable, stopped.truncated) == ("stopped", False, True)
    assert stopped.messages[-1]["role"] == "tool"
    whole = play_episode(FakeEnv(), Calling(), EpisodeRequest("talk/2", seed=3), record=record)
    assert record == [stopped, whole]


def test_an_agent_whose_customer_is_absent_is_not_asked():
    trajectory = play_episode(FakeEnv(), None, EpisodeRequest("absent/1", seed=3))
    assert (trajectory.scorable, trajectory.messages, trajectory.source) == (False, (), "absent")


def test_the_real_environment_is_played_too(encoder):
    def make_env():
        return TauRetailEnv(source="tau2", split="train", prompt_style="minimal")

    real = ChatEncoder(encoder.tokenizer, system_prompt=make_env().reset(seed=0)[1]["system_prompt"], tools=None)
    words = '<tool_call>\n{"name": "list_all_product_types", "arguments": {}}\n</tool_call>'
    speaker = Speaker(real, words, max_new_tokens=200)
    task_id = make_env().tasks[0].id
    (trajectory,) = BatchPlayer(make_env, speaker, real, sequence_length=9000).play([EpisodeRequest(task_id, seed=0)])
    assert trajectory.task_id == task_id and trajectory.metrics["tool_calls"] > 1
    assert trajectory.stop_reason == "length"


def test_the_room_imports_no_torch_before_it_is_used():
    code = (
        "import sys, tau_retail_env.episodes, tau_retail_env.episodes.player, tau_retail_env.episodes.trajectory;"
        "assert not {'torch', 'transformers', 'tau2', 'litellm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
