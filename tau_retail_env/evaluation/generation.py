"""How a checkpoint's tokens are drawn, and how many of a message and of an episode where nothing is said."""

from __future__ import annotations

from dataclasses import dataclass

MESSAGE_TOKENS = 768
"""Most tokens of one message where nothing is said: evaluations were played with it whose eval.json has no number."""
LONGEST = 16_384
"""Tokens of an episode where nothing else is said and the model reads more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """How a checkpoint's tokens are drawn."""

    temperature: float = 0.0
    """What the logits are divided by; 0 takes the likeliest token always."""
    top_p: float = 1.0
    """Draw from the likeliest tokens whose probabilities add up to this."""
    top_k: int = 0
    """Draw from this many likeliest tokens; 0 for all."""
    max_new_tokens: int = MESSAGE_TOKENS
    """Most tokens of one message."""
    sequence_length: int | None = None
    """Most tokens of an episode, prompt included; None for as many as the model reads, `LONGEST` at most."""


def message_tokens(folder: str) -> int:
    """Most tokens of one message of a checkpoint where nothing is said: those of its training where these are more.

    A number that the model does not read counts as damaged, as one that is none does: `play` has no option for another.

    Args:
        folder: the checkpoint.

    Raises:
        InvalidValueError: there is no model.
    """
    from tau_retail_env.models.checks import max_new_tokens_of, model_config

    config = model_config(folder)
    found = max_new_tokens_of(config) or 0
    longest = getattr(config.get_text_config(), "max_position_embeddings", None) or LONGEST
    return found if MESSAGE_TOKENS < found < longest else MESSAGE_TOKENS
