"""What the local engine accepts, and what it refuses by name."""

import pytest

from tau_retail_env.config import compose
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config import LocalConfig, check_local


def checked(*overrides: str) -> LocalConfig:
    return check_local(compose("tau_retail_local", overrides=overrides))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("pg_clp=0.1", "pg_clp: unknown key. Did you mean 'pg_clip'"),
        ("actor_train.training_args.learning_rat=0.1", "actor_train.training_args.learning_rat: unknown key. Did you"),
        ("custom_envs.retail_train.env_config.splt=train", "custom_envs.retail_train.env_config.splt: unknown key"),
        ("val_env_manager.generating_args.temprature=1.0", "temprature: unknown key. Did you mean 'temperature'"),
        ("reward_normalization.methd=mean", "reward_normalization.methd: unknown key. Did you mean 'method'"),
    ],
)
def test_an_unknown_key_is_named_by_its_full_path(override: str, words: str):
    with pytest.raises(InvalidValueError) as caught:
        checked(override)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("adv_estimator=gae", "adv_estimator: gae cannot be honoured. Expected grpo"),
        ("adv_estimator=reinforce", "adv_estimator: reinforce cannot be honoured"),
        ("actor_train.strategy_args.strategy_name=megatron_train", "strategy_name: megatron_train cannot be honoured"),
        ("actor_train.strategy_args.strategy_name=fsdp2_train", "strategy_name: fsdp2_train cannot be honoured"),
        (
            "actor_train.strategy_args.strategy_name=deepspeed_train",
            "strategy_name: deepspeed_train cannot be honoured",
        ),
        ("actor_infer.strategy_args.strategy_name=vllm", "vllm cannot be honoured. Expected hf_infer"),
        ("actor_infer.strategy_args.strategy_name=sglang", "sglang cannot be honoured. Expected hf_infer"),
        ("reference.strategy_args.strategy_name=megatron_infer", "megatron_infer cannot be honoured"),
        ("async_generation_ratio=1", "async_generation_ratio: 1 cannot be honoured. Expected 0"),
        ("add_token_level_kl=true", "use use_kl_loss: true and kl_loss_coef"),
        ("init_kl_coef=0.2", "use use_kl_loss: true and kl_loss_coef"),
        (
            "critic.training_args.learning_rate=1.0",
            "critic: the local engine does not read it: it has no critic, the mean of a group is the baseline",
        ),
        (
            "gamma=0.9",
            "gamma: the local engine does not read it: it has no critic, the mean of a group is the baseline",
        ),
        ("whiten_advantages=true", "whiten_advantages: true cannot be honoured"),
        ("advantage_clip=0.2", "advantage_clip: 0.2 cannot be honoured"),
        ("dual_clip_loss=true", "dual_clip_loss: true cannot be honoured"),
        ("loss_agg_mode=seq-mean-token-sum", "seq-mean-token-sum cannot be honoured. Expected seq-mean-token-mean or"),
        ("reward_normalization.grouping=batch", "reward_normalization.grouping: batch cannot be honoured"),
        ("reward_normalization.method=identity", "Expected mean_std or mean"),
        (
            "actor_train.device_mapping=[0]",
            "actor_train.device_mapping: the local engine does not read it: remove it, CUDA_VISIBLE_DEVICES",
        ),
        (
            "num_gpus_per_node=8",
            "num_gpus_per_node: the local engine does not read it: remove it, CUDA_VISIBLE_DEVICES picks",
        ),
        (
            "checkpoint_config.type=file_system",
            "checkpoint_config: the local engine does not read it: everything is written to output_dir",
        ),
        (
            "actor_train.model_args.lora_rank=8",
            "actor_train.model_args.lora_rank: the local engine does not read it: every weight is trained",
        ),
        (
            "train_env_manager.max_env_num_per_worker=4",
            "train_env_manager.max_env_num_per_worker: the local engine does not read it: remove it",
        ),
        ("train_env_manager.generating_args.num_beams=2", "num_beams: the local engine does not read it: remove it"),
        ("custom_envs.retail_train.env_type=sokoban", "env_type: sokoban cannot be honoured. Expected tau_retail"),
        (
            "+custom_envs.retail_train.max_tokens_per_episode=4096",
            "custom_envs.retail_train.max_tokens_per_episode: found 4096, which no episode of sequence_length 1024 "
            "reaches; lower it, or set it to null",
        ),
        ("engine=roll", "engine: roll trains a configuration for ROLL, such as --config-name tau_retail_1gpu"),
        ("track_with=swanlab", "track_with: swanlab cannot be honoured. Expected tensorboard or wandb or trackio"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_what_to_use_instead(override: str, words: str):
    with pytest.raises(InvalidValueError) as caught:
        checked(override)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("max_steps=many", "max_steps: found 'many', expected a whole number"),
        ("max_steps=2.5", "max_steps: found 2.5, expected a whole number"),
        ("max_steps=true", "max_steps: found True, expected a whole number"),
        ("use_kl_loss=1", "use_kl_loss: found 1, expected true or false"),
        ("train_env_manager.tags=retail_train", "tags: found 'retail_train', expected a list"),
        ("reward_normalization=mean_std", "reward_normalization: found 'mean_std', expected a block of keys"),
        ("pretrain=null", "pretrain: found None, expected a text"),
    ],
)
def test_a_wrong_type_is_named(override: str, words: str):
    with pytest.raises(InvalidValueError) as caught:
        checked(override)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["max_steps=0"], "max_steps: found 0, expected 1 or more"),
        (["max_steps=99999999999999999999"], "max_steps: found 99999999999999999999, expected 1e+07 or less"),
        (["exp_name=''"], "exp_name: found '', expected the name of a folder"),
        (["exp_name=a/b"], "exp_name: found 'a/b', expected the name of a folder, without /"),
        (["output_dir="], "output_dir: is empty, expected the folder of the run"),
        (["pg_clip=2"], "pg_clip: found 2, expected less than 1"),
        (["actor_train.training_args.learning_rate=1000"], "learning_rate: found 1000, expected less than 1"),
        (["pg_clip=0.0"], "pg_clip: found 0.0, expected more than 0"),
        (["train_env_manager.generating_args.top_p=1.5"], "top_p: found 1.5, expected 1 or less"),
        (["rollout_batch_size=60"], "rollout_batch_size: 60 is not a multiple of the 64 environments"),
        (["actor_train.training_args.per_device_train_batch_size=12"], "does not divide rollout_batch_size 64"),
        (["train_env_manager.group_size=1"], "GRPO compares the episodes of one task"),
        (["val_batch_size=100"], "val_batch_size: found 100, expected 192"),
        (["sequence_length=100"], "sequence_length: 100 is too small for one message of 160 tokens"),
        (["train_env_manager.generating_args.temperature=0"], "GRPO has nothing to compare"),
        (["train_env_manager.generating_args.top_p=0.9"], "top_p: found 0.9, expected 1 in training"),
        (["train_env_manager.generating_args.top_k=50"], "top_k: found 50, expected 0 in training"),
        (["train_env_manager.tags=[nowhere]"], "train_env_manager.tags: 'nowhere' is not under custom_envs"),
        (["train_env_manager.num_groups_partition=[3]"], "num_groups_partition: found [3], expected one number"),
        (["custom_envs.retail_test.max_steps=5"], "custom_envs.retail_test.max_steps: found 5, but env_config"),
        (["actor_train.training_args.lr_scheduler_type=constant"], "lr_scheduler_type: constant has no warm-up"),
        (["kl_loss_coef=0"], "kl_loss_coef: found 0, expected more than 0"),
        (["use_kl_loss=false"], "use_kl_loss: false, but kl_loss_coef is"),
        (["stop_after_worse=0"], "stop_after_worse: found 0, expected 1 or more"),
        (
            ["stop_after_worse=2", "max_steps=60"],
            "stop_after_worse: 2 with eval_steps 20 could end the run after step 60 at the earliest, and it ends after "
            "step 60 anyway; give less, a smaller eval_steps or more max_steps, or remove it",
        ),
        (["actor_infer.generating_args.max_new_tokens=9"], "actor_infer.generating_args would override it"),
    ],
)
def test_an_impossible_number_is_refused_before_anything_starts(overrides: list[str], words: str):
    with pytest.raises(InvalidValueError) as caught:
        checked(*overrides)
    assert words in str(caught.value)


def test_a_length_that_is_too_small_for_the_messages_of_both_managers_is_told_once():
    with pytest.raises(InvalidValueError) as caught:
        checked("sequence_length=100")
    assert str(caught.value).count("sequence_length: ") == 1


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(InvalidValueError) as caught:
        checked("pg_clp=0.1", "adv_estimator=gae", "max_steps=0")
    assert "3 keys of the configuration" in str(caught.value)
    assert all(name in str(caught.value) for name in ("pg_clp", "adv_estimator", "max_steps"))


def test_a_key_that_must_be_there_is_missed():
    values = compose("tau_retail_local")
    del values["adv_estimator"]
    with pytest.raises(InvalidValueError, match=r"adv_estimator: missing\. Expected grpo"):
        check_local(values)


def test_generating_args_of_the_actor_override_both_managers_as_in_roll():
    values = compose("tau_retail_local", overrides=["actor_infer.generating_args.max_new_tokens=33"])
    for manager in ("train_env_manager", "val_env_manager"):
        del values[manager]["generating_args"]
    config = check_local(values)
    assert config.train_generating_args.max_new_tokens == config.val_generating_args.max_new_tokens == 33


def test_a_step_may_hold_several_updates():
    assert checked().updates_per_step == 1
    several = checked("actor_train.training_args.gradient_accumulation_steps=2", "ppo_epochs=3")
    assert several.updates_per_step == 4 * 3


def test_resume_has_rolls_name_too():
    assert checked("resume=true").resume is True
    assert checked("resume_from_checkpoint=outputs/x").resume == "outputs/x"
    assert checked().resume is False


def test_groups_are_shared_out_equally_where_no_partition_is_given():
    config = checked(
        "train_env_manager.num_groups_partition=null", "train_env_manager.tags=[retail_train,retail_test,retail_train]"
    )
    assert config.train_env_manager.partition() == (3, 3, 2)


def test_groups_by_tag_follow_the_number_of_groups():
    config = checked("train_env_manager.num_env_groups=4", "val_env_manager.num_env_groups=16", "val_batch_size=16")
    assert (config.train_env_manager.partition(), config.val_env_manager.partition()) == ((4,), (16,))
