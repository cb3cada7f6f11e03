"""How much memory of a GPU a run takes, from the model's shape: refused before the start where it cannot fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tau_retail_env.models.shapes import Shape
from tau_retail_env.roll.config.rules import INFER_GPU_MEMORY, RollValues

GIB = 2**30
CARDS_GIB = {"24 GB": 24, "40 GB": 40, "80 GB": 80, "141 GB": 140}
"""Sizes of cards, in GiB as they tell them."""
TRAINED = 16
"""Bytes of a weight that learns: fp32 weight, gradient and Adam's two moments."""
UPDATED = 20
"""Bytes of one while Adam makes its step, when no activations are there: the root of the second moments besides."""
STILL = 4
"""Bytes of a weight of the reference."""
KEPT_GIB = 7.0
"""Up to how much a reference stays on the card while others learn: a twentieth of the largest (`roll/learning.py`)."""
MEASURED = 1.1
"""What was measured of a token's saved activations, over what their shapes say (1.10 for 0.5 B, 1.09 for 135 M)."""
CONTEXT_GIB = 1.9
"""CUDA's own memory in the process of each role on a card, NCCL's buffers and what a sleeping engine keeps included:
7.7 GiB were measured for four roles (docs/runs/roll_two_gpus)."""
SMALLEST_CACHE = 2
"""Longest episodes that the engine's cache must hold at the least."""


@dataclass(frozen=True, slots=True)
class Memory:
    """GiB of one card at its fullest, by part of a step."""

    learning: float
    """While all learners of the fullest card learn, which ROLL has them do at once."""
    learner: float
    """Of these, what the largest learner's own process allocates: weights, gradient, moments and a micro-batch."""
    contexts: float
    """Of these, CUDA's own."""
    playing: float
    """What all engines need of their share: weights, and a cache for a few whole episodes."""
    share: float
    """Which share of a card the engine is given."""
    learners: tuple[str, ...]
    """The roles that learn."""
    sized_by: tuple[str, ...]
    """The keys that say how large their micro-batches are; one longest episode is always one."""

    def problems(self, card_gib: float, *, forgiven_gib: float = 0.0) -> Iterator[str]:
        """What does not fit on a card.

        Args:
            card_gib: GiB of a card.
            forgiven_gib: GiB by which learning may exceed it.
        """
        if self.learning > card_gib + forgiven_gib:
            yield (
                f"learning takes about {self.learning:.0f} GiB of a card, which has {card_gib:.0f}: of "
                f"{' and '.join(self.learners)} lower {' and '.join(self.sized_by)} or set "
                "model_args.disable_gradient_checkpointing: false, use more GPUs, or a smaller model"
            )
        given = self.share * card_gib
        if self.playing > given:
            yield (
                f"rollout engines need about {self.playing:.0f} GiB for weights and {SMALLEST_CACHE} episodes each, "
                f"but infer_gpu_memory {self.share} of the card is {given:.0f}: raise it, or lower sequence_length or "
                "engines_per_gpu"
            )


def memory(config: RollValues, shape: Shape) -> Memory:
    """What a run takes of each card.

    The formula for activations was calibrated on two measured models on FSDP2 (docs/roll.md, Memory).

    Args:
        config: the configuration.
        shape: the actor's and the critic's model.
    """
    learners: list[str] = [role for role in ("actor_train", "critic") if role in config.roles]
    own: dict[str, float] = {role: _learning(config, role, shape) / GIB for role in learners}
    if config.has_reference:
        still = STILL * shape.parameters / config.data_parallel("reference") / GIB
        own["reference"] = still if still <= KEPT_GIB else 0.0
    own["actor_infer"] = 0.0  # asleep, or on GPUs of its own
    fullest, contexts = max(_on_card(config, own, card) for role in learners for card in config.devices(role) or [0])
    split = len(config.devices("actor_infer")) // config.data_parallel("actor_infer")
    engines = int(config.values.get("engines_per_gpu", 1))
    engine = 2 * shape.parameters / split + SMALLEST_CACHE * config("sequence_length") * shape.cache_bytes / split
    return Memory(
        learning=fullest,
        learner=max(own[role] for role in learners),
        contexts=contexts,
        playing=engines * engine / GIB,
        share=float(config.values.get("infer_gpu_memory", INFER_GPU_MEMORY)),
        learners=tuple(learners),
        sized_by=tuple(dict.fromkeys(key for role in learners for key in _sized_by(config, role))),
    )


def _on_card(config: RollValues, own: dict[str, float], card: int) -> tuple[float, float]:
    """GiB that all roles of a card take while it learns, and CUDA's share of them."""
    there = [role for role in own if card in (config.devices(role) or [0])]
    contexts = CONTEXT_GIB * len(there)
    return sum(own[role] for role in there) + contexts, contexts


def _sizes(config: RollValues, role: str) -> dict[str, int]:
    """Tokens of a learner's largest micro-batch, by the keys that say them: the larger one holds."""
    key = "max_tokens_per_microbatch_in_train"
    return {key: config(f"{role}.{key}") or 0, "sequence_length": config("sequence_length")}


def _sized_by(config: RollValues, role: str) -> list[str]:
    sizes = _sizes(config, role)
    return [key for key, tokens in sizes.items() if tokens == max(sizes.values())]


def _learning(config: RollValues, role: str, shape: Shape) -> float:
    cards = config.data_parallel(role)
    tokens = max(_sizes(config, role).values())
    kept = shape.saved_bytes
    if not config(f"{role}.model_args.disable_gradient_checkpointing"):
        kept = 2 * shape.layers * shape.hidden + shape.saved_bytes // shape.layers
    gathered = 2 * shape.parameters if cards > 1 else 0
    weights = shape.parameters / cards
    return gathered + max(TRAINED * weights + MEASURED * kept * tokens, UPDATED * weights)
