"""The keys of a stage that plays: which tasks, how often each, with which weights, and which episodes are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from tau_retail_env.blocks import Block, Instead, raise_if, read
from tau_retail_env.config.environments import CustomEnv, check_environments, unread_limits
from tau_retail_env.config.machine import pretrain_problems
from tau_retail_env.config.run import PlayedConfig
from tau_retail_env.config.tasks import check_tasks, unread_source
from tau_retail_env.config.users import user_problems


class PlayedSet(Block):
    """How much of one environment is played."""

    trials: int = Field(1, ge=1)
    """How often each task is played, each time worded differently by the customer."""
    limit: int | None = Field(None, ge=1)
    """Tasks at most, drawn by seed; null plays all."""


class Drawing(Block):
    """How tokens are drawn, by the names of the engines' generating_args."""

    max_new_tokens: int = Field(1024, ge=1)
    """Tokens of one agent message at most."""
    temperature: float = Field(0.0, ge=0)
    """Divides the logits; 0 takes the most probable token."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Smallest set of tokens with this probability is kept; 1 keeps all."""
    top_k: int = Field(0, ge=0)
    """Most probable tokens that are kept; 0 keeps all."""


class Play(Block):
    """What is played, and how fast."""

    sets: Mapping[str, PlayedSet | None]
    """Names under custom_envs, each with how much of it is played; null leaves one out."""
    generating_args: Drawing = Drawing()
    """How tokens are drawn."""
    engine: Annotated[Literal["auto", "vllm", "transformers"], Instead("auto is vLLM where it and a GPU are.")] = "auto"
    """What runs the weights."""
    engines: int | None = Field(None, ge=1)
    """vLLM engines side by side; null chooses by cores, GPU and model."""
    concurrency: int | None = Field(None, ge=1)
    """Episodes at once; null for 128 an engine, and 8 with transformers."""
    gpu_memory: float | None = Field(None, gt=0, lt=1)
    """Share of each GPU's memory that all engines on it take together; null for 0.9. Less where others run on it."""

    def played(self) -> dict[str, PlayedSet]:
        """The sets that are played."""
        return {tag: wanted for tag, wanted in self.sets.items() if wanted is not None}


class Keep(Block):
    """Which episodes are kept to be learnt from."""

    per_task: int = Field(2, ge=1)
    """Episodes of a task at most; those that are least alike are taken first."""
    min_partial: float | None = Field(0.6, ge=0, le=1)
    """Of a task without a success the best episode is kept if it was this much right (`partial` of its
    reward_breakdown); null keeps successes alone."""
    require_process: bool = False
    """Whether an episode is dropped in which a process check failed."""


class PlayConfig(PlayedConfig):
    """One stage that plays: everything it reads, checked."""

    engine: Annotated[Literal["local"], Instead("play.engine says what runs the weights.")] = "local"
    """Whose environment it needs: that of the local engine, or of vLLM where play.engine finds it."""
    sequence_length: int = Field(ge=2)
    """Tokens of an episode at most."""
    play: Play
    """What is played."""
    keep: Keep | None = None
    """Which episodes are kept to be learnt from; null keeps none: an evaluation."""
    custom_envs: Mapping[str, CustomEnv]
    """Environments by tag."""


def check_play(values: Mapping[str, Any]) -> PlayConfig:
    """Check a composed configuration of a stage that plays.

    Args:
        values: the configuration as `compose` returns it.

    Returns:
        The configuration as blocks.

    Raises:
        InvalidValueError: lists every key that is unknown or impossible.
    """
    config = read(PlayConfig, values)
    raise_if(
        [
            *_set_problems(config),
            *check_environments(config.custom_envs, config.sequence_length),
            *user_problems(config, config.custom_envs),
            *check_tasks(config.custom_envs, config.play.played()),
            *(
                unread_source(config.task_source, config.custom_envs, config.play.played())
                if "task_source" in values
                else ()
            ),
            *pretrain_problems(config.pretrain),
        ]
    )
    return config


def _set_problems(config: PlayConfig) -> list[str]:
    known, sets = config.custom_envs, config.play.played()
    if not sets:
        return [f"play.sets: empty; name at least one of custom_envs: {', '.join(known)}"]
    problems = [f"play.sets: {tag!r} is not under custom_envs ({', '.join(known)})" for tag in sets if tag not in known]
    styles = {tag: known[tag].env_config.prompt_style for tag in sets if tag in known}
    if config.keep is not None and len(set(styles.values())) > 1:
        listed = ", ".join(f"{tag} {style}" for tag, style in styles.items())
        problems.append(f"play.sets: one model learns one prompt_style, found {listed}")
    if config.play.engine == "transformers":
        vllms = [name for name in ("engines", "gpu_memory") if getattr(config.play, name) is not None]
        problems += [f"play.{name}: vLLM's alone, and play.engine is transformers; leave it out" for name in vllms]
    problems += unread_limits(known, sets)
    drawn = config.play.generating_args
    if drawn.temperature == 0:
        cut = [name for name, every in (("top_p", 1), ("top_k", 0)) if getattr(drawn, name) != every]
        problems += [
            f"play.generating_args.{name}: at temperature 0 the likeliest token is taken always; raise the "
            "temperature, or leave it out"
            for name in cut
        ]
    if drawn.max_new_tokens >= config.sequence_length:
        problems.append(
            f"sequence_length: {config.sequence_length} is too small for one message of "
            f"{drawn.max_new_tokens} tokens (play.generating_args.max_new_tokens)"
        )
    return problems
