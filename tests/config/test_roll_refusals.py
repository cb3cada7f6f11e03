"""Keys that ROLL leaves unread and combinations that it gets wrong: each is refused by its path."""

import pytest

from tau_retail_env.config import compose
from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.roll.config.check import check_roll
from tau_retail_env.roll.config.unread import unread_keys

PPO, GRPO = "tau_retail_config", "tau_retail_grpo"
TRAIN, INFER = "actor_train.strategy_args.strategy_config", "actor_infer.strategy_args.strategy_config"
HARMLESS = [
    "norm_mean_type=null",
    "use_reward_scaling=false",
    "l2=0.0",
    "exp_mode=train",
    "step_reward_gamma=0.95",
    "max_running_requests=128",
    "router_args={router_name: PromptAffinityRouter, max_running_requests: 16}",
    "router_args={router_name: EnvAffinityRouter, router_config: {}}",
    "train_env_manager.generating_args.do_sample=true",
    "train_env_manager.generating_args.num_beams=1",
    "actor_train.router_replay={mode: disable}",
    "actor_train.sequence_packing_args={algorithm: none}",
    "actor_train.use_sequence_packing=false",
    "reference.training_args={seed: 42, learning_rate: 5.0e-5}",
    "actor_train.training_args.seed=42",
    "actor_train.training_args.warmup_ratio=0.0",
    "actor_train.model_args.dtype=bf16",
    f"{TRAIN}.param_dtype=fp32",
    f"{TRAIN}.save_only_model=false",
    f"{INFER}.trust_remote_code=true",
    f"{INFER}.max_num_seqs=64",
    "pg_clip_high=0.2",
    "use_pg_clip_range=true pg_clip_high=0.28",
    "use_pg_clip_range=true pg_clip=null",
    "val_env_manager.generating_args.temperature=0.7",
    "train_env_manager.generating_args.top_k=0",
    "advantage_clip=null",
    "reward_clip=null",
    "critic.model_args.disable_gradient_checkpointing=false",
    "critic.max_tokens_per_microbatch_in_train=8192 reference.max_tokens_per_microbatch_in_infer=8192",
    "train_env_manager.generating_args.stop_strings=['</tool_call>']",
    "actor_train.model_args.freeze_module_prefix=model.embed_tokens",
    "critic.model_args.model_name_or_path=other",
    "train=megatron actor_train.use_sequence_packing=true actor_train.logits_in_fp32=true "
    "actor_train.strategy_args.strategy_config.transformer_impl=transformer_engine",
    "train=megatron actor_train.training_args.lr_scheduler_type=constant",
    "train_infer_correction={filters: [{enabled: true}]}",
    "env_monitor.hung_timeout=60",
    "system_envs.NCCL_DEBUG=INFO",
    "logging_steps=10",
    "infer=sglang actor_infer.strategy_args.strategy_config.tensor_parallel_size=2 actor_infer.num_gpus_per_worker=2",
]


def refused(name: str, *overrides: str) -> str:
    with pytest.raises(InvalidValueError) as error:
        check_roll(compose(name, overrides=[f"{'' if one[0] == '~' else '++'}{one}" for one in overrides]))
    return " ".join(str(error.value).split())


@pytest.mark.parametrize("path", sorted({key.path for key in unread_keys()}))
def test_every_key_of_the_table_is_one_of_rolls(path):
    RollSchema.load("main").default(path)


@pytest.mark.parametrize("overrides", HARMLESS)
def test_what_says_rolls_default_or_is_honoured_passes(overrides):
    split = [overrides] if "{" in overrides or "[" in overrides else overrides.split()
    check_roll(compose(PPO, overrides=[one if one.startswith(("train=", "infer=")) else f"++{one}" for one in split]))


@pytest.mark.parametrize(
    ("override", "instead"),
    [
        ("norm_mean_type=group", "reward_normalization.norm_mean_type"),
        ("norm_std_type=group", "reward_normalization.norm_std_type"),
        ("use_reward_scaling=true", "reward_normalization says"),
        ("use_reward_norm=true", "reward_normalization says"),
        ("add_len_reward=true", "environment alone scores"),
        ("use_token_reward=true", "environment alone scores"),
        ("l2=0.01", "weight_decay"),
        ("exp_mode=eval_test", "would train all the same"),
        ("dirty_data_mask=true", "nowhere"),
        ("open_feedback_turn=true", "nowhere"),
        ("report_length_and_rewards=true", "nowhere"),
        ("render_save_dir=there", "Nothing is drawn"),
        ("is_offload_states=true", "offload_policy: true"),
        ("is_offload_optimizer_states_in_train_step=true", "offload_policy: true"),
        ("val_sequence_length=8192", "sequence_length"),
        ("prompt_length=8192", "sequence_length"),
        ("max_running_requests=16", "max_num_seqs"),
        ("is_use_additional_prompts=true", "without an environment"),
        ("user_defined_rollout_loop_cls=x.y", "without an environment"),
        ("teacher={model_args: {model_name_or_path: x}}", "distilled"),
        ("student_train={infer_batch_size: 3}", "distilled"),
        ("use_opd=true", "distilled"),
        ("is_pure_opd=true", "distilled"),
        ("parse_tool_call_parameter_to_dict=true", "parsed by this package"),
        ("skip_mock_system_prompt=true", "own chat template"),
        ("reward_normalization.global_scale_factor=2.0", "nowhere"),
        ("val_env_manager.format_penalty=-0.1", "environment alone scores"),
        ("train_env_manager.model_args.model_name_or_path=x", "pretrain"),
        ("train_env_manager.training_args={learning_rate: 1.0}", "does not learn"),
        ("step_reward_gamma=0.5", "gigpo"),
        ("episode_reward_weight=2", "gigpo"),
        ("reference.model_args.model_name_or_path=x", "pretrain names the model of all three"),
        ("actor_train.model_args.dtype=fp32", "param_dtype instead: fp32 computes in fp32"),
        ("reference.model_args.dtype=fp16", "with fsdp2_infer"),
        ("val_env_manager.generating_args.do_sample=false", "temperature: 0"),
        ("val_env_manager.generating_args.num_beams=4", "without beam search"),
        ("train_env_manager.generating_args.length_penalty=0.5", "beam search"),
        ("train_env_manager.generating_args.max_length=99", "max_new_tokens"),
        ("train_env_manager.generating_args.num_return_sequences=4", "group_size"),
        ("actor_train.use_dynamic_batching_in_train=true", "Only roles on Megatron"),
        ("actor_infer.max_tokens_per_microbatch_in_infer=9", "Only roles on Megatron"),
        ("actor_train.sequence_packing_args={algorithm: load_balance}", "Only roles on Megatron"),
        ("actor_infer.logits_in_fp32=true", "with vllm"),
        ("critic.mtp_training_mode=joint", "Only roles on Megatron"),
        ("actor_train.router_replay={mode: R3}", "Only roles on Megatron"),
        ("actor_train.backend_timeout=120", "nowhere"),
        ("actor_train.offload_nccl=true", "sets it to false"),
        ("actor_infer.num_gpus_per_worker=2", "parallel sizes"),
        ("critic.model_args.adapter_name_or_path=there", "nowhere"),
        ("actor_train.model_args.model_config_kwargs={attention_dropout: 0.1}", "config.json"),
        ("actor_train.training_args.max_steps=100", "max_steps at the top"),
        ("critic.training_args.seed=7", "seed at the top"),
        ("actor_train.training_args.num_train_epochs=3", "ppo_epochs"),
        ("actor_train.training_args.fp16=true", "param_dtype"),
        ("reference.training_args={learning_rate: 1.0e-5}", "does not learn"),
        ("actor_infer.training_args={learning_rate: 1.0e-5}", "does not learn"),
        ("critic.generating_args={max_new_tokens: 5}", "env managers"),
        ("critic.model_update_frequency=2", "handed on"),
        ("critic.model_args.freeze_module_prefix=model.embed_tokens", "freezes nothing"),
    ],
)
def test_a_key_that_would_change_nothing_is_refused_with_what_to_do_instead(override, instead):
    told = refused(PPO, override)
    path = override.split("=")[0]
    assert told.startswith(f"{path}:") and "cannot be honoured" in told and instead in told


@pytest.mark.parametrize("name", ["model=x", "dtype=float16", "seed=1", "trust_remote_code=false"])
def test_what_roll_itself_tells_vllm_is_refused(name):
    assert "cannot be honoured, ROLL overwrites it" in refused(PPO, f"{INFER}.{name}")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("reward_normalization.method=mean-std", "expected identity or mean or mean_std"),
        ("reward_normalization.method=asym_clip", "found asym_clip, expected identity"),
        ("system_envs.OPENAI_API_KEY=x", "system_envs.OPENAI_API_KEY: secrets come from the environment only"),
        (
            "system_envs.HTTPS_PROXY='http://me:word@proxy:80'",
            "system_envs.HTTPS_PROXY: secrets come from the environment",
        ),
        ("train_env_manager.system_envs.HF_TOKEN=x", "train_env_manager.system_envs.HF_TOKEN: secrets come from"),
        ("reward_normalization.grouping=state", "grouping: found state, expected batch or traj_group_id"),
        ("reward_normalization.norm_mean_type=group", "the whole batch is the group"),
        ("adv_estimator=gigpo", "an episode is one sample here"),
        ("adv_estimator=step_reinforce", "an episode is one sample here"),
        ("adv_estimator=reinforce", "critic_warmup: found 5, but adv_estimator reinforce has no critic"),
        ("kl_penalty=full", "expected kl, abs or mse"),
        ("pg_clip_high=0.28", "pg_clip_high: 0.28 is used only with use_pg_clip_range: true"),
        ("pg_clip=null", "pg_clip: found None, expected more than 0"),
        ("advantage_clip=0", "advantage_clip: found 0, expected more than 0, or null"),
        ("value_clip=0", "value_clip: found 0, expected more than 0, or null"),
        ("reward_clip=-1", "reward_clip: found -1, expected more than 0, or null"),
        ("reward_clip=5", "reward_clip: found 5, with which ROLL would also clip every token's KL"),
        ("target_kl=0.1", "a resumed run would begin with init_kl_coef again"),
        ("rollout_batch_size=128", "found 128, expected a multiple of the 256 environments"),
        (
            "train_env_manager.max_traj_per_env=3",
            "train_env_manager.max_traj_per_env: it follows from rollout_batch_size",
        ),
        ("val_env_manager.max_traj_per_env=3", "val_env_manager.max_traj_per_env: it follows from val_batch_size"),
        ("train_env_manager.group_size_redundancy=1", "that end last would be dropped"),
        ("val_env_manager.group_size_redundancy=1", "that end last would be dropped"),
        ("train_env_manager.group_filter_cls=no.such.Class", "leaves its environments waiting: remove the key"),
        ("~val_env_manager.group_filter_cls", "expected tau_retail_env.roll.group_filter.PassHatKFilter"),
        ("sequence_length=4768", "starts with 4256 tokens"),
        ("sequence_length=4200", "raise it, or choose prompt_style=compressed"),
        ("max_grad_norm=0", "max_grad_norm: found 0"),
        ("entropy_loss_coef=-0.1", "entropy_loss_coef: found -0.1, expected 0 or more"),
        ("ppo_epochs=4", "ROLL's critic learns from each batch once"),
        (f"{TRAIN}.save_only_model=true", "actor_train.strategy_args.strategy_config.save_only_model: true leaves"),
        ("critic.strategy_args.strategy_config.save_only_model=true", "leaves nothing to resume from"),
        ("actor_train.model_update_frequency=2", "found 2, expected 1: episodes would be played with old weights"),
        ("actor_train.apply_loss_scale=false", "actor_train.apply_loss_scale: false divides"),
        ("critic.apply_loss_scale=true", "critic.apply_loss_scale: true (ROLL's default) multiplies"),
        ("~critic.apply_loss_scale", "critic.apply_loss_scale: true (ROLL's default) multiplies"),
        ("actor_train.pg_variant=cispo", "actor_train.pg_variant: cispo would change nothing"),
        ("actor_train.topr_positive_weight=2", "actor_train.topr_positive_weight: 2 would change nothing"),
        ("actor_train.worker_cls=x.Y", "actor_train.worker_cls: the engine has workers of its own"),
        ("val_env_manager.worker_cls=x.Y", "val_env_manager.worker_cls: the engine has workers of its own"),
        ("critic.model_args.model_type=trl", "model_type: found trl, expected auto_token_classification"),
        ("critic.model_args.num_labels=2", "num_labels: found 2, expected 1"),
        ("train_env_manager.generating_args.temperature=0.7", "temperature: found 0.7, expected 1 in training"),
        ("train_env_manager.generating_args.temperature=0", "temperature: found 0, expected 1 in training"),
        ("train_env_manager.generating_args.top_p=0.9", "top_p: found 0.9, expected 1 in training"),
        ("train_env_manager.generating_args.top_k=50", "top_k: found 50, expected -1 or 0 in training"),
        ("train_env_manager.generating_args.repetition_penalty=1.1", "repetition_penalty: found 1.1, expected 1 in"),
        ("reference.max_tokens_per_microbatch_in_train=4096", "This role does not learn"),
        ("critic.model_args.lora_target=q_proj", "critic.model_args.lora_target: LoRA is not supported"),
        ("actor_train.model_args.lora_target=q_proj", "actor_train.model_args.lora_target: LoRA is not supported"),
        ("actor_train.model_args.lora_rank=8", "actor_train.model_args.lora_rank: LoRA is not supported here, every"),
        ("actor_train.model_args.additional_target=lm_head", "additional_target: LoRA is not supported"),
        ("critic.model_args.autocast_adapter_dtype=false", "autocast_adapter_dtype: LoRA is not supported"),
        ("actor_train.model_args.lora_alpha=16", "actor_train.model_args.lora_alpha: LoRA is not supported"),
        ("reference.model_args.lora_dropout=0.1", "reference.model_args.lora_dropout: LoRA is not supported"),
        ("actor_train.model_args.ulysses_size=2", "ulysses_size: found 2, expected 1"),
        ("actor_train.training_args.lr_scheduler_type=cosin", "found cosin, expected linear, constant"),
        ("actor_train.training_args.lr_scheduler_type=constant", "use constant_with_warmup"),
        ("critic.training_args.warmup_ratio=0.1", "warmup_ratio: found 0.1, but warmup_steps 5 holds"),
        ("router_args={max_running_requests: 16}", "router_args.router_name: missing"),
        ("router_args={router_name: SglangRouter}", "works with infer=sglang alone, not with vllm"),
        ("router_args={router_name: EnvAffinityRouter, max_running_requests: 16}", "limits nothing"),
        (f"{INFER}.max_model_len=2048", "max_model_len: found 2048, less than sequence_length 16384"),
        (f"{INFER}.compilation_config.cudagraph_mode=FULL", "cudagraph_mode: found FULL, which also captures passes"),
        (f"{INFER}.compilation_config.cudagraph_mode=full", "cudagraph_mode: found full, which also captures passes"),
        (f"{INFER}.compilation_config.cudagraph_mode=2.0", "cudagraph_mode: found 2.0, which also captures passes"),
        (f"{INFER}.compilation_config.splitting_ops=[]", "splitting_ops: found [], with which vLLM makes FULL_AND"),
        (f"{INFER}.compilation_config=null", "compilation_config: found null, expected settings such as mode: 0"),
        (f"{INFER}.compilation_config=3", "compilation_config: found 3, expected settings such as mode: 0"),
        ("val_env_manager.generating_args.max_new_tokens=null", "max_new_tokens: found None, expected 1 or more"),
        ("val_env_manager.generating_args.max_new_tokens=0", "max_new_tokens: found 0, expected 1 or more"),
        ("train_env_manager.generating_args.temperature=null", "temperature: found null, expected a number"),
        ("train_env_manager.generating_args.top_k=null", "top_k: found null, expected a number"),
        ("train_env_manager.llm_proxy={proxy_type: openai}", "proxy_type: found openai, expected policy"),
        ("sequence_length=null", "sequence_length: missing"),
        ("train_env_manager.group_size=0", "train_env_manager.group_size: found 0, expected 1 or more"),
        ("actor_train.infer_batch_size=0", "actor_train.infer_batch_size: found 0, expected 1 or more"),
    ],
)
def test_what_roll_would_get_wrong_is_refused_by_its_path(override, words):
    assert words in refused(PPO, override)


def test_a_short_prompt_without_room_for_a_message_is_told_what_else_to_shorten():
    told = refused(PPO, "prompt_style=compressed", "sequence_length=1200")
    assert "raise it, or lower generating_args.max_new_tokens" in told and "choose prompt_style" not in told


@pytest.mark.parametrize("how", ["method: mean_std, norm_mean_type: batch", "method: identity, norm_std_type: group"])
def test_an_episode_cannot_be_compared_with_itself(how):
    alone = ["train_env_manager.group_size=1", "train_env_manager.num_env_groups=256"]
    words = refused(PPO, f"reward_normalization={{grouping: traj_group_id, {how}}}", *alone)
    assert "group_size: found 1, but rewards are compared within their group" in words


def test_filters_that_would_filter_nothing_are_refused():
    filtered = [
        "train_infer_correction={filters: [{enabled: true}]}",
        "enable_old_logprobs_recompute=false",
        "actor_train.training_args.gradient_accumulation_steps=64",
    ]
    assert "ROLL would filter nothing" in refused(GRPO, *filtered)
    for honoured in ("enable_old_logprobs_recompute=true", "loss_agg_mode=seq-mean-token-mean"):
        check_roll(compose(GRPO, overrides=[f"++{one}" for one in [*filtered, honoured]]))


def test_without_a_critic_its_block_and_several_epochs_are_no_mistake():
    overrides = [
        "adv_estimator=grpo",
        "critic_warmup=0",
        "ppo_epochs=2",
        "reward_normalization={grouping:traj_group_id,method:mean_std}",
        "critic.apply_loss_scale=true",
        "critic.model_args.num_labels=2",
    ]
    assert check_roll(compose(PPO, overrides=overrides)).version == "main"
