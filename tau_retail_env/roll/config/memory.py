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
WAITING = 12
"""Of these, what a learner keeps on the card while another learns: weight and moments."""
STILL = 4
"""Bytes of a weight of the reference."""
MEASURED = 1.1
"""What was measured of a token's saved activations, over what their shapes say (1.10 for 0.5 B, 1.09 for 135 M)."""
CONTEXTS_GIB = 3.0
"""CUDA contexts of the roles that share a card, and what the sleeping engine keeps: an assumption."""
SMALLEST_CACHE = 2
"""Longest episodes that the engine's cache must hold at the least."""


@dataclass(frozen=True, slots=True)
class Memory:
    """GiB of one card at its fullest, by part of a step."""

    learning: float
    """While the largest learner learns."""
    learner: float
    """Of these, what that learner's own process allocates: weights, gradient, moments and a micro-batch."""
    playing: float
    """What all engines need of their share: weights, and a cache for a few whole episodes."""
    share: float
    """Which share of a card the engine is given."""
    learners: tuple[str, ...]
    """The roles that learn."""

    def problems(self, card_gib: float, *, forgiven_gib: float = 0.0) -> Iterator[str]:
        """What does not fit on a card.

        Args:
            card_gib: GiB of a card.
            forgiven_gib: GiB by which learning may exceed it.
        """
        if self.learning > card_gib + forgiven_gib:
            yield (
                f"learning takes about {self.learning:.0f} GiB of a card, which has {card_gib:.0f}: of "
                f"{' and '.join(self.learners)} lower max_tokens_per_microbatch_in_train or set "
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
    learners = [role for role in ("actor_train", "critic") if role in config.roles]
    cards = {role: config.data_parallel(role) for role in learners}
    fullest = max(_learning(config, role, shape, cards[role]) for role in learners)
    idle = sum(WAITING * shape.parameters / cards[role] for role in learners[1:])
    if config.has_reference:
        idle += STILL * shape.parameters / cards["actor_train"]
    split = len(config.devices("actor_infer")) // config.data_parallel("actor_infer")
    engines = int(config.values.get("engines_per_gpu", 1))
    engine = 2 * shape.parameters / split + SMALLEST_CACHE * config("sequence_length") * shape.cache_bytes / split
    return Memory(
        learning=(fullest + idle) / GIB + CONTEXTS_GIB,
        learner=fullest / GIB,
        playing=engines * engine / GIB,
        share=float(config.values.get("infer_gpu_memory", INFER_GPU_MEMORY)),
        learners=tuple(learners),
    )


def _learning(config: RollValues, role: str, shape: Shape, cards: int) -> float:
    tokens = max(config(f"{role}.max_tokens_per_microbatch_in_train") or 0, config("sequence_length"))
    kept = shape.saved_bytes
    if not config(f"{role}.model_args.disable_gradient_checkpointing"):
        kept = 2 * shape.layers * shape.hidden + shape.saved_bytes // shape.layers
    gathered = 2 * shape.parameters if cards > 1 else 0
    return TRAINED * shape.parameters / cards + gathered + MEASURED * kept * tokens
