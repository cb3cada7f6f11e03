"""Settings that ROLL accepts and gets wrong: what its own functions make of them, beside what is refused here."""

import inspect
import random
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tau_retail_env.config import compose
from tau_retail_env.env import TauRetailEnv
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll.config.check import check_roll, roll_values
from tau_retail_env.roll.registration import ENTRY_POINT, ENVIRONMENT_ID, register_environment
from tests.roll.test_tokens import ROLLS_KEYS

PPO, GRPO = "tau_retail_1gpu", "tau_retail_grpo"


@pytest.fixture
def accepted(roll, tmp_path, monkeypatch):
    """Makes ROLL's own AgenticConfig of a configuration that ours has not checked."""
    from dacite import from_dict
    from roll.pipeline.agentic.agentic_config import AgenticConfig

    monkeypatch.chdir(tmp_path)
    return lambda name, *overrides: from_dict(AgenticConfig, roll_values(compose(name, overrides=list(overrides))))


def refused(name: str, *overrides: str) -> str:
    """What ours says against the same configuration."""
    with pytest.raises(InvalidValueError) as error:
        check_roll(compose(name, overrides=list(overrides)))
    return " ".join(str(error.value).split())


def episodes(*scores: float, groups: str = "", old: float = -1.0, ref: float = -1.0) -> Any:
    """Episodes of one prompt token and three of the actor's, with the columns that ROLL's rewards need."""
    import torch
    from roll.distributed.scheduler.protocol import DataProto

    ones = torch.ones(len(scores), 4, dtype=torch.long)
    columns = {
        "input_ids": ones.clone(),
        "number": torch.arange(len(scores)),
        "attention_mask": ones,
        "position_ids": torch.arange(4).expand(len(scores), 4).clone(),
        "response_mask": torch.tensor([[0, 1, 1, 1]]).repeat(len(scores), 1),
        "scores": torch.tensor([[0.0, 0.0, 0.0, score] for score in scores]),
        "old_log_probs": torch.full((len(scores), 3), old),
        "ref_log_probs": torch.full((len(scores), 3), ref),
    }
    groups = groups or "g" * len(scores)
    return DataProto.from_dict(columns, non_tensors={"traj_group_id": np.array(list(groups), dtype=object)})


def rewards(config: Any, batch: Any) -> list[float]:
    """Each episode's reward, as ROLL normalises it."""
    from roll.pipeline.agentic.utils import compute_response_level_rewards

    batch, _ = compute_response_level_rewards(batch=batch, pipeline_config=config)
    return batch.batch["response_level_rewards"].tolist()


def token_rewards(config: Any, batch: Any) -> tuple[Any, dict[str, float]]:
    """Each token's reward and ROLL's metrics of it, the controller made as its pipeline makes it."""
    from roll.utils.functionals import compute_token_reward
    from roll.utils.kl_controller import get_kl_controller

    rewards(config, batch)
    controller = get_kl_controller(config.init_kl_coef, config.target_kl, config.kl_horizon)
    batch, metrics = compute_token_reward(batch, config, controller)
    return batch.batch["token_level_rewards"], metrics


def test_rolls_kl_coefficient_without_token_level_kl_is_in_no_reward(accepted):
    trap = ["init_kl_coef=0.2", "add_token_level_kl=false"]
    found, metrics = token_rewards(accepted(PPO, *trap), episodes(1.0, ref=-2.0))
    assert found.tolist() == [[0.0, 0.0, 1.0]]
    assert metrics == {"critic/kl": 1.0, "critic/kl_coef": 0}
    found, metrics = token_rewards(accepted(PPO, "init_kl_coef=0.2"), episodes(1.0, ref=-2.0))
    assert found.tolist() == [pytest.approx([-0.2, -0.2, 0.8])] and metrics["critic/kl_coef"] == 0.2
    assert "looks like KL to the reference and is not" in refused(PPO, *trap)


def test_rolls_kl_in_the_reward_is_wrong_once_old_log_probabilities_are_not_computed(accepted):
    """ROLL's pipeline then takes zeros for them: an actor that is still the reference pays for every token."""
    from roll.pipeline.agentic.agentic_pipeline import AgenticPipeline

    trap = "force_disable_old_logprobs_recompute=true"
    config = accepted(PPO, f"++{trap}")
    assert config.add_token_level_kl and config.enable_reference and not config.enable_old_logprobs_recompute
    assert 'batch.batch["old_log_probs"] = torch.zeros_like(' in inspect.getsource(AgenticPipeline.run)
    assert token_rewards(config, episodes(1.0, old=-1.0, ref=-1.0))[1]["critic/kl"] == 0.0
    assert token_rewards(config, episodes(1.0, old=0.0, ref=-1.0))[1]["critic/kl"] == 1.0
    assert "makes the actor's log-probabilities 0" in refused(PPO, f"++{trap}")


def test_rolls_misspelt_normalization_leaves_rewards_as_they_are(accepted):
    trap = "reward_normalization.method=mean-std"
    assert rewards(accepted(GRPO, trap), episodes(1.0, 0.0, groups="aa")) == [1.0, 0.0]
    assert rewards(accepted(GRPO), episodes(1.0, 0.0, groups="aa")) == pytest.approx([0.7071, -0.7071], abs=1e-3)
    assert "reward_normalization.method: found mean-std, expected identity or mean or mean_std" in refused(GRPO, trap)


def test_rolls_groups_of_one_episode_learn_nothing(accepted):
    trap = ["train_env_manager.group_size=1", "train_env_manager.num_env_groups=256"]
    assert rewards(accepted(GRPO, *trap), episodes(1.0, 0.0, 1.0, groups="abc")) == [0.0, 0.0, 0.0]
    assert "every advantage would be 0" in refused(GRPO, *trap)


def test_rolls_groups_of_equal_scores_learn_nothing(accepted):
    """So a task that is always or never solved teaches nothing; no setting prevents that, and it is so here, too."""
    found = rewards(accepted(GRPO), episodes(1.0, 1.0, 0.0, 0.0, 1.0, 0.0, groups="aabbcc"))
    assert found[:4] == [0.0] * 4 and found[4] > 0 > found[5]


def test_rolls_queue_cannot_count_with_a_fraction_of_a_step(accepted):
    from roll.distributed.scheduler.rollout_scheduler import GroupQueue

    for ratio in ("0.5", "1.0"):
        config = accepted(GRPO, f"async_generation_ratio={ratio}")
        queue = GroupQueue(0, None, 8, 0, 1, config.async_generation_ratio, None)
        with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
            queue.advance_step(0)
        assert "expected a whole number from 0 on" in refused(GRPO, f"async_generation_ratio={ratio}")


def test_rolls_batch_that_does_not_divide_trains_on_some_episodes_twice(accepted):
    from roll.pipeline.agentic.agentic_pipeline import AgenticPipeline

    trap = "actor_train.training_args.gradient_accumulation_steps=96"
    config, cluster = accepted(PPO, trap), SimpleNamespace(dp_size=1)
    pipeline = SimpleNamespace(pipeline_config=config, actor_train=cluster, critic=cluster, reference=cluster)
    batch = episodes(*[1.0] * config.rollout_batch_size)
    adjusted = AgenticPipeline.adjust_batch(pipeline, batch, mode=config.batch_adjust_mode).batch
    assert (len(adjusted["number"]), len(set(adjusted["number"].tolist()))) == (192, 128)
    assert adjusted["response_mask"][128:].any(dim=1).all()
    assert "does not divide rollout_batch_size 128" in refused(PPO, trap)


def test_rolls_system_envs_of_the_top_are_not_handed_to_environment_workers(accepted, monkeypatch):
    """Passes here, too: workers of a Ray that this process starts inherit them; those of another cluster do not."""
    monkeypatch.setenv("TAU_RETAIL_TEST", "")
    override = "++system_envs.TAU_RETAIL_TEST=told"
    config = accepted(PPO, override)
    assert config.actor_train.system_envs == config.critic.system_envs == {"TAU_RETAIL_TEST": "told"}
    assert config.train_env_manager.system_envs == config.val_env_manager.system_envs == {}
    check_roll(compose(PPO, overrides=[override]))


def test_rolls_tracker_puts_an_api_key_into_its_log_and_into_the_runs_settings_at_wandb(accepted, monkeypatch, caplog):
    from roll.utils import tracking

    published: dict[str, Any] = {}
    run = SimpleNamespace(config=SimpleNamespace(update=lambda values, **_: published.update(values)))
    monkeypatch.setitem(sys.modules, "wandb", SimpleNamespace(login=lambda key: None, init=lambda **_: run))
    monkeypatch.setattr(tracking.logger, "handlers", [caplog.handler])
    trap = ["track_with=wandb", "tracker_kwargs={api_key: hunter2}"]
    config = accepted(PPO, *trap)
    tracking.create_tracker(config.track_with, config.to_dict(), **config.tracker_kwargs)
    assert "hunter2" in caplog.text and "hunter2" in str(published)
    assert "tracker_kwargs.api_key: secrets come from the environment only" in refused(PPO, *trap)


@pytest.fixture
def providers(roll, monkeypatch):
    """ROLL's makers of models, for a folder that is here."""
    from roll.models import model_providers

    monkeypatch.setattr(model_providers, "download_model", lambda name: name)
    return model_providers


def small_model(repository: Any, **keys: Any) -> Any:
    """ROLL's arguments for the small model that is shipped."""
    from roll.configs.model_args import ModelArguments

    path = str(repository / "checkpoints" / "small")
    return ModelArguments(model_name_or_path=path, attn_implementation="sdpa", **keys)


def test_most_of_adams_steps_round_to_nothing_in_rolls_bf16_weights(accepted, providers, repository, small_tokenizer):
    """What `param_dtype: bf16` stores them in."""
    import torch

    learning_rate = accepted(PPO).actor_train.training_args.learning_rate

    def share_moved(dtype):
        arguments = small_model(repository, dtype=dtype)
        weights = list(providers.default_actor_model_provider(small_tokenizer, arguments, None, True).parameters())
        before = [weight.detach().clone() for weight in weights]
        for weight in weights:
            weight.grad = torch.ones_like(weight)
        torch.optim.AdamW(weights, lr=learning_rate, weight_decay=0.0).step()
        moved = sum(int((old != new).sum()) for old, new in zip(before, weights, strict=True))
        return moved / sum(weight.numel() for weight in weights)

    assert share_moved("bf16") < 0.1 and share_moved("fp32") > 0.99
    trap = "++actor_train.strategy_args.strategy_config.param_dtype=bf16"
    assert "too coarse for most updates" in refused(PPO, trap)


def test_rolls_value_model_checkpoints_no_gradients_where_ours_does_as_the_key_says(
    providers, repository, small_tokenizer
):
    keys = {"disable_gradient_checkpointing": False, "model_type": "auto_token_classification", "num_labels": 1}
    arguments = small_model(repository, **keys)
    actor = providers.default_actor_model_provider(small_tokenizer, arguments, None, True)
    critic = providers.default_value_model_provider(small_tokenizer, arguments, None, True)
    assert actor.is_gradient_checkpointing and not critic.is_gradient_checkpointing
    from tau_retail_env.roll.workers import LearningCritic

    worker = LearningCritic.__new__(LearningCritic)
    worker.worker_config = SimpleNamespace(model_args=arguments)
    worker.prepare(critic)
    assert critic.is_gradient_checkpointing
    assert critic.dropout.p == 0 and not critic.score.weight.any()


@pytest.fixture
def one_process(roll, tmp_path):
    """torch.distributed with this process alone."""
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_rolls_loss_scale_multiplies_the_critics_gradient_by_the_micro_batches(one_process):
    """Beyond the mean over the batch that ROLL's own loss of the critic is."""
    import torch
    from roll.distributed.strategy.fsdp2_strategy import FSDP2TrainStrategy
    from roll.pipeline.base_worker import CriticWorker

    critic = CriticWorker.__new__(CriticWorker)
    critic.pipeline_config = SimpleNamespace(value_clip=None)

    def batch():
        data = episodes(1.0, 0.0, 1.0, 0.0)
        data.batch["values"] = torch.zeros(4, 3)
        data.batch["returns"] = data.batch["scores"].sum(dim=1, keepdim=True).expand(4, 3)
        data.meta_info["loss_mask_keys"] = ["response_mask"]
        return data

    def whole(head):
        data = batch()
        critic.loss_func(data, head * data.batch["input_ids"].unsqueeze(-1))[0].backward()

    def step(head, *, scaled):
        one = FSDP2TrainStrategy.__new__(FSDP2TrainStrategy)
        training = SimpleNamespace(per_device_train_batch_size=1, gradient_accumulation_steps=4)
        one.worker_config = SimpleNamespace(training_args=training, apply_loss_scale=scaled, name="critic")
        one.worker = SimpleNamespace(rank_info=SimpleNamespace(cp_size=1, cp_rank=0, dp_size=1))
        one.model = torch.nn.Identity()
        one.reduce_scatter_during_grad_accumulation, one.scaler, one.param_dtype = True, None, torch.bfloat16
        one._fsdp2_forward = lambda *, input_ids, **_: head * input_ids.unsqueeze(-1)
        one.train_step(batch(), critic.loss_func, no_sync=True)

    def gradient(learn, **keys):
        head = torch.nn.Parameter(torch.tensor(0.25))
        learn(head, **keys)
        return float(head.grad)

    mean = gradient(whole)
    assert mean == pytest.approx(-0.25)
    assert gradient(step, scaled=False) == pytest.approx(mean)
    assert gradient(step, scaled=True) == pytest.approx(4 * mean)
    assert "critic.apply_loss_scale: true (ROLL's default) multiplies" in refused(PPO, "critic.apply_loss_scale=true")


def global_random_state() -> tuple[Any, Any]:
    return random.getstate(), np.random.get_state()[1].tolist()


def test_rolls_environments_reseed_the_random_numbers_of_the_whole_process(roll):
    import gem
    import roll.pipeline.agentic.env  # noqa: F401

    theirs = gem.make("frozen_lake")
    drawn = []
    for _ in range(2):
        theirs.reset(seed=7)
        drawn.append((random.random(), np.random.random()))
    assert drawn[0] == drawn[1] == (random.Random(7).random(), np.random.RandomState(7).random_sample())
    ours = TauRetailEnv(source="generated", split="train", task_subset="single", user_strategy="scripted")
    before = global_random_state()
    ours.reset(seed=7)
    assert global_random_state() == before


def test_gem_refuses_a_second_registration_and_ours_does_not_ask_for_one(roll):
    import gem
    import roll.pipeline.agentic.env  # noqa: F401

    register_environment()
    for name in ("sokoban", ENVIRONMENT_ID):
        with pytest.raises(ValueError, match="already registered"):
            gem.register(name, entry_point=ENTRY_POINT)
    register_environment()


@pytest.fixture
def rolls_own(rollout_loop):
    """Makes a rollout_loop with ROLL's TrajEnvManager."""
    from roll.pipeline.agentic.env_manager.traj_env_manager import TrajEnvManager

    return lambda **keys: rollout_loop(cls=TrajEnvManager, env=ROLLS_KEYS | keys)


def test_rolls_loop_ends_an_episode_that_the_environment_has_not_ended(rollout_loop, rolls_own):
    """The trap: with fewer `max_steps` than turns of its own, the environment never scores the episode."""
    (whole,) = rolls_own().play()
    played = rolls_own(max_steps=2)
    (cut,) = played.play()
    assert (float(whole.batch["scores"].sum()), float(cut.batch["scores"].sum())) == (1.0, 0.0)
    (manager,) = played.managers
    assert len(manager.llm_proxy.replies) == 2 and manager.llm_proxy.actor.info.get("stop_reason") is None
    with pytest.raises(InvalidValueError, match=r"max_steps is 2, but env_config.max_turns is 9"):
        rollout_loop(env={"max_steps": 2}, settings={"max_turns": 9})


def test_rolls_thread_lock_is_held_while_the_customer_answers(rolls_own):
    """The trap: a worker has one lock for all its environments, so they wait for each other's customers."""
    played = rolls_own(use_thread_lock=True)
    (manager,) = played.managers
    locked, step = [], manager.env.step
    manager.env.step = lambda *given, **named: locked.append(manager.thread_lock.locked()) or step(*given, **named)
    played.play()
    assert locked and all(locked)
    trap = "++custom_envs.retail_train.use_thread_lock=true"
    assert "makes all environments of a worker wait for each other" in refused(PPO, trap)
