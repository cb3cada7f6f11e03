"""ROLL's own rules about a configuration, and what it would silently get wrong: pure functions, each lists problems."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau_retail_env.config.roll_schema import RollSchema

ROLES = ("actor_train", "actor_infer", "reference", "critic")
MANAGERS = ("train_env_manager", "val_env_manager")
PREFIX_TOKENS: Mapping[tuple[str, str], int] = {
    ("tau_bench", "full"): 4256,
    ("tau_bench", "compressed"): 1161,
    ("tau_bench", "minimal"): 9,
    ("tau2", "full"): 4767,
    ("tau2", "compressed"): 1239,
    ("tau2", "minimal"): 9,
    ("generated", "full"): 4767,
    ("generated", "compressed"): 1239,
    ("generated", "minimal"): 9,
}
"""Tokens before the first message, by source and prompt style, with Qwen2.5's and Qwen3's tokenizers."""


FULL_PRECISION = ("fp32", "float32")
"""Names of the type in which weights that learn must be stored: bf16 has eight bits, and rounds most updates away."""


@dataclass(frozen=True, slots=True)
class RollValues:
    """A composed configuration, read with ROLL's defaults; its names and types are checked."""

    values: Mapping[str, Any]
    """As composed."""
    schema: RollSchema
    """The version of ROLL that it is for."""

    def __call__(self, path: str) -> Any:
        """A key's value, or ROLL's default."""
        return self.schema.value(self.values, path)

    def given(self, path: str) -> bool:
        """Whether the configuration says it itself."""
        here: Any = self.values
        for name in path.split("."):
            if not isinstance(here, Mapping) or name not in here:
                return False
            here = here[name]
        return True

    @property
    def has_critic(self) -> bool:
        """Whether ROLL starts a critic."""
        return bool(self("adv_estimator") == "gae")

    @property
    def has_reference(self) -> bool:
        """Whether ROLL starts a reference."""
        return bool(self("enable_reference") or self("use_kl_loss") or self("init_kl_coef") > 0)

    @property
    def roles(self) -> list[str]:
        """The roles that ROLL starts."""
        left_out = {"critic": not self.has_critic, "reference": not self.has_reference}
        return [role for role in ROLES if not left_out.get(role, False)]

    def devices(self, role: str) -> list[int]:
        """GPUs of a role; empty where none are given or they cannot be read."""
        try:
            return parse_devices(self(f"{role}.device_mapping"))
        except ValueError:
            return []

    def strategy(self, role: str) -> str | None:
        """Name of a role's strategy."""
        block = self(f"{role}.strategy_args")
        return str(self(f"{role}.strategy_args.strategy_name")) if block else None

    def strategy_config(self, role: str) -> Mapping[str, Any]:
        """Settings of a role's strategy."""
        return ((self(f"{role}.strategy_args") or {}).get("strategy_config")) or {}

    def data_parallel(self, role: str) -> int:
        """Parts into which a batch is divided, one for each copy of the model."""
        config, devices = self.strategy_config(role), len(self.devices(role))
        strategy = self.strategy(role) or ""
        names: tuple[str, ...] = ()
        if strategy.startswith("megatron"):
            names = ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size")
        elif strategy in ("vllm", "sglang"):
            names = ("tensor_parallel_size", "pipeline_parallel_size")
        else:
            return max(1, devices // int(self(f"{role}.model_args.ulysses_size") or 1))
        return max(1, devices // math.prod(int(config.get(name, 1)) for name in names))

    def update_size(self, role: str) -> int:
        """Episodes of one update of the weights."""
        training = f"{role}.training_args"
        per_device = self(f"{training}.per_device_train_batch_size")
        return int(per_device * self(f"{training}.gradient_accumulation_steps") * self.data_parallel(role))


def parse_devices(mapping: Any) -> list[int]:
    """Read ROLL's device_mapping, without evaluating it as Python.

    Args:
        mapping: such as "list(range(0,8))", "[0, 1]" or a sum of these, or a list; None is no device.

    Raises:
        ValueError: anything else.
    """
    if mapping is None:
        return []
    if isinstance(mapping, (list, tuple)) and all(type(device) is int for device in mapping):
        return list(mapping)
    if not isinstance(mapping, str):
        raise ValueError(f"found {mapping!r}, expected a text such as list(range(0,8)), or a list of numbers")
    try:
        return _devices(ast.parse(mapping, mode="eval").body)
    except (SyntaxError, ValueError, TypeError) as error:
        raise ValueError(f"found {mapping!r}, expected a text such as list(range(0,8)) or [0, 1]") from error


def _devices(node: ast.expr) -> list[int]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _devices(node.left) + _devices(node.right)
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "list"
        and len(node.args) == 1
    ):
        return _devices(node.args[0])
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range":
        return list(range(*(int(ast.literal_eval(argument)) for argument in node.args)))
    return [int(item) for item in ast.literal_eval(node)]


def check_strategies(config: RollValues) -> Iterator[str]:
    """Which backend may do what, and how."""
    for role in ("actor_train", "critic"):
        strategy = config.strategy(role) or "nothing"
        if role in config.roles and not strategy.endswith("_train"):
            yield f"{role}.strategy_args.strategy_name: found {strategy}, expected fsdp2_train (train=fsdp2)"
        stored = str(config.strategy_config(role).get("param_dtype", FULL_PRECISION[0]))
        if strategy == "fsdp2_train" and stored not in FULL_PRECISION:
            yield (
                f"{role}.strategy_args.strategy_config.param_dtype: found {stored}, in which ROLL would also store the "
                "weights that learn: too coarse for most updates. Remove the key: then they are stored in fp32 and "
                "computed with in bf16"
            )
    if "reference" in config.roles and not (config.strategy("reference") or "").endswith("_infer"):
        found = config.strategy("reference") or "nothing"
        yield f"reference.strategy_args.strategy_name: found {found}, expected fsdp2_infer (train=fsdp2)"
    for role in config.roles:
        if (config.strategy(role) or "").startswith("fsdp2"):
            for name in config.strategy_config(role):
                if name not in config.schema.fsdp2_keys:
                    yield (
                        f"{role}.strategy_args.strategy_config.{name}: unknown key, which FSDP2 would ignore. "
                        f"Known here: {', '.join(config.schema.fsdp2_keys)}."
                    )


def check_critic(config: RollValues) -> Iterator[str]:
    """What a critic needs, and what would reach it that should not."""
    if not config.has_critic:
        return
    if (config.strategy("critic") or "").startswith("megatron"):
        yield (
            "critic.strategy_args.strategy_name: ROLL has no Megatron value model; "
            "use fsdp2_train for the critic (train=megatron does), or adv_estimator=grpo"
        )
    if config("critic.model_args.model_type") not in ("auto_token_classification", "trl"):
        found = config("critic.model_args.model_type")
        yield f"critic.model_args.model_type: found {found}, expected auto_token_classification, with num_labels: 1"
    if not (config("reward_pretrain") or config("critic.model_args.model_name_or_path")):
        yield "reward_pretrain: missing, the critic's first weights; say reward_pretrain: ${pretrain}"
    for name in ("lambd", "gamma"):
        if config(name) != 1:
            yield (
                f"{name}: found {config(name)}, expected 1.0: ROLL's GAE runs over every token, and below 1 the values "
                "of the customer's and the tools' tokens leak into the advantages of the actor's"
            )


def check_kl(config: RollValues) -> Iterator[str]:
    """Refuse what looks like KL to the reference and is not."""
    in_reward, in_loss = config("add_token_level_kl"), config("use_kl_loss")
    coefficient, loss_coefficient = config("init_kl_coef"), config("kl_loss_coef")
    if coefficient > 0 and not in_reward and (config.given("init_kl_coef") or not in_loss):
        said = "" if config.given("init_kl_coef") else " (ROLL's default)"
        yield (
            f"add_token_level_kl: false, but init_kl_coef is {coefficient}{said}: this looks like KL to the reference "
            "and is not, ROLL would use the coefficient nowhere. Set add_token_level_kl: true for KL in the reward, or "
            "init_kl_coef: 0.0 (and for KL in the loss use_kl_loss: true with kl_loss_coef)"
        )
    if in_reward and coefficient <= 0:
        yield f"init_kl_coef: found {coefficient}, expected more than 0 with add_token_level_kl: true"
    if loss_coefficient > 0 and not in_loss:
        yield (
            f"use_kl_loss: false, but kl_loss_coef is {loss_coefficient}: ROLL would use the coefficient nowhere. "
            "Set use_kl_loss: true, or kl_loss_coef: 0.0"
        )
    if in_loss and loss_coefficient <= 0:
        yield f"kl_loss_coef: found {loss_coefficient}, expected more than 0 with use_kl_loss: true"
    if config("target_kl") is not None and not in_reward:
        yield f"target_kl: found {config('target_kl')}, but it steers the KL in the reward: add_token_level_kl: true"
    if in_reward and config("force_disable_old_logprobs_recompute"):
        yield (
            "force_disable_old_logprobs_recompute: true makes the actor's log-probabilities 0, "
            "from which the KL in the reward is taken: set it to false"
        )


def check_normalization(config: RollValues) -> Iterator[str]:
    """How rewards become advantages without a critic."""
    if config("adv_estimator") == "gigpo":
        return
    grouping, method = config("reward_normalization.grouping"), config("reward_normalization.method")
    derived = None if method == "identity" else "batch" if grouping == "batch" else "group"
    mean = config("reward_normalization.norm_mean_type") or derived
    size = config("train_env_manager.group_size")
    if mean == "group" and size == 1:
        yield (
            "train_env_manager.group_size: found 1, but rewards are compared within their group "
            f"(reward_normalization.grouping: {grouping}): every advantage would be 0; expected 2 or more"
        )
    if config("adv_estimator") == "grpo" and mean != "group":
        yield (
            f"reward_normalization: found grouping {grouping} and method {method}, but adv_estimator grpo "
            "compares the episodes of one task: use grouping: traj_group_id and method: mean_std"
        )


def check_masked(config: RollValues, failing: Sequence[str]) -> Iterator[str]:
    """Refuse a baseline that an episode would shift which is left out of the training because its customer failed.

    Args:
        config: the configuration.
        failing: the training tags whose customer is behind an API.
    """
    if not failing or config("adv_estimator") == "gigpo":
        return
    grouping, method = config("reward_normalization.grouping"), config("reward_normalization.method")
    mean = config("reward_normalization.norm_mean_type") or (grouping if method != "identity" else None)
    std = config("reward_normalization.norm_std_type") or (grouping if method in ("mean_std", "asym_clip") else None)
    if "batch" in (mean, std):
        yield (
            f"reward_normalization: found grouping {grouping} and method {method}, but the customer of "
            f"{', '.join(failing)} is behind an API and can fail: the 0 of such an episode would count in the whole "
            "batch's mean; use grouping: traj_group_id, or method: identity with a critic"
        )


def check_sampling(config: RollValues) -> Iterator[str]:
    """How messages are sampled, and whether one fits."""
    shared = config("actor_infer.generating_args")
    for manager in MANAGERS:
        path = f"{manager}.generating_args"
        own = config(path)
        if shared and own and shared != own:
            yield f"{path}: actor_infer.generating_args would override it; keep only those of the env managers"
            continue
        used = shared or own
        if not used:
            yield f"{path}: missing. Expected at least max_new_tokens and temperature"
        elif used.get("max_new_tokens", 8192) >= config("sequence_length"):
            yield (
                f"sequence_length: {config('sequence_length')} is too small for one message of "
                f"{used.get('max_new_tokens', 8192)} tokens ({path}.max_new_tokens)"
            )
    train = shared or config("train_env_manager.generating_args") or {}
    if train.get("temperature") == 0 and not config.has_critic:
        yield (
            "train_env_manager.generating_args.temperature: 0 plays every episode of a group alike, "
            "so that there is nothing to compare; expected more than 0"
        )


def check_sizes(config: RollValues) -> Iterator[str]:
    """What must divide what: otherwise ROLL stops in its first step, or trains on some episodes twice."""
    batch, group = config("rollout_batch_size"), config("train_env_manager.group_size")
    if batch <= 0 or batch % group:
        yield f"rollout_batch_size: found {batch}, expected a multiple of train_env_manager.group_size {group}"
    val, envs = config("val_batch_size"), _envs(config, "val_env_manager")
    if val >= 0 and (val == 0 or val % envs):
        yield (
            f"val_batch_size: found {val}, expected a multiple of the {envs} environments (val_env_manager: "
            f"{config('val_env_manager.num_env_groups')} groups of {config('val_env_manager.group_size')}), or -1 for "
            "all tasks"
        )
    if config("max_steps") < 1:
        yield f"max_steps: found {config('max_steps')}, expected 1 or more"
    for role in ("actor_train", "critic"):
        if role in config.roles and (size := config.update_size(role)) and batch % size:
            training = f"{role}.training_args"
            yield (
                f"{training}: per_device_train_batch_size {config(f'{training}.per_device_train_batch_size')} x "
                f"gradient_accumulation_steps {config(f'{training}.gradient_accumulation_steps')} x "
                f"{config.data_parallel(role)} GPUs = {size} does not divide rollout_batch_size {batch}: "
                "ROLL would fill up with episodes that it has already"
            )
    for role in ("actor_train", "reference", "critic"):
        size = config(f"{role}.infer_batch_size") * config.data_parallel(role)
        if role in config.roles and batch % size:
            yield (
                f"{role}.infer_batch_size: {config(f'{role}.infer_batch_size')} x {config.data_parallel(role)} GPUs "
                f"= {size} does not divide rollout_batch_size {batch}: ROLL would fill up with episodes it has"
            )


def check_devices(config: RollValues) -> Iterator[str]:
    """ROLL's rules about which roles share GPUs."""
    unread = False
    for role in config.roles:
        try:
            found = parse_devices(config(f"{role}.device_mapping"))
        except ValueError as error:
            yield f"{role}.device_mapping: {error}"
            unread = True
            continue
        if not found or len(set(found)) != len(found) or min(found) < 0:
            yield f"{role}.device_mapping: found {config(f'{role}.device_mapping')!r}, expected GPUs from 0 on"
            unread = True
        elif max(found) >= config("num_gpus_per_node") * config("num_nodes"):
            yield (
                f"{role}.device_mapping: names GPU {max(found)}, but num_gpus_per_node {config('num_gpus_per_node')} x "
                f"num_nodes {config('num_nodes')} counts them from 0 to "
                f"{config('num_gpus_per_node') * config('num_nodes') - 1}"
            )
    if not unread:
        yield from _parallelism(config)
        yield from _sharing(config)


def _parallelism(config: RollValues) -> Iterator[str]:
    for role in config.roles:
        devices, copies = len(config.devices(role)), config.data_parallel(role)
        if devices % copies or (copies == 1 and devices > 1 and not _is_split(config, role, devices)):
            yield f"{role}: {devices} GPUs of device_mapping cannot be divided by the parallel sizes of strategy_config"


def _is_split(config: RollValues, role: str, devices: int) -> bool:
    """Whether one copy of the model takes exactly all GPUs of the role."""
    sizes = [
        int(size) for name, size in config.strategy_config(role).items() if "parallel_size" in name and name[0] != "e"
    ]
    return math.prod([*sizes, int(config(f"{role}.model_args.ulysses_size") or 1)]) == devices


def _sharing(config: RollValues) -> Iterator[str]:
    train, infer = set(config.devices("actor_train")), set(config.devices("actor_infer"))
    critic = set(config.devices("critic")) if config.has_critic else set()
    ratio = config("async_generation_ratio")
    if config.has_reference and set(config.devices("reference")) != train:
        yield "reference.device_mapping: expected the GPUs of actor_train, which ROLL puts it on"
    if train.isdisjoint(infer):
        if ratio == 0 and critic & infer:
            yield "critic.device_mapping: shares GPUs with actor_infer, but actor_train does not: both or neither"
    elif train < infer:
        if ratio <= 0:
            yield (
                "async_generation_ratio: found 0, but actor_train has a part of actor_infer's GPUs; "
                "give both roles the same, or different ones, or set async_generation_ratio: 1"
            )
        if config.data_parallel("actor_infer") < 2 or train | critic == infer:
            yield "actor_infer.device_mapping: at least one copy must go on playing while actor_train and critic learn"
        if critic and not (critic < infer and critic.isdisjoint(train)):
            yield "critic.device_mapping: expected GPUs of actor_infer that actor_train does not have"
    elif len(train) != len(infer):
        yield "actor_train and actor_infer: their device_mapping overlaps; expected the same GPUs, or none in common"
    elif ratio > 0:
        yield (
            f"async_generation_ratio: found {ratio}, but actor_train and actor_infer take turns on the same GPUs; "
            "set it to 0, or give them different GPUs"
        )


def check_async(config: RollValues) -> Iterator[str]:
    """Rollouts that are older than the weights."""
    ratio = config("async_generation_ratio")
    if isinstance(ratio, float) or ratio < 0:
        yield f"async_generation_ratio: found {ratio}, expected a whole number from 0 on; ROLL counts steps with it"
    elif ratio and config("generate_opt_level") != 1:
        yield f"generate_opt_level: found {config('generate_opt_level')}, expected 1 with rollouts that run ahead"


def check_checkpoints(config: RollValues) -> Iterator[str]:
    """Checkpoints that can be resumed from."""
    kind = (config("checkpoint_config") or {}).get("type")
    if kind != "file_system":
        yield (
            f"checkpoint_config.type: found {kind}, expected file_system (output_dir: ${{output_dir}}/checkpoints): "
            "without it ROLL leaves the parts of a checkpoint in places from which it cannot resume"
        )


def check_managers(config: RollValues, tags: Sequence[str]) -> Iterator[str]:
    """Which environments are played how often."""
    for path in MANAGERS:
        groups, given = config(f"{path}.num_env_groups"), config(f"{path}.num_groups_partition")
        played = config(f"{path}.tags")
        if groups < 1 or config(f"{path}.group_size") < 1:
            yield f"{path}: expected num_env_groups and group_size of 1 or more"
        for tag in played:
            if tag not in tags:
                yield f"{path}.tags: {tag!r} is not under custom_envs ({', '.join(tags)})"
        if len(given) != len(played) or sum(given) != groups:
            yield (
                f"{path}.num_groups_partition: found {given}, expected one number for each of the {len(played)} tags, "
                f"together {groups} (num_env_groups)"
            )
        if config(f"{path}.max_env_num_per_worker") < 1:
            yield f"{path}.max_env_num_per_worker: missing; all {_envs(config, path)} environments would be one process"


def check_prompt(config: RollValues, envs: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Whether what every episode starts with fits, by the recorded lengths.

    Args:
        config: the configuration.
        envs: source and prompt style of each tag that is played.
    """
    for tag, kind in envs.items():
        prefix = PREFIX_TOKENS.get(kind, 0)
        if prefix >= config("sequence_length"):
            yield (
                f"sequence_length: found {config('sequence_length')}, but {tag} starts with {prefix} tokens "
                f"(source {kind[0]}, prompt_style {kind[1]}); raise it, or choose prompt_style=compressed"
            )


def _envs(config: RollValues, manager: str) -> int:
    return int(config(f"{manager}.num_env_groups") * config(f"{manager}.group_size"))
