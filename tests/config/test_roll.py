"""What the ROLL engine accepts, and what it refuses before anything starts; needs neither ROLL nor a GPU."""

import re
from pathlib import Path
from typing import Any

import pytest

from tau_retail_env.config import compose
from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.errors import InvalidValueError
from tau_retail_env.local.config import LocalConfig, check_local
from tau_retail_env.local.config.unread import OF_RUNS_WITH_ROLL
from tau_retail_env.roll.config.check import (
    LOCAL_KEYS,
    OWN_KEYS,
    RollConfig,
    check_roll,
    fit_groups,
    is_for_roll,
    roll_values,
)
from tau_retail_env.roll.config.rules import parse_devices, prefix_tokens

CONFIGS = ("tau_retail_config", "tau_retail_1gpu", "tau_retail_grpo")
VARIANTS = (
    "infer=sglang",
    "train=megatron",
    "train=deepspeed",
    "task_subset=returns",
    "task_source=tau2",
    "user_strategy={scripted:0.7,llm:0.3} user_model=m",
    "prompt_style=compressed",
    "train_env_manager.tags=[retail_train_exchanges]",
)


def checked(name: str, *overrides: str) -> RollConfig:
    return check_roll(compose(name, overrides=overrides))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("variant", ["", *VARIANTS])
def test_every_configuration_and_variant_composes_and_checks(name, variant):
    config = checked(name, *variant.split())
    assert config.exp_name == name
    assert config.version == ("v0.2.1" if "deepspeed" in variant else "main")


def test_a_variant_replaces_the_whole_block():
    values = compose("tau_retail_1gpu", overrides=["infer=sglang"])
    args = values["actor_infer"]["strategy_args"]
    assert args["strategy_name"] == "sglang"
    assert "gpu_memory_utilization" not in args["strategy_config"]
    assert args["strategy_config"]["mem_fraction_static"] == values["infer_gpu_memory"]


def test_megatron_leaves_the_critic_on_fsdp2():
    values = compose("tau_retail_config", overrides=["train=megatron"])
    assert values["actor_train"]["strategy_args"]["strategy_name"] == "megatron_train"
    assert values["critic"]["strategy_args"]["strategy_name"] == "fsdp2_train"


def test_a_key_at_the_top_reaches_every_environment():
    config = checked("tau_retail_config", "max_turns=7", "prompt_style=compressed", "task_source=tau2")
    for env in config.custom_envs.values():
        assert (env.max_steps, env.env_config.max_turns) == (7, 7)
        assert (env.env_config.prompt_style, env.env_config.source) == ("compressed", "tau2")


def test_the_catalogue_has_a_tag_for_every_kind_of_task_and_split():
    envs = checked("tau_retail_config").custom_envs
    kinds = "returns exchanges cancellations modifications address payment profile transfer lookup single multi"
    for split in ("train", "test"):
        assert envs[f"retail_{split}"].env_config.task_subset == "all"
        for kind in kinds.split():
            env = envs[f"retail_{split}_{kind}"].env_config
            assert (env.split, env.task_subset) == (split, kind)


def test_validation_is_sampled_by_its_own_settings():
    for name in CONFIGS:
        values = compose(name)
        assert "generating_args" not in values["actor_infer"]
        train, val = (values[manager]["generating_args"] for manager in ("train_env_manager", "val_env_manager"))
        assert train != val


def test_kl_is_really_on_in_every_configuration():
    for name in CONFIGS:
        values = compose(name)
        in_reward = values["add_token_level_kl"] and values["init_kl_coef"] > 0
        in_loss = values["use_kl_loss"] and values["kl_loss_coef"] > 0
        assert in_reward or in_loss


def test_the_keys_of_the_local_engine_alone_are_told_as_such():
    of_roll = {*RollConfig.model_fields, *RollSchema.load("main").names("")}
    assert set(LocalConfig.model_fields) - of_roll == set(LOCAL_KEYS)


def test_the_keys_of_ours_that_runs_with_roll_alone_read_are_told_by_the_local_engine():
    of_others = {*LocalConfig.model_fields, *RollSchema.load("main").names(""), "num_gpus"}
    assert set(OWN_KEYS) - of_others == set(OF_RUNS_WITH_ROLL)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("init_kl_coeff=0.1", "init_kl_coeff: unknown key, which ROLL would ignore. Did you mean 'init_kl_coef'"),
        ("curriculum=0.3", "curriculum: only the local engine reads it (--config-name tau_retail_local); remove it"),
        ("actor_train.training_args.learning_rat=0.1", "actor_train.training_args.learning_rat: unknown key"),
        ("custom_envs.retail_train.env_config.splt=x", "custom_envs.retail_train.env_config.splt: unknown key"),
        ("actor_train.strategy_args.strategy_config.fsdp_sise=2", "fsdp_sise: unknown key, which FSDP2 would ignore"),
        (
            "+critic.strategy_args.strategy_config.param_dtype=bf16",
            "the weights that learn: too coarse for most updates",
        ),
        ("max_steps=many", "max_steps: found 'many', expected a whole number"),
        ("kl_penalty=k3", "kl_penalty: found 'k3', expected kl or abs or mse or full"),
        ("add_token_level_kl=false", "looks like KL to the reference and is not"),
        ("init_kl_coef=0", "init_kl_coef: found 0, expected more than 0 with add_token_level_kl: true"),
        ("kl_loss_coef=0.1", "use_kl_loss: false, but kl_loss_coef is 0.1"),
        ("use_kl_loss=true", "kl_loss_coef: found 0, expected more than 0"),
        ("force_disable_old_logprobs_recompute=true", "makes the actor's log-probabilities 0"),
        ("lambd=0.95", "lambd: found 0.95, expected 1.0"),
        ("adv_estimator=grpo", "adv_estimator grpo compares the episodes of one task"),
        ("async_generation_ratio=0.5", "async_generation_ratio: found 0.5, expected a whole number"),
        ("async_generation_ratio=1", "take turns on the same GPUs"),
        (
            "rollout_batch_size=130",
            "rollout_batch_size: found 130, expected a multiple of the 256 environments",
        ),
        ("rollout_batch_size=192", "does not divide rollout_batch_size 192"),
        ("actor_train.infer_batch_size=3", "actor_train.infer_batch_size: 3 x 8 GPUs = 24 does not divide"),
        ("val_batch_size=100", "val_batch_size: found 100, expected a multiple of the 128 environments"),
        ("critic.strategy_args.strategy_name=megatron_train", "ROLL has no Megatron value model"),
        ("critic.model_args.model_type=null", "critic.model_args.model_type: found None"),
        ("actor_infer.strategy_args.strategy_name=hf_infer", "expected vllm or sglang"),
        ("actor_train.strategy_args.strategy_name=deepspeed_sing", "strategy_name: found 'deepspeed_sing', expected"),
        ("reference.device_mapping=[0,1,2,3]", "reference.device_mapping: expected the GPUs of actor_train"),
        ("actor_infer.device_mapping=[15]", "names GPU 15, but num_gpus_per_node 8"),
        ("num_gpus_per_node=0", "num_gpus_per_node: found 0, expected 1 or more"),
        ("num_nodes=-1", "num_nodes: found -1, expected 1 or more"),
        ("actor_infer.device_mapping=every", "expected a text such as list(range(0,8))"),
        ("actor_infer.device_mapping=[2,2]", "actor_infer.device_mapping: found [2, 2], expected GPUs from 0 on"),
        ("train_env_manager.tags=[retail_trian]", "train_env_manager.tags: 'retail_trian' is not under custom_envs"),
        ("val_env_manager.num_groups_partition=[3]", "val_env_manager.num_groups_partition: found [3]"),
        ("sequence_length=4200", "starts with 4256 tokens"),
        ("sequence_length=512", "too small for one message of 1024 tokens"),
        ("+actor_infer.generating_args.max_new_tokens=9", "actor_infer.generating_args would override it"),
        ("user_strategy=llm", "user_model"),
        ("user_model=m", "user_model: found 'm', but user_strategy scripted needs no model"),
        ("checkpoint_config.type=null", "checkpoint_config.type: found None, expected file_system"),
        (
            "+custom_envs.retail_train.max_tokens_per_episode=16384",
            "custom_envs.retail_train.max_tokens_per_episode: found 16384, which no episode of sequence_length 16384",
        ),
        ("custom_envs.retail_test.max_steps=3", "custom_envs.retail_test.max_steps: found 3"),
        ("engine=local", "engine: local cannot be honoured"),
    ],
)
def test_what_would_go_wrong_is_refused_by_its_path(override, words):
    with pytest.raises(InvalidValueError) as refused:
        checked("tau_retail_config", override)
    assert words in " ".join(str(refused.value).split())


@pytest.mark.parametrize(
    ("name", "key", "overrides"),
    [
        ("tau_retail_1gpu", "async_generation_ratio", ["async_generation_ratio=0.5"]),
        ("tau_retail_1gpu", "async_generation_ratio", ["async_generation_ratio=1.0"]),
        ("tau_retail_1gpu", "async_generation_ratio", ["async_generation_ratio=-1"]),
        ("tau_retail_config", "async_generation_ratio", ["async_generation_ratio=1", "train=deepspeed"]),
        ("tau_retail_config", "async_generation_ratio", ["async_generation_ratio=1", "infer=sglang"]),
        ("tau_retail_config", "reference.device_mapping", ["reference.device_mapping=[99]"]),
        ("tau_retail_config", "sequence_length", ["sequence_length=512"]),
        ("tau_retail_config", "sequence_length", ["sequence_length=4200"]),
        (
            "tau_retail_grpo",
            "train_env_manager.generating_args.temperature",
            ["train_env_manager.generating_args.temperature=0"],
        ),
    ],
)
def test_a_key_that_breaks_several_rules_is_told_once(name, key, overrides):
    with pytest.raises(InvalidValueError) as refused:
        checked(name, *overrides)
    assert str(refused.value).count(f"{key}: ") == 1


def test_gpus_that_overlap_are_told_beside_a_number_of_steps_that_is_none():
    shared = ("actor_train.device_mapping=[0,1]", "actor_infer.device_mapping=[1,2]")
    with pytest.raises(InvalidValueError) as refused:
        checked("tau_retail_config", "async_generation_ratio=-1", *shared)
    assert "async_generation_ratio: found -1" in str(refused.value)
    assert "actor_train and actor_infer: their device_mapping overlaps" in str(refused.value)


def test_what_playing_ahead_wants_of_two_keys_is_told_under_each():
    correction = "train_infer_correction"
    with pytest.raises(InvalidValueError) as refused:
        checked(
            "tau_retail_1gpu",
            "async_generation_ratio=1",
            f"{correction}.is_weight.weight_type=sequence",
            f"{correction}.filters=[{{enabled: true}}]",
        )
    assert str(refused.value).count("- async_generation_ratio: ") == 1
    assert str(refused.value).count(f"- {correction}.filters: ") == 1


@pytest.mark.parametrize("found", ["x", "0", "1.5"])
@pytest.mark.parametrize("key", ["virtual_pipeline_model_parallel_size", "expert_model_parallel_size"])
def test_the_other_parallel_sizes_are_whole_numbers_or_left_out(key, found):
    path = "actor_train.strategy_args.strategy_config"
    whole = ("train=megatron", f"{path}.tensor_model_parallel_size=8")
    with pytest.raises(InvalidValueError, match=rf"{path}.{key}: found .*, expected a whole number from 1 on"):
        checked("tau_retail_config", *whole, f"{path}.{key}={found}")
    checked("tau_retail_config", *whole, f"{path}.{key}=null")


@pytest.mark.parametrize("found", ["0", "0.5", "-1", "null", "x", "[1]", "true"])
@pytest.mark.parametrize(
    ("name", "group", "role", "key"),
    [
        ("tau_retail_1gpu", "infer=vllm", "actor_infer", "tensor_parallel_size"),
        ("tau_retail_1gpu", "infer=sglang", "actor_infer", "tensor_parallel_size"),
        ("tau_retail_config", "train=megatron", "actor_train", "tensor_model_parallel_size"),
        ("tau_retail_config", "train=megatron", "reference", "pipeline_model_parallel_size"),
        ("tau_retail_config", "train=megatron", "actor_train", "context_parallel_size"),
    ],
)
def test_gpus_of_one_copy_of_the_model_are_a_whole_number(name, group, role, key, found):
    path = f"{role}.strategy_args.strategy_config.{key}"
    with pytest.raises(InvalidValueError, match=rf"^{path}: found .*, expected a whole number from 1 on$"):
        checked(name, group, f"{path}={found}")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["actor_train.use_sequence_packing=true"], "actor_train.use_sequence_packing: true cannot be honoured"),
        (["reference.use_sequence_packing=true"], "reference.use_sequence_packing: true cannot be honoured"),
        (
            ["actor_train.strategy_args.strategy_config.sequence_parallel=true"],
            "sequence_parallel: true cannot be honoured with transformer_impl: local",
        ),
        (
            ["actor_train.strategy_args.strategy_config.context_parallel_size=2"],
            "context_parallel_size: found 2, expected 1",
        ),
        (["max_steps=5"], "warmup_steps: found 10, but Megatron's schedule wants more updates than these"),
    ],
)
def test_what_megatrons_own_layers_cannot_do_is_refused(overrides, words):
    checked("tau_retail_config", "train=megatron")
    with pytest.raises(InvalidValueError) as refused:
        added = [one if one.startswith("max_steps") else f"++{one}" for one in overrides]
        checked("tau_retail_config", "train=megatron", *added)
    assert words in " ".join(str(refused.value).split())


AHEAD = ("async_generation_ratio=1", "+train_infer_correction.is_weight.enabled=true")


@pytest.mark.parametrize("name", ["tau_retail_config", "tau_retail_1gpu"])
def test_rollouts_run_ahead_on_gpus_that_also_learn_where_each_token_is_weighed(name):
    checked(name, *AHEAD)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train_infer_correction.is_weight.enabled=false", "each token wants its own weight"),
        ("+train_infer_correction.is_weight.weight_type=sequence", "each token wants its own weight"),
        ("+train_infer_correction.filters=[{enabled:true}]", "of which long episodes have more"),
        ("train=deepspeed", "the queue of ROLL v0.2.1 was not looked at"),
        ("infer=sglang", "only vLLM without router_args goes on with a message"),
        ("+router_args={router_name:EnvAffinityRouter}", "only vLLM without router_args goes on with a message"),
    ],
)
def test_rollouts_do_not_run_ahead_there_in_a_way_that_prefers_short_episodes(override, words):
    with pytest.raises(InvalidValueError) as refused:
        checked("tau_retail_1gpu", *AHEAD, override)
    assert words in " ".join(str(refused.value).split())


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["train_env_manager.group_size=1", "train_env_manager.num_env_groups=256"], "every advantage would be 0"),
        (["train_env_manager.generating_args.temperature=0"], "there is nothing to compare"),
        (["init_kl_coef=0.2"], "init_kl_coef is 0.2: this looks like KL"),
        (["~init_kl_coef", "use_kl_loss=false", "kl_loss_coef=0"], "init_kl_coef is 0.2 (ROLL's default)"),
        (["async_generation_ratio=1.0"], "expected a whole number from 0 on"),
        (["actor_infer.device_mapping=[0,1,2,3,4,5]", "async_generation_ratio=0"], "has a part of actor_infer's"),
        (["reward_normalization={grouping:batch,method:mean_std}"], "compares the episodes of one task"),
        (
            ["infer=sglang", "actor_infer.strategy_args.strategy_config.tensor_parallel_size=2"],
            "actor_infer.num_gpus_per_worker: found 1, expected 2, the product of SGLang's",
        ),
    ],
)
def test_a_group_baseline_has_rules_of_its_own(overrides, words):
    with pytest.raises(InvalidValueError) as refused:
        checked("tau_retail_grpo", *overrides)
    assert words in " ".join(str(refused.value).split())


API = ["user_strategy={scripted:0.7,llm:0.3}", "user_model=m"]


@pytest.mark.parametrize(
    ("normalization", "customer", "refused"),
    [
        ("{grouping:batch,method:mean}", API, True),
        ("{grouping:batch,method:mean}", [], False),
        ("{grouping:batch,method:identity}", API, False),
        ("{grouping:traj_group_id,method:mean_std}", API, False),
        ("{grouping:traj_group_id,method:mean_std,norm_mean_type:group,norm_std_type:batch}", API, True),
    ],
)
def test_an_episode_that_the_customer_spoilt_may_not_shift_a_baseline(normalization, customer, refused):
    overrides = [f"reward_normalization={normalization}", *customer]
    if not refused:
        checked("tau_retail_config", *overrides)
        return
    with pytest.raises(InvalidValueError, match="retail_train is behind an API and can fail"):
        checked("tau_retail_config", *overrides)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], "save_steps: found 40, expected eval_steps 20 or a number that divides it"),
        (["save_steps=20", "checkpoint_config.async_upload=true"], "checkpoint_config.async_upload: expected false"),
        (
            ["save_steps=20", "max_steps=61"],
            "stop_after_worse: 2 with eval_steps 20 could end the run after step 60 at the earliest, and it ends after "
            "step 60 anyway",
        ),
        (["save_steps=20", "max_steps=81", "critic_warmup=45"], "after step 80 at the earliest"),
    ],
)
def test_an_early_stop_needs_the_weights_of_each_validation_and_time_for_some(overrides: list[str], words: str):
    wanted = ("stop_after_worse=2", "max_steps=201")
    with pytest.raises(InvalidValueError) as refused:
        checked("tau_retail_1gpu", *wanted, *overrides)
    assert words in str(refused.value)
    assert checked("tau_retail_1gpu", *wanted, "save_steps=10").stop_after_worse == 2
    assert "stop_after_worse" not in roll_values(compose("tau_retail_1gpu", overrides=wanted))


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(InvalidValueError, match="2 keys") as refused:
        checked("tau_retail_config", "lambd=0.9", "add_token_level_kl=false")
    assert "lambd: found" in str(refused.value)
    assert "add_token_level_kl: false" in str(refused.value)


def test_no_kl_at_all_is_no_mistake():
    assert checked("tau_retail_config", "add_token_level_kl=false", "init_kl_coef=0").version == "main"


def test_every_size_that_is_given_is_played_or_refused():
    overrides = ["val_batch_size=20", "val_env_manager.num_env_groups=20", "val_env_manager.group_size=1"]
    assert checked("tau_retail_1gpu", *overrides).val_places == {"retail_test": 20}
    assert checked("tau_retail_1gpu").val_places == {}


def test_a_validation_of_all_tasks_has_no_more_groups_than_tasks():
    values = compose("tau_retail_1gpu")
    fitted = fit_groups(values, {"retail_test": 9})
    assert fitted["val_env_manager"]["num_groups_partition"] == [9]
    assert fitted["val_env_manager"]["num_env_groups"] == 9
    assert fit_groups(values, {"retail_test": 500}) == values


def test_roll_gets_no_key_that_it_does_not_know():
    handed = roll_values(compose("tau_retail_1gpu", overrides=["pretrain=small"]))
    assert not {"user_strategy", "engine", "infer_gpu_memory", "max_turns"} & set(handed)
    assert handed["pretrain"].endswith("small") and handed["reward_pretrain"] == handed["pretrain"]


def test_roll_gets_devices_as_the_text_that_it_reads():
    handed = roll_values(compose("tau_retail_grpo", overrides=["actor_infer.device_mapping=[6,7]"]))
    assert handed["actor_infer"]["device_mapping"] == "[6, 7]"


def test_a_configuration_for_the_other_engine_is_refused_with_the_right_ones():
    with pytest.raises(InvalidValueError, match="configurations for ROLL are tau_retail_config"):
        checked("tau_retail_local", "engine=roll")


def test_which_configurations_are_for_roll():
    assert all(is_for_roll(compose(name)) for name in CONFIGS)
    assert not is_for_roll(compose("tau_retail_local"))
    assert not is_for_roll({"actor_infer": None})


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("list(range(0,3))", [0, 1, 2]),
        ("[1, 3]", [1, 3]),
        ("list(range(2)) + [7]", [0, 1, 7]),
        ([0, 1], [0, 1]),
        (None, []),
    ],
)
def test_device_mappings_are_read_as_roll_reads_them(text, devices):
    assert parse_devices(text) == devices


@pytest.mark.parametrize("text", ["__import__('os').getcwd()", "range", "8", [0, "1"], "list(range('a'))", "("])
def test_a_device_mapping_is_never_run_as_a_program(text: Any):
    with pytest.raises(ValueError, match="expected a text such as"):
        parse_devices(text)


@pytest.mark.parametrize("style", ["full", "compressed", "minimal"])
@pytest.mark.parametrize("source", ["tau2", "generated"])
@pytest.mark.parametrize("tokenizer", ["qwen2_5", "qwen3"])
def test_the_recorded_prompt_lengths_are_those_of_the_real_tokenizers(shared_folder, source, style, tokenizer):
    transformers = pytest.importorskip("transformers")
    from tau_retail_env.chat.encoder import ChatEncoder
    from tau_retail_env.sources import open_shop
    from tau_retail_env.sources.prompts import show_tools, system_prompt

    shop = open_shop(source)
    prompt = system_prompt(style, source, shop.domain_policy, shop.tools)
    loaded = transformers.AutoTokenizer.from_pretrained(shared_folder / "tokenizers" / tokenizer)
    encoder = ChatEncoder(loaded, system_prompt=prompt, tools=shop.tools if show_tools(style) else None)
    assert len(encoder.prefix) == prefix_tokens(source, style)


def test_grpo_fits_two_gpus_one_to_learn_and_one_to_play():
    overrides = [f"{role}.device_mapping=[0]" for role in ("actor_train", "reference")]
    config = checked("tau_retail_grpo", "num_gpus_per_node=2", "actor_infer.device_mapping=[1]", *overrides)
    assert config.num_gpus == 2


@pytest.mark.parametrize(
    ("name", "batch"), [("tau_retail_1gpu", 64), ("tau_retail_config", 128), ("tau_retail_grpo", 64)]
)
@pytest.mark.parametrize("overrides", [["num_gpus_per_node=2"], ["num_gpus_per_node=4"], ["num_nodes=2"]])
def test_the_number_of_gpus_alone_changes_what_follows_from_it(name, batch, overrides):
    """GPUs of each role, and accumulation, so that an update sees the same number of episodes."""
    values = compose(name, overrides=overrides)
    total = values["num_gpus_per_node"] * values["num_nodes"]
    config = check_roll(values)
    assert config.num_gpus == total
    learning = total // 2 if name == "tau_retail_grpo" and total > 1 else total
    assert values["actor_train"]["training_args"]["gradient_accumulation_steps"] * learning == batch


def test_a_number_of_gpus_that_does_not_divide_the_batch_is_refused():
    with pytest.raises(InvalidValueError, match=r"3 GPUs = 126 does not divide rollout_batch_size 256"):
        check_roll(compose("tau_retail_config", overrides=["num_gpus_per_node=3"]))


@pytest.mark.parametrize(
    ("name", "gpus", "told"),
    [
        ("tau_retail_config", 3, "of which critic has 3: 2 would do"),
        ("tau_retail_1gpu", 7, "of which actor_train has 7: 4 would do"),
        ("tau_retail_grpo", 6, "of which actor_train has 3: 2 would do"),
        ("tau_retail_grpo", 1, "as with tau_retail_grpo, there must be two or more. Set num_gpus_per_node=2"),
        ("tau_retail_grpo", 1, "--config-name tau_retail_1gpu"),
    ],
)
def test_a_number_of_gpus_that_a_shipped_file_cannot_have_is_refused_with_one_that_it_can(name, gpus, told):
    with pytest.raises(InvalidValueError, match=re.escape(told)):
        check_roll(compose(name, overrides=[f"num_gpus_per_node={gpus}"]))


def test_episodes_at_once_that_do_not_divide_the_batch_are_refused_by_their_key():
    with pytest.raises(InvalidValueError, match=r"Change actor_train\.infer_batch_size$"):
        check_roll(compose("tau_retail_1gpu", overrides=["actor_train.infer_batch_size=3"]))


def test_every_arm_of_grpo_is_a_configuration_that_can_start(repository: Path):
    """benchmarks/roll_run.sh arms: what each of them changes, on one GPU where learning and playing take turns."""
    script = (repository / "benchmarks" / "arms.sh").read_text(encoding="utf-8")
    arms = dict(re.findall(r'^  \[(\w+)\]="(.+)"$', script, re.MULTILINE))
    one_gpu = re.search(r"1\) common\+=\((.+)\) ;;", script)
    [here] = re.findall(r"^order=\((.+)\)$", script, re.MULTILINE)
    assert len(here.split()) == 12 and one_gpu is not None
    sizes = ["actor_train.training_args.per_device_train_batch_size=16"]
    sizes += ["actor_train.training_args.gradient_accumulation_steps=4"]
    shared = [*sizes, *one_gpu[1].replace("'", "").split()]
    for name in here.split():
        assert checked("tau_retail_grpo", *shared, *arms[name].split()).num_gpus == 1, name
    [on_local] = re.findall(r"^  order=\(([a-z_ ]+)\)", script, re.MULTILINE)
    assert {*here.split(), *on_local.split()} == set(arms)
    for name in on_local.split():
        check_local(compose("tau_retail_local", overrides=arms[name].split()))
