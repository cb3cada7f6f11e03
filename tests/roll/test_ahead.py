"""Rollouts that run ahead on the GPUs that also learn: ROLL's queue with environments of different lengths."""

import asyncio
import random
import threading
from collections import Counter
from types import SimpleNamespace

import pytest

from tests.roll.test_env_manager import actor_that, metrics_of, written

GROUPS, SIZE, STEPS = 8, 4, 40


def lengths():
    """Of each group's episodes, in turns: a few are much longer than the others."""
    draw = random.Random(0)
    return {
        (group, episode): [60 if draw.random() < 0.1 else draw.randint(1, 20) for _ in range(SIZE)]
        for group in range(GROUPS)
        for episode in range(STEPS)
    }


class Played:
    """A run of fake environments around ROLL's own queue; a turn of each environment takes one tick.

    Args:
        ahead: what the queue gets as `async_generation_ratio`.
    """

    def __init__(self, ahead):
        self.lengths, self.ahead = lengths(), ahead
        self.begun, self.used = [], []
        """Step, group, episode and length of what was begun, and of what a step got."""
        self.ticks, self.under_way = [], []
        """Of each step: how long it played, and how many episodes were not over when it ended."""
        self.step, self.playing, self.awake = 0, 0, []
        asyncio.run(self._run())

    async def _run(self):
        from roll.distributed.scheduler.rollout_scheduler import GroupQueueManager
        from roll.pipeline.agentic.agentic_config import EnvMonitorConfig

        places = [(group, env) for group in range(GROUPS) for env in range(SIZE)]
        manager_config = SimpleNamespace(
            group_size=SIZE,
            group_size_redundancy=0,
            max_traj_per_env=1,
            group_filter_cls="tau_retail_env.roll.group_filter.SignalFilter",
            env_configs={0: {number: {"group_id": group} for number, (group, _) in enumerate(places)}},
        )
        config = SimpleNamespace(
            async_generation_ratio=self.ahead,
            rollout_batch_size=GROUPS * SIZE,
            env_monitor=EnvMonitorConfig(enable=False),
        )
        self.queue = GroupQueueManager.__ray_metadata__.modified_class(config, manager_config, "train")
        environments = [asyncio.create_task(self._environment(*place)) for place in places]
        for self.step in range(STEPS):
            self.queue.advance_step(self.step)
            batch = asyncio.create_task(self.queue.get_batch(GROUPS * SIZE, self.step))
            ticks = 0
            while await self._settled() and not batch.done():
                awake, self.awake, ticks = self.awake, [], ticks + 1
                for turn in awake:
                    turn.set_result(None)
            self.used += [(self.step, *one.who) for one in await batch]
            self.ticks.append(ticks)
            self.under_way.append(self.playing)
        await asyncio.gather(*environments)

    async def _settled(self):
        """Let everybody come to what they wait for."""
        for _ in range(50):
            await asyncio.sleep(0)
        return True

    async def _environment(self, group, env):
        while (episode := await self.queue.get_episode_id(group, env)) < STEPS:
            step, length = self.step, self.lengths[group, episode].pop()
            self.begun.append((step, group, episode, length))
            self.playing += 1
            for _ in range(length):
                self.awake.append(asyncio.get_running_loop().create_future())
                await self.awake[-1]
            self.playing -= 1
            rollout = SimpleNamespace(who=(group, episode, length), meta_info={"metrics": {}})
            self.queue.put(group, episode, step, rollout, env)
            if episode == STEPS - 1:
                return


@pytest.fixture(scope="module")
def ahead(roll):
    return Played(1)


@pytest.fixture(scope="module")
def in_turn(roll):
    return Played(0)


def test_every_episode_that_is_begun_is_used_once_and_in_the_step_that_it_is_for(ahead, in_turn):
    assert Counter(one[1:] for one in ahead.begun) == Counter(one[1:] for one in ahead.used)
    assert all(step == episode for step, _, episode, _ in ahead.used)
    assert Counter(ahead.used) == Counter(in_turn.used)


def test_no_length_is_preferred_in_any_step(ahead):
    drawn = lengths()
    for step in range(STEPS):
        used = sorted(length for taken, _, _, length in ahead.used if taken == step)
        assert used == sorted(length for group in range(GROUPS) for length in drawn[group, step])


def test_a_step_ends_while_episodes_of_the_next_are_under_way_and_begins_with_them(ahead, in_turn):
    """So the longest is waited for from when the step before began to run out of others."""
    begun = {}
    for step, _, episode, _ in ahead.begun:
        assert step in (episode - 1, episode)
        begun.setdefault(episode, []).append(step)
    assert all(min(begun[episode]) == episode - 1 for episode in range(1, STEPS))
    assert sum(number > 0 for number in ahead.under_way) > 0.9 * (STEPS - 1)
    assert not any(in_turn.under_way) and ahead.under_way[-1] == 0
    assert all(ticks == 60 for ticks in in_turn.ticks[:-1] if ticks > 20)
    assert sum(ahead.ticks) < 0.8 * sum(in_turn.ticks)


def test_the_queue_of_validations_is_never_ahead(rollout_loop):
    played = rollout_loop(mode="val", pipeline={"async_generation_ratio": 1})
    assert played.queue.manager.async_generation_ratio == 0


def test_a_run_that_plays_ahead_ends_with_its_last_step_and_says_when_tokens_were_asked_for(rollout_loop, tmp_path):
    reached, go_on = threading.Event(), threading.Event()

    def slow_in_the_second(actor, oracle):
        actor.played = [*getattr(actor, "played", []), actor.agent]  # one an episode
        if len(set(actor.played)) == 2 and actor.played.count(actor.agent) == 2:
            reached.set()
            assert go_on.wait(60)
        return oracle()

    keys = {"async_generation_ratio": 1, "max_steps": 3}
    played = rollout_loop(pipeline=keys, make_actor=actor_that(slow_in_the_second))
    batches = [played.play(0)]
    assert reached.wait(60)  # the next step's episode was begun, and its second message asked for
    played.start(1)
    go_on.set()
    batches += [played.play(1), played.play(2)]
    played.join()  # nobody waits for a fourth episode
    assert [one.non_tensor_batch["traj_group_id"][0].split("_")[2] for (one,) in batches] == ["0", "1", "2"]
    asked_at = [metrics_of(one)["rollout/asked_at_step"] for (one,) in batches]
    assert asked_at[0] == 0 < asked_at[1] < 1 <= asked_at[2] <= 2
    assert [one.policy_version for one in written(tmp_path / "run")][:2] == [0, 0]


def test_each_token_is_weighed_by_the_probability_with_which_it_was_drawn(rollout_loop):
    import torch
    from roll.configs.base_config import TrainInferCorrectionConfig, TrainInferISWeightConfig
    from roll.utils.train_infer_corrections import apply_train_infer_correction_to_batch

    (episode,) = rollout_loop().play()
    drawn = episode.batch["infer_logprobs"]
    own = episode.batch["response_mask"][:, 1:].bool()
    halved = torch.arange(own.shape[1]) % 2 == 0  # every other token was half as likely when it was drawn
    episode.batch["old_log_probs"] = drawn + torch.where(halved, torch.log(torch.tensor(2.0)), torch.tensor(0.0))
    weighing = TrainInferISWeightConfig(enabled=True, weight_type="token", upper_bound=2.0)
    config = SimpleNamespace(train_infer_correction=TrainInferCorrectionConfig(is_weight=weighing))
    batch, _ = apply_train_infer_correction_to_batch(config, episode)
    weights = batch.batch["train_infer_is_weight"]
    assert torch.allclose(weights[own], torch.where(halved, 2.0, 1.0).expand_as(weights)[own])


@pytest.mark.parametrize(("playing", "queue"), [([0, 1], 1), ([2, 3], None)])
def test_on_gpus_that_also_learn_only_the_queue_is_ahead(roll, monkeypatch, playing, queue):
    """ROLL's loop takes turns there; on GPUs of its own the engine plays on while the actor learns."""
    from roll.distributed.scheduler.rollout_scheduler import RolloutScheduler
    from roll.pipeline.agentic import agentic_pipeline

    from tau_retail_env.roll.ahead import played_ahead

    monkeypatch.setattr(RolloutScheduler, "__init__", lambda self, **given: self.__dict__.update(given))
    config = SimpleNamespace(
        async_generation_ratio=1,
        actor_train=SimpleNamespace(device_mapping=[0, 1]),
        actor_infer=SimpleNamespace(device_mapping=playing),
    )
    with played_ahead(config):
        made = agentic_pipeline.RolloutScheduler(config=config, mode="train")
    assert agentic_pipeline.RolloutScheduler is RolloutScheduler
    assert made.config.async_generation_ratio == 1
    assert config.async_generation_ratio == (1 if queue is None else 0)
