"""A causal model's shape: how many parameters it has, and what a token costs in operations and in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau_retail_env.errors import InvalidValueError
from tau_retail_env.models.shipped import checkpoint

KNOWN = {
    "Qwen/Qwen2.5-0.5B-Instruct": (24, 896, 4864, 14, 2, 64, 151936, True),
    "Qwen/Qwen2.5-1.5B-Instruct": (28, 1536, 8960, 12, 2, 128, 151936, True),
    "Qwen/Qwen3-4B-Instruct-2507": (36, 2560, 9728, 32, 8, 128, 151936, True),
    "HuggingFaceTB/SmolLM2-135M-Instruct": (30, 576, 1536, 9, 3, 64, 49152, True),
}
"""Models that are planned for before they are downloaded: the fields of `Shape`, from their config.json."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Of a dense decoder with gated feed-forward layers, such as Qwen's, Llama's and SmolLM2's."""

    layers: int
    """Decoder layers."""
    hidden: int
    """Width of the residual stream."""
    intermediate: int
    """Width of a feed-forward layer."""
    heads: int
    """Query heads."""
    key_heads: int
    """Heads of keys and values."""
    head_width: int
    """Width of a head."""
    vocabulary: int
    """Tokens of the vocabulary."""
    is_tied: bool
    """Whether the head shares the embedding's weights."""

    @property
    def body(self) -> int:
        """Parameters of the layers: what each token is multiplied with."""
        attention = self.hidden * self.head_width * (2 * self.heads + 2 * self.key_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def parameters(self) -> int:
        """All parameters, norms and biases aside."""
        return self.body + self.vocabulary * self.hidden * (1 if self.is_tied else 2)

    def forward_flop(self, tokens: float, length: float) -> float:
        """Operations of a forward pass: 2 for each weight and token, and causal attention; the head aside.

        Args:
            tokens: of all episodes.
            length: tokens of an episode.
        """
        return tokens * (2 * self.body + 2 * self.layers * self.heads * self.head_width * length)

    @property
    def saved_bytes(self) -> int:
        """Bytes that a training step keeps of each token in bf16 for the gradient, without checkpointing."""
        return 2 * self.layers * (8 * self.hidden + 4 * self.intermediate)

    @property
    def cache_bytes(self) -> int:
        """Bytes of a token in the rollout engine's key-value cache, in bf16."""
        return 2 * 2 * self.layers * self.key_heads * self.head_width


def shape_of(pretrain: str) -> Shape:
    """The shape of a model, from its config.json or from those that are known; nothing is downloaded.

    Args:
        pretrain: a folder, a Hugging Face name, or small.

    Raises:
        InvalidValueError: a name that is not known, or a config.json without what is needed.
    """
    if pretrain in KNOWN:
        return Shape(*KNOWN[pretrain])
    file = Path(checkpoint(pretrain)) / "config.json"
    if not file.is_file():
        raise InvalidValueError(
            f"pretrain: the shape of {pretrain!r} is not known here; known are {', '.join(KNOWN)}, and every folder "
            "with a config.json"
        )
    return from_config(json.loads(file.read_text(encoding="utf-8")), str(file))


def from_config(config: dict[str, Any], name: str) -> Shape:
    """The shape that a config.json describes.

    Args:
        config: its content.
        name: for the error.

    Raises:
        InvalidValueError: a number is missing.
    """
    try:
        heads = int(config["num_attention_heads"])
        hidden = int(config["hidden_size"])
        return Shape(
            layers=int(config["num_hidden_layers"]),
            hidden=hidden,
            intermediate=int(config["intermediate_size"]),
            heads=heads,
            key_heads=int(config.get("num_key_value_heads") or heads),
            head_width=int(config.get("head_dim") or hidden // heads),
            vocabulary=int(config["vocab_size"]),
            is_tied=bool(config.get("tie_word_embeddings", False)),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidValueError(
            f"{name}: no shape can be read from it ({error!r}); is it of a causal model?"
        ) from error
