"""What a step of a run will cost: seconds by part, fitted to recorded runs, and a customer's tokens."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.models.shapes import Shape, shape_of
from tau_retail_env.roll.config.rules import RollValues, prefix_tokens

TABLE = Path(__file__).resolve().with_name("step_costs.toml")
REASONS = "reasons"
"""The table's name for episodes of a model that reasons before it speaks."""
ROOM_FOR_REASONS = 1024
"""Tokens of a message from which on a configuration is taken to be of such a model."""
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


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a run, as the costs see it."""

    episodes: int
    """Of a step."""
    episode: Episode
    """Of the training tasks."""
    sequence_length: int
    """To which rows are padded while ROLL moves them."""
    shape: Shape
    """The actor's, and the critic's."""
    learning: int
    """GPUs that learn."""
    playing: int
    """GPUs that play."""
    passes: int
    """Forward passes without a gradient over all episodes: reference, actor, critic."""
    trained: float
    """Models that learn, in passes with a gradient: 2 for PPO, 1 without a critic."""
    updates: float
    """Updates of the weights, of all learners together."""

    def features(self, part: str) -> tuple[float, ...]:
        """What a part's seconds are proportional to; each has one coefficient in step_costs.toml.

        Args:
            part: one of `PARTS`.
        """
        own = self.episodes * self.episode.own
        tokens = self.episodes * self.episode.tokens / 1e6 / self.learning
        tera = self.shape.forward_flop(self.episodes * self.episode.tokens, self.episode.tokens) / 1e12 / self.learning
        if part == "rollout":
            return (1.0, own / self.playing / 1e3, self.episode.own / 1e3)  # the last: one after another
        if part == "training":
            return (self.updates, self.trained * tera, self.trained * tokens)
        if part == "the rest":
            return (1.0, self.episodes * self.sequence_length / 1e6)
        return (float(self.passes), self.passes * tera, self.passes * tokens)


def step_of(config: RollValues, episode: Episode | None = None) -> Step:
    """A configuration's step.

    Args:
        config: the configuration.
        episode: of the training tasks; None takes what was recorded for its prompt style.
    """
    episodes = int(config("rollout_batch_size"))
    learners = [role for role in ("actor_train", "critic") if role in config.roles]
    return Step(
        episodes=episodes,
        episode=episode or usual_episode(config),
        sequence_length=int(config("sequence_length")),
        shape=shape_of(str(config("pretrain"))),
        learning=config.data_parallel("actor_train"),
        playing=config.data_parallel("actor_infer"),
        passes=1 + ("reference" in config.roles) + ("critic" in config.roles),
        trained=float(len(learners)),
        updates=sum(episodes / config.update_size(role) for role in learners),
    )


def usual_episode(config: RollValues) -> Episode:
    """An episode as recorded with the prompt style, or of a model that reasons; the prompt's length is its source's."""
    known = table()["episodes"]
    style = prompt_style(config)
    said = known[REASONS] if reasons(config) else known.get(style, known["full"])
    prompt = prefix_tokens(str(_training_block(config).get("source", "tau2")), style) or said["prompt"]
    return Episode(turns=said["turns"], own=said["own"], tokens=prompt + said["after"])


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
