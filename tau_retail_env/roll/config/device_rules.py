"""ROLL's rules about GPUs: which roles share them, and how many rollout engines each has."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tau_retail_env.config.roll_schema import PINNED
from tau_retail_env.models.shapes import Shape
from tau_retail_env.roll.config.rules import RollValues, parse_devices


def check_devices(config: RollValues) -> Iterator[str]:
    """ROLL's rules about which roles share GPUs."""
    few = [name for name in ("num_gpus_per_node", "num_nodes") if config(name) < 1]
    if few:
        yield from (f"{name}: found {config(name)!r}, expected 1 or more" for name in few)
        return
    unread = False
    for role in config.roles:
        try:
            found = parse_devices(config(f"{role}.device_mapping"))
        except ValueError as error:
            yield f"{role}.device_mapping: {error}"
            unread = True
            continue
        if not found and config("num_gpus_per_node") * config("num_nodes") == 1:
            yield (
                f"{role}.device_mapping: found {config(f'{role}.device_mapping')!r}, which names no GPU, for "
                "there is one: where some GPUs learn and others play, as with tau_retail_grpo, there must be two or "
                "more. Set num_gpus_per_node=2, or take PPO for one GPU: --config-name tau_retail_1gpu"
            )
            unread = True
        elif not found or len(set(found)) != len(found) or min(found) < 0:
            yield f"{role}.device_mapping: found {config(f'{role}.device_mapping')!r}, expected GPUs from 0 on"
            unread = True
        elif max(found) >= config("num_gpus_per_node") * config("num_nodes"):
            yield (
                f"{role}.device_mapping: names GPU {max(found)}, but num_gpus_per_node {config('num_gpus_per_node')} x "
                f"num_nodes {config('num_nodes')} counts them from 0 to "
                f"{config('num_gpus_per_node') * config('num_nodes') - 1}"
            )
            unread = True
    if not unread:
        yield from _parallelism(config)
        yield from _sharing(config)


def check_engines(config: RollValues) -> Iterator[str]:
    """Several rollout engines on a GPU get their weights from the learner on the same GPU."""
    number = config.values.get("engines_per_gpu", 1)
    if number == 1:
        return
    said, playing = f"engines_per_gpu: {number} engines on a GPU", config.devices("actor_infer")
    if config.strategy("actor_infer") != "vllm" or config.data_parallel("actor_infer") < len(playing):
        yield f"{said} are for vLLM with a tensor_parallel_size of 1: set it to 1"
    learner = f"{said} get their weights from a learner on FSDP2 on the same GPU"
    if (strategy := config.strategy("actor_train")) != "fsdp2_train":
        yield f"{learner}: found {strategy}, expected fsdp2_train (train=fsdp2), or set it to 1"
    elif config.devices("actor_train") != playing:
        yield f"{learner}: give actor_train and actor_infer the same device_mapping, or set it to 1"
    if config("router_args"):
        yield f"{said}: ROLL's router knows one engine a GPU; remove router_args, or set it to 1"


def check_megatron(config: RollValues) -> Iterator[str]:
    """What Megatron's own layers (`transformer_impl: local`) and its schedule of learning rates cannot do."""
    for role in config.roles:
        settings, path = config.strategy_config(role), f"{role}.strategy_args.strategy_config"
        if not (config.strategy(role) or "").startswith("megatron"):
            continue
        if (found := settings.get("context_parallel_size", 1)) != 1:
            yield f"{path}.context_parallel_size: found {found}, expected 1: sequences are not divided over GPUs here"
        if settings.get("transformer_impl") != "local":
            continue
        other = "set it to false, or transformer_impl: transformer_engine where transformer-engine is installed"
        if settings.get("sequence_parallel"):
            yield f"{path}.sequence_parallel: true cannot be honoured with transformer_impl: local; {other}"
        if config(f"{role}.use_sequence_packing"):
            yield (
                f"{role}.use_sequence_packing: true cannot be honoured with transformer_impl: local, which would "
                f"attend from one row to another; {other}"
            )
    if not (config.strategy("actor_train") or "").startswith("megatron"):
        return
    updates = config("max_steps") * config("rollout_batch_size") // max(config.update_size("actor_train"), 1)
    if (steps := config("actor_train.training_args.warmup_steps")) >= updates > 0:
        yield (
            f"actor_train.training_args.warmup_steps: found {steps}, but Megatron's schedule wants more updates than "
            f"these, and the run has {updates}: lower it, or raise max_steps"
        )


def check_heads(config: RollValues, shape: Shape) -> Iterator[str]:
    """Megatron divides the heads of attention over the GPUs of `tensor_model_parallel_size`.

    Args:
        config: the configuration.
        shape: the actor's model.
    """
    for role in config.roles:
        size = int(config.strategy_config(role).get("tensor_model_parallel_size", 1))
        if shape.heads % size or shape.key_heads % size:
            yield (
                f"{role}.strategy_args.strategy_config.tensor_model_parallel_size: found {size}, which does not divide "
                f"the model's {shape.heads} heads and {shape.key_heads} of keys: expected "
                f"{' or '.join(map(str, _divisors(math.gcd(shape.heads, shape.key_heads))))}"
            )


def _divisors(number: int) -> list[int]:
    return [divisor for divisor in range(1, number + 1) if number % divisor == 0]


def _parallelism(config: RollValues) -> Iterator[str]:
    for role in config.roles:
        devices, copies = len(config.devices(role)), config.data_parallel(role)
        if devices % copies or (copies == 1 and config.split(role) != devices):
            yield f"{role}: {devices} GPUs of device_mapping cannot be divided by the parallel sizes of strategy_config"


def _sharing(config: RollValues) -> Iterator[str]:
    train, infer = set(config.devices("actor_train")), set(config.devices("actor_infer"))
    critic = set(config.devices("critic")) if config.has_critic else set()
    ratio = config("async_generation_ratio")
    steps = None if isinstance(ratio, float) or ratio < 0 else ratio  # of what is no number of steps check_async tells
    if config.has_reference and set(config.devices("reference")) != train:
        yield "reference.device_mapping: expected the GPUs of actor_train, which ROLL puts it on"
    if train.isdisjoint(infer):
        if steps == 0 and critic & infer:
            yield "critic.device_mapping: shares GPUs with actor_infer, but actor_train does not: both or neither"
    elif train < infer:
        if steps == 0:
            yield (
                "async_generation_ratio: found 0, but actor_train has a part of actor_infer's GPUs; "
                "give both roles the same, or different ones, or set async_generation_ratio: 1"
            )
        if config.data_parallel("actor_infer") < 2 or train | critic == infer:
            yield "actor_infer.device_mapping: at least one copy must go on playing while actor_train and critic learn"
        if critic and not (critic < infer and critic.isdisjoint(train)):
            yield "critic.device_mapping: expected GPUs of actor_infer that actor_train does not have"
    elif train != infer:
        yield "actor_train and actor_infer: their device_mapping overlaps; expected the same GPUs, or none in common"
    elif steps:
        yield from _ahead(config)


def _ahead(config: RollValues) -> Iterator[str]:
    """Playing ahead on GPUs that also learn: messages are broken off, and their tokens are of two versions."""
    said = (
        f"async_generation_ratio: found {config('async_generation_ratio')}, and actor_train and actor_infer take turns "
        "on the same GPUs, so that episodes are played by several versions of the weights"
    )
    if config.schema.version != PINNED:
        yield f"{said}: the queue of ROLL {config.schema.version} was not looked at; set it to 0"
        return
    if config.strategy("actor_infer") != "vllm" or config("router_args"):
        yield (
            f"{said}: only vLLM without router_args goes on with a message that was broken off (ROLL's router has it "
            "drawn anew, and long ones would become rare); set it to 0"
        )
        return
    correction, filters = "train_infer_correction", "train_infer_correction.filters"
    if not config(f"{correction}.is_weight.enabled") or config(f"{correction}.is_weight.weight_type") != "token":
        yield (
            f"{said}: each token wants its own weight. Set {correction}.is_weight.enabled: true, .weight_type: token "
            "and .upper_bound: 2.0, or async_generation_ratio: 0"
        )
    if any(one.get("enabled") for one in config(filters)):
        yield (
            f"{filters}: with async_generation_ratio {config('async_generation_ratio')} they would leave out the "
            "tokens of older weights, of which long episodes have more; remove them, or set async_generation_ratio: 0"
        )
