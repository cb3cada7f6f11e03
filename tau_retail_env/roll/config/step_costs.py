"""What a step of a run will cost: seconds by part, fitted to recorded runs, and a customer's tokens."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.models.shapes import Shape, shape_of
from tau_retail_env.roll.config.ppo_rules import sizes_of_parts
from tau_retail_env.roll.config.rules import LEARNERS, RollValues, prefix_tokens

TABLE = Path(__file__).resolve().with_name("step_costs.toml")
REASONS = "reasons"
"""The table's name for episodes of a model that reasons before it speaks."""
ROOM_FOR_REASONS = 1024
"""Tokens of a message from which on a configuration is taken to be of such a model."""
LIMIT = "max_tokens_per_episode"
ENGINES_THAT_HELP = 2
"""Rollout engines on a GPU beyond which more play no faster: docs/runs/roll_gain."""
PARTS = ("rollout", "log-probabilities and values", "training", "the rest")


@dataclass(frozen=True, slots=True)
class Episode:
    """What an episode is made of, on average."""

    turns: float
    """Messages of the actor."""
    own: float
    """Tokens of them."""
    tokens: float
    """All of the episode's, prompt included."""
    longest: float
    """The actor's tokens in the longest of a step."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run, as the costs see it."""

    episodes: int
    """Of a step."""
    learnt: float
    """Of these, what is learnt from: with `filter_groups` not all."""
    episode: Episode
    """Of the training tasks."""
    shape: Shape
    """The actor's, and the critic's."""
    learning: int
    """GPUs that learn."""
    playing: int
    """GPUs that play."""
    engines: int
    """Rollout engines on each of them."""
    passes: int
    """Forward passes without a gradient over what is learnt from: reference, actor, critic."""
    trained: float
    """Models that learn, in passes with a gradient: 2 for PPO, 1 without a critic."""
    updates: float
    """Updates of the weights, of all learners together."""

    def features(self, part: str) -> tuple[float, ...]:
        """What a part's seconds are proportional to; each has one coefficient in step_costs.toml.

        Args:
            part: one of `PARTS`.
        """
        if part == "rollout":  # a GPU's messages, an engine's tokens, and the longest episode's, one after another
            played = self.episodes / self.playing / 1e3
            engines = min(self.engines, ENGINES_THAT_HELP)
            return (played * self.episode.turns, played * self.episode.own / engines, self.episode.longest / 1e3)
        if part == "the rest":
            return (1.0,)
        tokens = self.learnt * self.episode.tokens / self.learning
        tera, tokens = self.shape.forward_flop(tokens, self.episode.tokens) / 1e12, tokens / 1e6
        if part == "training":
            return (self.updates, self.trained * tera, self.trained * tokens)
        return (float(self.passes), self.passes * tera, self.passes * tokens)


def step_of(config: RollValues, episode: Episode | None = None, learnt: float | None = None) -> Step:
    """A configuration's step.

    Args:
        config: the configuration.
        episode: of the training tasks; None takes what was recorded for its prompt style.
        learnt: episodes that are learnt from; None takes what was recorded for its rewards.
    """
    episodes = int(config("rollout_batch_size"))
    learnt = usually_learnt(config) if learnt is None else learnt
    learners = [role for role in LEARNERS if role in config.roles]
    return Step(
        episodes=episodes,
        learnt=learnt,
        episode=episode or usual_episode(config),
        shape=shape_of(str(config("pretrain"))),
        learning=config.data_parallel("actor_train"),
        playing=config.data_parallel("actor_infer"),
        engines=int(config.values.get("engines_per_gpu", 1)),
        passes=1 + ("reference" in config.roles) + ("critic" in config.roles),
        trained=float(len(learners)),
        updates=sum(learnt / config.update_size(role) for role in learners),
    )


def usual_episode(config: RollValues) -> Episode:
    """An episode as recorded with the prompt style, or of a model that reasons; the prompt's length is its source's.

    None has more tokens of the actor's than `max_tokens_per_episode`, or more than `sequence_length` in all.
    """
    known = table()["episodes"]
    style = prompt_style(config)
    said = known[REASONS] if reasons(config) else known.get(style, known["full"])
    prompt = prefix_tokens(str(_training_block(config).get("source", "tau2")), style) or said["prompt"]
    tags = config("train_env_manager.tags")
    room = float(config("sequence_length") - prompt)
    longest = min(said["longest"], max(config.values["custom_envs"][tag].get(LIMIT) or room for tag in tags), room)
    played = min(1.0, longest / said["own"], room / said["after"])
    return Episode(
        turns=played * said["turns"],
        own=played * said["own"],
        tokens=prompt + played * said["after"],
        longest=longest,
    )


def usually_learnt(config: RollValues) -> int:
    """Episodes of a step that are learnt from: with `filter_groups` those of groups with a signal, as recorded."""
    episodes = int(config("rollout_batch_size"))
    if not config.values.get("filter_groups"):
        return episodes
    multiple = math.lcm(*(size for sizes in sizes_of_parts(config) for size in sizes.values()))
    return min(episodes, math.ceil(episodes * (1 - without_signal(config)) / multiple) * multiple)


def without_signal(config: RollValues) -> float:
    """The share of groups that all earn the same, as recorded with `reward.partial` or without."""
    return float(table()["without_signal"]["partial" if is_partial(config) else "success"])


def is_partial(config: RollValues) -> bool:
    """Whether the training tasks pay for what was partly right."""
    return bool((_training_block(config).get("reward") or {}).get("partial"))


def prompt_style(config: RollValues) -> str:
    """The prompt style of the training tasks: that of their first tag."""
    return str(_training_block(config).get("prompt_style", "full"))


def reasons(config: RollValues) -> bool:
    """Whether the model reasons before it speaks: its messages have the room for that."""
    return int(config("train_env_manager.generating_args.max_new_tokens") or 0) >= ROOM_FOR_REASONS


def _training_block(config: RollValues) -> Mapping[str, Any]:
    block: Mapping[str, Any] = config.values["custom_envs"][config("train_env_manager.tags")[0]]["env_config"]
    return block


def seconds(step: Step, costs: Mapping[str, list[float]] | None = None) -> dict[str, float]:
    """Seconds of a step by part, on the card that the costs were recorded on.

    Args:
        step: the step.
        costs: coefficients by part; None takes the shipped ones.
    """
    costs = costs or table()["costs"]
    return {
        part: sum(cost * feature for cost, feature in zip(costs[part], step.features(part), strict=True))
        for part in PARTS
    }


def customer_tokens(episode: Episode) -> tuple[float, float]:
    """Tokens that a customer behind an API reads and writes in an episode.

    It answers what is no tool call, each time after all that was said before.

    Args:
        episode: of the training tasks.
    """
    said = table()["customer"]
    answers = episode.turns * said["answers_a_turn"]
    read = answers * (said["instruction"] + (answers + 1) / 2 * said["exchange"])
    return read, answers * said["answer"]


def table() -> dict[str, Any]:
    """The shipped costs: coefficients, recorded episodes, and what a customer says (assumptions of its own)."""
    return tomllib.loads(TABLE.read_text(encoding="utf-8"))
