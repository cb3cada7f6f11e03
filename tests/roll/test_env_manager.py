"""The env manager in ROLL's own loop and queue, with a scripted actor in place of the engine."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tau_retail_env.episodes.encoders import make_encoder
from tau_retail_env.episodes.plan import EpisodeRequest
from tau_retail_env.episodes.token_episode import TokenEpisode
from tau_retail_env.errors import InvalidValueError, UserSetupError
from tau_retail_env.runs.trajectories import read_trajectories
from tau_retail_env.users import UserError

GROUPS = {"groups": 2, "group_size": 2}
SIX_TASKS = {"source": "tau2", "split": "train", "task_subset": "profile"}
TWELVE_TASKS = {"source": "tau2", "split": "train", "task_subset": "single*exchanges"}


def attended(episode):
    """Ids, response mask and scores of one episode, padding aside."""
    length = int(episode.batch["attention_mask"].sum())
    mask = episode.batch["response_mask"].bool()
    return [column[0, :length].tolist() for column in (episode.batch["input_ids"], mask, episode.batch["scores"])]


def metrics_of(episode):
    return {name.removeprefix("env/retail/"): value for name, value in episode.meta_info["metrics"].items()}


def written(folder, mode="train"):
    """All trajectories that a run has written."""
    return [
        one for file in sorted((folder / "trajectories").glob(f"{mode}-*.jsonl")) for one in read_trajectories(file)
    ]


def into(folder, name):
    """Keys of a run that writes to a folder of its own."""
    return {"pipeline": {"output_dir": str(folder / f"run{name}")}}


def actor_that(turn):
    """Makes actors whose turn is `turn(actor, oracles_turn)`; they are numbered as their environments are."""
    from tests.roll.rollout_loop import Actor

    class Changed(Actor):
        made = 0

        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.number, Changed.made = Changed.made, Changed.made + 1

        def turn(self):
            return turn(self, super().turn)

    return Changed


def test_a_step_of_the_oracle_earns_its_rewards(rollout_loop):
    batch = rollout_loop(**GROUPS).play()
    assert len(batch) == 4
    for episode in batch:
        metrics = metrics_of(episode)
        assert metrics["success"] == metrics["reward"] == 1.0
        assert metrics["turns"] == metrics["num_actions"] == len(episode.non_tensor_batch["step_scores"][0])
        assert metrics["unscorable"] == metrics["customer_failures"] == metrics["masked"] == 0.0
        assert not any(value for name, value in metrics.items() if name.startswith("truncated_"))
        assert metrics["environment_step_s"] > 0 and metrics["generation_s"] > 0 and metrics["prefix_tokens"] > 0
        parts = ("environment_cpu_s", "chat_cpu_s", "proxy_cpu_s")
        assert 0 < sum(metrics[name] for name in parts) <= metrics["episode_cpu_s"]


def test_the_ids_are_those_that_went_to_the_engine_and_came_back(rollout_loop):
    played = rollout_loop()
    (episode,) = played.play()
    proxy = played.managers[0].llm_proxy
    ids, mask, scores = attended(episode)
    position = 0
    for number, reply in enumerate(proxy.replies[: int(metrics_of(episode)["turns"])]):
        prompt = proxy.requests[number][0]
        assert ids[: len(prompt)] == prompt
        assert mask[position : len(prompt)] == [False] * (len(prompt) - position)
        position = len(prompt) + len(reply)
        assert ids[len(prompt) : position] == reply
        assert mask[len(prompt) : position] == [True] * len(reply)
    assert position == len(ids)
    assert scores == [0.0] * (len(ids) - 1) + [1.0]
    first = len(proxy.requests[0][0])
    assert episode.batch["prompt_mask"][0].tolist() == [True] * first + [False] * (4096 - first)
    assert episode.batch["position_ids"][0, : len(ids)].tolist() == list(range(len(ids)))
    assert set(episode.batch["input_ids"][0, len(ids) :].tolist()) == {played.managers[0].tokenizer.pad_token_id}


def test_log_probability_i_belongs_to_token_i_plus_1(rollout_loop):
    from tests.roll.rollout_loop import LOGPROB

    (episode,) = rollout_loop().play()
    _, mask, _ = attended(episode)
    logprobs = episode.batch["infer_logprobs"]
    assert logprobs.shape == (1, 4095)
    place = 0
    for number, own in enumerate(mask[1:]):
        place = place + 1 if own and mask[number] else 0
        expected = LOGPROB - 0.001 * place if own else 0.0
        assert logprobs[0, number].item() == pytest.approx(expected, abs=1e-6)
    assert not logprobs[0, len(mask) - 1 :].any()


def test_a_training_epoch_visits_every_task_once_whatever_rolls_seeds(rollout_loop, tmp_path):
    orders = []
    for base_seed in (0, 123456):
        played = rollout_loop(
            groups=4, group_size=2, settings=SIX_TASKS, base_seed=base_seed, **into(tmp_path, base_seed)
        )
        tasks = len(played.managers[0].env.tasks)
        steps = -(-2 * tasks // 4)
        episodes = [episode for step in range(steps) for episode in played.play(step)]
        played.close()
        assert len(episodes) == 8 * steps
        records = {(one.group, one.sampling_seed): one for one in written(tmp_path / f"run{base_seed}")}
        by_count = {count: one.task_id for (count, _), one in records.items()}
        order = [by_count[count] for count in range(2 * tasks)]
        assert (
            Counter(order[:tasks])
            == Counter(order[tasks:])
            == Counter(task.id for task in played.managers[0].env.tasks)
        )
        assert order[:tasks] != order[tasks:]
        for count in range(2 * tasks):
            siblings = [one for (number, _), one in records.items() if number == count]
            assert len({(one.task_id, one.seed) for one in siblings}) == 1
        orders.append(order)
    assert orders[0] == orders[1]


@pytest.mark.parametrize("per_worker", [0, 2, 3])
def test_each_evaluation_plays_every_task_group_size_times_with_the_same_seeds(rollout_loop, per_worker):
    """Several episodes a group, groups that straddle workers, episode numbers that go on growing."""
    seen = []
    for base_seed in (0, 99):
        played = rollout_loop(
            mode="val",
            groups=4,
            group_size=2,
            episodes=3,
            settings=TWELVE_TASKS,
            manager={"max_env_num_per_worker": per_worker},
            base_seed=base_seed,
            env={"trajectory_share": 0},
        )
        resets = []
        for manager in played.managers:
            manager.env.reset = remember(manager.env.reset, resets)
        for step in (0, 5):
            resets.clear()
            assert len(played.play(step)) == 24
            seen.append(Counter(resets))
        played.close()
    assert all(evaluation == seen[0] for evaluation in seen)
    assert set(seen[0].values()) == {2}
    assert len({task for task, _ in seen[0]}) == 12


def remember(call, calls):
    def remembered(*arguments):
        calls.append(arguments)
        return call(*arguments)

    return remembered


def test_a_traversal_plays_every_task_and_ends(rollout_loop):
    played = rollout_loop(
        mode="val",
        groups=4,
        group_size=2,
        settings=SIX_TASKS,
        pipeline={"val_batch_size": -1},
        manager={"max_traj_per_env": 2**31},
        env={"trajectory_share": 0},
    )
    tasks = len(played.managers[0].env.tasks)
    for step in (0, 1):
        resets = []
        for manager in played.managers:
            manager.env.reset = remember(manager.env.reset, resets)
        assert len(played.play(step, batch_size=-1)) == 2 * tasks
        played.join()
        assert set(Counter(resets).values()) == {2}
        played.queue.clear()


def test_a_resumed_training_goes_on_with_the_tasks_that_follow(rollout_loop):
    whole = rollout_loop(groups=2, settings=SIX_TASKS, env={"trajectory_share": 0})
    resumed = rollout_loop(
        groups=2,
        settings=SIX_TASKS,
        env={"trajectory_share": 0},
        pipeline={"resume_from_checkpoint": "somewhere/checkpoint-4"},
    )
    for first, second in zip(whole.managers, resumed.managers, strict=True):
        assert [first._plan.request(5 + n) for n in range(9)] == [second._plan.request(n) for n in range(9)]


def test_an_aborted_request_is_asked_again_in_the_same_words(rollout_loop):
    held = []

    def abort_first(actor, oracle):
        if held:
            return held.pop()
        held.append(oracle())
        return None

    (undisturbed,) = rollout_loop().play()
    played = rollout_loop(make_actor=actor_that(abort_first))
    (episode,) = played.play()
    prompts = [prompt for prompt, _ in played.managers[0].llm_proxy.requests]
    turns = int(metrics_of(episode)["turns"])
    assert prompts[0 : 2 * turns : 2] == prompts[1 : 2 * turns : 2]
    assert attended(episode) == attended(undisturbed)


def test_a_first_prompt_without_room_ends_the_episode_with_a_zero_of_its_own(rollout_loop):
    played = rollout_loop(pipeline={"sequence_length": 30})
    (episode,) = played.play()
    metrics = metrics_of(episode)
    assert metrics["truncated_max_length"] == metrics["masked"] == 1.0
    assert metrics["turns"] == 0.0 and metrics["reward"] == 0.0
    assert episode.batch["input_ids"].shape == (1, 30)
    assert not episode.batch["response_mask"].any() and episode.batch["infer_logprobs"].shape == (1, 29)
    assert played.managers[0].llm_proxy.requests == []


def test_without_room_for_another_turn_the_episode_is_truncated_with_reward_0(rollout_loop):
    (whole,) = rollout_loop(env={"trajectory_share": 0}).play()
    ids, mask, _ = attended(whole)
    ends = [number for number in range(len(mask) - 1) if mask[number] and not mask[number + 1]]
    played = rollout_loop(pipeline={"sequence_length": ends[2] + 5})
    (episode,) = played.play()
    metrics = metrics_of(episode)
    assert metrics["truncated_max_length"] == 1.0 and metrics["success"] == metrics["reward"] == 0.0
    assert metrics["unscorable"] == 0.0 and metrics["turns"] == 3.0
    assert attended(episode)[0] == ids[: ends[2] + 1]
    assert attended(episode)[1][-1]


def test_a_turn_cut_at_the_end_of_the_sequence_is_not_played(rollout_loop):
    (whole,) = rollout_loop(env={"trajectory_share": 0}).play()
    ids, mask, _ = attended(whole)
    length = mask.index(True) + 3
    played = rollout_loop(pipeline={"sequence_length": length})
    (episode,) = played.play()
    assert attended(episode)[0] == ids[:length]
    assert metrics_of(episode)["cut_turns"] == metrics_of(episode)["truncated_max_length"] == 1.0
    assert metrics_of(episode)["num_actions"] == 1.0


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_an_episode_ends_when_the_actor_has_written_its_tokens(rollout_loop, more):
    (whole,) = rollout_loop(env={"trajectory_share": 0}).play()
    ids, mask, _ = attended(whole)
    start = mask.index(True)
    first_turn = mask.index(False, start) - start
    played = rollout_loop(env={"max_tokens_per_episode": first_turn + more})
    (episode,) = played.play()
    own = [token for token, is_own in zip(*attended(episode)[:2], strict=True) if is_own]
    assert len(own) == first_turn + more
    assert own[:first_turn] == ids[start : start + len(own)][:first_turn]
    assert metrics_of(episode)["truncated_max_length"] == 1.0
    assert metrics_of(episode)["cut_turns"] == float(more != 0)
    assert [config["max_new_tokens"] for _, config in played.managers[0].llm_proxy.requests][-1] == (
        1 if more > 0 else first_turn + more
    )


def test_a_request_has_its_own_copy_of_rolls_generation_config(rollout_loop):
    played = rollout_loop(env={"trajectory_share": 0})
    played.play()
    args = played.manager_config.generating_args.to_dict()
    configs = [config for _, config in played.managers[0].llm_proxy.requests]
    assert all(config == args | {"max_new_tokens": config["max_new_tokens"]} for config in configs)
    assert len({id(config) for config in configs}) == len(configs) > 1


@pytest.mark.parametrize(
    ("values", "ours", "theirs"),
    [
        ([0, 49151, 2**40], "int64", "long"),
        ([0, 1, 1, 0], "bool", "bool"),
        ([0.0, -0.1, -1e-45, -3e38, -1.0000001788139343, float("-inf")], "float32", "float"),
        ([], "int64", "long"),
    ],
)
def test_a_row_is_what_torch_makes_of_a_list(roll, values, ours, theirs):
    import torch

    from tau_retail_env.roll.batch import row

    expected = torch.tensor([values], dtype=getattr(torch, theirs))
    made = row(values, ours)
    assert made.dtype == expected.dtype and made.shape == expected.shape
    assert made.numpy().tobytes() == expected.numpy().tobytes()


def test_success_on_a_task_that_doing_nothing_wins_is_not_earned(rollout_loop, monkeypatch):
    from tau_retail_env.roll import metrics

    told = []
    monkeypatch.setattr(metrics, "nothing_earns", lambda shop, task: told.append(task.id) or float(len(told) == 1))
    played = rollout_loop(episodes=2, env={"trajectory_share": 0})
    first, second = (metrics_of(episode) for episode in played.play())
    assert metrics.EARNED not in first and second[metrics.EARNED] == second["success"] == 1.0
    assert len(set(told)) == 2


def test_a_turn_cut_by_max_new_tokens_is_closed_by_us(rollout_loop, small_tokenizer):
    played = rollout_loop(env={"max_tokens_per_step": 3, "max_steps": 2}, settings={"max_turns": 2})
    (episode,) = played.play()
    (first, config), (second, _) = played.managers[0].llm_proxy.requests[:2]
    assert config["max_new_tokens"] == 3
    reply = played.managers[0].llm_proxy.replies[0]
    end = small_tokenizer.eos_token_id
    assert end not in reply
    assert second[: len(first) + 4] == [*first, *reply, end]
    assert not attended(episode)[1][len(first) + 3]
    assert metrics_of(episode)["cut_turns"] == 2.0


def test_a_padding_token_ends_a_turn_but_is_none_of_its_words(rollout_loop, small_tokenizer):
    end, pad = small_tokenizer.eos_token_id, small_tokenizer.pad_token_id
    played = rollout_loop(make_actor=actor_that(lambda actor, oracle: [*actor.write("Hello.", end=False), pad]))
    (episode,) = step_of_turns(played, max_turns=2)
    (first, _), (second, _) = played.managers[0].llm_proxy.requests[:2]
    said = played.managers[0].llm_proxy.replies[0][:-1]
    assert second[: len(first) + len(said) + 1] == [*first, *said, end]
    ids, mask, _ = attended(episode)
    assert pad not in ids and mask[-1]
    assert metrics_of(episode)["cut_turns"] == 0.0


def test_another_eos_of_the_model_ends_a_turn_and_is_one_of_its_tokens(rollout_loop, small_tokenizer, monkeypatch):
    from tau_retail_env.roll import env_manager

    end, other = small_tokenizer.eos_token_id, small_tokenizer.encode("~", add_special_tokens=False)[-1]
    named = []
    monkeypatch.setattr(env_manager, "eos_token_ids", lambda source: named.append(source) or (end, other))
    played = rollout_loop(make_actor=actor_that(lambda actor, oracle: [*actor.write("Hello.", end=False), other]))
    (episode,) = step_of_turns(played, max_turns=2)
    assert set(named) == {small_tokenizer.name_or_path}
    (first, _), (second, _) = played.managers[0].llm_proxy.requests[:2]
    said = played.managers[0].llm_proxy.replies[0]
    assert second[: len(first) + len(said) + 1] == [*first, *said, end]
    mask = attended(episode)[1]
    assert mask[len(first) : len(first) + len(said) + 1] == [*[True] * len(said), False]
    assert metrics_of(episode)["cut_turns"] == 0.0


def step_of_turns(played, max_turns):
    """Play a step with another limit of turns."""
    for manager in played.managers:
        manager.env._limits = replace(manager.env._limits, max_turns=max_turns)
    return played.play()


def test_turns_of_padding_alone_leave_the_last_response_token_at_the_end(rollout_loop, small_tokenizer):
    pad = small_tokenizer.pad_token_id

    def turn(actor, oracle):
        actor.turns = getattr(actor, "turns", 0) + 1
        return actor.write("Hello.") if actor.turns == 1 else [pad]

    played = rollout_loop(make_actor=actor_that(turn))
    (episode,) = step_of_turns(played, max_turns=3)
    ids, mask, _ = attended(episode)
    assert mask[-1] and ids[-1] == small_tokenizer.eos_token_id
    assert metrics_of(episode)["malformed"] == 2.0 and metrics_of(episode)["turns"] == 3.0


def test_an_engine_without_words_is_asked_again_and_then_stops_the_run(rollout_loop):
    def silent_at_first(actor, oracle):
        actor.calls = getattr(actor, "calls", 0) + 1
        return [] if actor.calls < 5 else oracle()

    (episode,) = rollout_loop(make_actor=actor_that(silent_at_first)).play()
    assert metrics_of(episode)["success"] == 1.0
    played = rollout_loop(make_actor=actor_that(lambda actor, oracle: []))
    with pytest.raises(RuntimeError, match="8 times in a row without a single token"):
        played.play()
    played.errors.clear()


@pytest.mark.parametrize(
    ("text", "limits", "reason"),
    [
        ("One moment.", {"max_turns": 2}, "max_turns"),
        ('<tool_call>\n{"name": "fly", "arguments": {}}\n</tool_call>', {"max_errors": 2}, "too_many_errors"),
    ],
)
def test_an_end_by_a_limit_of_the_environment_ends_the_episode_and_is_counted_apart(rollout_loop, text, limits, reason):
    played = rollout_loop(make_actor=actor_that(lambda actor, oracle: actor.write(text)), settings=limits)
    (episode,) = played.play()
    metrics = metrics_of(episode)
    assert [name for name, value in metrics.items() if name.startswith("truncated_") and value] == [
        f"truncated_{reason}"
    ]
    assert metrics["reward"] == 0.0 and metrics["unscorable"] == 0.0
    assert attended(episode)[1][-1]
    if reason == "too_many_errors":
        assert metrics["tool_errors"] == metrics["tool_errors_unknown_tool"] == 2.0


@pytest.mark.parametrize("name", ["SilentAgent", "ParrotAgent", "QuitterAgent", "EagerAgent"])
def test_bad_actors_earn_nothing_and_leave_whole_trajectories(rollout_loop, name):
    from tau_retail_env.agents import bad as bad_agents
    from tests.roll.rollout_loop import hermes

    def bad(actor, oracle):
        if "task_id" in actor.info:
            actor.bad = getattr(bad_agents, name)()
        return actor.write(hermes(actor.bad.act(actor.observation, actor.info)))

    for episode in rollout_loop(**GROUPS, settings={"max_turns": 8}, make_actor=actor_that(bad)).play():
        _, mask, scores = attended(episode)
        assert metrics_of(episode)["reward"] == metrics_of(episode)["success"] == sum(scores) == 0.0
        assert mask[-1] and metrics_of(episode)["unscorable"] == 0.0


class Unreachable:
    """A customer that fails a number of times, then plays on."""

    def __init__(self, customer, failures, *, at_reset=False):
        self.customer, self.failures, self.at_reset = customer, failures, at_reset

    def reset(self, task, *, seed):
        self._fail(self.at_reset)
        return self.customer.reset(task, seed=seed)

    def respond(self, message):
        self._fail(not self.at_reset)
        return self.customer.respond(message)

    def _fail(self, now):
        if now and self.failures:
            self.failures -= 1
            raise UserError("no answer", usage={"latency_s": 2.0, "calls": 3.0})


def with_failures(played, failures, **more):
    """Have the customer of each environment fail."""
    for manager, count in zip(played.managers, failures, strict=True):
        manager.env._customer = Unreachable(manager.env._customer, count, **more)
    return played


@pytest.mark.parametrize("at_reset", [False, True], ids=["in the middle", "at the opening"])
def test_an_episode_whose_customer_fails_is_played_again(rollout_loop, tmp_path, at_reset):
    (undisturbed,) = rollout_loop(env={"trajectory_share": 0}).play()
    played = with_failures(rollout_loop(), [2], at_reset=at_reset)
    (episode,) = played.play()
    metrics = metrics_of(episode)
    assert attended(episode) == attended(undisturbed)
    assert metrics["tries"] == 3.0 and metrics["customer_failures"] == 2.0 and metrics["success"] == 1.0
    assert metrics["customer_calls"] >= 6.0 and metrics["customer_latency_s"] >= 4.0
    played.close()
    assert [one.scorable for one in written(tmp_path / "run")][:3] == [False, False, True]


@pytest.mark.parametrize("at_reset", [False, True], ids=["in the middle", "at the opening"])
def test_an_episode_whose_customer_keeps_failing_is_masked_and_in_a_group_of_its_own(rollout_loop, at_reset):
    played = with_failures(rollout_loop(group_size=2), [1000, 0], at_reset=at_reset)
    batch = played.play()
    masked, fine = sorted(batch, key=lambda episode: metrics_of(episode)["unscorable"], reverse=True)
    metrics = metrics_of(masked)
    assert metrics["unscorable"] == metrics["masked"] == 1.0 and metrics["tries"] == 3.0
    assert "success" not in metrics and "reward" not in metrics
    assert not masked.batch["response_mask"].any() and not masked.batch["scores"].any()
    assert masked.batch["attention_mask"].any()
    assert masked.non_tensor_batch["traj_group_id"][0] != fine.non_tensor_batch["traj_group_id"][0]
    assert masked.non_tensor_batch["group_ids"][0] == fine.non_tensor_batch["group_ids"][0]
    assert metrics_of(fine)["success"] == 1.0
    assert set(masked.batch.keys()) == set(fine.batch.keys())
    assert set(masked.non_tensor_batch.keys()) == set(fine.non_tensor_batch.keys())


def test_a_customer_that_cannot_be_had_before_something_is_mended_stops_the_run(rollout_loop):
    played = rollout_loop()

    def refuse(*arguments, **named):
        raise UserSetupError("wrong key")

    played.managers[0].env._customer.reset = refuse
    with pytest.raises(UserSetupError, match="wrong key"):
        played.play()
    played.errors.clear()


def test_a_customer_that_fails_in_one_episode_after_another_stops_the_run(rollout_loop):
    played = with_failures(rollout_loop(env={"trajectory_share": 0}), [1000])
    for step in (0, 1):
        assert metrics_of(played.play(step)[0])["unscorable"] == 1.0
    with pytest.raises(UserSetupError, match=r"3 episodes in a row .* the last time: no answer"):
        played.play(2)
    played.errors.clear()


def test_many_environments_in_threads_share_the_prefix_and_leave_global_random_alone(rollout_loop):
    played = rollout_loop(groups=16, group_size=8, env={"trajectory_share": 0})
    random.seed(7)
    np.random.seed(7)
    before = random.getstate(), np.random.get_state()[1].tolist()
    batch = played.play()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert len(batch) == 128
    assert all(metrics_of(episode)["success"] == 1.0 for episode in batch)
    assert len({id(manager._encoder.prefix) for manager in played.managers}) == 1


def test_only_the_wanted_share_of_groups_is_written_and_groups_are_whole(rollout_loop, tmp_path):
    played = rollout_loop(groups=8, group_size=2, env={"trajectory_share": 0.5})
    played.play()
    played.close()
    groups = Counter(one.group for one in written(tmp_path / "run") if one.group < 8)
    assert 0 < len(groups) < 8 and set(groups.values()) == {2}


def test_a_trajectory_on_disk_is_the_batch(rollout_loop, tmp_path):
    played = rollout_loop()
    (episode,) = played.play(step=7)
    played.close()
    (record,) = [one for one in written(tmp_path / "run") if one.group == 0]
    ids, mask, scores = attended(episode)
    assert list(record.token_ids) == ids and list(record.response_mask) == [int(own) for own in mask]
    assert record.reward == scores[-1] and record.policy_version == 7 and record.stop_reason == "user_stop"
    assert record.logprobs[1:] == pytest.approx(episode.batch["infer_logprobs"][0, : len(ids) - 1].tolist())
    assert record.messages[0]["role"] == "system" and record.metrics["turns"] == metrics_of(episode)["turns"]


def test_rollout_dump_dir_says_where_trajectories_go(rollout_loop, tmp_path):
    played = rollout_loop(pipeline={"rollout_dump_dir": str(tmp_path / "elsewhere")})
    played.play()
    played.close()
    assert list((tmp_path / "elsewhere").glob("train-*.jsonl"))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"env": {"max_steps": 7}, "settings": {"max_turns": 9}}, "max_steps is 7, but env_config.max_turns is 9"),
        ({"settings": {"prompt_style": "full"}}, "does not show the model its tools"),
        ({"settings": {"colour": "red"}}, "colour"),
        ({"mode": "val", "groups": 9, "settings": SIX_TASKS}, "ask for 9"),
    ],
)
def test_what_cannot_be_is_refused_by_name(rollout_loop, keys, words):
    with pytest.raises(InvalidValueError, match=words):
        rollout_loop(**keys)


def test_templates_and_limits_need_not_stand_in_the_yaml(rollout_loop):
    played = rollout_loop(settings={"max_turns": 12}, env={"max_steps": 12})
    assert metrics_of(played.play()[0])["success"] == 1.0


def test_requests_of_customers_fill_no_log(roll):
    import logging

    from tau_retail_env.roll import env_manager  # noqa: F401

    assert not any(logging.getLogger(client).isEnabledFor(logging.INFO) for client in ("httpx", "httpx2"))


def test_a_cost_that_is_not_known_of_every_reply_is_not_told(roll, small_tokenizer):
    """The steps that knew theirs do not bring a part of it back as the whole."""
    from tau_retail_env.roll.metrics import episode_metrics
    from tau_retail_env.roll.rollout import Clock

    encoder = make_encoder(small_tokenizer, "generated", "minimal")
    priced, unpriced = {"calls": 1, "completion_tokens": 5, "cost_usd": 0.5}, {"calls": 1, "completion_tokens": 5}

    def played(*usages):
        episode = TokenEpisode(request=EpisodeRequest("generated/train/0", 0), encoder=encoder, sequence_length=4096)
        told = {"system_prompt": encoder.system_prompt, "source": "generated", "split": "train", "user_strategy": "llm"}
        episode.open(told | {"messages": [{"role": "user", "content": "Hi"}], "customer_usage": usages[0]})
        for number, usage in enumerate(usages[1:]):
            episode.listen()
            episode.speak(encoder.reply("Hello."), None, stopped=True)
            metrics = {"turns": 1.0, "tool_errors": float(number == 0), "customer_cost_usd": 0.5}
            modes = dict.fromkeys(metrics, "sum")
            info = {"messages": [], "customer_usage": usage, "metrics": metrics, "metrics_agg_mode": modes}
            episode.hear(0.0, False, False, info)
        return episode_metrics([episode], Clock(), 1.0, 1.0)

    metrics = played(priced, unpriced, priced)
    assert "customer_cost_usd" not in metrics
    assert (metrics["customer_calls"], metrics["tool_errors"], metrics["malformed"]) == (3.0, 1.0, 0.0)
    assert played(priced, priced)["customer_cost_usd"] == 1.0
