"""ROLL's own rules about a configuration, and what it would silently get wrong: pure functions, each lists problems."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.config.run import MOST_STEPS
from tau_retail_env.runs.early_stop import stop_problems
from tau_retail_env.sources import SOURCES

ROLES = ("actor_train", "actor_infer", "reference", "critic")
LEARNERS = ("actor_train", "critic")
MANAGERS = ("train_env_manager", "val_env_manager")
SIZES = dict(zip(MANAGERS, ("rollout_batch_size", "val_batch_size"), strict=True))
"""The key from which ROLL takes how many episodes an environment plays."""
ENGINES = ("vllm", "sglang")
BOTH_GRAPHS = "FULL_AND_PIECEWISE"
"""What vLLM captures where nothing is said: whole passes of messages alone, and pieces of all others."""
ENGINE_SPLITS = ("tensor_parallel_size", "pipeline_parallel_size")
"""Settings of a rollout engine that divide one copy of the model over GPUs."""
MEGATRON_SPLITS = ("tensor_model_parallel_size", "pipeline_model_parallel_size", "context_parallel_size")
"""The same of Megatron."""
LORA = ("lora_target", "lora_rank", "lora_alpha", "lora_dropout", "additional_target", "autocast_adapter_dtype")
"""Keys of `model_args` of which only the first turns LoRA on: without it ROLL does nothing with the others."""
INFER_GPU_MEMORY = 0.5
"""Share of a GPU that the rollout engines take where `infer_gpu_memory` is not given."""
PASS_HAT_K = "tau_retail_env.roll.group_filter.PassHatKFilter"

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
        return max(1, len(self.devices(role)) // self.split(role))

    def split(self, role: str) -> int:
        """GPUs over which a role's strategy divides one copy of the model."""
        config, strategy = self.strategy_config(role), self.strategy(role) or ""
        names: tuple[str, ...] = ()
        if strategy.startswith("megatron"):
            names = MEGATRON_SPLITS
        elif strategy in ENGINES:
            names = ENGINE_SPLITS
        return math.prod(int(config.get(name, 1)) for name in names)

    def update_size(self, role: str) -> int:
        """Episodes of one update of the weights."""
        training = f"{role}.training_args"
        per_device = self(f"{training}.per_device_train_batch_size")
        return int(per_device * self(f"{training}.gradient_accumulation_steps") * self.data_parallel(role))

    @property
    def recomputes_log_probs(self) -> bool:
        """Whether ROLL computes log-probabilities once more before an update, instead of taking the update's own."""
        if self("force_disable_old_logprobs_recompute"):
            return False
        several = self("rollout_batch_size") > self.update_size("actor_train")
        return bool(self("enable_old_logprobs_recompute") or self("init_kl_coef") > 0 or several)


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


def check_counts(config: RollValues) -> Iterator[str]:
    """Numbers that every other rule counts with."""
    if config("sequence_length") is None:
        yield "sequence_length: missing. Expected the tokens of a whole episode"
    counts = [f"{manager}.{name}" for manager in MANAGERS for name in ("num_env_groups", "group_size")]
    for path in [*counts, *(f"{role}.infer_batch_size" for role in config.roles)]:
        if config(path) < 1:
            yield f"{path}: found {config(path)}, expected 1 or more"
    for role in config.roles:
        settings, always = config.strategy_config(role), (*ENGINE_SPLITS, *MEGATRON_SPLITS)
        for name in dict.fromkeys((*always, *(name for name in settings if name.endswith("parallel_size")))):
            found = settings.get(name, 1)
            if found is None and name not in always:  # as Megatron's virtual_pipeline_model_parallel_size
                continue
            if type(found) is not int or found < 1:
                path = f"{role}.strategy_args.strategy_config.{name}"
                yield f"{path}: found {found!r}, expected a whole number from 1 on"


def check_models(config: RollValues) -> Iterator[str]:
    """What is not done to a model here."""
    for name in (*config.roles, *MANAGERS):
        if config.given(f"{name}.worker_cls") and config(f"{name}.worker_cls") is not None:
            yield f"{name}.worker_cls: the engine has workers of its own; remove the key"
    for role in config.roles:
        for name in LORA:
            if config.given(path := f"{role}.model_args.{name}") and config(path) is not None:
                yield f"{path}: LoRA is not supported here, every weight is trained; remove the key"
        if (found := config(f"{role}.model_args.ulysses_size") or 1) > 1:
            yield f"{role}.model_args.ulysses_size: found {found}, expected 1: sequences are not divided over GPUs here"


def check_strategies(config: RollValues) -> Iterator[str]:
    """Which backend may do what, and how."""
    for role in LEARNERS:
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


def check_sampling(config: RollValues) -> Iterator[str]:
    """How messages are sampled, and whether one fits."""
    shared = config("actor_infer.generating_args")
    for manager in MANAGERS:
        path = f"{manager}.generating_args"
        own = config(path)
        if shared and own and shared != own:
            yield f"{path}: actor_infer.generating_args would override it; keep only those of the env managers"
        elif shared or own:
            yield from _sampling(config, path if own else "actor_infer.generating_args")
        else:
            yield f"{path}: missing. Expected at least max_new_tokens and temperature"
    path = "actor_infer.generating_args" if shared else "train_env_manager.generating_args"
    if shared or config(path):
        yield from _as_learnt(config, path)
    if (tokens := longest_message(config)) >= config("sequence_length"):
        yield (
            f"sequence_length: {config('sequence_length')} is too small for one message of {tokens} tokens "
            "(generating_args.max_new_tokens)"
        )


AS_LEARNT: Mapping[str, tuple[float, ...]] = {
    "temperature": (1.0,),
    "top_p": (1.0,),
    "top_k": (-1, 0),
    "repetition_penalty": (1.0,),
}
"""Settings under which the engine draws from the distribution whose log-probabilities ROLL's learners compute."""


def _as_learnt(config: RollValues, path: str) -> Iterator[str]:
    """Ratio, KL and entropy are of the model as it is; its training episodes must be drawn from it, too."""
    for name, allowed in AS_LEARNT.items():
        found = config(f"{path}.{name}")
        if found is not None and found not in allowed:
            yield (
                f"{path}.{name}: found {found}, expected {' or '.join(f'{one:g}' for one in allowed)} in training: "
                "ROLL computes ratio, KL and entropy without it, and every gradient would be of another policy than "
                "the one that plays" + _alike(config, name, found)
            )


def _alike(config: RollValues, name: str, found: Any) -> str:
    if name != "temperature" or found != 0 or config.has_critic:
        return ""
    return "; and with 0 the episodes of a group are all alike, so that there is nothing to compare"


def _sampling(config: RollValues, path: str) -> Iterator[str]:
    for name in ("temperature", "top_p", "top_k"):
        if config(f"{path}.{name}") is None:
            yield f"{path}.{name}: found null, expected a number"
    tokens = config(f"{path}.max_new_tokens")
    if tokens is None or tokens < 1:
        yield f"{path}.max_new_tokens: found {tokens}, expected 1 or more, the tokens of one message"


def check_engine(config: RollValues) -> Iterator[str]:
    """The rollout engine's settings of lengths and requests."""
    engine = config.strategy("actor_infer") or ""
    name = {"vllm": "max_model_len", "sglang": "context_length"}.get(engine, "")
    length = config.strategy_config("actor_infer").get(name)
    if isinstance(length, int) and 0 < length < config("sequence_length"):
        yield (
            f"actor_infer.strategy_args.strategy_config.{name}: found {length}, less than sequence_length "
            f"{config('sequence_length')}: longer episodes would end in an error; remove the key"
        )
    if engine == "vllm" and "compilation_config" in config.strategy_config("actor_infer"):
        yield from _graphs(config.strategy_config("actor_infer")["compilation_config"])
    split = math.prod(int(config.strategy_config("actor_infer").get(name, 1)) for name in ENGINE_SPLITS)
    if engine == "sglang" and (found := config("actor_infer.num_gpus_per_worker")) != split:
        yield (
            f"actor_infer.num_gpus_per_worker: found {found}, expected {split}, the product of SGLang's parallel "
            "sizes: ROLL works it out for vLLM alone"
        )
    if not config("router_args"):
        return
    router = config("router_args.router_name")
    if router not in ("EnvAffinityRouter", "PromptAffinityRouter", "SglangRouter"):
        yield "router_args.router_name: missing. Expected EnvAffinityRouter, or remove router_args"
    elif router == "SglangRouter" and engine != "sglang":
        yield f"router_args.router_name: SglangRouter works with infer=sglang alone, not with {engine}"
    elif router != "PromptAffinityRouter" and config("router_args.max_running_requests") != 128:
        yield f"router_args.max_running_requests: {router} limits nothing; only PromptAffinityRouter reads it"


def _graphs(found: Any) -> Iterator[str]:
    """What vLLM captures: one graph for a whole pass is wrong."""
    path = "actor_infer.strategy_args.strategy_config.compilation_config"
    if not isinstance(found, Mapping):
        yield (
            f"{path}: found {'null' if found is None else found}, expected settings such as mode: 0, all that vLLM "
            f"takes from ROLL; or leave the key out (~{path})"
        )
        return
    said = found.get("cudagraph_mode")
    mode = BOTH_GRAPHS if said is None else str(said).upper()
    wrong = (
        "captures passes that read a prompt: on an H200 vLLM then wrote nonsense, and a model that wins 46 % of its "
        "tasks won 0 % (docs/runs/roll_shorter)"
    )
    if mode in ("FULL", "2", "2.0"):
        yield (
            f"{path}.cudagraph_mode: found {said}, which also {wrong}. Expected {BOTH_GRAPHS}, "
            "vLLM's own choice, or FULL_DECODE_ONLY"
        )
    elif found.get("splitting_ops") == [] and mode == BOTH_GRAPHS:
        yield (
            f"{path}.splitting_ops: found [], with which vLLM makes {BOTH_GRAPHS} FULL, which {wrong}. Leave it out, "
            "or set cudagraph_mode to FULL_DECODE_ONLY"
        )


def check_sizes(config: RollValues) -> Iterator[str]:
    """What must divide what: otherwise ROLL stops in its first step, or trains on some episodes twice."""
    batch, envs = config("rollout_batch_size"), _envs(config, "train_env_manager")
    if batch <= 0 or batch % envs:
        yield (
            f"rollout_batch_size: found {batch}, expected a multiple of the {envs} environments (train_env_manager: "
            f"{config('train_env_manager.num_env_groups')} groups of {config('train_env_manager.group_size')}): ROLL "
            "would take the groups that end first, and train on some tasks more often than on others"
        )
    val, envs = config("val_batch_size"), _envs(config, "val_env_manager")
    if val >= 0 and (val == 0 or val % envs):
        yield (
            f"val_batch_size: found {val}, expected a multiple of the {envs} environments (val_env_manager: "
            f"{config('val_env_manager.num_env_groups')} groups of {config('val_env_manager.group_size')}), or -1 for "
            "all tasks"
        )
    if not 1 <= config("max_steps") <= MOST_STEPS:
        yield f"max_steps: found {config('max_steps')}, expected 1 to {MOST_STEPS}"
    for role in LEARNERS:
        rate = f"{role}.training_args.learning_rate"
        if role in config.roles and config.given(rate) and config(rate) >= 1:
            yield f"{rate}: found {config(rate)}, expected less than 1, such as 1.0e-6"
        if role in config.roles and (size := config.update_size(role)) and batch % size:
            training = f"{role}.training_args"
            yield (
                f"{training}: per_device_train_batch_size {config(f'{training}.per_device_train_batch_size')} x "
                f"gradient_accumulation_steps {config(f'{training}.gradient_accumulation_steps')} x "
                f"{config.data_parallel(role)} GPUs = {size} does not divide rollout_batch_size {batch}: "
                "ROLL would fill up with episodes that it has already. "
                + _dividing(config, role, f"{training}.gradient_accumulation_steps")
            )
    for role in ("actor_train", "reference", "critic"):
        size = config(f"{role}.infer_batch_size") * config.data_parallel(role)
        if role in config.roles and batch % size:
            yield (
                f"{role}.infer_batch_size: {config(f'{role}.infer_batch_size')} x {config.data_parallel(role)} GPUs "
                f"= {size} does not divide rollout_batch_size {batch}: ROLL would fill up with episodes it has. "
                + _dividing(config, role, f"{role}.infer_batch_size")
            )


def _dividing(config: RollValues, role: str, key: str) -> str:
    """What to change where the episodes that a role takes at once do not divide the batch."""
    batch, gpus = config("rollout_batch_size"), config.data_parallel(role)
    if batch <= 0 or batch % gpus == 0:
        return f"Change {key}"
    fitting = max(number for number in range(1, gpus) if batch % number == 0)
    return f"Change the number of GPUs (num_gpus_per_node, num_nodes), of which {role} has {gpus}: {fitting} would do"


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


def check_early_stop(config: RollValues) -> Iterator[str]:
    """Whether `stop_after_worse` finds the weights of each validation, and can end the run at all."""
    limit = config.values.get("stop_after_worse")
    if limit is None:
        return
    judged, saved = config("eval_steps"), config("save_steps")
    if judged % saved:
        yield (
            f"save_steps: found {saved}, expected eval_steps {judged} or a number that divides it: with "
            "stop_after_worse each validation must judge a checkpoint, since the best one's weights are kept"
        )
    if (config("checkpoint_config") or {}).get("async_upload", True):
        yield (
            "checkpoint_config.async_upload: expected false with stop_after_worse: a checkpoint must be whole when "
            "its validation ends"
        )
    idle, last = config("critic_warmup"), config("max_steps") - 1
    yield from stop_problems(limit, eval_steps=judged, last_step=last, idle_steps=idle)


def check_managers(config: RollValues, tags: Sequence[str]) -> Iterator[str]:
    """Which environments are played how often."""
    for path in MANAGERS:
        groups, given = config(f"{path}.num_env_groups"), config(f"{path}.num_groups_partition")
        played = config(f"{path}.tags")
        for tag in played:
            if tag not in tags:
                yield f"{path}.tags: {tag!r} is not under custom_envs ({', '.join(tags)})"
        if len(given) != len(played) or sum(given) != groups:
            yield (
                f"{path}.num_groups_partition: found {given}, expected one number for each of the {len(played)} tags, "
                f"together {groups} (num_env_groups)"
            )
        if config(f"{path}.max_traj_per_env") >= 0:
            yield f"{path}.max_traj_per_env: it follows from {SIZES[path]}: remove the key"
        if config(f"{path}.group_size_redundancy"):
            yield (
                f"{path}.group_size_redundancy: the episodes of a group that end last would be dropped, and long ones "
                "would never be trained on or judged: remove the key. So that no step waits for them alone, play ahead "
                "(async_generation_ratio: 1; docs/roll.md, The tail of a rollout)"
            )
        if (proxy := config(f"{path}.llm_proxy.proxy_type")) != "policy":
            yield f"{path}.llm_proxy.proxy_type: found {proxy}, expected policy: it is the actor that plays here"
        if config(f"{path}.max_env_num_per_worker") < 1:
            yield f"{path}.max_env_num_per_worker: missing; all {_envs(config, path)} environments would be one process"


def check_filters(config: RollValues) -> Iterator[str]:
    """Which groups are dropped: none; and where pass^k is written."""
    path = "train_env_manager.group_filter_cls"
    if config.given(path) and config(path) != config.schema.default(path):
        yield f"{path}: a group that is dropped leaves its environments waiting: remove the key"
    path = "val_env_manager.group_filter_cls"
    if config(path) != PASS_HAT_K:
        yield f"{path}: found {config(path)}, expected {PASS_HAT_K}, which drops nothing and writes pass^k"


def check_prompt(config: RollValues, envs: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Whether what every episode starts with leaves room, by the recorded lengths.

    Args:
        config: the configuration.
        envs: source and prompt style of each tag that is played.
    """
    if longest_message(config) < config("sequence_length"):  # else check_sampling tells it
        starts = {tag: (source, style, prefix_tokens(source, style)) for tag, (source, style) in envs.items()}
        yield from without_room(starts, message=longest_message(config), sequence_length=config("sequence_length"))


def prefix_tokens(source: str, style: str) -> int:
    """Tokens before the first message, where they were counted; else 0."""
    known = SOURCES[source].prefix_tokens if source in SOURCES else {}
    return known.get(style, 0)


def longest_message(config: RollValues) -> int:
    """Tokens that the actor may write in one message, in training or validation."""
    blocks = ("actor_infer", *MANAGERS)
    return max(int((config(f"{block}.generating_args") or {}).get("max_new_tokens") or 0) for block in blocks)


def without_room(starts: Mapping[str, tuple[str, str, int]], *, message: int, sequence_length: int) -> Iterator[str]:
    """The problems of prompts after which one message does not fit, each told once for all tags that have it.

    Args:
        starts: of each block under custom_envs its source of tasks, its prompt_style, and the tokens that every
            episode starts with.
        message: tokens of the longest message.
        sequence_length: tokens of a whole episode.
    """
    for start in dict.fromkeys(starts.values()):
        source, style, prefix = start
        if prefix + message >= sequence_length:
            tags = ", ".join(tag for tag, own in starts.items() if own == start)
            shorter = "choose prompt_style=compressed" if style == "full" else "lower generating_args.max_new_tokens"
            yield (
                f"sequence_length: found {sequence_length}, but an episode of {tags} starts with {prefix} tokens "
                f"(source {source}, prompt_style {style}) and a message may have {message}; raise it, or {shorter}"
            )


def _envs(config: RollValues, manager: str) -> int:
    return int(config(f"{manager}.num_env_groups") * config(f"{manager}.group_size"))
