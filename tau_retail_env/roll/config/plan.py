"""What a run will cost, estimated before it starts: seconds, GPU hours, memory, a customer's tokens and dollars."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tau_retail_env.config.roll_schema import RollSchema
from tau_retail_env.roll.config.check import version_wanted
from tau_retail_env.roll.config.memory import CARDS_GIB, memory
from tau_retail_env.roll.config.rules import RollValues
from tau_retail_env.roll.config.step_costs import (
    ENGINES_THAT_HELP,
    Step,
    customer_tokens,
    is_partial,
    prompt_style,
    reasons,
    seconds,
    step_of,
    table,
    without_signal,
)
from tau_retail_env.users import API_STRATEGIES
from tau_retail_env.users.llm.settings import PRICES

HOUR_S = 3600


def plan(values: Mapping[str, Any]) -> list[str]:
    """Lines that say what a run will cost.

    Args:
        values: a configuration for ROLL, composed and checked.

    Raises:
        InvalidValueError: the model's shape is not known.
    """
    config = RollValues(values, RollSchema.load(version_wanted(values)))
    step = step_of(config)
    return [*_time(config, step), *_memory(config, step), *_customer(config, step)]


def _time(config: RollValues, step: Step) -> Iterator[str]:
    parts, steps = seconds(step), config("max_steps")
    gpus = len({device for role in config.roles for device in config.devices(role)})
    total, episode = sum(parts.values()), step.episode
    models = "models that reason" if reasons(config) else "models that do not reason"
    yield (
        f"{step.episodes} episodes a step of {episode.turns:.0f} messages and {episode.tokens:,.0f} tokens, "
        f"{episode.own:,.0f} of them the actor's ({episode.longest:,.0f} in the longest), as recorded with "
        f"prompt_style {prompt_style(config)} of {models}; {step.shape.parameters / 1e6:,.0f} M parameters, "
        f"GPUs: {gpus}"
    )
    yield f"a step: {total:.0f} s ({', '.join(f'{part} {took:.0f}' for part, took in parts.items())})"
    yield (
        f"{steps} steps: {_long(steps * total)}, {steps * total * gpus / HOUR_S:.1f} GPU hours "
        f"({total * gpus / HOUR_S:.3f} a step); validations, checkpoints and the start not counted"
    )
    unseen = table()["unseen"]
    yield (
        f"on H200s; recorded runs, all but one with one GPU that learns, were missed by {unseen['error']:.0%} on "
        f"average ({unseen['runs']} runs, each foreseen from the others: benchmarks/step_costs.py). That work divides "
        "by the number of GPUs is assumed, network costs nothing here"
    )
    yield from _beyond_recorded(config, step)


def _beyond_recorded(config: RollValues, step: Step) -> Iterator[str]:
    """What is assumed, and where a run is of another kind than those that the seconds were fitted to."""
    if config.values.get("stop_after_worse") is not None:
        yield "stop_after_worse: all steps are counted; the run may end before its last one"
    if config.values.get("filter_groups"):
        yield (
            f"filter_groups: {step.learnt:.0f} of {step.episodes} episodes are learnt from, an assumption: as recorded "
            f"{'with' if is_partial(config) else 'without'} reward.partial, {without_signal(config):.0%} of the groups "
            "all earn the same"
        )
    if step.engines > ENGINES_THAT_HELP:
        yield f"engines_per_gpu: {step.engines} are taken to play as fast as {ENGINES_THAT_HELP}, as four did"
    if config("async_generation_ratio") and set(config.devices("actor_train")) == set(config.devices("actor_infer")):
        yield "async_generation_ratio: the rollout's seconds are those in turn; one that runs ahead is faster"
    if (config.strategy("actor_train") or "").startswith("megatron"):
        yield "Megatron: seconds and memory are those of FSDP2, for which they were measured"


def _long(took_s: float) -> str:
    return f"{took_s / HOUR_S:.1f} hours" if took_s >= HOUR_S else f"{took_s / 60:.0f} minutes"


def _memory(config: RollValues, step: Step) -> Iterator[str]:
    needed = memory(config, step.shape)
    yield (
        f"memory of a card: {needed.learning:.0f} GiB while it learns, {needed.learner:.0f} of them in the learner's "
        f"own process; the engine at least {needed.playing:.1f} GiB"
    )
    for name, card_gib in CARDS_GIB.items():
        problems = list(needed.problems(card_gib))
        yield f"  {name}: {'fits' if not problems else 'no; ' + '; '.join(problems)}"


def _customer(config: RollValues, step: Step) -> Iterator[str]:
    tags = config("train_env_manager.tags")
    env = config.values["custom_envs"][tags[0]]["env_config"]
    strategy = env.get("user_strategy", "scripted")
    weights = {strategy: 1.0} if isinstance(strategy, str) else dict(strategy)
    share = sum(weights.get(name, 0.0) for name in API_STRATEGIES) / sum(weights.values())
    if not share:
        return
    read, written = (share * step.episodes * tokens for tokens in customer_tokens(step.episode))
    yield (
        f"customer, a step: {read / 1e6:.2f} M tokens read, {written / 1e6:.3f} M written (an assumption: it answers "
        "every other message of the actor)"
    )
    said = env.get("user_config") or {}
    to_read, to_write = (said.get(name) for name in PRICES)
    if to_read is None or to_write is None:
        yield f"  dollars: not known; give user.{PRICES[0]} and user.{PRICES[1]}"
        return
    dollars = (read * to_read + written * to_write) / 1e6
    yield f"  dollars: {dollars:.2f} a step, {dollars * config('max_steps'):,.0f} for {config('max_steps')} steps"
