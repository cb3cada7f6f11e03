"""What ROLL's own parts do with this environment, beside what the env manager makes of it."""

from types import SimpleNamespace

import numpy as np
import pytest

from tau_retail_env.errors import EpisodeStateError
from tests.roll.test_env_manager import actor_that, attended, metrics_of, with_failures
from tests.roll.test_tokens import ROLLS_KEYS

QUIET = {"trajectory_share": 0}
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
"""ROLL leaves the trace of an episode open that an error or the end of the run cuts off."""


@pytest.fixture
def rolls_own(rollout_loop):
    """Makes a rollout_loop with ROLL's TrajEnvManager."""
    from roll.pipeline.agentic.env_manager.traj_env_manager import TrajEnvManager

    def make(**keys):
        return rollout_loop(cls=TrajEnvManager, **{**keys, "env": ROLLS_KEYS | keys.get("env", {})})

    return make


def settled(played):
    """Forget an error that a test has seen."""
    played.errors.clear()


def pipeline(**keys):
    """The keys of AgenticConfig that rewards and advantages depend on."""
    from roll.pipeline.agentic.agentic_config import RewardNormalizationConfig

    norm = RewardNormalizationConfig(grouping=keys.pop("grouping", "batch"), method=keys.pop("method", "identity"))
    defaults = {
        "adv_estimator": "grpo",
        "reward_normalization": norm,
        "reward_clip": None,
        "kl_penalty": "kl",
        "add_token_level_kl": True,
    }
    return SimpleNamespace(**(defaults | keys))


def advantages(episodes, config, *, values=None, lambd=1.0, kl=0.0):
    """What ROLL's own functions make of some episodes, as its pipeline calls them."""
    import torch
    from roll.distributed.scheduler.protocol import DataProto
    from roll.pipeline.agentic.utils import (
        agentic_compute_advantage,
        compute_response_level_rewards,
        get_agentic_response_level_mask,
    )
    from roll.utils.functionals import compute_token_reward
    from roll.utils.kl_controller import get_kl_controller

    copies = [DataProto.from_dict({name: tensor.clone() for name, tensor in one.batch.items()}) for one in episodes]
    for copy, one in zip(copies, episodes, strict=True):
        copy.non_tensor_batch = dict(one.non_tensor_batch.items())
    batch = DataProto.concat(copies)
    shape = batch.batch["attention_mask"][:, 1:].shape
    batch.batch["old_log_probs"] = torch.full(shape, -1.0)
    batch.batch["ref_log_probs"] = torch.full(shape, -1.0 - kl)
    if values is not None:
        batch.batch["values"] = values
    batch, _ = get_agentic_response_level_mask(batch, config)
    batch, _ = compute_response_level_rewards(batch=batch, pipeline_config=config)
    batch, _ = compute_token_reward(batch, config, get_kl_controller(init_kl_coef=0.1, target_kl=None, kl_horizon=1))
    return agentic_compute_advantage(
        data=batch, gamma=1.0, lambd=lambd, adv_estimator=config.adv_estimator, pipeline_config=config
    ).batch


def test_the_batch_has_rolls_own_keys_shapes_and_types(rollout_loop, rolls_own):
    (ours,), (theirs,) = rollout_loop(env=QUIET).play(), rolls_own().play()
    assert {k: (v.shape, v.dtype) for k, v in ours.batch.items()} == {
        k: (v.shape, v.dtype) for k, v in theirs.batch.items()
    }
    assert set(ours.non_tensor_batch.keys()) == set(theirs.non_tensor_batch.keys())
    for name in ours.non_tensor_batch.keys() - {"step_scores"}:
        assert ours.non_tensor_batch[name].shape == theirs.non_tensor_batch[name].shape
    assert ours.non_tensor_batch["step_scores"].ndim == theirs.non_tensor_batch["step_scores"].ndim
    assert set(theirs.meta_info["metrics"]) - {"env/retail/success"} <= set(ours.meta_info["metrics"])


def test_a_first_prompt_without_room_crashes_rolls_loop(rollout_loop, rolls_own):
    played = rolls_own(pipeline={"sequence_length": 20})
    with pytest.raises((IndexError, ValueError)):
        played.play()
    settled(played)
    (episode,) = rollout_loop(env=QUIET, pipeline={"sequence_length": 20}).play()
    assert metrics_of(episode)["truncated_max_length"] == 1.0


def test_rolls_loop_steps_on_after_the_environment_has_truncated(rollout_loop, rolls_own):
    silent = actor_that(lambda actor, oracle: actor.write("One moment."))
    played = rolls_own(settings={"max_turns": 2}, make_actor=silent)
    with pytest.raises(EpisodeStateError):
        played.play()
    settled(played)
    (episode,) = rollout_loop(env=QUIET, settings={"max_turns": 2}, make_actor=silent).play()
    assert metrics_of(episode)["truncated_max_turns"] == 1.0


def test_a_customer_that_fails_stops_rolls_loop_or_is_scored_0(rollout_loop, rolls_own):
    played = with_failures(rolls_own(), [1], at_reset=True)
    with pytest.raises(Exception, match="no answer"):
        played.play()
    settled(played)
    (episode,) = with_failures(rollout_loop(env=QUIET), [1], at_reset=True).play()
    assert metrics_of(episode)["success"] == 1.0


def test_rolls_validation_changes_its_tasks_from_one_evaluation_to_the_next(rollout_loop, rolls_own):
    six = {"source": "tau2", "split": "train", "task_subset": "profile"}

    def evaluations(make, **keys):
        played = make(mode="val", groups=6, settings=six, **keys)
        seen = []
        for step in (0, 1, 2):
            resets = []
            for manager in played.managers:
                manager.env.reset = noting_tasks(manager.env.reset, resets)
            played.play(step)
            seen.append(sorted(resets))
        return seen

    theirs, ours = evaluations(rolls_own), evaluations(rollout_loop, env=QUIET)
    assert theirs[0] != theirs[1] or theirs[1] != theirs[2]
    assert ours[0] == ours[1] == ours[2] and len(set(ours[0])) == 6


def noting_tasks(call, tasks):
    def noted(*arguments, **named):
        answer = call(*arguments, **named)
        tasks.append(answer[1]["task_id"])
        return answer

    return noted


def test_a_trailing_observation_takes_the_reward_away(rollout_loop):
    (episode,) = rollout_loop(env=QUIET).play()
    config = pipeline()
    assert advantages([episode], config)["token_level_rewards"].sum() == pytest.approx(1.0)
    trailing = int(episode.batch["attention_mask"].sum())
    for name in ("attention_mask", "input_ids"):
        episode.batch[name][0, trailing] = 1
    episode.batch["position_ids"][0, trailing] = trailing
    assert advantages([episode], config)["token_level_rewards"].sum() == 0.0


@pytest.mark.parametrize("estimator", ["gae", "grpo", "reinforce", "agentic_reinforce"])
def test_a_masked_episode_moves_neither_itself_nor_its_siblings(rollout_loop, estimator):
    """With a critic and without; the siblings' baseline is that of the episodes that can be scored."""
    import torch

    def lazy_in_two(actor, oracle):
        return actor.write("Bye.") if actor.number == 2 else oracle()

    played = with_failures(
        rollout_loop(env=QUIET, group_size=4, settings={"max_turns": 25}, make_actor=actor_that(lazy_in_two)),
        [999, 0, 0, 0],
    )
    batch = sorted(played.play(), key=lambda one: metrics_of(one)["unscorable"])
    fine, masked = batch[:3], batch[3]
    assert metrics_of(masked)["masked"] == 1.0 and sum(metrics_of(one)["success"] for one in fine) == 2.0
    values = torch.full((4, 4095), 0.5) if estimator == "gae" else None
    grouped = {} if estimator == "gae" else {"grouping": "traj_group_id", "method": "mean_std"}
    config = pipeline(adv_estimator=estimator, **grouped)
    with_it = advantages([*fine, masked], config, values=values, kl=0.3)
    without = advantages(fine, config, values=values if values is None else values[:3], kl=0.3)
    assert not with_it["advantages"][3].any() and not with_it["token_level_rewards"][3].any()
    assert torch.allclose(with_it["advantages"][:3], without["advantages"])
    assert torch.isfinite(with_it["advantages"]).all() and without["advantages"].any()
    masked.non_tensor_batch["traj_group_id"] = fine[0].non_tensor_batch["traj_group_id"]
    in_their_group = advantages([*fine, masked], config, values=values, kl=0.3)
    assert torch.allclose(in_their_group["advantages"][:3], without["advantages"]) == (estimator == "gae")


def test_a_masked_episode_counts_where_rewards_are_normalised_over_the_batch(rollout_loop):
    """The reason why docs/roll.md asks for `grouping: traj_group_id` where customers can fail."""
    import torch

    played = with_failures(rollout_loop(env=QUIET, group_size=3), [999, 0, 0])
    batch = sorted(played.play(), key=lambda one: metrics_of(one)["unscorable"])
    config = pipeline(grouping="batch", method="mean")
    assert not torch.allclose(advantages(batch, config)["advantages"][:2], advantages(batch[:2], config)["advantages"])


def test_losses_and_means_of_a_masked_episode_are_finite(rollout_loop):
    import torch
    from roll.utils.functionals import agg_loss

    played = with_failures(rollout_loop(env=QUIET, group_size=2), [999, 0])
    batch = advantages(sorted(played.play(), key=lambda one: metrics_of(one)["unscorable"]), pipeline())
    mask = batch["response_mask"][:, 1:]
    for mode in ("token-mean", "seq-mean-token-sum", "seq-mean-token-mean"):
        assert torch.isfinite(agg_loss(batch["advantages"], mask, mode))
        # ROLL counts tokens and episodes of an optimiser step as 1 where there are none.
        assert agg_loss(batch["advantages"][1:], mask[1:], mode, batch_num_tokens=1, global_valid_samples=1) == 0.0


def test_values_at_observations_leak_through_gae_below_lambda_1(rollout_loop):
    import torch

    (episode,) = rollout_loop(env=QUIET).play()
    _, mask, _ = attended(episode)
    own = torch.tensor(mask[1:] + [False] * (4096 - len(mask)))
    quiet, noisy = torch.zeros(1, 4095), torch.where(own, 0.0, 5.0).unsqueeze(0)
    config = pipeline(adv_estimator="gae")
    for lambd, same in ((1.0, True), (0.95, False)):
        first, second = (
            advantages([episode], config, values=values, lambd=lambd)["advantages"] for values in (quiet, noisy)
        )
        assert torch.allclose(first, second, atol=1e-4) == same


def test_a_dropped_group_leaves_waiting_siblings_asleep(roll, rollout_loop):
    """Why an episode is played again inside the env manager instead of being dropped by ROLL's filter."""
    played = rollout_loop(group_size=2)
    queue = played.queue
    queue.manager.group_queue[0].group_filter = SimpleNamespace(filter=lambda **_: True)
    queue.step(0, 2)
    assert [queue.get_episode_id.remote(0, env).result(5) for env in (0, 1)] == [0, 0]
    queue.put.remote(0, 0, 0, "rollout", 0).result(5)
    waiting = queue.get_episode_id.remote(0, 0)
    queue.put.remote(0, 0, 0, "rollout", 1).result(5)
    assert [queue.get_episode_id.remote(0, 1).result(5) for _ in range(2)] == [1, 1]
    assert not waiting.done()


def test_an_engine_without_words_shifts_rolls_log_probabilities(rollout_loop, rolls_own):
    def silent_once(actor, oracle):
        actor.calls = getattr(actor, "calls", 0) + 1
        return [] if actor.calls == 2 else oracle()

    def misplaced(episode):
        _, mask, _ = attended(episode)
        own = np.array(mask[1:])
        return (episode.batch["infer_logprobs"][0, : len(own)].numpy() != 0) != own

    assert misplaced(rolls_own(make_actor=actor_that(silent_once)).play()[0]).any()
    assert not misplaced(rollout_loop(env=QUIET, make_actor=actor_that(silent_once)).play()[0]).any()


def test_rolls_training_tasks_are_drawn_anew_in_each_run(rollout_loop, rolls_own):
    def runs(make, **keys):
        seen = []
        for base_seed in (1, 2):
            played = make(base_seed=base_seed, **keys)
            tasks = []
            played.managers[0].env.reset = noting_tasks(played.managers[0].env.reset, tasks)
            played.play()
            seen.append(tasks[0])
        return seen

    theirs, ours = runs(rolls_own), runs(rollout_loop, env=QUIET)
    assert theirs[0] != theirs[1]
    assert ours[0] == ours[1]


def test_one_environment_that_plays_a_siblings_episode_too_gives_it_an_id_of_its_own(rollout_loop, rolls_own):
    def ids(make, **keys):
        played = make(group_size=2, **keys)
        del played.managers[1]
        batch = played.play()
        assert len({episode.non_tensor_batch["traj_group_id"][0] for episode in batch}) == 1
        return {episode.non_tensor_batch["traj_id"][0] for episode in batch}

    assert len(ids(rolls_own)) == 1
    assert len(ids(rollout_loop, env=QUIET)) == 2


def test_rolls_own_dump_writes_nothing(rollout_loop, rolls_own, tmp_path):
    from roll.pipeline.agentic.utils import dump_rollout_trajectories

    (episode,) = rolls_own().play()
    dump_rollout_trajectories(str(tmp_path / "theirs"), 0, episode)
    assert not (tmp_path / "theirs").exists()
    played = rollout_loop(pipeline={"rollout_dump_dir": str(tmp_path / "ours")})
    played.play()
    played.close()
    assert list((tmp_path / "ours").glob("train-*.jsonl"))


def test_an_episode_that_outgrows_sequence_length_is_no_different_from_a_failure_in_rolls_loop(rollout_loop, rolls_own):
    """It ends without a step of the environment: nothing says why."""
    keys = {"pipeline": {"sequence_length": 250}}
    played = rolls_own(**keys)
    (theirs,) = played.play()
    settled(played)
    (ours,) = rollout_loop(env=QUIET, **keys).play()
    assert not [name for name in metrics_of(theirs) if "truncated" in name]
    assert metrics_of(ours)["truncated_max_length"] == 1.0
    assert float(theirs.batch["scores"].sum()) == float(ours.batch["scores"].sum()) == 0.0


def test_rolls_adaptive_kl_coefficient_is_in_no_checkpoint(roll):
    """So `target_kl` is refused: a resumed run would begin with `init_kl_coef` again."""
    import dataclasses

    from roll.utils.kl_controller import get_kl_controller
    from roll.utils.worker_state import WorkerState

    controller = get_kl_controller(init_kl_coef=0.1, target_kl=0.01, kl_horizon=100)
    controller.update(current=1.0, n_steps=50)
    assert controller.value == pytest.approx(0.11)
    state = WorkerState(step=3, log_history=[{"system/step": 3}])
    assert str(controller.value) not in str(dataclasses.asdict(state))
    assert get_kl_controller(init_kl_coef=0.1, target_kl=0.01, kl_horizon=100).value == 0.1


def test_rolls_reward_clip_clips_the_kl_of_every_token_too(rollout_loop):
    """So it is refused together with KL in the reward."""
    (episode,) = rollout_loop(env=QUIET).play()
    plain, clipped = (
        advantages([episode], pipeline(reward_clip=clip), kl=30.0)["token_level_rewards"] for clip in (None, 1.0)
    )
    assert float(plain.min()) < -1.0 and float(clipped.min()) == -1.0


def test_redundant_environments_leave_out_the_longest_episodes_and_nothing_is_played_on_in_the_next_step(roll):
    """Six environments for a group of four: the two that last longest are never trained on."""
    import asyncio

    from roll.distributed.scheduler.rollout_scheduler import GroupQueue

    queue = GroupQueue(
        group_id=0,
        progress_bar=SimpleNamespace(update=lambda number: None),
        group_size=4,
        group_size_redundancy=2,
        max_traj_per_env=1,
        async_generation_ratio=0,
        group_filter=SimpleNamespace(filter=lambda **_: False),
    )

    async def step(number, lengths):
        queue.advance_step(number)
        places = {length: await queue.get_episode_id(length) for length in lengths}
        for length in sorted(lengths):  # a short episode ends first
            queue.put(places[length], number, length)
        return (await queue.get()).rollouts[:4], places

    lengths = [9, 3, 7, 1, 8, 2]
    kept, places = asyncio.run(step(0, lengths))
    assert set(places.values()) == {0}
    assert kept == [1, 2, 3, 7] and sum(kept) / 4 < sum(lengths) / 6
    queue.advance_step(1)
    queue.put(1, 1, 5)  # one of four has ended when the next step begins
    queue.advance_step(2)
    assert list(queue.groups) == [2]
